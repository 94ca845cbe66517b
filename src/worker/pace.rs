//! Notices that the clock on the wall was set, by a clock that nobody sets. Set back, nothing waits for the same hour twice; set forward, nothing is
//! taken from processes that live, whose leases only seem to have run out.
//! Each process notices by itself; what waits follows once, because the store says by how much it has followed.

use crate::clock::{Clock, noticed};
use crate::store::{Store, StoreError};
use crate::types::Timestamp;
use std::time::Duration;

/// For so long at least nothing is taken over after a leap: processes that follow the database's clock look at it every few seconds, and
/// have to have seen it. Nor by one that starts, which does not know when there was one.
const SEEN_BY_ALL: Duration = Duration::from_secs(15);
/// How often the store is asked whether what waits has followed the clock, where nothing was noticed.
const ASKED_EVERY: Duration = Duration::from_secs(5);

/// What the clock showed, and when that was.
pub(super) struct Pace {
    reckoned: Reckoned,
    /// None before the store was asked once.
    followed: Option<Followed>,
    /// Whether the clock was seen set back, and the store not asked since.
    is_owed: bool,
    /// At which uptime the store was asked last.
    asked: Option<Duration>,
}

/// A clock that is never set back, when it was looked at last: what the one on the wall shows, and by how much that was set back in all as far as what
/// waits has followed. All processes on a store have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Followed {
    shown: Timestamp,
    at: Duration,
}

impl Pace {
    /// Begins with what the clock shows now.
    pub(super) async fn begin(store: &dyn Store, clock: &dyn Clock) -> Self {
        // Processes of one machine go by its own clock, and see it set when it is.
        let is_shared = !matches!(store.moment().await, Ok(None));
        Self { reckoned: Reckoned::begin(clock.now(), clock.uptime(), is_shared), followed: None, is_owed: false, asked: None }
    }

    /// Looks at both clocks; where the one on the wall was set back, what waits follows it, unless another process has seen to that.
    ///
    /// # Errors
    /// When the store fails; then it is still owed, and done when this is called again.
    pub(super) async fn keep(&mut self, store: &dyn Store, clock: &dyn Clock, lease: Duration) -> Result<(), StoreError> {
        let (now, at) = (clock.now(), clock.uptime());
        let by = self.reckoned.back(now, at);
        if !by.is_zero() {
            (self.reckoned.shown, self.reckoned.at) = (now, at);
        }
        self.is_owed |= by >= noticed(lease);
        if !self.is_owed && self.asked.is_some_and(|asked| at.saturating_sub(asked) < ASKED_EVERY) {
            return Ok(());
        }
        match self.follow(store, clock, lease).await {
            Ok(()) => {
                self.asked = Some(at);
                Ok(())
            }
            Err(error) if self.is_owed => Err(error),
            Err(error) => {
                tracing::debug!(%error, "whether the clock was set back cannot be told");
                Ok(())
            }
        }
    }

    /// Has what waits follow the clock as it is now, if it has not.
    async fn follow(&mut self, store: &dyn Store, clock: &dyn Clock, lease: Duration) -> Result<(), StoreError> {
        // It may have been set back while nobody was there: the store knows what it showed once.
        let known = if self.followed.is_none() { store.newest_moment().await? } else { None };
        let asked = clock.uptime();
        let told = store.clock().await?;
        let own = clock.now();
        let (now, answered) = (told.moment.unwrap_or(own), clock.uptime());
        if now.since(own).max(own.since(now)) >= noticed(lease) {
            // The clock that everything here goes by has not followed the database's yet.
            return Ok(());
        }
        let shown = now.plus(told.back);
        let due = match self.followed {
            Some(before) => before.expected(asked),
            None => known.map_or(shown, |known| known.plus(told.back)),
        };
        let by = due.since(shown);
        if by < noticed(lease) {
            if std::mem::take(&mut self.is_owed) {
                tracing::info!("the clock was set back, and another process had what waits follow it");
            }
            self.followed = Some(Followed { shown, at: answered });
            return Ok(());
        }
        self.is_owed = true;
        if store.set_back(by, told.back, lease, now).await? {
            tracing::warn!(seconds = by.as_secs(), "the clock was set back: what waits for a pause to end waits no longer for it");
            self.is_owed = false;
            self.followed = Some(Followed { shown: shown.plus(by), at: answered });
        }
        Ok(())
    }

    /// Whether the clock, which shows `now` at an uptime of `at`, was set forward since it was last looked at. Then it is not believed for the length
    /// of a `lease`.
    pub(super) fn leapt(&mut self, now: Timestamp, at: Duration, lease: Duration) -> bool {
        let by = self.reckoned.forth(now, at, lease);
        if let Some(by) = by {
            tracing::warn!(seconds = by.as_secs(), "the clock was set forward: what other processes hold is left to them until each has seen it");
            // Should it be set back at once, that is counted from here.
            self.asked = None;
        }
        by.is_some()
    }

    /// Whether a lease that ran out by the clock did run out, at an uptime of `at`.
    pub(super) fn is_believed(&self, at: Duration) -> bool {
        at >= self.reckoned.believed_from
    }
}

impl Followed {
    fn expected(self, at: Duration) -> Timestamp {
        self.shown.plus(at.saturating_sub(self.at))
    }
}

/// What the clock on the wall showed at an uptime, from which it is told what it should show at another.
struct Reckoned {
    shown: Timestamp,
    at: Duration,
    /// From which uptime on its word counts for leases.
    believed_from: Duration,
}

impl Reckoned {
    /// Reckons from what it shows at an uptime of `at`. One that processes on several machines share may have been set just before, and some that
    /// are at work have not seen it: what seems to have run out is left to them for as long as that may last.
    fn begin(shown: Timestamp, at: Duration, is_shared: bool) -> Self {
        let believed_from = if is_shared { at.saturating_add(SEEN_BY_ALL) } else { Duration::ZERO };
        Self { shown, at, believed_from }
    }

    fn expected(&self, at: Duration) -> Timestamp {
        self.shown.plus(at.saturating_sub(self.at))
    }

    /// By how much it shows less than it should.
    fn back(&self, now: Timestamp, at: Duration) -> Duration {
        self.expected(at).since(now)
    }

    /// By how much it was set forward, if it was; from here on that is what it shows.
    fn forth(&mut self, now: Timestamp, at: Duration, lease: Duration) -> Option<Duration> {
        let expected = self.expected(at);
        if now < expected {
            return None;
        }
        let by = now.since(expected);
        (self.shown, self.at) = (now, at);
        if by < noticed(lease) {
            return None;
        }
        self.believed_from = self.believed_from.max(at.saturating_add(lease.max(SEEN_BY_ALL)));
        Some(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{SqlStore, SqliteOptions};
    use std::sync::atomic::{AtomicI64, Ordering};

    const LEASE: Duration = Duration::from_secs(20);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn shown(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1000)
    }

    fn reckoned() -> Reckoned {
        Reckoned::begin(shown(1000), seconds(100), false)
    }

    #[test]
    fn a_clock_set_forward_is_noticed_once_and_believed_again_after_a_lease() {
        let mut clock = reckoned();
        assert_eq!(clock.forth(shown(1010), seconds(110), LEASE), None);
        assert_eq!(clock.forth(shown(4620), seconds(120), LEASE), Some(seconds(3600)));
        assert_eq!(clock.believed_from, seconds(140));
        assert_eq!(clock.forth(shown(4621), seconds(121), LEASE), None, "it goes on from there");
        assert_eq!(clock.believed_from, seconds(140));
        assert_eq!(clock.forth(shown(4640), seconds(130), seconds(3)), Some(seconds(10)));
        assert_eq!(clock.believed_from, seconds(145), "the others have to have seen it, however short leases are");
    }

    #[test]
    fn what_is_kept_right_every_day_adds_up_to_no_leap_and_what_is_set_back_is_told_from_it() {
        let mut clock = reckoned();
        for step in 1..20 {
            assert_eq!(clock.forth(shown(1000 + step * 14), seconds(100 + 10 * step.unsigned_abs()), LEASE), None);
        }
        let mut clock = reckoned();
        assert_eq!(clock.forth(shown(500), seconds(110), LEASE), None);
        assert_eq!(clock.back(shown(500), seconds(110)), seconds(510), "it is still to be seen that it was set back");
    }

    #[test]
    fn a_leap_that_short_leases_would_be_lost_by_is_noticed() {
        let leaps_by = |by: i64, lease: u64| reckoned().forth(shown(1010 + by), seconds(110), seconds(lease));
        assert_eq!((leaps_by(4, 20), leaps_by(5, 20)), (None, Some(seconds(5))));
        assert_eq!((leaps_by(1, 3), leaps_by(2, 3)), (None, Some(seconds(2))));
    }

    #[test]
    fn who_starts_on_a_clock_that_others_share_believes_it_once_all_have_seen_it_set() {
        let mut clock = Reckoned::begin(shown(1000), seconds(100), true);
        assert_eq!(clock.believed_from, seconds(115));
        assert_eq!(clock.forth(shown(1001), seconds(101), LEASE), None);
        assert_eq!(clock.believed_from, seconds(115), "it goes on as it should");
        assert_eq!(Reckoned::begin(shown(1000), seconds(100), false).believed_from, Duration::ZERO, "on one machine all see it at once");
    }

    /// What both clocks of a machine show, in seconds.
    struct Shown {
        wall: AtomicI64,
        up: AtomicI64,
    }

    impl Shown {
        fn beginning() -> Self {
            Self { wall: AtomicI64::new(1_000_000), up: AtomicI64::new(100) }
        }

        fn go_on(&self, seconds: i64) {
            self.wall.fetch_add(seconds, Ordering::SeqCst);
            self.up.fetch_add(seconds, Ordering::SeqCst);
        }

        fn set(&self, by: i64) {
            self.wall.fetch_add(by, Ordering::SeqCst);
        }
    }

    impl Clock for Shown {
        fn now(&self) -> Timestamp {
            shown(self.wall.load(Ordering::SeqCst))
        }

        fn random(&self) -> u128 {
            0
        }

        fn uptime(&self) -> Duration {
            seconds(self.up.load(Ordering::SeqCst).unsigned_abs())
        }
    }

    /// A store that answers, and one on the same file that does not.
    async fn stores(directory: &tempfile::TempDir) -> (SqlStore, SqlStore) {
        let path = directory.path().join("store.db");
        let address = path.to_str().expect("UTF-8");
        let open = async || SqlStore::sqlite(address, SqliteOptions::default()).await.expect("a store");
        let (good, away) = (open().await, open().await);
        away.close().await;
        (good, away)
    }

    async fn back(store: &SqlStore) -> u64 {
        store.clock().await.expect("an answer").back.as_secs()
    }

    #[tokio::test]
    async fn a_clock_set_back_while_the_store_fails_is_followed_when_it_answers_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let ((good, away), clock) = (stores(&directory).await, Shown::beginning());
        let mut pace = Pace::begin(&good, &clock).await;
        pace.keep(&good, &clock, LEASE).await.expect("looked at");
        clock.set(-3600);
        for _ in 0..3 {
            assert!(pace.keep(&away, &clock, LEASE).await.is_err(), "it is owed");
            clock.go_on(60);
        }
        pace.keep(&good, &clock, LEASE).await.expect("followed");
        assert_eq!(back(&good).await, 3600);
        clock.go_on(60);
        pace.keep(&good, &clock, LEASE).await.expect("looked at");
        assert_eq!(back(&good).await, 3600, "once");
    }

    #[tokio::test]
    async fn of_processes_that_see_a_clock_set_back_one_has_what_waits_follow_however_late_the_others_are() {
        let directory = tempfile::tempdir().expect("a directory");
        let ((good, away), clock) = (stores(&directory).await, Shown::beginning());
        let mut first = Pace::begin(&good, &clock).await;
        let mut late = Pace::begin(&good, &clock).await;
        first.keep(&good, &clock, LEASE).await.expect("looked at");
        late.keep(&good, &clock, LEASE).await.expect("looked at");
        clock.set(-3600);
        first.keep(&good, &clock, LEASE).await.expect("followed");
        assert_eq!(back(&good).await, 3600);
        assert!(late.keep(&away, &clock, LEASE).await.is_err(), "it is cut off");
        clock.go_on(600);
        late.keep(&good, &clock, LEASE).await.expect("looked at");
        assert_eq!(back(&good).await, 3600, "it was followed once");
        // One that starts now knows of it too, and the next time whoever sees it first does it.
        let mut new = Pace::begin(&good, &clock).await;
        new.keep(&good, &clock, LEASE).await.expect("looked at");
        clock.go_on(10);
        clock.set(-30);
        late.keep(&good, &clock, LEASE).await.expect("followed");
        for pace in [&mut first, &mut new] {
            pace.keep(&good, &clock, LEASE).await.expect("looked at");
        }
        assert_eq!(back(&good).await, 3630);
    }

    #[tokio::test]
    async fn a_clock_set_back_a_moment_after_it_was_set_forth_is_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let ((good, _), clock) = (stores(&directory).await, Shown::beginning());
        let mut pace = Pace::begin(&good, &clock).await;
        pace.keep(&good, &clock, LEASE).await.expect("looked at");
        clock.set(7200);
        assert!(pace.leapt(clock.now(), clock.uptime(), LEASE));
        pace.keep(&good, &clock, LEASE).await.expect("looked at");
        clock.go_on(1);
        clock.set(-3600);
        pace.keep(&good, &clock, LEASE).await.expect("followed");
        assert_eq!(back(&good).await, 3600);
    }

    #[tokio::test]
    async fn a_clock_set_back_and_forth_again_while_a_process_is_cut_off_hides_none_of_what_comes_after() {
        let directory = tempfile::tempdir().expect("a directory");
        let ((good, away), clock) = (stores(&directory).await, Shown::beginning());
        let (mut first, mut cut_off) = (Pace::begin(&good, &clock).await, Pace::begin(&good, &clock).await);
        first.keep(&good, &clock, LEASE).await.expect("looked at");
        cut_off.keep(&good, &clock, LEASE).await.expect("looked at");
        clock.set(-3600);
        first.keep(&good, &clock, LEASE).await.expect("followed");
        clock.set(3600);
        clock.go_on(10);
        cut_off.keep(&away, &clock, LEASE).await.expect("it saw nothing");
        cut_off.keep(&good, &clock, LEASE).await.expect("looked at");
        // The other sees it no more when it is set back again.
        clock.set(-3600);
        cut_off.keep(&good, &clock, LEASE).await.expect("followed");
        assert_eq!(back(&good).await, 7200);
    }
}
