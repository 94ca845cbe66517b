//! Edits whose fields and values are said outright, as a model says them: `{{ }}` in a path or a value is text and never a template.

use super::{Action, FieldTemplate, Given, MAX_EDITS, Operation, Place, aimed};
use crate::expression::{Scope, Variables};
use crate::manifest::{FieldPath, ObjectAddress};
use crate::plan::PlanError;
use crate::plan::staged::Staged;
use crate::types::ManifestPath;
use serde_json::{Map, Value};

/// What is done to an object, by the field of `edit` it is written under.
#[derive(Clone, Copy)]
pub(in crate::plan) struct Literals<'l> {
    pub(in crate::plan) set: &'l Map<String, Value>,
    pub(in crate::plan) merge: &'l Map<String, Value>,
    pub(in crate::plan) append: &'l Map<String, Value>,
    pub(in crate::plan) remove: &'l [String],
}

/// Operations on one object, or on the only document of a file.
pub(in crate::plan) struct LiteralEdit {
    operations: Vec<Operation>,
}

/// Why an edit was not made.
pub(in crate::plan) enum Beyond {
    /// What decides the field stands in a file that may not be changed.
    File(ManifestPath),
    /// It cannot be made.
    Plan(PlanError),
}

impl<E: Into<PlanError>> From<E> for Beyond {
    fn from(error: E) -> Self {
        Self::Plan(error.into())
    }
}

impl LiteralEdit {
    /// Reads the paths.
    ///
    /// # Errors
    /// The sentence that says what is wrong with one of them.
    pub(in crate::plan) fn read(literals: Literals<'_>) -> Result<Self, String> {
        let mut edit = Self { operations: Vec::new() };
        for (field, value) in literals.set {
            if value.is_null() {
                return Err(format!("`{field}`: a field is taken away by `remove`, not by `null`"));
            }
            edit.add(field, Action::Set(Given::Literal(value.clone())))?;
        }
        for (field, value) in literals.merge {
            edit.add(field, Action::Merge(Given::Literal(value.clone())))?;
        }
        for (field, value) in literals.append {
            edit.add(field, Action::Append(Given::Literal(value.clone())))?;
        }
        for field in literals.remove {
            edit.add(field, Action::Remove)?;
        }
        match edit.operations.len() {
            0 => Err("an edit changes at least one field: set, merge, append or remove".to_owned()),
            1..=MAX_EDITS => Ok(edit),
            many => Err(format!("an edit changes at most {MAX_EDITS} fields, and this one {many}")),
        }
    }

    fn add(&mut self, field: &str, action: Action) -> Result<(), String> {
        let path: FieldPath = field.parse().map_err(|error| format!("`{field}` is not the path of a field: {error}"))?;
        if let Some(other) = self.operations.iter().find(|operation| operation.field.path.overlaps(&path)) {
            return Err(format!("`{}` and `{path}` are the same field, or one is a part of the other: they go into two edits", other.field.path));
        }
        self.operations.push(Operation { field: FieldTemplate { path, gaps: Vec::new() }, action });
        Ok(())
    }

    /// Does it; `may_change` says which files may be changed, and no other is read for its fields.
    ///
    /// # Errors
    /// See [`Beyond`]; then some of it may have been done.
    pub(in crate::plan) fn apply(
        &self,
        file: Option<&ManifestPath>,
        object: Option<&ObjectAddress>,
        staged: &mut Staged<'_>,
        may_change: &dyn Fn(&ManifestPath) -> bool,
    ) -> Result<(), Beyond> {
        let scope = Scope::lending(Variables::new([]));
        for operation in &self.operations {
            let field = &operation.field.path;
            let Some((aim, found)) = aimed(file, object, field, staged)? else { continue };
            if !may_change(aim.path()) {
                return Err(Beyond::File(aim.path().clone()));
            }
            operation.action.act(Place { aim: &aim, found: found.as_ref(), field }, &scope, staged)?;
        }
        Ok(())
    }
}
