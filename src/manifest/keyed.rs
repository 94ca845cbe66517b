//! Elements of lists by one of their fields, as paths show them: `containers[name=api]`, `ports[containerPort=8080]`.
//! By their place only where no field tells all of them apart.

use super::diff::{push_key, push_name};
use super::positions::unescape;
use serde_json::Value;

/// The fields by which elements of lists are told apart, the first that all of them have with a value of its own.
const KEYS: [&str; 8] = ["name", "containerPort", "port", "mountPath", "devicePath", "topologyKey", "ip", "host"];

/// Elements as one of their fields calls them, with their places.
pub(super) type Names = Vec<(String, usize)>;

/// The field that tells the elements of two states of a list apart, and what it calls those of each.
pub(super) fn keyed(old: &[Value], new: &[Value]) -> Option<(&'static str, Names, Names)> {
    KEYS.into_iter().find_map(|key| Some((key, named(old, key)?, named(new, key)?)))
}

/// What the elements' fields `key` say, with their places, when every element is a mapping with one of its own.
fn named(list: &[Value], key: &str) -> Option<Names> {
    let said = |item: &Value| match item.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let named: Option<Names> = list.iter().enumerate().map(|(place, item)| said(item).map(|name| (name, place))).collect();
    let named = named?;
    let mut seen = std::collections::HashSet::new();
    named.iter().all(|(name, _)| seen.insert(name.clone())).then_some(named)
}

pub(super) fn position(names: &[(String, usize)], name: &str) -> Option<usize> {
    names.iter().find(|(other, _)| other == name).map(|(_, place)| *place)
}

/// The element of a list at a place.
pub(super) fn push_element(path: &mut String, list: &[Value], place: usize) {
    let name = KEYS.into_iter().find_map(|key| Some((key, named(list, key)?.into_iter().nth(place)?.0)));
    match name {
        Some((key, name)) => push_name(path, key, &name),
        None => path.push_str(&format!("[{place}]")),
    }
}

/// A JSON pointer (RFC 6901) into a value as paths are shown.
pub(crate) fn shown_path(value: &Value, pointer: &str) -> String {
    let (mut path, mut at) = (String::new(), Some(value));
    for step in pointer.split('/').skip(1) {
        let step = unescape(step);
        match (at, step.parse::<usize>()) {
            (Some(Value::Array(items)), Ok(place)) => {
                push_element(&mut path, items, place);
                at = items.get(place);
            }
            (value, _) => {
                push_key(&mut path, &step);
                at = value.and_then(|value| value.get(&*step));
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_element_is_shown_by_a_field_that_tells_it_apart_or_else_by_its_place() {
        let value = json!({
            "containers": [{"name": "api", "ports": [{"containerPort": 80}, {"containerPort": 81}]}, {"name": "b"}],
            "hosts": [{"host": "a.example.com"}],
            "args": ["x", "y"],
            "twins": [{"port": 1}, {"port": 1}],
        });
        for (pointer, shown) in [
            ("/containers/0/ports/1/protocol", "containers[name=api].ports[containerPort=81].protocol"),
            ("/hosts/0", "hosts[host=\"a.example.com\"]"),
            ("/args/1", "args[1]"),
            ("/twins/0/port", "twins[0].port"),
            ("/none/0/a~1b", "none.0[\"a/b\"]"),
        ] {
            assert_eq!(shown_path(&value, pointer), shown);
        }
    }
}
