//! The outermost middleware: what holds for every answer, whichever route gave it. Security headers, the body of failures,
//! the access line, methods nobody knows. It sees every delivery, so it does nothing it need not do.

use super::access::Caller;
use super::address::client_address;
use super::error::ApiError;
use super::held::{self, HoldingBody};
use super::state::AppState;
use crate::types::TraceParent;
use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, Version};
use actix_web::{Error, HttpMessage, HttpRequest};
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument;

const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000 ; includeSubDomains");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The middleware's factory.
pub(super) struct Shell(pub(super) Arc<AppState>);

/// The middleware.
pub(super) struct ShellService<S> {
    state: Arc<AppState>,
    inner: S,
}

/// A request that came as HEAD.
#[derive(Clone, Copy)]
struct AskedByHead;

/// The trace a request belongs to, and the place in it; where it has no span, only made when something is to be told.
#[derive(Clone, Copy)]
pub(super) struct TraceId {
    pub(super) place: TraceParent,
    pub(super) has_span: bool,
}

impl TraceId {
    /// The request's; without a span the trace of `traceparent`, or a new one.
    pub(super) fn of(request: &HttpRequest, state: &AppState) -> Self {
        let known = request.extensions().get::<Self>().copied();
        known.unwrap_or_else(|| Self::made(request.headers(), state))
    }

    /// Of a request without a span.
    pub(super) fn made(headers: &HeaderMap, state: &AppState) -> Self {
        let made = TraceParent::derived(state.parts.clock.random());
        let given = super::tracing::given(headers);
        // The span is ours, whoever's the trace is.
        let place = given.and_then(|given| TraceParent::new(given.trace(), made.span(), given.is_sampled())).unwrap_or(made);
        Self { place, has_span: false }
    }
}

impl<S, B> Transform<S, ServiceRequest> for Shell
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B, BoxBody>>;
    type Error = Error;
    type Transform = ShellService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(ShellService { state: Arc::clone(&self.0), inner }))
    }
}

impl<S, B> Service<ServiceRequest> for ShellService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B, BoxBody>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    forward_ready!(inner);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let state = Arc::clone(&self.state);
        let started = state.parts.access_log.as_ref().map(|_| Instant::now());
        if !is_known(request.method()) {
            // Before anything counts it: a method is a label of the metrics, and a sender could make up as many as it likes.
            let answer = request.error_response(ApiError::method_not_allowed("")).map_into_right_body();
            return Box::pin(async move { Ok(finish(&state, answer, started)) });
        }
        held::hold_unwanted(&mut request);
        if request.method() == Method::HEAD {
            // Answered as GET is; the connection knows that it must leave the body out.
            // <https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2>
            request.head_mut().method = Method::GET;
            request.extensions_mut().insert(AskedByHead);
        }
        let in_progress = state.metrics().map(|metrics| InProgress::new(metrics.http_in_progress().clone()));
        let span = super::tracing::begin(&mut request);
        let answer = span.in_scope(|| self.inner.call(request));
        let told = span.clone();
        let answered = async move {
            let answer = answer.await?.map_into_left_body();
            drop(in_progress);
            super::tracing::end(&told, &answer, &state);
            Ok(finish(&state, answer, started))
        };
        Box::pin(answered.instrument(span))
    }
}

/// Counts a request for as long as it lives, also when its sender goes away.
struct InProgress(prometheus::IntGauge);

impl InProgress {
    fn new(gauge: prometheus::IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn is_known(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE | Method::PATCH | Method::OPTIONS)
}

fn finish<B: MessageBody + 'static>(
    state: &AppState,
    mut answer: ServiceResponse<EitherBody<B, BoxBody>>,
    started: Option<Instant>,
) -> ServiceResponse<EitherBody<B, BoxBody>> {
    let status = answer.status();
    let failed = status.is_client_error() || status.is_server_error();
    let rest = held::release(answer.request());
    if !failed && started.is_none() && rest.is_none() {
        harden(answer.headers_mut());
        return answer;
    }
    let trace = TraceId::of(answer.request(), state);
    if failed {
        answer = with_error_body(state, answer, &trace);
    }
    if let Some(rest) = rest {
        answer = answer.map_body(|_, body| EitherBody::right(BoxBody::new(HoldingBody::new(body.boxed(), rest))));
    }
    harden(answer.headers_mut());
    if let (Some(log), Some(started)) = (&state.parts.access_log, started) {
        write_access_line(state, log, &answer, &trace, started);
    }
    answer
}

fn harden(headers: &mut HeaderMap) {
    headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
}

fn with_error_body<B: MessageBody + 'static>(
    state: &AppState,
    answer: ServiceResponse<EitherBody<B, BoxBody>>,
    trace: &TraceId,
) -> ServiceResponse<EitherBody<B, BoxBody>> {
    let told = ApiError::of_response(answer.response()).map(|error| (error.status(), error.body(&trace.place, state.now()), error.closes()));
    let Some((status, body, closes)) = told else { return answer };
    let mut answer = answer.map_body(|_, _| EitherBody::right(BoxBody::new(body)));
    *answer.response_mut().status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, JSON);
    if closes {
        answer.response_mut().head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    }
    answer
}

fn write_access_line<B: MessageBody>(
    state: &AppState,
    log: &crate::telemetry::AccessLog,
    answer: &ServiceResponse<B>,
    trace: &TraceId,
    started: Instant,
) {
    let request = answer.request();
    let text = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let extensions = request.extensions();
    log.write(&crate::telemetry::AccessEntry {
        at: state.now(),
        client: client_address(request.peer_addr().map(|peer| peer.ip()), request.headers(), &state.parts.trusted_proxies),
        actor: extensions.get::<Caller>().map(|caller| caller.name.as_str()),
        method: if extensions.contains::<AskedByHead>() { Method::HEAD.as_str() } else { request.method().as_str() },
        path: request.path(),
        version: if request.version() == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
        status: answer.status().as_u16(),
        bytes: match answer.response().body().size() {
            BodySize::Sized(bytes) => Some(bytes),
            BodySize::None => Some(0),
            BodySize::Stream => None,
        },
        referer: text(header::REFERER),
        user_agent: text(header::USER_AGENT),
        duration: started.elapsed(),
        trace_id: &trace.place.trace_id(),
    });
}
