//! The copilot: calls of a model that no request has, held against the same day's budget as the turns of drafts, and suggestions.

use super::SqlStore;
use super::drafts::{day_of, is_beyond, spend, spent_since};
use super::query::{Connection, statement};
use super::rows::{Columns, to_json, to_number};
use super::upkeep::slice;
use crate::store::{CallReservation, Copilots, Limit, Spend, StoreError, Suggestion};
use crate::types::{SuggestionId, Timestamp};
use async_trait::async_trait;

#[async_trait]
impl Copilots for SqlStore {
    async fn reserve_call(&self, worst: Spend, day: Limit, now: Timestamp) -> Result<CallReservation, StoreError> {
        self.writing(async |connection| reserve(connection, worst, day, now).await).await
    }

    async fn settle_call(&self, call: u64, spent: Spend) -> Result<(), StoreError> {
        self.writing(async |connection| settle(connection, call, spent).await).await
    }

    async fn keep_suggestion(&self, suggestion: &Suggestion) -> Result<(), StoreError> {
        self.writing(async |connection| keep(connection, suggestion).await).await
    }

    async fn suggestion(&self, id: &SuggestionId) -> Result<Suggestion, StoreError> {
        let mut connection = self.database.read().await?;
        let row =
            statement("SELECT id, made_by, made_at, content FROM suggestions WHERE id = ?").bind(id.as_str()).fetch_optional(&mut connection).await?;
        let row = row.ok_or_else(|| StoreError::NotFound(format!("suggestion {id}")))?;
        Ok(Suggestion { id: row.parsed("id")?, by: row.text("made_by")?, made_at: row.moment("made_at")?, content: row.json("content")? })
    }
}

/// See [`Copilots::reserve_call`].
async fn reserve(connection: &mut Connection, worst: Spend, day: Limit, now: Timestamp) -> Result<CallReservation, StoreError> {
    if day != Limit::default() {
        let used = spent_since(connection, None, day_of(now)).await?;
        if is_beyond(used, worst, day) {
            return Ok(CallReservation::Exhausted { used, limit: day });
        }
    }
    let row = statement("INSERT INTO copilot_calls (begun_at, reserved_tokens, reserved_micros) VALUES (?, ?, ?) RETURNING seq")
        .bind(now.unix_millis())
        .bind(to_number(worst.tokens))
        .bind(to_number(worst.micros))
        .fetch_one(connection)
        .await?;
    Ok(CallReservation::Made { call: row.count("seq")? })
}

/// See [`Copilots::settle_call`].
async fn settle(connection: &mut Connection, call: u64, spent: Spend) -> Result<(), StoreError> {
    let settled = statement("UPDATE copilot_calls SET spent_tokens = ?, spent_micros = ? WHERE seq = ?")
        .bind(to_number(spent.tokens))
        .bind(to_number(spent.micros))
        .bind(to_number(call))
        .execute(connection)
        .await?;
    if settled.rows_affected() == 0 {
        return Err(StoreError::NotFound(format!("call {call} of the copilot")));
    }
    Ok(())
}

async fn keep(connection: &mut Connection, suggestion: &Suggestion) -> Result<(), StoreError> {
    statement("INSERT INTO suggestions (id, made_by, made_at, content) VALUES (?, ?, ?, ?)")
        .bind(suggestion.id.as_str())
        .bind(suggestion.by.as_str())
        .bind(suggestion.made_at.unix_millis())
        .bind(to_json(&suggestion.content)?)
        .execute(connection)
        .await?;
    Ok(())
}

/// What calls since a moment did cost.
pub(super) async fn calls_since(connection: &mut Connection, since: Timestamp) -> Result<Spend, StoreError> {
    let row = statement(
        "SELECT CAST(coalesce(sum(tokens), 0) AS BIGINT) AS tokens, CAST(coalesce(sum(micros), 0) AS BIGINT) AS micros FROM copilot_calls INDEXED BY copilot_calls_begun \
         WHERE begun_at >= ?",
    );
    spend(&row.bind(since.unix_millis()).fetch_one(connection).await?, "tokens", "micros")
}

/// What is older than this goes, of calls what no day's budget needs any more.
pub(super) async fn prune(connection: &mut Connection, before: i64, limit: u32) -> Result<u64, StoreError> {
    let suggestions =
        "DELETE FROM suggestions WHERE seq IN (SELECT s.seq FROM suggestions s INDEXED BY suggestions_made WHERE s.made_at < ? LIMIT ?)";
    let calls =
        "DELETE FROM copilot_calls WHERE seq IN (SELECT c.seq FROM copilot_calls c INDEXED BY copilot_calls_begun WHERE c.begun_at < ? LIMIT ?)";
    Ok(slice(connection, suggestions, before, limit).await? + slice(connection, calls, before, limit).await?)
}
