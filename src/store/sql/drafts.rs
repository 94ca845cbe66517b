//! Drafts by a language model, turn by turn, and what they cost. A call is noted with what it may cost before it is made, in the
//! transaction that holds it against the budgets: of two processes the second sees what the first has noted.

use super::fence;
use super::query::{Connection, Row, statement};
use super::requests::seq_of;
use super::rows::{Columns, broken, to_json, to_number};
use super::{SqlStore, copilot};
use crate::store::{Budget, ClaimedTask, Draft, DraftEnd, DraftState, Drafts, Limit, Progress, Purse, Reservation, Spend, StoreError, Tally, Turn};
use crate::types::{AutomationName, RequestId, Timestamp};
use async_trait::async_trait;
use serde_json::Value;

const DAY_MILLIS: i64 = 86_400_000;
/// What counts of calls, of a table or a part of it.
const COUNTED: &str =
    "SELECT CAST(coalesce(sum(tokens), 0) AS BIGINT) AS tokens, CAST(coalesce(sum(micros), 0) AS BIGINT) AS micros FROM draft_turns";

/// What is read of a draft and of a turn, by name: a newer schema may have more.
const DRAFT: &str = "number, automation, state, base, salt, begun_at, ended_at, brief, outcome";
const TURN: &str =
    "request, draft, turn, attempt, automation, begun_at, ended_at, reserved_tokens, reserved_micros, spent_tokens, spent_micros, reply, response";

#[async_trait]
impl Drafts for SqlStore {
    async fn begin_draft(&self, held: &ClaimedTask, draft: &Draft) -> Result<Draft, StoreError> {
        self.writing(async |connection| begin(connection, held, draft).await).await
    }

    async fn drafts(&self, request: &RequestId) -> Result<Vec<Draft>, StoreError> {
        let mut connection = self.database.read().await?;
        let seq = seq_of(&mut connection, request).await?;
        let rows = statement(format!("SELECT {DRAFT} FROM drafts WHERE request = ? ORDER BY number")).bind(seq).fetch_all(&mut connection).await?;
        rows.iter().map(|row| read(row, request)).collect()
    }

    async fn turns(&self, request: &RequestId, number: u32) -> Result<Vec<Turn>, StoreError> {
        let mut connection = self.database.read().await?;
        let seq = seq_of(&mut connection, request).await?;
        let rows = statement(format!("SELECT {TURN} FROM draft_turns WHERE request = ? AND draft = ? ORDER BY turn, attempt"));
        rows.bind(seq).bind(number).fetch_all(&mut connection).await?.iter().map(read_turn).collect()
    }

    async fn newest_draft(&self, request: &RequestId) -> Result<Option<Draft>, StoreError> {
        let mut connection = self.database.read().await?;
        let seq = seq_of(&mut connection, request).await?;
        let row = statement(format!("SELECT {DRAFT} FROM drafts WHERE request = ? ORDER BY number DESC LIMIT 1"))
            .bind(seq)
            .fetch_optional(&mut connection)
            .await?;
        row.map(|row| read(&row, request)).transpose()
    }

    async fn tally(&self, request: &RequestId, number: u32) -> Result<Tally, StoreError> {
        let mut connection = self.database.read().await?;
        let seq = seq_of(&mut connection, request).await?;
        // `typeof` looks at no text.
        let sql = "SELECT count(CASE WHEN typeof(reply) = 'text' THEN 1 END) AS replies, CAST(coalesce(sum(tokens), 0) AS BIGINT) AS tokens, \
                   CAST(coalesce(sum(micros), 0) AS BIGINT) AS micros FROM draft_turns WHERE request = ? AND draft = ?";
        let row = statement(sql).bind(seq).bind(number).fetch_one(&mut connection).await?;
        Ok(Tally { replies: row.count("replies")?, spent: spend(&row, "tokens", "micros")? })
    }

    async fn progress(&self, request: &RequestId) -> Result<Progress, StoreError> {
        progress(&mut self.database.read().await?, request).await
    }

    async fn reserve_turn(
        &self,
        held: &ClaimedTask,
        draft: u32,
        turn: u32,
        worst: Spend,
        budget: &Budget,
        now: Timestamp,
    ) -> Result<Reservation, StoreError> {
        self.writing(async |connection| reserve(connection, held, draft, turn, worst, budget, now).await).await
    }

    async fn settle_turn(&self, held: &ClaimedTask, draft: u32, turn: &Turn) -> Result<(), StoreError> {
        self.writing(async |connection| settle(connection, held, draft, turn).await).await
    }

    async fn spent_since(&self, automation: Option<&AutomationName>, since: Timestamp) -> Result<Spend, StoreError> {
        spent_since(&mut self.database.read().await?, automation.map(AutomationName::as_str), since).await
    }
}

fn word(state: DraftState) -> &'static str {
    match state {
        DraftState::Running => "running",
        DraftState::Answered => "answered",
        DraftState::Declined => "declined",
        DraftState::Refused => "refused",
        DraftState::Failed => "failed",
        DraftState::Cancelled => "cancelled",
    }
}

fn state(word: &str) -> Result<DraftState, StoreError> {
    Ok(match word {
        "running" => DraftState::Running,
        "answered" => DraftState::Answered,
        "declined" => DraftState::Declined,
        "refused" => DraftState::Refused,
        "failed" => DraftState::Failed,
        "cancelled" => DraftState::Cancelled,
        _ => return Err(broken("state")),
    })
}

fn read(row: &Row, request: &RequestId) -> Result<Draft, StoreError> {
    Ok(Draft {
        request: request.clone(),
        number: small(row, "number")?,
        automation: row.parsed("automation")?,
        state: state(&row.text("state")?)?,
        base: row.parsed("base")?,
        salt: row.text("salt")?,
        brief: row.json("brief")?,
        outcome: optional_json(row, "outcome")?,
        begun_at: row.moment("begun_at")?,
        ended_at: row.optional_moment("ended_at")?,
    })
}

fn read_turn(row: &Row) -> Result<Turn, StoreError> {
    let spent = match row.optional_number("spent_tokens")? {
        Some(_) => Some(spend(row, "spent_tokens", "spent_micros")?),
        None => None,
    };
    Ok(Turn {
        number: small(row, "turn")?,
        attempt: small(row, "attempt")?,
        begun_at: row.moment("begun_at")?,
        reserved: spend(row, "reserved_tokens", "reserved_micros")?,
        spent,
        reply: optional_json(row, "reply")?,
        response: optional_json(row, "response")?,
        ended_at: row.optional_moment("ended_at")?,
    })
}

/// See [`Drafts::progress`]. One statement, so that all of it is of one moment; `typeof` looks at no text.
async fn progress(connection: &mut Connection, request: &RequestId) -> Result<Progress, StoreError> {
    let sql = "SELECT r.state, (SELECT d.state FROM drafts d WHERE d.request = r.seq ORDER BY d.number DESC LIMIT 1) AS newest, \
               (SELECT count(*) FROM drafts d WHERE d.request = r.seq) AS drafts, count(t.seq) AS calls, count(t.ended_at) AS ended, \
               count(CASE WHEN typeof(t.reply) = 'text' THEN 1 END) AS replies, count(CASE WHEN typeof(t.response) = 'text' THEN 1 END) AS responses \
               FROM requests r LEFT JOIN draft_turns t ON t.request = r.seq WHERE r.id = ? GROUP BY r.seq";
    let row = statement(sql).bind(request.as_str()).fetch_optional(connection).await?;
    let row = row.ok_or_else(|| StoreError::NotFound(format!("request {request}")))?;
    Ok(Progress {
        request: row.parsed("state")?,
        newest: row.optional_text("newest")?.map(|newest| state(&newest)).transpose()?,
        drafts: row.count("drafts")?,
        calls: row.count("calls")?,
        ended: row.count("ended")?,
        replies: row.count("replies")?,
        responses: row.count("responses")?,
    })
}

fn small(row: &Row, column: &str) -> Result<u32, StoreError> {
    u32::try_from(row.count(column)?).map_err(|_| broken(column))
}

pub(super) fn spend(row: &Row, tokens: &str, micros: &str) -> Result<Spend, StoreError> {
    Ok(Spend { tokens: row.count(tokens)?, micros: row.count(micros)? })
}

fn optional_json(row: &Row, column: &str) -> Result<Option<Value>, StoreError> {
    row.optional_text(column)?.map(|_| row.json(column)).transpose()
}

/// See [`Drafts::begin_draft`].
async fn begin(connection: &mut Connection, held: &ClaimedTask, draft: &Draft) -> Result<Draft, StoreError> {
    fence::hold(connection, held).await?;
    let request = seq_of(connection, &draft.request).await?;
    let found = statement(format!("SELECT {DRAFT} FROM drafts WHERE request = ? AND number = ?")).bind(request).bind(draft.number);
    if let Some(row) = found.fetch_optional(&mut *connection).await? {
        return read(&row, &draft.request);
    }
    let begun = statement(
        "INSERT INTO drafts (request, number, automation, state, base, salt, brief, begun_at) \
         SELECT seq, ?, ?, 'running', ?, ?, ?, ? FROM requests WHERE seq = ? AND live = 1",
    )
    .bind(draft.number)
    .bind(draft.automation.as_str())
    .bind(draft.base.as_str())
    .bind(draft.salt.as_str())
    .bind(to_json(&draft.brief)?)
    .bind(draft.begun_at.unix_millis())
    .bind(request)
    .execute(connection)
    .await?;
    if begun.rows_affected() == 0 {
        return Err(StoreError::Conflict(format!("request {} has ended", draft.request)));
    }
    Ok(Draft { state: DraftState::Running, outcome: None, ended_at: None, ..draft.clone() })
}

/// See [`Drafts::reserve_turn`].
async fn reserve(
    connection: &mut Connection,
    held: &ClaimedTask,
    draft: u32,
    turn: u32,
    worst: Spend,
    budget: &Budget,
    now: Timestamp,
) -> Result<Reservation, StoreError> {
    fence::hold(connection, held).await?;
    let running = statement(
        "SELECT d.request, d.automation FROM requests r JOIN drafts d ON d.request = r.seq WHERE r.id = ? AND d.number = ? AND d.state = 'running'",
    );
    let Some(row) = running.bind(held.request.id.as_str()).bind(draft).fetch_optional(&mut *connection).await? else {
        return Ok(Reservation::Over);
    };
    let (request, automation) = (row.number("request")?, row.text("automation")?);
    let today = day_of(now);
    for (whose, limit) in [(Purse::Request, budget.request), (Purse::AutomationDay, budget.automation_day), (Purse::Day, budget.day)] {
        if limit == Limit::default() {
            continue;
        }
        let used = match whose {
            Purse::Request => spent_of(connection, request).await?,
            Purse::AutomationDay => spent_since(connection, Some(&automation), today).await?,
            Purse::Day => spent_since(connection, None, today).await?,
        };
        if is_beyond(used, worst, limit) {
            return Ok(Reservation::Exhausted { whose, used, limit });
        }
    }
    let row = statement(
        "INSERT INTO draft_turns (request, draft, turn, attempt, automation, begun_at, reserved_tokens, reserved_micros) \
         SELECT ?1, ?2, ?3, coalesce(max(attempt), 0) + 1, ?4, ?5, ?6, ?7 FROM draft_turns WHERE request = ?1 AND draft = ?2 AND turn = ?3 \
         RETURNING attempt",
    )
    .bind(request)
    .bind(draft)
    .bind(turn)
    .bind(automation)
    .bind(now.unix_millis())
    .bind(to_number(worst.tokens))
    .bind(to_number(worst.micros))
    .fetch_one(connection)
    .await?;
    Ok(Reservation::Made { attempt: small(&row, "attempt")? })
}

/// See [`Drafts::settle_turn`].
async fn settle(connection: &mut Connection, held: &ClaimedTask, draft: u32, turn: &Turn) -> Result<(), StoreError> {
    fence::hold(connection, held).await?;
    let request = &held.request.id;
    let seq = seq_of(connection, request).await?;
    let settled = statement(
        "UPDATE draft_turns SET spent_tokens = coalesce(spent_tokens, ?), spent_micros = coalesce(spent_micros, ?), reply = coalesce(reply, ?), \
         response = coalesce(response, ?), ended_at = coalesce(ended_at, ?) WHERE request = ? AND draft = ? AND turn = ? AND attempt = ?",
    )
    .bind(turn.spent.map(|spent| to_number(spent.tokens)))
    .bind(turn.spent.map(|spent| to_number(spent.micros)))
    .bind(turn.reply.as_ref().map(to_json).transpose()?)
    .bind(turn.response.as_ref().map(to_json).transpose()?)
    .bind(turn.ended_at.map(Timestamp::unix_millis))
    .bind(seq)
    .bind(draft)
    .bind(turn.number)
    .bind(turn.attempt)
    .execute(connection)
    .await?;
    if settled.rows_affected() == 0 {
        return Err(StoreError::NotFound(format!("attempt {} at turn {} of draft {draft} of request {request}", turn.attempt, turn.number)));
    }
    Ok(())
}

/// When the day of a moment begins (UTC).
pub(super) fn day_of(now: Timestamp) -> Timestamp {
    Timestamp::from_unix_millis(now.unix_millis().div_euclid(DAY_MILLIS) * DAY_MILLIS)
}

/// Whether a call that costs `worst` could go beyond a limit of which this much is used.
pub(super) fn is_beyond(used: Spend, worst: Spend, limit: Limit) -> bool {
    let beyond = |used: u64, worst: u64, most: Option<u64>| most.is_some_and(|most| used.saturating_add(worst) > most);
    beyond(used.tokens, worst.tokens, limit.tokens) || beyond(used.micros, worst.micros, limit.micros)
}

/// What was used by all drafts of a request.
async fn spent_of(connection: &mut Connection, request: i64) -> Result<Spend, StoreError> {
    let sql = format!("{COUNTED} WHERE request = ?");
    let row = statement(sql).bind(request).fetch_one(connection).await?;
    spend(&row, "tokens", "micros")
}

/// See [`Drafts::spent_since`].
pub(super) async fn spent_since(connection: &mut Connection, automation: Option<&str>, since: Timestamp) -> Result<Spend, StoreError> {
    let row = match automation {
        Some(automation) => {
            let sql = format!("{COUNTED} INDEXED BY draft_turns_automation WHERE automation = ? AND begun_at >= ?");
            statement(sql).bind(automation.to_owned()).bind(since.unix_millis()).fetch_one(connection).await?
        }
        None => {
            let sql = format!("{COUNTED} INDEXED BY draft_turns_begun WHERE begun_at >= ?");
            let drafts = spend(&statement(sql).bind(since.unix_millis()).fetch_one(&mut *connection).await?, "tokens", "micros")?;
            let calls = copilot::calls_since(connection, since).await?;
            return Ok(Spend { tokens: drafts.tokens.saturating_add(calls.tokens), micros: drafts.micros.saturating_add(calls.micros) });
        }
    };
    spend(&row, "tokens", "micros")
}

/// Ends a draft of a request as a part of a settlement.
///
/// # Errors
/// [`StoreError::Conflict`] when it does not run.
pub(super) async fn end(connection: &mut Connection, request: i64, end: &DraftEnd, now: Timestamp) -> Result<(), StoreError> {
    let ended = statement("UPDATE drafts SET state = ?, outcome = ?, ended_at = ? WHERE request = ? AND number = ? AND state = 'running'")
        .bind(word(end.state))
        .bind(to_json(&end.outcome)?)
        .bind(now.unix_millis())
        .bind(request)
        .bind(end.number)
        .execute(connection)
        .await?;
    if ended.rows_affected() == 0 {
        return Err(StoreError::Conflict(format!("draft {} is over already", end.number)));
    }
    Ok(())
}
