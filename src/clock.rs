//! Time and randomness, injected: nothing else in the crate reads the system's clocks or its random source.

use crate::types::Timestamp;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What differs by less is how clocks are kept right every day.
const KEPT_RIGHT: Duration = Duration::from_secs(5);

/// By how much a clock has to show something else than it should to count as set, where leases last for `lease`: none is lost by less than that,
/// because a lease is extended when a third of it is over.
pub fn noticed(lease: Duration) -> Duration {
    KEPT_RIGHT.min(lease / 2)
}

/// Where "now" and random bits come from.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
    /// 128 random bits, for ids and jitter; not for keys.
    fn random(&self) -> u128;
    /// How long this machine is up, by a clock that nobody sets and that goes on while a process, or the machine, stands still.
    fn uptime(&self) -> Duration {
        uptime()
    }
}

/// The machine's clock and the thread's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn random(&self) -> u128 {
        rand::random()
    }
}

/// The clock of another machine: what it showed when it was last seen, and the time since. Processes that share a database go by the
/// database's, so that what one of them writes down means the same to all, however their own clocks are set.
///
/// Until it is told, it shows the beginning of 1970 and the time since this machine was started.
#[derive(Debug)]
pub struct FollowedClock(Mutex<(Timestamp, Duration)>);

impl Default for FollowedClock {
    fn default() -> Self {
        Self(Mutex::new((Timestamp::from_unix_millis(0), Duration::ZERO)))
    }
}

impl FollowedClock {
    /// The other machine's clock showed this when this machine's uptime was `at`.
    pub fn follow(&self, showed: Timestamp, at: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (showed, at);
    }

    /// What it is reckoned to show when this machine's uptime is `at`.
    pub fn reckoned(&self, at: Duration) -> Timestamp {
        let (showed, seen) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        showed.plus(at.saturating_sub(seen))
    }
}

impl Clock for FollowedClock {
    fn now(&self) -> Timestamp {
        self.reckoned(uptime())
    }

    fn random(&self) -> u128 {
        rand::random()
    }
}

#[cfg(target_os = "linux")]
const SINCE_BOOT: rustix::time::ClockId = rustix::time::ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const SINCE_BOOT: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

fn uptime() -> Duration {
    Duration::try_from(rustix::time::clock_gettime(SINCE_BOOT)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_followed_goes_on_from_what_it_showed() {
        let long_ago = Timestamp::from_unix_millis(1_000);
        let clock = FollowedClock::default();
        clock.follow(long_ago, clock.uptime());
        let first = clock.now();
        assert!(first >= long_ago && first.since(long_ago) < Duration::from_secs(60), "{first}");
        clock.follow(Timestamp::from_unix_millis(500_000), clock.uptime());
        assert!(clock.now() >= Timestamp::from_unix_millis(500_000));
        clock.follow(long_ago, clock.uptime());
        assert!(clock.now() < Timestamp::from_unix_millis(500_000), "it is followed back as well");
    }
}
