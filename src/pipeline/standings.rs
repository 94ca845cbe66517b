//! How calendars stand, remembered until that changes: thousands of requests wait for the same few, and when a calendar turns is searched
//! for over years of windows. So it is searched for where it holds nobody up, and once, however many ask meanwhile.

use super::{StepError, blocking};
use crate::inventory::{Calendar, Standing, together};
use crate::types::{CalendarName, Timestamp};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What never changes, as far as it was searched for, is searched for again after this.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What calendars of which set stand together.
type Key = (String, Vec<CalendarName>);

/// The standings that were searched for.
#[derive(Debug, Default)]
pub(super) struct Standings {
    known: Mutex<HashMap<Key, (Timestamp, Standing)>>,
    /// Held by who searches.
    search: tokio::sync::Mutex<()>,
}

impl Standings {
    /// How calendars of the set with this digest stand together now.
    ///
    /// # Errors
    /// When a search did not come to its end.
    pub(super) async fn of(&self, digest: &str, calendars: Vec<Arc<Calendar>>, now: Timestamp) -> Result<Standing, StepError> {
        let key = (digest.to_owned(), calendars.iter().map(|calendar| calendar.name.clone()).collect());
        if let Some(standing) = self.remembered(&key, now) {
            return Ok(standing);
        }
        let _search = self.search.lock().await;
        // Whoever searched meanwhile may have found it.
        if let Some(standing) = self.remembered(&key, now) {
            return Ok(standing);
        }
        let standing = blocking(move || Ok(together(&calendars.iter().map(AsRef::as_ref).collect::<Vec<_>>(), now))).await?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (now, standing.clone()));
        Ok(standing)
    }

    fn remembered(&self, key: &Key, now: Timestamp) -> Option<Standing> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, standing) = known.get(key)?;
        // A clock that was set back is in a past that nobody looked at.
        let holds = *since <= now && now.since(*since) < LONGEST && standing.until().is_none_or(|until| now < until);
        holds.then(|| standing.clone())
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

    fn calendar(rules: &str) -> Arc<Calendar> {
        let spec = serde_norway::from_str(&format!("timeZone: Europe/Berlin\n{rules}\n")).expect("a spec");
        Arc::new(Calendar::compile("office".parse().expect("a name"), spec).expect("a calendar"))
    }

    /// Open minute by minute for ever: the dearest search there is.
    const MINUTELY: &str = "windows: [{ cron: \"* * * * *\", duration: 1m }]";

    #[tokio::test]
    async fn a_thousand_requests_of_one_calendar_cost_one_search() {
        let calendar = calendar(MINUTELY);
        let (standings, now) = (Standings::default(), Timestamp::from_unix_millis(1_790_000_000_000));
        let begun = Instant::now();
        let first = standings.of("a", vec![Arc::clone(&calendar)], now).await.expect("a standing");
        let search = begun.elapsed();
        let begun = Instant::now();
        for second in 0..1000 {
            let again = standings.of("a", vec![Arc::clone(&calendar)], now.plus(Duration::from_secs(second))).await;
            assert_eq!(again.expect("a standing"), first);
        }
        assert!(begun.elapsed() < search * 10, "a search took {search:?}, a thousand looks {:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_search_holds_up_nobody_else_and_is_made_once_for_all_who_wait_for_it() {
        let calendar = calendar(MINUTELY);
        let (standings, now) = (Standings::default(), Timestamp::from_unix_millis(1_790_000_000_000));
        let begun = Instant::now();
        drop(together(&[&calendar], now));
        let alone = begun.elapsed();
        // All of it is on one thread: whoever searches on it lets nobody else run.
        let mut turns = 0_u32;
        let asking = futures_util::future::join_all((0..50).map(|_| standings.of("a", vec![Arc::clone(&calendar)], now)));
        let begun = Instant::now();
        tokio::pin!(asking);
        loop {
            tokio::select! {
                biased;
                found = &mut asking => {
                    assert!(found.into_iter().all(|standing| standing.is_ok()));
                    break;
                }
                () = tokio::task::yield_now() => turns += 1,
            }
        }
        assert!(turns > 50, "others had {turns} turns meanwhile");
        assert!(begun.elapsed() < alone * 20, "one search takes {alone:?}, and 50 who asked at once waited for {:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn what_is_remembered_is_what_a_look_would_show() {
        let calendar = calendar("windows: [{ from: \"09:00\", to: \"17:00\" }]");
        let (standings, begin) = (Standings::default(), Timestamp::from_unix_millis(1_790_000_000_000));
        // Forth by quarters of an hour, and back by more.
        let quarters = (0..400).chain((0..200).rev());
        for quarter in quarters {
            let now = begin.plus(Duration::from_secs(quarter * 900));
            let known = standings.of("a", vec![Arc::clone(&calendar)], now).await.expect("a standing");
            assert_eq!(known, together(&[&calendar], now), "{now}");
        }
    }

    #[tokio::test]
    async fn another_set_is_looked_at_anew() {
        let (open, closed) = (calendar("windows: []"), calendar("blackouts: [{ from: 2020-01-01, to: 2099-12-31 }]"));
        let (standings, now) = (Standings::default(), Timestamp::from_unix_millis(1_790_000_000_000));
        let is_open =
            async |digest: &str, calendar: &Arc<Calendar>| standings.of(digest, vec![Arc::clone(calendar)], now).await.expect("a standing").is_open();
        assert!(is_open("a", &open).await);
        assert!(!is_open("b", &closed).await);
        standings.forget();
        assert!(!is_open("a", &closed).await);
    }
}
