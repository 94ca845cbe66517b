//! The address of a field within a document: keys by name, elements of a list by one of their fields, never by their place.
//! It is the spelling the semantic diff shows (`spec.template.spec.containers[name=api].image`), read back.

use super::diff::{push_key, push_name};
use serde_json::Value;
use std::str::FromStr;

/// The most steps of a path: as deep as a document may be.
const MAX_STEPS: usize = 64;
/// The longest path, in bytes.
const MAX_BYTES: usize = 1024;

/// The address of a field: `spec.replicas`, `metadata.annotations["example.com/owner"]`, `spec.ports[name=http].port`.
///
/// ```text
/// path    = first *step
/// first   = name / bracket
/// step    = "." name / bracket
/// bracket = "[" string "]"            a key of any characters, as a JSON string
///         / "[" name "=" value "]"    the element of a list whose field `name` is `value`
///         / "[" "=" value "]"         the element of a list that is `value` itself
/// name    = 1*( letter / digit / "_" / "-" )
/// value   = string / 1*( any character but white space, quotes, "[", "]" )
/// string  = a JSON string, in double quotes
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPath {
    steps: Vec<Step>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// The field of a mapping.
    Key(String),
    /// The element of a list whose field `key` is `value`.
    Element {
        /// The field; empty for the element itself, where a list has scalars.
        key: String,
        /// What it is; a number or a truth value is compared as it is written in JSON.
        value: String,
    },
    /// The element of a list by its place, from 0. No author can write it: it is for what was found just now in this very text.
    Place(usize),
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {column}: {message}")]
pub struct FieldPathError {
    /// What is wrong, and the mend where there is one.
    pub message: String,
    /// The character it is about, from 1.
    pub column: u32,
}

impl From<Vec<Step>> for FieldPath {
    fn from(steps: Vec<Step>) -> Self {
        Self { steps }
    }
}

impl FieldPath {
    /// The steps, at least one.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The path one step further.
    pub fn with(&self, step: Step) -> Self {
        let mut steps = self.steps.clone();
        steps.push(step);
        Self { steps }
    }

    /// Whether one of the two paths is the other, or leads to a part of it.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.steps.iter().zip(&other.steps).all(|(mine, others)| mine == others)
    }

    /// The first `length` steps as a text.
    pub(super) fn prefix(steps: &[Step]) -> String {
        let mut text = String::new();
        for step in steps {
            match step {
                Step::Key(key) => push_key(&mut text, key),
                Step::Element { key, value } => push_name(&mut text, key, value),
                Step::Place(place) => text.push_str(&format!("[{place}]")),
            }
        }
        text
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&Self::prefix(&self.steps))
    }
}

impl FromStr for FieldPath {
    type Err = FieldPathError;

    fn from_str(text: &str) -> Result<Self, FieldPathError> {
        let mut reader = Reader { text, at: 0 };
        if text.len() > MAX_BYTES {
            return Err(reader.fault(format!("a path has {MAX_BYTES} bytes at most")));
        }
        let mut steps = Vec::new();
        while reader.at < text.len() || steps.is_empty() {
            let step = match reader.rest().bytes().next() {
                Some(b'[') => reader.bracket()?,
                Some(b'.') if !steps.is_empty() => {
                    reader.at += 1;
                    Step::Key(reader.name()?)
                }
                _ if steps.is_empty() => Step::Key(reader.name()?),
                _ => return Err(reader.fault("after a step comes `.` or `[`; a key with other characters is written `[\"a.b/c\"]`")),
            };
            if steps.len() == MAX_STEPS {
                return Err(reader.fault(format!("a path has {MAX_STEPS} steps at most")));
            }
            steps.push(step);
        }
        Ok(Self { steps })
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn fault(&self, message: impl Into<String>) -> FieldPathError {
        let column = self.text[..self.at].chars().count() + 1;
        FieldPathError { message: message.into(), column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    /// Letters, digits, `_` and `-`.
    fn name(&mut self) -> Result<String, FieldPathError> {
        let length = self.rest().bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte)).count();
        if length == 0 {
            return Err(self.fault("a key is missing here: letters, digits, `_` and `-`; one with other characters is written `[\"a.b/c\"]`"));
        }
        let name = &self.rest()[..length];
        self.at += length;
        Ok(name.to_owned())
    }

    fn bracket(&mut self) -> Result<Step, FieldPathError> {
        self.at += 1;
        if self.rest().starts_with('"') {
            let key = self.string()?;
            self.close()?;
            return Ok(Step::Key(key));
        }
        let begun = self.at;
        let key = if self.rest().starts_with('=') { String::new() } else { self.name()? };
        if self.rest().starts_with(']') {
            self.at = begun;
            let message = if key.bytes().all(|byte| byte.is_ascii_digit()) {
                "an element is named by one of its fields, not by its place, which changes: `[name=api]`"
            } else {
                "in brackets stands a key in double quotes, `[\"a.b/c\"]`, or an element by one of its fields, `[name=api]`"
            };
            return Err(self.fault(message));
        }
        if !self.rest().starts_with('=') {
            return Err(self.fault("an element is named by one of its fields: `[name=api]`"));
        }
        self.at += 1;
        let value = if self.rest().starts_with('"') { self.string()? } else { self.bare()? };
        self.close()?;
        Ok(Step::Element { key, value })
    }

    fn bare(&mut self) -> Result<String, FieldPathError> {
        let allowed = |c: char| !c.is_whitespace() && !c.is_control() && !"\"'[]".contains(c);
        let value: String = self.rest().chars().take_while(|c| allowed(*c)).collect();
        if value.is_empty() {
            return Err(self.fault("the value of the element's field is missing: `[name=api]`, or `[name=\"any text\"]`"));
        }
        self.at += value.len();
        Ok(value)
    }

    /// A JSON string.
    fn string(&mut self) -> Result<String, FieldPathError> {
        let mut read = serde_json::Deserializer::from_str(self.rest()).into_iter::<Value>();
        match read.next() {
            Some(Ok(Value::String(text))) => {
                self.at += read.byte_offset();
                Ok(text)
            }
            _ => Err(self.fault("the text in double quotes is not closed, or has an escape that JSON does not know")),
        }
    }

    fn close(&mut self) -> Result<(), FieldPathError> {
        if !self.rest().starts_with(']') {
            return Err(self.fault("`]` is missing here"));
        }
        self.at += 1;
        Ok(())
    }
}

impl Step {
    /// The field of a mapping.
    pub fn key(name: &str) -> Self {
        Self::Key(name.to_owned())
    }

    /// Whether `value`, the field of an element, is the one meant.
    pub(super) fn names(wanted: &str, value: &Value) -> bool {
        scalar_text(value).is_some_and(|text| text == wanted)
    }
}

/// A scalar as it is compared and shown; none for what is no scalar.
pub(super) fn scalar_text(value: &Value) -> Option<std::borrow::Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(flag) => Some(if *flag { "true" } else { "false" }.into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
