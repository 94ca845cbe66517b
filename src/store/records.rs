//! What the store keeps, as plain values.

use super::signals::Signal;
use super::storms::Debounce;
use super::tasks::{NewTask, TaskKind};
use crate::event::{Event, EventType};
use crate::expression::Explanation;
use crate::request::{State, Steering, TimelineEntry};
use crate::types::{AutomationName, BranchName, CommitSha, DeliveryId, EventId, RepositoryName, RequestId, SourceName, Timestamp, TokenId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A delivery to be written.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Its id, made by the caller.
    pub id: DeliveryId,
    /// Who sent it.
    pub source: SourceName,
    /// When its last byte arrived.
    pub received_at: Timestamp,
    /// What makes it the same delivery when it is sent again (a digest; unique per source).
    pub dedup_key: String,
    /// The headers worth keeping, as a small JSON object.
    pub attributes: serde_json::Value,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// Whether anybody handles such a delivery; if not it is kept, but never dispatched.
    pub handled: bool,
}

/// What became of a delivery that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is on disk under the id it came with.
    New,
    /// The same was written before, under this id.
    Duplicate(DeliveryId),
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Its events are still to be read.
    Pending,
    /// Its events are recorded.
    Dispatched,
    /// Authenticated, but of a type nobody handles.
    Ignored,
    /// It could not be read after it was accepted; see its error.
    Failed,
}

/// A stored delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// Who sent it.
    pub source: SourceName,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The headers kept.
    pub attributes: serde_json::Value,
    /// The body, byte for byte; empty in listings.
    pub body: Vec<u8>,
    /// Length of the body in bytes.
    pub body_bytes: u64,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it failed.
    pub error: Option<String>,
}

/// What one delivery (or one person, through the API) said.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The delivery; none for an event filed through the API.
    pub delivery: Option<DeliveryId>,
    /// Why it could not be read; then there are no events and the delivery becomes `failed`.
    pub error: Option<String>,
    /// Its events.
    pub events: Vec<DispatchedEvent>,
}

/// One event of a dispatch, with what was decided on it.
#[derive(Debug, Clone)]
pub struct DispatchedEvent {
    /// The event. Its data is kept with the requests it opens; elsewhere it is read again from the delivery.
    pub event: Event,
    /// What makes it the same event when it is told again; unique per source.
    pub key: String,
    /// Automations whose `on` fits, and why each did or did not match.
    pub decisions: Vec<Decision>,
    /// Requests to open or join.
    pub openings: Vec<Opening>,
    /// What it says about requests there are.
    pub signals: Vec<Signal>,
}

/// Why an automation did, or did not, take an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The automation looked at.
    pub automation: AutomationName,
    /// Whether it matched.
    pub matched: bool,
    /// The condition, part by part; none when the automation has no condition.
    pub explanation: Option<Explanation>,
    /// What happened to the request, or why none was opened, in a sentence.
    pub message: Option<String>,
}

/// A request to open, or to join when a live one with the same automation and correlation exists.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Id the request gets if it is opened.
    pub id: RequestId,
    /// The automation.
    pub automation: AutomationName,
    /// The correlation key.
    pub correlation: String,
    /// The key of the group it is a member of: then the request is the group's, and the correlation key tells the member.
    pub group: Option<String>,
    /// The repository, as far as it is known already; it is the lane of the first task.
    pub repository: Option<RepositoryName>,
    /// Parameters a person gave through the API; none when they are read from the event.
    pub parameters: Option<serde_json::Map<String, serde_json::Value>>,
    /// Whether its first plan waits for further events; none where it is due at once, and then it hurries one that waits.
    pub debounce: Option<Debounce>,
    /// Whether it can be taken back: then what the newest event said about the key is kept, and an older one opens nothing.
    pub retractable: bool,
    /// Whether it opens nothing where a newer event about the same thing was heard and answered before. A person who asks means it.
    pub in_order: bool,
    /// Whether anybody outside is told what becomes of the request.
    pub tells: bool,
    /// What is decided about the request from the beginning.
    pub steering: Steering,
    /// Who asked: `kubeops`, or a token's name.
    pub actor: String,
}

/// What goes with a request that is changed outside a task.
#[derive(Debug, Clone, Default)]
pub struct RequestUpdate {
    /// Timeline entries to add.
    pub timeline: Vec<TimelineEntry>,
    /// Tasks to add.
    pub tasks: Vec<NewTask>,
    /// Whether waiting and dead tasks of the request are dropped first.
    pub drop_tasks: bool,
    /// As [`Beside::successor`].
    pub successor: Option<RequestId>,
}

/// A recorded event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// Its id.
    pub id: EventId,
    /// The delivery it was read from.
    pub delivery: Option<DeliveryId>,
    /// The source.
    pub source: Option<SourceName>,
    /// The type.
    pub kind: EventType,
    /// The subject.
    pub subject: String,
    /// When it happened.
    pub time: Timestamp,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The event this one tells again, when it does.
    pub repeats: Option<EventId>,
    /// What was decided.
    pub decisions: Vec<Decision>,
    /// Requests it opened or joined.
    pub requests: Vec<RequestId>,
}

/// A pull request of the local forge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PullRecord {
    /// The repository.
    pub repository: RepositoryName,
    /// Its number, from 1; ignored on insert.
    pub number: u64,
    /// The head branch; at most one open pull request per repository has it.
    pub head: BranchName,
    /// The base branch.
    pub base: BranchName,
    /// The commit at the head.
    pub head_commit: CommitSha,
    /// `open`, `closed` or `merged`.
    pub state: PullState,
    /// The title.
    pub title: String,
    /// The body, in Markdown.
    pub body: String,
    /// Labels, sorted.
    pub labels: Vec<String>,
    /// Reviewers asked for, sorted.
    pub reviewers: Vec<String>,
    /// Who it is assigned to.
    #[serde(default)]
    pub assignees: Vec<String>,
    /// Its milestone.
    #[serde(default)]
    pub milestone: Option<String>,
    /// Whether it is merged by itself once a person has approved it.
    #[serde(default)]
    pub auto_merge: bool,
    /// Whether it is a draft, which is not merged before somebody marks it ready.
    #[serde(default)]
    pub draft: bool,
    /// Who approved it.
    pub approved_by: Vec<String>,
    /// The merge commit.
    pub merge_commit: Option<CommitSha>,
    /// Who closed or merged it.
    #[serde(default)]
    pub closed_by: Option<String>,
    /// Comments, oldest first: author and text.
    pub comments: Vec<PullComment>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Counts changes.
    pub version: u64,
}

/// A comment on a pull request of the local forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullComment {
    /// Who.
    pub author: String,
    /// When.
    pub at: Timestamp,
    /// What, in Markdown.
    pub body: String,
}

/// Where a pull request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PullState {
    /// Waiting for review or merge.
    Open,
    /// Closed without a merge.
    Closed,
    /// Merged.
    Merged,
}

/// What a token may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Also asks for automations, retries, cancels, approves and merges.
    Operator,
    /// Also sees and makes tokens, and reads stored deliveries byte for byte.
    Admin,
}

/// An API token, as kept: its SHA-256, never the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its id.
    pub id: TokenId,
    /// What a person calls it; appears as the actor in timelines.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Counts for readiness and metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Deliveries waiting to be dispatched.
    pub pending_deliveries: u64,
    /// When the oldest of them arrived.
    pub oldest_pending: Option<Timestamp>,
    /// Tasks waiting or leased, per kind; of what waits for its hour (see [`TaskKind::Clock`]) only what is due.
    pub tasks: Vec<(TaskKind, u64)>,
    /// Tasks waiting or leased, per repository (by the name of its lanes), where there are any; those without a lane are left out.
    pub backlog: BTreeMap<String, u64>,
    /// When the longest-waiting due task became due.
    pub oldest_due: Option<Timestamp>,
    /// Dead letters.
    pub dead_tasks: u64,
    /// Requests that wait for room under a limit.
    pub waiting_for_room: u64,
    /// Requests per state.
    pub requests: Vec<(State, u64)>,
}

/// How far old deliveries were looked through: a pass of retention begins with none of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    pub(in crate::store) received_at: i64,
    pub(in crate::store) seq: i64,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Deliveries.
    pub deliveries: u64,
    /// Events.
    pub events: u64,
    /// Requests.
    pub requests: u64,
    /// What was said of keys, deployments, runs and of models' calls, a row each.
    pub words: u64,
}
