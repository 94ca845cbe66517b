//! What GitHub's events say about requests there are: which pull request to look at, which base branch moved.
//! An event is a hint, whoever signed it: what became of a pull request is asked of the forge, in a step of its own. So the order in
//! which events come, and how often, changes nothing. What is said of a deployment is believed: nobody here can look there.

use super::deployed::{MESSAGE, deployed, may_speak};
use super::{InForce, at_github};
use crate::clock::Clock;
use crate::event::Event;
use crate::ingress::LONGEST_NAME;
use crate::inventory::Repository;
use crate::request::{RemarkAddress, RemarkPlace, RunOutcome, may_hold};
use crate::store::{Deployment, RunEnd, Signal};
use crate::types::{RepositoryName, TaskId};
use serde_json::Value;
use std::sync::Arc;

/// Characters of a sender's text that are quoted.
const QUOTED: usize = 120;

/// What an event owes, beside what automations make of it.
pub(super) fn of(rules: &InForce, event: &Event, clock: &dyn Clock) -> Vec<Signal> {
    let about_a_pull = ["pull_request", "pull_request_review"].contains(&word(event));
    let number = event.data.pointer("/pull_request/number").and_then(Value::as_u64).filter(|_| about_a_pull);
    let look = |number| {
        let task = || TaskId::from_parts(clock.now(), clock.random());
        spoken_of(rules, event).map(move |repository| Signal::Pull { repository: repository.name.clone(), number, task: task() })
    };
    number
        .map(look)
        .into_iter()
        .flatten()
        .chain(commented(rules, event, clock))
        .chain(deployed(rules, event).map(Signal::Deployed))
        .chain(told_by_github(rules, event))
        .chain(ran(event))
        .collect()
}

/// What the event says of the end of a run. Whatever else it is called (a run that began, that goes on) is no end.
fn ran(event: &Event) -> Option<Signal> {
    let outcome = match event.kind.as_str() {
        "run.succeeded" => RunOutcome::Succeeded,
        "run.failed" => RunOutcome::Failed,
        _ => return None,
    };
    let run = event.data.get("run")?;
    // No object is called so, and no index of the store takes it.
    if ["kind", "name", "namespace", "apiVersion", "group", "cluster"]
        .iter()
        .any(|field| run[*field].as_str().is_some_and(|text| text.len() > LONGEST_NAME))
    {
        return None;
    }
    let text = |field: &str| run.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let of_version = text("apiVersion").map(|version| version.split_once('/').map_or("", |(group, _)| group));
    let own = run.get("group").and_then(Value::as_str);
    Some(Signal::Ran(RunEnd {
        group: own.or(of_version).map(str::to_owned),
        kind: text("kind")?.to_owned(),
        namespace: text("namespace").map(str::to_owned),
        name: text("name")?.to_owned(),
        cluster: text("cluster").map(str::to_owned),
        outcome,
        message: text("message").map(|text| text.chars().take(MESSAGE).collect()),
        at: text("finishedAt").and_then(|text| text.parse().ok()).unwrap_or(event.time),
    }))
}

/// A new comment on a pull request, or a review of one, that may hold commands, and one that begins a thread on a line. Who wrote it and what it says is asked of the forge.
fn commented<'r>(rules: &'r InForce, event: &'r Event, clock: &'r dyn Clock) -> impl Iterator<Item = Signal> + 'r {
    let number = |pointer: &str| event.data.pointer(pointer).and_then(Value::as_u64);
    let is_pull = || event.data.pointer("/issue/pull_request").is_some_and(Value::is_object);
    let told = match event.kind.as_str() {
        "issue_comment.created" if is_pull() => Some((RemarkPlace::Conversation, "/issue/number", "/comment")),
        "pull_request_review_comment.created" => Some((RemarkPlace::Thread, "/pull_request/number", "/comment")),
        "pull_request_review.submitted" => Some((RemarkPlace::Review, "/pull_request/number", "/review")),
        _ => None,
    };
    let holds = |remark: &str| event.data.pointer(&format!("{remark}/body")).and_then(Value::as_str).is_some_and(may_hold);
    let begins = |place: RemarkPlace| place == RemarkPlace::Thread && event.data.pointer("/comment/in_reply_to_id").is_none_or(Value::is_null);
    let told = told.filter(|(place, _, remark)| holds(remark) || begins(*place));
    let commands = told.is_some_and(|(_, _, remark)| holds(remark));
    let at = told.and_then(|(place, pull, remark)| Some(RemarkAddress { pull: number(pull)?, place, id: number(&format!("{remark}/id"))? }));
    at.into_iter().flat_map(move |at| {
        spoken_of(rules, event).map(move |repository| {
            let task = TaskId::from_parts(clock.now(), clock.random());
            let repository = repository.name.clone();
            if commands { Signal::Command { repository, at, task } } else { Signal::Reviewed { repository, at, task } }
        })
    })
}

/// What GitHub itself says of a commit of the repositories it is about.
fn told_by_github<'r>(rules: &'r InForce, event: &'r Event) -> impl Iterator<Item = Signal> + 'r {
    spoken_of(rules, event).filter_map(move |repository| {
        let said = at_github::said(rules, event, repository)?;
        let bounded = |text: &str| text.chars().take(MESSAGE).collect::<String>();
        Some(Signal::Deployed(Deployment {
            repository: repository.name.clone(),
            application: said.name.chars().take(QUOTED).collect(),
            cluster: said.cluster.map(str::to_owned),
            paths: Vec::new(),
            named: said.cluster.is_none(),
            revision: said.revision.parse().ok()?,
            standing: said.standing,
            message: said.message.map(bounded),
            at: event.time,
        }))
    })
}

/// The repositories whose base branch the event says was pushed to.
pub(super) fn pushed(rules: &InForce, event: &Event) -> Vec<RepositoryName> {
    if word(event) != "push" {
        return Vec::new();
    }
    let branch = event.data.get("ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("refs/heads/"));
    let moved = spoken_of(rules, event).filter(|repository| branch == Some(repository.spec.branch.as_str()));
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

/// The repositories at GitHub that the event is about, and of which its source may speak.
fn spoken_of<'r>(rules: &'r InForce, event: &'r Event) -> impl Iterator<Item = &'r Arc<Repository>> {
    named(rules, event).filter(move |repository| may_speak(rules, event, repository))
}

/// The repositories at GitHub that the event is about, whoever tells it.
pub(super) fn named<'r>(rules: &'r InForce, event: &'r Event) -> impl Iterator<Item = &'r Arc<Repository>> {
    let name = event.data.pointer("/repository/full_name").and_then(Value::as_str);
    rules.set.inventory.repositories.values().filter(move |repository| {
        let spec = &repository.spec;
        name.zip(spec.forge.github_name(&spec.url)).is_some_and(|(told, known)| told.eq_ignore_ascii_case(&known))
    })
}
