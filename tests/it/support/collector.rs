//! An OpenTelemetry collector as far as traces go: OTLP over HTTP in protobuf, with everything it ever took kept, and faults to switch on.

use super::loopback::{Answer, Delivery, Loopback, Request};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How it misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends without an answer.
    Away,
    /// No answer, for as long as the other side waits.
    Silent,
    /// This status, with `Retry-After: 1`.
    Status(u16),
}

/// A span as a test looks at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub trace: String,
    pub id: String,
    /// Empty of a root.
    pub parent: String,
    pub name: String,
    /// The number of its kind: 1 internal, 2 server, 3 client, 5 consumer.
    pub kind: i32,
    pub attributes: BTreeMap<String, String>,
    pub failed: bool,
    /// The traces it is linked with.
    pub links: Vec<String>,
    /// `service.name` and what else is said of the process.
    pub resource: BTreeMap<String, String>,
}

#[derive(Default)]
struct State {
    spans: Vec<Seen>,
    bodies: Vec<Vec<u8>>,
    headers: Vec<BTreeMap<String, String>>,
    refused: usize,
    fault: Option<Fault>,
}

/// A running collector.
pub struct Collector {
    server: Loopback,
    state: Arc<Mutex<State>>,
}

impl Collector {
    pub fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let theirs = Arc::clone(&state);
        Self { server: Loopback::serve(move |request| take(&mut locked(&theirs), request)), state }
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is set to.
    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn misbehave(&self, fault: impl Into<Option<Fault>>) {
        locked(&self.state).fault = fault.into();
    }

    /// Every span taken so far.
    pub fn spans(&self) -> Vec<Seen> {
        locked(&self.state).spans.clone()
    }

    /// Those of one trace.
    pub fn trace(&self, id: &str) -> Vec<Seen> {
        self.spans().into_iter().filter(|span| span.trace == id).collect()
    }

    /// How many exports were not taken.
    pub fn refused(&self) -> usize {
        locked(&self.state).refused
    }

    /// The headers of each export, taken or not.
    pub fn headers(&self) -> Vec<BTreeMap<String, String>> {
        locked(&self.state).headers.clone()
    }

    /// All the bytes that were ever sent.
    pub fn bytes(&self) -> Vec<u8> {
        locked(&self.state).bodies.concat()
    }

    /// Whether any of the bytes that were ever sent hold a text.
    pub fn holds(&self, text: &str) -> bool {
        self.bytes().windows(text.len()).any(|window| window == text.as_bytes())
    }
}

fn locked(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(state: &mut State, request: Request) -> Answer {
    state.headers.push(request.headers.clone());
    state.bodies.push(request.body.clone());
    if let Some(fault) = state.fault {
        state.refused += 1;
        return match fault {
            Fault::Away => Answer { delivery: Delivery::Dropped, ..Answer::new(200, "text/plain", "") },
            Fault::Silent => Answer { delivery: Delivery::Silent, ..Answer::new(200, "text/plain", "") },
            Fault::Status(status) => {
                let mut answer = Answer::new(status, "text/plain", "not now");
                answer.headers.push(("retry-after".to_owned(), "1".to_owned()));
                answer
            }
        };
    }
    if (request.method.as_str(), request.path.as_str()) != ("POST", "/v1/traces")
        || request.headers.get("content-type").is_none_or(|form| form != "application/x-protobuf")
    {
        return Answer::new(404, "text/plain", "not here");
    }
    let Ok(export) = ExportTraceServiceRequest::decode(request.body.as_slice()) else { return Answer::new(400, "text/plain", "no export") };
    for of_resource in export.resource_spans {
        let resource = of_resource.resource.map(|resource| texts(resource.attributes)).unwrap_or_default();
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            state.spans.push(seen(span, &resource));
        }
    }
    Answer::new(200, "application/x-protobuf", ExportTraceServiceResponse { partial_success: None }.encode_to_vec())
}

fn seen(span: Span, resource: &BTreeMap<String, String>) -> Seen {
    Seen {
        trace: hex::encode(span.trace_id),
        id: hex::encode(span.span_id),
        parent: hex::encode(span.parent_span_id),
        name: span.name,
        kind: span.kind,
        attributes: texts(span.attributes),
        failed: span.status.is_some_and(|status| status.code == 2),
        links: span.links.into_iter().map(|link| hex::encode(link.trace_id)).collect(),
        resource: resource.clone(),
    }
}

fn texts(attributes: Vec<opentelemetry_proto::tonic::common::v1::KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(word) => word.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().filter_map(|pair| Some((pair.key, text(pair.value?.value?)))).collect()
}
