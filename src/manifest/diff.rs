//! What differs between two states of a file, object by object and field by field.
//! The values of Secrets never appear in it.

use super::keyed::{keyed, position, push_element};
use super::scalar::write_value;
use super::{Document, ObjectRef, flatten, is_kustomization, write_scalar};
use crate::types::ManifestPath;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Some of its fields differ.
    Changed,
}

/// What happened to one object, or to one document that is no object (Helm values).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectChange {
    /// The file, where known.
    pub file: Option<ManifestPath>,
    /// The document of the file, from 0: of the new state, or of the old one for what is removed.
    pub document: usize,
    /// The object; none for a document that is none.
    pub object: Option<ObjectRef>,
    /// What happened.
    pub action: Action,
    /// The fields that differ, for a changed one.
    pub fields: Vec<FieldChange>,
    /// SHA-256 in hex over all it says, for an added one: what tells two that add the same. None where it holds a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field: `spec.template.spec.containers[name=api].image`, `metadata.annotations["a.b/c"]`, `spec.args[0]`.
    pub path: String,
    /// What it was; none when it is new. `***` for what is secret.
    pub old: Option<Value>,
    /// What it is; none when it is gone. `***` for what is secret.
    pub new: Option<Value>,
}

/// Fields that one line tells; the rest is counted.
const SHOWN_FIELDS: usize = 4;
/// Characters of a value that one line tells.
const SHOWN_CHARACTERS: usize = 60;
const MASK: &str = "***";

/// What differs between `old` and `new`, in the order of the new documents, what is removed last. Objects are matched by
/// group, kind, namespace and name, other documents by their place.
pub fn diff(old: &[Document], new: &[Document]) -> Vec<ObjectChange> {
    let mut before: Vec<Option<Part>> = parts(old).into_iter().map(Some).collect();
    let mut places: HashMap<Key, usize> = HashMap::new();
    for (place, part) in before.iter().enumerate() {
        if let Some(part) = part {
            places.entry(part.key.clone()).or_insert(place);
        }
    }
    let mut changes = Vec::new();
    for part in parts(new) {
        let counterpart = places.get(&part.key).and_then(|place| before[*place].take());
        let change =
            |action, fields| ObjectChange { file: None, document: part.document, object: part.object.clone(), action, fields, content: None };
        match counterpart {
            None => changes.push(ObjectChange { content: content(part.value), ..change(Action::Added, Vec::new()) }),
            Some(old) => {
                let mut fields = Vec::new();
                compare(Some(old.value), Some(part.value), &mut String::new(), false, &mut fields);
                if !fields.is_empty() {
                    changes.push(change(Action::Changed, fields));
                }
            }
        }
    }
    let gone = before.into_iter().flatten();
    changes.extend(gone.map(|part| ObjectChange {
        file: None,
        document: part.document,
        object: part.object,
        action: Action::Removed,
        fields: Vec::new(),
        content: None,
    }));
    changes
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Object(String, String, Option<String>, String),
    Place(usize),
}

struct Part<'d> {
    key: Key,
    document: usize,
    object: Option<ObjectRef>,
    value: &'d Value,
}

fn parts(documents: &[Document]) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for document in documents {
        for (_, value) in flatten(&document.value) {
            let object = ObjectRef::of(value).ok();
            let key = object.as_ref().map_or(Key::Place(document.index), |object| {
                let (group, kind, namespace, name) = object.key();
                Key::Object(group.to_owned(), kind.to_owned(), namespace.map(str::to_owned), name.to_owned())
            });
            parts.push(Part { key, document: document.index, object, value });
        }
    }
    parts
}

/// Notes every difference below `path`. `secret` when the values are a Secret's.
fn compare(old: Option<&Value>, new: Option<&Value>, path: &mut String, secret: bool, into: &mut Vec<FieldChange>) {
    match (old, new) {
        (Some(old), Some(new)) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => compare_maps(old, new, path, secret, into),
        (Some(Value::Array(old)), Some(Value::Array(new))) => compare_lists(old, new, path, secret, into),
        (None, None) => {}
        (old, new) => {
            into.push(FieldChange { path: path.clone(), old: old.map(|value| masked(value, secret)), new: new.map(|value| masked(value, secret)) })
        }
    }
}

fn compare_maps(old: &Map<String, Value>, new: &Map<String, Value>, path: &mut String, secret: bool, into: &mut Vec<FieldChange>) {
    let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    for key in keys {
        let length = path.len();
        push_key(path, key);
        compare(old.get(key), new.get(key), path, secret || is_hidden(old, key) || is_hidden(new, key), into);
        path.truncate(length);
    }
}

fn compare_lists(old: &[Value], new: &[Value], path: &mut String, secret: bool, into: &mut Vec<FieldChange>) {
    let length = path.len();
    if let Some((key, old_names, new_names)) = keyed(old, new) {
        for (name, place) in &old_names {
            push_name(path, key, name);
            compare(old.get(*place), position(&new_names, name).and_then(|place| new.get(place)), path, secret, into);
            path.truncate(length);
        }
        for (name, place) in new_names.iter().filter(|(name, _)| position(&old_names, name).is_none()) {
            push_name(path, key, name);
            compare(None, new.get(*place), path, secret, into);
            path.truncate(length);
        }
        let order = |mine: &[(String, usize)], other: &[(String, usize)]| -> Vec<Value> {
            mine.iter().filter(|(name, _)| position(other, name).is_some()).map(|(name, _)| Value::from(name.as_str())).collect()
        };
        let (old_order, new_order) = (order(&old_names, &new_names), order(&new_names, &old_names));
        if old_order != new_order {
            into.push(FieldChange { path: path.clone(), old: Some(old_order.into()), new: Some(new_order.into()) });
        }
        return;
    }
    for place in 0..old.len().max(new.len()) {
        path.push_str(&format!("[{place}]"));
        compare(old.get(place), new.get(place), path, secret, into);
        path.truncate(length);
    }
}

pub(super) fn is_simple(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

pub(super) fn push_key(path: &mut String, key: &str) {
    if is_simple(key) {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    } else {
        path.push_str(&format!("[{}]", Value::from(key)));
    }
}

/// The element of a list whose field `key` is `value`.
pub(super) fn push_name(path: &mut String, key: &str, value: &str) {
    let quoted = if is_simple(value) { value.to_owned() } else { Value::from(value).to_string() };
    path.push_str(&format!("[{key}={quoted}]"));
}

fn content(value: &Value) -> Option<String> {
    (masked(value, false) == *value).then(|| hex::encode(Sha256::digest(value.to_string())))
}

impl ObjectChange {
    /// The object, or what else the document is: what is called by its file has no name of its own.
    pub fn what(&self) -> String {
        match (&self.object, &self.file) {
            (Some(object), _) => object.to_string(),
            (None, Some(file)) if is_kustomization(file) => "Kustomization".to_owned(),
            (None, _) => format!("document {}", self.document + 1),
        }
    }

    /// Whether both are about the same object of the same file, or about the same document where it is no object.
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        self.file == other.file
            && match (&self.object, &other.object) {
                (Some(mine), Some(others)) => mine.is_same(others),
                (None, None) => self.document == other.document,
                _ => false,
            }
    }

    /// Whether `other` leaves what this changes of the object as this does.
    pub fn is_done_by(&self, other: &Self) -> bool {
        if !self.is_about_the_same(other) || self.action != other.action {
            return false;
        }
        match self.action {
            Action::Added => self.content.is_some() && self.content == other.content,
            Action::Removed => true,
            Action::Changed => {
                let leaves = |object: &Self| object.fields.iter().flat_map(FieldChange::leaves).collect::<Vec<_>>();
                let theirs = leaves(other);
                leaves(self).iter().all(|field| theirs.iter().any(|other| other.comes_to_the_same(field)))
            }
        }
    }
}

impl FieldChange {
    /// The same, told of each scalar by itself where a whole mapping or list came or went.
    pub fn leaves(&self) -> Vec<Self> {
        let mut leaves = Vec::new();
        match (&self.old, &self.new) {
            (Some(old), None) => spread(old, &mut self.path.clone(), &mut |path, value| leaves.push(Self { path, old: Some(value), new: None })),
            (None, Some(new)) => spread(new, &mut self.path.clone(), &mut |path, value| leaves.push(Self { path, old: None, new: Some(value) })),
            _ => leaves.push(self.clone()),
        }
        leaves
    }

    /// Whether one of the two fields is the other, or a part of it.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (short, long) = if self.path.len() <= other.path.len() { (self, other) } else { (other, self) };
        long.path.strip_prefix(short.path.as_str()).is_some_and(|rest| short.path.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
    }

    /// Whether both leave the field with one value. Of a secret nobody can say so.
    pub fn comes_to_the_same(&self, other: &Self) -> bool {
        self.path == other.path && self.new == other.new && !self.is_masked()
    }

    /// Whether a secret is masked in it.
    pub fn is_masked(&self) -> bool {
        [&self.old, &self.new].into_iter().flatten().any(|value| value.to_string().contains(MASK))
    }

    /// What happens to the value: `2 -> 4`, `added: 4`, `removed, was 2`; values are shortened.
    pub fn told(&self) -> String {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => format!("{} -> {}", brief(old), brief(new)),
            (None, Some(new)) => format!("added: {}", brief(new)),
            (Some(old), None) => format!("removed, was {}", brief(old)),
            (None, None) => "unchanged".to_owned(),
        }
    }
}

/// Tells of every scalar in `value`, and of every empty mapping and list.
fn spread(value: &Value, path: &mut String, tell: &mut dyn FnMut(String, Value)) {
    let length = path.len();
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                push_key(path, key);
                spread(value, path, tell);
                path.truncate(length);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (place, item) in items.iter().enumerate() {
                push_element(path, items, place);
                spread(item, path, tell);
                path.truncate(length);
            }
        }
        value => tell(path.clone(), value.clone()),
    }
}

fn is_secret(fields: &Map<String, Value>) -> bool {
    fields.get("kind").and_then(Value::as_str) == Some("Secret")
}

/// Whether what stands under a key is, or may be, a Secret's: of a Secret itself, and of what Kustomize makes or changes one from.
fn is_hidden(fields: &Map<String, Value>, key: &str) -> bool {
    let text =
        |pointer: &[&str]| pointer.iter().try_fold(None::<&Value>, |at, step| Some(Some(at.map_or_else(|| fields.get(*step), |at| at.get(step))?)));
    let is = |pointer: &[&str], wanted: &str| text(pointer).flatten().and_then(Value::as_str) == Some(wanted);
    // A JSON patch does not say what it patches.
    let of_data =
        || text(&["path"]).flatten().and_then(Value::as_str).is_some_and(|path| path.starts_with("/data") || path.starts_with("/stringData"));
    (is_secret(fields) && holds_secret(key))
        || key == "secretGenerator"
        || (key == "patch" && is(&["target", "kind"], "Secret"))
        || (key == "value" && fields.contains_key("op") && of_data())
}

fn holds_secret(key: &str) -> bool {
    key == "data" || key == "stringData"
}

/// Whether something in the value is, or may be, a Secret's.
pub(crate) fn holds_secrets(value: &Value) -> bool {
    masked(value, false) != *value
}

/// The value as it may be shown: what a Secret holds is masked, wherever in the value the Secret stands.
fn masked(value: &Value, secret: bool) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), masked(value, secret || is_hidden(fields, key)))).collect(),
        Value::Array(items) => items.iter().map(|item| masked(item, secret)).collect(),
        // A Secret as text: kubectl keeps a whole earlier object in an annotation, operators keep templates.
        Value::String(text) if ["kind", "Secret", "ata"].iter().all(|part| text.contains(part)) => MASK.into(),
        _ if secret => MASK.into(),
        value => value.clone(),
    }
}

impl std::fmt::Display for FieldChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = if self.path.is_empty() { "the document" } else { &self.path };
        write!(f, "{path} {}", self.told())
    }
}

impl std::fmt::Display for ObjectChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.object, &self.file) {
            (Some(object), _) => write!(f, "{object}: ")?,
            (None, Some(file)) if is_kustomization(file) => write!(f, "Kustomization {file}: ")?,
            (None, Some(file)) => write!(f, "{file}, {}: ", self.what())?,
            (None, None) => write!(f, "{}: ", self.what())?,
        }
        match self.action {
            Action::Added => return f.write_str("added"),
            Action::Removed => return f.write_str("removed"),
            Action::Changed => {}
        }
        for (place, field) in self.fields.iter().take(SHOWN_FIELDS).enumerate() {
            let separator = if place > 0 { "; " } else { "" };
            write!(f, "{separator}{field}")?;
        }
        match self.fields.len().saturating_sub(SHOWN_FIELDS) {
            0 => Ok(()),
            1 => f.write_str("; and 1 more field"),
            more => write!(f, "; and {more} more fields"),
        }
    }
}

/// The value on one line, shortened.
fn brief(value: &Value) -> String {
    let text = match value {
        Value::String(text) if text == MASK => MASK.to_owned(),
        // Quotes only where the text could be taken for something else, such as the text "4" for the number.
        Value::String(text) if text.bytes().all(|b| b.is_ascii_graphic()) && text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()) => {
            if matches!(write_scalar(text), std::borrow::Cow::Borrowed(_)) || text.contains([':', '@', '=', ',']) {
                text.clone()
            } else {
                write_value(value)
            }
        }
        value => write_value(value),
    };
    if text.chars().count() <= SHOWN_CHARACTERS {
        return text;
    }
    text.chars().take(SHOWN_CHARACTERS - 3).chain("...".chars()).collect()
}
