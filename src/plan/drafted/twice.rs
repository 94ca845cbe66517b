//! What a draft adds is another object than any there is: one that stands a second time, in a file of its own, would change the first
//! past every limit on fields, and be told as added.

use super::objects::{Identity, of_file};
use super::violation::Violation;
use crate::inventory::Target;
use crate::manifest::{Kustomization, Limits, ObjectRef, is_kustomization, parse};
use crate::plan::staged::Staged;
use crate::plan::{BaseTree, FileChange, PlanError, TreeError};
use crate::types::ManifestPath;
use std::collections::BTreeMap;

/// Objects that one change may add, at most: each of them is looked for below the whole target.
const MOST_ADDED: usize = 200;

/// Notes the objects that are added and stand below the target already.
///
/// # Errors
/// When the base cannot be read.
pub(super) fn judge(
    files: &BTreeMap<ManifestPath, FileChange>,
    target: &Target,
    base: &dyn BaseTree,
    into: &mut Vec<Violation>,
) -> Result<(), TreeError> {
    let added = added(files, base)?;
    if added.is_empty() {
        return Ok(());
    }
    if added.len() > MOST_ADDED {
        let message = format!("it adds {} objects; {MOST_ADDED} are allowed", added.len());
        into.push(Violation::of("draft.large", None, message));
        return Ok(());
    }
    let (mut before, mut after) = (Staged::new(base, &target.path), Staged::changed(base, &target.path, files));
    let places = match after.twice(&added, &mut before, &standing) {
        Ok(places) => places,
        Err(PlanError::Tree(error)) => return Err(error),
        Err(error) => {
            into.push(Violation::of("draft.unclear", None, error.to_string()));
            return Ok(());
        }
    };
    for ((path, object), place) in added.iter().zip(places) {
        if let Some(place) = place {
            let message = format!(
                "it adds {object}, which stands already in {place}; if that is another cluster's, the automation's target has to be narrower"
            );
            into.push(Violation::grave("draft.kind", Some(path.as_str()), message));
        }
    }
    Ok(())
}

/// The objects with names that files have more of than they had, and what generators of kustomizations make more of.
fn added(files: &BTreeMap<ManifestPath, FileChange>, base: &dyn BaseTree) -> Result<Vec<(ManifestPath, ObjectRef)>, TreeError> {
    let mut added = Vec::new();
    for (path, change) in files {
        let FileChange::Write(bytes) = change else { continue };
        let of = if is_kustomization(path) { generated } else { standing };
        let mut old = base.read(path)?.map_or_else(Vec::new, |bytes| of(path, &String::from_utf8_lossy(&bytes)));
        for object in of(path, &String::from_utf8_lossy(bytes)) {
            match old.iter().position(|other| other.is_same(&object)) {
                Some(at) => drop(old.swap_remove(at)),
                None => added.push((path.clone(), object)),
            }
        }
    }
    Ok(added)
}

/// The objects with names that stand in a file, each as often as it does.
fn standing(path: &ManifestPath, text: &str) -> Vec<ObjectRef> {
    let Ok(documents) = parse(text, Limits::default()) else { return Vec::new() };
    let objects = of_file(&documents, true, is_kustomization(path));
    objects.into_iter().flat_map(|(identity, values)| object(&identity).into_iter().cycle().take(values.len()).collect::<Vec<_>>()).collect()
}

/// What the generators of a kustomization make.
fn generated(_: &ManifestPath, text: &str) -> Vec<ObjectRef> {
    let documents = parse(text, Limits::default()).unwrap_or_default();
    documents.iter().flat_map(|document| Kustomization::of(&document.value).generated()).collect()
}

/// An object by its name; of its version nothing is said, which does not make it another.
fn object(identity: &Identity) -> Option<ObjectRef> {
    let Identity::Object { group, kind, namespace, name } = identity else { return None };
    let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    Some(ObjectRef { api_version, kind: kind.clone(), namespace: namespace.clone(), name: name.clone()? })
}
