//! How much work a JSON Schema is on one object, counted before it is done: definitions that refer twice to the next one double it at
//! every step, and so do those that do it at every level of the object.
//! An upper bound, in schemas held against values: whatever the validator leaves out only makes it less.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};

/// Schemas held against values, at most.
pub(super) const MAX_STEPS: u64 = 2_000_000;
/// Schemas within each other, references followed.
const MAX_DEPTH: usize = 300;

/// Fields that hold a schema for the same value.
const SAME: [&str; 4] = ["not", "if", "then", "else"];
/// Fields that hold a list of schemas for the same value.
const SAME_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Fields that hold schemas by name, for the same value.
const SAME_NAMED: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Fields that hold a schema for what is within the value.
const WITHIN: [&str; 8] =
    ["additionalProperties", "unevaluatedProperties", "propertyNames", "items", "additionalItems", "unevaluatedItems", "contains", "contentSchema"];

/// Whether a schema refers to anything: without that it is no more work than it is long.
pub(super) fn has_references(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => REFERENCES.iter().any(|name| fields.contains_key(*name)) || fields.values().any(has_references),
        Value::Array(items) => items.iter().any(has_references),
        _ => false,
    }
}

const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// Whether holding the object against the schema takes no more than [`MAX_STEPS`].
pub(super) fn is_bounded(schema: &Value, object: &Value) -> bool {
    let mut counter = Counter { root: schema, named: BTreeMap::new(), known: HashMap::new(), done: 0 };
    counter.name(schema);
    counter.count(schema, object, 0).is_some_and(|steps| steps <= MAX_STEPS)
}

struct Counter<'s> {
    root: &'s Value,
    /// Schemas by `$id` and by `#anchor`.
    named: BTreeMap<String, &'s Value>,
    /// What references came to, by the schema and the value.
    known: HashMap<(*const Value, *const Value), u64>,
    done: u64,
}

impl<'s> Counter<'s> {
    fn name(&mut self, schema: &'s Value) {
        match schema {
            Value::Object(fields) => {
                for (name, sign) in [("$id", ""), ("$anchor", "#"), ("$dynamicAnchor", "#")] {
                    if let Some(Value::String(text)) = fields.get(name) {
                        self.named.insert(format!("{sign}{}", text.trim_end_matches('#')), schema);
                    }
                }
                fields.values().for_each(|value| self.name(value));
            }
            Value::Array(items) => items.iter().for_each(|item| self.name(item)),
            _ => {}
        }
    }

    /// The steps of a schema on a value; none when they are too many to be counted.
    fn count(&mut self, schema: &'s Value, value: &Value, depth: usize) -> Option<u64> {
        self.done += 1;
        if depth > MAX_DEPTH || self.done > MAX_STEPS {
            return None;
        }
        let Value::Object(fields) = schema else { return Some(1) };
        let mut steps = 1_u64;
        let mut add = |counted: u64| {
            steps = steps.saturating_add(counted);
            (steps <= MAX_STEPS).then_some(())
        };
        for reference in REFERENCES.iter().filter_map(|name| fields.get(*name)?.as_str()) {
            add(self.referred(reference, value, depth)?)?;
        }
        let lists = SAME_LISTS.iter().filter_map(|name| fields.get(*name)?.as_array()).flatten();
        let named = SAME_NAMED.iter().filter_map(|name| fields.get(*name)?.as_object()).flat_map(Map::values);
        for same in SAME.iter().filter_map(|name| fields.get(*name)).chain(lists).chain(named) {
            add(self.count(same, value, depth + 1)?)?;
        }
        match value {
            Value::Object(entries) => {
                let properties = fields.get("properties").and_then(Value::as_object);
                let patterns = || fields.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::values);
                for (key, entry) in entries {
                    let own = properties.and_then(|properties| properties.get(key));
                    for within in own.into_iter().chain(patterns()).chain(everything_within(fields)) {
                        add(self.count(within, entry, depth + 1)?)?;
                    }
                }
            }
            Value::Array(items) => {
                let places = ["prefixItems", "items"].into_iter().filter_map(|name| fields.get(name)?.as_array());
                let places: Vec<&'s Value> = places.flatten().collect();
                for (place, item) in items.iter().enumerate() {
                    for within in places.get(place).copied().into_iter().chain(everything_within(fields)) {
                        add(self.count(within, item, depth + 1)?)?;
                    }
                }
            }
            _ => {}
        }
        Some(steps)
    }

    fn referred(&mut self, reference: &str, value: &Value, depth: usize) -> Option<u64> {
        let schemas = self.resolve(reference);
        if schemas.is_empty() {
            // The schemas of schemas are known to the validator, and of moderate size; nothing else is fetched.
            return reference.split_once("//json-schema.org/").map(|_| 1_000);
        }
        let mut counted = schemas.into_iter().map(|schema| self.followed(schema, value, depth));
        counted.try_fold(0, |most, steps| Some(most.max(steps?)))
    }

    fn followed(&mut self, schema: &'s Value, value: &Value, depth: usize) -> Option<u64> {
        let key = (std::ptr::from_ref(schema), std::ptr::from_ref(value));
        if let Some(known) = self.known.get(&key) {
            return Some(*known);
        }
        // One that comes back to itself on the same value is ended by the validator.
        self.known.insert(key, 1);
        let counted = self.count(schema, value, depth + 1)?;
        self.known.insert(key, counted);
        Some(counted)
    }

    /// What a reference may name: the schema with that `$id`, or else every one whose `$id` ends so, as which of them it is depends on where
    /// the reference stands. The most work of them is the bound.
    fn resolve(&self, reference: &str) -> Vec<&'s Value> {
        let (base, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let roots = match (base, self.named.get(base)) {
            ("", _) => vec![self.root],
            (_, Some(schema)) => vec![*schema],
            (base, None) => {
                let end = format!("/{base}");
                self.named.iter().filter(|(id, _)| id.ends_with(&end)).map(|(_, schema)| *schema).collect()
            }
        };
        let fragment = decoded(fragment);
        match fragment.as_str() {
            "" => roots,
            pointer if pointer.starts_with('/') => roots.into_iter().filter_map(|root| root.pointer(pointer)).collect(),
            anchor => self.named.get(&format!("#{anchor}")).copied().into_iter().collect(),
        }
    }
}

/// A fragment without its percent signs, each taken away once (RFC 3986, 2.1).
fn decoded(fragment: &str) -> String {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let [first, others @ ..] = rest {
        let hex = |at: usize| others.get(at).and_then(|byte| char::from(*byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high * 16 + low);
                rest = &others[2..];
            }
            _ => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The schemas for all that is within a value.
fn everything_within(fields: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    WITHIN.iter().filter_map(|name| fields.get(*name)).filter(|schema| schema.is_object())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Definitions that each refer twice to the next.
    fn doubled(levels: usize, refer: impl Fn(String) -> Value) -> Value {
        let mut definitions: Map<String, Value> = (0..levels).map(|level| (format!("d{level}"), refer(format!("#/$defs/d{}", level + 1)))).collect();
        definitions.insert(format!("d{levels}"), json!({"type": "object"}));
        json!({"$ref": "#/$defs/d0", "$defs": definitions})
    }

    #[test]
    fn definitions_that_refer_twice_to_the_next_are_found_out_at_once() {
        let twice = |to: String| json!({"allOf": [{"$ref": to}, {"$ref": to}]});
        assert!(is_bounded(&doubled(10, twice), &json!({})));
        assert!(!is_bounded(&doubled(30, twice), &json!({})));
        assert!(!is_bounded(&doubled(5_000, |to| json!({"$ref": to})), &json!({})), "a chain of references is a stack of calls");
        // At each level of the object.
        let nested = json!({"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"x": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}}}});
        let deep = |levels: usize| (0..levels).fold(json!({}), |inner, _| json!({"x": inner}));
        assert!(is_bounded(&nested, &deep(8)) && !is_bounded(&nested, &deep(60)));
    }

    #[test]
    fn of_schemas_whose_names_end_alike_the_one_with_the_most_work_counts_every_time() {
        let mut named = doubled(30, |to| json!({"allOf": [{"$ref": to}, {"$ref": to}]}))["$defs"].clone();
        named["small"] = json!({"$id": "https://a.example/x.json", "type": "object"});
        named["large"] = json!({"$id": "https://b.example/x.json", "allOf": [{"$ref": "#/$defs/d0"}]});
        for _ in 0..20 {
            assert!(!is_bounded(&json!({"$ref": "x.json", "$defs": named}), &json!({})));
            assert!(is_bounded(&json!({"$ref": "https://a.example/x.json", "$defs": named}), &json!({})), "its whole name");
        }
    }

    #[test]
    fn a_fragment_is_decoded_once() {
        assert_eq!(decoded("/$defs/a%257Eb%7e1c%20d%zz%C3%A4%"), "/$defs/a%7Eb~1c d%zzä%");
    }

    #[test]
    fn names_of_every_kind_are_followed_and_circles_end() {
        for (to, marks) in [("#next", json!({"$anchor": "next"})), ("next.json", json!({"$id": "https://example.com/next.json"}))] {
            let mut next = marks;
            next["properties"] = json!({"a": {"type": "string"}});
            assert!(is_bounded(&json!({"$ref": to, "$defs": {"n": next}}), &json!({"a": "b"})), "{to}");
        }
        assert!(is_bounded(&json!({"$ref": "#"}), &json!({})));
        assert!(!is_bounded(&json!({"$ref": "https://example.com/elsewhere.json"}), &json!({})));
        assert!(!has_references(&json!({"properties": {"a": {}}})) && has_references(&json!({"items": [{"$ref": "#"}]})));
    }
}
