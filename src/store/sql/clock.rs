//! What waits when the clock is set back. A moment in the queue that was counted from "now" is meant as a pause from then on; only
//! tasks of the kind `clock` wait for what the clock on the wall shows.

use super::query::{Connection, statement};
use super::rows::Columns;
use crate::store::StoreError;
use crate::types::Timestamp;
use std::time::Duration;

/// See [`crate::store::Store::set_back`].
pub(super) async fn set_back(connection: &mut Connection, by: Duration, lease: Duration, now: Timestamp) -> Result<(), StoreError> {
    // A look at the clock that was due finds by itself that its moment has not come again.
    statement(
        "UPDATE outbox SET run_at = max(?1, run_at - ?2), latest = max(?1, latest - ?2) \
         WHERE state = 'waiting' AND run_at > ?1 AND (kind <> 'clock' OR run_at <= ?1 + ?2)",
    )
    .bind(now.unix_millis())
    .bind(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
    .execute(&mut *connection)
    .await?;
    statement("UPDATE outbox SET lease_until = min(lease_until, ?) WHERE state = 'leased'")
        .bind(now.plus(lease).unix_millis())
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// See [`crate::store::Store::newest_moment`].
pub(super) async fn newest_moment(connection: &mut Connection) -> Result<Option<Timestamp>, StoreError> {
    let row = statement("SELECT at FROM timeline ORDER BY seq DESC LIMIT 1").fetch_optional(connection).await?;
    row.map(|row| row.moment("at")).transpose()
}
