//! What the API shows, as it shows it. A change here changes the interface: fields are added, never renamed or removed.

mod changes;
mod forges;
mod members;
mod pulls;
mod resources;
mod trace;

pub use changes::{ChangesView, EvidenceView, FieldChangeView, ObjectChangeView};
pub use forges::{ForgeBudgetView, ForgeCallsView, ForgeRepositoryView, ForgeView};
pub use members::MemberView;
pub use pulls::{CommentView, PullView};
pub use resources::{AutomationView, CalendarView, ChannelView, ClusterView, RepositoryView, SourceView, TemplateView};
pub use trace::{ToldView, TraceView, TracedDelivery, TracedRequest};

use crate::event::{Event, EventType};
use crate::request::{FinishedRun, HeldUp, PullRef, Request, RunOutcome, State, TimelineEntry};
use crate::store::{Decision, Delivery, DeliveryState, EventRecord, Role, Task, TaskKind, TaskState, TokenRecord};
use crate::types::{AutomationName, BranchName, CommitSha, DeliveryId, EventId, RepositoryName, RequestId, SourceName, TaskId, Timestamp, TokenId};
use crate::validate::Finding;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A service request.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestView {
    /// Its id.
    #[schema(value_type = String, pattern = "^req_[0-9a-hjkmnp-tv-z]{26}$", example = "req_01kajz0000000000000000000a")]
    pub id: RequestId,
    /// The automation.
    #[schema(value_type = String, example = "namespace-request")]
    pub automation: AutomationName,
    /// What makes it the same request: an issue key, an alert's fingerprint.
    #[schema(example = "OPS-42")]
    pub correlation: String,
    /// Counts the requests with this automation and correlation, from 1.
    pub generation: u32,
    /// Where it stands: accepted, planned, proposed, approved, merged, applied, unchanged, rejected, declined, withdrawn, expired or failed.
    #[schema(value_type = String, example = "proposed")]
    pub state: State,
    /// A sentence about where it stands.
    pub message: Option<String>,
    /// The event that opened it.
    pub event: EventHead,
    /// Its parameters, once they were found valid.
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Map<String, Value>>,
    /// Where the change goes.
    #[schema(value_type = Option<String>, example = "gitops")]
    pub repository: Option<RepositoryName>,
    /// The head branch.
    #[schema(value_type = Option<String>)]
    pub branch: Option<BranchName>,
    /// The commit of the base branch it was planned on.
    #[schema(value_type = Option<String>)]
    pub base: Option<CommitSha>,
    /// The commit that holds the change.
    #[schema(value_type = Option<String>)]
    pub commit: Option<CommitSha>,
    /// What changes, a line for each object.
    pub summary: Vec<String>,
    /// How many members ever joined it; 0 where it stands for no group of events.
    pub member_count: u32,
    /// Its pull request.
    #[schema(value_type = Option<PullRefView>)]
    pub pull: Option<PullRef>,
    /// When its time to live is over; null while its clock does not run.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// The runs (a Job, a PipelineRun) its change added that are finished, once it is merged.
    pub runs: Vec<RunView>,
    /// The request whose change it takes back.
    #[schema(value_type = Option<String>)]
    pub reverts: Option<RequestId>,
    /// The newest request that takes its change back.
    #[schema(value_type = Option<String>)]
    pub reverted_by: Option<RequestId>,
    /// What holds it up: a person, or calendars that are closed. None when nothing does.
    pub held: Option<HeldView>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A run that a change added, and that is finished.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunView {
    /// Group and version of the object.
    #[serde(rename = "apiVersion")]
    #[schema(example = "tekton.dev/v1")]
    pub api_version: String,
    /// Its kind.
    #[schema(example = "PipelineRun")]
    pub kind: String,
    /// Its namespace, where the file says one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// succeeded or failed.
    #[schema(value_type = String, example = "succeeded")]
    pub outcome: RunOutcome,
    /// What was said about it.
    pub message: Option<String>,
    /// When it ended, by the word of whoever said so.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl From<FinishedRun> for RunView {
    fn from(run: FinishedRun) -> Self {
        let FinishedRun { object, outcome, message, at } = run;
        Self { api_version: object.api_version, kind: object.kind, namespace: object.namespace, name: object.name, outcome, message, at }
    }
}

/// What holds a request up.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeldView {
    /// In a line, as its pull request says it.
    #[schema(example = "until Mon 2026-11-23 09:00 Europe/Berlin (calendar office-hours: outside its windows)")]
    pub message: String,
    /// Who said so; null where its calendars do.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Since when, where a person said so.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// When it goes on by itself; null where only a person lets it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

impl From<HeldUp> for HeldView {
    fn from(held: HeldUp) -> Self {
        let message = held.words();
        let HeldUp { by, reason, until, since, .. } = held;
        Self { message, by, reason, since, until }
    }
}

/// Which pull request a request has.
#[derive(Debug, Serialize, ToSchema)]
pub struct PullRefView {
    /// Its number at the forge.
    pub number: u64,
    /// Where a person looks at it.
    pub url: String,
}

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

/// A service request with what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestDetail {
    /// The request.
    #[serde(flatten)]
    pub request: RequestView,
    /// What happened, oldest first.
    #[schema(value_type = Vec<TimelineView>)]
    pub timeline: Vec<TimelineEntry>,
    /// What is still owed, and dead letters.
    pub tasks: Vec<TaskView>,
    /// Why it was rejected, or what a reviewer is warned of.
    #[schema(value_type = Vec<FindingView>)]
    pub findings: Vec<Finding>,
    /// What it changes, file by file and field by field; null until it is planned.
    pub changes: Option<ChangesView>,
    /// Of a request that stands for a group of events: its members, in order of arrival, the first few hundred.
    pub members: Vec<MemberView>,
    /// How the request stands that takes this one back; null where there is none.
    pub undone: Option<UndoneView>,
}

/// How a request stands that takes another one back.
#[derive(Debug, Serialize, ToSchema)]
pub struct UndoneView {
    /// Its state.
    #[schema(value_type = String)]
    pub state: State,
    /// A sentence about it.
    pub message: Option<String>,
}

/// One line of a timeline.
#[derive(Debug, Serialize, ToSchema)]
pub struct TimelineView {
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// The state before; null for the first line.
    pub from: Option<String>,
    /// The state after; the same for a note.
    pub to: String,
    /// What happened and why.
    pub message: String,
    /// By whom.
    pub actor: String,
}

/// One thing found wrong with a change.
#[derive(Debug, Serialize, ToSchema)]
pub struct FindingView {
    /// `error` stops the change, `warning` is told to the reviewer.
    pub severity: String,
    /// The rule.
    #[schema(example = "schema.type")]
    pub rule: String,
    /// The file.
    pub path: String,
    /// The document within the file, from 0.
    pub document: Option<u32>,
    /// JSON pointer within the document.
    pub pointer: Option<String>,
    /// Line in the file, from 1.
    pub line: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A step that is still owed, or dead.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: TaskId,
    /// What it does: plan, propose or withdraw.
    #[schema(value_type = String, example = "plan")]
    pub kind: TaskKind,
    /// waiting, leased or dead.
    #[schema(value_type = String, example = "waiting")]
    pub state: TaskState,
    /// Not before.
    #[schema(value_type = String, format = DateTime)]
    pub run_at: Timestamp,
    /// How often it was begun.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
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

/// A token, without the token.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    #[schema(value_type = String, pattern = "^tok_[0-9a-hjkmnp-tv-z]{26}$")]
    pub id: TokenId,
    /// What a person calls it.
    pub name: String,
    /// viewer, operator or admin.
    #[schema(value_type = String, example = "operator")]
    pub role: Role,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it stops working; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}

impl From<Request> for RequestView {
    fn from(request: Request) -> Self {
        let Request {
            id,
            key,
            state,
            event,
            parameters,
            repository,
            branch,
            base,
            commit,
            summary,
            members,
            pull,
            message,
            steering,
            created_at,
            updated_at,
            ..
        } = request;
        let held = steering.held_up().filter(|_| !state.is_ended()).map(HeldView::from);
        let event = event.into();
        Self {
            id,
            automation: key.automation,
            correlation: key.correlation,
            generation: key.generation,
            state,
            message,
            event,
            parameters,
            repository,
            branch,
            base,
            commit,
            summary,
            member_count: members,
            pull,
            expires_at: steering.expires_at,
            runs: steering.runs.into_iter().map(RunView::from).collect(),
            reverts: steering.reverts.map(|reverts| reverts.request),
            reverted_by: steering.reverted_by,
            held,
            created_at,
            updated_at,
        }
    }
}

impl From<Event> for EventHead {
    fn from(event: Event) -> Self {
        Self { id: event.id, kind: event.kind, subject: event.subject, source: event.source, delivery: event.delivery }
    }
}

impl From<Task> for TaskView {
    fn from(task: Task) -> Self {
        let Task { id, kind, state, run_at, attempts, last_error, .. } = task;
        Self { id, kind, state, run_at, attempts, last_error }
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

impl From<TokenRecord> for TokenView {
    fn from(token: TokenRecord) -> Self {
        let TokenRecord { id, name, role, created_at, expires_at, revoked_at, .. } = token;
        Self { id, name, role, created_at, expires_at, revoked_at }
    }
}
