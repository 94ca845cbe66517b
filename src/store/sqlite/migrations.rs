//! Brings a database file to the schema this program knows, in one transaction: a crash in between leaves the old schema.
//! It refuses, and never touches, a file of another program or one that a newer version wrote.

use crate::store::StoreError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, SqliteConnection};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// "KOps" in ASCII, which the first migration writes into the file's header.
const APPLICATION_ID: i64 = 0x4b4f_7073;

/// Applies what is missing.
///
/// # Errors
/// [`StoreError::Unusable`] when this is no database of ours, or a newer one.
pub(super) async fn run(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    // Immediate: of two processes that open a new file at once, one waits for the other.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let (application, tables): (i64, i64) =
        sqlx::query_as("SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)")
            .fetch_one(&mut *transaction)
            .await?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(StoreError::Unusable("the file is a database of another program: name another file".to_owned()));
    }
    MIGRATIONS.run(&mut *transaction).await.map_err(|error| explain(&error))?;
    transaction.commit().await?;
    Ok(())
}

fn explain(error: &MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(version) => StoreError::Unusable(format!(
            "the database has schema version {version}, which this version of kubeops does not know: start the newer kubeops that wrote it, or restore a backup"
        )),
        MigrateError::VersionMismatch(version) => StoreError::Unusable(format!(
            "schema version {version} of the database is not the one this version of kubeops has: start the kubeops that wrote it"
        )),
        MigrateError::Execute(sqlx::Error::Database(error)) | MigrateError::ExecuteMigration(sqlx::Error::Database(error), _) => {
            super::error::of(&**error)
        }
        other => StoreError::Broken(other.to_string()),
    }
}
