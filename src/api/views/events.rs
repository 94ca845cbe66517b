//! Deliveries, and the events that they told of.

use crate::event::{Event, EventType};
use crate::store::{Decision, Delivery, DeliveryState, EventRecord};
use crate::types::{DeliveryId, EventId, RequestId, SourceName, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What opened a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventHead {
    /// The event.
    #[schema(value_type = String)]
    pub id: EventId,
    /// Its type.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "jira.issue.transitioned")]
    pub kind: EventType,
    /// What it happened to.
    pub subject: String,
    /// The source; null when a person asked through the API.
    #[schema(value_type = Option<String>)]
    pub source: Option<SourceName>,
    /// The delivery it was read from.
    #[schema(value_type = Option<String>)]
    pub delivery: Option<DeliveryId>,
}

/// A recorded event with the decisions taken on it.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    /// Its id.
    #[schema(value_type = String, pattern = "^evt_[0-9a-hjkmnp-tv-z]{26}$")]
    pub id: EventId,
    /// The delivery it was read from.
    #[schema(value_type = Option<String>)]
    pub delivery: Option<DeliveryId>,
    /// The source; null when a person asked through the API.
    #[schema(value_type = Option<String>)]
    pub source: Option<SourceName>,
    /// Its type.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "alert.firing")]
    pub kind: EventType,
    /// What it happened to.
    pub subject: String,
    /// When it happened, by the sender's word.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
    /// The event this one tells again.
    #[schema(value_type = Option<String>)]
    pub repeats: Option<EventId>,
    /// Which automations were looked at, and why each did or did not match.
    #[schema(value_type = Vec<DecisionView>)]
    pub decisions: Vec<Decision>,
    /// Requests it opened or joined.
    #[schema(value_type = Vec<String>)]
    pub requests: Vec<RequestId>,
    /// What becomes of what it says of a deployment, a sentence for each repository; empty in a list of events.
    pub deployment: Vec<String>,
}

/// Why an automation did, or did not, take an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct DecisionView {
    /// The automation.
    pub automation: String,
    /// Whether it matched.
    pub matched: bool,
    /// The condition, part by part, with the values it read; null without a condition.
    pub explanation: Option<ExplanationView>,
    /// What happened to the request, or why none was opened.
    pub message: Option<String>,
}

/// A condition, part by part.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplanationView {
    /// Whether the whole holds.
    pub holds: bool,
    /// The parts.
    pub predicates: Vec<PredicateView>,
}

/// One part of a condition.
#[derive(Debug, Serialize, ToSchema)]
pub struct PredicateView {
    /// The part, in CEL.
    pub text: String,
    /// Its value; null when it has none.
    pub value: Option<bool>,
    /// Why it has no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Every field it reads and what was found there.
    pub operands: Vec<OperandView>,
}

/// One field a condition reads.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperandView {
    /// The field.
    #[schema(example = "event.data.issue.key")]
    pub path: String,
    /// What stands there.
    pub value: Option<Value>,
}

/// A stored delivery without its bytes.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryView {
    /// Its id.
    #[schema(value_type = String, pattern = "^dlv_[0-9a-hjkmnp-tv-z]{26}$")]
    pub id: DeliveryId,
    /// Who sent it.
    #[schema(value_type = String)]
    pub source: SourceName,
    /// When it arrived.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Timestamp,
    /// pending, dispatched, ignored or failed.
    #[schema(value_type = String, example = "dispatched")]
    pub state: DeliveryState,
    /// Why it failed.
    pub error: Option<String>,
    /// Length of the body in bytes.
    pub body_bytes: u64,
    /// The headers kept.
    #[schema(value_type = Object)]
    pub attributes: Value,
}

impl From<Event> for EventHead {
    fn from(event: Event) -> Self {
        Self { id: event.id, kind: event.kind, subject: event.subject, source: event.source, delivery: event.delivery }
    }
}

impl From<EventRecord> for EventView {
    fn from(record: EventRecord) -> Self {
        let EventRecord { id, delivery, source, kind, subject, time, recorded_at, repeats, decisions, requests } = record;
        Self { id, delivery, source, kind, subject, time, recorded_at, repeats, decisions, requests, deployment: Vec::new() }
    }
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        let Delivery { id, source, received_at, attributes, body_bytes, state, error, .. } = delivery;
        Self { id, source, received_at, state, error, body_bytes, attributes }
    }
}
