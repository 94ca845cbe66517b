//! Stores opened: the one the settings name, and others that are copied from or to. A password comes from the secret provider only,
//! never from an address.

use super::secret_provider;
use crate::config::{Settings, StoreUrl};
use crate::secrets::SecretError;
use crate::store::{PostgresOptions, SchemaOnOpen, SqlStore, SqliteOptions, Store, StoreError};
use crate::types::SecretName;
use anyhow::{Context, bail};
use secrecy::SecretString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The secret that is the password of a PostgreSQL store.
const STORE_PASSWORD: &str = "STORE_PASSWORD";

/// For how long a server that starts tries to reach its database: where everything starts at once, that may be the last to come.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it tries, and how often it says so.
const EVERY: Duration = Duration::from_secs(1);
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Which of two stores one is, where there are two: each PostgreSQL may have a password of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The only one.
    Only,
    /// What is copied: the secret `STORE_PASSWORD_FROM` is looked for first.
    From,
    /// Where it is copied to: the secret `STORE_PASSWORD_TO`.
    To,
}

/// Opens the store the settings name.
///
/// # Errors
/// When it cannot be opened, with what to do.
pub async fn open_store(settings: &Settings) -> anyhow::Result<Arc<dyn Store>> {
    Ok(Arc::new(open_store_at(settings, &settings.store_url, Side::Only, SchemaOnOpen::Migrate).await?))
}

/// As [`open_store`], for a server: a database that cannot be reached now is waited for, anything else ends it at once.
///
/// # Errors
/// When it cannot be opened, with what to do.
pub(super) async fn await_store(settings: &Settings) -> anyhow::Result<Arc<dyn Store>> {
    patiently(settings, async || open_store(settings).await).await
}

/// Does what a start needs of the store, again while the database is away, or others hold what it waits for.
///
/// # Errors
/// Its own: those that do not pass by themselves at once.
pub(super) async fn patiently<T>(settings: &Settings, work: impl AsyncFn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let begun = Instant::now();
    let mut told: Option<Instant> = None;
    loop {
        let error = match work().await {
            Err(error) if is_away(settings, &error) && begun.elapsed() < PATIENCE => error,
            done => return done,
        };
        if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            told = Some(Instant::now());
            let left = PATIENCE.saturating_sub(begun.elapsed()).as_secs();
            tracing::warn!("the database is waited for, {left} s longer at most: {error:#}");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Whether it may come to be by itself. Nobody else has to start where the store is a file.
fn is_away(settings: &Settings, error: &anyhow::Error) -> bool {
    matches!(settings.store_url, StoreUrl::Postgres(_)) && matches!(error.downcast_ref(), Some(StoreError::Unavailable(_)))
}

/// Opens the store the settings name, which has to be there.
///
/// # Errors
/// When there is none or it cannot be opened, with what to do.
pub async fn open_existing_store(settings: &Settings) -> anyhow::Result<Arc<dyn Store>> {
    Ok(Arc::new(open_store_at(settings, &settings.store_url, Side::Only, SchemaOnOpen::Expect).await?))
}

/// Opens a store of whatever kind. One whose schema is brought up to date is made when it is missing.
///
/// # Errors
/// When it cannot be opened, with what to do.
pub async fn open_store_at(settings: &Settings, url: &StoreUrl, side: Side, schema: SchemaOnOpen) -> anyhow::Result<SqlStore> {
    let makes = matches!(schema, SchemaOnOpen::Migrate | SchemaOnOpen::CopyInto);
    match url {
        StoreUrl::Sqlite(path) => {
            if !makes && !path.exists() {
                bail!("there is no store at {}\n  hint: set DATA_DIR or STORE_URL to the server's", path.display());
            }
            // Between that look and this one it may have gone: even then none is made.
            let options = SqliteOptions { create: makes, schema, ..SqliteOptions::default() };
            SqlStore::sqlite(&path.to_string_lossy(), options).await.with_context(|| format!("the store {}", path.display()))
        }
        StoreUrl::Postgres(address) => {
            let options = PostgresOptions {
                connections: settings.store_connections,
                password: password(settings, side)?,
                schema,
                ..PostgresOptions::default()
            };
            SqlStore::postgres(address, options).await.with_context(|| format!("the store {address}"))
        }
    }
}

/// The password that the secret provider has, if it has one.
fn password(settings: &Settings, side: Side) -> anyhow::Result<Option<SecretString>> {
    let secrets = secret_provider(&settings.secret_provider);
    let own = match side {
        Side::Only => None,
        Side::From => Some("STORE_PASSWORD_FROM"),
        Side::To => Some("STORE_PASSWORD_TO"),
    };
    for name in own.into_iter().chain([STORE_PASSWORD]) {
        let name: SecretName = name.parse().context("the name of the store's password")?;
        match secrets.secret(&name) {
            Ok(password) => return Ok(Some(password)),
            Err(SecretError::Missing { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// The file of the store the settings name, from the root where that is known; none where it is no file.
pub fn store_file(settings: &Settings) -> Option<PathBuf> {
    match &settings.store_url {
        StoreUrl::Sqlite(path) => Some(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
        StoreUrl::Postgres(_) => None,
    }
}
