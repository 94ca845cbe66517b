//! What both databases have of migrations: which are missing, and the mark of a copy that has not come to its end.
//! Nothing here changes a schema.

use super::error::explain;
use crate::store::StoreError;
use sqlx::migrate::{Migrate, MigrateError, Migration, Migrator};

/// The table in which it is written down what was applied.
pub(in crate::store) const APPLIED: &str = "_sqlx_migrations";

/// A table that is there from the first step of a copy into an empty store until its last, which is one transaction.
pub(in crate::store) const UNFINISHED: &str = "copying";

/// Tells the oldest version whose programs may work beside the newest one that was applied; no row where that one says nothing.
pub(in crate::store) const REACH: &str = "SELECT oldest FROM reaches WHERE version = (SELECT max(version) FROM _sqlx_migrations)";

/// The migrations that were not applied yet, in order; all of them where the table [`APPLIED`] is empty. `reach` is what [`REACH`] tells.
///
/// # Errors
/// [`StoreError::Unusable`] when one was applied that this program does not know and may not work beside, or knows otherwise.
pub(in crate::store) async fn missing<C: Migrate>(
    connection: &mut C,
    migrations: &'static Migrator,
    reach: Option<i64>,
) -> Result<Vec<&'static Migration>, StoreError> {
    let applied = connection.list_applied_migrations(APPLIED).await.map_err(explain)?;
    let newest = migrations.iter().map(|known| known.version).max().unwrap_or_default();
    let is_within = |version: i64| version > newest && reach.is_some_and(|oldest| oldest <= newest);
    for one in &applied {
        match migrations.iter().find(|known| known.version == one.version) {
            None if is_within(one.version) => {
                tracing::info!(version = one.version, known = newest, "the schema is of a newer kubeops, which this one may work beside");
            }
            None => return Err(explain(MigrateError::VersionMissing(one.version))),
            Some(known) if known.checksum != one.checksum => return Err(explain(MigrateError::VersionMismatch(one.version))),
            Some(_) => {}
        }
    }
    Ok(migrations.iter().filter(|known| !applied.iter().any(|one| one.version == known.version)).collect())
}

/// Their versions, and what each is for.
pub(in crate::store) fn named(migrations: &[&Migration]) -> Vec<(i64, String)> {
    migrations.iter().map(|migration| (migration.version, migration.description.to_string())).collect()
}

/// Why a store that a copy was broken off in is not worked with.
pub(in crate::store) fn unfinished() -> StoreError {
    StoreError::Unusable(
        "a copy into it was begun and has not come to its end, so nothing of it is there: let it end, or begin it again with `kubeops store copy` or `kubeops store restore`"
            .to_owned(),
    )
}

/// Why a store with an old schema is not worked with.
pub(in crate::store) fn too_old(missing: &[&Migration]) -> StoreError {
    let missing: Vec<String> = missing.iter().map(|migration| migration.version.to_string()).collect();
    StoreError::Unusable(format!(
        "its schema is older than this version of kubeops (it misses {}): run `kubeops store migrate`, or start the server, which brings it up to date",
        missing.join(", ")
    ))
}

/// Why there is nothing to work with.
pub(in crate::store) fn no_store() -> StoreError {
    StoreError::Unusable(
        "the database holds no store yet: `kubeops serve` or `kubeops store migrate` makes one, `kubeops store copy` and `restore` bring one in"
            .to_owned(),
    )
}
