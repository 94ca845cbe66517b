//! What is counted of steps, leases, language models, the database and spans.

use super::registering::Register;
use super::{Metrics, TelemetryError};
use crate::automation::Provider;
use crate::store::inbox::Observer;
use crate::store::{TaskKind, database_errors};
use crate::telemetry::traces::TraceCounts;
use prometheus::{Counter, CounterVec, HistogramVec, IntCounter, IntCounterVec, IntGauge};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// What a step can come to.
const STEP_OUTCOMES: [&str; 5] = ["done", "retried", "postponed", "goes_on", "dead"];

/// A model answers within a second or within minutes.
const MODEL_BUCKETS: &[f64] = &[0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0];

/// What calls of language models were and cost.
#[derive(Clone)]
pub(super) struct ModelMetrics {
    pub(super) calls: IntCounterVec,
    pub(super) tokens: IntCounterVec,
    pub(super) cost: CounterVec,
    pub(super) duration: HistogramVec,
}

/// What became of spans. The exporter counts by itself; the metrics follow when they are asked for.
#[derive(Clone)]
pub(super) struct Traces {
    pub(super) spans: IntCounterVec,
    pub(super) waiting: IntGauge,
    /// Of this process's exporter, where there is one.
    pub(super) counts: Arc<OnceLock<Arc<TraceCounts>>>,
    pub(super) following: Arc<Mutex<()>>,
}

impl ModelMetrics {
    pub(super) fn registered(register: Register<'_>) -> Result<Self, TelemetryError> {
        Ok(Self {
            calls: register.counters("model_calls_total", "Calls of language models, by provider and outcome.", &["provider", "outcome"])?,
            tokens: register.counters(
                "model_tokens_total",
                "Tokens sent to language models (input) and answered (output).",
                &["provider", "direction"],
            )?,
            cost: register.sums("model_cost_total", "What language models cost, in the currency of the prices.", &["provider"])?,
            duration: register.histograms(
                "model_call_duration_seconds",
                "How long a call of a language model took.",
                MODEL_BUCKETS,
                &["provider"],
            )?,
        })
    }
}

impl Traces {
    pub(super) fn registered(register: Register<'_>) -> Result<Self, TelemetryError> {
        Ok(Self {
            spans: register.counters("trace_spans_total", "Spans that were exported, and those that were dropped, by why.", &["outcome"])?,
            waiting: register.gauge("trace_spans_waiting", "Spans that wait to be exported.")?,
            counts: Arc::default(),
            following: Arc::default(),
        })
    }
}

/// One call of a language model.
#[derive(Debug, Clone, Copy)]
pub struct ModelCall {
    /// Who offers the model: a word of a list of ours.
    pub provider: &'static str,
    /// `done`, or the class of the error.
    pub outcome: &'static str,
    /// How long it took.
    pub took: Duration,
    /// Tokens sent and answered, where the provider told.
    pub tokens: Option<(u64, u64)>,
    /// What they cost, where that is known, in the currency of the prices.
    pub cost: Option<f64>,
}

impl Metrics {
    /// What is counted by kind is there from the start: the first of a kind is an increase.
    pub(super) fn begin_at_zero(&self) {
        for kind in TaskKind::ALL {
            self.stage_duration.with_label_values(&[kind.as_str()]);
            STEP_OUTCOMES.iter().for_each(|outcome| drop(self.steps.with_label_values(&[kind.as_str(), outcome])));
        }
        ["done", "failed"].iter().for_each(|outcome| drop(self.dispatched.with_label_values(&[outcome])));
        ["loaded", "refused"].iter().for_each(|outcome| drop(self.reloads.with_label_values(&[outcome])));
        self.resources_valid.set(1);
        database_errors().iter().for_each(|(kind, _)| drop(self.store_errors.with_label_values(&[kind])));
        for provider in Provider::ALL.map(Provider::as_str) {
            drop((self.models.calls.with_label_values(&[provider, "done"]), self.models.cost.with_label_values(&[provider])));
            ["input", "output"].iter().for_each(|direction| drop(self.models.tokens.with_label_values(&[provider, direction])));
            drop(self.models.duration.with_label_values(&[provider]));
        }
        TraceCounts::default().outcomes().iter().for_each(|(outcome, _)| drop(self.traces.spans.with_label_values(&[outcome])));
    }

    /// Sources are configured: what is counted by source begins at zero, so that the first failure is an increase.
    pub fn know_sources<'n>(&self, names: impl Iterator<Item = &'n str>) {
        for name in names {
            for outcome in ["accepted", "busy", "failed", "unauthenticated"] {
                drop(self.deliveries.with_label_values(&[name, outcome]));
            }
            ["done", "failed"].iter().for_each(|outcome| drop(self.reconcile_rounds.with_label_values(&[name, outcome])));
            drop(self.reconcile_found.with_label_values(&[name]));
        }
    }

    /// Repositories are configured: where nothing waits for one, that is told.
    pub fn know_repositories<'n>(&self, names: impl Iterator<Item = &'n str>) {
        *self.forges.known.lock().unwrap_or_else(PoisonError::into_inner) = names.map(str::to_owned).collect();
    }

    /// A step came to something: a word of [`crate::store::Verdict`]'s.
    pub fn step(&self, kind: TaskKind, outcome: &str) {
        self.steps.with_label_values(&[kind.as_str(), outcome]).inc();
    }

    /// So many stored deliveries were dispatched, and so many are told as failed.
    pub fn dispatched(&self, done: usize, failed: usize) {
        for (outcome, count) in [("done", done), ("failed", failed)] {
            self.dispatched.with_label_values(&[outcome]).inc_by(count as u64);
        }
    }

    /// Tasks were taken over from a process whose lease ran out.
    pub fn taken_over(&self, tasks: usize) {
        self.leases_taken_over.inc_by(tasks as u64);
    }

    /// An attempt was given up because its lease was lost.
    pub fn lease_lost(&self) {
        self.leases_lost.inc();
    }

    /// A language model was called.
    pub fn model_call(&self, call: ModelCall) {
        let ModelCall { provider, outcome, took, tokens, cost } = call;
        self.models.calls.with_label_values(&[provider, outcome]).inc();
        self.models.duration.with_label_values(&[provider]).observe(took.as_secs_f64());
        if let Some((input, output)) = tokens {
            self.models.tokens.with_label_values(&[provider, "input"]).inc_by(input);
            self.models.tokens.with_label_values(&[provider, "output"]).inc_by(output);
        }
        let total: Counter = self.models.cost.with_label_values(&[provider]);
        cost.into_iter().filter(|cost| cost.is_finite() && *cost >= 0.0).for_each(|cost| total.inc_by(cost));
    }

    /// The exporter of traces whose counts are told.
    pub fn follow_traces(&self, counts: Arc<TraceCounts>) {
        let _ = self.traces.counts.set(counts);
    }

    pub(super) fn record_by_themselves(&self) {
        let _alone = self.traces.following.lock().unwrap_or_else(PoisonError::into_inner);
        let follow = |counter: IntCounter, to: u64| counter.inc_by(to.saturating_sub(counter.get()));
        for (kind, count) in database_errors() {
            follow(self.store_errors.with_label_values(&[kind]), count);
        }
        let Some(counts) = self.traces.counts.get() else { return };
        for (outcome, count) in counts.outcomes() {
            follow(self.traces.spans.with_label_values(&[outcome]), count);
        }
        self.traces.waiting.set(i64::try_from(counts.waiting()).unwrap_or(i64::MAX));
    }
}

impl Observer for Metrics {
    fn committed(&self, took: Duration, _: usize) {
        self.inbox.commit.observe(took.as_secs_f64());
    }
}
