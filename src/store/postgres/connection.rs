//! The pool, and transactions of it. Whoever holds the writers' lock is the one writer of all replicas; PostgreSQL frees the lock with the
//! transaction, also when the connection breaks, and ends a transaction that does nothing for long, so that a replica which
//! stopped in the middle holds nobody up. No statement of the schema stands here.

use super::door::{Door, Threshold, connected};
use super::error::is_read_only;
use super::lent::{Lent, Silence, silent};
use super::{PostgresOptions, address, migrations, tls};
use crate::store::StoreError;
use crate::store::sql::query::{Connection, statement};
use crate::store::sql::rows::Columns;
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection as _, PgPool};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// "KOps" in ASCII: the class of our locks among those of others in the database; one lock for writers, one for those who claim tasks,
/// and one for whoever reads and dispatches what waits.
pub(super) const LOCKS: i32 = 0x4b4f_7073;
const WRITERS: i32 = 1;
/// What connections of whoever works with the store are called, and those of a command that looks at it or copies it.
pub(in crate::store) const WORKS: &str = "kubeops";
pub(in crate::store) const COPIES: &str = "kubeops store";
const CLAIMS: i32 = 3;
const DISPATCH: i32 = 4;
/// For how many milliseconds whoever dispatches may stand still before others go on with it.
const DISPATCHES_FOR: &str = "5000";
/// The setting of a session that says which process it is of; the trigger of the queue tells it to those who listen.
const INSTANCE: &str = "kubeops.instance";
/// How long a transaction may be open without a statement: a step of ours takes milliseconds, and who was stopped is waited for no longer.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);
/// How long the server lets one statement take: less than [`PostgresOptions::deadline`], so that what takes too long is refused by the server,
/// and the connection stays.
const STATEMENT: Duration = Duration::from_secs(10);
/// The same of a statement of retention and of a migration, and how long its answer is waited for.
pub(super) const LONG_STATEMENT: &str = "SET LOCAL statement_timeout = 60000";
const LONG: Duration = Duration::from_secs(75);
/// How long all migrations together are waited for.
const MIGRATIONS: Duration = Duration::from_secs(600);
/// How long the next row, or the answer to a statement, is waited for where everything is copied; the server lets that take as long as it does.
const COPY: Duration = Duration::from_secs(600);
/// When the server gives up a client that vanished, in the server's words, so that its transaction holds nobody up: what is sent to it is not
/// acknowledged, or it does not answer when it is asked for a sign of life.
const VANISHED: [(&str, &str); 4] =
    [("tcp_user_timeout", "30000"), ("tcp_keepalives_idle", "10"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "4")];

/// A mebibyte, in rows that are kept as they are.
const ROOM: &str = "CREATE TABLE room AS SELECT repeat('x', 1000) AS filler FROM generate_series(1, 1048)";

/// The database, open.
pub(super) struct Connections {
    door: Arc<Door>,
    /// Of this process, one at a time waits for each lock of all: the others would each keep a connection from those who read.
    writers: Arc<Mutex<()>>,
    claims: Arc<Mutex<()>>,
    patience: Duration,
    deadline: Duration,
    silence: Silence,
    migrated: Vec<i64>,
    /// Whether a write found the disk full since there was last seen to be room.
    lacked_room: Arc<AtomicBool>,
}

/// A write transaction. Dropped without [`Write::finish`], nothing of it remains.
pub(in crate::store) struct Write {
    connection: Connection,
    _turn: Option<OwnedMutexGuard<()>>,
    lacked_room: Arc<AtomicBool>,
}

impl Connections {
    /// Connects, and brings the schema up to date or looks whether it is.
    ///
    /// What is written tells others of work under `name`.
    pub(super) async fn open(address: &str, options: &PostgresOptions, name: &str) -> Result<Self, StoreError> {
        let connect = connect(address, options)?.options([(INSTANCE, name)]);
        let migrated = migrated(&connect, options).await?;
        if let Some(warning) = tls::warning(&connect) {
            tracing::warn!(host = connect.get_host(), "the way to the database is not safe: {warning}; write sslmode=verify-full into STORE_URL");
        }
        let (silence, threshold) = (Silence::default(), Threshold::default());
        let pool = pool(connect.clone(), options, &silence, &threshold);
        Ok(Self {
            door: Arc::new(Door::new(pool, connect, options.clone(), threshold)),
            writers: Arc::default(),
            claims: Arc::default(),
            patience: options.busy_timeout,
            deadline: options.deadline,
            silence,
            migrated,
            lacked_room: Arc::default(),
        })
    }

    /// A connection of the pool.
    pub(super) async fn lend(&self) -> Result<Lent, StoreError> {
        let (connection, out) = self.door.enter().await?;
        Ok(Lent::new(connection, out, self.deadline, self.silence.clone()))
    }

    /// A connection to read with; it sees every transaction committed before.
    pub(super) async fn read(&self) -> Result<Connection, StoreError> {
        Ok(Connection::Postgres(self.lend().await?))
    }

    /// One that sees one moment, for as long as it takes: it holds nobody up, and is not thrown out.
    pub(super) async fn view(&self) -> Result<Connection, StoreError> {
        let mut view = Connection::Postgres(self.lend().await?.begin("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?);
        take_your_time(&mut view).await?;
        Ok(view)
    }

    /// The migrations that opening it applied.
    pub(super) fn migrated(&self) -> &[i64] {
        &self.migrated
    }

    /// Begins a transaction that others may write beside.
    pub(super) async fn begin(&self) -> Result<Write, StoreError> {
        let connection = Connection::Postgres(self.lend().await?.begin("BEGIN").await?);
        Ok(Write { connection, _turn: None, lacked_room: Arc::clone(&self.lacked_room) })
    }

    /// Begins a write transaction, once no other is under way in any replica.
    pub(super) async fn write(&self) -> Result<Write, StoreError> {
        self.alone(&self.writers, WRITERS).await
    }

    /// Begins a transaction that claims tasks, once nobody else claims any in any replica. Others write beside it: what they hold is passed over.
    pub(super) async fn claim(&self) -> Result<Write, StoreError> {
        self.alone(&self.claims, CLAIMS).await
    }

    async fn alone(&self, turns: &Arc<Mutex<()>>, lock: i32) -> Result<Write, StoreError> {
        let turn = tokio::time::timeout(self.patience, Arc::clone(turns).lock_owned()).await;
        let turn = turn.map_err(|_| StoreError::Unavailable("too many others write".to_owned()))?;
        let mut write = Write { _turn: Some(turn), ..self.begin().await? };
        let taken = statement("SELECT pg_advisory_xact_lock(CAST(? AS INTEGER), CAST(? AS INTEGER))");
        taken.bind(i64::from(LOCKS)).bind(i64::from(lock)).execute(&mut write.connection).await?;
        Ok(write)
    }

    /// Begins a transaction that has the turn to dispatch as long as it is open; none while another has it. It writes nothing.
    pub(super) async fn try_dispatch(&self) -> Result<Option<Write>, StoreError> {
        let mut turn = self.begin().await?;
        let taken = statement(
            "SELECT set_config('idle_in_transaction_session_timeout', ?, true), \
             CAST(CASE WHEN pg_try_advisory_xact_lock(CAST(? AS INTEGER), CAST(? AS INTEGER)) THEN 1 ELSE 0 END AS BIGINT) AS taken",
        );
        let taken = taken.bind(DISPATCHES_FOR).bind(i64::from(LOCKS)).bind(i64::from(DISPATCH)).fetch_one(&mut turn.connection).await?;
        if taken.number("taken")? == 1 {
            return Ok(Some(turn));
        }
        turn.finish(Ok(())).await?;
        Ok(None)
    }

    /// Looks whether there is room again, where a write found none: a table that is written and taken back. A row that is updated says nothing
    /// of it, because it finds a place among those of its former versions.
    pub(super) async fn has_room(&self) -> Result<(), StoreError> {
        if !self.lacked_room.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut write = self.write().await?;
        statement(ROOM).execute(&mut write.connection).await?;
        write.connection.lent()?.roll_back().await?;
        self.lacked_room.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Whether whoever wants a connection gets one.
    pub(super) fn lets_in(&self) -> Result<(), StoreError> {
        self.door.denies().map_or(Ok(()), Err)
    }

    pub(super) fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// How long an answer is waited for, and where it is noted that none came.
    pub(super) fn silence(&self) -> (Duration, &Silence) {
        (self.deadline, &self.silence)
    }

    /// Closes it, once everything that is lent is back, or nobody waits for it any more.
    pub(super) async fn close(&self) {
        if tokio::time::timeout(self.deadline, self.door.pool().close()).await.is_err() {
            tracing::debug!("a connection to PostgreSQL is closed by the end of the process");
        }
    }
}

impl Write {
    /// Says a word in it, so that it is not taken for one that was left.
    pub(in crate::store) async fn speak(&mut self) -> Result<(), StoreError> {
        self.connection.lent()?.speak().await
    }

    /// The connection, for statements of this transaction.
    pub(in crate::store) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Commits when `result` is `Ok`, else rolls back; hands `result` on.
    pub(in crate::store) async fn finish<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let result = match result {
            Ok(value) => self.connection.lent()?.commit().await.map(|()| value),
            refused => refused,
        };
        // Another server may take writes by now, and the way to it is looked up when a connection is made.
        if result.as_ref().is_err_and(is_read_only) {
            self.connection.lent()?.use_no_more();
        }
        // There may be too little room for the commit alone.
        if matches!(result, Err(StoreError::Full(_))) {
            self.lacked_room.store(true, Ordering::Relaxed);
        }
        result
    }
}

/// Lets the transaction last: a copy of everything, whose rows are read as fast as another store writes them.
pub(in crate::store) async fn take_your_time(connection: &mut Connection) -> Result<(), StoreError> {
    for setting in ["SET LOCAL statement_timeout = 0", "SET LOCAL idle_in_transaction_session_timeout = 0", "SET LOCAL tcp_user_timeout = 0"] {
        statement(setting).execute(connection).await?;
    }
    connection.lent()?.be_patient(COPY);
    Ok(())
}

/// Lets each statement of the transaction take longer than others may.
pub(in crate::store) async fn take_longer(connection: &mut Connection) -> Result<(), StoreError> {
    statement(LONG_STATEMENT).execute(connection).await?;
    connection.lent()?.be_patient(LONG);
    Ok(())
}

/// Brings the schema up to date, or looks whether it is, on a connection of its own: why there is none is told at once, where the pool would wait.
async fn migrated(connect: &PgConnectOptions, options: &PostgresOptions) -> Result<Vec<i64>, StoreError> {
    let mut first = connected(connect, options).await?;
    let patience = if options.schema.migrates() { MIGRATIONS } else { options.deadline };
    let Ok(applied) = tokio::time::timeout(patience, migrations::run(&mut first, options.schema)).await else {
        return Err(silent(patience).into());
    };
    // Nobody waits for the farewell of one that fell silent now.
    let _ = tokio::time::timeout(options.deadline, first.close()).await;
    applied
}

/// The pool. What is idle is asked whether it still answers before it is lent, and waited for so briefly that there is time to connect anew.
fn pool(connect: PgConnectOptions, options: &PostgresOptions, silence: &Silence, threshold: &Threshold) -> PgPool {
    let (patience, silence, threshold) = (options.busy_timeout / 2, silence.clone(), threshold.clone());
    PgPoolOptions::new()
        .min_connections(0)
        .max_connections(options.most())
        .acquire_timeout(options.busy_timeout)
        .idle_timeout(Duration::from_secs(60))
        .test_before_acquire(false)
        .before_acquire(move |connection, known| {
            let silence = silence.clone();
            Box::pin(async move { Ok(silence.spared(connection, known.age, patience).await) })
        })
        .after_connect(move |_, _| {
            threshold.let_in();
            Box::pin(async { Ok(()) })
        })
        .connect_lazy_with(connect)
}

/// How a connection is made. An address without a host, a user or a password takes them from the `PG*` variables of the environment.
fn connect(address: &str, options: &PostgresOptions) -> Result<PgConnectOptions, StoreError> {
    let millis = |duration: Duration| duration.as_millis().to_string();
    let mut connect = address::read(address)?;
    if let Some(password) = &options.password {
        connect = connect.password(password.expose_secret());
    }
    Ok(tls::protected(address, connect)?
        .application_name(if options.schema.is_for_work() { WORKS } else { COPIES })
        .statement_cache_capacity(256)
        .options([
            // What is acknowledged is on disk, whatever the database's own setting.
            ("synchronous_commit", "on".to_owned()),
            ("idle_in_transaction_session_timeout", millis(IDLE_IN_TRANSACTION)),
            ("lock_timeout", millis(options.busy_timeout)),
            ("statement_timeout", millis(STATEMENT)),
            ("default_transaction_isolation", "read committed".to_owned()),
        ])
        .options(VANISHED)
        .disable_statement_logging())
}
