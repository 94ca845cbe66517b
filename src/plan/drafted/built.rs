//! What the overlays below the target build of a drafted change, held against the same limits: a patch may not do what a file may not.

use super::hidden;
use super::limits::{self, Place};
use super::objects::{Objects, identity};
use super::violation::Violation;
use crate::inventory::Target;
use crate::manifest::{Document, KUSTOMIZATION_NAMES, Kustomization, Limits, is_kustomization, parse, resolve_reference};
use crate::plan::staged::{Staged, directory_of};
use crate::plan::{BaseTree, EntryKind, FileChange, Overlaid, OverlaidError, TreeError, overlaid};
use crate::types::{ManifestPath, below};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The fields of a kustomization of which it is known here what they do.
const KNOWN: [&str; 22] = [
    "apiVersion",
    "bases",
    "buildMetadata",
    "commonAnnotations",
    "commonLabels",
    "components",
    "configMapGenerator",
    "generatorOptions",
    "images",
    "kind",
    "labels",
    "metadata",
    "namePrefix",
    "nameSuffix",
    "namespace",
    "patches",
    "patchesJson6902",
    "patchesStrategicMerge",
    "replicas",
    "resources",
    "secretGenerator",
    "sortOptions",
];
/// Fields within those. Kustomize takes their names in any case, and they are followed here only as they are written.
const WITHIN: [&str; 26] = [
    "annotations",
    "annotationSelector",
    "behavior",
    "count",
    "digest",
    "disableNameSuffixHash",
    "envs",
    "fields",
    "fieldSpecs",
    "files",
    "group",
    "immutable",
    "includeSelectors",
    "includeTemplates",
    "labelSelector",
    "literals",
    "name",
    "newName",
    "newTag",
    "options",
    "pairs",
    "patch",
    "path",
    "tagSuffix",
    "target",
    "version",
];

/// Notes what may not be built.
///
/// # Errors
/// When the base cannot be read.
pub(super) fn judge(
    limits: &limits::Limits,
    files: &BTreeMap<ManifestPath, FileChange>,
    target: &Target,
    base: &dyn BaseTree,
    into: &mut Vec<Violation>,
) -> Result<(), TreeError> {
    let overlays = match overlaid(base, files, &target.path) {
        Ok(overlays) => overlays,
        Err(OverlaidError::Tree(error)) => return Err(error),
        Err(error) => {
            into.push(Violation::of("draft.unclear", None, error.to_string()));
            return Ok(());
        }
    };
    references(files, target, base, into)?;
    for left_out in overlays.left_out.difference(&overlays.left_out_before) {
        let message = format!("`{}`: what it does is not followed here, so nobody can say what would be built: {}", left_out.pointer, left_out.what);
        into.push(Violation::of("draft.unclear", Some(left_out.path.as_str()), message));
    }
    let names: BTreeSet<&str> = overlays.before.iter().chain(&overlays.after).map(|object| object.overlay.as_str()).collect();
    for name in names {
        let (before, after) = (objects(&overlays.before, name), objects(&overlays.after, name));
        let path = overlays.before.iter().chain(&overlays.after).find(|object| object.overlay == name).and_then(|object| object.chain.first());
        let shown = if name.is_empty() { "of the repository's root" } else { name };
        let place = Place { path: path.map_or(name, ManifestPath::as_str), overlay: Some(shown) };
        limits.judge(&before, &after, place, into);
    }
    let faults = hidden::faults(overlays.before.iter().map(|object| &object.value), overlays.after.iter().map(|object| &object.value));
    into.extend(super::judge::faulty(faults, None));
    Ok(())
}

/// Notes what kustomizations are made to build on that is not in the repository: what it holds, or will hold, is not known.
fn references(files: &BTreeMap<ManifestPath, FileChange>, target: &Target, base: &dyn BaseTree, into: &mut Vec<Violation>) -> Result<(), TreeError> {
    let (before, after) = (Staged::new(base, &target.path), Staged::changed(base, &target.path, files));
    for path in files.keys().filter(|path| is_kustomization(path)) {
        let read = |text: Option<String>| text.and_then(|text| parse(&text, Limits::default()).ok()).unwrap_or_default();
        let (old, new) = (read(before.text(path)?), read(after.text(path)?));
        let of = |documents: &[Document]| -> BTreeSet<(String, String)> {
            let lists = documents.iter().flat_map(|document| Kustomization::of(&document.value).resources());
            lists.map(|(list, reference)| (list.to_owned(), reference.to_owned())).collect()
        };
        for (list, reference) in of(&new).difference(&of(&old)) {
            let local = resolve_reference(directory_of(path), reference);
            let is_known = match &local {
                None => false,
                Some(local) => match after.is_there(local)? {
                    Some(EntryKind::File | EntryKind::Executable) => local.parse::<ManifestPath>().is_ok(),
                    Some(EntryKind::Directory) => holds_kustomization(local, &after)?,
                    _ => false,
                },
            };
            if !is_known {
                let message =
                    format!("`{list}` would name {reference:?}, which is no file of the repository that can be read, and no kustomization of it");
                into.push(Violation::of("draft.unclear", Some(path.as_str()), message));
            }
        }
    }
    Ok(())
}

fn holds_kustomization(directory: &str, tree: &Staged<'_>) -> Result<bool, TreeError> {
    for name in KUSTOMIZATION_NAMES {
        if matches!(tree.is_there(&below(directory, name))?, Some(EntryKind::File | EntryKind::Executable)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Notes what changed in a kustomization and cannot be followed.
pub(super) fn unknown_fields(path: &ManifestPath, old: Option<&Value>, new: &Value, into: &mut Vec<Violation>) {
    let mut unclear = |field: &str| {
        let message = format!("`{field}` of a kustomization is not followed here, so nobody can say what would be built");
        into.push(Violation::of("draft.unclear", Some(path.as_str()), message));
    };
    for (key, value) in new.as_object().into_iter().flatten() {
        if old.and_then(|old| old.get(key)) == Some(value) {
            continue;
        }
        if !KNOWN.contains(&key.as_str()) {
            unclear(key);
        }
        keys(value, &mut |key| {
            if WITHIN.iter().any(|known| known.eq_ignore_ascii_case(key) && *known != key) {
                unclear(key);
            }
        });
    }
}

/// Every key of a value.
fn keys<'v>(value: &'v Value, each: &mut dyn FnMut(&'v str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| keys(item, each)),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            each(key);
            keys(value, each);
        }),
        _ => {}
    }
}

fn objects<'o>(all: &'o [Overlaid], overlay: &str) -> Objects<'o> {
    let mut objects = Objects::new();
    for object in all.iter().filter(|object| object.overlay == overlay) {
        objects.entry(identity(&object.value)).or_default().push(&object.value);
    }
    objects
}
