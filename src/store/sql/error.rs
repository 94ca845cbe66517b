//! What sqlx's errors mean to a caller of the store; each database knows its own.

use crate::store::{StoreError, postgres, sqlite};
use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;
use std::sync::atomic::{AtomicU64, Ordering};

/// What databases refused since the process started, by kind; a process has one store.
static REFUSED: [AtomicU64; 6] = [const { AtomicU64::new(0) }; 6];

/// How often a database refused something since the process started, by kind. Rows that were there first (`conflict`) are no fault.
pub fn database_errors() -> [(&'static str, u64); 6] {
    std::array::from_fn(|place| (KINDS[place], REFUSED[place].load(Ordering::Relaxed)))
}

const KINDS: [&str; 6] = ["full", "unavailable", "conflict", "unusable", "broken", "refused"];

fn place(error: &StoreError) -> usize {
    match error {
        StoreError::Full(_) => 0,
        StoreError::Unavailable(_) => 1,
        StoreError::Conflict(_) => 2,
        StoreError::Unusable(_) => 3,
        StoreError::NotFound(_) | StoreError::BadCursor(_) | StoreError::Broken(_) => 4,
        StoreError::Refused(_) => 5,
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let meant = Self::meant_by(error);
        REFUSED[place(&meant)].fetch_add(1, Ordering::Relaxed);
        meant
    }
}

impl StoreError {
    fn meant_by(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match database.try_downcast_ref::<PgDatabaseError>() {
                Some(postgres) => postgres::error::of(postgres),
                None => sqlite::error::of(&**database),
            },
            sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => Self::Full(io.to_string()),
            // The conversation broke off: at the end of a connection sqlx reads a byte of zero where an answer should stand.
            sqlx::Error::Protocol(_) => Self::Unavailable(error.to_string()),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                Self::Unavailable(error.to_string())
            }
            other => Self::Broken(other.to_string()),
        }
    }
}

/// Why a schema could not be brought up to date.
pub(in crate::store) fn explain(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(version) => StoreError::Unusable(format!(
            "the database has schema version {version}, which this version of kubeops does not know: start the newer kubeops that wrote it, or restore a backup"
        )),
        MigrateError::VersionMismatch(version) => StoreError::Unusable(format!(
            "schema version {version} of the database is not the one this version of kubeops has: start the kubeops that wrote it"
        )),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => StoreError::Broken(other.to_string()),
    }
}
