//! A clock that is moved by hand.

use kubeops::clock::Clock;
use kubeops::types::Timestamp;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// When every world begins: late in the morning of a day.
pub const BEGIN: i64 = 1_795_000_000_000;

/// Time that passes only when a test says so, and random bits that are never the same twice.
#[derive(Default)]
pub struct Hand {
    millis: AtomicI64,
    drawn: AtomicU64,
}

impl Hand {
    pub fn passes(&self, time: Duration) {
        self.millis.fetch_add(i64::try_from(time.as_millis()).expect("a short time"), Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(BEGIN + self.millis.load(Ordering::Relaxed))
    }
    fn random(&self) -> u128 {
        // Spread over all 80 bits that an id shows.
        u128::from(self.drawn.fetch_add(1, Ordering::Relaxed) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}
