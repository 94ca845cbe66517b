//! What Prometheus is told. Names and labels follow <https://prometheus.io/docs/practices/naming/>; no label's value comes from a sender.

mod counts;
mod registering;
mod streams;

pub use counts::ModelCall;

use super::TelemetryError;
use crate::request::State;
use crate::store::inbox::InboxCounts;
use crate::store::{Stats, TaskKind};
use crate::types::Timestamp;
use actix_web_prom::{PrometheusMetrics, PrometheusMetricsBuilder};
use counts::{ModelMetrics, Traces};
use prometheus::{Encoder, Gauge, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};
use registering::{Register, refused};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use streams::StreamMetrics;

/// Labels our metrics have themselves, so that none of them can be a tag.
pub const RESERVED_LABELS: &[&str] = &[
    "source",
    "outcome",
    "kind",
    "stage",
    "state",
    "forge",
    "repository",
    "operation",
    "account",
    "resource",
    "endpoint",
    "method",
    "status",
    "le",
    "version",
    "environment",
    "provider",
    "direction",
];

/// Stages last from a millisecond (render) to minutes (a forge that makes us wait).
const STAGE_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// A commit lasts from a fraction of a millisecond (a fast disk) to seconds (a slow one, or a busy database).
const COMMIT_BUCKETS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// What is told of the store: queues, ages, requests. It is left out while the store does not answer.
const OF_THE_STORE: [&str; 8] = [
    "kubeops_queue_tasks",
    "kubeops_queue_oldest_seconds",
    "kubeops_pending_deliveries",
    "kubeops_pending_oldest_seconds",
    "kubeops_requests",
    "kubeops_tasks_dead",
    "kubeops_requests_waiting_for_room",
    "kubeops_forge_backlog",
];

/// Every metric of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    http: PrometheusMetrics,
    http_in_progress: IntGauge,
    deliveries: IntCounterVec,
    dispatched: IntCounterVec,
    queue_tasks: IntGaugeVec,
    queue_oldest: Gauge,
    pending_deliveries: IntGauge,
    pending_oldest: Gauge,
    stage_duration: HistogramVec,
    requests: IntGaugeVec,
    forge_calls: IntCounterVec,
    forges: Forges,
    reconcile_rounds: IntCounterVec,
    reconcile_found: IntCounterVec,
    reloads: IntCounterVec,
    resources_valid: IntGauge,
    tasks_dead: IntGauge,
    waiting_for_room: IntGauge,
    /// Whether what is told of the store is of now.
    store_answers: Arc<AtomicBool>,
    inbox: Inbox,
    steps: IntCounterVec,
    leases_taken_over: IntCounter,
    leases_lost: IntCounter,
    store_errors: IntCounterVec,
    models: ModelMetrics,
    traces: Traces,
    streams: StreamMetrics,
}

/// How an account at a forge stands.
#[derive(Debug, Clone)]
pub struct ForgeSeen {
    /// The account's name; it holds no secret.
    pub account: String,
    /// Resource, limit, remaining, and when the window ends.
    pub budgets: Vec<(String, u64, u64, Timestamp)>,
    /// Until when nothing is called.
    pub limited_until: Option<Timestamp>,
    /// Calls by outcome, since the process started.
    pub calls: [(&'static str, u64); 5],
}

/// What forges allow. They count by themselves; the metrics follow when they are asked for.
#[derive(Clone)]
struct Forges {
    limit: IntGaugeVec,
    remaining: IntGaugeVec,
    reset: IntGaugeVec,
    limited: IntGaugeVec,
    requests: IntCounterVec,
    backlog: IntGaugeVec,
    /// The repositories that are configured.
    known: Arc<Mutex<Vec<String>>>,
    following: Arc<Mutex<()>>,
}

/// What the inbox did. It counts by itself; the metrics follow when they are asked for.
#[derive(Clone)]
struct Inbox {
    commits: IntCounter,
    deliveries: IntCounter,
    duplicates: IntCounter,
    refused: IntCounter,
    failed: IntCounter,
    waiting: IntGauge,
    commit: Histogram,
    /// Two who ask at once must not both add the same.
    following: Arc<Mutex<()>>,
}

impl Forges {
    fn registered(register: Register<'_>) -> Result<Self, TelemetryError> {
        Ok(Self {
            limit: register.gauges("forge_budget_limit", "Calls a forge allows an account in a window.", &["account", "resource"])?,
            remaining: register.gauges("forge_budget_remaining", "Calls left in the present window.", &["account", "resource"])?,
            reset: register.gauges("forge_budget_reset_timestamp_seconds", "When the present window ends.", &["account", "resource"])?,
            limited: register.gauges(
                "forge_limited_until_timestamp_seconds",
                "Until when nothing is called because the forge asked to wait; 0 when it did not.",
                &["account"],
            )?,
            requests: register.counters(
                "forge_requests_total",
                "HTTP requests to a forge, and those held back, by outcome.",
                &["account", "outcome"],
            )?,
            backlog: register.gauges("forge_backlog", "Tasks that wait or are worked on, by repository.", &["repository"])?,
            known: Arc::default(),
            following: Arc::default(),
        })
    }
}

impl Inbox {
    fn registered(register: Register<'_>) -> Result<Self, TelemetryError> {
        Ok(Self {
            commits: register.counter("inbox_commits_total", "Transactions that wrote deliveries, each synced to disk once.")?,
            deliveries: register.counter("inbox_deliveries_total", "Deliveries written.")?,
            duplicates: register.counter("inbox_duplicates_total", "Deliveries that had been written before.")?,
            refused: register.counter("inbox_refused_total", "Deliveries refused because too much was waiting to be written.")?,
            failed: register.counter("inbox_failed_total", "Deliveries the store did not take.")?,
            waiting: register.gauge("inbox_waiting", "Deliveries that wait to be written.")?,
            commit: register.histogram("inbox_commit_duration_seconds", "How long a transaction that writes deliveries took.", COMMIT_BUCKETS)?,
            following: Arc::default(),
        })
    }
}

impl Metrics {
    /// All metrics at zero, each with `tags` as labels; `environment` is told with the build.
    ///
    /// # Errors
    /// When a tag is one of [`RESERVED_LABELS`], or no label name.
    pub fn new(environment: &str, tags: &BTreeMap<String, String>) -> Result<Self, TelemetryError> {
        if let Some(tag) = tags.keys().find(|tag| RESERVED_LABELS.contains(&tag.as_str())) {
            return Err(TelemetryError::Metrics(format!("the tag `{tag}` is a label the metrics have themselves")));
        }
        let labels: HashMap<String, String> = tags.clone().into_iter().collect();
        let registry = Registry::new_custom(None, Some(labels)).map_err(refused)?;
        let register = Register(&registry);
        let build = register.gauges("build_info", "The version that runs, and where.", &["version", "environment"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), environment]).set(1);
        let metrics = Self {
            http: http(&registry)?,
            http_in_progress: register.gauge("http_requests_in_progress", "HTTP requests being answered.")?,
            deliveries: register.counters("deliveries_total", "Webhook deliveries, by source and what became of them.", &["source", "outcome"])?,
            dispatched: register.counters("dispatched_total", "Stored deliveries that were read and matched, or could not be.", &["outcome"])?,
            queue_tasks: register.gauges("queue_tasks", "Tasks that wait or are worked on.", &["kind"])?,
            queue_oldest: register.fraction("queue_oldest_seconds", "Age of the longest waiting task that is due.")?,
            pending_deliveries: register.gauge("pending_deliveries", "Deliveries stored but not yet read.")?,
            pending_oldest: register.fraction("pending_oldest_seconds", "Age of the oldest delivery that was stored but not yet read.")?,
            stage_duration: register.histograms("stage_duration_seconds", "How long a stage of a request took.", STAGE_BUCKETS, &["stage"])?,
            requests: register.gauges("requests", "Service requests, by state.", &["state"])?,
            forge_calls: register.counters("forge_calls_total", "Calls to a forge.", &["forge", "operation", "outcome"])?,
            forges: Forges::registered(register)?,
            reconcile_rounds: register.counters(
                "reconcile_rounds_total",
                "Looks for what no delivery brought, by source and outcome.",
                &["source", "outcome"],
            )?,
            reconcile_found: register.counters(
                "reconcile_found_total",
                "Deliveries filed, or asked for again, because they had not come.",
                &["source"],
            )?,
            reloads: register.counters("resources_reload_total", "Attempts to load the resources.", &["outcome"])?,
            resources_valid: register.gauge("resources_valid", "1 when the resources as they are on disk are in force, 0 when they were refused.")?,
            tasks_dead: register.gauge("tasks_dead", "Dead letters: tasks that exhausted their attempts.")?,
            waiting_for_room: register
                .gauge("requests_waiting_for_room", "Service requests that wait for room under a limit of their automation.")?,
            store_answers: Arc::default(),
            inbox: Inbox::registered(register)?,
            steps: register.counters("steps_total", "Attempts at steps of requests, by kind and what they came to.", &["kind", "outcome"])?,
            leases_taken_over: register.counter("leases_taken_over_total", "Tasks taken over from a process whose lease ran out.")?,
            leases_lost: register.counter("leases_lost_total", "Attempts given up because the lease was lost.")?,
            store_errors: register.counters("store_errors_total", "What the database refused, by kind; conflict is no fault.", &["kind"])?,
            models: ModelMetrics::registered(register)?,
            traces: Traces::registered(register)?,
            streams: StreamMetrics::registered(register)?,
            registry,
        };
        metrics.begin_at_zero();
        metrics.record_stats(&Stats::default(), Timestamp::from_unix_millis(0));
        Ok(metrics)
    }

    /// The middleware that counts HTTP requests by route, method and status.
    pub fn http(&self) -> PrometheusMetrics {
        self.http.clone()
    }

    /// HTTP requests being answered.
    pub fn http_in_progress(&self) -> &IntGauge {
        &self.http_in_progress
    }

    /// A delivery came; `source` is a configured name or `unknown`, never what a sender wrote.
    pub fn delivery(&self, source: &str, outcome: &str) {
        self.deliveries.with_label_values(&[source, outcome]).inc();
    }

    /// A stage of a request is over.
    pub fn stage(&self, stage: &str, took: Duration) {
        self.stage_duration.with_label_values(&[stage]).observe(took.as_secs_f64());
    }

    /// A source's sender was asked for what no delivery brought; `found` are deliveries, none when it could not be asked.
    pub fn reconciled(&self, source: &str, found: Option<u64>) {
        self.reconcile_rounds.with_label_values(&[source, if found.is_some() { "done" } else { "failed" }]).inc();
        self.reconcile_found.with_label_values(&[source]).inc_by(found.unwrap_or_default());
    }

    /// A forge was called.
    pub fn forge_call(&self, forge: &str, operation: &str, outcome: &str) {
        self.forge_calls.with_label_values(&[forge, operation, outcome]).inc();
    }

    /// How the accounts at forges stand.
    pub fn record_forges(&self, seen: &[ForgeSeen]) {
        let forges = &self.forges;
        let _alone = forges.following.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        [&forges.limit, &forges.remaining, &forges.reset, &forges.limited].into_iter().for_each(IntGaugeVec::reset);
        for forge in seen {
            let account = forge.account.as_str();
            for (resource, limit, remaining, reset) in &forge.budgets {
                let labels = [account, resource.as_str()];
                forges.limit.with_label_values(&labels).set(count(*limit));
                forges.remaining.with_label_values(&labels).set(count(*remaining));
                forges.reset.with_label_values(&labels).set(reset.unix_seconds());
            }
            forges.limited.with_label_values(&[account]).set(forge.limited_until.map_or(0, Timestamp::unix_seconds));
            for (outcome, calls) in forge.calls {
                let counter = forges.requests.with_label_values(&[account, outcome]);
                counter.inc_by(calls.saturating_sub(counter.get()));
            }
        }
    }

    /// The resources were loaded, or refused.
    pub fn resources_reloaded(&self, valid: bool) {
        self.reloads.with_label_values(&[if valid { "loaded" } else { "refused" }]).inc();
        self.resources_valid.set(i64::from(valid));
    }

    /// The store does not answer: what was told of it is told no more, because a queue that stands still looks like one that is worked on.
    pub fn store_is_silent(&self) {
        self.store_answers.store(false, Ordering::Relaxed);
    }

    /// What the store holds at `now`.
    pub fn record_stats(&self, stats: &Stats, now: Timestamp) {
        self.store_answers.store(true, Ordering::Relaxed);
        let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.pending_deliveries.set(count(stats.pending_deliveries));
        self.tasks_dead.set(count(stats.dead_tasks));
        self.waiting_for_room.set(count(stats.waiting_for_room));
        self.pending_oldest.set(stats.oldest_pending.map_or(0.0, |arrived| now.since(arrived).as_secs_f64()));
        self.queue_oldest.set(stats.oldest_due.map_or(0.0, |due| now.since(due).as_secs_f64()));
        for kind in TaskKind::ALL {
            let tasks = stats.tasks.iter().find(|(of, _)| *of == kind).map_or(0, |(_, tasks)| *tasks);
            self.queue_tasks.with_label_values(&[kind.as_str()]).set(count(tasks));
        }
        self.forges.backlog.reset();
        for repository in self.forges.known.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            self.forges.backlog.with_label_values(&[repository]).set(0);
        }
        for (repository, tasks) in &stats.backlog {
            self.forges.backlog.with_label_values(&[repository]).set(count(*tasks));
        }
        for state in State::ALL {
            let requests = stats.requests.iter().find(|(of, _)| *of == state).map_or(0, |(_, requests)| *requests);
            self.requests.with_label_values(&[state.as_str()]).set(count(requests));
        }
    }

    /// What the inbox did since the process started.
    pub fn record_inbox(&self, counts: &InboxCounts) {
        let inbox = &self.inbox;
        let _alone = inbox.following.lock().unwrap_or_else(PoisonError::into_inner);
        let follow = |counter: &IntCounter, to: u64| counter.inc_by(to.saturating_sub(counter.get()));
        follow(&inbox.commits, counts.batches);
        follow(&inbox.deliveries, counts.deliveries);
        follow(&inbox.duplicates, counts.duplicates);
        follow(&inbox.refused, counts.refused);
        follow(&inbox.failed, counts.failed);
        inbox.waiting.set(i64::try_from(counts.queued).unwrap_or(i64::MAX));
    }

    /// All metrics in Prometheus' text format, version 0.0.4.
    ///
    /// # Errors
    /// When a metric cannot be written, which is a fault of ours.
    pub fn text(&self) -> Result<Vec<u8>, TelemetryError> {
        self.record_by_themselves();
        let mut text = Vec::with_capacity(16 * 1024);
        let mut families = self.registry.gather();
        if !self.store_answers.load(Ordering::Relaxed) {
            families.retain(|family| !OF_THE_STORE.contains(&family.name()));
        }
        TextEncoder::new().encode(&families, &mut text).map_err(refused)?;
        Ok(text)
    }
}

/// Status codes are not grouped; paths without a route share one label; what is asked all day long is not counted.
fn http(registry: &Registry) -> Result<PrometheusMetrics, TelemetryError> {
    PrometheusMetricsBuilder::new("kubeops")
        .registry(registry.clone())
        .mask_unmatched_patterns("unmatched")
        .exclude("/metrics")
        .exclude("/healthz")
        .exclude("/health")
        .exclude("/ready")
        .build()
        .map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_s_counts_are_told_by_kind_and_state() {
        let metrics = Metrics::new("production", &BTreeMap::from([("team".to_owned(), "platform".to_owned())])).expect("metrics");
        let now = Timestamp::from_unix_millis(90_000);
        let stats = Stats {
            pending_deliveries: 3,
            tasks: vec![(TaskKind::Plan, 2)],
            oldest_due: Some(Timestamp::from_unix_millis(60_000)),
            dead_tasks: 1,
            waiting_for_room: 4,
            requests: vec![(State::Proposed, 5)],
            backlog: [("gitops".to_owned(), 2)].into(),
            ..Stats::default()
        };
        metrics.record_stats(&stats, now);
        metrics.delivery("service-desk", "accepted");
        metrics.stage("render", Duration::from_millis(2));
        metrics.resources_reloaded(false);
        for batches in [2, 7] {
            metrics.record_inbox(&InboxCounts { batches, deliveries: 40, duplicates: 3, queued: 1, ..InboxCounts::default() });
        }
        let seen = |done, remaining| ForgeSeen {
            account: "token T".to_owned(),
            budgets: vec![("core".to_owned(), 5000, remaining, Timestamp::from_unix_millis(3_600_000))],
            limited_until: Some(Timestamp::from_unix_millis(120_000)),
            calls: [("done", done), ("refused", 0), ("failed", 0), ("limited", 1), ("held", 2)],
        };
        metrics.record_forges(&[ForgeSeen { account: "gone".to_owned(), ..seen(1, 9) }]);
        for (done, remaining) in [(3, 4000), (5, 3998)] {
            metrics.record_forges(&[seen(done, remaining)]);
        }
        let text = String::from_utf8(metrics.text().expect("text")).expect("UTF-8");
        assert!(!text.contains("forge_budget_remaining{account=\"gone\""), "an account that is gone has no gauge");
        for line in [
            "kubeops_forge_backlog{repository=\"gitops\",team=\"platform\"} 2",
            "kubeops_forge_budget_limit{account=\"token T\",resource=\"core\",team=\"platform\"} 5000",
            "kubeops_forge_budget_remaining{account=\"token T\",resource=\"core\",team=\"platform\"} 3998",
            "kubeops_forge_budget_reset_timestamp_seconds{account=\"token T\",resource=\"core\",team=\"platform\"} 3600",
            "kubeops_forge_limited_until_timestamp_seconds{account=\"token T\",team=\"platform\"} 120",
            "kubeops_forge_requests_total{account=\"token T\",outcome=\"done\",team=\"platform\"} 5",
            "kubeops_forge_requests_total{account=\"token T\",outcome=\"held\",team=\"platform\"} 2",
            "kubeops_pending_deliveries{team=\"platform\"} 3",
            "kubeops_queue_tasks{kind=\"plan\",team=\"platform\"} 2",
            "kubeops_queue_tasks{kind=\"propose\",team=\"platform\"} 0",
            "kubeops_queue_oldest_seconds{team=\"platform\"} 30",
            "kubeops_requests{state=\"proposed\",team=\"platform\"} 5",
            "kubeops_requests_waiting_for_room{team=\"platform\"} 4",
            "kubeops_tasks_dead{team=\"platform\"} 1",
            "kubeops_deliveries_total{outcome=\"accepted\",source=\"service-desk\",team=\"platform\"} 1",
            "kubeops_resources_reload_total{outcome=\"refused\",team=\"platform\"} 1",
            "kubeops_inbox_commits_total{team=\"platform\"} 7",
            "kubeops_inbox_deliveries_total{team=\"platform\"} 40",
            "kubeops_inbox_waiting{team=\"platform\"} 1",
            "kubeops_resources_valid{team=\"platform\"} 0",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
        assert!(text.contains("kubeops_build_info{environment=\"production\""), "{text}");
    }

    #[test]
    fn what_is_told_of_the_store_is_left_out_while_it_does_not_answer_and_nothing_else_is() {
        let metrics = Metrics::new("local", &BTreeMap::new()).expect("metrics");
        metrics.know_repositories(["gitops"].into_iter());
        let stats = || metrics.record_stats(&Stats::default(), Timestamp::from_unix_millis(0));
        let names = || -> Vec<String> {
            let text = String::from_utf8(metrics.text().expect("text")).expect("UTF-8");
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).map(|(name, _)| name.to_owned()).collect()
        };
        stats();
        let all = names();
        metrics.store_is_silent();
        let (gone, left): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|name| OF_THE_STORE.contains(&name.as_str()));
        assert_eq!((gone.len(), names()), (OF_THE_STORE.len(), left));
        stats();
        assert_eq!(names(), all);
    }

    #[test]
    fn a_tag_cannot_hide_a_label() {
        assert!(Metrics::new("local", &BTreeMap::from([("source".to_owned(), "x".to_owned())])).is_err());
    }
}
