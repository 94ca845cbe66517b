//! Notices that the clock on the wall was set, by a clock that nobody sets. Set back, nothing waits for the same hour twice; set forward, nothing is
//! taken from processes that live, whose leases only seem to have run out.

use super::DutyShare;
use crate::clock::{Clock, noticed};
use crate::store::{Store, StoreError};
use crate::types::Timestamp;
use std::time::Duration;

/// For so long at least nothing is taken over after a leap: processes that follow the database's clock look at it every few seconds, and
/// have to have seen it. Nor by one that starts, which does not know when there was one.
const SEEN_BY_ALL: Duration = Duration::from_secs(15);

/// What the clock showed, and when that was.
pub(super) struct Pace {
    reckoned: Reckoned,
    /// Of several processes on one store, one does what all of them notice.
    duty: DutyShare,
}

impl Pace {
    /// Begins with the newest moment the store knows of: the clock may have been set back while nobody was there.
    pub(super) async fn begin(store: &dyn Store, clock: &dyn Clock, duty: DutyShare) -> Self {
        let known = store.newest_moment().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "whether the clock was set back meanwhile cannot be told");
            None
        });
        // Processes of one machine go by its own clock, and see it set when it is.
        let is_shared = !matches!(store.moment().await, Ok(None));
        let now = clock.now();
        let shown = known.map_or(now, |known| known.max(now));
        Self { reckoned: Reckoned::begin(shown, clock.uptime(), is_shared), duty }
    }

    /// Looks at both clocks; where the one on the wall was set back, what waits follows it.
    ///
    /// # Errors
    /// When the store fails; then it is noticed again.
    pub(super) async fn keep(&mut self, store: &dyn Store, clock: &dyn Clock, lease: Duration) -> Result<(), StoreError> {
        let (now, at) = (clock.now(), clock.uptime());
        let by = self.reckoned.back(now, at);
        if by >= noticed(lease) {
            tracing::warn!(seconds = by.as_secs(), "the clock was set back: what waits for a pause to end waits no longer for it");
            if self.duty.is_ours().await {
                store.set_back(by, lease, now).await?;
            }
        }
        if !by.is_zero() {
            (self.reckoned.shown, self.reckoned.at) = (now, at);
        }
        Ok(())
    }

    /// Whether the clock, which shows `now` at an uptime of `at`, was set forward since it was last looked at. Then it is not believed for the length
    /// of a `lease`.
    pub(super) fn leapt(&mut self, now: Timestamp, at: Duration, lease: Duration) -> bool {
        let by = self.reckoned.forth(now, at, lease);
        if let Some(by) = by {
            tracing::warn!(seconds = by.as_secs(), "the clock was set forward: what other processes hold is left to them until each has seen it");
        }
        by.is_some()
    }

    /// Whether a lease that ran out by the clock did run out, at an uptime of `at`.
    pub(super) fn is_believed(&self, at: Duration) -> bool {
        at >= self.reckoned.believed_from
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
}
