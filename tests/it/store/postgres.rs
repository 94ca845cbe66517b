//! The store in a PostgreSQL database: what every store promises, and what is particular to this one.

use super::support::Fixture;
use crate::support::postgres::Database;
use kubeops::store::{PostgresOptions, SqlStore};
use std::sync::Arc;

/// An empty store in a database of its own.
pub async fn empty() -> Fixture {
    let database = Database::new().await;
    let store = SqlStore::postgres(database.address(), PostgresOptions::default()).await.expect("a store");
    (Arc::new(store), Box::new(database))
}

mod contract {
    contract_suite!(crate::store::postgres::empty);
}
