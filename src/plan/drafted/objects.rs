//! The objects of a file as the limits name them. Wider than what is read elsewhere: a document without a name has a kind all the same,
//! and whatever a tool could take for a list is one.

use crate::manifest::Document;
use serde_json::Value;
use std::collections::BTreeMap;

/// Lists within lists.
const MAX_DEPTH: usize = 8;

/// What stays the same when an object changes. Two of one file may have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identity {
    /// An object, its name where it has one.
    Object { group: String, kind: String, namespace: Option<String>, name: Option<String> },
    /// A document that is no object; its place among those of its file.
    Plain(usize),
    /// It has a kind that is no word, or a list's own fields beside its items: what it is cannot be told.
    Unclear(usize),
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Object { kind, namespace, name, .. } => {
                f.write_str(kind)?;
                let name = name.as_deref().unwrap_or_default();
                match namespace {
                    Some(namespace) => write!(f, " {namespace}/{name}"),
                    None if name.is_empty() => Ok(()),
                    None => write!(f, " {name}"),
                }
            }
            Self::Plain(place) => write!(f, "the document {} that is no object", place + 1),
            Self::Unclear(place) => write!(f, "the document {}, of which cannot be told what it is", place + 1),
        }
    }
}

/// Objects with what they say, those of one identity in the order of the text.
pub(super) type Objects<'d> = BTreeMap<Identity, Vec<&'d Value>>;

/// A file that holds no document is one that is no object.
static NOTHING: Value = Value::Null;

/// The objects of a file, where it is there; `kustomization` says that Kustomize reads it as its own, whose kind need not be written.
pub(super) fn of_file(documents: &[Document], is_there: bool, kustomization: bool) -> Objects<'_> {
    let mut objects = Objects::new();
    if is_there && documents.is_empty() {
        objects.insert(Identity::Plain(0), vec![&NOTHING]);
    }
    for document in documents {
        collect(&document.value, None, kustomization, 0, &mut objects);
    }
    objects
}

/// The identity of an object that is built.
pub(super) fn identity(value: &Value) -> Identity {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let metadata = value.get("metadata");
    Identity::Object {
        group: group_of(text(value.get("apiVersion")).as_deref()),
        kind: text(value.get("kind")).unwrap_or_default(),
        namespace: text(metadata.and_then(|metadata| metadata.get("namespace"))),
        name: text(metadata.and_then(|metadata| metadata.get("name"))),
    }
}

/// What a list says of its items.
#[derive(Clone, Copy)]
struct Listed<'d> {
    api_version: Option<&'d str>,
    kind: &'d str,
}

fn collect<'d>(value: &'d Value, listed: Option<Listed<'d>>, kustomization: bool, depth: usize, into: &mut Objects<'d>) {
    let said = value.get("kind").filter(|kind| !kind.is_null() && kind.as_str() != Some(""));
    let kind = match said {
        Some(Value::String(kind)) => Some(kind.as_str()),
        Some(_) => return unclear(value, into),
        None if kustomization && value.is_object() => Some("Kustomization"),
        None => listed.map(|listed| listed.kind).filter(|kind| !kind.is_empty()),
    };
    let Some(kind) = kind else {
        let place = into.keys().filter(|identity| matches!(identity, Identity::Plain(_))).count();
        into.insert(Identity::Plain(place), vec![value]);
        return;
    };
    let api_version = value.get("apiVersion").and_then(Value::as_str).filter(|version| !version.is_empty());
    if let (Some(of), Some(Value::Array(items))) = (kind.strip_suffix("List"), value.get("items")) {
        let own = value.as_object().into_iter().flatten().any(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "items"));
        if own || depth == MAX_DEPTH {
            return unclear(value, into);
        }
        for item in items {
            collect(item, Some(Listed { api_version, kind: of }), false, depth + 1, into);
        }
        return;
    }
    let Identity::Object { group, namespace, name, .. } = identity(value) else { return unclear(value, into) };
    let group = match api_version {
        Some(_) => group,
        None if said.is_none() && kustomization => "kustomize.config.k8s.io".to_owned(),
        None if kustomization && matches!(kind, "Kustomization" | "Component") => "kustomize.config.k8s.io".to_owned(),
        None => group_of(listed.and_then(|listed| listed.api_version)),
    };
    into.entry(Identity::Object { group, kind: kind.to_owned(), namespace, name }).or_default().push(value);
}

fn unclear<'d>(value: &'d Value, into: &mut Objects<'d>) {
    let place = into.keys().filter(|identity| matches!(identity, Identity::Unclear(_))).count();
    into.insert(Identity::Unclear(place), vec![value]);
}

fn group_of(api_version: Option<&str>) -> String {
    api_version.and_then(|version| version.split_once('/')).map_or_else(String::new, |(group, _)| group.to_owned())
}
