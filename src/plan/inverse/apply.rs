//! An inverse made on a base of another day.

use super::{Inverse, Step, Undo, Undone, digest};
use crate::manifest::{EditError, FieldPath, ObjectAddress};
use crate::plan::staged::Staged;
use crate::plan::{BaseTree, PlanError};
use crate::types::{DirectoryPath, ManifestPath};
use serde_json::Value;

impl Inverse {
    /// Takes the change back on `base`, within the directory the change was for.
    ///
    /// # Errors
    /// When the base cannot be read.
    pub fn apply(&self, base: &dyn BaseTree, within: &DirectoryPath) -> Result<Undone, PlanError> {
        let (mut staged, mut left) = (Staged::new(base, within), Vec::new());
        for (path, undo) in &self.files {
            let now = base.read(path)?;
            match (&undo.was, now) {
                (was, now) if now.as_deref().map(digest) == undo.is => match was {
                    Some(text) => staged.write(path.clone(), text.clone().into_bytes())?,
                    None => drop(staged.remove(path)?),
                },
                (Some(text), Some(now)) if now == text.as_bytes() => {}
                (None, None) => {}
                (None, Some(_)) => left.push(format!("{path} was made by the change and says something else by now: it stays")),
                (Some(_), None) => left.push(format!("{path} is gone by now: nothing in it is put back")),
                (Some(_), Some(_)) => undo.in_a_file_that_lives(path, &mut staged, &mut left)?,
            }
        }
        staged.keep_kustomizations()?;
        let change = crate::plan::ChangeSet { files: staged.finish(), ..crate::plan::ChangeSet::default() };
        Ok(Undone { change, left })
    }
}

impl Undo {
    fn in_a_file_that_lives(&self, path: &ManifestPath, staged: &mut Staged<'_>, left: &mut Vec<String>) -> Result<(), PlanError> {
        if self.is.is_none() {
            left.push(format!("{path} was taken away by the change and is there again: it stays"));
        }
        for step in &self.steps {
            match step.perform(path, staged) {
                Ok(None) => {}
                Ok(Some(why)) => left.push(format!("{path}: {why}")),
                Err(PlanError::Edit { message, .. }) => left.push(format!("{path}: {message}")),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Step {
    /// Takes one step back; says why not, where somebody else has been there.
    fn perform(&self, path: &ManifestPath, staged: &mut Staged<'_>) -> Result<Option<String>, PlanError> {
        match self {
            Self::Field { object, field, was, is } => {
                let (object, field) = named(object.as_deref(), field)?;
                let now = match staged.reader(path)?.get(object.as_ref(), &field) {
                    Ok(now) => now.cloned(),
                    // What leads there is gone: so is the field.
                    Err(_) => None,
                };
                if now == *was {
                    return Ok(None);
                }
                if now != *is {
                    return Ok(Some(format!("`{field}` says something else by now: it stays")));
                }
                staged.edit(path, |editor| match was {
                    Some(was) => put(editor, object.as_ref(), &field, was),
                    None => editor.remove(object.as_ref(), &field),
                })?;
            }
            Self::Element { object, list, was } => {
                let (object, list) = named(object.as_deref(), list)?;
                staged.edit(path, |editor| editor.ensure(object.as_ref(), &list, was, None))?;
            }
            Self::Object { object } => {
                let object = parsed(object)?;
                if let Some(found) = staged.find_in(path, &object)? {
                    staged.remove_object(&found)?;
                }
            }
            Self::Document { text } => {
                staged.edit(path, |editor| editor.add_document(text))?;
            }
        }
        Ok(None)
    }
}

/// A value put back; one of another kind takes the place of what is there whole.
fn put(editor: &mut crate::manifest::Editor, object: Option<&ObjectAddress>, field: &FieldPath, was: &Value) -> Result<bool, EditError> {
    match editor.set(object, field, was) {
        Err(error) if error.reason == crate::manifest::EditFault::Kind => {
            editor.remove(object, field)?;
            editor.set(object, field, was)
        }
        done => done,
    }
}

fn named(object: Option<&str>, field: &str) -> Result<(Option<ObjectAddress>, FieldPath), PlanError> {
    let field = field.parse().map_err(|error| PlanError::Object(format!("what takes the change back names no field: {error}")))?;
    Ok((object.map(parsed).transpose()?, field))
}

fn parsed(object: &str) -> Result<ObjectAddress, PlanError> {
    object.parse().map_err(|error: crate::manifest::AddressError| PlanError::Object(error.to_string()))
}
