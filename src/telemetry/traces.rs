//! Where spans get their ids and who keeps them: made always, because the log shows them, and kept when they are exported.
//! Whoever ends a span waits for nobody: it goes into a bounded queue, and is dropped and counted where that is full.

use super::otlp::Exporter;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanLimits, SpanProcessor};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

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
    /// Spans that may wait; more are dropped.
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

    /// Spans that wait to be exported.
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
                let (spans, queue) = mpsc::channel(options.queue.max(1));
                let processor = Queue { spans, counts: Arc::clone(&counts) };
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

/// The way of ended spans to the exporter.
#[derive(Debug)]
struct Queue {
    spans: mpsc::Sender<SpanData>,
    counts: Arc<TraceCounts>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        // Counted before: the exporter may have it at once.
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if self.spans.try_send(span).is_err() {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.queue_full.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
