//! The store in a database: one set of statements, in SQLite's words, for both databases. Every write is one short transaction, and of those
//! that read before they write only one is under way at a time, in whatever process.
//! What the two keep or do differently stands in their own folders; SQL stands nowhere else.

pub(super) mod batch;
pub(super) mod query;
pub(super) mod rows;
mod admissions;
mod affinity;
mod clock;
mod commands;
mod copilot;
mod debounce;
pub(super) mod deliveries;
pub(super) mod dialect;
mod dispatch;
mod drafts;
pub(super) mod error;
mod events;
mod feedback;
mod fence;
mod members;
pub(super) mod migrating;
mod pulls;
mod readers;
mod replicas;
mod requests;
mod runs;
mod signals;
mod tasks;
mod tokens;
mod trace;
mod turns;
mod upkeep;

pub use error::database_errors;

use super::postgres::{self, PostgresOptions};
use super::sqlite::{self, SqliteOptions};
use super::{
    Act, ActKey, Admission, Admitted, Appended, ClaimedTask, Claimer, Clue, CommandComment, Delivery, DeliveryFilter, Deployment, Dispatch,
    EventFilter, EventRecord, NewDelivery, NewTask, Page, PageQuery, Pruned, PullFilter, PullRecord, Reached, RequestFilter, RequestUpdate,
    RivalQuery, Room, RunEnd, Settlement, Stats, Store, StoreClock, StoreError, TakenBack, Task, TaskFilter, TokenRecord, ToldSoFar, TouchQuery,
    Withdrawal,
};
use crate::request::{Member, Request, Rival, TimelineEntry, Touch};
use crate::types::{CommitSha, DeliveryId, EventId, RepositoryName, RequestId, SourceName, Timestamp, TokenId};
use async_trait::async_trait;
use query::Connection;
use std::collections::HashMap;
use std::time::Duration;

/// A store in a database.
pub struct SqlStore {
    database: Database,
    /// Where it is, for people: it holds no password.
    place: String,
    record: dispatch::Statements,
}

/// The databases there are.
pub(super) enum Database {
    Sqlite(Box<sqlite::File>),
    Postgres(Box<postgres::Pool>),
}

/// A write transaction of one of them. Dropped without [`Write::finish`], nothing of it remains.
pub(super) enum Write<'d> {
    Sqlite(sqlite::Write<'d>),
    Postgres(postgres::Write),
}

impl SqlStore {
    /// Opens the store in the SQLite file at a path or an address (`sqlite:///var/lib/kubeops/kubeops.db`, `sqlite:kubeops.db`). A missing
    /// file is created with its directory, readable by its owner alone, unless the options refuse it; the schema is brought up to date.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for an address it does not understand, a missing file that is not to be made, another program's
    /// database or a newer schema; else what the database says.
    pub async fn sqlite(address: &str, options: SqliteOptions) -> Result<Self, StoreError> {
        let database = Database::Sqlite(Box::new(sqlite::File::open(address, &options).await?));
        Ok(Self { database, place: address.to_owned(), record: dispatch::Statements::new() })
    }

    /// Opens the store in the PostgreSQL database at an address (`postgres://user:password@host/database?sslmode=verify-full`), 14 or later,
    /// and brings its schema up to date, unless the options refuse it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for an address it does not understand, another program's database or a newer schema; else what the
    /// database says. No error holds the password.
    pub async fn postgres(address: &str, options: PostgresOptions) -> Result<Self, StoreError> {
        let database = Database::Postgres(Box::new(postgres::Pool::open(address, &options).await?));
        Ok(Self { database, place: postgres::shown(address), record: dispatch::Statements::new() })
    }
}

impl SqlStore {
    /// The database, for what is done to it as a whole.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// The error, with which store it is about.
    pub(super) fn about(&self, error: StoreError) -> StoreError {
        error.about(&self.place)
    }

    /// The migrations that opening it applied: their versions, in order.
    pub fn migrated(&self) -> &[i64] {
        match &self.database {
            Database::Sqlite(file) => file.migrated(),
            Database::Postgres(pool) => pool.migrated(),
        }
    }

    /// Does something in a transaction, once no other write is under way.
    async fn writing<T>(&self, work: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.database.write().await?.over(work).await
    }

    /// The same with rows that are this process's own. Where the database can, others write beside it.
    async fn writing_beside<T>(&self, work: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.database.write_beside().await?.over(work).await
    }

    /// The same to claim tasks, once nobody else claims any.
    async fn claiming<T>(&self, work: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.database.claim().await?.over(work).await
    }
}

impl Database {
    /// A connection to read with; it sees every transaction committed before.
    pub(super) async fn read(&self) -> Result<Connection, StoreError> {
        match self {
            Self::Sqlite(file) => file.read().await,
            Self::Postgres(pool) => pool.read().await,
        }
    }

    /// A connection that sees one moment, for as long as it is read: what is committed from its first statement on it never sees.
    pub(super) async fn view(&self) -> Result<Connection, StoreError> {
        match self {
            Self::Sqlite(file) => file.view().await,
            Self::Postgres(pool) => pool.view().await,
        }
    }

    /// Begins a write transaction, once no other is under way.
    pub(super) async fn write(&self) -> Result<Write<'_>, StoreError> {
        Ok(match self {
            Self::Sqlite(file) => Write::Sqlite(file.write().await?),
            Self::Postgres(pool) => Write::Postgres(pool.write().await?),
        })
    }

    /// Begins a write transaction that claims tasks, once nobody else claims any. Where the database can, others write beside it.
    async fn claim(&self) -> Result<Write<'_>, StoreError> {
        Ok(match self {
            Self::Sqlite(file) => Write::Sqlite(file.write().await?),
            Self::Postgres(pool) => Write::Postgres(pool.claim().await?),
        })
    }

    /// Begins a write transaction of rows that are this process's own. Where the database can, others write beside it.
    async fn write_beside(&self) -> Result<Write<'_>, StoreError> {
        Ok(match self {
            Self::Sqlite(file) => Write::Sqlite(file.write().await?),
            Self::Postgres(pool) => Write::Postgres(pool.write_beside().await?),
        })
    }
}

impl Write<'_> {
    /// The connection, for statements of this transaction.
    pub(super) fn connection(&mut self) -> &mut Connection {
        match self {
            Self::Sqlite(write) => write.connection(),
            Self::Postgres(write) => write.connection(),
        }
    }

    /// Does `work` in it, and keeps all of that, or nothing where it comes to an error.
    async fn over<T>(mut self, work: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let result = work(self.connection()).await;
        self.finish(result).await
    }

    /// Commits when `result` is `Ok`, else rolls back; hands `result` on.
    pub(super) async fn finish<T>(self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match self {
            Self::Sqlite(write) => write.finish(result).await,
            Self::Postgres(write) => write.finish(result).await,
        }
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn append(&self, batch: &[NewDelivery]) -> Result<Vec<Appended>, StoreError> {
        match &self.database {
            Database::Sqlite(file) => file.append(batch).await,
            Database::Postgres(pool) => pool.append(batch).await,
        }
    }

    async fn pending_besides(&self, passed_by: &[DeliveryId], limit: u32) -> Result<Vec<Delivery>, StoreError> {
        match &self.database {
            Database::Sqlite(file) => file.pending(passed_by, limit).await,
            Database::Postgres(pool) => pool.pending(passed_by, limit).await,
        }
    }

    async fn dispatch(&self, entries: &[Dispatch], now: Timestamp) -> Result<Vec<Vec<RequestId>>, StoreError> {
        if let Database::Sqlite(file) = &self.database {
            file.file_those_of(entries).await?;
        }
        self.writing(async |connection| dispatch::dispatch(connection, &self.record, entries, now).await).await
    }

    async fn claim_as(&self, claimer: Claimer<'_>, now: Timestamp, lease: Duration, room: Room) -> Result<Vec<ClaimedTask>, StoreError> {
        // Most polls find nothing: they should not take the writer's lock to learn it.
        if turns::candidates(&mut self.database.read().await?, claimer, now, room).await?.is_empty() {
            return Ok(Vec::new());
        }
        self.claiming(async |connection| tasks::claim(connection, claimer, now, lease, room).await).await
    }

    async fn clock(&self) -> Result<StoreClock, StoreError> {
        clock::read(&mut self.database.read().await?).await
    }

    async fn set_back(&self, by: Duration, before: Duration, lease: Duration, now: Timestamp) -> Result<bool, StoreError> {
        self.writing(async |connection| clock::set_back(connection, by, before, lease, now).await).await
    }

    async fn newest_moment(&self) -> Result<Option<Timestamp>, StoreError> {
        clock::newest_moment(&mut self.database.read().await?).await
    }

    async fn extend_leases(&self, tasks: &[&ClaimedTask], until: Timestamp) -> Result<(), StoreError> {
        self.writing_beside(async |connection| tasks::extend_leases(connection, tasks, until).await).await
    }

    async fn settle_all(&self, settled: &[(&ClaimedTask, &Settlement)], now: Timestamp) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.writing(async |connection| tasks::settle_all(connection, settled, now).await).await
    }

    async fn add_tasks(&self, tasks: &[NewTask]) -> Result<(), StoreError> {
        self.writing(async |connection| tasks::add_all(connection, tasks).await).await
    }

    async fn add_tasks_noted(&self, id: &RequestId, tasks: &[NewTask], entry: &TimelineEntry) -> Result<(), StoreError> {
        self.writing(async |connection| tasks::add_noted(connection, id, tasks, entry).await).await
    }

    async fn release(&self, owner: &str) -> Result<u64, StoreError> {
        self.under(owner, async |connection| tasks::release(connection, owner).await).await
    }

    async fn take_back(&self, owner: &str) -> Result<u64, StoreError> {
        self.under(owner, async |connection| tasks::take_back(connection, owner).await).await
    }

    async fn next_due_as(&self, claimer: Claimer<'_>, room: Room) -> Result<Option<Timestamp>, StoreError> {
        turns::next_due(&mut self.database.read().await?, claimer, room).await
    }

    async fn tasks(&self, filter: &TaskFilter, limit: u32) -> Result<Vec<Task>, StoreError> {
        tasks::list(&mut self.database.read().await?, filter, limit).await
    }

    async fn admit(&self, held: &ClaimedTask, wanted: &Admission, now: Timestamp) -> Result<Admitted, StoreError> {
        self.writing(async |connection| admissions::admit(connection, held, wanted, now).await).await
    }

    async fn touches(&self, query: &TouchQuery<'_>, limit: u32) -> Result<Vec<Touch>, StoreError> {
        requests::touches(&mut self.database.read().await?, query, limit).await
    }

    async fn request(&self, id: &RequestId) -> Result<Request, StoreError> {
        requests::one(&mut self.database.read().await?, id).await
    }

    async fn request_of_pull(&self, repository: &RepositoryName, number: u64) -> Result<Option<Request>, StoreError> {
        requests::of_pull(&mut self.database.read().await?, repository, number).await
    }

    async fn requests_about(&self, clue: &Clue, limit: u32) -> Result<Vec<RequestId>, StoreError> {
        trace::requests_about(&mut self.database.read().await?, clue, limit).await
    }

    async fn requests(&self, filter: &RequestFilter, page: &PageQuery) -> Result<Page<Request>, StoreError> {
        requests::list(&mut self.database.read().await?, filter, page).await
    }

    async fn commits_kept(&self, repository: &RepositoryName, among: &[CommitSha]) -> Result<HashMap<CommitSha, bool>, StoreError> {
        requests::commits_kept(&mut self.database.read().await?, repository, among).await
    }

    async fn rivals(&self, query: &RivalQuery<'_>, limit: u32) -> Result<Vec<Rival>, StoreError> {
        requests::rivals(&mut self.database.read().await?, query, limit).await
    }

    async fn members(&self, id: &RequestId, open: bool, behind: u32, limit: u32) -> Result<Vec<Member>, StoreError> {
        members::list(&mut self.database.read().await?, id, open, behind, limit).await
    }

    async fn withdraw_member(&self, withdrawal: &Withdrawal, now: Timestamp) -> Result<Request, StoreError> {
        self.writing(async |connection| members::withdraw(connection, withdrawal, now).await).await
    }

    async fn taken_back(&self, id: &RequestId) -> Result<Vec<TakenBack>, StoreError> {
        signals::taken_back(&mut self.database.read().await?, id).await
    }

    async fn deployments(&self, repository: &RepositoryName, since: Timestamp, limit: u32) -> Result<Vec<Deployment>, StoreError> {
        signals::deployments(&mut self.database.read().await?, repository, since, limit).await
    }

    async fn run_ends(&self, id: &RequestId, limit: u32) -> Result<Vec<RunEnd>, StoreError> {
        runs::of_request(&mut self.database.read().await?, id, limit).await
    }

    async fn told_so_far(&self, id: &RequestId) -> Result<ToldSoFar, StoreError> {
        feedback::told_so_far(&mut self.database.read().await?, id).await
    }

    async fn note_act(&self, held: &ClaimedTask, act: &Act, timeline: &[TimelineEntry]) -> Result<(), StoreError> {
        self.writing(async |connection| feedback::note(connection, held, act, timeline).await).await
    }

    async fn begin_again_unfenced(&self, refused: &[ActKey], now: Timestamp) -> Result<(), StoreError> {
        self.writing(async |connection| feedback::begin_again(connection, refused, now).await).await
    }

    async fn commands(&self, id: &RequestId) -> Result<Vec<CommandComment>, StoreError> {
        commands::of(&mut self.database.read().await?, id).await
    }

    async fn note_command(&self, held: &ClaimedTask, command: &CommandComment, timeline: &[TimelineEntry]) -> Result<(), StoreError> {
        self.writing(async |connection| commands::note(connection, held, command, timeline).await).await
    }

    async fn timeline(&self, id: &RequestId) -> Result<Vec<TimelineEntry>, StoreError> {
        requests::timeline(&mut self.database.read().await?, id).await
    }

    async fn update_request(&self, request: &Request, update: &RequestUpdate, now: Timestamp) -> Result<(), StoreError> {
        self.writing(async |connection| requests::update(connection, request, update, now).await).await
    }

    async fn delivery(&self, id: &DeliveryId) -> Result<Delivery, StoreError> {
        match &self.database {
            Database::Sqlite(file) => file.delivery(id).await,
            Database::Postgres(pool) => pool.delivery(id).await,
        }
    }

    async fn deliveries(&self, filter: &DeliveryFilter, page: &PageQuery) -> Result<Page<Delivery>, StoreError> {
        if let Database::Sqlite(file) = &self.database {
            file.file_to_list().await?;
        }
        deliveries::list(&mut self.database.read().await?, filter, page).await
    }

    async fn event(&self, id: &EventId) -> Result<EventRecord, StoreError> {
        events::one(&mut self.database.read().await?, id).await
    }

    async fn events(&self, filter: &EventFilter, page: &PageQuery) -> Result<Page<EventRecord>, StoreError> {
        events::list(&mut self.database.read().await?, filter, page).await
    }

    async fn are_recorded(&self, source: &SourceName, keys: &[String]) -> Result<Vec<bool>, StoreError> {
        dispatch::are_recorded(&mut self.database.read().await?, &self.record, source, keys).await
    }

    async fn insert_pull(&self, pull: &PullRecord) -> Result<u64, StoreError> {
        self.writing(async |connection| pulls::insert(connection, pull).await).await
    }

    async fn update_pull(&self, pull: &PullRecord) -> Result<(), StoreError> {
        self.writing(async |connection| pulls::update(connection, pull).await).await
    }

    async fn pull(&self, repository: &RepositoryName, number: u64) -> Result<Option<PullRecord>, StoreError> {
        pulls::one(&mut self.database.read().await?, repository, number).await
    }

    async fn pulls(&self, filter: &PullFilter, page: &PageQuery) -> Result<Page<PullRecord>, StoreError> {
        pulls::list(&mut self.database.read().await?, filter, page).await
    }

    async fn insert_token(&self, token: &TokenRecord) -> Result<(), StoreError> {
        self.writing(async |connection| tokens::insert(connection, token).await).await
    }

    async fn token_by_hash(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<TokenRecord>, StoreError> {
        tokens::by_hash(&mut self.database.read().await?, hash, now).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        tokens::list(&mut self.database.read().await?).await
    }

    async fn revoke_token(&self, id: &TokenId, now: Timestamp) -> Result<(), StoreError> {
        self.writing(async |connection| tokens::revoke(connection, id, now).await).await
    }

    async fn stats(&self, now: Timestamp) -> Result<Stats, StoreError> {
        upkeep::stats(&mut self.database.read().await?, now).await
    }

    async fn prune_from(&self, before: Timestamp, reached: Reached, limit: u32) -> Result<(Pruned, Reached), StoreError> {
        if let Database::Sqlite(file) = &self.database {
            file.file_to_prune().await;
        }
        self.writing(async |connection| upkeep::prune(connection, before, reached, limit).await).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.writing(async |connection| upkeep::probe(connection).await).await?;
        match &self.database {
            Database::Sqlite(_) => Ok(()),
            Database::Postgres(pool) => pool.check().await,
        }
    }

    async fn close(&self) {
        match &self.database {
            Database::Sqlite(file) => file.close().await,
            Database::Postgres(pool) => pool.close().await,
        }
    }
}
