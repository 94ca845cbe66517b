//! Care after a death: when a process that read what waits is gone without a word, what it read may have ended it, and would end each that comes
//! after it. So the next deliveries are read one at a time, each noted before. One that ended a process three times, alone, is not read again.
//! Who is killed from outside again and again, soon after each start, is always at the same delivery: so the third reading waits until the process has
//! lived for a while, and what dies then died of it. As long as nobody dies, nothing is written.

use super::{BATCH, Dispatcher};
use crate::store::{Delivery, Dispatch, StoreError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::Span;

/// So many processes may die of a delivery that they read alone.
const MOST_DEATHS: u32 = 3;
/// How long a process has been at it before it reads a delivery that would not be read again should it die now.
const AT_IT_FOR: Duration = Duration::from_secs(3);
/// How often it is looked whether others who read have died.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

/// What this process knows of it.
#[derive(Debug, Default)]
pub(super) struct Care(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// At which uptime it was looked at last; never before this process read anything.
    looked: Option<Duration>,
    /// At which uptime that was the first time.
    began: Option<Duration>,
    /// How many deliveries are still to be read one at a time.
    still_alone: u32,
}

impl Care {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether deliveries are read one at a time, as far as is known.
    pub(super) fn is_wanted(&self) -> bool {
        self.known().still_alone > 0
    }

    /// How long it is until this process has been at it for long enough.
    fn settles_in(&self, now: Duration) -> Duration {
        let began = self.known().began.unwrap_or(now);
        AT_IT_FOR.saturating_sub(now.saturating_sub(began))
    }

    /// How many still are, and when that was looked at. Tells whether it begins with that.
    fn learns(&self, still_alone: u32, looked: Option<Duration>) -> bool {
        let mut known = self.known();
        known.looked = looked.or(known.looked);
        known.began = known.began.or(known.looked);
        std::mem::replace(&mut known.still_alone, still_alone) == 0 && still_alone > 0
    }
}

impl Dispatcher {
    /// Whether what waits is read one delivery at a time; looked at before the first batch, and once a second at most.
    pub(super) async fn takes_care(&self, owner: &str) -> Result<bool, StoreError> {
        let (looked, now) = (self.care.known().looked, self.clock.uptime());
        if looked.is_none_or(|looked| now.saturating_sub(looked) >= LOOKED_EVERY) {
            let still_alone = self.store.reads(owner, looked.is_none(), BATCH).await?;
            if self.care.learns(still_alone, Some(now)) {
                tracing::warn!(
                    still_alone,
                    "a process that read deliveries died; should one of them have ended it, it is found by reading them one at a time"
                );
            }
        }
        Ok(self.care.is_wanted())
    }

    /// What a delivery says, read alone; or that it ended those who read it.
    pub(super) async fn read_alone(self: &Arc<Self>, owner: &str, deliveries: &Arc<Vec<(Delivery, Span)>>) -> Result<Vec<Dispatch>, StoreError> {
        let Some((delivery, _)) = deliveries.first() else { return Ok(Vec::new()) };
        let died = self.store.died_reading(&delivery.id).await?;
        let wait = self.care.settles_in(self.clock.uptime());
        if died + 1 == MOST_DEATHS && !wait.is_zero() {
            tracing::warn!(delivery = %delivery.id, died, ?wait, "those who read this delivery died; it is read once more when this process has lived for a while");
            tokio::time::sleep(wait).await;
        }
        let deaths = self.store.reads_alone(owner, &delivery.id).await?;
        if deaths < MOST_DEATHS {
            return Ok(self.read_each(deliveries).await);
        }
        tracing::error!(delivery = %delivery.id, deaths, "reading this delivery ended the process each time; it is not read again; please report it");
        let error = format!("reading it ended the process {deaths} times, which is a fault of KubeOps");
        Ok(vec![Dispatch { delivery: Some(delivery.id.clone()), error: Some(error), events: Vec::new() }])
    }

    /// It came to an end. Where that cannot be noted, the next note says so.
    pub(super) async fn has_read_alone(&self, owner: &str, delivery: &Delivery, recorded: bool) {
        match self.store.has_read_alone(owner, &delivery.id, recorded).await {
            Ok(still_alone) => drop(self.care.learns(still_alone, None)),
            Err(error) => tracing::warn!(delivery = %delivery.id, %error, "that a delivery was read could not be noted"),
        }
    }

    /// Nothing waits that was not read one at a time.
    pub(super) async fn has_read_all(&self) -> Result<(), StoreError> {
        if self.care.is_wanted() {
            self.store.has_read_all().await?;
            self.care.learns(0, None);
        }
        Ok(())
    }
}
