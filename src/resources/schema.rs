//! JSON Schemas of the documents, generated from the types that read them, and violations of them in words.

use super::document::{API_VERSION, Kind};
use super::{Diagnostic, Level};
use crate::automation::{AutomationSpec, escape_pointer};
use crate::ingress::SourceSpec;
use crate::inventory::{BLACKOUT_DAY, CalendarSpec, ChannelSpec, ClusterSpec, McpServerSpec, RepositorySpec, TIME_OF_DAY};
use crate::manifest::Document;
use crate::types::{
    AutomationName, CalendarName, ChannelName, ClusterName, DURATION, McpServerName, RepositoryName, SECRET_NAME, SourceName, nearest,
};
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
        Kind::Channel => envelope::<ChannelName, ChannelSpec>(kind),
        Kind::Calendar => envelope::<CalendarName, CalendarSpec>(kind),
        Kind::McpServer => envelope::<McpServerName, McpServerSpec>(kind),
        Kind::Automation => envelope::<AutomationName, AutomationSpec>(kind),
    }
}

/// Everything about the `spec:` of a document of Kubernetes' own that does not fit its type.
pub(super) fn check_spec<S: JsonSchema>(spec: &Value) -> Vec<Problem> {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let root = generator.subschema_for::<S>();
    let schema = json!({ "allOf": [root], "$defs": generator.definitions() });
    let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&schema);
    let validator = validator.unwrap_or_else(|error| unreachable!("the generated schema is a schema: {error}"));
    let mut problems = Vec::new();
    for error in validator.iter_errors(spec) {
        explain(&error, &schema, &mut problems);
    }
    problems
}

/// Everything about a document of tests whose `spec:` is an `S` that does not fit, with its places.
pub fn check_test<S: JsonSchema>(file: &str, document: &Document) -> Vec<Diagnostic> {
    let told = |problem: Problem| {
        let pointer = format!("/spec{}", problem.pointer);
        let location = document.positions.find(&pointer);
        let place = if problem.at_key { location.place() } else { location.value.start };
        Diagnostic {
            level: Level::Error,
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            resource: None,
            pointer: Some(pointer),
            message: problem.message,
            hint: problem.hint,
        }
    };
    check_spec::<S>(document.value.get("spec").unwrap_or(&Value::Null)).into_iter().map(told).collect()
}

/// The JSON Schema (2020-12) of a document of another kind that is written like a resource: tests, parameters of policies.
pub fn schema_like<S: JsonSchema>(kind: &str) -> Value {
    schema_of_document::<String, S>(kind)
}

fn envelope<N: JsonSchema, S: JsonSchema>(kind: Kind) -> Value {
    schema_of_document::<N, S>(kind.as_str())
}

fn schema_of_document<N: JsonSchema, S: JsonSchema>(kind: &str) -> Value {
    let mut generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let (name, spec) = (generator.subschema_for::<N>(), generator.subschema_for::<S>());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("KubeOps {kind}"),
        "type": "object",
        "additionalProperties": false,
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": { "const": API_VERSION },
            "kind": { "const": kind },
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

fn unknown_field(pointer: &str, name: &str, known: &[&str]) -> Problem {
    let pointer = format!("{pointer}/{}", escape_pointer(name));
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if known.is_empty() => None,
        None => Some(format!("known are: {}", known.join(", "))),
    };
    Problem { pointer, at_key: true, message: format!("there is no field `{name}` here"), hint }
}

fn explain(error: &jsonschema::ValidationError<'_>, schema: &Value, problems: &mut Vec<Problem>) {
    let pointer = error.instance_path().to_string();
    let problem = |message: String, hint: Option<String>| Problem { pointer: pointer.clone(), at_key: false, message, hint };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let known = known_fields(error, schema);
            problems.extend(unexpected.iter().map(|name| unknown_field(&pointer, name, &known)));
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let hint = beside(error, schema).and_then(|schema| schema["properties"][name]["description"].as_str());
            problems.push(problem(format!("the field `{name}` is missing"), hint.map(|text| format!("{name}: {}", text.trim_end_matches('.')))));
        }
        ValidationErrorKind::Type { kind } => {
            let wanted = match kind {
                TypeKind::Single(kind) => kind.to_string(),
                TypeKind::Multiple(kinds) => kinds.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" or "),
            };
            let hint = in_quotes(error.instance()).filter(|_| wanted == "string");
            problems.push(problem(format!("a value of type {wanted} is wanted here, this is {}", kind_of(error.instance())), hint));
        }
        ValidationErrorKind::Enum { options } => {
            let words = || options.as_array().into_iter().flatten().filter_map(Value::as_str);
            let given: &Value = error.instance();
            let near = || given.as_str().and_then(|given| nearest(given, words())).map(|near| format!("did you mean `{near}`?"));
            let written = given.to_string();
            let quoted = in_quotes(given).filter(|_| words().any(|word| word == written));
            problems.push(problem(format!("{} is not one of {options}", shown(given)), quoted.or_else(near)));
        }
        ValidationErrorKind::Constant { expected_value } => {
            problems.push(problem(format!("{} stands where {expected_value} is wanted", shown(error.instance())), None))
        }
        // Whoever writes a key or a token here shall not find it in a log as well.
        ValidationErrorKind::Pattern { pattern } if pattern == SECRET_NAME => {
            let message = "a secret's name is wanted here, and this is none".to_owned();
            let hint = "put the secret into an environment variable or a file (SECRET_PROVIDER) and write its name: letters, digits, `_`, `.` and `-`. If this is the secret itself, take another one: this one has been read";
            problems.push(problem(message, Some(hint.to_owned())));
        }
        ValidationErrorKind::Pattern { pattern } => {
            problems.push(problem(
                format!("{} does not have the form wanted here", shown(error.instance())),
                Some(match pattern.as_str() {
                    DURATION => "a duration is written like 30s, 10m, 1h30m or 7d".to_owned(),
                    TIME_OF_DAY => "a time of day is written like \"09:00\", from \"00:00\" to \"24:00\"".to_owned(),
                    BLACKOUT_DAY => "a day is written like 2026-12-20, or like 12-20 for every year".to_owned(),
                    pattern => format!("it must match {pattern}"),
                }),
            ));
        }
        ValidationErrorKind::OneOfNotValid { context } if let Some(choices) = Choice::all(error, schema) => {
            choose(error, &choices, context, schema, problems);
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            // An author meant a form for the kind of value that is written. Of several, the one that fits furthest tells most.
            let fitting: Vec<_> = context.iter().filter(|branch| !branch.is_empty() && !wants_another_kind(branch, error)).collect();
            if let [only] = fitting[..] {
                return only.iter().for_each(|error| explain(error, schema, problems));
            }
            match fitting.into_iter().max_by_key(|branch| depth(branch)) {
                Some(branch) if depth(branch) > depth_of(error) => branch.iter().for_each(|error| explain(error, schema, problems)),
                _ => problems.push(problem(format!("{} fits none of the forms allowed here", shown(error.instance())), Some(forms(context)))),
            }
        }
        _ => problems.push(problem(error.masked_with(shown(error.instance())).to_string(), None)),
    }
}

/// What YAML takes for a number or a truth value, as the text that is wanted.
fn in_quotes(value: &Value) -> Option<String> {
    (value.is_number() || value.is_boolean()).then(|| format!("put it in quotes, because YAML reads it as {}: \"{value}\"", kind_of(value)))
}

/// The fields an object may have where one too many was found.
fn known_fields<'s>(error: &jsonschema::ValidationError<'_>, schema: &'s Value) -> Vec<&'s str> {
    let properties = beside(error, schema).and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// The schema that holds the keyword which was violated.
fn beside<'s>(error: &jsonschema::ValidationError<'_>, schema: &'s Value) -> Option<&'s Value> {
    schema.pointer(error.schema_path().as_str().rsplit_once('/').map_or("", |(parent, _)| parent))
}

/// One of several forms a value may have: how serde writes an enum.
enum Choice<'s> {
    /// A word.
    Word(&'s str),
    /// An object with this one field.
    Field(&'s str),
}

impl<'s> Choice<'s> {
    /// The forms, when each is a word or an object of one field.
    fn all(error: &jsonschema::ValidationError<'_>, schema: &'s Value) -> Option<Vec<Self>> {
        beside(error, schema)?.get("oneOf")?.as_array()?.iter().map(Self::of).collect()
    }

    fn of(form: &'s Value) -> Option<Self> {
        let field = || match form.get("required")?.as_array()?.as_slice() {
            [field] if form["properties"].as_object().is_some_and(|fields| fields.len() == 1) => field.as_str(),
            _ => None,
        };
        match form.get("const") {
            Some(word) => word.as_str().map(Self::Word),
            // Several forms with one field that tells them apart are another thing.
            None => field().filter(|field| form["properties"][field].get("const").is_none()).map(Self::Field),
        }
    }

    fn name(&self) -> &'s str {
        match self {
            Self::Word(name) | Self::Field(name) => name,
        }
    }

    /// As an author writes it.
    fn written(&self) -> String {
        match self {
            Self::Word(name) => (*name).to_owned(),
            Self::Field(name) => format!("{{ {name}: ... }}"),
        }
    }
}

/// What is wrong with a value that should be one of `choices`; `context` has what speaks against each.
fn choose(
    error: &jsonschema::ValidationError<'_>,
    choices: &[Choice<'_>],
    context: &[Vec<jsonschema::ValidationError<'static>>],
    schema: &Value,
    problems: &mut Vec<Problem>,
) {
    let instance: &Value = error.instance();
    let meant = match instance {
        Value::String(word) => Some(word.as_str()),
        Value::Object(fields) if fields.len() == 1 => fields.keys().next().map(String::as_str),
        _ => None,
    };
    let chosen = meant.and_then(|meant| choices.iter().position(|choice| choice.name() == meant));
    let message = match (instance, chosen.map(|at| (at, &choices[at]))) {
        // The author meant this one: what is wrong lies within.
        (Value::Object(_), Some((at, Choice::Field(_)))) => {
            return context.get(at).into_iter().flatten().for_each(|error| explain(error, schema, problems));
        }
        (Value::Object(_), Some((_, Choice::Word(word)))) => format!("`{word}` stands alone, without anything in it"),
        (_, Some((_, Choice::Field(field)))) => format!("`{field}` does not stand alone"),
        (Value::Object(_) | Value::Array(_), _) => "exactly one of several forms is wanted here".to_owned(),
        _ => format!("{} is none of the forms allowed here", shown(instance)),
    };
    let near = || meant.and_then(|meant| nearest(meant, choices.iter().map(Choice::name)));
    let wanted = chosen.map(|at| &choices[at]).or_else(|| near().and_then(|near| choices.iter().find(|choice| choice.name() == near)));
    let hint = match (chosen, wanted) {
        (Some(_), Some(choice)) => format!("write {}", choice.written()),
        (None, Some(choice)) => format!("did you mean {}?", choice.written()),
        _ => format!("one of: {}", choices.iter().map(Choice::written).collect::<Vec<_>>().join(", ")),
    };
    problems.push(Problem { pointer: error.instance_path().to_string(), at_key: false, message, hint: Some(hint) });
}

/// Whether a form is for another kind of value than the one that is written: a text where this is an object.
fn wants_another_kind(form: &[jsonschema::ValidationError<'static>], written: &jsonschema::ValidationError<'_>) -> bool {
    form.iter().any(|error| matches!(error.kind(), ValidationErrorKind::Type { .. }) && error.instance_path() == written.instance_path())
}

fn depth_of(error: &jsonschema::ValidationError<'_>) -> usize {
    error.instance_path().to_string().matches('/').count()
        + usize::from(matches!(error.kind(), ValidationErrorKind::AdditionalProperties { .. } | ValidationErrorKind::Required { .. }))
}

fn depth(branch: &[jsonschema::ValidationError<'static>]) -> usize {
    branch.iter().map(depth_of).max().unwrap_or(0)
}

fn forms(context: &[Vec<jsonschema::ValidationError<'static>>]) -> String {
    let forms: Vec<String> = context.iter().filter_map(|branch| branch.first()).map(|error| error.masked_with("it").to_string()).collect();
    forms.join("; or: ")
}

/// A value as a message shows it: what is long or has several lines is hardly a mistake in writing, but may be a secret.
fn shown(value: &Value) -> String {
    const MOST: usize = 80;
    match value {
        Value::String(text) if text.contains('\n') || text.len() > MOST => format!("a text of {} characters", text.chars().count()),
        Value::Object(_) | Value::Array(_) => kind_of(value).to_owned(),
        value => value.to_string(),
    }
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
