//! Counts, retention and the write that readiness asks for. Nothing here looks at a whole big table: counts come from small
//! tables and partial indexes, and retention removes a slice at a time so that deliveries never wait long for the writer.

use super::copilot;
use super::query::{Connection, Row, statement};
use super::rows::{Columns, to_json};
use super::turns::oldest_due;
use crate::request::State;
use crate::store::{Pruned, Reached, Stats, StoreError, TaskKind, lane, postgres, sqlite};
use crate::types::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// So many deliveries are looked at for each that may be removed: those that are kept may be many, and others wait for the writer meanwhile.
const LOOKED_AT: i64 = 4;

/// How many deliveries wait to be dispatched, and since when, where each that was written is filed.
const PENDING: &str = "SELECT (SELECT count(*) FROM deliveries_pending) AS pending, \
    (SELECT received_at FROM deliveries WHERE seq = (SELECT min(seq) FROM deliveries_pending)) AS oldest";

/// See [`crate::store::Store::stats`].
pub(super) async fn stats(connection: &mut Connection, now: Timestamp) -> Result<Stats, StoreError> {
    let pending = if connection.is_sqlite() { sqlite::PENDING } else { PENDING };
    let pending = statement(pending).fetch_one(&mut *connection).await?;
    let mut stats = Stats { pending_deliveries: pending.count("pending")?, oldest_pending: pending.optional_moment("oldest")?, ..Stats::default() };
    stats.tasks = TaskKind::ALL.map(|kind| (kind, 0)).to_vec();
    // What waits for its time, perhaps for months, is nobody's work yet.
    let counted = statement(
        "SELECT state, kind, count(*) AS tasks FROM outbox WHERE NOT (kind = 'clock' AND state = 'waiting' AND run_at > ?) GROUP BY state, kind",
    );
    for row in counted.bind(now.unix_millis()).fetch_all(&mut *connection).await? {
        let (kind, tasks) = (row.text("kind")?, row.count("tasks")?);
        if row.text("state")? == "dead" {
            stats.dead_tasks += tasks;
        } else if let Some((_, count)) = stats.tasks.iter_mut().find(|(known, _)| known.as_str() == kind) {
            *count += tasks;
        }
    }
    let waiting = "SELECT count(*) AS waiting FROM admissions INDEXED BY admissions_waiting WHERE standing = 'waiting'";
    stats.waiting_for_room = statement(waiting).fetch_one(&mut *connection).await?.count("waiting")?;
    let lanes = "SELECT lane, count(*) AS tasks FROM outbox WHERE state <> 'dead' AND lane <> '' AND kind NOT IN ('tell', 'draft') \
                 AND NOT (kind = 'clock' AND state = 'waiting' AND run_at > ?) GROUP BY lane";
    for row in statement(lanes).bind(now.unix_millis()).fetch_all(&mut *connection).await? {
        *stats.backlog.entry(lane::repository(&row.text("lane")?).to_owned()).or_default() += row.count("tasks")?;
    }
    stats.oldest_due = oldest_due(connection, now).await?;
    stats.requests = State::ALL.map(|state| (state, 0)).to_vec();
    for row in statement("SELECT state, count FROM request_counts").fetch_all(connection).await? {
        let state: State = row.parsed("state")?;
        if let Some((_, count)) = stats.requests.iter_mut().find(|(known, _)| *known == state) {
            *count = row.count("count")?;
        }
    }
    Ok(stats)
}

/// See [`crate::store::Store::prune_from`].
pub(super) async fn prune(connection: &mut Connection, before: Timestamp, reached: Reached, limit: u32) -> Result<(Pruned, Reached), StoreError> {
    if !connection.is_sqlite() {
        postgres::take_longer(connection).await?;
    }
    let before = before.unix_millis();
    let (deliveries, theirs, reached) = prune_deliveries(connection, before, reached, limit).await?;
    // Events a person filed have no delivery to go with.
    let filed = slice(
        connection,
        "DELETE FROM events WHERE seq IN (SELECT e.seq FROM events e INDEXED BY events_filed WHERE e.delivery IS NULL AND e.recorded_at < ? \
         AND NOT EXISTS (SELECT 1 FROM event_requests l JOIN requests r ON r.seq = l.request WHERE l.event = e.seq AND r.live = 1) LIMIT ?)",
        before,
        limit,
    )
    .await?;
    let words = prune_words(connection, before, limit).await? + copilot::prune(connection, before, limit).await?;
    let requests = prune_requests(connection, before, limit).await?;
    Ok((Pruned { deliveries, events: theirs + filed, requests, words }, reached))
}

/// Removes the oldest deliveries behind `reached` that nobody needs any more, with their bodies and events; tells how many of each, and how far it
/// looked.
async fn prune_deliveries(connection: &mut Connection, before: i64, reached: Reached, limit: u32) -> Result<(u64, u64, Reached), StoreError> {
    let stretch = statement(
        "SELECT d.received_at, d.seq FROM deliveries d INDEXED BY deliveries_received \
         WHERE d.received_at < ?1 AND d.received_at >= ?2 AND (d.received_at, d.seq) > (?2, ?3) ORDER BY d.received_at, d.seq LIMIT 1 OFFSET ?4",
    );
    let stretch = stretch.bind(before).bind(reached.received_at).bind(reached.seq).bind(i64::from(limit) * LOOKED_AT - 1);
    let stretch = stretch.fetch_optional(&mut *connection).await?;
    // Where there are no more than that, it is all of them.
    let end = stretch.map_or(Ok(Reached { received_at: before, seq: i64::MAX }), |row| place_of(&row))?;
    let rows = statement(
        "SELECT d.seq, d.id, d.received_at FROM deliveries d INDEXED BY deliveries_received \
         WHERE d.received_at < ?1 AND d.received_at >= ?2 AND (d.received_at, d.seq) > (?2, ?3) AND (d.received_at, d.seq) <= (?4, ?5) \
         AND NOT EXISTS (SELECT 1 FROM deliveries_pending p WHERE p.seq = d.seq) \
         AND NOT EXISTS (SELECT 1 FROM events e JOIN event_requests l ON l.event = e.seq JOIN requests r ON r.seq = l.request \
                         WHERE e.delivery = d.id AND r.live = 1) \
         ORDER BY d.received_at, d.seq LIMIT ?6",
    );
    let rows = rows.bind(before).bind(reached.received_at).bind(reached.seq).bind(end.received_at).bind(end.seq).bind(limit);
    let rows = rows.fetch_all(&mut *connection).await?;
    let reached = match rows.last() {
        Some(last) if rows.len() as u64 == u64::from(limit) => place_of(last)?,
        _ => end,
    };
    let seqs = rows.iter().map(|row| row.number("seq")).collect::<Result<Vec<_>, _>>()?;
    let ids = rows.iter().map(|row| row.text("id")).collect::<Result<Vec<_>, _>>()?;
    let (seqs, ids) = (to_json(&seqs)?, to_json(&ids)?);
    // The bodies of a SQLite file's deliveries stand apart.
    let arrivals = if connection.is_sqlite() { sqlite::arrivals_of(connection, &seqs).await? } else { Vec::new() };
    let events = affected(connection, "DELETE FROM events WHERE delivery IN (SELECT value FROM json_each(?))", &ids).await?;
    affected(connection, "DELETE FROM deliveries_failed WHERE seq IN (SELECT CAST(value AS BIGINT) FROM json_each(?))", &seqs).await?;
    let deliveries = affected(connection, "DELETE FROM deliveries WHERE seq IN (SELECT CAST(value AS BIGINT) FROM json_each(?))", &seqs).await?;
    if !arrivals.is_empty() {
        sqlite::remove_arrivals(connection, &arrivals).await?;
    }
    Ok((deliveries, events, reached))
}

/// Removes the oldest requests that have ended, and their pull requests of the local forge.
async fn prune_requests(connection: &mut Connection, before: i64, limit: u32) -> Result<u64, StoreError> {
    // A request with a task is not over: a dead letter is kept until somebody retries it.
    let removed = statement(
        "DELETE FROM requests WHERE seq IN (SELECT r.seq FROM requests r INDEXED BY requests_ended WHERE r.live = 0 AND r.updated_at < ? \
         AND NOT EXISTS (SELECT 1 FROM outbox t WHERE t.request = r.seq) ORDER BY r.updated_at LIMIT ?) RETURNING repository, pull_number, former_pull",
    );
    let removed = removed.bind(before).bind(limit).fetch_all(&mut *connection).await?;
    let mut pulls: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for row in &removed {
        if let Some(repository) = row.optional_text("repository")? {
            pulls
                .entry(repository)
                .or_default()
                .extend([row.optional_number("pull_number")?, row.optional_number("former_pull")?].into_iter().flatten());
        }
    }
    for (repository, numbers) in pulls {
        // The newest stays: the next one is numbered after it, and no number is given twice.
        let over = statement(
            "DELETE FROM pulls WHERE repository = ?1 AND number IN (SELECT CAST(value AS BIGINT) FROM json_each(?2)) AND state <> 'open' \
             AND +number < (SELECT max(newest.number) FROM pulls newest WHERE newest.repository = ?1) \
             AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.pull_number = pulls.number AND r.repository = ?1) \
             AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.former_pull = pulls.number AND r.repository = ?1)",
        );
        over.bind(repository).bind(to_json(&numbers)?).execute(&mut *connection).await?;
    }
    Ok(removed.len() as u64)
}

/// Where a delivery stands among those that are looked through.
fn place_of(row: &Row) -> Result<Reached, StoreError> {
    Ok(Reached { received_at: row.number("received_at")?, seq: row.number("seq")? })
}

/// Removes what was said of keys that nothing under way is about, of deployments and of runs.
async fn prune_words(connection: &mut Connection, before: i64, limit: u32) -> Result<u64, StoreError> {
    let wishes = slice(
        connection,
        "DELETE FROM wishes WHERE (automation, correlation) IN (SELECT w.automation, w.correlation FROM wishes w INDEXED BY wishes_recorded \
         WHERE w.recorded_at < ? AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.automation = w.automation AND r.correlation = w.correlation AND r.live = 1) \
         LIMIT ?)",
        before,
        limit,
    );
    let wishes = wishes.await?;
    let deployments = slice(
        connection,
        "DELETE FROM deployments WHERE dedup IN (SELECT d.dedup FROM deployments d INDEXED BY deployments_recorded WHERE d.recorded_at < ? LIMIT ?)",
        before,
        limit,
    );
    let deployments = deployments.await?;
    let runs = slice(
        connection,
        "DELETE FROM run_ends WHERE (name, kind, namespace, api_group, cluster, at, outcome) IN ( \
             SELECT e.name, e.kind, e.namespace, e.api_group, e.cluster, e.at, e.outcome FROM run_ends e INDEXED BY run_ends_recorded \
             WHERE e.recorded_at < ? LIMIT ?)",
        before,
        limit,
    );
    Ok(wishes + deployments + runs.await?)
}

/// Removes so many rows at most that are older than this; tells how many.
pub(super) async fn slice(connection: &mut Connection, sql: &'static str, before: i64, limit: u32) -> Result<u64, StoreError> {
    Ok(statement(sql).bind(before).bind(limit).execute(connection).await?.rows_affected())
}

async fn affected(connection: &mut Connection, sql: &'static str, list: &str) -> Result<u64, StoreError> {
    Ok(statement(sql).bind(list).execute(connection).await?.rows_affected())
}

/// See [`crate::store::Store::check`]: a write of one row that is synced like any other.
pub(super) async fn probe(connection: &mut Connection) -> Result<(), StoreError> {
    statement("UPDATE probe SET writes = writes + 1").execute(connection).await?;
    Ok(())
}
