//! What GitHub's events say about requests there are: which pull request to look at, which base branch moved.
//! An event is a hint, whoever signed it: what became of a pull request is asked of the forge, in a step of its own. So the order in
//! which events come, and how often, changes nothing.

use super::{InForce, at_github};
use crate::clock::Clock;
use crate::event::Event;
use crate::inventory::Repository;
use crate::request::{RemarkAddress, RemarkPlace, may_hold};
use crate::store::{Deployment, DeploymentStanding, Signal};
use crate::types::{CommitSha, RemoteUrl, RepositoryName, TaskId};
use serde_json::Value;
use std::sync::Arc;

/// Characters of a sender's text that are quoted.
const QUOTED: usize = 120;
/// Characters of what a delivery tool says, at most.
const MESSAGE: usize = 1_000;

/// What an event owes, beside what automations make of it.
pub(super) fn of(rules: &InForce, event: &Event, clock: &dyn Clock) -> Vec<Signal> {
    let about_a_pull = ["pull_request", "pull_request_review"].contains(&word(event));
    let number = event.data.pointer("/pull_request/number").and_then(Value::as_u64).filter(|_| about_a_pull);
    let look = |number| {
        let task = || TaskId::from_parts(clock.now(), clock.random());
        named(rules, event).map(move |repository| Signal::Pull { repository: repository.name.clone(), number, task: task() })
    };
    number
        .map(look)
        .into_iter()
        .flatten()
        .chain(commented(rules, event, clock))
        .chain(deployed(rules, event))
        .chain(told_by_github(rules, event))
        .collect()
}

/// A new comment on a pull request, or a review of one, that may hold commands. Who wrote it and what it says is asked of the forge.
fn commented<'r>(rules: &'r InForce, event: &'r Event, clock: &'r dyn Clock) -> impl Iterator<Item = Signal> + 'r {
    let number = |pointer: &str| event.data.pointer(pointer).and_then(Value::as_u64);
    let is_pull = || event.data.pointer("/issue/pull_request").is_some_and(Value::is_object);
    let told = match event.kind.as_str() {
        "issue_comment.created" if is_pull() => Some((RemarkPlace::Conversation, "/issue/number", "/comment")),
        "pull_request_review_comment.created" => Some((RemarkPlace::Thread, "/pull_request/number", "/comment")),
        "pull_request_review.submitted" => Some((RemarkPlace::Review, "/pull_request/number", "/review")),
        _ => None,
    };
    let told = told.filter(|(_, _, remark)| event.data.pointer(&format!("{remark}/body")).and_then(Value::as_str).is_some_and(may_hold));
    let at = told.and_then(|(place, pull, remark)| Some(RemarkAddress { pull: number(pull)?, place, id: number(&format!("{remark}/id"))? }));
    at.into_iter().flat_map(move |at| {
        named(rules, event).map(move |repository| {
            let task = TaskId::from_parts(clock.now(), clock.random());
            Signal::Command { repository: repository.name.clone(), at, task }
        })
    })
}

/// What GitHub itself says of a commit of the repositories it is about.
fn told_by_github<'r>(rules: &'r InForce, event: &'r Event) -> impl Iterator<Item = Signal> + 'r {
    named(rules, event).filter_map(move |repository| {
        let said = at_github::said(rules, event, repository)?;
        let bounded = |text: &str| text.chars().take(MESSAGE).collect::<String>();
        Some(Signal::Deployed(Deployment {
            repository: repository.name.clone(),
            application: said.name.chars().take(QUOTED).collect(),
            cluster: said.cluster.map(str::to_owned),
            revision: said.revision.parse().ok()?,
            standing: said.standing,
            message: said.message.map(bounded),
            at: event.time,
        }))
    })
}

/// What the event says of a commit that was deployed, for each repository that it may be of.
fn deployed<'r>(rules: &'r InForce, event: &'r Event) -> impl Iterator<Item = Signal> + 'r {
    let standing = match event.kind.as_str() {
        "deployment.applied" => Some(DeploymentStanding::Applied),
        "deployment.degraded" => Some(DeploymentStanding::Degraded),
        "deployment.failed" => Some(DeploymentStanding::Failed),
        _ => None,
    };
    let said = event.data.get("deployment");
    let text =
        move |field: &str| said.and_then(|said| said.get(field)).and_then(Value::as_str).map(|text| text.chars().take(MESSAGE).collect::<String>());
    let revision: Option<CommitSha> = text("revision").and_then(|revision| revision.parse().ok());
    let urls: Vec<RemoteUrl> = match said.and_then(|said| said.get("url")) {
        Some(Value::Array(urls)) => urls.iter().filter_map(Value::as_str).filter_map(|url| url.parse().ok()).collect(),
        Some(Value::String(url)) => url.parse().into_iter().collect(),
        _ => Vec::new(),
    };
    let cluster = text("cluster");
    let names_it = move |repository: &&Arc<Repository>| {
        let of_cluster = cluster.as_deref().and_then(|name| rules.set.inventory.clusters.get(name)).map(|cluster| &cluster.repository);
        let slug = repository.spec.url.owner_and_name();
        let same = |url: &RemoteUrl| *url == repository.spec.url || (slug.is_some() && url.owner_and_name() == slug);
        of_cluster.is_none_or(|name| *name == repository.name) && (urls.is_empty() || urls.iter().any(same))
    };
    let named = rules.set.inventory.repositories.values().filter(names_it);
    standing.zip(revision).into_iter().flat_map(move |(standing, revision)| {
        named.clone().map(move |repository| {
            Signal::Deployed(Deployment {
                repository: repository.name.clone(),
                application: text("application").unwrap_or_else(|| event.subject.chars().take(QUOTED).collect()),
                cluster: text("cluster"),
                revision: revision.clone(),
                standing,
                message: text("message"),
                at: event.time,
            })
        })
    })
}

/// The repositories whose base branch the event says was pushed to.
pub(super) fn pushed(rules: &InForce, event: &Event) -> Vec<RepositoryName> {
    if word(event) != "push" {
        return Vec::new();
    }
    let branch = event.data.get("ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("refs/heads/"));
    let moved = named(rules, event).filter(|repository| branch == Some(repository.spec.branch.as_str()));
    moved.map(|repository| repository.name.clone()).collect()
}

/// Why an event takes back what was asked for, in a few words.
pub(super) fn reason(event: &Event) -> String {
    let text = |pointer: &str| event.data.pointer(pointer).and_then(Value::as_str).map(|text| text.chars().take(QUOTED).collect::<String>());
    match (event.kind.as_str(), text("/transition/to")) {
        ("alert.resolved", _) => match text("/labels/alertname") {
            Some(name) => format!("the alert {name:?} resolved"),
            None => "the alert resolved".to_owned(),
        },
        ("jira.issue.deleted", _) => format!("{} was deleted", event.subject),
        (_, Some(to)) => format!("{} moved to {to:?}", event.subject),
        (kind, None) => format!("{kind} about {:?}", event.subject.chars().take(QUOTED).collect::<String>()),
    }
}

/// What the event is about: the first word of its type.
fn word(event: &Event) -> &str {
    event.kind.as_str().split('.').next().unwrap_or_default()
}

/// The repositories at GitHub that the event is about.
pub(super) fn named<'r>(rules: &'r InForce, event: &'r Event) -> impl Iterator<Item = &'r Arc<Repository>> {
    let name = event.data.pointer("/repository/full_name").and_then(Value::as_str);
    rules.set.inventory.repositories.values().filter(move |repository| {
        let spec = &repository.spec;
        name.zip(spec.forge.github_name(&spec.url)).is_some_and(|(told, known)| told.eq_ignore_ascii_case(&known))
    })
}
