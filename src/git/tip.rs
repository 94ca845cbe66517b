//! Where the base branch was when a conversation last showed it, so that the next one can be spared.
//! It is a hint: whoever relies on it finds out by the lease of a push, or by the next look.

use crate::types::CommitSha;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The tip of a base branch, and since when it is known.
#[derive(Debug, Default)]
pub(super) struct Tip(Mutex<Option<(CommitSha, Instant)>>);

impl Tip {
    /// A conversation that ends now showed it.
    pub(super) fn note(&self, tip: &CommitSha) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((tip.clone(), Instant::now()));
    }

    /// It moved to who knows where.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The tip, when it was shown at most `age` ago.
    pub(super) fn within(&self, age: Duration) -> Option<CommitSha> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(_, at)| at.elapsed() <= age).map(|(tip, _)| tip.clone())
    }
}
