//! What a request's drafts come to together: the newest that was answered, and those it goes on from.

use super::super::planning::Draft as Drafting;
use super::super::{InForce, Pipeline, StepError};
use super::{Begun, outcome_of, read};
use crate::request::Request;
use crate::store::{Draft, DraftState};
use crate::types::CommitSha;
use tokio::runtime::Handle;

/// Whether a model has answered.
pub(in crate::pipeline) enum Answered {
    /// No model drafts for this request.
    NotAsked,
    /// Not yet, or what it answered came to nothing.
    No,
    /// It has.
    Yes(Box<Known>),
}

/// An answer that is known, and the base it was given on.
pub(in crate::pipeline) struct Known {
    pub(in crate::pipeline) draft: Drafting,
    /// The newest draft of it.
    pub(super) number: u32,
    base: CommitSha,
}

impl Answered {
    /// Whether the answer was given on another base than this.
    pub(in crate::pipeline) fn is_outdated_on(&self, tip: &CommitSha) -> bool {
        matches!(self, Self::Yes(known) if known.base != *tip)
    }
}

impl Pipeline {
    /// What a model answered for the request so far. Called where one may block.
    pub(in crate::pipeline) fn answered(&self, rules: &InForce, request: &Request) -> Result<Answered, StepError> {
        let drafts = |automation| rules.set.automations.get(automation).is_some_and(|automation| automation.spec.draft.is_some());
        if request.steering.reverts.is_some() || !drafts(&request.key.automation) {
            return Ok(Answered::NotAsked);
        }
        let known = Handle::current().block_on(self.store.drafts(&request.id))?;
        Ok(newest(&known)?.map_or(Answered::No, |known| Answered::Yes(Box::new(known))))
    }
}

/// The newest answer with those it goes on from.
pub(super) fn newest(drafts: &[Draft]) -> Result<Option<Known>, StepError> {
    let newest = drafts.iter().rfind(|draft| draft.state == DraftState::Answered);
    newest.map(|newest| known(drafts, newest)).transpose()
}

/// The answer of this draft with those it goes on from; nothing without a number.
pub(super) fn up_to(drafts: &[Draft], number: Option<u32>) -> Result<Option<Known>, StepError> {
    let Some(number) = number else { return Ok(None) };
    let last = drafts.iter().find(|draft| draft.number == number);
    let last = last.ok_or_else(|| StepError::Bug(format!("there is no draft {number} to go on from")))?;
    known(drafts, last).map(Some)
}

fn known(drafts: &[Draft], last: &Draft) -> Result<Known, StepError> {
    let (mut answers, mut each, mut at) = (Vec::new(), Vec::new(), Some(last));
    while let Some(draft) = at {
        let outcome = outcome_of(draft)?;
        let answer = outcome.answer.ok_or_else(|| StepError::Bug(format!("draft {} was answered without an answer", draft.number)))?;
        answers.push(answer);
        each.push(outcome.drafted);
        let Begun { goes_on_from, .. } = read(&draft.brief)?;
        at = goes_on_from.filter(|before| *before < draft.number).and_then(|before| drafts.iter().find(|draft| draft.number == before));
    }
    answers.reverse();
    each.reverse();
    Ok(Known { draft: Drafting { answers, each }, number: last.number, base: last.base.clone() })
}
