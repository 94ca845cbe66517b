//! A request's parameters: read from the event, completed by defaults, held against their schema; every failure at once.

use super::{compile_at, model::ParameterSpec, no_value};
use crate::expression::{EvaluationError, Expression, Scope};
use crate::types::{SpecError, look_around, nearest};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The longest text shown of a refused value.
const SHOWN: usize = 80;

/// The parameters of an automation, compiled.
pub struct Parameters {
    each: Vec<Parameter>,
    schema: Value,
    validator: jsonschema::Validator,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    from: Option<Expression>,
    default: Option<Value>,
    required: bool,
}

/// Why one parameter is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterError {
    /// The parameter.
    pub parameter: String,
    /// What is wrong and what is allowed, in a sentence.
    pub message: String,
}

impl std::fmt::Debug for Parameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.each).finish()
    }
}

impl Parameters {
    pub(super) fn compile(specs: &BTreeMap<String, ParameterSpec>) -> Result<Self, Vec<SpecError>> {
        let mut errors = Vec::new();
        let mut each = Vec::new();
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for (name, spec) in specs {
            let at = format!("/parameters/{}", escape(name));
            if !is_identifier(name) {
                errors.push(
                    SpecError::new(&at, format!("{name:?} cannot be a parameter's name")).hint("letters, digits and `_`, not starting with a digit"),
                );
            }
            let from = spec.from.as_deref().and_then(|text| compile_at(text, &format!("{at}/from"), super::EVENT_VARIABLES, &mut errors));
            let schema = Value::Object(spec.schema.clone());
            match validator(&schema) {
                Ok(validator) => check_default(spec, &validator, &at, &mut errors),
                Err(message) => errors.push(SpecError::new(format!("{at}/schema"), format!("not a valid JSON Schema: {message}"))),
            }
            let is_required = spec.default.is_none() && !spec.optional;
            if is_required {
                required.push(Value::String(name.clone()));
            }
            properties.insert(name.clone(), schema);
            each.push(Parameter { name: name.clone(), from, default: spec.default.clone(), required: is_required });
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let schema = serde_json::json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required });
        let validator = validator(&schema).map_err(|message| vec![SpecError::new("/parameters", message)])?;
        Ok(Self { each, schema, validator })
    }

    /// The JSON Schema of all parameters together, an object.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// The same, each parameter with the default that stands in its place when nobody gives it: as a person or a model is shown it.
    pub fn schema_with_defaults(&self) -> Value {
        let mut schema = self.schema.clone();
        for parameter in &self.each {
            let Some(default) = &parameter.default else { continue };
            if let Some(Value::Object(property)) = schema.get_mut("properties").and_then(|properties| properties.get_mut(&parameter.name)) {
                property.entry("default").or_insert_with(|| default.clone());
            }
        }
        schema
    }

    /// The parameters' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.each.iter().map(|parameter| parameter.name.as_str())
    }

    /// Reads every parameter from the event.
    ///
    /// # Errors
    /// Every parameter that is missing or does not fit its schema.
    pub fn read(&self, scope: &Scope<'_>) -> Result<Map<String, Value>, Vec<ParameterError>> {
        let mut values = Map::new();
        let mut errors = Vec::new();
        for parameter in &self.each {
            let found = match &parameter.from {
                None => None,
                Some(from) => match from.evaluate(scope) {
                    // Jira sends `null` for a field nobody filled in: that is "not given".
                    Ok(Value::Null) | Err(EvaluationError::Missing(_)) => None,
                    Ok(value) => Some(value),
                    Err(error) => {
                        errors.push(ParameterError { parameter: parameter.name.clone(), message: no_value(from.source(), &error) });
                        continue;
                    }
                },
            };
            match found.or_else(|| parameter.default.clone()) {
                Some(value) => drop(values.insert(parameter.name.clone(), value)),
                None if parameter.required => errors.push(missing(parameter)),
                None => {}
            }
        }
        self.check(&values, &mut errors);
        if errors.is_empty() { Ok(values) } else { Err(errors) }
    }

    /// Completes and checks parameters a person gave.
    ///
    /// # Errors
    /// Every parameter that is unknown, missing or does not fit its schema.
    pub fn complete(&self, mut given: Map<String, Value>) -> Result<Map<String, Value>, Vec<ParameterError>> {
        let mut errors = Vec::new();
        for parameter in &self.each {
            if given.get(&parameter.name).is_some_and(|value| !value.is_null()) {
                continue;
            }
            match &parameter.default {
                Some(value) => drop(given.insert(parameter.name.clone(), value.clone())),
                // Who asks gives it: where events have it does not matter.
                None if parameter.required => {
                    errors.push(ParameterError { parameter: parameter.name.clone(), message: "is required".to_owned() });
                }
                None => drop(given.remove(&parameter.name)),
            }
        }
        self.check(&given, &mut errors);
        if errors.is_empty() { Ok(given) } else { Err(errors) }
    }

    fn check(&self, values: &Map<String, Value>, errors: &mut Vec<ParameterError>) {
        let instance = Value::Object(values.clone());
        for error in self.validator.iter_errors(&instance) {
            let pointer = error.instance_path().to_string();
            let parameter = pointer.trim_start_matches('/').split('/').next().unwrap_or_default().replace("~1", "/").replace("~0", "~");
            if parameter.is_empty() {
                // Missing ones are told already, with where they were looked for.
                for unknown in values.keys().filter(|name| !self.names().any(|known| known == name.as_str())) {
                    let known: Vec<&str> = self.names().collect();
                    let message = match nearest(unknown, known.iter().copied()) {
                        Some(near) => format!("there is no such parameter; did you mean {near}?"),
                        None => format!("there is no such parameter; known are: {}", known.join(", ")),
                    };
                    let error = ParameterError { parameter: unknown.clone(), message };
                    if !errors.contains(&error) {
                        errors.push(error);
                    }
                }
                continue;
            }
            errors.push(ParameterError { parameter, message: shorten(&error.to_string()) });
        }
    }
}

fn missing(parameter: &Parameter) -> ParameterError {
    let message = match &parameter.from {
        Some(from) => format!("is required, and `{}` finds nothing", from.source()),
        None => "is required".to_owned(),
    };
    ParameterError { parameter: parameter.name.clone(), message }
}

fn check_default(spec: &ParameterSpec, validator: &jsonschema::Validator, at: &str, errors: &mut Vec<SpecError>) {
    if let Some(default) = &spec.default
        && let Some(error) = validator.iter_errors(default).next()
    {
        errors.push(SpecError::new(format!("{at}/default"), format!("the default does not fit the schema: {}", shorten(&error.to_string()))));
    }
}

/// A validator whose patterns run in linear time and which reaches for nothing outside the schema.
fn validator(schema: &Value) -> Result<jsonschema::Validator, String> {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .should_validate_formats(true)
        .build(schema)
        .map_err(|error| look_around(schema).unwrap_or_else(|| shorten(&error.to_string())))
}

fn shorten(text: &str) -> String {
    let mut words = Vec::new();
    for word in text.split(' ') {
        if word.chars().count() > SHOWN {
            words.push(format!("{}…", word.chars().take(SHOWN).collect::<String>()))
        } else {
            words.push(word.to_owned())
        }
    }
    words.join(" ").chars().take(400).collect()
}

fn is_identifier(name: &str) -> bool {
    name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A key as a part of a JSON pointer (RFC 6901).
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
