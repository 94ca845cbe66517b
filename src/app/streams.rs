//! Glue: messages of streams to the inbox. One task for each source that fetches, beside the server, in every process: they share a consumer.
//! A message is acknowledged only after it is on disk; whatever ends before that has it delivered again, and the store knows it.

mod running;

use super::intake::Intake;
use crate::api::{Receipt, Refusal, StreamView};
use crate::clock::Clock;
use crate::failpoint;
use crate::ingress::{Headers, IngressError, Source, Subscription};
use crate::pipeline::{InForce, Rules};
use crate::secrets::SecretProvider;
use crate::spans;
use crate::stream::{Link, Message, Settlement, StreamError};
use crate::telemetry::Metrics;
use crate::types::{DeliveryId, ErrorClass, SecretName, SourceName, Timestamp, TraceParent};
use futures_util::FutureExt;
use futures_util::future::join_all;
use running::Running;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tracing::field::Empty;
use tracing::{Instrument, Span};

/// How often it is looked whether other sources are in force.
const TICK: Duration = Duration::from_millis(500);
/// The shortest and the longest time between two attempts to connect.
const RETRIES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// When a message is delivered again that could not be stored.
const LATER: Duration = Duration::from_secs(5);
/// How long nothing is fetched after the store did not take something.
const PAUSE: Duration = Duration::from_secs(1);
/// How far apart looks at how a consumer stands are, in milliseconds.
const LOOK_MILLIS: i64 = 10_000;

/// How the connections of this process stand, by source.
#[derive(Default)]
pub struct Standings(Mutex<BTreeMap<SourceName, StreamView>>);

impl Standings {
    /// How that of a source stands; none before the first attempt.
    pub fn of(&self, source: &SourceName) -> Option<StreamView> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(source).cloned()
    }

    fn change(&self, source: &SourceName, change: impl FnOnce(&mut StreamView)) {
        change(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(source.clone()).or_default());
    }

    fn forget(&self, source: &SourceName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(source);
    }
}

/// Fetches, for all sources in force that do.
pub struct Streams {
    /// The resources in force.
    pub rules: Arc<Rules>,
    /// Where messages go.
    pub intake: Arc<Intake>,
    /// Looked up anew for each connection.
    pub secrets: Arc<dyn SecretProvider>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is told.
    pub standings: Arc<Standings>,
}

/// What a task fetches, and with what: another one takes its place when that changes.
#[derive(Clone, PartialEq)]
struct Fetched {
    subscription: Subscription,
    /// SHA-256 over the secrets, so that a rotated one is taken up.
    secrets: [u8; 32],
}

impl Streams {
    /// Follows the resources in force until `stop` says true; then every message in hand is stored and acknowledged.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut running = Running::new();
        let mut followed: Option<Arc<InForce>> = None;
        while !*stop.borrow() {
            let rules = self.rules.current();
            let changed = followed.as_ref().is_none_or(|followed| !Arc::ptr_eq(followed, &rules));
            if changed || running.any_ended() {
                self.follow(&rules, &mut running);
                followed = Some(rules);
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                _ = stop.changed() => {}
            }
        }
        running.end().await;
    }

    /// Ends what is fetched no more, or in another way, and begins what is new.
    fn follow(self: &Arc<Self>, rules: &InForce, running: &mut Running<Fetched>) {
        let wanted: HashMap<SourceName, Fetched> = rules.set.sources.values().filter_map(|source| fetched(rules, source)).collect();
        running.follow(&wanted, |name, fetched, stop| {
            let (this, name) = (Arc::clone(self), name.clone());
            match fetched {
                Some(fetched) => this.fetch(name, fetched.subscription, stop).boxed(),
                None => async move { this.forget(&name) }.boxed(),
            }
        });
    }

    fn forget(&self, name: &SourceName) {
        self.standings.forget(name);
        self.metrics.forget_stream(name.as_str());
    }

    /// Fetches from one stream until `stop` says true, over as many connections as it takes.
    async fn fetch(self: Arc<Self>, name: SourceName, subscription: Subscription, mut stop: watch::Receiver<bool>) {
        let mut wait = RETRIES.0;
        let mut told: Option<String> = None;
        while !*stop.borrow() {
            let begun = self.clock.uptime();
            let Err(error) = self.over_one_connection(&name, &subscription, &mut stop).await else { break };
            self.metrics.stream_connected(name.as_str(), false);
            self.tell(&name, &error, &mut told);
            // A connection that held for a while starts anew at the shortest time.
            if self.clock.uptime().saturating_sub(begun) > RETRIES.1 {
                (wait, told) = (RETRIES.0, None);
            }
            tokio::select! {
                () = tokio::time::sleep(self.jittered(wait)) => {}
                _ = stop.changed() => {}
            }
            wait = (wait * 2).min(RETRIES.1);
        }
        self.metrics.stream_connected(name.as_str(), false);
    }

    async fn over_one_connection(&self, name: &SourceName, subscription: &Subscription, stop: &mut watch::Receiver<bool>) -> Result<(), StreamError> {
        let secret = |secret: &SecretName| self.secrets.secret(secret).map_err(|error| error.to_string());
        let mut link = tokio::select! {
            link = Link::open(name, subscription, &secret) => link?,
            _ = stop.changed() => return Ok(()),
        };
        let since = self.clock.now();
        tracing::info!(source = %name, stream = subscription.stream, consumer = subscription.consumer, "messages are fetched");
        self.metrics.stream_connected(name.as_str(), true);
        self.standings.change(name, |view| *view = StreamView { connected: true, since: Some(since), error: None, ..view.clone() });
        self.look(name, &link).await;
        let mut looked = since;
        while !*stop.borrow() {
            let messages = tokio::select! {
                messages = link.next() => messages?,
                _ = stop.changed() => continue,
            };
            let all_stored = self.take(name, &messages).await;
            let now = self.clock.now();
            if (now.unix_millis() - looked.unix_millis()).abs() >= LOOK_MILLIS {
                looked = now;
                self.look(name, &link).await;
            }
            if !all_stored {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    _ = stop.changed() => {}
                }
            }
        }
        link.close().await;
        Ok(())
    }

    /// Stores messages together and settles each; false when the store did not take one.
    async fn take(&self, name: &SourceName, messages: &[Message]) -> bool {
        let rules = self.rules.current();
        let Some(source) = rules.set.sources.get(name) else {
            // It is about to be ended: whoever fetches it then has them at once.
            join_all(messages.iter().map(|message| self.settle(name, message, Settlement::Later(Duration::ZERO)))).await;
            return true;
        };
        join_all(messages.iter().map(|message| self.take_one(source, message))).await.into_iter().all(|stored| stored)
    }

    /// Takes one message, in a span of its publisher's trace where it names one. There is a span only where traces are exported.
    async fn take_one(&self, source: &Source, message: &Message) -> bool {
        let given = trace_of(message);
        let span = tracing::debug_span!(
            parent: None,
            "receive",
            otel.kind = "consumer",
            messaging.system = "nats",
            messaging.operation.type = "receive",
            kubeops.source = %source.name(),
            kubeops.delivery.id = Empty,
        );
        spans::child_of(&span, given);
        let trace = spans::to_be_stored(given, spans::place_of(&span));
        self.store_and_settle(source, message, trace).instrument(span).await
    }

    async fn store_and_settle(&self, source: &Source, message: &Message, trace: Option<TraceParent>) -> bool {
        let (name, now) = (source.name(), self.clock.now());
        if message.is_redelivered() {
            self.metrics.stream_redelivered(name.as_str());
        }
        let too_large = u64::try_from(message.body().len()).unwrap_or(u64::MAX) > source.max_body_bytes();
        let body: &[u8] = if too_large { &[] } else { message.body() };
        let filed = source.file(&message.headers(too_large), body, now);
        let stored = self.intake.store(source, filed.accepted, now, trace, body.to_vec()).await;
        if let Ok(receipt) = &stored {
            Span::current().record("kubeops.delivery.id", receipt.id().as_str());
        }
        let (word, settlement) = match (stored, &filed.unreadable) {
            (Ok(Receipt::Duplicate(_)), _) => ("duplicate", Settlement::Done),
            (Ok(receipt), Some(reason)) => {
                self.tell_unreadable(name, receipt.id(), message, reason, now);
                ("unreadable", Settlement::Ended)
            }
            (Ok(Receipt::Ignored(_)), None) => ("ignored", Settlement::Done),
            (Ok(Receipt::Accepted(_)), None) => ("accepted", Settlement::Done),
            (Err(Refusal::Busy { message: reason, .. }), _) => {
                tracing::debug!(source = %name, reason, "a message is not stored now; it is delivered again");
                ("busy", Settlement::Later(LATER))
            }
            (Err(refusal), _) => {
                tracing::error!(source = %name, sequence = message.sequence(), ?refusal, "a message was not stored; it is delivered again");
                ("failed", Settlement::Later(LATER))
            }
        };
        match settlement {
            Settlement::Later(_) => spans::failed_as(&Span::current(), word),
            Settlement::Done | Settlement::Ended => failpoint::hit("stream.stored"),
        }
        self.metrics.delivery(name.as_str(), word);
        self.settle(name, message, settlement).await;
        !matches!(settlement, Settlement::Later(_))
    }

    /// Logs why a message cannot be read; warns once in a while, so that a publisher cannot fill the log.
    fn tell_unreadable(&self, source: &SourceName, delivery: &DeliveryId, message: &Message, reason: &IngressError, now: Timestamp) {
        let sequence = message.sequence();
        match self.intake.may_warn(source, reason.word(), now) {
            Some(0) => tracing::warn!(%source, %delivery, sequence, %reason, "a message cannot be read; it is kept, and not delivered again"),
            Some(untold) => tracing::warn!(
                %source, %delivery, sequence, %reason, "a message cannot be read, and {untold} for this reason since the last warning, which are logged at INFO; they are kept"
            ),
            None => tracing::info!(%source, %delivery, sequence, %reason, "a message cannot be read; it is kept, and not delivered again"),
        }
    }

    async fn settle(&self, name: &SourceName, message: &Message, settlement: Settlement) {
        if let Err(error) = message.settle(settlement).await {
            tracing::debug!(source = %name, sequence = message.sequence(), %error, "NATS was not told; the message may be delivered again, and is known then");
        }
    }

    async fn look(&self, name: &SourceName, link: &Link) {
        match link.standing().await {
            Ok(standing) => {
                self.metrics.stream_standing(name.as_str(), standing.pending, standing.unacknowledged);
                self.standings.change(name, |view| {
                    (view.pending, view.unacknowledged, view.redelivered) = (standing.pending, standing.unacknowledged, standing.redelivered);
                });
            }
            Err(error) => tracing::debug!(source = %name, %error, "how the consumer stands is not told"),
        }
    }

    /// Logs once why nothing can be fetched, and says it wherever sources are listed.
    fn tell(&self, name: &SourceName, error: &StreamError, told: &mut Option<String>) {
        let words = error.to_string();
        let since = self.clock.now();
        self.standings.change(name, |view| {
            let since = if view.connected || view.since.is_none() { Some(since) } else { view.since };
            *view = StreamView { connected: false, since, error: Some(words.clone()), ..view.clone() };
        });
        if told.replace(words.clone()).is_some_and(|before| before == words) {
            return tracing::debug!(source = %name, error = words, "messages still cannot be fetched");
        }
        match error.class() {
            ErrorClass::Transient => tracing::warn!(source = %name, error = words, "messages cannot be fetched now; it is tried again"),
            _ => tracing::error!(source = %name, error = words, "messages cannot be fetched; somebody has to see to it"),
        }
    }

    /// Up to a half more, so that processes do not connect in step.
    fn jittered(&self, wait: Duration) -> Duration {
        let thousandths = u32::try_from(self.clock.random() % 501).unwrap_or_default();
        wait.mul_f64(1.0 + f64::from(thousandths) / 1000.0)
    }
}

/// The trace a message says it belongs to: by the header of the W3C, else as a CloudEvent's extension.
/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md>
fn trace_of(message: &Message) -> Option<TraceParent> {
    let headers = message.headers(false);
    let told = |name: &str| std::str::from_utf8(headers.get(name)?).ok()?.parse().ok();
    told(spans::TRACEPARENT).or_else(|| told("ce-traceparent"))
}

/// What is fetched for a source; none for one that is sent to.
fn fetched(rules: &InForce, source: &Arc<Source>) -> Option<(SourceName, Fetched)> {
    let subscription = source.subscription()?.clone();
    let mut hash = Sha256::new();
    for name in subscription.secret_names() {
        let secret = rules.secrets.get(name).map(|secret| secret.expose_secret().as_bytes()).unwrap_or_default();
        hash.update((secret.len() as u64).to_be_bytes());
        hash.update(secret);
    }
    Some((source.name().clone(), Fetched { secrets: hash.finalize().into(), subscription }))
}
