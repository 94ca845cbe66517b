//! Events read back, with what was decided on them and the requests they opened or joined.
//! Writing them is `dispatch`'s part; a row never changes.

use super::deliveries::page_of;
use super::query::{Connection, Row, statement};
use super::rows::{Columns, page_limit};
use crate::store::cursor::Listing;
use crate::store::{EventFilter, EventRecord, Page, PageQuery, StoreError};
use crate::types::EventId;

const COLUMNS: &str = "e.seq, e.id, e.delivery, e.source, e.kind, e.subject, e.time, e.recorded_at, e.repeats, e.decisions, \
    (SELECT json_group_array(id) FROM (SELECT r.id FROM event_requests l JOIN requests r ON r.seq = l.request WHERE l.event = e.seq ORDER BY r.seq) q) AS requests";

fn read(row: &Row) -> Result<EventRecord, StoreError> {
    Ok(EventRecord {
        id: row.parsed("id")?,
        delivery: row.optional("delivery")?,
        source: row.optional("source")?,
        kind: row.parsed("kind")?,
        subject: row.text("subject")?,
        time: row.moment("time")?,
        recorded_at: row.moment("recorded_at")?,
        repeats: row.optional("repeats")?,
        decisions: row.json("decisions")?,
        requests: row.json("requests")?,
    })
}

/// See [`crate::store::Store::event`].
pub(super) async fn one(connection: &mut Connection, id: &EventId) -> Result<EventRecord, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM events e WHERE e.id = ?");
    let row = statement(sql).bind(id.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()?.ok_or_else(|| StoreError::NotFound(format!("event {id}")))
}

/// See [`crate::store::Store::events`].
pub(super) async fn list(connection: &mut Connection, filter: &EventFilter, page: &PageQuery) -> Result<Page<EventRecord>, StoreError> {
    let before = Listing::Events.before(page.after.as_deref())?;
    let limit = page_limit(page);
    let mut query = statement(format!("SELECT {COLUMNS} FROM events e "));
    // Read in order from the index that leaves the fewest rows to look at.
    query.push(match filter {
        EventFilter { request: Some(_), .. } => "",
        EventFilter { delivery: Some(_), .. } => "INDEXED BY events_delivery",
        EventFilter { subject: Some(_), .. } => "INDEXED BY events_subject",
        EventFilter { kind: Some(_), .. } => "INDEXED BY events_kind",
        EventFilter { source: Some(_), .. } => "INDEXED BY events_source",
        _ => "NOT INDEXED",
    });
    query.push(" WHERE e.seq < ").push_bind(before);
    let conditions = [
        (" AND e.delivery = ", filter.delivery.as_ref().map(|id| id.as_str())),
        (" AND e.subject = ", filter.subject.as_deref()),
        (" AND e.kind = ", filter.kind.as_ref().map(|kind| kind.as_str())),
        (" AND e.source = ", filter.source.as_ref().map(|name| name.as_str())),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            query.push(condition).push_bind(value);
        }
    }
    if let Some(id) = &filter.request {
        query.push(" AND e.seq IN (SELECT l.event FROM event_requests l WHERE l.request = (SELECT r.seq FROM requests r WHERE r.id = ");
        query.push_bind(id.as_str()).push("))");
    }
    query.push(" ORDER BY e.seq DESC LIMIT ").push_bind(i64::try_from(limit + 1).unwrap_or(i64::MAX));
    let rows = query.fetch_all(connection).await?;
    page_of(&rows, limit, Listing::Events, read)
}
