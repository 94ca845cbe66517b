//! Strategic merge: mappings field by field, lists of Kubernetes' own kinds element by element where their elements have a key.
//! What a list's elements are told apart by follows from the list's name: the fields that Kubernetes gives a merge key.

use super::{PatchError, Room, misfit};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Lists whose elements have a key, with the fields that make it; of several rows the first whose first field an element has counts.
const KEYED: [(&str, &[&str]); 20] = [
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("volumes", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("env", &["name"]),
    ("ports", &["containerPort", "protocol"]),
    ("ports", &["port", "protocol"]),
    ("imagePullSecrets", &["name"]),
    ("secrets", &["name"]),
    ("hostAliases", &["ip"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("resourceClaims", &["name"]),
    ("claims", &["name"]),
    ("schedulingGates", &["name"]),
    ("ownerReferences", &["uid"]),
    ("conditions", &["type"]),
    ("taints", &["key"]),
    ("webhooks", &["name"]),
];

/// What a directive asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// An object with a patch merged into it; none when the patch takes it away. `keyed` says whether its kind is Kubernetes' own, whose lists
/// are known: those of others are replaced as a whole.
///
/// # Errors
/// When the patch has a directive that is not known, or there is no room for it.
pub fn strategic_merge(object: Value, patch: &Value, keyed: bool, room: &mut Room) -> Result<Option<Value>, PatchError> {
    room.weigh(patch)?;
    merged(Some(object), patch, "", keyed, room)
}

fn merged(target: Option<Value>, patch: &Value, field: &str, keyed: bool, room: &mut Room) -> Result<Option<Value>, PatchError> {
    match patch {
        Value::Null => Ok(None),
        Value::Array(items) => list(target, items, field, keyed, room).map(Some),
        Value::Object(fields) => {
            let into = match (directive(fields)?, target) {
                (Directive::Delete, _) => return Ok(None),
                (Directive::Merge, Some(Value::Object(into))) => into,
                _ => Map::new(),
            };
            mapping(into, fields, keyed, room).map(Some)
        }
        scalar => Ok(Some(scalar.clone())),
    }
}

fn mapping(mut into: Map<String, Value>, fields: &Map<String, Value>, keyed: bool, room: &mut Room) -> Result<Value, PatchError> {
    for (key, value) in fields.iter().filter(|(key, _)| *key != "$patch") {
        if key.starts_with('$') {
            return Err(misfit(format!("the directive `{key}` is not known here")));
        }
        let old = into.get_mut(key).map(Value::take);
        match merged(old, value, key, keyed, room)? {
            Some(value) => drop(into.insert(key.clone(), value)),
            None => {
                room.take(into.len() / 8)?;
                into.shift_remove(key);
            }
        }
    }
    Ok(Value::Object(into))
}

fn directive(fields: &Map<String, Value>) -> Result<Directive, PatchError> {
    match fields.get("$patch").map(Value::as_str) {
        None | Some(Some("merge")) => Ok(Directive::Merge),
        Some(Some("replace")) => Ok(Directive::Replace),
        Some(Some("delete")) => Ok(Directive::Delete),
        Some(_) => Err(misfit("a `$patch` says merge, replace or delete")),
    }
}

fn list(target: Option<Value>, items: &[Value], field: &str, keyed: bool, room: &mut Room) -> Result<Value, PatchError> {
    let old = match target {
        Some(Value::Array(old)) => old,
        _ => Vec::new(),
    };
    if keyed && field == "finalizers" {
        let mut all = old;
        let new: Vec<Value> = items.iter().filter(|item| !all.contains(item)).cloned().collect();
        room.take(all.len().saturating_mul(items.len()) / 16)?;
        all.extend(new);
        return Ok(Value::Array(all));
    }
    let is_marker = |item: &Value| item.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key("$patch"));
    let key = items.iter().find(|item| !is_marker(item)).and_then(|item| key_fields(field, item)).filter(|_| keyed);
    let has_key = |fields: &&[&str]| items.iter().all(|item| item.get(fields[0]).is_some());
    let Some(key) = key.filter(has_key) else {
        // Replaced as a whole; an element that is a directive alone says no more than that.
        let items = items.iter().filter(|item| !is_marker(item)).map(|item| merged(None, item, "", keyed, room));
        return items.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>().map(Value::Array);
    };
    room.take(old.len())?;
    let mut slots: Vec<Option<Value>> = old.into_iter().map(Some).collect();
    let places: HashMap<String, usize> = slots.iter().enumerate().rev().filter_map(|(at, item)| Some((key_of(item.as_ref()?, key), at))).collect();
    // Kustomize puts what the patch names first, in the patch's order.
    let mut new = Vec::new();
    for item in items {
        let slot = places.get(&key_of(item, key)).and_then(|at| slots.get_mut(*at));
        let old = slot.and_then(Option::take);
        new.extend(merged(old, item, "", keyed, room)?);
    }
    new.extend(slots.into_iter().flatten());
    Ok(Value::Array(new))
}

fn key_fields(list: &str, item: &Value) -> Option<&'static [&'static str]> {
    KEYED.iter().find(|(name, fields)| *name == list && item.get(fields[0]).is_some()).map(|(_, fields)| *fields)
}

fn key_of(item: &Value, fields: &[&str]) -> String {
    let value = |field: &&str| match item.get(*field) {
        None if *field == "protocol" => "\"TCP\"".to_owned(),
        None => String::new(),
        Some(value) => value.to_string(),
    };
    fields.iter().map(value).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merge(object: Value, patch: &Value) -> Option<Value> {
        strategic_merge(object, patch, true, &mut Room::new(10_000)).expect("applies")
    }

    #[test]
    fn containers_are_merged_by_name_and_those_of_the_patch_come_first() {
        let object = json!({"spec": {"containers": [{"name": "first"}, {"name": "web", "image": "a", "ports": [{"containerPort": 80}], "args": ["x"]}], "old": 1}});
        let patch = json!({"spec": {"old": null, "containers": [
            {"name": "web", "securityContext": {"privileged": true}, "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}], "args": ["y"]},
            {"name": "side", "image": "b"},
        ]}});
        let expected = json!({"spec": {"containers": [
            {"name": "web", "image": "a", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}], "args": ["y"], "securityContext": {"privileged": true}},
            {"name": "side", "image": "b"},
            {"name": "first"},
        ]}});
        assert_eq!(merge(object, &patch), Some(expected));
    }

    #[test]
    fn directives_delete_and_replace() {
        let object = || json!({"kind": "Pod", "a": {"x": 1, "y": 2}, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]});
        assert_eq!(merge(object(), &json!({"a": {"$patch": "replace", "z": 3}})).map(|merged| merged["a"].clone()), Some(json!({"z": 3})));
        let gone = merge(object(), &json!({"env": [{"name": "A", "$patch": "delete"}]}));
        assert_eq!(gone.map(|merged| merged["env"].clone()), Some(json!([{"name": "B", "value": "2"}])));
        let whole = merge(object(), &json!({"env": [{"$patch": "replace"}, {"name": "C", "value": "3"}]}));
        assert_eq!(whole.map(|merged| merged["env"].clone()), Some(json!([{"name": "C", "value": "3"}])));
        assert_eq!(merge(object(), &json!({"$patch": "delete"})), None);
        let unknown = strategic_merge(object(), &json!({"a": {"$retainKeys": ["x"]}}), true, &mut Room::new(1000));
        assert!(matches!(unknown, Err(PatchError::Misfit(message)) if message.contains("$retainKeys")));
    }

    #[test]
    fn lists_of_kinds_that_are_not_known_are_replaced() {
        let patched = strategic_merge(json!({"env": [{"name": "A"}]}), &json!({"env": [{"name": "B"}]}), false, &mut Room::new(1000));
        assert_eq!(patched, Ok(Some(json!({"env": [{"name": "B"}]}))));
        assert_eq!(strategic_merge(json!({}), &json!({"a": [1, 2, 3, 4, 5]}), false, &mut Room::new(4)), Err(PatchError::TooMuch));
    }
}
