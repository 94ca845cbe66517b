//! Deliveries in pages, and how a row is read. A row is never updated; see the schema.

use super::query::{Connection, Row, statement};
use super::rows::{Columns, Key, page_limit};
use crate::store::cursor::Listing;
use crate::store::{Appended, Delivery, DeliveryFilter, DeliveryState, NewDelivery, Page, PageQuery, StoreError};
use crate::types::DeliveryId;
use std::collections::HashMap;

pub(in crate::store) const COLUMNS: &str = "d.seq, d.id, d.source, d.received_at, d.attributes, d.length AS body_bytes, d.handled, f.error, \
    EXISTS (SELECT 1 FROM deliveries_pending p WHERE p.seq = d.seq) AS pending";

pub(in crate::store) fn read(row: &Row, body: Vec<u8>) -> Result<Delivery, StoreError> {
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

/// Bytes of bodies read at once for dispatch; the last one may go beyond, however large it is.
pub(in crate::store) const READ_AT_ONCE: i64 = 16 * 1024 * 1024;

/// What became of each delivery of a batch that was written, where these stand under its keys.
pub(in crate::store) fn outcomes(batch: &[NewDelivery], keys: &[Key], standing: &HashMap<Key, DeliveryId>) -> Result<Vec<Appended>, StoreError> {
    let outcome = |(delivery, key): (&NewDelivery, &Key)| match standing.get(key) {
        // A writer that never learned whether its commit came through tried the same again.
        Some(id) if *id == delivery.id => Ok(Appended::New),
        Some(id) => Ok(Appended::Duplicate(id.clone())),
        // Pruned in this very moment: the sender tells it again.
        None => Err(StoreError::Unavailable("the first delivery of a duplicate was removed just now".to_owned())),
    };
    batch.iter().zip(keys).map(outcome).collect()
}

/// See [`crate::store::Store::deliveries`].
pub(super) async fn list(connection: &mut Connection, filter: &DeliveryFilter, page: &PageQuery) -> Result<Page<Delivery>, StoreError> {
    let before = Listing::Deliveries.before(page.after.as_deref())?;
    let limit = page_limit(page);
    let mut query = statement(format!("SELECT {COLUMNS} FROM "));
    // The table that is read in order is the one with the fewest rows that pass.
    query.push(match (filter.state, &filter.source) {
        (Some(DeliveryState::Pending), _) => "deliveries_pending o CROSS JOIN deliveries d ON d.seq = o.seq",
        (Some(DeliveryState::Failed), _) => "deliveries_failed o CROSS JOIN deliveries d ON d.seq = o.seq",
        (Some(DeliveryState::Ignored), _) => "deliveries d INDEXED BY deliveries_ignored",
        (_, Some(_)) => "deliveries d INDEXED BY deliveries_source",
        (_, None) => "deliveries d NOT INDEXED",
    });
    let order = if matches!(filter.state, Some(DeliveryState::Pending | DeliveryState::Failed)) { "o.seq" } else { "d.seq" };
    query.push(&format!(" LEFT JOIN deliveries_failed f ON f.seq = d.seq WHERE {order} < ")).push_bind(before);
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
    query.push(&format!(" ORDER BY {order} DESC LIMIT ")).push_bind(i64::try_from(limit + 1).unwrap_or(i64::MAX));
    let rows = query.fetch_all(connection).await?;
    page_of(&rows, limit, Listing::Deliveries, |row| read(row, Vec::new()))
}

/// A page of rows that were read with one row more than wanted.
pub(super) fn page_of<T>(
    rows: &[Row],
    limit: usize,
    listing: Listing,
    read: impl FnMut(&Row) -> Result<T, StoreError>,
) -> Result<Page<T>, StoreError> {
    let more = rows.len() > limit;
    let shown = &rows[..rows.len().min(limit)];
    let next = match shown.last() {
        Some(last) if more => Some(listing.cursor(last.number("seq")?)),
        _ => None,
    };
    Ok(Page { items: shown.iter().map(read).collect::<Result<_, _>>()?, next })
}
