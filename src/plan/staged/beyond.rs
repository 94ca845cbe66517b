//! What a change does beyond the field it is asked for: the other objects of an image, and the places below a patch that give a field too.
//! It reads what kustomizations build as far as names go; it never guesses at what it cannot read.

use super::entries::entry_of_count;
use super::{Aim, Found, LISTED, Staged, failed};
use crate::manifest::{FieldPath, Limits, ObjectAddress, ObjectRef, Step, flatten, parse, split_image};
use crate::plan::{Note, PlanError};
use crate::types::{ManifestPath, listed};
use serde_json::Value;
use std::collections::BTreeSet;

/// Places that may give one field, at most: patches of kustomizations within each other.
const MAX_PLACES: usize = 64;

impl Staged<'_> {
    /// Tells of the other objects whose image an entry of `images` changes.
    pub(super) fn note_image(&mut self, path: &ManifestPath, base: &str, object: &ObjectRef) -> Result<(), PlanError> {
        let name = split_image(base).0;
        let built = self.built()?;
        let mut others = BTreeSet::new();
        for file in built.iter().filter(|(_, chains)| chains.iter().any(|chain| chain.contains(path))).map(|(file, _)| file) {
            let Some(text) = self.text(file)?.filter(|text| text.contains(name)) else { continue };
            let documents = parse(&text, Limits::default()).unwrap_or_default();
            let objects = documents.iter().flat_map(|document| flatten(&document.value)).filter(|(_, value)| has_image(value, name));
            let objects = objects.filter_map(|(_, value)| ObjectRef::of(value).ok()).filter(|other| !other.is_same(object));
            others.extend(objects.map(|other| ObjectAddress::of(&other).to_string()));
        }
        if !others.is_empty() {
            let others: Vec<String> = others.into_iter().collect();
            let message = format!("`images` changes every object with the image {name}, these as well: {}", listed(&others, LISTED));
            let note = Note { rule: "kustomize.images", path: path.clone(), message };
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        Ok(())
    }

    /// Takes a field of an object out wherever it is given: where it is decided, and in what that stood over.
    pub(in crate::plan) fn take_field_out(&mut self, aim: &Aim, found: Option<&Found>, field: &FieldPath) -> Result<bool, PlanError> {
        let mut changed = false;
        let mut aim = aim.clone();
        for _ in 0..MAX_PLACES {
            if let Aim::Field { field: place, .. } | Aim::Inline { field: place, .. } = &aim
                && matches!(place.steps(), [Step::Place(_), Step::Key(_)])
            {
                let message = format!("`{field}` is given by an operation of a JSON patch: take the operation out of it, or `set` the field");
                return Err(failed(aim.path(), message));
            }
            let entry = entry_of_count(&aim);
            changed |= match &entry {
                Some(entry) => self.edit(aim.path(), |editor| editor.remove(None, entry))?,
                None => self.modify(&aim, "remove", &mut |editor, object, field| editor.remove(object, field))?,
            };
            let owner = entry.map(|_| aim.path().clone());
            let Some(found) = found.filter(|found| aim.path() != &found.path) else { return Ok(changed) };
            // It was a patch; what it stood over may give the field as well.
            aim = self.decider(found, field)?;
            match self.get(&aim) {
                Ok(Some(value)) if !value.is_null() => {}
                _ => return Ok(changed),
            }
            if !self.within.contains(aim.path()) || (aim.path() == &found.path && self.is_shared(found)?) {
                let way_out = match owner {
                    Some(owner) => {
                        format!("to have that apply again, `remove` `replicas[name={}]` with `file`: {owner}", found.object.name)
                    }
                    None => "`merge` null into the mapping it stands in with a patch of its own".to_owned(),
                };
                let message = format!(
                    "`{field}` of {} would still be given by {}, which {}; {way_out}",
                    found.asked,
                    aim.path(),
                    if self.within.contains(aim.path()) {
                        "others are built from as well".to_owned()
                    } else {
                        format!("lies outside of {}", self.within)
                    },
                );
                return Err(PlanError::Object(message));
            }
        }
        Ok(changed)
    }

    /// Whether a file is built in more ways than one.
    fn is_shared(&mut self, found: &Found) -> Result<bool, PlanError> {
        Ok(self.built()?.get(&found.path).is_some_and(|chains| chains.len() > 1))
    }
}

/// Whether a container of the object has the image, whatever its tag.
fn has_image(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(key, value)| match value {
            Value::Array(containers) if key == "containers" || key == "initContainers" => {
                containers.iter().filter_map(|container| container.get("image")?.as_str()).any(|image| split_image(image).0 == name)
            }
            value => has_image(value, name),
        }),
        Value::Array(items) => items.iter().any(|item| has_image(item, name)),
        _ => false,
    }
}
