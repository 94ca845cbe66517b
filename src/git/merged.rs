//! What the base was before a request was merged into it, read from the base's own history.

use super::message::request_of;
use super::{GitError, Mirror};
use crate::types::{CommitSha, RequestId};
use git2::{Commit, Oid, Repository};

/// Commits of one pull request that are looked at: a forge rebases no more.
const MOST_COMMITS: usize = 250;

impl Mirror {
    /// The commit that the base was at before a request's pull request was merged into it, whichever way: as a merge commit, as one
    /// commit, or as commits of its own, of which `merged` is the last. The request was planned on `planned_on`, which was in the base
    /// before. None where the mirror does not hold the history that far back.
    ///
    /// # Errors
    /// When the mirror does not hold `merged` or cannot be read.
    pub fn before_merge(&self, merged: &CommitSha, request: &RequestId, planned_on: Option<&CommitSha>) -> Result<Option<CommitSha>, GitError> {
        let planned_on = planned_on.and_then(|commit| Oid::from_str(commit.as_str()).ok());
        self.with_commit(merged, |repository| {
            let merged = repository.find_commit(Oid::from_str(merged.as_str())?)?;
            let before = before(repository, merged, request, planned_on);
            Ok(before.filter(|before| repository.find_commit(*before).is_ok()).map(|before| CommitSha::from_bytes(before.as_bytes())))
        })
    }
}

/// A merge names what it was merged into first. Otherwise the request's commits are the last ones; a person's may stand among and upon
/// them, so the earliest that names the request tells.
fn before(repository: &Repository, merged: Commit<'_>, request: &RequestId, planned_on: Option<Oid>) -> Option<Oid> {
    let mut before = merged.parent_id(0).ok()?;
    let mut at = merged;
    for _ in 0..MOST_COMMITS {
        // Beyond a merge, or what it was planned on, nothing is of this pull request.
        let Some(parent) = Some(&at).filter(|at| at.parent_count() == 1).and_then(|at| at.parent_id(0).ok()) else { break };
        let Some(parent) = repository.find_commit(parent).ok().filter(|parent| Some(parent.id()) != planned_on) else { break };
        if parent.parent_count() == 1 && parent.message().ok().and_then(request_of).as_ref() == Some(request) {
            before = parent.parent_id(0).ok()?;
        }
        at = parent;
    }
    Some(before)
}
