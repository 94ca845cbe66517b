//! How calendars stand, remembered until that changes: thousands of requests wait for the same few, and when a calendar turns is searched
//! for over years of windows.

use crate::inventory::{Calendar, Standing, together};
use crate::types::{CalendarName, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What never changes, as far as it was searched for, is searched for again after this.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What calendars of which set stand together.
type Key = (String, Vec<CalendarName>);

/// The standings that were searched for.
#[derive(Debug, Default)]
pub(super) struct Standings {
    known: Mutex<HashMap<Key, (Timestamp, Standing)>>,
}

impl Standings {
    /// How calendars of the set with this digest stand together now.
    pub(super) fn of(&self, digest: &str, calendars: &[&Calendar], now: Timestamp) -> Standing {
        let key = (digest.to_owned(), calendars.iter().map(|calendar| calendar.name.clone()).collect());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |(since, standing): &&(Timestamp, Standing)| {
            // A clock that was set back is in a past that nobody looked at.
            *since <= now && now.since(*since) < LONGEST && standing.until().is_none_or(|until| now < until)
        };
        if let Some((_, standing)) = known.get(&key).filter(holds) {
            return standing.clone();
        }
        let standing = together(calendars, now);
        known.insert(key, (now, standing.clone()));
        standing
    }

    /// Another set is in force.
    pub(super) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn calendar(rules: &str) -> Calendar {
        let spec = serde_norway::from_str(&format!("timeZone: Europe/Berlin\n{rules}\n")).expect("a spec");
        Calendar::compile("office".parse().expect("a name"), spec).expect("a calendar")
    }

    /// Open minute by minute for ever: the dearest search there is.
    const MINUTELY: &str = "windows: [{ cron: \"* * * * *\", duration: 1m }]";

    #[test]
    fn a_thousand_requests_of_one_calendar_cost_one_search() {
        let calendar = calendar(MINUTELY);
        let (standings, now) = (Standings::default(), Timestamp::from_unix_millis(1_790_000_000_000));
        let begun = Instant::now();
        let first = standings.of("a", &[&calendar], now);
        let search = begun.elapsed();
        let begun = Instant::now();
        for second in 0..1000 {
            assert_eq!(standings.of("a", &[&calendar], now.plus(Duration::from_secs(second))), first);
        }
        assert!(begun.elapsed() < search * 10, "a search took {search:?}, a thousand looks {:?}", begun.elapsed());
    }

    #[test]
    fn what_is_remembered_is_what_a_look_would_show() {
        let calendar = calendar("windows: [{ from: \"09:00\", to: \"17:00\" }]");
        let (standings, begin) = (Standings::default(), Timestamp::from_unix_millis(1_790_000_000_000));
        // Forth by quarters of an hour, and back by more.
        let quarters = (0..400).chain((0..200).rev());
        for quarter in quarters {
            let now = begin.plus(Duration::from_secs(quarter * 900));
            let (known, fresh) = (standings.of("a", &[&calendar], now), together(&[&calendar], now));
            assert_eq!(known, fresh, "{now}");
        }
    }

    #[test]
    fn another_set_is_looked_at_anew() {
        let (open, closed) = (calendar("windows: []"), calendar("blackouts: [{ from: 2020-01-01, to: 2099-12-31 }]"));
        let (standings, now) = (Standings::default(), Timestamp::from_unix_millis(1_790_000_000_000));
        assert!(standings.of("a", &[&open], now).is_open());
        assert!(!standings.of("b", &[&closed], now).is_open());
        standings.forget();
        assert!(!standings.of("a", &[&closed], now).is_open());
    }
}
