//! A job: a change an operator asked a language model for in their own words.

use crate::types::SpecDuration;
use serde::{Deserialize, Serialize};

/// What an operator asked for. Of the limits the narrower counts, the job's or the automation's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// What the model is to do, in the operator's words.
    pub goal: String,
    /// Who asked.
    pub by: String,
    /// Answers of the model, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// How long it may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<SpecDuration>,
}
