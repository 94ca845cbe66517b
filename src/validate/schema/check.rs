//! Whether a definition or a JSON Schema is one at all, said when it is read: one that nobody can use would be found only by the change
//! it should have refused. It looks at the definition, never at objects.

use super::explain::{self, Fault};
use super::{Kind, kind};
use crate::types::{KubernetesVersion, nearest};
use serde_json::Value;

/// The types of OpenAPI's schemas.
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// Faults of one definition that are told.
const MAX_FAULTS: usize = 20;

/// What is wrong with the `spec:` of a definition: what Kubernetes' own schema of definitions refuses, and types there are not.
pub(super) fn of_definition(document: &Value) -> Vec<Fault> {
    let api_version = document.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let mut faults = match kind(KubernetesVersion::newest(), api_version, "CustomResourceDefinition") {
        Kind::Known(schema) => schema.faults(document),
        // The schema of `v1beta1` is gone with it; what it cannot do without is asked for here.
        _ => ["/spec", "/spec/group", "/spec/names/kind"].into_iter().filter(|pointer| document.pointer(pointer).is_none()).map(missing).collect(),
    };
    // What a server writes around it is of no interest.
    faults.retain(|fault| fault.pointer.is_empty() || fault.pointer == "/spec" || fault.pointer.starts_with("/spec/"));
    let versions = document.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten().enumerate();
    let schemas = versions.map(|(at, version)| (format!("/spec/versions/{at}/schema/openAPIV3Schema"), version.pointer("/schema/openAPIV3Schema")));
    let shared = ("/spec/validation/openAPIV3Schema".to_owned(), document.pointer("/spec/validation/openAPIV3Schema"));
    for (at, schema) in schemas.chain([shared]) {
        types(schema.unwrap_or(&Value::Null), &at, &mut faults);
    }
    faults.truncate(MAX_FAULTS);
    faults
}

/// What is wrong with a JSON Schema by the rules of its own draft.
pub(super) fn of_json_schema(document: &Value) -> Vec<Fault> {
    match jsonschema::meta::validate(document) {
        Ok(()) => Vec::new(),
        Err(error) => {
            let pointer = error.instance_path().to_string();
            let word = document.pointer(&pointer).and_then(Value::as_str);
            match word.filter(|_| pointer.ends_with("/type")) {
                Some(word) => vec![no_type(word, pointer)],
                None => vec![explain::fault(pointer, format!("this is no JSON Schema: {}", error.masked()))],
            }
        }
    }
}

fn missing(pointer: &str) -> Fault {
    let (above, name) = pointer.rsplit_once('/').unwrap_or(("", pointer));
    explain::fault(above.to_owned(), format!("`{name}` is missing"))
}

fn no_type(word: &str, pointer: String) -> Fault {
    let hint = nearest(word, TYPES.into_iter()).map_or_else(|| format!("types are {}", TYPES.join(", ")), |near| format!("did you mean `{near}`?"));
    Fault { hint: Some(hint), ..explain::fault(pointer, format!("there is no type `{word}`")) }
}

/// Every `type` that is none, in a schema and those within it.
fn types(schema: &Value, at: &str, faults: &mut Vec<Fault>) {
    let Value::Object(fields) = schema else { return };
    if let Some(word) = fields.get("type").and_then(Value::as_str).filter(|word| !TYPES.contains(word)) {
        faults.push(no_type(word, format!("{at}/type")));
    }
    for (name, below) in fields {
        match (name.as_str(), below) {
            ("properties", Value::Object(named)) => {
                named.iter().for_each(|(name, schema)| types(schema, &format!("{at}/properties/{}", escaped(name)), faults));
            }
            ("items" | "additionalProperties" | "not", schema) => types(schema, &format!("{at}/{name}"), faults),
            ("allOf" | "anyOf" | "oneOf", Value::Array(parts)) => {
                parts.iter().enumerate().for_each(|(index, part)| types(part, &format!("{at}/{name}/{index}"), faults));
            }
            _ => {}
        }
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
