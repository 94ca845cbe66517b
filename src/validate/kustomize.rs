//! Kustomize's own files: `kustomization.yaml`, and the patches it names, which are parts of objects and not whole ones.
//! <https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/>

use crate::manifest::{KUSTOMIZATION_NAMES, Kustomization, Limits, PatchContent, parse, resolve_reference};
use crate::plan::{BaseTree, FileChange, TreeError};
use crate::types::ManifestPath;
use crate::types::nearest;
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
            "resources" | "bases" | "components" | "crds" | "generators" | "transformers" => {
                value.is_null() || value.as_array().is_some_and(|items| items.iter().all(Value::is_string))
            }
            _ => true,
        };
        if !right {
            faults.push(("kustomization.type", format!("/{key}"), format!("`{key}` is not what Kustomize takes"), None));
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

/// Whether a kustomization in the file's directory, or in one above it, names `path` as a patch, and none as a resource, which makes it
/// an object like any other. The change's own state of a kustomization counts before the base's.
pub(super) fn is_patch(path: &ManifestPath, files: &BTreeMap<ManifestPath, FileChange>, base: &dyn BaseTree) -> Result<bool, TreeError> {
    let directories: Vec<&str> = path.ancestors().collect();
    let mut is_named = false;
    for directory in directories.into_iter().rev().chain([""]) {
        for name in KUSTOMIZATION_NAMES {
            let whole = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
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
