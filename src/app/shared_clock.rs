//! The clock everything goes by: this machine's, unless several machines share the store; then it is that of the database.

use crate::clock::{Clock, FollowedClock, SystemClock, noticed};
use crate::store::{Store, StoreError};
use crate::types::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked at the database's clock.
const EVERY: Duration = Duration::from_secs(5);
/// An answer that took longer says too little of what the clock shows now, but for a clock that was set by far more.
const SLOW: Duration = Duration::from_millis(100);
/// How often it is looked at the start, until an answer is quick.
const FIRST_LOOKS: u32 = 20;

/// The clock of a process that works with `store` under leases of this length; it is followed for as long as anybody goes by it.
///
/// # Errors
/// When the database cannot be asked.
pub(super) async fn of(store: &Arc<dyn Store>, lease: Duration) -> Result<Arc<dyn Clock>, StoreError> {
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
    if off >= noticed(lease) {
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
                Ok(Some(seen)) => seen.correct(&clock, lease),
                Ok(None) => {}
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

impl Seen {
    /// Has `clock` go by it. A slow answer says nothing of how a clock is kept right, but it does say that it was set: who only hears slow ones
    /// would go on by the old time, and be taken for dead.
    fn correct(&self, clock: &FollowedClock, lease: Duration) {
        if self.took < SLOW || apart(self.showed, clock.reckoned(self.at)) > noticed(lease) + self.took {
            clock.follow(self.showed, self.at);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(20);

    fn shown(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// What a clock shows at an uptime of 200 s that showed 1000 s at 100 s, once an answer came.
    fn after(showed: i64, took: u64, lease: Duration) -> Timestamp {
        let clock = FollowedClock::default();
        clock.follow(shown(1_000_000), millis(100_000));
        Seen { showed: shown(showed), at: millis(200_000), took: millis(took) }.correct(&clock, lease);
        clock.reckoned(millis(200_000))
    }

    #[test]
    fn a_slow_answer_is_believed_where_the_clock_was_set_by_more_than_it_took() {
        assert_eq!(after(1_100_700, 99, LEASE), shown(1_100_700), "a quick one corrects whatever there is");
        assert_eq!(after(1_100_700, 101, LEASE), shown(1_100_000), "a slow one does not");
        for leap in [3_600_000, -3_600_000] {
            assert_eq!(after(1_100_000 + leap, 9_000, LEASE), shown(1_100_000 + leap), "but it shows that the clock was set");
        }
        assert_eq!(after(1_108_000, 2_999, LEASE), shown(1_108_000));
        assert_eq!(after(1_108_000, 3_000, LEASE), shown(1_100_000), "it may be all the time that it took");
        assert_eq!(after(1_102_000, 400, LEASE), shown(1_100_000), "so are clocks kept right every day");
        assert_eq!(after(1_102_000, 400, Duration::from_secs(3)), shown(1_102_000), "of a short lease it would be too much");
    }
}
