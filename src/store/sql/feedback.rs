//! What is told outside of requests: that it is owed, and what became of each act.

use super::fence;
use super::query::{Connection, Row, statement};
use super::requests::{add_timeline, entry_of, seq_of};
use super::rows::Columns;
use super::tasks::add_task;
use crate::request::TimelineEntry;
use crate::store::{Act, ActKey, ClaimedTask, NewTask, StoreError, TaskKind, ToldSoFar, lane};
use crate::types::{AutomationName, RequestId, TaskId, Timestamp};

/// Owes the telling of a change of state, where anybody is told.
pub(super) async fn owe(connection: &mut Connection, request: i64, at: Timestamp) -> Result<(), StoreError> {
    let row = statement("SELECT id, automation, (SELECT max(seq) FROM timeline) AS entry FROM requests WHERE seq = ? AND tells = 1");
    let Some(row) = row.bind(request).fetch_optional(&mut *connection).await? else { return Ok(()) };
    let automation: AutomationName = row.parsed("automation")?;
    // The store draws no random bits: no two tasks of this kind are made for one entry.
    let id = TaskId::from_parts(at, u128::try_from(row.number("entry")?).unwrap_or_default());
    let task = NewTask { id, kind: TaskKind::Tell, request: row.parsed("id")?, lane: lane::feedback(&automation), run_at: at };
    add_task(connection, request, &task).await
}

/// See [`crate::store::Store::told_so_far`].
pub(super) async fn told_so_far(connection: &mut Connection, id: &RequestId) -> Result<ToldSoFar, StoreError> {
    let request = seq_of(connection, id).await?;
    let rows = statement(
        "SELECT seq, at, from_state, to_state, message, actor FROM timeline WHERE request = ? AND from_state IS DISTINCT FROM to_state ORDER BY seq",
    );
    let rows = rows.bind(request).fetch_all(&mut *connection).await?;
    let changes = rows.iter().map(|row| Ok((row.count("seq")?, entry_of(row)?))).collect::<Result<_, StoreError>>()?;
    let rows = statement("SELECT channel, news, act, state, note, at FROM told WHERE request = ? ORDER BY at, channel, news, act");
    let rows = rows.bind(request).fetch_all(connection).await?;
    let act = |row: &Row| {
        let key = ActKey { request: id.clone(), channel: row.text("channel")?, news: row.text("news")?, act: row.text("act")? };
        Ok(Act { key, state: row.parsed("state")?, note: row.optional_text("note")?, at: row.moment("at")? })
    };
    Ok(ToldSoFar { changes, acts: rows.iter().map(act).collect::<Result<_, StoreError>>()? })
}

/// See [`crate::store::Store::note_act`].
pub(super) async fn note(connection: &mut Connection, held: &ClaimedTask, act: &Act, timeline: &[TimelineEntry]) -> Result<(), StoreError> {
    fence::hold(connection, held).await?;
    let request = seq_of(connection, &act.key.request).await?;
    let noted = statement(
        "INSERT INTO told (request, channel, news, act, state, note, at) VALUES (?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (request, channel, news, act) DO UPDATE SET state = excluded.state, note = excluded.note, at = excluded.at \
         WHERE told.state <> 'done'",
    );
    let key = &act.key;
    let noted = noted.bind(request).bind(key.channel.as_str()).bind(key.news.as_str()).bind(key.act.as_str());
    let noted = noted.bind(act.state.as_str()).bind(act.note.as_deref()).bind(act.at.unix_millis()).execute(&mut *connection).await?;
    if noted.rows_affected() == 0 {
        return Ok(());
    }
    add_timeline(connection, request, timeline).await
}

/// See [`crate::store::Store::begin_again_unfenced`].
pub(super) async fn begin_again(connection: &mut Connection, refused: &[ActKey], now: Timestamp) -> Result<(), StoreError> {
    for key in refused {
        let request = seq_of(connection, &key.request).await?;
        let begun = statement(
            "UPDATE told SET state = 'begun', note = NULL, at = ? \
             WHERE request = ? AND channel = ? AND news = ? AND act = ? AND state = 'refused'",
        );
        let begun = begun.bind(now.unix_millis()).bind(request).bind(key.channel.as_str()).bind(key.news.as_str()).bind(key.act.as_str());
        begun.execute(&mut *connection).await?;
    }
    Ok(())
}
