//! Brings a database file to the schema this program knows, in one transaction: a crash in between leaves the old schema.
//! It refuses, and never touches, a file of another program or one that a newer version wrote.

use super::script::statements;
use crate::failpoint;
use crate::store::sql::error::explain;
use crate::store::sql::migrating::{self, APPLIED, REACH, UNFINISHED, no_store, too_old, unfinished};
use crate::store::{SchemaOnOpen, StoreError};
use sqlx::migrate::{Migrate, Migration, Migrator};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// "KOps" in ASCII, which the first migration writes into the file's header.
const APPLICATION_ID: i64 = 0x4b4f_7073;

/// Applies what is missing, or refuses a file that misses something; tells the versions it applied.
///
/// # Errors
/// [`StoreError::Unusable`] when this is no database of ours, a newer or an older one, or one that a copy was broken off in.
pub(super) async fn run(connection: &mut SqliteConnection, schema: SchemaOnOpen) -> Result<Vec<i64>, StoreError> {
    // Asked before the lock, which a copy that is under way holds for long.
    let copying: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = ?").bind(UNFINISHED).fetch_one(&mut *connection).await?;
    if copying > 0 && schema.is_for_work() {
        return Err(unfinished());
    }
    // Immediate: of two processes that open a new file at once, one waits for the other.
    let mut transaction = connection.begin_with(if schema.migrates() { "BEGIN IMMEDIATE" } else { "BEGIN" }).await?;
    let (application, tables): (i64, i64) =
        sqlx::query_as("SELECT (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)")
            .fetch_one(&mut *transaction)
            .await?;
    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(StoreError::Unusable("the file is a database of another program: name another file".to_owned()));
    }
    let mut applied = Vec::new();
    if schema.migrates() {
        transaction.ensure_migrations_table(APPLIED).await.map_err(explain)?;
        for migration in missing(&mut transaction, application == APPLICATION_ID).await? {
            for statement in statements(migration.sql.as_str()) {
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
                failpoint::hit("store.migrating");
            }
            transaction.skip(APPLIED, migration).await.map_err(explain)?;
            applied.push(migration.version);
        }
        failpoint::hit("store.migrated");
    } else if application == 0 {
        return Err(no_store());
    } else {
        let missing = missing(&mut transaction, true).await?;
        if schema == SchemaOnOpen::Expect && !missing.is_empty() {
            return Err(too_old(&missing));
        }
    }
    transaction.commit().await?;
    Ok(applied)
}

/// The migrations that were not applied yet, in order; `ours` says whether any was.
///
/// # Errors
/// [`StoreError::Unusable`] when one was applied that this program does not know and may not work beside, or knows otherwise.
pub(super) async fn missing(connection: &mut SqliteConnection, ours: bool) -> Result<Vec<&'static Migration>, StoreError> {
    let reach = match ours {
        true => sqlx::query_scalar(REACH).fetch_optional(&mut *connection).await?,
        false => None,
    };
    migrating::missing(connection, &MIGRATIONS, reach).await
}
