//! One blackout of a calendar: days on which nothing takes effect, once or every year.

use super::spec::{BlackoutDay, BlackoutSpec};
use super::zone::Zone;
use crate::types::{SpecError, Timestamp};
use chrono::{Datelike, Days, NaiveDate, NaiveTime};

/// A blackout that was found to make sense.
#[derive(Debug, Clone)]
pub(super) struct Blackout {
    days: Dates,
    /// Its days as they are written, and why.
    pub(super) words: String,
}

#[derive(Debug, Clone, Copy)]
enum Dates {
    Once(NaiveDate, NaiveDate),
    Yearly((u32, u32), (u32, u32)),
}

impl Blackout {
    /// # Errors
    /// What is wrong, with a pointer into the blackout.
    pub(super) fn compile(spec: &BlackoutSpec) -> Result<Self, SpecError> {
        let days = match (spec.from, spec.to) {
            (BlackoutDay::Once(from), BlackoutDay::Once(to)) if from <= to => Dates::Once(from, to),
            (BlackoutDay::Once(_), BlackoutDay::Once(_)) => return Err(SpecError::new("/to", "the last day is before the first")),
            (BlackoutDay::Yearly(month, day), BlackoutDay::Yearly(to_month, to_day)) => Dates::Yearly((month, day), (to_month, to_day)),
            _ => {
                let hint = "write both with the year, such as 2026-12-20, or both without it, such as 12-20";
                return Err(SpecError::new("/to", "one of the days is of one year, and the other of every year").hint(hint));
            }
        };
        let why = spec.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        Ok(Self { days, words: format!("blackout {} to {}{why}", spec.from, spec.to) })
    }

    /// When the blackout of this moment is over.
    pub(super) fn ends(&self, zone: Zone, at: Timestamp) -> Option<Timestamp> {
        self.around(zone, at).into_iter().flatten().filter(|(begins, ends)| *begins <= at && at < *ends).map(|(_, ends)| ends).max()
    }

    /// When it begins next, after this moment.
    pub(super) fn begins(&self, zone: Zone, after: Timestamp) -> Option<Timestamp> {
        self.around(zone, after).into_iter().flatten().filter(|(begins, ends)| *begins > after && begins < ends).map(|(begins, _)| begins).min()
    }

    /// The end of one that comes once.
    pub(super) fn over_for_good(&self, zone: Zone) -> Option<Timestamp> {
        match self.days {
            Dates::Once(_, to) => Some(end_of(zone, to)),
            Dates::Yearly(..) => None,
        }
    }

    /// Its beginnings and ends around a moment.
    fn around(&self, zone: Zone, at: Timestamp) -> [Option<(Timestamp, Timestamp)>; 4] {
        let year = zone.wall(at).year();
        match self.days {
            Dates::Once(from, to) => [Some((begin_of(zone, from), end_of(zone, to))), None, None, None],
            Dates::Yearly(from, to) => [year - 1, year, year + 1, year + 2].map(|year| {
                let ends_in = if to < from { year + 1 } else { year };
                // The 29th of February, where there is none: from the first of March, or to the end of the 28th.
                let begins = in_year(year, from).or_else(|| in_year(year, (3, 1)))?;
                let ends = in_year(ends_in, to).or_else(|| in_year(ends_in, (2, 28)))?;
                Some((begin_of(zone, begins), end_of(zone, ends)))
            }),
        }
    }
}

fn in_year(year: i32, (month, day): (u32, u32)) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(year, month, day)
}

fn begin_of(zone: Zone, date: NaiveDate) -> Timestamp {
    zone.moment(date.and_time(NaiveTime::MIN))
}

fn end_of(zone: Zone, date: NaiveDate) -> Timestamp {
    begin_of(zone, date.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX))
}
