//! What a delivery tool's event says of a commit that was deployed, for each repository that it may be of, and in words why it counts
//! or does not. It reads the event, the rules and, to say that a commit is unknown, the mirror; whom it concerns of the requests there are is seen later, in a step of its own.

use super::rules::Rules;
use super::{InForce, Pipeline, StepError, blocking};
use crate::event::Event;
use crate::inventory::Repository;
use crate::store::{Deployment, DeploymentStanding};
use crate::types::{CommitSha, RemoteUrl, RepositoryName};
use serde_json::Value;
use std::sync::Arc;

/// Characters of what a delivery tool says, at most.
pub(super) const MESSAGE: usize = 1_000;
/// Characters of a name that somebody else wrote.
const NAME: usize = 120;
/// Paths of one application that are kept.
const MOST_PATHS: usize = 50;

/// What an event says of a deployment, before anybody asks of which repository.
struct Said<'e> {
    event: &'e Event,
    standing: DeploymentStanding,
    revision: Option<CommitSha>,
    /// The cluster, as the inventory knows it; else as the tool calls it first.
    cluster: Option<String>,
    urls: Vec<RemoteUrl>,
    paths: Vec<String>,
}

/// What the event says, where it is about a deployment.
fn said<'e>(rules: &InForce, event: &'e Event) -> Option<Said<'e>> {
    let standing = match event.kind.as_str() {
        "deployment.applied" => DeploymentStanding::Applied,
        "deployment.degraded" => DeploymentStanding::Degraded,
        "deployment.failed" => DeploymentStanding::Failed,
        _ => return None,
    };
    let clusters: Vec<String> = ["cluster", "server"].into_iter().filter_map(|field| text(event, field)).collect();
    let known = clusters.iter().find(|called| rules.set.inventory.cluster_called(called).is_some());
    Some(Said {
        event,
        standing,
        revision: text(event, "revision").and_then(|revision| revision.parse().ok()),
        cluster: known.or(clusters.first()).cloned(),
        urls: texts(event, "url").iter().filter_map(|url| url.parse().ok()).collect(),
        paths: texts(event, "paths"),
    })
}

impl Said<'_> {
    fn application(&self) -> String {
        text(self.event, "application").unwrap_or_else(|| self.event.subject.clone()).chars().take(NAME).collect()
    }

    /// Whether it can be of this repository.
    fn is_of(&self, rules: &InForce, repository: &Repository) -> bool {
        let cluster = self.cluster.as_deref().and_then(|called| rules.set.inventory.cluster_called(called));
        let slug = repository.spec.url.owner_and_name();
        let same = |url: &RemoteUrl| *url == repository.spec.url || (slug.is_some() && url.owner_and_name() == slug);
        cluster.is_none_or(|(_, spec)| spec.repository == repository.name) && (self.urls.is_empty() || self.urls.iter().any(same))
    }

    /// Whether the repository names the application; none where it names none at all.
    fn is_named(&self, repository: &Repository) -> Option<bool> {
        let by = &repository.spec.applied_by;
        (!by.applications.is_empty()).then(|| by.names(|by| &by.applications, &self.application()))
    }

    /// Why it counts for nothing in this repository; none where it counts.
    fn silent(&self, rules: &InForce, repository: &Repository) -> Option<String> {
        let application = self.application();
        if !may_speak(rules, self.event, repository) {
            return Some("its source may not speak of this repository (`repositories`)".to_owned());
        }
        let is_named = self.is_named(repository);
        if is_named == Some(false) {
            return Some(format!("`appliedBy.applications` does not name {application:?}"));
        }
        let clusters = || rules.set.inventory.clusters.values().filter(|spec| spec.repository == repository.name);
        let cluster = self.cluster.as_deref();
        let is_known = cluster.is_some_and(|called| rules.set.inventory.cluster_called(called).is_some());
        if is_known || is_named == Some(true) || !self.paths.is_empty() || clusters().count() <= 1 {
            return None;
        }
        let which = match cluster {
            Some(cluster) => format!("{:?} is no Cluster's name and no alias of one", cluster.chars().take(NAME).collect::<String>()),
            None => "it names no cluster".to_owned(),
        };
        Some(format!("{which}, it says no path, and the repository has several clusters"))
    }
}

/// What an event says of a deployment to each repository that it may be of.
pub(super) fn deployed<'r>(rules: &'r InForce, event: &'r Event) -> impl Iterator<Item = Deployment> + 'r {
    let said = said(rules, event).and_then(|said| Some((said.revision.clone()?, said)));
    said.into_iter().flat_map(move |(revision, said)| {
        let repositories = rules.set.inventory.repositories.values();
        let counting = repositories.filter(|repository| said.is_of(rules, repository) && said.silent(rules, repository).is_none());
        let of = |repository: &Arc<Repository>| Deployment {
            repository: repository.name.clone(),
            application: said.application(),
            cluster: said.cluster.clone(),
            paths: said.paths.clone(),
            named: said.is_named(repository) == Some(true),
            revision: revision.clone(),
            standing: said.standing,
            message: text(event, "message"),
            at: event.time,
        };
        counting.map(of).collect::<Vec<_>>()
    })
}

/// What becomes of an event about a deployment, a sentence for each repository that it can be of; nothing of other events.
pub fn what_counts(rules: &Rules, event: &Event) -> Vec<String> {
    let rules = rules.current();
    let Some(said) = said(&rules, event) else { return Vec::new() };
    let Some(revision) = said.revision.as_ref().and_then(|revision| revision.as_str().get(..12)) else {
        return vec!["says nothing of merged requests: its revision is no commit".to_owned()];
    };
    let about = rules.set.inventory.repositories.values().filter(|repository| said.is_of(&rules, repository));
    let sentences: Vec<String> = about
        .map(|repository| match said.silent(&rules, repository) {
            Some(why) => format!("says nothing of merged requests of {}: {why}", repository.name),
            None if said.paths.is_empty() => format!("tells merged requests of {} whose commit is in the history of {revision}", repository.name),
            None => format!(
                "tells merged requests of {} with files below {} whose commit is in the history of {revision}",
                repository.name,
                said.paths.join(", ")
            ),
        })
        .collect();
    if sentences.is_empty() { vec!["says nothing of merged requests: it is of no repository of the inventory".to_owned()] } else { sentences }
}

impl Pipeline {
    /// A sentence for each repository whose mirror does not hold the commit that an event of a deployment names: it cannot mean anything yet.
    ///
    /// # Errors
    /// When a mirror cannot be read.
    pub async fn unknown_revisions(self: &Arc<Self>, event: &Event) -> Result<Vec<String>, StepError> {
        let rules = self.rules.current();
        let named: Vec<(RepositoryName, CommitSha)> = deployed(&rules, event).map(|said| (said.repository, said.revision)).collect();
        let this = Arc::clone(self);
        blocking(move || {
            let mut unknown = Vec::new();
            for (name, revision) in named {
                let Some(repository) = rules.set.inventory.repositories.get(&name) else { continue };
                if !this.mirror(repository)?.holds(&revision)? {
                    unknown.push(format!("means no request of {name}: no fetch of it has brought a commit {revision}"));
                }
            }
            Ok(unknown)
        })
        .await
    }
}

/// Whether the event's source may speak of a repository. Who asks through the API was asked for his rights there.
pub(super) fn may_speak(rules: &InForce, event: &Event, repository: &Repository) -> bool {
    let source = event.source.as_ref().and_then(|name| rules.set.sources.get(name));
    source.is_none_or(|source| source.may_speak_of(&repository.name))
}

/// A text of the deployment, shortened.
fn text(event: &Event, field: &str) -> Option<String> {
    let text = event.data.get("deployment")?.get(field)?.as_str()?;
    Some(text.chars().take(MESSAGE).collect::<String>()).filter(|text| !text.is_empty())
}

/// A list of texts of the deployment, or the one that stands there.
fn texts(event: &Event, field: &str) -> Vec<String> {
    let plain = |text: &str| (!text.is_empty() && text.len() <= MESSAGE && !text.contains('\n')).then(|| text.to_owned());
    match event.data.get("deployment").and_then(|said| said.get(field)) {
        Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).filter_map(plain).take(MOST_PATHS).collect(),
        Some(Value::String(text)) => plain(text).into_iter().collect(),
        _ => Vec::new(),
    }
}
