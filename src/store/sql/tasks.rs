//! The queue: who holds which task, and what an attempt leaves behind.
//! A lease is guarded by its fence: whoever claims a task raises it, and every write of the holder names it, and the holder.

use super::affinity;
use super::drafts;
use super::fence::HELD;
use super::members;
use super::query::{Connection, Row, statement};
use super::replicas;
use super::requests::{self, add_timeline, replace, seq_of};
use super::rows::Columns;
use super::turns;
use crate::request::TimelineEntry;
use crate::store::{ClaimedTask, Claimer, FormerHolder, NewTask, Room, Settlement, StoreError, Task, TaskFilter, TaskKind, TaskState, Verdict};
use crate::types::{RequestId, Timestamp};
use std::collections::BTreeSet;
use std::time::Duration;

/// Leases a task that is still to be had.
const LEASE_IT: &str = "UPDATE outbox SET state = 'leased', owner = ?2, lease_until = ?3, fence = fence + 1, attempts = attempts + 1 \
    WHERE seq = ?1 AND (state = 'waiting' AND run_at <= ?4 OR state = 'leased' AND lease_until <= ?4)";
/// Where others write beside: a task that one of them holds at this moment is not waited for.
const UNLESS_HELD: &str = "seq = (SELECT seq FROM outbox WHERE seq = ?1 FOR UPDATE SKIP LOCKED)";

/// See [`crate::store::Store::claim_as`].
pub(super) async fn claim(
    connection: &mut Connection,
    claimer: Claimer<'_>,
    now: Timestamp,
    lease: Duration,
    room: Room,
) -> Result<Vec<ClaimedTask>, StoreError> {
    let owner = claimer.owner;
    let (mut claimed, mut served) = (Vec::new(), BTreeSet::new());
    let sql = format!(
        "SELECT {}, t.id AS task_id, t.kind, t.lane, t.source, t.state AS task_state, t.run_at, t.attempts, t.last_error, t.fence, r.id AS request_id \
         FROM outbox t CROSS JOIN requests r ON r.seq = t.request CROSS JOIN request_events w ON w.request = r.seq WHERE t.seq = ?",
        requests::COLUMNS
    );
    let lease_it = if connection.is_sqlite() { LEASE_IT.to_owned() } else { format!("{LEASE_IT} AND {UNLESS_HELD}") };
    for lane in turns::candidates(connection, claimer, now, room).await? {
        for (place, seq) in std::iter::once(lane.first).chain(lane.rest).enumerate() {
            let Some(Before { taken_over, is_in_hand: false }) = before(connection, seq, claimer).await? else {
                match place {
                    0 => break,
                    _ => continue,
                }
            };
            let leased = statement(lease_it.clone())
                .bind(seq)
                .bind(owner)
                .bind(now.plus(lease).unix_millis())
                .bind(now.unix_millis())
                .execute(&mut *connection)
                .await?;
            // Who writes beside may have dropped or settled it meanwhile, or gone on with it after its lease had run out.
            match leased.rows_affected() {
                0 if place == 0 => break,
                0 => continue,
                _ => {}
            }
            let row = statement(sql.clone()).bind(seq).fetch_one(&mut *connection).await?;
            served.insert((row.text("lane")?, row.text("source")?));
            let (task, request) = (read(&row)?, requests::read(&row)?);
            claimed.push(ClaimedTask { task, request, owner: owner.to_owned(), fence: row.count("fence")?, taken_over });
        }
    }
    turns::note(connection, &served).await?;
    affinity::note(connection, owner, served.iter().map(|(lane, _)| lane.as_str()), now).await?;
    Ok(claimed)
}

/// What is known of a task before it is claimed.
struct Before {
    /// Who holds it, or held it until the lease ran out.
    taken_over: Option<FormerHolder>,
    /// Whether the claimer is at work on it under a fence that is not given yet: the database lost its last commits, and that claim with them.
    is_in_hand: bool,
}

async fn before(connection: &mut Connection, seq: i64, claimer: Claimer<'_>) -> Result<Option<Before>, StoreError> {
    let found = statement("SELECT id, fence, state, owner, lease_until FROM outbox WHERE seq = ?").bind(seq).fetch_optional(connection).await?;
    let Some(row) = found else { return Ok(None) };
    let (id, fence) = (row.text("id")?, row.count("fence")?);
    let is_in_hand = claimer.in_hand.iter().any(|(task, begun)| *begun > fence && task.as_str() == id);
    let taken_over = match row.text("state")?.as_str() {
        "leased" => Some(FormerHolder { owner: row.text("owner")?, lease_until: row.moment("lease_until")? }),
        _ => None,
    };
    Ok(Some(Before { taken_over, is_in_hand }))
}

/// A task from a row with the columns `task_id`, `request_id`, `task_state` and the plain ones.
fn read(row: &Row) -> Result<Task, StoreError> {
    let state = match row.text("task_state")?.as_str() {
        "waiting" => TaskState::Waiting,
        "leased" => TaskState::Leased,
        "dead" => TaskState::Dead,
        _ => return Err(super::rows::broken("state")),
    };
    Ok(Task {
        id: row.parsed("task_id")?,
        kind: row.parsed("kind")?,
        request: row.parsed("request_id")?,
        lane: row.text("lane")?,
        state,
        run_at: row.moment("run_at")?,
        attempts: u32::try_from(row.count("attempts")?).map_err(|_| super::rows::broken("attempts"))?,
        last_error: row.optional_text("last_error")?,
    })
}

/// Adds a task to a request, or makes the waiting one of its kind due at the earlier time. It takes the place of a dead one.
pub(super) async fn add_task(connection: &mut Connection, request: i64, task: &NewTask) -> Result<(), StoreError> {
    let dead = statement("DELETE FROM outbox WHERE request = ? AND kind = ? AND state = 'dead'");
    dead.bind(request).bind(task.kind.as_str()).execute(&mut *connection).await?;
    statement(
        "INSERT INTO outbox (id, kind, request, lane, rank, source, state, run_at) \
         SELECT ?1, ?2, ?3, ?4, r.rank, r.source, 'waiting', ?5 FROM requests r WHERE r.seq = ?3 \
         ON CONFLICT (request, kind) WHERE state = 'waiting' DO UPDATE SET run_at = min(outbox.run_at, excluded.run_at), \
         lane = CASE WHEN excluded.lane = '' THEN outbox.lane ELSE excluded.lane END",
    )
    .bind(task.id.as_str())
    .bind(task.kind.as_str())
    .bind(request)
    .bind(task.lane.as_str())
    .bind(task.run_at.unix_millis())
    .execute(connection)
    .await?;
    Ok(())
}

/// Drops the waiting and dead tasks of a request that belong to one try of it.
pub(super) async fn drop_of_one_try(connection: &mut Connection, request: i64) -> Result<(), StoreError> {
    for kind in TaskKind::ALL.into_iter().filter(|kind| kind.is_of_one_try()) {
        let dropped = statement("DELETE FROM outbox WHERE request = ? AND kind = ? AND state IN ('waiting', 'dead')");
        dropped.bind(request).bind(kind.as_str()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// See [`crate::store::Store::add_tasks`].
pub(super) async fn add_all(connection: &mut Connection, tasks: &[NewTask]) -> Result<(), StoreError> {
    for task in tasks {
        match seq_of(connection, &task.request).await {
            Ok(request) => add_task(connection, request, task).await?,
            Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// See [`crate::store::Store::add_tasks_noted`].
pub(super) async fn add_noted(connection: &mut Connection, id: &RequestId, tasks: &[NewTask], entry: &TimelineEntry) -> Result<(), StoreError> {
    let request = seq_of(connection, id).await?;
    for task in tasks {
        add_task(connection, request, task).await?;
    }
    add_timeline(connection, request, std::slice::from_ref(entry)).await
}

/// A query of rows that are written next: where others write beside, they are locked, and read as they are once that is done.
fn to_write(connection: &Connection, sql: &str) -> String {
    if connection.is_sqlite() { sql.to_owned() } else { format!("{sql} FOR UPDATE") }
}

pub(super) fn lost(task: &ClaimedTask) -> StoreError {
    StoreError::Conflict(format!("the lease of task {} with fence {} was lost", task.task.id, task.fence))
}

pub(super) fn fence(task: &ClaimedTask) -> i64 {
    i64::try_from(task.fence).unwrap_or(i64::MAX)
}

/// See [`crate::store::Store::extend_leases`].
pub(super) async fn extend_leases(connection: &mut Connection, tasks: &[&ClaimedTask], until: Timestamp) -> Result<(), StoreError> {
    for task in tasks {
        let done = statement(format!("UPDATE outbox SET lease_until = ? WHERE {HELD}"))
            .bind(until.unix_millis())
            .bind(task.task.id.as_str())
            .bind(fence(task))
            .bind(task.owner.as_str())
            .execute(&mut *connection)
            .await?;
        if done.rows_affected() != 1 {
            return Err(lost(task));
        }
    }
    Ok(())
}

/// See [`crate::store::Store::settle_all`].
pub(super) async fn settle_all(
    connection: &mut Connection,
    settled: &[(&ClaimedTask, &Settlement)],
    now: Timestamp,
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    let mut outcomes = Vec::with_capacity(settled.len());
    for (task, settlement) in settled {
        statement("SAVEPOINT one").execute(connection).await?;
        let outcome = settle(connection, task, settlement, now).await;
        match &outcome {
            Ok(()) => {}
            // Another writer was first, or the database does not take what this one says: that is its matter alone.
            Err(StoreError::Conflict(_) | StoreError::NotFound(_) | StoreError::Refused(_) | StoreError::Broken(_)) => {
                statement("ROLLBACK TO one").execute(connection).await?;
            }
            Err(error) => return Err(error.clone()),
        }
        statement("RELEASE one").execute(connection).await?;
        outcomes.push(outcome);
    }
    affinity::renew(connection, settled.iter().map(|(task, _)| (task.task.lane.as_str(), task.owner.as_str())), now).await?;
    Ok(outcomes)
}

/// See [`crate::store::Store::settle`].
async fn settle(connection: &mut Connection, task: &ClaimedTask, settlement: &Settlement, now: Timestamp) -> Result<(), StoreError> {
    // Held until the end of the transaction: who would take it over meanwhile passes it by.
    let row = statement(to_write(connection, &format!("SELECT seq, request FROM outbox WHERE {HELD}")))
        .bind(task.task.id.as_str())
        .bind(fence(task))
        .bind(task.owner.as_str())
        .fetch_optional(&mut *connection)
        .await?;
    let row = row.ok_or_else(|| lost(task))?;
    let (seq, request) = (row.number("seq")?, row.number("request")?);
    // Before the request: its end would cancel the draft.
    if let Some(end) = &settlement.beside.draft {
        drafts::end(connection, request, end, now).await?;
    }
    if let Some(changed) = &settlement.request {
        replace(connection, changed, now).await?;
    }
    add_timeline(connection, request, &settlement.timeline).await?;
    members::settle(connection, settlement, request, now).await?;
    match &settlement.verdict {
        Verdict::Done => {
            statement("DELETE FROM outbox WHERE seq = ?").bind(seq).execute(&mut *connection).await?;
        }
        Verdict::Retry { run_at, error } => wait_again(connection, seq, run_at.unix_millis(), Some(error)).await?,
        Verdict::Postponed { run_at, reason } => {
            statement("UPDATE outbox SET attempts = attempts - 1 WHERE seq = ?").bind(seq).execute(&mut *connection).await?;
            wait_again(connection, seq, run_at.unix_millis(), Some(reason)).await?;
        }
        Verdict::GoesOn { lane } => {
            statement("UPDATE outbox SET attempts = attempts - 1, lane = ? WHERE seq = ?")
                .bind(lane.as_str())
                .bind(seq)
                .execute(&mut *connection)
                .await?;
            wait_again(connection, seq, task.task.run_at.unix_millis(), None).await?;
        }
        Verdict::Dead { error } => {
            statement("UPDATE outbox SET state = 'dead', last_error = ?, owner = NULL, lease_until = NULL WHERE seq = ?")
                .bind(error.as_str())
                .bind(seq)
                .execute(&mut *connection)
                .await?;
        }
    }
    for follow_up in &settlement.follow_up {
        let of = if follow_up.request == task.task.request { request } else { seq_of(connection, &follow_up.request).await? };
        add_task(connection, of, follow_up).await?;
    }
    Ok(())
}

/// Puts a leased task back. Was another of its kind added meanwhile, the two become one, due at the earlier time.
async fn wait_again(connection: &mut Connection, seq: i64, run_at: i64, error: Option<&str>) -> Result<(), StoreError> {
    let other = statement(
        "DELETE FROM outbox WHERE state = 'waiting' AND (request, kind) = (SELECT request, kind FROM outbox WHERE seq = ?) RETURNING run_at",
    )
    .bind(seq)
    .fetch_optional(&mut *connection)
    .await?;
    let other = other.map(|row| row.number("run_at")).transpose()?;
    statement(
        "UPDATE outbox SET state = 'waiting', run_at = ?, latest = NULL, last_error = coalesce(?, last_error), owner = NULL, lease_until = NULL \
         WHERE seq = ?",
    )
    .bind(other.map_or(run_at, |other| other.min(run_at)))
    .bind(error)
    .bind(seq)
    .execute(connection)
    .await?;
    Ok(())
}

/// See [`crate::store::Store::release`].
pub(super) async fn release(connection: &mut Connection, owner: &str) -> Result<u64, StoreError> {
    replicas::give_back(connection, owner).await?;
    let taken_back = {
        let held = "UPDATE outbox SET attempts = attempts - 1 WHERE state = 'leased' AND owner = ?";
        statement(held).bind(owner).execute(&mut *connection).await?;
        take_back(connection, owner).await?
    };
    // Tasks first, as claims have it: so of two that meet, one waits for the other.
    affinity::give_back(connection, owner).await?;
    Ok(taken_back)
}

/// See [`crate::store::Store::take_back`].
pub(super) async fn take_back(connection: &mut Connection, owner: &str) -> Result<u64, StoreError> {
    let held = statement(to_write(connection, "SELECT seq, run_at FROM outbox WHERE state = 'leased' AND owner = ? ORDER BY seq"));
    let held = held.bind(owner).fetch_all(&mut *connection).await?;
    for row in &held {
        wait_again(connection, row.number("seq")?, row.number("run_at")?, None).await?;
    }
    Ok(held.len() as u64)
}

/// See [`crate::store::Store::tasks`].
pub(super) async fn list(connection: &mut Connection, filter: &TaskFilter, limit: u32) -> Result<Vec<Task>, StoreError> {
    let mut query = statement(format!(
        "SELECT t.id AS task_id, t.kind, t.lane, t.state AS task_state, t.run_at, t.attempts, t.last_error, r.id AS request_id \
         FROM outbox t JOIN requests r ON r.seq = t.request WHERE t.kind IN ({})",
        *turns::KNOWN
    ));
    if let Some(request) = &filter.request {
        query.push(" AND r.id = ").push_bind(request.as_str());
    }
    if let Some(state) = filter.state {
        query.push(" AND t.state = ").push_bind(match state {
            TaskState::Waiting => "waiting",
            TaskState::Leased => "leased",
            TaskState::Dead => "dead",
        });
    }
    query.push(" ORDER BY t.seq DESC LIMIT ").push_bind(limit);
    query.fetch_all(connection).await?.iter().map(read).collect()
}
