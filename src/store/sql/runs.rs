//! What was said of the end of runs: kept, and heard by the merged requests whose change added such an object.

use super::dispatch::link;
use super::query::{Connection, Row, statement};
use super::rows::Columns;
use super::signals::owe_a_look;
use crate::request::State;
use crate::store::{RunEnd, StoreError};
use crate::types::{RequestId, Timestamp};

/// Requests that hear of one end, the newest: those that add an object of the same kind, namespace and name.
const MOST_WAITING: u32 = 100;
/// Stands for a group that nobody said.
const ANY: &str = "*";

/// Keeps what was said, and owes a look to every merged request that may have added that run. One that is not known to be merged has
/// its look when it is.
pub(super) async fn ended(connection: &mut Connection, event: i64, end: &RunEnd, now: Timestamp) -> Result<(), StoreError> {
    let kept = statement(
        "INSERT INTO run_ends (name, kind, namespace, api_group, cluster, at, outcome, message, event, recorded_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT DO NOTHING",
    );
    let namespace = end.namespace.as_deref().unwrap_or_default();
    let kept = kept
        .bind(end.name.as_str())
        .bind(end.kind.as_str())
        .bind(namespace)
        .bind(end.group.as_deref().unwrap_or(ANY))
        .bind(end.cluster.as_deref().unwrap_or_default())
        .bind(end.at.unix_millis())
        .bind(end.outcome.as_str())
        .bind(end.message.as_deref())
        .bind(event)
        .bind(now.unix_millis());
    if kept.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(());
    }
    let adding = statement(
        "SELECT r.seq, r.id, r.state, r.repository FROM request_objects o JOIN requests r ON r.seq = o.request \
         WHERE o.name = ? AND o.kind = ? AND o.namespace IN ('', ?) AND o.heard < ? AND r.repository IS NOT NULL \
         AND r.state IN ('accepted', 'planned', 'proposed', 'approved', 'merged', 'applied', 'degraded') ORDER BY r.seq DESC LIMIT ?",
    );
    let adding =
        adding.bind(end.name.as_str()).bind(end.kind.as_str()).bind(namespace).bind(event).bind(MOST_WAITING).fetch_all(&mut *connection).await?;
    for row in adding {
        if row.parsed::<State>("state")?.is_merged() {
            owe_a_look(connection, event, &row, &row.parsed("repository")?, now).await?;
        } else {
            link(connection, event, row.number("seq")?).await?;
        }
    }
    Ok(())
}

/// See [`crate::store::Store::run_ends`].
pub(super) async fn of_request(connection: &mut Connection, request: &RequestId, limit: u32) -> Result<Vec<RunEnd>, StoreError> {
    let rows = statement(
        "SELECT e.name, e.kind, e.namespace, e.api_group, e.cluster, e.at, e.outcome, e.message FROM requests r \
         JOIN request_objects o ON o.request = r.seq JOIN run_ends e ON e.name = o.name AND e.kind = o.kind \
         WHERE r.id = ? AND o.namespace IN ('', e.namespace) AND e.event > o.heard ORDER BY e.at, e.outcome LIMIT ?",
    );
    let rows = rows.bind(request.as_str()).bind(limit).fetch_all(connection).await?;
    let read = |row: &Row| {
        let said = |name: &str, nothing: &str| row.text(name).map(|text| Some(text).filter(|text| text != nothing));
        Ok(RunEnd {
            group: said("api_group", ANY)?,
            kind: row.text("kind")?,
            namespace: said("namespace", "")?,
            name: row.text("name")?,
            cluster: said("cluster", "")?,
            outcome: row.parsed("outcome")?,
            message: row.optional_text("message")?,
            at: row.moment("at")?,
        })
    };
    rows.iter().map(read).collect()
}
