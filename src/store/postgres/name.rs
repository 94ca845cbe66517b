//! The name of a process among all that share the database: a lock of a session that does nothing else, so that the database lets it go when
//! the process ends, however it ends. Two that live never have one name.

use super::PostgresOptions;
use super::door::connected;
use crate::store::StoreError;
use crate::store::sql::query::{Connection, statement};
use crate::store::sql::rows::Columns;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How often it is looked whether a name is free, and how long between: a database knows of a session a moment longer than who had it.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// How long it is waited before a session that broke is begun anew.
const AGAIN: Duration = Duration::from_secs(1);

/// Holds a name for as long as it lives.
pub(super) struct Name {
    connect: PgConnectOptions,
    options: PostgresOptions,
    holding: Mutex<Option<JoinHandle<()>>>,
}

impl Name {
    /// None yet, to be held over connections like this one.
    pub(super) fn new(connect: PgConnectOptions, options: PostgresOptions) -> Self {
        Self { connect, options, holding: Mutex::default() }
    }

    /// See [`crate::store::Replicas::hold_name`].
    pub(super) async fn hold(&self, name: &str) -> Result<bool, StoreError> {
        let key = key(name);
        let mut session = connected(&self.connect, &self.options).await?;
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
            if take(&mut session, key, self.options.deadline).await? {
                let held = Held { key, connect: self.connect.clone(), options: self.options.clone() };
                let holding = tokio::spawn(held.keep(session));
                if let Some(before) = self.kept(Some(holding)) {
                    before.abort();
                }
                return Ok(true);
            }
        }
        let _ = timeout(self.options.deadline, session.close()).await;
        Ok(false)
    }

    /// Lets it go.
    pub(super) fn let_go(&self) {
        if let Some(holding) = self.kept(None) {
            holding.abort();
        }
    }

    fn kept(&self, next: Option<JoinHandle<()>>) -> Option<JoinHandle<()>> {
        std::mem::replace(&mut *self.holding.lock().unwrap_or_else(PoisonError::into_inner), next)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.let_go();
    }
}

struct Held {
    key: i64,
    connect: PgConnectOptions,
    options: PostgresOptions,
}

impl Held {
    /// Holds it, over whatever becomes of the session.
    async fn keep(self, mut session: PgConnection) {
        loop {
            while matches!(timeout(self.options.deadline, session.ping()).await, Ok(Ok(()))) {
                tokio::time::sleep(self.options.deadline).await;
            }
            session = self.again().await;
        }
    }

    /// A session that has the name again.
    async fn again(&self) -> PgConnection {
        let mut is_told = false;
        loop {
            tokio::time::sleep(AGAIN).await;
            let Ok(mut session) = connected(&self.connect, &self.options).await else { continue };
            match take(&mut session, self.key, self.options.deadline).await {
                Ok(true) => return session,
                // Its own former session, of which the server does not know yet that it is gone, or somebody who came meanwhile.
                Ok(false) if !std::mem::replace(&mut is_told, true) => {
                    tracing::warn!(
                        "the name of this process is held by another session of the database; where that stays so, another process has it"
                    );
                }
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "the name of this process cannot be held just now"),
            }
            let _ = timeout(self.options.deadline, session.close()).await;
        }
    }
}

async fn take(session: &mut PgConnection, key: i64, patience: Duration) -> Result<bool, StoreError> {
    let taken = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(key).fetch_one(session);
    match timeout(patience, taken).await {
        Ok(taken) => Ok(taken?),
        Err(_) => Err(super::lent::silent(patience).into()),
    }
}

/// The locks of all names that are held in this database just now, as [`key`] has them.
pub(in crate::store) async fn held(connection: &mut Connection) -> Result<HashSet<i64>, StoreError> {
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
