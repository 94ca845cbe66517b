//! What is SQLite's alone: one file whose write-ahead log is synced at every commit, so that what is acknowledged survives a power cut.
//! One connection writes, others read beside it; several processes may share the file (a command beside the server), and every write is
//! one short immediate transaction.

mod arrivals;
mod connection;
mod deliveries;
pub(super) mod error;
mod migrations;
mod script;

use super::sql::batch::Batched;
use super::sql::migrating::named;
use super::sql::query::Connection;
use super::{Appended, Delivery, Dispatch, NewDelivery, SchemaOnOpen, StoreError};
use crate::types::DeliveryId;
pub(super) use arrivals::{PENDING, of as arrivals_of, remove as remove_arrivals};
use connection::Database;
pub(super) use connection::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How a SQLite store is opened.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// How long a write waits for another process, and a read for a free connection, before it is `Unavailable`.
    pub busy_timeout: Duration,
    /// Connections that read, at most; each is opened when it is first needed and costs a thread and up to 1 MiB.
    pub readers: u32,
    /// Whether a missing file is made; a command that only looks must not leave an empty store behind.
    pub create: bool,
    /// What becomes of the schema.
    pub schema: SchemaOnOpen,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { busy_timeout: Duration::from_secs(5), readers: 4, create: true, schema: SchemaOnOpen::Migrate }
    }
}

/// A SQLite file, open.
pub(super) struct File {
    database: Database,
    append: Batched,
    unfiled: arrivals::Unfiled,
    /// One server works with a file, so whose turn it is to dispatch need not stand there.
    dispatching: Arc<Mutex<()>>,
    /// Whether another process had it open when it was opened; not looked at for work.
    is_in_use: bool,
}

impl File {
    /// See [`super::SqlStore::sqlite`].
    pub(super) async fn open(address: &str, options: &SqliteOptions) -> Result<Self, StoreError> {
        let path = path_of(address)?;
        if options.create {
            create_private(&path)?;
        } else if !path.exists() {
            return Err(StoreError::Unusable(format!("there is no store at {}", path.display())));
        }
        let is_in_use = !options.schema.is_for_work() && connection::is_in_use(&path, options.schema.migrates()).await?;
        let database = Database::open(&path, options).await?;
        Ok(Self { database, append: arrivals::insert_statement(), unfiled: arrivals::Unfiled::default(), dispatching: Arc::default(), is_in_use })
    }

    pub(super) async fn read(&self) -> Result<Connection, StoreError> {
        self.database.read().await
    }

    pub(super) async fn write(&self) -> Result<Write<'_>, StoreError> {
        self.database.write().await
    }

    pub(super) async fn view(&self) -> Result<Connection, StoreError> {
        self.database.view().await
    }

    /// Whether another process had it open when it was opened.
    pub(super) fn is_in_use(&self) -> bool {
        self.is_in_use
    }

    pub(super) fn migrated(&self) -> &[i64] {
        self.database.migrated()
    }

    /// The migrations that are not applied, with what each is for.
    pub(super) async fn missing(&self) -> Result<Vec<(i64, String)>, StoreError> {
        Ok(named(&migrations::missing(self.read().await?.sqlite()?, true).await?))
    }

    /// Closes it and leaves a single file, without the log beside it.
    ///
    /// # Errors
    /// When another process has it open.
    pub(super) async fn close_as_one_file(&self) -> Result<(), StoreError> {
        self.database.close_as_one_file().await
    }

    pub(super) async fn append(&self, batch: &[NewDelivery]) -> Result<Vec<Appended>, StoreError> {
        arrivals::append(&self.database, &self.unfiled, &self.append, batch).await
    }

    pub(super) async fn pending(&self, passed_by: &[DeliveryId], limit: u32) -> Result<Vec<Delivery>, StoreError> {
        // One view of the database: a delivery that is filed meanwhile would be seen twice or not at all.
        let pending = deliveries::pending(&mut self.database.view().await?, passed_by, limit).await?;
        if pending.is_empty() {
            // What nobody handles is never dispatched: it is filed when nothing else is to be done.
            self.file_all().await?;
        }
        Ok(pending)
    }

    /// See [`crate::store::Replicas::dispatch_turn`].
    pub(super) fn dispatch_turn(&self) -> Option<OwnedMutexGuard<()>> {
        Arc::clone(&self.dispatching).try_lock_owned().ok()
    }

    pub(super) async fn delivery(&self, id: &DeliveryId) -> Result<Delivery, StoreError> {
        if let Some(delivery) = deliveries::one(&mut self.read().await?, id).await? {
            return Ok(delivery);
        }
        let filing = self.file_all().await;
        let filed = deliveries::one(&mut self.read().await?, id).await?;
        // It may be among what a full disk lets nobody file.
        filed.ok_or_else(|| filing.err().unwrap_or_else(|| StoreError::NotFound(format!("delivery {id}"))))
    }

    /// Files what is not, before deliveries are listed.
    pub(super) async fn file_to_list(&self) -> Result<(), StoreError> {
        match self.file_all().await {
            // Reading goes on; the newest are missing until there is room again.
            Err(StoreError::Full(error)) => {
                tracing::warn!(error, "deliveries that arrived last are not listed: the store is full");
                Ok(())
            }
            filing => filing,
        }
    }

    /// Files some of what is not, before old deliveries are removed.
    pub(super) async fn file_to_prune(&self) {
        // What was never filed can be old as well. On a full disk it cannot be filed, and removing is what makes room.
        if let Err(error) = self.file_some().await {
            tracing::debug!(%error, "nothing was filed before old deliveries are removed");
        }
    }

    /// Files the oldest deliveries that are not; tells whether there were any.
    async fn file_some(&self) -> Result<bool, StoreError> {
        if !arrivals::any_unfiled(&mut self.read().await?).await? {
            return Ok(false);
        }
        let mut write = self.write().await?;
        let result = arrivals::file(write.connection()).await;
        self.unfiled.forget(&write.finish(result).await?).await;
        Ok(true)
    }

    /// Files every delivery that is not, a slice at a time so that nobody waits long for the writer.
    async fn file_all(&self) -> Result<(), StoreError> {
        while self.file_some().await? {}
        Ok(())
    }

    /// Files at least the deliveries of these entries.
    pub(super) async fn file_those_of(&self, entries: &[Dispatch]) -> Result<(), StoreError> {
        let ids: Vec<&DeliveryId> = entries.iter().filter_map(|entry| entry.delivery.as_ref()).collect();
        while !deliveries::are_filed(&mut self.read().await?, &ids).await? && self.file_some().await? {}
        Ok(())
    }

    pub(super) async fn close(&self) {
        self.database.close().await;
    }
}

/// The file an address names.
fn path_of(address: &str) -> Result<PathBuf, StoreError> {
    let refuse = |why: &str| Err(StoreError::Unusable(format!("{why}: write a path, or sqlite:///absolute/path")));
    let path = match address.split_once(':') {
        Some(("sqlite", rest)) => rest.strip_prefix("//").unwrap_or(rest),
        Some((scheme, rest)) if rest.starts_with("//") => return refuse(&format!("`{scheme}` is not SQLite")),
        _ => address,
    };
    if path.is_empty() || path.ends_with('/') {
        return refuse("the address names no file");
    }
    if path.contains(":memory:") {
        return refuse("a store in memory would lose what it acknowledged");
    }
    if path.contains('?') {
        return refuse("options in the address are not understood");
    }
    Ok(PathBuf::from(path))
}

/// Creates the file, if it is missing, so that only its owner reads tickets and token hashes; SQLite gives the log beside it
/// the same mode.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let refuse = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::StorageFull => StoreError::Full(error.to_string()),
        _ => StoreError::Unusable(format!("{}: {error}", path.display())),
    };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(refuse)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(refuse)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_path_or_a_sqlite_url() {
        for (address, path) in
            [("/a/b.db", "/a/b.db"), ("b.db", "b.db"), ("sqlite:b.db", "b.db"), ("sqlite://b.db", "b.db"), ("sqlite:///a/b.db", "/a/b.db")]
        {
            assert_eq!(path_of(address).expect("a path"), PathBuf::from(path), "{address}");
        }
        for address in ["", "sqlite:", "sqlite://", "sqlite::memory:", "postgres://h/db", "/a/", "sqlite://b.db?mode=ro"] {
            assert!(matches!(path_of(address), Err(StoreError::Unusable(_))), "{address}");
        }
    }
}
