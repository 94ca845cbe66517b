//! Brings a database to the schema this program knows, in one transaction and under a lock: of several replicas that start at once one
//! does it, and a crash in between leaves the old schema. It refuses, and never touches, what another program or a newer version made.

use super::connection::{LOCKS, LONG_STATEMENT};
use crate::store::sql::error::explain;
use crate::store::sql::migrating::{self, APPLIED, REACH, UNFINISHED, no_store, too_old, unfinished};
use crate::store::{SchemaOnOpen, StoreError};
use sqlx::migrate::{Migrate, Migration, Migrator};
use sqlx::{Connection, Executor, PgConnection, Row};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// PostgreSQL 14, as a server numbers itself: the oldest that all statements are for.
const OLDEST: u32 = 140_000;

/// The lock of whoever changes the schema; see [`LOCKS`].
const SCHEMA: i32 = 2;

/// Applies what is missing, or refuses a database that misses something; tells the versions it applied.
///
/// # Errors
/// [`StoreError::Unusable`] when this is no database of ours, a newer or an older one, or one that a copy was broken off in.
pub(super) async fn run(connection: &mut PgConnection, schema: SchemaOnOpen) -> Result<Vec<i64>, StoreError> {
    if let Some(version) = connection.server_version_num().filter(|version| *version < OLDEST) {
        return Err(StoreError::Unusable(format!(
            "the server is PostgreSQL {}, and 14 or later is needed: bring it up to date, or name another in STORE_URL",
            version / 10_000
        )));
    }
    // Asked before the lock, which a copy that is under way holds for long.
    let copying: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(UNFINISHED).fetch_one(&mut *connection).await?;
    if copying && schema.is_for_work() {
        return Err(unfinished());
    }
    let mut transaction = connection.begin().await?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, $2)").bind(LOCKS).bind(SCHEMA);
    transaction.execute(lock).await?;
    let here = "SELECT to_regclass('kubeops') IS NOT NULL AS ours, EXISTS (SELECT 1 FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r') AS any";
    let here = transaction.fetch_one(here).await?;
    let (ours, any): (bool, bool) = (here.try_get("ours")?, here.try_get("any")?);
    if any && !ours {
        return Err(StoreError::Unusable("the schema of the database holds tables of another program: name another database".to_owned()));
    }
    let mut applied = Vec::new();
    if schema.migrates() {
        transaction.execute(LONG_STATEMENT).await?;
        transaction.ensure_migrations_table(APPLIED).await.map_err(explain)?;
        for migration in missing(&mut transaction, ours).await? {
            transaction.apply(APPLIED, migration).await.map_err(explain)?;
            applied.push(migration.version);
        }
    } else if !ours {
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
pub(super) async fn missing(connection: &mut PgConnection, ours: bool) -> Result<Vec<&'static Migration>, StoreError> {
    let reach = match ours {
        true => sqlx::query_scalar(REACH).fetch_optional(&mut *connection).await?,
        false => None,
    };
    migrating::missing(connection, &MIGRATIONS, reach).await
}
