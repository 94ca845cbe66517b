//! What the store keeps of drafts by a language model: the conversation turn by turn, what it cost, and what it came to.

use super::{ClaimedTask, StoreError};
use crate::request::State;
use crate::types::{AutomationName, CommitSha, RequestId, Timestamp};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A draft of a request. A request has one for each time it was asked for or revised, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The request.
    pub request: RequestId,
    /// Which of its drafts.
    pub number: u32,
    /// The automation it is made for.
    pub automation: AutomationName,
    /// Where it stands.
    pub state: DraftState,
    /// The commit of the base the model looks at; it stays the same while the draft runs.
    pub base: CommitSha,
    /// What placeholders for secrets are derived with: 16 random bytes in hex.
    pub salt: String,
    /// What the draft was begun with, as the pipeline wrote it: the system's words and the first message.
    pub brief: Value,
    /// What it came to, as the pipeline wrote it, once it is over.
    pub outcome: Option<Value>,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// Where a draft stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DraftState {
    /// The model is at it.
    Running,
    /// It gave an answer that passed the gate.
    Answered,
    /// The model says that nothing is to be changed, or that it cannot do it.
    Declined,
    /// It came to no answer that may pass: refused, out of turns, time or budget.
    Refused,
    /// It could not be made: the model's provider, a server, or what else it needs refused, or was not to be had for as long as it was tried.
    Failed,
    /// Nobody wants it any more.
    Cancelled,
}

/// One call of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Which turn of the draft, from 1.
    pub number: u32,
    /// Which attempt at it, from 1.
    pub attempt: u32,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// What it was reckoned at before it was made.
    pub reserved: Spend,
    /// What it did cost; none while it runs, and for good where it was cut off: then `reserved` counts.
    pub spent: Option<Spend>,
    /// What the model answered; none where it did not.
    pub reply: Option<Value>,
    /// What it was told of that: results of its calls, findings.
    pub response: Option<Value>,
    /// When the answer came.
    pub ended_at: Option<Timestamp>,
}

/// What the calls of a draft come to, without a word of what was said in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Calls of which the answer is kept: those that came to nothing are no turns of the model.
    pub replies: u64,
    /// What all of them cost, those that came to nothing too; what they were reckoned at where that is not known.
    pub spent: Spend,
}

/// How far a request and its drafts are. Equal ones: nothing was said in between, and nothing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Where the request stands.
    pub request: State,
    /// Where its newest draft stands; none where none was begun.
    pub newest: Option<DraftState>,
    /// Its drafts.
    pub drafts: u64,
    /// Their calls.
    pub calls: u64,
    /// Those of them that are over.
    pub ended: u64,
    /// Those of which the answer is kept.
    pub replies: u64,
    /// Those of which it is kept what was said to the answer.
    pub responses: u64,
}

/// What a call costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spend {
    /// Tokens, those sent and those answered.
    pub tokens: u64,
    /// Millionths of the currency that prices are in.
    pub micros: u64,
}

/// The limits a call is held against before it is made. None: there is no such limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Of the request, over all its drafts.
    pub request: Limit,
    /// Of its automation, since the begin of the day (UTC).
    pub automation_day: Limit,
    /// Of everything, since the begin of the day (UTC).
    pub day: Limit,
}

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// Of tokens.
    pub tokens: Option<u64>,
    /// Of millionths of the currency.
    pub micros: Option<u64>,
}

/// Whether a call may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// It may: this attempt is noted with what it may cost at most.
    Made {
        /// Which attempt at the turn it is.
        attempt: u32,
    },
    /// It may not: it could go beyond a budget.
    Exhausted {
        /// Whose.
        whose: Purse,
        /// What was used of it.
        used: Spend,
        /// What it allows.
        limit: Limit,
    },
    /// The draft is over, or gone.
    Over,
}

/// Whose budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purse {
    /// The request's.
    Request,
    /// The automation's for a day.
    AutomationDay,
    /// Everything's for a day.
    Day,
}

/// How a draft ended, to be written together with the step that saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftEnd {
    /// Which of the request's drafts.
    pub number: u32,
    /// How.
    pub state: DraftState,
    /// What it came to.
    pub outcome: Value,
}

/// Drafts by a language model. Whoever makes one holds a task of its request: a write in the name of a lease that was lost is refused.
#[async_trait]
pub trait Drafts: Send + Sync {
    /// Begins a draft of the request in hand, or tells the one there is with this number.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the lease of `held` was lost, or the request has ended.
    async fn begin_draft(&self, held: &ClaimedTask, draft: &Draft) -> Result<Draft, StoreError>;

    /// The request's drafts, oldest first.
    async fn drafts(&self, request: &RequestId) -> Result<Vec<Draft>, StoreError>;

    /// The calls of a draft, in order of turn and attempt.
    async fn turns(&self, request: &RequestId, number: u32) -> Result<Vec<Turn>, StoreError>;

    /// The request's newest draft; none where none was begun.
    async fn newest_draft(&self, request: &RequestId) -> Result<Option<Draft>, StoreError>;

    /// What the calls of a draft come to. What was said is not read, so its price does not depend on how much that was.
    async fn tally(&self, request: &RequestId, number: u32) -> Result<Tally, StoreError>;

    /// How far the request and its drafts are, at a price as [`Self::tally`].
    async fn progress(&self, request: &RequestId) -> Result<Progress, StoreError>;

    /// Notes in one transaction that a call is about to be made for a `draft` of the request in hand, which costs at most `worst`, if that goes
    /// beyond no budget: what counts of a call is what it did cost, and what it was reckoned at where that is not known.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the lease of `held` was lost.
    async fn reserve_turn(
        &self,
        held: &ClaimedTask,
        draft: u32,
        turn: u32,
        worst: Spend,
        budget: &Budget,
        now: Timestamp,
    ) -> Result<Reservation, StoreError>;

    /// Notes what a call that was reserved for a `draft` of the request in hand came to. Told again it changes nothing but what is still missing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the lease of `held` was lost.
    async fn settle_turn(&self, held: &ClaimedTask, draft: u32, turn: &Turn) -> Result<(), StoreError>;

    /// What was used since a moment: by an automation, or by everything, the copilot too.
    async fn spent_since(&self, automation: Option<&AutomationName>, since: Timestamp) -> Result<Spend, StoreError>;
}
