//! When senders are asked for what no delivery brought: at the start, then each source after its own time, one after the other.
//! Nothing waits for it: a sender that is away is asked again the next time.

use crate::feedback::Outlet;
use crate::ingress::{Reconcile, Source, SourceKind};
use crate::pipeline::{Pipeline, ReconcileError, Reconciler};
use crate::store::inbox::Inbox;
use crate::telemetry::Metrics;
use crate::types::{ErrorClass, SourceName, Timestamp};
use crate::worker::DutyShare;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_millis(500);
/// How long deliveries that wait to be read may hold a look up: what they tell is not known yet.
const MOST_PATIENCE: Duration = Duration::from_secs(30);
/// How far apart attempts are to learn who we are.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Asks, again and again.
pub struct Driver {
    pipeline: Arc<Pipeline>,
    metrics: Arc<Metrics>,
    reconciler: Reconciler,
    /// How far apart looks are where a source does not say; none when nobody is asked.
    every: Option<Duration>,
    due: HashMap<SourceName, Timestamp>,
    /// What was last told of each source that cannot be asked.
    failing: HashMap<SourceName, String>,
    introduced: Option<Timestamp>,
    since: Timestamp,
    /// How far back is looked at most.
    longest: Duration,
}

impl Driver {
    /// A driver that has asked nobody yet. What is past `retention` is no longer known, so no look goes back that far.
    pub fn new(pipeline: &Arc<Pipeline>, inbox: &Arc<Inbox>, metrics: &Arc<Metrics>, every: Option<Duration>, retention: Duration) -> Self {
        Self {
            pipeline: Arc::clone(pipeline),
            metrics: Arc::clone(metrics),
            reconciler: Reconciler::new(Arc::clone(pipeline), Arc::clone(inbox)),
            every,
            due: HashMap::new(),
            failing: HashMap::new(),
            introduced: None,
            since: pipeline.clock.now(),
            longest: retention / 2,
        }
    }

    /// Asks, while that is this process's duty, until `stop` says true; what is under way then is dropped, and done by the next process.
    pub async fn run(mut self, mut duty: DutyShare, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            tokio::select! {
                () = self.look_around(&mut duty) => {}
                _ = stop.changed() => continue,
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                _ = stop.changed() => {}
            }
        }
    }

    async fn look_around(&mut self, duty: &mut DutyShare) {
        self.introduce().await;
        let Some(every) = self.every else { return };
        let rules = self.pipeline.rules.current();
        let now = self.pipeline.clock.now();
        self.due.retain(|name, _| rules.set.sources.get(name).is_some_and(|source| source.reconcile().is_some()));
        let is_due = |source: &&Arc<Source>| source.reconcile().is_some() && self.due.get(source.name()).is_none_or(|due| *due <= now);
        let due: Vec<Arc<Source>> = rules.set.sources.values().filter(is_due).cloned().collect();
        if due.is_empty() || !self.is_read_up(now).await {
            return;
        }
        for source in due {
            if duty.while_ours(self.ask(&source, every)).await.is_none() {
                // Whoever has the duty asks. Should it come back, all are asked anew.
                return self.due.clear();
            }
        }
    }

    /// Learns who we are at every Jira, and at GitHub where it tells us of events, so that changes of ours are known as ours from the
    /// beginning.
    async fn introduce(&mut self) {
        let now = self.pipeline.clock.now();
        if self.introduced.is_some_and(|at| now.since(at) < ASK_AGAIN) {
            return;
        }
        self.introduced = Some(now);
        let rules = self.pipeline.rules.current();
        for name in rules.set.inventory.channels.keys() {
            let Ok(Outlet::Tracker(tracker)) = self.pipeline.channels.outlet(name) else { continue };
            if let Err(error) = tracker.myself().await {
                tracing::debug!(channel = %name, %error, "who we are there is asked again later");
            }
        }
        if rules.set.sources.values().any(|source| source.kind() == SourceKind::Github) {
            self.pipeline.forges.introduce().await;
        }
    }

    /// Whether what arrived before was read: else it would be asked for once more. Where deliveries keep coming it is not waited for.
    async fn is_read_up(&self, now: Timestamp) -> bool {
        now.since(self.since) >= MOST_PATIENCE || self.pipeline.store.stats(now).await.is_ok_and(|stats| stats.pending_deliveries == 0)
    }

    async fn ask(&mut self, source: &Source, every: Duration) {
        let Some(reconcile) = source.reconcile() else { return };
        let reconcile = &Reconcile { look_back: reconcile.look_back.min(self.longest), ..reconcile.clone() };
        let (name, outcome) = (source.name(), self.reconciler.round(source, reconcile).await);
        let now = self.pipeline.clock.now();
        self.due.insert(name.clone(), now.plus(self.jittered(reconcile.every.unwrap_or(every))));
        match outcome {
            Ok(found) => {
                self.metrics.reconciled(name.as_str(), Some(found.filed + found.redelivered));
                if self.failing.remove(name).is_some() {
                    tracing::info!(source = %name, "its sender can be asked again");
                }
                if found.redelivered > 0 {
                    tracing::info!(source = %name, deliveries = found.redelivered, "what had not got through is sent again");
                }
            }
            Err(error) => {
                self.metrics.reconciled(name.as_str(), None);
                self.tell(name, &error);
            }
        }
    }

    /// Logs once why a sender cannot be asked.
    fn tell(&mut self, source: &SourceName, error: &ReconcileError) {
        let words = error.to_string();
        if self.failing.insert(source.clone(), words.clone()).is_some_and(|before| before == words) {
            return tracing::debug!(%source, error = words, "what no delivery brought still cannot be asked for");
        }
        match error.class() {
            ErrorClass::Transient => {
                tracing::warn!(%source, error = words, "what no delivery brought could not be asked for; the next look tries again")
            }
            _ => tracing::error!(%source, error = words, "what no delivery brought cannot be asked for; somebody has to see to it"),
        }
    }

    /// Up to a tenth more or less, so that processes do not ask in step.
    fn jittered(&self, every: Duration) -> Duration {
        let thousandths = u32::try_from(self.pipeline.clock.random() % 201).unwrap_or_default();
        every.mul_f64(0.9 + f64::from(thousandths) / 1000.0)
    }
}
