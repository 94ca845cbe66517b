//! Deliveries to events, events to requests: what was stored is read, matched, and recorded in one transaction per batch.

mod care;
mod recording;

use self::care::Care;
use self::recording::{Doubts, Recorded, is_refusal};
use super::{Channels, Forges, InForce, Rules, own, signals};
use crate::automation::{Automation, DebounceSpec};
use crate::clock::Clock;
use crate::event::{Event, Occurrence};
use crate::expression::Scope;
use crate::failpoint;
use crate::ingress::Attributes;
use crate::plan::Inputs;
use crate::request::Steering;
use crate::spans;
use crate::store::{Debounce, Decision, Delivery, Dispatch, DispatchedEvent, Opening, Signal, Store, StoreError};
use crate::types::{AutomationName, ErrorClass, EventId, RepositoryName, RequestId, TaskId, Timestamp, TraceParent};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use tracing::Span;
use tracing::field::Empty;

/// Deliveries dispatched in one transaction.
const BATCH: u32 = 128;
/// Automations whose answer is kept with an event: those that matched, then those that nearly did.
const DECISIONS_KEPT: usize = 20;

/// Turns stored deliveries into requests.
pub struct Dispatcher {
    /// Where deliveries are kept.
    pub store: Arc<dyn Store>,
    /// The resources in force.
    pub rules: Arc<Rules>,
    /// Where our own changes are told from those of others.
    pub channels: Arc<dyn Channels>,
    /// The same at forges.
    pub forges: Arc<dyn Forges>,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
    doubts: Doubts,
    care: Care,
}

/// What a batch came to.
#[derive(Debug)]
pub struct Dispatched {
    /// When its oldest delivery was received.
    pub oldest: Timestamp,
    /// Repositories whose base branch was said to have been pushed to: [`super::Pipeline::base_was_pushed`].
    pub pushed: BTreeSet<RepositoryName>,
    /// Deliveries that were dispatched.
    pub done: usize,
    /// Deliveries that are told as failed.
    pub failed: usize,
}

impl Dispatcher {
    /// What reads deliveries by these rules. A process has one, which remembers what the store refused.
    pub fn new(store: Arc<dyn Store>, rules: Arc<Rules>, channels: Arc<dyn Channels>, forges: Arc<dyn Forges>, clock: Arc<dyn Clock>) -> Self {
        Self { store, rules, channels, forges, clock, doubts: Doubts::default(), care: Care::default() }
    }

    /// Dispatches the next batch, under the name `owner` of this process; nothing when none waits, or while another process dispatches.
    ///
    /// # Errors
    /// When the store fails; then the batch is still pending.
    pub async fn run_batch(self: &Arc<Self>, owner: &str) -> Result<Option<Dispatched>, StoreError> {
        let Some(turn) = self.store.dispatch_turn().await? else { return Ok(None) };
        turn.over(self.dispatch_next(owner)).await
    }

    /// The same, by whoever has the turn.
    async fn dispatch_next(self: &Arc<Self>, owner: &str) -> Result<Option<Dispatched>, StoreError> {
        let most = if self.care.is_wanted() { 1 } else { BATCH };
        let mut deliveries = self.store.pending_besides(&self.doubts.passed_by(), most).await?;
        let Some(oldest) = deliveries.first().map(|delivery| delivery.received_at) else {
            self.has_read_all().await?;
            // They are tried again, after the pause of whoever is told an error.
            return self.doubts.nothing_else_waits().map_or(Ok(None), Err);
        };
        let alone = self.takes_care(owner).await?;
        if alone {
            deliveries.truncate(1);
        }
        let deliveries: Arc<Vec<(Delivery, Span)>> = Arc::new(deliveries.into_iter().map(with_span).collect());
        let entries = match alone {
            true => self.read_alone(owner, &deliveries).await?,
            false => self.read_together(&deliveries).await,
        };
        failpoint::hit("dispatch.read");
        let recorded = self.record(&entries).await;
        if let (true, Some((delivery, _))) = (alone, deliveries.first()) {
            self.has_read_alone(owner, delivery, recorded.is_ok()).await;
        }
        tell_spans(&deliveries, &entries, &recorded);
        let recorded = match recorded {
            // The next one follows at once, as it does in a batch.
            Err(error) if alone && is_refusal(&error) && self.doubts.passed_by().len() > 1 => {
                return Ok(Some(Dispatched { oldest, pushed: BTreeSet::new(), done: 0, failed: 0 }));
            }
            recorded => recorded?,
        };
        failpoint::hit("dispatch.recorded");
        let rules = self.rules.current();
        let done: Vec<&Dispatch> = entries.iter().zip(&recorded.requests).filter_map(|(entry, of)| of.as_ref().map(|_| entry)).collect();
        let events = done.iter().flat_map(|entry| &entry.events);
        let pushed = events.flat_map(|told| signals::pushed(&rules, &told.event)).collect();
        let failed = recorded.failed + done.iter().filter(|entry| entry.error.is_some()).count();
        Ok(Some(Dispatched { oldest, pushed, done: done.len() - failed, failed }))
    }

    /// What the deliveries of a batch say.
    async fn read_together(self: &Arc<Self>, deliveries: &Arc<Vec<(Delivery, Span)>>) -> Vec<Dispatch> {
        match self.read_all(deliveries, 0..deliveries.len()).await {
            Some(entries) => entries,
            None => self.read_each(deliveries).await,
        }
    }

    /// What these deliveries say, under one set of rules from the first to the last; none when reading one of them panicked.
    async fn read_all(self: &Arc<Self>, deliveries: &Arc<Vec<(Delivery, Span)>>, range: Range<usize>) -> Option<Vec<Dispatch>> {
        let (this, deliveries) = (Arc::clone(self), Arc::clone(deliveries));
        let read = tokio::task::spawn_blocking(move || {
            let rules = this.rules.current();
            deliveries[range].iter().map(|(delivery, span)| span.in_scope(|| this.read(&rules, delivery))).collect()
        });
        read.await.ok()
    }

    /// The same one by one, so that a delivery whose reading panics (which is a fault of ours) stops none but itself.
    async fn read_each(self: &Arc<Self>, deliveries: &Arc<Vec<(Delivery, Span)>>) -> Vec<Dispatch> {
        let mut entries = Vec::with_capacity(deliveries.len());
        for (at, (delivery, _)) in deliveries.iter().enumerate() {
            let read = self.read_all(deliveries, at..at + 1).await.and_then(|mut read| read.pop());
            entries.push(read.unwrap_or_else(|| {
                tracing::error!(delivery = %delivery.id, "reading this delivery failed unexpectedly; please report it");
                let error = "reading it failed unexpectedly, which is a fault of KubeOps".to_owned();
                Dispatch { delivery: Some(delivery.id.clone()), error: Some(error), events: Vec::new() }
            }));
        }
        entries
    }

    /// What one delivery says under the rules in force.
    fn read(&self, rules: &InForce, delivery: &Delivery) -> Dispatch {
        failpoint::hit_by("dispatch.reading", &delivery.body);
        let occurrences = match occurrences(rules, delivery) {
            Ok(occurrences) => occurrences,
            Err(error) => return Dispatch { delivery: Some(delivery.id.clone()), error: Some(error), events: Vec::new() },
        };
        let events = occurrences.into_iter().enumerate().map(|(index, (occurrence, key))| {
            let event = event_of(delivery, index, occurrence);
            let decided = self.decide(rules, &event);
            let signals = signals::of(rules, &event, self.clock.as_ref()).into_iter().chain(decided.taken_back).collect();
            DispatchedEvent { event, key, decisions: decided.decisions, openings: decided.openings, signals }
        });
        Dispatch { delivery: Some(delivery.id.clone()), error: None, events: events.collect() }
    }

    /// The same delivery as if its events were told for the first time: with ids and keys of their own, in the name of `actor`.
    pub(super) fn read_anew(&self, delivery: &Delivery, actor: &str) -> Dispatch {
        let mut entry = self.read(&self.rules.current(), delivery);
        // The delivery itself stays as it was dispatched.
        entry.delivery = None;
        for told in &mut entry.events {
            told.event.id = EventId::from_parts(self.clock.now(), self.clock.random());
            told.key = format!("replay/{}", told.event.id);
            for opening in &mut told.openings {
                opening.actor = actor.to_owned();
                // A person who asks for it again means it, however old the event is.
                opening.retractable = false;
                opening.in_order = false;
            }
        }
        entry
    }

    /// Which automations take the event, why others do not, the requests to open, and those that are taken back.
    fn decide(&self, rules: &InForce, event: &Event) -> Decided {
        let (matched, scope) = rules.set.automations.matching(event);
        let mut decisions: Vec<Decision> = rules
            .set
            .automations
            .explain(event, &matched, &scope, DECISIONS_KEPT)
            .into_iter()
            .map(|considered| Decision {
                automation: considered.automation,
                matched: considered.matched,
                explanation: considered.explanation,
                message: None,
            })
            .collect();
        let own = own::explained(rules, event, self.channels.as_ref(), self.forges.as_ref());
        if let Some(why) = own {
            decisions
                .iter_mut()
                .filter(|decision| decision.matched)
                .for_each(|decision| decision.message = Some(format!("no request was opened: {why}")));
            return Decided { decisions, openings: Vec::new(), taken_back: Vec::new() };
        }
        let mut openings = Vec::new();
        for automation in matched {
            match keys(&automation, &scope) {
                Ok((correlation, group)) => openings.push(Opening {
                    id: RequestId::from_parts(self.clock.now(), self.clock.random()),
                    repository: repository(rules, &automation, event, &scope),
                    automation: automation.name.clone(),
                    correlation,
                    group,
                    parameters: None,
                    debounce: automation.spec.debounce.map(debounce),
                    retractable: automation.withdraw().is_some(),
                    in_order: true,
                    tells: !automation.spec.feedback.is_empty(),
                    steering: Steering::default(),
                    actor: "kubeops".to_owned(),
                }),
                Err(message) => {
                    if let Some(decision) = decisions.iter_mut().find(|decision| decision.automation == automation.name) {
                        decision.message = Some(format!("no request was opened: {message}"));
                    }
                }
            }
        }
        let mut taken_back = Vec::new();
        for automation in rules.set.automations.taking_back(event, &openings.iter().map(|opening| &opening.automation).collect::<Vec<_>>(), &scope) {
            let Ok(correlation) = automation.correlation(&scope) else { continue };
            let message = format!("takes back what was asked for with the key {correlation:?}");
            match decisions.iter_mut().find(|decision| decision.automation == automation.name) {
                Some(decision) => decision.message = Some(message),
                None => decisions.push(Decision { automation: automation.name.clone(), matched: false, explanation: None, message: Some(message) }),
            }
            let task = TaskId::from_parts(self.clock.now(), self.clock.random());
            taken_back.push(Signal::TakenBack { automation: automation.name.clone(), correlation, reason: signals::reason(event), task });
        }
        Decided { decisions, openings, taken_back }
    }
}

/// A delivery with the span of its dispatch, a child of its sender's; where nobody keeps traces there is none.
fn with_span(delivery: Delivery) -> (Delivery, Span) {
    let span = tracing::debug_span!(
        parent: None,
        "dispatch",
        otel.kind = "consumer",
        kubeops.source = delivery.source.as_str(),
        kubeops.delivery.id = delivery.id.as_str(),
        kubeops.events = Empty,
        kubeops.request.ids = Empty,
    );
    if !span.is_disabled() {
        spans::child_of(&span, stored_trace(&delivery));
    }
    (delivery, span)
}

/// Says what became of each delivery.
fn tell_spans(deliveries: &[(Delivery, Span)], entries: &[Dispatch], recorded: &Result<Recorded, StoreError>) {
    for (at, ((_, span), entry)) in deliveries.iter().zip(entries).enumerate().filter(|(_, ((_, span), _))| !span.is_disabled()) {
        span.record("kubeops.events", entry.events.len());
        let left = match recorded {
            Ok(recorded) => match recorded.requests.get(at) {
                Some(Some(requests)) => {
                    let ids: Vec<&str> = requests.iter().map(|id| id.as_str()).collect();
                    span.record("kubeops.request.ids", ids.join(","));
                    if entry.error.is_some() {
                        spans::failed(span, ErrorClass::User);
                    }
                    continue;
                }
                _ => recorded.left.as_ref(),
            },
            Err(error) => Some(error),
        };
        spans::failed(span, left.map_or(ErrorClass::Bug, StoreError::class));
    }
}

/// What came of an event.
struct Decided {
    decisions: Vec<Decision>,
    openings: Vec<Opening>,
    taken_back: Vec<Signal>,
}

/// What makes it the same request, or the same member of a group's.
fn keys(automation: &Automation, scope: &Scope<'_>) -> Result<(String, Option<String>), String> {
    Ok((automation.correlation(scope)?, automation.group_key(scope)?))
}

fn debounce(spec: DebounceSpec) -> Debounce {
    Debounce { quiet: spec.quiet.get(), at_most: spec.at_most.get() }
}

/// The repository the request will be for, as far as it can be told before planning: the lane of its first task.
fn repository(rules: &InForce, automation: &Automation, event: &Event, scope: &Scope<'_>) -> Option<RepositoryName> {
    let parameters = automation.parameters().read(scope).ok()?;
    destination(rules, &automation.name, event, &parameters)
}

/// The same, where the parameters are known.
pub(super) fn destination(rules: &InForce, automation: &AutomationName, event: &Event, parameters: &Map<String, Value>) -> Option<RepositoryName> {
    let rule = rules.set.rules.get(automation)?;
    let target = rule.recipe.target(Inputs { event, parameters }, &rules.set.inventory).ok()?;
    Some(target.repository.name.clone())
}

/// The events a delivery tells under the rules in force, as its source reads it; its signature was looked at on arrival.
///
/// # Errors
/// A sentence, when the source is gone or the delivery cannot be read.
pub fn events_of(rules: &Rules, delivery: &Delivery) -> Result<Vec<Event>, String> {
    Ok(occurrences(&rules.current(), delivery)?
        .into_iter()
        .enumerate()
        .map(|(index, (occurrence, _))| event_of(delivery, index, occurrence))
        .collect())
}

/// What happened, each with what makes it the same when it is told again.
fn occurrences(rules: &InForce, delivery: &Delivery) -> Result<Vec<(Occurrence, String)>, String> {
    let source = rules.set.sources.get(&delivery.source).ok_or_else(|| format!("the source {} is not configured", delivery.source))?;
    let attributes: Attributes =
        serde_json::from_value(delivery.attributes.clone()).map_err(|error| format!("its headers cannot be read: {error}"))?;
    let received = source.read(&attributes, &delivery.body, delivery.received_at).map_err(|error| error.to_string())?;
    Ok(received.occurrences.into_iter().zip(received.occurrence_keys).collect())
}

/// The event an occurrence becomes. Its id is derived from the delivery, so that reading again gives the same event.
fn event_of(delivery: &Delivery, index: usize, occurrence: Occurrence) -> Event {
    let digest = Sha256::digest(format!("{}/{index}", delivery.id));
    let mut random = [0_u8; 16];
    random.copy_from_slice(&digest[..16]);
    Event {
        id: EventId::from_parts(delivery.received_at, u128::from_be_bytes(random)),
        delivery: Some(delivery.id.clone()),
        source: Some(delivery.source.clone()),
        kind: occurrence.kind,
        subject: occurrence.subject,
        time: occurrence.time,
        data: occurrence.data,
        traceparent: Some(trace_of(delivery)),
    }
}

/// The trace a delivery was stored with: its sender's span, or the one it arrived in.
fn stored_trace(delivery: &Delivery) -> Option<TraceParent> {
    delivery.attributes.get(spans::TRACEPARENT).and_then(Value::as_str).and_then(|text| text.parse().ok())
}

/// The trace that what a delivery says belongs to: the one it was stored with, the one it is dispatched in, or one of its own for the log.
fn trace_of(delivery: &Delivery) -> TraceParent {
    stored_trace(delivery).or_else(spans::here).unwrap_or_else(|| TraceParent::derived(delivery.id.bits()))
}

/// Every automation whose `on` fits the event, matched or not, with each predicate's values: the answer to "why, or why not?".
pub fn explain(rules: &Rules, event: &Event, limit: usize) -> Vec<Decision> {
    let current = rules.current();
    let (matched, scope) = current.set.automations.matching(event);
    current
        .set
        .automations
        .explain(event, &matched, &scope, limit)
        .into_iter()
        .map(|considered| {
            let automation = considered.matched.then(|| current.set.automations.get(&considered.automation)).flatten();
            let message = automation.map(|automation| match keys(automation, &scope) {
                Ok((correlation, None)) => format!("asks for a request with the key {correlation:?}"),
                Ok((correlation, Some(group))) => format!("is the member {correlation:?} of a request with the key {group:?}"),
                Err(message) => format!("no request can be opened: {message}"),
            });
            Decision { automation: considered.automation, matched: considered.matched, explanation: considered.explanation, message }
        })
        .collect()
}
