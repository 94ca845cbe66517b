//! From `planned` to `proposed`: the branches of a batch go up in one push, then each pull request is opened or found.
//! A branch the server refuses is pushed again alone, so that it harms no other.

use super::branch::{self, Head, Placed};
use super::step::outcome;
use super::told::Told;
use super::{Pipeline, StepError, blocking, body, groups};
use crate::failpoint;
use crate::forge::PullSpec;
use crate::git::GitError;
use crate::inventory::Repository;
use crate::plan::PullText;
use crate::request::Request;
use crate::store::{ClaimedTask, Settlement};
use crate::types::RepositoryName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A request whose branch is to be pushed.
struct Proposal<'b> {
    place: usize,
    attempt: u32,
    request: &'b Request,
    text: &'b PullText,
    repository: Arc<Repository>,
    head: Head,
}

impl Pipeline {
    /// Pushes the branches and opens (or finds) the pull requests, each told at its place.
    pub(super) async fn propose_all(self: &Arc<Self>, batch: &[(usize, &ClaimedTask)], told: &Told) {
        let mut by_repository: BTreeMap<RepositoryName, Vec<Proposal<'_>>> = BTreeMap::new();
        for (place, claimed) in batch {
            match self.proposal(*place, claimed) {
                Ok(proposal) => by_repository.entry(proposal.repository.name.clone()).or_default().push(proposal),
                Err(error) => told.tell(*place, Err(error)),
            }
        }
        for proposals in by_repository.into_values() {
            let placed = match self.push_all(&proposals).await {
                Ok(placed) => placed,
                Err(error) => {
                    tracing::error!(%error, "a push did not come to its end");
                    continue;
                }
            };
            failpoint::hit("propose.pushed");
            for (proposal, placed) in proposals.iter().zip(placed) {
                let opened = match placed {
                    Ok(placed) => self.open(proposal, placed).await,
                    // The mirror was built anew since: the same plan makes the same commit again.
                    Err(StepError::Git(GitError::NoCommit { .. })) => Ok(outcome::plan_again(proposal.request.clone(), self.clock.as_ref())),
                    Err(error) => Err(error),
                };
                told.tell(proposal.place, opened);
            }
        }
    }

    fn proposal<'b>(&self, place: usize, claimed: &'b ClaimedTask) -> Result<Proposal<'b>, StepError> {
        let request = &claimed.request;
        let (Some(repository), Some(text)) = (&request.repository, &request.text) else {
            return Err(StepError::Bug(format!("{} is planned, but has no text", request.id)));
        };
        let rules = self.rules.current();
        let Some(repository) = rules.set.inventory.repositories.get(repository).cloned() else {
            return Err(StepError::Permanent(format!("the repository {repository} is not configured any more")));
        };
        let Some(head) = Head::of(request, &repository)? else {
            return Err(StepError::Bug(format!("{} is planned, but has no commit", request.id)));
        };
        Ok(Proposal { place, attempt: claimed.task.attempts, request, text, repository, head })
    }

    /// What became of each branch, in order. All are of one repository.
    async fn push_all(&self, proposals: &[Proposal<'_>]) -> Result<Vec<Result<Placed, StepError>>, StepError> {
        let Some(first) = proposals.first() else { return Ok(Vec::new()) };
        let mirror = self.mirror(&first.repository)?;
        let heads: Vec<Head> = proposals.iter().map(|proposal| proposal.head.clone()).collect();
        let moved = Arc::clone(&self.moved);
        blocking(move || {
            let before = mirror.known_tip(std::time::Duration::MAX);
            let placed = branch::push_all(&mirror, &heads);
            if before.is_some() && mirror.known_tip(std::time::Duration::MAX) != before {
                moved.notify_one();
            }
            Ok(placed)
        })
        .await
    }

    /// The request as its pull request's body tells it: of a group with its members.
    async fn described(&self, request: &Request) -> Result<Request, StepError> {
        let mut described = request.clone();
        if let Some(text) = described.text.as_mut().filter(|_| request.members > 0) {
            let members = self.store.members(&request.id, true, groups::MEMBERS_LISTED).await?;
            let own = text.body.take().map(|own| format!("{own}\n\n")).unwrap_or_default();
            text.body = Some(own + &groups::told(request, &members, &self.people_at));
        }
        Ok(described)
    }

    /// Opens the pull request of a branch that is there, or finds it.
    async fn open(&self, proposal: &Proposal<'_>, placed: Placed) -> Result<Settlement, StepError> {
        let Placed { tip, replaced, note, was_there } = placed;
        let Proposal { attempt, text, repository, head, .. } = proposal;
        let mut request = proposal.request.clone();
        request.taken_over = note.is_some();
        let described = self.described(&request).await?;
        let spec = PullSpec {
            head: head.branch.clone(),
            base: repository.spec.branch.clone(),
            head_commit: tip,
            earlier: head.commits().into_iter().chain(replaced).collect(),
            title: text.title.clone(),
            body: body::body(&described, &self.people_at),
            labels: text.labels.clone(),
            reviewers: text.reviewers.iter().filter_map(|name| name.parse().ok()).collect(),
            // An attempt that a shutdown cut short is not counted, but it may have pushed and asked.
            asked_before: *attempt > 1 || was_there,
            former: request.former_pull,
        };
        let pull = self.forges.forge(repository)?.ensure_pull(&spec).await?;
        failpoint::hit("propose.opened");
        Ok(outcome::proposed(request, &pull, note, self.clock.as_ref()))
    }
}
