//! Where senders send. Every delivery passes here, so nothing is done twice, formatted or copied that need not be.
//! The body is read under the source's cap and a time-out; whether it is genuine is the receiver's to say.

use super::address::client_address;
use super::bodies::Body;
use super::error::ApiError;
use super::extract::State;
use super::held::hold;
use super::ports::{Incoming, Receipt, Refusal};
use super::shell::TraceId;
use super::tracing::to_be_stored;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{Bytes, BytesMut, Payload};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, post, put};
use futures_util::StreamExt;
use serde::Serialize;
use std::sync::OnceLock;
use utoipa::ToSchema;

/// The longest body where no source says otherwise, in bytes.
pub const DEFAULT_BODY_LIMIT: usize = 1024 * 1024;
/// The most that is set aside for a body before it arrives, whatever its `Content-Length` says.
const SET_ASIDE: usize = 256 * 1024;

/// What became of a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReceiptView {
    /// The delivery's id; of a duplicate, the id of the first.
    #[schema(example = "dlv_01kajz0000000000000000000a")]
    id: String,
    /// `accepted`, `duplicate` or `ignored`.
    #[schema(example = "accepted")]
    status: String,
}

/// Takes a delivery of a configured source, authenticated as the source says. It is on disk before it is answered.
#[utoipa::path(tag = "webhooks", operation_id = "deliver", params(("source" = String, Path, description = "The source's name.")),
    request_body(content = serde_json::Value, description = "What the sender sends; its form depends on the source's kind."),
    responses((status = 202, description = "Stored, to be worked on.", body = ReceiptView),
              (status = 200, description = "A duplicate of an earlier delivery, or of a type nobody handles.", body = ReceiptView)))]
#[post("/{source}")]
pub(super) async fn deliver(state: State, request: HttpRequest, payload: Payload) -> Result<HttpResponse, ApiError> {
    take(&state, &request, payload).await
}

/// The same, for senders that use PUT.
#[utoipa::path(tag = "webhooks", operation_id = "deliver_by_put", params(("source" = String, Path, description = "The source's name.")),
    request_body(content = serde_json::Value, description = "What the sender sends; its form depends on the source's kind."),
    responses((status = 202, description = "Stored, to be worked on.", body = ReceiptView),
              (status = 200, description = "A duplicate of an earlier delivery, or of a type nobody handles.", body = ReceiptView)))]
#[put("/{source}")]
pub(super) async fn deliver_by_put(state: State, request: HttpRequest, payload: Payload) -> Result<HttpResponse, ApiError> {
    take(&state, &request, payload).await
}

async fn take(state: &State, request: &HttpRequest, mut payload: Payload) -> Result<HttpResponse, ApiError> {
    let source = request.match_info().get("source").unwrap_or_default();
    let limit = state.parts.receiver.body_limit(source);
    // A source that does not exist looks like any other until its body was read.
    let outcome = receive(state, request, source, &mut payload, limit.unwrap_or(DEFAULT_BODY_LIMIT)).await;
    if matches!(outcome, Err(Refused::By(Refusal::TooLarge { .. }) | Refused::Late)) {
        hold(request, payload.into_inner());
    }
    if let Some(metrics) = state.metrics() {
        // What a stranger put in the path must not become a label.
        metrics.delivery(limit.map_or("unknown", |_| source), word(&outcome));
    }
    match outcome {
        Ok(Receipt::Accepted(id)) => Ok(answer(HttpResponse::Accepted(), id.as_str(), "accepted")),
        Ok(Receipt::Duplicate(id)) => Ok(answer(HttpResponse::Ok(), id.as_str(), "duplicate")),
        Ok(Receipt::Ignored(id)) => Ok(answer(HttpResponse::Ok(), id.as_str(), "ignored")),
        Err(Refused::By(refusal)) => Err(refusal.into()),
        Err(Refused::Late | Refused::Cut) => Err(ApiError::too_slow()),
        Err(Refused::Crowded) => Err(ApiError::unavailable("busy", "more is arriving than there is room for; send it again", 5)),
        Err(Refused::Stuck) => Err(ApiError::unavailable("timeout", "this took too long; send it again", 5)),
    }
}

/// Why a delivery was not taken, here or by the receiver.
enum Refused {
    By(Refusal),
    /// The body did not arrive in time.
    Late,
    /// The sender went away.
    Cut,
    /// Too much of others arrives at the same time.
    Crowded,
    /// The receiver did not answer in time.
    Stuck,
}

async fn receive(state: &State, request: &HttpRequest, source: &str, payload: &mut Payload, limit: usize) -> Result<Receipt, Refused> {
    let (parts, request_headers) = (&state.parts, request.headers());
    let announced = request_headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()).and_then(|length| length.parse::<usize>().ok());
    // Counted until the delivery is answered.
    let mut held = state.bodies.begin(announced);
    let reading = tokio::time::timeout(parts.body_timeout, read(payload, announced.unwrap_or(0), limit, &mut held));
    let body = reading.await.map_err(|_| Refused::Late)??;
    let trace: OnceLock<TraceId> = OnceLock::new();
    let known = request.extensions().get::<TraceId>().copied();
    let trace_id = || trace.get_or_init(|| known.unwrap_or_else(|| TraceId::made(request_headers, state))).place;
    let incoming = Incoming {
        source,
        headers: request_headers,
        trace: &trace_id,
        traceparent: to_be_stored(request),
        query: request.query_string(),
        client: client_address(request.peer_addr().map(|peer| peer.ip()), request_headers, &parts.trusted_proxies),
        received_at: state.now(),
        body,
    };
    let receiving = tokio::time::timeout(parts.call_timeout, parts.receiver.receive(incoming));
    let received = receiving.await;
    if let Some(trace) = trace.into_inner() {
        // The log has it already: the answer says the same.
        request.extensions_mut().insert(trace);
    }
    received.map_err(|_| Refused::Stuck)?.map_err(Refused::By)
}

/// The whole body, or a refusal as soon as it is known to be too large. A body that arrived in one piece is not copied. One for which there is no
/// room is read to its end and dropped as it comes: who is still sending would not hear the answer.
async fn read(payload: &mut Payload, announced: usize, limit: usize, held: &mut Body<'_>) -> Result<Bytes, Refused> {
    if announced > limit {
        return Err(Refused::By(Refusal::TooLarge { limit }));
    }
    let (mut first, mut whole) = (Bytes::new(), BytesMut::new());
    let (mut length, mut crowded) = (0, false);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Refused::Cut)?;
        length += chunk.len();
        if length > limit {
            return Err(Refused::By(Refusal::TooLarge { limit }));
        }
        crowded = crowded || !held.grow(chunk.len());
        if crowded {
            (first, whole) = (Bytes::new(), BytesMut::new());
            held.let_go();
            continue;
        }
        if first.is_empty() && whole.is_empty() {
            first = chunk;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(announced.clamp(first.len() + chunk.len(), SET_ASIDE.max(first.len() + chunk.len())));
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&chunk);
    }
    match crowded {
        true => Err(Refused::Crowded),
        false => Ok(if whole.is_empty() { first } else { whole.freeze() }),
    }
}

/// The word for the metrics.
fn word(outcome: &Result<Receipt, Refused>) -> &'static str {
    match outcome {
        Ok(Receipt::Accepted(_)) => "accepted",
        Ok(Receipt::Duplicate(_)) => "duplicate",
        Ok(Receipt::Ignored(_)) => "ignored",
        Err(Refused::By(Refusal::UnknownSource)) => "unknown_source",
        Err(Refused::By(Refusal::Unauthenticated(_))) => "unauthenticated",
        Err(Refused::By(Refusal::Forbidden(_))) => "forbidden",
        Err(Refused::By(Refusal::TooLarge { .. })) => "too_large",
        Err(Refused::By(Refusal::Unsupported(_))) => "unsupported",
        Err(Refused::By(Refusal::Malformed { .. })) => "malformed",
        Err(Refused::By(Refusal::Busy { .. }) | Refused::Stuck | Refused::Crowded) => "busy",
        Err(Refused::By(Refusal::Failed(_))) => "failed",
        Err(Refused::Late | Refused::Cut) => "too_slow",
    }
}

/// An id holds nothing JSON would escape.
fn answer(mut response: actix_web::HttpResponseBuilder, id: &str, status: &str) -> HttpResponse {
    let mut body = String::with_capacity(64);
    body.extend(["{\"id\":\"", id, "\",\"status\":\"", status, "\"}"]);
    response.content_type("application/json").body(body)
}
