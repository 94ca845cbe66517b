//! Deliveries with their bodies, a row each: many are written by one statement, beside those of other replicas. Who brings a key that another
//! is about to commit waits for that one, and learns whether it was first.

use super::connection::{Connections, Write};
use crate::store::sql::deliveries::{self, COLUMNS, READ_AT_ONCE, read};
use crate::store::sql::query::{Connection, statement};
use crate::store::sql::rows::{Columns, Key, broken, digest, to_json};
use crate::store::{Appended, Delivery, NewDelivery, StoreError};
use crate::types::DeliveryId;

/// The statement that writes a batch: columns as lists, of which those whose key is there already, or stands earlier in the batch, are left
/// out. They are numbered as they came and written in the order of their keys, so that of two batches with the same keys one waits for the
/// other, and never both.
const INSERT: &str = "INSERT INTO deliveries (seq, id, source, received_at, handled, dedup, attributes, length, body) \
    SELECT seq, id, source, received_at, handled, dedup, attributes, length(body), body FROM ( \
        SELECT nextval(pg_get_serial_sequence('deliveries', 'seq')) AS seq, b.* \
        FROM unnest(?::text[], ?::text[], ?::bigint[], ?::bigint[], ?::bytea[], ?::text[], ?::bytea[]) \
             WITH ORDINALITY b (id, source, received_at, handled, dedup, attributes, body, place) ORDER BY place) n \
    ORDER BY dedup, seq ON CONFLICT (dedup) DO NOTHING";

/// See [`crate::store::Store::append`].
pub(super) async fn append(connections: &Connections, batch: &[NewDelivery]) -> Result<Vec<Appended>, StoreError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<Key> = batch.iter().map(|delivery| digest(delivery.source.as_str(), &delivery.dedup_key)).collect();
    let attributes = batch.iter().map(|delivery| to_json(&delivery.attributes)).collect::<Result<Vec<_>, _>>()?;
    let insert = statement(INSERT)
        .bind(batch.iter().map(|delivery| delivery.id.to_string()).collect::<Vec<_>>())
        .bind(batch.iter().map(|delivery| delivery.source.to_string()).collect::<Vec<_>>())
        .bind(batch.iter().map(|delivery| delivery.received_at.unix_millis()).collect::<Vec<_>>())
        .bind(batch.iter().map(|delivery| i64::from(delivery.handled)).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>())
        .bind(attributes)
        .bind(batch.iter().map(|delivery| delivery.body.to_vec()).collect::<Vec<_>>());
    let mut write = connections.begin().await?;
    let written = insert.execute(write.connection()).await.map(|done| done.rows_affected() == batch.len() as u64);
    if write.finish(written).await? {
        return Ok(vec![Appended::New; batch.len()]);
    }
    outcomes(&mut connections.read().await?, batch, &keys).await
}

/// Which delivery stands under each key, after the batch was written.
async fn outcomes(connection: &mut Connection, batch: &[NewDelivery], keys: &[Key]) -> Result<Vec<Appended>, StoreError> {
    // Each key by itself: of a join, or a list, a table that was small when it was planned is read from end to end for as long as the plan is kept.
    let rows = statement("SELECT d.dedup, d.id FROM unnest(?::bytea[]) k, LATERAL (SELECT dedup, id FROM deliveries WHERE dedup = k LIMIT 1) d");
    let rows = rows.bind(keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>()).fetch_all(connection).await?;
    let standing = rows.iter().map(|row| Ok((row.bytes("dedup")?.try_into().map_err(|_| broken("dedup"))?, row.parsed("id")?)));
    deliveries::outcomes(batch, keys, &standing.collect::<Result<_, StoreError>>()?)
}

/// See [`crate::store::Store::pending_besides`]. Each is looked up by its number: left to choose, the planner walks along all deliveries that are
/// kept until it meets those that wait.
pub(super) async fn pending(connection: &mut Connection, passed_by: &[DeliveryId], limit: u32) -> Result<Vec<Delivery>, StoreError> {
    let mut waiting = statement(
        "SELECT d.id, d.source, d.received_at, d.attributes, d.length AS body_bytes, d.handled, NULL AS error, 1::bigint AS pending, d.body FROM \
         (SELECT seq, sum(length) OVER (ORDER BY seq) - length AS before FROM \
          (SELECT p.seq, (SELECT d.length FROM deliveries d WHERE d.seq = p.seq) AS length FROM deliveries_pending p",
    );
    if !passed_by.is_empty() {
        let passed_by: Vec<String> = passed_by.iter().map(DeliveryId::to_string).collect();
        waiting.push(" WHERE p.seq NOT IN (SELECT d.seq FROM unnest(").push_bind(passed_by);
        waiting.push("::text[]) i, LATERAL (SELECT seq FROM deliveries WHERE id = i LIMIT 1) d)");
    }
    waiting.push(" ORDER BY p.seq LIMIT ").push_bind(limit);
    waiting.push(") o) w, LATERAL (SELECT * FROM deliveries d WHERE d.seq = w.seq LIMIT 1) d WHERE w.before < ").push_bind(READ_AT_ONCE);
    waiting.push(" ORDER BY w.seq");
    let rows = waiting.fetch_all(connection).await?;
    rows.iter().map(|row| read(row, row.bytes("body")?.to_vec())).collect()
}

/// See [`crate::store::Replicas::dispatch_turn`]. Whoever has the turn sees something that waits, and comes again after it: so nothing that another
/// left to it is forgotten.
pub(super) async fn turn(connections: &Connections) -> Result<Option<Write>, StoreError> {
    while anything_waits(&mut connections.read().await?).await? {
        let Some(mut turn) = connections.try_dispatch().await? else { return Ok(None) };
        // Another may have dispatched it in between.
        if anything_waits(turn.connection()).await? {
            return Ok(Some(turn));
        }
        turn.finish(Ok(())).await?;
    }
    Ok(None)
}

async fn anything_waits(connection: &mut Connection) -> Result<bool, StoreError> {
    // By its index: read from its beginning, the table shows all that waited once.
    Ok(statement("SELECT 1 FROM deliveries_pending ORDER BY seq LIMIT 1").fetch_optional(connection).await?.is_some())
}

/// See [`crate::store::Store::delivery`].
pub(super) async fn one(connection: &mut Connection, id: &DeliveryId) -> Result<Delivery, StoreError> {
    let sql = format!("SELECT {COLUMNS}, d.body FROM deliveries d LEFT JOIN deliveries_failed f ON f.seq = d.seq WHERE d.id = ?");
    let row = statement(sql).bind(id.as_str()).fetch_optional(connection).await?;
    let row = row.ok_or_else(|| StoreError::NotFound(format!("delivery {id}")))?;
    read(&row, row.bytes("body")?.to_vec())
}
