//! How long a change is wanted, and how that time begins and ends.

use super::texts::compile_value;
use crate::automation::{MergeMethod, TtlBegin, TtlSpec};
use crate::expression::{Expression, Scope};
use crate::plan::PlanError;
use crate::types::{SpecDuration, SpecError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// The shortest; from the end of a run on, nothing has to pass.
const SHORTEST: Duration = Duration::from_secs(60);
/// The longest time a change may be wanted, also with everything it is extended by.
pub const LONGEST_LIFETIME: Duration = Duration::from_secs(366 * 86_400);
/// Of a shorter time nobody is reminded, unless its author says so.
const WORTH_A_REMINDER: Duration = Duration::from_secs(30 * 60);
/// A reminder comes at least this long before the end, and at most that long.
const REMINDED: (Duration, Duration) = (Duration::from_secs(10 * 60), Duration::from_secs(86_400));

/// How long a change is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    /// The time.
    pub after: SpecDuration,
    /// What it begins with.
    #[serde(default)]
    pub from: TtlBegin,
    /// How long before its end people are reminded; none when they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind: Option<SpecDuration>,
    /// How the forge merges what takes the change back by itself, where it shall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_merge: Option<MergeMethod>,
}

/// A compiled [`TtlSpec`].
pub(super) struct Ttl {
    time: Time,
    from: TtlBegin,
    remind: Option<SpecDuration>,
    auto_merge: Option<MergeMethod>,
}

/// A time to live: known, or the value of an expression.
enum Time {
    Fixed(SpecDuration),
    Expression(Box<Expression>),
}

pub(super) fn compile(spec: Option<&TtlSpec>, names: &[&str], errors: &mut Vec<SpecError>) -> Option<Ttl> {
    let (place, from, remind, auto_merge) = match spec? {
        TtlSpec::After(_) => ("/ttl", TtlBegin::default(), None, None),
        TtlSpec::With(with) => ("/ttl/after", with.from, with.remind, with.auto_merge),
    };
    let time = time(spec?.after(), from, place, names, errors)?;
    if let (Time::Fixed(after), Some(remind)) = (&time, remind.filter(|remind| !remind.get().is_zero()))
        && remind >= *after
    {
        errors.push(SpecError::new("/ttl/remind", format!("people would be reminded {remind} before the end of a time that is {after} in all")));
    }
    Some(Ttl { time, from, remind, auto_merge })
}

fn time(text: &str, from: TtlBegin, place: &str, names: &[&str], errors: &mut Vec<SpecError>) -> Option<Time> {
    match text.parse::<SpecDuration>() {
        Ok(ttl) => match bounded(ttl, from) {
            Ok(ttl) => Some(Time::Fixed(ttl)),
            Err(message) => {
                errors.push(SpecError::new(place, message));
                None
            }
        },
        Err(_) if text.starts_with(|c: char| c.is_ascii_digit()) => {
            let message = format!("{text:?} is no duration");
            errors.push(
                SpecError::new(place, message)
                    .hint("a duration is written like 30m, 4h, 1h30m or 7d; anything else is CEL that gives one, such as parameters.duration"),
            );
            None
        }
        Err(_) => compile_value(text, place, names, errors).map(Box::new).map(Time::Expression),
    }
}

fn bounded(ttl: SpecDuration, from: TtlBegin) -> Result<SpecDuration, String> {
    match ttl.get() {
        time if time < SHORTEST && from == TtlBegin::Finished => Ok(ttl),
        time if time < SHORTEST => Err(format!("a change lives for a minute at least, and this is {ttl}")),
        time if time > LONGEST_LIFETIME => Err(format!("a change lives for 366 days at most, and this is {ttl}")),
        _ => Ok(ttl),
    }
}

/// How long before the end of such a time people are reminded.
fn reminder(after: SpecDuration, said: Option<SpecDuration>) -> Option<SpecDuration> {
    let usual = || {
        let tenth = (after.get() / 10).clamp(REMINDED.0, REMINDED.1);
        (after.get() >= WORTH_A_REMINDER).then(|| SpecDuration::from(tenth))
    };
    // What an expression gives may be shorter than its author thought of.
    said.map_or_else(usual, Some).filter(|remind| !remind.get().is_zero() && *remind < after)
}

impl Ttl {
    /// The time to live for these values; none when an expression is `null`.
    pub(super) fn evaluate(&self, scope: &Scope<'_>) -> Result<Option<Lifetime>, PlanError> {
        let Some(after) = self.time.evaluate(self.from, scope)? else { return Ok(None) };
        Ok(Some(Lifetime { after, from: self.from, remind: reminder(after, self.remind), auto_merge: self.auto_merge }))
    }
}

impl Time {
    fn evaluate(&self, from: TtlBegin, scope: &Scope<'_>) -> Result<Option<SpecDuration>, PlanError> {
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
                bounded(ttl, from).map(Some).map_err(failed)
            }
            _ => Err(failed(format!("`{}` is no text such as 4h", expression.source()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn people_are_reminded_a_tenth_before_the_end_within_bounds() {
        let duration = |text: &str| text.parse::<SpecDuration>().expect(text);
        for (after, said, reminded) in [
            ("29m", None, None),
            ("30m", None, Some("10m")),
            ("4h", None, Some("24m")),
            ("90d", None, Some("1d")),
            ("4h", Some("1h"), Some("1h")),
            ("4h", Some("0s"), None),
            ("10m", Some("1m"), Some("1m")),
            ("1h", Some("2h"), None),
        ] {
            assert_eq!(reminder(duration(after), said.map(duration)), reminded.map(duration), "{after} {said:?}");
        }
    }

    fn compiled(text: &str) -> Result<Ttl, Vec<String>> {
        let (spec, mut errors): (TtlSpec, _) = (serde_norway::from_str(text).expect(text), Vec::new());
        let ttl = compile(Some(&spec), &["after"], &mut errors).filter(|_| errors.is_empty());
        ttl.ok_or_else(|| errors.into_iter().map(|error| format!("{}: {}", error.pointer, error.message)).collect())
    }

    fn scope(after: &str) -> Scope<'static> {
        Scope::new([("parameters", &json!({ "after": after }))])
    }

    #[test]
    fn nothing_has_to_pass_from_the_end_of_a_run_on_and_a_minute_from_anything_else() {
        let short = |text: &str| vec![format!("/ttl/after: a change lives for a minute at least, and this is {text}")];
        for after in ["0s", "1s", "59s"] {
            let ttl = compiled(&format!("{{ after: {after}, from: finished }}")).unwrap_or_else(|errors| panic!("{after}: {errors:?}"));
            let lifetime = ttl.evaluate(&scope("")).expect("a time").expect("an end");
            assert_eq!((lifetime.after, lifetime.remind), (after.parse().expect("a duration"), None), "{after}");
            for from in ["merged", "applied"] {
                assert_eq!(compiled(&format!("{{ after: {after}, from: {from} }}")).err(), Some(short(after)), "{after} {from}");
            }
        }
        assert_eq!(compiled("0s").err(), Some(vec!["/ttl: a change lives for a minute at least, and this is 0s".to_owned()]));
        for from in ["merged", "applied", "finished"] {
            assert!(compiled(&format!("{{ after: 1m, from: {from} }}")).is_ok(), "{from}");
            assert_eq!(
                compiled(&format!("{{ after: 367d, from: {from} }}")).err(),
                Some(vec!["/ttl/after: a change lives for 366 days at most, and this is 367d".to_owned()]),
                "{from}"
            );
        }
    }

    #[test]
    fn what_an_expression_gives_is_held_to_the_same_bounds() {
        let finished = compiled("{ after: parameters.after, from: finished }").unwrap_or_else(|errors| panic!("{errors:?}"));
        let merged = compiled("{ after: parameters.after }").unwrap_or_else(|errors| panic!("{errors:?}"));
        assert_eq!(finished.evaluate(&scope("0s")).expect("a time").expect("an end").after.get(), Duration::ZERO);
        for (ttl, after) in [(&merged, "0s"), (&merged, "59s"), (&finished, "367d"), (&merged, "367d"), (&merged, "soon")] {
            assert!(ttl.evaluate(&scope(after)).is_err(), "{after}");
        }
        assert_eq!(merged.evaluate(&scope("1m")).expect("a time").expect("an end").after.get(), SHORTEST);
    }
}
