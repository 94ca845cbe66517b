//! What is done from time to time, beside the steps: open pull requests looked at, moved bases followed, old rows removed.
//! It repairs what nobody told of; whatever it finds to do is owed as a task.

use super::Worker;
use crate::failpoint;
use crate::request::State;
use crate::store::{PageQuery, RequestFilter};
use crate::types::{RepositoryName, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Open requests listed at once.
const OBSERVED: u32 = 100;
/// Calls of a forge's budget that looking at open pull requests leaves alone.
const BUDGET_KEPT: u64 = 1000;
/// Rows removed in one slice.
const PRUNE_SLICE: u32 = 500;
/// How often old rows are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

impl Worker {
    /// What is done from time to time: open pull requests looked at, old rows removed, gauges refreshed.
    pub(super) async fn upkeep(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut last_prune: Option<Timestamp> = None;
        while !*stop.borrow() {
            failpoint::hit("upkeep.round");
            self.observe_open().await;
            self.follow_bases(Duration::ZERO).await;
            for (repository, remaining) in self.pipeline.forges.budgets() {
                self.metrics.forge_budget(repository.as_str(), i64::try_from(remaining).unwrap_or(i64::MAX));
            }
            let now = self.clock().now();
            if last_prune.is_none_or(|at| now.since(at) >= PRUNE_EVERY) {
                last_prune = Some(now);
                self.prune(now).await;
            }
            let round = tokio::time::sleep(self.options.observe_every);
            tokio::pin!(round);
            loop {
                tokio::select! {
                    () = &mut round => break,
                    _ = stop.changed() => break,
                    // A step saw the base move: what is known of it now is enough.
                    () = self.pipeline.moved.notified() => self.follow_bases(Duration::MAX).await,
                }
            }
        }
    }

    /// Looks at the pull requests of open requests, page by page: a merge or a close that nobody told us. A forge whose
    /// budget runs low is left to the steps that need it.
    async fn observe_open(&self) {
        let short: Vec<RepositoryName> =
            self.pipeline.forges.budgets().into_iter().filter(|(_, left)| *left < BUDGET_KEPT).map(|(name, _)| name).collect();
        let filter = RequestFilter { states: vec![State::Proposed, State::Approved], ..RequestFilter::default() };
        let mut query = PageQuery { limit: OBSERVED, after: None };
        loop {
            let page = match self.store().requests(&filter, &query).await {
                Ok(page) => page,
                Err(error) => return tracing::warn!(%error, "open requests could not be listed"),
            };
            for request in page.items.iter().filter(|request| !request.repository.as_ref().is_some_and(|name| short.contains(name))) {
                if let Err(error) = self.pipeline.observe(&request.id, "the forge").await {
                    tracing::warn!(request = %request.id, %error, "its pull request could not be looked at");
                }
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return,
            }
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
        let before = now.minus(self.options.retention);
        loop {
            match self.store().prune(before, PRUNE_SLICE).await {
                Ok(pruned) if pruned.deliveries + pruned.events + pruned.requests == 0 => break,
                Ok(pruned) => tracing::info!(
                    deliveries = pruned.deliveries,
                    events = pruned.events,
                    requests = pruned.requests,
                    "removed what is past its retention"
                ),
                Err(error) => return tracing::warn!(%error, "old rows could not be removed"),
            }
        }
        if let Err(error) = self.pipeline.tidy_mirrors().await {
            tracing::warn!(%error, "the mirrors could not be tidied");
        }
    }
}
