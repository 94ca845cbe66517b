//! What events say about requests there are, in the caller's transaction.
//! It finds whose matter a signal is, and owes the look; what nobody has to do with is passed over.

use super::commands;
use super::dispatch::link;
use super::query::{Connection, Row, statement};
use super::rows::{Columns, Key, digest, to_json, to_number};
use super::runs;
use super::tasks::add_task;
use crate::request::RemarkAddress;
use crate::store::{Deployment, NewTask, Signal, StoreError, TakenBack, TaskKind, lane};
use crate::types::{AutomationName, RepositoryName, RequestId, TaskId, Timestamp};

/// Merged requests that hear of one deployment, the newest.
const MOST_WAITING: u32 = 1_000;

/// Owes what the signal asks for. `at` is when its event happened.
pub(super) async fn heed(connection: &mut Connection, event: i64, at: Timestamp, signal: &Signal, now: Timestamp) -> Result<(), StoreError> {
    let found = match signal {
        Signal::Deployed(deployment) => return deployed(connection, event, deployment, now).await,
        Signal::Ran(end) => return runs::ended(connection, event, end, now).await,
        Signal::Reviewed { repository, at: RemarkAddress { pull: number, .. }, .. } => of_drafted(connection, repository, *number).await?,
        Signal::Pull { repository, number, .. } => of_pull(connection, repository, *number).await?,
        Signal::Command { repository, at: RemarkAddress { pull: number, .. }, .. } => match of_pull(connection, repository, *number).await? {
            None => of_former_pull(connection, repository, *number).await?,
            found => found,
        },
        Signal::TakenBack { automation, correlation, reason, .. } => {
            if !is_newest(connection, automation, correlation, at, Some(reason), now).await? {
                return Ok(());
            }
            // The newest request of the key, or the one it is a member of.
            let found = statement(
                "SELECT seq, id, repository FROM requests WHERE seq = max( \
                    coalesce((SELECT max(seq) FROM requests WHERE correlation = ?2 AND automation = ?1), 0), \
                    coalesce((SELECT max(m.request) FROM request_members m JOIN requests r ON r.seq = m.request \
                              WHERE m.correlation = ?2 AND m.state <> 'withdrawn' AND r.automation = ?1), 0))",
            );
            found.bind(automation.as_str()).bind(correlation.as_str()).fetch_optional(&mut *connection).await?
        }
    };
    let Some(row) = found else {
        return match signal {
            Signal::Command { repository, at, task } => commands::keep_early(connection, event, repository, at, task).await,
            _ => Ok(()),
        };
    };
    let (kind, id) = match signal {
        Signal::Pull { task, .. } => (TaskKind::Observe, task),
        Signal::Command { task, .. } | Signal::Reviewed { task, .. } => (TaskKind::Command, task),
        Signal::TakenBack { task, .. } => (TaskKind::Retract, task),
        Signal::Deployed(_) | Signal::Ran(_) => return Ok(()),
    };
    let seq = row.number("seq")?;
    if let Signal::Command { repository, at, .. } | Signal::Reviewed { repository, at, .. } = signal
        && !commands::ask(connection, seq, repository, at, now).await?
    {
        return Ok(());
    }
    let repository: Option<RepositoryName> = row.optional_text("repository")?.and_then(|name| name.parse().ok());
    let lane = repository.as_ref().map(lane::pulls).unwrap_or_default();
    add_task(connection, seq, &NewTask { id: id.clone(), kind, request: row.parsed("id")?, lane, run_at: now }).await?;
    link(connection, event, seq).await
}

/// The request whose pull request this is.
async fn of_pull(connection: &mut Connection, repository: &RepositoryName, number: u64) -> Result<Option<Row>, StoreError> {
    let found = statement("SELECT seq, id, repository FROM requests WHERE repository = ? AND pull_number = ? ORDER BY seq DESC LIMIT 1");
    found.bind(repository.as_str()).bind(to_number(number)).fetch_optional(connection).await
}

/// The request whose pull request this is, where a language model drafted its change.
async fn of_drafted(connection: &mut Connection, repository: &RepositoryName, number: u64) -> Result<Option<Row>, StoreError> {
    let found = statement(
        "SELECT seq, id, repository FROM requests WHERE repository = ? AND pull_number = ? AND drafted = 1 \
         ORDER BY seq DESC LIMIT 1",
    );
    found.bind(repository.as_str()).bind(to_number(number)).fetch_optional(connection).await
}

/// The request that had this pull request before it was asked for again: whoever still writes there means it.
async fn of_former_pull(connection: &mut Connection, repository: &RepositoryName, number: u64) -> Result<Option<Row>, StoreError> {
    let found = statement(
        "SELECT seq, id, repository FROM requests INDEXED BY requests_former_pull WHERE former_pull = ? AND repository = ? ORDER BY seq DESC LIMIT 1",
    );
    found.bind(to_number(number)).bind(repository.as_str()).fetch_optional(connection).await
}

/// Keeps what a delivery tool said, and owes a look to every request that is merged and waits for that word.
async fn deployed(connection: &mut Connection, event: i64, deployment: &Deployment, now: Timestamp) -> Result<(), StoreError> {
    let kept = statement(
        "INSERT INTO deployments (dedup, repository, application, cluster, paths, named, revision, standing, message, at, recorded_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (dedup) DO UPDATE SET named = excluded.named, \
         message = excluded.message, at = excluded.at, recorded_at = excluded.recorded_at WHERE excluded.at >= deployments.at",
    );
    let kept = kept
        .bind(dedup(deployment)?.as_slice())
        .bind(deployment.repository.as_str())
        .bind(deployment.application.as_str())
        .bind(deployment.cluster.as_deref().unwrap_or_default())
        .bind(deployment.paths.join("\n"))
        .bind(deployment.named)
        .bind(deployment.revision.as_str())
        .bind(deployment.standing.as_str())
        .bind(deployment.message.as_deref())
        .bind(deployment.at.unix_millis())
        .bind(now.unix_millis());
    if kept.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(());
    }
    let waiting = statement(
        "SELECT seq, id FROM requests INDEXED BY requests_state WHERE state IN ('merged', 'degraded') AND repository = ? ORDER BY seq DESC LIMIT ?",
    );
    let waiting = waiting.bind(deployment.repository.as_str()).bind(MOST_WAITING).fetch_all(&mut *connection).await?;
    for row in waiting {
        owe_a_look(connection, event, &row, &deployment.repository, now).await?;
    }
    Ok(())
}

/// What a word is known by: a later one about the same takes its place.
fn dedup(deployment: &Deployment) -> Result<Key, StoreError> {
    let Deployment { repository, application, cluster, paths, revision, standing, named: _, message: _, at: _ } = deployment;
    let about = (application, cluster.as_deref().unwrap_or_default(), paths, revision.as_str(), standing.as_str());
    Ok(digest(repository.as_str(), &to_json(&about)?))
}

/// The merged request of this row hears what the event says.
pub(super) async fn owe_a_look(
    connection: &mut Connection,
    event: i64,
    row: &Row,
    repository: &RepositoryName,
    now: Timestamp,
) -> Result<(), StoreError> {
    let seq = row.number("seq")?;
    // The store draws no random bits: an event owes a request this once.
    let unique = (u128::from(event.unsigned_abs()) << 40) | u128::from(seq.unsigned_abs());
    let id = TaskId::from_parts(now, unique);
    let task = NewTask { id, kind: TaskKind::Confirm, request: row.parsed("id")?, lane: lane::of(repository), run_at: now };
    add_task(connection, seq, &task).await?;
    link(connection, event, seq).await
}

/// See [`crate::store::Store::deployments`].
pub(super) async fn deployments(
    connection: &mut Connection,
    repository: &RepositoryName,
    since: Timestamp,
    limit: u32,
) -> Result<Vec<Deployment>, StoreError> {
    let rows = statement(
        "SELECT application, cluster, paths, named, revision, standing, message, at FROM deployments \
         WHERE repository = ? AND recorded_at >= ? ORDER BY at DESC, application LIMIT ?",
    );
    let rows = rows.bind(repository.as_str()).bind(since.unix_millis()).bind(limit).fetch_all(connection).await?;
    let read = |row: &Row| {
        Ok(Deployment {
            repository: repository.clone(),
            application: row.text("application")?,
            cluster: Some(row.text("cluster")?).filter(|cluster| !cluster.is_empty()),
            paths: row.text("paths")?.lines().map(str::to_owned).collect(),
            named: row.number("named")? != 0,
            revision: row.parsed("revision")?,
            standing: row.parsed("standing")?,
            message: row.optional_text("message")?,
            at: row.moment("at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Keeps what an event of this time says about a key (wanted, or taken back for a reason), unless a newer one was there before.
async fn is_newest(
    connection: &mut Connection,
    automation: &AutomationName,
    correlation: &str,
    at: Timestamp,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let kept = statement(
        "INSERT INTO wishes (automation, correlation, at, wanted, reason, recorded_at) VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT (automation, correlation) DO UPDATE SET at = excluded.at, wanted = excluded.wanted, reason = excluded.reason, \
         recorded_at = excluded.recorded_at WHERE excluded.at >= wishes.at",
    );
    let kept = kept.bind(automation.as_str()).bind(correlation).bind(at.unix_millis()).bind(reason.is_none()).bind(reason).bind(now.unix_millis());
    Ok(kept.execute(connection).await?.rows_affected() == 1)
}

/// Keeps that an event of this time asks for a key; false where a newer one took it back.
pub(super) async fn is_wanted(
    connection: &mut Connection,
    automation: &AutomationName,
    correlation: &str,
    at: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if is_newest(connection, automation, correlation, at, None, now).await? {
        return Ok(true);
    }
    let wanted = statement("SELECT wanted FROM wishes WHERE automation = ? AND correlation = ?");
    Ok(wanted.bind(automation.as_str()).bind(correlation).fetch_one(connection).await?.number("wanted")? != 0)
}

/// See [`crate::store::Store::taken_back`].
pub(super) async fn taken_back(connection: &mut Connection, request: &RequestId) -> Result<Vec<TakenBack>, StoreError> {
    let rows = statement(
        "WITH r AS (SELECT seq, automation, correlation, members FROM requests WHERE id = ?), \
         keys AS (SELECT r.automation, r.correlation, 0 AS number FROM r WHERE r.members = 0 UNION ALL \
                  SELECT r.automation, m.correlation, m.number FROM r JOIN request_members m ON m.request = r.seq WHERE m.state <> 'withdrawn') \
         SELECT w.correlation, w.reason, w.at FROM keys k JOIN wishes w ON w.automation = k.automation AND w.correlation = k.correlation \
         WHERE w.wanted = 0 ORDER BY k.number",
    );
    let rows = rows.bind(request.as_str()).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            Ok(TakenBack { correlation: row.text("correlation")?, reason: row.optional_text("reason")?.unwrap_or_default(), at: row.moment("at")? })
        })
        .collect()
}
