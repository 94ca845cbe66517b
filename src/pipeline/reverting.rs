//! Taking a merged change back: the request that does it is opened here, by a person, by the clock or because what asked for the change
//! is over. It is a request like any other from then on. Opening it again finds the one there is.

use super::operations::{Asked, OperationError};
use super::{Pipeline, StepError, alarms, blocking, outcome, reverts};
use crate::event::Event;
use crate::failpoint;
use crate::git::{GitError, Mirror};
use crate::inventory::Repository;
use crate::plan::{BaseTree, ChangeSet, FileChange, Inverse, LONGEST_LIFETIME, PlanError};
use crate::request::{Changes, Reminded, Request, RevertCause, Reverts, State, Steering};
use crate::store::{Dispatch, DispatchedEvent, NewTask, Opening, PageQuery, RequestFilter, RequestUpdate, StoreError};
use crate::types::{CommitSha, ErrorClass, EventId, RequestId, SpecDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// Tries at noting with a request what takes it back, while others write it as well.
const NOTED_TRIES: usize = 5;
/// The shortest time by which a time to live is extended.
const SHORTEST_EXTENSION: Duration = Duration::from_secs(1);

/// Why, by whom and when a change is taken back.
pub(super) struct Taking<'a> {
    pub(super) why: &'a str,
    pub(super) actor: &'a str,
    /// The id that the request gets if it is opened.
    pub(super) id: RequestId,
    pub(super) at: Timestamp,
    pub(super) cause: RevertCause,
}

impl Pipeline {
    /// Opens the request that takes a merged change back. Where there is one that lives, or is merged, that is told instead.
    ///
    /// # Errors
    /// When there is no such request, it is not merged, or what takes it back cannot be told; the sentence says what to do.
    pub async fn revert(&self, id: &RequestId, reason: Option<String>, actor: &str) -> Result<Asked, OperationError> {
        let request = self.store.request(id).await?;
        if let Some(known) = self.reverting(id).await? {
            self.note_reverting(id, &known.id, actor).await?;
            return Ok(Asked { request: known.id, opened: false });
        }
        may_be_reverted(&request)?;
        let why = reason.map_or_else(|| format!("{actor} asked for it"), |reason| format!("{actor} asked for it: {reason}"));
        self.revert_because(&request, &why, RevertCause::Asked, actor).await
    }

    /// The same for a reason that is whole; of a request that is merged, and that nothing takes back yet.
    pub(super) async fn revert_because(&self, request: &Request, why: &str, cause: RevertCause, actor: &str) -> Result<Asked, OperationError> {
        let now = self.clock.now();
        let taking = Taking { why, actor, id: RequestId::from_parts(now, self.clock.random()), at: now, cause };
        let opened = self.open_revert(request, &taking).await?;
        self.note_reverting(&request.id, &opened, actor).await?;
        Ok(Asked { opened: opened == taking.id, request: opened })
    }

    /// The request that takes this one back: one that lives, or whose change is in the base.
    pub(super) async fn reverting(&self, id: &RequestId) -> Result<Option<Request>, StoreError> {
        let Some(newest) = self.newest_revert(id).await? else { return Ok(None) };
        if !newest.state.is_ended() {
            return Ok(Some(newest));
        }
        if !newest.state.is_merged() {
            return Ok(None);
        }
        // What took it back may have been taken back itself.
        let undone = match self.newest_revert(&newest.id).await? {
            Some(next) => next.state.is_merged(),
            None => false,
        };
        Ok((!undone).then_some(newest))
    }

    /// The newest request that takes this one back, whatever became of it.
    pub(super) async fn newest_revert(&self, id: &RequestId) -> Result<Option<Request>, StoreError> {
        let filter = RequestFilter { correlation: Some(reverts::correlation(id)), ..RequestFilter::default() };
        let page = self.store.requests(&filter, &PageQuery { limit: 10, after: None }).await?;
        // Anybody may ask for an automation with any key.
        Ok(page.items.into_iter().find(|request| request.steering.reverts.as_ref().is_some_and(|reverts| reverts.request == *id)))
    }

    /// Opens the request that takes this one back, or joins the one that lives, and tells its id.
    pub(super) async fn open_revert(&self, request: &Request, taking: &Taking<'_>) -> Result<RequestId, OperationError> {
        let reverts = self.reverts(request, taking).await?;
        let id = EventId::from_parts(taking.at, self.clock.random());
        let event = Event {
            id: id.clone(),
            delivery: None,
            kind: reverts::REVERTED.parse().unwrap_or_else(|_| unreachable!("a literal event type")),
            time: taking.at,
            ..request.event.clone()
        };
        let opening = Opening {
            id: taking.id.clone(),
            automation: request.key.automation.clone(),
            correlation: reverts::correlation(&request.id),
            group: None,
            repository: Some(reverts.repository.clone()),
            parameters: request.parameters.clone(),
            debounce: None,
            retractable: false,
            in_order: false,
            tells: request.tells,
            steering: Steering { reverts: Some(Box::new(reverts)), ..Steering::default() },
            actor: taking.actor.to_owned(),
        };
        let told = DispatchedEvent { event, key: id.to_string(), decisions: Vec::new(), openings: vec![opening], signals: Vec::new() };
        let opened = self.store.dispatch(&[Dispatch { delivery: None, error: None, events: vec![told] }], self.clock.now()).await?;
        failpoint::hit("revert.opened");
        let opened = opened.into_iter().flatten().next();
        opened.ok_or_else(|| StepError::Bug("the request was neither opened nor joined".to_owned()).into())
    }

    /// Notes with a request what takes it back, unless its clock is about to do so itself.
    pub(super) async fn note_reverting(&self, id: &RequestId, by: &RequestId, actor: &str) -> Result<(), StoreError> {
        for _ in 0..NOTED_TRIES {
            let mut request = match self.store.request(id).await {
                Err(StoreError::NotFound(_)) => return Ok(()),
                request => request?,
            };
            let now = self.clock.now();
            let over = request.steering.expires_at.is_some_and(|end| end <= now) && request.state != State::Expired;
            if over || request.steering.reverted_by.as_ref() == Some(by) {
                return Ok(());
            }
            request.steering.reverted_by = Some(by.clone());
            let note = outcome::note(&request, format!("request {by} takes it back"), self.clock.as_ref());
            let timeline = vec![crate::request::TimelineEntry { actor: actor.to_owned(), ..note }];
            match self.store.update_request(&request, &RequestUpdate { timeline, ..RequestUpdate::default() }, now).await {
                Err(StoreError::Conflict(_)) => {}
                done => return done,
            }
        }
        Ok(())
    }

    /// Everything that taking it back needs.
    async fn reverts(&self, request: &Request, taking: &Taking<'_>) -> Result<Reverts, OperationError> {
        let Some((repository, changes)) = reverts::planned(request) else {
            return Err(OperationError::Refused(format!("{}: nobody knows any more what it changed", request.id)));
        };
        let inventory = &self.rules.current().set.inventory;
        let stored = changes.expiry.as_ref().map(|expiry| expiry.inverse.clone());
        // A person may have gone on from what was planned: then what was merged tells better, as long as it can be told.
        let inverse = match (self.merged_inverse(request, inventory.repositories.get(repository), changes).await, stored) {
            (Ok(inverse), _) => inverse,
            (Err(error), Some(stored)) if error.class() != ErrorClass::Transient => stored,
            (Err(error), _) => return Err(error),
        };
        Ok(Reverts {
            request: request.id.clone(),
            why: taking.why.to_owned(),
            cause: taking.cause,
            wanted_again: false,
            merged: request.merged.clone(),
            inverse,
            repository: repository.clone(),
            place: reverts::place(request, repository, inventory),
            text: reverts::text(request, taking.why, taking.cause, &self.people_at),
        })
    }

    /// What takes a merged change back: what was kept with it, if that is what was merged, else what the base's history tells.
    async fn merged_inverse(&self, request: &Request, repository: Option<&Arc<Repository>>, changes: &Changes) -> Result<Inverse, OperationError> {
        let id = &request.id;
        let by_hand = "take it back by hand, with `git revert`";
        let refuse = |why: &str| OperationError::Refused(format!("{id} cannot be taken back by KubeOps: {why}; {by_hand}"));
        let Some(repository) = repository else { return Err(refuse("its repository is not configured any more")) };
        let Some(merged) = request.merged.clone() else { return Err(refuse("the forge did not tell which commit merged it")) };
        let mirror = self.mirror(repository)?;
        let (request, changes) = (request.clone(), changes.clone());
        let found = blocking(move || Ok(inverse_of(&mirror, &merged, &request, &changes))).await?;
        match found {
            Ok(Some(inverse)) => Ok(inverse),
            Ok(None) | Err(StepError::Git(GitError::NoCommit { .. })) => Err(refuse("the history does not reach back to where it was merged")),
            Err(StepError::Plan(error)) if error.class() == ErrorClass::User => Err(refuse(&error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// Has a merged change live on for a while longer, counted from the end it has.
    ///
    /// # Errors
    /// When there is no such request, its clock does not run, somebody wants it back, what takes it back is merged, or it would live for
    /// too long.
    pub async fn extend(&self, id: &RequestId, by: SpecDuration, actor: &str) -> Result<Request, OperationError> {
        let mut request = self.store.request(id).await?;
        let refuse = |why: String| Err(OperationError::Refused(why));
        let end = match (request.state, request.steering.expires_at) {
            (state, Some(end)) if state.is_merged() => end,
            (state, None) if state.is_merged() => {
                let waits = request.changes.as_ref().is_some_and(|changes| changes.expiry.is_some());
                return refuse(match waits {
                    true => format!("the time of {id} begins once it is in force, and nobody has said so yet"),
                    false => format!("{id} has no time to live: its change is wanted for good"),
                });
            }
            (State::Expired, _) => {
                let by = match &request.steering.reverted_by {
                    Some(by) => self.store.request(by).await.ok(),
                    None => None,
                };
                return refuse(format!("the time of {id} is over{}", by.as_ref().map(too_late).unwrap_or_default()));
            }
            (state, _) if !state.is_ended() => {
                let wanted_for_a_while = request.changes.as_ref().is_none_or(|changes| changes.expiry.is_some());
                return refuse(match wanted_for_a_while {
                    true => format!("{id} is {state}: its time begins with the merge at the earliest"),
                    false => format!("{id} is {state}, and has no time to live: its change is wanted for good"),
                });
            }
            (state, _) => return refuse(format!("{id} is {state}: nothing of it is in the base")),
        };
        let (now, later) = (self.clock.now(), end.plus(by.get()));
        if by.get() < SHORTEST_EXTENSION {
            return refuse("a time to live is extended by a second at least".to_owned());
        }
        if later > now.plus(LONGEST_LIFETIME) {
            return refuse(format!("a change lives for 366 days at most, and {id} would until {later}"));
        }
        let early = match self.reverting(id).await? {
            Some(revert) if revert.state.is_merged() => {
                return refuse(format!("request {} has taken {id} back: its change is in the base no longer", revert.id));
            }
            Some(revert) if !by_the_clock(&revert) => {
                return refuse(format!(
                    "request {} takes {id} back, and not for its time: `kubeops requests cancel {0}` keeps the change",
                    revert.id
                ));
            }
            early => early,
        };
        request.steering.expires_at = Some(later);
        if alarms::reminder(&request).is_some_and(|at| at <= now) {
            request.steering.reminded = Some(Reminded { at: now, of: later, silent: true });
        }
        let message = format!("its time to live was extended by {by}, until {later}");
        let note = outcome::note(&request, message, self.clock.as_ref());
        let timeline = vec![crate::request::TimelineEntry { actor: actor.to_owned(), ..note }];
        // Its time may have been over: what the clock has opened since, or is about to open, is looked for once this is written.
        let looks = early.is_some() || end <= now;
        let tasks = alarms::task(&request, self.clock.as_ref()).map(|task| NewTask { run_at: if looks { now } else { task.run_at }, ..task });
        let tasks = tasks.into_iter().collect();
        self.store.update_request(&request, &RequestUpdate { timeline, tasks, ..RequestUpdate::default() }, now).await?;
        let extended = self.store.request(id).await?;
        if looks && let Err(error) = self.withdraw_early(&extended).await {
            tracing::info!(request = %id, %error, "what takes it back too early is withdrawn later");
        }
        Ok(extended)
    }

    /// Withdraws what the clock opened to take a request back before the end that it has by now.
    pub(super) async fn withdraw_early(&self, request: &Request) -> Result<(), OperationError> {
        let (true, Some(end)) = (request.state.is_merged(), request.steering.expires_at) else { return Ok(()) };
        let Some(revert) = self.reverting(&request.id).await? else { return Ok(()) };
        if by_the_clock(&revert) && !revert.state.is_ended() && revert.id != reverts::at_the_end(&request.id, end) {
            let why = format!("extended: request {} is wanted until {end}", request.id);
            self.cancel(&revert.id, Some(why), "kubeops").await?;
        }
        Ok(())
    }
}

fn by_the_clock(revert: &Request) -> bool {
    revert.steering.reverts.as_ref().is_some_and(|reverts| reverts.cause == RevertCause::TimeIsOver)
}

/// Why a request's time cannot be extended any more, by how the one stands that takes its change back.
fn too_late(revert: &Request) -> String {
    match revert.state {
        state if state.is_merged() || state == State::Expired => format!(": request {} has taken it back", revert.id),
        State::Unchanged => format!(": there was nothing left of it to take back (request {})", revert.id),
        state if state.is_ended() => {
            format!(
                ": request {} was to take it back and is {state}, so the change stays until `kubeops requests revert` or a person ends it",
                revert.id
            )
        }
        _ => format!(": request {} takes it back; who wants to keep the change closes its pull request", revert.id),
    }
}

/// What takes back what a merge did to the files of a request; none where the history does not reach back that far.
fn inverse_of(mirror: &Arc<Mirror>, merged: &CommitSha, request: &Request, changes: &Changes) -> Result<Option<Inverse>, StepError> {
    let after = match mirror.snapshot(merged) {
        // Merged a moment ago, or the mirror is a new one.
        Err(GitError::NoCommit { .. } | GitError::Corrupt { .. }) => {
            mirror.fetch()?;
            mirror.snapshot(merged)?
        }
        found => found?,
    };
    let files: Vec<_> = changes.files.iter().collect();
    after.prefetch(&files).map_err(PlanError::from)?;
    if let Some(kept) = changes.expiry.as_ref().map(|expiry| &expiry.inverse)
        && kept.is_of(&after)?
    {
        return Ok(Some(kept.clone()));
    }
    let planned_on = request.checked.as_ref().or(request.base.as_ref());
    let Some(before) = mirror.before_merge(merged, &request.id, planned_on)? else { return Ok(None) };
    let before = mirror.snapshot(&before)?;
    before.prefetch(&files).map_err(PlanError::from)?;
    let mut change = ChangeSet::default();
    for path in files {
        let now = after.read(path).map_err(PlanError::from)?;
        change.files.insert(path.clone(), now.map_or(FileChange::Remove, FileChange::Write));
    }
    Ok(Some(Inverse::of(&change, &before)?))
}

fn may_be_reverted(request: &Request) -> Result<(), OperationError> {
    let id = &request.id;
    Err(OperationError::Refused(match request.state {
        state if state.is_merged() => return Ok(()),
        State::Expired => match &request.steering.reverted_by {
            Some(by) => format!("{id} is expired, and what took it back is over: `kubeops requests retry {by}` asks for that again"),
            None => format!("{id} is expired: it was taken back at the end of its time"),
        },
        state if !state.is_ended() => format!("{id} is {state}, and not merged: `kubeops requests cancel {id}` withdraws it"),
        state => format!("{id} is {state}: nothing of it was merged, so there is nothing to take back"),
    }))
}
