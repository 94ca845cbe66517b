//! The fields of `allow[].fields`: each with everything below it.

use super::compare::Step;
use crate::manifest::{self, FieldPath};
use serde_json::Value;

/// The most steps of a pattern.
const MAX_STEPS: usize = 64;

/// A field, or several: `spec.replicas`, `metadata.labels.*`, `spec.template.spec.containers[*].resources`.
#[derive(Debug)]
pub(crate) struct FieldPattern {
    source: String,
    steps: Vec<PatternStep>,
}

/// One step of a pattern.
#[derive(Debug)]
pub(crate) enum PatternStep {
    /// A field of a mapping.
    Key(String),
    /// `*`: any field of a mapping.
    AnyKey,
    /// `[*]`: any element of a list.
    AnyElement,
    /// `[name=api]`: the element whose field is this.
    Element { key: String, value: String },
}

impl FieldPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The sentence that says what is wrong with it.
    pub(crate) fn compile(source: &str) -> Result<Self, String> {
        let (mut steps, mut rest) = (Vec::new(), source);
        while !rest.is_empty() || steps.is_empty() {
            if steps.len() == MAX_STEPS {
                return Err(format!("`{source}` has more than {MAX_STEPS} steps"));
            }
            if !steps.is_empty() && !rest.starts_with('[') {
                rest = rest.strip_prefix('.').ok_or_else(|| format!("`{source}`: after a step comes `.` or `[`"))?;
            }
            let end = if rest.starts_with('[') { bracket(rest) } else { rest.find(['.', '[']) };
            let (step, behind) = rest.split_at(end.unwrap_or(rest.len()));
            steps.push(match step {
                "*" => PatternStep::AnyKey,
                "[*]" => PatternStep::AnyElement,
                step => one(step).map_err(|message| format!("`{source}`: {message}"))?,
            });
            rest = behind;
        }
        Ok(Self { source: source.to_owned(), steps })
    }

    /// Its steps, outermost first.
    pub(crate) fn steps(&self) -> &[PatternStep] {
        &self.steps
    }

    /// Whether what stands at the path is the field, or lies below it.
    pub(super) fn covers(&self, path: &[Step<'_>]) -> bool {
        self.steps.len() <= path.len() && self.steps.iter().zip(path).all(|(wanted, step)| wanted.is(step))
    }
}

impl std::fmt::Display for FieldPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.source)
    }
}

impl PatternStep {
    fn is(&self, step: &Step<'_>) -> bool {
        match (self, step) {
            (Self::Key(wanted), Step::Key(key)) => wanted == key,
            (Self::AnyKey, Step::Key(_)) | (Self::AnyElement, Step::Element { .. }) => true,
            (Self::Element { key, value }, Step::Element { old, new, .. }) => {
                let says = |element: &Option<&Value>| element.is_none_or(|element| is(element, key, value));
                says(old) && says(new)
            }
            _ => false,
        }
    }
}

/// Whether the field `key` of an element, or the element itself for an empty key, is `value`.
fn is(element: &Value, key: &str, value: &str) -> bool {
    match if key.is_empty() { Some(element) } else { element.get(key) } {
        Some(Value::String(text)) => text == value,
        Some(Value::Number(number)) => number.to_string() == value,
        Some(Value::Bool(flag)) => (if *flag { "true" } else { "false" }) == value,
        _ => false,
    }
}

/// Where a bracket ends that a text begins with; what is in double quotes is a JSON string.
fn bracket(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ']' if !quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn one(step: &str) -> Result<PatternStep, String> {
    let path: FieldPath = step.parse().map_err(|error: manifest::FieldPathError| error.message)?;
    match path.steps() {
        [manifest::Step::Key(key)] => Ok(PatternStep::Key(key.clone())),
        [manifest::Step::Element { key, value }] => Ok(PatternStep::Element { key: key.clone(), value: value.clone() }),
        _ => Err("a step is a key, an element (`[name=api]`), `*` or `[*]`".to_owned()),
    }
}
