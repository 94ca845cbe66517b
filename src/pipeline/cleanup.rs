//! What is owed after an end: the pull request is closed where it is still open, and the branch deleted.
//! A branch on which a person went on is theirs, and a merged pull request is left as it is.

use super::body::markdown::code;
use super::branch::Head;
use super::observe::{THE_FORGE, merged_by};
use super::outcome;
use super::pull::priority;
use super::{Pipeline, StepError, blocking};
use crate::failpoint;
use crate::forge::{Forge, Pull, PullState};
use crate::git::Mirror;
use crate::inventory::Repository;
use crate::request::{Request, State};
use crate::store::{Settlement, TaskKind, lane};
use std::sync::Arc;

impl Pipeline {
    /// Cleans up after a request that has ended, also what a step left behind that was overtaken by the end: closes its pull
    /// request in the lane of pull requests, and goes on in git's with its branch.
    pub(super) async fn clean_up(self: &Arc<Self>, request: &Request, lane: &str) -> Result<Settlement, StepError> {
        if !request.state.is_ended() {
            // A person opened its pull request again meanwhile.
            return Ok(outcome::nothing());
        }
        let rules = self.rules.current();
        let repository = request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name)).cloned();
        let Some(repository) = repository else { return Ok(outcome::nothing()) };
        if *lane == outcome::first_lane(request.state, &repository.name) {
            self.tell_rivals(request).await?;
        }
        let Some(head) = Head::of(request, &repository)? else { return Ok(outcome::nothing()) };
        let mirror = self.mirror(&repository)?;
        if !lane::is_pulls(lane) {
            if self.is_open_again(request, &repository).await? {
                let observe = outcome::follow_up(request, TaskKind::Observe, &lane::pulls(&repository.name), self.clock.as_ref());
                return Ok(Settlement { follow_up: vec![observe], ..outcome::nothing() });
            }
            blocking(move || head.delete(&mirror)).await?;
            return Ok(outcome::nothing());
        }
        let forge = self.forges.forge(&repository, priority(request))?;
        let closed = self.close(forge.as_ref(), request, &head, &mirror).await?;
        failpoint::hit("withdraw.closed");
        match closed.filter(|pull| pull.state == PullState::Merged && request.state.may_become(State::Merged)) {
            Some(merged) => {
                let message = format!("pull request #{} had been merged before it could be closed: its change is in the base", merged.number);
                Ok(outcome::seen(merged_by(request.clone(), &merged), State::Merged, message, THE_FORGE, self.clock.as_ref()))
            }
            None => Ok(outcome::goes_on(lane::of(&repository.name))),
        }
    }

    /// Whether a person has opened again what a person closed: then the branch is needed.
    async fn is_open_again(&self, request: &Request, repository: &Repository) -> Result<bool, StepError> {
        let Some(pull) = request.pull.as_ref().filter(|_| request.state == State::Declined) else { return Ok(false) };
        let forge = self.forges.forge(repository, priority(request))?;
        Ok(forge.get(pull.number).await?.state == PullState::Open)
    }

    /// Closes the request's pull request, if it has one, and tells what it is now.
    async fn close(&self, forge: &dyn Forge, request: &Request, head: &Head, mirror: &Arc<Mirror>) -> Result<Option<Pull>, StepError> {
        // The branch tells which pull request is the present one, also when nobody wrote its number down.
        let found = match forge.find(&head.branch).await? {
            Some(pull) if self.is_of(request, head, mirror, &pull).await? => Some(pull.number),
            _ => None,
        };
        let Some(number) = found.or(request.pull.as_ref().map(|pull| pull.number)) else { return Ok(None) };
        let why = request.message.as_deref().map(code).unwrap_or_else(|| "The request was withdrawn.".to_owned());
        Ok(Some(forge.close(number, Some(&why)).await?))
    }

    /// Whether a pull request of the branch is this request's: its number or its head is known, or it is open and the branch
    /// goes on from a commit of this request.
    async fn is_of(&self, request: &Request, head: &Head, mirror: &Arc<Mirror>, pull: &Pull) -> Result<bool, StepError> {
        let noted = request.pull.as_ref().is_some_and(|noted| noted.number == pull.number);
        if noted || pull.head_commit.as_ref().is_some_and(|commit| head.commits().contains(commit)) {
            return Ok(true);
        }
        if pull.state != PullState::Open {
            return Ok(false);
        }
        let (mirror, head) = (Arc::clone(mirror), head.clone());
        blocking(move || head.is_at_remote(&mirror)).await
    }
}
