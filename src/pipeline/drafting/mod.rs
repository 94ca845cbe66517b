//! A language model drafts a request's change: one turn of the conversation a step. What was said is in the store before anything
//! follows from it, so a step that is killed is taken up where it was, and nothing that was answered is asked again.
//! The answer is an input of planning and nothing more: `plan` applies it, and the gate looks at it again.

mod begin;
mod bench;
mod chain;
mod learnt;
mod log;
mod outside;
mod rehearsal;
mod replay;
mod report;
mod revise;
mod spend;
mod stack;
mod turn;

pub(super) use chain::Answered;
pub use learnt::LearntSoFar;
pub use log::{DraftLine, DraftLineKind};
pub use rehearsal::{Judged, Rehearsal, RehearsalEnd, Rehearsed};
pub use replay::{DraftDifference, ReplayedDraft};
pub use report::{DraftReport, draft_lines};
pub(super) use spend::{actual, exhausted, is_priced, most};

use super::{InForce, Pipeline, StepError, outcome};
use crate::automation::DraftSpec;
use crate::draft::{Brief, Conversation, ModelId, Next, Reply, Response, digest, plain};
use crate::failpoint;
use crate::git::GitError;
use crate::plan::Answer;
use crate::request::{Drafted, Job, Request, State};
use crate::store::{Beside, ClaimedTask, Draft, DraftEnd, DraftState, Settlement, Turn, lane};
use crate::types::{ErrorClass, McpServerName, SpecDuration};
use crate::validate::{Finding, Severity};
use bench::Workbench;
use outside::Outside;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Drafts of one request, at most: who asks once more, or moves the base, often enough asks in vain.
const MOST_DRAFTS: u32 = 20;
/// Rules that a message names.
const MOST_RULES: usize = 5;

/// What a draft came to, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// Where it comes from.
    pub(super) drafted: Drafted,
    /// What the model proposes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<Answer>,
    /// What was wrong with the last answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) findings: Vec<Finding>,
    /// Why there is no answer, in a sentence of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

/// What a draft was begun with, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Begun {
    /// What the model is told.
    pub(super) brief: Brief,
    /// Who is asked, from the first turn to the last.
    pub(super) model: ModelId,
    /// Which of the wishes of people it is made for, from 0; none for the change as it was asked for, with what it knows of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<usize>,
    /// How many of the wishes it knows: those before count as drafted for.
    #[serde(default)]
    pub(super) heeds: usize,
    /// The draft whose change it goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) goes_on_from: Option<u32>,
    /// The MCP servers whose tools it does without, because they were not to be had when it began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) without: Vec<McpServerName>,
}

/// One step of a draft.
struct Step<'a> {
    held: &'a ClaimedTask,
    request: &'a Request,
    rules: Arc<InForce>,
    draft: Draft,
    turns: Vec<Turn>,
    model: ModelId,
    revision: Option<usize>,
    heeds: usize,
    goes_on_from: Option<u32>,
    without: Vec<McpServerName>,
    conversation: Conversation,
}

impl<'a> Step<'a> {
    /// The step that a draft is at, from what is kept of it.
    fn of(held: &'a ClaimedTask, rules: Arc<InForce>, draft: Draft, turns: Vec<Turn>) -> Result<Self, StepError> {
        let Begun { brief, model, revision, heeds, goes_on_from, without } = read(&draft.brief)?;
        let conversation = conversation(brief, &turns)?;
        Ok(Self { held, request: &held.request, rules, draft, turns, model, revision, heeds, goes_on_from, without, conversation })
    }

    /// Answers of the model so far.
    fn asked(&self) -> u32 {
        u32::try_from(self.conversation.turns.len()).unwrap_or(u32::MAX)
    }

    /// Whether people want something of it that nothing was drafted for yet.
    fn more_wishes(&self) -> bool {
        self.heeds < self.request.steering.revisions.len()
    }
}

impl Pipeline {
    /// Does one turn of a request's draft.
    ///
    /// # Errors
    /// When store, repository or model fail.
    pub(super) async fn draft(self: &Arc<Self>, held: &ClaimedTask) -> Result<Settlement, StepError> {
        match self.draft_on(held).await {
            Err(error) if error.class() == ErrorClass::Permanent => self.not_revised(held, error).await,
            settled => settled,
        }
    }

    async fn draft_on(self: &Arc<Self>, held: &ClaimedTask) -> Result<Settlement, StepError> {
        let (rules, request) = (self.rules.current(), &held.request);
        let spec = rules.set.automations.get(&request.key.automation).and_then(|automation| automation.spec.draft.clone());
        let Some(spec) = spec else { return self.drafts_no_more(rules, held).await };
        let Some(draft) = self.draft_of(&rules, held).await? else { return self.drafted_too_often(&rules, request).await };
        let turns = self.store.turns(&request.id, draft.number).await?;
        let step = Step::of(held, rules, draft, turns)?;
        if let Some(reply) = step.conversation.unanswered().cloned() {
            return self.follow(step, reply).await;
        }
        let asked = step.asked();
        let job = request.steering.job.as_deref();
        let (most_turns, timeout) = bounds(&spec, job);
        if asked >= most_turns {
            let refused = step.conversation.turns.last().and_then(|(_, told)| told.as_ref()?.refused.as_ref());
            let findings = refused.map(|refused| refused.findings.clone()).unwrap_or_default();
            return self.fails(&step, format!("the model came to no answer within {asked} turns"), findings).await;
        }
        if self.clock.now().since(step.draft.begun_at) > timeout.get() {
            return self.fails(&step, late(timeout), Vec::new()).await;
        }
        let chosen = self.models.model(spec.model.as_ref())?;
        if *chosen.model.id() != step.model {
            // Another one is configured by now: it is not made to go on with what this one said.
            let message = Some("another model was configured".to_owned());
            let end = self.ended(&step, DraftState::Cancelled, &Outcome { message, ..self.nothing(&step) })?;
            return Ok(outcome::drafted_anew(end));
        }
        let budget = spend::budget(&request.key.automation, &spec.budget, &chosen)?;
        self.turn(step, &chosen, &budget, timeout).await
    }

    /// A draft that cannot be made, whoever tries: where it is a revision, what is proposed stays, and who asked for it is told.
    async fn not_revised(&self, held: &ClaimedTask, error: StepError) -> Result<Settlement, StepError> {
        let request = &held.request;
        let running = self.store.drafts(&request.id).await?.pop().filter(|draft| draft.state == DraftState::Running);
        let Some(draft) = running else { return Err(error) };
        let turns = self.store.turns(&request.id, draft.number).await?;
        let step = Step::of(held, self.rules.current(), draft, turns)?;
        if step.revision.is_none() {
            return Err(error);
        }
        self.ends(&step, DraftState::Failed, error.to_string(), Vec::new()).await
    }

    /// No further draft is made. What is proposed stays where people only want it otherwise.
    async fn drafted_too_often(&self, rules: &InForce, request: &Request) -> Result<Settlement, StepError> {
        let message = format!("it was drafted {MOST_DRAFTS} times already");
        let heeded = begin::heeded(&self.store.drafts(&request.id).await?)?;
        let wishes = request.steering.revisions.get(heeded..).unwrap_or_default();
        if request.state == State::Accepted || wishes.is_empty() {
            return Ok(self.gives_up(request, None, message, Vec::new()));
        }
        for wish in wishes {
            self.answer_to(rules, request, wish, &revise::failed(&message)).await?;
        }
        Ok(outcome::noted(request, format!("it was not revised: {message}"), self.clock.as_ref()))
    }

    /// The draft the request is at, begun where none is; none where there were too many.
    async fn draft_of(self: &Arc<Self>, rules: &Arc<InForce>, held: &ClaimedTask) -> Result<Option<Draft>, StepError> {
        let request = &held.request;
        let known = self.store.drafts(&request.id).await?;
        if let Some(running) = known.last().filter(|draft| draft.state == DraftState::Running) {
            return Ok(Some(running.clone()));
        }
        let number = known.last().map_or(1, |draft| draft.number + 1);
        if number > MOST_DRAFTS {
            return Ok(None);
        }
        let draft = self.begin(rules, request, number, known).await?;
        let begun = self.store.begin_draft(held, &draft).await?;
        failpoint::hit("draft.begun");
        Ok(Some(begun))
    }

    /// What follows from a reply.
    async fn follow(self: &Arc<Self>, step: Step<'_>, reply: Reply) -> Result<Settlement, StepError> {
        let before = chain::up_to(&self.store.drafts(&step.request.id).await?, step.goes_on_from)?;
        let outside = Outside::asked(&self.tools);
        let looked_at = step.conversation.looked_at().cloned().collect();
        let bench = match Workbench::open(self, &step.rules, step.request, &step.draft, before, looked_at, outside).await {
            // Its branch was rewritten: what the model looks at is there no more.
            Err(StepError::Git(GitError::NoCommit { .. })) => {
                let message = Some("the commit it looked at is gone".to_owned());
                let end = self.ended(&step, DraftState::Cancelled, &Outcome { message, ..self.nothing(&step) })?;
                return Ok(outcome::drafted_anew(end));
            }
            opened => opened?,
        };
        let next = tokio::select! {
            next = step.conversation.follow(&reply, &bench) => next?,
            unwanted = self.until_unwanted(&step.request.id) => return self.over(&step, unwanted).await,
        };
        match next {
            Next::GoesOn(response) => {
                failpoint::hit("draft.looked");
                let turn = self.told(&step, &response)?;
                self.store.settle_turn(step.held, step.draft.number, &turn).await?;
                bench.keep(self, &step.draft);
                failpoint::hit("draft.told");
                Ok(outcome::goes_on(lane::DRAFTS.to_owned()))
            }
            Next::Answered(answer) => {
                let answer: Answer =
                    Answer::parse(&answer).map_err(|error| StepError::Bug(format!("an answer that passed cannot be read: {error}")))?;
                let drafted = self.provenance(&step, Some(&answer));
                let message = [Some(spend::told(&drafted)), outside::told(&step.without)].into_iter().flatten().collect::<Vec<_>>().join("; ");
                self.answer_wish(&step, &revise::revised(&drafted)).await?;
                let outcome = Outcome { drafted, answer: Some(answer), findings: Vec::new(), message: None };
                let end = self.ended(&step, DraftState::Answered, &outcome)?;
                Ok(outcome::drafted(step.request.clone(), end, message, step.more_wishes(), self.clock.as_ref()))
            }
            Next::Declined { reason } => {
                let reason = plain(&reason).replace('\n', " ");
                let drafted = Drafted { explanation: reason.clone(), ..self.provenance(&step, None) };
                let outcome = Outcome { drafted, message: None, ..self.nothing(&step) };
                let end = self.ended(&step, DraftState::Declined, &outcome)?;
                if step.revision.is_some() {
                    self.answer_wish(&step, &revise::declined(&reason)).await?;
                    let message = format!("the language model did not revise it; in its own words: {:?}", revise::shortened(&reason));
                    return Ok(outcome::not_revised(step.request, end, message, step.more_wishes(), self.clock.as_ref()));
                }
                Ok(outcome::draft_declined(step.request.clone(), end, &reason, self.clock.as_ref()))
            }
            Next::Fails { message, findings } => self.fails(&step, message, findings).await,
        }
    }

    /// The turn with what the model was told of its reply.
    fn told(&self, step: &Step<'_>, response: &Response) -> Result<Turn, StepError> {
        let turn = step.turns.iter().rev().find(|turn| turn.reply.is_some()).cloned();
        let turn = turn.ok_or_else(|| StepError::Bug("a reply that nobody kept".to_owned()))?;
        Ok(Turn { response: Some(kept(response)?), ..turn })
    }

    /// The draft is over without an answer.
    async fn fails(&self, step: &Step<'_>, message: String, findings: Vec<Finding>) -> Result<Settlement, StepError> {
        self.ends(step, DraftState::Refused, message, findings).await
    }

    /// The same in this state. Whoever asked is told the rules that its last answer broke by their names.
    async fn ends(&self, step: &Step<'_>, state: DraftState, message: String, findings: Vec<Finding>) -> Result<Settlement, StepError> {
        let outcome = Outcome { findings: findings.clone(), message: Some(message.clone()), ..self.nothing(step) };
        let end = self.ended(step, state, &outcome)?;
        let message = format!("{message}{}", broken(&findings));
        if step.revision.is_some() {
            self.answer_wish(step, &revise::failed(&message)).await?;
            let message = format!("it was not revised: {message}");
            return Ok(outcome::not_revised(step.request, end, message, step.more_wishes(), self.clock.as_ref()));
        }
        Ok(self.gives_up(step.request, Some(end), message, findings))
    }

    /// What a draft comes to that has no answer.
    fn nothing(&self, step: &Step<'_>) -> Outcome {
        Outcome { drafted: self.provenance(step, None), answer: None, findings: Vec::new(), message: None }
    }

    /// The draft's end.
    fn ended(&self, step: &Step<'_>, state: DraftState, outcome: &Outcome) -> Result<DraftEnd, StepError> {
        self.learnt.forget(&step.request.id);
        Ok(DraftEnd { number: step.draft.number, state, outcome: kept(outcome)? })
    }

    fn gives_up(&self, request: &Request, end: Option<DraftEnd>, message: String, findings: Vec<Finding>) -> Settlement {
        outcome::draft_refused(request.clone(), end, message, findings, self.clock.as_ref())
    }

    /// No model is asked any more: whatever it is by now is planned.
    async fn drafts_no_more(&self, rules: Arc<InForce>, held: &ClaimedTask) -> Result<Settlement, StepError> {
        let request = &held.request;
        let settlement = outcome::after_draft(request, self.clock.as_ref());
        let Some(draft) = self.store.drafts(&request.id).await?.pop().filter(|draft| draft.state == DraftState::Running) else {
            return Ok(settlement);
        };
        let turns = self.store.turns(&request.id, draft.number).await?;
        let step = Step::of(held, rules, draft, turns)?;
        let message = Some("its automation has no draft any more".to_owned());
        let end = self.ended(&step, DraftState::Cancelled, &Outcome { message, ..self.nothing(&step) })?;
        Ok(Settlement { beside: Beside { draft: Some(end), ..settlement.beside }, ..settlement })
    }

    /// Everything that is known of where an answer comes from.
    fn provenance(&self, step: &Step<'_>, answer: Option<&Answer>) -> Drafted {
        let spec = step.rules.set.automations.get(&step.request.key.automation).and_then(|automation| automation.spec.draft.as_ref());
        let price = self.models.model(spec.and_then(|spec| spec.model.as_ref())).ok().and_then(|chosen| chosen.price);
        let replies = || step.conversation.turns.iter().map(|(reply, _)| reply);
        let refused: Vec<_> = step.conversation.refused().collect();
        let spent = spend::sum(&step.turns);
        Drafted {
            number: step.draft.number,
            revision: step.revision.map(numbered),
            provider: step.model.provider,
            model: step.model.name.clone(),
            reported: replies().filter_map(|reply| reply.model.clone()).collect(),
            prompt: digest(step.conversation.brief.system.as_bytes()),
            context: digest(step.conversation.brief.task.as_bytes()),
            answer: answer.map(|answer| digest(serde_json::to_string(answer).unwrap_or_default().as_bytes())).unwrap_or_default(),
            turns: u32::try_from(step.conversation.turns.len()).unwrap_or(u32::MAX),
            refused: u32::try_from(refused.len()).unwrap_or(u32::MAX),
            broke: refused.iter().flat_map(|refused| refused.findings.iter().map(|finding| finding.rule.clone())).collect::<BTreeSet<_>>(),
            tokens: spent.tokens,
            micros: price.map(|_| spent.micros),
            explanation: answer.map(|answer| plain(&answer.explanation)).unwrap_or_default(),
        }
    }
}

/// The number by which people know a wish, from 1.
fn numbered(revision: usize) -> u32 {
    u32::try_from(revision + 1).unwrap_or(u32::MAX)
}

/// The rules that were broken, behind a sentence that says so.
fn broken(findings: &[Finding]) -> String {
    let rules: BTreeSet<&str> = findings.iter().filter(|finding| finding.severity == Severity::Error).map(|finding| finding.rule.as_str()).collect();
    let more = if rules.len() > MOST_RULES { format!(" and {} more", rules.len() - MOST_RULES) } else { String::new() };
    let named: Vec<&str> = rules.into_iter().take(MOST_RULES).collect();
    if named.is_empty() { String::new() } else { format!(" ({}{more})", named.join(", ")) }
}

/// Why a draft is over that took too long.
fn late(timeout: SpecDuration) -> String {
    format!("the model came to no answer within {timeout}")
}

/// How many answers a draft may have and how long it may take: of the automation's limits and the job's the narrower.
fn bounds(spec: &DraftSpec, job: Option<&Job>) -> (u32, SpecDuration) {
    let turns = job.and_then(|job| job.max_turns).map_or(spec.max_turns, |turns| turns.min(spec.max_turns));
    let timeout = job.and_then(|job| job.timeout).map_or(spec.timeout, |timeout| timeout.min(spec.timeout));
    (turns, timeout)
}

/// The conversation as it was kept: of each turn the attempt that was answered.
fn conversation(brief: Brief, turns: &[Turn]) -> Result<Conversation, StepError> {
    let mut conversation = Conversation::new(brief);
    for turn in turns {
        let Some(reply) = &turn.reply else { continue };
        let response = turn.response.as_ref().map(read).transpose()?;
        conversation.turns.push((read(reply)?, response));
    }
    Ok(conversation)
}

/// What a draft that is over came to.
pub(super) fn outcome_of(draft: &Draft) -> Result<Outcome, StepError> {
    draft
        .outcome
        .as_ref()
        .map(read)
        .transpose()?
        .ok_or_else(|| StepError::Bug(format!("draft {} of {} is over and says nothing", draft.number, draft.request)))
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, StepError> {
    T::deserialize(value).map_err(|error| StepError::Bug(format!("what was kept of a draft cannot be read: {error}")))
}

fn kept<T: Serialize>(value: &T) -> Result<Value, StepError> {
    serde_json::to_value(value).map_err(|error| StepError::Bug(format!("a draft cannot be kept: {error}")))
}
