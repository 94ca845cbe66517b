//! Kustomize's own files: `kustomization.yaml`, and the patches it names, which are parts of objects and not whole ones.
//! <https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/>

use crate::manifest::{KUSTOMIZATION_NAMES, Kustomization, Limits, PatchContent, Step, parse, push_step, resolve_reference};
use crate::plan::{BaseTree, FileChange, TreeError};
use crate::types::{ManifestPath, below, nearest};
use serde_json::Value;
use std::collections::BTreeMap;

/// The fields of a Kustomization or Component.
const FIELDS: [&str; 34] = [
    "apiVersion",
    "kind",
    "metadata",
    "bases",
    "buildMetadata",
    "commonAnnotations",
    "commonLabels",
    "components",
    "configMapGenerator",
    "configurations",
    "crds",
    "generatorOptions",
    "generators",
    "helmChartInflationGenerator",
    "helmCharts",
    "helmGlobals",
    "images",
    "inventory",
    "labels",
    "namePrefix",
    "nameSuffix",
    "namespace",
    "openapi",
    "patches",
    "patchesJson6902",
    "patchesStrategicMerge",
    "replacements",
    "replicas",
    "resources",
    "secretGenerator",
    "sortOptions",
    "transformers",
    "validators",
    "vars",
];

/// What a field of a kustomization holds. Kustomize reads no number for a text, and nothing but whole numbers for a count.
enum Shape {
    Text,
    Count,
    Truth,
    Mapping,
    Texts,
    /// A mapping of texts.
    Pairs,
    /// Mappings with these fields; and which of them there have to be, where that is all there may be.
    Entries(&'static [(&'static str, Shape)], Option<&'static [&'static str]>),
}

const PATCH: Shape = Shape::Entries(&[("path", Shape::Text), ("patch", Shape::Text), ("target", Shape::Mapping), ("options", Shape::Mapping)], None);
const GENERATOR: Shape = Shape::Entries(
    &[
        ("name", Shape::Text),
        ("namespace", Shape::Text),
        ("behavior", Shape::Text),
        ("type", Shape::Text),
        ("files", Shape::Texts),
        ("literals", Shape::Texts),
        ("envs", Shape::Texts),
        ("env", Shape::Text),
        ("options", Shape::Mapping),
    ],
    None,
);

/// The fields whose form is known.
const SHAPES: [(&str, Shape); 24] = [
    ("resources", Shape::Texts),
    ("bases", Shape::Texts),
    ("components", Shape::Texts),
    ("crds", Shape::Texts),
    ("configurations", Shape::Texts),
    ("generators", Shape::Texts),
    ("transformers", Shape::Texts),
    ("validators", Shape::Texts),
    ("patchesStrategicMerge", Shape::Texts),
    ("buildMetadata", Shape::Texts),
    ("namespace", Shape::Text),
    ("namePrefix", Shape::Text),
    ("nameSuffix", Shape::Text),
    ("commonLabels", Shape::Pairs),
    ("commonAnnotations", Shape::Pairs),
    ("metadata", Shape::Mapping),
    ("generatorOptions", Shape::Mapping),
    ("patches", PATCH),
    ("patchesJson6902", PATCH),
    ("configMapGenerator", GENERATOR),
    ("secretGenerator", GENERATOR),
    ("labels", Shape::Entries(&[("pairs", Shape::Pairs), ("includeSelectors", Shape::Truth), ("includeTemplates", Shape::Truth)], None)),
    ("replicas", Shape::Entries(&[("name", Shape::Text), ("count", Shape::Count)], Some(&["name", "count"]))),
    (
        "images",
        Shape::Entries(
            &[("name", Shape::Text), ("newName", Shape::Text), ("newTag", Shape::Text), ("digest", Shape::Text), ("tagSuffix", Shape::Text)],
            Some(&["name"]),
        ),
    ),
];

impl Shape {
    /// What is wrong with the value at `pointer`, which `name` calls by its fields.
    fn faults(&self, value: &Value, pointer: &str, name: &str, into: &mut Vec<Fault>) {
        let mut fault = |pointer: &str, message: String, hint: Option<String>| into.push(("kustomization.type", pointer.to_owned(), message, hint));
        let quoted = || matches!(value, Value::Number(_) | Value::Bool(_)).then(|| format!("write it in quotes: \"{value}\""));
        match (self, value) {
            (_, Value::Null) => {}
            (Self::Text, Value::String(_)) | (Self::Truth, Value::Bool(_)) | (Self::Mapping, Value::Object(_)) => {}
            (Self::Text, _) => fault(pointer, format!("`{name}` is to be text"), quoted()),
            (Self::Truth, _) => fault(pointer, format!("`{name}` is to be true or false"), None),
            (Self::Count, _) if value.as_i64().is_some_and(|count| count >= 0) => {}
            (Self::Count, _) => fault(pointer, format!("`{name}` is to be a whole number from 0 on"), None),
            (Self::Texts, Value::Array(items)) => {
                for (number, item) in items.iter().enumerate().filter(|(_, item)| !item.is_string()) {
                    Self::Text.not_null(item, &format!("{pointer}/{number}"), &format!("an entry of {name}"), into);
                }
            }
            (Self::Pairs, Value::Object(fields)) => {
                for (key, value) in fields {
                    let mut pointer = pointer.to_owned();
                    push_step(&mut pointer, key);
                    Self::Text.faults(value, &pointer, &format!("{name}.{key}"), into);
                }
            }
            (Self::Entries(fields, all), Value::Array(items)) => {
                for (number, item) in items.iter().enumerate() {
                    Self::entry(fields, *all, item, (&format!("{pointer}/{number}"), name), into);
                }
            }
            (Self::Mapping | Self::Pairs, _) => fault(pointer, format!("`{name}` is to be a mapping"), None),
            (Self::Texts | Self::Entries(..), _) => fault(pointer, format!("`{name}` is to be a list"), None),
        }
    }

    fn not_null(&self, value: &Value, pointer: &str, name: &str, into: &mut Vec<Fault>) {
        match value {
            Value::Null => into.push(("kustomization.type", pointer.to_owned(), format!("`{name}` is empty"), None)),
            value => self.faults(value, pointer, name, into),
        }
    }

    fn entry(fields: &[(&str, Shape)], all: Option<&[&str]>, item: &Value, (pointer, name): (&str, &str), into: &mut Vec<Fault>) {
        let Value::Object(said) = item else {
            return into.push(("kustomization.type", pointer.to_owned(), format!("an entry of `{name}` is to be a mapping"), None));
        };
        for (key, value) in said {
            let mut place = pointer.to_owned();
            push_step(&mut place, key);
            match fields.iter().find(|(field, _)| field == key) {
                Some((_, shape)) => shape.faults(value, &place, &format!("{name}[].{key}"), into),
                None if all.is_some() => {
                    let hint = nearest(key, fields.iter().map(|(field, _)| *field)).map(|near| format!("did you mean `{near}`?"));
                    into.push(("kustomization.unknown_field", place, format!("an entry of `{name}` has no field `{key}`"), hint));
                }
                None => {}
            }
        }
        for field in all.into_iter().flatten().filter(|field| said.get(**field).is_none_or(Value::is_null)) {
            let hint = (*field == "count").then(|| "without it Kustomize takes 0: write `count: 0`, or take the entry out".to_owned());
            into.push(("kustomization.type", pointer.to_owned(), format!("an entry of `{name}` has no `{field}`"), hint));
        }
    }
}

/// A fault of a kustomization: JSON pointer, message, hint.
pub(super) type Fault = (&'static str, String, String, Option<String>);

/// What is wrong with a kustomization: rule, pointer, message and hint.
pub(super) fn faults(value: &Value) -> Vec<Fault> {
    let Value::Object(fields) = value else {
        return vec![("kustomization.type", String::new(), "a kustomization is a mapping".to_owned(), None)];
    };
    let mut faults = Vec::new();
    for (key, value) in fields {
        if !FIELDS.contains(&key.as_str()) {
            let hint = nearest(key, FIELDS.into_iter()).map(|near| format!("did you mean `{near}`?"));
            faults.push(("kustomization.unknown_field", format!("/{key}"), format!("a kustomization has no field `{key}`"), hint));
        }
        let right = match key.as_str() {
            "apiVersion" => value.as_str().is_some_and(|version| version.starts_with("kustomize.config.k8s.io/")),
            "kind" => matches!(value.as_str(), Some("Kustomization" | "Component")),
            _ => true,
        };
        if !right {
            faults.push(("kustomization.type", format!("/{key}"), format!("`{key}` is not what Kustomize takes"), None));
        }
        if let Some((_, shape)) = SHAPES.iter().find(|(field, _)| field == key) {
            let mut pointer = String::new();
            push_step(&mut pointer, key);
            shape.faults(value, &pointer, key, &mut faults);
        }
    }
    // Its literals and files stand unencrypted in the repository, whatever it makes of them.
    if fields.get("secretGenerator").and_then(Value::as_array).is_some_and(|generators| !generators.is_empty()) {
        let hint = "use an ExternalSecret or a SealedSecret".to_owned();
        faults.push((
            "secret.plaintext",
            "/secretGenerator".to_owned(),
            "`secretGenerator` makes Secrets from plaintext in git".to_owned(),
            Some(hint),
        ));
    }
    faults
}

/// The patches that stand in a kustomization itself, each with its JSON pointer.
pub(super) fn inline_patches(value: &Value) -> Vec<(String, &str)> {
    let inline = Kustomization::of(value).patches().into_iter().filter_map(|patch| {
        let PatchContent::Inline(text) = patch.content else { return None };
        let mut pointer = String::new();
        for step in &patch.steps {
            match step {
                Step::Key(key) => push_step(&mut pointer, key),
                Step::Place(place) => push_step(&mut pointer, &place.to_string()),
                Step::Element { .. } => return None,
            }
        }
        Some((pointer, text))
    });
    inline.collect()
}

/// Whether a kustomization in the file's directory, or in one above it, names `path` as a patch, and none as a resource, which makes it
/// an object like any other. The change's own state of a kustomization counts before the base's.
pub(super) fn is_patch(path: &ManifestPath, files: &BTreeMap<ManifestPath, FileChange>, base: &dyn BaseTree) -> Result<bool, TreeError> {
    let directories: Vec<&str> = path.ancestors().collect();
    let mut is_named = false;
    for directory in directories.into_iter().rev().chain([""]) {
        for name in KUSTOMIZATION_NAMES {
            let whole = below(directory, name);
            let Ok(kustomization) = whole.parse::<ManifestPath>() else { continue };
            let bytes = match files.get(&kustomization) {
                Some(FileChange::Write(bytes)) => Some(bytes.clone()),
                Some(FileChange::Remove) => None,
                None => base.read(&kustomization)?,
            };
            let documents = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| parse(&text, Limits::default()).ok());
            for document in documents.iter().flatten() {
                let mut resources = Kustomization::of(&document.value).resources();
                if resources.any(|(_, reference)| resolve_reference(directory, reference).as_deref() == Some(path.as_str())) {
                    return Ok(false);
                }
                is_named |= names_patch(Kustomization::of(&document.value), directory, path);
            }
        }
    }
    Ok(is_named)
}

fn names_patch(kustomization: Kustomization<'_>, directory: &str, path: &ManifestPath) -> bool {
    kustomization.patches().into_iter().any(|patch| {
        // What a patch of a Secret sets would stand in plaintext, and its own text need not say what it patches.
        let of_secret = patch.target.is_some_and(|target| target.get("kind").and_then(Value::as_str) == Some("Secret"));
        let PatchContent::File(file) = patch.content else { return false };
        !of_secret && resolve_reference(directory, file).as_deref() == Some(path.as_str())
    })
}
