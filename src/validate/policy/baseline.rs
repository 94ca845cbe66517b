//! The policies that are shipped, as plain documents: `policies/baseline/`.

use super::{Binding, CLUSTERS_ANNOTATION, GROUP, Policy, PolicySpec};
use crate::manifest::{Limits, parse};
use crate::types::SpecError;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::{Arc, LazyLock};

/// The kind of the documents that give the shipped policies their parameters, of `kubeops.dev/v1alpha1`.
pub const PARAMETERS_KIND: &str = "PolicyParameters";

#[derive(rust_embed::RustEmbed)]
#[folder = "policies/baseline"]
struct Files;

/// What is shipped: policies, and a binding for each.
#[derive(Debug, Clone, Default)]
pub struct Shipped {
    /// The policies, by file.
    pub policies: Vec<Arc<Policy>>,
    /// Their bindings.
    pub bindings: Vec<Binding>,
}

/// The shipped policies, read once in a process, and compiled as they are needed.
///
/// # Errors
/// None for a tested build; otherwise the first thing that is wrong with them.
pub fn shipped() -> Result<Shipped, String> {
    static SHIPPED: LazyLock<Result<Shipped, String>> = LazyLock::new(|| {
        let mut shipped = Shipped::default();
        for (path, text) in files(|path| !path.starts_with("tests/")) {
            read_with(&format!("shipped {path}"), &text, &mut shipped, |name, spec, place| Ok(Policy::tested(name, spec, place)))?;
        }
        Ok(shipped)
    });
    SHIPPED.clone()
}

/// The shipped tests of the shipped policies: path and text.
pub fn shipped_tests() -> Vec<(String, String)> {
    files(|path| path.starts_with("tests/"))
}

fn files(wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let text = |path: &str| Files::get(path).and_then(|file| String::from_utf8(file.data.into_owned()).ok());
    let wanted = |path: &str| path.ends_with(".yaml") && wanted(path);
    let mut files: Vec<(String, String)> =
        Files::iter().filter(|path| wanted(path)).filter_map(|path| Some((path.to_string(), text(&path)?))).collect();
    files.sort();
    files
}

/// Reads policies and bindings from a file, without places in it: what `kubeops policy test` and the shipped files need.
pub(super) fn read(path: &str, text: &str, into: &mut Shipped) -> Result<(), String> {
    read_with(path, text, into, Policy::compile)
}

fn read_with(
    path: &str,
    text: &str,
    into: &mut Shipped,
    compile: impl Fn(&str, PolicySpec, String) -> Result<Policy, Vec<SpecError>>,
) -> Result<(), String> {
    let documents = parse(text, Limits::default()).map_err(|error| format!("{path}:{}: {}", error.line, error.message))?;
    for document in documents {
        let place = format!("{path}:{}", document.start_line);
        let field = |pointer: &str| document.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let name = field("/metadata/name");
        if !is_policy_version(field("/apiVersion")) || name.is_empty() {
            continue;
        }
        match field("/kind") {
            "ValidatingAdmissionPolicy" => {
                let policy = compile(name, spec(&document.value, &place)?, place.clone());
                let told = |errors: Vec<SpecError>| errors.iter().map(|error| format!("/spec{error}")).collect::<Vec<_>>().join("; ");
                let policy = policy.map_err(|errors| format!("{place}: {}", told(errors)))?;
                into.policies.push(Arc::new(policy));
            }
            "ValidatingAdmissionPolicyBinding" => {
                let clusters = document.value.get("metadata").and_then(|metadata| metadata.get("annotations")?.get(CLUSTERS_ANNOTATION)?.as_str());
                let binding = Binding::new(name, spec(&document.value, &place)?, clusters, place.clone());
                if let Some(error) = binding.check().into_iter().next() {
                    return Err(format!("{place}: /spec{error}"));
                }
                into.bindings.push(binding);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether documents of this version are read: `v1`, and `v1beta1`, which says the same.
pub(crate) fn is_policy_version(api_version: &str) -> bool {
    api_version.split_once('/').is_some_and(|(group, version)| group == GROUP && matches!(version, "v1" | "v1beta1"))
}

fn spec<S: DeserializeOwned>(document: &Value, place: &str) -> Result<S, String> {
    let spec = document.get("spec").cloned().unwrap_or(Value::Null);
    serde_json::from_value(spec).map_err(|error| format!("{place}: /spec: {error}"))
}
