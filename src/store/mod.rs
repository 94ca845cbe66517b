//! Where everything that was acknowledged is kept: deliveries, events, requests, their timelines and the tasks still owed.
//! Between states the store is the only truth. A change of state and the tasks it causes are written in one transaction;
//! nothing here decides what happens next, and no method does I/O besides the database's own.

mod commands;
mod copilot;
mod copy;
mod cursor;
mod drafts;
mod feedback;
pub mod inbox;
pub mod lane;
mod queries;
mod replicas;
mod records;
mod postgres;
mod signals;
mod sql;
mod sqlite;
mod status;
mod storms;
mod tasks;
mod trace;

pub use commands::*;
pub use copilot::*;
pub use copy::{Backup, BackupFacts, ComparedTable, CopiedTable, CopyProgress, IfNotEmpty};
pub use drafts::*;
pub use feedback::*;
pub use postgres::PostgresOptions;
pub use queries::*;
pub use records::*;
pub use replicas::*;
pub use signals::*;
pub use sql::{SqlStore, database_errors};
pub use sqlite::SqliteOptions;
pub use status::{Described, StoreKind};
pub use storms::*;
pub use tasks::*;
pub use trace::Clue;

use crate::request::{Member, Request, Rival, TimelineEntry, Touch};
use crate::types::{CommitSha, DeliveryId, ErrorClass, EventId, RepositoryName, RequestId, SourceName, Timestamp, TokenId};
use async_trait::async_trait;
use std::collections::HashMap;
use std::time::Duration;

/// What opening a store does about its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SchemaOnOpen {
    /// Brings it up to date, in one transaction.
    #[default]
    Migrate,
    /// Refuses one that is older than this program's: a command beside the server must not change it under the server's hands.
    Expect,
    /// Takes it as it is, also one of a copy that was broken off: for whoever tells of it, or reads it table by table.
    AsItIs,
    /// As [`Self::Migrate`], also for a copy that was broken off and begins again.
    CopyInto,
}

impl SchemaOnOpen {
    /// Whether the schema is changed.
    fn migrates(self) -> bool {
        matches!(self, Self::Migrate | Self::CopyInto)
    }

    /// Whether the store is worked with, so that it has to be whole.
    fn is_for_work(self) -> bool {
        matches!(self, Self::Migrate | Self::Expect)
    }
}

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, or the database refuses to grow: callers answer 503 and try again.
    #[error("the store is full: {0}")]
    Full(String),
    /// The database is busy or away.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// Somebody else changed the row first, or the lease was lost: read again.
    #[error("another writer was first: {0}")]
    Conflict(String),
    /// The database takes no such row: a value is too large, of another type, or breaks one of its rules. Trying again changes nothing.
    #[error("the store does not take this: {0}")]
    Refused(String),
    /// No such row.
    #[error("there is no {0}")]
    NotFound(String),
    /// [`PageQuery::after`] is not a cursor this listing gave: the caller's input, HTTP 400.
    #[error("this is not a cursor of the {0} listing: begin again without one")]
    BadCursor(&'static str),
    /// The database that was named cannot be used: a wrong address, another program's file, or one written by a newer
    /// version. The message says what to do.
    #[error("the store cannot be used: {0}")]
    Unusable(String),
    /// The database holds what this program cannot read, or refuses a statement: ours.
    #[error("the store failed: {0}")]
    Broken(String),
}

impl StoreError {
    /// The same with what it is about, where it is not about a row: several stores and files may be in play.
    #[must_use]
    fn about(self, place: &str) -> Self {
        match self {
            Self::Unusable(why) => Self::Unusable(format!("{place}: {why}")),
            Self::Broken(why) => Self::Broken(format!("{place}: {why}")),
            other => other,
        }
    }

    /// How the error is to be treated.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Full(_) | Self::Unavailable(_) | Self::Conflict(_) => ErrorClass::Transient,
            Self::NotFound(_) | Self::BadCursor(_) | Self::Unusable(_) => ErrorClass::User,
            Self::Refused(_) | Self::Broken(_) => ErrorClass::Bug,
        }
    }
}

/// The database behind KubeOps. One contract suite (`tests/it/store/`) holds every implementation to these words.
#[async_trait]
pub trait Store: Drafts + Copilots + Replicas + Send + Sync + 'static {
    // ---- inbox -------------------------------------------------------------------------------------------------

    /// Writes all of `batch` in one transaction and returns, in the same order, what became of each. When this returns
    /// `Ok`, every delivery is on disk (fsynced). A delivery whose `(source, dedup_key)` was written before (or stands
    /// earlier in the batch) is a duplicate and answered with the first one's id.
    ///
    /// # Errors
    /// Then nothing of the batch was written.
    async fn append(&self, batch: &[NewDelivery]) -> Result<Vec<Appended>, StoreError>;

    /// The oldest deliveries nobody has dispatched yet, in order of receipt, without those that are passed by: fewer than `limit` where their
    /// bodies are large, none only when nothing else waits.
    async fn pending_besides(&self, passed_by: &[DeliveryId], limit: u32) -> Result<Vec<Delivery>, StoreError>;

    /// As [`Self::pending_besides`], with none passed by.
    async fn pending_deliveries(&self, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.pending_besides(&[], limit).await
    }

    /// Records, in one transaction, what each delivery said and which requests it opened or joined. An entry whose delivery
    /// was dispatched before is skipped, an event whose `(source, key)` was recorded before is marked as told again and opens
    /// nothing. Per opening: a live request with the same automation and correlation is joined (a timeline note), else a
    /// request with the next generation is inserted in state `accepted` with a timeline entry and a `plan` task. Where the
    /// opening says so, that task waits for further events: each that joins before it was ever begun moves it on within its
    /// bound, and the newest of them becomes the request's event.
    ///
    /// An opening of a group joins, or opens, the request with the group's key, and becomes a member of it with its own event and
    /// parameters, in order of arrival. Of a member that is there already a further event counts only while it waits for events, was
    /// refused or changed nothing: then it is a new try. A member that is new, or tries anew, after the request was begun leaves a
    /// `replan` task, which waits for further events as a first plan does.
    /// Returns, per entry, the requests opened or joined.
    async fn dispatch(&self, entries: &[Dispatch], now: Timestamp) -> Result<Vec<Vec<RequestId>>, StoreError>;

    // ---- tasks -------------------------------------------------------------------------------------------------

    /// Leases due tasks to the claimer until `now + lease`: of as many lanes as there is room for, and of each named lane up to as many as
    /// there is room for, to be done together; a task without a lane counts as a lane of its own. Tasks of alerts come first, then
    /// the oldest. At most one task of a request, and
    /// none of a lane or a request of which another task is leased: whoever holds a task of a lane holds the lane. A lease that ran
    /// out is free again, and its task comes before all that wait. A task that was begun twice without an end comes
    /// alone. What waits in a repository's lanes is left to the owner that holds another task there, and for two seconds more to the one that
    /// last claimed or settled something there: its mirror holds what was planned. What that one leaves lying for ten seconds (of an alert: two)
    /// in a lane in which it does nothing is anybody's. Each claim raises the task's fence. Tasks of a lane stand together in the answer.
    /// A lease that ran out counts as lost as far as `claimer` says; what is not lost is held.
    async fn claim_as(&self, claimer: Claimer<'_>, now: Timestamp, lease: Duration, room: Room) -> Result<Vec<ClaimedTask>, StoreError>;

    /// As [`Self::claim_as`], for an owner that has nothing in hand and believes the clock.
    async fn claim(&self, owner: &str, now: Timestamp, lease: Duration, room: Room) -> Result<Vec<ClaimedTask>, StoreError> {
        self.claim_as(Claimer::of(owner), now, lease, room).await
    }

    /// What the clock shows, and how far what waits has followed it, at one moment.
    async fn clock(&self) -> Result<StoreClock, StoreError>;

    /// The clock was set back by so much and shows `now`: what would be due by now is, what waits for a pause waits as long as it would
    /// have, and no lease lasts longer than `lease` from now. What waits for a moment of the clock on the wall goes on waiting for it.
    /// False, and nothing is done, where what waits has followed by something else than `before` in all until now: another process was first.
    async fn set_back(&self, by: Duration, before: Duration, lease: Duration, now: Timestamp) -> Result<bool, StoreError>;

    /// The newest moment that was written to a timeline since the clock was set back last: what it showed once.
    async fn newest_moment(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Makes the leases last until `until`, all or none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when one of them was lost.
    async fn extend_leases(&self, tasks: &[&ClaimedTask], until: Timestamp) -> Result<(), StoreError>;

    /// In one transaction, for each: the request's new state (checked against its version), its timeline entries, follow-up
    /// tasks, and what becomes of the task itself. `updated_at` becomes `now` and the version is raised by the store. The
    /// outcomes stand in the order given; one that was refused writes nothing and harms no other:
    /// [`StoreError::Conflict`] when its lease was lost (fence) or its request was changed by another writer, [`StoreError::Refused`] or
    /// [`StoreError::Broken`] when the database takes no such rows; then the task is still held.
    ///
    /// # Errors
    /// When the store fails otherwise; then nothing of all was written.
    async fn settle_all(&self, settled: &[(&ClaimedTask, &Settlement)], now: Timestamp) -> Result<Vec<Result<(), StoreError>>, StoreError>;

    /// As [`Self::settle_all`], for one.
    ///
    /// # Errors
    /// What became of it.
    async fn settle(&self, task: &ClaimedTask, settlement: &Settlement, now: Timestamp) -> Result<(), StoreError> {
        let mut outcomes = self.settle_all(&[(task, settlement)], now).await?;
        outcomes.pop().unwrap_or_else(|| Err(StoreError::Broken("the store told nothing of a settlement".to_owned())))
    }

    /// Adds tasks to requests that do not change otherwise; at most one of a kind waits for a request. What is said of a request
    /// that is no longer kept is passed over.
    async fn add_tasks(&self, tasks: &[NewTask]) -> Result<(), StoreError>;

    /// Adds tasks to a request as [`Self::add_tasks`], with a line of its timeline, in one transaction. The request does not change
    /// otherwise, so a step that is at work on it comes to its end undisturbed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such request.
    async fn add_tasks_noted(&self, id: &RequestId, tasks: &[NewTask], entry: &TimelineEntry) -> Result<(), StoreError>;

    /// Gives every task leased to `owner` back at once, its attempt not counted: what a worker does when it shuts down.
    async fn release(&self, owner: &str) -> Result<u64, StoreError>;

    /// As [`Self::release`], but with the attempt counted: what a process does at its start for the one before it of the same
    /// name, which died. What it held may have been done in part, and a step that kills its process must not be tried for ever.
    async fn take_back(&self, owner: &str) -> Result<u64, StoreError>;

    /// The moment before which no claim of `claimer` with this room finds anything: when the first task that nothing stands before becomes due, or a
    /// lease runs out that counts as lost then; none when nothing waits there and there is no such lease.
    async fn next_due_as(&self, claimer: Claimer<'_>, room: Room) -> Result<Option<Timestamp>, StoreError>;

    /// As [`Self::next_due_as`], for an owner that has nothing in hand and believes the clock.
    async fn next_due(&self, owner: &str, room: Room) -> Result<Option<Timestamp>, StoreError> {
        self.next_due_as(Claimer::of(owner), room).await
    }

    /// Tasks of a request, or dead letters of all requests, newest first.
    async fn tasks(&self, filter: &TaskFilter, limit: u32) -> Result<Vec<Task>, StoreError>;

    // ---- limits ------------------------------------------------------------------------------------------------

    /// Asks for room to open a pull request under the limits named, and takes it when there is some: what was opened within the
    /// last hour and what was given room counts. Room that was given is kept until the pull request is open or none came of it;
    /// asked again, it is given again. Who finds none waits in the order of asking; the answer tells when its turn should come.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the lease of `held`, the task that asks, was lost.
    async fn admit(&self, held: &ClaimedTask, wanted: &Admission, now: Timestamp) -> Result<Admitted, StoreError>;

    /// What other requests did to one of these files since a moment: those whose pull request was merged, withdrawn or closed
    /// since, the last first, `limit` at most.
    async fn touches(&self, query: &TouchQuery<'_>, limit: u32) -> Result<Vec<Touch>, StoreError>;

    // ---- requests ----------------------------------------------------------------------------------------------

    /// One request. [`StoreError::NotFound`] when there is none.
    async fn request(&self, id: &RequestId) -> Result<Request, StoreError>;

    /// The request whose pull request this is, the newest when there are several.
    async fn request_of_pull(&self, repository: &RepositoryName, number: u64) -> Result<Option<Request>, StoreError>;

    /// The requests that a clue leads to, newest first, `limit` at most.
    async fn requests_about(&self, clue: &Clue, limit: u32) -> Result<Vec<RequestId>, StoreError>;

    /// Requests that pass `filter`, newest first.
    async fn requests(&self, filter: &RequestFilter, page: &PageQuery) -> Result<Page<Request>, StoreError>;

    /// Other requests that change one of the files, newest first: live ones, and those merged since a moment. `limit` at most.
    async fn rivals(&self, query: &RivalQuery<'_>, limit: u32) -> Result<Vec<Rival>, StoreError>;

    /// Which of these commits a request of the repository has, or has pushed, and whether one of them is live.
    async fn commits_kept(&self, repository: &RepositoryName, among: &[CommitSha]) -> Result<HashMap<CommitSha, bool>, StoreError>;

    /// The members of a request that stands for a group, in order of arrival, `limit` at most of those behind the number `behind`; `open`
    /// leaves out those that were withdrawn.
    async fn members(&self, id: &RequestId, open: bool, behind: u32, limit: u32) -> Result<Vec<Member>, StoreError>;

    /// Takes a member out of a live group, with a timeline entry and the task that follows; the last one taken out withdraws the
    /// request. Tells the request as it is now.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such request or member, [`StoreError::Conflict`] when the request has ended or the
    /// member was taken out before.
    async fn withdraw_member(&self, withdrawal: &Withdrawal, now: Timestamp) -> Result<Request, StoreError>;

    /// What of a request's key, or of its members' keys, the newest event took back, in order of the members' arrival.
    async fn taken_back(&self, id: &RequestId) -> Result<Vec<TakenBack>, StoreError>;

    /// What delivery tools said of a repository's commits, the newest word first, as far as it was heard since a moment.
    async fn deployments(&self, repository: &RepositoryName, since: Timestamp, limit: u32) -> Result<Vec<Deployment>, StoreError>;

    /// What was said of the end of runs that have a kind, a name and a namespace of objects the request adds, the earliest end first,
    /// `limit` at most. What was heard before the request was first planned is of an earlier run of that name.
    async fn run_ends(&self, id: &RequestId, limit: u32) -> Result<Vec<RunEnd>, StoreError>;

    /// Everything there is to tell outside of a request, and what was told.
    async fn told_so_far(&self, id: &RequestId) -> Result<ToldSoFar, StoreError>;

    /// Keeps where an act of telling stands, over what was kept of it before, with timeline entries of its request, in one transaction, as long
    /// as `held` holds its task. An act that is done stays so: then nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the lease was lost.
    async fn note_act(&self, held: &ClaimedTask, act: &Act, timeline: &[TimelineEntry]) -> Result<(), StoreError>;

    /// Has acts that were refused stand as begun, and leaves any other as it is. A person asks for it, who holds no task and has no fence.
    async fn begin_again_unfenced(&self, refused: &[ActKey], now: Timestamp) -> Result<(), StoreError>;

    /// The comments with commands about a request that are not over, in the order in which they were heard of.
    async fn commands(&self, id: &RequestId) -> Result<Vec<CommandComment>, StoreError>;

    /// Keeps where a comment with commands stands, with timeline entries of its request, in one transaction, as long as `held` holds its task.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when nobody heard of such a comment, [`StoreError::Conflict`] when the lease was lost.
    async fn note_command(&self, held: &ClaimedTask, command: &CommandComment, timeline: &[TimelineEntry]) -> Result<(), StoreError>;

    /// A request's timeline, oldest first.
    async fn timeline(&self, id: &RequestId) -> Result<Vec<TimelineEntry>, StoreError>;

    /// Writes a request changed outside a task (an approval, a retry, a cancellation) with its timeline entries and tasks;
    /// `request.version` is the version read; the store raises it and sets `updated_at` to `now`. Tasks still waiting for this request are dropped first when `drop_tasks` is set.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another writer was first.
    async fn update_request(&self, request: &Request, update: &RequestUpdate, now: Timestamp) -> Result<(), StoreError>;

    // ---- reading back ------------------------------------------------------------------------------------------

    /// One delivery with its bytes.
    async fn delivery(&self, id: &DeliveryId) -> Result<Delivery, StoreError>;

    /// Deliveries, newest first; bodies are left empty.
    async fn deliveries(&self, filter: &DeliveryFilter, page: &PageQuery) -> Result<Page<Delivery>, StoreError>;

    /// One event with the decisions taken on it.
    async fn event(&self, id: &EventId) -> Result<EventRecord, StoreError>;

    /// Events, newest first.
    async fn events(&self, filter: &EventFilter, page: &PageQuery) -> Result<Page<EventRecord>, StoreError>;

    /// Which of these keys of a source's events are recorded, in their order: see [`DispatchedEvent::key`].
    async fn are_recorded(&self, source: &SourceName, keys: &[String]) -> Result<Vec<bool>, StoreError>;

    // ---- pull requests of the local forge -----------------------------------------------------------------------

    /// Adds a pull request record and returns its number, counted from 1 within the repository. When an open one with the
    /// same head branch exists, nothing is added and that one's number is returned.
    async fn insert_pull(&self, pull: &PullRecord) -> Result<u64, StoreError>;

    /// Replaces a record, if its `version` is still the one read; the store raises it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another writer was first, or when it opens a second pull request of a head branch.
    async fn update_pull(&self, pull: &PullRecord) -> Result<(), StoreError>;

    /// One record; none when there is none.
    async fn pull(&self, repository: &RepositoryName, number: u64) -> Result<Option<PullRecord>, StoreError>;

    /// Records, newest first.
    async fn pulls(&self, filter: &PullFilter, page: &PageQuery) -> Result<Page<PullRecord>, StoreError>;

    // ---- tokens ------------------------------------------------------------------------------------------------

    /// Adds an API token (its hash, never the token).
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the id or the hash is there already.
    async fn insert_token(&self, token: &TokenRecord) -> Result<(), StoreError>;

    /// The token with this hash, unless revoked or expired at `now`.
    async fn token_by_hash(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<TokenRecord>, StoreError>;

    /// Every token, newest first.
    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError>;

    /// Revokes a token. [`StoreError::NotFound`] when there is none.
    async fn revoke_token(&self, id: &TokenId, now: Timestamp) -> Result<(), StoreError>;

    // ---- upkeep ------------------------------------------------------------------------------------------------

    /// Counts for readiness and metrics.
    async fn stats(&self, now: Timestamp) -> Result<Stats, StoreError>;

    /// Removes up to `limit` deliveries received before `before` with their events, and as many ended requests last changed
    /// before it, events a person filed, and words of each kind ([`Pruned::words`]); never a delivery that is still to be
    /// dispatched or that a live request was opened or joined by, nor a request that still has a task or a dead letter. With a request go its
    /// pull requests of the local forge that are over, but for the newest of a repository.
    ///
    /// Deliveries are looked through from where `reached` says, and no more of them than takes a moment: called again with how far that was,
    /// it looks at none twice, until it removes nothing and is no farther.
    async fn prune_from(&self, before: Timestamp, reached: Reached, limit: u32) -> Result<(Pruned, Reached), StoreError>;

    /// [`Self::prune_from`] the oldest delivery on, until something is removed or all were looked through.
    async fn prune(&self, before: Timestamp, limit: u32) -> Result<Pruned, StoreError> {
        let mut reached = Reached::default();
        loop {
            let (pruned, next) = self.prune_from(before, reached, limit).await?;
            if pruned != Pruned::default() || next == reached {
                return Ok(pruned);
            }
            reached = next;
        }
    }

    /// Whether a write would succeed now: what readiness asks.
    async fn check(&self) -> Result<(), StoreError>;

    /// Finishes what is in flight and closes the database.
    async fn close(&self);
}
