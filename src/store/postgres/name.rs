//! The name of a process among all that share the database: a lock of a session that does nothing else, so that the database lets it go when
//! the process ends, however it ends. Two that live never have one name: who loses its own to another is told, and holds nothing under it.

use super::PostgresOptions;
use super::connection::LOCKS;
use super::door::connected;
use crate::clock::{Clock, SystemClock};
use crate::store::StoreError;
use crate::store::sql::query::{Connection as OfStore, statement};
use crate::store::sql::rows::Columns;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How often it is looked whether a name is free, and how long between: a database knows of a session a moment longer than who had it.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// How often it is looked whether the session is still there, and how long it is waited before one that broke is begun anew.
const EVERY: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(1);
/// The class of the locks by which sessions say of which process they are. Each session that tries for a name has that of its process, with others.
const MARKS: i32 = LOCKS + 1;

/// Who has the name `$1`: a row, when somebody has it, that says whether it is a session of the process with the mark `$2`. Locks with one number
/// are told from those with two.
const HOLDER: &str = "SELECT EXISTS (SELECT 1 FROM pg_locks m WHERE m.locktype = 'advisory' AND m.database = k.database AND m.pid = k.pid AND m.granted \
        AND m.objsubid = 2 AND CAST(m.classid AS BIGINT) = $3 AND CAST(m.objid AS BIGINT) = $2) AS own \
    FROM pg_locks k WHERE k.locktype = 'advisory' AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND k.granted \
        AND k.objsubid = 1 AND ((CAST(k.classid AS BIGINT) << 32) | CAST(k.objid AS BIGINT)) = $1";

/// Holds a name for as long as it lives.
pub(in crate::store) struct Name {
    connect: PgConnectOptions,
    options: PostgresOptions,
    mark: i32,
    holding: Mutex<Option<Holding>>,
    lost: Arc<AtomicBool>,
}

/// A name that is held, or was.
struct Holding {
    lock: Lock,
    keeping: JoinHandle<()>,
}

/// The lock of a name, as one process has it.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Lock {
    key: i64,
    mark: i32,
}

/// What came of trying for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    Taken,
    /// Another process has it.
    OfAnother,
    /// A former session of this process has it, of which the server does not know yet that it is gone; or whoever had it is gone just now.
    NotYet,
}

impl Name {
    /// None yet, to be held over connections like this one.
    pub(super) fn new(connect: PgConnectOptions, options: PostgresOptions) -> Self {
        // 31 bits: as the lock's number it is the same with and without a sign.
        let mark = i32::try_from(SystemClock.random() >> 97).unwrap_or_default();
        Self { connect, options, mark, holding: Mutex::default(), lost: Arc::default() }
    }

    /// See [`crate::store::Replicas::hold_name`].
    pub(super) async fn hold(&self, name: &str) -> Result<bool, StoreError> {
        let lock = Lock { key: key(name), mark: self.mark };
        let keeper = Keeper { lock, connect: self.connect.clone(), options: self.options.clone(), lost: Arc::clone(&self.lost) };
        let mut session = keeper.session().await?;
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            if keeper.try_it(&mut session).await? == Tried::Taken {
                self.keep(Some(Holding { lock, keeping: tokio::spawn(keeper.keep(session)) }));
                return Ok(true);
            }
        }
        let _ = timeout(self.options.deadline, session.close()).await;
        Ok(false)
    }

    /// The lock of a name that this process took, whether it still has it or not; none of one that it never had.
    pub(in crate::store) fn lock_of(&self, name: &str) -> Option<Lock> {
        self.holding().as_ref().map(|holding| holding.lock).filter(|lock| lock.key == key(name))
    }

    /// See [`crate::store::Replicas::has_lost_name`].
    pub(in crate::store) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    /// Lets it go.
    pub(super) fn let_go(&self) {
        self.keep(None);
    }

    fn keep(&self, next: Option<Holding>) {
        let before = std::mem::replace(&mut *self.holding(), next);
        if let Some(before) = before {
            before.keeping.abort();
        }
    }

    fn holding(&self) -> MutexGuard<'_, Option<Holding>> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Lock {
    /// Whether a session of this process has it at this moment.
    pub(in crate::store) async fn is_ours(self, connection: &mut OfStore) -> Result<bool, StoreError> {
        let holder = statement(HOLDER).bind(self.key).bind(i64::from(self.mark)).bind(i64::from(MARKS)).fetch_optional(connection).await?;
        holder.map_or(Ok(false), |row| Ok(row.number("own")? == 1))
    }
}

/// What keeps a name.
struct Keeper {
    lock: Lock,
    connect: PgConnectOptions,
    options: PostgresOptions,
    lost: Arc<AtomicBool>,
}

impl Keeper {
    /// Holds it, over whatever becomes of the session, until another process has it.
    async fn keep(self, mut session: PgConnection) {
        loop {
            while matches!(timeout(self.options.deadline, session.ping()).await, Ok(Ok(()))) {
                tokio::time::sleep(EVERY.min(self.options.deadline)).await;
            }
            match self.again().await {
                Some(begun) => session = begun,
                None => return self.lost.store(true, Ordering::SeqCst),
            }
        }
    }

    /// A session that has the name again; none when another process has it.
    async fn again(&self) -> Option<PgConnection> {
        let mut begun: Option<PgConnection> = None;
        loop {
            tokio::time::sleep(AGAIN).await;
            let mut session = match begun.take() {
                Some(session) => session,
                None => match self.session().await {
                    Ok(session) => session,
                    Err(error) => {
                        tracing::debug!(%error, "the name of this process cannot be held just now");
                        continue;
                    }
                },
            };
            match self.try_it(&mut session).await {
                Ok(Tried::Taken) => return Some(session),
                Ok(Tried::OfAnother) => return None,
                Ok(Tried::NotYet) => begun = Some(session),
                Err(error) => tracing::debug!(%error, "the name of this process cannot be held just now"),
            }
        }
    }

    /// A session that says of which process it is.
    async fn session(&self) -> Result<PgConnection, StoreError> {
        let mut session = connected(&self.connect, &self.options).await?;
        let marked = sqlx::query("SELECT pg_advisory_lock_shared($1, $2)").bind(MARKS).bind(self.lock.mark).execute(&mut session);
        self.heard(timeout(self.options.deadline, marked).await)?;
        Ok(session)
    }

    async fn try_it(&self, session: &mut PgConnection) -> Result<Tried, StoreError> {
        let taken = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(self.lock.key).fetch_one(&mut *session);
        if self.heard(timeout(self.options.deadline, taken).await)? {
            return Ok(Tried::Taken);
        }
        let holder = sqlx::query_scalar(HOLDER).bind(self.lock.key).bind(i64::from(self.lock.mark)).bind(i64::from(MARKS)).fetch_optional(session);
        Ok(match self.heard(timeout(self.options.deadline, holder).await)? {
            Some(false) => Tried::OfAnother,
            Some(true) | None => Tried::NotYet,
        })
    }

    fn heard<T>(&self, answer: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>) -> Result<T, StoreError> {
        answer.map_err(|_| StoreError::from(super::lent::silent(self.options.deadline)))?.map_err(StoreError::from)
    }
}

/// The locks of all names that are held in this database just now, as [`key`] has them.
pub(in crate::store) async fn held(connection: &mut OfStore) -> Result<HashSet<i64>, StoreError> {
    let locks = statement(
        "SELECT (classid::bigint << 32) | objid::bigint AS name FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    locks.fetch_all(connection).await?.iter().map(|row| row.number("name")).collect()
}

/// The lock of a name. Locks with one number are none of those with two.
pub(in crate::store) fn key(name: &str) -> i64 {
    let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    digest.first_chunk().copied().map_or(0, i64::from_be_bytes)
}
