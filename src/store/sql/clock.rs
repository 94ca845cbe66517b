//! What waits when the clock is set back. A moment in the queue that was counted from "now" is meant as a pause from then on; only
//! tasks of the kind `clock` wait for what the clock on the wall shows.

use super::query::{Connection, statement};
use super::rows::Columns;
use crate::store::{StoreClock, StoreError};
use crate::types::Timestamp;
use std::time::Duration;

/// By how much the clock was set back in all, as far as what waits has followed.
const BACK: &str = "CAST(coalesce((SELECT back FROM set_back), 0) AS BIGINT) AS back";
/// What the database's clock shows, looked at after what stands in the tables: so what was followed already is never missed.
pub(super) const MOMENT: &str = "CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT) AS shown";

/// See [`crate::store::Store::clock`].
pub(super) async fn read(connection: &mut Connection) -> Result<StoreClock, StoreError> {
    if connection.is_sqlite() {
        return Ok(StoreClock { moment: None, back: back(connection).await? });
    }
    let row = statement(format!("SELECT {BACK}, {MOMENT}")).fetch_one(connection).await?;
    Ok(StoreClock { moment: Some(row.moment("shown")?), back: Duration::from_millis(row.count("back")?) })
}

async fn back(connection: &mut Connection) -> Result<Duration, StoreError> {
    statement(format!("SELECT {BACK}")).fetch_one(connection).await?.count("back").map(Duration::from_millis)
}

/// See [`crate::store::Store::set_back`].
pub(super) async fn set_back(
    connection: &mut Connection,
    by: Duration,
    before: Duration,
    lease: Duration,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if back(connection).await? != before {
        return Ok(false);
    }
    statement(
        "INSERT INTO set_back (one, back, timeline) SELECT 1, ?, coalesce(max(seq), 0) FROM timeline WHERE true \
         ON CONFLICT (one) DO UPDATE SET back = excluded.back, timeline = excluded.timeline",
    )
    .bind(millis(before.saturating_add(by)))
    .execute(&mut *connection)
    .await?;
    // A look at the clock that was due finds by itself that its moment has not come again.
    statement(
        "UPDATE outbox SET run_at = max(?1, run_at - ?2), latest = max(?1, latest - ?2) \
         WHERE state = 'waiting' AND run_at > ?1 AND (kind <> 'clock' OR run_at <= ?1 + ?2)",
    )
    .bind(now.unix_millis())
    .bind(millis(by))
    .execute(&mut *connection)
    .await?;
    statement("UPDATE outbox SET lease_until = min(lease_until, ?) WHERE state = 'leased'")
        .bind(now.plus(lease).unix_millis())
        .execute(&mut *connection)
        .await?;
    Ok(true)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// See [`crate::store::Store::newest_moment`].
pub(super) async fn newest_moment(connection: &mut Connection) -> Result<Option<Timestamp>, StoreError> {
    let newest = "SELECT at FROM timeline WHERE seq > coalesce((SELECT timeline FROM set_back), 0) ORDER BY seq DESC LIMIT 1";
    let row = statement(newest).fetch_optional(connection).await?;
    row.map(|row| row.moment("at")).transpose()
}
