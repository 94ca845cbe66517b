//! Where a model's calls are answered: tools that read the base a draft was begun on, and the gate its answers are held against.

use super::super::commit::snapshot_of;
use super::super::planning;
use super::super::plans::wanted;
use super::super::{InForce, Pipeline, StepError, blocking};
use super::begin::{self, Begins};
use super::chain::Known;
use super::learnt::{Learnt, Whose};
use super::outside::{self, Offered, Outside};
use crate::automation::DraftSpec;
use crate::draft::{Arguments, Bench, Call, Given, Question, Redactor, Runbooks, TextKind, Tool, Tools, Verdict, fenced, listed};
use crate::inventory::{McpToolSpec, Target};
use crate::plan::{Answer, BaseTree, ChangeSet, Changed, FileChange, Guard, PlanError, Recipe};
use crate::request::Request;
use crate::store::Draft;
use crate::types::{ErrorClass, ManifestPath, TemplateName};
use crate::validate::{self, Finding, Severity, ValidateError};
use async_trait::async_trait;
use regex::Regex;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The tool an answer is tried with.
const CHECK: &str = "check";
/// The tool that shows what a template gives.
const RENDER: &str = "render_template";
/// The longest manifest, or answer of a server, that is shown, in characters.
const MAX_RENDERED: usize = 32 * 1024;
/// Rules whose breach is an attack until somebody says otherwise: the model is not told more than that it is refused.
const SECURITY: [&str; 2] = ["secret.", "path."];

/// What a draft is about: the base it was begun on, and what may be done with it.
pub(super) struct View<'v> {
    pub(super) recipe: &'v Recipe,
    pub(super) guard: &'v Guard,
    pub(super) target: &'v Target,
    pub(super) base: &'v dyn BaseTree,
}

/// Answers one draft's calls.
pub(super) struct Workbench {
    inner: Arc<Inner>,
    /// Where the calls of servers' tools are answered.
    outside: Outside,
}

struct Inner {
    rules: Arc<InForce>,
    request: Request,
    target: Target,
    base: Arc<dyn BaseTree + Send + Sync>,
    salt: String,
    /// What was answered before, where this goes on from it, and what that comes to.
    before: Vec<Answer>,
    so_far: ChangeSet,
    learnt: Mutex<Learnt>,
}

/// What a model gives to `render_template`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rendering {
    template: TemplateName,
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// The tools a draft has that only read.
pub(super) fn tools(spec: &DraftSpec, recipe: &Recipe, answer: &Value) -> Vec<Tool> {
    let mut tools = Tools::declarations();
    if !spec.runbooks.is_empty() {
        tools.push(Runbooks::declaration());
    }
    let templates: Vec<String> = recipe.templates().map(|(name, purpose)| format!("{name} ({purpose})")).collect();
    if !templates.is_empty() {
        tools.push(Tool {
            name: RENDER.to_owned(),
            description: format!("Shows the manifest a template gives, written nowhere: a good beginning for a new file. There are: {}.", templates.join("; ")),
            parameters: json!({
                "type": "object",
                "properties": { "template": { "type": "string" }, "parameters": { "type": "object", "description": "The template's parameters; where they do not fit, you are told which there are." } },
                "required": ["template"],
                "additionalProperties": false
            }),
        });
    }
    tools.push(Tool {
        name: CHECK.to_owned(),
        description: "Tries a change without proposing it: schemas, policies, limits. Takes what propose_change takes.".to_owned(),
        parameters: answer.clone(),
    });
    tools
}

/// What withholds secrets from a draft's model. The ids of its request and event are none.
pub(super) fn redactor(rules: &InForce, spec: &DraftSpec, request: &Request, salt: &str) -> Redactor {
    let named = spec.withhold.iter().filter_map(|pattern| Regex::new(pattern).ok());
    let patterns = rules.set.withheld.patterns().iter().cloned().chain(named).collect();
    let secrets: Vec<SecretString> = rules.secrets.values().cloned().collect();
    let own = [request.id.to_string(), request.event.id.to_string()].into_iter().chain(request.event.delivery.iter().map(ToString::to_string));
    Redactor::new(salt, patterns, &secrets).knowing(own.collect())
}

impl Workbench {
    /// The bench of a draft: the base it was begun on, also where the branch has moved on since, with all that was learnt from what was
    /// `looked_at` in it.
    pub(super) async fn open(
        pipeline: &Arc<Pipeline>,
        rules: &Arc<InForce>,
        request: &Request,
        draft: &Draft,
        before: Option<Known>,
        looked_at: Vec<Call>,
        outside: Outside,
    ) -> Result<Self, StepError> {
        let (pipeline, rules, request, draft) = (Arc::clone(pipeline), Arc::clone(rules), request.clone(), draft.clone());
        blocking(move || {
            let (parameters, target) = planning::resolve(&rules, wanted(&request)).map_err(begin::failed)?;
            let base = snapshot_of(&pipeline.mirror(&target.repository)?, &draft.base)?;
            let before = before.map(|known| known.draft.answers).unwrap_or_default();
            let known = pipeline.learnt.take(&Whose::of(&draft, &target), &rules);
            let anew = known.is_none();
            let learnt = known.map_or_else(|| Ok(Learnt::nothing(&rules, spec_of(&rules, &request)?, &request, &draft.salt)), Ok::<_, StepError>)?;
            let bench = Self::on(rules, request, target, Arc::new(base), (before, learnt), &draft.salt, outside)?;
            if anew {
                bench.inner.learn(&parameters, &draft.salt, &looked_at)?;
            }
            Ok(bench)
        })
        .await
    }

    /// Keeps what was learnt in a draft that goes on, for its next turn.
    pub(super) fn keep(self, pipeline: &Pipeline, draft: &Draft) {
        let Some(Inner { rules, target, learnt, .. }) = Arc::into_inner(self.inner) else { return };
        pipeline.learnt.keep(Whose::of(draft, &target), &rules, learnt.into_inner().unwrap_or_else(PoisonError::into_inner));
    }

    /// The bench of a draft on a tree, going on from what was answered before. Called where one may block.
    pub(super) fn on(
        rules: Arc<InForce>,
        request: Request,
        target: Target,
        base: Arc<dyn BaseTree + Send + Sync>,
        (before, learnt): (Vec<Answer>, Learnt),
        salt: &str,
        outside: Outside,
    ) -> Result<Self, StepError> {
        let guard = recipe_of(&rules, &request)?.guard().ok_or_else(|| gone(&request))?;
        let so_far = applied(guard, &before, &target, base.as_ref())?;
        let so_far = so_far.ok_or_else(|| StepError::Permanent("what was drafted before is not allowed any more".to_owned()))?;
        let salt = salt.to_owned();
        Ok(Self { inner: Arc::new(Inner { rules, request, target, base, salt, before, so_far, learnt: Mutex::new(learnt) }), outside })
    }

    /// The same with other servers.
    pub(super) fn with(&self, outside: Outside) -> Self {
        Self { inner: Arc::clone(&self.inner), outside }
    }

    /// What the model is told of a call of a server's tool.
    async fn ask(&self, call: &Call) -> Result<String, StepError> {
        let inner = &self.inner;
        let Some((server, tool)) = outside::named(&inner.rules, &inner.request, &call.name)? else {
            return Ok("Not asked: this tool may not be used any more.".to_owned());
        };
        let arguments = match &call.arguments {
            Arguments::Read(Value::Object(arguments)) => arguments.clone(),
            Arguments::Read(Value::Null) => Map::new(),
            Arguments::Read(_) => return Ok("Not asked: its arguments are an object.".to_owned()),
            Arguments::Unreadable { reason, .. } => return Ok(format!("The arguments cannot be read: {reason}.")),
        };
        if inner.holds_secrets(&arguments) {
            return Ok("Not asked: its arguments hold what looks like a secret, and nothing of that kind leaves. Ask without it.".to_owned());
        }
        if let Some(given) = self.outside.again(&call.id, &call.name) {
            return Ok(given);
        }
        let given = match self.outside.ask(server, &tool.name, &arguments).await {
            Ok(given) => given,
            Err(why) => return Ok(why),
        };
        let (inner, name) = (Arc::clone(inner), call.name.clone());
        blocking(move || Ok(inner.given(&name, &given))).await
    }

    /// The files that an answer, which passed, changes.
    pub(super) async fn files(&self, answer: &Answer) -> Result<BTreeMap<ManifestPath, FileChange>, StepError> {
        let (inner, answer) = (Arc::clone(&self.inner), answer.clone());
        blocking(move || {
            let tree = Changed::new(inner.base.as_ref(), &inner.so_far);
            let view = inner.view(&tree)?;
            let change = view.guard.change(&answer, view.target, view.base).map_err(PlanError::from)?;
            change.map(|change| change.files).map_err(|_| StepError::Bug("an answer that passed does not pass any more".to_owned()))
        })
        .await
    }
}

#[async_trait]
impl Bench for Workbench {
    type Error = StepError;

    async fn look(&self, call: &Call) -> Result<String, StepError> {
        if McpToolSpec::is_shown(&call.name) {
            return self.ask(call).await;
        }
        let (inner, call) = (Arc::clone(&self.inner), call.clone());
        blocking(move || inner.look(&call)).await
    }

    fn withhold(&self, text: &str) -> String {
        self.inner.withhold(text)
    }

    async fn judge(&self, answer: &Value) -> Result<Verdict, StepError> {
        let (inner, answer) = (Arc::clone(&self.inner), answer.clone());
        let verdict = blocking(move || inner.judge(&answer)).await?;
        Ok(match verdict {
            Verdict::Refused { mut findings, security } => {
                findings.iter_mut().for_each(|finding| finding.message = self.inner.withhold(&finding.message));
                Verdict::Refused { findings, security }
            }
            Verdict::Passes => Verdict::Passes,
        })
    }
}

impl Inner {
    /// Whether anything in the arguments a model wrote must not leave.
    fn holds_secrets(&self, arguments: &Map<String, Value>) -> bool {
        let redactor = &mut self.learnt().redactor;
        let arguments = Value::Object(arguments.clone());
        let text = arguments.to_string();
        redactor.redact_texts(&arguments) != arguments || redactor.redact(&text, TextKind::Manifest) != text
    }

    /// What a server gave, as the model is told it: without secrets, between marks that no server knows.
    fn given(&self, name: &str, given: &Given) -> String {
        let text = self.learnt().redactor.redact(&given.text, TextKind::Manifest);
        let said = if given.failed { "The server says that this failed:\n" } else { "" };
        format!("{said}{}", fenced(&self.salt, name, &shortened(text)))
    }

    fn withhold(&self, text: &str) -> String {
        self.learnt().redactor.redact(text, TextKind::Other)
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns once more what was learnt when the draft began and when the model looked at something: what was a secret there is one in
    /// whatever comes, also after a crash.
    fn learn(&self, parameters: &Map<String, Value>, salt: &str, calls: &[Call]) -> Result<(), StepError> {
        let tree = Changed::new(self.base.as_ref(), &self.so_far);
        let offered = &Offered::default();
        let begins = Begins { parameters, target: &self.target, base: &tree, salt, goes_on: false, wishes: Vec::new(), offered };
        begin::told(&self.rules, &self.request, &begins, &mut self.learnt())?;
        for call in calls.iter().filter(|call| call.name == RENDER || Tools::is_one(&call.name)) {
            self.look(call)?;
        }
        Ok(())
    }

    /// What the draft is about, over the tree that the model sees.
    fn view<'v>(&'v self, base: &'v dyn BaseTree) -> Result<View<'v>, StepError> {
        let recipe = recipe_of(&self.rules, &self.request)?;
        let guard = recipe.guard().ok_or_else(|| gone(&self.request))?;
        Ok(View { recipe, guard, target: &self.target, base })
    }

    /// What the model is told of a call.
    fn look(&self, call: &Call) -> Result<String, StepError> {
        let tree = Changed::new(self.base.as_ref(), &self.so_far);
        let view = self.view(&tree)?;
        let mut learnt = self.learnt();
        let redactor = &mut learnt.redactor;
        let may_read = |path: &str| view.guard.may_read(view.target, path);
        if let Some(answer) = Tools::new(&tree, &may_read, redactor).answer(call) {
            return Ok(answer.map_err(PlanError::from)?);
        }
        let arguments = match &call.arguments {
            Arguments::Read(arguments) => arguments,
            Arguments::Unreadable { reason, .. } => return Ok(format!("The arguments cannot be read: {reason}.")),
        };
        match call.name.as_str() {
            CHECK => Ok(match self.judge(arguments)? {
                Verdict::Passes => "It would be accepted: propose it with propose_change.".to_owned(),
                Verdict::Refused { security: true, .. } => "It would be refused: it does what is not allowed here.".to_owned(),
                Verdict::Refused { findings, .. } => format!("It would be refused:\n{}", listed(&findings)),
            }),
            RENDER => {
                let wanted = match Rendering::deserialize(arguments) {
                    Ok(wanted) => wanted,
                    Err(error) => return Ok(format!("{RENDER} takes `template` and `parameters`: {error}")),
                };
                let rendered =
                    view.recipe.render_alone(&wanted.template, &wanted.parameters, &self.request.event, view.target, self.rules.renderer.as_ref());
                match rendered {
                    Ok(text) => Ok(shortened(redactor.redact(&text, TextKind::Manifest))),
                    Err(error) if error.class() == ErrorClass::User => Ok(redactor.redact(&format!("It does not render: {error}"), TextKind::Other)),
                    Err(error) => Err(error.into()),
                }
            }
            Runbooks::TOOL => match Question::deserialize(arguments) {
                Ok(question) => learnt.passages(&view, &question),
                Err(error) => Ok(format!("{} takes `query`: {error}", Runbooks::TOOL)),
            },
            other => Err(StepError::Bug(format!("a tool {other} that was declared is not there"))),
        }
    }

    /// What the gate says of an answer on the draft's base.
    fn judge(&self, answer: &Value) -> Result<Verdict, StepError> {
        let answer = match Answer::parse(answer) {
            Ok(answer) => answer,
            Err(error) => return Ok(refused(vec![finding("draft.answer", error.to_string())], false)),
        };
        let view = self.view(self.base.as_ref())?;
        let answers: Vec<Answer> = self.before.iter().cloned().chain([answer]).collect();
        let change = match view.guard.change_of_all(&answers, view.target, view.base).map_err(PlanError::from)? {
            Ok(change) if !self.before.is_empty() && change.files == self.so_far.files => return Ok(nothing_changed()),
            Ok(change) => change,
            Err(violations) => {
                let security = violations.iter().any(|violation| violation.security);
                return Ok(refused(violations.into_iter().map(planning::violation).collect(), security));
            }
        };
        match validate::validate(change, view.base, &planning::gate(&self.rules, view.target)) {
            Ok(change) if change.is_empty() => Ok(nothing_changed()),
            Ok(_) => Ok(Verdict::Passes),
            Err(ValidateError::Rejected(rejection)) => {
                let errors: Vec<Finding> = rejection.findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect();
                let security = errors.iter().any(|finding| SECURITY.iter().any(|rule| finding.rule.starts_with(rule)));
                Ok(refused(errors, security))
            }
            Err(ValidateError::Base(error)) => Err(PlanError::from(error).into()),
        }
    }
}

/// What the request's automation does.
pub(super) fn recipe_of<'r>(rules: &'r InForce, request: &Request) -> Result<&'r Recipe, StepError> {
    rules.set.rules.get(&request.key.automation).map(|rule| &rule.recipe).ok_or_else(|| gone(request))
}

/// What its author says of drafts.
pub(super) fn spec_of<'r>(rules: &'r InForce, request: &Request) -> Result<&'r DraftSpec, StepError> {
    rules.set.automations.get(&request.key.automation).and_then(|automation| automation.spec.draft.as_ref()).ok_or_else(|| gone(request))
}

pub(super) fn gone(request: &Request) -> StepError {
    StepError::Permanent(format!("the automation {} has no model draft any more", request.key.automation))
}

/// A manifest as far as it is shown. What is withheld of it is gone by then: half a secret would be none that anybody knows.
fn shortened(text: String) -> String {
    match text.char_indices().nth(MAX_RENDERED) {
        None => text,
        Some((end, _)) => format!("{}\n(cut here: it is shown up to {MAX_RENDERED} characters)", &text[..end]),
    }
}

/// What these answers come to on a base; none where they may not be, or do not fit it.
pub(super) fn applied(guard: &Guard, answers: &[Answer], target: &Target, base: &dyn BaseTree) -> Result<Option<ChangeSet>, StepError> {
    Ok(guard.change_of_all(answers, target, base).map_err(PlanError::from)?.ok())
}

fn nothing_changed() -> Verdict {
    let message = "the change changes nothing: the files say all of it already. If that is as it should be, call no_change";
    refused(vec![finding("draft.empty", message.to_owned())], false)
}

fn refused(findings: Vec<Finding>, security: bool) -> Verdict {
    Verdict::Refused { findings, security }
}

fn finding(rule: &str, message: String) -> Finding {
    Finding { severity: Severity::Error, rule: rule.to_owned(), path: String::new(), document: None, pointer: None, line: None, message, hint: None }
}
