//! One exchange with a channel: bounded in time and size, along no redirect, unjudged but for what asks to wait.
//! No text of an error holds an address's path: a Slack address is a secret.

use super::FeedbackError;
use crate::clock::Clock;
use crate::lease;
use crate::spans;
use crate::types::{Timestamp, is_invisible, with_causes};
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder, redirect};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tracing::Instrument;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// The largest answer read, in bytes: a page of issues with everything in them.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// The longest that a channel's word to wait is taken for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Characters of a channel's own words that are shown.
const MAX_WORDS: usize = 400;

/// Calls one channel.
pub(super) struct Http {
    client: Client,
    /// The channel, for people.
    pub(super) channel: String,
    pub(super) clock: Arc<dyn Clock>,
    /// Until when nobody is called, as the channel asked.
    held: Mutex<Option<Timestamp>>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Http {
    /// Calls to the channel, which people know as `channel`; `local` when it is on this machine.
    ///
    /// # Errors
    /// [`FeedbackError::Setup`] when the machine has no trusted certificates.
    pub(super) fn new(channel: String, local: bool, clock: Arc<dyn Clock>, timeout: Duration) -> Result<Self, FeedbackError> {
        let builder = Client::builder()
            .user_agent(concat!("kubeops/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .connector_layer(lease::Asked)
            .timeout(timeout)
            .redirect(redirect::Policy::none())
            .referer(false);
        let builder = if local { builder.no_proxy() } else { builder };
        match builder.build() {
            Ok(client) => Ok(Self { client, channel, clock, held: Mutex::default() }),
            Err(error) => Err(FeedbackError::Setup { channel, message: brief(error) }),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Makes the call and waits for the whole answer.
    ///
    /// # Errors
    /// When none came, or the channel asks to wait: now, or in an answer before.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, FeedbackError> {
        self.check()?;
        let request = request.build().map_err(|error| self.setup(brief(error)))?;
        let span = spans::http_client(request.method().as_str(), request.url());
        let exchange = async {
            let called = lease::call(self.client.execute(request)).await.map_err(|lost| self.unavailable(lost.to_string()))?;
            let response = called.map_err(|error| self.unavailable(brief(error)))?;
            self.read(response).await
        };
        let answer = exchange.instrument(span.clone()).await;
        spans::http_answered(&span, answer.as_ref().ok().map(|answer| answer.status));
        let answer = answer?;
        let retry_after = answer.wait(self.clock.now());
        if !matches!(answer.status, 429 | 503) {
            return Ok(answer);
        }
        if let Some(wait) = retry_after {
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.now().plus(wait));
        }
        let (channel, message) = (self.channel.clone(), format!("status {}", answer.status));
        Err(match answer.status {
            429 => FeedbackError::Limited { channel, retry_after, message },
            _ => FeedbackError::Unavailable { channel, retry_after, message },
        })
    }

    /// Whether the channel may be called now.
    fn check(&self) -> Result<(), FeedbackError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let left = held.map(|until| until.since(self.clock.now())).filter(|left| !left.is_zero());
        let Some(left) = left else {
            *held = None;
            return Ok(());
        };
        let message = "it said so a moment ago".to_owned();
        Err(FeedbackError::Limited { channel: self.channel.clone(), retry_after: Some(left), message })
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Answer, FeedbackError> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unavailable(brief(error)))? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(self.unavailable(format!("its answer has more than {MAX_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }

    pub(super) fn setup(&self, message: impl Into<String>) -> FeedbackError {
        FeedbackError::Setup { channel: self.channel.clone(), message: message.into() }
    }

    pub(super) fn unavailable(&self, message: impl Into<String>) -> FeedbackError {
        FeedbackError::Unavailable { channel: self.channel.clone(), message: message.into(), retry_after: None }
    }

    pub(super) fn invalid(&self, message: impl Into<String>) -> FeedbackError {
        FeedbackError::Invalid { channel: self.channel.clone(), message: message.into() }
    }

    /// What an answer of a notified channel means that is no success and did not ask to wait.
    pub(super) fn refused(&self, status: u16, message: String) -> FeedbackError {
        let channel = self.channel.clone();
        match status {
            401 => FeedbackError::Unauthorised { channel, message },
            403 => FeedbackError::Forbidden { channel, message },
            404 | 410 => FeedbackError::Gone { channel, message },
            300..=399 => self.setup(format!("it leads to another address, which is not followed ({message}); name that one")),
            408 | 425 | 500..=599 => self.unavailable(message),
            _ => self.invalid(message),
        }
    }
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.body.iter().all(u8::is_ascii_whitespace)
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body where it is one short word, as Slack answers.
    pub(super) fn word(&self) -> Option<&str> {
        let word = std::str::from_utf8(&self.body).ok()?.trim();
        ((1..=60).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')).then_some(word)
    }

    /// How long the channel asks to wait: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), or Atlassian's `X-RateLimit-Reset`.
    fn wait(&self, now: Timestamp) -> Option<Duration> {
        let until = |moment: Timestamp| moment.since(now);
        let retry_after = self.header("retry-after").map(str::trim).and_then(|text| match text.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok().map(|at| until(moment(at.unix_timestamp()))),
        });
        let reset = || {
            let text = self.header("x-ratelimit-reset")?.trim();
            match text.parse::<i64>() {
                Ok(seconds) => Some(until(moment(seconds))),
                Err(_) => minute(text).map(until),
            }
        };
        retry_after.or_else(reset).map(|wait| wait.min(LONGEST_WAIT))
    }
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(seconds.saturating_mul(1000))
}

/// A moment as Atlassian writes it, with seconds or without: `2026-11-20T12:00Z`.
fn minute(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| text.strip_suffix('Z').and_then(|minute| format!("{minute}:00Z").parse().ok()))
}

/// A channel's words as they are shown: on one line, without what cannot be seen, bounded.
pub(super) fn shown(words: &str) -> String {
    let line: String = words.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !is_invisible(*c)).collect();
    super::markdown::cut(line.trim(), MAX_WORDS)
}

/// An error of the HTTP client on one line, without the address.
fn brief(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    shown(&with_causes(&error))
}
