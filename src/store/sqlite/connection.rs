//! Two files: the inbox, which only grows at its end, and the store. One connection writes each, a few read both, one checkpoints.
//! A write transaction that was not finished (an error, a cancelled caller) never reaches the next writer: its connection is
//! thrown away and SQLite rolls it back. No statement of the schema stands here.

use super::{SqliteOptions, migrations};
use crate::store::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteQueryResult, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, Sqlite, SqliteConnection, SqlitePool};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, Notify};

/// Pages of the store, 4 KiB: an index page written at a random place costs no more than it must.
const PAGE_BYTES: u32 = 4096;
/// Pages of the inbox, 32 KiB: a page is two writes to the log, and an arrival goes to one place. With 4 KiB the writing
/// thread spent twice the time in the kernel.
const INBOX_PAGE_BYTES: u32 = 32 * 1024;
/// Cache of a writer: holds the dirty pages of a full batch, so that a transaction does not spill.
const WRITER_CACHE_KIB: u32 = 8 * 1024;
const READER_CACHE_KIB: u32 = 1024;
/// A writer itself checkpoints only when its log has grown this long because the checkpointer cannot keep up. The log file is
/// cut back to this size when it starts over.
const WAL_LIMIT_BYTES: u32 = 64 * 1024 * 1024;
/// How often the checkpointer looks after a commit.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(250);

/// The two files, open. On every connection but the store's own writer both are there, the inbox as `inbox`.
pub(super) struct Database {
    store: Writer,
    inbox: Writer,
    readers: SqlitePool,
    checkpointer: tokio::task::JoinHandle<()>,
}

/// The one connection that writes a file.
struct Writer {
    slot: Mutex<Option<SqliteConnection>>,
    options: SqliteConnectOptions,
    /// The inbox's path, where it is attached.
    inbox: Option<PathBuf>,
    begin: &'static str,
    committed: Arc<Notify>,
}

/// A write transaction. Dropped without [`Write::finish`], nothing of it remains.
pub(super) struct Write<'d> {
    slot: MutexGuard<'d, Option<SqliteConnection>>,
    connection: SqliteConnection,
    committed: &'d Notify,
}

impl Database {
    /// Opens both files, creating those that are missing, brings their schemas up to date, and prepares the rest.
    pub(super) async fn open(path: &Path, inbox: &Path, options: &SqliteOptions) -> Result<Self, StoreError> {
        let committed = Arc::new(Notify::new());
        let new = |path: &Path, page: u32| {
            base(path, options)
                .create_if_missing(true)
                .page_size(page)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
                .pragma("wal_autocheckpoint", (WAL_LIMIT_BYTES / page).to_string())
                .pragma("journal_size_limit", WAL_LIMIT_BYTES.to_string())
        };
        let (store, arrivals) = (new(path, PAGE_BYTES), new(inbox, INBOX_PAGE_BYTES));
        let mut writer = store.clone().thread_name(|_| "store-writer".to_owned()).connect().await?;
        migrations::store(&mut writer).await?;
        let mut new_inbox = arrivals.connect().await?;
        migrations::inbox(&mut new_inbox).await?;
        // `BEGIN IMMEDIATE` would lock both files: the inbox's transactions begin with the statement that writes.
        let arrivals = base(path, options).pragma("cache_size", format!("-{READER_CACHE_KIB}")).thread_name(|_| "inbox-writer".to_owned());
        let store = Writer::new(store.thread_name(|_| "store-writer".to_owned()), None, "BEGIN IMMEDIATE", &committed);
        let arrivals = Writer::new(arrivals, Some(inbox), "BEGIN", &committed);
        *store.slot.lock().await = Some(writer);
        let reader =
            base(path, options).read_only(true).pragma("cache_size", format!("-{READER_CACHE_KIB}")).thread_name(|_| "store-reader".to_owned());
        let attached = inbox.to_owned();
        let readers = SqlitePoolOptions::new()
            .min_connections(0)
            .max_connections(options.readers.max(1))
            .acquire_timeout(options.busy_timeout)
            .idle_timeout(Duration::from_secs(60))
            .max_lifetime(None)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                let attached = attached.clone();
                Box::pin(async move { attach(connection, &attached, READER_CACHE_KIB).await })
            })
            .connect_lazy_with(reader);
        let checkpointer =
            base(path, options).pragma("cache_size", "-256").pragma("wal_autocheckpoint", "0").thread_name(|_| "store-checkpoint".to_owned());
        let checkpointer = tokio::spawn(checkpoint_after_commits(checkpointer, inbox.to_owned(), committed));
        let this = Self { store, inbox: arrivals, readers, checkpointer };
        let mut write = this.write_inbox().await?;
        let result = migrations::pair(write.connection()).await;
        write.finish(result).await?;
        // Not before: whoever closes a file as the last one locks it, and another process may be opening it.
        new_inbox.close().await?;
        Ok(this)
    }

    /// A connection to read with; it sees every transaction committed before.
    pub(super) async fn read(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    /// Begins a write transaction of the store; waits for the one before, and for another process's up to the busy time-out.
    pub(super) async fn write(&self) -> Result<Write<'_>, StoreError> {
        self.store.begin().await
    }

    /// Begins a write transaction of the inbox. It must begin with the statement that writes.
    pub(super) async fn write_inbox(&self) -> Result<Write<'_>, StoreError> {
        self.inbox.begin().await
    }

    /// Runs a statement that is a write transaction of the inbox by itself: one way to the database's thread and back, where a
    /// transaction around it takes three.
    pub(super) async fn write_arrival(&self, statement: Query<'_, Sqlite, SqliteArguments>) -> Result<SqliteQueryResult, StoreError> {
        let mut write = self.inbox.take().await?;
        // It failed as a whole or not at all, but what is wrong with the connection itself nobody knows: then it goes.
        let done = statement.execute(write.connection()).await?;
        write.give_back();
        Ok(done)
    }

    /// Waits for what is in flight, copies the logs into the files and closes every connection.
    pub(super) async fn close(&self) {
        self.checkpointer.abort();
        self.readers.close().await;
        for writer in [&self.inbox, &self.store] {
            if let Some(connection) = writer.slot.lock().await.take()
                && let Err(error) = connection.close().await
            {
                tracing::warn!(%error, "the store did not close cleanly; the next start recovers its log");
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.checkpointer.abort();
    }
}

impl Writer {
    fn new(options: SqliteConnectOptions, inbox: Option<&Path>, begin: &'static str, committed: &Arc<Notify>) -> Self {
        Self { slot: Mutex::new(None), options, inbox: inbox.map(Path::to_owned), begin, committed: committed.clone() }
    }

    async fn begin(&self) -> Result<Write<'_>, StoreError> {
        let mut write = self.take().await?;
        write.connection.execute(self.begin).await?;
        Ok(write)
    }

    /// The connection, taken out of its place: it is put back when it is known to be in no transaction.
    async fn take(&self) -> Result<Write<'_>, StoreError> {
        let mut slot = self.slot.lock().await;
        let connection = match slot.take() {
            Some(connection) => connection,
            None => {
                let mut connection = self.options.connect().await?;
                if let Some(inbox) = &self.inbox {
                    attach(&mut connection, inbox, WRITER_CACHE_KIB).await?;
                }
                connection
            }
        };
        Ok(Write { slot, connection, committed: &self.committed })
    }
}

impl Write<'_> {
    /// The connection, for statements of this transaction.
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Commits when `result` is `Ok`, else rolls back; hands `result` on.
    pub(super) async fn finish<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        match &result {
            Ok(_) => {
                self.connection.execute("COMMIT").await?;
                self.give_back();
                return result;
            }
            // After these the transaction's fate is SQLite's secret: the connection goes, and the transaction with it.
            Err(StoreError::Full(_) | StoreError::Unavailable(_) | StoreError::Broken(_)) => return result,
            Err(_) => {
                if self.connection.execute("ROLLBACK").await.is_err() {
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

/// Opens the inbox beside the store on a connection.
async fn attach(connection: &mut SqliteConnection, inbox: &Path, cache_kib: u32) -> Result<(), sqlx::Error> {
    sqlx::query("ATTACH DATABASE ? AS inbox").persistent(false).bind(inbox.to_string_lossy().into_owned()).execute(&mut *connection).await?;
    // What a connection's options say holds for the store alone.
    let pages = WAL_LIMIT_BYTES / INBOX_PAGE_BYTES;
    let settings = format!(
        "PRAGMA inbox.synchronous = FULL; PRAGMA inbox.cache_size = -{cache_kib}; PRAGMA inbox.journal_size_limit = {WAL_LIMIT_BYTES}; \
         PRAGMA wal_autocheckpoint = {pages}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(settings)).execute(connection).await?;
    Ok(())
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

/// Copies the logs into the files soon after commits, beside the writers: a writer's own checkpoint, which would hold up
/// a commit, then finds little to do, and a restart reads a short log.
async fn checkpoint_after_commits(options: SqliteConnectOptions, inbox: PathBuf, committed: Arc<Notify>) {
    let mut connection = None;
    loop {
        committed.notified().await;
        tokio::time::sleep(CHECKPOINT_EVERY).await;
        let open = match connection.take() {
            Some(open) => Ok(open),
            None => open_both(&options, &inbox).await,
        };
        let outcome = match open {
            // Of both files.
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

async fn open_both(options: &SqliteConnectOptions, inbox: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    attach(&mut connection, inbox, 256).await?;
    Ok(connection)
}
