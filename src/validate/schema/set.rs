//! Schemas of kinds that are not Kubernetes' own: from definitions (CRDs) and from JSON Schemas in a catalogue's layout.
//! A schema is compiled when the first object of its kind comes. It is given its files; it never looks for them.

use super::{Fault, check, crd, explain, steps};
use crate::manifest::{Limits, Positions, parse};
use jsonschema::Validator;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Definitions with long descriptions are larger than any manifest.
const LIMITS: Limits = Limits { bytes: 16 << 20, nodes: 1_000_000, depth: 64, scalar_bytes: 32 << 20 };

/// Schemas by group, kind and version.
#[derive(Clone, Default)]
pub struct SchemaSet {
    /// Group and kind in lower case, as files of catalogues are called.
    kinds: BTreeMap<(String, String), BTreeMap<String, Arc<Entry>>>,
}

impl fmt::Debug for SchemaSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds.keys()).finish()
    }
}

/// Why a file of schemas is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}{}: {message}", if *.line > 0 { format!(":{line}") } else { String::new() })]
pub struct SchemaProblem {
    /// The file.
    pub path: String,
    /// The line, from 1; 0 where none is known.
    pub line: u32,
    /// The column, from 1; 0 where the line is.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What was probably meant.
    pub hint: Option<String>,
}

/// One version of one kind.
pub(in crate::validate) struct Entry {
    /// The kind as it is written; none where only a file's name says it.
    kind: Option<String>,
    served: bool,
    document: Value,
    /// Whether it refers to itself anywhere, so that its work has to be counted first.
    refers: bool,
    validator: OnceLock<Result<Validator, String>>,
}

/// What a set knows of a type.
pub(in crate::validate) enum Lookup {
    Found(Arc<Entry>),
    /// The kind, but not so: another spelling, or another version.
    Other(String),
    Unknown,
}

impl SchemaSet {
    /// Reads schemas from files: paths with `/`, and their bytes. A file that is neither YAML nor JSON by its name is left out, and so is
    /// a document that is no definition.
    pub fn read<'f>(files: impl IntoIterator<Item = (&'f str, &'f [u8])>) -> (Self, Vec<SchemaProblem>) {
        let (mut set, mut problems) = (Self::default(), Vec::new());
        for (path, bytes) in files {
            match set.add_file(path, bytes) {
                Ok(found) => problems.extend(found),
                Err(problem) => problems.push(problem),
            }
        }
        (set, problems)
    }

    /// Takes in what another set knows; where both know a version, the other's counts.
    pub(super) fn extend(&mut self, other: Self) {
        for (kind, versions) in other.kinds {
            self.kinds.entry(kind).or_default().extend(versions);
        }
    }

    /// How many kinds it has schemas of.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The kinds of a group, in lower case; of every group for `*`.
    pub(crate) fn kinds_of(&self, group: &str) -> impl Iterator<Item = &str> {
        self.kinds.keys().filter(move |(of, _)| group == "*" || of == group).map(|(_, kind)| kind.as_str())
    }

    /// Takes in a file; what is wrong with the definitions in it, which are of use all the same as far as they can be used.
    fn add_file(&mut self, path: &str, bytes: &[u8]) -> Result<Vec<SchemaProblem>, SchemaProblem> {
        let problem = |(line, column), message: String| SchemaProblem { path: path.to_owned(), line, column, message, hint: None };
        let is_json = path.ends_with(".json");
        if !is_json && !path.ends_with(".yaml") && !path.ends_with(".yml") {
            return Ok(Vec::new());
        }
        let text = std::str::from_utf8(bytes).map_err(|_| problem((0, 0), "it is not UTF-8".to_owned()))?;
        if is_json {
            let count = |number: usize| u32::try_from(number).unwrap_or(0);
            let document: Value = serde_json::from_str(text)
                .map_err(|error| problem((count(error.line()), count(error.column())), format!("it is not JSON: {error}")))?;
            if !crd::is_definition(&document) {
                let faults = check::of_json_schema(&document);
                let told = told(path, text, faults);
                return self.add_json_schema(path, document).map(|is_schema| if is_schema { told } else { Vec::new() });
            }
            self.add_definition(&document);
            return Ok(told(path, text, check::of_definition(&document)));
        }
        if !text.contains("CustomResourceDefinition") {
            return Ok(Vec::new());
        }
        let documents = parse(text, LIMITS).map_err(|error| problem((error.line, error.column), error.message))?;
        let mut problems = Vec::new();
        for document in &documents {
            for (at, object) in crate::manifest::flatten(&document.value) {
                if crd::is_definition(object) {
                    let faults = check::of_definition(object);
                    problems.extend(faults.into_iter().map(|fault| located(path, &document.positions, &at, fault)));
                    self.add_definition(object);
                }
            }
        }
        Ok(problems)
    }

    fn add_definition(&mut self, document: &Value) {
        for version in crd::versions(document) {
            let entry = Entry::new(Some(version.kind.clone()), version.served, with_metadata(version.schema));
            self.insert(&version.group, &version.kind, version.name, entry);
        }
    }

    /// A JSON Schema that says of which type it is (`x-kubernetes-group-version-kind`), or whose path does: `group/kind_version.json`.
    /// Whether the document is a schema at all.
    fn add_json_schema(&mut self, path: &str, document: Value) -> Result<bool, SchemaProblem> {
        let is_schema = ["$schema", "properties", "$ref", "allOf", "oneOf", "anyOf"].iter().any(|key| document.get(*key).is_some());
        if !is_schema {
            return Ok(false);
        }
        let said = document.get("x-kubernetes-group-version-kind").and_then(Value::as_array).cloned().unwrap_or_default();
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut types: Vec<(String, String, String, bool)> =
            said.iter().filter_map(|said| Some((text(said, "group")?, text(said, "kind")?, text(said, "version")?, true))).collect();
        if types.is_empty() {
            let mut steps = path.rsplit('/');
            let name = steps.next().unwrap_or_default().trim_end_matches(".json");
            if let (Some(group), Some((kind, version))) = (steps.next(), name.rsplit_once('_')) {
                types.push((group.to_owned(), kind.to_owned(), version.to_owned(), false));
            }
        }
        if types.is_empty() {
            let message = "of which type it is is not said: put it at <group>/<kind>_<version>.json, or give it `x-kubernetes-group-version-kind`";
            return Err(SchemaProblem { path: path.to_owned(), line: 0, column: 0, message: message.to_owned(), hint: None });
        }
        for (group, kind, version, exact) in types {
            let refers = steps::has_references(&document);
            let entry = Entry { refers, ..Entry::new(exact.then(|| kind.clone()), true, document.clone()) };
            self.insert(&group, &kind, version, entry);
        }
        Ok(true)
    }

    fn insert(&mut self, group: &str, kind: &str, version: String, entry: Entry) {
        self.kinds.entry((group.to_owned(), kind.to_lowercase())).or_default().insert(version, Arc::new(entry));
    }

    /// What is known of a type.
    pub(in crate::validate) fn find(&self, api_version: &str, kind: &str) -> Lookup {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let Some(versions) = self.kinds.get(&(group.to_owned(), kind.to_lowercase())) else { return Lookup::Unknown };
        let show = |(name, entry): (&String, &Arc<Entry>)| format!("`{}` of `{group}/{name}`", entry.kind.as_deref().unwrap_or(kind));
        match versions.get(version) {
            Some(entry) if entry.kind.as_deref().is_some_and(|own| own != kind) => Lookup::Other(show((&version.to_owned(), entry))),
            Some(entry) if entry.served => Lookup::Found(Arc::clone(entry)),
            _ => {
                let served: Vec<String> = versions.iter().filter(|(_, entry)| entry.served).map(show).collect();
                if served.is_empty() { Lookup::Unknown } else { Lookup::Other(served.join(" or ")) }
            }
        }
    }
}

impl Entry {
    fn new(kind: Option<String>, served: bool, document: Value) -> Self {
        Self { kind, served, document, refers: false, validator: OnceLock::new() }
    }

    /// What is wrong with `object`; nothing when it is valid.
    ///
    /// # Errors
    /// Why its schema cannot be used.
    pub(in crate::validate) fn faults(&self, object: &Value) -> Result<Vec<Fault>, String> {
        if self.refers && !steps::is_bounded(&self.document, object) {
            return Err(format!("it refers to itself so often that it would take more than {} steps on this object", steps::MAX_STEPS));
        }
        let validator = self.validator.get_or_init(|| jsonschema::draft202012::options().build(&self.document).map_err(|error| error.to_string()));
        let validator = validator.as_ref().map_err(Clone::clone)?;
        if validator.is_valid(object) {
            return Ok(Vec::new());
        }
        Ok(explain::faults(validator, &self.document, object))
    }
}

/// Faults in a JSON file with their places: JSON is YAML too, which is read with places.
fn told(path: &str, text: &str, faults: Vec<Fault>) -> Vec<SchemaProblem> {
    if faults.is_empty() {
        return Vec::new();
    }
    let documents = parse(text, LIMITS).unwrap_or_default();
    let told = |fault: Fault| match documents.first() {
        Some(document) => located(path, &document.positions, "", fault),
        None => {
            SchemaProblem { path: path.to_owned(), line: 0, column: 0, message: format!("{}: {}", fault.pointer, fault.message), hint: fault.hint }
        }
    };
    faults.into_iter().map(told).collect()
}

fn located(path: &str, positions: &Positions, at: &str, fault: Fault) -> SchemaProblem {
    let place = positions.find(&format!("{at}{}", fault.pointer)).place();
    SchemaProblem { path: path.to_owned(), line: place.line, column: place.column, message: fault.message, hint: fault.hint }
}

/// A translated schema with the definitions of Kubernetes' `ObjectMeta`.
fn with_metadata(mut schema: Value) -> Value {
    let (metadata, mut definitions) = super::object_meta();
    definitions.insert("ObjectMeta".to_owned(), metadata);
    if let Value::Object(fields) = &mut schema {
        fields.insert("$defs".to_owned(), Value::Object(definitions));
    }
    schema
}

/// The definitions of several sets, the first one that knows a kind being asked.
#[derive(Debug, Clone, Copy)]
pub(in crate::validate) struct Layers<'s>(pub(in crate::validate) &'s [&'s SchemaSet]);

impl Layers<'_> {
    pub(in crate::validate) fn find(&self, api_version: &str, kind: &str) -> Lookup {
        let mut other = Lookup::Unknown;
        for set in self.0 {
            match set.find(api_version, kind) {
                found @ Lookup::Found(_) => return found,
                near @ Lookup::Other(_) if matches!(other, Lookup::Unknown) => other = near,
                _ => {}
            }
        }
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    const DEFINITION: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          metadata: {type: object}
          spec:
            type: object
            required: [size, colour]
            properties:
              size: {type: integer, minimum: 0, exclusiveMinimum: true, description: how large}
              colour: {type: string, default: red, enum: [red, blue]}
              port: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}
              note: {type: string, nullable: true, pattern: '^(?!x)'}
              anything: {type: object, x-kubernetes-preserve-unknown-fields: true}
              labels: {type: object, additionalProperties: {type: string}}
              nothing: {type: object}
              template: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
            oneOf: [{required: [port]}, {required: [note]}]
  - {name: v1alpha1, served: false, storage: false, schema: {openAPIV3Schema: {type: object}}}
";

    fn set() -> SchemaSet {
        let (set, problems) = SchemaSet::read([("crds/widget.yaml", DEFINITION.as_bytes())]);
        assert!(problems.is_empty() && set.len() == 1, "{problems:?}");
        set
    }

    fn faults(spec: Value) -> Vec<String> {
        let Lookup::Found(entry) = set().find("example.com/v1", "Widget") else { panic!("not found") };
        let object = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec});
        entry.faults(&object).expect("compiles").into_iter().map(|fault| format!("{} {}", fault.pointer, fault.message)).collect()
    }

    #[test]
    fn a_definition_is_as_strict_as_an_api_server() {
        assert_eq!(faults(json!({"size": 1, "port": "http", "anything": {"a": [1]}, "labels": {"a": "b"}})), Vec::<String>::new());
        assert_eq!(faults(json!({"size": 1, "note": null})), Vec::<String>::new(), "null where it is allowed, and a default for what is required");
        for (spec, says) in [
            (json!({"size": 0, "port": 1}), "size"),
            (json!({"size": 1, "port": 1, "colour": "green"}), "expected one of red, blue"),
            (json!({"size": 1, "port": 1, "colors": "red"}), "has no field `colors`"),
            (json!({"size": 1, "port": 1, "nothing": {"a": 1}}), "has no field `a`"),
            (json!({"size": 1, "port": 1.5}), "/spec/port"),
            (json!({"port": 1}), "`size` is missing"),
            (json!({"size": 1, "port": 1, "labels": {"a": 1}}), "/spec/labels/a"),
            (json!({"size": 1}), "/spec"),
        ] {
            let found = faults(spec.clone());
            assert!(found.iter().any(|fault| fault.contains(says)), "{spec}: {found:?}");
        }
        let Lookup::Found(entry) = set().find("example.com/v1", "Widget") else { panic!("not found") };
        let object = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "lables": {}}, "spec": {"size": 1, "port": 1}, "extra": 1});
        let told: Vec<String> = entry.faults(&object).expect("compiles").into_iter().map(|fault| fault.message).collect();
        assert!(told.iter().any(|told| told.contains("no field `lables`")) && told.iter().any(|told| told.contains("no field `extra`")), "{told:?}");
    }

    #[test]
    fn a_version_that_is_not_served_and_a_kind_in_another_spelling_are_told() {
        let set = set();
        for (api_version, kind) in [("example.com/v1alpha1", "Widget"), ("example.com/v2", "Widget"), ("example.com/v1", "widget")] {
            match set.find(api_version, kind) {
                Lookup::Other(near) => assert_eq!(near, "`Widget` of `example.com/v1`"),
                _ => panic!("{api_version} {kind}"),
            }
        }
        assert!(matches!(set.find("example.com/v1", "Gadget"), Lookup::Unknown));
    }

    #[test]
    fn a_schema_whose_references_double_is_not_used_where_an_object_meets_them() {
        let twice = |to: usize| json!({"$ref": format!("#/$defs/d{to}")});
        let mut definitions: Map<String, Value> =
            (0..40).map(|level| (format!("d{level}"), json!({"allOf": [twice(level + 1), twice(level + 1)]}))).collect();
        definitions.insert("d40".to_owned(), json!({"type": "object"}));
        let schema = json!({"properties": {"spec": {"$ref": "#/$defs/d0"}}, "$defs": definitions}).to_string();
        let (set, problems) = SchemaSet::read([("a.example.com/nut_v1.json", schema.as_bytes())]);
        assert!(problems.is_empty(), "{problems:?}");
        let Lookup::Found(nut) = set.find("a.example.com/v1", "Nut") else { panic!("not found") };
        assert_eq!(nut.faults(&json!({"kind": "Nut"})), Ok(Vec::new()));
        let error = nut.faults(&json!({"kind": "Nut", "spec": {}})).expect_err("too much");
        assert!(error.contains("more than 2000000 steps"), "{error}");
    }

    #[test]
    fn json_schemas_are_taken_from_a_catalogue() {
        let schema = json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {"spec": {"type": "object", "additionalProperties": false}}});
        let said = json!({"properties": {"spec": {"type": "string"}}, "x-kubernetes-group-version-kind": [{"group": "b.example.com", "version": "v1", "kind": "Bolt"}]});
        let files = [
            ("catalogue/a.example.com/nut_v1.json", schema.to_string()),
            ("bolt.json", said.to_string()),
            ("lost.json", schema.to_string()),
            ("broken.json", "{\n".to_owned()),
            ("package.json", "{}".to_owned()),
            ("README.md", "# x".to_owned()),
            ("broken.yaml", "kind: CustomResourceDefinition\n a: b\n".to_owned()),
        ];
        let (set, problems) = SchemaSet::read(files.iter().map(|(path, text)| (*path, text.as_bytes())));
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(
            told.len() == 3 && told[0].starts_with("lost.json: of which type") && told[1].starts_with("broken.json:2: it is not JSON"),
            "{told:?}"
        );
        assert!(told[2].starts_with("broken.yaml:2"), "{told:?}");
        let Lookup::Found(nut) = set.find("a.example.com/v1", "Nut") else { panic!("not found") };
        assert_eq!(nut.faults(&json!({"kind": "Nut", "spec": {"x": 1}})).expect("compiles").len(), 1);
        let Lookup::Found(bolt) = set.find("b.example.com/v1", "Bolt") else { panic!("not found") };
        assert_eq!(bolt.faults(&json!({"spec": "x"})).expect("compiles").len(), 0);
    }

    #[test]
    fn metadata_is_kubernetes_own() {
        let fields: Map<String, Value> = super::super::object_meta().0.as_object().cloned().expect("an object");
        assert!(fields["properties"].get("annotations").is_some(), "{fields:?}");
    }
}
