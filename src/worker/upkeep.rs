//! What is done from time to time, beside the steps: by one process of all open pull requests looked at, moved bases followed, old rows removed;
//! by each its own mirrors tidied. It repairs what nobody told of; whatever it finds to do is owed as a task.

use super::Worker;
use crate::failpoint;
use crate::pipeline::Observer;
use crate::store::{Duty, Pruned, Reached};
use crate::types::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Rows removed in one slice.
const PRUNE_SLICE: u32 = 500;
/// How often old rows are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How often the mirrors are tidied.
const TIDY_EVERY: Duration = Duration::from_secs(600);

impl Worker {
    /// What is done from time to time, until `stop` says true.
    pub(super) async fn upkeep(self: Arc<Self>, stop: watch::Receiver<bool>) {
        // Neither waits for the other; if one comes to grief, both end, and that is noticed.
        tokio::join!(self.duties(stop.clone()), self.tidying(stop));
    }

    /// By one process of all: open pull requests looked at, old rows removed.
    async fn duties(&self, mut stop: watch::Receiver<bool>) {
        let mut last_prune: Option<Timestamp> = None;
        let mut observer = Observer::new(Arc::clone(&self.pipeline));
        let mut duty = self.duty(Duty::Upkeep);
        while !*stop.borrow() {
            failpoint::hit("upkeep.round");
            duty.while_ours(self.look_after(&mut observer, &mut last_prune)).await;
            let round = tokio::time::sleep(self.options.observe_every);
            tokio::pin!(round);
            loop {
                tokio::select! {
                    () = &mut round => break,
                    _ = stop.changed() => break,
                    // A step saw the base move: what is known of it now is enough.
                    () = self.pipeline.moved.notified() => self.follow_bases(Duration::MAX).await,
                    // What the calendars of a new set hold or let go shows at once.
                    () = self.pipeline.rules.replaced() => {
                        duty.while_ours(observer.calendars()).await;
                        self.wake.notify_one();
                    }
                }
            }
        }
    }

    /// By each process: the mirrors are in its own directory, and no other looks after them.
    async fn tidying(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            self.pipeline.tidy_mirrors().await;
            tokio::select! {
                () = tokio::time::sleep(TIDY_EVERY) => {}
                _ = stop.changed() => {}
            }
        }
    }

    async fn look_after(&self, observer: &mut Observer, last_prune: &mut Option<Timestamp>) {
        observer.round().await;
        self.follow_bases(Duration::ZERO).await;
        let now = self.clock().now();
        if last_prune.is_none_or(|at| now.since(at) >= PRUNE_EVERY) {
            self.prune(now).await;
            *last_prune = Some(now);
        }
    }

    /// Owes open requests a new plan where their base has moved.
    async fn follow_bases(&self, age: Duration) {
        match self.pipeline.follow_bases(age).await {
            Ok(0) => {}
            Ok(_) => self.wake.notify_one(),
            Err(error) => tracing::warn!(%error, "whether base branches moved cannot be told"),
        }
    }

    async fn prune(&self, now: Timestamp) {
        let (before, mut reached) = (now.minus(self.options.retention), Reached::default());
        loop {
            let (pruned, next) = match self.store().prune_from(before, reached, PRUNE_SLICE).await {
                Ok(slice) => slice,
                Err(error) => return tracing::warn!(%error, "old rows could not be removed"),
            };
            if pruned != Pruned::default() {
                tracing::info!(
                    deliveries = pruned.deliveries,
                    events = pruned.events,
                    requests = pruned.requests,
                    words = pruned.words,
                    "removed what is past its retention"
                );
            } else if next == reached {
                return;
            }
            reached = next;
        }
    }
}
