//! What the store keeps of the copilot: what calls of a model did cost that no request has, and what was suggested and not yet filed.

use super::{Limit, Spend, StoreError};
use crate::types::{SuggestionId, Timestamp};
use async_trait::async_trait;
use serde_json::Value;

/// What was made of a sentence, until a person files it.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// Its id.
    pub id: SuggestionId,
    /// Who said the sentence: the token's name.
    pub by: String,
    /// When.
    pub made_at: Timestamp,
    /// What it is, as the pipeline wrote it.
    pub content: Value,
}

/// Whether a call may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallReservation {
    /// It may: it is noted with what it may cost at most.
    Made {
        /// Which call it is.
        call: u64,
    },
    /// It may not: it could go beyond the day's budget.
    Exhausted {
        /// What was used of it.
        used: Spend,
        /// What it allows.
        limit: Limit,
    },
}

/// The copilot's part of the store.
#[async_trait]
pub trait Copilots: Send + Sync {
    /// Notes in one transaction that a call is about to be made which costs at most `worst`, if that goes beyond `day`, of which drafts use
    /// as well ([`super::Drafts::reserve_turn`]).
    async fn reserve_call(&self, worst: Spend, day: Limit, now: Timestamp) -> Result<CallReservation, StoreError>;

    /// Notes what a call that was reserved did cost. Where nobody does, it counts for what it was reserved with.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such call.
    async fn settle_call(&self, call: u64, spent: Spend) -> Result<(), StoreError>;

    /// Keeps a suggestion.
    async fn keep_suggestion(&self, suggestion: &Suggestion) -> Result<(), StoreError>;

    /// A suggestion that was kept.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none, or none any more.
    async fn suggestion(&self, id: &SuggestionId) -> Result<Suggestion, StoreError>;
}
