//! Where a person mends what is wrong with an object that an overlay builds: the changed line that decides it, or the object's file.

use super::{ChangedFile, Placed};
use crate::manifest::{Document, ObjectRef, flatten, push_step};
use crate::plan::Overlaid;
use crate::types::ManifestPath;
use serde_json::Value;
use std::collections::HashMap;

/// A file, and where in it.
pub(super) struct Place<'a> {
    pub(super) path: &'a ManifestPath,
    pub(super) document: Option<usize>,
    pub(super) pointer: Option<String>,
    pub(super) line: Option<u32>,
}

impl<'a> Place<'a> {
    fn whole(path: &'a ManifestPath) -> Self {
        Self { path, document: None, pointer: None, line: None }
    }

    fn at(path: &'a ManifestPath, document: &Document, pointer: String) -> Self {
        Self { path, document: Some(document.index), line: Some(document.positions.line(&pointer)), pointer: Some(pointer) }
    }

    /// An object in its file; what is gone has a file alone.
    pub(super) fn of_object(placed: &Placed<'a>, stands: bool) -> Self {
        if stands { Self::at(placed.path, placed.document, placed.pointer.clone()) } else { Self::whole(placed.path) }
    }

    /// What decides an object of an overlay, of what the change touches. `is_own` says that its file decides it.
    pub(super) fn of_overlaid(overlaid: &'a Overlaid, changed: &'a [ChangedFile], stands: bool, is_own: bool) -> Self {
        let own = changed.iter().find(|file| file.path == overlaid.file);
        let in_own = own.and_then(|file| {
            let document = file.after.iter().find(|document| document.index == overlaid.document)?;
            Some(Self::at(&file.path, document, overlaid.pointer.clone())).filter(|_| stands)
        });
        if is_own && in_own.is_some() {
            return in_own.unwrap_or_else(|| Self::whole(&overlaid.file));
        }
        let find = |path: &ManifestPath| changed.iter().find(|file| file.path == *path);
        let deciding = overlaid.decided.iter().rev().find_map(|(path, pointer)| changed_at(find(path)?, pointer));
        let around =
            || overlaid.decided.iter().map(|(path, _)| path).chain(overlaid.chain.iter().rev()).rev().find_map(|path| difference(find(path)?));
        let anything = || changed.iter().find_map(difference);
        deciding.or(in_own).or_else(around).or_else(anything).unwrap_or_else(|| Self::whole(&overlaid.file))
    }
}

/// Where a file has something else at `pointer` than before, if it has.
fn changed_at<'a>(file: &'a ChangedFile, pointer: &str) -> Option<Place<'a>> {
    file.after.iter().find_map(|document| {
        let value = document.value.pointer(pointer)?;
        let before = file.before.iter().find(|before| before.index == document.index).map(|before| &before.value);
        let was = before.and_then(|before| before.pointer(pointer));
        // The entries of a list move.
        let among = pointer.rsplit_once('/').and_then(|(list, _)| before?.pointer(list)?.as_array());
        if was == Some(value) || among.is_some_and(|among| among.contains(value)) {
            return None;
        }
        let mut at = pointer.to_owned();
        first_difference(was, value, &mut at);
        Some(Place::at(&file.path, document, at))
    })
}

/// Where a file differs first.
fn difference(file: &ChangedFile) -> Option<Place<'_>> {
    let differing = file.after.iter().find_map(|document| {
        let before = file.before.iter().find(|before| before.index == document.index).map(|before| &before.value);
        if before == Some(&document.value) {
            return None;
        }
        let mut at = String::new();
        first_difference(before, &document.value, &mut at);
        Some(Place::at(&file.path, document, at))
    });
    differing.or_else(|| (!file.before.is_empty()).then(|| Place::whole(&file.path)))
}

/// Goes down from `at` to what differs, as long as it is one thing.
fn first_difference(before: Option<&Value>, after: &Value, at: &mut String) {
    let differing: Vec<(String, Option<&Value>, &Value)> = match (before, after) {
        (Some(Value::Object(before)), Value::Object(after)) if before.keys().all(|key| after.contains_key(key)) => {
            after.iter().map(|(key, value)| (key.clone(), before.get(key), value)).filter(|(_, was, is)| *was != Some(*is)).collect()
        }
        (Some(Value::Array(before)), Value::Array(after)) if before.len() <= after.len() => after
            .iter()
            .enumerate()
            .map(|(place, value)| (place.to_string(), before.get(place), value))
            .filter(|(_, was, is)| *was != Some(*is))
            .collect(),
        _ => return,
    };
    if let Some((step, was, is)) = differing.into_iter().next() {
        push_step(at, &step);
        first_difference(was, is, at);
    }
}

/// Puts what Kustomize built for an overlay in the place of what was worked out for it, which says where its objects come from.
pub(super) fn replace(worked_out: &mut Vec<Overlaid>, overlay: &str, documents: &[Document], fallback: &ManifestPath) {
    let (known, others): (Vec<Overlaid>, Vec<Overlaid>) = std::mem::take(worked_out).into_iter().partition(|known| known.overlay == overlay);
    let mut known: HashMap<_, Overlaid> = known.into_iter().map(|known| (named(&known.object), known)).collect();
    *worked_out = others;
    for (_, value) in documents.iter().flat_map(|document| flatten(&document.value)) {
        let Ok(object) = ObjectRef::of(value) else { continue };
        let near = known.remove(&named(&object));
        let near = near.unwrap_or_else(|| Overlaid {
            overlay: overlay.to_owned(),
            object: object.clone(),
            value: Value::Null,
            file: fallback.clone(),
            document: 0,
            pointer: String::new(),
            decided: Vec::new(),
            chain: Vec::new(),
        });
        worked_out.push(Overlaid { object, value: value.clone(), ..near });
    }
}

fn named(object: &ObjectRef) -> (String, String, Option<String>, String) {
    let (group, kind, namespace, name) = object.key();
    (group.to_owned(), kind.to_owned(), namespace.map(str::to_owned), name.to_owned())
}
