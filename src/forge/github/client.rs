//! One call to GitHub: octocrab carries it; status, headers and body are judged here, because octocrab loses the headers
//! of secondary limits and the status of pages that are no JSON. The token stands in a header marked sensitive, nowhere else.

use super::wire::WireError;
use crate::clock::Clock;
use crate::forge::ForgeError;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is left of the primary rate limit, by the last answer.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateBudget {
    /// Calls allowed in the window.
    pub limit: u64,
    /// Calls left in the window.
    pub remaining: u64,
    /// When the window ends, in seconds since the Unix epoch.
    pub reset: u64,
}

/// GitHub's windows last an hour; what asks for more is a mistake, or a proxy's, and must not park a request for years.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Where the token of the moment comes from. The error is shown to people and must hold no secret.
pub type TokenSource = Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>;

pub(super) struct Client {
    pub(super) forge: String,
    pub(super) octocrab: octocrab::Octocrab,
    pub(super) token: TokenSource,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timeout: Duration,
    pub(super) budget: Mutex<Option<RateBudget>>,
}

impl Client {
    /// Calls GitHub and reads the answer as `T`.
    pub(super) async fn call<T: DeserializeOwned>(&self, method: Method, route: &str, body: Option<&serde_json::Value>) -> Result<T, ForgeError> {
        let text = self.text(method, route, body).await?;
        // A cut or foreign answer: the effect may have happened, and the next attempt will find it.
        serde_json::from_str(&text)
            .map_err(|error| self.unreachable(format!("its answer makes no sense: {:?} at line {}", error.classify(), error.line())))
    }

    /// Calls GitHub and tells a good answer's body.
    async fn text(&self, method: Method, route: &str, body: Option<&serde_json::Value>) -> Result<String, ForgeError> {
        let answer = tokio::time::timeout(self.timeout, self.exchange(method, route, body));
        let (status, headers, text) = match answer.await {
            Ok(answer) => answer?,
            Err(_) => return Err(self.unreachable(format!("no answer within {} s", self.timeout.as_secs_f32()))),
        };
        self.note_budget(&headers);
        if status.is_success() { Ok(text) } else { Err(self.judge(status, &headers, &text)) }
    }

    pub(super) fn budget(&self) -> Option<RateBudget> {
        *self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(&self, method: Method, route: &str, body: Option<&serde_json::Value>) -> Result<(StatusCode, HeaderMap, String), ForgeError> {
        let setup = |message: String| ForgeError::Setup { forge: self.forge.clone(), message };
        let token = (self.token)().map_err(|message| setup(format!("there is no token: {message}")))?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
            .map_err(|_| setup("the token holds characters that no token has".to_owned()))?;
        authorization.set_sensitive(true);
        let request = http::Request::builder()
            .method(method)
            .uri(route)
            .header(AUTHORIZATION, authorization)
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        let request = self.octocrab.build_request(request, body).map_err(|error| setup(brief(&error)))?;
        let response = self.octocrab.send(request).await.map_err(|error| self.unreachable(brief(&error)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = self.octocrab.body_to_string(response).await.map_err(|error| self.unreachable(brief(&error)))?;
        Ok((status, headers, text))
    }

    /// What a refusal means.
    fn judge(&self, status: StatusCode, headers: &HeaderMap, body: &str) -> ForgeError {
        let forge = self.forge.clone();
        let words = WireError::read(body).words();
        let message = if words.is_empty() { format!("status {}", status.as_u16()) } else { words };
        if let Some(retry_after) = self.limited(status, headers, &message) {
            return ForgeError::Limited { forge, retry_after: Some(retry_after), message };
        }
        match status.as_u16() {
            401 => ForgeError::Unauthorised { forge, message },
            403 | 451 => ForgeError::Forbidden { forge, message },
            404 | 410 | 301 | 302 | 307 | 308 => ForgeError::NotFound { forge, message },
            408 | 409 | 425 | 500..=599 => ForgeError::Unreachable { forge, message },
            _ => ForgeError::Refused { forge, message },
        }
    }

    /// How long to wait, when this is a rate limit: what the answer says, else what GitHub's rules say (a minute). At most
    /// [`LONGEST_WAIT`]: the next attempt asks again.
    fn limited(&self, status: StatusCode, headers: &HeaderMap, message: &str) -> Option<Duration> {
        self.limit_told(status, headers, message).map(|wait| wait.min(LONGEST_WAIT))
    }

    fn limit_told(&self, status: StatusCode, headers: &HeaderMap, message: &str) -> Option<Duration> {
        if !matches!(status.as_u16(), 403 | 429) {
            return None;
        }
        if let Some(seconds) = number(headers, "retry-after") {
            return Some(Duration::from_secs(seconds));
        }
        if number(headers, "x-ratelimit-remaining") == Some(0) {
            let now = u64::try_from(self.clock.now().unix_seconds()).unwrap_or(0);
            let reset = number(headers, "x-ratelimit-reset").unwrap_or(now.saturating_add(60));
            return Some(Duration::from_secs(reset.saturating_sub(now).max(1)));
        }
        let message = message.to_ascii_lowercase();
        let secondary = ["rate limit", "abuse detection", "temporarily blocked"].iter().any(|words| message.contains(words));
        (secondary || status == StatusCode::TOO_MANY_REQUESTS).then_some(Duration::from_secs(60))
    }

    fn note_budget(&self, headers: &HeaderMap) {
        let read = |name| number(headers, name);
        if let (Some(limit), Some(remaining), Some(reset)) = (read("x-ratelimit-limit"), read("x-ratelimit-remaining"), read("x-ratelimit-reset")) {
            *self.budget.lock().unwrap_or_else(PoisonError::into_inner) = Some(RateBudget { limit, remaining, reset });
        }
    }

    fn unreachable(&self, message: String) -> ForgeError {
        ForgeError::Unreachable { forge: self.forge.clone(), message }
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// An octocrab error on one line: its own text holds a backtrace.
fn brief(error: &octocrab::Error) -> String {
    let mut text = error.to_string().lines().next().unwrap_or_default().to_owned();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string().lines().next().unwrap_or_default().to_owned();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    crate::forge::cut(&text, 400)
}
