//! The store in one SQLite file: the write-ahead log is synced at every commit, so what is acknowledged survives a power cut.
//! One connection writes, others read beside it; several processes may share the file (a command beside the server).
//! SQL stands in this folder only, and every write is one short immediate transaction.

mod admissions;
mod arrivals;
mod batch;
mod clock;
mod commands;
mod connection;
mod copilot;
mod debounce;
mod deliveries;
mod dispatch;
mod drafts;
mod error;
mod events;
mod feedback;
mod members;
mod migrations;
mod pulls;
mod requests;
mod rows;
mod runs;
mod signals;
mod tasks;
mod tokens;
mod trace;
mod upkeep;

use super::{
    Act, Admission, Admitted, Appended, ClaimedTask, Clue, CommandComment, Delivery, DeliveryFilter, Deployment, Dispatch, EventFilter, EventRecord,
    NewDelivery, NewTask, Page, PageQuery, Pruned, PullFilter, PullRecord, RequestFilter, RequestUpdate, RivalQuery, Room, RunEnd, Settlement, Stats,
    Store, StoreError, TakenBack, Task, TaskFilter, TokenRecord, ToldSoFar, TouchQuery, Withdrawal,
};
use crate::request::{Member, Request, Rival, TimelineEntry, Touch};
use crate::types::{CommitSha, DeliveryId, EventId, RepositoryName, RequestId, SourceName, Timestamp, TokenId};
use async_trait::async_trait;
use connection::Database;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a SQLite store is opened.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// How long a write waits for another process, and a read for a free connection, before it is `Unavailable`.
    pub busy_timeout: Duration,
    /// Connections that read, at most; each is opened when it is first needed and costs a thread and up to 1 MiB.
    pub readers: u32,
    /// Whether a missing file is made; a command that only looks must not leave an empty store behind.
    pub create: bool,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { busy_timeout: Duration::from_secs(5), readers: 4, create: true }
    }
}

/// A store in one SQLite file.
pub struct SqliteStore {
    database: Database,
    append: batch::Batched,
    unfiled: arrivals::Unfiled,
    record: dispatch::Statements,
}

impl SqliteStore {
    /// Opens the store at a path or an address (`sqlite:///var/lib/kubeops/kubeops.db`, `sqlite:kubeops.db`). A missing file
    /// is created with its directory, readable by its owner alone, unless the options refuse it; the schema is brought up to date.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for an address it does not understand, a missing file that is not to be made, another program's
    /// database or a newer schema; else what the database says.
    pub async fn open(address: &str, options: SqliteOptions) -> Result<Self, StoreError> {
        let path = path_of(address)?;
        if options.create {
            create_private(&path)?;
        } else if !path.exists() {
            return Err(StoreError::Unusable(format!("there is no store at {}", path.display())));
        }
        Ok(Self {
            database: Database::open(&path, &options).await?,
            append: arrivals::insert_statement(),
            unfiled: arrivals::Unfiled::default(),
            record: dispatch::Statements::new(),
        })
    }

    /// Files the oldest deliveries that are not; tells whether there were any.
    async fn file_some(&self) -> Result<bool, StoreError> {
        if !arrivals::any_unfiled(&mut *self.database.read().await?).await? {
            return Ok(false);
        }
        let mut write = self.database.write().await?;
        let result = arrivals::file(write.connection()).await;
        self.unfiled.forget(&write.finish(result).await?).await;
        Ok(true)
    }

    /// Files every delivery that is not, a slice at a time so that nobody waits long for the writer.
    async fn file_all(&self) -> Result<(), StoreError> {
        while self.file_some().await? {}
        Ok(())
    }

    /// Files at least the deliveries of these entries.
    async fn file_those_of(&self, entries: &[Dispatch]) -> Result<(), StoreError> {
        let ids: Vec<&DeliveryId> = entries.iter().filter_map(|entry| entry.delivery.as_ref()).collect();
        while !deliveries::are_filed(&mut *self.database.read().await?, &ids).await? && self.file_some().await? {}
        Ok(())
    }
}

/// The file an address names.
fn path_of(address: &str) -> Result<PathBuf, StoreError> {
    let refuse = |why: &str| Err(StoreError::Unusable(format!("{why}: write a path, or sqlite:///absolute/path")));
    let path = match address.split_once(':') {
        Some(("sqlite", rest)) => rest.strip_prefix("//").unwrap_or(rest),
        Some((scheme, rest)) if rest.starts_with("//") => return refuse(&format!("`{scheme}` is not SQLite")),
        _ => address,
    };
    if path.is_empty() || path.ends_with('/') {
        return refuse("the address names no file");
    }
    if path.contains(":memory:") {
        return refuse("a store in memory would lose what it acknowledged");
    }
    if path.contains('?') {
        return refuse("options in the address are not understood");
    }
    Ok(PathBuf::from(path))
}

/// Creates the file, if it is missing, so that only its owner reads tickets and token hashes; SQLite gives the log beside it
/// the same mode.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let refuse = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::StorageFull => StoreError::Full(error.to_string()),
        _ => StoreError::Unusable(format!("{}: {error}", path.display())),
    };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(refuse)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(refuse)?;
    Ok(())
}

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, batch: &[NewDelivery]) -> Result<Vec<Appended>, StoreError> {
        arrivals::append(&self.database, &self.unfiled, &self.append, batch).await
    }

    async fn pending_deliveries(&self, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        let pending = deliveries::pending(&mut *self.database.read().await?, limit).await?;
        if pending.is_empty() {
            // What nobody handles is never dispatched: it is filed when nothing else is to be done.
            self.file_all().await?;
        }
        Ok(pending)
    }

    async fn dispatch(&self, entries: &[Dispatch], now: Timestamp) -> Result<Vec<Vec<RequestId>>, StoreError> {
        self.file_those_of(entries).await?;
        let mut write = self.database.write().await?;
        let result = dispatch::dispatch(write.connection(), &self.record, entries, now).await;
        write.finish(result).await
    }

    async fn claim(&self, owner: &str, now: Timestamp, lease: Duration, room: Room) -> Result<Vec<ClaimedTask>, StoreError> {
        // Most polls find nothing: they should not take the writer's lock to learn it.
        if tasks::candidates(&mut *self.database.read().await?, now, room).await?.is_empty() {
            return Ok(Vec::new());
        }
        let mut write = self.database.write().await?;
        let result = tasks::claim(write.connection(), owner, now, lease, room).await;
        write.finish(result).await
    }

    async fn set_back(&self, by: Duration, lease: Duration, now: Timestamp) -> Result<(), StoreError> {
        let mut write = self.database.write().await?;
        let result = clock::set_back(write.connection(), by, lease, now).await;
        write.finish(result).await
    }

    async fn newest_moment(&self) -> Result<Option<Timestamp>, StoreError> {
        clock::newest_moment(&mut *self.database.read().await?).await
    }

    async fn extend_leases(&self, tasks: &[&ClaimedTask], until: Timestamp) -> Result<(), StoreError> {
        let mut write = self.database.write().await?;
        let result = tasks::extend_leases(write.connection(), tasks, until).await;
        write.finish(result).await
    }

    async fn settle_all(&self, settled: &[(&ClaimedTask, &Settlement)], now: Timestamp) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let mut write = self.database.write().await?;
        let result = tasks::settle_all(write.connection(), settled, now).await;
        write.finish(result).await
    }

    async fn add_tasks(&self, tasks: &[NewTask]) -> Result<(), StoreError> {
        let mut write = self.database.write().await?;
        let result = tasks::add_all(write.connection(), tasks).await;
        write.finish(result).await
    }

    async fn add_tasks_noted(&self, id: &RequestId, tasks: &[NewTask], entry: &TimelineEntry) -> Result<(), StoreError> {
        let mut write = self.database.write().await?;
        let result = tasks::add_noted(write.connection(), id, tasks, entry).await;
        write.finish(result).await
    }

    async fn release(&self, owner: &str) -> Result<u64, StoreError> {
        let mut write = self.database.write().await?;
        let result = tasks::release(write.connection(), owner).await;
        write.finish(result).await
    }

    async fn take_back(&self, owner: &str) -> Result<u64, StoreError> {
        let mut write = self.database.write().await?;
        let result = tasks::take_back(write.connection(), owner).await;
        write.finish(result).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        tasks::next_due(&mut *self.database.read().await?).await
    }

    async fn tasks(&self, filter: &TaskFilter, limit: u32) -> Result<Vec<Task>, StoreError> {
        tasks::list(&mut *self.database.read().await?, filter, limit).await
    }

    async fn admit(&self, wanted: &Admission, now: Timestamp) -> Result<Admitted, StoreError> {
        let mut write = self.database.write().await?;
        let result = admissions::admit(write.connection(), wanted, now).await;
        write.finish(result).await
    }

    async fn touches(&self, query: &TouchQuery<'_>, limit: u32) -> Result<Vec<Touch>, StoreError> {
        requests::touches(&mut *self.database.read().await?, query, limit).await
    }

    async fn request(&self, id: &RequestId) -> Result<Request, StoreError> {
        requests::one(&mut *self.database.read().await?, id).await
    }

    async fn request_of_pull(&self, repository: &RepositoryName, number: u64) -> Result<Option<Request>, StoreError> {
        requests::of_pull(&mut *self.database.read().await?, repository, number).await
    }

    async fn requests_about(&self, clue: &Clue, limit: u32) -> Result<Vec<RequestId>, StoreError> {
        trace::requests_about(&mut *self.database.read().await?, clue, limit).await
    }

    async fn requests(&self, filter: &RequestFilter, page: &PageQuery) -> Result<Page<Request>, StoreError> {
        requests::list(&mut *self.database.read().await?, filter, page).await
    }

    async fn commits_kept(&self, repository: &RepositoryName, among: &[CommitSha]) -> Result<HashMap<CommitSha, bool>, StoreError> {
        requests::commits_kept(&mut *self.database.read().await?, repository, among).await
    }

    async fn rivals(&self, query: &RivalQuery<'_>, limit: u32) -> Result<Vec<Rival>, StoreError> {
        requests::rivals(&mut *self.database.read().await?, query, limit).await
    }

    async fn members(&self, id: &RequestId, open: bool, limit: u32) -> Result<Vec<Member>, StoreError> {
        members::list(&mut *self.database.read().await?, id, open, limit).await
    }

    async fn withdraw_member(&self, withdrawal: &Withdrawal, now: Timestamp) -> Result<Request, StoreError> {
        let mut write = self.database.write().await?;
        let result = members::withdraw(write.connection(), withdrawal, now).await;
        write.finish(result).await
    }

    async fn taken_back(&self, id: &RequestId) -> Result<Vec<TakenBack>, StoreError> {
        signals::taken_back(&mut *self.database.read().await?, id).await
    }

    async fn deployments(&self, repository: &RepositoryName, since: Timestamp, limit: u32) -> Result<Vec<Deployment>, StoreError> {
        signals::deployments(&mut *self.database.read().await?, repository, since, limit).await
    }

    async fn run_ends(&self, id: &RequestId, limit: u32) -> Result<Vec<RunEnd>, StoreError> {
        runs::of_request(&mut *self.database.read().await?, id, limit).await
    }

    async fn told_so_far(&self, id: &RequestId) -> Result<ToldSoFar, StoreError> {
        feedback::told_so_far(&mut *self.database.read().await?, id).await
    }

    async fn note_act(&self, act: &Act, timeline: &[TimelineEntry]) -> Result<(), StoreError> {
        let mut write = self.database.write().await?;
        let result = feedback::note(write.connection(), act, timeline).await;
        write.finish(result).await
    }

    async fn commands(&self, id: &RequestId) -> Result<Vec<CommandComment>, StoreError> {
        commands::of(&mut *self.database.read().await?, id).await
    }

    async fn note_command(&self, command: &CommandComment, timeline: &[TimelineEntry]) -> Result<(), StoreError> {
        let mut write = self.database.write().await?;
        let result = commands::note(write.connection(), command, timeline).await;
        write.finish(result).await
    }

    async fn timeline(&self, id: &RequestId) -> Result<Vec<TimelineEntry>, StoreError> {
        requests::timeline(&mut *self.database.read().await?, id).await
    }

    async fn update_request(&self, request: &Request, update: &RequestUpdate, now: Timestamp) -> Result<(), StoreError> {
        let mut write = self.database.write().await?;
        let result = requests::update(write.connection(), request, update, now).await;
        write.finish(result).await
    }

    async fn delivery(&self, id: &DeliveryId) -> Result<Delivery, StoreError> {
        if let Some(delivery) = deliveries::one(&mut *self.database.read().await?, id).await? {
            return Ok(delivery);
        }
        let filing = self.file_all().await;
        let filed = deliveries::one(&mut *self.database.read().await?, id).await?;
        // It may be among what a full disk lets nobody file.
        filed.ok_or_else(|| filing.err().unwrap_or_else(|| StoreError::NotFound(format!("delivery {id}"))))
    }

    async fn deliveries(&self, filter: &DeliveryFilter, page: &PageQuery) -> Result<Page<Delivery>, StoreError> {
        match self.file_all().await {
            // Reading goes on; the newest are missing until there is room again.
            Err(StoreError::Full(error)) => tracing::warn!(error, "deliveries that arrived last are not listed: the store is full"),
            filing => filing?,
        }
        deliveries::list(&mut *self.database.read().await?, filter, page).await
    }

    async fn event(&self, id: &EventId) -> Result<EventRecord, StoreError> {
        events::one(&mut *self.database.read().await?, id).await
    }

    async fn events(&self, filter: &EventFilter, page: &PageQuery) -> Result<Page<EventRecord>, StoreError> {
        events::list(&mut *self.database.read().await?, filter, page).await
    }

    async fn are_recorded(&self, source: &SourceName, keys: &[String]) -> Result<Vec<bool>, StoreError> {
        dispatch::are_recorded(&mut *self.database.read().await?, &self.record, source, keys).await
    }

    async fn insert_pull(&self, pull: &PullRecord) -> Result<u64, StoreError> {
        let mut write = self.database.write().await?;
        let result = pulls::insert(write.connection(), pull).await;
        write.finish(result).await
    }

    async fn update_pull(&self, pull: &PullRecord) -> Result<(), StoreError> {
        let mut write = self.database.write().await?;
        let result = pulls::update(write.connection(), pull).await;
        write.finish(result).await
    }

    async fn pull(&self, repository: &RepositoryName, number: u64) -> Result<Option<PullRecord>, StoreError> {
        pulls::one(&mut *self.database.read().await?, repository, number).await
    }

    async fn pulls(&self, filter: &PullFilter, page: &PageQuery) -> Result<Page<PullRecord>, StoreError> {
        pulls::list(&mut *self.database.read().await?, filter, page).await
    }

    async fn insert_token(&self, token: &TokenRecord) -> Result<(), StoreError> {
        let mut write = self.database.write().await?;
        let result = tokens::insert(write.connection(), token).await;
        write.finish(result).await
    }

    async fn token_by_hash(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<TokenRecord>, StoreError> {
        tokens::by_hash(&mut *self.database.read().await?, hash, now).await
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        tokens::list(&mut *self.database.read().await?).await
    }

    async fn revoke_token(&self, id: &TokenId, now: Timestamp) -> Result<(), StoreError> {
        let mut write = self.database.write().await?;
        let result = tokens::revoke(write.connection(), id, now).await;
        write.finish(result).await
    }

    async fn stats(&self, now: Timestamp) -> Result<Stats, StoreError> {
        upkeep::stats(&mut *self.database.read().await?, now).await
    }

    async fn prune(&self, before: Timestamp, limit: u32) -> Result<Pruned, StoreError> {
        // What was never filed can be old as well. On a full disk it cannot be filed, and removing is what makes room.
        if let Err(error) = self.file_some().await {
            tracing::debug!(%error, "nothing was filed before old deliveries are removed");
        }
        let mut write = self.database.write().await?;
        let result = upkeep::prune(write.connection(), before, limit).await;
        write.finish(result).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        let mut write = self.database.write().await?;
        let result = upkeep::probe(write.connection()).await;
        write.finish(result).await
    }

    async fn close(&self) {
        self.database.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_path_or_a_sqlite_url() {
        for (address, path) in
            [("/a/b.db", "/a/b.db"), ("b.db", "b.db"), ("sqlite:b.db", "b.db"), ("sqlite://b.db", "b.db"), ("sqlite:///a/b.db", "/a/b.db")]
        {
            assert_eq!(path_of(address).expect("a path"), PathBuf::from(path), "{address}");
        }
        for address in ["", "sqlite:", "sqlite://", "sqlite::memory:", "postgres://h/db", "/a/", "sqlite://b.db?mode=ro"] {
            assert!(matches!(path_of(address), Err(StoreError::Unusable(_))), "{address}");
        }
    }
}
