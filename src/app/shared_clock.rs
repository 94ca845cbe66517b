//! The clock everything goes by: this machine's, unless several machines share the store; then it is that of the database.

use crate::clock::{Clock, FollowedClock, SystemClock};
use crate::store::{Store, StoreError};
use crate::types::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked at the database's clock.
const EVERY: Duration = Duration::from_secs(5);
/// An answer that took longer says too little of what the clock shows now.
const SLOW: Duration = Duration::from_millis(500);
/// What differs by less is how clocks are kept right every day.
const NOTICED: Duration = Duration::from_secs(5);

/// The clock of a process that works with `store`; it is followed for as long as anybody goes by it.
///
/// # Errors
/// When the database cannot be asked.
pub(super) async fn of(store: &Arc<dyn Store>) -> Result<Arc<dyn Clock>, StoreError> {
    let Some(shown) = store.moment().await? else { return Ok(Arc::new(SystemClock)) };
    let off = apart(shown, SystemClock.now());
    if off >= NOTICED {
        tracing::warn!(
            seconds = off.as_secs(),
            "this machine's clock is not the database's, by which everything goes here; set both by one time server"
        );
    }
    let clock = Arc::new(FollowedClock::showing(shown));
    let (followed, store) = (Arc::downgrade(&clock), Arc::downgrade(store));
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            let (Some(clock), Some(store)) = (followed.upgrade(), store.upgrade()) else { return };
            match look(store.as_ref(), clock.as_ref()).await {
                Ok(Some(shown)) => clock.follow(shown),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the database's clock cannot be looked at; it is reckoned on"),
            }
        }
    });
    Ok(clock)
}

/// What the database's clock shows when the answer is here: half of the way is behind it. An answer that was long on its way tells too little.
async fn look(store: &dyn Store, clock: &dyn Clock) -> Result<Option<Timestamp>, StoreError> {
    let asked = clock.uptime();
    let shown = store.moment().await?;
    let took = clock.uptime().saturating_sub(asked);
    Ok(shown.filter(|_| took < SLOW).map(|shown| shown.plus(took / 2)))
}

fn apart(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}
