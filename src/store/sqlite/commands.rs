//! Comments on pull requests that hold commands, in the caller's transaction.

use super::requests::{add_timeline, seq_of};
use super::rows::{Columns, to_json, to_number};
use crate::request::TimelineEntry;
use crate::store::{CommandComment, StoreError};
use crate::types::{RepositoryName, RequestId, Timestamp};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

/// Keeps that a comment was heard of; false when it had been before.
pub(super) async fn ask(
    connection: &mut SqliteConnection,
    request: i64,
    repository: &RepositoryName,
    number: u64,
    comment: u64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let kept =
        sqlx::query("INSERT INTO commands (request, repository, number, comment, state, at) VALUES (?, ?, ?, ?, 'asked', ?) ON CONFLICT DO NOTHING");
    let kept = kept.bind(request).bind(repository.as_str()).bind(to_number(number)).bind(to_number(comment)).bind(now.unix_millis());
    Ok(kept.execute(connection).await?.rows_affected() == 1)
}

/// See [`crate::store::Store::commands`].
pub(super) async fn of(connection: &mut SqliteConnection, id: &RequestId) -> Result<Vec<CommandComment>, StoreError> {
    let request = seq_of(connection, id).await?;
    let rows = sqlx::query(
        "SELECT repository, number, comment, state, what, author, answer, at FROM commands INDEXED BY commands_open \
         WHERE request = ? AND state IN ('asked', 'done') ORDER BY seq",
    );
    let rows = rows.bind(request).fetch_all(connection).await?;
    let read = |row: &SqliteRow| {
        Ok(CommandComment {
            request: id.clone(),
            repository: row.parsed("repository")?,
            number: row.count("number")?,
            comment: row.count("comment")?,
            state: row.parsed("state")?,
            what: row.optional_text("what")?,
            by: row.optional_text("author")?,
            answer: row.optional_text("answer")?.map(|_| row.json("answer")).transpose()?,
            at: row.moment("at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// See [`crate::store::Store::note_command`].
pub(super) async fn note(connection: &mut SqliteConnection, command: &CommandComment, timeline: &[TimelineEntry]) -> Result<(), StoreError> {
    let request = seq_of(connection, &command.request).await?;
    let noted = sqlx::query(
        "UPDATE commands SET state = ?, what = ?, author = ?, answer = ?, at = ? WHERE repository = ? AND comment = ? AND number = ? AND request = ?",
    );
    let noted = noted.bind(command.state.as_str()).bind(command.what.as_deref()).bind(command.by.as_deref());
    let noted = noted.bind(command.answer.as_ref().map(to_json).transpose()?).bind(command.at.unix_millis());
    let noted = noted.bind(command.repository.as_str()).bind(to_number(command.comment)).bind(to_number(command.number)).bind(request);
    if noted.execute(&mut *connection).await?.rows_affected() == 0 {
        return Err(StoreError::NotFound(format!("comment {} of {}", command.comment, command.repository)));
    }
    add_timeline(connection, request, timeline).await
}
