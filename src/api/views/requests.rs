//! Service requests, with what became of them.

use super::{ChangesView, EventHead, MemberView};
use crate::request::{FinishedRun, HeldUp, PullRef, Request, RunOutcome, State, TimelineEntry};
use crate::store::{Task, TaskKind, TaskState};
use crate::types::{AutomationName, BranchName, CommitSha, RepositoryName, RequestId, TaskId, Timestamp};
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

impl From<Task> for TaskView {
    fn from(task: Task) -> Self {
        let Task { id, kind, state, run_at, attempts, last_error, .. } = task;
        Self { id, kind, state, run_at, attempts, last_error }
    }
}
