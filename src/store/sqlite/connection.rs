//! One connection that writes, a few that read, one that checkpoints.
//! A write transaction that was not finished (an error, a cancelled caller) never reaches the next writer: its connection is
//! thrown away and SQLite rolls it back. No statement of the schema stands here.

use super::{SqliteOptions, migrations};
use crate::store::sql::query::{Connection, Done, Statement, statement};
use crate::store::{SchemaOnOpen, StoreError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, SqlitePool};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, Notify};

/// Pages of 4 KiB: an index page written at a random place costs no more than it must. An inbox in a file of its own, with pages
/// of 32 KiB, was no faster: what a commit costs is copying it into the log and syncing that.
const PAGE_BYTES: u32 = 4096;
/// Cache of the writer: holds the dirty pages of a full batch, so that a transaction does not spill.
const WRITER_CACHE_KIB: u32 = 8 * 1024;
const READER_CACHE_KIB: u32 = 1024;
/// The writer itself checkpoints only when the log has grown this long because the checkpointer cannot keep up (64 MiB).
const WAL_LIMIT_PAGES: u32 = 16 * 1024;
/// The log file is cut back to this size when it starts over.
const WAL_KEPT_BYTES: u64 = 64 * 1024 * 1024;
/// How long, and how often, a process that is ending is given time to let go.
const ENDING: Duration = Duration::from_millis(100);
const ENDING_LOOKS: u32 = 10;
/// How often the checkpointer looks after a commit.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(250);

/// The database, open.
pub(super) struct Database {
    writer: Mutex<Option<Connection>>,
    writer_options: SqliteConnectOptions,
    readers: SqlitePool,
    committed: Arc<Notify>,
    /// None where it is written once and closed.
    checkpointer: Option<tokio::task::JoinHandle<()>>,
    migrated: Vec<i64>,
}

/// A write transaction. Dropped without [`Write::finish`], nothing of it remains.
pub(in crate::store) struct Write<'d> {
    slot: MutexGuard<'d, Option<Connection>>,
    connection: Connection,
    committed: &'d Notify,
}

impl Database {
    /// Opens the writer, creating the file when it is missing, brings the schema up to date, and prepares the rest.
    pub(super) async fn open(path: &Path, options: &SqliteOptions) -> Result<Self, StoreError> {
        let mut writer_options = base(path, options)
            .create_if_missing(options.create)
            .page_size(PAGE_BYTES)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
            .pragma("wal_autocheckpoint", WAL_LIMIT_PAGES.to_string())
            .pragma("journal_size_limit", WAL_KEPT_BYTES.to_string())
            .thread_name(|_| "store-writer".to_owned());
        if options.schema != SchemaOnOpen::AsItIs {
            writer_options = writer_options.journal_mode(SqliteJournalMode::Wal);
        }
        let mut writer = writer_options.connect().await?;
        let migrated = migrations::run(&mut writer, options.schema).await?;
        let reader =
            base(path, options).read_only(true).pragma("cache_size", format!("-{READER_CACHE_KIB}")).thread_name(|_| "store-reader".to_owned());
        let readers = SqlitePoolOptions::new()
            .min_connections(0)
            .max_connections(options.readers.max(1))
            .acquire_timeout(options.busy_timeout)
            .idle_timeout(Duration::from_secs(60))
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(reader);
        let committed = Arc::new(Notify::new());
        let checkpointer = options.schema.is_for_work().then(|| {
            tokio::spawn(checkpoint_after_commits(
                base(path, options).pragma("cache_size", "-256").pragma("wal_autocheckpoint", "0").thread_name(|_| "store-checkpoint".to_owned()),
                committed.clone(),
            ))
        });
        Ok(Self { writer: Mutex::new(Some(Connection::SqliteWriter(writer))), writer_options, readers, committed, checkpointer, migrated })
    }

    /// A connection to read with; it sees every transaction committed before.
    pub(super) async fn read(&self) -> Result<Connection, StoreError> {
        Ok(Connection::SqliteReader(self.readers.acquire().await?))
    }

    /// One that sees nothing of what is committed from its first statement on.
    pub(super) async fn view(&self) -> Result<Connection, StoreError> {
        Ok(Connection::SqliteView(self.readers.begin().await?))
    }

    /// Runs a statement that is a write transaction by itself: one way to the database's thread and back, where a transaction
    /// around it takes three.
    pub(super) async fn write_one(&self, statement: Statement) -> Result<Done, StoreError> {
        let mut write = self.take_writer().await?;
        // It failed as a whole or not at all, but what is wrong with the connection itself nobody knows: then it goes.
        let done = statement.execute(write.connection()).await?;
        write.give_back();
        Ok(done)
    }

    /// Begins a write transaction; waits for the one before, and for another process's up to the busy time-out.
    pub(super) async fn write(&self) -> Result<Write<'_>, StoreError> {
        let mut write = self.take_writer().await?;
        statement("BEGIN IMMEDIATE").execute(&mut write.connection).await?;
        Ok(write)
    }

    /// The one connection that writes.
    async fn take_writer(&self) -> Result<Write<'_>, StoreError> {
        let mut slot = self.writer.lock().await;
        // Taken out of its place: it is put back when it is known to be in no transaction.
        let connection = match slot.take() {
            Some(connection) => connection,
            None => Connection::SqliteWriter(self.writer_options.connect().await?),
        };
        Ok(Write { slot, connection, committed: &self.committed })
    }

    /// The migrations that opening it applied.
    pub(super) fn migrated(&self) -> &[i64] {
        &self.migrated
    }

    /// Closes every connection and leaves a single file, without the log beside it.
    pub(super) async fn close_as_one_file(&self) -> Result<(), StoreError> {
        self.readers.close().await;
        let mut write = self.take_writer().await?;
        statement("PRAGMA journal_mode = DELETE").execute(&mut write.connection).await?;
        if let Connection::SqliteWriter(connection) = write.connection {
            connection.close().await?;
        }
        Ok(())
    }

    /// Waits for what is in flight, copies the log into the database and closes every connection.
    pub(super) async fn close(&self) {
        self.checkpointer.iter().for_each(tokio::task::JoinHandle::abort);
        self.readers.close().await;
        if let Some(Connection::SqliteWriter(connection)) = self.writer.lock().await.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the store did not close cleanly; the next start recovers its log");
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.checkpointer.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Write<'_> {
    /// The connection, for statements of this transaction.
    pub(in crate::store) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Commits when `result` is `Ok`, else rolls back; hands `result` on.
    pub(in crate::store) async fn finish<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match &result {
            Ok(_) => {
                statement("COMMIT").execute(&mut self.connection).await?;
                self.give_back();
                return result;
            }
            // After these the transaction's fate is SQLite's secret: the connection goes, and the transaction with it.
            Err(StoreError::Full(_) | StoreError::Unavailable(_) | StoreError::Broken(_)) => return result,
            Err(_) => {
                if statement("ROLLBACK").execute(&mut self.connection).await.is_err() {
                    return result;
                }
            }
        }
        *self.slot = Some(self.connection);
        result
    }

    /// Puts the connection back in its place after a commit.
    fn give_back(mut self) {
        self.committed.notify_one();
        *self.slot = Some(self.connection);
    }
}

/// Whether another process has the file open: each that works with it holds a lock on it, beside which none has the file alone.
/// <https://www.sqlite.org/wal.html#use_of_wal_without_shared_memory>
/// One that is just ending is waited for where that is asked for.
pub(super) async fn is_in_use(path: &Path, waits: bool) -> Result<bool, StoreError> {
    for _ in 0..if waits { ENDING_LOOKS } else { 0 } {
        if !is_held(path).await? {
            return Ok(false);
        }
        tokio::time::sleep(ENDING).await;
    }
    is_held(path).await
}

async fn is_held(path: &Path) -> Result<bool, StoreError> {
    let alone = SqliteConnectOptions::new().filename(path).locking_mode(SqliteLockingMode::Exclusive).busy_timeout(Duration::ZERO);
    let alone = async {
        let mut connection = alone.disable_statement_logging().connect().await?;
        sqlx::raw_sql("BEGIN EXCLUSIVE; ROLLBACK").execute(&mut connection).await?;
        connection.close().await
    };
    match alone.await.map_err(StoreError::from) {
        Err(StoreError::Unavailable(_)) => Ok(true),
        alone => alone.map(|()| false),
    }
}

fn base(path: &Path, options: &SqliteOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(options.busy_timeout)
        .pragma("temp_store", "MEMORY")
        // Mapped pages would count as our memory; the page cache of the system serves reads as well.
        .pragma("mmap_size", "0")
        .statement_cache_capacity(64)
        .disable_statement_logging()
}

/// Copies the log into the database soon after commits, beside the writer: the writer's own checkpoint, which would hold up
/// a commit, then finds little to do, and a restart reads a short log.
async fn checkpoint_after_commits(options: SqliteConnectOptions, committed: Arc<Notify>) {
    let mut connection = None;
    loop {
        committed.notified().await;
        tokio::time::sleep(CHECKPOINT_EVERY).await;
        let open = match connection.take() {
            Some(open) => Ok(open),
            None => options.connect().await,
        };
        let outcome = match open {
            Ok(open) => sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(connection.insert(open)).await.map(|_| ()),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            // Nothing is lost: the log keeps what is not copied. A full disk says so to the writers as well.
            tracing::debug!(%error, "the store's log could not be copied into the database; it is tried again after the next commit");
            connection = None;
        }
    }
}
