//! A length of time as resources write it: `30s`, `10m`, `1h30m`, as Prometheus and Kubernetes do.

use super::ParseError;
use std::{fmt, str::FromStr, time::Duration};

/// The units, the largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// The longest: a hundred years.
const LONGEST: u64 = 36_525 * 86_400_000;
const RULE: &str = "it is numbers with units, the largest first and each once: d, h, m, s, ms; such as 30s, 10m or 1h30m";

/// A length of time, in whole milliseconds; at most a hundred years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpecDuration(u64);

impl SpecDuration {
    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// As the standard library has it.
    pub fn get(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl From<Duration> for SpecDuration {
    /// To the millisecond, and at most a hundred years.
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_millis()).unwrap_or(LONGEST).min(LONGEST))
    }
}

impl FromStr for SpecDuration {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError::new("duration", text, RULE);
        let (mut rest, mut total, mut units) = (text, 0_u64, UNITS.iter());
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().map_err(|_| refuse())?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            // Units behind the one before alone: each stands once, the largest first.
            let (_, millis) = units.find(|(unit, _)| *unit == &rest[..letters]).ok_or_else(refuse)?;
            rest = &rest[letters..];
            total = number.checked_mul(*millis).and_then(|part| total.checked_add(part)).filter(|total| *total <= LONGEST).ok_or_else(refuse)?;
        }
        if text.is_empty() { Err(refuse()) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for SpecDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut left = self.0;
        for (unit, millis) in UNITS {
            if left >= millis {
                write!(f, "{}{unit}", left / millis)?;
                left %= millis;
            }
        }
        Ok(())
    }
}

impl serde::Serialize for SpecDuration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SpecDuration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The form of a [`SpecDuration`].
pub(crate) const DURATION: &str = "^(?:[0-9]+d(?:[0-9]+h)?(?:[0-9]+m)?(?:[0-9]+s)?(?:[0-9]+ms)?|[0-9]+h(?:[0-9]+m)?(?:[0-9]+s)?(?:[0-9]+ms)?|[0-9]+m(?:[0-9]+s)?(?:[0-9]+ms)?|[0-9]+s(?:[0-9]+ms)?|[0-9]+ms)$";

impl schemars::JsonSchema for SpecDuration {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": DURATION })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_and_written_as_people_write_it() {
        for (text, millis, written) in [
            ("30s", 30_000, "30s"),
            ("10m", 600_000, "10m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90m", 5_400_000, "1h30m"),
            ("7d", 604_800_000, "7d"),
            ("1500ms", 1500, "1s500ms"),
            ("1d2h3m4s5ms", 93_784_005, "1d2h3m4s5ms"),
            ("0s", 0, "0s"),
        ] {
            let duration: SpecDuration = text.parse().expect(text);
            assert_eq!((duration.get(), duration.to_string().as_str()), (Duration::from_millis(millis), written), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_also_by_the_schema() {
        let mut generator = schemars::SchemaGenerator::default();
        let schema = <SpecDuration as schemars::JsonSchema>::json_schema(&mut generator);
        let validator = jsonschema::validator_for(schema.as_value()).expect("a schema");
        for text in ["", "30", "s", "1m1h", "1s1s", "-1s", "1.5h", "1 h", "1w", "30S", "ten minutes", "1h "] {
            assert!(text.parse::<SpecDuration>().is_err(), "{text:?}");
            assert!(!validator.is_valid(&text.into()), "{text:?}");
        }
        for text in ["30s", "1h30m", "1d5ms", "0s"] {
            assert!(validator.is_valid(&text.into()), "{text:?}");
        }
        assert!("99999999999d".parse::<SpecDuration>().is_err(), "beyond every calendar");
        assert!("99999999999999999999s".parse::<SpecDuration>().is_err());
    }
}
