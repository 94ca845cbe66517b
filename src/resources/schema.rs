//! JSON Schemas of the documents, generated from the types that read them, and violations of them in words.

use super::document::{API_VERSION, Kind};
use crate::automation::{AutomationSpec, escape_pointer};
use crate::ingress::SourceSpec;
use crate::inventory::{ClusterSpec, RepositorySpec};
use crate::types::{AutomationName, ClusterName, RepositoryName, SourceName};
use crate::validate::nearest;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};
use std::cell::OnceCell;

/// A violation of a schema.
pub(super) struct Problem {
    pub(super) pointer: String,
    /// Whether the place is the key rather than the value.
    pub(super) at_key: bool,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// The schemas one set of documents is held against, each compiled when its first document comes. They go with the set's
/// loading: compiled they take half a megabyte, and are wanted again only when the files change.
#[derive(Default)]
pub(super) struct Schemas([OnceCell<(Value, jsonschema::Validator)>; Kind::ALL.len()]);

impl Schemas {
    /// Everything about `document` that does not fit the schema of `kind`.
    pub(super) fn check(&self, kind: Kind, document: &Value) -> Vec<Problem> {
        let (schema, validator) = self.0[kind as usize].get_or_init(|| compiled(kind));
        let mut problems = Vec::new();
        for error in validator.iter_errors(document) {
            explain(&error, schema, &mut problems);
        }
        problems
    }
}

fn compiled(kind: Kind) -> (Value, jsonschema::Validator) {
    let schema = schema_of(kind);
    let validator = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .build(&schema)
        .unwrap_or_else(|error| unreachable!("the generated schema of {} is a schema: {error}", kind.as_str()));
    (schema, validator)
}

/// The JSON Schema (2020-12) of a whole document of this kind; what editors and `kubeops schema` show.
pub fn schema_of(kind: Kind) -> Value {
    match kind {
        Kind::Source => envelope::<SourceName, SourceSpec>(kind),
        Kind::Repository => envelope::<RepositoryName, RepositorySpec>(kind),
        Kind::Cluster => envelope::<ClusterName, ClusterSpec>(kind),
        Kind::Automation => envelope::<AutomationName, AutomationSpec>(kind),
    }
}

fn envelope<N: JsonSchema, S: JsonSchema>(kind: Kind) -> Value {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let (name, spec) = (generator.subschema_for::<N>(), generator.subschema_for::<S>());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("KubeOps {}", kind.as_str()),
        "type": "object",
        "additionalProperties": false,
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": { "const": API_VERSION },
            "kind": { "const": kind.as_str() },
            "metadata": {
                "type": "object",
                "additionalProperties": false,
                "required": ["name"],
                "properties": {
                    "name": name,
                    "labels": { "type": "object", "additionalProperties": { "type": "string" } },
                    "annotations": { "type": "object", "additionalProperties": { "type": "string" } },
                },
            },
            "spec": spec,
        },
        "$defs": generator.definitions(),
    })
}

fn explain(error: &jsonschema::ValidationError<'_>, schema: &Value, problems: &mut Vec<Problem>) {
    let pointer = error.instance_path().to_string();
    let problem = |message: String, hint: Option<String>| Problem { pointer: pointer.clone(), at_key: false, message, hint };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let known = known_fields(error, schema);
            for name in unexpected {
                let pointer = format!("{pointer}/{}", escape_pointer(name));
                let hint = match nearest(name, known.iter().copied()) {
                    Some(near) => Some(format!("did you mean `{near}`?")),
                    None if known.is_empty() => None,
                    None => Some(format!("known are: {}", known.join(", "))),
                };
                problems.push(Problem { pointer, at_key: true, message: format!("there is no field `{name}` here"), hint });
            }
        }
        ValidationErrorKind::Required { property } => {
            problems.push(problem(format!("the field `{}` is missing", property.as_str().unwrap_or_default()), None));
        }
        ValidationErrorKind::Type { kind } => {
            let wanted = match kind {
                TypeKind::Single(kind) => kind.to_string(),
                TypeKind::Multiple(kinds) => kinds.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" or "),
            };
            problems.push(problem(format!("a value of type {wanted} is wanted here, this is {}", kind_of(error.instance())), None));
        }
        ValidationErrorKind::Enum { options } => problems.push(problem(format!("{} is not one of {options}", error.instance()), None)),
        ValidationErrorKind::Constant { expected_value } => {
            problems.push(problem(format!("{} stands where {expected_value} is wanted", error.instance()), None))
        }
        ValidationErrorKind::Pattern { pattern } => {
            problems.push(problem(format!("{} does not have the form wanted here", error.instance()), Some(format!("it must match {pattern}"))));
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            // The branch that fits furthest tells most: an author meant that one.
            match context.iter().filter(|branch| !branch.is_empty()).max_by_key(|branch| depth(branch)) {
                Some(branch) if depth(branch) > depth_of(error) => branch.iter().for_each(|error| explain(error, schema, problems)),
                _ => problems.push(problem(format!("{} fits none of the forms allowed here", error.instance()), Some(forms(context)))),
            }
        }
        _ => problems.push(problem(error.to_string(), None)),
    }
}

/// The fields an object may have where one too many was found.
fn known_fields<'s>(error: &jsonschema::ValidationError<'_>, schema: &'s Value) -> Vec<&'s str> {
    let parent = error.schema_path().as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
    let properties = schema.pointer(parent).and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn depth_of(error: &jsonschema::ValidationError<'_>) -> usize {
    error.instance_path().to_string().matches('/').count()
        + usize::from(matches!(error.kind(), ValidationErrorKind::AdditionalProperties { .. } | ValidationErrorKind::Required { .. }))
}

fn depth(branch: &[jsonschema::ValidationError<'static>]) -> usize {
    branch.iter().map(depth_of).max().unwrap_or(0)
}

fn forms(context: &[Vec<jsonschema::ValidationError<'static>>]) -> String {
    let forms: Vec<String> = context.iter().filter_map(|branch| branch.first()).map(ToString::to_string).collect();
    forms.join("; or: ")
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
