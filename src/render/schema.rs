//! A template's parameter schema: JSON Schema 2020-12, closed, described, checked at load and compiled at first use.
//! It fetches nothing: a reference that leaves the document is an error. Patterns run in linear time.

use super::{Violation, violation};
use crate::types::look_around;
use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};
use std::sync::OnceLock;

const PURPOSE_OF_DESCRIPTION: &str = "forms and editors show it to the person who fills it in";
const MAX_VIOLATIONS: usize = 50;

/// A compiled schema.
pub(super) struct ParameterSchema {
    pub document: Value,
    /// Compiled when first used: it takes some 150 KiB, and few of a large catalogue's templates are in use.
    validator: OnceLock<Option<Validator>>,
}

impl ParameterSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Every rule of the house it breaks, or what makes it no JSON Schema; each with a JSON pointer and a hint.
    pub fn compile(document: Value) -> Result<Self, Vec<(String, String, String)>> {
        let mut faults = Vec::new();
        if document.get("type") != Some(&Value::from("object")) {
            faults.push((String::new(), "the schema is not of type object".into(), "write \"type\": \"object\"".into()));
        }
        if document.get("additionalProperties") != Some(&Value::Bool(false)) {
            let hint = "write \"additionalProperties\": false, so that a misspelt parameter is refused";
            faults.push((String::new(), "the schema is open".into(), hint.into()));
        }
        described(&document, "", &mut faults);
        if let Some(properties) = document.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                described(property, &format!("/properties/{name}"), &mut faults);
            }
        }
        match build(&document) {
            Ok(validator) if faults.is_empty() => {
                if let Err(error) = defaults_fit(&document, &validator) {
                    faults.push(error);
                    return Err(faults);
                }
                Ok(Self { document, validator: OnceLock::from(Some(validator)) })
            }
            Ok(_) => Err(faults),
            Err(error) => {
                let hint = look_around(&document).unwrap_or_default();
                faults.push((error.instance_path().to_string(), format!("not a JSON Schema of 2020-12: {error}"), hint));
                Err(faults)
            }
        }
    }

    /// The same without its compiled form, which comes back when it is needed.
    pub fn at_rest(self) -> Self {
        Self { document: self.document, validator: OnceLock::new() }
    }

    /// Every violation, at most 50.
    pub fn violations(&self, parameters: &Value) -> Vec<Violation> {
        let Some(validator) = self.validator.get_or_init(|| build(&self.document).ok()) else {
            // It compiled when the catalogue was loaded.
            return vec![Violation { pointer: String::new(), message: "the template's schema does not compile".to_owned(), hint: None }];
        };
        validator.iter_errors(parameters).flat_map(|error| violation::of(&error, &self.document)).take(MAX_VIOLATIONS).collect()
    }

    /// The parameters with the schema's defaults for what is missing, also within objects that are given.
    pub fn with_defaults(&self, parameters: &Map<String, Value>) -> Map<String, Value> {
        fill(&self.document, parameters)
    }
}

fn build(document: &Value) -> Result<Validator, jsonschema::ValidationError<'static>> {
    let patterns = PatternOptions::regex().size_limit(1 << 20);
    jsonschema::draft202012::options().with_pattern_options(patterns).should_validate_formats(true).offline().build(document)
}

fn described(schema: &Value, pointer: &str, faults: &mut Vec<(String, String, String)>) {
    for word in ["title", "description"] {
        if schema.get(word).and_then(Value::as_str).is_none_or(|text| text.trim().is_empty()) {
            faults.push((pointer.to_owned(), format!("there is no {word}"), format!("add a \"{word}\": {PURPOSE_OF_DESCRIPTION}")));
        }
    }
}

/// Each default by itself has to be allowed by its own property.
fn defaults_fit(document: &Value, validator: &Validator) -> Result<(), (String, String, String)> {
    let empty = fill(document, &Map::new());
    for (name, value) in &empty {
        let alone = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
        let wrong = validator.iter_errors(&alone).find(|error| error.instance_path().to_string().starts_with('/'));
        if let Some(error) = wrong {
            return Err((format!("/properties/{name}/default"), format!("the default breaks the schema: {error}"), String::new()));
        }
    }
    Ok(())
}

fn fill(schema: &Value, given: &Map<String, Value>) -> Map<String, Value> {
    let mut filled = given.clone();
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return filled };
    for (name, property) in properties {
        match filled.get_mut(name) {
            Some(value) => fill_within(property, value),
            None => {
                if let Some(default) = property.get("default") {
                    let mut value = default.clone();
                    fill_within(property, &mut value);
                    filled.insert(name.clone(), value);
                }
            }
        }
    }
    filled
}

fn fill_within(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => *fields = fill(schema, fields),
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items.iter_mut().for_each(|item| fill_within(schema, item));
            }
        }
        _ => {}
    }
}
