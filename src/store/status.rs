//! What is told of a store as a whole, also of one that cannot be worked with: its schema, its tables, its size.
//! It only reads.

use super::sql::migrating::{APPLIED, UNFINISHED};
use super::sql::query::statement;
use super::sql::rows::Columns;
use super::sql::{Database, SqlStore};
use super::{StoreError, copy::schema, postgres};
use serde::Serialize;

/// Which database a store is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// A file.
    Sqlite,
    /// A database that several processes share.
    Postgres,
}

/// A store as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Which database it is kept in.
    pub kind: StoreKind,
    /// The version of that database's software.
    pub software: String,
    /// The newest migration that was applied.
    pub version: i64,
    /// The migrations that this program knows and that are not applied: version and description.
    pub missing: Vec<(i64, String)>,
    /// Whether a copy into it was begun and has not come to its end.
    pub unfinished: bool,
    /// Whether a copy into it is under way.
    pub copying: bool,
    /// Whether a process works with it now.
    pub in_use: bool,
    /// Bytes on disk, without the log.
    pub bytes: u64,
    /// How many rows each table has, by name; nothing while a copy into it is under way, which keeps them from everybody.
    pub tables: Vec<(String, u64)>,
}

impl SqlStore {
    /// What there is to tell of it. It counts the rows of each table, which takes seconds when there are many.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn describe(&self) -> Result<Described, StoreError> {
        let missing = self.missing().await?;
        let (unfinished, in_use) = (self.is_unfinished().await?, self.is_in_use().await?);
        let copying = self.is_copied_into(unfinished, in_use).await?;
        let mut view = self.database().view().await?;
        let (kind, software, bytes) = if view.is_sqlite() {
            let size = "SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()";
            (StoreKind::Sqlite, "SELECT sqlite_version() AS version", size)
        } else {
            let size = "SELECT pg_database_size(current_database()) AS bytes";
            (StoreKind::Postgres, "SELECT current_setting('server_version') AS version", size)
        };
        let software = statement(software).fetch_one(&mut view).await?.text("version")?;
        let bytes = statement(bytes).fetch_one(&mut view).await?.count("bytes")?;
        let version =
            statement(format!("SELECT coalesce(max(version), 0) AS version FROM {APPLIED}")).fetch_one(&mut view).await?.number("version")?;
        let mut tables = Vec::new();
        let names = if copying { Vec::new() } else { schema::names(&mut view).await? };
        for name in names {
            let rows = statement(format!("SELECT count(*) AS found FROM \"{name}\"")).fetch_one(&mut view).await?.count("found")?;
            tables.push((name, rows));
        }
        Ok(Described { kind, software, version, missing, unfinished, copying, in_use, bytes, tables })
    }

    /// The migrations that are not applied, with what each is for.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when one was applied that this program does not know.
    pub async fn missing(&self) -> Result<Vec<(i64, String)>, StoreError> {
        match self.database() {
            Database::Sqlite(file) => file.missing().await,
            Database::Postgres(pool) => pool.missing().await,
        }
    }

    /// Whether another process works with it: asked of one that was opened for no work.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_in_use(&self) -> Result<bool, StoreError> {
        match self.database() {
            Database::Sqlite(file) => Ok(file.is_in_use()),
            Database::Postgres(pool) => {
                let others = statement(
                    "SELECT count(*) AS others FROM pg_stat_activity \
                     WHERE datname = current_database() AND application_name = ? AND pid <> pg_backend_pid()",
                );
                Ok(others.bind(postgres::WORKS).fetch_one(&mut pool.read().await?).await?.number("others")? > 0)
            }
        }
    }

    /// Whether a command brings a copy into it now.
    async fn is_copied_into(&self, unfinished: bool, in_use: bool) -> Result<bool, StoreError> {
        match self.database() {
            // Who has a file open says not what for.
            Database::Sqlite(_) => Ok(unfinished && in_use),
            Database::Postgres(pool) => {
                let writing = statement(
                    "SELECT count(*) AS others FROM pg_stat_activity \
                     WHERE datname = current_database() AND application_name = ? AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()",
                );
                Ok(writing.bind(postgres::COPIES).fetch_one(&mut pool.read().await?).await?.number("others")? > 0)
            }
        }
    }

    /// Whether a copy into it was begun and has not come to its end.
    pub(super) async fn is_unfinished(&self) -> Result<bool, StoreError> {
        Ok(schema::all(&mut self.database().read().await?).await?.iter().any(|name| name == UNFINISHED))
    }
}
