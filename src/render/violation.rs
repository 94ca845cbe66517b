//! What a parameter schema has against parameters, in words: what was given, what was probably meant, and what the parameter is for.
//! It never tells more of a value than a line, because a value may be long.

use super::Violation;
use crate::types::nearest;
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

const MAX_MESSAGE: usize = 300;
const MAX_SHOWN: usize = 60;

/// The violations that one complaint of `schema` is: several where several parameters are unknown.
pub(super) fn of(error: &ValidationError<'_>, schema: &Value) -> Vec<Violation> {
    let pointer = error.instance_path().to_string();
    let found = shown(error.instance().as_ref());
    let one = |message: String, hint: Option<String>| {
        vec![Violation { pointer: pointer.clone(), message: message.chars().take(MAX_MESSAGE).collect(), hint }]
    };
    let meaning = || meaning(schema, &pointer);
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = beside(error, schema).and_then(|schema| schema.get("properties")).and_then(Value::as_object);
            let known: Vec<&str> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            unexpected.iter().flat_map(|name| one(format!("there is no parameter `{name}`"), Some(meant(name, &known)))).collect()
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let purpose = beside(error, schema).and_then(|schema| schema["properties"][name]["description"].as_str());
            one(format!("the parameter `{name}` is missing"), purpose.map(|purpose| format!("{name}: {purpose}")))
        }
        ValidationErrorKind::Type { kind } => one(format!("{found} is no {}", types(kind)), meaning()),
        ValidationErrorKind::Enum { options } => {
            let words: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let near = error.instance().as_ref().as_str().and_then(|given| nearest(given, words.iter().copied()));
            one(format!("{found} is not one of {options}"), near.map(|near| format!("did you mean `{near}`?")).or_else(meaning))
        }
        ValidationErrorKind::Pattern { pattern } => one(format!("{found} does not match the pattern {pattern}"), meaning()),
        ValidationErrorKind::Not { schema } if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) => {
            one(format!("{found} is not allowed: it matches {pattern}"), meaning())
        }
        ValidationErrorKind::Minimum { limit } => one(format!("{found} is less than {limit}, the least that is allowed"), meaning()),
        ValidationErrorKind::Maximum { limit } => one(format!("{found} is more than {limit}, the most that is allowed"), meaning()),
        ValidationErrorKind::MinLength { limit } => one(format!("{found} is shorter than {limit} characters"), meaning()),
        ValidationErrorKind::MaxLength { limit } => one(format!("{found} is longer than {limit} characters"), meaning()),
        ValidationErrorKind::MinItems { limit } => one(format!("{found} has fewer than {limit} items"), meaning()),
        ValidationErrorKind::MaxItems { limit } => one(format!("{found} has more than {limit} items"), meaning()),
        _ => one(error.masked_with(found.as_str()).to_string(), meaning()),
    }
}

/// What a name was meant to be, or all that it could be.
fn meant(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there are none here".to_owned(),
        None => format!("known are: {}", known.join(", ")),
    }
}

/// The description of what stands at a pointer into the parameters, or of the nearest thing above it that has one.
fn meaning(schema: &Value, pointer: &str) -> Option<String> {
    let (mut schema, mut told) = (schema, None);
    for step in pointer.split('/').skip(1) {
        let named = schema.get("properties").and_then(|properties| properties.get(step));
        schema = named.or_else(|| schema.get("items")).or_else(|| schema.get("additionalProperties"))?;
        told = schema.get("description").and_then(Value::as_str).or(told);
    }
    told.map(str::to_owned)
}

/// The schema that holds the keyword which was violated.
fn beside<'s>(error: &ValidationError<'_>, schema: &'s Value) -> Option<&'s Value> {
    schema.pointer(error.schema_path().as_str().rsplit_once('/').map_or("", |(parent, _)| parent))
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(kind) => kind.to_string(),
        TypeKind::Multiple(kinds) => kinds.iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" or "),
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Object(_) => return "this mapping".to_owned(),
        Value::Array(_) => return "this list".to_owned(),
        value => value.to_string(),
    };
    if text.chars().count() <= MAX_SHOWN { text } else { text.chars().take(MAX_SHOWN).chain(['…']).collect() }
}
