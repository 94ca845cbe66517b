//! Whether an edit of an object gives what was asked for once the kustomizations below the target have built it.
//! An edit that something after it takes back is refused, with what does; it is never reported as done.

use super::entries::is_image;
use super::transform::{Decided, Passage, Passing, Stopped};
use super::{Found, Staged};
use crate::manifest::{Editor, FieldPath, Limits, ObjectRef, Room, flatten, parse, transformed_image};
use crate::plan::{Note, PlanError};
use regex::Regex;
use serde_json::Value;

/// What one object may make of its patches, in values and pieces of 64 bytes of text.
const MAX_WEIGHT: usize = 1_000_000;
/// Characters of a value that a message shows.
const SHOWN: usize = 60;

/// What a field is to be in what is built.
#[derive(Debug)]
pub(in crate::plan) enum Wanted {
    /// This value; of a mapping, these fields among others, and `null` for those that are not there.
    Value(Value),
    /// A list with this element.
    Element(Value),
    /// Nothing.
    Nothing,
}

/// A field of an object on its way through kustomizations.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    field: FieldPath,
    now: Option<Value>,
    /// What made it what it is, where that is not the object's own file.
    by: Option<Decided>,
}

impl Watched {
    fn new(field: &FieldPath, object: &Value) -> Self {
        Self { field: field.clone(), now: get(object, field), by: None }
    }

    /// Looks at the object after something was done to it.
    pub(super) fn look(&mut self, object: &Value, by: &Decided) {
        let now = get(object, &self.field);
        if now != self.now {
            (self.now, self.by) = (now, Some(by.clone()));
        }
    }

    /// What an entry of `images` does to the field.
    pub(super) fn change_image(&mut self, pattern: &Regex, entry: &Value, by: &Decided) {
        if let Some(Value::String(image)) = &self.now
            && is_image(self.field.steps())
            && pattern.is_match(image)
        {
            let changed = transformed_image(image, entry);
            if changed != *image {
                (self.now, self.by) = (Some(Value::from(changed)), Some(by.clone()));
            }
        }
    }
}

impl Staged<'_> {
    /// Refuses an edit after which the kustomizations below the target still build something else, naming what decides the field last.
    pub(in crate::plan) fn require_built(&mut self, found: &Found, field: &FieldPath, wanted: &Wanted) -> Result<(), PlanError> {
        if found.chain.is_empty() {
            return Ok(());
        }
        let Some(value) = self.written(found)? else { return Ok(()) };
        let mut passage = Passage::new(Room::new(MAX_WEIGHT));
        let mut passing = Passing::new(value.clone(), found.object.clone());
        passing.watched = Some(Watched::new(field, &value));
        let mut from = None;
        for path in found.chain.iter().rev() {
            self.pass(path, from, &mut passing, &mut passage).map_err(|stopped| match stopped {
                Stopped::Plan(error) => error,
                Stopped::TooMuch => PlanError::Object(format!(
                    "what the kustomizations below {} make of {} is more than can be looked at: name the `file`",
                    self.within, found.asked
                )),
            })?;
            from = Some(path);
        }
        let built = get(&passing.value, field);
        if !wanted.is(built.as_ref()) {
            let by = passing.watched.and_then(|watched| watched.by);
            return Err(PlanError::Object(undone(found, field, built.as_ref(), by)));
        }
        if !passing.whole {
            self.note_unknown(found, field, passage);
        }
        Ok(())
    }

    /// The object as its file has it now.
    fn written(&self, found: &Found) -> Result<Option<Value>, PlanError> {
        let Some(text) = self.text(&found.path)? else { return Ok(None) };
        let Ok(documents) = parse(&text, Limits::default()) else { return Ok(None) };
        let mut objects = documents.iter().flat_map(|document| flatten(&document.value));
        let is_it = |value: &Value| ObjectRef::of(value).is_ok_and(|object| object == found.object);
        Ok(objects.find(|(_, value)| is_it(value)).map(|(_, value)| value.clone()))
    }

    /// Tells what may change the field and is not known here.
    fn note_unknown(&mut self, found: &Found, field: &FieldPath, passage: Passage) {
        for (path, pointer, what) in passage.notes {
            let message = format!("`{pointer}` ({what}) is not followed here, and may give `{field}` of {} another value", found.asked);
            let note = Note { rule: "kustomize.unknown", path, message };
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }
}

impl Wanted {
    fn is(&self, built: Option<&Value>) -> bool {
        match self {
            Self::Value(wanted) => holds(built, wanted),
            Self::Element(wanted) => built.and_then(Value::as_array).is_some_and(|list| list.iter().any(|element| holds(Some(element), wanted))),
            Self::Nothing => built.is_none_or(Value::is_null),
        }
    }
}

/// Whether a value is the one that is wanted; a mapping may have more fields, which a kustomization adds.
fn holds(built: Option<&Value>, wanted: &Value) -> bool {
    match (built, wanted) {
        (built, Value::Null) => built.is_none_or(Value::is_null),
        (Some(Value::Object(built)), Value::Object(wanted)) => wanted.iter().all(|(field, wanted)| holds(built.get(field), wanted)),
        (None, Value::Object(wanted)) => wanted.values().all(Value::is_null),
        (Some(Value::Array(built)), Value::Array(wanted)) => {
            built.len() == wanted.len() && built.iter().zip(wanted).all(|(built, wanted)| holds(Some(built), wanted))
        }
        (Some(built), wanted) => built == wanted,
        (None, _) => false,
    }
}

/// The value of a field, where there is one.
fn get(object: &Value, field: &FieldPath) -> Option<Value> {
    Editor::open(object.to_string(), true).ok()?.get(None, field).ok().flatten().cloned()
}

fn undone(found: &Found, field: &FieldPath, built: Option<&Value>, by: Option<Decided>) -> String {
    let still = match built {
        Some(value) => format!("still build {}", value.to_string().chars().take(SHOWN).collect::<String>()),
        None => "build nothing there".to_owned(),
    };
    let outermost = found.chain.first().map_or_else(String::new, ToString::to_string);
    let decides = match by {
        Some((path, pointer)) if pointer.is_empty() => format!("{path} decides it last: change that"),
        Some((path, pointer)) => format!("`{pointer}` of {path} decides it last: change that"),
        None => format!("nothing after {} changes it: what was asked for and what is there come together otherwise", found.path),
    };
    format!("`{field}` of {} would not be what was asked for: with the edit, the kustomizations of {outermost} {still}; {decides}", found.asked)
}
