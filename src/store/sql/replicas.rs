//! Duties, the database's clock, and word from other processes.

use super::clock::MOMENT;
use super::query::{Connection, statement};
use super::readers;
use super::rows::Columns;
use super::{Database, SqlStore};
use crate::store::replicas::HeldTurn;
use crate::store::{DispatchTurn, Duty, Replicas, StoreError};
use crate::types::{DeliveryId, Timestamp};
use async_trait::async_trait;
use std::time::Duration;

#[async_trait]
impl Replicas for SqlStore {
    async fn moment(&self) -> Result<Option<Timestamp>, StoreError> {
        match &self.database {
            Database::Sqlite(_) => Ok(None),
            Database::Postgres(pool) => {
                let shown = statement(format!("SELECT {MOMENT}"));
                shown.fetch_one(&mut pool.read().await?).await?.moment("shown").map(Some)
            }
        }
    }

    async fn take_duty(&self, duty: Duty, owner: &str, now: Timestamp, lease: Duration) -> Result<bool, StoreError> {
        // One statement that decides by itself: it waits for no other writer.
        self.writing_beside(async |connection| take(connection, duty, owner, now, lease).await).await
    }

    async fn hold_name(&self, name: &str) -> Result<bool, StoreError> {
        match &self.database {
            Database::Sqlite(_) => Ok(true),
            Database::Postgres(pool) => pool.hold_name(name).await,
        }
    }

    fn has_lost_name(&self) -> bool {
        match &self.database {
            Database::Sqlite(_) => false,
            Database::Postgres(pool) => pool.name().is_lost(),
        }
    }

    async fn dispatch_turn(&self) -> Result<Option<DispatchTurn>, StoreError> {
        let turn = match &self.database {
            Database::Sqlite(file) => file.dispatch_turn().map(HeldTurn::InProcess),
            Database::Postgres(pool) => pool.dispatch_turn().await?.map(HeldTurn::InDatabase),
        };
        Ok(turn.map(DispatchTurn))
    }

    async fn reads(&self, owner: &str, begins: bool, alone: u32) -> Result<u32, StoreError> {
        let seen = readers::look(&mut self.database.read().await?, owner, begins).await?;
        if seen.is_as_it_should_be() {
            return Ok(seen.still_alone);
        }
        self.writing(async |connection| readers::note(connection, owner, begins, alone).await).await
    }

    async fn died_reading(&self, delivery: &DeliveryId) -> Result<u32, StoreError> {
        readers::deaths(&mut self.database.read().await?, delivery).await
    }

    async fn reads_alone(&self, owner: &str, delivery: &DeliveryId) -> Result<u32, StoreError> {
        self.writing_beside(async |connection| readers::reads_alone(connection, owner, delivery).await).await
    }

    async fn has_read_alone(&self, owner: &str, delivery: &DeliveryId, recorded: bool) -> Result<u32, StoreError> {
        self.writing_beside(async |connection| readers::has_read_alone(connection, owner, delivery, recorded).await).await
    }

    async fn has_read_all(&self) -> Result<(), StoreError> {
        self.writing_beside(async |connection| readers::has_read_all(connection).await).await
    }

    async fn woken(&self) {
        match &self.database {
            // Whoever else works on the file is looked for, not told of.
            Database::Sqlite(_) => std::future::pending().await,
            Database::Postgres(pool) => pool.woken().await,
        }
    }
}

impl SqlStore {
    /// Does something with what is held under a name, unless this process took that name and has it no more; then it does nothing. Whoever took it
    /// meanwhile takes nothing back, and claims nothing, before this transaction has ended.
    pub(super) async fn under<T: Default>(
        &self,
        name: &str,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let lock = match &self.database {
            Database::Sqlite(_) => None,
            Database::Postgres(pool) => pool.name().lock_of(name),
        };
        self.writing(async |connection| {
            if let Some(lock) = lock
                && !lock.is_ours(connection).await?
            {
                tracing::warn!("this process has not its name just now; what is held under it is left alone, and runs out by itself");
                return Ok(T::default());
            }
            work(connection).await
        })
        .await
    }
}

/// See [`Replicas::take_duty`].
async fn take(connection: &mut Connection, duty: Duty, owner: &str, now: Timestamp, lease: Duration) -> Result<bool, StoreError> {
    let taken = statement(
        "INSERT INTO duties (name, owner, held_until) VALUES (?1, ?2, ?4) ON CONFLICT (name) DO UPDATE \
         SET owner = excluded.owner, held_until = excluded.held_until \
         WHERE duties.owner = excluded.owner OR duties.held_until <= ?3 OR duties.held_until > ?5",
    )
    .bind(duty.as_str())
    .bind(owner)
    .bind(now.unix_millis())
    .bind(now.plus(lease).unix_millis())
    // As far apart as that may the clocks of two processes be.
    .bind(now.plus(lease.saturating_mul(2)).unix_millis())
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Gives back every duty of an owner, which reads nothing any more.
pub(super) async fn give_back(connection: &mut Connection, owner: &str) -> Result<(), StoreError> {
    statement("DELETE FROM readers WHERE owner = ?").bind(owner).execute(&mut *connection).await?;
    statement("DELETE FROM duties WHERE owner = ?").bind(owner).execute(connection).await?;
    Ok(())
}
