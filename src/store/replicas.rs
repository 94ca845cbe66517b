//! What processes that share a database need of it to act as one: a clock, duties that one of them has at a time, and word of work that
//! another left.

use super::StoreError;
use crate::types::Timestamp;
use async_trait::async_trait;
use std::time::Duration;

/// What is done from time to time, by one process of all that share the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Open pull requests are looked at, moved bases followed, old rows removed.
    Upkeep,
    /// Senders are asked for what no delivery brought.
    Reconcile,
    /// What waits follows a clock that was set back.
    Clock,
}

impl Duty {
    /// Its name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upkeep => "upkeep",
            Self::Reconcile => "reconcile",
            Self::Clock => "clock",
        }
    }
}

/// The part of the store that is for processes which share it.
#[async_trait]
pub trait Replicas: Send + Sync {
    /// What the clock of the database's machine shows; none where the database is on this one.
    async fn moment(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Takes a duty for `owner` until `now + lease`, or goes on having it; false when another has it. A time that ran out, or that lies
    /// further ahead than two leases last because the clock was set back, keeps nobody off. [`super::Store::release`] gives it back.
    async fn take_duty(&self, duty: Duty, owner: &str, now: Timestamp, lease: Duration) -> Result<bool, StoreError>;

    /// Returns when another process left work that is due, and never where none tells of it: who waits looks from time to time as well.
    async fn woken(&self);
}
