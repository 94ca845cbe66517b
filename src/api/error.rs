//! The one place where failures become HTTP: `{"error":{code,message,details,trace_id,timestamp}}`, for every status from 400 up.
//! Handlers return an [`ApiError`]; the outermost middleware writes its body, because only it knows the trace id and the time.
//! What is ours to mend is logged here, once, with the trace id, and told to the caller as "something went wrong" and no more.

use super::ports::{OperationError, Refusal};
use crate::store::StoreError;
use crate::types::{Timestamp, TraceParent};
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt;
use utoipa::ToSchema;

/// Seconds a caller is asked to wait when the store is busy.
const BUSY_SECONDS: u64 = 5;

/// What every answer from 400 up looks like.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// The failure.
    pub error: ErrorDetail,
}

/// One failure.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// A stable word for programs.
    #[schema(example = "not_found")]
    pub code: Cow<'static, str>,
    /// A sentence for people: what is wrong and, where there is one, the mend.
    #[schema(example = "there is no request req_01kajz0000000000000000000a")]
    pub message: Cow<'static, str>,
    /// What else is known: places in the body, all problems at once. Empty when there is nothing.
    #[schema(value_type = Object)]
    pub details: Value,
    /// The trace the request belongs to, 32 hexadecimal digits: from its `traceparent`, or made for it.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736")]
    pub trace_id: String,
    /// When it happened.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
}

/// A failure on its way to the caller.
#[derive(Debug, Clone)]
pub struct ApiError(Box<Failure>);

#[derive(Debug, Clone)]
struct Failure {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    details: Value,
    header: Option<(HeaderName, HeaderValue)>,
    close: bool,
    cause: Option<String>,
}

impl ApiError {
    /// A failure with this status, code and message.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Failure { status, code, message: message.into(), details: json!({}), header: None, close: false, cause: None }))
    }

    /// 400: what was sent cannot be read.
    pub fn bad_request(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 401, with what to send instead.
    pub fn unauthenticated(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message)
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"kubeops\""))
    }

    /// 403.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// 404.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 405, with what the path does take.
    pub fn method_not_allowed(allowed: &str) -> Self {
        let header = HeaderValue::from_str(allowed).unwrap_or(HeaderValue::from_static(""));
        let message = if allowed.is_empty() { "this method is not known".to_owned() } else { format!("this path takes {allowed}") };
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).with_header(ALLOW, header)
    }

    /// 413. The connection is closed, because what else is sent on it is not read.
    pub fn too_large(limit: usize) -> Self {
        let mut error = Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", format!("the body is larger than the {limit} bytes allowed"))
            .with_details(json!({ "limit_bytes": limit }));
        error.0.close = true;
        error
    }

    /// 408. The connection is closed.
    pub fn too_slow() -> Self {
        let mut error = Self::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the body did not arrive in time");
        error.0.close = true;
        error
    }

    /// 429.
    pub fn too_many(limit: u32, seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", format!("a token may make {limit} requests a minute")).retry_after(seconds)
    }

    /// 503, worth another try after `seconds`.
    pub fn unavailable(code: &'static str, message: impl Into<Cow<'static, str>>, seconds: u64) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message).retry_after(seconds)
    }

    /// 500: the cause is logged and never told.
    pub fn internal(cause: impl fmt::Display) -> Self {
        let mut error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something went wrong here; the log has it under this trace id");
        error.0.cause = Some(cause.to_string());
        error
    }

    /// With what else is known.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.0.details = details;
        self
    }

    /// With a cause for the log.
    #[must_use]
    fn because(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    #[must_use]
    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    #[must_use]
    fn retry_after(self, seconds: u64) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// What an answer that is a failure says; none when it says it in the right shape already.
    pub(super) fn of_response<B>(response: &HttpResponse<B>) -> Option<Cow<'_, ApiError>> {
        match response.error() {
            Some(error) => Some(match error.as_error::<ApiError>() {
                Some(error) => Cow::Borrowed(error),
                None => Cow::Owned(extractor_error(error)),
            }),
            // A route that answers with JSON of its own, such as `/ready`, knows what it says.
            None if response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json")) => None,
            None => Some(Cow::Owned(Self::of_status(response.status()))),
        }
    }

    fn of_status(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            status if status.is_server_error() => "internal",
            _ => "bad_request",
        };
        Self::new(status, code, status.canonical_reason().unwrap_or("the request failed").to_ascii_lowercase())
    }

    /// The body, logged when it is ours to mend.
    pub(super) fn body(&self, place: &TraceParent, now: Timestamp) -> Vec<u8> {
        let (trace_id, span_id) = (place.trace_id(), place.span_id());
        if self.0.status.is_server_error() {
            let cause = self.0.cause.as_deref().unwrap_or(&self.0.message);
            if self.0.status == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::error!(trace_id, span_id, code = self.0.code, cause, "a request failed");
            } else {
                tracing::warn!(trace_id, span_id, code = self.0.code, cause, "a request was put off");
            }
        }
        let error = ErrorDetail {
            code: Cow::Borrowed(self.0.code),
            message: self.0.message.clone(),
            details: self.0.details.clone(),
            trace_id,
            timestamp: now,
        };
        serde_json::to_vec(&ErrorBody { error }).unwrap_or_default()
    }

    /// The status.
    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Whether nothing more is read from the connection.
    pub(super) fn closes(&self) -> bool {
        self.0.close
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.message, self.0.code)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    /// Status and headers; the body is written by the outermost middleware.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.0.status);
        if let Some((name, value)) = &self.0.header {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response
    }
}

/// What an extractor refuses, in our words: the error handler of each.
pub(super) fn refused_by_extractor<E: Into<actix_web::Error>>(error: E, _: &actix_web::HttpRequest) -> actix_web::Error {
    extractor_error(&error.into()).into()
}

fn extractor_error(error: &actix_web::Error) -> ApiError {
    use actix_web::error::{JsonPayloadError, PathError, PayloadError, QueryPayloadError};
    if let Some(PathError::Deserialize(e)) = error.as_error() {
        return ApiError::not_found(format!("nothing stands here: {e}"));
    }
    if let Some(QueryPayloadError::Deserialize(e)) = error.as_error() {
        return ApiError::bad_request("invalid_query", e.to_string());
    }
    match error.as_error::<JsonPayloadError>() {
        Some(JsonPayloadError::Overflow { limit } | JsonPayloadError::OverflowKnownLength { limit, .. }) => return ApiError::too_large(*limit),
        Some(JsonPayloadError::ContentType) => {
            return ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "the body must be application/json");
        }
        Some(JsonPayloadError::Deserialize(e)) => {
            return ApiError::bad_request("invalid_body", e.to_string()).with_details(json!({ "line": e.line(), "column": e.column() }));
        }
        Some(JsonPayloadError::Payload(PayloadError::Io(e))) if e.kind() == std::io::ErrorKind::TimedOut => return ApiError::too_slow(),
        Some(JsonPayloadError::Payload(PayloadError::Overflow)) => return ApiError::too_large(super::JSON_BODY_LIMIT),
        _ => {}
    }
    match error.as_error() {
        Some(PayloadError::Overflow) => return ApiError::too_large(super::JSON_BODY_LIMIT),
        Some(PayloadError::Io(e)) if e.kind() == std::io::ErrorKind::TimedOut => return ApiError::too_slow(),
        _ => {}
    }
    match error.as_response_error().status_code() {
        StatusCode::INTERNAL_SERVER_ERROR => ApiError::internal(error),
        status => {
            let mut told = ApiError::of_status(status);
            told.0.message = error.to_string().into();
            told
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::not_found(format!("there is no {what}")),
            StoreError::Conflict(_) => {
                Self::new(StatusCode::CONFLICT, "conflict", "somebody else changed this at the same time; read it again").because(error)
            }
            StoreError::Full(_) => Self::unavailable("store_full", "the store is full", BUSY_SECONDS).because(error),
            StoreError::Unavailable(_) => Self::unavailable("store_unavailable", "the store cannot be reached just now", BUSY_SECONDS).because(error),
            StoreError::BadCursor(_) => Self::bad_request("invalid_cursor", error.to_string()),
            StoreError::Unusable(_) => Self::unavailable("store_unusable", "the store cannot be used just now", BUSY_SECONDS).because(error),
            StoreError::Refused(_) | StoreError::Broken(_) => Self::internal(error),
        }
    }
}

impl From<OperationError> for ApiError {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::NotFound(what) => Self::not_found(format!("there is no {what}")),
            OperationError::Conflict(message) => Self::new(StatusCode::CONFLICT, "conflict", message),
            OperationError::Invalid { message, problems } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message).with_details(json!({ "problems": problems }))
            }
            OperationError::Unsupported(message) => Self::new(StatusCode::CONFLICT, "unsupported", message),
            OperationError::Busy { message, retry_after } => Self::unavailable("busy", message, retry_after.as_secs()),
            OperationError::Failed(cause) => Self::internal(cause),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownSource => Self::not_found("there is no such source"),
            Refusal::Unauthenticated(message) => {
                let error = Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", message);
                error.with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Webhook realm=\"kubeops\""))
            }
            Refusal::Forbidden(message) => Self::forbidden(message),
            Refusal::TooLarge { limit } => Self::too_large(limit),
            Refusal::Unsupported(message) => Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message),
            Refusal::Malformed { message, line, column } => {
                let mut place = serde_json::Map::new();
                place.extend(line.map(|line| ("line".to_owned(), line.into())));
                place.extend(column.map(|column| ("column".to_owned(), column.into())));
                Self::bad_request("malformed", message).with_details(Value::Object(place))
            }
            Refusal::Busy { message, retry_after } => Self::unavailable("busy", message, retry_after.as_secs()),
            Refusal::Failed(cause) => Self::internal(cause),
        }
    }
}
