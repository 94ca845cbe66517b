//! From a delivery to its events and the requests they open or join, in the caller's transaction.
//! It decides nothing: what matched was decided before, whether a live request exists is the only question asked here.

use super::batch::{Batched, CHUNK};
use super::debounce::{self, Waits};
use super::members::{self, Live, NewMember};
use super::query::{Connection, Row, statement};
use super::requests::{add_timeline, create};
use super::rows::{Columns, broken, digest, to_json};
use super::signals;
use crate::request::{Request, RequestKey, State, TimelineEntry};
use crate::store::{Debounce, Dispatch, DispatchedEvent, NewTask, Opening, StoreError, TaskKind, lane};
use crate::types::{DeliveryId, RequestId, SourceName, SpecDuration, TaskId, Timestamp};
use std::collections::HashMap;

/// Joins that leave a note; a storm of alerts must not fill a timeline.
const NOTED_JOINS: i64 = 50;
/// Columns of an event that are written.
const EVENT_COLUMNS: usize = 10;
/// Characters of a subject that are quoted in a timeline.
const QUOTED: usize = 120;

/// The statements that read and write events.
pub(super) struct Statements {
    known: Batched,
    insert: Batched,
}

impl Statements {
    pub(super) fn new() -> Self {
        // Each is looked up by itself: PostgreSQL would read all of a table that was small when it planned a join, also once it is large.
        let known =
            |rows: &str| format!("SELECT k.column1 AS dedup, (SELECT e.id FROM events e WHERE e.dedup = k.column1) AS id FROM (VALUES {rows}) k");
        let insert = |rows: &str| {
            format!(
                "INSERT INTO events (id, delivery, source, kind, subject, time, recorded_at, dedup, repeats, decisions) \
                 SELECT * FROM (VALUES {rows}) v WHERE column1 IS NOT NULL RETURNING seq, id"
            )
        };
        Self { known: Batched::new(1, known), insert: Batched::new(EVENT_COLUMNS, insert) }
    }
}

/// See [`crate::store::Store::dispatch`]. The many events nobody wanted cost a few statements together; only a request that
/// is opened or joined costs statements of its own.
pub(super) async fn dispatch(
    connection: &mut Connection,
    statements: &Statements,
    entries: &[Dispatch],
    now: Timestamp,
) -> Result<Vec<Vec<RequestId>>, StoreError> {
    let mut pending = take_pending(connection, entries).await?;
    let mut all = vec![Vec::new(); entries.len()];
    let mut told = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        if let Some(delivery) = &entry.delivery {
            // Taken out: should a delivery stand twice in a batch, it is dispatched once.
            let Some(seq) = pending.remove(delivery.as_str()) else { continue };
            if let Some(error) = &entry.error {
                let failed = statement("INSERT INTO deliveries_failed (seq, error) VALUES (?, ?)");
                failed.bind(seq).bind(error.as_str()).execute(&mut *connection).await?;
            }
        }
        told.extend(entry.events.iter().map(|event| (index, event)));
    }
    for told in told.chunks(CHUNK) {
        let recorded = record(connection, statements, told, now).await?;
        for ((index, event), seq) in told.iter().zip(recorded) {
            let Some(seq) = seq else { continue };
            // A sender whose clock is ahead must not have the last word until then.
            let at = event.event.time.min(now);
            for opening in &event.openings {
                if opening.retractable && !signals::is_wanted(connection, &opening.automation, &opening.correlation, at, now).await? {
                    overtaken(connection, seq, event, opening).await?;
                    continue;
                }
                match open_or_join(connection, event, seq, opening, now).await? {
                    Some(id) => all[*index].push(id),
                    None => overtaken(connection, seq, event, opening).await?,
                }
            }
            for signal in &event.signals {
                signals::heed(connection, seq, at, signal, now).await?;
            }
        }
    }
    Ok(all)
}

/// Says with the event why it opened nothing.
async fn overtaken(connection: &mut Connection, event: i64, told: &DispatchedEvent, opening: &Opening) -> Result<(), StoreError> {
    let mut decisions = told.decisions.clone();
    if let Some(decision) = decisions.iter_mut().find(|decision| decision.automation == opening.automation) {
        decision.message = Some(format!("no request was opened: a newer event about {:?} came before this one", quote(&opening.correlation)));
    }
    statement("UPDATE events SET decisions = ? WHERE seq = ?").bind(to_json(&decisions)?).bind(event).execute(connection).await?;
    Ok(())
}

/// Which of the deliveries were still to be dispatched, each with its number; from here on they are not.
async fn take_pending(connection: &mut Connection, entries: &[Dispatch]) -> Result<HashMap<String, i64>, StoreError> {
    let ids: Vec<&str> = entries.iter().filter_map(|entry| entry.delivery.as_ref()).map(DeliveryId::as_str).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows =
        statement("SELECT (SELECT d.seq FROM deliveries d WHERE d.id = j.value) AS seq, j.value AS id FROM json_each(?) j").bind(to_json(&ids)?);
    let rows = rows.fetch_all(connection).await?;
    let mut numbers = HashMap::with_capacity(ids.len());
    for row in &rows {
        if let Some(seq) = row.optional_number("seq")? {
            numbers.insert(seq, row.text("id")?);
        }
    }
    let (Some(first), Some(last)) = (numbers.keys().min(), numbers.keys().max()) else { return Ok(HashMap::new()) };
    // A batch stands together. Without its bounds PostgreSQL reads all that wait, and what is left of those that waited.
    let taken = statement(
        "DELETE FROM deliveries_pending WHERE seq >= ? AND seq <= ? AND seq IN (SELECT CAST(value AS BIGINT) FROM json_each(?)) RETURNING seq",
    )
    .bind(*first)
    .bind(*last)
    .bind(to_json(&numbers.keys().collect::<Vec<_>>())?)
    .fetch_all(connection)
    .await?;
    let taken = taken.iter().map(|row| row.number("seq")).collect::<Result<Vec<i64>, StoreError>>()?;
    Ok(taken.into_iter().filter_map(|seq| Some((numbers.get(&seq)?.clone(), seq))).collect())
}

/// Writes events, at most [`CHUNK`], and tells the number of each that is told for the first time; of others nothing.
async fn record(
    connection: &mut Connection,
    statements: &Statements,
    told: &[(usize, &DispatchedEvent)],
    now: Timestamp,
) -> Result<Vec<Option<i64>>, StoreError> {
    let key = |told: &DispatchedEvent| digest(told.event.source.as_ref().map_or("", |source| source.as_str()), &told.key);
    let keys: Vec<[u8; 16]> = told.iter().map(|(_, told)| key(told)).collect();
    let mut known = first_told(connection, statements, &keys).await?;
    let mut query = statement(statements.insert.for_rows(told.len()));
    let mut is_first = Vec::with_capacity(told.len());
    for ((_, told), key) in told.iter().zip(&keys) {
        let event = &told.event;
        let first = known.get(&key[..]).cloned();
        is_first.push(first.is_none());
        query = query
            .bind(event.id.as_str())
            .bind(event.delivery.as_ref().map(|id| id.as_str()))
            .bind(event.source.as_ref().map(|name| name.as_str()))
            .bind(event.kind.as_str())
            .bind(event.subject.as_str())
            .bind(event.time.unix_millis())
            .bind(now.unix_millis())
            .bind(first.is_none().then_some(&key[..]))
            .bind(first)
            .bind(to_json(&told.decisions)?);
        known.entry(key.to_vec()).or_insert_with(|| event.id.to_string());
    }
    let rows = query.fill(EVENT_COLUMNS, statements.insert.rows(told.len())).fetch_all(connection).await?;
    let written = rows.iter().map(|row| Ok((row.text("id")?, row.number("seq")?))).collect::<Result<HashMap<_, _>, StoreError>>()?;
    let seq = |told: &DispatchedEvent| written.get(told.event.id.as_str()).copied().ok_or_else(|| broken("id"));
    told.iter().zip(is_first).map(|((_, told), is_first)| is_first.then(|| seq(told)).transpose()).collect()
}

/// The events that stand under some of the keys, by key.
async fn first_told(connection: &mut Connection, statements: &Statements, keys: &[[u8; 16]]) -> Result<HashMap<Vec<u8>, String>, StoreError> {
    let mut query = statement(statements.known.for_rows(keys.len()));
    for key in keys {
        query = query.bind(&key[..]);
    }
    let rows = query.fill(1, statements.known.rows(keys.len())).fetch_all(connection).await?;
    let mut known = HashMap::new();
    for row in &rows {
        if let Some(id) = row.optional_text("id")? {
            known.insert(row.bytes("dedup")?.to_vec(), id);
        }
    }
    Ok(known)
}

/// See [`crate::store::Store::are_recorded`].
pub(super) async fn are_recorded(
    connection: &mut Connection,
    statements: &Statements,
    source: &SourceName,
    keys: &[String],
) -> Result<Vec<bool>, StoreError> {
    let mut recorded = Vec::with_capacity(keys.len());
    for keys in keys.chunks(CHUNK) {
        let keys: Vec<[u8; 16]> = keys.iter().map(|key| digest(source.as_str(), key)).collect();
        let known = first_told(connection, statements, &keys).await?;
        recorded.extend(keys.iter().map(|key| known.contains_key(&key[..])));
    }
    Ok(recorded)
}

async fn open_or_join(
    connection: &mut Connection,
    told: &DispatchedEvent,
    seq: i64,
    opening: &Opening,
    now: Timestamp,
) -> Result<Option<RequestId>, StoreError> {
    let (request, id) = match live(connection, opening).await? {
        Some(found) => join(connection, found, told, opening, now).await?,
        None if opening.in_order && is_answered(connection, told, opening).await? => return Ok(None),
        None => open(connection, told, opening, now).await?,
    };
    link(connection, seq, request).await?;
    Ok(Some(id))
}

/// Whether a newer event about the same thing asked for the same before, in a request that has ended. Their order has PostgreSQL find them by their
/// key, also where it planned this when there were none.
async fn is_answered(connection: &mut Connection, told: &DispatchedEvent, opening: &Opening) -> Result<bool, StoreError> {
    let newer = statement(format!(
        "SELECT 1 FROM (SELECT seq FROM requests INDEXED BY requests_key WHERE correlation = ? AND automation = ? ORDER BY generation DESC LIMIT {}) r \
         JOIN event_requests l ON l.request = r.seq JOIN events e ON e.seq = l.event WHERE e.subject = ? AND e.time > ? LIMIT 1",
        i64::MAX
    ));
    let newer = newer
        .bind(key(opening))
        .bind(opening.automation.as_str())
        .bind(told.event.subject.as_str())
        .bind(told.event.time.unix_millis())
        .fetch_optional(connection)
        .await?;
    Ok(newer.is_some())
}

/// Notes that the event had to do with the request.
pub(super) async fn link(connection: &mut Connection, event: i64, request: i64) -> Result<(), StoreError> {
    statement("INSERT INTO event_requests (event, request) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(event)
        .bind(request)
        .execute(connection)
        .await?;
    Ok(())
}

/// What makes it the same request: the group's key, or its own.
fn key(opening: &Opening) -> &str {
    opening.group.as_deref().unwrap_or(&opening.correlation)
}

async fn live(connection: &mut Connection, opening: &Opening) -> Result<Option<Live>, StoreError> {
    let row = statement("SELECT seq, id, state, joins, members FROM requests WHERE automation = ? AND correlation = ? AND live = 1")
        .bind(opening.automation.as_str())
        .bind(key(opening))
        .fetch_optional(connection)
        .await?;
    let read = |row: Row| {
        let (seq, joins, members) = (row.number("seq")?, row.number("joins")?, row.number("members")?);
        Ok(Live { seq, id: row.parsed("id")?, state: row.parsed("state")?, joins, members })
    };
    row.map(read).transpose()
}

async fn join(
    connection: &mut Connection,
    mut found: Live,
    told: &DispatchedEvent,
    opening: &Opening,
    now: Timestamp,
) -> Result<(i64, RequestId), StoreError> {
    statement("UPDATE requests SET joins = joins + 1 WHERE seq = ?").bind(found.seq).execute(&mut *connection).await?;
    let (member, waits) = if found.members > 0 || opening.group.is_some() {
        let joined = members::join(connection, &mut found, told, opening, now).await?;
        (format!(" as member {}", joined.number), joined.waits)
    } else {
        let waits = debounce::joined(connection, found.seq, opening.debounce, now).await?;
        if let Waits::Until(_) = waits {
            debounce::take_newest(connection, found.seq, &told.event).await?;
        }
        (String::new(), waits)
    };
    let waits = match waits {
        Waits::Not => String::new(),
        Waits::Until(until) => format!("; waits until {until} for further events"),
        Waits::NoLonger => "; waits no longer for further events".to_owned(),
    };
    if found.joins < NOTED_JOINS {
        let late = if opening.group.is_none() && found.state != State::Accepted {
            "; what it asks for is not looked at: this is planned already"
        } else {
            ""
        };
        let last = if found.joins + 1 == NOTED_JOINS { "; further events are counted, not noted" } else { "" };
        let note = TimelineEntry {
            at: now,
            from: Some(found.state),
            to: found.state,
            message: format!("joined by {}{member}{waits}{late}{last}", described(told)),
            actor: opening.actor.clone(),
        };
        add_timeline(connection, found.seq, &[note]).await?;
    }
    Ok((found.seq, found.id))
}

async fn open(connection: &mut Connection, told: &DispatchedEvent, opening: &Opening, now: Timestamp) -> Result<(i64, RequestId), StoreError> {
    let newest = "SELECT generation FROM requests WHERE correlation = ? AND automation = ? ORDER BY generation DESC LIMIT 1";
    let newest = statement(newest).bind(key(opening)).bind(opening.automation.as_str()).fetch_optional(&mut *connection).await?;
    let generation = newest.map_or(Ok(0), |row| row.number("generation"))? + 1;
    let key = RequestKey {
        automation: opening.automation.clone(),
        correlation: key(opening).to_owned(),
        generation: u32::try_from(generation).unwrap_or(u32::MAX),
    };
    let is_member = opening.group.is_some();
    let request = Request {
        // A member's parameters are its own.
        parameters: opening.parameters.clone().filter(|_| !is_member),
        repository: opening.repository.clone(),
        tells: opening.tells,
        steering: opening.steering.clone(),
        message: opening.debounce.map(waits_for_more),
        ..Request::opened(&opening.id, &key, told.event.clone(), now)
    };
    let seq = create(connection, &request).await?;
    if is_member {
        let parameters = opening.parameters.as_ref().map(to_json).transpose()?;
        let member = NewMember { number: 1, correlation: &opening.correlation, event: &told.event, parameters };
        members::add(connection, seq, member, now).await?;
    }
    let task = NewTask {
        id: first_task(&opening.id)?,
        kind: TaskKind::Plan,
        request: opening.id.clone(),
        lane: opening.repository.as_ref().map(lane::of).unwrap_or_default(),
        run_at: now,
    };
    let waits = match debounce::add_waiting(connection, seq, &task, opening.debounce).await? {
        Some((until, latest)) => format!("; waits until {until} for further events, at most until {latest}"),
        None => String::new(),
    };
    let message = format!("opened by {}{}{waits}", described(told), if is_member { " as member 1" } else { "" });
    add_timeline(connection, seq, &[TimelineEntry { at: now, from: None, to: State::Accepted, message, actor: opening.actor.clone() }]).await?;
    Ok((seq, opening.id.clone()))
}

/// True however often it is moved on; until when exactly, the task says.
fn waits_for_more(debounce: Debounce) -> String {
    let text = |duration| SpecDuration::from(duration).to_string();
    format!("waits for further events until {} pass without one, at most {}", text(debounce.quiet), text(debounce.at_most))
}

/// The first task of a request has the request's own ULID: the store draws no random bits.
pub(super) fn first_task(request: &RequestId) -> Result<TaskId, StoreError> {
    let ulid = request.as_str().trim_start_matches(RequestId::PREFIX);
    format!("{}{ulid}", TaskId::PREFIX).parse().map_err(|_| StoreError::Broken("a request id makes no task id".to_owned()))
}

fn described(told: &DispatchedEvent) -> String {
    format!("event {} ({} about {:?})", told.event.id, told.event.kind, quote(&told.event.subject))
}

/// A text of a sender's, as long as it may stand in a timeline.
pub(super) fn quote(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}
