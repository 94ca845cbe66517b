//! Requests and their timelines. A writer names the version it read and loses when another wrote in between.
//! The event that opened a request is kept apart from the row that changes.

use super::commands;
use super::deliveries::page_of;
use super::feedback;
use super::members;
use super::query::{Connection, Row, Statement, statement};
use super::rows::{Columns, page_limit, to_json, to_number};
use super::tasks::{self, add_task};
use crate::request::{Changes, PullRef, Request, RequestKey, Rival, TimelineEntry, Touch};
use crate::store::cursor::Listing;
use crate::store::{Page, PageQuery, RequestFilter, RequestUpdate, RivalQuery, StoreError, TouchQuery};
use crate::types::{CommitSha, RepositoryName, RequestId, Timestamp};
use std::collections::HashMap;

/// Every column [`read`] needs, of `requests r` and `request_events w`.
pub(super) const COLUMNS: &str = "r.seq, r.id, r.automation, r.correlation, r.generation, r.state, r.parameters, r.repository, r.branch, r.base, \
    r.checked, r.commit_sha, r.pushed, r.taken_over, r.urged, r.members, r.summary, r.changes, r.pull_text, r.pull_number, r.pull_url, r.pull_written, r.former_pull, r.tells, r.merged, r.steering, r.findings, r.message, r.created_at, r.updated_at, r.version, w.event";
/// The tables of [`COLUMNS`].
const TABLES: &str = "requests r CROSS JOIN request_events w ON w.request = r.seq";

/// A request from a row with [`COLUMNS`].
pub(super) fn read(row: &Row) -> Result<Request, StoreError> {
    let pull = pull_of(row)?;
    let parameters = match row.optional_text("parameters")? {
        Some(_) => Some(row.json("parameters")?),
        None => None,
    };
    Ok(Request {
        id: row.parsed("id")?,
        key: RequestKey {
            automation: row.parsed("automation")?,
            correlation: row.text("correlation")?,
            generation: u32::try_from(row.count("generation")?).map_err(|_| super::rows::broken("generation"))?,
        },
        state: row.parsed("state")?,
        event: row.json("event")?,
        parameters,
        repository: row.optional("repository")?,
        branch: row.optional("branch")?,
        base: row.optional("base")?,
        checked: row.optional("checked")?,
        commit: row.optional("commit_sha")?,
        pushed: row.optional("pushed")?,
        taken_over: row.number("taken_over")? != 0,
        urged: row.number("urged")? != 0,
        members: u32::try_from(row.count("members")?).map_err(|_| super::rows::broken("members"))?,
        summary: row.json("summary")?,
        changes: row.optional_text("changes")?.map(|_| row.json("changes")).transpose()?,
        text: row.optional_text("pull_text")?.map(|_| row.json("pull_text")).transpose()?,
        pull,
        former_pull: row
            .optional_number("former_pull")?
            .map(|number| u64::try_from(number).map_err(|_| super::rows::broken("former_pull")))
            .transpose()?,
        tells: row.number("tells")? != 0,
        merged: row.optional("merged")?,
        steering: row.json("steering")?,
        written: row.optional_text("pull_written")?.map(|_| row.json("pull_written")).transpose()?,
        findings: row.json("findings")?,
        message: row.optional_text("message")?,
        created_at: row.moment("created_at")?,
        updated_at: row.moment("updated_at")?,
        version: row.count("version")?,
    })
}

/// Inserts a request that was just opened; returns its number.
pub(super) async fn create(connection: &mut Connection, request: &Request) -> Result<i64, StoreError> {
    let seq = statement(
        "INSERT INTO requests (id, automation, correlation, generation, state, parameters, repository, findings, message, created_at, updated_at, version, members, rank, source, tells, steering, job) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq",
    )
    .bind(request.id.as_str())
    .bind(request.key.automation.as_str())
    .bind(request.key.correlation.as_str())
    .bind(request.key.generation)
    .bind(request.state.as_str())
    .bind(request.parameters.as_ref().map(to_json).transpose()?)
    .bind(request.repository.as_ref().map(|name| name.as_str()))
    .bind(to_json(&request.findings)?)
    .bind(request.message.as_deref())
    .bind(request.created_at.unix_millis())
    .bind(request.updated_at.unix_millis())
    .bind(to_number(request.version))
    .bind(request.members)
    .bind(i64::from(!request.event.kind.is_alert()))
    // Who asks through the API is a source of its own.
    .bind(request.event.source.as_ref().map_or("", |source| source.as_str()))
    .bind(request.tells)
    .bind(to_json(&request.steering)?)
    .bind(request.steering.job.is_some())
    .fetch_one(&mut *connection)
    .await?
    .number("seq")?;
    statement("INSERT INTO request_events (request, event) VALUES (?, ?)").bind(seq).bind(to_json(&request.event)?).execute(connection).await?;
    Ok(seq)
}

/// The number of a request.
pub(super) async fn seq_of(connection: &mut Connection, id: &RequestId) -> Result<i64, StoreError> {
    let row = statement("SELECT seq FROM requests WHERE id = ?").bind(id.as_str()).fetch_optional(connection).await?;
    row.ok_or_else(|| StoreError::NotFound(format!("request {id}")))?.number("seq")
}

/// Writes `request` over the version it was read at, raises the version, and returns its number.
///
/// # Errors
/// [`StoreError::Conflict`] when another writer was first, or when it comes to life beside another live one with its key.
pub(super) async fn replace(connection: &mut Connection, request: &Request, now: Timestamp) -> Result<i64, StoreError> {
    let seq = seq_of(connection, &request.id).await?;
    let done = statement(
        "UPDATE requests SET state = ?, parameters = ?, repository = ?, branch = ?, base = ?, checked = ?, commit_sha = ?, pushed = ?, \
         taken_over = ?, urged = ?, summary = ?, changes = ?, \
         pull_text = ?, pull_number = ?, pull_url = ?, pull_written = ?, former_pull = ?, tells = ?, merged = ?, steering = ?, job = ?, drafted = ?, findings = ?, message = ?, updated_at = ?, version = version + 1 WHERE seq = ? AND version = ?",
    )
    .bind(request.state.as_str())
    .bind(request.parameters.as_ref().map(to_json).transpose()?)
    .bind(request.repository.as_ref().map(|name| name.as_str()))
    .bind(request.branch.as_ref().map(|name| name.as_str()))
    .bind(request.base.as_ref().map(|sha| sha.as_str()))
    .bind(request.checked.as_ref().map(|sha| sha.as_str()))
    .bind(request.commit.as_ref().map(|sha| sha.as_str()))
    .bind(request.pushed.as_ref().map(|sha| sha.as_str()))
    .bind(request.taken_over)
    .bind(request.urged)
    .bind(to_json(&request.summary)?)
    .bind(request.changes.as_ref().map(to_json).transpose()?)
    .bind(request.text.as_ref().map(to_json).transpose()?)
    .bind(request.pull.as_ref().map(|pull| to_number(pull.number)))
    .bind(request.pull.as_ref().map(|pull| pull.url.as_str()))
    .bind(request.written.as_ref().map(to_json).transpose()?)
    .bind(request.former_pull.map(to_number))
    .bind(request.tells)
    .bind(request.merged.as_ref().map(|sha| sha.as_str()))
    .bind(to_json(&request.steering)?)
    .bind(request.steering.job.is_some())
    .bind(request.changes.as_ref().is_some_and(|changes| changes.drafted.is_some()))
    .bind(to_json(&request.findings)?)
    .bind(request.message.as_deref())
    .bind(now.unix_millis())
    .bind(seq)
    .bind(to_number(request.version))
    .execute(&mut *connection)
    .await
    .map_err(|error| match error {
        StoreError::Conflict(_) => StoreError::Conflict(format!("another live request has the key of request {}", request.id)),
        other => other,
    })?;
    if done.rows_affected() == 0 {
        return Err(StoreError::Conflict(format!("request {} is no longer at version {}", request.id, request.version)));
    }
    // Almost never different; comparing is cheaper than writing it each time.
    statement("UPDATE request_events SET event = ?1 WHERE request = ?2 AND event <> ?1")
        .bind(to_json(&request.event)?)
        .bind(seq)
        .execute(&mut *connection)
        .await?;
    commands::adopt_early(connection, seq, request, now).await?;
    Ok(seq)
}

/// Adds entries to a timeline, in order.
pub(super) async fn add_timeline(connection: &mut Connection, request: i64, entries: &[TimelineEntry]) -> Result<(), StoreError> {
    for entry in entries {
        statement("INSERT INTO timeline (request, at, from_state, to_state, message, actor) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(request)
            .bind(entry.at.unix_millis())
            .bind(entry.from.map(|state| state.as_str()))
            .bind(entry.to.as_str())
            .bind(entry.message.as_str())
            .bind(entry.actor.as_str())
            .execute(&mut *connection)
            .await?;
    }
    match entries.iter().rev().find(|entry| entry.from != Some(entry.to)) {
        Some(change) => feedback::owe(connection, request, change.at).await,
        None => Ok(()),
    }
}

/// See [`crate::store::Store::update_request`].
pub(super) async fn update(connection: &mut Connection, request: &Request, update: &RequestUpdate, now: Timestamp) -> Result<(), StoreError> {
    let seq = replace(connection, request, now).await?;
    if update.drop_tasks {
        tasks::drop_of_one_try(connection, seq).await?;
    }
    add_timeline(connection, seq, &update.timeline).await?;
    if let Some(successor) = &update.successor {
        members::carry_over(connection, request, seq, successor, now).await?;
    }
    for task in &update.tasks {
        let owner = if task.request == request.id { seq } else { seq_of(connection, &task.request).await? };
        add_task(connection, owner, task).await?;
    }
    Ok(())
}

/// See [`crate::store::Store::request`].
pub(super) async fn one(connection: &mut Connection, id: &RequestId) -> Result<Request, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE r.id = ?");
    let row = statement(sql).bind(id.as_str()).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()?.ok_or_else(|| StoreError::NotFound(format!("request {id}")))
}

/// See [`crate::store::Store::request_of_pull`].
pub(super) async fn of_pull(connection: &mut Connection, repository: &RepositoryName, number: u64) -> Result<Option<Request>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE r.repository = ? AND r.pull_number = ? ORDER BY r.seq DESC LIMIT 1");
    let row = statement(sql).bind(repository.as_str()).bind(to_number(number)).fetch_optional(connection).await?;
    row.as_ref().map(read).transpose()
}

/// See [`crate::store::Store::commits_kept`].
pub(super) async fn commits_kept(
    connection: &mut Connection,
    repository: &RepositoryName,
    among: &[CommitSha],
) -> Result<HashMap<CommitSha, bool>, StoreError> {
    let rows = statement(
        "WITH among (id) AS (SELECT value FROM json_each(?2)) \
         SELECT id, max(live) AS live FROM ( \
             SELECT commit_sha AS id, live FROM requests WHERE repository = ?1 AND commit_sha IN (SELECT id FROM among) \
             UNION ALL \
             SELECT pushed, live FROM requests WHERE repository = ?1 AND pushed IN (SELECT id FROM among) \
         ) k GROUP BY id",
    )
    .bind(repository.as_str())
    .bind(to_json(&among)?)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.parsed("id")?, row.number("live")? > 0))).collect()
}

/// See [`crate::store::Store::rivals`].
pub(super) async fn rivals(connection: &mut Connection, query: &RivalQuery<'_>, limit: u32) -> Result<Vec<Rival>, StoreError> {
    // Two ranges of one index: what may still change a file, and what did so lately.
    let rows = statement(
        "SELECT r.id, r.state, r.pull_number, r.pull_url, r.changes, f.merged FROM ( \
             SELECT request, max(merged_at) > 0 AS merged FROM ( \
                 SELECT request, merged_at FROM request_files WHERE repository = ?1 AND path IN (SELECT value FROM json_each(?2)) AND merged_at = 0 \
                 UNION ALL \
                 SELECT request, merged_at FROM request_files WHERE repository = ?1 AND path IN (SELECT value FROM json_each(?2)) \
                     AND merged_at >= max(?3, 1) \
             ) t GROUP BY request \
         ) f JOIN requests r ON r.seq = f.request WHERE r.id <> ?4 ORDER BY f.request DESC LIMIT ?5",
    )
    .bind(query.repository.as_str())
    .bind(to_json(&query.files)?)
    .bind(query.merged_since.map_or(i64::MAX, Timestamp::unix_millis))
    .bind(query.except.as_str())
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let read = |row: &Row| {
        Ok(Rival {
            request: row.parsed("id")?,
            state: row.parsed("state")?,
            pull: pull_of(row)?,
            changes: row.json("changes")?,
            merged: row.number("merged")? > 0,
        })
    };
    rows.iter().map(read).collect()
}

/// See [`crate::store::Store::touches`].
pub(super) async fn touches(connection: &mut Connection, query: &TouchQuery<'_>, limit: u32) -> Result<Vec<Touch>, StoreError> {
    // Two ranges of one index: merged since, and ended otherwise since.
    let rows = statement(
        "SELECT r.id, r.pull_number, r.pull_url, r.changes, r.created_at, f.ended_at, f.merged FROM ( \
             SELECT request, max(abs(merged_at)) AS ended_at, max(merged_at) > 0 AS merged FROM ( \
                 SELECT request, merged_at FROM request_files WHERE repository = ?1 AND path IN (SELECT value FROM json_each(?2)) AND merged_at >= ?3 \
                 UNION ALL \
                 SELECT request, merged_at FROM request_files WHERE repository = ?1 AND path IN (SELECT value FROM json_each(?2)) AND merged_at <= -?3 \
             ) t GROUP BY request \
         ) f JOIN requests r ON r.seq = f.request WHERE r.id <> ?4 ORDER BY f.ended_at DESC LIMIT ?5",
    )
    .bind(query.repository.as_str())
    .bind(to_json(&query.files)?)
    .bind(query.since.unix_millis().max(1))
    .bind(query.except.as_str())
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let read = |row: &Row| {
        let changes: Changes = row.json("changes")?;
        let planned_at = changes.first.as_ref().map_or(row.moment("created_at")?, |first| first.at);
        let (ended_at, merged) = (row.moment("ended_at")?, row.number("merged")? != 0);
        Ok(Touch { request: row.parsed("id")?, pull: pull_of(row)?, changes, planned_at, ended_at, merged })
    };
    rows.iter().map(read).collect()
}

/// The pull request of a row with its columns.
fn pull_of(row: &Row) -> Result<Option<PullRef>, StoreError> {
    let url = row.optional_text("pull_url")?;
    url.map(|url| Ok(PullRef { number: row.count("pull_number")?, url })).transpose()
}

/// See [`crate::store::Store::timeline`].
pub(super) async fn timeline(connection: &mut Connection, id: &RequestId) -> Result<Vec<TimelineEntry>, StoreError> {
    let seq = seq_of(connection, id).await?;
    let rows = statement("SELECT at, from_state, to_state, message, actor FROM timeline WHERE request = ? ORDER BY seq")
        .bind(seq)
        .fetch_all(connection)
        .await?;
    rows.iter().map(entry_of).collect()
}

/// A timeline entry of a row with its columns.
pub(super) fn entry_of(row: &Row) -> Result<TimelineEntry, StoreError> {
    Ok(TimelineEntry {
        at: row.moment("at")?,
        from: row.optional("from_state")?,
        to: row.parsed("to_state")?,
        message: row.text("message")?,
        actor: row.text("actor")?,
    })
}

/// See [`crate::store::Store::requests`].
pub(super) async fn list(connection: &mut Connection, filter: &RequestFilter, page: &PageQuery) -> Result<Page<Request>, StoreError> {
    let before = Listing::Requests.before(page.after.as_deref())?;
    let limit = page_limit(page);
    let wanted = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut query = statement(format!("SELECT {COLUMNS} FROM {TABLES} WHERE r.seq IN (SELECT seq FROM ("));
    if filter.states.is_empty() {
        select_in_order(&mut query, filter, None, before, wanted);
    }
    // One ordered stretch per state, put together: an index gives the rows of one state in order, of several it does not.
    let mut states = filter.states.clone();
    states.sort_unstable();
    states.dedup();
    for (at, state) in states.iter().enumerate() {
        query.push(if at == 0 { "SELECT seq FROM (" } else { " UNION ALL SELECT seq FROM (" });
        select_in_order(&mut query, filter, Some(state.as_str()), before, wanted);
        query.push(") s");
    }
    query.push(") n ORDER BY seq DESC LIMIT ").push_bind(wanted).push(") ORDER BY r.seq DESC");
    let rows = query.fetch_all(connection).await?;
    page_of(&rows, limit, Listing::Requests, read)
}

/// The numbers of the newest requests that pass, read in order from the index that leaves the fewest to look at.
fn select_in_order(query: &mut Statement, filter: &RequestFilter, state: Option<&'static str>, before: i64, wanted: i64) {
    query.push("SELECT seq FROM requests ").push(match (filter, state) {
        (RequestFilter { jobs: true, correlation: None, .. }, _) => "INDEXED BY requests_jobs",
        (RequestFilter { correlation: Some(_), .. }, _) => "INDEXED BY requests_key",
        (RequestFilter { automation: Some(_), .. }, _) => "INDEXED BY requests_automation",
        (RequestFilter { repository: Some(_), .. }, _) => "INDEXED BY requests_repository",
        (_, Some(_)) => "INDEXED BY requests_state",
        _ => "NOT INDEXED",
    });
    query.push(" WHERE seq < ").push_bind(before);
    let conditions = [
        (" AND correlation = ", filter.correlation.as_deref()),
        (" AND automation = ", filter.automation.as_ref().map(|name| name.as_str())),
        (" AND repository = ", filter.repository.as_ref().map(|name| name.as_str())),
        (" AND state = ", state),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            query.push(condition).push_bind(value);
        }
    }
    if filter.jobs {
        query.push(" AND job = 1");
    }
    if let Some(source) = &filter.source {
        query.push(" AND (members > 0 OR source = ").push_bind(source.as_str()).push(")");
    }
    query.push(" ORDER BY seq DESC LIMIT ").push_bind(wanted);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::{File, SqliteOptions};

    #[tokio::test]
    async fn every_listing_is_read_in_order_from_the_index_that_is_made_for_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("kubeops.db");
        let file = File::open(path.to_str().expect("UTF-8"), &SqliteOptions::default()).await.expect("a database");
        let mut connection = file.read().await.expect("a reader");
        let jobs = RequestFilter { jobs: true, ..RequestFilter::default() };
        let automation: RequestFilter = RequestFilter { automation: Some("a".parse().expect("a name")), ..RequestFilter::default() };
        for (filter, state, index) in [
            (jobs.clone(), None, "requests_jobs"),
            (jobs.clone(), Some("proposed"), "requests_jobs"),
            (RequestFilter { automation: automation.automation.clone(), ..jobs }, None, "requests_jobs"),
            (RequestFilter { correlation: Some("k".to_owned()), ..automation.clone() }, None, "requests_key"),
            (automation, None, "requests_automation"),
            (RequestFilter::default(), Some("proposed"), "requests_state"),
        ] {
            let mut query = statement("EXPLAIN QUERY PLAN ");
            select_in_order(&mut query, &filter, state, i64::MAX, 10);
            let rows = query.fetch_all(&mut connection).await.expect("a plan");
            let plan: Vec<String> = rows.iter().map(|row| row.text("detail").expect("a text")).collect();
            assert!(plan.iter().any(|line| line.starts_with("SEARCH requests USING") && line.contains(&format!("INDEX {index} "))), "{plan:?}");
            // A key has few requests.
            assert!(index == "requests_key" || !plan.iter().any(|line| line.contains("TEMP B-TREE")), "nothing is sorted: {plan:?}");
        }
    }
}
