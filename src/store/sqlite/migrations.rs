//! Brings a database file to the schema this program knows, in one transaction: a crash in between leaves the old schema.
//! It refuses, and never touches, a file of another program, one that a newer version wrote, and one whose other half is missing.

use crate::store::StoreError;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, SqliteConnection};

static STORE: Migrator = sqlx::migrate!("migrations/sqlite");
static INBOX: Migrator = sqlx::migrate!("migrations/sqlite-inbox");

/// "KOps" and "KOpi" in ASCII, which the first migrations write into the files' headers.
const STORE_ID: i64 = 0x4b4f_7073;
const INBOX_ID: i64 = 0x4b4f_7069;

/// Applies what is missing in a store.
///
/// # Errors
/// [`StoreError::Unusable`] when this is no database of ours, or a newer one.
pub(super) async fn store(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    run(connection, &STORE, STORE_ID).await
}

/// Applies what is missing in an inbox.
///
/// # Errors
/// As [`store`].
pub(super) async fn inbox(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    run(connection, &INBOX, INBOX_ID).await
}

async fn run(connection: &mut SqliteConnection, migrator: &Migrator, id: i64) -> Result<(), StoreError> {
    // Immediate: of two processes that open a new file at once, one waits for the other.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let (application, tables): (i64, i64) =
        sqlx::query_as("SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)")
            .fetch_one(&mut *transaction)
            .await?;
    if application != id && (application != 0 || tables > 0) {
        return Err(StoreError::Unusable("the file is a database of another program: name another file".to_owned()));
    }
    migrator.run(&mut *transaction).await.map_err(|error| explain(&error))?;
    transaction.commit().await?;
    Ok(())
}

/// Makes a new inbox the store's, and refuses one that is another's or that was lost: the bodies are in it.
///
/// # Errors
/// [`StoreError::Unusable`].
pub(super) async fn pair(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO inbox_pair (id, key) SELECT id, key FROM pair WHERE true ON CONFLICT DO NOTHING").execute(&mut *connection).await?;
    let (paired, whole): (bool, bool) = sqlx::query_as(
        "SELECT (SELECT key FROM pair) = (SELECT key FROM inbox_pair), \
         (SELECT upto FROM arrivals_filed) <= (SELECT coalesce(max(seq), 0) FROM arrivals)",
    )
    .fetch_one(connection)
    .await?;
    match (paired, whole) {
        (true, true) => Ok(()),
        (true, false) => {
            Err(StoreError::Unusable("its inbox lacks deliveries that were acknowledged: restore both files from the same backup".to_owned()))
        }
        (false, _) => Err(StoreError::Unusable("its inbox belongs to another store: restore both files from the same backup".to_owned())),
    }
}

fn explain(error: &MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(version) => StoreError::Unusable(format!(
            "the database has schema version {version}, which this version of kubeops does not know: start the newer kubeops that wrote it, or restore a backup"
        )),
        MigrateError::VersionMismatch(version) => StoreError::Unusable(format!(
            "schema version {version} of the database is not the one this version of kubeops has: start the kubeops that wrote it"
        )),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => super::error::from_sqlx(error),
        other => StoreError::Broken(other.to_string()),
    }
}
