//! One window of a calendar: when it is open, and when it opens next.

use super::spec::{Day, WindowSpec};
use super::zone::Zone;
use crate::types::{SpecError, Timestamp};
use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use std::time::Duration;

/// The longest a window that cron begins may be open, in days.
const LONGEST_DAYS: u64 = 31;
/// Days that are looked ahead for the next window of days of the week: the one of next week may fall into an hour the clock skips.
const AHEAD: u64 = 22;

/// A window that was found to make sense.
#[derive(Debug, Clone)]
pub(super) enum Window {
    /// On these days (every day where there are none) from a minute of the day to another, which may be one of the next day.
    Days { days: Vec<Day>, from: i64, to: i64 },
    /// For so long from each moment the pattern names.
    Cron { pattern: Box<Cron>, duration: Duration },
}

impl Window {
    /// # Errors
    /// What is wrong, with pointers into the window.
    pub(super) fn compile(spec: &WindowSpec) -> Result<Self, SpecError> {
        let forms = "write { days: [mon, tue], from: \"09:00\", to: \"16:00\" }, or { cron: \"0 22 * * 6\", duration: 4h }";
        match (&spec.cron, spec.duration, spec.from, spec.to) {
            (Some(cron), Some(duration), None, None) if spec.days.is_empty() => {
                let duration = duration.get();
                if duration < Duration::from_secs(60) || duration > Duration::from_secs(LONGEST_DAYS * 86_400) {
                    return Err(SpecError::new("/duration", format!("a window is open for between 1m and {LONGEST_DAYS}d")));
                }
                Ok(Self::Cron { pattern: Box::new(pattern(cron)?), duration })
            }
            (None, None, Some(from), Some(to)) => {
                let (from, to) = (from.minutes(), to.minutes());
                match (from, to) {
                    (1440, _) => Err(SpecError::new("/from", "a day does not begin at 24:00").hint("write \"00:00\"")),
                    _ if from == to => {
                        Err(SpecError::new("/to", "the window ends when it begins").hint("the whole day is from \"00:00\" to \"24:00\""))
                    }
                    _ => Ok(Self::Days { days: spec.days.clone(), from, to: if to < from { to + 1440 } else { to } }),
                }
            }
            (Some(_), None, None, None) => {
                Err(SpecError::new("", "`cron` says when the window begins; how long it is open, `duration` has to say").hint(forms))
            }
            (None, None, Some(_), None) => Err(SpecError::new("", "the window has no `to`").hint(forms)),
            (None, None, None, Some(_)) => Err(SpecError::new("", "the window has no `from`").hint(forms)),
            _ => Err(SpecError::new("", "a window has `from` and `to`, or `cron` and `duration`, and nothing of the other").hint(forms)),
        }
    }

    /// When the window that is open at this moment closes; the last one where several are.
    pub(super) fn closes(&self, zone: Zone, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Days { .. } => self.around(zone, at, 2, 1).filter(|(opens, closes)| *opens <= at && at < *closes).map(|(_, closes)| closes).max(),
            Self::Cron { pattern, duration } => {
                let mut wall = zone.latest(at);
                let mut inclusive = true;
                loop {
                    wall = pattern.find_previous_occurrence(&wall, inclusive).ok()?;
                    inclusive = false;
                    let opens = zone.moment(wall);
                    if opens <= at {
                        let closes = opens.plus(*duration);
                        return (at < closes).then_some(closes);
                    }
                }
            }
        }
    }

    /// When it opens next, after this moment.
    pub(super) fn opens(&self, zone: Zone, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Days { .. } => {
                self.around(zone, after, 1, AHEAD).filter(|(opens, closes)| *opens > after && opens < closes).map(|(opens, _)| opens).min()
            }
            Self::Cron { pattern, .. } => {
                let mut wall = zone.wall(after);
                loop {
                    wall = pattern.find_next_occurrence(&wall, false).ok()?;
                    let opens = zone.moment(wall);
                    if opens > after {
                        return Some(opens);
                    }
                }
            }
        }
    }

    /// Opening and closing of a window of days, on each of the days around a moment.
    fn around(&self, zone: Zone, at: Timestamp, back: u64, ahead: u64) -> impl Iterator<Item = (Timestamp, Timestamp)> + '_ {
        let (days, from, to) = match self {
            Self::Days { days, from, to } => (days.as_slice(), *from, *to),
            Self::Cron { .. } => (&[] as &[Day], 0, 0),
        };
        let first = zone.wall(at).date() - Days::new(back);
        let dates = first.iter_days().take(usize::try_from(back + ahead + 1).unwrap_or(usize::MAX));
        let ours = dates.filter(move |date| days.is_empty() || days.iter().any(|day| day.is(date.weekday())));
        ours.map(move |date| (zone.moment(minute_of(date, from)), zone.moment(minute_of(date, to))))
    }
}

fn minute_of(date: NaiveDate, minutes: i64) -> NaiveDateTime {
    date.and_time(chrono::NaiveTime::MIN) + TimeDelta::minutes(minutes)
}

fn pattern(text: &str) -> Result<Cron, SpecError> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).map_err(|error| {
        SpecError::new("/cron", format!("this is no cron pattern: {error}"))
            .hint("minute, hour, day of the month, month, day of the week: \"0 22 * * 6\" is Saturdays at 22:00")
    })
}
