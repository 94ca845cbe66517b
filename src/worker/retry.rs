//! Whether a step that failed is tried again, and when: a function of the error's class, so that it can be read on one page.
//! It reads no clock and asks for no chance of its own.

use crate::types::{ErrorClass, Timestamp};
use std::time::Duration;

/// First and longest pause between attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Attempts at a step that fails for a reason of ours.
const BUG_ATTEMPTS: u32 = 3;

/// An attempt that failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    /// How its error is to be treated.
    pub class: ErrorClass,
    /// How long the other side asked us to wait.
    pub retry_after: Option<Duration>,
    /// Attempts made, this one counted.
    pub attempts: u32,
}

/// What becomes of its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterFailure {
    /// Another attempt, not before `run_at`; `of` attempts are made altogether.
    Again { run_at: Timestamp, of: u32 },
    /// None: it is a dead letter.
    GiveUp,
}

/// Decides. `most` is the setting for attempts, `random` any number.
pub(super) fn after(failure: Failure, most: u32, now: Timestamp, random: u128) -> AfterFailure {
    let of = match failure.class {
        ErrorClass::Transient => most,
        ErrorClass::Bug => BUG_ATTEMPTS.min(most),
        ErrorClass::Permanent | ErrorClass::User => 1,
    };
    if failure.attempts >= of {
        return AfterFailure::GiveUp;
    }
    let pause = failure.retry_after.unwrap_or_default().max(backoff(failure.attempts, random));
    AfterFailure::Again { run_at: now.plus(pause), of }
}

/// The pause before the next attempt: doubled each time, half of it left to chance, so that many do not come back at once.
fn backoff(attempts: u32, random: u128) -> Duration {
    let (first, longest) = BACKOFF;
    let whole = first.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX)).min(longest);
    let half = whole / 2;
    let jitter = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_millis(u64::try_from(random % u128::from(jitter)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u32 = 8;

    fn now() -> Timestamp {
        Timestamp::from_unix_millis(1_795_176_000_000)
    }

    fn failure(class: ErrorClass, attempts: u32) -> Failure {
        Failure { class, retry_after: None, attempts }
    }

    fn pause_after(failure: Failure, random: u128) -> Option<Duration> {
        match after(failure, MOST, now(), random) {
            AfterFailure::Again { run_at, .. } => Some(run_at.since(now())),
            AfterFailure::GiveUp => None,
        }
    }

    #[test]
    fn what_may_pass_is_tried_as_often_as_set_a_fault_of_ours_three_times_and_nothing_else_again() {
        for (class, tried) in [(ErrorClass::Transient, MOST), (ErrorClass::Bug, 3), (ErrorClass::Permanent, 1), (ErrorClass::User, 1)] {
            for attempts in 1..=MOST + 1 {
                let again = matches!(after(failure(class, attempts), MOST, now(), 0), AfterFailure::Again { of, .. } if of == tried);
                assert_eq!(again, attempts < tried, "{class:?}, attempt {attempts}");
            }
        }
        assert_eq!(after(failure(ErrorClass::Bug, 2), 2, now(), 0), AfterFailure::GiveUp, "the setting bounds faults of ours too");
        assert_eq!(after(failure(ErrorClass::Transient, 1), 1, now(), 0), AfterFailure::GiveUp);
    }

    #[test]
    fn whoever_asks_us_to_wait_is_given_that_long_and_never_less_than_our_own_pause() {
        let asked = |seconds| Failure { retry_after: Some(Duration::from_secs(seconds)), ..failure(ErrorClass::Transient, 1) };
        assert_eq!(pause_after(asked(60), 0), Some(Duration::from_secs(60)));
        assert_eq!(pause_after(asked(0), 0), Some(Duration::from_millis(500)));
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        for attempts in 1..MOST {
            for random in [0, 1, u128::MAX] {
                let pause = pause_after(failure(ErrorClass::Transient, attempts), random).expect("another attempt");
                assert!(pause >= Duration::from_millis(500) && pause <= Duration::from_secs(300), "{attempts}: {pause:?}");
            }
        }
        assert!(backoff(8, 0) > backoff(3, u128::MAX));
        assert!(backoff(u32::MAX, u128::MAX) <= Duration::from_secs(300));
        assert_eq!(backoff(1, 499), Duration::from_millis(999));
    }
}
