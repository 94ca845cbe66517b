//! Spans to a collector: OTLP over HTTP in protobuf, in batches, by one task that nobody waits for.
//! A collector that is away or slow costs spans, never work: what waits is bounded, each call is, and so is how often it is tried.
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

use super::traces::{TraceCounts, TraceOptions};
use crate::types::with_causes;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use percent_encoding::percent_decode_str;
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

/// An export waits for no further spans once it has so many: the specification's default.
const BATCH: usize = 512;
/// How often one batch is tried.
const TRIES: u32 = 5;
/// Between two tries at first, and at most, also where the collector asks for more.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// The largest answer read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Gives the headers of `OTEL_EXPORTER_OTLP_HEADERS`, freshly at each export; none where there are none. Its error is text without a secret.
pub type HeaderSource = Arc<dyn Fn() -> Result<Option<SecretString>, String> + Send + Sync>;

/// Exports what comes through the queue. Made with the subscriber, run where there is a runtime.
pub struct Exporter {
    /// Each message goes in one export.
    queue: mpsc::Receiver<Vec<SpanData>>,
    counts: Arc<TraceCounts>,
    resource: ResourceAttributesWithSchema,
    endpoint: String,
    delay: Duration,
    timeout: Duration,
}

/// What became of one try.
enum Tried {
    Done { rejected: u64 },
    Later { why: String, after: Option<Duration> },
    Refused(String),
}

impl Exporter {
    pub(super) fn new(options: &TraceOptions, resource: &Resource, queue: mpsc::Receiver<Vec<SpanData>>, counts: Arc<TraceCounts>) -> Self {
        let TraceOptions { endpoint, delay, timeout, .. } = options.clone();
        Self { queue, counts, resource: resource.into(), endpoint, delay, timeout }
    }

    /// What became of spans so far; it goes on counting.
    pub fn counts(&self) -> Arc<TraceCounts> {
        Arc::clone(&self.counts)
    }

    /// Exports until `stopped` becomes true, and then what still waits, each batch once; a call under way is given up.
    /// Whoever stops it bounds that wait.
    pub async fn run(mut self, headers: HeaderSource, mut stopped: watch::Receiver<bool>) {
        let client = match client(self.timeout, &self.endpoint) {
            Ok(client) => client,
            Err(reason) => return tracing::error!(%reason, "traces cannot be exported"),
        };
        let mut away = false;
        let mut batch = Vec::new();
        while self.gather(&mut batch, &mut stopped).await {
            let spans = std::mem::take(&mut batch);
            let many = spans.len() as u64;
            let body = self.encoded(spans);
            let tried = self.deliver(&client, &headers, &body, &mut stopped).await;
            self.counts.waiting.fetch_sub(many, Ordering::Relaxed);
            self.note(many, tried, &mut away);
        }
    }

    /// The next batch; false when the process stops and nothing waits any more.
    async fn gather(&mut self, batch: &mut Vec<SpanData>, stopped: &mut watch::Receiver<bool>) -> bool {
        let mut until = None::<Instant>;
        while batch.len() < BATCH {
            if *stopped.borrow() {
                while batch.len() < BATCH {
                    let Ok(together) = self.queue.try_recv() else { break };
                    batch.extend(together);
                }
                return !batch.is_empty();
            }
            let full = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = stopped.changed() => if changed.is_err() { return false },
                () = full => return true,
                together = self.queue.recv() => match together {
                    Some(together) => {
                        batch.extend(together);
                        until.get_or_insert_with(|| Instant::now() + self.delay);
                    }
                    None => return !batch.is_empty(),
                },
            }
        }
        true
    }

    fn encoded(&self, spans: Vec<SpanData>) -> Vec<u8> {
        ExportTraceServiceRequest { resource_spans: group_spans_by_resource_and_scope(spans, &self.resource) }.encode_to_vec()
    }

    /// Tries until it is done, refused, or was tried often enough.
    async fn deliver(&self, client: &Client, headers: &HeaderSource, body: &[u8], stopped: &mut watch::Receiver<bool>) -> Tried {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let stopping = *stopped.borrow() || stopped.has_changed().is_err();
            let call = self.call(client, headers, body.to_vec());
            let tried = if stopping {
                call.await
            } else {
                tokio::select! {
                    tried = call => tried,
                    // Once more, and briefly: what was sent may have arrived, and a collector that hears it twice has it once.
                    _ = stopped.wait_for(|stopped| *stopped) => continue,
                }
            };
            match tried {
                Tried::Later { after, .. } if attempt < TRIES && !stopping => {
                    let wait = after.unwrap_or(pause).min(LONGEST_PAUSE);
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                    let _ = timeout(wait, stopped.wait_for(|stopped| *stopped)).await;
                }
                tried => return tried,
            }
        }
        Tried::Later { why: "it was tried often enough".to_owned(), after: None }
    }

    async fn call(&self, client: &Client, headers: &HeaderSource, body: Vec<u8>) -> Tried {
        let headers = match headers().and_then(|given| given.map_or_else(|| Ok(HeaderMap::new()), |given| read_headers(&given))) {
            Ok(headers) => headers,
            Err(problem) => return Tried::Refused(format!("OTEL_EXPORTER_OTLP_HEADERS cannot be used: {problem}")),
        };
        let request = client.post(&self.endpoint).headers(headers).header(CONTENT_TYPE, "application/x-protobuf").body(body);
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Tried::Later { why: brief(error), after: None },
        };
        let status = response.status().as_u16();
        match status {
            200..=299 => {
                let mut answer = Vec::new();
                while let Ok(Some(chunk)) = response.chunk().await {
                    if answer.len() + chunk.len() > MAX_ANSWER {
                        break;
                    }
                    answer.extend_from_slice(&chunk);
                }
                // What it says beside its status is said by courtesy: unreadable, it says nothing.
                let told = ExportTraceServiceResponse::decode(answer.as_slice()).ok().and_then(|answer| answer.partial_success);
                Tried::Done { rejected: told.map_or(0, |told| u64::try_from(told.rejected_spans).unwrap_or(0)) }
            }
            429 | 502..=504 => {
                let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse().ok());
                Tried::Later { why: format!("status {status}"), after: after.map(Duration::from_secs) }
            }
            _ => Tried::Refused(format!("status {status}")),
        }
    }

    /// Counts, and tells the log when that begins to fail and when it goes well again.
    fn note(&self, many: u64, tried: Tried, away: &mut bool) {
        let add = |counter: &AtomicU64, many: u64| counter.fetch_add(many, Ordering::Relaxed);
        let why = match tried {
            Tried::Done { rejected } => {
                let rejected = rejected.min(many);
                add(&self.counts.exported, many - rejected);
                add(&self.counts.refused, rejected);
                if std::mem::take(away) {
                    tracing::info!("traces are exported again");
                }
                return;
            }
            Tried::Later { why, .. } => {
                add(&self.counts.unreachable, many);
                why
            }
            Tried::Refused(why) => {
                add(&self.counts.refused, many);
                why
            }
        };
        if !std::mem::replace(away, true) {
            tracing::warn!(reason = %why, "traces cannot be exported; what waits too long is dropped and counted in kubeops_trace_spans_total");
        }
    }
}

fn client(timeout: Duration, endpoint: &str) -> Result<Client, String> {
    let builder = Client::builder()
        .user_agent(concat!("kubeops/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT.min(timeout))
        .timeout(timeout)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false);
    let is_here = url::Url::parse(endpoint).is_ok_and(|url| crate::types::is_loopback(&url));
    let builder = if is_here { builder.no_proxy() } else { builder };
    builder.build().map_err(brief)
}

/// `name=value,name=value`, values percent-encoded. <https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables>
fn read_headers(given: &SecretString) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (place, entry) in given.expose_secret().split(',').map(str::trim).enumerate().filter(|(_, entry)| !entry.is_empty()) {
        // Of a header that cannot be read nothing is shown: it may be a secret that lost its name.
        let wrong = || format!("its entry {} is no `name=value`", place + 1);
        let (name, value) = entry.split_once('=').ok_or_else(wrong)?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let mut value = HeaderValue::from_bytes(&Cow::from(percent_decode_str(value.trim()))).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// An error of the HTTP client on one line, without the address.
fn brief(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() { "no answer in time".to_owned() } else { with_causes(&error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_specification_writes_them() {
        let read = |text: &str| read_headers(&SecretString::from(text));
        let headers = read("authorization=Basic%20YTpi, x-scope = team-a,,bare=a%zz%").expect("headers");
        assert_eq!(headers["authorization"], "Basic YTpi");
        assert_eq!(headers["x-scope"], "team-a");
        assert_eq!(headers["bare"], "a%zz%");
        assert!(headers.values().all(HeaderValue::is_sensitive));
        for bad in ["s3cret", "a=b,s3cret", "s3cr et=x", "x=s3cret%0a"] {
            let problem = read(bad).expect_err(bad);
            assert!(!problem.contains("s3cr"), "{problem}");
        }
    }
}
