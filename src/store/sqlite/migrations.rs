//! Brings a database file to the schema this program knows, in one transaction: a crash in between leaves the old schema.
//! It refuses, and never touches, a file of another program or one that a newer version wrote.

use crate::store::StoreError;
use crate::store::sql::error::explain;
use sqlx::migrate::Migrator;
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
    MIGRATIONS.run(&mut *transaction).await.map_err(explain)?;
    transaction.commit().await?;
    Ok(())
}
