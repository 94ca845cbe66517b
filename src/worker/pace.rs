//! Notices that the clock on the wall was set back, by a clock that nobody sets, so that nothing waits for the same hour twice.

use super::DutyShare;
use crate::clock::Clock;
use crate::store::{Store, StoreError};
use crate::types::Timestamp;
use std::time::{Duration, Instant};

/// What differs by less is how clocks are kept right every day.
const NOTICED: Duration = Duration::from_secs(5);

/// What the clock showed, and when that was.
pub(super) struct Pace {
    shown: Timestamp,
    at: Instant,
    /// Of several processes on one store, one does what all of them notice.
    duty: DutyShare,
}

impl Pace {
    /// Begins with the newest moment the store knows of: the clock may have been set back while nobody was there.
    pub(super) async fn begin(store: &dyn Store, clock: &dyn Clock, duty: DutyShare) -> Self {
        let known = store.newest_moment().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "whether the clock was set back meanwhile cannot be told");
            None
        });
        let now = clock.now();
        Self { shown: known.map_or(now, |known| known.max(now)), at: Instant::now(), duty }
    }

    /// Looks at both clocks; where the one on the wall was set back, what waits follows it.
    ///
    /// # Errors
    /// When the store fails; then it is noticed again.
    pub(super) async fn keep(&mut self, store: &dyn Store, clock: &dyn Clock, lease: Duration) -> Result<(), StoreError> {
        let (now, at) = (clock.now(), Instant::now());
        let by = self.shown.plus(at.duration_since(self.at)).since(now);
        if by >= NOTICED {
            tracing::warn!(seconds = by.as_secs(), "the clock was set back: what waits for a pause to end waits no longer for it");
            if self.duty.is_ours().await {
                store.set_back(by, lease, now).await?;
            }
        }
        (self.shown, self.at) = (now, at);
        Ok(())
    }
}
