//! Time and randomness, injected: nothing else in the crate reads the system's clock or its random source.

use crate::types::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where "now" and random bits come from.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
    /// 128 random bits, for ids and jitter; not for keys.
    fn random(&self) -> u128;
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
