//! The copilot: an operator says in a sentence what they want, a language model picks the automation and fills its parameters, and a person
//! confirms what is shown. It files nothing by itself, and what is filed is a request like any other.

mod already;
mod origin;
mod talk;

pub use already::AlreadyOpen;
pub use origin::Origin;

use super::drafting::is_priced;
use super::operations::AskError;
use super::planning::{self, Stop, Wanted};
use super::plans::Bases;
use super::preview::{Shown, asked_by, preview_at};
use super::{InForce, Pipeline, StepError, Wish, blocking};
use crate::automation::{Automation, Provider};
use crate::draft::{ModelError, Offer, Redactor};
use crate::plan::value_holds_placeholder;
use crate::request::Job;
use crate::store::{StoreError, Suggestion};
use crate::types::{AutomationName, EventId, SuggestionId, Timestamp, nearest};
use already::Would;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use talk::Talk;
use tokio::sync::Semaphore;

/// The longest sentence, in characters.
pub const MAX_SENTENCE: usize = 2_000;
/// How long it may take to make something of a sentence.
const WITHIN: Duration = Duration::from_secs(120);
/// Sentences that are looked at at the same time.
const AT_ONCE: usize = 4;
/// How long a suggestion may be confirmed: what it shows is of the past soon.
const LIVES: Duration = Duration::from_secs(24 * 60 * 60);
/// Clusters a model is told of.
const MOST_CLUSTERS: usize = 200;

/// Makes suggestions of sentences.
pub struct Copilot {
    pipeline: Arc<Pipeline>,
    room: Semaphore,
}

/// What came of a sentence.
#[derive(Debug)]
pub enum Copiloted {
    /// This may be confirmed.
    Suggested(Box<Suggested>),
    /// Nothing may: no automation does it, or something is missing.
    Declined {
        /// Why, in the model's words without what acts, or in ours.
        reason: String,
        /// What was asked.
        asked: ModelAsked,
    },
}

/// A suggestion, as it is shown and filed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Suggested {
    /// Its id.
    pub id: SuggestionId,
    /// What the operator said, without what is withheld from a model.
    pub sentence: String,
    /// The automation.
    pub automation: AutomationName,
    /// What that is for.
    pub description: String,
    /// Its parameters, completed by defaults.
    pub parameters: Vec<Filled>,
    /// What it would do as things stand.
    pub preview: Shown,
    /// Open requests that do the same.
    #[serde(default)]
    pub already_open: Vec<AlreadyOpen>,
    /// What was asked.
    pub asked: ModelAsked,
    /// Until when it may be confirmed.
    pub expires_at: Timestamp,
}

/// A parameter and its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Filled {
    /// The parameter.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Where that comes from.
    pub origin: Origin,
}

/// What was asked of a model, and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelAsked {
    /// Who offers it.
    pub provider: Provider,
    /// Its name there.
    pub model: String,
    /// What the provider says answered.
    pub reported: Option<String>,
    /// Calls.
    pub calls: u32,
    /// Tokens, those sent and those answered.
    pub tokens: u64,
    /// The cost in millionths, where the model's price is known.
    pub micros: Option<u64>,
}

/// Why nothing came of a sentence.
#[derive(Debug, thiserror::Error)]
pub enum CopilotError {
    /// Nobody has set it up: no automation is marked, the one named is not, or there is no model.
    #[error("{0}")]
    NotOffered(String),
    /// There is no such automation, or it cannot be asked for.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// A day's budget is used up; it begins anew after this.
    #[error("{message}")]
    Exhausted {
        /// What is used.
        message: String,
        /// When the next day begins.
        retry_after: Duration,
    },
    /// Others are asking.
    #[error("{AT_ONCE} sentences are being looked at already")]
    Busy,
    /// The model took too long.
    #[error("the model did not come to an end within {} s", WITHIN.as_secs())]
    TooLong,
    /// The suggestion may not be confirmed any more.
    #[error("the suggestion {0} is more than a day old: say the sentence again")]
    Expired(SuggestionId),
    /// Its automation was taken from the copilot after it was made.
    #[error("the automation {0} is not offered to the copilot any more: what was suggested cannot be filed")]
    OfferedNoMore(AutomationName),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] StepError),
}

impl From<StoreError> for CopilotError {
    fn from(error: StoreError) -> Self {
        Self::Step(error.into())
    }
}

impl Copilot {
    /// A copilot over `pipeline`, with the model of its settings.
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self { pipeline, room: Semaphore::new(AT_ONCE) }
    }

    /// Makes a suggestion of a sentence; `named` leaves the choice of the automation to the operator.
    ///
    /// # Errors
    /// See [`CopilotError`].
    pub async fn suggest(&self, sentence: &str, named: Option<&AutomationName>, by: &str) -> Result<Copiloted, CopilotError> {
        let _room = self.room.try_acquire().map_err(|_| CopilotError::Busy)?;
        let suggested = tokio::time::timeout(WITHIN, self.made(sentence, named, by)).await;
        suggested.unwrap_or(Err(CopilotError::TooLong))
    }

    /// A suggestion that was made.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] within [`CopilotError::Step`], and [`CopilotError::Expired`].
    pub async fn suggestion(&self, id: &SuggestionId) -> Result<Suggested, CopilotError> {
        let kept = self.pipeline.store.suggestion(id).await?;
        let suggested: Suggested =
            serde_json::from_value(kept.content).map_err(|error| StepError::Bug(format!("a suggestion that was kept cannot be read: {error}")))?;
        if self.pipeline.clock.now() > suggested.expires_at {
            return Err(CopilotError::Expired(id.clone()));
        }
        Ok(suggested)
    }

    /// What is wished for where somebody confirms a suggestion: the same request however often that is done.
    ///
    /// # Errors
    /// [`CopilotError::OfferedNoMore`] where the automation is gone by now, or does not say `copilot: true` any more.
    pub fn wish(&self, suggested: Suggested, actor: &str) -> Result<Wish, CopilotError> {
        let Suggested { id, sentence, automation, parameters, asked, .. } = suggested;
        let rules = self.pipeline.rules.current();
        let Some(known) = rules.set.automations.get(&automation).filter(|known| known.spec.copilot) else {
            return Err(CopilotError::OfferedNoMore(automation));
        };
        let takes_jobs = known.spec.draft.as_ref().is_some_and(|draft| draft.jobs);
        let job = takes_jobs.then(|| Job { goal: sentence.clone(), by: actor.to_owned(), max_turns: None, timeout: None });
        let words = serde_json::json!({ "sentence": sentence, "provider": asked.provider, "model": asked.model, "reported": asked.reported });
        Ok(Wish {
            automation,
            parameters: parameters.into_iter().map(|filled| (filled.name, filled.value)).collect(),
            correlation: Some(id.to_string()),
            job,
            copilot: Some(words),
            actor: actor.to_owned(),
        })
    }

    async fn made(&self, sentence: &str, named: Option<&AutomationName>, by: &str) -> Result<Copiloted, CopilotError> {
        let pipeline = &self.pipeline;
        let rules = pipeline.rules.current();
        let offered = offered(&rules, named)?;
        let chosen = pipeline.models.model(None).map_err(|error| match error {
            ModelError::NotConfigured(why) => CopilotError::NotOffered(why),
            other => CopilotError::Step(other.into()),
        })?;
        is_priced(&chosen).map_err(CopilotError::NotOffered)?;
        let mut talk = Talk::new(pipeline, chosen, redactor(&rules, pipeline.clock.random()));
        let sentence = talk.withheld(sentence);
        let picked = match offered.as_slice() {
            [only] if named.is_some() => Ok(only.name.clone()),
            offered => talk.choose(&sentence, offered).await?,
        };
        let automation = match picked {
            Ok(name) => name,
            Err(reason) => return Ok(Copiloted::Declined { reason, asked: talk.asked() }),
        };
        let Some(known) = rules.set.automations.get(&automation) else {
            return Err(StepError::Bug(format!("the automation {automation} that was offered is not there")).into());
        };
        let judge = |given: &Value| complete(&rules, known, given, by, pipeline);
        let FilledIn { given, parameters } = match talk.fill(&sentence, known, &clusters(&rules), judge).await? {
            Ok(filled_in) => filled_in,
            Err(reason) => return Ok(Copiloted::Declined { reason, asked: talk.asked() }),
        };
        let now = pipeline.clock.now();
        let mut suggested = Suggested {
            id: SuggestionId::from_parts(now, pipeline.clock.random()),
            description: known.spec.description.clone().unwrap_or_default(),
            parameters: known.parameters().names().filter_map(|name| filled(name, &parameters, &given, &sentence)).collect(),
            preview: Shown::default(),
            already_open: Vec::new(),
            asked: talk.asked(),
            expires_at: now.plus(LIVES),
            sentence,
            automation,
        };
        let wish = self.wish(suggested.clone(), by)?;
        let (shown, would) = self.shown(&rules, wish.clone(), parameters.clone()).await?;
        let (already_open, conflicts) = pipeline.already_open(&wish, &parameters, would.as_ref()).await?;
        suggested.preview = shown;
        suggested.preview.findings.extend(conflicts);
        suggested.already_open = already_open;
        let content = serde_json::to_value(&suggested).map_err(|error| StepError::Bug(format!("a suggestion cannot be kept: {error}")))?;
        pipeline.store.keep_suggestion(&Suggestion { id: suggested.id.clone(), by: by.to_owned(), made_at: now, content }).await?;
        Ok(Copiloted::Suggested(Box::new(suggested)))
    }

    /// What the wish would come to on the base as it is now, and as data where that is known.
    async fn shown(&self, rules: &Arc<InForce>, wish: Wish, parameters: Map<String, Value>) -> Result<(Shown, Option<Would>), StepError> {
        let (pipeline, rules) = (Arc::clone(&self.pipeline), Arc::clone(rules));
        blocking(move || {
            let automation = &wish.automation;
            let event = wish.event(EventId::from_parts(pipeline.clock.now(), pipeline.clock.random()), &parameters, pipeline.clock.now());
            let wanted = Wanted { automation, event: &event, given: Some(&parameters), reverts: None, set: None, draft: None };
            let target = match planning::resolve(&rules, wanted) {
                Ok((_, target)) => target,
                Err(Stop::Refused { message, findings }) => return Ok((Shown { refused: Some(message), findings, ..Shown::default() }, None)),
                Err(Stop::Failed(error)) => return Err(error),
            };
            if rules.set.rules.get(automation).is_some_and(|rule| rule.recipe.guard().is_some()) {
                let note = "a language model drafts the change once it is filed: what it comes to is known then".to_owned();
                let target = Some(format!("{}:{}", target.repository.name, target.path));
                return Ok((Shown { target, note: Some(note), ..Shown::default() }, None));
            }
            let base = pipeline.base(&mut Bases::new(), &target.repository)?;
            let preview = preview_at(&rules, wanted, &base)?;
            let would = preview.changes.map(|changes| Would { repository: target.repository.name.clone(), changes });
            Ok((preview.shown, would))
        })
        .await
    }
}

/// A parameter with where its value comes from; none where it has no value.
fn filled(name: &str, parameters: &Map<String, Value>, given: &Map<String, Value>, sentence: &str) -> Option<Filled> {
    let value = parameters.get(name)?.clone();
    Some(Filled { origin: Origin::of(&value, given.get(name), sentence), name: name.to_owned(), value })
}

/// Parameters as a model gave them, and completed.
struct FilledIn {
    given: Map<String, Value>,
    parameters: Map<String, Value>,
}

/// Holds what a model gave against the schemas and the target. What is wrong is said to the model, a line for each.
fn complete(rules: &InForce, automation: &Automation, given: &Value, by: &str, pipeline: &Pipeline) -> Result<FilledIn, String> {
    if value_holds_placeholder(given) {
        return Err("a value holds the placeholder of something that is withheld".to_owned());
    }
    let Value::Object(given) = given else { return Err("the parameters are an object".to_owned()) };
    let told = |parameter: &str, message: &str| format!("{parameter}: {message}");
    let parameters = automation.parameters().complete(given.clone());
    let parameters = parameters.map_err(|errors| errors.iter().map(|error| told(&error.parameter, &error.message)).collect::<Vec<_>>().join("\n"))?;
    let event = asked_by(&automation.name, &parameters, by, pipeline.clock.as_ref());
    let wanted = Wanted { automation: &automation.name, event: &event, given: Some(&parameters), reverts: None, set: None, draft: None };
    match planning::resolve(rules, wanted) {
        Err(Stop::Refused { message, .. }) => Err(message),
        // What fails here fails once more where it is shown, and is told there.
        Ok(_) | Err(Stop::Failed(_)) => Ok(FilledIn { given: given.clone(), parameters }),
    }
}

/// The automations that are marked, or the one that is named.
fn offered<'r>(rules: &'r InForce, named: Option<&AutomationName>) -> Result<Vec<&'r Automation>, CopilotError> {
    let marked = || rules.set.automations.iter().map(AsRef::as_ref).filter(|known: &&Automation| known.spec.copilot);
    if let Some(name) = named {
        let known = rules.set.automations.get(name).ok_or_else(|| {
            let near = nearest(name.as_str(), marked().map(|known| known.name.as_str()));
            AskError::NoAutomation(name.clone(), near.map(str::to_owned))
        })?;
        return if known.spec.copilot {
            Ok(vec![known])
        } else {
            Err(CopilotError::NotOffered(format!("the automation {name} is not offered to the copilot: `copilot: true` says that one is")))
        };
    }
    let offered: Vec<&Automation> = marked().collect();
    if offered.is_empty() {
        return Err(CopilotError::NotOffered("no automation is offered to the copilot: `copilot: true` in its spec says that one is".to_owned()));
    }
    Ok(offered)
}

fn offer(automation: &Automation) -> Offer<'_> {
    Offer { name: automation.name.as_str(), description: automation.spec.description.as_deref().unwrap_or_default() }
}

fn clusters(rules: &InForce) -> Vec<&str> {
    rules.set.inventory.clusters.keys().take(MOST_CLUSTERS).map(|name| name.as_str()).collect()
}

fn redactor(rules: &InForce, random: u128) -> (Redactor, String) {
    let salt = hex::encode(random.to_be_bytes());
    let secrets: Vec<SecretString> = rules.secrets.values().cloned().collect();
    (Redactor::new(&salt, rules.set.withheld.patterns().to_vec(), &secrets), salt)
}
