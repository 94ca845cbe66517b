//! The trace an HTTP request belongs to, and its span. A delivery has a span only where traces are exported: thousands come a second.
//! Nothing of a query string, of a path without its route, or of a header but `traceparent` is ever in a span.

use super::shell::TraceId;
use super::state::AppState;
use crate::spans;
use crate::types::TraceParent;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::{HttpMessage, HttpRequest};
use tracing::Span;
use tracing::field::Empty;

/// Asked all day long by machines that look whether we live.
const UNTRACED: [&str; 4] = ["/metrics", "/healthz", "/health", "/ready"];
/// Below this deliveries come.
const WEBHOOKS: &str = "/api/v1/webhooks/";
const TRACEPARENT: HeaderName = HeaderName::from_static(spans::TRACEPARENT);

/// The trace a caller named; none where it named none that can be read.
pub(super) fn given(headers: &HeaderMap) -> Option<TraceParent> {
    headers.get(TRACEPARENT)?.to_str().ok()?.parse().ok()
}

/// The trace that is stored with a delivery which came in a request.
pub(super) fn to_be_stored(request: &HttpRequest) -> Option<TraceParent> {
    let here = request.extensions().get::<TraceId>().filter(|trace| trace.has_span).map(|trace| trace.place);
    spans::to_be_stored(given(request.headers()), here)
}

/// Begins the span of a request, as the conventions for HTTP servers name it.
/// <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>
pub(super) fn begin(request: &mut ServiceRequest) -> Span {
    if UNTRACED.contains(&request.path()) {
        return Span::none();
    }
    macro_rules! server_span {
        ($level:expr) => {
            tracing::span!(
                parent: None,
                $level,
                "http",
                otel.kind = "server",
                http.request.method = Empty,
                http.route = Empty,
                http.response.status_code = Empty,
                kubeops.source = Empty,
                kubeops.id = Empty,
                actor = Empty,
            )
        };
    }
    let span = if request.path().starts_with(WEBHOOKS) { server_span!(tracing::Level::DEBUG) } else { server_span!(tracing::Level::INFO) };
    if span.is_disabled() {
        return span;
    }
    spans::child_of(&span, given(request.headers()));
    if let Some(place) = spans::place_of(&span) {
        request.extensions_mut().insert(TraceId { place, has_span: true });
    }
    span
}

/// Says what the request came to.
pub(super) fn end<B>(span: &Span, answer: &ServiceResponse<B>, state: &AppState) {
    if !spans::is_kept(span) {
        return;
    }
    let (request, status) = (answer.request(), answer.status());
    let method = request.method().as_str();
    span.record("http.request.method", method);
    match request.match_pattern() {
        Some(route) => {
            spans::rename(span, format!("{method} {route}"));
            span.record("http.route", route);
        }
        None => spans::rename(span, method.to_owned()),
    }
    // What a stranger put in the path is no attribute.
    if let Some(source) = request.match_info().get("source").filter(|source| state.parts.receiver.body_limit(source).is_some()) {
        span.record("kubeops.source", source);
    }
    if let Some(id) = request.match_info().get("id").filter(|id| status.is_success() && is_id(id)) {
        span.record("kubeops.id", id);
    }
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        spans::failed_as(span, status.as_str());
    }
}

/// Whether it is an id of ours: three letters, and a ULID.
fn is_id(text: &str) -> bool {
    text.split_once('_').is_some_and(|(kind, ulid)| kind.len() == 3 && ulid.len() == 26 && ulid.bytes().all(|b| b.is_ascii_alphanumeric()))
}
