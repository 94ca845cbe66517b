//! Why a request is there and where it stands, in words for a comment. Values are code in them, so nothing from a ticket is markup.

use super::answers::listed;
use crate::pipeline::body::markdown::{code, link};
use crate::pipeline::{Pipeline, StepError};
use crate::request::Request;
use crate::store::{Decision, StoreError, Task, TaskFilter, TaskKind, TaskState};

/// Tasks that are looked at.
const MOST_TASKS: u32 = 20;

impl Pipeline {
    pub(super) async fn explained_in_words(&self, request: &Request) -> Result<String, StepError> {
        let decision = match self.store.event(&request.event.id).await {
            Ok(record) => record.decisions.into_iter().find(|decision| decision.automation == request.key.automation),
            // It was long ago.
            Err(StoreError::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let tasks = self.store.tasks(&TaskFilter { request: Some(request.id.clone()), state: None }, MOST_TASKS).await?;
        let sections = [asked(request, &self.people_at), condition(decision.as_ref()), parameters(request), planned(request), found(request)];
        let text: Vec<String> = sections.into_iter().flatten().chain([stands(request, &tasks)]).collect();
        Ok(text.join("\n"))
    }
}

fn asked(request: &Request, people_at: &str) -> Option<String> {
    let event = &request.event;
    let from = event.source.as_ref().map_or_else(|| "the API".to_owned(), |source| format!("source {}", code(source.as_str())));
    Some(format!(
        "Request {} was asked for by event {} ({} about {}) of {from} at {}, and automation {} took it with the key {}.\n",
        link(request.id.as_str(), &format!("{people_at}/requests/{}", request.id)),
        code(event.id.as_str()),
        code(event.kind.as_str()),
        code(&event.subject),
        event.time,
        code(request.key.automation.as_str()),
        code(&request.key.correlation),
    ))
}

fn condition(decision: Option<&Decision>) -> Option<String> {
    let explanation = decision?.explanation.as_ref()?;
    let parts = explanation.predicates.iter().map(|predicate| format!("- {}\n", code(&predicate.in_a_line())));
    Some(format!("Its condition, part by part:\n\n{}", listed(parts)))
}

fn parameters(request: &Request) -> Option<String> {
    let set = &request.steering.set;
    let parameters = request.parameters.as_ref().filter(|parameters| !parameters.is_empty())?;
    let lines = parameters.iter().map(|(name, value)| {
        let by = if set.contains_key(name) { ", set by a comment" } else { "" };
        format!("- {} is {}{by}\n", code(name), code(&set.get(name).unwrap_or(value).to_string()))
    });
    Some(format!("Parameters:\n\n{}", listed(lines)))
}

fn planned(request: &Request) -> Option<String> {
    let lines = request.summary.iter().map(|line| format!("- {}\n", code(line)));
    (!request.summary.is_empty()).then(|| format!("What was planned:\n\n{}", listed(lines)))
}

fn found(request: &Request) -> Option<String> {
    let lines = request.findings.iter().map(|finding| format!("- {}\n", code(&finding.to_string())));
    (!request.findings.is_empty()).then(|| format!("What was found:\n\n{}", listed(lines)))
}

/// Where it stands, and what it waits for.
fn stands(request: &Request, tasks: &[Task]) -> String {
    let said = request.message.as_ref().map(|message| format!(": {}", code(message))).unwrap_or_default();
    let owed = tasks.iter().filter(|task| task.kind != TaskKind::Command && task.state != TaskState::Leased).map(|task| {
        let why = task.last_error.as_ref().map(|error| format!(", {}", code(error))).unwrap_or_default();
        match task.state {
            TaskState::Dead => format!("- {} gave up{why}\n", task.kind.as_str()),
            _ => format!("- {} is due at {}{why}\n", task.kind.as_str(), task.run_at),
        }
    });
    let owed = listed(owed);
    let waits = if owed.is_empty() { "It waits for people, or for what applies it.\n".to_owned() } else { format!("It waits for:\n\n{owed}") };
    let waits = if request.state.is_ended() && tasks.iter().all(|task| task.kind == TaskKind::Command) { String::new() } else { waits };
    format!("It is {}{said}.\n\n{waits}", request.state)
}
