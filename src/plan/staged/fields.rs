//! What a kustomization's own fields make of an object: names, namespace, labels, annotations, counts, images.
//! References to a name that changes are left as they are written.

use super::entries::COUNTED;
use super::transform::{Passage, Passing, Stopped};
use crate::manifest::{Kustomization, ObjectRef, transformed_image};
use crate::types::ManifestPath;
use serde_json::{Map, Value};

/// Kinds whose names no prefix is put before.
const KEEP_NAME: [&str; 3] = ["APIService", "CustomResourceDefinition", "Namespace"];

/// `namespace`, `namePrefix` and `nameSuffix`.
pub(super) fn named(path: &ManifestPath, kustomization: Kustomization<'_>, object: &mut Passing) {
    let Some(now) = object.now().cloned() else { return };
    let called = called(kustomization, &now);
    if let Some(namespace) = called.namespace.filter(|_| kustomization.namespace().is_some() && now.is_cluster_scoped() != Some(true)) {
        object.set_metadata("namespace", &namespace, (path.clone(), "/namespace".to_owned()));
    }
    if called.name != now.name {
        let by = if is_namespace(&now) { "/namespace" } else { "/namePrefix" };
        object.set_metadata("name", &called.name, (path.clone(), by.to_owned()));
    }
}

/// What a kustomization calls an object, by `namespace`, `namePrefix` and `nameSuffix`.
pub(super) fn called(kustomization: Kustomization<'_>, object: &ObjectRef) -> ObjectRef {
    let mut called = object.clone();
    if let Some(namespace) = kustomization.namespace() {
        if is_namespace(object) {
            called.name = namespace.to_owned();
        } else if object.is_cluster_scoped() != Some(true) {
            called.namespace = Some(namespace.to_owned());
        }
    }
    if !KEEP_NAME.contains(&object.kind.as_str()) {
        called.name = kustomization.renamed(&called.name);
    }
    called
}

fn is_namespace(object: &ObjectRef) -> bool {
    object.group().is_empty() && object.kind == "Namespace"
}

/// `labels`, `commonLabels` and `commonAnnotations`.
pub(super) fn labelled(path: &ManifestPath, kustomization: &Value, object: &mut Passing) {
    let kind = object.now().map(|object| object.kind.clone()).unwrap_or_default();
    let templates: &[&str] = match kind.as_str() {
        "DaemonSet" | "Deployment" | "Job" | "ReplicaSet" | "ReplicationController" | "StatefulSet" => &["/spec/template"],
        "CronJob" => &["/spec/jobTemplate", "/spec/jobTemplate/spec/template"],
        _ => &[],
    };
    let mut add = |of_templates: bool, of_selectors: bool, field: &str, pairs: Option<&Value>, at: &str| {
        let Some(pairs) = pairs.and_then(Value::as_object).filter(|pairs| !pairs.is_empty()) else { return };
        for holder in std::iter::once(&"").chain(templates.iter().filter(|_| of_templates)) {
            if let Some(metadata) = object.value.pointer_mut(holder).and_then(|holder| mapping(holder, "metadata")) {
                extend(metadata, field, pairs);
            }
        }
        if let Some(spec) = object.value.get_mut("spec").filter(|_| of_selectors) {
            match kind.as_str() {
                "Service" | "ReplicationController" => extend(spec, "selector", pairs),
                _ => spec.get_mut("selector").into_iter().for_each(|selector| extend(selector, "matchLabels", pairs)),
            }
        }
        object.decide((path.clone(), at.to_owned()));
    };
    for (place, entry) in kustomization.get("labels").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let is_true = |field: &str| entry.get(field) == Some(&Value::Bool(true));
        let selectors = is_true("includeSelectors");
        add(selectors || is_true("includeTemplates"), selectors, "labels", entry.get("pairs"), &format!("/labels/{place}"));
    }
    add(true, true, "labels", kustomization.get("commonLabels"), "/commonLabels");
    add(true, false, "annotations", kustomization.get("commonAnnotations"), "/commonAnnotations");
}

/// The mapping below a field, which is made where there is none.
fn mapping<'v>(holder: &'v mut Value, field: &str) -> Option<&'v mut Value> {
    Some(holder.as_object_mut()?.entry(field).or_insert_with(|| Value::Object(Map::new())))
}

fn extend(holder: &mut Value, field: &str, pairs: &Map<String, Value>) {
    if let Some(into) = mapping(holder, field).and_then(Value::as_object_mut) {
        into.extend(pairs.clone());
    }
}

pub(super) fn counted(path: &ManifestPath, kustomization: &Value, object: &mut Passing) {
    for (place, entry) in kustomization.get("replicas").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let (Some(name), Some(count)) = (entry.get("name").and_then(Value::as_str), entry.get("count")) else { continue };
        let is_it = |known: &ObjectRef| known.name == name && COUNTED.contains(&known.kind.as_str());
        if !object.known_as.iter().any(is_it) {
            continue;
        }
        let spec = object.value.as_object_mut().map(|fields| fields.entry("spec").or_insert_with(|| Value::Object(Map::new())));
        if let Some(spec) = spec.and_then(Value::as_object_mut) {
            spec.insert("replicas".to_owned(), count.clone());
            object.decide((path.clone(), format!("/replicas/{place}")));
        }
    }
}

pub(super) fn imaged(path: &ManifestPath, kustomization: &Value, object: &mut Passing, passage: &mut Passage) -> Result<(), Stopped> {
    let Some(entries) = kustomization.get("images").and_then(Value::as_array).filter(|entries| !entries.is_empty()) else { return Ok(()) };
    if object.now().is_some_and(|object| object.kind == "CustomResourceDefinition") {
        return Ok(());
    }
    passage.room.weigh(&object.value).map_err(|_| Stopped::TooMuch)?;
    let mut images = Vec::new();
    containers(&mut object.value, &mut images);
    let texts: usize = images.iter().map(|image| 1 + image.as_str().map_or(0, str::len) / 64).sum();
    let work = texts.saturating_mul(entries.len());
    passage.room.take(work).map_err(|_| Stopped::TooMuch)?;
    for (place, entry) in entries.iter().enumerate() {
        let Some(name) = entry.get("name").and_then(Value::as_str) else { continue };
        let Some(pattern) = passage.patterns.of_image(name) else {
            passage.notes.insert((path.clone(), format!("/images/{place}"), format!("the image {name:?}, which is no pattern")));
            object.whole = false;
            continue;
        };
        let mut decides = false;
        for image in &mut images {
            let Some(text) = image.as_str().filter(|text| pattern.is_match(text)) else { continue };
            let new = transformed_image(text, entry);
            decides = true;
            **image = Value::from(new);
        }
        if decides {
            let by = (path.clone(), format!("/images/{place}"));
            if let Some(watched) = &mut object.watched {
                watched.change_image(pattern, entry, &by);
            }
            object.decided.push(by);
        }
    }
    Ok(())
}

/// The images of containers, wherever in the object they stand.
fn containers<'v>(value: &'v mut Value, into: &mut Vec<&'v mut Value>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let is_list = matches!(key.as_str(), "containers" | "initContainers") && value.is_array();
                if !is_list {
                    containers(value, into);
                } else if let Value::Array(items) = value {
                    into.extend(items.iter_mut().filter_map(|item| item.get_mut("image")));
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| containers(item, into)),
        _ => {}
    }
}
