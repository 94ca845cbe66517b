//! Which process a repository was worked on in last: its mirror there holds what was just planned, and another would have to plan it once
//! more. It is a preference and nothing rests on it: after a moment without that process any other goes on.

use super::query::{Connection, statement};
use super::rows::Columns;
use crate::store::{StoreError, lane};
use crate::types::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// So many milliseconds after a process was last seen to work on a repository, it is left to it. Between two steps of a change, or two batches,
/// pass a few; who has died or has no room keeps a repository waiting for no longer than this.
const LEFT_FOR: i64 = 2_000;

/// The repositories that are another process's.
pub(super) struct Elsewhere {
    /// When each was worked on last.
    served: HashMap<String, i64>,
    /// Until when a task of each is leased.
    leased: HashMap<String, i64>,
}

impl Elsewhere {
    /// Those that are not `owner`'s; `leased` are the lanes in which others hold a task, each with the end of its lease.
    pub(super) async fn of<'l>(
        connection: &mut Connection,
        owner: &str,
        leased: impl Iterator<Item = (&'l str, i64)> + Send,
    ) -> Result<Self, StoreError> {
        let leased = leased.filter_map(|(lane, until)| Some((lane::of_repository(lane)?.to_owned(), until))).collect();
        let rows = statement("SELECT repository, served_at FROM affinity WHERE owner <> ?").bind(owner).fetch_all(connection).await?;
        let served = rows.iter().map(|row| Ok((row.text("repository")?, row.number("served_at")?))).collect::<Result<_, StoreError>>()?;
        Ok(Self { served, leased })
    }

    /// Until when the tasks of a lane are left to another process, or were.
    pub(super) fn until(&self, lane: &str) -> Option<i64> {
        let repository = lane::of_repository(lane)?;
        self.served.get(repository).map(|at| at + LEFT_FOR).max(self.leased.get(repository).copied())
    }

    /// Whether they are now. A moment further ahead than any can lie was noted before a clock was set back.
    pub(super) fn has(&self, lane: &str, now: i64) -> bool {
        let Some(repository) = lane::of_repository(lane) else { return false };
        self.served.get(repository).is_some_and(|at| (*at..at + LEFT_FOR).contains(&now))
            || self.leased.get(repository).is_some_and(|until| now < *until)
    }
}

/// Notes that `owner` claimed tasks of these lanes.
pub(super) async fn note(connection: &mut Connection, owner: &str, lanes: impl Iterator<Item = &str>, now: Timestamp) -> Result<(), StoreError> {
    let repositories: BTreeSet<&str> = lanes.filter_map(lane::of_repository).collect();
    for repository in repositories {
        statement(
            "INSERT INTO affinity (repository, owner, served_at) VALUES (?, ?, ?) \
             ON CONFLICT (repository) DO UPDATE SET owner = excluded.owner, served_at = excluded.served_at",
        )
        .bind(repository)
        .bind(owner)
        .bind(now.unix_millis())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Notes that a process settled tasks of lanes, each with who did: a batch may have taken longer than a repository is left to anybody.
pub(super) async fn renew(connection: &mut Connection, settled: impl Iterator<Item = (&str, &str)>, now: Timestamp) -> Result<(), StoreError> {
    let repositories: BTreeSet<(&str, &str)> = settled.filter_map(|(lane, owner)| Some((lane::of_repository(lane)?, owner))).collect();
    for (repository, owner) in repositories {
        statement("UPDATE affinity SET served_at = ? WHERE repository = ? AND owner = ?")
            .bind(now.unix_millis())
            .bind(repository)
            .bind(owner)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Leaves what was an owner's to anybody.
pub(super) async fn give_back(connection: &mut Connection, owner: &str) -> Result<(), StoreError> {
    statement("DELETE FROM affinity WHERE owner = ?").bind(owner).execute(connection).await?;
    Ok(())
}

/// Forgets repositories that nobody has worked on since `before`.
pub(super) async fn prune(connection: &mut Connection, before: i64) -> Result<(), StoreError> {
    statement("DELETE FROM affinity WHERE served_at < ?").bind(before).execute(connection).await?;
    Ok(())
}
