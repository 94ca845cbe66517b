//! What differs between two states of an object, field by field. Elements of lists are told apart by a field of theirs where one does,
//! and by their place otherwise; a list whose elements stand in another order differs as a whole.

use serde_json::{Map, Value};
use std::collections::HashMap;

/// The fields by which elements are told apart: the first that all have with a value of its own. Whichever it is, both states of an
/// element are compared in full.
const KEYS: [&str; 9] = ["name", "containerPort", "port", "mountPath", "devicePath", "topologyKey", "key", "ip", "host"];

/// One step to a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'v> {
    /// The field of a mapping.
    Key(&'v str),
    /// The element of a list, as it was and as it is, with its place.
    Element { old: Option<&'v Value>, new: Option<&'v Value>, place: usize },
}

/// Something that differs: one of both states is there, or none where only the order of a list's elements is another, whose own
/// differences are told beside it.
#[derive(Debug, Clone)]
pub(super) struct Difference<'v> {
    pub(super) path: Vec<Step<'v>>,
    pub(super) old: Option<&'v Value>,
    pub(super) new: Option<&'v Value>,
}

/// Everything that differs.
pub(super) fn differences<'v>(old: &'v Value, new: &'v Value) -> Vec<Difference<'v>> {
    let mut walk = Walk { path: Vec::new(), found: Vec::new() };
    walk.values(Some(old), Some(new));
    walk.found
}

/// A path as it is shown: `spec.template.spec.containers[name=api].image`.
pub(super) fn shown(path: &[Step<'_>]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') && !key.is_empty() => {
                text.push_str(if text.is_empty() { "" } else { "." });
                text.push_str(key);
            }
            Step::Key(key) => text.push_str(&format!("[{key:?}]")),
            Step::Element { old, new, place } => match old.or(*new).and_then(|element| element.get("name")).and_then(Value::as_str) {
                Some(name) => text.push_str(&format!("[name={name}]")),
                None => text.push_str(&format!("[{place}]")),
            },
        }
    }
    if text.is_empty() { "the whole document".to_owned() } else { text }
}

struct Walk<'v> {
    path: Vec<Step<'v>>,
    found: Vec<Difference<'v>>,
}

impl<'v> Walk<'v> {
    fn values(&mut self, old: Option<&'v Value>, new: Option<&'v Value>) {
        match (old, new) {
            (old, new) if old == new => {}
            (Some(Value::Object(old)), Some(Value::Object(new))) => self.mappings(Some(old), Some(new)),
            // A mapping that comes or goes does so field by field: an allowed field may be the only one in it.
            (None, Some(Value::Object(new))) if !new.is_empty() => self.mappings(None, Some(new)),
            (Some(Value::Object(old)), None) if !old.is_empty() => self.mappings(Some(old), None),
            (Some(Value::Array(old)), Some(Value::Array(new))) => self.lists(old, new),
            (None, Some(Value::Array(new))) if !new.is_empty() => self.lists(&[], new),
            (Some(Value::Array(old)), None) if !old.is_empty() => self.lists(old, &[]),
            (old, new) => self.note(old, new),
        }
    }

    fn mappings(&mut self, old: Option<&'v Map<String, Value>>, new: Option<&'v Map<String, Value>>) {
        for (key, value) in old.into_iter().flatten() {
            self.within(Step::Key(key), |walk| walk.values(Some(value), new.and_then(|new| new.get(key))));
        }
        for (key, value) in new.into_iter().flatten().filter(|(key, _)| old.is_none_or(|old| !old.contains_key(*key))) {
            self.within(Step::Key(key), |walk| walk.values(None, Some(value)));
        }
    }

    fn lists(&mut self, old: &'v [Value], new: &'v [Value]) {
        let Some((before, after)) = KEYS.into_iter().find_map(|key| Some((named(old, key)?, named(new, key)?))) else {
            return self.unnamed(old, new);
        };
        let places: HashMap<&Value, usize> = after.iter().enumerate().map(|(place, name)| (*name, place)).collect();
        let mut last = None;
        let mut in_order = true;
        for (place, (name, element)) in before.iter().zip(old).enumerate() {
            let there = places.get(name).copied();
            match there.and_then(|there| new.get(there)) {
                Some(now) => {
                    in_order &= last <= there;
                    last = there;
                    self.within(Step::Element { old: Some(element), new: Some(now), place }, |walk| walk.values(Some(element), Some(now)));
                }
                None => self.element(Some(element), None, place),
            }
        }
        for (place, (_, element)) in after.iter().zip(new).enumerate().filter(|(_, (name, _))| !before.contains(name)) {
            self.element(None, Some(element), place);
        }
        if !in_order {
            self.found.push(Difference { path: self.path.clone(), old: None, new: None });
        }
    }

    /// By their places; where one is more or less nothing says which is which, and each that differs does so as a whole.
    fn unnamed(&mut self, old: &'v [Value], new: &'v [Value]) {
        let as_many = old.len() == new.len();
        for place in 0..old.len().max(new.len()) {
            match (old.get(place), new.get(place)) {
                (Some(old), Some(new)) if as_many => {
                    self.within(Step::Element { old: Some(old), new: Some(new), place }, |walk| walk.values(Some(old), Some(new)));
                }
                (old, new) if old != new => self.element(old, new, place),
                _ => {}
            }
        }
    }

    /// An element that comes, goes, or is another one.
    fn element(&mut self, old: Option<&'v Value>, new: Option<&'v Value>, place: usize) {
        self.within(Step::Element { old, new, place }, |walk| walk.note(old, new));
    }

    fn within(&mut self, step: Step<'v>, walk: impl FnOnce(&mut Self)) {
        self.path.push(step);
        walk(self);
        self.path.pop();
    }

    fn note(&mut self, old: Option<&'v Value>, new: Option<&'v Value>) {
        self.found.push(Difference { path: self.path.clone(), old, new });
    }
}

/// What the field `key` of each element says, where all have one of their own.
fn named<'v>(list: &'v [Value], key: &str) -> Option<Vec<&'v Value>> {
    let names: Option<Vec<&Value>> = list.iter().map(|item| item.get(key).filter(|name| name.is_string() || name.is_number())).collect();
    let names = names?;
    let mut seen = std::collections::HashSet::new();
    names.iter().all(|name| seen.insert(*name)).then_some(names)
}
