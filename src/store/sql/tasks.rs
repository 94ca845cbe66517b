//! The queue: which tasks are due, who holds them, and what an attempt leaves behind.
//! A lease is guarded by its fence: whoever claims a task raises it, and every write of the holder names it.

use super::drafts;
use super::members;
use super::query::{Connection, Row, statement};
use super::requests::{self, add_timeline, replace, seq_of};
use super::rows::Columns;
use crate::request::TimelineEntry;
use crate::store::{ClaimedTask, NewTask, Room, Settlement, StoreError, Task, TaskFilter, TaskKind, TaskState, Verdict, lane};
use crate::types::{RequestId, Timestamp};
use std::collections::HashSet;
use std::time::Duration;

/// The waiting task that comes first in every named lane and rank, found by stepping from one to the next in the index: the price
/// is the number of lanes, however many tasks wait in each.
const HEADS: &str = "WITH RECURSIVE heads (seq, lane, rank) AS ( \
        SELECT * FROM (SELECT seq, lane, rank FROM outbox INDEXED BY outbox_lane WHERE state = 'waiting' AND lane > '' ORDER BY lane, rank, run_at, seq LIMIT 1) f \
        UNION ALL \
        SELECT o.seq, o.lane, o.rank FROM heads CROSS JOIN outbox o ON o.seq = (SELECT i.seq FROM outbox i INDEXED BY outbox_lane \
            WHERE i.state = 'waiting' AND (i.lane, i.rank) > (heads.lane, heads.rank) ORDER BY i.lane, i.rank, i.run_at, i.seq LIMIT 1)) \
    SELECT o.seq, o.lane, o.rank, o.request, o.run_at, o.attempts FROM heads CROSS JOIN outbox o ON o.seq = heads.seq";

/// The ranks there are, those that go first before the others.
const RANKS: [i64; 2] = [0, 1];

/// A task that was begun so often without an end is done alone: it may be what its companions died of.
const BEGUN_IN_VAIN: i64 = 2;

/// A task that may be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    seq: i64,
    lane: String,
    rank: i64,
    request: i64,
    run_at: i64,
    attempts: i64,
}

impl Candidate {
    /// In which order they come.
    fn order(&self) -> (i64, i64, i64) {
        (self.rank, self.run_at, self.seq)
    }
}

/// A task somebody holds, or held until the lease ran out.
struct Leased {
    task: Candidate,
    until: i64,
}

fn candidate(row: &Row) -> Result<Candidate, StoreError> {
    Ok(Candidate {
        seq: row.number("seq")?,
        lane: row.text("lane")?,
        rank: row.number("rank")?,
        request: row.number("request")?,
        run_at: row.number("run_at")?,
        attempts: row.number("attempts")?,
    })
}

async fn leased(connection: &mut Connection) -> Result<Vec<Leased>, StoreError> {
    let rows =
        statement("SELECT seq, lane, rank, request, run_at, attempts, lease_until FROM outbox WHERE state = 'leased'").fetch_all(connection).await?;
    rows.iter().map(|row| Ok(Leased { task: candidate(row)?, until: row.number("lease_until")? })).collect()
}

/// The first waiting task of every named lane and rank, and the first `limit` of each rank without a lane, due or not.
async fn heads(connection: &mut Connection, limit: usize) -> Result<Vec<Candidate>, StoreError> {
    let mut rows = statement(HEADS).fetch_all(&mut *connection).await?;
    for rank in RANKS {
        let without = statement(
            "SELECT seq, lane, rank, request, run_at, attempts FROM outbox INDEXED BY outbox_lane \
             WHERE state = 'waiting' AND lane = '' AND rank = ? ORDER BY run_at, seq LIMIT ?",
        );
        rows.extend(without.bind(rank).bind(i64::try_from(limit).unwrap_or(i64::MAX)).fetch_all(&mut *connection).await?);
    }
    rows.iter().map(candidate).collect()
}

/// What a claim would take now, in the order it is given out; those of a lane stand together, the oldest first.
///
/// A lane is free when nobody holds a task of it. Where a lease ran out, its task comes before all others, so that the former
/// holder is fenced off before anything else happens there.
pub(super) async fn candidates(connection: &mut Connection, now: Timestamp, room: Room) -> Result<Vec<i64>, StoreError> {
    let leased = leased(connection).await?;
    // Without a lane, up to two more tasks of a request taken in this round, or of a held one, may stand in the way.
    let others = room.shares().iter().fold(leased.len(), |others, share| others.saturating_add(count(share.lanes)));
    let heads = heads(connection, others.saturating_mul(3)).await?;
    let (mut taken_lanes, mut requests) = (HashSet::new(), HashSet::new());
    let now = now.unix_millis();
    let (held, lost): (Vec<&Leased>, Vec<&Leased>) = leased.iter().partition(|leased| leased.until > now);
    for held in held {
        taken_lanes.insert(held.task.lane.as_str());
        if !lane::is_feedback(&held.task.lane) {
            requests.insert(held.task.request);
        }
    }
    let mut ripe: Vec<(bool, &Candidate)> = lost.iter().map(|lost| (false, &lost.task)).collect();
    ripe.extend(heads.iter().filter(|task| task.run_at <= now).map(|task| (true, task)));
    // Lost leases before the rest. Who finds no room stands in nobody's way.
    ripe.sort_by_key(|(waiting, task)| (*waiting, task.order()));
    let mut left = room.shares().map(|share| count(share.lanes));
    // Telling what became of a request changes nothing about it, and stands in nobody's way.
    let mut is_free = |task: &Candidate| lane::is_feedback(&task.lane) || requests.insert(task.request);
    let mut free: Vec<&Candidate> = Vec::new();
    for (_, task) in ripe {
        let left = &mut left[lane::pool(&task.lane)];
        if *left > 0 && (task.lane.is_empty() || !taken_lanes.contains(task.lane.as_str())) && is_free(task) {
            *left -= 1;
            taken_lanes.insert(task.lane.as_str());
            free.push(task);
        }
    }
    free.sort_by_key(|task| task.order());
    let mut seqs = Vec::new();
    for first in free {
        seqs.push(first.seq);
        let each = room.share(&first.lane).each;
        if each > 1 && !first.lane.is_empty() && first.attempts < BEGUN_IN_VAIN {
            let mut companions: Vec<Candidate> = lost.iter().filter(|lost| lost.task.lane == first.lane).map(|lost| lost.task.clone()).collect();
            companions.sort_by_key(Candidate::order);
            // A request has at most one waiting task of each kind.
            let most = each.saturating_mul(TaskKind::ALL.len() as u32);
            companions.extend(due_in_lane(connection, &first.lane, now, most).await?);
            // One that finds no room takes its request from nobody.
            let free = companions.into_iter().filter(|task| task.seq != first.seq && task.attempts < BEGUN_IN_VAIN && is_free(task));
            seqs.extend(free.take(count(each - 1)).map(|task| task.seq));
        }
    }
    Ok(seqs)
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The waiting tasks of a lane that are due: up to `limit` of each rank.
async fn due_in_lane(connection: &mut Connection, lane: &str, now: i64, limit: u32) -> Result<Vec<Candidate>, StoreError> {
    let mut rows = Vec::new();
    for rank in RANKS {
        let due = statement(
            "SELECT seq, lane, rank, request, run_at, attempts FROM outbox INDEXED BY outbox_lane \
             WHERE state = 'waiting' AND lane = ? AND rank = ? AND run_at <= ? ORDER BY run_at, seq LIMIT ?",
        );
        rows.extend(due.bind(lane).bind(rank).bind(now).bind(limit).fetch_all(&mut *connection).await?);
    }
    rows.iter().map(candidate).collect()
}

/// See [`crate::store::Store::claim`].
pub(super) async fn claim(
    connection: &mut Connection,
    owner: &str,
    now: Timestamp,
    lease: Duration,
    room: Room,
) -> Result<Vec<ClaimedTask>, StoreError> {
    let mut claimed = Vec::new();
    let sql = format!(
        "SELECT {}, t.id AS task_id, t.kind, t.lane, t.state AS task_state, t.run_at, t.attempts, t.last_error, t.fence, r.id AS request_id \
         FROM outbox t CROSS JOIN requests r ON r.seq = t.request CROSS JOIN request_events w ON w.request = r.seq WHERE t.seq = ?",
        requests::COLUMNS
    );
    for seq in candidates(connection, now, room).await? {
        let before = statement("SELECT state FROM outbox WHERE seq = ?").bind(seq).fetch_one(&mut *connection).await?;
        let taken_over = before.text("state")? == "leased";
        statement("UPDATE outbox SET state = 'leased', owner = ?, lease_until = ?, fence = fence + 1, attempts = attempts + 1 WHERE seq = ?")
            .bind(owner)
            .bind(now.plus(lease).unix_millis())
            .bind(seq)
            .execute(&mut *connection)
            .await?;
        let row = statement(sql.clone()).bind(seq).fetch_one(&mut *connection).await?;
        let (task, request, owner) = (read(&row)?, requests::read(&row)?, owner.to_owned());
        claimed.push(ClaimedTask { task, request, owner, fence: row.count("fence")?, taken_over });
    }
    Ok(claimed)
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
        "INSERT INTO outbox (id, kind, request, lane, rank, state, run_at) VALUES (?1, ?2, ?3, ?4, (SELECT rank FROM requests WHERE seq = ?3), 'waiting', ?5) \
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

fn lost(task: &ClaimedTask) -> StoreError {
    StoreError::Conflict(format!("the lease of task {} with fence {} was lost", task.task.id, task.fence))
}

fn fence(task: &ClaimedTask) -> i64 {
    i64::try_from(task.fence).unwrap_or(i64::MAX)
}

/// See [`crate::store::Store::extend_leases`].
pub(super) async fn extend_leases(connection: &mut Connection, tasks: &[&ClaimedTask], until: Timestamp) -> Result<(), StoreError> {
    for task in tasks {
        let done = statement("UPDATE outbox SET lease_until = ? WHERE id = ? AND state = 'leased' AND fence = ?")
            .bind(until.unix_millis())
            .bind(task.task.id.as_str())
            .bind(fence(task))
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
            // Another writer was first: that is this one's matter alone.
            Err(StoreError::Conflict(_) | StoreError::NotFound(_)) => {
                statement("ROLLBACK TO one").execute(connection).await?;
            }
            Err(error) => return Err(error.clone()),
        }
        statement("RELEASE one").execute(connection).await?;
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// See [`crate::store::Store::settle`].
async fn settle(connection: &mut Connection, task: &ClaimedTask, settlement: &Settlement, now: Timestamp) -> Result<(), StoreError> {
    let row = statement("SELECT seq, request FROM outbox WHERE id = ? AND state = 'leased' AND fence = ?")
        .bind(task.task.id.as_str())
        .bind(fence(task))
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
    statement("UPDATE outbox SET attempts = attempts - 1 WHERE state = 'leased' AND owner = ?").bind(owner).execute(&mut *connection).await?;
    take_back(connection, owner).await
}

/// See [`crate::store::Store::take_back`].
pub(super) async fn take_back(connection: &mut Connection, owner: &str) -> Result<u64, StoreError> {
    let held = statement("SELECT seq, run_at FROM outbox WHERE state = 'leased' AND owner = ?").bind(owner).fetch_all(&mut *connection).await?;
    for row in &held {
        wait_again(connection, row.number("seq")?, row.number("run_at")?, None).await?;
    }
    Ok(held.len() as u64)
}

/// See [`crate::store::Store::next_due`].
pub(super) async fn next_due(connection: &mut Connection) -> Result<Option<Timestamp>, StoreError> {
    let leased = leased(connection).await?;
    let heads = heads(connection, leased.len().saturating_mul(3) + 1).await?;
    let stands_before = |held: &Leased, task: &Candidate| {
        let same_request = held.task.request == task.request && !lane::is_feedback(&held.task.lane) && !lane::is_feedback(&task.lane);
        same_request || (!task.lane.is_empty() && held.task.lane == task.lane)
    };
    let open = heads.iter().filter(|task| !leased.iter().any(|held| stands_before(held, task)));
    let next = open.map(|task| task.run_at).chain(leased.iter().map(|held| held.until)).min();
    Ok(next.map(Timestamp::from_unix_millis))
}

/// When the longest-waiting due task became due.
pub(super) async fn oldest_due(connection: &mut Connection, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let first = heads(connection, 1).await?.into_iter().map(|task| task.run_at).min();
    Ok(first.filter(|run_at| *run_at <= now.unix_millis()).map(Timestamp::from_unix_millis))
}

/// See [`crate::store::Store::tasks`].
pub(super) async fn list(connection: &mut Connection, filter: &TaskFilter, limit: u32) -> Result<Vec<Task>, StoreError> {
    let mut query = statement(
        "SELECT t.id AS task_id, t.kind, t.lane, t.state AS task_state, t.run_at, t.attempts, t.last_error, r.id AS request_id \
         FROM outbox t JOIN requests r ON r.seq = t.request WHERE 1 = 1",
    );
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
