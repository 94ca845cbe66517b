//! A request's branch at the remote: made, moved and deleted, as long as nobody else's commit stands on it.
//! Nothing is overwritten but what is known to be ours at that very commit; a person's commits are left alone.

use super::StepError;
use super::commit::committer;
use crate::git::{Expected, GitError, Identity, Mirror, Owner, Pushed, RefUpdate, Standing};
use crate::inventory::Repository;
use crate::request::Request;
use crate::types::{BranchName, CommitSha, ErrorClass, RequestId, Timestamp};

/// The branch of a request that was planned.
#[derive(Clone)]
pub(super) struct Head {
    pub(super) branch: BranchName,
    /// Where it shall be.
    commit: CommitSha,
    /// Where it was put the last time that was noted.
    pushed: Option<CommitSha>,
    request: RequestId,
    committer: Identity,
    time: Option<Timestamp>,
}

/// Where the branch is after a push.
pub(super) struct Placed {
    pub(super) tip: CommitSha,
    /// The commit of ours that was replaced though nobody had noted it.
    pub(super) replaced: Option<CommitSha>,
    /// Said when a person has pushed to the branch, and it was left alone.
    pub(super) note: Option<String>,
    /// Whether a commit of this request stood there before this push.
    pub(super) was_there: bool,
    /// Whether it was exactly where we had noted that we left it.
    pub(super) as_left: bool,
    /// Whether the commit came up only now.
    pub(super) came_up: bool,
}

/// Pushes branches of one repository, in one conversation where that goes well. What the server refuses is pushed again
/// alone: it may have been refused for a companion's sake. What became of each, in order.
pub(super) fn push_all(mirror: &Mirror, heads: &[Head]) -> Vec<Result<Placed, StepError>> {
    let alone = heads.len() == 1;
    match mirror.push_many(heads.iter().map(Head::update).collect()) {
        Ok(results) => heads
            .iter()
            .zip(results)
            .map(|(head, result)| match result {
                Err(GitError::Rejected { .. }) if !alone => head.push(mirror),
                result => head.placed(mirror, result),
            })
            .collect(),
        // A server that is away is away for each of them.
        Err(error) if alone || error.class() == ErrorClass::Transient => heads.iter().map(|_| Err(error.clone().into())).collect(),
        Err(_) => heads.iter().map(|head| head.push(mirror)).collect(),
    }
}

impl Head {
    /// None when the request was not planned yet.
    ///
    /// # Errors
    /// When the repository's author is none.
    pub(super) fn of(request: &Request, repository: &Repository) -> Result<Option<Self>, StepError> {
        let (Some(branch), Some(commit)) = (request.branch.clone(), request.commit.clone()) else { return Ok(None) };
        Ok(Some(Self {
            branch,
            commit,
            pushed: request.pushed.clone(),
            request: request.id.clone(),
            committer: committer(repository)?,
            // Each commit of a group has its member's.
            time: (request.members == 0).then_some(request.event.time),
        }))
    }

    /// Where the branch shall be.
    pub(super) fn commit(&self) -> &CommitSha {
        &self.commit
    }

    /// The request's commits that are known, the last one first.
    pub(super) fn commits(&self) -> Vec<CommitSha> {
        std::iter::once(&self.commit).chain(&self.pushed).cloned().collect()
    }

    /// Points the branch at the commit, unless a person has pushed to it; then it is left alone, and the note says so.
    ///
    /// # Errors
    /// When nothing on the branch is of this request, and what git gives.
    fn push(&self, mirror: &Mirror) -> Result<Placed, StepError> {
        self.placed(mirror, mirror.push(&self.branch, &self.commit, self.expected()))
    }

    fn update(&self) -> RefUpdate {
        RefUpdate { branch: self.branch.clone(), commit: Some(self.commit.clone()), expected: self.expected() }
    }

    /// What the first try at pushing means, with further ones where the branch is elsewhere.
    fn placed(&self, mirror: &Mirror, pushed: Result<Pushed, GitError>) -> Result<Placed, StepError> {
        let ours = |was_there, replaced| Placed { tip: self.commit.clone(), replaced, note: None, was_there, as_left: false, came_up: true };
        match pushed {
            // Where it was ours before, an attempt before this one may have gone on to ask for the pull request.
            Ok(pushed) => {
                let as_left = self.pushed.is_some();
                let came_up = pushed != Pushed::AlreadyThere;
                return Ok(Placed { as_left, came_up, ..ours(!came_up || as_left, None) });
            }
            Err(GitError::Moved { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match self.standing(mirror)? {
            // Never pushed, or deleted by somebody: the request still stands.
            Standing::Absent => {
                mirror.push(&self.branch, &self.commit, Expected::Absent)?;
                Ok(ours(self.pushed.is_some(), None))
            }
            // Pushed by an attempt that could not note it.
            Standing::Ours(tip) => {
                mirror.push(&self.branch, &self.commit, Expected::At(tip.clone()))?;
                Ok(ours(true, Some(tip)))
            }
            Standing::Continued(tip) => {
                let note = format!("the branch {} holds commits that are not ours; it was left as it is", self.branch);
                Ok(Placed { tip, replaced: None, note: Some(note), was_there: true, as_left: false, came_up: false })
            }
            Standing::Foreign(tip) => Err(StepError::Permanent(format!(
                "the branch {} is at {tip}, which does not come from this request; rename or delete that branch, then retry",
                self.branch
            ))),
        }
    }

    /// Deletes the branch, unless a person has pushed to it: then it is theirs.
    ///
    /// # Errors
    /// What git gives.
    pub(super) fn delete(&self, mirror: &Mirror) -> Result<(), StepError> {
        let last = self.pushed.clone().unwrap_or_else(|| self.commit.clone());
        match mirror.delete_branch(&self.branch, Expected::At(last)) {
            Err(GitError::Moved { .. }) => {}
            done => return Ok(done.map(drop)?),
        }
        let Standing::Ours(tip) = self.standing(mirror)? else { return Ok(()) };
        match mirror.delete_branch(&self.branch, Expected::At(tip)) {
            Ok(_) | Err(GitError::Moved { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the branch at the remote is this request's, or goes on from a commit of it.
    ///
    /// # Errors
    /// What git gives.
    pub(super) fn is_at_remote(&self, mirror: &Mirror) -> Result<bool, StepError> {
        Ok(matches!(self.standing(mirror)?, Standing::Ours(_) | Standing::Continued(_)))
    }

    /// Whether somebody else's commits stand at the remote on one of this request.
    ///
    /// # Errors
    /// What git gives.
    pub(super) fn is_continued(&self, mirror: &Mirror) -> Result<bool, StepError> {
        Ok(matches!(self.standing(mirror)?, Standing::Continued(_)))
    }

    fn expected(&self) -> Expected {
        self.pushed.clone().map_or(Expected::Absent, Expected::At)
    }

    fn standing(&self, mirror: &Mirror) -> Result<Standing, GitError> {
        mirror.standing(&self.branch, &Owner { request: &self.request, committer: &self.committer, time: self.time, known: &self.commits() })
    }
}
