//! Members of requests that stand for a group of events: who joins, what a plan came to for each, who is taken out, and who
//! goes on in the next request when this one ends without them. All in the caller's transaction.

use super::debounce::{self, Waits};
use super::dispatch::{first_task, quote};
use super::query::{Connection, Row, statement};
use super::requests::{add_timeline, create, one, seq_of};
use super::rows::{Columns, to_json};
use super::tasks::{self, add_task};
use crate::event::Event;
use crate::request::{Member, MemberOutcome, MemberState, Request, RequestKey, State, TimelineEntry};
use crate::store::{DispatchedEvent, NewTask, Opening, Settlement, StoreError, TaskKind, Withdrawal, lane};
use crate::types::{RepositoryName, RequestId, TaskId, Timestamp};

/// Which members an ended request did not take along: those whose change was neither on the branch nor found to be none.
const LEFT_BEHIND: &str = "state = 'active' AND proposed = 0 AND NOT (planned = 1 AND commit_sha IS NULL)";

/// A live request that is joined.
pub(super) struct Live {
    pub(super) seq: i64,
    pub(super) id: RequestId,
    pub(super) state: State,
    pub(super) joins: i64,
    pub(super) members: i64,
}

/// How an event became, or was, a member.
pub(super) struct Joined {
    pub(super) number: i64,
    pub(super) waits: Waits,
}

/// See [`crate::store::Store::members`].
pub(super) async fn list(connection: &mut Connection, id: &RequestId, open: bool, behind: u32, limit: u32) -> Result<Vec<Member>, StoreError> {
    let seq = seq_of(connection, id).await?;
    let rows = statement(
        "SELECT number, correlation, state, event, parameters, planned, proposed, commit_sha, title, summary, findings, message, joined_at, updated_at \
         FROM request_members WHERE request = ?1 AND (?2 = 0 OR state <> 'withdrawn') AND number > ?3 ORDER BY number LIMIT ?4",
    );
    rows.bind(seq).bind(open).bind(behind).bind(limit).fetch_all(connection).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Member, StoreError> {
    Ok(Member {
        number: u32::try_from(row.count("number")?).map_err(|_| super::rows::broken("number"))?,
        correlation: row.text("correlation")?,
        state: row.parsed::<MemberState>("state")?,
        event: row.json("event")?,
        parameters: row.optional_text("parameters")?.map(|_| row.json("parameters")).transpose()?,
        planned: row.number("planned")? != 0,
        proposed: row.number("proposed")? != 0,
        commit: row.optional("commit_sha")?,
        title: row.optional_text("title")?,
        summary: row.json("summary")?,
        findings: row.json("findings")?,
        message: row.optional_text("message")?,
        joined_at: row.moment("joined_at")?,
        updated_at: row.moment("updated_at")?,
    })
}

/// A member to be written.
pub(super) struct NewMember<'a> {
    pub(super) number: i64,
    pub(super) correlation: &'a str,
    pub(super) event: &'a Event,
    pub(super) parameters: Option<String>,
}

/// Adds a member, and raises the request's count of them.
pub(super) async fn add(connection: &mut Connection, request: i64, member: NewMember<'_>, now: Timestamp) -> Result<(), StoreError> {
    statement(
        "INSERT INTO request_members (request, number, correlation, state, parameters, event_id, event, joined_at, updated_at) \
         VALUES (?1, ?2, ?3, 'active', ?4, ?5, ?6, ?7, ?7)",
    )
    .bind(request)
    .bind(member.number)
    .bind(member.correlation)
    .bind(member.parameters)
    .bind(member.event.id.as_str())
    .bind(to_json(member.event)?)
    .bind(now.unix_millis())
    .execute(&mut *connection)
    .await?;
    statement("UPDATE requests SET members = ? WHERE seq = ?").bind(member.number).bind(request).execute(connection).await?;
    Ok(())
}

/// An event joins a live request of a group, or makes it one.
pub(super) async fn join(
    connection: &mut Connection,
    found: &mut Live,
    told: &DispatchedEvent,
    opening: &Opening,
    now: Timestamp,
) -> Result<Joined, StoreError> {
    if found.members == 0 {
        become_a_group(connection, found, now).await?;
    }
    let waits = debounce::joined(connection, found.seq, opening.debounce, now).await?;
    let known = statement(
        "SELECT number, event, state = 'refused' OR (planned = 1 AND commit_sha IS NULL) AS ready, planned FROM request_members \
         WHERE request = ? AND correlation = ? AND state <> 'withdrawn'",
    );
    let known = known.bind(found.seq).bind(opening.correlation.as_str()).fetch_optional(&mut *connection).await?;
    let number = match known {
        None => {
            let number = found.members + 1;
            let parameters = opening.parameters.as_ref().map(to_json).transpose()?;
            let member = NewMember { number, correlation: &opening.correlation, event: &told.event, parameters };
            add(connection, found.seq, member, now).await?;
            found.members = number;
            number
        }
        Some(row) => {
            let (number, own): (i64, Event) = (row.number("number")?, row.json("event")?);
            let waiting = row.number("planned")? == 0 && matches!(waits, Waits::Until(_)) && own.time <= told.event.time;
            if waiting || row.number("ready")? != 0 {
                try_anew(connection, found.seq, number, told, opening, now).await?;
            }
            if row.number("ready")? == 0 {
                return Ok(Joined { number, waits });
            }
            number
        }
    };
    let waits = match waits {
        Waits::Not => owe(connection, found.seq, found.state, &replan(found, opening, now)?, opening.debounce).await?,
        moved => moved,
    };
    Ok(Joined { number, waits })
}

/// The request was opened for one event alone: that one is its first member.
async fn become_a_group(connection: &mut Connection, found: &mut Live, now: Timestamp) -> Result<(), StoreError> {
    let own = statement("SELECT r.correlation, r.parameters, w.event FROM requests r JOIN request_events w ON w.request = r.seq WHERE r.seq = ?");
    let own = own.bind(found.seq).fetch_one(&mut *connection).await?;
    let (correlation, event): (String, Event) = (own.text("correlation")?, own.json("event")?);
    let member = NewMember { number: 1, correlation: &correlation, event: &event, parameters: own.optional_text("parameters")? };
    add(connection, found.seq, member, now).await?;
    found.members = 1;
    Ok(())
}

async fn try_anew(
    connection: &mut Connection,
    request: i64,
    number: i64,
    told: &DispatchedEvent,
    opening: &Opening,
    now: Timestamp,
) -> Result<(), StoreError> {
    statement(
        "UPDATE request_members SET event_id = ?, event = ?, parameters = ?, state = 'active', planned = 0, message = NULL, updated_at = ? \
         WHERE request = ? AND number = ?",
    )
    .bind(told.event.id.as_str())
    .bind(to_json(&told.event)?)
    .bind(opening.parameters.as_ref().map(to_json).transpose()?)
    .bind(now.unix_millis())
    .bind(request)
    .bind(number)
    .execute(connection)
    .await?;
    Ok(())
}

fn replan(found: &Live, opening: &Opening, now: Timestamp) -> Result<NewTask, StoreError> {
    let lane = opening.repository.as_ref().map(lane::of).unwrap_or_default();
    // The opening's own id was made for this event and is no request's.
    Ok(NewTask { id: first_task(&opening.id)?, kind: TaskKind::Replan, request: found.id.clone(), lane, run_at: now })
}

/// Owes the group a new plan, unless its first one is still to begin.
async fn owe(
    connection: &mut Connection,
    request: i64,
    state: State,
    task: &NewTask,
    debounce: Option<crate::store::Debounce>,
) -> Result<Waits, StoreError> {
    if state == State::Accepted {
        let waiting = statement("SELECT 1 FROM outbox WHERE request = ? AND kind = 'plan' AND state = 'waiting'");
        if waiting.bind(request).fetch_optional(&mut *connection).await?.is_some() {
            return Ok(Waits::Not);
        }
    }
    let waits = debounce::add_waiting(connection, request, task, debounce).await?;
    Ok(waits.map_or(Waits::Not, |(until, _)| Waits::Until(until)))
}

/// What a settlement says of members.
pub(super) async fn settle(connection: &mut Connection, settlement: &Settlement, request: i64, now: Timestamp) -> Result<(), StoreError> {
    let beside = &settlement.beside;
    if !beside.members.is_empty() {
        outcomes(connection, request, &beside.members, now).await?;
    }
    if beside.pushed {
        statement("UPDATE request_members SET proposed = CASE WHEN commit_sha IS NULL THEN 0 ELSE 1 END WHERE request = ?")
            .bind(request)
            .execute(&mut *connection)
            .await?;
    }
    if let (Some(after), Some(successor)) = (&settlement.request, &beside.successor) {
        carry_over(connection, after, request, successor, now).await?;
    }
    Ok(())
}

async fn outcomes(connection: &mut Connection, request: i64, members: &[MemberOutcome], now: Timestamp) -> Result<(), StoreError> {
    let numbers: Vec<u32> = members.iter().map(|member| member.number).collect();
    let others = "UPDATE request_members SET planned = 0, commit_sha = NULL WHERE request = ? AND number NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(?))";
    statement(others).bind(request).bind(to_json(&numbers)?).execute(&mut *connection).await?;
    for member in members {
        // Whoever tries anew since the plan read it stays unplanned: the plan was another event's.
        statement(
            "UPDATE request_members SET state = ?, planned = 1, commit_sha = ?, title = ?, summary = ?, parameters = coalesce(?, parameters), \
             findings = ?, message = ?, updated_at = ? WHERE request = ? AND number = ? AND state <> 'withdrawn' AND event_id = ?",
        )
        .bind(if member.refused { "refused" } else { "active" })
        .bind(member.commit.as_ref().map(|commit| commit.as_str()))
        .bind(member.title.as_deref())
        .bind(to_json(&member.summary)?)
        .bind(member.parameters.as_ref().map(to_json).transpose()?)
        .bind(to_json(&member.findings)?)
        .bind(member.message.as_deref())
        .bind(now.unix_millis())
        .bind(request)
        .bind(member.number)
        .bind(member.event.as_str())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Opens `successor` for the members that the ended request did not take along, if there are any.
pub(super) async fn carry_over(
    connection: &mut Connection,
    ended: &Request,
    seq: i64,
    successor: &RequestId,
    now: Timestamp,
) -> Result<(), StoreError> {
    if !ended.state.is_ended() {
        return Ok(());
    }
    let left =
        format!("SELECT number, event, count(*) OVER () AS members FROM request_members WHERE request = ? AND {LEFT_BEHIND} ORDER BY number LIMIT 1");
    let Some(first) = statement(left).bind(seq).fetch_optional(&mut *connection).await? else { return Ok(()) };
    let (before, count) = (first.number("number")? - 1, first.number("members")?);
    let generation = "SELECT max(generation) + 1 AS next FROM requests WHERE correlation = ? AND automation = ?";
    let generation = statement(generation).bind(ended.key.correlation.as_str()).bind(ended.key.automation.as_str());
    let generation = generation.fetch_one(&mut *connection).await?.count("next")?;
    let key = RequestKey { generation: u32::try_from(generation).unwrap_or(u32::MAX), ..ended.key.clone() };
    let request = Request { repository: ended.repository.clone(), tells: ended.tells, ..Request::opened(successor, &key, first.json("event")?, now) };
    let next = create(connection, &request).await?;
    let moved = format!(
        "UPDATE request_members SET request = ?, number = number - ?, planned = 0, commit_sha = NULL, message = NULL, updated_at = ? \
         WHERE request = ? AND {LEFT_BEHIND}"
    );
    statement(moved).bind(next).bind(before).bind(now.unix_millis()).bind(seq).execute(&mut *connection).await?;
    for sql in [
        "UPDATE requests SET members = (SELECT max(number) FROM request_members WHERE request = ?1) WHERE seq = ?1",
        "INSERT INTO event_requests (event, request) SELECT e.seq, m.request FROM request_members m JOIN events e ON e.id = m.event_id \
         WHERE m.request = ?1 ON CONFLICT DO NOTHING",
    ] {
        statement(sql).bind(next).execute(&mut *connection).await?;
    }
    let entry = |from, to, message| TimelineEntry { at: now, from, to, message, actor: "kubeops".to_owned() };
    let members = format!("{count} member{}", if count == 1 { "" } else { "s" });
    let opened = format!("opened with {members} that request {} did not take along", ended.id);
    add_timeline(connection, next, &[entry(None, State::Accepted, opened)]).await?;
    let told = format!("{members} did not get into it; request {successor} goes on with them");
    add_timeline(connection, seq, &[entry(Some(ended.state), ended.state, told)]).await?;
    let lane = ended.repository.as_ref().map(lane::of).unwrap_or_default();
    let task = NewTask { id: first_task(successor)?, kind: TaskKind::Plan, request: successor.clone(), lane, run_at: now };
    add_task(connection, next, &task).await
}

/// See [`crate::store::Store::withdraw_member`].
pub(super) async fn withdraw(connection: &mut Connection, withdrawal: &Withdrawal, now: Timestamp) -> Result<Request, StoreError> {
    let request = one(connection, &withdrawal.request).await?;
    let seq = seq_of(connection, &withdrawal.request).await?;
    if request.state.is_ended() {
        return Err(StoreError::Conflict(format!("{} is {} already", request.id, request.state)));
    }
    let found = statement(
        "SELECT number, correlation, state FROM request_members WHERE request = ?1 AND (correlation = ?2 OR number = ?3) \
         ORDER BY correlation <> ?2, state = 'withdrawn', number DESC LIMIT 1",
    );
    let found = found.bind(seq).bind(withdrawal.member.as_str()).bind(withdrawal.member.parse::<i64>().unwrap_or(-1));
    let found = found.fetch_optional(&mut *connection).await?;
    let found = found.ok_or_else(|| StoreError::NotFound(format!("member {:?} of request {}", quote(&withdrawal.member), request.id)))?;
    let (number, correlation) = (found.number("number")?, found.text("correlation")?);
    let name = format!("member {number} ({:?})", quote(&correlation));
    if found.text("state")? == "withdrawn" {
        return Err(StoreError::Conflict(format!("{name} of {} is withdrawn already", request.id)));
    }
    let reason = withdrawal.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let told = format!("withdrawn by {}{reason}", withdrawal.actor);
    statement("UPDATE request_members SET state = 'withdrawn', commit_sha = NULL, message = ?, updated_at = ? WHERE request = ? AND number = ?")
        .bind(told.as_str())
        .bind(now.unix_millis())
        .bind(seq)
        .bind(number)
        .execute(&mut *connection)
        .await?;
    let others = statement("SELECT count(*) AS others FROM request_members WHERE request = ? AND state <> 'withdrawn'");
    let others = others.bind(seq).fetch_one(&mut *connection).await?.count("others")?;
    let after = if others == 0 { State::Withdrawn } else { request.state };
    let message = if others == 0 { format!("{name}, the last one, was {told}") } else { format!("{name} was {told}") };
    let entry = TimelineEntry { at: now, from: Some(request.state), to: after, message: message.clone(), actor: withdrawal.actor.clone() };
    add_timeline(connection, seq, &[entry]).await?;
    let task = |id: &TaskId, kind, lane: fn(&RepositoryName) -> String| {
        let lane = request.repository.as_ref().map(lane).unwrap_or_default();
        NewTask { id: id.clone(), kind, request: request.id.clone(), lane, run_at: now }
    };
    if others > 0 {
        owe(connection, seq, request.state, &task(&withdrawal.replan, TaskKind::Replan, lane::of), None).await?;
    } else {
        tasks::drop_of_one_try(connection, seq).await?;
        statement("UPDATE requests SET state = 'withdrawn', message = ?, updated_at = ?, version = version + 1 WHERE seq = ?")
            .bind(message)
            .bind(now.unix_millis())
            .bind(seq)
            .execute(&mut *connection)
            .await?;
        if request.repository.is_some() {
            add_task(connection, seq, &task(&withdrawal.clean_up, TaskKind::Withdraw, lane::pulls)).await?;
        }
    }
    one(connection, &withdrawal.request).await
}
