//! One attempt at the tasks of one lane, from claim to settlement: each is settled as soon as its step is done.
//! Whoever loses a lease writes nothing more.

use super::Worker;
use super::in_hand::Held;
use super::retry::{self, AfterFailure, Failure};
use crate::failpoint;
use crate::lease::Lease;
use crate::pipeline::{Outcome, Report, StepError, without_words};
use crate::request::{State, TimelineEntry};
use crate::spans;
use crate::store::{ClaimedTask, Settlement, StoreError, TaskKind, Verdict, lane};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Interval;
use tracing::field::Empty;
use tracing::{Instrument, Span};

/// Steps that wait for a forge's limit to end come back within so many milliseconds after it.
const LIMIT_JITTER_MILLIS: u128 = 2000;

/// How long a task rests of which the store takes nothing but that.
const NOT_KEPT_PAUSE: Duration = Duration::from_secs(3600);

/// Claimed tasks by lane; a draft, or one without a lane, is alone.
pub(super) fn by_lane(claimed: Vec<ClaimedTask>) -> Vec<Vec<ClaimedTask>> {
    let mut batches: Vec<Vec<ClaimedTask>> = Vec::new();
    for task in claimed {
        match batches.last_mut().filter(|batch| lane::is_in_turn(&task.task.lane) && batch.iter().all(|other| other.task.lane == task.task.lane)) {
            Some(batch) => batch.push(task),
            None => batches.push(vec![task]),
        }
    }
    batches
}

/// The tasks of a batch that are not settled.
struct Unsettled<'b> {
    batch: &'b [ClaimedTask],
    places: BTreeSet<usize>,
    begun: Instant,
    /// Of each task, in their order.
    spans: Arc<[Span]>,
}

impl<'b> Unsettled<'b> {
    /// A batch that is begun now, each task in its request's trace: in whichever process, and however often it is begun.
    fn begun(batch: &'b [ClaimedTask]) -> Self {
        Self { batch, places: (0..batch.len()).collect(), begun: Instant::now(), spans: batch.iter().map(span_of).collect() }
    }

    fn span(&self, place: usize) -> Span {
        self.spans.get(place).cloned().unwrap_or_else(Span::none)
    }

    fn tasks(&self) -> Vec<&ClaimedTask> {
        self.places.iter().filter_map(|place| self.batch.get(*place)).collect()
    }
}

impl Worker {
    /// One attempt at each task of a lane, which were asked for at an uptime of `asked` and are in hand until its end.
    pub(super) async fn work(self: Arc<Self>, batch: Vec<ClaimedTask>, _held: Held, asked: Duration) {
        let (spent, batch): (Vec<_>, Vec<_>) = batch.into_iter().partition(|claimed| claimed.task.attempts > self.options.max_attempts);
        if !spent.is_empty() {
            // Their process died each time before it could settle: they must not take down every one to come.
            let error = || Err(StepError::Permanent("every attempt was begun and none came to its end; the process may have died of it".to_owned()));
            let mut unsettled = Unsettled::begun(&spent);
            self.settle(&mut unsettled, (0..spent.len()).map(|place| (place, error())).collect()).await;
        }
        if !batch.is_empty() {
            self.attempt(&Arc::new(batch), asked).await;
        }
    }

    /// The steps themselves, under leases that are extended while they run.
    async fn attempt(&self, batch: &Arc<Vec<ClaimedTask>>, asked: Duration) {
        let mut unsettled = Unsettled::begun(batch);
        let (report, mut outcomes) = Report::channel(Arc::clone(&unsettled.spans));
        // A task of its own: a step may hold what settling another waits for. It ends with this attempt.
        let (pipeline, theirs) = (Arc::clone(&self.pipeline), Arc::clone(batch));
        let mut steps = JoinSet::new();
        let lease = Lease::new(Arc::clone(&self.pipeline.clock), asked, self.options.lease);
        steps.spawn(lease.clone().over(async move { pipeline.perform(&theirs, &report).await }));
        let mut heartbeat = tokio::time::interval(self.options.lease / 3);
        heartbeat.tick().await;
        let mut leaps = self.leaps.subscribe();
        let patience = tokio::time::sleep(self.options.step_timeout);
        tokio::pin!(patience);
        while !unsettled.places.is_empty() {
            tokio::select! {
                first = outcomes.recv() => {
                    let Some(first) = first else { return self.fail_all(&mut unsettled, || StepError::Bug("a step did not come to its end".to_owned())).await };
                    self.settle(&mut unsettled, with_those_told(first, &mut outcomes)).await;
                    patience.as_mut().reset(tokio::time::Instant::now() + self.options.step_timeout);
                }
                () = beat(&mut heartbeat, &mut leaps) => {
                    let (asked, until) = (self.clock().uptime(), self.clock().now().plus(self.options.lease));
                    match self.store().extend_leases(&unsettled.tasks(), until).await {
                        // Somebody else has the lane: nothing this attempt finds may be written.
                        Err(StoreError::Conflict(reason)) => {
                            self.metrics.lease_lost();
                            return tracing::warn!(%reason, "a lease was lost; its steps are left to whoever has it");
                        }
                        Err(error) => tracing::warn!(%error, "the leases could not be extended"),
                        Ok(()) => lease.extend(asked, self.options.lease),
                    }
                }
                () = &mut patience => return self.fail_all(&mut unsettled, || StepError::TimedOut(self.options.step_timeout.as_secs())).await,
            }
        }
    }

    async fn fail_all(&self, unsettled: &mut Unsettled<'_>, error: impl Fn() -> StepError) {
        let outcomes = unsettled.places.iter().map(|place| (*place, Err(error()))).collect();
        self.settle(unsettled, outcomes).await;
    }

    /// Writes what steps came to, in one transaction.
    async fn settle(&self, unsettled: &mut Unsettled<'_>, outcomes: Vec<Outcome>) {
        let mut settled = Vec::with_capacity(outcomes.len());
        for (place, outcome) in outcomes {
            let Some(claimed) = unsettled.batch.get(place).filter(|_| unsettled.places.remove(&place)) else { continue };
            self.metrics.stage(claimed.task.kind.as_str(), unsettled.begun.elapsed());
            let span = unsettled.span(place);
            let settlement = outcome.unwrap_or_else(|error| {
                if error.limited().is_none() {
                    spans::failed(&span, error.class());
                }
                span.in_scope(|| self.failed(claimed, &error))
            });
            span.record("kubeops.outcome", word(&settlement.verdict));
            self.metrics.step(claimed.task.kind, word(&settlement.verdict));
            let goes_on = matches!(settlement.verdict, Verdict::GoesOn { .. });
            settled.push((claimed, settlement, span));
            failpoint::hit(match claimed.task.kind {
                TaskKind::Plan => "plan.settling",
                TaskKind::Draft => "draft.settling",
                TaskKind::Propose if goes_on => "propose.going-on",
                TaskKind::Propose => "propose.settling",
                TaskKind::Withdraw if goes_on => "withdraw.going-on",
                TaskKind::Withdraw => "withdraw.settling",
                TaskKind::Replan => "replan.settling",
                TaskKind::Observe => "observe.settling",
                TaskKind::Retract => "retract.settling",
                TaskKind::Tell => "tell.settling",
                TaskKind::Confirm => "confirm.settling",
                TaskKind::Clock => "clock.settling",
                TaskKind::Command => "command.settling",
            });
        }
        let together: Vec<(&ClaimedTask, &Settlement)> = settled.iter().map(|(claimed, settlement, _)| (*claimed, settlement)).collect();
        let written = self.store().settle_all(&together, self.clock().now()).await;
        together.iter().for_each(|(claimed, _)| self.in_hand.let_go(claimed));
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                return tracing::error!(%error, steps = settled.len(), "what steps came to could not be kept; they are done again when the lease runs out");
            }
        };
        for ((claimed, settlement, span), written) in settled.iter().zip(written) {
            self.after_settling(claimed, settlement, written).instrument(span.clone()).await;
        }
        failpoint::hit("settled");
        self.wake.notify_one();
    }

    async fn after_settling(&self, claimed: &ClaimedTask, settlement: &Settlement, written: Result<(), StoreError>) {
        let request = &claimed.request.id;
        match written {
            Ok(()) => {
                if let Some(after) = settlement.request.as_ref().filter(|_| !settlement.timeline.is_empty()) {
                    tracing::info!(%request, automation = %after.key.automation, from = %claimed.request.state, to = %after.state, "{}", after.message.as_deref().map(without_words).unwrap_or_default());
                }
            }
            Err(StoreError::Conflict(reason)) => {
                tracing::warn!(%request, %reason, "the step's result was not taken; it is looked at again");
                self.look_again(claimed, reason).await;
            }
            Err(error @ (StoreError::Refused(_) | StoreError::Broken(_))) => self.not_kept(claimed, error).await,
            Err(error) => tracing::error!(%request, %error, "the step's result could not be kept; it is done again when the lease runs out"),
        }
    }

    /// A person changed the request while the step ran: the task is done again on what the store holds now. If another
    /// worker took over instead, the task is no longer ours to touch, and the store refuses this too.
    async fn look_again(&self, claimed: &ClaimedTask, reason: String) {
        let now = self.clock().now();
        let again = Settlement { verdict: Verdict::Retry { run_at: now, error: reason }, ..Settlement::default() };
        if self.store().settle(claimed, &again, now).await.is_ok() {
            self.wake.notify_one();
        }
    }

    /// The store does not take what a step came to: the step has failed, and is tried again or given up as any other. Where it does not take
    /// that either, less and less is said, so that the task neither holds up its lane nor is done over and over.
    async fn not_kept(&self, claimed: &ClaimedTask, error: StoreError) {
        let request = &claimed.request.id;
        tracing::error!(%request, %error, "the step's result could not be kept; please report it");
        let now = self.clock().now();
        let only = |verdict| Settlement { verdict, ..Settlement::default() };
        let words = format!("what it came to could not be kept: {error}");
        let rests = Verdict::Retry { run_at: now.plus(NOT_KEPT_PAUSE), error: words.clone() };
        for settlement in [self.failed(claimed, &StepError::Store(error)), only(Verdict::Dead { error: words }), only(rests)] {
            match self.store().settle(claimed, &settlement, now).await {
                Err(error @ (StoreError::Refused(_) | StoreError::Broken(_))) => {
                    tracing::error!(%request, %error, verdict = word(&settlement.verdict), "nor could that it failed");
                }
                Err(error) => {
                    return tracing::warn!(%request, %error, "that a step failed could not be kept; it is done again when the lease runs out");
                }
                Ok(()) => return self.wake.notify_one(),
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
            return Settlement { verdict, ..Settlement::default() };
        }
        let failure = Failure { class: error.class(), retry_after: error.retry_after(), attempts };
        if let AfterFailure::Again { run_at, of } = retry::after(failure, self.options.max_attempts, now, self.clock().random()) {
            tracing::warn!(request = %request.id, attempt = attempts, of, %run_at, %error, "a step failed and is tried again");
            return Settlement { verdict: Verdict::Retry { run_at, error: error.to_string() }, ..Settlement::default() };
        }
        tracing::error!(request = %request.id, attempt = attempts, %error, "a step failed for good");
        let message = format!("{} failed after {attempts} attempt{}: {error}", claimed.task.kind.as_str(), if attempts == 1 { "" } else { "s" });
        // A revision that does not come about leaves what is proposed as it is.
        let revises = claimed.task.kind == TaskKind::Draft && request.state != State::Accepted;
        let fails = claimed.task.kind.is_of_one_try() && request.state.may_become(State::Failed) && !revises;
        let to = if fails { State::Failed } else { request.state };
        let then = if fails { String::new() } else { format!("; once that is mended, `kubeops requests retry {}` tries it again", request.id) };
        let line = TimelineEntry { at: now, from: Some(request.state), to, message: format!("{message}{then}"), actor: "kubeops".to_owned() };
        let mut after = None;
        if fails {
            let mut changed = request.clone();
            changed.state = State::Failed;
            changed.message = Some(message);
            changed.updated_at = now;
            after = Some(changed);
        }
        Settlement { request: after, timeline: vec![line], verdict: Verdict::Dead { error: error.to_string() }, ..Settlement::default() }
    }
}

/// The span of a step, in its request's trace.
fn span_of(claimed: &ClaimedTask) -> Span {
    let (task, request) = (&claimed.task, &claimed.request);
    let span = tracing::info_span!(
        parent: None,
        "step",
        otel.name = task.kind.as_str(),
        otel.kind = "consumer",
        kubeops.step.kind = Empty,
        kubeops.step.attempt = Empty,
        kubeops.request.id = Empty,
        kubeops.request.state = Empty,
        kubeops.automation = Empty,
        kubeops.repository = Empty,
        kubeops.outcome = Empty,
    );
    spans::child_of(&span, request.event.traceparent);
    if spans::is_kept(&span) {
        span.record("kubeops.step.kind", task.kind.as_str());
        span.record("kubeops.step.attempt", task.attempts);
        span.record("kubeops.request.id", request.id.as_str());
        span.record("kubeops.request.state", request.state.as_str());
        span.record("kubeops.automation", request.key.automation.as_str());
        span.record("kubeops.repository", request.repository.as_ref().map(|name| name.as_str()));
    }
    span
}

/// What an attempt came to, for traces and metrics.
fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Done => "done",
        Verdict::Retry { .. } => "retried",
        Verdict::Postponed { .. } => "postponed",
        Verdict::GoesOn { .. } => "goes_on",
        Verdict::Dead { .. } => "dead",
    }
}

/// Returns when leases are to be extended: from time to time, and at once when the clock was set forward.
async fn beat(heartbeat: &mut Interval, leaps: &mut watch::Receiver<u64>) {
    tokio::select! {
        _ = heartbeat.tick() => {}
        Ok(()) = leaps.changed() => {}
    }
}

/// The first outcome, and those told meanwhile.
fn with_those_told(first: Outcome, outcomes: &mut UnboundedReceiver<Outcome>) -> Vec<Outcome> {
    let mut all = vec![first];
    while let Ok(next) = outcomes.try_recv() {
        all.push(next);
    }
    all
}
