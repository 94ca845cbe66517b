//! The JSON Schemas of Kubernetes' own kinds, strict about unknown fields, for every supported minor.
//! Embedded compressed and unpacked on first use; a kind is compiled when its first object comes. Nothing is held before that.
//! How the pack is made and laid out: `scripts/pack-kubernetes-schemas.py`.

mod check;
mod crd;
mod explain;
mod fields;
mod found;
mod set;
mod steps;

pub(super) use explain::Fault;
pub(crate) use fields::{NoField, no_field};
pub use found::ReadSchemas;
pub(super) use found::Schemas;
pub(super) use set::Lookup;
pub use set::{SchemaProblem, SchemaSet};

use super::KubernetesVersion;
use jsonschema::Validator;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

static PACK: &[u8] = include_bytes!("kubernetes.pack.zst");
static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();

/// Room for the unpacked text; the pack's own test says when it is too small.
const MAX_TEXT: usize = 1 << 20;
/// Compiled kinds that are kept; a cluster's manifests use two dozen.
const MAX_COMPILED: usize = 48;
const REFERENCE: &str = "#/$defs/";

/// What is known of an object's kind.
pub(super) enum Kind {
    /// Kubernetes has it, and this is its schema.
    Known(Schema),
    /// The group is Kubernetes' own, but has no such kind or version in this minor. What comes nearest.
    Wrong(Option<String>),
    /// The group is somebody else's.
    Foreign,
}

/// The schema of one kind in one minor.
pub(super) struct Schema {
    validator: Arc<Validator>,
    name: usize,
    version: KubernetesVersion,
}

/// The kind of an object in a minor.
pub(super) fn kind(version: KubernetesVersion, api_version: &str, kind: &str) -> Kind {
    catalogue().kind(version, api_version, kind)
}

/// Every kind of a group of Kubernetes' own, in whichever minor; all of them for `*`. None when the group is somebody else's.
pub(crate) fn kinds_of(group: &str) -> Option<Vec<&'static str>> {
    let catalogue = catalogue();
    let kinds = catalogue.head.kinds.keys().filter_map(|key| {
        let (group_version, kind) = key.rsplit_once('/')?;
        (group == "*" || group_version.split('/').next() == Some(group)).then_some(kind)
    });
    (group == "*" || catalogue.groups.contains(group)).then(|| kinds.collect())
}

/// The schema of `ObjectMeta` and the definitions it refers to. It is the same in every supported minor but for its descriptions.
fn object_meta() -> (Value, Map<String, Value>) {
    let (catalogue, version) = (catalogue(), KubernetesVersion::newest());
    let whole = catalogue.head.kinds.get("/v1/ConfigMap").map(|name| catalogue.document(version, *name)).unwrap_or_default();
    let definitions = whole.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    let reference = whole.pointer("/properties/metadata/$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix(REFERENCE));
    let metadata = reference.and_then(|name| definitions.get(name)).or_else(|| whole.pointer("/properties/metadata")).cloned();
    (metadata.unwrap_or(Value::Bool(true)), definitions)
}

impl Schema {
    /// What is wrong with `object`; nothing when it is valid.
    pub(super) fn faults(&self, object: &Value) -> Vec<Fault> {
        if self.validator.is_valid(object) {
            return Vec::new();
        }
        let schema = catalogue().document(self.version, self.name);
        explain::faults(&self.validator, &schema, object)
    }
}

#[derive(Deserialize)]
struct Head {
    /// For every minor, the line of each definition, or -1.
    bodies: BTreeMap<u16, Vec<i32>>,
    /// `group/version/Kind` to the number of its definition.
    kinds: BTreeMap<String, usize>,
}

struct Catalogue {
    head: Head,
    /// One definition a line, after the head.
    lines: Vec<Box<str>>,
    groups: BTreeSet<String>,
    compiled: Mutex<HashMap<(KubernetesVersion, usize), Arc<Validator>>>,
}

fn catalogue() -> &'static Catalogue {
    CATALOGUE.get_or_init(|| match Catalogue::unpack(PACK) {
        Some(catalogue) => catalogue,
        None => unreachable!("the embedded schemas are unpacked by a test"),
    })
}

impl Catalogue {
    fn unpack(pack: &[u8]) -> Option<Self> {
        let text = String::from_utf8(zstd::bulk::decompress(pack, MAX_TEXT).ok()?).ok()?;
        let mut lines = text.lines();
        let head: Head = serde_json::from_str(lines.next()?).ok()?;
        let groups = head.kinds.keys().filter_map(|key| key.split('/').next()).map(str::to_owned).collect();
        Some(Self { lines: lines.map(Box::from).collect(), groups, head, compiled: Mutex::new(HashMap::new()) })
    }

    fn kind(&self, version: KubernetesVersion, api_version: &str, kind: &str) -> Kind {
        let (group, group_version) = api_version.split_once('/').unwrap_or(("", api_version));
        let known = self.head.kinds.get(&format!("{group}/{group_version}/{kind}")).filter(|name| self.body(version, **name).is_some());
        match known {
            Some(name) => Kind::Known(Schema { validator: self.validator(version, *name), name: *name, version }),
            // A resource that somebody else defines has a group with a dot in it.
            None if self.groups.contains(group) || !group.contains('.') => Kind::Wrong(self.nearest(version, group, kind)),
            None => Kind::Foreign,
        }
    }

    /// The kind of that name in another version or group, or the kind of the group whose name is nearest.
    fn nearest(&self, version: KubernetesVersion, group: &str, kind: &str) -> Option<String> {
        let here = || self.head.kinds.iter().filter(|(_, name)| self.body(version, **name).is_some()).filter_map(|(key, _)| key.rsplit_once('/'));
        let show = |(group_version, kind): (&str, &str)| format!("`{kind}` of `{}`", group_version.trim_start_matches('/'));
        let same: Vec<_> = here().filter(|(_, other)| *other == kind).collect();
        if !same.is_empty() {
            return Some(same.into_iter().map(show).collect::<Vec<_>>().join(" or "));
        }
        let of_group = || here().filter(|(group_version, _)| group_version.split('/').next() == Some(group));
        let name = super::nearest(kind, of_group().map(|(_, other)| other))?.to_owned();
        of_group().filter(|(_, other)| *other == name).map(show).next_back()
    }

    fn body(&self, version: KubernetesVersion, name: usize) -> Option<&str> {
        let line = *self.head.bodies.get(&version.minor())?.get(name)?;
        self.lines.get(usize::try_from(line).ok()?).map(|line| &**line)
    }

    fn validator(&self, version: KubernetesVersion, name: usize) -> Arc<Validator> {
        let key = (version, name);
        let lock = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = lock().get(&key) {
            return Arc::clone(validator);
        }
        // Compiled outside the lock: it takes milliseconds, and other kinds need not wait.
        let validator = match jsonschema::draft202012::options().build(&self.document(version, name)) {
            Ok(validator) => Arc::new(validator),
            Err(error) => unreachable!("every embedded schema is compiled by a test: {error}"),
        };
        let mut compiled = lock();
        if compiled.len() >= MAX_COMPILED {
            compiled.clear();
        }
        Arc::clone(compiled.entry(key).or_insert(validator))
    }

    /// The whole schema of one kind: its definition and all that it refers to.
    fn document(&self, version: KubernetesVersion, name: usize) -> Value {
        let definition = |name: usize| self.body(version, name).and_then(|body| serde_json::from_str::<Value>(body).ok());
        let Some(Value::Object(mut root)) = definition(name) else { return Value::Bool(false) };
        let mut definitions = Map::new();
        let mut wanted = Vec::new();
        references(&Value::Object(root.clone()), &mut wanted);
        while let Some(reference) = wanted.pop() {
            if definitions.contains_key(&reference) {
                continue;
            }
            let Some(body) = reference.parse().ok().and_then(definition) else { return Value::Bool(false) };
            references(&body, &mut wanted);
            definitions.insert(reference, body);
        }
        root.insert("$defs".to_owned(), definitions.into());
        Value::Object(root)
    }
}

fn references(schema: &Value, into: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            // A property may be called `$ref` too; its value is a schema then, not text.
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix(REFERENCE)) {
                into.push(reference.to_owned());
            }
            fields.values().for_each(|value| references(value, into));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pack_holds_the_supported_versions_and_every_kind_of_each_compiles() {
        let catalogue = catalogue();
        let minors: Vec<u16> = catalogue.head.bodies.keys().copied().collect();
        assert_eq!(minors, KubernetesVersion::supported().map(KubernetesVersion::minor));
        for version in KubernetesVersion::supported() {
            let names: BTreeSet<usize> = catalogue.head.kinds.values().copied().filter(|name| catalogue.body(version, *name).is_some()).collect();
            assert!(names.len() > 150, "{version} has {} kinds", names.len());
            // Each definition once, in one schema: as sure as every kind alone, and minutes faster.
            let mut all = Map::new();
            for name in 0..catalogue.head.bodies[&version.minor()].len() {
                if let Some(body) = catalogue.body(version, name) {
                    all.insert(name.to_string(), serde_json::from_str(body).expect("JSON"));
                }
            }
            for name in names {
                let mut wanted = Vec::new();
                references(&all[&name.to_string()], &mut wanted);
                for reference in wanted {
                    assert!(all.contains_key(&reference), "definition {name} refers to nothing");
                }
            }
            let any: Vec<Value> = all.keys().map(|name| serde_json::json!({ "$ref": format!("{REFERENCE}{name}") })).collect();
            let whole = serde_json::json!({ "anyOf": any, "$defs": all });
            assert!(jsonschema::draft202012::options().build(&whole).is_ok(), "{version}");
        }
    }

    #[test]
    fn every_object_is_closed_to_unknown_fields() {
        let catalogue = catalogue();
        for line in &catalogue.lines {
            let body: Value = serde_json::from_str(line).expect("JSON");
            if body.get("properties").is_some() {
                assert_eq!(body["additionalProperties"], false, "{line}");
            }
        }
    }
}
