//! Who comes next in the queue: the lane that was served longest ago, and in a lane each source in its turn, so that neither a repository nor a
//! sender that floods us keeps the others waiting. What burns goes before what does not, for as long as that one can wait.

use super::affinity::{Elsewhere, Waits};
use super::query::{Connection, Row, statement};
use super::rows::Columns;
use crate::store::{Claimer, Room, StoreError, TaskKind, lane};
use crate::types::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

/// The waiting task that comes first in every lane, rank and source, found by stepping from one to the next in the index: the price
/// is the number of those, however many tasks wait in each. SQLite begins a search for what is greater than a row of values at what is equal, and
/// so behind the last moment there is; and it searches by the first value alone where the others are columns as they stand.
static HEADS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH RECURSIVE heads (seq, lane, rank, source) AS ( \
        SELECT f.seq, f.lane, f.rank, f.source FROM (SELECT seq, lane, rank, source FROM outbox INDEXED BY outbox_lane \
            WHERE state = 'waiting' AND kind IN ({KNOWN}) ORDER BY lane, rank, source, run_at, seq LIMIT 1) f \
        UNION ALL \
        SELECT o.seq, o.lane, o.rank, o.source FROM heads CROSS JOIN outbox o ON o.seq = (SELECT i.seq FROM outbox i INDEXED BY outbox_lane \
            WHERE i.state = 'waiting' AND i.kind IN ({KNOWN}) AND (i.lane, i.rank, i.source, i.run_at) > (heads.lane, coalesce(heads.rank, 0), coalesce(heads.source, ''), {LAST}) \
            ORDER BY i.lane, i.rank, i.source, i.run_at, i.seq LIMIT 1)) \
    SELECT o.seq, o.lane, o.rank, o.source, o.request, o.run_at, o.attempts, coalesce(t.turn, 0) AS turn \
    FROM heads CROSS JOIN outbox o ON o.seq = heads.seq \
    LEFT JOIN turns t ON t.source = o.source AND t.lane = o.lane",
        KNOWN = *KNOWN,
        LAST = i64::MAX
    )
});

/// The same for PostgreSQL, which would join the whole queue to find the rows of a few numbers.
static HEADS_ALONG: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH RECURSIVE heads AS ( \
        (SELECT seq, lane, rank, source, request, run_at, attempts FROM outbox \
            WHERE state = 'waiting' AND kind IN ({KNOWN}) ORDER BY lane, rank, source, run_at, seq LIMIT 1) \
        UNION ALL \
        SELECT n.* FROM heads h, LATERAL (SELECT seq, lane, rank, source, request, run_at, attempts FROM outbox i \
            WHERE i.state = 'waiting' AND i.kind IN ({KNOWN}) AND (i.lane, i.rank, i.source, i.run_at) > (h.lane, h.rank, h.source, {LAST}) \
            ORDER BY i.lane, i.rank, i.source, i.run_at, i.seq LIMIT 1) n) \
    SELECT h.*, coalesce(t.turn, 0) AS turn FROM heads h LEFT JOIN turns t ON t.source = h.source AND t.lane = h.lane",
        KNOWN = *KNOWN,
        LAST = i64::MAX
    )
});

/// The kinds this program knows, as a list of SQL: what a newer one left beside it is left to that one.
pub(super) static KNOWN: LazyLock<String> = LazyLock::new(|| TaskKind::ALL.map(|kind| format!("'{}'", kind.as_str())).join(", "));

/// A task that was begun so often without an end is done alone: it may be what its companions died of.
const BEGUN_IN_VAIN: i64 = 2;
/// What has waited for so many milliseconds goes as if it burnt.
const PATIENCE: i64 = 60_000;
/// Turns further back count as long ago.
const REMEMBERED: i64 = 4096;

/// A task that may be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    seq: i64,
    lane: String,
    rank: i64,
    source: String,
    request: i64,
    run_at: i64,
    attempts: i64,
    /// When its source was served last in its lane, counted in claims.
    turn: i64,
}

impl Candidate {
    /// Which goes first where nobody's turn matters.
    fn age(&self) -> (i64, i64) {
        (self.run_at, self.seq)
    }

    /// As the processes see it that share the repositories.
    fn waits(&self) -> Waits<'_> {
        Waits { lane: &self.lane, burns: self.rank == 0, run_at: self.run_at }
    }

    /// Its rank, as long as it can wait.
    fn urgency(&self, now: i64) -> i64 {
        if now.saturating_sub(self.run_at) >= PATIENCE { 0 } else { self.rank }
    }
}

/// A task somebody holds, or held until the lease ran out.
struct Leased {
    task: Candidate,
    id: String,
    fence: u64,
    owner: String,
    until: i64,
    /// Whether this program knows what is to be done. What it does not know, a newer one holds beside it: while that lease lasts its lane and its
    /// request are taken, and afterwards it is the newer one's own to take over, and in nobody's way.
    known: bool,
}

impl Leased {
    /// Whether somebody is at work on it, whatever the clock shows: the claimer itself, or another as far as may be known while the clock is not to be
    /// believed.
    fn is_at_work(&self, claimer: Claimer<'_>) -> bool {
        match self.owner == claimer.owner {
            true => claimer.in_hand.iter().any(|(task, fence)| *fence == self.fence && task.as_str() == self.id),
            false => !claimer.takes_over,
        }
    }

    /// Whether its lane and its request are taken.
    fn holds(&self, claimer: Claimer<'_>, now: i64) -> bool {
        self.until > now || self.is_at_work(claimer)
    }

    /// Whether the claimer takes it over once its lease has run out.
    fn is_to_be_had(&self, claimer: Claimer<'_>) -> bool {
        self.known && !self.is_at_work(claimer)
    }
}

/// What a claim takes of a lane, to be done together.
pub(super) struct OfLane {
    /// Who has not this one has nothing of the lane: somebody else is at work there.
    pub(super) first: i64,
    pub(super) rest: Vec<i64>,
}

fn candidate(row: &Row) -> Result<Candidate, StoreError> {
    Ok(Candidate {
        seq: row.number("seq")?,
        lane: row.text("lane")?,
        rank: row.number("rank")?,
        source: row.text("source")?,
        request: row.number("request")?,
        run_at: row.number("run_at")?,
        attempts: row.number("attempts")?,
        turn: row.number("turn")?,
    })
}

async fn leased(connection: &mut Connection) -> Result<Vec<Leased>, StoreError> {
    let held = statement(
        "SELECT seq, id, fence, lane, rank, source, request, run_at, attempts, owner, lease_until, CAST(0 AS BIGINT) AS turn, kind FROM outbox WHERE state = 'leased'",
    );
    let rows = held.fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let known = row.parsed::<TaskKind>("kind").is_ok();
            let (id, fence, owner) = (row.text("id")?, row.count("fence")?, row.text("owner")?);
            Ok(Leased { task: candidate(row)?, id, fence, owner, until: row.number("lease_until")?, known })
        })
        .collect()
}

/// The lanes in which others hold a task, each with the end of its lease.
fn lanes_of_others<'l>(leased: &'l [Leased], owner: &'l str) -> impl Iterator<Item = (&'l str, i64)> + Send {
    leased.iter().filter(move |held| held.owner != owner).map(|held| (held.task.lane.as_str(), held.until))
}

/// The first waiting task of every lane, rank and source, due or not; where tasks of a lane are done beside one another, the first `limit`, if
/// there is room for any.
async fn heads(connection: &mut Connection, room: Room, limit: usize) -> Result<Vec<Candidate>, StoreError> {
    let sql = if connection.is_sqlite() { &HEADS } else { &HEADS_ALONG };
    let heads = statement(sql.as_str()).fetch_all(&mut *connection).await?.iter().map(candidate).collect::<Result<Vec<_>, _>>()?;
    let (mut heads, beside): (Vec<_>, Vec<_>) = heads.into_iter().partition(|head| lane::is_in_turn(&head.lane));
    for head in beside.into_iter().filter(|head| room.share(&head.lane).lanes > 0) {
        heads.extend(after(connection, &head, i64::MAX, limit).await?);
    }
    Ok(heads)
}

/// The waiting tasks of the lane, rank and source of `head` that are due: up to `limit`.
async fn after(connection: &mut Connection, head: &Candidate, now: i64, limit: usize) -> Result<Vec<Candidate>, StoreError> {
    let rows = statement(format!(
        "SELECT seq, lane, rank, source, request, run_at, attempts, ? AS turn FROM outbox INDEXED BY outbox_lane \
         WHERE state = 'waiting' AND lane = ? AND rank = ? AND source = ? AND run_at <= ? AND kind IN ({}) ORDER BY run_at, seq LIMIT ?",
        *KNOWN
    ))
    .bind(head.turn)
    .bind(head.lane.as_str())
    .bind(head.rank)
    .bind(head.source.as_str())
    .bind(now)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    rows.iter().map(candidate).collect()
}

/// What a claim would take now, in the order it is given out.
///
/// A lane is free when nobody holds a task of it. Where a lease ran out, its task comes before all others, so that the former
/// holder is fenced off before anything else happens there; and what waits where another process is at work is left to it.
pub(super) async fn candidates(connection: &mut Connection, claimer: Claimer<'_>, now: Timestamp, room: Room) -> Result<Vec<OfLane>, StoreError> {
    let leased = leased(connection).await?;
    // Of a request taken in this round, or of a held one, up to two more tasks may be among those that are done beside one another.
    let others = room.shares().iter().fold(leased.len(), |others, share| others.saturating_add(count(share.lanes)));
    let mut heads = heads(connection, room, others.saturating_mul(3)).await?;
    let (mut taken_lanes, mut requests) = (HashSet::new(), HashSet::new());
    let now = now.unix_millis();
    let lost: Vec<&Leased> = leased.iter().filter(|leased| leased.until <= now && leased.is_to_be_had(claimer)).collect();
    let elsewhere = Elsewhere::of(connection, claimer.owner, lanes_of_others(&leased, claimer.owner)).await?;
    heads.retain(|task| !elsewhere.has(&task.waits(), now));
    for held in leased.iter().filter(|leased| leased.holds(claimer, now)) {
        taken_lanes.insert(held.task.lane.as_str());
        if !lane::is_feedback(&held.task.lane) {
            requests.insert(held.task.request);
        }
    }
    let mut left = room.shares().map(|share| count(share.lanes));
    // Telling what became of a request changes nothing about it, and stands in nobody's way.
    let mut is_free = |task: &Candidate| lane::is_feedback(&task.lane) || requests.insert(task.request);
    let mut free: Vec<&Candidate> = Vec::new();
    for task in ripe(&lost, &heads, now) {
        // Who finds no room stands in nobody's way.
        let left = &mut left[lane::pool(&task.lane)];
        if *left > 0 && !(lane::is_in_turn(&task.lane) && taken_lanes.contains(task.lane.as_str())) && is_free(task) {
            *left -= 1;
            taken_lanes.insert(task.lane.as_str());
            free.push(task);
        }
    }
    let mut lanes = Vec::new();
    for first in free {
        let mut rest = Vec::new();
        let each = room.share(&first.lane).each;
        if each > 1 && lane::is_in_turn(&first.lane) && first.attempts < BEGUN_IN_VAIN {
            let companions = companions(connection, first, &lost, &heads, now, each).await?;
            // One that finds no room takes its request from nobody.
            let free = companions.into_iter().filter(|task| task.seq != first.seq && task.attempts < BEGUN_IN_VAIN && is_free(task));
            rest.extend(free.take(count(each - 1)).map(|task| task.seq));
        }
        lanes.push(OfLane { first: first.seq, rest });
    }
    Ok(lanes)
}

/// Whoever may go first in a lane, in their order: lost leases before the rest, then what burns, then the lane whose turn was longest ago.
fn ripe<'c>(lost: &[&'c Leased], heads: &'c [Candidate], now: i64) -> Vec<&'c Candidate> {
    let mut turns: HashMap<&str, i64> = HashMap::new();
    for head in heads {
        let turn = turns.entry(&head.lane).or_default();
        *turn = head.turn.max(*turn);
    }
    let mut ripe: Vec<&Candidate> = lost.iter().map(|lost| &lost.task).collect();
    ripe.sort_by_key(|task| (task.rank, task.age()));
    let mut waiting: Vec<&Candidate> = heads.iter().filter(|task| task.run_at <= now).collect();
    waiting.sort_by_key(|task| {
        let of_lane = if lane::is_in_turn(&task.lane) { turns.get(task.lane.as_str()).copied().unwrap_or_default() } else { task.turn };
        (task.urgency(now), of_lane, task.turn, task.age())
    });
    ripe.extend(waiting);
    ripe
}

/// Those that may be done together with the first of a lane, in their order: what burns, then of each source one after the other.
async fn companions(
    connection: &mut Connection,
    first: &Candidate,
    lost: &[&Leased],
    heads: &[Candidate],
    now: i64,
    each: u32,
) -> Result<Vec<Candidate>, StoreError> {
    let mut companions: Vec<Candidate> = lost.iter().filter(|lost| lost.task.lane == first.lane).map(|lost| lost.task.clone()).collect();
    companions.sort_by_key(|task| (task.rank, task.age()));
    // A request has at most one waiting task of each kind.
    let most = count(each.saturating_mul(TaskKind::ALL.len() as u32));
    let mut waiting = Vec::new();
    for head in heads.iter().filter(|head| head.lane == first.lane) {
        waiting.extend(after(connection, head, now, most).await?);
    }
    waiting.sort_by_key(Candidate::age);
    let mut places: BTreeMap<(i64, String), usize> = BTreeMap::new();
    let mut placed: Vec<_> = waiting
        .into_iter()
        .map(|task| {
            let place = places.entry((task.urgency(now), task.source.clone())).or_default();
            *place += 1;
            ((task.urgency(now), *place, task.turn, task.age()), task)
        })
        .collect();
    placed.sort_by_key(|(key, _)| *key);
    companions.extend(placed.into_iter().map(|(_, task)| task));
    Ok(companions)
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Notes whose turn it was: each lane, and each source there, of which a task was claimed.
pub(super) async fn note(connection: &mut Connection, served: &BTreeSet<(String, String)>) -> Result<(), StoreError> {
    if served.is_empty() {
        return Ok(());
    }
    let newest = statement("SELECT coalesce(max(turn), 0) AS turn FROM turns").fetch_one(&mut *connection).await?.number("turn")?;
    for (lane, source) in served {
        let noted = "INSERT INTO turns (lane, source, turn) VALUES (?, ?, ?) ON CONFLICT (lane, source) DO UPDATE SET turn = excluded.turn";
        statement(noted).bind(lane.as_str()).bind(source.as_str()).bind(newest + 1).execute(&mut *connection).await?;
    }
    statement("DELETE FROM turns WHERE turn < ?").bind(newest - REMEMBERED).execute(connection).await?;
    Ok(())
}

/// See [`crate::store::Store::next_due_as`].
pub(super) async fn next_due(connection: &mut Connection, claimer: Claimer<'_>, room: Room) -> Result<Option<Timestamp>, StoreError> {
    let leased = leased(connection).await?;
    let elsewhere = Elsewhere::of(connection, claimer.owner, lanes_of_others(&leased, claimer.owner)).await?;
    let heads = heads(connection, room, leased.len().saturating_mul(3) + 1).await?;
    let stands_before = |held: &Leased, task: &Candidate| {
        let same_request = held.task.request == task.request && !lane::is_feedback(&held.task.lane) && !lane::is_feedback(&task.lane);
        same_request || (lane::is_in_turn(&task.lane) && held.task.lane == task.lane)
    };
    let has_room = |task: &Candidate| room.share(&task.lane).lanes > 0;
    let open = heads.iter().filter(|task| has_room(task) && !leased.iter().any(|held| held.known && stands_before(held, task)));
    let free = open.map(|task| {
        // What this program does not know stands before others for as long as its lease lasts, and nobody here takes it over.
        let unknown = leased.iter().filter(|held| !held.known && stands_before(held, task)).map(|held| held.until);
        unknown.chain(elsewhere.until(&task.waits())).fold(task.run_at, i64::max)
    });
    let next = free.chain(leased.iter().filter(|held| held.is_to_be_had(claimer) && has_room(&held.task)).map(|held| held.until)).min();
    Ok(next.map(Timestamp::from_unix_millis))
}

/// When the longest-waiting due task became due.
pub(super) async fn oldest_due(connection: &mut Connection, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let first = heads(connection, Room::single(1), 1).await?.into_iter().map(|task| task.run_at).min();
    Ok(first.filter(|run_at| *run_at <= now.unix_millis()).map(Timestamp::from_unix_millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Share;
    use crate::store::sqlite::{File, SqliteOptions};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// So many instructions of the database are a step.
    const STEP: i32 = 50;

    /// How many steps it takes SQLite to look for work, with room for drafts and without, and for when there is some, where so many tasks wait in this
    /// lane: with `#`, each in one of its own.
    async fn steps(lane: &str, tasks: u32) -> [u64; 3] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("kubeops.db");
        let file = File::open(path.to_str().expect("UTF-8"), &SqliteOptions::default()).await.expect("a database");
        let mut write = file.write().await.expect("the writer");
        let requests = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
            INSERT INTO requests (id, automation, correlation, generation, state, rank, source, findings, created_at, updated_at, version) \
            SELECT 'r' || i, 'a', 'k' || i, 1, 'accepted', 1, 'desk', '[]', 0, 0, 1 FROM n";
        statement(requests).bind(tasks).execute(write.connection()).await.expect("requests");
        let waiting = "INSERT INTO outbox (id, kind, request, lane, rank, source, state, run_at) SELECT 't' || seq, 'draft', seq, replace(?, '#', seq), 1, 'desk', 'waiting', 0 FROM requests";
        statement(waiting).bind(lane).execute(write.connection()).await.expect("tasks");
        write.finish(Ok(())).await.expect("written");

        let mut connection = file.read().await.expect("a reader");
        let steps = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&steps);
        let mut handle = connection.sqlite().expect("SQLite").lock_handle().await.expect("a handle");
        handle.set_progress_handler(STEP, move || counted.fetch_add(1, Ordering::Relaxed) < u64::MAX);
        drop(handle);
        let (claimer, now) = (Claimer::of("w"), Timestamp::from_unix_millis(1));
        let full = Room { drafts: Share { lanes: 0, each: 1 }, ..Room::single(4) };
        assert!(!candidates(&mut connection, claimer, now, Room::single(4)).await.expect("work").is_empty());
        let with_room = steps.swap(0, Ordering::Relaxed);
        assert_eq!(candidates(&mut connection, claimer, now, full).await.expect("work").is_empty(), lane == lane::DRAFTS);
        let without = steps.swap(0, Ordering::Relaxed);
        assert_eq!(next_due(&mut connection, claimer, Room::single(4)).await.expect("a moment"), Some(Timestamp::from_unix_millis(0)));
        [with_room, without, steps.swap(0, Ordering::Relaxed)]
    }

    #[tokio::test]
    async fn looking_for_work_costs_as_much_where_a_hundred_wait_in_a_lane_as_where_thousands_do() {
        let lanes = steps("#/pulls", 5_000).await;
        for lane in [lane::DRAFTS, "", "gitops", "gitops/pulls"] {
            let (few, many) = (steps(lane, 100).await, steps(lane, 5_000).await);
            for (few, many) in few.into_iter().zip(many) {
                assert!(many <= few + few / 4 + 4, "{lane:?}: {many} steps where it was {few}");
            }
            // That it can be seen: for each lane it costs a step of the index.
            assert!(lanes.into_iter().zip(many).all(|(lanes, many)| lanes > 10 * many), "{lane:?}: {many:?} steps, {lanes:?} for lanes");
        }
    }
}
