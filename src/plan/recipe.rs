//! How an automation's change is made: its target, files and pull request, compiled once at load.

use super::{BaseTree, ChangeSet, FileChange, PlanError};
use crate::automation::{AutomationSpec, IfExists, MergeMethod, Milestone, PullRequestSpec, RenderSpec, TargetSpec};
use crate::event::Event;
use crate::expression::{Expression, Scope, Variable, Variables};
use crate::inventory::{Inventory, Target};
use crate::render::{Catalogue, RenderJob, Renderer, TextKind, TextTemplate};
use crate::types::{DirectoryPath, ManifestPath, SpecError, TemplateName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The variables of `with`.
const WITH_VARIABLES: &[&str] = &["event", "parameters"];

/// An automation's work, compiled.
pub struct Recipe {
    catalogue: Arc<Catalogue>,
    target: TargetTexts,
    steps: Vec<Step>,
    pull: PullTexts,
}

enum TargetTexts {
    Cluster(TextTemplate),
    Repository { name: TextTemplate, path: Option<TextTemplate> },
}

struct Step {
    template: TemplateName,
    digest: String,
    path: TextTemplate,
    with: BTreeMap<String, Expression>,
    inherited: Vec<String>,
    if_exists: IfExists,
    reads_event: bool,
    reads_target: bool,
}

struct PullTexts {
    title: TextTemplate,
    body: Option<TextTemplate>,
    /// What of it is the same for every request.
    fixed: PullRequestSpec,
}

/// What a change is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The event that asked for it.
    pub event: &'a Event,
    /// The request's parameters, checked.
    pub parameters: &'a Map<String, Value>,
}

/// How the pull request looks, without what KubeOps adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullText {
    /// The title, one line.
    pub title: String,
    /// The author's paragraphs, in Markdown.
    pub body: Option<String>,
    /// Labels.
    pub labels: Vec<String>,
    /// Reviewers.
    pub reviewers: Vec<String>,
    /// Assignees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assignees: Vec<String>,
    /// The milestone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milestone: Option<Milestone>,
    /// Whether it is opened as a draft.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draft: bool,
    /// How the forge merges it by itself, where it shall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_merge: Option<MergeMethod>,
}

/// The most entries of `render`: each costs a template's time, a file in the change and lines a reviewer reads.
const MAX_RENDERED: usize = 50;

impl Recipe {
    /// Compiles what an automation does.
    ///
    /// # Errors
    /// Everything that is wrong, with pointers into the spec.
    pub fn compile(spec: &AutomationSpec, catalogue: &Arc<Catalogue>) -> Result<Self, Vec<SpecError>> {
        let mut errors = Vec::new();
        let names: Vec<&str> = spec.parameters.keys().map(String::as_str).collect();
        let target = compile_target(&spec.target, &names, &mut errors);
        if spec.render.is_empty() {
            errors.push(SpecError::new("/render", "an automation writes at least one file"));
        }
        if spec.render.len() > MAX_RENDERED {
            let message =
                format!("an automation writes at most {MAX_RENDERED} files, and this one has {}; make several automations of it", spec.render.len());
            errors.push(SpecError::new("/render", message));
        }
        let steps: Vec<Option<Step>> =
            spec.render.iter().take(MAX_RENDERED).enumerate().map(|(at, step)| compile_step(step, at, &names, catalogue, &mut errors)).collect();
        let pull = compile_pull(&spec.pull_request, &names, &mut errors);
        match (target, pull) {
            (Some(target), Some(pull)) if errors.is_empty() => {
                Ok(Self { catalogue: Arc::clone(catalogue), target, steps: steps.into_iter().flatten().collect(), pull })
            }
            _ => Err(errors),
        }
    }

    /// Where the change goes.
    ///
    /// # Errors
    /// When the texts have no value, or name nothing there is.
    pub fn target(&self, inputs: Inputs<'_>, inventory: &Inventory) -> Result<Target, PlanError> {
        let context = variables(inputs);
        match &self.target {
            TargetTexts::Cluster(name) => {
                let name = text(name, &context, "target.cluster")?;
                inventory.by_cluster(&name).map_err(|unknown| PlanError::Target(unknown.to_string()))
            }
            TargetTexts::Repository { name, path } => {
                let name = text(name, &context, "target.repository")?;
                let path = match path {
                    Some(path) => text(path, &context, "target.path")?
                        .parse()
                        .map_err(|error: crate::types::ParseError| PlanError::Target(error.to_string()))?,
                    None => DirectoryPath::root(),
                };
                inventory.by_repository(&name, path).map_err(|unknown| PlanError::Target(unknown.to_string()))
            }
        }
    }

    /// The files the change writes on `base`.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn change(&self, inputs: Inputs<'_>, target: &Target, base: &dyn BaseTree, renderer: &dyn Renderer) -> Result<ChangeSet, PlanError> {
        let context = variables(inputs);
        let scope = Scope::lending(context.clone());
        let mut change = ChangeSet::default();
        let (mut paths, mut jobs) = (Vec::new(), Vec::new());
        for step in &self.steps {
            let relative = text(&step.path, &context, "render.path")?;
            let path = target.path.join(&relative).map_err(|error| PlanError::Path(error.to_string()))?;
            if step.if_exists != IfExists::Replace && base.entry(path.as_str())?.is_some() {
                match step.if_exists {
                    IfExists::Refuse => return Err(PlanError::Exists(path)),
                    IfExists::Keep | IfExists::Replace => continue,
                }
            }
            let values = self.catalogue.with_defaults(&step.template, &step.parameters(inputs.parameters, &scope)?)?;
            change.templates.insert(step.template.to_string(), step.digest.clone());
            jobs.push(RenderJob { template: step.template.clone(), context: step.context(inputs.event, values, target) });
            paths.push(path);
        }
        for (path, bytes) in paths.into_iter().zip(renderer.render(&jobs)?) {
            if change.files.insert(path.clone(), FileChange::Write(bytes)).is_some() {
                return Err(PlanError::Path(format!("two steps of the automation write {path}")));
            }
        }
        Ok(change)
    }

    /// The texts of the pull request.
    ///
    /// # Errors
    /// When a text has no value.
    pub fn pull_text(&self, inputs: Inputs<'_>) -> Result<PullText, PlanError> {
        let context = variables(inputs);
        Ok(PullText {
            title: text(&self.pull.title, &context, "pullRequest.title")?,
            body: self.pull.body.as_ref().map(|body| text(body, &context, "pullRequest.body")).transpose()?,
            labels: self.pull.fixed.labels.clone(),
            reviewers: self.pull.fixed.reviewers.clone(),
            assignees: self.pull.fixed.assignees.clone(),
            milestone: self.pull.fixed.milestone.clone(),
            draft: self.pull.fixed.draft,
            auto_merge: self.pull.fixed.auto_merge,
        })
    }
}

impl Step {
    fn parameters(&self, given: &Map<String, Value>, scope: &Scope<'_>) -> Result<Map<String, Value>, PlanError> {
        let mut values: Map<String, Value> =
            self.inherited.iter().filter_map(|name| given.get(name).map(|value| (name.clone(), value.clone()))).collect();
        for (name, expression) in &self.with {
            let value = expression.evaluate(scope).map_err(|error| PlanError::Text {
                place: format!("render.with.{name}"),
                message: format!("`{}` has no value: {error}", expression.source()),
            })?;
            if value.is_null() {
                values.remove(name);
            } else {
                values.insert(name.clone(), value);
            }
        }
        Ok(values)
    }

    /// What the template is given: its parameters, and of the rest what it reads.
    fn context(&self, event: &Event, parameters: Map<String, Value>, target: &Target) -> Value {
        let mut context = json!({});
        context["parameters"] = Value::Object(parameters);
        if self.reads_event {
            context["event"] = Variable::Event(event).to_value();
        }
        if self.reads_target {
            context["target"] = json!({ "cluster": target.cluster, "path": target.path, "labels": target.labels });
        }
        context
    }
}

fn compile_target(spec: &TargetSpec, names: &[&str], errors: &mut Vec<SpecError>) -> Option<TargetTexts> {
    match (&spec.cluster, &spec.repository) {
        (Some(cluster), None) => {
            if spec.path.is_some() {
                errors.push(
                    SpecError::new("/target/path", "a cluster brings its own path")
                        .hint("leave `path` out, or name `repository` instead of `cluster`"),
                );
            }
            compile_text(cluster, TextKind::Line, "/target/cluster", names, errors).map(TargetTexts::Cluster)
        }
        (None, Some(repository)) => {
            let path = spec.path.as_deref().map(|path| compile_text(path, TextKind::Path, "/target/path", names, errors));
            let name = compile_text(repository, TextKind::Line, "/target/repository", names, errors)?;
            Some(TargetTexts::Repository { name, path: path.flatten() })
        }
        _ => {
            errors.push(
                SpecError::new("/target", "a target names either a cluster or a repository")
                    .hint("target: { cluster: prod } or target: { repository: gitops, path: clusters/prod }"),
            );
            None
        }
    }
}

fn compile_step(step: &RenderSpec, at: usize, names: &[&str], catalogue: &Catalogue, errors: &mut Vec<SpecError>) -> Option<Step> {
    let at = format!("/render/{at}");
    let path = compile_text(&step.path, TextKind::Path, &format!("{at}/path"), names, errors);
    check_path(&step.path, &format!("{at}/path"), errors);
    let Some(template) = catalogue.get(&step.template) else {
        let known: Vec<&str> = catalogue.templates().map(|template| template.name().as_str()).collect();
        errors.push(
            SpecError::new(format!("{at}/template"), format!("there is no template {:?}", step.template.as_str()))
                .hint(format!("known are: {}", known.join(", "))),
        );
        return None;
    };
    let properties: Vec<&str> = template.property_names().collect();
    let mut with = BTreeMap::new();
    for (name, source) in &step.with {
        let place = format!("{at}/with/{}", crate::automation::escape_pointer(name));
        if !properties.contains(&name.as_str()) {
            errors.push(
                SpecError::new(&place, format!("template {} has no parameter {name:?}", step.template))
                    .hint(format!("it has: {}", properties.join(", "))),
            );
        }
        if let Some(expression) = crate::automation::compile_at(source, &place, WITH_VARIABLES, errors) {
            with.insert(name.clone(), expression);
        }
    }
    let inherited: Vec<String> =
        names.iter().filter(|name| properties.contains(name) && !with.contains_key(**name)).map(|name| (*name).to_owned()).collect();
    for required in template.required_names() {
        if !with.contains_key(required) && !inherited.iter().any(|name| name == required) {
            errors.push(
                SpecError::new(&at, format!("template {} needs {required:?}, and the automation has no parameter of that name", step.template))
                    .hint(format!("add a parameter `{required}`, or `with: {{ {required}: parameters.other }}`")),
            );
        }
    }
    Some(Step {
        template: step.template.clone(),
        digest: template.digest().to_owned(),
        path: path?,
        with,
        inherited,
        if_exists: step.if_exists,
        reads_event: template.reads("event"),
        reads_target: template.reads("target"),
    })
}

fn compile_pull(spec: &PullRequestSpec, names: &[&str], errors: &mut Vec<SpecError>) -> Option<PullTexts> {
    let title = compile_text(&spec.title, TextKind::Line, "/pullRequest/title", names, errors);
    let body = spec.body.as_deref().map(|body| compile_text(body, TextKind::Markdown, "/pullRequest/body", names, errors));
    for (at, label) in spec.labels.iter().enumerate() {
        if label.is_empty() || label.chars().count() > 50 || label.chars().any(char::is_control) {
            errors.push(SpecError::new(format!("/pullRequest/labels/{at}"), "a label has 1 to 50 characters"));
        }
    }
    check_people(spec, errors);
    Some(PullTexts { title: title?, body: body.flatten(), fixed: spec.clone() })
}

/// Whom the pull request names, and what cannot be together.
fn check_people(spec: &PullRequestSpec, errors: &mut Vec<SpecError>) {
    for (at, reviewer) in spec.reviewers.iter().enumerate() {
        let part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if reviewer.split('/').count() > 2 || !reviewer.split('/').all(part) {
            errors.push(SpecError::new(format!("/pullRequest/reviewers/{at}"), "a reviewer is a user's name or `organisation/team`"));
        }
    }
    for (at, assignee) in spec.assignees.iter().enumerate() {
        if assignee.is_empty() || !assignee.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            errors.push(SpecError::new(format!("/pullRequest/assignees/{at}"), "an assignee is a user's name; a team cannot be assigned"));
        }
    }
    // GitHub assigns ten at most.
    if spec.assignees.len() > 10 {
        errors.push(SpecError::new("/pullRequest/assignees", "a pull request has at most 10 assignees"));
    }
    if matches!(&spec.milestone, Some(Milestone::Title(title)) if title.trim().is_empty()) || spec.milestone == Some(Milestone::Number(0)) {
        errors.push(SpecError::new("/pullRequest/milestone", "a milestone is its number, from 1, or its title"));
    }
    if spec.draft && spec.auto_merge.is_some() {
        let message = "a draft cannot be merged by itself";
        errors.push(SpecError::new("/pullRequest/autoMerge", message).hint("leave out `draft` or `autoMerge`"));
    }
}

/// Refuses a path that no value could make one: every gap is taken for a plain word.
fn check_path(source: &str, pointer: &str, errors: &mut Vec<SpecError>) {
    if source.contains("{%") {
        return;
    }
    let mut parts = source.split("{{");
    let mut tried = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        tried.push('x');
        tried.push_str(part.split_once("}}").map_or("", |(_, rest)| rest));
    }
    if let Err(error) = tried.parse::<ManifestPath>() {
        errors.push(SpecError::new(pointer, format!("this can never be a path of a manifest: {}", error.rule)));
    }
}

/// Names after `parameters.` and `event.` in a text that stand for nothing.
fn check_names(source: &str, pointer: &str, parameters: &[&str], errors: &mut Vec<SpecError>) {
    for (variable, known) in [("parameters.", parameters), ("event.", Event::FIELDS.as_slice())] {
        let gaps = source.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(gap, _)| gap);
        for (before, after) in gaps.flat_map(|gap| gap.match_indices(variable).map(|(at, _)| (&gap[..at], &gap[at + variable.len()..]))) {
            let name: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let part_of_another = before.ends_with(|c: char| c.is_ascii_alphanumeric() || "_.\"'".contains(c));
            if !part_of_another && !known.contains(&name.as_str()) {
                let message = format!("there is no `{variable}{name}`");
                errors.push(SpecError::new(pointer, message).hint(format!("known are: {}", known.join(", "))));
            }
        }
    }
}

fn compile_text(source: &str, kind: TextKind, pointer: &str, parameters: &[&str], errors: &mut Vec<SpecError>) -> Option<TextTemplate> {
    check_names(source, pointer, parameters, errors);
    TextTemplate::compile(source, kind)
        .map_err(|error| {
            errors.push(SpecError {
                pointer: pointer.to_owned(),
                message: error.message,
                hint: None,
                within: (error.line > 0).then_some((error.line, error.column)),
            })
        })
        .ok()
}

fn text(template: &TextTemplate, context: &Variables<'_>, place: &str) -> Result<String, PlanError> {
    template.render(context.clone()).map_err(|error| PlanError::Text { place: place.to_owned(), message: error.to_string() })
}

/// What texts and `with` read.
fn variables<'i>(inputs: Inputs<'i>) -> Variables<'i> {
    Variables::new([("event", Variable::Event(inputs.event)), ("parameters", Variable::Fields(inputs.parameters))])
}
