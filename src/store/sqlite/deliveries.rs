//! Filed deliveries, read back one by one or in pages. A row is never updated; see the schema. What is not filed yet is seen
//! only by [`pending`]; the callers of the others file it before.

use super::arrivals;
use super::rows::{Columns, broken, page_limit, to_json};
use crate::store::cursor::Listing;
use crate::store::{Delivery, DeliveryFilter, DeliveryState, Page, PageQuery, StoreError};
use crate::types::DeliveryId;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Connection, QueryBuilder, Row, Sqlite, SqliteConnection};
use std::collections::{BTreeSet, HashMap};

const COLUMNS: &str = "d.seq, d.id, d.source, d.received_at, d.attributes, d.length AS body_bytes, d.handled, f.error, \
    EXISTS (SELECT 1 FROM deliveries_pending p WHERE p.seq = d.seq) AS pending";

fn read(row: &SqliteRow, body: Vec<u8>) -> Result<Delivery, StoreError> {
    let error = row.optional_text("error")?;
    let state = match (row.number("pending")?, row.number("handled")?, &error) {
        (1, ..) => DeliveryState::Pending,
        (_, _, Some(_)) => DeliveryState::Failed,
        (_, 0, None) => DeliveryState::Ignored,
        _ => DeliveryState::Dispatched,
    };
    Ok(Delivery {
        id: row.parsed("id")?,
        source: row.parsed("source")?,
        received_at: row.moment("received_at")?,
        attributes: row.json("attributes")?,
        body,
        body_bytes: row.count("body_bytes")?,
        state,
        error,
    })
}

/// See [`crate::store::Store::pending_deliveries`]: first what was filed and still waits, then what is not filed.
pub(super) async fn pending(connection: &mut SqliteConnection, limit: u32) -> Result<Vec<Delivery>, StoreError> {
    // One view of the database: a delivery that is filed meanwhile would be seen twice or not at all.
    let mut view = connection.begin().await?;
    let rows = sqlx::query(
        "SELECT d.id, d.source, d.received_at, d.attributes, d.length AS body_bytes, d.handled, NULL AS error, 1 AS pending, d.arrival, d.start FROM \
         (SELECT seq, sum(length) OVER (ORDER BY seq) - length AS before FROM \
          (SELECT p.seq, d.length FROM deliveries_pending p CROSS JOIN deliveries d ON d.seq = p.seq ORDER BY p.seq LIMIT ?)) w \
         CROSS JOIN deliveries d ON d.seq = w.seq WHERE w.before < ? ORDER BY w.seq",
    )
    .bind(limit)
    .bind(arrivals::READ_AT_ONCE)
    .fetch_all(&mut *view)
    .await?;
    let arrivals = rows.iter().map(|row| row.number("arrival")).collect::<Result<BTreeSet<_>, _>>()?;
    let mut bodies = HashMap::with_capacity(arrivals.len());
    let found = sqlx::query("SELECT seq, bodies FROM arrivals WHERE seq IN (SELECT value FROM json_each(?))");
    for row in found.bind(to_json(&arrivals)?).fetch_all(&mut *view).await? {
        bodies.insert(row.number("seq")?, row);
    }
    let mut pending = Vec::with_capacity(rows.len());
    for row in &rows {
        let bodies: &[u8] = bodies.get(&row.number("arrival")?).ok_or_else(|| broken("arrival"))?.try_get("bodies")?;
        let (start, length) = (row.count("start")?, row.count("body_bytes")?);
        let place = usize::try_from(start).ok().zip(usize::try_from(start + length).ok());
        let body = place.and_then(|(start, end)| bodies.get(start..end)).ok_or_else(|| broken("bodies"))?;
        pending.push(read(row, body.to_vec())?);
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let bytes: i64 = pending.iter().map(|delivery| i64::try_from(delivery.body_bytes).unwrap_or(i64::MAX)).sum();
    if pending.len() < limit && bytes < arrivals::READ_AT_ONCE {
        pending.extend(arrivals::waiting(&mut view, limit - pending.len()).await?);
    }
    view.commit().await?;
    Ok(pending)
}

/// See [`crate::store::Store::delivery`]; none when it is not filed.
pub(super) async fn one(connection: &mut SqliteConnection, id: &DeliveryId) -> Result<Option<Delivery>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, substr(a.bodies, d.start + 1, d.length) AS body \
         FROM deliveries d JOIN arrivals a ON a.seq = d.arrival LEFT JOIN deliveries_failed f ON f.seq = d.seq WHERE d.id = ?"
    );
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id.as_str()).fetch_optional(connection).await?;
    row.map(|row| read(&row, row.try_get("body")?)).transpose()
}

/// Whether all of these are filed.
pub(super) async fn are_filed(connection: &mut SqliteConnection, ids: &[&DeliveryId]) -> Result<bool, StoreError> {
    let ids = to_json(&ids.iter().map(|id| id.as_str()).collect::<Vec<_>>())?;
    let missing =
        sqlx::query("SELECT EXISTS (SELECT 1 FROM json_each(?) j WHERE NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.id = j.value)) AS missing");
    Ok(missing.bind(ids).fetch_one(connection).await?.number("missing")? == 0)
}

/// See [`crate::store::Store::deliveries`].
pub(super) async fn list(connection: &mut SqliteConnection, filter: &DeliveryFilter, page: &PageQuery) -> Result<Page<Delivery>, StoreError> {
    let before = Listing::Deliveries.before(page.after.as_deref())?;
    let limit = page_limit(page);
    let mut query = QueryBuilder::<Sqlite>::new(format!("SELECT {COLUMNS} FROM "));
    // The table that is read in order is the one with the fewest rows that pass.
    query.push(match (filter.state, &filter.source) {
        (Some(DeliveryState::Pending), _) => "deliveries_pending o CROSS JOIN deliveries d ON d.seq = o.seq",
        (Some(DeliveryState::Failed), _) => "deliveries_failed o CROSS JOIN deliveries d ON d.seq = o.seq",
        (Some(DeliveryState::Ignored), _) => "deliveries d INDEXED BY deliveries_ignored",
        (_, Some(_)) => "deliveries d INDEXED BY deliveries_source",
        (_, None) => "deliveries d NOT INDEXED",
    });
    let order = if matches!(filter.state, Some(DeliveryState::Pending | DeliveryState::Failed)) { "o.seq" } else { "d.seq" };
    query.push(format!(" LEFT JOIN deliveries_failed f ON f.seq = d.seq WHERE {order} < ")).push_bind(before);
    match filter.state {
        Some(DeliveryState::Ignored) => query.push(" AND d.handled = 0"),
        Some(DeliveryState::Dispatched) => {
            query.push(" AND d.handled = 1 AND f.seq IS NULL AND NOT EXISTS (SELECT 1 FROM deliveries_pending p WHERE p.seq = d.seq)")
        }
        Some(DeliveryState::Pending | DeliveryState::Failed) | None => &mut query,
    };
    if let Some(source) = &filter.source {
        query.push(" AND d.source = ").push_bind(source.as_str());
    }
    query.push(format!(" ORDER BY {order} DESC LIMIT ")).push_bind(i64::try_from(limit + 1).unwrap_or(i64::MAX));
    let rows = query.build().fetch_all(connection).await?;
    page_of(&rows, limit, Listing::Deliveries, |row| read(row, Vec::new()))
}

/// A page of rows that were read with one row more than wanted.
pub(super) fn page_of<T>(
    rows: &[SqliteRow],
    limit: usize,
    listing: Listing,
    read: impl FnMut(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Page<T>, StoreError> {
    let more = rows.len() > limit;
    let shown = &rows[..rows.len().min(limit)];
    let next = match shown.last() {
        Some(last) if more => Some(listing.cursor(last.number("seq")?)),
        _ => None,
    };
    Ok(Page { items: shown.iter().map(read).collect::<Result<_, _>>()?, next })
}
