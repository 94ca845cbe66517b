//! Comments on pull requests, and reviews, that hold commands, in the caller's transaction.

use super::dispatch::link;
use super::fence;
use super::query::{Connection, Row, statement};
use super::requests::{add_timeline, seq_of};
use super::rows::{Columns, to_json, to_number};
use super::tasks::add_task;
use crate::request::{RemarkAddress, Request, TimelineEntry};
use crate::store::{ClaimedTask, CommandComment, NewTask, StoreError, TaskKind, lane};
use crate::types::{RepositoryName, RequestId, TaskId, Timestamp};

/// Comments and reviews of one repository that are kept for requests to come, the newest.
const MOST_EARLY: i64 = 1_000;

/// Keeps that a comment was heard of; false when it had been before.
pub(super) async fn ask(
    connection: &mut Connection,
    request: i64,
    repository: &RepositoryName,
    at: &RemarkAddress,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let kept = statement(
        "INSERT INTO commands (request, repository, number, place, comment, state, at) VALUES (?, ?, ?, ?, ?, 'asked', ?) ON CONFLICT DO NOTHING",
    );
    let kept = kept.bind(request).bind(repository.as_str());
    let kept = kept.bind(to_number(at.pull)).bind(at.place.as_str()).bind(to_number(at.id)).bind(now.unix_millis());
    Ok(kept.execute(connection).await?.rows_affected() == 1)
}

/// Keeps a comment on a pull request that no request has, or a review of one, for the case that one will.
pub(super) async fn keep_early(
    connection: &mut Connection,
    event: i64,
    repository: &RepositoryName,
    at: &RemarkAddress,
    task: &TaskId,
) -> Result<(), StoreError> {
    let kept =
        statement("INSERT INTO commands_early (repository, number, place, comment, event, task) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING");
    let kept = kept.bind(repository.as_str()).bind(to_number(at.pull)).bind(at.place.as_str()).bind(to_number(at.id));
    let kept = kept.bind(event).bind(task.as_str());
    kept.execute(&mut *connection).await?;
    let beyond = statement(
        "DELETE FROM commands_early WHERE repository = ?1 AND seq <= \
         (SELECT seq FROM commands_early INDEXED BY commands_early_repository WHERE repository = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
    );
    beyond.bind(repository.as_str()).bind(MOST_EARLY).execute(connection).await?;
    Ok(())
}

/// Gives the request the comments on its pull request, and the reviews, that were heard of before its number was noted.
pub(super) async fn adopt_early(connection: &mut Connection, seq: i64, request: &Request, now: Timestamp) -> Result<(), StoreError> {
    let (Some(repository), Some(pull)) = (&request.repository, &request.pull) else { return Ok(()) };
    let early = statement("DELETE FROM commands_early WHERE repository = ? AND number = ? RETURNING seq, place, comment, event, task");
    let mut early = early.bind(repository.as_str()).bind(to_number(pull.number)).fetch_all(&mut *connection).await?;
    early.sort_by_key(|row| row.number("seq").unwrap_or_default());
    for row in early {
        let at = RemarkAddress { pull: pull.number, place: row.parsed("place")?, id: row.count("comment")? };
        if ask(connection, seq, repository, &at, now).await? {
            let (id, request) = (row.parsed("task")?, request.id.clone());
            let task = NewTask { id, kind: TaskKind::Command, request, lane: lane::pulls(repository), run_at: now };
            add_task(connection, seq, &task).await?;
            link(connection, row.number("event")?, seq).await?;
        }
    }
    Ok(())
}

/// See [`crate::store::Store::commands`].
pub(super) async fn of(connection: &mut Connection, id: &RequestId) -> Result<Vec<CommandComment>, StoreError> {
    let request = seq_of(connection, id).await?;
    let rows = statement(
        "SELECT repository, number, place, comment, state, what, author, answer, at FROM commands INDEXED BY commands_request \
         WHERE request = ? AND state IN ('asked', 'done') ORDER BY seq",
    );
    let rows = rows.bind(request).fetch_all(connection).await?;
    let read = |row: &Row| {
        Ok(CommandComment {
            request: id.clone(),
            repository: row.parsed("repository")?,
            at: RemarkAddress { pull: row.count("number")?, place: row.parsed("place")?, id: row.count("comment")? },
            state: row.parsed("state")?,
            what: row.optional_text("what")?,
            by: row.optional_text("author")?,
            answer: row.optional_text("answer")?.map(|_| row.json("answer")).transpose()?,
            since: row.moment("at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// See [`crate::store::Store::note_command`].
pub(super) async fn note(
    connection: &mut Connection,
    held: &ClaimedTask,
    command: &CommandComment,
    timeline: &[TimelineEntry],
) -> Result<(), StoreError> {
    fence::hold(connection, held).await?;
    let request = seq_of(connection, &command.request).await?;
    let noted = statement(
        "UPDATE commands SET state = ?, what = ?, author = ?, answer = ?, at = ? \
         WHERE repository = ? AND comment = ? AND place = ? AND number = ? AND request = ?",
    );
    let noted = noted.bind(command.state.as_str()).bind(command.what.as_deref()).bind(command.by.as_deref());
    let noted = noted.bind(command.answer.as_ref().map(to_json).transpose()?).bind(command.since.unix_millis());
    let noted = noted.bind(command.repository.as_str()).bind(to_number(command.at.id)).bind(command.at.place.as_str());
    let noted = noted.bind(to_number(command.at.pull)).bind(request);
    if noted.execute(&mut *connection).await?.rows_affected() == 0 {
        return Err(StoreError::NotFound(format!("{} of {}", command.at, command.repository)));
    }
    add_timeline(connection, request, timeline).await
}
