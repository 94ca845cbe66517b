//! Plans that wait for further events, a request's first one or a group's next: a bound beside the task's time.
//! The bound is gone as soon as somebody took the task, or hurries it: from then on nothing moves the task on.

use super::query::{Connection, statement};
use super::rows::{Columns, to_json};
use super::tasks::add_task;
use crate::event::Event;
use crate::store::{Debounce, NewTask, StoreError};
use crate::types::Timestamp;

/// What joining did to a request whose plan waits for events.
pub(super) enum Waits {
    /// It was not waiting for events.
    Not,
    /// It waits on, until then.
    Until(Timestamp),
    /// It did, and is due now.
    NoLonger,
}

/// Adds a plan, which waits for further events if it is told to; tells until when, and until when at most.
pub(super) async fn add_waiting(
    connection: &mut Connection,
    request: i64,
    task: &NewTask,
    debounce: Option<Debounce>,
) -> Result<Option<(Timestamp, Timestamp)>, StoreError> {
    let Some(debounce) = debounce else {
        add_task(connection, request, task).await?;
        return Ok(None);
    };
    let latest = task.run_at.plus(debounce.at_most);
    let until = task.run_at.plus(debounce.quiet).min(latest);
    add_task(connection, request, &NewTask { run_at: until, ..task.clone() }).await?;
    let bounded = statement("UPDATE outbox SET latest = ? WHERE id = ?").bind(latest.unix_millis()).bind(task.id.as_str());
    // Another of its kind waited already, and waits for no event.
    Ok((bounded.execute(connection).await?.rows_affected() > 0).then_some((until, latest)))
}

/// An event joins at `now`: a plan that waits for events waits on from here, or is due at once where the event does not wait
/// for others.
pub(super) async fn joined(connection: &mut Connection, request: i64, debounce: Option<Debounce>, now: Timestamp) -> Result<Waits, StoreError> {
    let Some(debounce) = debounce else {
        let hurried = statement(
            "UPDATE outbox SET run_at = min(run_at, ?), latest = NULL \
             WHERE request = ? AND kind IN ('plan', 'replan') AND state = 'waiting' AND latest IS NOT NULL",
        );
        let done = hurried.bind(now.unix_millis()).bind(request).execute(connection).await?;
        return Ok(if done.rows_affected() == 0 { Waits::Not } else { Waits::NoLonger });
    };
    let moved = statement(
        "UPDATE outbox SET run_at = max(run_at, min(latest, ?)) \
         WHERE request = ? AND kind IN ('plan', 'replan') AND state = 'waiting' AND latest IS NOT NULL RETURNING run_at",
    );
    let moved = moved.bind(now.plus(debounce.quiet).unix_millis()).bind(request).fetch_optional(connection).await?;
    moved.map_or(Ok(Waits::Not), |row| Ok(Waits::Until(row.moment("run_at")?)))
}

/// Makes `event` the one the request is planned for, and its source the request's, unless its own is newer: an event that comes late overrides
/// none.
pub(super) async fn take_newest(connection: &mut Connection, request: i64, event: &Event) -> Result<(), StoreError> {
    let own = statement("SELECT event FROM request_events WHERE request = ?").bind(request).fetch_one(&mut *connection).await?;
    let own: Event = own.json("event")?;
    if own.time <= event.time {
        statement("UPDATE request_events SET event = ? WHERE request = ?").bind(to_json(event)?).bind(request).execute(&mut *connection).await?;
        let source = event.source.as_ref().map_or("", |source| source.as_str());
        statement("UPDATE requests SET source = ?1 WHERE seq = ?2 AND source <> ?1").bind(source).bind(request).execute(connection).await?;
    }
    Ok(())
}
