//! A schema's complaints in words: what was expected, what was found, and what was probably meant.

use crate::manifest::shown_path;
use crate::validate::nearest;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value};

/// One thing that a schema has against an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::validate) struct Fault {
    /// `schema.type`, `schema.required`, `schema.unknown_field`, `schema.value`, `schema.other`.
    pub(in crate::validate) rule: &'static str,
    /// JSON pointer within the object.
    pub(in crate::validate) pointer: String,
    /// What is wrong.
    pub(in crate::validate) message: String,
    /// What was probably meant.
    pub(in crate::validate) hint: Option<String>,
}

/// Faults of one object that are told; a file that is wrong all over need not fill a page.
const MAX_FAULTS: usize = 50;
const SHOWN_CHARACTERS: usize = 60;

/// A fault of no further kind.
pub(super) fn fault(pointer: String, message: String) -> Fault {
    Fault { rule: "schema.other", pointer, message, hint: None }
}

pub(super) fn faults(validator: &Validator, schema: &Value, object: &Value) -> Vec<Fault> {
    let secret = object.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.contains("Secret"));
    let mut faults: Vec<Fault> = validator.iter_errors(object).take(MAX_FAULTS).flat_map(|error| explain(&error, schema, object, secret)).collect();
    faults.truncate(MAX_FAULTS);
    faults
}

fn explain(error: &ValidationError<'_>, schema: &Value, object: &Value, secret: bool) -> Vec<Fault> {
    let pointer = error.instance_path().as_str().to_owned();
    let found = error.instance().as_ref();
    let shown = if secret { kind_of(found).to_owned() } else { describe(found) };
    let field = field_of(object, &pointer);
    let fault = |rule, message, hint| vec![Fault { rule, pointer: pointer.clone(), message, hint }];
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let parent = error.schema_path().as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
            let known = schema.pointer(parent).and_then(|schema| schema.get("properties")).and_then(Value::as_object);
            unexpected.iter().map(|name| unknown_field((&pointer, &field), name, known, found)).collect()
        }
        ValidationErrorKind::Type { kind } => {
            let expected = expected_types(kind);
            fault("schema.type", format!("{field}: expected {}, found {shown}", join(&expected)), type_hint(&expected, found))
        }
        ValidationErrorKind::Required { property } => {
            let missing = property.as_str().unwrap_or_default();
            let place = if pointer.is_empty() { String::new() } else { format!(" in {field}") };
            fault("schema.required", format!("`{missing}` is missing{place}"), None)
        }
        ValidationErrorKind::Enum { options } => {
            let options: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let hint = found.as_str().and_then(|found| nearest(found, options.iter().copied())).map(|near| format!("did you mean `{near}`?"));
            fault("schema.value", format!("{field}: expected one of {}, found {shown}", options.join(", ")), hint)
        }
        // Of Kubernetes' own kinds, quantities are the one thing that has a pattern.
        ValidationErrorKind::Pattern { pattern } if pattern.contains("Ki|Mi|Gi") => {
            fault("schema.value", format!("{field}: {shown} is no quantity"), Some("a quantity looks like `2`, `0.5`, `500m` or `512Mi`".to_owned()))
        }
        ValidationErrorKind::Pattern { pattern } => fault("schema.value", format!("{field}: {shown} does not match `{pattern}`"), None),
        // How a mapping without any field is closed.
        ValidationErrorKind::MaxProperties { limit: 0 } => {
            found.as_object().into_iter().flat_map(Map::keys).map(|name| unknown_field((&pointer, &field), name, None, found)).collect()
        }
        ValidationErrorKind::OneOfMultipleValid { .. } => {
            fault("schema.value", format!("{field}: {shown} fits several of the forms of which exactly one is allowed"), None)
        }
        ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
            let hint = forms(error, schema).map(|forms| format!("one of these has to be there: {forms}"));
            fault("schema.value", format!("{field}: {shown} fits none of the forms allowed"), hint)
        }
        ValidationErrorKind::Minimum { limit } => fault("schema.value", format!("{field}: expected {limit} or more, found {shown}"), None),
        ValidationErrorKind::Maximum { limit } => fault("schema.value", format!("{field}: expected {limit} or less, found {shown}"), None),
        kind => fault("schema.other", format!("{field}: {shown} does not satisfy `{}`", kind.keyword()), None),
    }
}

/// The fields of which each form wants its own, when that is all they differ in.
fn forms(error: &ValidationError<'_>, schema: &Value) -> Option<String> {
    let forms = schema.pointer(error.schema_path().as_str())?.as_array()?;
    let wanted = |form: &Value| {
        let names: Vec<&str> = form.get("required")?.as_array()?.iter().filter_map(Value::as_str).collect();
        (form.as_object()?.len() == 1 && !names.is_empty()).then(|| names.join(" with "))
    };
    forms.iter().map(wanted).collect::<Option<Vec<_>>>().map(|forms| forms.join(", "))
}

fn unknown_field((pointer, place): (&str, &str), name: &str, known: Option<&Map<String, Value>>, object: &Value) -> Fault {
    // A field that is there already was not misspelt.
    let free = known.into_iter().flat_map(Map::keys).map(String::as_str).filter(|key| object.get(key).is_none());
    let hint = match nearest(name, free) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None => known.filter(|known| known.len() <= 12).map(|known| format!("known are {}", known.keys().cloned().collect::<Vec<_>>().join(", "))),
    };
    let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
    Fault { rule: "schema.unknown_field", pointer, message: format!("{place} has no field `{name}`"), hint }
}

fn field_of(object: &Value, pointer: &str) -> String {
    if pointer.is_empty() { "the object".to_owned() } else { format!("`{}`", shown_path(object, pointer)) }
}

fn expected_types(kind: &TypeKind) -> Vec<String> {
    let types: Vec<String> = match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(several) => several.iter().map(|one| one.to_string()).collect(),
    };
    // Kubernetes takes null for "not set" nearly everywhere; saying so would only blur what is wanted.
    types.into_iter().filter(|name| name != "null").collect()
}

fn join(names: &[String]) -> String {
    let article = |name: &String| {
        let plain = match name.as_str() {
            "object" => "a mapping",
            "array" => "a list",
            "string" => "text",
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "true or false",
            other => other,
        };
        plain.to_owned()
    };
    names.iter().map(article).collect::<Vec<_>>().join(" or ")
}

fn type_hint(expected: &[String], found: &Value) -> Option<String> {
    let wants = |name: &str| expected.iter().any(|expected| expected == name);
    match found {
        Value::String(text)
            if (wants("integer") && text.parse::<i64>().is_ok()) || (wants("boolean") && matches!(text.as_str(), "true" | "false")) =>
        {
            Some("write it without quotes".to_owned())
        }
        Value::Number(_) | Value::Bool(_) if wants("string") => Some("put it in quotes".to_owned()),
        Value::Object(_) if wants("array") => Some("a list has a `-` before each element".to_owned()),
        _ => None,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => kind_of(value).to_owned(),
        Value::Bool(flag) => format!("`{flag}`"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.chars().count() > SHOWN_CHARACTERS => {
            format!("the text {:?}...", text.chars().take(SHOWN_CHARACTERS).collect::<String>())
        }
        Value::String(text) => format!("the text {text:?}"),
    }
}
