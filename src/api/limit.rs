//! How many calls a token may make: a bucket that holds a minute's calls and fills at their rate. Webhooks are never limited here.

use crate::types::{Timestamp, TokenId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Calls a token may make a minute, unless `API_CALLS_PER_MINUTE` says otherwise.
pub const CALLS_A_MINUTE: u32 = 300;
/// Microseconds in which an empty bucket fills.
const MICROS_WHEN_FULL: i64 = 60_000_000;
/// Buckets kept before full ones are forgotten.
const MANY: usize = 1024;

/// The buckets of all tokens. Each is kept as the moment at which it would have been empty (the generic cell rate algorithm).
#[derive(Debug)]
pub struct Limiter {
    calls_a_minute: u32,
    /// Microseconds since 1970.
    empty_at: Mutex<HashMap<TokenId, i64>>,
}

impl Limiter {
    /// Every token may make this many calls a minute, at least one.
    pub fn new(calls_a_minute: u32) -> Self {
        Self { calls_a_minute: calls_a_minute.max(1), empty_at: Mutex::default() }
    }

    /// How many calls a token may make a minute.
    pub fn calls_a_minute(&self) -> u32 {
        self.calls_a_minute
    }

    /// Takes one call from the token's bucket.
    ///
    /// # Errors
    /// The seconds, at least 1, until there is one to take.
    pub fn take(&self, token: &TokenId, now: Timestamp) -> Result<(), u64> {
        let now = now.unix_millis() * 1000;
        let mut buckets = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() > MANY {
            buckets.retain(|_, empty_at| *empty_at > now - MICROS_WHEN_FULL);
        }
        // A full bucket stands at `now - MICROS_WHEN_FULL`; each call moves it towards `now`.
        // One that stands more than a minute ahead is from before the clock was set back.
        let known = buckets.get(token).copied().filter(|standing| *standing - now <= MICROS_WHEN_FULL);
        let standing = known.unwrap_or(i64::MIN).max(now - MICROS_WHEN_FULL);
        let after = standing + MICROS_WHEN_FULL / i64::from(self.calls_a_minute);
        if after > now {
            return Err((after - now).unsigned_abs().div_ceil(1_000_000).max(1));
        }
        match buckets.get_mut(token) {
            Some(bucket) => *bucket = after,
            None => drop(buckets.insert(token.clone(), after)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(random: u128) -> TokenId {
        TokenId::from_parts(Timestamp::from_unix_millis(0), random)
    }

    #[test]
    fn a_token_makes_300_calls_a_minute_and_no_more() {
        let limiter = Limiter::new(CALLS_A_MINUTE);
        let at = |millis: i64| Timestamp::from_unix_millis(1_000_000 + millis);
        for _ in 0..CALLS_A_MINUTE {
            assert_eq!(limiter.take(&token(1), at(0)), Ok(()));
        }
        assert_eq!(limiter.take(&token(1), at(0)), Err(1));
        assert_eq!(limiter.take(&token(2), at(0)), Ok(()), "another token has a bucket of its own");
        assert_eq!(limiter.take(&token(1), at(200)), Ok(()), "one call comes back every 200 ms");
        assert_eq!(limiter.take(&token(1), at(200)), Err(1));
        let later = (0..1000).filter(|_| limiter.take(&token(1), at(3_600_000)).is_ok()).count();
        assert_eq!(later, 300, "a bucket never holds more than a minute's calls");
    }

    #[test]
    fn a_clock_set_back_by_an_hour_refuses_nobody_for_that_hour() {
        let limiter = Limiter::new(CALLS_A_MINUTE);
        let at = |seconds: i64| Timestamp::from_unix_millis(seconds * 1000);
        let taken = |now: Timestamp| (0..1000).filter(|_| limiter.take(&token(1), now).is_ok()).count();
        assert_eq!((taken(at(7200)), taken(at(3600))), (300, 300));
        assert_eq!(taken(at(3599)), 0, "a second is no reason for more");
    }

    #[test]
    fn the_number_of_calls_is_a_setting() {
        for calls in [1, 7, 100_000] {
            let limiter = Limiter::new(calls);
            let at = Timestamp::from_unix_millis(1_000_000);
            let taken = (0..=calls).filter(|_| limiter.take(&token(1), at).is_ok()).count();
            assert_eq!(taken, calls as usize);
        }
    }
}
