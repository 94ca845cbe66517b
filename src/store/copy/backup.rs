//! Backups: a SQLite file with everything a store held at one moment, whatever database that is kept in, and with what it should hold.
//! Written beside its place and put there when it is whole and on disk; never over a file that is there.

use super::{AtTheEnd, CopiedTable, CopyProgress, IfNotEmpty, schema};
use crate::store::sql::query::{Connection, statement};
use crate::store::sql::rows::{Columns, to_json};
use crate::store::sql::{Database, SqlStore};
use crate::store::{SchemaOnOpen, SqliteOptions, StoreError};
use crate::types::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFacts {
    /// When it was begun.
    pub made_at: Timestamp,
    /// The version of kubeops that made it.
    pub kubeops: String,
    /// The database it is of: `sqlite` or `postgres`.
    pub of: String,
    /// What it holds.
    pub tables: Vec<CopiedTable>,
}

impl SqlStore {
    /// Writes everything the store holds into a new file, while others work with the store.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when there is such a file, or it cannot be made; [`StoreError::Full`] when there is no room for it;
    /// [`StoreError::Broken`] when what was written is not what was read. Then there is no such file.
    pub async fn back_up(&self, file: &Path, now: Timestamp, progress: &mut CopyProgress<'_>) -> Result<BackupFacts, StoreError> {
        if file.exists() {
            return Err(StoreError::Unusable(format!("there is a file at {}: name another", file.display())));
        }
        let beside = beside(file, "partial")?;
        remove(&beside)?;
        let target = open(&beside, SchemaOnOpen::CopyInto).await?;
        let of = match self.database() {
            Database::Sqlite(_) => "sqlite",
            Database::Postgres(_) => "postgres",
        };
        let of = of.to_owned();
        let mut facts = BackupFacts { made_at: now, kubeops: env!("CARGO_PKG_VERSION").to_owned(), of, tables: Vec::new() };
        let end = AtTheEnd { facts: Some(facts.clone()), ..AtTheEnd::default() };
        facts.tables = match self.copy(&target, IfNotEmpty::Refuse, &end, progress).await {
            Ok(tables) => tables,
            Err(error) => {
                close_as_one_file(&target).await.ok();
                remove(&beside)?;
                return Err(error);
            }
        };
        close_as_one_file(&target).await?;
        put(&beside, file)?;
        Ok(facts)
    }
}

/// A backup that is what was written.
#[derive(Debug)]
pub struct Backup {
    file: PathBuf,
    facts: BackupFacts,
}

impl Backup {
    /// Reads a backup and holds it against what it says of itself.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when it is no backup, not what was written, or a newer version's.
    pub async fn verified(file: &Path) -> Result<Self, StoreError> {
        let verified = async {
            let backup = open(file, SchemaOnOpen::AsItIs).await?;
            let verified = verify(&backup).await;
            crate::store::Store::close(&backup).await;
            verified
        };
        match verified.await {
            Ok(facts) => Ok(Self { file: file.to_owned(), facts }),
            // What is broken here is the file, and another backup is what helps.
            Err(StoreError::Broken(why)) => {
                let why = why.trim_end_matches(": restore the database from a backup");
                Err(StoreError::Unusable(format!("{}: the backup cannot be read: {why}", file.display())))
            }
            Err(error) => Err(error.about(&file.display().to_string())),
        }
    }

    /// What it says of itself.
    pub fn facts(&self) -> &BackupFacts {
        &self.facts
    }
}

async fn verify(backup: &SqlStore) -> Result<BackupFacts, StoreError> {
    let mut facts = facts(&mut backup.database().read().await?).await?;
    // What older versions summed up as well.
    facts.tables.retain(|table| !schema::OWN.contains(&table.name.as_str()));
    backup.missing().await?;
    let contents = backup.contents().await?;
    let is_there = |table: &CopiedTable| contents.contains(table);
    if let Some(table) = facts.tables.iter().find(|table| !is_there(table)) {
        let found = contents.iter().find(|found| found.name == table.name).map_or(0, |found| found.rows);
        return Err(StoreError::Unusable(format!(
            "the backup was changed after it was made: {} had {} rows ({}) and has {found} others",
            table.name, table.rows, table.digest
        )));
    }
    if contents.len() != facts.tables.len() {
        return Err(StoreError::Unusable("the backup was changed after it was made: it has further tables".to_owned()));
    }
    Ok(facts)
}

impl Backup {
    /// Brings what it holds into `target`, which was opened with [`SchemaOnOpen::CopyInto`]. What a process held when the backup was
    /// made goes to others at once, and whoever claimed a task before `now` holds it no more.
    ///
    /// # Errors
    /// As [`SqlStore::copy_into`]; then the target is as it was.
    pub async fn restore(
        &self,
        target: &SqlStore,
        there: IfNotEmpty,
        now: Timestamp,
        progress: &mut CopyProgress<'_>,
    ) -> Result<BackupFacts, StoreError> {
        let mut backup = open(&self.file, SchemaOnOpen::AsItIs).await?;
        // The backup itself stays as it is.
        let mut newer = None;
        if !backup.missing().await?.is_empty() {
            let copy = beside(&self.file, "migrating")?;
            remove(&copy)?;
            std::fs::copy(&self.file, &copy).map_err(|error| failed(&copy, &error))?;
            crate::store::Store::close(&backup).await;
            backup = open(&copy, SchemaOnOpen::CopyInto).await?;
            newer = Some(copy);
        }
        let end = AtTheEnd { fence_off: Some(now), ..AtTheEnd::default() };
        let restored = backup.copy(target, there, &end, progress).await;
        crate::store::Store::close(&backup).await;
        if let Some(copy) = newer {
            remove(&copy)?;
        }
        Ok(BackupFacts { tables: restored?, ..self.facts.clone() })
    }
}

/// Writes into the backup what it is.
pub(super) async fn note(connection: &mut Connection, facts: &BackupFacts) -> Result<(), StoreError> {
    statement(format!("CREATE TABLE {} (facts TEXT NOT NULL)", schema::BACKUP)).execute(connection).await?;
    statement(format!("INSERT INTO {} (facts) VALUES (?)", schema::BACKUP)).bind(to_json(facts)?).execute(connection).await?;
    Ok(())
}

async fn facts(connection: &mut Connection) -> Result<BackupFacts, StoreError> {
    if !schema::all(connection).await?.iter().any(|name| name == schema::BACKUP) {
        return Err(StoreError::Unusable("it is no backup: `kubeops store backup` makes one, and `kubeops store copy` takes a store".to_owned()));
    }
    statement(format!("SELECT facts FROM {}", schema::BACKUP)).fetch_one(connection).await?.json("facts")
}

async fn open(file: &Path, schema: SchemaOnOpen) -> Result<SqlStore, StoreError> {
    let path = file.to_str().ok_or_else(|| StoreError::Unusable(format!("{}: the path is not UTF-8", file.display())))?;
    SqlStore::sqlite(path, SqliteOptions { create: schema.migrates(), schema, ..SqliteOptions::default() }).await
}

async fn close_as_one_file(store: &SqlStore) -> Result<(), StoreError> {
    match store.database() {
        Database::Sqlite(file) => file.close_as_one_file().await,
        Database::Postgres(_) => Ok(()),
    }
}

/// The file's name with something behind it.
fn beside(file: &Path, suffix: &str) -> Result<PathBuf, StoreError> {
    let name = file.file_name().ok_or_else(|| StoreError::Unusable(format!("{} names no file", file.display())))?;
    let mut name = name.to_owned();
    name.push(format!(".{suffix}"));
    Ok(file.with_file_name(name))
}

/// Removes what an attempt before left, with its log.
fn remove(file: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut path = file.as_os_str().to_owned();
        path.push(suffix);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(file, &error)),
            _ => {}
        }
    }
    Ok(())
}

/// Puts a file that is whole in its place: on disk before it has its name, and its name on disk before this returns.
fn put(from: &Path, to: &Path) -> Result<(), StoreError> {
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let put = || {
        std::fs::File::open(from)?.sync_all()?;
        std::fs::rename(from, to)?;
        std::fs::File::open(directory)?.sync_all()
    };
    put().map_err(|error: std::io::Error| failed(to, &error))
}

fn failed(file: &Path, error: &std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::StorageFull => StoreError::Full(error.to_string()),
        _ => StoreError::Unusable(format!("{}: {error}", file.display())),
    }
}
