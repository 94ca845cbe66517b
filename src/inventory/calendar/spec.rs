//! A calendar as its author writes it: windows by days or by cron, and blackouts by dates, all on the clock of one time zone.

use crate::types::{ParseError, SpecDuration};
use chrono::{Datelike, NaiveDate, Weekday};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The `spec:` of a document of kind `Calendar`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CalendarSpec {
    /// What it is for, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The time zone all its times are in, by its IANA name: `Europe/Berlin`, `UTC`.
    pub time_zone: String,
    /// When changes may take effect; without windows always, but for blackouts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<WindowSpec>,
    /// When they may not, whatever the windows say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blackouts: Vec<BlackoutSpec>,
    /// Whether what takes a change back waits for it too. A right that was given for four hours is not kept over the weekend by default.
    #[serde(default, skip_serializing_if = "CalendarReverts::is_open")]
    pub reverts: CalendarReverts,
}

/// Whether a calendar counts for what takes a change back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CalendarReverts {
    /// It does not: a change may be taken back at any time.
    #[default]
    Open,
    /// It does: what takes a change back is held like any other change.
    Hold,
}

impl CalendarReverts {
    fn is_open(&self) -> bool {
        *self == Self::Open
    }
}

/// A window: on days of the week between two times of day, or for a time from each moment a cron pattern names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WindowSpec {
    /// The days of the week it begins on; every day when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// When it begins on such a day, such as `09:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<TimeOfDay>,
    /// When it ends, `24:00` at the latest. Not after `from`, it is on the next day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<TimeOfDay>,
    /// When it begins, as cron has it: minute, hour, day of the month, month, day of the week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// How long it is open from there, such as `4h`; between a minute and 31 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<SpecDuration>,
}

/// Days on which nothing takes effect: both dates are part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlackoutSpec {
    /// Its first day: a date such as `2026-12-20`, or `12-20` for every year.
    pub from: BlackoutDay,
    /// Its last day, in the same form. Of every year, it may lie in the next one.
    pub to: BlackoutDay,
    /// Why, in a few words: it is shown wherever a change is held for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    pub(super) fn is(self, day: Weekday) -> bool {
        let own = match self {
            Self::Mon => Weekday::Mon,
            Self::Tue => Weekday::Tue,
            Self::Wed => Weekday::Wed,
            Self::Thu => Weekday::Thu,
            Self::Fri => Weekday::Fri,
            Self::Sat => Weekday::Sat,
            Self::Sun => Weekday::Sun,
        };
        own == day
    }
}

/// A time of day, in minutes since midnight; `24:00` is the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay(u16);

/// The form of a [`TimeOfDay`].
pub(crate) const TIME_OF_DAY: &str = "^(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$";

impl TimeOfDay {
    /// Minutes since midnight, 1440 at most.
    pub(super) fn minutes(self) -> i64 {
        i64::from(self.0)
    }
}

impl FromStr for TimeOfDay {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError::new("time of day", text, "it is written like 09:00, from 00:00 to 24:00");
        let (hours, minutes) = text.split_once(':').filter(|(hours, minutes)| hours.len() == 2 && minutes.len() == 2).ok_or_else(refuse)?;
        let number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse::<u16>().ok()).flatten();
        let (hours, minutes) = (number(hours).ok_or_else(refuse)?, number(minutes).ok_or_else(refuse)?);
        if minutes > 59 || hours * 60 + minutes > 24 * 60 {
            return Err(refuse());
        }
        Ok(Self(hours * 60 + minutes))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A day of a blackout: of one year, or of every year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BlackoutDay {
    /// A date.
    Once(NaiveDate),
    /// A month and a day of it, of every year.
    Yearly(u32, u32),
}

/// The form of a [`BlackoutDay`].
pub(crate) const BLACKOUT_DAY: &str = "^(?:[0-9]{4}-)?[0-9]{2}-[0-9]{2}$";
/// A year that has every day a year can have.
const LEAP_YEAR: i32 = 2024;

impl FromStr for BlackoutDay {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError::new("day", text, "it is a date such as 2026-12-20, or month and day such as 12-20 for every year");
        let number = |digits: &str, long: usize| {
            (digits.len() == long && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse::<u32>().ok()).flatten()
        };
        let parts: Vec<&str> = text.split('-').collect();
        let (year, month, day) = match parts.as_slice() {
            [year, month, day] => (Some(number(year, 4).ok_or_else(refuse)?), month, day),
            [month, day] => (None, month, day),
            _ => return Err(refuse()),
        };
        let (month, day) = (number(month, 2).ok_or_else(refuse)?, number(day, 2).ok_or_else(refuse)?);
        let in_year = year.map_or(Ok(LEAP_YEAR), i32::try_from).map_err(|_| refuse())?;
        let date = NaiveDate::from_ymd_opt(in_year, month, day).ok_or_else(refuse)?;
        Ok(if year.is_some() { Self::Once(date) } else { Self::Yearly(date.month(), date.day()) })
    }
}

impl fmt::Display for BlackoutDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once(date) => write!(f, "{date}"),
            Self::Yearly(month, day) => write!(f, "{month:02}-{day:02}"),
        }
    }
}

macro_rules! written_as_text {
    ($name:ident, $pattern:expr) => {
        impl TryFrom<String> for $name {
            type Error = ParseError;
            fn try_from(text: String) -> Result<Self, ParseError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

written_as_text!(TimeOfDay, TIME_OF_DAY);
written_as_text!(BlackoutDay, BLACKOUT_DAY);
