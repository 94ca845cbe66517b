//! What processes that share a database need of it to act as one: a clock, duties that one of them has at a time, and word of work that
//! another left.

use super::{StoreError, postgres};
use crate::types::{DeliveryId, Timestamp};
use async_trait::async_trait;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// How often whoever has the turn in a database lets it hear something while at work: it would be lost after five seconds without a word.
const HEARD_EVERY: Duration = Duration::from_secs(2);
/// How often at most, which is for a minute: what takes longer has come to a stop, and others go on.
const HEARD_AT_MOST: u32 = 30;

/// What is done from time to time, by one process of all that share the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Open pull requests are looked at, moved bases followed, old rows removed.
    Upkeep,
    /// Senders are asked for what no delivery brought.
    Reconcile,
}

impl Duty {
    /// Its name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upkeep => "upkeep",
            Self::Reconcile => "reconcile",
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
    /// Does `work` under the turn, which is kept for as long as that takes, a minute at most, and then left to whoever comes next. A process that
    /// stands still loses it all the same.
    pub async fn over<T>(mut self, work: impl Future<Output = T>) -> T {
        let done = tokio::select! {
            done = work => done,
            never = self.keep() => match never {},
        };
        self.end().await;
        done
    }

    /// Lets the database hear something from time to time.
    async fn keep(&mut self) -> Infallible {
        if let HeldTurn::InDatabase(write) = &mut self.0 {
            for _ in 0..HEARD_AT_MOST {
                tokio::time::sleep(HEARD_EVERY).await;
                if write.speak().await.is_err() {
                    break;
                }
            }
        }
        std::future::pending().await
    }

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

    /// Whether another process has the name that this one held: the session it was held by broke, and the other came before there was a new one. From
    /// then on what is held under the name is the other's; [`super::Store::release`] and [`super::Store::take_back`] leave it alone.
    fn has_lost_name(&self) -> bool;

    /// The turn to dispatch the deliveries that wait, so that each is read by one process alone, in the order of their arrival. None while another
    /// has it, and it may be none where nothing waits. It ends when it is given back or dropped, when its process dies, and where processes share
    /// the database, when its holder stands still for five seconds, or is at work for longer than it keeps it ([`DispatchTurn::over`]). Who found it taken need not come again: whoever has it looks once more
    /// after it, and finds all that was there by then.
    async fn dispatch_turn(&self) -> Result<Option<DispatchTurn>, StoreError>;

    /// Says that `owner` reads what waits, from here on until [`super::Store::release`], and looks for those that said so and are gone: they died,
    /// perhaps of what they read, so the next `alone` deliveries are read one at a time. Tells how many still are. With `begins` it is the first
    /// word of this process: whoever said the same under its name was the one before it. A process whose name is not held is not listed.
    async fn reads(&self, owner: &str, begins: bool, alone: u32) -> Result<u32, StoreError>;

    /// How many died when they read this delivery, and nothing beside it.
    async fn died_reading(&self, delivery: &DeliveryId) -> Result<u32, StoreError>;

    /// Says that `owner` is about to read this delivery, and nothing beside it; tells how many died just there before.
    async fn reads_alone(&self, owner: &str, delivery: &DeliveryId) -> Result<u32, StoreError>;

    /// Says that this came to an end, so that nobody died of it, and whether it is `recorded` what the delivery says; tells how many deliveries are
    /// still read one at a time.
    async fn has_read_alone(&self, owner: &str, delivery: &DeliveryId, recorded: bool) -> Result<u32, StoreError>;

    /// Everything that waits was read one at a time: from here on that need not be.
    async fn has_read_all(&self) -> Result<(), StoreError>;

    /// Returns when another process left work that is due, and never where none tells of it: who waits looks from time to time as well.
    async fn woken(&self);
}
