//! What holds a proposed request up: a person's word, or the calendars of its cluster and automation. A hold is no state: the request
//! stays proposed, and its pull request shows that it is held. Whenever that changes the request is proposed again, so that label,
//! status, body and automatic merge follow.

use super::{OperationError, Pipeline, StepError, alarms, outcome};
use crate::forge::{Pull, PullState};
use crate::inventory::{Calendar, CalendarReverts, NO_CALENDAR, Standing};
use crate::request::{Hold, Release, Request, State, Window};
use crate::store::{NewTask, RequestUpdate, Settlement, StoreError, TaskKind, lane};
use crate::types::{RepositoryName, RequestId, Timestamp};
use std::sync::Arc;

impl Pipeline {
    /// Has a live request wait until a person releases it. What is held already stays as it is held.
    ///
    /// # Errors
    /// When there is no such request, or it has ended.
    pub async fn hold(&self, id: &RequestId, reason: Option<String>, actor: &str) -> Result<Request, OperationError> {
        let mut request = self.live(id).await?;
        if request.steering.held.is_some() {
            return Ok(request);
        }
        let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        request.steering.held = Some(Hold { by: actor.to_owned(), reason, since: self.clock.now() });
        request.steering.released = None;
        self.steered(request, format!("held by {actor}{why}"), actor).await
    }

    /// Lets a live request through, whatever holds it up: what a person said is taken back, and for closed calendars it does not wait
    /// this once, until it is planned anew or they open. What nothing holds stays as it is.
    ///
    /// # Errors
    /// When there is no such request, or it has ended.
    pub async fn release(&self, id: &RequestId, actor: &str) -> Result<Request, OperationError> {
        let mut request = self.live(id).await?;
        self.look_at_calendars(&mut request).await?;
        let closed = request.steering.window.as_ref().filter(|window| window.closed.is_some() && request.steering.released.is_none());
        let release = closed.map(|window| Release { by: actor.to_owned(), at: self.clock.now(), until: window.until });
        let held = request.steering.held.take();
        if held.is_none() && release.is_none() {
            return Ok(self.store.request(id).await?);
        }
        let mut message = format!("released by {actor}");
        if let Some(held) = held {
            message.push_str(&format!("; it was held by {}", held.by));
        }
        if let (Some(_), Some(window)) = (&release, &request.steering.window) {
            message.push_str(&format!("; it does not wait for {}", window.closed.as_deref().unwrap_or_default()));
        }
        request.steering.released = release.or(request.steering.released.take());
        self.steered(request, message, actor).await
    }

    /// Why the pull request with this number may not be merged now; none when it may.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn holds_up_merge(&self, repository: &RepositoryName, number: u64) -> Result<Option<String>, OperationError> {
        let Some(mut request) = self.store.request_of_pull(repository, number).await? else { return Ok(None) };
        if request.state.is_ended() {
            return Ok(None);
        }
        self.look_at_calendars(&mut request).await?;
        let held = request.steering.held_up();
        Ok(held.map(|held| format!("it is held {}; `kubeops requests release {}` lets it through", held.words(), request.id)))
    }

    async fn live(&self, id: &RequestId) -> Result<Request, OperationError> {
        let request = self.store.request(id).await?;
        if request.state.is_ended() {
            return Err(OperationError::Refused(format!("{id} is {} already", request.state)));
        }
        Ok(request)
    }

    /// Keeps what a person said. A request with an open pull request is proposed again, one without shows it when it has one.
    async fn steered(&self, request: Request, message: String, actor: &str) -> Result<Request, OperationError> {
        let now = self.clock.now();
        let mut entry = outcome::note(&request, message.clone(), self.clock.as_ref());
        actor.clone_into(&mut entry.actor);
        let (request, tasks) = match propose_again(&request, self) {
            Some(task) => {
                entry.to = State::Planned;
                (Request { state: State::Planned, message: Some(message), ..request }, vec![task])
            }
            None => (request, Vec::new()),
        };
        self.store.update_request(&request, &RequestUpdate { timeline: vec![entry], tasks, ..RequestUpdate::default() }, now).await?;
        Ok(self.store.request(&request.id).await?)
    }

    /// Takes note of how the request's calendars stand now.
    pub(super) async fn look_at_calendars(&self, request: &mut Request) -> Result<(), StepError> {
        let now = self.clock.now();
        let window = self.window(request, now).await?;
        request.steering.look(window, now);
        Ok(())
    }

    /// How the calendars of the request's automation and of the clusters it goes to stand; none where none is named.
    async fn window(&self, request: &Request, now: Timestamp) -> Result<Option<Window>, StepError> {
        let rules = self.rules.current();
        let inventory = &rules.set.inventory;
        let own = rules.set.automations.get(&request.key.automation).and_then(|automation| automation.spec.calendar.clone());
        if own.as_ref().is_some_and(|name| name.as_str() == NO_CALENDAR) {
            return Ok(None);
        }
        let clusters = request.changes.iter().flat_map(|changes| &changes.clusters);
        let theirs = clusters.filter_map(|name| inventory.clusters.get(name)?.calendar.clone());
        let mut names = Vec::new();
        for name in own.into_iter().chain(theirs) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let mut calendars: Vec<Arc<Calendar>> = names.iter().filter_map(|name| inventory.calendars.get(name)).cloned().collect();
        if request.steering.reverts.is_some() {
            calendars.retain(|calendar| calendar.spec.reverts == CalendarReverts::Hold);
        }
        if calendars.is_empty() {
            return Ok(None);
        }
        Ok(Some(match self.rules.standings.of(&rules.set.digest, calendars, now).await? {
            Standing::Open { until } => Window { closed: None, until, shown: None },
            Standing::Closed { reason, until, shown } => Window { closed: Some(reason), until, shown },
        }))
    }

    /// Its calendars open or close, or were changed since: what its pull request shows follows.
    pub(super) async fn window_turns(&self, request: Request) -> Result<Settlement, StepError> {
        let mut after = request.clone();
        self.look_at_calendars(&mut after).await?;
        Ok(self.window_turned(&request, after))
    }

    fn window_turned(&self, request: &Request, after: Request) -> Settlement {
        if after.steering.held_up() == request.steering.held_up() {
            return Settlement { request: Some(after), ..outcome::nothing() };
        }
        let message = match after.steering.held_up() {
            Some(held) => format!("held {}", held.words()),
            None => "its window is open: it is held no longer".to_owned(),
        };
        match propose_again(&after, self) {
            Some(task) => outcome::proposed_again(after, message, task, self.clock.as_ref()),
            None => Settlement { request: Some(after), ..outcome::nothing() },
        }
    }
}

impl Pipeline {
    /// What is to be written when the calendars of an open request stand otherwise than was noted: they were changed, or named since.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn see_calendars(&self, request: &Request) -> Result<(), OperationError> {
        let mut after = request.clone();
        self.look_at_calendars(&mut after).await?;
        if after.steering == request.steering {
            return Ok(());
        }
        self.keep(self.window_turned(request, after)).await
    }

    /// What is to be written when somebody put another commit on the branch: whether that may be merged has to stand beside it too.
    pub(super) fn followed(&self, request: &Request, pull: &Pull) -> Option<Settlement> {
        let (shown, _) = request.written.as_ref()?.window.as_ref()?;
        pull.head_commit.as_ref().filter(|head| *head != shown && pull.state == PullState::Open)?;
        let task = propose_again(request, self)?;
        let message = "its branch has other commits: whether they may be merged is shown beside them".to_owned();
        Some(outcome::proposed_again(request.clone(), message, task, self.clock.as_ref()))
    }

    /// Writes what a step outside of a task came to; whoever was first counts.
    pub(super) async fn keep(&self, settlement: Settlement) -> Result<(), OperationError> {
        let rings = settlement.request.as_ref().and_then(|request| alarms::task(request, self.clock.as_ref()));
        let follow_up = settlement.follow_up.into_iter().chain(rings).collect();
        match self.write(Settlement { follow_up, ..settlement }, false).await {
            Ok(()) | Err(StoreError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The task that brings an open pull request to what is to be shown; none where there is none.
fn propose_again(request: &Request, pipeline: &Pipeline) -> Option<NewTask> {
    let repository = request.repository.as_ref().filter(|_| matches!(request.state, State::Proposed | State::Approved))?;
    Some(outcome::follow_up(request, TaskKind::Propose, &lane::of(repository), pipeline.clock.as_ref()))
}
