//! A draft in memory: the same beginning, turns and gate as of a request's, on a tree that is given, without a store and without a
//! repository. What comes of it is told and proposed nowhere.

use super::super::planning;
use super::super::plans::wanted;
use super::super::{ChosenModel, InForce, StepError, blocking};
use super::begin::{self, Begins};
use super::bench::{Workbench, spec_of};
use super::learnt::Learnt;
use super::outside::{Offered, Outside};
use super::{bounds, spend};
use crate::automation::DraftSpec;
use crate::draft::{Bench, Conversation, Exchange, Next, Reply, Verdict, plain};
use crate::event::Event;
use crate::plan::{Answer, BaseTree, FileChange};
use crate::request::{Job, Request, RequestKey};
use crate::store::{Limit, Purse, Spend};
use crate::types::{AutomationName, ErrorClass, ManifestPath, RequestId};
use crate::validate::Finding;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Attempts at one answer of a model that is not to be had.
const ATTEMPTS: u32 = 4;
/// The pause before the second attempt where the provider names none, which doubles; and the longest that is waited.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is to be drafted.
pub struct Rehearsal {
    /// The resources in force.
    pub rules: Arc<InForce>,
    /// The automation.
    pub automation: AutomationName,
    /// The event it is drafted for.
    pub event: Event,
    /// What an operator asks for in their own words, where no event of a source is the reason.
    pub job: Option<Job>,
    /// The parameters, where they are not read from the event.
    pub parameters: Option<Map<String, Value>>,
    /// The repository.
    pub base: Arc<dyn BaseTree + Send + Sync>,
    /// What marks and placeholders are derived with, in hex: the same, and the model is told the same.
    pub salt: String,
}

/// How a rehearsal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RehearsalEnd {
    /// With an answer that passed the gate.
    Answered,
    /// The model proposes no change.
    Declined,
    /// The gate refused what the model proposed, to the end.
    Refused,
    /// The model came to no end: out of turns, time or budget, or it was not to be had.
    NoAnswer,
}

/// What came of a rehearsal.
#[derive(Debug, Clone)]
pub struct Rehearsed {
    /// How it ended.
    pub end: RehearsalEnd,
    /// The answer that passed.
    pub answer: Option<Answer>,
    /// The files it changes.
    pub files: BTreeMap<ManifestPath, FileChange>,
    /// Why there is no answer; in the model's own words where it declined.
    pub message: Option<String>,
    /// What was wrong with the last answer.
    pub findings: Vec<Finding>,
    /// Replies of the model.
    pub turns: u32,
    /// The rules that answers before the end were refused by.
    pub broke: BTreeSet<String>,
    /// What it used.
    pub spent: Spend,
}

/// What the gate says of an answer that nobody drafted.
#[derive(Debug, Clone)]
pub enum Judged {
    /// It passes, and changes these files.
    Passes(BTreeMap<ManifestPath, FileChange>),
    /// It does not.
    Refused(Vec<Finding>),
}

impl Rehearsal {
    /// Has the model draft the change.
    ///
    /// # Errors
    /// When the automation has no draft or its parameters and target cannot be told, and when the model cannot be called at all.
    pub async fn run(&self, chosen: &ChosenModel) -> Result<Rehearsed, StepError> {
        let (bench, mut conversation) = self.open().await?;
        let request = self.request();
        let spec = spec_of(&self.rules, &request)?;
        let (most_turns, timeout) = bounds(spec, self.job.as_ref());
        let (begun, mut spent) = (Instant::now(), Spend::default());
        loop {
            let asked = u32::try_from(conversation.turns.len()).unwrap_or(u32::MAX);
            let no_answer = |message: String| Ok(over(&conversation, spent, RehearsalEnd::NoAnswer, Some(message)));
            if asked >= most_turns {
                return no_answer(format!("the model came to no answer within {asked} turns"));
            }
            if begun.elapsed() > timeout.get() {
                return no_answer(format!("the model came to no answer within {timeout}"));
            }
            let exchange = conversation.exchange(chosen.max_tokens);
            let worst = spend::most(&exchange, chosen.price);
            if let Some(message) = beyond(spec, spent, worst) {
                return no_answer(message);
            }
            let reply = match answered(chosen, &exchange).await {
                Ok(reply) => reply,
                Err(error) if error.class() == ErrorClass::Permanent => return Err(error),
                Err(error) => return no_answer(error.to_string()),
            };
            let cost = spend::actual(&reply, &exchange, worst, chosen.price);
            spent = Spend { tokens: spent.tokens.saturating_add(cost.tokens), micros: spent.micros.saturating_add(cost.micros) };
            conversation.turns.push((reply.clone(), None));
            match conversation.follow(&reply, &bench).await? {
                Next::GoesOn(response) => {
                    if let Some(last) = conversation.turns.last_mut() {
                        last.1 = Some(response);
                    }
                }
                Next::Answered(answer) => {
                    let answer = Answer::parse(&answer).map_err(|error| StepError::Bug(format!("an answer that passed cannot be read: {error}")))?;
                    let files = bench.files(&answer).await?;
                    return Ok(Rehearsed { answer: Some(answer), files, ..over(&conversation, spent, RehearsalEnd::Answered, None) });
                }
                Next::Declined { reason } => {
                    return Ok(over(&conversation, spent, RehearsalEnd::Declined, Some(plain(&reason).replace('\n', " "))));
                }
                Next::Fails { message, findings } => {
                    let rules = findings.iter().map(|finding| finding.rule.clone());
                    let mut rehearsed = over(&conversation, spent, RehearsalEnd::Refused, Some(message));
                    rehearsed.broke.extend(rules);
                    return Ok(Rehearsed { findings, ..rehearsed });
                }
            }
        }
    }

    /// What the gate says of an answer, without a model.
    ///
    /// # Errors
    /// When the automation has no draft or its parameters and target cannot be told.
    pub async fn judge(&self, answer: &Value) -> Result<Judged, StepError> {
        let (bench, _) = self.open().await?;
        match bench.judge(answer).await? {
            Verdict::Refused { findings, .. } => Ok(Judged::Refused(findings)),
            Verdict::Passes => {
                let answer = Answer::parse(answer).map_err(|error| StepError::Bug(format!("an answer that passed cannot be read: {error}")))?;
                Ok(Judged::Passes(bench.files(&answer).await?))
            }
        }
    }

    /// The bench, and the conversation before the first reply.
    async fn open(&self) -> Result<(Workbench, Conversation), StepError> {
        let (rules, request, base, salt) = (Arc::clone(&self.rules), self.request(), Arc::clone(&self.base), self.salt.clone());
        blocking(move || {
            let (parameters, target) = planning::resolve(&rules, wanted(&request)).map_err(begin::failed)?;
            let begins = Begins {
                parameters: &parameters,
                target: &target,
                base: base.as_ref(),
                salt: &salt,
                goes_on: false,
                wishes: Vec::new(),
                offered: &Offered::default(),
            };
            let mut learnt = Learnt::nothing(&rules, spec_of(&rules, &request)?, &request, &salt);
            let brief = begin::told(&rules, &request, &begins, &mut learnt)?;
            Ok((Workbench::on(rules, request, target, base, (Vec::new(), learnt), &salt, Outside::Nobody)?, Conversation::new(brief)))
        })
        .await
    }

    /// A request as it would be opened; nobody keeps it.
    fn request(&self) -> Request {
        let id = RequestId::from_parts(self.event.time, 0);
        let key = RequestKey { automation: self.automation.clone(), correlation: self.event.subject.clone(), generation: 1 };
        let mut request = Request::opened(&id, &key, self.event.clone(), self.event.time);
        request.parameters.clone_from(&self.parameters);
        request.steering.job = self.job.clone().map(Box::new);
        request
    }
}

/// The model's answer, asked for again while it is not to be had.
async fn answered(chosen: &ChosenModel, exchange: &Exchange) -> Result<Reply, StepError> {
    let mut pause = PAUSE;
    for _ in 1..ATTEMPTS {
        match chosen.model.answer(exchange).await {
            Err(error) if error.class() == ErrorClass::Transient => {
                tokio::time::sleep(error.retry_after().unwrap_or(pause).min(LONGEST_PAUSE)).await;
                pause *= 2;
            }
            said => return Ok(said?),
        }
    }
    Ok(chosen.model.answer(exchange).await?)
}

/// Why the request's budget allows no other turn.
fn beyond(spec: &DraftSpec, used: Spend, worst: Spend) -> Option<String> {
    let limit = Limit { tokens: Some(spec.budget.tokens), micros: spec.budget.cost.map(spend::micros) };
    let over = |limit: Option<u64>, used: u64, worst: u64| limit.is_some_and(|limit| used.saturating_add(worst) > limit);
    let exceeded = over(limit.tokens, used.tokens, worst.tokens) || over(limit.micros, used.micros, worst.micros);
    exceeded.then(|| spend::exhausted(Purse::Request, used, limit, worst))
}

fn over(conversation: &Conversation, spent: Spend, end: RehearsalEnd, message: Option<String>) -> Rehearsed {
    let refused = || conversation.refused();
    Rehearsed {
        end,
        answer: None,
        files: BTreeMap::new(),
        message,
        findings: refused().last().map(|refused| refused.findings.clone()).filter(|_| end == RehearsalEnd::NoAnswer).unwrap_or_default(),
        turns: u32::try_from(conversation.turns.len()).unwrap_or(u32::MAX),
        broke: refused().flat_map(|refused| refused.findings.iter().map(|finding| finding.rule.clone())).collect(),
        spent,
    }
}
