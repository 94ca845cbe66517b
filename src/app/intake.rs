//! Glue: a webhook request to its source, and what the source read to the inbox.

use crate::api::{Incoming, Receipt, Receiver, Refusal};
use crate::clock::Clock;
use crate::failpoint;
use crate::ingress::{self, Accepted, Headers, IngressError, SecretLookup, Source};
use crate::pipeline::{InForce, Rules};
use crate::spans;
use crate::store::inbox::{Inbox, InboxCounts};
use crate::store::{Appended, NewDelivery, Store, StoreError};
use crate::types::{DeliveryId, SecretName, SourceName, Timestamp, TraceParent};
use actix_web::http::header::{HeaderMap, HeaderName};
use async_trait::async_trait;
use secrecy::SecretString;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a sender is asked to wait when the inbox or the store is full.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Takes deliveries for the configured sources.
pub struct Intake {
    rules: Arc<Rules>,
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    backlog: Backlog,
    told: Sparing,
}

impl Intake {
    /// An intake that stores through `inbox`, and takes no more while `most` deliveries wait in `store` for their dispatch.
    pub fn new(rules: Arc<Rules>, inbox: Arc<Inbox>, clock: Arc<dyn Clock>, store: Arc<dyn Store>, most: u64) -> Self {
        Self { rules, inbox, clock, backlog: Backlog { store, most, seen: Mutex::new(None) }, told: Sparing::default() }
    }
}

impl Intake {
    /// Stores what `source` was given. `Ok` means it is on disk.
    ///
    /// # Errors
    /// When it was not stored, and why.
    pub async fn store(
        &self,
        source: &Source,
        accepted: Accepted,
        received_at: Timestamp,
        traceparent: Option<TraceParent>,
        body: Vec<u8>,
    ) -> Result<Receipt, Refusal> {
        if self.backlog.is_full(received_at).await.map_err(|error| self.put_off(source, &error, received_at))? {
            let message = format!("{} deliveries wait already; send it again later", self.backlog.most);
            return Err(Refusal::Busy { message, retry_after: RETRY_AFTER });
        }
        let id = DeliveryId::from_parts(received_at, self.clock.random());
        let delivery = NewDelivery {
            id: id.clone(),
            source: source.name().clone(),
            received_at,
            dedup_key: accepted.dedup_key,
            attributes: attributes(accepted.attributes, traceparent),
            body,
            handled: accepted.handled,
        };
        let appended = self.inbox.accept(delivery).await.map_err(|error| self.put_off(source, &error, received_at))?;
        failpoint::hit("inbox.committed");
        Ok(match appended {
            Appended::Duplicate(first) => Receipt::Duplicate(first),
            Appended::New if accepted.handled => Receipt::Accepted(id),
            Appended::New => Receipt::Ignored(id),
        })
    }

    /// Whether to warn that what came from `source` is not as it should be, for the reason `word`; then, of how many it was not warned since.
    pub fn may_warn(&self, source: &SourceName, word: &'static str, now: Timestamp) -> Option<u64> {
        self.told.may_tell(source, word, now)
    }

    /// What a sender is told of a store that did not take a delivery. Where the store is, and as whom it is worked with, is for the log.
    fn put_off(&self, from: &Source, error: &StoreError, now: Timestamp) -> Refusal {
        let message = match error {
            StoreError::Full(_) | StoreError::Conflict(_) => error.to_string(),
            StoreError::Unavailable(_) => "the store cannot be reached just now".to_owned(),
            StoreError::Unusable(_) => "the store cannot be used just now".to_owned(),
            _ => return Refusal::Failed(error.to_string()),
        };
        if let Some(untold) = self.told.may_tell(from.name(), "store", now) {
            tracing::warn!(source = %from.name(), %error, untold, "deliveries are put off: the store does not take them");
        }
        Refusal::Busy { message, retry_after: RETRY_AFTER }
    }

    /// Logs why a delivery was refused, which its sender is not told in full, under the trace id it was told.
    fn tell(&self, from: &Source, incoming: &Incoming<'_>, error: &IngressError) {
        let (source, place, reason) = (from.name(), (incoming.trace)(), error.detail());
        let (trace_id, span_id) = (place.trace_id(), place.span_id());
        let expected = matches!(error, IngressError::Unauthorized(_)).then(|| from.proof_form());
        let expected = expected.as_deref();
        match self.told.may_tell(source, error.word(), incoming.received_at) {
            Some(0) => tracing::warn!(%source, trace_id, span_id, %reason, expected, "a delivery was refused"),
            Some(untold) => tracing::warn!(
                %source, trace_id, span_id, %reason, expected, "a delivery was refused, and {untold} for this reason since the last warning, which are logged at INFO"
            ),
            None => tracing::info!(%source, trace_id, span_id, %reason, expected, "a delivery was refused"),
        }
    }
}

/// How far apart warnings about one source and reason are, in milliseconds: whoever reaches its address must not fill the log.
const TOLD_EVERY_MILLIS: i64 = 5000;

/// When the last warning about each source and reason was, and how many refusals were not warned about since.
#[derive(Default)]
struct Sparing(Mutex<HashMap<Refused, (Timestamp, u64)>>);

/// A source, and the reason why what came to it was refused.
type Refused = (SourceName, &'static str);

impl Sparing {
    /// Whether to warn about this source and reason now; then, how many refusals were passed over since the last time.
    fn may_tell(&self, source: &SourceName, word: &'static str, now: Timestamp) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let about = (source.clone(), word);
        match told.get_mut(&about) {
            Some((at, untold)) if (now.unix_millis() - at.unix_millis()).abs() < TOLD_EVERY_MILLIS => {
                *untold += 1;
                None
            }
            Some((at, untold)) => {
                *at = now;
                Some(std::mem::take(untold))
            }
            None => {
                told.insert(about, (now, 0));
                Some(0)
            }
        }
    }
}

/// How long what the store said of its backlog is believed, in milliseconds.
const BACKLOG_MILLIS: i64 = 1000;

/// The deliveries that wait in the store, looked at once a second.
struct Backlog {
    store: Arc<dyn Store>,
    most: u64,
    seen: Mutex<Option<(Timestamp, bool)>>,
}

impl Backlog {
    /// Whether more wait than may.
    ///
    /// # Errors
    /// When the store lets nobody in: then the write need not wait for the same. Anything else is told by that.
    async fn is_full(&self, now: Timestamp) -> Result<bool, StoreError> {
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            match *seen {
                Some((at, full)) if (now.unix_millis() - at.unix_millis()).abs() < BACKLOG_MILLIS => return Ok(full),
                // The others go by the last answer while this one asks.
                Some((_, full)) => *seen = Some((now, full)),
                None => *seen = Some((now, false)),
            }
        }
        let full = match self.store.stats(now).await {
            Ok(stats) => stats.pending_deliveries >= self.most,
            Err(error @ (StoreError::Unavailable(_) | StoreError::Unusable(_))) => return Err(error),
            Err(_) => false,
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, full));
        Ok(full)
    }
}

/// A web request's headers, where they are.
struct WebHeaders<'a>(&'a HeaderMap);

impl Headers for WebHeaders<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        // Looking a name up by its text makes a header's name of it first, and that allocates; there are a dozen headers.
        self.0.iter().find(|(known, _)| known.as_str().eq_ignore_ascii_case(name)).map(|(_, value)| value.as_bytes())
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        self.0.iter().for_each(|(name, value): (&HeaderName, _)| visit(name.as_str(), value.as_bytes()));
    }
}

/// The secrets that were looked up when the set came into force.
struct Known<'a>(&'a InForce);

impl SecretLookup for Known<'_> {
    fn get(&self, name: &SecretName) -> Option<&SecretString> {
        self.0.secrets.get(name)
    }
}

#[async_trait]
impl Receiver for Intake {
    fn body_limit(&self, source: &str) -> Option<usize> {
        let rules = self.rules.current();
        let limit = sent_to(&rules, source)?.max_body_bytes();
        Some(usize::try_from(limit).unwrap_or(usize::MAX))
    }

    async fn receive(&self, incoming: Incoming<'_>) -> Result<Receipt, Refusal> {
        let rules = self.rules.current();
        let Some(source) = sent_to(&rules, incoming.source) else { return Err(Refusal::UnknownSource) };
        let accepted = source
            .accept(
                &ingress::Incoming {
                    headers: &WebHeaders(incoming.headers),
                    body: &incoming.body,
                    // Over a unix socket without a proxy the sender is on this machine.
                    peer: incoming.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                    received_at: incoming.received_at,
                },
                &Known(&rules),
            )
            .map_err(|error| {
                self.tell(source, &incoming, &error);
                refusal(&error)
            })?;
        self.store(source, accepted, incoming.received_at, incoming.traceparent, incoming.body.into()).await
    }

    fn counts(&self) -> InboxCounts {
        self.inbox.counts()
    }
}

/// The source of this name that senders send to; none that fetches what it is given.
fn sent_to<'a>(rules: &'a InForce, name: &str) -> Option<&'a Arc<Source>> {
    rules.set.sources.get(name).filter(|source| source.subscription().is_none())
}

/// The headers that are kept, with the trace that what is done for the delivery belongs to.
fn attributes(kept: ingress::Attributes, traceparent: Option<TraceParent>) -> serde_json::Value {
    let trace = traceparent.map(|traceparent| (spans::TRACEPARENT.to_owned(), traceparent.to_string()));
    kept.into_iter().chain(trace).map(|(name, value)| (name, serde_json::Value::String(value))).collect()
}

/// What a sender is told of an error of the source.
fn refusal(error: &IngressError) -> Refusal {
    let message = error.to_string();
    match error.refusal() {
        ingress::Refusal::Forbidden => Refusal::Forbidden(message),
        ingress::Refusal::Unauthorized => Refusal::Unauthenticated(message),
        ingress::Refusal::UnsupportedMedia => Refusal::Unsupported(message),
        ingress::Refusal::Unavailable => Refusal::Busy { message, retry_after: RETRY_AFTER },
        ingress::Refusal::TooLarge => match error {
            IngressError::TooLarge { limit, .. } => Refusal::TooLarge { limit: usize::try_from(*limit).unwrap_or(usize::MAX) },
            _ => Refusal::Failed(message),
        },
        ingress::Refusal::Unreadable => {
            let place = match error {
                IngressError::Unreadable { line, column, .. } => Some((*line, *column)),
                _ => None,
            };
            let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
            Refusal::Malformed { message, line: place.map(|(line, _)| number(line)), column: place.map(|(_, column)| number(column)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_warned_about_once_in_a_while_and_told_how_much_was_passed_over() {
        let told = Sparing::default();
        let name = |name: &str| name.parse::<SourceName>().expect("a name");
        let at = Timestamp::from_unix_millis;
        let wrong = "mismatch";
        assert_eq!(told.may_tell(&name("portal"), wrong, at(0)), Some(0));
        assert_eq!(told.may_tell(&name("portal"), wrong, at(1)), None);
        assert_eq!(told.may_tell(&name("portal"), wrong, at(TOLD_EVERY_MILLIS - 1)), None);
        assert_eq!(told.may_tell(&name("jira"), wrong, at(2)), Some(0), "sources do not silence one another");
        assert_eq!(told.may_tell(&name("portal"), "prefix", at(2)), Some(0), "nor does one reason another");
        assert_eq!(told.may_tell(&name("portal"), wrong, at(TOLD_EVERY_MILLIS)), Some(2));
        assert_eq!(told.may_tell(&name("portal"), wrong, at(TOLD_EVERY_MILLIS + 1)), None);
    }
}
