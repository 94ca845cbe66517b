//! From `planned` to `proposed`: the branches of a batch go up in one push, then, in another lane, each pull request is opened or found.
//! A branch the server refuses is pushed again alone, so that it harms no other.

use super::branch::{self, Head, Placed};
use super::outcome;
use super::pushed::JustPlaced;
use super::report::Report;
use super::{Pipeline, StepError, Turn, blocking, body, in_span_of_all, pull};
use crate::failpoint;
use crate::forge::{Forge, ForgeError, PullState};
use crate::git::GitError;
use crate::inventory::Repository;
use crate::plan::PullText;
use crate::request::{PullRef, Request};
use crate::store::{ClaimedTask, Settlement, lane};
use crate::types::RepositoryName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tracing::Instrument;

/// Members of a group that are looked at for its pull request's body.
const MEMBERS_LISTED: u32 = 500;

/// A request whose branch is to be pushed.
struct Proposal<'b> {
    place: usize,
    attempt: u32,
    request: &'b Request,
    text: &'b PullText,
    repository: Arc<Repository>,
    head: Head,
    forge: Arc<dyn Forge>,
}

impl Pipeline {
    /// Pushes the branches, or, in the lane of pull requests, opens (or finds) the pull requests of those that were just pushed.
    /// Each is told at its place.
    pub(super) async fn propose_all(self: &Arc<Self>, batch: &[(usize, &ClaimedTask)], turn: &Turn, report: &Report) {
        let mut to_push: BTreeMap<RepositoryName, Vec<Proposal<'_>>> = BTreeMap::new();
        let mut to_open: Vec<(Proposal<'_>, JustPlaced)> = Vec::new();
        for (place, claimed) in batch {
            match self.proposal(*place, claimed) {
                Ok(proposal) if lane::is_pulls(&claimed.task.lane) => match self.pushed.take(&proposal.request.id, proposal.head.commit()) {
                    Some(placed) => to_open.push((proposal, placed)),
                    // Another process pushed it, or it was long ago: once more, which sends nothing where nothing happened since.
                    None => report.tell(*place, Ok(outcome::goes_on(lane::of(&proposal.repository.name)))),
                },
                Ok(proposal) => to_push.entry(proposal.repository.name.clone()).or_default().push(proposal),
                Err(error) => report.tell(*place, Err(error)),
            }
        }
        for proposals in to_push.into_values() {
            let all = in_span_of_all(report, proposals.iter().map(|proposal| proposal.place));
            let placed = match self.push_all(&proposals).instrument(all).await {
                Ok(placed) => placed,
                Err(error) => {
                    tracing::error!(%error, "a push did not come to its end");
                    continue;
                }
            };
            failpoint::hit("propose.pushed");
            for (proposal, placed) in proposals.into_iter().zip(placed) {
                let outcome = match placed {
                    Ok(placed) => Ok(self.opened_later(&proposal, JustPlaced::now(placed))),
                    // The mirror was built anew since: the same plan makes the same commit again.
                    Err(StepError::Git(GitError::NoCommit { .. })) => Ok(outcome::plan_again(proposal.request.clone(), self.clock.as_ref())),
                    Err(error) => Err(error),
                };
                report.tell(proposal.place, self.explained(outcome).await);
            }
        }
        for (proposal, placed) in to_open {
            let place = proposal.place;
            let opened = if turn.is_over() {
                Ok(self.opened_later(&proposal, placed))
            } else {
                self.open(&proposal, placed.placed).instrument(report.span(place)).await
            };
            report.tell(place, self.explained(opened).await);
        }
    }

    /// The pull request is opened in its turn.
    fn opened_later(&self, proposal: &Proposal<'_>, placed: JustPlaced) -> Settlement {
        self.pushed.note(&proposal.request.id, proposal.head.commit(), placed);
        outcome::goes_on(lane::pulls(&proposal.repository.name))
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
        // Before the push: while the forge takes no call, the branch need not go up.
        let forge = self.forges.forge(&repository, pull::priority(request))?;
        Ok(Proposal { place, attempt: claimed.task.attempts, request, text, repository, head, forge })
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
            let members = self.store.members(&request.id, true, 0, MEMBERS_LISTED).await?;
            let own = text.body.take().map(|own| format!("{own}\n\n")).unwrap_or_default();
            text.body = Some(own + &body::members(request, &members, &self.people_at));
        }
        Ok(described)
    }

    /// Opens the pull request of a branch that is there, or finds it.
    async fn open(&self, proposal: &Proposal<'_>, placed: Placed) -> Result<Settlement, StepError> {
        let Proposal { attempt, text, repository, head, forge, .. } = proposal;
        let mut request = proposal.request.clone();
        self.look_at_calendars(&mut request).await?;
        request.taken_over = placed.note.is_some();
        let described = self.described(&request).await?;
        let spec = pull::spec(&described, text, head, &placed, repository, *attempt, &self.people_at);
        let (found, state, notes) = match pull::unchanged(&request, &spec, &placed, *attempt).filter(|_| forge.follows_branches()) {
            Some(pull) => (pull.clone(), PullState::Open, Vec::new()),
            None => match forge.ensure_pull(&spec).await {
                Ok(pull) => {
                    if pull.state == PullState::Merged {
                        self.base_was_pushed(&BTreeSet::from([repository.name.clone()]));
                    }
                    request.merged = pull.merge_commit;
                    (PullRef { number: pull.number, url: pull.url }, pull.state, pull.notes)
                }
                Err(error @ ForgeError::NothingToPropose { .. }) => {
                    return Ok(outcome::nothing_to_propose(request, error.to_string(), self.clock.as_ref()));
                }
                Err(error) => return Err(error.into()),
            },
        };
        failpoint::hit("propose.opened");
        let mut written = pull::written(found.number, &spec, request.written.as_ref().and_then(|written| written.checked.clone()));
        if state == PullState::Open
            && let Some(check) = pull::check(&request, &spec, &placed, &self.people_at)
            && forge.report(&check).await?
        {
            written.checked = Some(check.commit);
        }
        written.window = request.written.as_ref().and_then(|written| written.window.clone());
        if state == PullState::Open
            && let Some(window) = pull::window(&request, &spec, &placed, &self.people_at)
            && forge.show_window(&window).await?
        {
            written.window = Some((window.commit.clone(), window.line()));
        }
        failpoint::hit("propose.window");
        let proposal = outcome::Proposal { pull: found, state, written, branch_note: placed.note, notes };
        Ok(outcome::proposed(request, proposal, self.clock.as_ref()))
    }
}
