//! What a command does. Each effect names its comment in the timeline, in the same write: found there, it is not done again.

use super::{By, answers};
use crate::automation::{ParameterError, Parameters};
use crate::pipeline::body::markdown::code;
use crate::pipeline::operations::OperationError;
use crate::pipeline::planning::{self, Stop};
use crate::pipeline::plans::{Bases, wanted};
use crate::pipeline::{Pipeline, StepError, blocking, outcome};
use crate::request::{Assignment, Command, CommandLine, Request, Revision, State, TimelineEntry};
use crate::store::{CommandAnswer, RequestUpdate, TaskKind, lane};
use crate::types::RequestId;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// So often a command is tried anew when another writer was first.
const TRIES: usize = 3;
const REVISES: &str = "The language model is asked to revise it; what comes of that is told here.";

impl Pipeline {
    pub(super) async fn carry_out(self: &Arc<Self>, id: &RequestId, by: &By, line: &CommandLine) -> Result<CommandAnswer, StepError> {
        let command = match &line.command {
            Ok(command) => command,
            Err(mistake) => return Ok(answers::mistaken(mistake)),
        };
        let mut tries = 1;
        loop {
            let request = self.store.request(id).await?;
            let actor = by.actor();
            if self.store.timeline(id).await?.iter().any(|entry| entry.actor == actor) {
                return Ok(carried_out(command, &request));
            }
            match self.act_on(command, &request, by, &actor).await {
                Ok(answer) => return Ok(answer),
                Err(OperationError::Step(error)) => return Err(error),
                // The request may only have changed while it was looked at.
                Err(_) if tries < TRIES && self.store.request(id).await?.version != request.version => tries += 1,
                Err(error) => return Ok(answers::refused(format!("Not done: {}.", code(&error.to_string())))),
            }
        }
    }

    async fn act_on(self: &Arc<Self>, command: &Command, request: &Request, by: &By, actor: &str) -> Result<CommandAnswer, OperationError> {
        match command {
            Command::Help => Ok(answers::told(answers::help())),
            Command::Explain => Ok(answers::told(self.explained_in_words(request).await?)),
            Command::Retry => self.retry(&request.id, actor).await.map(|after| carried_out(command, &after)),
            Command::Close(reason) => self.cancel(&request.id, reason.clone(), actor).await.map(|after| carried_out(command, &after)),
            Command::Rebase => self.rebase(request, actor).await,
            Command::Set(assignments) => self.set(request, assignments, actor).await,
            Command::Hold(reason) => {
                let known = request.steering.held.clone();
                let after = self.hold(&request.id, reason.clone(), actor).await?;
                Ok(match known.filter(|_| !after.state.is_ended()) {
                    Some(hold) => answers::told(answers::held_already(&hold)),
                    None => carried_out(command, &after),
                })
            }
            Command::Release => {
                let after = self.release(&request.id, actor).await?;
                Ok(match after.version == request.version {
                    true => answers::told("Nothing held it."),
                    false => carried_out(command, &after),
                })
            }
            Command::Revert(reason) => {
                self.revert(&request.id, reason.clone(), actor).await?;
                Ok(carried_out(command, &self.store.request(&request.id).await?))
            }
            Command::Revise(wish) => {
                let wish = Revision { text: wish.clone(), by: by.login.clone(), at: Some(by.at) };
                self.wish(request, wish, actor).await?;
                Ok(carried_out(command, request))
            }
            Command::Extend(time) => {
                let after = self.extend(&request.id, *time, actor).await?;
                Ok(carried_out(command, &after))
            }
        }
    }

    async fn rebase(self: &Arc<Self>, request: &Request, actor: &str) -> Result<CommandAnswer, OperationError> {
        self.check_ours(request).await?;
        let mut after = request.clone();
        after.steering.rebase = true;
        self.plan_anew(&after, "to be planned again on the present base".to_owned(), actor).await?;
        Ok(answers::done())
    }

    async fn set(self: &Arc<Self>, request: &Request, assignments: &[Assignment], actor: &str) -> Result<CommandAnswer, OperationError> {
        if request.members > 0 {
            let why = "it stands for a group of events, each with values of its own; nobody can set one for all of them";
            return Err(OperationError::Refused(why.to_owned()));
        }
        if request.changes.as_ref().is_some_and(|changes| changes.drafted.is_some()) {
            let why = "a language model drafted it for the values it has: say what is wanted otherwise with `/kubeops revise`";
            return Err(OperationError::Refused(why.to_owned()));
        }
        self.check_ours(request).await?;
        let rules = self.rules.current();
        let Some(automation) = rules.set.automations.get(&request.key.automation) else {
            return Err(OperationError::Refused(format!("the automation {} is not configured any more", request.key.automation)));
        };
        let given = request.parameters.iter().flatten().chain(&request.steering.set);
        let given: Map<String, Value> = given.map(|(name, value)| (name.clone(), value.clone())).collect();
        let values = match fitting(automation.parameters(), &given, assignments) {
            Ok(values) => values,
            Err(errors) => return Ok(answers::refused(answers::parameters(&errors, automation.parameters().schema()))),
        };
        let mut after = request.clone();
        after.steering.set.extend(values);
        if let Err(why) = self.would_stand(after.clone()).await? {
            return Ok(answers::refused(why));
        }
        let names: Vec<&str> = assignments.iter().map(|assignment| assignment.name.as_str()).collect();
        let told: Vec<String> = names.iter().filter_map(|name| Some(format!("{name} = {}", after.steering.set.get(*name)?))).collect();
        let told: String = told.join(", ").chars().take(300).collect();
        self.plan_anew(&after, format!("to be planned again with {told}"), actor).await?;
        Ok(answers::told(answers::set(&after.steering.set, &names)))
    }

    /// Whether the request with its new values would pass everything a plan passes; else why not, in Markdown.
    async fn would_stand(self: &Arc<Self>, request: Request) -> Result<Result<(), String>, StepError> {
        let this = Arc::clone(self);
        blocking(move || {
            let rules = this.rules.current();
            let planned = || -> Result<bool, Stop> {
                let (parameters, target) = planning::resolve(&rules, wanted(&request))?;
                if request.repository.as_ref() != Some(&target.repository.name) {
                    return Err(Stop::refused("the change would go to another repository, and its pull request cannot follow it there"));
                }
                let base = this.base(&mut Bases::new(), &target.repository)?;
                Ok(!planning::make(&rules, wanted(&request), &parameters, &target, &base.snapshot)?.change.is_empty())
            };
            match planned() {
                Ok(true) => Ok(Ok(())),
                Ok(false) => Ok(Err("Nothing was changed: with these values there would be nothing left to propose.".to_owned())),
                Err(Stop::Refused { findings, message }) => Ok(Err(answers::findings(&message, &findings))),
                Err(Stop::Failed(error)) => Err(error),
            }
        })
        .await
    }

    /// Refuses what is not open, and what a person has taken over.
    pub(in crate::pipeline) async fn check_ours(self: &Arc<Self>, request: &Request) -> Result<(), OperationError> {
        if !matches!(request.state, State::Planned | State::Proposed | State::Approved) {
            return Err(OperationError::Refused(format!("the request is {}; only what is open is planned again", request.state)));
        }
        let rules = self.rules.current();
        let repository = request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name));
        let (Some(repository), Some(pull)) = (repository, &request.pull) else { return Ok(()) };
        let pull = self.forges.forge(repository, super::Priority::Ticket)?.get(pull.number).await?;
        if request.taken_over || self.is_taken_over(request, repository, &pull).await? {
            let why = "somebody has pushed to its branch, which is theirs since: KubeOps does not plan it again";
            return Err(OperationError::Refused(why.to_owned()));
        }
        Ok(())
    }

    /// Owes another plan on a base that is looked at anew.
    async fn plan_anew(&self, after: &Request, message: String, actor: &str) -> Result<(), OperationError> {
        let rules = self.rules.current();
        if let Some(repository) = after.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name)) {
            self.mirror(repository)?.forget_tip();
        }
        let lane = after.repository.as_ref().map(lane::of).unwrap_or_default();
        let tasks = vec![outcome::follow_up(after, TaskKind::Replan, &lane, self.clock.as_ref())];
        let entry = TimelineEntry { actor: actor.to_owned(), ..outcome::note(after, message, self.clock.as_ref()) };
        let update = RequestUpdate { timeline: vec![entry], tasks, drop_tasks: false, successor: None };
        Ok(self.store.update_request(after, &update, self.clock.now()).await?)
    }
}

/// What is answered to a command whose effect is there.
fn carried_out(command: &Command, request: &Request) -> CommandAnswer {
    match command {
        Command::Set(assignments) => {
            let names: Vec<&str> = assignments.iter().map(|assignment| assignment.name.as_str()).collect();
            answers::told(answers::set(&request.steering.set, &names))
        }
        Command::Revert(_) => match &request.steering.reverted_by {
            Some(by) => answers::told(format!("Request {} takes it back.", code(by.as_str()))),
            None => answers::done(),
        },
        Command::Extend(_) => match request.steering.expires_at {
            Some(end) => answers::told(format!("Its time to live ends at {}.", code(&end.to_string()))),
            None => answers::done(),
        },
        Command::Revise(_) => answers::told(REVISES),
        Command::Retry if request.pull.is_none() => answers::told("It is asked for again; what comes of it is proposed anew."),
        // A pull request that is closed says why by itself.
        _ => answers::done(),
    }
}

/// The values as the parameters' schema wants them: what is JSON may have been meant as a text.
fn fitting(parameters: &Parameters, given: &Map<String, Value>, assignments: &[Assignment]) -> Result<Map<String, Value>, Vec<ParameterError>> {
    let mut as_text = BTreeSet::new();
    loop {
        let value = |assignment: &Assignment| match (&assignment.json, &assignment.text) {
            (Some(json), _) if !as_text.contains(&assignment.name) => json.clone(),
            (_, Some(text)) => Value::from(text.clone()),
            (json, None) => json.clone().unwrap_or_default(),
        };
        let values: Map<String, Value> = assignments.iter().map(|assignment| (assignment.name.clone(), value(assignment))).collect();
        let all = given.iter().chain(&values).map(|(name, value)| (name.clone(), value.clone())).collect();
        let Err(errors) = parameters.complete(all) else { return Ok(values) };
        let wrong = |assignment: &&Assignment| {
            assignment.json.is_some() && assignment.text.is_some() && errors.iter().any(|error| error.parameter == assignment.name)
        };
        let before = as_text.len();
        as_text.extend(assignments.iter().filter(wrong).map(|assignment| assignment.name.clone()));
        if as_text.len() == before {
            return Err(errors);
        }
    }
}
