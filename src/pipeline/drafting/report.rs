//! Drafts for people: where they stand, what they came to so far, and everything that was said in them.

use super::log::{self, DraftLine};
use super::{Begun, Outcome, numbered, read};
use crate::draft::ModelId;
use crate::pipeline::StepError;
use crate::request::Drafted;
use crate::store::{Draft, Spend, Tally, Turn};
use crate::validate::Finding;

/// A draft for people: where it stands, and what it came to so far.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftReport {
    /// As it is kept.
    pub draft: Draft,
    /// Who is asked.
    pub model: ModelId,
    /// Which wish of people's for a revision it is made for, from 1; none for the change as it was asked for.
    pub revision: Option<u32>,
    /// Answers of the model so far.
    pub turns: u64,
    /// What was spent on them, and on calls that were not answered.
    pub spent: Spend,
    /// Where its answer comes from, once it is over.
    pub drafted: Option<Drafted>,
    /// Why there is no answer, once it is over without one.
    pub message: Option<String>,
    /// What was wrong with the last answer.
    pub findings: Vec<Finding>,
}

impl DraftReport {
    /// Reads what was kept of a draft whose calls come to `tally`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(draft: Draft, tally: Tally) -> Result<Self, StepError> {
        let Begun { model, revision, .. } = read(&draft.brief)?;
        let revision = revision.map(numbered);
        let outcome: Option<Outcome> = draft.outcome.as_ref().map(read).transpose()?;
        let (drafted, message, findings) = match outcome {
            Some(outcome) => (Some(outcome.drafted), outcome.message, outcome.findings),
            None => (None, None, Vec::new()),
        };
        Ok(Self { model, revision, turns: tally.replies, spent: tally.spent, drafted, message, findings, draft })
    }
}

/// Everything that was said in a draft, in order.
///
/// # Errors
/// When what was kept cannot be read.
pub fn draft_lines(draft: &Draft, turns: &[Turn]) -> Result<Vec<DraftLine>, StepError> {
    log::lines(draft, turns)
}
