//! Deliveries with their bodies, which stay in the arrivals they came with. What is not filed yet is seen only by [`pending`]; the callers
//! of the others file it before.

use super::arrivals;
use crate::store::sql::deliveries::{COLUMNS, READ_AT_ONCE, read};
use crate::store::sql::query::{Connection, statement};
use crate::store::sql::rows::{Columns, broken, to_json};
use crate::store::{Delivery, StoreError};
use crate::types::DeliveryId;
use std::collections::{BTreeSet, HashMap};

/// See [`crate::store::Store::pending_besides`]: first what was filed and still waits, then what is not filed.
pub(super) async fn pending(view: &mut Connection, passed_by: &[DeliveryId], limit: u32) -> Result<Vec<Delivery>, StoreError> {
    let mut waiting = statement(
        "SELECT d.id, d.source, d.received_at, d.attributes, d.length AS body_bytes, d.handled, NULL AS error, 1 AS pending, d.arrival, d.start FROM \
         (SELECT seq, sum(length) OVER (ORDER BY seq) - length AS before FROM \
          (SELECT p.seq, d.length FROM deliveries_pending p CROSS JOIN deliveries d ON d.seq = p.seq",
    );
    if !passed_by.is_empty() {
        let passed_by = to_json(&passed_by.iter().map(DeliveryId::as_str).collect::<Vec<_>>())?;
        waiting.push(" WHERE p.seq NOT IN (SELECT f.seq FROM json_each(").push_bind(passed_by).push(") j CROSS JOIN deliveries f ON f.id = j.value)");
    }
    waiting.push(" ORDER BY p.seq LIMIT ").push_bind(limit);
    waiting.push(")) w CROSS JOIN deliveries d ON d.seq = w.seq WHERE w.before < ").push_bind(READ_AT_ONCE);
    waiting.push(" ORDER BY w.seq");
    let rows = waiting.fetch_all(view).await?;
    let arrivals = rows.iter().map(|row| row.number("arrival")).collect::<Result<BTreeSet<_>, _>>()?;
    let mut bodies = HashMap::with_capacity(arrivals.len());
    let found = statement("SELECT seq, bodies FROM arrivals WHERE seq IN (SELECT value FROM json_each(?))");
    for row in found.bind(to_json(&arrivals)?).fetch_all(view).await? {
        bodies.insert(row.number("seq")?, row);
    }
    let mut pending = Vec::with_capacity(rows.len());
    for row in &rows {
        let bodies = bodies.get(&row.number("arrival")?).ok_or_else(|| broken("arrival"))?.bytes("bodies")?;
        let (start, length) = (row.count("start")?, row.count("body_bytes")?);
        let place = usize::try_from(start).ok().zip(usize::try_from(start + length).ok());
        let body = place.and_then(|(start, end)| bodies.get(start..end)).ok_or_else(|| broken("bodies"))?;
        pending.push(read(row, body.to_vec())?);
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let bytes: i64 = pending.iter().map(|delivery| i64::try_from(delivery.body_bytes).unwrap_or(i64::MAX)).sum();
    if pending.len() < limit && bytes < READ_AT_ONCE {
        pending.extend(arrivals::waiting(view, passed_by, limit - pending.len()).await?);
    }
    Ok(pending)
}

/// See [`crate::store::Store::delivery`]; none when it is not filed.
pub(super) async fn one(connection: &mut Connection, id: &DeliveryId) -> Result<Option<Delivery>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, substr(a.bodies, d.start + 1, d.length) AS body \
         FROM deliveries d JOIN arrivals a ON a.seq = d.arrival LEFT JOIN deliveries_failed f ON f.seq = d.seq WHERE d.id = ?"
    );
    let row = statement(sql).bind(id.as_str()).fetch_optional(connection).await?;
    row.map(|row| read(&row, row.bytes("body")?.to_vec())).transpose()
}

/// Whether all of these are filed.
pub(super) async fn are_filed(connection: &mut Connection, ids: &[&DeliveryId]) -> Result<bool, StoreError> {
    let ids = to_json(&ids.iter().map(|id| id.as_str()).collect::<Vec<_>>())?;
    let missing =
        statement("SELECT EXISTS (SELECT 1 FROM json_each(?) j WHERE NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.id = j.value)) AS missing");
    Ok(missing.bind(ids).fetch_one(connection).await?.number("missing")? == 0)
}
