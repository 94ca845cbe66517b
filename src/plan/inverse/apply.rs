//! An inverse made on a base of another day.

use super::compare::name;
use super::lines::taken_back;
use super::{Inverse, Step, Undo, Undone, digest, documents, said};
use crate::manifest::{self, EditError, EditFault, Editor, FieldPath, ObjectAddress, ObjectRef, flatten};
use crate::plan::staged::Staged;
use crate::plan::{BaseTree, Note, PlanError};
use crate::types::{DirectoryPath, ManifestPath};
use serde_json::Value;

impl Inverse {
    /// Takes the change back on `base`, within the directory the change was for.
    ///
    /// # Errors
    /// When the base cannot be read, when what was kept names no object or field, and when a kustomization below `within` that names a
    /// file that goes cannot go on without it. What somebody else changed since is no error: it is in [`Undone::left`].
    pub fn apply(&self, base: &dyn BaseTree, within: &DirectoryPath) -> Result<Undone, PlanError> {
        let (mut staged, mut left, mut returning) = (Staged::new(base, within), Vec::new(), Vec::new());
        for (path, undo) in &self.files {
            let now = base.read(path)?;
            match (&undo.was, now) {
                (Some(_), None) if undo.is.is_none() => returning.push((path, undo)),
                (was, now) if now.as_deref().map(digest) == undo.is => match was {
                    Some(text) => staged.write(path.clone(), text.clone().into_bytes())?,
                    None => drop(staged.remove(path)?),
                },
                (Some(text), Some(now)) if now == text.as_bytes() => {}
                (None, None) => {}
                (None, Some(_)) => left.push(note(path, "the change made this file, and it says something else by now: it stays")),
                (Some(_), None) => left.push(note(path, "this file is gone by now: nothing in it is put back")),
                (Some(_), Some(_)) => {
                    undo.in_a_file_that_lives(path, &mut staged, &mut left)?;
                    returning.push((path, undo));
                }
            }
        }
        // Objects come back when those of the change are gone: one that it moved to another file would seem to be there twice.
        for (path, undo) in returning {
            undo.bring_back(path, &mut staged, &mut left)?;
        }
        staged.keep_kustomizations()?;
        let change = crate::plan::ChangeSet { files: staged.finish(), ..crate::plan::ChangeSet::default() };
        Ok(Undone { change, left })
    }
}

impl Undo {
    /// What was changed and what came; what went is brought back later.
    fn in_a_file_that_lives(&self, path: &ManifestPath, staged: &mut Staged<'_>, left: &mut Vec<Note>) -> Result<(), PlanError> {
        if self.is.is_none() {
            left.push(note(path, "the change took this file away, and it is there again: it stays"));
        }
        for step in &self.steps {
            match step.perform(path, staged) {
                Ok(None) => {}
                Ok(Some(why)) => left.push(note(path, why)),
                Err(PlanError::Edit { message, .. }) => left.push(note(path, message)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The file that went, or the documents that went from one that lives.
    fn bring_back(&self, path: &ManifestPath, staged: &mut Staged<'_>, left: &mut Vec<Note>) -> Result<(), PlanError> {
        let Some(now) = staged.before(path)? else {
            let text = self.was.as_deref().unwrap_or_default();
            match standing(text, path, staged)? {
                Some(why) => left.push(note(path, format!("this file stays away: {why}"))),
                None => staged.write(path.clone(), text.as_bytes().to_vec())?,
            }
            return Ok(());
        };
        for step in &self.steps {
            let Step::Document { text } = step else { continue };
            match standing(text, path, staged)? {
                Some(why) => left.push(note(path, format!("a document stays away: {why}"))),
                None => match staged.edit(path, |editor| editor.add_document(text)) {
                    Err(PlanError::Edit { message, .. }) => left.push(note(path, message)),
                    done => drop(done?),
                },
            }
        }
        // The same, with the very bytes there were, where the lines of the change still stand.
        let was = self.was.as_deref().unwrap_or_default();
        if let Some(text) = taken_back(&now, was, &self.stretches) {
            staged.say_instead(path, text);
        }
        Ok(())
    }
}

fn note(path: &ManifestPath, message: impl Into<String>) -> Note {
    Note { rule: "revert.left", path: path.clone(), message: message.into() }
}

/// Why a text would bring an object back that somebody else has put back already.
fn standing(text: &str, path: &ManifestPath, staged: &mut Staged<'_>) -> Result<Option<String>, PlanError> {
    let documents = documents(text);
    let objects = documents.iter().flat_map(|document| flatten(&document.value)).filter_map(|(_, value)| ObjectRef::of(value).ok());
    let elsewhere = staged.standing(&objects.collect::<Vec<_>>(), path)?;
    Ok(elsewhere.map(|(object, place)| format!("{} is there again, in {place}", ObjectAddress::of(&object))))
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
            Self::Element { object, list, key, was } => {
                let (object, list) = named(object.as_deref(), list)?;
                let element = name(was, key).map(|value| list.clone().with(manifest::Step::Element { key: key.clone(), value }));
                if let Some(element) = element {
                    match staged.reader(path)?.get(object.as_ref(), &element) {
                        Ok(Some(now)) if now == was => return Ok(None),
                        Ok(Some(_)) => return Ok(Some(format!("`{element}` is there again and says something else: it stays"))),
                        Err(error) if error.reason == EditFault::Ambiguous => return Ok(Some(error.to_string())),
                        _ => {}
                    }
                }
                staged.edit(path, |editor| editor.ensure(object.as_ref(), &list, was, None))?;
            }
            Self::Object { object, is } => {
                let object = parsed(object)?;
                let Some(found) = staged.find_in(path, &object)? else { return Ok(None) };
                let now = staged.reader(path)?.get(Some(&object), &FieldPath::from(Vec::new())).ok().flatten().map(said);
                if now.as_ref() != Some(is) {
                    return Ok(Some(format!("{} came with the change and says something else by now: it stays", object.without_group())));
                }
                staged.remove_object(&found)?;
            }
            // When everything of the change is gone.
            Self::Document { .. } => {}
        }
        Ok(None)
    }
}

/// A value put back; one of another kind takes the place of what is there whole.
fn put(editor: &mut Editor, object: Option<&ObjectAddress>, field: &FieldPath, was: &Value) -> Result<bool, EditError> {
    match editor.set(object, field, was) {
        Err(error) if error.reason == EditFault::Kind => {
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
