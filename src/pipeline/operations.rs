//! What people ask of requests and pull requests through the API and the command line.
//! The same store writes as the steps use; effects outside are left to tasks, so that they survive a crash.

use super::{Dispatcher, Pipeline, StepError, blocking, dispatch::destination, outcome, planning::Stop, pull::priority};
use crate::automation::ParameterError;
use crate::event::Event;
use crate::forge::ForgeError;
use crate::git::GitError;
use crate::request::{Job, Request, State, Steering, TimelineEntry};
use crate::spans;
use crate::store::{
    Dispatch, DispatchedEvent, NewTask, Opening, RequestUpdate, Settlement, StoreError, TaskFilter, TaskKind, TaskState, Withdrawal, lane,
};
use crate::types::{AutomationName, DeliveryId, ErrorClass, EventId, RequestId, TaskId, Timestamp, TreeDiff, nearest};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The longest diff shown, in bytes.
pub const MAX_DIFF_BYTES: usize = 1024 * 1024;

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// It cannot be done in the present state.
    #[error("{0}")]
    Refused(String),
    /// A step of it failed.
    #[error(transparent)]
    Step(#[from] StepError),
}

impl OperationError {
    /// How the error is to be treated.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound(_) | Self::Refused(_) => ErrorClass::User,
            Self::Step(error) => error.class(),
        }
    }
}

impl From<StoreError> for OperationError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::NotFound(what),
            // Trying again would not help: somebody was first, or another live request has the key.
            StoreError::Conflict(why) => Self::Refused(why),
            other => Self::Step(other.into()),
        }
    }
}

impl From<ForgeError> for OperationError {
    fn from(error: ForgeError) -> Self {
        Self::Step(error.into())
    }
}

/// Why an automation could not be asked for.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no such automation; with the one that was probably meant.
    #[error("there is no automation {0}{near}", near = .1.as_ref().map(|near| format!("; did you mean {near}?")).unwrap_or_default())]
    NoAutomation(AutomationName, Option<String>),
    /// No automation takes jobs, or several do and none was named, or the one named does not.
    #[error("{0}")]
    NoJobs(String),
    /// Parameters are missing, unknown or do not fit: every one of them.
    #[error("the parameters are not valid")]
    Parameters(Vec<ParameterError>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A request that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The request opened, or the live one that was joined.
    pub request: RequestId,
    /// Whether it was opened by this; false when a live one was joined.
    pub opened: bool,
}

/// What is asked for directly.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The automation.
    pub automation: AutomationName,
    /// Its parameters, not yet checked.
    pub parameters: Map<String, Value>,
    /// What makes two wishes the same request while it lives; none for a request of its own.
    pub correlation: Option<String>,
    /// What a language model is asked for in the operator's own words, where that is what is wished for.
    pub job: Option<Job>,
    /// The sentence that was made into this, and the model that did so, as JSON for the event; none where a person said it all.
    pub copilot: Option<Value>,
    /// Who asks.
    pub actor: String,
}

impl Wish {
    /// The event of it, with the parameters completed.
    pub(super) fn event(&self, id: EventId, parameters: &Map<String, Value>, at: Timestamp) -> Event {
        let mut event = asked_event(id, &self.automation, parameters, &self.actor, at);
        if let Some(correlation) = &self.correlation {
            event.subject.clone_from(correlation);
        }
        if let Some(data) = event.data.as_object_mut() {
            data.extend(self.job.as_ref().map(|job| ("goal".to_owned(), Value::from(job.goal.as_str()))));
            data.extend(self.copilot.clone().map(|copilot| ("copilot".to_owned(), copilot)));
        }
        event
    }
}

impl Pipeline {
    /// The automation that takes an operator's jobs: the one named, or the only one there is.
    ///
    /// # Errors
    /// [`AskError::NoAutomation`] and [`AskError::NoJobs`].
    pub fn automation_for_jobs(&self, named: Option<&AutomationName>) -> Result<AutomationName, AskError> {
        let rules = self.rules.current();
        let takes = |known: &crate::automation::Automation| known.spec.draft.as_ref().is_some_and(|draft| draft.jobs);
        let all = || rules.set.automations.iter().filter(|known| takes(known)).map(|known| known.name.clone());
        if let Some(name) = named {
            let known = rules.set.automations.get(name).ok_or_else(|| {
                let near = nearest(name.as_str(), rules.set.automations.iter().map(|known| known.name.as_str()));
                AskError::NoAutomation(name.clone(), near.map(str::to_owned))
            })?;
            return if takes(known) {
                Ok(name.clone())
            } else {
                Err(AskError::NoJobs(format!("the automation {name} takes no jobs: `draft.jobs: true` says that one does")))
            };
        }
        let mut found = all();
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(AskError::NoJobs("no automation takes jobs: one with `draft` does where it says `jobs: true`".to_owned())),
            (Some(_), Some(_)) => {
                let names: Vec<String> = all().map(|name| name.to_string()).collect();
                Err(AskError::NoJobs(format!("several automations take jobs, so name one: {}", names.join(", "))))
            }
        }
    }

    /// Asks for an automation directly. The same `correlation` asks for the same request while it lives.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask(&self, wish: Wish) -> Result<Asked, AskError> {
        let automation = &wish.automation;
        let rules = self.rules.current();
        let known = rules.set.automations.get(automation).ok_or_else(|| {
            let near = nearest(automation.as_str(), rules.set.automations.iter().map(|known| known.name.as_str()));
            AskError::NoAutomation(automation.clone(), near.map(str::to_owned))
        })?;
        let parameters = known.parameters().complete(wish.parameters.clone()).map_err(AskError::Parameters)?;
        let now = self.clock.now();
        let id = EventId::from_parts(now, self.clock.random());
        let event = wish.event(id.clone(), &parameters, now);
        let new = RequestId::from_parts(now, self.clock.random());
        let opening = Opening {
            id: new.clone(),
            automation: automation.clone(),
            correlation: event.subject.clone(),
            // A person asks for one change, not for a group's.
            group: None,
            repository: destination(&rules, automation, &event, &parameters),
            parameters: Some(parameters),
            // Who asks in person is not made to wait for others.
            debounce: None,
            retractable: known.withdraw().is_some(),
            in_order: false,
            tells: !known.spec.feedback.is_empty(),
            steering: Steering { job: wish.job.map(Box::new), ..Steering::default() },
            actor: wish.actor,
        };
        let entry = Dispatch {
            delivery: None,
            error: None,
            events: vec![DispatchedEvent { event, key: id.to_string(), decisions: Vec::new(), openings: vec![opening], signals: Vec::new() }],
        };
        let opened = self.store.dispatch(&[entry], now).await?;
        match opened.into_iter().flatten().next() {
            Some(request) => Ok(Asked { opened: request == new, request }),
            None => Err(AskError::Store(StoreError::Broken("the request was neither opened nor joined".to_owned()))),
        }
    }

    /// What reads deliveries with the same rules, store and time.
    pub fn dispatcher(&self) -> Dispatcher {
        let (store, rules) = (Arc::clone(&self.store), Arc::clone(&self.rules));
        let (channels, forges) = (Arc::clone(&self.channels), Arc::clone(&self.forges));
        Dispatcher::new(store, rules, channels, forges, Arc::clone(&self.clock))
    }

    /// Dispatches a stored delivery again under the rules in force, its events being told anew, and tells the requests
    /// opened or joined.
    ///
    /// # Errors
    /// When there is no such delivery, or it cannot be read any more.
    pub async fn replay(self: &Arc<Self>, id: &DeliveryId, actor: &str) -> Result<Vec<RequestId>, OperationError> {
        let delivery = self.store.delivery(id).await?;
        let dispatcher = self.dispatcher();
        let actor = actor.to_owned();
        let entry = blocking(move || Ok(dispatcher.read_anew(&delivery, &actor))).await?;
        if let Some(error) = &entry.error {
            return Err(OperationError::Refused(format!("the delivery cannot be read: {error}")));
        }
        let opened = self.store.dispatch(&[entry], self.clock.now()).await?;
        Ok(opened.into_iter().flatten().collect())
    }

    /// Asks again for what failed, was rejected or declined, and hurries what waits: for further events, for room under a
    /// limit, or, whichever step it is, for its next attempt after one that failed.
    ///
    /// # Errors
    /// When there is no such request, or nothing of it failed, waits or is owed.
    pub async fn retry(&self, id: &RequestId, actor: &str) -> Result<Request, OperationError> {
        let request = self.store.request(id).await?;
        let mut beside = self.dead_beside(&request).await?;
        beside.extend(self.tell_again(&request).await?.filter(|_| beside.iter().all(|task| task.kind != TaskKind::Tell)));
        let mut paused = self.paused(&request).await?;
        paused.retain(|task| beside.iter().all(|known| known.kind != task.kind));
        if request.state == State::Accepted && self.waits(id).await? {
            return self.hurry(request, beside.into_iter().chain(paused).collect(), actor).await;
        }
        if !is_asked_again(request.state) {
            if !beside.is_empty() || !paused.is_empty() {
                return self.beside_again(request, beside, paused, actor).await;
            }
            return Err(OperationError::Refused(format!(
                "{id} is {}; only what failed, was rejected or declined is asked for again, nothing of it waits for its next attempt, and nothing \
                 is owed to those who are told",
                request.state
            )));
        }
        beside.extend(paused.into_iter().filter(|task| !task.kind.is_of_one_try()));
        let lane = request.repository.as_ref().map(lane::of).unwrap_or_default();
        let plan = outcome::follow_up(&request, TaskKind::Plan, &lane, self.clock.as_ref());
        let tasks = beside.into_iter().chain([plan]).collect();
        // A person expects it to be tried on what is there now.
        let rules = self.rules.current();
        if let Some(repository) = request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name)) {
            self.mirror(repository)?.forget_tip();
        }
        let former = request.pull.as_ref().map(|pull| pull.number).or(request.former_pull);
        let request = Request { pull: None, former_pull: former, taken_over: false, urged: true, changes: None, written: None, ..request };
        self.change(request, State::Accepted, "asked for again".to_owned(), actor, tasks).await
    }

    /// Whether the request's plan waits for its time, and nobody is at it.
    async fn waits(&self, id: &RequestId) -> Result<bool, OperationError> {
        let tasks = self.store.tasks(&TaskFilter { request: Some(id.clone()), state: None }, 9).await?;
        let waiting = tasks.iter().any(|task| task.kind == TaskKind::Plan && task.state == TaskState::Waiting && task.run_at > self.clock.now());
        Ok(waiting && tasks.iter().all(|task| task.state != TaskState::Leased))
    }

    async fn hurry(&self, request: Request, beside: Vec<NewTask>, actor: &str) -> Result<Request, OperationError> {
        let lane = request.repository.as_ref().map(lane::of).unwrap_or_default();
        let plan = outcome::follow_up(&request, TaskKind::Plan, &lane, self.clock.as_ref());
        let tasks = beside.into_iter().chain([plan]).collect();
        let request = Request { urged: true, ..request };
        self.change(request, State::Accepted, "asked for in person: it waits no longer".to_owned(), actor, tasks).await
    }

    /// What gave up beside the request's own way, once more: looks at its pull request, what is told of it, and what is cleaned up after
    /// its end.
    async fn dead_beside(&self, request: &Request) -> Result<Vec<NewTask>, OperationError> {
        let dead = TaskFilter { request: Some(request.id.clone()), state: Some(TaskState::Dead) };
        let dead = self.store.tasks(&dead, TaskKind::ALL.len() as u32).await?;
        let cleans_up = request.state.is_ended() && !is_asked_again(request.state);
        let revises = |kind| kind == TaskKind::Draft && !request.state.is_ended() && request.state != State::Accepted;
        let again = dead.iter().filter(|task| !task.kind.is_of_one_try() || revises(task.kind) || (task.kind == TaskKind::Withdraw && cleans_up));
        Ok(again.map(|task| outcome::follow_up(request, task.kind, &task.lane, self.clock.as_ref())).collect())
    }

    /// What of the request waits for a later moment because an attempt failed, due now. What waits for the clock on the wall does not.
    async fn paused(&self, request: &Request) -> Result<Vec<NewTask>, OperationError> {
        let now = self.clock.now();
        let waiting = TaskFilter { request: Some(request.id.clone()), state: Some(TaskState::Waiting) };
        let waiting = self.store.tasks(&waiting, TaskKind::ALL.len() as u32).await?;
        let paused = waiting.iter().filter(|task| task.kind != TaskKind::Clock && task.attempts > 0 && task.run_at > now);
        Ok(paused.map(|task| outcome::follow_up(request, task.kind, &task.lane, self.clock.as_ref())).collect())
    }

    /// What gave up is tried again and what waits for its next attempt is due, and the request stays as it is.
    async fn beside_again(&self, request: Request, dead: Vec<NewTask>, paused: Vec<NewTask>, actor: &str) -> Result<Request, OperationError> {
        let named = |tasks: &[NewTask]| tasks.iter().map(|task| task.kind.as_str()).collect::<Vec<_>>().join(", ");
        let again = (!dead.is_empty()).then(|| format!("what gave up is tried again: {}", named(&dead)));
        let hurried = (!paused.is_empty()).then(|| format!("asked for in person: it waits no longer: {}", named(&paused)));
        let message = again.into_iter().chain(hurried).collect::<Vec<_>>().join("; ");
        let entry = TimelineEntry { actor: actor.to_owned(), ..outcome::note(&request, message, self.clock.as_ref()) };
        let tasks: Vec<NewTask> = dead.into_iter().chain(paused).collect();
        self.store.add_tasks_noted(&request.id, &tasks, &entry).await?;
        Ok(self.store.request(&request.id).await?)
    }

    /// Withdraws a live request: its pull request is closed and its branch deleted.
    ///
    /// # Errors
    /// When there is no such request, or it has ended.
    pub async fn cancel(&self, id: &RequestId, reason: Option<String>, actor: &str) -> Result<Request, OperationError> {
        let request = self.store.request(id).await?;
        if request.state.is_ended() {
            return Err(OperationError::Refused(format!("{id} is {} already", request.state)));
        }
        let tasks = if request.repository.is_some() { vec![self.clean_up_task(&request, State::Withdrawn)] } else { Vec::new() };
        let message = reason.map_or_else(|| format!("withdrawn by {actor}"), |reason| format!("withdrawn by {actor}: {reason}"));
        self.change(request, State::Withdrawn, message, actor, tasks).await
    }

    /// Takes a member out of a live group: only its commit goes. The last one taken out withdraws the request.
    ///
    /// # Errors
    /// When there is no such request or member, or it has ended.
    pub async fn withdraw_member(&self, id: &RequestId, member: &str, reason: Option<String>, actor: &str) -> Result<Request, OperationError> {
        let now = self.clock.now();
        let task = || TaskId::from_parts(now, self.clock.random());
        let (member, actor) = (member.to_owned(), actor.to_owned());
        let withdrawal = Withdrawal { request: id.clone(), member, reason, actor, replan: task(), clean_up: task() };
        Ok(self.store.withdraw_member(&withdrawal, now).await?)
    }

    /// What the request changes, as a unified diff; none when nothing is planned yet.
    ///
    /// # Errors
    /// When there is no such request, or git fails.
    pub async fn diff(self: &Arc<Self>, id: &RequestId) -> Result<Option<TreeDiff>, OperationError> {
        let request = self.store.request(id).await?;
        let (Some(repository), Some(base), Some(commit)) = (&request.repository, request.base.clone(), request.commit.clone()) else {
            return Ok(None);
        };
        let rules = self.rules.current();
        let Some(repository) = rules.set.inventory.repositories.get(repository).cloned() else {
            return Err(OperationError::Refused(format!("the repository {repository} is not configured any more")));
        };
        let (this, mirror) = (Arc::clone(self), self.mirror(&repository)?);
        let gone = format!("what {id} changed is not kept any more, and something else would come of it by now; its pull request shows it");
        let shown = blocking(move || {
            match mirror.diff(&base, &commit, MAX_DIFF_BYTES) {
                Err(GitError::NoCommit { .. } | GitError::Corrupt { .. }) => {}
                shown => return Ok(Some(shown?)),
            }
            // The mirror keeps the commits of ended requests only while they are small beside it: it is made again.
            match this.made_again(&rules, &request, &base, &commit) {
                Ok(true) => Ok(Some(mirror.diff(&base, &commit, MAX_DIFF_BYTES)?)),
                Ok(false) | Err(Stop::Refused { .. } | Stop::Failed(StepError::Git(GitError::NoCommit { .. }))) => Ok(None),
                Err(Stop::Failed(error)) => Err(error),
            }
        });
        shown.await?.map(Some).ok_or(OperationError::Refused(gone))
    }

    /// Brings a request in line with its pull request at the forge: approved, merged, closed. True when it changed.
    ///
    /// # Errors
    /// When the forge or the store fails.
    pub async fn observe(&self, id: &RequestId, actor: &str) -> Result<bool, OperationError> {
        let request = self.store.request(id).await?;
        let (Some(repository), Some(pull)) = (&request.repository, &request.pull) else { return Ok(false) };
        let rules = self.rules.current();
        let Some(repository) = rules.set.inventory.repositories.get(repository).cloned() else { return Ok(false) };
        let looked = self.forges.forge(&repository, priority(&request))?.look(&[pull.number], None).await?;
        match looked.pulls.first() {
            Some(pull) => self.observed(id, pull, actor).await,
            None => Ok(false),
        }
    }

    pub(super) fn clean_up_task(&self, request: &Request, end: State) -> NewTask {
        let lane = request.repository.as_ref().map(|name| outcome::first_lane(end, name)).unwrap_or_default();
        outcome::follow_up(request, TaskKind::Withdraw, &lane, self.clock.as_ref())
    }

    /// Brings a request to a state because of `actor`, in the place of what waits to be done for it.
    pub(super) async fn change(
        &self,
        request: Request,
        state: State,
        message: String,
        actor: &str,
        tasks: Vec<NewTask>,
    ) -> Result<Request, OperationError> {
        let id = request.id.clone();
        self.write(outcome::settle_by(actor, request, state, message, tasks, self.clock.as_ref()), true).await?;
        Ok(self.store.request(&id).await?)
    }

    /// Writes what was found outside of a task; with `instead`, in the place of what waits to be done for the request.
    pub(super) async fn write(&self, settlement: Settlement, instead: bool) -> Result<(), StoreError> {
        let Settlement { request: Some(request), timeline, follow_up: tasks, beside, .. } = settlement else { return Ok(()) };
        let update = RequestUpdate { timeline, tasks, drop_tasks: instead, successor: beside.successor };
        self.store.update_request(&request, &update, self.clock.now()).await
    }
}

/// Whether a person's asking again begins a request anew.
fn is_asked_again(state: State) -> bool {
    matches!(state, State::Failed | State::Rejected | State::Declined)
}

/// The event that stands for a person's asking.
pub(super) fn asked_event(id: EventId, automation: &AutomationName, parameters: &Map<String, Value>, actor: &str, at: Timestamp) -> Event {
    Event {
        subject: id.to_string(),
        id,
        delivery: None,
        source: None,
        kind: "kubeops.request.asked".parse().unwrap_or_else(|_| unreachable!("a literal event type")),
        time: at,
        data: serde_json::json!({ "automation": automation, "parameters": parameters, "actor": actor }),
        // Whoever asks is answered under this trace; the steps go on in it.
        traceparent: spans::here(),
    }
}
