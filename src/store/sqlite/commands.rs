//! Comments on pull requests, and reviews, that hold commands, in the caller's transaction.

use super::requests::{add_timeline, seq_of};
use super::rows::{Columns, to_json, to_number};
use crate::request::{RemarkAddress, TimelineEntry};
use crate::store::{CommandComment, StoreError};
use crate::types::{RepositoryName, RequestId, Timestamp};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

/// Keeps that a comment was heard of; false when it had been before.
pub(super) async fn ask(
    connection: &mut SqliteConnection,
    request: i64,
    repository: &RepositoryName,
    at: &RemarkAddress,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let kept = sqlx::query(
        "INSERT INTO commands (request, repository, number, place, comment, state, at) VALUES (?, ?, ?, ?, ?, 'asked', ?) ON CONFLICT DO NOTHING",
    );
    let kept = kept.bind(request).bind(repository.as_str());
    let kept = kept.bind(to_number(at.pull)).bind(at.place.as_str()).bind(to_number(at.id)).bind(now.unix_millis());
    Ok(kept.execute(connection).await?.rows_affected() == 1)
}

/// See [`crate::store::Store::commands`].
pub(super) async fn of(connection: &mut SqliteConnection, id: &RequestId) -> Result<Vec<CommandComment>, StoreError> {
    let request = seq_of(connection, id).await?;
    let rows = sqlx::query(
        "SELECT repository, number, place, comment, state, what, author, answer, at FROM commands INDEXED BY commands_open \
         WHERE request = ? AND state IN ('asked', 'done') ORDER BY seq",
    );
    let rows = rows.bind(request).fetch_all(connection).await?;
    let read = |row: &SqliteRow| {
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
pub(super) async fn note(connection: &mut SqliteConnection, command: &CommandComment, timeline: &[TimelineEntry]) -> Result<(), StoreError> {
    let request = seq_of(connection, &command.request).await?;
    let noted = sqlx::query(
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
