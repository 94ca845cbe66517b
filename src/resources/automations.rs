//! The automations of a set, held against everything else that is in it. It reads no file and renders nothing.

use super::document::{Document, Kind};
use super::set::{ResourceSet, diagnostic, is_broken, no_such, typed};
use super::{Diagnostic, Level};
use crate::automation::{Automation, AutomationSpec, KnownModels, Trigger};
use crate::event::EventType;
use crate::inventory::NO_CALENDAR;
use crate::plan::{GroupText, Recipe, Words};
use crate::types::{AutomationName, SourceName, SpecError, nearest};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An automation's work and where it is written.
pub struct Rule {
    /// What it does.
    pub recipe: Recipe,
    /// What the pull request of a group says; none when the automation groups nothing.
    pub group: Option<GroupText>,
    /// What is said outside of its requests, in the author's own words.
    pub words: Words,
    /// `file:line`.
    pub place: String,
}

impl ResourceSet {
    pub(super) fn add_automation(&mut self, document: &Document<'_>, models: &KnownModels, found: &mut Vec<Diagnostic>) -> Option<Automation> {
        let (name, spec) = typed::<AutomationName, AutomationSpec>(document, found)?;
        let mut errors: Vec<SpecError> = Vec::new();
        let sources: Vec<&str> = self.sources.keys().map(SourceName::as_str).collect();
        let clusters: Vec<&str> = self.inventory.clusters.keys().map(|name| name.as_str()).collect();
        let repositories: Vec<&str> = self.inventory.repositories.keys().map(|name| name.as_str()).collect();
        let target = |name: &'_ Option<String>| name.clone().filter(|name| !name.contains("{{"));
        let references = spec.on.sources().map(|source| ("/on/source", Kind::Source, source.to_string(), &sources));
        let targets = [
            target(&spec.target.cluster).map(|name| ("/target/cluster", Kind::Cluster, name, &clusters)),
            target(&spec.target.repository).map(|name| ("/target/repository", Kind::Repository, name, &repositories)),
        ];
        for (pointer, kind, name, known) in references.chain(targets.into_iter().flatten()) {
            if !known.contains(&name.as_str()) && !is_broken(found, kind, &name) {
                errors.push(no_such(pointer, kind, &name, known));
            }
        }
        let warnings = self.unheard_types(&spec.on).into_iter().chain(self.unread_parameters(&spec));
        found.extend(warnings.map(|warning| diagnostic(document, Level::Warning, warning)));
        errors.extend(self.no_such_calendar(spec.calendar.as_ref().filter(|name| name.as_str() != NO_CALENDAR), found));
        found.extend(self.never_together(&spec).map(|warning| diagnostic(document, Level::Warning, warning)));
        errors.extend(self.check_draft(document, &spec, models, found));
        errors.extend(self.check_tools(&spec, found));
        errors.extend(self.check_sealed(&spec));
        self.add_sealed(document, &spec);
        let recipe = Recipe::compile(&spec, &self.catalogue).map_err(|found| errors.extend(found)).ok();
        let group = GroupText::compile(&spec).map_err(|found| errors.extend(found)).ok();
        errors.extend(self.check_feedback(&spec, found));
        let words = Words::compile(&spec).map_err(|found| errors.extend(found)).ok();
        let automation = Automation::compile(name.clone(), spec).map_err(|found| errors.extend(found)).ok();
        let failed = !errors.is_empty();
        found.extend(errors.into_iter().map(|error| diagnostic(document, Level::Error, error)));
        if failed {
            return None;
        }
        self.rules.insert(name, Arc::new(Rule { recipe: recipe?, group: group?, words: words?, place: document.place() }));
        automation
    }

    /// A warning where the commit message of the automation's repository reads parameters which the automation does not have.
    fn unread_parameters(&self, spec: &AutomationSpec) -> Option<SpecError> {
        let (pointer, repository) = match (&spec.target.cluster, &spec.target.repository) {
            (Some(cluster), _) => ("/target/cluster", self.inventory.clusters.get(cluster.as_str())?.repository.as_str()),
            (None, Some(repository)) => ("/target/repository", repository.as_str()),
            (None, None) => return None,
        };
        let missing: Vec<&str> = self.messages.get(repository)?.parameters().filter(|name| !spec.parameters.contains_key(*name)).collect();
        let names = missing.iter().map(|name| format!("parameters.{name}")).collect::<Vec<_>>().join(", ");
        let message = format!("the commit message of repository {repository} reads {names}, which this automation does not have");
        let hint = "add the parameter, or write `{{ parameters.x | default(value=\"\") }}` in the message";
        (!missing.is_empty()).then(|| SpecError::new(pointer, message).hint(hint))
    }

    /// What is wrong with the channels that are told of an automation's requests.
    fn check_feedback(&self, spec: &AutomationSpec, found: &[Diagnostic]) -> Vec<SpecError> {
        let known: Vec<&str> = self.inventory.channels.keys().map(|name| name.as_str()).collect();
        let mut errors = Vec::new();
        for (index, feedback) in spec.feedback.iter().enumerate() {
            let Some(channel) = self.inventory.channels.get(&feedback.channel) else {
                if !is_broken(found, Kind::Channel, feedback.channel.as_str()) {
                    errors.push(no_such(&format!("/feedback/{index}/channel"), Kind::Channel, feedback.channel.as_str(), &known));
                }
                continue;
            };
            let without_issues = |pointer: String| {
                let message = format!("the channel {} is a {}, which has no issues", channel.name, channel.spec.kind());
                SpecError::new(pointer, message).hint("leave it out, or name a channel of a Jira")
            };
            if channel.spec.kind() != "jira" {
                errors.extend(feedback.issue.as_ref().map(|_| without_issues(format!("/feedback/{index}/issue"))));
                let acting = feedback.on.iter().filter(|(_, on)| on.needs_issue());
                errors.extend(acting.map(|(news, _)| without_issues(format!("/feedback/{index}/on/{}", news.as_str()))));
            }
        }
        errors
    }

    /// A warning for each event type that none of the sources can give; of a source that is not there nothing is known.
    fn unheard_types(&self, on: &Trigger) -> Vec<SpecError> {
        let given: Option<Vec<Vec<&str>>> = on.sources().map(|source| self.sources.get(source)?.event_types()).collect();
        let given: BTreeSet<&str> = given.into_iter().flatten().flatten().collect();
        let unheard = on.types.iter().enumerate().filter(|(_, kind)| !given.is_empty() && !given.contains(kind.as_str()));
        let sources: Vec<&str> = on.sources().map(SourceName::as_str).collect();
        let warning = |(index, kind): (usize, &EventType)| {
            let hint = match nearest(kind.as_str(), given.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("its types are: {}", given.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            SpecError::new(format!("/on/types/{index}"), format!("no event from {} is of the type {kind}", sources.join(" or "))).hint(hint)
        };
        unheard.map(warning).collect()
    }
}
