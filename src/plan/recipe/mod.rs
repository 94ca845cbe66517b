//! How an automation's change is made: its target, files, edits and pull request, compiled once at load.

mod amounts;
pub(super) mod edits;
mod files;
mod identity;
mod kept_text;
mod pull;
mod removals;
mod sealed;
mod target;
pub(super) mod texts;
mod ttl;

pub use pull::PullText;
pub use ttl::{LONGEST_LIFETIME, Lifetime};

use super::co_authors::CoAuthors;
use super::drafted::Guard;
use super::staged::Staged;
use super::{BaseTree, ChangeSet, PlanError, Sealer};
use crate::automation::{AutomationSpec, IfExists};
use crate::event::Event;
use crate::expression::{Scope, Variable};
use crate::inventory::{Inventory, Target};
use crate::render::{Catalogue, RenderJob, Renderer};
use crate::types::{Identity, ManifestPath, SpecError, TemplateName};
use edits::Edit;
use files::Step;
use pull::PullTexts;
use removals::Removal;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use target::TargetTexts;
use texts::{text, variables};
use ttl::Ttl;

/// The variables of `with` and of `set`.
pub(super) const WITH_VARIABLES: &[&str] = &["event", "parameters"];

/// An automation's work, compiled.
pub struct Recipe {
    catalogue: Arc<Catalogue>,
    target: TargetTexts,
    steps: Vec<Step>,
    edits: Vec<Edit>,
    removals: Vec<Removal>,
    guard: Option<Guard>,
    ttl: Option<Ttl>,
    pull: PullTexts,
    co_authors: CoAuthors,
}

/// What a change is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The event that asked for it.
    pub event: &'a Event,
    /// The request's parameters, checked.
    pub parameters: &'a Map<String, Value>,
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
        let target = target::compile(&spec.target, &names, &mut errors);
        if spec.render.is_empty() && spec.edit.is_empty() && spec.remove.is_empty() && spec.draft.is_none() {
            errors.push(
                SpecError::new("", "an automation changes something: it has `render`, `edit`, `remove` or `draft`")
                    .hint("render writes files from templates, edit changes fields of files there are, remove takes files and objects away, draft has a language model propose the change"),
            );
        }
        if spec.render.len() > MAX_RENDERED {
            let message =
                format!("an automation writes at most {MAX_RENDERED} files, and this one has {}; make several automations of it", spec.render.len());
            errors.push(SpecError::new("/render", message));
        }
        let steps: Vec<Option<Step>> =
            spec.render.iter().take(MAX_RENDERED).enumerate().map(|(at, step)| files::compile(step, at, &names, catalogue, &mut errors)).collect();
        let rendered: Vec<&str> = spec.render.iter().map(|step| step.path.as_str()).collect();
        let edits = edits::compile(&spec.edit, &rendered, &names, &mut errors);
        let removals = removals::compile(&spec.remove, &rendered, &names, &mut errors);
        let guard = spec.draft.as_ref().and_then(|draft| Guard::compile(draft).map_err(|wrong| errors.extend(wrong)).ok());
        let ttl = ttl::compile(spec.ttl.as_ref(), &names, &mut errors);
        if spec.ttl.is_some() && spec.group.is_some() {
            errors.push(
                SpecError::new("/ttl", "the members of a group come one after the other, so their pull request has no time to live of its own")
                    .hint("leave `group` or `ttl` out"),
            );
        }
        let pull = pull::compile(&spec.pull_request, &names, &mut errors);
        let co_authors = CoAuthors::compile(&spec.commit, &mut errors);
        match (target, pull) {
            (Some(target), Some(pull)) if errors.is_empty() => Ok(Self {
                catalogue: Arc::clone(catalogue),
                target,
                steps: steps.into_iter().flatten().collect(),
                edits,
                removals,
                guard,
                ttl,
                pull,
                co_authors,
            }),
            _ => Err(errors),
        }
    }

    /// Whether it changes files that are there, so that it has no meaning without the repository.
    pub fn needs_base(&self) -> bool {
        !self.edits.is_empty() || !self.removals.is_empty() || self.guard.is_some()
    }

    /// What a language model may read and change, where one drafts the change.
    pub fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }

    /// Whether it seals values.
    pub fn seals(&self) -> bool {
        self.steps.iter().any(|step| step.sealed.is_some())
    }

    /// Where the change goes.
    ///
    /// # Errors
    /// When the texts have no value, or name nothing there is.
    pub fn target(&self, inputs: Inputs<'_>, inventory: &Inventory) -> Result<Target, PlanError> {
        self.target.find(inputs, inventory)
    }

    /// The files the change writes on `base`.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn change(
        &self,
        inputs: Inputs<'_>,
        target: &Target,
        base: &dyn BaseTree,
        renderer: &dyn Renderer,
        sealer: &dyn Sealer,
    ) -> Result<ChangeSet, PlanError> {
        let context = variables(inputs);
        let scope = Scope::lending(context.clone());
        let mut change = ChangeSet::default();
        let mut staged = Staged::new(base, &target.path);
        let (mut paths, mut jobs) = (Vec::new(), Vec::new());
        let mut templated: BTreeSet<ManifestPath> = BTreeSet::new();
        for step in &self.steps {
            let relative = text(&step.path, &context, "render.path")?;
            let path = target.path.join(&relative).map_err(|error| PlanError::Path(error.to_string()))?;
            templated.insert(path.clone());
            if step.if_exists != IfExists::Replace && base.entry(path.as_str())?.is_some() {
                match step.if_exists {
                    IfExists::Refuse => return Err(PlanError::Exists(path)),
                    IfExists::Keep | IfExists::Replace => continue,
                }
            }
            let mut values = self.catalogue.with_defaults(&step.template, &step.parameters(inputs.parameters, &scope)?)?;
            if let Some(sealed) = &step.sealed {
                sealed.fill(&mut values, target, sealer)?;
            }
            change.templates.insert(step.template.to_string(), step.digest.clone());
            jobs.push(step.job(inputs.event, values, target));
            paths.push(path);
        }
        if !jobs.is_empty() {
            for (path, bytes) in paths.into_iter().zip(renderer.render(&jobs)?) {
                staged.write(path, bytes)?;
            }
        }
        staged.close(templated);
        edits::apply(&self.edits, &context, &scope, target, &mut staged)?;
        removals::apply(&self.removals, &context, target, &mut staged)?;
        staged.keep_kustomizations()?;
        staged.look_at_names()?;
        change.notes = staged.notes();
        change.files = staged.finish();
        Ok(change)
    }

    /// What a template of the catalogue gives with these parameters, written nowhere.
    ///
    /// # Errors
    /// When there is no such template, the parameters do not fit, or it does not render.
    pub fn render_alone(
        &self,
        template: &TemplateName,
        given: &Map<String, Value>,
        event: &Event,
        target: &Target,
        renderer: &dyn Renderer,
    ) -> Result<String, PlanError> {
        let values = self.catalogue.with_defaults(template, given)?;
        let context = json!({
            "parameters": values, "event": Variable::Event(event).to_value(),
            "target": { "cluster": target.cluster, "path": target.path, "labels": target.labels },
        });
        let rendered = renderer.render(&[RenderJob { template: template.clone(), context }])?.pop().unwrap_or_default();
        Ok(String::from_utf8_lossy(&rendered).into_owned())
    }

    /// The templates there are: name and purpose.
    pub fn templates(&self) -> impl Iterator<Item = (&str, &str)> {
        self.catalogue.templates().map(|template| (template.name().as_str(), template.purpose()))
    }

    /// How long the change is wanted; none when it is wanted for good.
    ///
    /// # Errors
    /// When the time is none, too short or too long.
    pub fn ttl(&self, inputs: Inputs<'_>) -> Result<Option<Lifetime>, PlanError> {
        match &self.ttl {
            Some(ttl) => ttl.evaluate(&Scope::lending(variables(inputs))),
            None => Ok(None),
        }
    }

    /// Who is named as co-author of the commit, and what a reviewer is told of those who cannot be.
    pub fn co_authors(&self, inputs: Inputs<'_>) -> (Vec<Identity>, Vec<String>) {
        self.co_authors.of(&Scope::lending(variables(inputs)))
    }

    /// The texts of the pull request.
    ///
    /// # Errors
    /// When a text has no value.
    pub fn pull_text(&self, inputs: Inputs<'_>) -> Result<PullText, PlanError> {
        self.pull.fill(inputs)
    }
}
