//! From a delivery to its events and the requests they open or join, in the caller's transaction.
//! It decides nothing: what matched was decided before, whether a live request exists is the only question asked here.

use super::requests::{add_timeline, create};
use super::rows::{Columns, digest, to_json};
use super::tasks::add_task;
use crate::request::{Request, RequestKey, State, TimelineEntry};
use crate::store::{Dispatch, DispatchedEvent, NewTask, Opening, StoreError, TaskKind};
use crate::types::{RequestId, TaskId, Timestamp};
use sqlx::{Row, SqliteConnection};

/// Joins that leave a note; a storm of alerts must not fill a timeline.
const NOTED_JOINS: i64 = 50;
/// Characters of a subject that are quoted in a timeline.
const QUOTED: usize = 120;

/// See [`crate::store::Store::dispatch`].
pub(super) async fn dispatch(connection: &mut SqliteConnection, entries: &[Dispatch], now: Timestamp) -> Result<Vec<Vec<RequestId>>, StoreError> {
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut requests = Vec::new();
        if take_pending(connection, entry).await? {
            for event in &entry.events {
                record(connection, event, now, &mut requests).await?;
            }
        }
        all.push(requests);
    }
    Ok(all)
}

/// Whether the entry is still to be dispatched; from here on it is not.
async fn take_pending(connection: &mut SqliteConnection, entry: &Dispatch) -> Result<bool, StoreError> {
    let Some(delivery) = &entry.delivery else { return Ok(true) };
    let seq: Option<i64> = sqlx::query_scalar("DELETE FROM deliveries_pending WHERE seq = (SELECT seq FROM deliveries WHERE id = ?) RETURNING seq")
        .bind(delivery.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    if let (Some(seq), Some(error)) = (seq, &entry.error) {
        sqlx::query("INSERT INTO deliveries_failed (seq, error) VALUES (?, ?)").bind(seq).bind(error.as_str()).execute(connection).await?;
    }
    Ok(seq.is_some())
}

async fn record(connection: &mut SqliteConnection, told: &DispatchedEvent, now: Timestamp, requests: &mut Vec<RequestId>) -> Result<(), StoreError> {
    let event = &told.event;
    let key = digest(event.source.as_ref().map_or("", |source| source.as_str()), &told.key);
    let first: Option<String> = sqlx::query_scalar("SELECT id FROM events WHERE dedup = ?").bind(&key[..]).fetch_optional(&mut *connection).await?;
    let repeats = first.is_some();
    let seq = sqlx::query(
        "INSERT INTO events (id, delivery, source, kind, subject, time, recorded_at, dedup, repeats, decisions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(event.id.as_str())
    .bind(event.delivery.as_ref().map(|id| id.as_str()))
    .bind(event.source.as_ref().map(|name| name.as_str()))
    .bind(event.kind.as_str())
    .bind(event.subject.as_str())
    .bind(event.time.unix_millis())
    .bind(now.unix_millis())
    .bind((!repeats).then_some(&key[..]))
    .bind(first)
    .bind(to_json(&told.decisions)?)
    .execute(&mut *connection)
    .await?
    .last_insert_rowid();
    if repeats {
        return Ok(());
    }
    for opening in &told.openings {
        let (request, id) = match live(connection, opening).await? {
            Some(found) => join(connection, found, told, opening, now).await?,
            None => open(connection, told, opening, now).await?,
        };
        sqlx::query("INSERT INTO event_requests (event, request) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(seq)
            .bind(request)
            .execute(&mut *connection)
            .await?;
        requests.push(id);
    }
    Ok(())
}

struct Live {
    seq: i64,
    id: RequestId,
    state: State,
    joins: i64,
}

async fn live(connection: &mut SqliteConnection, opening: &Opening) -> Result<Option<Live>, StoreError> {
    let row = sqlx::query("SELECT seq, id, state, joins FROM requests WHERE automation = ? AND correlation = ? AND live = 1")
        .bind(opening.automation.as_str())
        .bind(opening.correlation.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok(Live { seq: row.number("seq")?, id: row.parsed("id")?, state: row.parsed("state")?, joins: row.number("joins")? })).transpose()
}

async fn join(
    connection: &mut SqliteConnection,
    found: Live,
    told: &DispatchedEvent,
    opening: &Opening,
    now: Timestamp,
) -> Result<(i64, RequestId), StoreError> {
    sqlx::query("UPDATE requests SET joins = joins + 1 WHERE seq = ?").bind(found.seq).execute(&mut *connection).await?;
    if found.joins < NOTED_JOINS {
        let last = if found.joins + 1 == NOTED_JOINS { "; further events are counted, not noted" } else { "" };
        let note = TimelineEntry {
            at: now,
            from: Some(found.state),
            to: found.state,
            message: format!("joined by {}{last}", quote(told)),
            actor: opening.actor.clone(),
        };
        add_timeline(connection, found.seq, &[note]).await?;
    }
    Ok((found.seq, found.id))
}

async fn open(connection: &mut SqliteConnection, told: &DispatchedEvent, opening: &Opening, now: Timestamp) -> Result<(i64, RequestId), StoreError> {
    let generation: i64 = sqlx::query("SELECT coalesce(max(generation), 0) + 1 FROM requests WHERE correlation = ? AND automation = ?")
        .bind(opening.correlation.as_str())
        .bind(opening.automation.as_str())
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    let request = Request {
        id: opening.id.clone(),
        key: RequestKey {
            automation: opening.automation.clone(),
            correlation: opening.correlation.clone(),
            generation: u32::try_from(generation).unwrap_or(u32::MAX),
        },
        state: State::Accepted,
        event: told.event.clone(),
        parameters: opening.parameters.clone(),
        repository: opening.repository.clone(),
        branch: None,
        base: None,
        commit: None,
        pushed: None,
        summary: Vec::new(),
        text: None,
        pull: None,
        findings: Vec::new(),
        message: None,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    let seq = create(connection, &request).await?;
    let entry =
        TimelineEntry { at: now, from: None, to: State::Accepted, message: format!("opened by {}", quote(told)), actor: opening.actor.clone() };
    add_timeline(connection, seq, &[entry]).await?;
    let task = NewTask {
        id: first_task(&opening.id)?,
        kind: TaskKind::Plan,
        request: opening.id.clone(),
        lane: opening.repository.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default(),
        run_at: now,
    };
    add_task(connection, seq, &task).await?;
    Ok((seq, opening.id.clone()))
}

/// The first task of a request has the request's own ULID: the store draws no random bits.
fn first_task(request: &RequestId) -> Result<TaskId, StoreError> {
    let ulid = request.as_str().trim_start_matches(RequestId::PREFIX);
    format!("{}{ulid}", TaskId::PREFIX).parse().map_err(|_| StoreError::Broken("a request id makes no task id".to_owned()))
}

fn quote(told: &DispatchedEvent) -> String {
    let subject: String = told.event.subject.chars().take(QUOTED).collect();
    format!("event {} ({} about {subject:?})", told.event.id, told.event.kind)
}
