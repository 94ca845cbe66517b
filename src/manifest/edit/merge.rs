//! Operations that are made of the simple ones: a mapping merged into another, a list that has an element.

use super::locate::{self, kind};
use super::{EditError, EditFault, Editor};
use crate::manifest::field_path::scalar_text;
use crate::manifest::{FieldPath, ObjectAddress, Step};
use serde_json::Value;

impl Editor {
    /// Merges a mapping into the one at `path`: mappings field by field, `null` takes a field out, everything else takes the place of
    /// what was there (JSON Merge Patch, RFC 7386). Tells whether that changed anything.
    ///
    /// # Errors
    /// See [`EditError`]; then the text holds nothing of it.
    pub fn merge(&mut self, object: Option<&ObjectAddress>, path: &FieldPath, value: &Value) -> Result<bool, EditError> {
        let mut edited = self.clone();
        let changed = edited.merge_in(object, path, value)?;
        *self = edited;
        Ok(changed)
    }

    fn merge_in(&mut self, object: Option<&ObjectAddress>, path: &FieldPath, value: &Value) -> Result<bool, EditError> {
        let Value::Object(fields) = value else { return self.set(object, path, value) };
        match self.get(object, path)? {
            Some(Value::Object(_)) => {}
            None | Some(Value::Null) => {
                let whole = without_nulls(value);
                return self.set(object, path, &whole);
            }
            Some(other) => {
                let message = format!("`{path}` is {}, and a mapping cannot be merged into it", kind(other));
                return Err(EditError::new(EditFault::Kind, message));
            }
        }
        let mut changed = false;
        for (key, value) in fields {
            let path = path.with(Step::Key(key.clone()));
            changed |= match value {
                Value::Null => self.remove(object, &path)?,
                Value::Object(_) if self.get(object, &path)?.is_some_and(Value::is_object) => self.merge_in(object, &path, value)?,
                value => self.set(object, &path, &without_nulls(value))?,
            };
        }
        Ok(changed)
    }

    /// Has the list at `path` hold an element: one that equals `value`, or, with `key`, the one whose field `key` is that of `value`,
    /// into which `value` is merged. It is added where there is none. Tells whether that changed anything.
    ///
    /// # Errors
    /// See [`EditError`]; then the text holds nothing of it.
    pub fn ensure(&mut self, object: Option<&ObjectAddress>, path: &FieldPath, value: &Value, key: Option<&str>) -> Result<bool, EditError> {
        let items = match self.get(object, path)? {
            None | Some(Value::Null) => return self.append(object, path, value),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(EditError::new(EditFault::Kind, format!("`{path}` is {}, not a list", kind(other)))),
        };
        let Some(key) = key else {
            if items.contains(value) {
                return Ok(false);
            }
            return self.append(object, path, value);
        };
        let Some(name) = value.get(key).and_then(scalar_text) else {
            let message = format!("the element for `{path}` has no field `{key}`, by which elements are told apart");
            return Err(EditError::new(EditFault::Kind, message));
        };
        let step = Step::Element { key: key.to_owned(), value: name.into_owned() };
        match locate::member(&Value::Array(items.clone()), &step, path.steps())? {
            Some(_) => self.merge(object, &path.with(step), value),
            None => self.append(object, path, &without_nulls(value)),
        }
    }
}

/// A value with no field that is `null`, as a merge leaves it.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), without_nulls(value))).collect()
        }
        value => value.clone(),
    }
}
