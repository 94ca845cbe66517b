//! How a metric of ours is made: its name begins with `kubeops_`, and the registry has it before anybody counts.

use crate::telemetry::TelemetryError;
use prometheus::core::Collector;
use prometheus::{
    CounterVec, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result as Made,
};

/// Makes metrics for this registry.
#[derive(Clone, Copy)]
pub(super) struct Register<'r>(pub(super) &'r Registry);

impl Register<'_> {
    pub(super) fn counter(self, name: &str, help: &str) -> Result<IntCounter, TelemetryError> {
        self.added(IntCounter::with_opts(opts(name, help)))
    }

    pub(super) fn counters(self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, TelemetryError> {
        self.added(IntCounterVec::new(opts(name, help), labels))
    }

    /// Counters of what comes in fractions.
    pub(super) fn sums(self, name: &str, help: &str, labels: &[&str]) -> Result<CounterVec, TelemetryError> {
        self.added(CounterVec::new(opts(name, help), labels))
    }

    pub(super) fn gauge(self, name: &str, help: &str) -> Result<IntGauge, TelemetryError> {
        self.added(IntGauge::with_opts(opts(name, help)))
    }

    pub(super) fn gauges(self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, TelemetryError> {
        self.added(IntGaugeVec::new(opts(name, help), labels))
    }

    /// A gauge of what comes in fractions.
    pub(super) fn fraction(self, name: &str, help: &str) -> Result<Gauge, TelemetryError> {
        self.added(Gauge::with_opts(opts(name, help)))
    }

    pub(super) fn histogram(self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, TelemetryError> {
        self.added(Histogram::with_opts(within(name, help, buckets)))
    }

    pub(super) fn histograms(self, name: &str, help: &str, buckets: &[f64], labels: &[&str]) -> Result<HistogramVec, TelemetryError> {
        self.added(HistogramVec::new(within(name, help, buckets), labels))
    }

    fn added<C: Collector + Clone + 'static>(self, made: Made<C>) -> Result<C, TelemetryError> {
        let metric = made.map_err(refused)?;
        self.0.register(Box::new(metric.clone())).map_err(refused)?;
        Ok(metric)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("kubeops_{name}"), help)
}

fn within(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(format!("kubeops_{name}"), help).buckets(buckets.to_vec())
}

/// What the registry says of a metric it does not take.
pub(super) fn refused(error: impl std::fmt::Display) -> TelemetryError {
    TelemetryError::Metrics(error.to_string())
}
