//! Where spans get their ids and who keeps them: made always, because the log shows them, and kept when they are exported.
//! It exports nothing itself.

use super::otlp::Exporter;
use super::queue::Queue;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanLimits};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Which traces that begin here are kept, in the words of `OTEL_TRACES_SAMPLER`; a ratio is of 1.
/// <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#general-sdk-configuration>
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum TraceSampler {
    /// Every one, whatever the sender says.
    AlwaysOn,
    /// None, whatever the sender says.
    AlwaysOff,
    /// This part of all, whatever the sender says.
    Ratio(f64),
    /// What the sender keeps, and every one that begins here.
    #[default]
    ParentOrOn,
    /// What the sender keeps, and none that begins here.
    ParentOrOff,
    /// What the sender keeps, and this part of those that begin here.
    ParentOrRatio(f64),
}

/// Where traces go and how.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceOptions {
    /// The collector's address for traces: OTLP over HTTP, protobuf.
    pub endpoint: String,
    /// `service.name`.
    pub service: String,
    /// What else is said of the process, as `deployment.environment.name`.
    pub attributes: Vec<(String, String)>,
    /// What is kept.
    pub sampler: TraceSampler,
    /// Spans that may wait, those that are being exported among them; more are dropped.
    pub queue: usize,
    /// How long a span waits for others to go with.
    pub delay: Duration,
    /// How long one export may take.
    pub timeout: Duration,
}

/// What became of spans since the process started.
#[derive(Debug, Default)]
pub struct TraceCounts {
    pub(super) exported: AtomicU64,
    pub(super) queue_full: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) unreachable: AtomicU64,
    pub(super) waiting: AtomicU64,
}

impl TraceCounts {
    /// Every outcome with its count: `exported`, and of those that were dropped `queue_full`, `refused` by the collector, and `unreachable`
    /// where no collector took them in time.
    pub fn outcomes(&self) -> [(&'static str, u64); 4] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("exported", read(&self.exported)),
            ("queue_full", read(&self.queue_full)),
            ("refused", read(&self.refused)),
            ("unreachable", read(&self.unreachable)),
        ]
    }

    /// Spans that wait for the one they go with, to be exported, or to arrive.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// What makes spans, and who exports them where they are.
pub(super) struct Tracing {
    pub(super) tracer: SdkTracer,
    pub(super) exporter: Option<Exporter>,
}

impl Tracing {
    /// With options spans are kept and exported; without, they have ids and nothing else.
    pub(super) fn new(options: Option<&TraceOptions>) -> Self {
        let limits = SpanLimits { max_events_per_span: 0, ..SpanLimits::default() };
        let builder = SdkTracerProvider::builder().with_span_limits(limits);
        let (provider, exporter) = match options {
            None => (builder.with_sampler(Sampler::AlwaysOff).with_resource(Resource::builder_empty().build()).build(), None),
            Some(options) => {
                let resource = resource(options);
                let counts = Arc::new(TraceCounts::default());
                let (processor, queue) = Queue::new(options.queue, Arc::clone(&counts));
                let exporter = Exporter::new(options, &resource, queue, counts);
                let provider = builder.with_sampler(sampler(options.sampler)).with_resource(resource).with_span_processor(processor).build();
                (provider, Some(exporter))
            }
        };
        let scope = InstrumentationScope::builder("kubeops").with_version(env!("CARGO_PKG_VERSION")).build();
        Self { tracer: provider.tracer_with_scope(scope), exporter }
    }
}

fn resource(options: &TraceOptions) -> Resource {
    let own = [
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        // Tells replicas apart, and one life of a process from the next.
        KeyValue::new("service.instance.id", format!("{:032x}", rand::random::<u128>())),
    ];
    let given = options.attributes.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty().with_attributes(own).with_attributes(given).with_service_name(options.service.clone()).build()
}

fn sampler(sampler: TraceSampler) -> Sampler {
    let parent = |root: Sampler| Sampler::ParentBased(Box::new(root));
    match sampler {
        TraceSampler::AlwaysOn => Sampler::AlwaysOn,
        TraceSampler::AlwaysOff => Sampler::AlwaysOff,
        TraceSampler::Ratio(part) => Sampler::TraceIdRatioBased(part),
        TraceSampler::ParentOrOn => parent(Sampler::AlwaysOn),
        TraceSampler::ParentOrOff => parent(Sampler::AlwaysOff),
        TraceSampler::ParentOrRatio(part) => parent(Sampler::TraceIdRatioBased(part)),
    }
}
