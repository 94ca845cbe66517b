//! How long a change is wanted.

use super::texts::compile_value;
use crate::expression::{Expression, Scope};
use crate::plan::PlanError;
use crate::types::{SpecDuration, SpecError};
use serde_json::Value;
use std::time::Duration;

/// The shortest and the longest.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A time to live: known, or the value of an expression.
pub(super) enum Ttl {
    Fixed(SpecDuration),
    Expression(Box<Expression>),
}

pub(super) fn compile(spec: Option<&str>, names: &[&str], errors: &mut Vec<SpecError>) -> Option<Ttl> {
    let text = spec?;
    match text.parse::<SpecDuration>() {
        Ok(ttl) => match bounded(ttl) {
            Ok(ttl) => Some(Ttl::Fixed(ttl)),
            Err(message) => {
                errors.push(SpecError::new("/ttl", message));
                None
            }
        },
        Err(_) if text.starts_with(|c: char| c.is_ascii_digit()) => {
            let message = format!("{text:?} is no duration");
            errors.push(
                SpecError::new("/ttl", message)
                    .hint("a duration is written like 30m, 4h, 1h30m or 7d; anything else is CEL that gives one, such as parameters.duration"),
            );
            None
        }
        Err(_) => compile_value(text, "/ttl", names, errors).map(Box::new).map(Ttl::Expression),
    }
}

fn bounded(ttl: SpecDuration) -> Result<SpecDuration, String> {
    match ttl.get() {
        time if time < SHORTEST => Err(format!("a change lives for a minute at least, and this is {ttl}")),
        time if time > LONGEST => Err(format!("a change lives for 366 days at most, and this is {ttl}")),
        _ => Ok(ttl),
    }
}

impl Ttl {
    /// The time to live for these values; none when an expression is `null`.
    pub(super) fn evaluate(&self, scope: &Scope<'_>) -> Result<Option<SpecDuration>, PlanError> {
        let expression = match self {
            Self::Fixed(ttl) => return Ok(Some(*ttl)),
            Self::Expression(expression) => expression,
        };
        let failed = |message: String| PlanError::Text { place: "ttl".to_owned(), message };
        let value = expression.evaluate(scope).map_err(|error| failed(format!("`{}` has no value: {error}", expression.source())))?;
        match value {
            Value::Null => Ok(None),
            Value::String(text) => {
                let ttl = text.parse::<SpecDuration>().map_err(|error| failed(error.to_string()))?;
                bounded(ttl).map(Some).map_err(failed)
            }
            _ => Err(failed(format!("`{}` is no text such as 4h", expression.source()))),
        }
    }
}
