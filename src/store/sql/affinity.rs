//! Which process a repository was worked on in last: its mirror there holds what was just planned, and another would have to plan it once
//! more. It is a preference and nothing rests on it: where that process does not come, any other goes on. Nobody waits for a row of it.

use super::query::{Connection, statement};
use super::rows::Columns;
use crate::store::{StoreError, lane};
use crate::types::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// So many milliseconds after a process was last seen to work on a repository, it is left to it. Between two steps of a change, or two batches,
/// pass a few; who died keeps a repository waiting for no longer than this, and for its leases.
const LEFT_FOR: i64 = 2_000;
/// A task that is due for so many milliseconds, in a lane where that process was not seen for as long, is left to it no more: it has no room, or
/// is about to stop, and only the other lane keeps it busy. What burns waits for a shorter while.
const STARVED_AFTER: i64 = 10_000;

/// After so many milliseconds it plays no part who was at a repository.
const REMEMBERED_FOR: i64 = 60_000;
/// Repositories that are forgotten at once.
const FORGOTTEN: u32 = 50;

/// What a process was last seen at.
struct Seen {
    git: i64,
    pulls: i64,
}

/// The repositories that are another process's.
pub(super) struct Elsewhere {
    seen: HashMap<String, Seen>,
    /// Until when a task of each is leased.
    leased: HashMap<String, i64>,
}

/// A task that waits, as far as it matters here.
pub(super) struct Waits<'t> {
    pub(super) lane: &'t str,
    pub(super) burns: bool,
    pub(super) run_at: i64,
}

impl Elsewhere {
    /// Those that are not `owner`'s; `leased` are the lanes in which others hold a task, each with the end of its lease.
    pub(super) async fn of<'l>(
        connection: &mut Connection,
        owner: &str,
        leased: impl Iterator<Item = (&'l str, i64)> + Send,
    ) -> Result<Self, StoreError> {
        let mut until: HashMap<String, i64> = HashMap::new();
        for (repository, end) in leased.filter_map(|(lane, end)| Some((lane::of_repository(lane)?, end))) {
            let longest = until.entry(repository.to_owned()).or_insert(end);
            *longest = end.max(*longest);
        }
        let rows = statement("SELECT repository, git_at, pulls_at FROM affinity WHERE owner <> ?").bind(owner).fetch_all(connection).await?;
        let seen = rows.iter().map(|row| Ok((row.text("repository")?, Seen { git: row.number("git_at")?, pulls: row.number("pulls_at")? })));
        Ok(Self { seen: seen.collect::<Result<_, StoreError>>()?, leased: until })
    }

    /// Until when a task is left to another process, or was.
    pub(super) fn until(&self, task: &Waits<'_>) -> Option<i64> {
        self.until_as_of(task, i64::MAX)
    }

    /// Whether it is now. What was noted later than this was noted before a clock was set back, and counts for nothing.
    pub(super) fn has(&self, task: &Waits<'_>, now: i64) -> bool {
        self.until_as_of(task, now).is_some_and(|until| now < until)
    }

    fn until_as_of(&self, task: &Waits<'_>, now: i64) -> Option<i64> {
        let repository = lane::of_repository(task.lane)?;
        let seen = self.seen.get(repository).filter(|seen| seen.git.max(seen.pulls) <= now);
        let at_work = seen.map(|seen| seen.git.max(seen.pulls) + LEFT_FOR).max(self.leased.get(repository).copied())?;
        let in_lane = seen.map_or(i64::MIN, |seen| if lane::is_pulls(task.lane) { seen.pulls } else { seen.git });
        let patience = if task.burns { LEFT_FOR } else { STARVED_AFTER };
        Some(at_work.min(in_lane.max(task.run_at).saturating_add(patience)))
    }
}

/// Notes that `owner` claimed tasks of these lanes.
pub(super) async fn note(connection: &mut Connection, owner: &str, lanes: impl Iterator<Item = &str>, now: Timestamp) -> Result<(), StoreError> {
    let served = repositories(lanes);
    if served.is_empty() {
        return Ok(());
    }
    for (repository, is_pulls) in served {
        let (own, other) = columns(is_pulls);
        // Whose it becomes has it whole: it was not starved in the other lane before.
        let taken = statement(format!(
            "UPDATE affinity SET {own} = ?1, {other} = CASE WHEN owner = ?2 THEN {other} ELSE ?1 END, owner = ?2 WHERE {}",
            of(connection, "?3")
        ));
        let taken = taken.bind(now.unix_millis()).bind(owner).bind(repository).execute(&mut *connection).await?;
        if taken.rows_affected() == 0 {
            // Where there is a row that somebody else writes, an insert would wait for that one to see whether it conflicts: none is tried.
            let new = "INSERT INTO affinity (repository, owner, git_at, pulls_at) SELECT ?1, ?2, CAST(?3 AS BIGINT), CAST(?3 AS BIGINT) \
                       WHERE NOT EXISTS (SELECT 1 FROM affinity WHERE repository = ?1) ON CONFLICT DO NOTHING";
            statement(new).bind(repository).bind(owner).bind(now.unix_millis()).execute(&mut *connection).await?;
        }
    }
    forget(connection, now.unix_millis() - REMEMBERED_FOR).await
}

/// Notes that a process settled tasks of lanes, each with who did: a batch may have taken longer than a repository is left to anybody.
pub(super) async fn renew(connection: &mut Connection, settled: impl Iterator<Item = (&str, &str)>, now: Timestamp) -> Result<(), StoreError> {
    let settled: BTreeSet<(&str, &str)> = settled.collect();
    for (lane, owner) in settled {
        for (repository, is_pulls) in repositories(std::iter::once(lane)) {
            statement(format!("UPDATE affinity SET {} = ?1 WHERE owner = ?2 AND {}", columns(is_pulls).0, of(connection, "?3")))
                .bind(now.unix_millis())
                .bind(owner)
                .bind(repository)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

/// Leaves what was an owner's to anybody.
pub(super) async fn give_back(connection: &mut Connection, owner: &str) -> Result<(), StoreError> {
    statement("DELETE FROM affinity WHERE owner = ?").bind(owner).execute(connection).await?;
    Ok(())
}

/// Forgets repositories that nobody has worked on since `before`, a few at a time: whoever claims reads all there are.
async fn forget(connection: &mut Connection, before: i64) -> Result<(), StoreError> {
    let unless_held = if connection.is_sqlite() { "" } else { " FOR UPDATE SKIP LOCKED" };
    let forgotten = format!(
        "DELETE FROM affinity WHERE repository IN (SELECT repository FROM affinity WHERE git_at < ?1 AND pulls_at < ?1 LIMIT {FORGOTTEN}{unless_held})"
    );
    statement(forgotten).bind(before).execute(connection).await?;
    Ok(())
}

/// The repositories of lanes, and of which of its two each is.
fn repositories<'l>(lanes: impl Iterator<Item = &'l str>) -> BTreeSet<(&'l str, bool)> {
    lanes.filter_map(|lane| Some((lane::of_repository(lane)?, lane::is_pulls(lane)))).collect()
}

/// The column of a lane, and that of the other.
fn columns(is_pulls: bool) -> (&'static str, &'static str) {
    if is_pulls { ("pulls_at", "git_at") } else { ("git_at", "pulls_at") }
}

/// Which row is meant. Where others write beside, one that somebody else is about to write is passed over.
fn of(connection: &Connection, repository: &str) -> String {
    match connection.is_sqlite() {
        true => format!("repository = {repository}"),
        false => format!("repository = (SELECT repository FROM affinity WHERE repository = {repository} FOR UPDATE SKIP LOCKED)"),
    }
}
