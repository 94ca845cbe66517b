//! A copy of everything a store holds into another one, of either database: of one moment, in one transaction, and held against
//! what it is a copy of before that ends. Never half a store that looks whole, and never over one that somebody works with.

mod backup;
mod deliveries;
mod read;
pub(super) mod schema;
mod write;

pub use backup::{Backup, BackupFacts};

use super::StoreError;
use super::sql::SqlStore;
use super::sql::migrating::{UNFINISHED, unfinished};
use super::sql::query::{Connection, statement};
use super::sql::rows::to_json;
use crate::failpoint;
use crate::types::Timestamp;
use schema::Table;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use write::Writing;

/// How often it is looked whether a process still works with a store, and how long between.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Told of each page that was written: the table, and how many of its rows there are by now.
pub type CopyProgress<'p> = dyn FnMut(&str, u64) + 'p;

/// What becomes of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfNotEmpty {
    /// It stays, and nothing is copied.
    Refuse,
    /// It goes, in the transaction that brings the copy.
    Replace,
}

/// A table of two stores that hold the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedTable {
    /// Its name.
    pub name: String,
    /// How many rows it has.
    pub rows: u64,
    /// The sum of the SHA-256 of its rows, in hex.
    pub digest: String,
}

/// A table, and what one store has of it and the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComparedTable {
    /// Its name.
    pub name: String,
    /// What the first has; none when it has no such table.
    pub from: Option<CopiedTable>,
    /// What the second has.
    pub to: Option<CopiedTable>,
}

impl ComparedTable {
    /// Whether both hold the same.
    pub fn is_equal(&self) -> bool {
        self.from == self.to
    }
}

/// What is done to a copy at its end, in its transaction.
#[derive(Debug, Clone, Default)]
struct AtTheEnd {
    /// Claims of tasks that were made before this moment, in whatever store, hold nothing any more.
    fence_off: Option<Timestamp>,
    /// It is a backup, of which this is known.
    facts: Option<BackupFacts>,
}

impl SqlStore {
    /// Copies everything into `target`, which was opened with [`super::SchemaOnOpen::CopyInto`], and tells what both hold then.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when this store has an old schema or is an unfinished copy itself, or when the target is not empty or
    /// is in use; [`StoreError::Broken`] when what was written is not what was read. Then the target is as it was, but one that was empty is
    /// refused by servers until a copy into it has come to its end.
    pub async fn copy_into(&self, target: &Self, there: IfNotEmpty, progress: &mut CopyProgress<'_>) -> Result<Vec<CopiedTable>, StoreError> {
        self.copy(target, there, &AtTheEnd::default(), progress).await
    }

    async fn copy(&self, target: &Self, there: IfNotEmpty, end: &AtTheEnd, progress: &mut CopyProgress<'_>) -> Result<Vec<CopiedTable>, StoreError> {
        self.can_be_copied().await?;
        if target.stays_in_use().await? {
            let why = "a process works with it: stop every server and command that uses it".to_owned();
            return Err(target.about(StoreError::Unusable(why)));
        }
        let is_empty = schema::is_empty(&mut target.database().read().await?).await?;
        if !is_empty && there == IfNotEmpty::Refuse {
            let why = "it is not empty: name another database, or have what is there replaced (--replace)".to_owned();
            return Err(target.about(StoreError::Unusable(why)));
        }
        if is_empty {
            target.mark().await?;
        }
        let mut view = self.database().view().await?;
        let mut write = target.database().write().await?;
        let copied = fill(&mut view, write.connection(), end, progress).await;
        write.finish(copied).await
    }

    /// Whether it can be copied: asked before the store is made that it is to be copied into.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when it has an old schema or is an unfinished copy itself.
    pub async fn can_be_copied(&self) -> Result<(), StoreError> {
        if self.is_unfinished().await? {
            return Err(self.about(unfinished()));
        }
        if !self.missing().await?.is_empty() {
            let why = "what is to be copied has an older schema: run `kubeops store migrate` on it first".to_owned();
            return Err(self.about(StoreError::Unusable(why)));
        }
        Ok(())
    }

    /// Whether a process works with it that is not just ending: a database knows of a connection a moment longer than who had it.
    async fn stays_in_use(&self) -> Result<bool, StoreError> {
        for _ in 0..LOOKS {
            if !self.is_in_use().await? {
                return Ok(false);
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        self.is_in_use().await
    }

    /// Notes that a copy begins, so that what it leaves when it is broken off is known.
    async fn mark(&self) -> Result<(), StoreError> {
        let mut write = self.database().write().await?;
        let marked = statement(format!("CREATE TABLE IF NOT EXISTS {UNFINISHED} (id BIGINT PRIMARY KEY)")).execute(write.connection()).await;
        write.finish(marked.map(|_| ())).await
    }

    /// What this store and another hold, table by table, each at one moment.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub async fn compare(&self, other: &Self) -> Result<Vec<ComparedTable>, StoreError> {
        let mut compared: Vec<ComparedTable> =
            self.contents().await?.into_iter().map(|from| ComparedTable { name: from.name.clone(), from: Some(from), to: None }).collect();
        for to in other.contents().await? {
            match compared.iter_mut().find(|table| table.name == to.name) {
                Some(table) => table.to = Some(to),
                None => compared.push(ComparedTable { name: to.name.clone(), from: None, to: Some(to) }),
            }
        }
        Ok(compared)
    }

    /// What it holds, at one moment.
    async fn contents(&self) -> Result<Vec<CopiedTable>, StoreError> {
        let mut view = self.database().view().await?;
        let mut contents = Vec::new();
        for table in schema::tables(&mut view).await? {
            let sum = read::sum(&mut view, &table).await?;
            contents.push(CopiedTable { name: table.name, rows: sum.rows, digest: sum.to_string() });
        }
        Ok(contents)
    }
}

/// Copies every table and reads it back, in the caller's transaction.
async fn fill(
    view: &mut Connection,
    target: &mut Connection,
    end: &AtTheEnd,
    progress: &mut CopyProgress<'_>,
) -> Result<Vec<CopiedTable>, StoreError> {
    let tables = schema::tables(target).await?;
    let read = schema::tables(view).await?;
    alike(&read, &tables)?;
    let silenced = write::begin(target, &tables).await?;
    let mut sums = Vec::new();
    for table in &tables {
        let mut progress = |table: &str, rows: u64| progress(table, rows);
        let mut writing = Writing::new(target, table, &mut progress);
        read::each(view, table, &mut writing).await?;
        writing.flush().await?;
        sums.push(writing.sum);
    }
    write::end(target, &tables, silenced).await?;
    let mut copied = Vec::new();
    for (table, sum) in tables.iter().zip(sums) {
        let written = read::sum(target, table).await?;
        if written != sum {
            let (name, there, here) = (&table.name, sum.rows, written.rows);
            return Err(StoreError::Broken(format!(
                "the copy of {name} is not what was read: {there} rows {sum} were, {here} rows {written} are there"
            )));
        }
        copied.push(CopiedTable { name: table.name.clone(), rows: sum.rows, digest: sum.to_string() });
    }
    if let Some(now) = end.fence_off {
        fence_off(target, now).await?;
    }
    if let Some(facts) = &end.facts {
        backup::note(target, &BackupFacts { tables: copied.clone(), ..facts.clone() }).await?;
    }
    statement(format!("DROP TABLE IF EXISTS {UNFINISHED}")).execute(target).await?;
    failpoint::hit("store.copied");
    Ok(copied)
}

/// Nothing is copied between databases that do not have the same tables.
fn alike(read: &[Table], written: &[Table]) -> Result<(), StoreError> {
    let has = |tables: &[Table], table: &Table| tables.iter().any(|other| other.is_like(table));
    let odd = read.iter().filter(|table| !has(written, table)).chain(written.iter().filter(|table| !has(read, table)));
    let odd: Vec<&str> = odd.map(|table| table.name.as_str()).collect();
    if odd.is_empty() {
        return Ok(());
    }
    let odd = to_json(&odd)?;
    Err(StoreError::Broken(format!("the two databases do not have the same tables and columns: {odd}")))
}

/// What was claimed before goes to others, and whoever claimed it, in whatever store, holds it no more: fences go on from a number that no
/// store has come to by counting claims.
async fn fence_off(connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
    statement("UPDATE outbox SET fence = max(fence, CAST(? AS BIGINT))").bind(now.unix_millis()).execute(connection).await?;
    statement("UPDATE outbox SET lease_until = ? WHERE state = 'leased'").bind(now.unix_millis()).execute(connection).await?;
    Ok(())
}
