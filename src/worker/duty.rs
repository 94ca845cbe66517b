//! A duty that one process of all has at a time: taken when it is looked after, kept while it is, lost when the process dies or stands still.
//! Two may think they have it for as long as their clocks differ: whatever it does is safe to do twice.

use crate::clock::Clock;
use crate::lease::Lease;
use crate::store::{Duty, Store};
use std::sync::Arc;
use std::time::Duration;

/// This process's part in a duty.
pub struct Share {
    duty: Duty,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    owner: String,
    lease: Duration,
    /// At which uptime it was last found to be ours.
    ours: Option<Duration>,
}

impl Share {
    /// None yet; it is taken under the name `owner`, for `lease` at a time.
    pub fn of(duty: Duty, store: Arc<dyn Store>, clock: Arc<dyn Clock>, owner: &str, lease: Duration) -> Self {
        Self { duty, store, clock, owner: owner.to_owned(), lease, ours: None }
    }

    /// Whether this process has the duty; takes it when nobody has.
    pub async fn is_ours(&mut self) -> bool {
        let asked = self.clock.uptime();
        if self.ours.is_some_and(|at| asked.saturating_sub(at) < self.lease / 3) {
            return true;
        }
        self.take(asked).await
    }

    async fn take(&mut self, asked: Duration) -> bool {
        let taken = self.store.take_duty(self.duty, &self.owner, self.clock.now(), self.lease).await;
        let ours = taken.unwrap_or_else(|error| {
            tracing::warn!(duty = self.duty.as_str(), %error, "whose duty it is cannot be told");
            false
        });
        if ours != self.ours.is_some() {
            tracing::debug!(duty = self.duty.as_str(), ours, "a duty has changed hands");
        }
        self.ours = ours.then_some(asked);
        ours
    }

    /// Does `work` if the duty is ours, for as long as it is: what is under way when it is lost is dropped. None when it was not done to its end.
    pub async fn while_ours<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        if !self.is_ours().await {
            return None;
        }
        let lease = Lease::new(Arc::clone(&self.clock), self.ours.unwrap_or_default(), self.lease);
        // Both go on at all times: work that stood still while the duty is kept could hold, or be next for, what keeping it waits for.
        tokio::select! {
            done = lease.clone().over(work) => Some(done),
            () = self.keep(&lease) => None,
        }
    }

    /// Keeps the duty, and the lease with it; returns when it is lost.
    async fn keep(&mut self, lease: &Lease) {
        loop {
            tokio::time::sleep(self.lease / 3).await;
            let asked = self.clock.uptime();
            if !self.take(asked).await {
                return;
            }
            lease.extend(asked, self.lease);
        }
    }
}
