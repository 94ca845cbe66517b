//! A kept draft decided once more, without a network: the model's replies are those that were kept, and everything that followed from them
//! is worked out again under the resources in force, on the commit the draft was begun on.

use super::super::commit::snapshot_of;
use super::super::operations::OperationError;
use super::super::planning;
use super::super::plans::wanted;
use super::super::{InForce, Pipeline, StepError, blocking};
use super::begin::{self, Begins};
use super::bench::{self, Workbench, recipe_of, spec_of};
use super::learnt::Learnt;
use super::outside::{Offered, Outside};
use super::{Begun, Outcome, bounds, chain, conversation, outcome_of, read};
use crate::draft::{Brief, Conversation, Next, Refused, Response, digest, plain};
use crate::git::GitError;
use crate::plan::{Answer, Changed};
use crate::request::Request;
use crate::store::{Draft, DraftState};
use crate::types::{McpServerName, RequestId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Characters of a text that are shown where two differ.
const SHOWN: usize = 300;

/// What came of a draft that was decided once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReplayedDraft {
    /// Which of the request's drafts.
    pub draft: u32,
    /// Replies of the model that were kept.
    pub turns: u32,
    /// Whether it takes the same course to the same end with the same answer.
    pub same: bool,
    /// How it ended then.
    pub ended: String,
    /// SHA-256 of the answer, in hex, where there was one and it is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Where it first takes another course.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<DraftDifference>,
    /// What the model would be told otherwise today before its first turn. What it would have answered to that, nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<DraftDifference>,
}

/// Where two courses of a draft part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DraftDifference {
    /// The turn, from 1; 0 before the first.
    pub turn: u32,
    /// What was then.
    pub then: String,
    /// What is now.
    pub now: String,
}

impl Pipeline {
    /// Decides a kept draft once more.
    ///
    /// # Errors
    /// When there is no such draft, it runs yet, its automation has no draft any more, or the commit it was begun on is gone.
    pub async fn replay_draft(self: &Arc<Self>, id: &RequestId, number: u32) -> Result<ReplayedDraft, OperationError> {
        let request = self.store.request(id).await?;
        let drafts = self.store.drafts(id).await?;
        let draft = drafts.iter().find(|draft| draft.number == number).cloned();
        let draft = draft.ok_or_else(|| OperationError::NotFound(format!("draft {number} of {id}")))?;
        if draft.state == DraftState::Running {
            return Err(OperationError::Refused(format!("draft {number} of {id} runs yet: it can be decided once more when it is over")));
        }
        let turns = self.store.turns(id, number).await?;
        let Begun { brief, goes_on_from, without, .. } = read(&draft.brief)?;
        let kept = conversation(brief, &turns)?;
        let rules = self.rules.current();
        let spec = spec_of(&rules, &request).map_err(refused)?;
        let (most_turns, _) = bounds(spec, request.steering.job.as_deref());
        let begins = self.begins_otherwise(&rules, &request, (&draft, &drafts), (&kept.brief, &without)).await?;
        let outcome = draft.outcome.as_ref().map(|_| outcome_of(&draft)).transpose()?;
        let before = chain::up_to(&drafts, goes_on_from)?;
        let bench =
            Workbench::open(self, &rules, &request, &draft, before, Vec::new(), Outside::Nobody).await.map_err(|error| gone(error, &draft))?;
        let mut difference = None;
        for (turn, (reply, response)) in (1_u32..).zip(&kept.turns) {
            let part = |then: String, now: String| Some(DraftDifference { turn, then, now });
            if turn > most_turns {
                difference = part("the model answered".to_owned(), format!("the model is not asked: {most_turns} turns are allowed"));
                break;
            }
            let given = response.as_ref().map(|response| response.results.as_slice()).unwrap_or_default();
            let bench = bench.with(Outside::kept(given));
            let earlier = usize::try_from(turn - 1).unwrap_or(usize::MAX);
            let mut conversation = Conversation { brief: kept.brief.clone(), turns: kept.turns[..earlier].to_vec() };
            conversation.turns.push((reply.clone(), None));
            let now = conversation.follow(reply, &bench).await?;
            difference = match (response, &now) {
                (Some(then), Next::GoesOn(now)) => parted(then, now).and_then(|(then, now)| part(then, now)),
                (Some(then), now) => part(told_of(then), end_of(now)),
                // Who cancelled it did not wait for what follows, and what failed before it was followed says nothing of that.
                (None, _) if matches!(draft.state, DraftState::Cancelled | DraftState::Failed) => None,
                (None, now) => {
                    let then = ended(&draft, outcome.as_ref());
                    let now = end_of(now);
                    if then == now { None } else { part(then, now) }
                }
            };
            if difference.is_some() {
                break;
            }
        }
        let answer = outcome.as_ref().and_then(|outcome| outcome.answer.as_ref()).map(digest_of).filter(|_| difference.is_none());
        Ok(ReplayedDraft {
            draft: number,
            turns: u32::try_from(kept.turns.len()).unwrap_or(u32::MAX),
            same: difference.is_none(),
            ended: ended(&draft, outcome.as_ref()),
            answer,
            difference,
            begins,
        })
    }

    /// What the model would be told today that it was not told then.
    async fn begins_otherwise(
        self: &Arc<Self>,
        rules: &Arc<InForce>,
        request: &Request,
        (draft, drafts): (&Draft, &[Draft]),
        (then, without): (&Brief, &[McpServerName]),
    ) -> Result<Option<DraftDifference>, OperationError> {
        let (this, rules, of, begun) = (Arc::clone(self), Arc::clone(rules), request.clone(), draft.clone());
        let Begun { revision, heeds, goes_on_from, .. } = read(&draft.brief)?;
        let before = chain::up_to(drafts, goes_on_from)?.map(|known| known.draft.answers).unwrap_or_default();
        let offered = Offered::again(&rules, request, &then.tools, without)?;
        let now = blocking(move || {
            let (parameters, target) = planning::resolve(&rules, wanted(&of)).map_err(begin::failed)?;
            let base = snapshot_of(&this.mirror(&target.repository)?, &begun.base)?;
            let guard = recipe_of(&rules, &of)?.guard().ok_or_else(|| bench::gone(&of))?;
            let so_far = bench::applied(guard, &before, &target, &base)?;
            let so_far = so_far.ok_or_else(|| StepError::Permanent("what was drafted before is not allowed any more".to_owned()))?;
            let (tree, goes_on) = (Changed::new(&base, &so_far), goes_on_from.is_some());
            let wishes = begin::wishes(&of, heeds, revision, goes_on);
            let begins = Begins { parameters: &parameters, target: &target, base: &tree, salt: &begun.salt, goes_on, wishes, offered: &offered };
            begin::told(&rules, &of, &begins, &mut Learnt::nothing(&rules, spec_of(&rules, &of)?, &of, &begun.salt))
        });
        let now = now.await.map_err(|error| gone(error, draft))?;
        let tools = |brief: &Brief| serde_json::to_string_pretty(&brief.tools).unwrap_or_default();
        let texts = [(then.system.clone(), now.system.clone()), (then.task.clone(), now.task.clone()), (tools(then), tools(&now))];
        let differing = texts.iter().find(|(then, now)| then != now);
        Ok(differing.map(|(then, now)| {
            let (then, now) = lines_apart(then, now);
            DraftDifference { turn: 0, then, now }
        }))
    }
}

/// What cannot be done for a reason that the caller is told.
fn refused(error: StepError) -> OperationError {
    match error {
        StepError::Permanent(message) => OperationError::Refused(message),
        other => other.into(),
    }
}

fn gone(error: StepError, draft: &Draft) -> OperationError {
    match error {
        StepError::Git(GitError::NoCommit { .. }) => OperationError::Refused(format!(
            "draft {} was begun on the commit {}, which the server's mirror does not hold any more: its branch was rewritten, or the mirror was made anew; it cannot be decided once more",
            draft.number, draft.base
        )),
        other => refused(other),
    }
}

/// How a draft ended, in a sentence that is the same when it ends the same.
fn ended(draft: &Draft, outcome: Option<&Outcome>) -> String {
    let message = || outcome.and_then(|outcome| outcome.message.clone()).unwrap_or_default();
    match draft.state {
        DraftState::Answered => answered(outcome.and_then(|outcome| outcome.answer.as_ref())),
        DraftState::Declined => declined(outcome.map(|outcome| outcome.drafted.explanation.as_str()).unwrap_or_default()),
        DraftState::Refused => format!("it failed: {}", message()),
        DraftState::Failed => "it could not be made".to_owned(),
        DraftState::Cancelled => "it was cancelled".to_owned(),
        DraftState::Running => "it runs".to_owned(),
    }
}

/// What follows from a reply, in the same words.
fn end_of(next: &Next) -> String {
    match next {
        Next::GoesOn(response) => told_of(response),
        Next::Answered(answer) => answered(Answer::parse(answer).ok().as_ref()),
        Next::Declined { reason } => declined(&plain(reason).replace('\n', " ")),
        Next::Fails { message, .. } => format!("it failed: {message}"),
    }
}

fn answered(answer: Option<&Answer>) -> String {
    format!("the answer {} passed", answer.map(digest_of).unwrap_or_default())
}

fn declined(reason: &str) -> String {
    format!("the model declined: {reason}")
}

fn digest_of(answer: &Answer) -> String {
    digest(serde_json::to_string(answer).unwrap_or_default().as_bytes())
}

fn told_of(response: &Response) -> String {
    match &response.refused {
        Some(refused) => because(refused),
        None => "the model went on".to_owned(),
    }
}

fn because(refused: &Refused) -> String {
    let findings: Vec<String> = refused.findings.iter().map(|finding| format!("{}: {finding}", finding.rule)).collect();
    shortened(&format!("the answer was refused: {}", findings.join("; ")))
}

/// What two responses to one reply say differently; none where they say the same.
fn parted(then: &Response, now: &Response) -> Option<(String, String)> {
    if then == now {
        return None;
    }
    if then.refused != now.refused {
        return Some((told_of(then), told_of(now)));
    }
    let texts = |response: &Response| -> Vec<(String, String)> {
        let results = response.results.iter().map(|result| (format!("{} gave: ", result.name), result.content.clone()));
        results.chain(response.say.iter().map(|say| ("told was: ".to_owned(), say.clone()))).collect()
    };
    let (then, now) = (texts(then), texts(now));
    let apart = then.iter().zip(&now).find(|(then, now)| then != now);
    Some(match apart {
        Some(((what, then), (_, now))) => {
            let (then, now) = lines_apart(then, now);
            (format!("{what}{then}"), format!("{what}{now}"))
        }
        None => (format!("{} results", then.len()), format!("{} results", now.len())),
    })
}

/// The first lines in which two texts differ.
fn lines_apart(then: &str, now: &str) -> (String, String) {
    let end = || "(nothing more)".to_owned();
    let (mut then, mut now) = (then.lines(), now.lines());
    loop {
        match (then.next(), now.next()) {
            (Some(then), Some(now)) if then == now => {}
            (None, None) => return (end(), end()),
            (then, now) => return (then.map_or_else(end, shortened), now.map_or_else(end, shortened)),
        }
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.trim().chars().take(SHOWN).collect();
    if short.len() < text.trim().len() {
        short.push('…');
    }
    short
}
