//! Who reads what waits, and who died over it. In the ordinary run of things that is one row for each process, written once.
//! A death counts against a delivery only where that was noted, alone, before it was read.

use super::query::{Connection, statement};
use super::rows::Columns;
use crate::store::{StoreError, postgres};
use crate::types::DeliveryId;

/// What a look at those who read has shown.
pub(super) struct Seen {
    /// Those who said that they read, and are gone.
    gone: Vec<String>,
    /// Whether who looks is listed, or cannot be.
    is_listed: bool,
    /// How many deliveries are still read one at a time.
    pub(super) still_alone: u32,
}

impl Seen {
    /// Whether there is nothing to write.
    pub(super) fn is_as_it_should_be(&self) -> bool {
        self.gone.is_empty() && self.is_listed
    }
}

/// Looks whether all who read live. In a database those live whose name is held; with a file one process works, which finds the one before it
/// when it begins.
pub(super) async fn look(connection: &mut Connection, owner: &str, begins: bool) -> Result<Seen, StoreError> {
    let listed = statement("SELECT owner FROM readers ORDER BY owner").fetch_all(&mut *connection).await?;
    let listed = listed.iter().map(|row| row.text("owner")).collect::<Result<Vec<_>, _>>()?;
    let held = if connection.is_sqlite() { None } else { Some(postgres::names_held(connection).await?) };
    let is_held = |name: &str| held.as_ref().map(|held| held.contains(&postgres::name_key(name)));
    let is_gone = |name: &str| if name == owner { begins } else { is_held(name).map_or(begins, |is_held| !is_held) };
    let is_listed = listed.iter().any(|name| name == owner && !is_gone(name)) || is_held(owner) == Some(false);
    let gone = listed.into_iter().filter(|name| is_gone(name)).collect();
    Ok(Seen { gone, is_listed, still_alone: still_alone(connection).await? })
}

/// See [`crate::store::Replicas::reads`]: what is to be written.
pub(super) async fn note(connection: &mut Connection, owner: &str, begins: bool, alone: u32) -> Result<u32, StoreError> {
    // Another may have seen the same.
    let seen = look(connection, owner, begins).await?;
    for name in &seen.gone {
        let reader = statement("DELETE FROM readers WHERE owner = ? RETURNING delivery").bind(name.as_str()).fetch_optional(&mut *connection).await?;
        let Some(delivery) = reader.map(|row| row.optional_text("delivery")).transpose()?.flatten() else { continue };
        let died =
            "INSERT INTO reading_deaths (delivery, deaths) VALUES (?, 1) ON CONFLICT (delivery) DO UPDATE SET deaths = reading_deaths.deaths + 1";
        statement(died).bind(delivery.as_str()).execute(&mut *connection).await?;
    }
    let mut still = seen.still_alone;
    if !seen.gone.is_empty() {
        let read_alone = "INSERT INTO readings_alone (id, still) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET still = excluded.still";
        statement(read_alone).bind(alone).execute(&mut *connection).await?;
        still = alone;
    }
    if !seen.is_listed {
        statement("INSERT INTO readers (owner) VALUES (?) ON CONFLICT (owner) DO NOTHING").bind(owner).execute(connection).await?;
    }
    Ok(still)
}

async fn still_alone(connection: &mut Connection) -> Result<u32, StoreError> {
    let row = statement("SELECT still FROM readings_alone").fetch_optional(connection).await?;
    Ok(row.map(|row| row.count("still")).transpose()?.map_or(0, |still| u32::try_from(still).unwrap_or(u32::MAX)))
}

/// See [`crate::store::Replicas::died_reading`].
pub(super) async fn deaths(connection: &mut Connection, delivery: &DeliveryId) -> Result<u32, StoreError> {
    let died = statement("SELECT deaths FROM reading_deaths WHERE delivery = ?").bind(delivery.as_str()).fetch_optional(connection).await?;
    Ok(died.map(|row| row.count("deaths")).transpose()?.map_or(0, |deaths| u32::try_from(deaths).unwrap_or(u32::MAX)))
}

/// See [`crate::store::Replicas::reads_alone`].
pub(super) async fn reads_alone(connection: &mut Connection, owner: &str, delivery: &DeliveryId) -> Result<u32, StoreError> {
    let noted = statement("UPDATE readers SET delivery = ? WHERE owner = ?");
    noted.bind(delivery.as_str()).bind(owner).execute(&mut *connection).await?;
    deaths(connection, delivery).await
}

/// See [`crate::store::Replicas::has_read_alone`].
pub(super) async fn has_read_alone(connection: &mut Connection, owner: &str, delivery: &DeliveryId, recorded: bool) -> Result<u32, StoreError> {
    statement("UPDATE readers SET delivery = NULL WHERE owner = ?").bind(owner).execute(&mut *connection).await?;
    statement("DELETE FROM reading_deaths WHERE delivery = ?").bind(delivery.as_str()).execute(&mut *connection).await?;
    if recorded {
        statement("UPDATE readings_alone SET still = still - 1").execute(&mut *connection).await?;
        statement("DELETE FROM readings_alone WHERE still <= 0").execute(&mut *connection).await?;
    }
    let still = still_alone(connection).await?;
    if still == 0 {
        has_read_all(connection).await?;
    }
    Ok(still)
}

/// See [`crate::store::Replicas::has_read_all`].
pub(super) async fn has_read_all(connection: &mut Connection) -> Result<(), StoreError> {
    statement("DELETE FROM readings_alone").execute(&mut *connection).await?;
    statement("DELETE FROM reading_deaths").execute(connection).await?;
    Ok(())
}
