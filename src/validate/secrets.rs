//! Plaintext Secrets: found wherever in a document they stand, as an object, in a list, nested, or as text in a field.
//! Nothing found here is ever repeated: only where it stands.

use crate::manifest::{Limits, parse, push_step};
use serde_json::{Map, Value};

/// Texts within texts that are looked into.
const MAX_TEXTS: usize = 3;

/// The JSON pointers of every plaintext Secret in `value`; for one inside a text, the pointer of the text.
pub(super) fn plaintext(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(value, &mut String::new(), MAX_TEXTS, &mut found);
    found
}

fn walk(value: &Value, pointer: &mut String, texts: usize, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if is_plaintext(fields) || patches_secret(fields) {
                found.push(pointer.clone());
                return;
            }
            for (key, value) in fields {
                let length = pointer.len();
                push_step(pointer, key);
                walk(value, pointer, texts, found);
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                let length = pointer.len();
                pointer.push('/');
                pointer.push_str(&place.to_string());
                walk(item, pointer, texts, found);
                pointer.truncate(length);
            }
        }
        Value::String(text) if texts > 0 && text_holds_one(text, texts - 1) => found.push(pointer.clone()),
        _ => {}
    }
}

/// Whether the mapping is a core Secret that says what it holds. A list of Secrets gives its kind to its items.
fn is_plaintext(fields: &Map<String, Value>) -> bool {
    let core = fields.get("apiVersion").and_then(Value::as_str).is_none_or(|version| !version.contains('/'));
    match fields.get("kind").and_then(Value::as_str) {
        Some("Secret") if core => ["data", "stringData"].iter().any(|key| fields.get(*key).is_some_and(holds_something)) && !is_sops(fields),
        Some("SecretList") if core => fields.get("items").is_some_and(holds_something),
        _ => false,
    }
}

fn holds_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}

/// Whether every value is encrypted by SOPS, and the proof of it is there. <https://github.com/getsops/sops>
pub(super) fn is_sops(fields: &Map<String, Value>) -> bool {
    let proof = fields.get("sops").and_then(|sops| sops.get("mac")).and_then(Value::as_str).is_some_and(is_encrypted);
    let encrypted = |value: &Value| match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(|value| value.as_str().is_some_and(is_encrypted)),
        _ => false,
    };
    proof && ["data", "stringData"].iter().all(|key| fields.get(*key).is_none_or(encrypted))
}

/// `ENC[AES256_GCM,data:...,iv:...,tag:...,type:str]`: base64 in every part, an initialisation vector and a tag of their full length.
fn is_encrypted(text: &str) -> bool {
    let Some(inner) = text.strip_prefix("ENC[AES256_GCM,").and_then(|rest| rest.strip_suffix(']')) else { return false };
    let base64 = |part: &str, least: usize| part.len() >= least && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
    let parts: Vec<&str> = inner.split(',').collect();
    let [data, iv, tag, kind] = parts.as_slice() else { return false };
    data.strip_prefix("data:").is_some_and(|part| base64(part, 0))
        && iv.strip_prefix("iv:").is_some_and(|part| base64(part, 44))
        && tag.strip_prefix("tag:").is_some_and(|part| base64(part, 24))
        && matches!(*kind, "type:str" | "type:bytes" | "type:int" | "type:float" | "type:bool")
}

/// Whether it is a Kustomize patch, written out, whose target is a Secret.
fn patches_secret(fields: &Map<String, Value>) -> bool {
    let target = fields.get("target").and_then(|target| target.get("kind")).and_then(Value::as_str);
    target.is_some_and(|kind| kind.contains("Secret") && !kind.contains("ExternalSecret") && !kind.contains("SealedSecret"))
        && fields.get("patch").is_some_and(holds_something)
}

/// Whether a text in a field is, or holds, a plaintext Secret. A text that is no YAML, such as a template, is judged by its lines.
fn text_holds_one(text: &str, texts: usize) -> bool {
    if !text.contains("Secret") || !text.contains("ata") && !text.contains("items") {
        return false;
    }
    match parse(text, Limits::default()) {
        Ok(documents) => documents.iter().any(|document| {
            let mut found = Vec::new();
            walk(&document.value, &mut String::new(), texts, &mut found);
            !found.is_empty()
        }),
        Err(_) => {
            let bare: String = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\'')).collect();
            // The lines run together here, so more than Secrets match; a text that may be one is refused.
            let data = bare.match_indices("data:").any(|(at, _)| !bare[..at].ends_with("meta")) || bare.contains("stringData:");
            bare.contains("kind:Secret") && data
        }
    }
}
