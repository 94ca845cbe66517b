//! That a change was drafted by a language model, and everything a reviewer or an auditor asks about that.

use crate::automation::Provider;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Where a drafted change comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drafted {
    /// Which of the request's drafts.
    pub number: u32,
    /// Which wish of people's for a revision it was made for, from 1; none for the change as it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// Who offers the model.
    pub provider: Provider,
    /// The model that was asked.
    pub model: String,
    /// The models that answered, by the provider's word.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reported: BTreeSet<String>,
    /// SHA-256 over what the model was told it is and may do, in hex.
    pub prompt: String,
    /// SHA-256 over everything else that was said to it, in hex.
    pub context: String,
    /// SHA-256 over its answer, in hex.
    pub answer: String,
    /// Calls of the model.
    pub turns: u32,
    /// Answers that were refused before this one.
    pub refused: u32,
    /// The rules they broke.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub broke: BTreeSet<String>,
    /// Tokens used, as far as the provider says; at their most where it does not.
    pub tokens: u64,
    /// What that cost, in millionths of the currency that prices are in; none where no price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micros: Option<u64>,
    /// The model's own words.
    pub explanation: String,
}

impl Drafted {
    /// What it cost, in the currency that prices are in, to four decimals; none where no price is known.
    pub fn cost(&self) -> Option<String> {
        self.micros.map(amount)
    }
}

/// An amount of millionths for people, to four decimals.
pub fn amount(micros: u64) -> String {
    format!("{}.{:04}", micros / 1_000_000, micros % 1_000_000 / 100)
}
