//! How a draft begins: what the model is told, put together from the automation, the event and the base as it is now.

use super::super::planning::{self, Stop};
use super::super::plans::{Bases, wanted};
use super::super::{InForce, Pipeline, StepError, blocking};
use super::bench::{self, View, gone, recipe_of, spec_of};
use super::learnt::{Learnt, Whose};
use super::outside::Offered;
use super::{Begun, chain, kept, read};
use crate::draft::{Beginning, Brief, Question, TextKind, Tool, brief};
use crate::inventory::Target;
use crate::plan::{Answer, BaseTree, Changed, PlanError};
use crate::request::Request;
use crate::store::{Draft, DraftState, StoreError};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Names of the event that are looked for in the base.
const MOST_NAMES: usize = 64;
/// Files of the target that are asked for them, at most.
const MOST_SURVEYED: usize = 20_000;
/// Files that are shown at the beginning, at most, and their bytes together.
const MOST_SHOWN: usize = 6;
const SHOWN_BYTES: usize = 24 * 1024;

impl Pipeline {
    /// A draft of the request on the present tip of its base.
    pub(super) async fn begin(self: &Arc<Self>, rules: &Arc<InForce>, request: &Request, number: u32, known: Vec<Draft>) -> Result<Draft, StepError> {
        let offered = tokio::select! {
            offered = self.offered(rules, request) => offered?,
            _ = self.until_unwanted(&request.id) => return Err(StoreError::Conflict(format!("nobody wants request {} any more", request.id)).into()),
        };
        let (this, rules, request) = (Arc::clone(self), Arc::clone(rules), request.clone());
        blocking(move || this.begin_here(&rules, &request, number, &known, &offered)).await
    }

    /// The same where one may block.
    fn begin_here(&self, rules: &Arc<InForce>, request: &Request, number: u32, known: &[Draft], offered: &Offered) -> Result<Draft, StepError> {
        let spec = spec_of(rules, request)?;
        let chosen = self.models.model(spec.model.as_ref())?;
        let (parameters, target) = planning::resolve(rules, wanted(request)).map_err(failed)?;
        let base = self.base(&mut Bases::new(), &target.repository)?;
        let salt = hex::encode(self.clock.random().to_be_bytes());
        let heeded = heeded(known)?;
        let revision = (heeded < request.steering.revisions.len()).then_some(heeded);
        let heeds = revision.map_or(heeded, |revision| revision + 1);
        let before = if revision.is_some() { chain::newest(known)? } else { None };
        let so_far = match &before {
            Some(before) => {
                bench::applied(recipe_of(rules, request)?.guard().ok_or_else(|| gone(request))?, &before.draft.answers, &target, &base.snapshot)?
            }
            None => None,
        };
        let goes_on_from = before.filter(|_| so_far.is_some()).map(|before| before.number);
        let so_far = so_far.unwrap_or_default();
        let tree = Changed::new(&base.snapshot, &so_far);
        let goes_on = goes_on_from.is_some();
        let wishes = wishes(request, heeds, revision, goes_on);
        let begins = Begins { parameters: &parameters, target: &target, base: &tree, salt: &salt, goes_on, wishes, offered };
        let mut learnt = Learnt::nothing(rules, spec, request, &salt);
        let brief = told(rules, request, &begins, &mut learnt)?;
        let draft = Draft {
            request: request.id.clone(),
            number,
            automation: request.key.automation.clone(),
            state: DraftState::Running,
            base: base.tip.clone(),
            salt,
            brief: kept(&Begun { brief, model: chosen.model.id().clone(), revision, heeds, goes_on_from, without: offered.without.clone() })?,
            outcome: None,
            begun_at: self.clock.now(),
            ended_at: None,
        };
        self.learnt.keep(Whose::of(&draft, &target), rules, learnt);
        Ok(draft)
    }
}

/// What a draft begins with.
pub(super) struct Begins<'b> {
    pub(super) parameters: &'b Map<String, Value>,
    pub(super) target: &'b Target,
    pub(super) base: &'b dyn BaseTree,
    pub(super) salt: &'b str,
    /// Whether it goes on from a draft before it.
    pub(super) goes_on: bool,
    /// What people wanted of a draft before it, in their own words.
    pub(super) wishes: Vec<&'b str>,
    /// What MCP servers offer.
    pub(super) offered: &'b Offered,
}

/// What people wanted of a request's drafts that a new one is told: what goes on from a draft has what they wanted of it before.
pub(super) fn wishes(request: &Request, heeds: usize, revision: Option<usize>, goes_on: bool) -> Vec<&str> {
    let first = revision.filter(|_| goes_on).unwrap_or(0);
    request.steering.revisions.iter().take(heeds).skip(first).map(|wish| wish.text.as_str()).collect()
}

/// What the model is told when a draft of the request begins, with what is learnt from that. Called where one may block.
pub(super) fn told(rules: &InForce, request: &Request, begins: &Begins<'_>, learnt: &mut Learnt) -> Result<Brief, StepError> {
    let Begins { parameters, target, base, salt, goes_on, wishes, offered } = begins;
    let (target, base, goes_on) = (*target, *base, *goes_on);
    let spec = spec_of(rules, request)?;
    let recipe = recipe_of(rules, request)?;
    let guard = recipe.guard().ok_or_else(|| gone(request))?;
    let view = View { recipe, guard, target, base };
    let redactor = &mut learnt.redactor;
    let event = &request.event;
    let event = pretty(&serde_json::json!({ "type": event.kind, "subject": event.subject, "time": event.time, "data": event.data }));
    let event = redactor.redact(&event, TextKind::Manifest);
    let values = redactor.redact(&pretty(parameters), TextKind::Manifest);
    let goal = request.steering.job.as_deref().map(|job| (redactor.redact(&job.goal, TextKind::Other), job.by.clone()));
    let words = names(&format!("{event}\n{values}"));
    let files = view.files_about(&words).map_err(PlanError::from)?;
    let files: Vec<(String, String)> = files.into_iter().map(|(path, text)| (path, redactor.redact(&text, TextKind::Manifest))).collect();
    let runbooks = match spec.runbooks.as_slice() {
        [] => None,
        _ => Some(learnt.passages(&view, &Question { query: words.iter().take(24).cloned().collect::<Vec<_>>().join(" ") })?),
    };
    let redactor = &mut learnt.redactor;
    let wishes: Vec<String> = wishes.iter().map(|wish| redactor.redact(wish, TextKind::Other)).collect();
    let wishes = wishes.join("\n");
    let outside: Vec<Tool> = offered.tools.iter().map(|tool| redactor.redact_tool(tool)).collect();
    let answer = Answer::schema(guard.formats());
    Ok(brief(&Beginning {
        spec,
        goal: goal.as_ref().map(|(goal, by)| (goal.as_str(), by.as_str())),
        place: &place(target),
        event: &event,
        parameters: &values,
        files: &files,
        runbooks: runbooks.as_deref(),
        goes_on,
        revision: (!wishes.is_empty()).then_some(wishes.as_str()),
        tools: bench::tools(spec, recipe, &answer),
        outside: &outside,
        without: &offered.without,
        answer: &answer,
        salt,
    }))
}

/// How many of people's wishes were drafted for: a draft that somebody else went on with, or that ended with its request, came to nothing.
pub(super) fn heeded(known: &[Draft]) -> Result<usize, StepError> {
    let mut heeded = 0;
    let ended_with_its_request = |draft: &Draft| draft.state == DraftState::Failed && draft.outcome.is_none();
    for draft in known.iter().filter(|draft| !matches!(draft.state, DraftState::Running | DraftState::Cancelled) && !ended_with_its_request(draft)) {
        let Begun { heeds, .. } = read(&draft.brief)?;
        heeded = heeded.max(heeds);
    }
    Ok(heeded)
}

impl View<'_> {
    /// The files within reach that hold something of one of these names, those that hold most of them first.
    fn files_about(&self, names: &BTreeSet<String>) -> Result<Vec<(String, String)>, crate::plan::TreeError> {
        let root = if self.target.path.as_str() == "." { "" } else { self.target.path.as_str() };
        let Some(surveyed) = self.base.survey(root, MOST_SURVEYED)? else { return Ok(Vec::new()) };
        let mut known: Vec<_> = surveyed
            .into_iter()
            .filter(|file| self.guard.may_read(self.target, file.path.as_str()))
            .map(|file| (names.iter().filter(|name| file.mentions.names(name)).count(), file.path))
            .filter(|(named, _)| *named > 0)
            .collect();
        known.sort_by(|(a, first), (b, second)| b.cmp(a).then_with(|| first.cmp(second)));
        let (mut files, mut bytes) = (Vec::new(), 0);
        for (_, path) in known.into_iter().take(MOST_SHOWN) {
            let Some(text) = self.base.read(&path)?.and_then(|bytes| String::from_utf8(bytes).ok()) else { continue };
            bytes += text.len();
            if bytes > SHOWN_BYTES {
                break;
            }
            files.push((path.to_string(), text));
        }
        Ok(files)
    }
}

/// What in a text may be the name of an object: RFC 1123 subdomains.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let words = text.split(|c: char| !is_part(c)).map(|word| word.trim_matches(['-', '.'])).filter(|word| (3..=63).contains(&word.len()));
    words
        .filter(|word| word.chars().any(|c| c.is_ascii_lowercase()))
        .map(str::to_owned)
        .take(MOST_NAMES * 4)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .take(MOST_NAMES)
        .collect()
}

/// What was resolved before and is not any more: planning says so to people, so it is left to it.
pub(super) fn failed(stop: Stop) -> StepError {
    match stop {
        Stop::Refused { message, .. } => StepError::Permanent(message),
        Stop::Failed(error) => error,
    }
}

fn place(target: &Target) -> String {
    let directory = if target.path.as_str() == "." { "its root".to_owned() } else { format!("the directory {}", target.path) };
    match &target.cluster {
        Some(cluster) => format!("the repository {}, {directory} (cluster {cluster}, Kubernetes {})", target.repository.name, target.kubernetes),
        None => format!("the repository {}, {directory} (Kubernetes {})", target.repository.name, target.kubernetes),
    }
}

fn pretty<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
