//! What is owed after an end: the pull request is closed where it is still open, and the branch deleted.
//! A branch on which a person went on is theirs, and a merged pull request is left as it is.

use super::branch::Head;
use super::outcome;
use super::pull::priority;
use super::{Pipeline, StepError, blocking};
use crate::failpoint;
use crate::forge::{Forge, Pull, PullState};
use crate::git::Mirror;
use crate::request::Request;
use crate::store::{Settlement, lane};
use std::sync::Arc;

impl Pipeline {
    /// Cleans up after a request that has ended, also what a step left behind that was overtaken by the end: closes its pull
    /// request in the lane of pull requests, and goes on in git's with its branch.
    pub(super) async fn clean_up(self: &Arc<Self>, request: &Request, lane: &str) -> Result<Settlement, StepError> {
        let rules = self.rules.current();
        let repository = request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name)).cloned();
        let Some(repository) = repository else { return Ok(outcome::nothing()) };
        if *lane == outcome::first_lane(request.state, &repository.name) {
            self.tell_rivals(request).await?;
        }
        let Some(head) = Head::of(request, &repository)? else { return Ok(outcome::nothing()) };
        let mirror = self.mirror(&repository)?;
        if !lane::is_pulls(lane) {
            blocking(move || head.delete(&mirror)).await?;
            return Ok(outcome::nothing());
        }
        let forge = self.forges.forge(&repository, priority(request))?;
        let mut settlement = outcome::goes_on(lane::of(&repository.name));
        if let Some(merged) = self.close(forge.as_ref(), request, &head, &mirror).await? {
            let message = format!("pull request #{merged} had been merged before: its change is in the base");
            settlement.timeline.push(outcome::note(request, message, self.clock.as_ref()));
        }
        failpoint::hit("withdraw.closed");
        Ok(settlement)
    }

    /// Closes the request's pull request, if it has one. Tells its number when it was merged instead.
    async fn close(&self, forge: &dyn Forge, request: &Request, head: &Head, mirror: &Arc<Mirror>) -> Result<Option<u64>, StepError> {
        // The branch tells which pull request is the present one, also when nobody wrote its number down.
        let found = match forge.find(&head.branch).await? {
            Some(pull) if self.is_of(request, head, mirror, &pull).await? => Some(pull.number),
            _ => None,
        };
        let Some(number) = found.or(request.pull.as_ref().map(|pull| pull.number)) else { return Ok(None) };
        let reason = request.message.clone().unwrap_or_else(|| "The request was withdrawn.".to_owned());
        let closed = forge.close(number, Some(&reason)).await?;
        Ok((closed.state == PullState::Merged).then_some(number))
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
