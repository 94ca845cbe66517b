//! Keeps requests moving: dispatches what arrived, claims tasks that are due, retries by error class, shuts down without loss.
//! It decides when a step is done again, never what a step does. Whatever it holds is in the store too: it may die at any line.

mod retry;

use crate::clock::Clock;
use crate::failpoint;
use crate::pipeline::{Dispatcher, Observer, Pipeline, StepError};
use crate::request::{State, TimelineEntry};
use crate::store::inbox::Inbox;
use crate::store::{ClaimedTask, Settlement, Store, StoreError, TaskKind, Verdict};
use crate::telemetry::Metrics;
use crate::types::Timestamp;
use retry::{AfterFailure, Failure};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// How the worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The name its leases are held under; no other living process has it.
    pub owner: String,
    /// Steps done at the same time.
    pub concurrency: usize,
    /// Attempts before a task is a dead letter.
    pub max_attempts: u32,
    /// How long a claim lasts; it is extended while the step runs.
    pub lease: Duration,
    /// How long a step may take altogether.
    pub step_timeout: Duration,
    /// How often open pull requests are looked at.
    pub observe_every: Duration,
    /// How long finished deliveries, events and requests are kept.
    pub retention: Duration,
}

/// The worker of one process.
pub struct Worker {
    pipeline: Arc<Pipeline>,
    dispatcher: Arc<Dispatcher>,
    metrics: Arc<Metrics>,
    options: WorkerOptions,
    wake: Arc<Notify>,
    inbox: Arc<Inbox>,
}

/// The task that looks after open pull requests and old rows ended unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its upkeep ended unasked")]
pub struct UpkeepEnded;

/// What came of a look around.
struct Round {
    /// Whether there was anything to do.
    found: bool,
    /// What the senders are owed before the next one.
    courtesy: Option<Duration>,
}

/// While senders are pressing, dispatching pauses so many times as long as a batch took, and at most so long.
const COURTESY: u32 = 9;
const LONGEST_COURTESY: Duration = Duration::from_millis(250);
/// How long a delivery may wait for its dispatch before senders are given way no more.
const MOST_BEHIND: Duration = Duration::from_secs(30);
/// Looks for work at least this often, in case a wake-up was missed or another process left some.
const IDLE: Duration = Duration::from_secs(1);
/// Steps that wait for a forge's limit to end come back within so many milliseconds after it.
const LIMIT_JITTER_MILLIS: u128 = 2000;
/// Rows removed in one slice.
const PRUNE_SLICE: u32 = 500;
/// How often old rows are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

impl Worker {
    /// A worker; nothing runs before [`Self::run`].
    pub fn new(
        pipeline: Arc<Pipeline>,
        dispatcher: Arc<Dispatcher>,
        metrics: Arc<Metrics>,
        options: WorkerOptions,
        wake: Arc<Notify>,
        inbox: Arc<Inbox>,
    ) -> Self {
        Self { pipeline, dispatcher, metrics, options, wake, inbox }
    }

    fn store(&self) -> &dyn Store {
        self.pipeline.store.as_ref()
    }

    fn clock(&self) -> &dyn Clock {
        self.pipeline.clock.as_ref()
    }

    /// Works until `stop` says true, then finishes what is in flight for at most `grace` and gives the rest back.
    ///
    /// # Errors
    /// When its upkeep ended before; then it stops as well, because a service that is not looked after only seems to work.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>, grace: Duration) -> Result<(), UpkeepEnded> {
        let upkeep = tokio::spawn(Arc::clone(&self).upkeep(stop.clone()));
        let mut running: JoinSet<()> = JoinSet::new();
        let mut outcome = Ok(());
        while !*stop.borrow() {
            // In this order: told to stop, it ends as well.
            if upkeep.is_finished() && !*stop.borrow() {
                outcome = Err(UpkeepEnded);
                break;
            }
            let round = self.round(&mut running).await;
            if let Some(courtesy) = round.courtesy {
                tokio::select! {
                    () = tokio::time::sleep(courtesy) => {}
                    _ = stop.changed() => {}
                }
            }
            if round.found {
                continue;
            }
            let pause = if running.len() < self.options.concurrency { self.until_due().await } else { IDLE };
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
                Some(_) = running.join_next(), if !running.is_empty() => {}
                _ = stop.changed() => {}
            }
        }
        let drained = tokio::time::timeout(grace, async { while running.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            running.abort_all();
            while running.join_next().await.is_some() {}
        }
        upkeep.abort();
        if let Err(error) = self.store().release(&self.options.owner).await {
            tracing::warn!(%error, "leases could not be given back; they run out by themselves");
        }
        outcome
    }

    /// Everything that can be done at once. A failing store is waited for.
    async fn round(self: &Arc<Self>, running: &mut JoinSet<()>) -> Round {
        let begun = std::time::Instant::now();
        let (dispatched, courtesy) = match self.dispatcher.run_batch().await {
            Ok(None) => (false, None),
            Ok(Some(oldest)) => (true, self.courtesy(oldest, begun.elapsed())),
            Err(error) => {
                tracing::error!(%error, "deliveries could not be dispatched; they stay pending");
                (false, None)
            }
        };
        Round { found: self.claim(running).await || dispatched, courtesy }
    }

    /// How long to leave the machine to the senders after a batch that took `took`: a sender that is not answered gives up,
    /// a delivery that is on disk can wait for a moment. But not for ever: who is far behind gives way to nobody.
    fn courtesy(&self, oldest: Timestamp, took: Duration) -> Option<Duration> {
        let patient = self.clock().now().since(oldest) < MOST_BEHIND;
        (patient && self.inbox.is_pressed()).then(|| took.saturating_mul(COURTESY).min(LONGEST_COURTESY))
    }

    /// Starts on tasks that are due, as far as there is room; false when there were none.
    async fn claim(self: &Arc<Self>, running: &mut JoinSet<()>) -> bool {
        while running.try_join_next().is_some() {}
        let free = self.options.concurrency.saturating_sub(running.len());
        if free == 0 {
            return false;
        }
        match self.store().claim(&self.options.owner, self.clock().now(), self.options.lease, u32::try_from(free).unwrap_or(u32::MAX)).await {
            Ok(claimed) => {
                let found = !claimed.is_empty();
                for task in claimed {
                    running.spawn(Arc::clone(self).work(task));
                }
                found
            }
            Err(error) => {
                tracing::error!(%error, "tasks could not be claimed");
                false
            }
        }
    }

    async fn until_due(&self) -> Duration {
        match self.store().next_due().await {
            Ok(Some(at)) => at.since(self.clock().now()).clamp(Duration::from_millis(5), IDLE),
            Ok(None) | Err(_) => IDLE,
        }
    }

    /// Does everything that is due now, one thing after another, and returns when nothing is: for tests and one-shot commands.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn drain(self: &Arc<Self>) -> Result<(), StoreError> {
        loop {
            let dispatched = self.dispatcher.run_batch().await?;
            let claimed = self.store().claim(&self.options.owner, self.clock().now(), self.options.lease, 1).await?;
            if dispatched.is_none() && claimed.is_empty() {
                return Ok(());
            }
            for task in claimed {
                Arc::clone(self).work(task).await;
            }
        }
    }

    /// One attempt at one task, from claim to settlement.
    async fn work(self: Arc<Self>, claimed: ClaimedTask) {
        let kind = claimed.task.kind;
        let begun = std::time::Instant::now();
        let settlement = if claimed.task.attempts > self.options.max_attempts {
            // Its process died each time before it could settle: it must not take down every one to come.
            let message = "every attempt was begun and none came to its end; the process may have died of it".to_owned();
            self.failed(&claimed, &StepError::Permanent(message))
        } else {
            self.attempt(&claimed).await.unwrap_or_else(|error| self.failed(&claimed, &error))
        };
        self.metrics.stage(kind.as_str(), begun.elapsed());
        failpoint::hit(match kind {
            TaskKind::Plan => "plan.settling",
            TaskKind::Propose => "propose.settling",
            TaskKind::Withdraw => "withdraw.settling",
        });
        let request = &claimed.request.id;
        match self.store().settle(&claimed, &settlement, self.clock().now()).await {
            Ok(()) => {
                if let Some(after) = &settlement.request {
                    tracing::info!(%request, automation = %after.key.automation, from = %claimed.request.state, to = %after.state, "{}", after.message.as_deref().unwrap_or_default());
                }
                failpoint::hit("settled");
                self.wake.notify_one();
            }
            Err(StoreError::Conflict(reason)) => {
                tracing::warn!(%request, %reason, "the step's result was not taken; it is looked at again");
                self.look_again(&claimed, reason).await;
            }
            Err(error) => tracing::error!(%request, %error, "the step's result could not be kept; it is done again when the lease runs out"),
        }
    }

    /// A person changed the request while the step ran: the task is done again on what the store holds now. If another
    /// worker took over instead, the task is no longer ours to touch, and the store refuses this too.
    async fn look_again(&self, claimed: &ClaimedTask, reason: String) {
        let now = self.clock().now();
        let again = Settlement { request: None, timeline: Vec::new(), follow_up: Vec::new(), verdict: Verdict::Retry { run_at: now, error: reason } };
        if self.store().settle(claimed, &again, now).await.is_ok() {
            self.wake.notify_one();
        }
    }

    /// The step itself, under a lease that is extended while it runs.
    async fn attempt(&self, claimed: &ClaimedTask) -> Result<Settlement, StepError> {
        let step = tokio::time::timeout(self.options.step_timeout, self.pipeline.perform(claimed));
        tokio::pin!(step);
        let mut heartbeat = tokio::time::interval(self.options.lease / 3);
        heartbeat.tick().await;
        loop {
            tokio::select! {
                done = &mut step => {
                    return done.unwrap_or_else(|_| Err(StepError::TimedOut(self.options.step_timeout.as_secs())));
                }
                _ = heartbeat.tick() => {
                    let until = self.clock().now().plus(self.options.lease);
                    match self.store().extend_lease(claimed, until).await {
                        // Somebody else has it: nothing this attempt finds may be written.
                        Err(StoreError::Conflict(reason)) => return Err(StepError::Store(StoreError::Conflict(reason))),
                        Err(error) => tracing::warn!(%error, "the lease could not be extended"),
                        Ok(()) => {}
                    }
                }
            }
        }
    }

    /// What a failed attempt leaves: another attempt later, or a dead letter and a failed request.
    fn failed(&self, claimed: &ClaimedTask, error: &StepError) -> Settlement {
        let now = self.clock().now();
        let attempts = claimed.task.attempts;
        let request = &claimed.request;
        if let Some(wait) = error.limited() {
            // Not all at once when the limit is over.
            let jitter = Duration::from_millis(u64::try_from(self.clock().random() % LIMIT_JITTER_MILLIS).unwrap_or(0));
            let run_at = now.plus(wait + jitter);
            tracing::info!(request = %request.id, %run_at, %error, "a step is postponed");
            let verdict = Verdict::Postponed { run_at, reason: error.to_string() };
            return Settlement { request: None, timeline: Vec::new(), follow_up: Vec::new(), verdict };
        }
        let failure = Failure { class: error.class(), retry_after: error.retry_after(), attempts };
        if let AfterFailure::Again { run_at, of } = retry::after(failure, self.options.max_attempts, now, self.clock().random()) {
            tracing::warn!(request = %request.id, attempt = attempts, of, %run_at, %error, "a step failed and is tried again");
            return Settlement {
                request: None,
                timeline: Vec::new(),
                follow_up: Vec::new(),
                verdict: Verdict::Retry { run_at, error: error.to_string() },
            };
        }
        tracing::error!(request = %request.id, attempt = attempts, %error, "a step failed for good");
        let message = format!("{} failed after {attempts} attempt{}: {error}", claimed.task.kind.as_str(), if attempts == 1 { "" } else { "s" });
        let (mut after, mut timeline) = (None, Vec::new());
        if request.state.may_become(State::Failed) {
            timeline.push(TimelineEntry {
                at: now,
                from: Some(request.state),
                to: State::Failed,
                message: message.clone(),
                actor: "kubeops".to_owned(),
            });
            let mut changed = request.clone();
            changed.state = State::Failed;
            changed.message = Some(message);
            changed.updated_at = now;
            after = Some(changed);
        }
        Settlement { request: after, timeline, follow_up: Vec::new(), verdict: Verdict::Dead { error: error.to_string() } }
    }

    /// What is done from time to time: open pull requests looked at, old rows removed.
    async fn upkeep(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut last_prune: Option<Timestamp> = None;
        let mut observer = Observer::new(Arc::clone(&self.pipeline));
        while !*stop.borrow() {
            failpoint::hit("upkeep.round");
            observer.round().await;
            let now = self.clock().now();
            if last_prune.is_none_or(|at| now.since(at) >= PRUNE_EVERY) {
                last_prune = Some(now);
                self.prune(now).await;
            }
            tokio::select! {
                () = tokio::time::sleep(self.options.observe_every) => {}
                _ = stop.changed() => {}
            }
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
