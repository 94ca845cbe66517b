//! The clock everything goes by: this machine's, unless several machines share the store; then it is that of the database.

use crate::clock::{Clock, FollowedClock, SystemClock};
use crate::store::{Store, StoreError};
use crate::types::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked at the database's clock.
const EVERY: Duration = Duration::from_secs(5);
/// An answer that took longer says too little of what the clock shows now.
const SLOW: Duration = Duration::from_millis(100);
/// How often it is looked at the start, until an answer is quick.
const FIRST_LOOKS: u32 = 20;
/// What differs by less is how clocks are kept right every day.
const NOTICED: Duration = Duration::from_secs(5);

/// The clock of a process that works with `store`; it is followed for as long as anybody goes by it.
///
/// # Errors
/// When the database cannot be asked.
pub(super) async fn of(store: &Arc<dyn Store>) -> Result<Arc<dyn Clock>, StoreError> {
    let Some(mut first) = look(store.as_ref()).await? else { return Ok(Arc::new(SystemClock)) };
    for _ in 0..FIRST_LOOKS {
        if first.took < SLOW {
            break;
        }
        // A machine that is busy starting tells late what it saw: the quickest of several looks counts.
        first = look(store.as_ref()).await?.filter(|next| next.took < first.took).unwrap_or(first);
    }
    let clock = Arc::new(FollowedClock::default());
    clock.follow(first.showed, first.at);
    let off = apart(clock.now(), SystemClock.now());
    if off >= NOTICED {
        tracing::warn!(
            seconds = off.as_secs(),
            "this machine's clock is not the database's, by which everything goes here; set both by one time server"
        );
    }
    let (followed, store) = (Arc::downgrade(&clock), Arc::downgrade(store));
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            let (Some(clock), Some(store)) = (followed.upgrade(), store.upgrade()) else { return };
            match look(store.as_ref()).await {
                Ok(Some(seen)) if seen.took < SLOW => clock.follow(seen.showed, seen.at),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "the database's clock cannot be looked at; it is reckoned on"),
            }
        }
    });
    Ok(clock)
}

/// What the database's clock showed, in the middle of the time that asking took, at which uptime, and how long it took.
struct Seen {
    showed: Timestamp,
    at: Duration,
    took: Duration,
}

async fn look(store: &dyn Store) -> Result<Option<Seen>, StoreError> {
    let asked = SystemClock.uptime();
    let showed = store.moment().await?;
    let took = SystemClock.uptime().saturating_sub(asked);
    Ok(showed.map(|showed| Seen { showed, at: asked + took / 2, took }))
}

fn apart(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}
