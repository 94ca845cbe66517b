//! One call of a provider: one attempt, bounded in time and size, along no redirect, and no error that holds what was said.

use super::ModelError;
use crate::clock::Clock;
use crate::lease;
use crate::types::{Timestamp, with_causes};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, redirect, retry};
use serde_json::Value;
use serde_json::error::Category;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use url::Url;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// The largest answer read, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// The longest a provider's word to wait is taken for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The words providers give for a refusal that are shown. A word that is on no list may repeat what was said.
const CODES: &[&str] = &[
    "api_error",
    "authentication_error",
    "billing_error",
    "content_filter",
    "context_length_exceeded",
    "insufficient_quota",
    "invalid_api_key",
    "invalid_function_parameters",
    "invalid_request_error",
    "model_not_found",
    "not_found_error",
    "overloaded_error",
    "permission_error",
    "rate_limit_error",
    "rate_limit_exceeded",
    "request_too_large",
    "tokens",
    "unsupported_parameter",
    "unsupported_value",
    "BadRequestError",
    "NotFoundError",
    "FAILED_PRECONDITION",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
];

/// Calls one address.
pub(super) struct Http {
    client: Client,
    url: Url,
    /// The address for people.
    place: String,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl Http {
    /// Calls of `url`, each of which may take `timeout` in all.
    ///
    /// # Errors
    /// [`ModelError::NotConfigured`] when the machine has no trusted certificates.
    pub(super) fn new(url: Url, timeout: Duration, clock: Arc<dyn Clock>) -> Result<Self, ModelError> {
        let builder = Client::builder()
            .user_agent(concat!("kubeops/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .connector_layer(lease::Asked)
            .timeout(timeout)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false);
        let builder = if crate::types::is_loopback(&url) { builder.no_proxy() } else { builder };
        let client = builder.build().map_err(|error| ModelError::NotConfigured(format!("no model can be called: {}", brief(error))))?;
        let mut shown = url.clone();
        shown.set_query(None);
        Ok(Self { client, place: shown.to_string(), url, timeout, clock })
    }

    /// The address for people.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Who is called.
    pub(super) fn host(&self) -> Option<&str> {
        self.url.host_str()
    }

    /// Sends `body` with `headers`, and gives the JSON of an answer that is a success.
    ///
    /// # Errors
    /// For everything else.
    pub(super) async fn post(&self, headers: Vec<(HeaderName, HeaderValue)>, body: &Value) -> Result<Value, ModelError> {
        let request = self.client.post(self.url.clone()).headers(headers.into_iter().collect()).json(body);
        let lost = |lost: lease::Lost| ModelError::NotReached { place: self.place.clone(), reason: lost.to_string() };
        let response = lease::call(request.send()).await.map_err(lost)?.map_err(|error| self.transport(error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        tracing::debug!(place = self.place, status, "a model answered");
        match status {
            200..=299 => {}
            300..=399 => {
                let place = &self.place;
                return Err(ModelError::NotConfigured(format!(
                    "the model at {place} leads to another address (HTTP {status}), which is not followed"
                )));
            }
            _ => return Err(self.refusal(status, &headers, self.read(response).await.unwrap_or_default())),
        }
        if !headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is_json) {
            return Err(self.unreadable("it does not say that it is JSON"));
        }
        serde_json::from_slice(&self.read(response).await?).map_err(|error| self.unreadable(why(&error)))
    }

    /// An answer that is none.
    pub(super) fn unreadable(&self, reason: impl Into<String>) -> ModelError {
        ModelError::Unreadable { place: self.place.clone(), reason: reason.into() }
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, ModelError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(self.unreadable(format!("it has more than {MAX_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// No answer, or half of one.
    fn transport(&self, error: reqwest::Error) -> ModelError {
        let place = self.place.clone();
        match (error.is_connect(), error.is_timeout()) {
            (true, _) => ModelError::NotReached { place, reason: brief(error) },
            (false, true) => ModelError::TimedOut { place, within: self.timeout },
            (false, false) => ModelError::Unreachable { place, reason: brief(error) },
        }
    }

    fn refusal(&self, status: u16, headers: &HeaderMap, body: Vec<u8>) -> ModelError {
        let place = self.place.clone();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status {
            408 | 425 | 429 | 500..=599 => {
                let retry_after = retry_after(headers, self.clock.now()).or_else(|| retry_info(&body)).map(|wait| wait.min(LONGEST_WAIT));
                ModelError::Busy { place, status, retry_after }
            }
            _ => ModelError::Refused { place, status, code: code(&body), hint: None },
        }
    }
}

/// Whether a content type is JSON's.
fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// The provider's word for a refusal: `error.code` or `error.type` (OpenAI, xAI), `error.type` (Anthropic), `error.status` (Google).
fn code(body: &Value) -> Option<String> {
    let words = ["code", "type", "status"].into_iter().filter_map(|field| body["error"][field].as_str());
    words.filter(|word| CODES.contains(word)).map(str::to_owned).next()
}

/// `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok()?;
    Some(Timestamp::from_unix_millis(at.unix_timestamp().saturating_mul(1000)).since(now))
}

/// Google's word to wait: `retryDelay` of a `google.rpc.RetryInfo`, as `37s`.
fn retry_info(body: &Value) -> Option<Duration> {
    let delay = body["error"]["details"].as_array()?.iter().find_map(|detail| detail["retryDelay"].as_str())?;
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Where JSON is broken, without the text.
pub(super) fn why(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        Category::Eof => "it ends in the middle of its JSON",
        _ => "it is no JSON",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

/// An error of the HTTP client on one line, without the address.
pub(super) fn brief(error: reqwest::Error) -> String {
    with_causes(&error.without_url())
}
