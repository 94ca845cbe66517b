//! What goes up: branches made, moved and deleted.

use super::Mirror;
use crate::git::GitError;
use crate::git::transport::{Expected, PushReport, Pushed, RefUpdate};
use crate::types::{BranchName, CommitSha};

impl Mirror {
    /// Points the remote's `branch` at `commit`, if it is where `expected` says. Where it is there already, nothing is sent.
    ///
    /// # Errors
    /// [`GitError::Moved`] when the branch is elsewhere, [`GitError::Rejected`] when the server says no, and what the network gives.
    pub fn push(&self, branch: &BranchName, commit: &CommitSha, expected: Expected) -> Result<Pushed, GitError> {
        self.update(RefUpdate { branch: branch.clone(), commit: Some(commit.clone()), expected })
    }

    /// Makes, moves and deletes branches in one conversation. The results stand in the order of `updates`, each as
    /// [`Self::push`] would tell it; one refused branch does not harm the others, unless the server refuses all for it.
    ///
    /// # Errors
    /// When the conversation as a whole failed: nothing is known of any branch, and the call may be repeated.
    pub fn push_many(&self, updates: Vec<RefUpdate>) -> Result<Vec<Result<Pushed, GitError>>, GitError> {
        let commits: Vec<Option<CommitSha>> = updates.iter().map(|update| update.commit.clone()).collect();
        crate::lease::check().map_err(|lost| self.network(lost.to_string()))?;
        let report = self.in_span("git push", || self.converse(|transport, place| transport.push(place, updates)));
        let failed = |result: &Result<Pushed, GitError>| matches!(result, Err(GitError::Corrupt { .. }));
        let PushReport { results, base } = match report {
            Ok(report) => report,
            Err(error) => {
                if matches!(error, GitError::Corrupt { .. }) {
                    commits.iter().flatten().for_each(|commit| self.forget(commit));
                }
                return Err(error);
            }
        };
        if let Some(base) = base {
            self.tip.note(&base);
        }
        for (commit, _) in commits.iter().zip(&results).filter(|(_, result)| failed(result)) {
            // Perhaps our own objects did not survive a power loss; they are made again from the request.
            commit.iter().for_each(|commit| self.forget(commit));
        }
        if results.len() == commits.len() { Ok(results) } else { Err(self.bug("the transport told nothing of some branches")) }
    }

    /// Deletes the remote's `branch`, if it is where `expected` says; a missing branch is a success.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn delete_branch(&self, branch: &BranchName, expected: Expected) -> Result<Pushed, GitError> {
        self.update(RefUpdate { branch: branch.clone(), commit: None, expected })
    }

    fn update(&self, update: RefUpdate) -> Result<Pushed, GitError> {
        self.push_many(vec![update])?.pop().unwrap_or_else(|| Err(self.bug("the transport told nothing of the branch")))
    }
}
