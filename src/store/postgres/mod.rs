//! What is PostgreSQL's alone: a pool of connections that several replicas share the database by, commits that are on disk when they
//! are told to be, and one lock that lets one writer in at a time where it reads before it writes.

mod address;
mod connection;
mod deliveries;
mod door;
pub(super) mod error;
mod lent;
mod migrations;
mod name;
mod tls;
mod wake;

use super::sql::migrating::named;
use super::sql::query::Connection;
use super::{Appended, Delivery, NewDelivery, SchemaOnOpen, StoreError};
use crate::clock::{Clock, SystemClock};
use crate::types::DeliveryId;
pub(super) use address::shown;
use connection::Connections;
pub(super) use connection::{COPIES, WORKS, Write, take_longer, take_your_time};
pub(super) use lent::Lent;
use name::Name;
pub(super) use name::{held as names_held, key as name_key};
use secrecy::SecretString;
use std::time::Duration;
use wake::Ear;

/// How a PostgreSQL store is opened.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Connections at most, and 3 at least; each is opened when it is first needed. A worker keeps one to listen with, and beside these one
    /// that holds its name.
    pub connections: u32,
    /// How long a caller waits for a free connection, or a writer for those before it, before the store is `Unavailable`.
    pub busy_timeout: Duration,
    /// How long the answer to a statement, or the next row, is waited for before the store is `Unavailable` and the connection closed. The
    /// server breaks a statement off after 10 s; retention, migrations and copies have longer.
    pub deadline: Duration,
    /// The password, where the address needs one and has none.
    pub password: Option<SecretString>,
    /// What becomes of the schema.
    pub schema: SchemaOnOpen,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections: 10,
            busy_timeout: Duration::from_secs(5),
            deadline: Duration::from_secs(15),
            password: None,
            schema: SchemaOnOpen::Migrate,
        }
    }
}

impl PostgresOptions {
    /// How many connections the pool has at most.
    fn most(&self) -> u32 {
        self.connections.max(3)
    }
}

/// A PostgreSQL database, open.
pub(super) struct Pool {
    connections: Connections,
    ear: Ear,
    name: Name,
}

impl Pool {
    /// See [`super::SqlStore::postgres`].
    pub(super) async fn open(address: &str, options: &PostgresOptions) -> Result<Self, StoreError> {
        // Its own, so that a process need not listen to itself.
        let name = format!("{:032x}", SystemClock.random());
        let connections = Connections::open(address, options, &name).await?;
        let held = Name::new(connections.door().pool().connect_options().as_ref().clone(), options.clone());
        Ok(Self { connections, ear: Ear::new(name), name: held })
    }

    pub(super) async fn read(&self) -> Result<Connection, StoreError> {
        self.connections.read().await
    }

    pub(super) async fn write(&self) -> Result<Write, StoreError> {
        self.connections.write().await
    }

    pub(super) async fn view(&self) -> Result<Connection, StoreError> {
        self.connections.view().await
    }

    pub(super) fn migrated(&self) -> &[i64] {
        self.connections.migrated()
    }

    /// The migrations that are not applied, with what each is for.
    pub(super) async fn missing(&self) -> Result<Vec<(i64, String)>, StoreError> {
        let mut lent = self.connections.lend().await?;
        let answer = tokio::time::timeout(lent.patience(), migrations::missing(lent.wire()?, true)).await;
        Ok(named(&lent.heard(answer)?))
    }

    /// See [`Connections::claim`].
    pub(super) async fn claim(&self) -> Result<Write, StoreError> {
        self.connections.claim().await
    }

    /// See [`Connections::begin`].
    pub(super) async fn write_beside(&self) -> Result<Write, StoreError> {
        self.connections.begin().await
    }

    /// Whether it does more than take the write that was just tried: whether there is room again where there was none, and a connection for
    /// whoever wants one.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        self.connections.has_room().await?;
        self.connections.lets_in()
    }

    /// See [`crate::store::Replicas::hold_name`].
    pub(super) async fn hold_name(&self, name: &str) -> Result<bool, StoreError> {
        self.name.hold(name).await
    }

    /// The name of this process.
    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    /// See [`crate::store::Replicas::woken`].
    pub(super) async fn woken(&self) {
        self.ear.told(&self.connections).await;
    }

    pub(super) async fn append(&self, batch: &[NewDelivery]) -> Result<Vec<Appended>, StoreError> {
        deliveries::append(&self.connections, batch).await
    }

    pub(super) async fn pending(&self, passed_by: &[DeliveryId], limit: u32) -> Result<Vec<Delivery>, StoreError> {
        deliveries::pending(&mut self.read().await?, passed_by, limit).await
    }

    /// See [`crate::store::Replicas::dispatch_turn`].
    pub(super) async fn dispatch_turn(&self) -> Result<Option<Write>, StoreError> {
        deliveries::turn(&self.connections).await
    }

    pub(super) async fn delivery(&self, id: &DeliveryId) -> Result<Delivery, StoreError> {
        deliveries::one(&mut self.read().await?, id).await
    }

    pub(super) async fn close(&self) {
        self.name.let_go();
        self.connections.close().await;
    }
}
