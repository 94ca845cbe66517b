//! What the API needs of the rest of the program, as narrow traits; `app` plugs the real things in, tests their own.
//! Nothing here knows HTTP beyond the headers a delivery came with.

use crate::pipeline::{Copiloted, ReplayedDraft, Suggested};
use crate::request::Request;
use crate::store::inbox::InboxCounts;
use crate::store::{EventRecord, PullRecord};
use crate::types::{AutomationName, CommitSha, DeliveryId, RepositoryName, RequestId, SpecDuration, SuggestionId, Timestamp, TraceParent};
use actix_web::http::header::HeaderMap;
use actix_web::web::Bytes;
use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::time::Duration;
use utoipa::ToSchema;

use super::views::{AutomationView, CalendarView, ChannelView, ClusterView, ForgeView, McpServerView, RepositoryView, SourceView, TemplateView};

/// Takes webhook deliveries: authenticates them, stores them, and only then says so.
#[async_trait]
pub trait Receiver: Send + Sync + 'static {
    /// The longest body `source` may send, in bytes; none when there is no such source.
    fn body_limit(&self, source: &str) -> Option<usize>;

    /// Authenticates and stores one delivery. `Ok` means it is on disk.
    ///
    /// # Errors
    /// When it was not stored, and why.
    async fn receive(&self, incoming: Incoming<'_>) -> Result<Receipt, Refusal>;

    /// What the inbox behind it did so far; nothing where there is none.
    fn counts(&self) -> InboxCounts {
        InboxCounts::default()
    }
}

/// A wish for a revision that was heard.
pub struct Revising {
    /// The request, with the wish.
    pub request: Request,
    /// Which wish it is, from 1.
    pub revision: u32,
}

/// One webhook request, read to its end.
pub struct Incoming<'a> {
    /// The source it was sent to, as in the path; it may not exist.
    pub source: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// What stands behind the `?`, empty without one.
    pub query: &'a str,
    /// Who sent it, by the trusted part of the way it came; none over a unix socket without a proxy.
    pub client: Option<IpAddr>,
    /// When its last byte arrived.
    pub received_at: Timestamp,
    /// Tells the trace the sender is told with a refusal, always the same; what is taken needs none, so it is made when asked for.
    pub trace: &'a (dyn Fn() -> TraceParent + Send + Sync),
    /// The trace that what is done for it belongs to; none where nobody keeps one.
    pub traceparent: Option<TraceParent>,
    /// The body, byte for byte.
    pub body: Bytes,
}

/// What became of a delivery that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// Stored, and to be worked on.
    Accepted(DeliveryId),
    /// It came before, under this id.
    Duplicate(DeliveryId),
    /// Stored, but of a type nobody handles.
    Ignored(DeliveryId),
}

impl Receipt {
    /// The delivery's id; of a duplicate, the id of the first.
    pub fn id(&self) -> &DeliveryId {
        match self {
            Self::Accepted(id) | Self::Duplicate(id) | Self::Ignored(id) => id,
        }
    }
}

/// Why a delivery was not taken. Messages are told to the sender: they hold no secret and nothing an unauthenticated sender may not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// 404: there is no such source.
    UnknownSource,
    /// 401: no signature, or a wrong one.
    Unauthenticated(String),
    /// 403: not from this address.
    Forbidden(String),
    /// 413: the body is larger than `limit` bytes, as sent or unpacked.
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// 415: the content type or encoding cannot be read.
    Unsupported(String),
    /// 400: the body cannot be read.
    Malformed {
        /// What is wrong.
        message: String,
        /// Line in the body, from 1.
        line: Option<u32>,
        /// Column in the line, from 1.
        column: Option<u32>,
    },
    /// 503: too much is queued, or the store cannot write.
    Busy {
        /// What the sender is told.
        message: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// 500: ours; logged, not told.
    Failed(String),
}

/// What a person may do through the API beyond reading the store.
#[async_trait]
pub trait Operations: Send + Sync + 'static {
    /// Asks for an automation directly.
    ///
    /// # Errors
    /// When there is no such automation, or the parameters are not its.
    async fn ask(&self, ask: Ask) -> Result<Asked, OperationError>;

    /// Has a language model draft what an operator asks for.
    ///
    /// # Errors
    /// When no automation takes it, or the parameters are not its.
    async fn ask_job(&self, ask: AskJob) -> Result<Asked, OperationError>;

    /// Has a language model make a suggestion of a sentence. It is bounded in time by itself.
    ///
    /// # Errors
    /// When nobody has set it up, the day's budget is used up, or the model does not answer.
    async fn copilot(&self, ask: AskCopilot) -> Result<Copiloted, OperationError>;

    /// A suggestion that was made.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it may not be confirmed any more.
    async fn suggestion(&self, id: &SuggestionId) -> Result<Suggested, OperationError>;

    /// Files what a suggestion shows.
    ///
    /// # Errors
    /// As [`Self::suggestion`] and [`Self::ask`].
    async fn confirm_suggestion(&self, id: &SuggestionId, actor: &str) -> Result<Asked, OperationError>;

    /// Has an ended request that may be tried again planned anew.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when its state does not allow it.
    async fn retry(&self, id: &RequestId, actor: &str) -> Result<Request, OperationError>;

    /// Withdraws a live request: its pull request is closed and its branch deleted.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has ended.
    async fn cancel(&self, id: &RequestId, actor: &str, reason: Option<&str>) -> Result<Request, OperationError>;

    /// Opens the request that takes a merged change back, or tells the one there is.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is not merged, or what takes it back cannot be told.
    async fn revert(&self, id: &RequestId, actor: &str, reason: Option<&str>) -> Result<Asked, OperationError>;

    /// Has a merged change with a time to live live on for a while longer.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when its clock does not run, or it would live for too long.
    async fn extend(&self, id: &RequestId, actor: &str, by: SpecDuration) -> Result<Request, OperationError>;

    /// Has a live request wait until somebody releases it.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has ended.
    async fn hold(&self, id: &RequestId, actor: &str, reason: Option<&str>) -> Result<Request, OperationError>;

    /// Lets a live request through, whatever holds it up.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has ended.
    async fn release(&self, id: &RequestId, actor: &str) -> Result<Request, OperationError>;

    /// Has the language model that drafted a request's change revise it, and tells which wish for a revision this is.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when no model drafted it, it is not open, or it was revised too often.
    async fn revise(&self, id: &RequestId, actor: &str, text: &str) -> Result<Revising, OperationError>;

    /// Takes a member, named by its correlation key or its number, out of a live group.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the request has ended, or the member was taken out before.
    async fn withdraw_member(&self, id: &RequestId, member: &str, actor: &str, reason: Option<&str>) -> Result<Request, OperationError>;

    /// Dispatches a stored delivery again under the resources in force, and tells the requests opened or joined.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it cannot be read any more.
    async fn replay(&self, id: &DeliveryId, actor: &str) -> Result<Vec<RequestId>, OperationError>;

    /// Decides a draft of a request once more under the resources in force, with the model's kept replies and without asking it.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it runs yet, or the commit it was begun on is gone.
    async fn replay_draft(&self, id: &RequestId, number: u32) -> Result<ReplayedDraft, OperationError>;

    /// What becomes of what an event says of a deployment, a sentence for each repository that it can be of; nothing of other events,
    /// and of one whose delivery is gone or cannot be read any more.
    async fn what_counts(&self, event: &EventRecord) -> Vec<String>;

    /// What a request changes.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when nothing is planned yet.
    async fn request_diff(&self, id: &RequestId) -> Result<Diff, OperationError>;

    /// What a pull request of the local forge changes.
    ///
    /// # Errors
    /// `NotFound`.
    async fn pull_diff(&self, repository: &RepositoryName, number: u64) -> Result<Diff, OperationError>;

    /// Approves, merges or closes a pull request of the local forge.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when its state does not allow it; `Unsupported` when the repository has another forge.
    async fn act_on_pull(&self, repository: &RepositoryName, number: u64, action: PullAction, actor: &str) -> Result<PullRecord, OperationError>;

    /// The accounts at forges that are in use, by name; what waits for their repositories is not told here. The answer
    /// comes from memory.
    fn forges(&self) -> Vec<ForgeView>;
}

/// An automation asked for by a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The automation.
    pub automation: AutomationName,
    /// The parameters, not yet checked.
    pub parameters: Map<String, Value>,
    /// What makes two asks the same request; none for a request of its own.
    pub correlation: Option<String>,
    /// Two asks with the same key are one; it holds the token's id, so that two tokens never meet.
    pub idempotency_key: Option<String>,
    /// Who asks: the token's name.
    pub actor: String,
}

/// What a language model is asked for in an operator's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskJob {
    /// The automation; none for the only one that takes jobs.
    pub automation: Option<AutomationName>,
    /// What it is to do.
    pub goal: String,
    /// Its answers, at most.
    pub max_turns: Option<u32>,
    /// How long it may take.
    pub timeout: Option<SpecDuration>,
    /// Values for the automation's parameters, not yet checked.
    pub parameters: Map<String, Value>,
    /// As of [`Ask`].
    pub idempotency_key: Option<String>,
    /// Who asks: the token's name.
    pub actor: String,
}

/// What an operator says to the copilot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskCopilot {
    /// What they want, in their own words.
    pub sentence: String,
    /// The automation, where they name it.
    pub automation: Option<AutomationName>,
    /// Who asks: the token's name.
    pub actor: String,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The request.
    pub request: RequestId,
    /// Whether it was opened by this; false when a live one was joined, or the same was asked before.
    pub opened: bool,
}

/// What to do with a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullAction {
    /// Approve it.
    Approve,
    /// Mark a draft ready.
    Ready,
    /// Merge its head into its base.
    Merge,
    /// Close it without a merge, and say why.
    Close(Option<String>),
}

/// A change, file by file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Diff {
    /// The commit it starts from.
    #[schema(value_type = Option<String>)]
    pub base: Option<CommitSha>,
    /// The commit that holds it.
    #[schema(value_type = Option<String>)]
    pub head: Option<CommitSha>,
    /// The files, by path.
    pub files: Vec<FileDiff>,
    /// Whether patches were cut because the whole is too long: then this is not all there is to review.
    pub truncated: bool,
}

/// What happens to one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FileDiff {
    /// The file.
    #[schema(example = "clusters/prod/namespaces/payments.yaml")]
    pub path: String,
    /// What happens to it.
    pub change: FileChangeKind,
    /// The difference in unified form, with its `---` and `+++` lines.
    pub patch: String,
}

/// Whether a file is new, changed or gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileChangeKind {
    /// It was not there before.
    Added,
    /// It has other bytes.
    Modified,
    /// It is gone.
    Removed,
}

/// Why a person's wish was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// 404: no such thing; the text continues "there is no".
    #[error("there is no {0}")]
    NotFound(String),
    /// 409: not in this state.
    #[error("{0}")]
    Conflict(String),
    /// 422: every problem with what was sent, at once.
    #[error("{message}")]
    Invalid {
        /// What is wrong, in a sentence.
        message: String,
        /// Each problem.
        problems: Vec<Problem>,
    },
    /// 409: this repository's forge cannot do it.
    #[error("{0}")]
    Unsupported(String),
    /// 503: worth another try.
    #[error("{message}")]
    Busy {
        /// What the caller is told.
        message: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// 500: ours; logged, not told.
    #[error("{0}")]
    Failed(String),
}

/// One problem with what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Where: a JSON pointer (RFC 6901) into the body, or a parameter's name.
    #[schema(example = "/parameters/team")]
    pub field: String,
    /// What is wrong there.
    pub message: String,
}

/// The resources in force, as people look at them. Answers come from memory.
pub trait Inventory: Send + Sync + 'static {
    /// Every automation, by name.
    fn automations(&self) -> Vec<AutomationView>;
    /// Every source, by name; never a secret.
    fn sources(&self) -> Vec<SourceView>;
    /// Every cluster, by name.
    fn clusters(&self) -> Vec<ClusterView>;
    /// Every repository, by name; never a credential.
    fn repositories(&self) -> Vec<RepositoryView>;
    /// Every channel, by name; never a secret.
    fn channels(&self) -> Vec<ChannelView>;
    /// Calendars, by name, and how each stands now.
    fn calendars(&self) -> Vec<CalendarView>;
    /// Every MCP server, by name; never a secret.
    fn mcp_servers(&self) -> Vec<McpServerView>;
    /// Every template, by name.
    fn templates(&self) -> Vec<TemplateView>;
    /// How the last load went.
    fn status(&self) -> ResourcesStatus;
}

/// How the last load of the resources went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ResourcesStatus {
    /// When the set in force was loaded; none when none ever was, and then the service is not ready.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub loaded_at: Option<Timestamp>,
    /// What is wrong with the files as they are now, each with its place; empty when the set in force is what is on disk.
    pub problems: Vec<String>,
}
