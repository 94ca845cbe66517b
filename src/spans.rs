//! Spans, for whoever makes them: which trace they belong to, what they are linked with, and how they ended.
//! What is known of no part of KubeOps alone; the subscriber and the exporter stand in `telemetry`. No attribute holds a secret, a ticket's
//! or a model's words, an error's words, or an address with its path: names, numbers and words from our own lists alone.

use crate::types::{ErrorClass, TraceParent};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header, and the attribute of a stored delivery, that names a trace.
pub const TRACEPARENT: &str = "traceparent";
/// Links a span has at most: as many as the specification's default keeps.
pub const MOST_LINKS: usize = 128;

/// Where `span` is in its trace; none where nobody has the ids of spans, as in a command of the terminal.
pub fn place_of(span: &Span) -> Option<TraceParent> {
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    TraceParent::new(u128::from_be_bytes(span.trace_id().to_bytes()), u64::from_be_bytes(span.span_id().to_bytes()), span.is_sampled())
}

/// Where the present span is in its trace.
pub fn here() -> Option<TraceParent> {
    place_of(&Span::current())
}

/// Whether somebody keeps what is said of `span`: what is only for traces is not even looked up where nobody does.
pub fn is_kept(span: &Span) -> bool {
    !span.is_disabled() && span.context().span().span_context().is_sampled()
}

/// Makes a span that was just made one that nobody keeps.
pub fn leave_out(span: &Span) {
    child_of(span, Some(TraceParent::derived(u128::MAX)));
}

/// Names a span whose name is known only later: after it has begun, a field does not name it any more.
pub fn rename(span: &Span, name: String) {
    span.context().span().update_name(name);
}

/// Makes a span that was just made a child of one in another process, or of an earlier life of this one. With none it begins a trace.
pub fn child_of(span: &Span, parent: Option<TraceParent>) {
    if let Some(parent) = parent {
        // Refused where nobody has the ids of spans: then there is nothing to be a child of.
        let _ = span.set_parent(Context::new().with_remote_span_context(context_of(parent)));
    }
}

/// What is stored with a delivery, so that what is done for it later is done in the same trace. It is the sender's span where there is
/// one, which is known whatever becomes of this process; else the span it arrived in.
pub fn to_be_stored(given: Option<TraceParent>, here: Option<TraceParent>) -> Option<TraceParent> {
    match (given, here) {
        (Some(given), Some(here)) => Some(given.with_sampled(here.is_sampled())),
        (given, here) => given.or(here),
    }
}

/// Notes that a span does the work of others beside its own parent's.
pub fn link(span: &Span, others: impl IntoIterator<Item = TraceParent>) {
    if !is_kept(span) {
        return;
    }
    for other in others.into_iter().take(MOST_LINKS) {
        span.add_link(context_of(other));
    }
}

/// Notes that what a span stands for failed: its status, and the class of the error as `error.type`. Never the error's words.
pub fn failed(span: &Span, class: ErrorClass) {
    failed_as(span, class.as_str());
}

/// The same with a word of a list of ours, or a status of HTTP.
pub fn failed_as(span: &Span, word: &str) {
    if is_kept(span) {
        span.set_status(Status::error(""));
        span.set_attribute("error.type", word.to_owned());
    }
}

/// Passes a result on, after noting its failure on `span`.
///
/// # Errors
/// The one it is given.
pub fn told<T, E>(span: &Span, result: Result<T, E>, class: impl FnOnce(&E) -> ErrorClass) -> Result<T, E> {
    if let Err(error) = &result {
        failed(span, class(error));
    }
    result
}

/// The span of one call of somebody else's API, as the conventions for HTTP clients name it. Of the address, host and port alone: a path may
/// be a secret. <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>
pub fn http_client(method: &str, address: &url::Url) -> Span {
    tracing::debug_span!(
        "http",
        otel.name = method,
        otel.kind = "client",
        http.request.method = method,
        server.address = address.host_str(),
        server.port = address.port_or_known_default(),
        http.response.status_code = Empty,
    )
}

/// Says what came back; none where nothing did. A status from 400 up is a failure for whoever called.
pub fn http_answered(span: &Span, status: Option<u16>) {
    match status {
        Some(status) => {
            span.record("http.response.status_code", status);
            if status >= 400 {
                failed_as(span, &status.to_string());
            }
        }
        None => failed_as(span, "no_answer"),
    }
}

fn context_of(parent: TraceParent) -> SpanContext {
    let flags = if parent.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let (trace, span) = (TraceId::from(parent.trace()), SpanId::from(parent.span()));
    SpanContext::new(trace, span, flags, true, TraceState::default())
}
