//! Secrets in YAML that can be read, found by what they mean: the values of Secrets, of variables and of fields whose names speak of secrets.
//! Only values are withheld, so that what a model reads keeps its structure, its comments and its keys.

use super::Found;
use super::lines;
use super::words::{is_literal, speaks_of_a_secret};
use crate::manifest::{Document, Limits, parse, push_step};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What a document must not give away, by JSON pointer; with the value where it is written otherwise.
type Wanted = BTreeMap<String, Option<String>>;

/// Finds what must be withheld in every document of the text; false where it is no YAML.
pub(super) fn find(text: &str, found: &mut Vec<Found>) -> bool {
    let Ok(documents) = parse(text, Limits::default()) else { return false };
    for document in &documents {
        let mut wanted = Wanted::new();
        walk(&document.value, &mut String::new(), &mut wanted);
        if !wanted.is_empty() {
            locate(text, document, wanted, found);
        }
    }
    true
}

/// Where the pointers stand. What an alias brought in stands where its anchor is.
fn locate(text: &str, document: &Document, mut wanted: Wanted, found: &mut Vec<Found>) {
    let mut places = Vec::new();
    for (pointer, location) in document.positions.iter() {
        let is_alias = location.value.of(text).is_none_or(|written| written.starts_with('*'));
        if !is_alias && let Some(value) = wanted.remove(&pointer) {
            found.push(Found { range: inside(text, location.value.start.offset as usize..location.value.end.offset as usize), value });
        } else {
            places.push((pointer, location));
        }
    }
    let elsewhere: BTreeSet<String> = wanted.keys().filter_map(|pointer| document.value.pointer(pointer)).map(Value::to_string).collect();
    if elsewhere.is_empty() {
        return;
    }
    for (pointer, location) in places {
        let value = document.value.pointer(&pointer).filter(|value| !value.is_object() && !value.is_array());
        if value.is_some_and(|value| elsewhere.contains(&value.to_string())) {
            found.push(Found::at(inside(text, location.value.start.offset as usize..location.value.end.offset as usize)));
        }
    }
}

/// The range without the white space and the quotes around what stands there.
fn inside(text: &str, range: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let written = text.get(range.clone()).unwrap_or_default();
    let start = range.start + (written.len() - written.trim_start().len());
    let written = written.trim();
    let quoted = written.len() > 1 && ['"', '\''].iter().any(|quote| written.starts_with(*quote) && written.ends_with(*quote));
    if quoted { start + 1..start + written.len() - 1 } else { start..start + written.len() }
}

fn walk(value: &Value, pointer: &mut String, wanted: &mut Wanted) {
    match value {
        Value::Object(fields) => {
            object(fields, pointer, wanted);
            for (key, value) in fields {
                below(pointer, key, |pointer| {
                    let is_scalar = matches!(value, Value::String(_) | Value::Number(_));
                    if is_scalar && speaks_of_a_secret(key, true) && is_literal(&written(value)) {
                        wanted.entry(pointer.clone()).or_insert_with(|| Some(written(value)));
                    }
                    walk(value, pointer, wanted);
                });
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                let flag = place.checked_sub(1).and_then(|before| items[before].as_str()).filter(|flag| flag.starts_with('-') && !flag.contains('='));
                let is_secret = flag.is_some_and(|flag| speaks_of_a_secret(flag, false))
                    && item.as_str().is_some_and(|item| is_literal(item) && !item.starts_with('-'));
                below(pointer, &place.to_string(), |pointer| {
                    if is_secret {
                        wanted.insert(pointer.clone(), Some(written(item)));
                    }
                    walk(item, pointer, wanted);
                });
            }
        }
        // A manifest within a text goes as a whole: nobody knows how it is read.
        Value::String(text) if lines::holds_a_secret(text) => {
            wanted.insert(pointer.clone(), None);
        }
        _ => {}
    }
}

/// What one mapping says by its kind.
fn object(fields: &Map<String, Value>, pointer: &mut String, wanted: &mut Wanted) {
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    let mut all_below = |pointer: &mut String, key: &str| {
        if let Some(value) = fields.get(key) {
            below(pointer, key, |pointer| leaves(value, pointer, wanted, key == "data"));
        }
    };
    match text("kind") {
        Some("Secret") => {
            ["data", "stringData"].iter().for_each(|key| all_below(pointer, key));
            applied(fields, pointer, wanted);
        }
        Some("SecretList") => all_below(pointer, "items"),
        Some("ConfigMap") => variables(fields.get("data"), "data", pointer, wanted),
        Some("SealedSecret") => {
            if let Some(sealed) = fields.get("spec").and_then(|spec| spec.get("encryptedData")) {
                below(pointer, "spec", |pointer| below(pointer, "encryptedData", |pointer| leaves(sealed, pointer, wanted, false)));
            }
        }
        _ => {}
    }
    if fields.get("sops").is_some_and(|sops| sops.get("mac").is_some()) {
        below(pointer, "sops", |pointer| wanted.insert(pointer.clone(), None));
    }
    let target = fields.get("target").and_then(|target| target.get("kind")).and_then(Value::as_str);
    if target == Some("Secret") && fields.contains_key("patch") {
        below(pointer, "patch", |pointer| leaves(&fields["patch"], pointer, wanted, false));
    }
    for generator in fields.get("secretGenerator").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let (place, literals) = (generator.0.to_string(), generator.1.get("literals"));
        if let Some(literals) = literals {
            below(pointer, "secretGenerator", |pointer| {
                below(pointer, &place, |pointer| below(pointer, "literals", |pointer| leaves(literals, pointer, wanted, false)));
            });
        }
    }
    // A variable of an environment, and an operation of a JSON patch.
    let name = text("name").or_else(|| text("path").filter(|_| fields.contains_key("op")));
    let value = fields.get("value").filter(|value| value.is_string() || value.is_number()).map(written);
    if name.is_some_and(|name| speaks_of_a_secret(name, false)) && value.as_deref().is_some_and(is_literal) {
        below(pointer, "value", |pointer| wanted.insert(pointer.clone(), value.clone()));
    }
}

/// The object as it was last applied, which `kubectl` keeps in an annotation.
fn applied(fields: &Map<String, Value>, pointer: &mut String, wanted: &mut Wanted) {
    let annotations = fields.get("metadata").and_then(|metadata| metadata.get("annotations"));
    const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
    if annotations.is_some_and(|annotations| annotations.get(APPLIED).is_some()) {
        below(pointer, "metadata", |pointer| {
            below(pointer, "annotations", |pointer| below(pointer, APPLIED, |pointer| wanted.insert(pointer.clone(), None)));
        });
    }
}

/// Values of a ConfigMap whose keys speak of secrets.
fn variables(data: Option<&Value>, key: &str, pointer: &mut String, wanted: &mut Wanted) {
    for (name, value) in data.and_then(Value::as_object).into_iter().flatten() {
        if speaks_of_a_secret(name, false) && is_literal(&written(value)) {
            below(pointer, key, |pointer| below(pointer, name, |pointer| leaves(value, pointer, wanted, false)));
        }
    }
}

/// Every scalar at the pointer and below it; `encoded` where values are in base64.
fn leaves(value: &Value, pointer: &mut String, wanted: &mut Wanted, encoded: bool) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| below(pointer, key, |pointer| leaves(value, pointer, wanted, encoded))),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, item)| below(pointer, &place.to_string(), |pointer| leaves(item, pointer, wanted, encoded)));
        }
        Value::Null => {}
        value => {
            let text = written(value);
            let decoded = STANDARD.decode(text.split_whitespace().collect::<String>()).ok().filter(|_| encoded);
            wanted.insert(pointer.clone(), Some(decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(text)));
        }
    }
}

/// A scalar as text.
fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn below<T>(pointer: &mut String, step: &str, then: impl FnOnce(&mut String) -> T) {
    let length = pointer.len();
    push_step(pointer, step);
    then(pointer);
    pointer.truncate(length);
}
