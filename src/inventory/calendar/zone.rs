//! The clock on the wall of a time zone, and the moments at which it shows something. The zones are compiled in.

use crate::types::{Timestamp, nearest};
use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, TZ_VARIANTS, Tz};
use std::time::Duration;

/// Longer than a clock is ever set back.
const SET_WITHIN: Duration = Duration::from_secs(4 * 3600);

/// A time zone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Zone(Tz);

impl Zone {
    /// The zone of this IANA name; else the name that was probably meant.
    pub(super) fn named(name: &str) -> Result<Self, Option<&'static str>> {
        name.parse().map(Self).map_err(|_| nearest(name, TZ_VARIANTS.iter().map(|zone| zone.name())))
    }

    pub(super) fn name(self) -> &'static str {
        self.0.name()
    }

    /// What the clock shows at a moment.
    pub(super) fn wall(self, at: Timestamp) -> NaiveDateTime {
        let moment = DateTime::<Utc>::from_timestamp_millis(at.unix_millis()).unwrap_or_default();
        moment.with_timezone(&self.0).naive_local()
    }

    /// What the clock shows at a moment, or something later where it was set within the last hours and may have shown that before.
    pub(super) fn latest(self, at: Timestamp) -> NaiveDateTime {
        let (now, before) = (self.wall(at), self.wall(at.minus(SET_WITHIN)));
        let passed = TimeDelta::from_std(SET_WITHIN).unwrap_or_default();
        if now - before == passed { now } else { now + passed }
    }

    /// The first moment at which the clock shows this, or where it skips that, something later.
    pub(super) fn moment(self, wall: NaiveDateTime) -> Timestamp {
        let moment = match self.0.from_local_datetime(&wall) {
            LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => Some(moment),
            LocalResult::None => GapInfo::new(&wall, &self.0).and_then(|gap| gap.end),
        };
        Timestamp::from_unix_millis(moment.unwrap_or_else(|| self.0.from_utc_datetime(&wall)).timestamp_millis())
    }
}
