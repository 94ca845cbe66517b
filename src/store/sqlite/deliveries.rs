//! Deliveries: written in batches, read back one by one or in pages. A row is never updated; see the schema.

use super::batch::{Batched, CHUNK};
use super::connection::Database;
use super::rows::{Columns, digest, page_limit, to_json};
use crate::store::cursor::Listing;
use crate::store::{Appended, Delivery, DeliveryFilter, DeliveryState, NewDelivery, Page, PageQuery, StoreError};
use crate::types::DeliveryId;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, QueryBuilder, Row, Sqlite, SqliteConnection};
use std::collections::HashMap;

/// The statement that inserts deliveries.
pub(super) fn insert_statement() -> Batched {
    Batched::new(7, |rows| {
        format!(
            "INSERT INTO deliveries (id, source, received_at, handled, dedup, attributes, body) \
             SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL ON CONFLICT (dedup) DO NOTHING"
        )
    })
}

/// See [`crate::store::Store::append`]. What is to be dispatched waits from now on, by a trigger of the schema.
pub(super) async fn append(database: &Database, statement: &Batched, batch: &[NewDelivery]) -> Result<Vec<Appended>, StoreError> {
    let keys: Vec<[u8; 16]> = batch.iter().map(|delivery| digest(delivery.source.as_str(), &delivery.dedup_key)).collect();
    let mut inserts = Vec::new();
    for (rows, keys) in batch.chunks(CHUNK).zip(keys.chunks(CHUNK)) {
        let mut insert = sqlx::query(AssertSqlSafe(statement.for_rows(rows.len())));
        for (delivery, key) in rows.iter().zip(keys) {
            insert = bind(insert, delivery, key)?;
        }
        inserts.push(insert);
    }
    let written = match inserts.len() {
        0 => return Ok(Vec::new()),
        1 => database.write_one(inserts.remove(0)).await?.rows_affected(),
        _ => {
            let mut write = database.write().await?;
            let result = insert_all(write.connection(), inserts).await;
            write.finish(result).await?
        }
    };
    if usize::try_from(written) == Ok(batch.len()) {
        return Ok(vec![Appended::New; batch.len()]);
    }
    outcomes(&mut *database.read().await?, batch, &keys).await
}

/// Runs the inserts in the caller's transaction and returns how many rows they wrote.
async fn insert_all(connection: &mut SqliteConnection, inserts: Vec<Query<'_, Sqlite, SqliteArguments>>) -> Result<u64, StoreError> {
    let mut written = 0;
    for insert in inserts {
        written += insert.execute(&mut *connection).await?.rows_affected();
    }
    Ok(written)
}

fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    delivery: &NewDelivery,
    key: &[u8; 16],
) -> Result<Query<'q, Sqlite, SqliteArguments>, StoreError> {
    Ok(query
        .bind(delivery.id.as_str())
        .bind(delivery.source.as_str())
        .bind(delivery.received_at.unix_millis())
        .bind(delivery.handled)
        .bind(&key[..])
        .bind(to_json(&delivery.attributes)?)
        .bind(&delivery.body[..]))
}

/// Which delivery stands under each key, after the batch was written.
async fn outcomes(connection: &mut SqliteConnection, batch: &[NewDelivery], keys: &[[u8; 16]]) -> Result<Vec<Appended>, StoreError> {
    let mut standing: HashMap<Vec<u8>, DeliveryId> = HashMap::with_capacity(keys.len());
    for keys in keys.chunks(500) {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT dedup, id FROM deliveries WHERE dedup IN (");
        let mut list = query.separated(", ");
        for key in keys {
            list.push_bind(key.to_vec());
        }
        query.push(")");
        for row in query.build().persistent(false).fetch_all(&mut *connection).await? {
            standing.insert(row.try_get("dedup")?, row.parsed("id")?);
        }
    }
    let outcome = |(delivery, key): (&NewDelivery, &[u8; 16])| match standing.get(&key[..]) {
        Some(id) if *id == delivery.id => Ok(Appended::New),
        Some(id) => Ok(Appended::Duplicate(id.clone())),
        // Pruned in this very moment: the sender tells it again.
        None => Err(StoreError::Unavailable("the first delivery of a duplicate was removed just now".to_owned())),
    };
    batch.iter().zip(keys).map(outcome).collect()
}

const COLUMNS: &str = "d.seq, d.id, d.source, d.received_at, d.attributes, length(d.body) AS body_bytes, d.handled, f.error, \
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

/// See [`crate::store::Store::pending_deliveries`].
pub(super) async fn pending(connection: &mut SqliteConnection, limit: u32) -> Result<Vec<Delivery>, StoreError> {
    let rows = sqlx::query(
        "SELECT d.seq, d.id, d.source, d.received_at, d.attributes, length(d.body) AS body_bytes, d.handled, NULL AS error, 1 AS pending, d.body \
         FROM deliveries_pending p JOIN deliveries d ON d.seq = p.seq ORDER BY p.seq LIMIT ?",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| read(row, row.try_get("body")?)).collect()
}

/// See [`crate::store::Store::delivery`].
pub(super) async fn one(connection: &mut SqliteConnection, id: &DeliveryId) -> Result<Delivery, StoreError> {
    let sql = format!("SELECT {COLUMNS}, d.body FROM deliveries d LEFT JOIN deliveries_failed f ON f.seq = d.seq WHERE d.id = ?");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id.as_str()).fetch_optional(connection).await?;
    let row = row.ok_or_else(|| StoreError::NotFound(format!("delivery {id}")))?;
    let body = row.try_get("body")?;
    read(&row, body)
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
