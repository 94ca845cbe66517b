//! A trace: everything that is kept about one thing, from the bytes that arrived to what was told outside.

use super::{ChangesView, DeliveryView, EventView, RequestView, TaskView};
use crate::request::TimelineEntry;
use crate::store::{Act, ActState};
use crate::types::{CommitSha, Timestamp};
use crate::validate::Finding;
use serde::Serialize;
use utoipa::ToSchema;

/// What is known about something a person has in hand.
#[derive(Debug, Serialize, ToSchema)]
pub struct TraceView {
    /// What was asked about.
    #[schema(example = "OPS-42")]
    pub about: String,
    /// When it was asked: what is kept may change.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The requests it leads to, newest first.
    pub requests: Vec<TracedRequest>,
    /// Whether it leads to more requests than are shown.
    pub more: bool,
    /// Events it names that no request shown has to do with: what was decided on them, and why.
    pub events: Vec<EventView>,
    /// The deliveries those were read from, and the one it names.
    pub deliveries: Vec<TracedDelivery>,
}

/// A request with everything that led to it and came of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct TracedRequest {
    /// The request.
    pub request: RequestView,
    /// SHA-256 over the automation as it was in force when the change was last planned, in hex.
    pub rule: Option<String>,
    /// What it changes and what that was held against: schemas, policies, templates with their digests.
    pub changes: Option<ChangesView>,
    /// Why it was rejected, or what a reviewer was warned of.
    #[schema(value_type = Vec<super::FindingView>)]
    pub findings: Vec<Finding>,
    /// The commit that merged it, as far as the forge tells.
    #[schema(value_type = Option<String>)]
    pub merged: Option<CommitSha>,
    /// The events that opened, joined or spoke of it, oldest first, with the decisions taken on each.
    pub events: Vec<EventView>,
    /// The deliveries those were read from, oldest first, with the digest of their bytes.
    pub deliveries: Vec<TracedDelivery>,
    /// What happened, oldest first, and by whom.
    #[schema(value_type = Vec<super::TimelineView>)]
    pub timeline: Vec<TimelineEntry>,
    /// What is still to be done for it, with the errors of attempts before.
    pub tasks: Vec<TaskView>,
    /// What was told outside, oldest first.
    pub told: Vec<ToldView>,
    /// Whether there are more events than are shown.
    pub more_events: bool,
}

/// A delivery with the digest of what arrived.
#[derive(Debug, Serialize, ToSchema)]
pub struct TracedDelivery {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: DeliveryView,
    /// SHA-256 of its body, in hex.
    pub sha256: String,
}

/// An act of telling.
#[derive(Debug, Serialize, ToSchema)]
pub struct ToldView {
    /// The channel.
    #[schema(example = "issues")]
    pub channel: String,
    /// What was told: the state the request came to, and in which try, from 0.
    #[schema(example = "merged/0")]
    pub news: String,
    /// Which act: comment, transition, link, labels, fields or assignee.
    #[schema(example = "comment")]
    pub act: String,
    /// begun, done or refused.
    #[schema(example = "done")]
    pub state: &'static str,
    /// What the other side said.
    pub note: Option<String>,
    /// Since when it stands there.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl From<Act> for ToldView {
    fn from(act: Act) -> Self {
        let Act { key, state, note, at } = act;
        Self { channel: key.channel, news: key.news, act: key.act, state: ActState::as_str(state), note, at }
    }
}
