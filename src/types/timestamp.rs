//! A moment in milliseconds since 1970-01-01T00:00:00Z, written as RFC 3339.

use super::ParseError;
use std::{fmt, str::FromStr, time::Duration};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment, in milliseconds since the Unix epoch; on the wire RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `millis` milliseconds after the Unix epoch, held within the years 0001 to 9999.
    pub fn from_unix_millis(millis: i64) -> Self {
        Self(millis.clamp(-62_135_596_800_000, 253_402_300_799_999))
    }

    /// Milliseconds since the Unix epoch.
    pub fn unix_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down: the resolution of a git commit.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_unix_millis(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The moment `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self::from_unix_millis(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000).map_err(|_| fmt::Error)?;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            moment.year(),
            u8::from(moment.month()),
            moment.day(),
            moment.hour(),
            moment.minute(),
            moment.second(),
            moment.millisecond()
        )
    }
}

impl FromStr for Timestamp {
    type Err = ParseError;

    /// Reads RFC 3339, and the offset without a colon (`+0100`) that Jira writes.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut owned = text.to_owned();
        let bytes = text.as_bytes();
        if bytes.len() > 5 && matches!(bytes[bytes.len() - 5], b'+' | b'-') && bytes[bytes.len() - 4..].iter().all(u8::is_ascii_digit) {
            owned.insert(text.len() - 2, ':');
        }
        OffsetDateTime::parse(&owned, &Rfc3339)
            .map_err(|e| ParseError::new("timestamp", text, format!("it is written as RFC 3339, such as 2026-11-20T12:00:00Z ({e})")))
            .map(|moment| Self::from_unix_millis(i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)))
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_writes_and_reads_rfc_3339_in_utc() {
        let moment: Timestamp = "2026-11-20T13:00:00.250+01:00".parse().expect("a moment");
        assert_eq!(moment.to_string(), "2026-11-20T12:00:00.250Z");
        assert_eq!("2026-11-20T13:00:00.250+0100".parse(), Ok(moment));
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn alertmanagers_year_one_is_a_moment_too() {
        let never: Timestamp = "0001-01-01T00:00:00Z".parse().expect("a moment");
        assert_eq!(never.to_string(), "0001-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_unix_millis(i64::MIN), never);
    }
}
