//! Keeps requests moving: dispatches what arrived, claims tasks that are due, retries by error class, shuts down without loss.
//! It decides when a step is done again, never what a step does. Whatever it holds is in the store too: it may die at any line.

mod batch;
mod duty;
mod in_hand;
mod pace;
mod retry;
mod upkeep;

use crate::clock::Clock;
use crate::pipeline::{Dispatcher, Pipeline};
use crate::store::inbox::Inbox;
use crate::store::{ClaimedTask, Claimer, Duty, Room, Share, Store, lane};
use crate::telemetry::Metrics;
use crate::types::Timestamp;
use batch::by_lane;
pub use duty::Share as DutyShare;
use in_hand::InHand;
use pace::Pace;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// So many lanes of pull requests are worked on at the same time for each that git works on: they mostly wait for a forge.
const PULLS_FOR_EACH: usize = 4;
/// So many lanes of feedback are worked on at the same time for each that git works on, and so many tellings of one are claimed at once.
const FEEDBACK_FOR_EACH: usize = 2;
const TELLINGS_AT_ONCE: u32 = 16;
/// So many pull requests are claimed at once: who comes later may be more urgent.
const PULLS_AT_ONCE: u32 = 8;

/// How the worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The name its leases are held under; no other living process has it.
    pub owner: String,
    /// Lanes of git's work that are worked on at the same time.
    pub concurrency: usize,
    /// Drafts by a language model that are made at the same time.
    pub drafts: usize,
    /// Tasks of one lane that are done together, at most.
    pub batch: u32,
    /// Attempts before a task is a dead letter.
    pub max_attempts: u32,
    /// How long a claim lasts; it is extended while the step runs.
    pub lease: Duration,
    /// How long a batch may go on without coming to the end of one of its steps.
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
    in_hand: Arc<InHand>,
    /// Counts how often the clock was set forward: then every lease of ours is made to last at once.
    leaps: watch::Sender<u64>,
}

/// Why a worker ended before it was told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The task that looks after open pull requests and old rows ended unasked.
    #[error("its upkeep ended unasked")]
    Upkeep,
    /// What it holds is another process's, and both would do it.
    #[error(
        "another process that shares the store has taken the name of this one, as one does on a copy of its data directory, while the database did not \
         hear from it; what it had in hand is that one's now. Remove `lease-owner` from the copy"
    )]
    NameTaken,
}

/// What came of a look around.
struct Round {
    /// Whether there was anything to do.
    found: bool,
    /// What the senders are owed before the next one.
    courtesy: Option<Duration>,
}

/// Batches under way.
#[derive(Default)]
struct Running {
    git: JoinSet<()>,
    pulls: JoinSet<()>,
    feedback: JoinSet<()>,
    drafts: JoinSet<()>,
}

impl Running {
    fn forget_ended(&mut self) {
        for kind in self.all() {
            while kind.try_join_next().is_some() {}
        }
    }

    async fn ended(&mut self) {
        for kind in self.all() {
            while kind.join_next().await.is_some() {}
        }
    }

    fn all(&mut self) -> [&mut JoinSet<()>; 4] {
        [&mut self.git, &mut self.pulls, &mut self.feedback, &mut self.drafts]
    }

    /// Where the batches of a lane belong.
    fn of(&mut self, lane: &str) -> &mut JoinSet<()> {
        match lane {
            lane if lane::is_pulls(lane) => &mut self.pulls,
            lane if lane::is_feedback(lane) => &mut self.feedback,
            lane if lane::is_draft(lane) => &mut self.drafts,
            _ => &mut self.git,
        }
    }
}

/// While senders are pressing, dispatching pauses so many times as long as a batch took, and at most so long.
const COURTESY: u32 = 9;
const LONGEST_COURTESY: Duration = Duration::from_millis(250);
/// How long a delivery may wait for its dispatch before senders are given way no more.
const MOST_BEHIND: Duration = Duration::from_secs(30);
/// Looks for work at least this often, in case a wake-up was missed or another process left some.
const IDLE: Duration = Duration::from_secs(1);

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
        Self { pipeline, dispatcher, metrics, options, wake, inbox, in_hand: Arc::default(), leaps: watch::Sender::default() }
    }

    fn store(&self) -> &dyn Store {
        self.pipeline.store.as_ref()
    }

    fn clock(&self) -> &dyn Clock {
        self.pipeline.clock.as_ref()
    }

    fn duty(&self, duty: Duty) -> DutyShare {
        let (store, clock) = (Arc::clone(&self.pipeline.store), Arc::clone(&self.pipeline.clock));
        DutyShare::of(duty, store, clock, &self.options.owner, self.options.lease)
    }

    /// Works until `stop` says true, then finishes what is in flight for at most `grace` and gives the rest back.
    ///
    /// # Errors
    /// When its upkeep ended before; then it stops as well, because a service that is not looked after only seems to work. Or when another process
    /// has its name; then it drops what is in flight at once.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>, mut grace: Duration) -> Result<(), Ended> {
        let upkeep = tokio::spawn(Arc::clone(&self).upkeep(stop.clone()));
        let mut running = Running::default();
        let mut outcome = Ok(());
        let mut pace = Pace::begin(self.store(), self.clock()).await;
        while !*stop.borrow() {
            // In this order: told to stop, it ends as well.
            if upkeep.is_finished() && !*stop.borrow() {
                outcome = Err(Ended::Upkeep);
                break;
            }
            if self.store().has_lost_name() {
                (outcome, grace) = (Err(Ended::NameTaken), Duration::ZERO);
                break;
            }
            if let Err(error) = pace.keep(self.store(), self.clock(), self.options.lease).await {
                tracing::error!(%error, "what waits could not follow the clock that was set back; it is tried again");
            }
            let round = self.round(&mut running, &mut pace).await;
            if let Some(courtesy) = round.courtesy {
                tokio::select! {
                    () = tokio::time::sleep(courtesy) => {}
                    _ = stop.changed() => {}
                }
            }
            if round.found {
                continue;
            }
            let pause = self.until_due(self.room(&running), &pace).await;
            tokio::select! {
                () = self.wake.notified() => {}
                () = self.store().woken() => {}
                () = tokio::time::sleep(pause) => {}
                Some(_) = running.git.join_next(), if !running.git.is_empty() => {}
                Some(_) = running.pulls.join_next(), if !running.pulls.is_empty() => {}
                Some(_) = running.feedback.join_next(), if !running.feedback.is_empty() => {}
                Some(_) = running.drafts.join_next(), if !running.drafts.is_empty() => {}
                _ = stop.changed() => {}
            }
        }
        if tokio::time::timeout(grace, running.ended()).await.is_err() {
            running.all().into_iter().for_each(JoinSet::abort_all);
            running.ended().await;
        }
        upkeep.abort();
        if let Err(error) = self.store().release(&self.options.owner).await {
            tracing::warn!(%error, "leases could not be given back; they run out by themselves");
        }
        outcome
    }

    /// Everything that can be done at once. A failing store is waited for.
    async fn round(self: &Arc<Self>, running: &mut Running, pace: &mut Pace) -> Round {
        let begun = std::time::Instant::now();
        let (dispatched, courtesy) = match self.dispatcher.run_batch(&self.options.owner).await {
            Ok(None) => (false, None),
            Ok(Some(batch)) => {
                self.pipeline.base_was_pushed(&batch.pushed);
                self.metrics.dispatched(batch.done, batch.failed);
                (true, self.courtesy(batch.oldest, begun.elapsed()))
            }
            Err(error) => {
                tracing::error!(%error, "deliveries could not be dispatched; they stay pending");
                (false, None)
            }
        };
        Round { found: self.claim(running, pace).await || dispatched, courtesy }
    }

    /// How long to leave the machine to the senders after a batch that took `took`: a sender that is not answered gives up,
    /// a delivery that is on disk can wait for a moment. But not for ever: who is far behind gives way to nobody.
    fn courtesy(&self, oldest: Timestamp, took: Duration) -> Option<Duration> {
        let patient = self.clock().now().since(oldest) < MOST_BEHIND;
        (patient && self.inbox.is_pressed()).then(|| took.saturating_mul(COURTESY).min(LONGEST_COURTESY))
    }

    /// Starts on tasks that are due, as far as there is room; false when there were none.
    async fn claim(self: &Arc<Self>, running: &mut Running, pace: &mut Pace) -> bool {
        running.forget_ended();
        let asked = self.clock().uptime();
        // The moment that is claimed by is the one that was looked at: leases that ran out by a leap of the clock did not run out.
        let now = self.clock().now();
        if pace.leapt(now, asked, self.options.lease) {
            self.leaps.send_modify(|leaps| *leaps += 1);
        }
        let room = self.room(running);
        if [room.git, room.pulls, room.feedback, room.drafts].iter().all(|share| share.lanes == 0) {
            return false;
        }
        let in_hand = self.in_hand.all();
        let claimer = Claimer { owner: &self.options.owner, in_hand: &in_hand, takes_over: pace.is_believed(asked) };
        match self.store().claim_as(claimer, now, self.options.lease, room).await {
            Ok(claimed) => {
                let found = !claimed.is_empty();
                self.tell_taken_over(&claimed, now);
                for batch in by_lane(claimed) {
                    let lane = batch.first().map(|first| first.task.lane.clone()).unwrap_or_default();
                    let held = self.in_hand.take(&batch);
                    running.of(&lane).spawn(Arc::clone(self).work(batch, held, asked));
                }
                found
            }
            Err(error) => {
                tracing::error!(%error, "tasks could not be claimed");
                false
            }
        }
    }

    /// Counts what others held whose leases ran out, and tells of each of them in a line: nobody else may say that a process is gone.
    fn tell_taken_over(&self, claimed: &[ClaimedTask], now: Timestamp) {
        let mut from: BTreeMap<&str, (usize, Timestamp)> = BTreeMap::new();
        for former in claimed.iter().filter_map(|claimed| claimed.taken_over.as_ref()) {
            let (tasks, until) = from.entry(&former.owner).or_insert((0, former.lease_until));
            (*tasks, *until) = (*tasks + 1, former.lease_until.max(*until));
        }
        for (owner, (tasks, until)) in from {
            self.metrics.taken_over(tasks);
            // Its last sign of life was when it made that lease last; leases of all processes are equally long.
            let silent_seconds = now.since(until).saturating_add(self.options.lease).as_secs();
            tracing::warn!(owner, tasks, silent_seconds, "tasks of a process that let their leases run out go on here");
        }
    }

    /// How much more may be done at once.
    fn room(&self, running: &Running) -> Room {
        let left = |most: usize, running: &JoinSet<()>| u32::try_from(most.saturating_sub(running.len())).unwrap_or(u32::MAX);
        let git = self.options.concurrency;
        let (pulls, feedback) = (git.saturating_mul(PULLS_FOR_EACH), git.saturating_mul(FEEDBACK_FOR_EACH));
        Room {
            git: Share { lanes: left(git, &running.git), each: self.options.batch },
            pulls: Share { lanes: left(pulls, &running.pulls), each: self.options.batch.min(PULLS_AT_ONCE) },
            feedback: Share { lanes: left(feedback, &running.feedback), each: self.options.batch.min(TELLINGS_AT_ONCE) },
            drafts: Share { lanes: left(self.options.drafts, &running.drafts), each: 1 },
        }
    }

    async fn until_due(&self, room: Room, pace: &Pace) -> Duration {
        let in_hand = self.in_hand.all();
        let takes_over = pace.is_believed(self.clock().uptime());
        match self.store().next_due_as(Claimer { owner: &self.options.owner, in_hand: &in_hand, takes_over }, room).await {
            Ok(Some(at)) => at.since(self.clock().now()).clamp(Duration::from_millis(5), IDLE),
            Ok(None) | Err(_) => IDLE,
        }
    }
}
