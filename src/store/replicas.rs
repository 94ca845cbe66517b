//! What processes that share a database need of it to act as one: a clock, duties that one of them has at a time, and word of work that
//! another left.

use super::{StoreError, postgres};
use crate::types::Timestamp;
use async_trait::async_trait;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

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

/// The turn to read and dispatch what waits. Dropped it ends as well, a little later.
pub struct DispatchTurn(pub(in crate::store) HeldTurn);

/// Where a turn is kept.
pub(in crate::store) enum HeldTurn {
    /// In the one process that works with the store.
    InProcess(OwnedMutexGuard<()>),
    /// In the database, as a transaction that holds a lock and writes nothing.
    InDatabase(postgres::Write),
}

impl DispatchTurn {
    /// Leaves it to whoever comes next.
    pub async fn end(self) {
        let ended = match self.0 {
            HeldTurn::InProcess(turn) => {
                drop(turn);
                Ok(())
            }
            HeldTurn::InDatabase(write) => write.finish(Ok(())).await,
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "the turn to dispatch was over before; what was read may have been read by another as well");
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

    /// Takes a name for this process alone among all that share the store, until it ends, however it ends; false where another that lives has it.
    /// Where the store is a file, whoever has the lock on the data directory has the name.
    async fn hold_name(&self, name: &str) -> Result<bool, StoreError>;

    /// The turn to dispatch the deliveries that wait, so that each is read by one process alone, in the order of their arrival. None while another
    /// has it, and it may be none where nothing waits. It ends when it is given back or dropped, when its process dies, and where processes share
    /// the database, when its holder stands still for five seconds. Who found it taken need not come again: whoever has it looks once more
    /// after it, and finds all that was there by then.
    async fn dispatch_turn(&self) -> Result<Option<DispatchTurn>, StoreError>;

    /// Returns when another process left work that is due, and never where none tells of it: who waits looks from time to time as well.
    async fn woken(&self);
}
