//! Brings a database to the schema this program knows, in one transaction and under a lock: of several replicas that start at once one
//! does it, and a crash in between leaves the old schema. It refuses, and never touches, what another program or a newer version made.

use super::connection::LOCKS;
use crate::store::StoreError;
use crate::store::sql::error::explain;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, Executor, PgConnection, Row};
use std::collections::BTreeSet;

static MIGRATIONS: Migrator = {
    let mut migrator = sqlx::migrate!("migrations/postgres");
    // The lock is ours: it is held until the transaction ends.
    migrator.locking = false;
    migrator
};

/// The lock of whoever changes the schema; see [`LOCKS`].
const SCHEMA: i32 = 2;

/// Applies what is missing, or refuses a database that misses something.
///
/// # Errors
/// [`StoreError::Unusable`] when this is no database of ours, or a newer or an older one.
pub(super) async fn run(connection: &mut PgConnection, migrate: bool) -> Result<(), StoreError> {
    let version = connection.server_version_num();
    if version.is_some_and(|version| version < 140_000) {
        return Err(StoreError::Unusable("PostgreSQL 14 or later is needed".to_owned()));
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
    if !migrate && !ours {
        return Err(StoreError::Unusable("the database holds no store yet: `kubeops serve` makes one".to_owned()));
    }
    if migrate {
        MIGRATIONS.run(&mut *transaction).await.map_err(explain)?;
    } else {
        is_up_to_date(&mut transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Looks whether the schema is the one this program knows, and changes nothing.
async fn is_up_to_date(connection: &mut PgConnection) -> Result<(), StoreError> {
    let rows = connection.fetch_all("SELECT version FROM _sqlx_migrations").await?;
    let applied = rows.iter().map(|row| row.try_get("version")).collect::<Result<BTreeSet<i64>, _>>()?;
    let known: BTreeSet<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
    if let Some(newer) = applied.difference(&known).next() {
        return Err(explain(MigrateError::VersionMissing(*newer)));
    }
    if known.len() > applied.len() {
        return Err(StoreError::Unusable(
            "the database's schema is older than this version of kubeops: start its server, which brings it up to date".to_owned(),
        ));
    }
    Ok(())
}
