//! Commits in a mirror: ours are made, held beside each other, and forgotten.

use super::Mirror;
use crate::git::hold::lock;
use crate::git::message::CommitMeta;
use crate::git::proposal::Worth;
use crate::git::{GitError, Stack, commit, diff, stack};
use crate::spans;
use crate::types::{CommitSha, TreeDiff};
use crate::validate::ValidatedChange;

impl Mirror {
    /// Commits `change` on `base` and tells the commit; `base` itself when the change leaves the tree as it is. No
    /// reference moves. The objects stand in one file under `proposals/`, written without `fsync`: after a power loss the
    /// same call gives the same commit again.
    ///
    /// # Errors
    /// When the mirror does not hold `base` or cannot be read or written, or a path is no file in the base.
    pub fn commit(&self, base: &CommitSha, change: &ValidatedChange, meta: &CommitMeta) -> Result<CommitSha, GitError> {
        let span = tracing::debug_span!("git commit", vcs.repository.name = self.remote.name.as_str());
        let _within = span.enter();
        let committed = self.with_handle(|handle| {
            let repository = &handle.repository;
            let base_id = self.find(repository, base)?;
            let Some(built) = commit::build(&self.remote.name, repository, base_id, change, meta)? else { return Ok(base.clone()) };
            let sha = CommitSha::from_bytes(built.commit.as_bytes());
            let odb = repository.odb().map_err(|error| self.local(&error))?;
            handle.built += self.proposals().write(&odb, &built, &sha)?;
            Ok(sha)
        });
        spans::told(&span, committed, GitError::class)
    }

    /// What `commit` changes against `base`, with at most `limit` bytes of text.
    ///
    /// # Errors
    /// When the mirror does not hold one of them or cannot be read.
    pub fn diff(&self, base: &CommitSha, commit: &CommitSha, limit: usize) -> Result<TreeDiff, GitError> {
        self.bring_for_diff(base, commit)?;
        self.with_found(base, commit, |repository, from, to| diff::tree_diff(repository, from, to, limit))
    }

    /// Whether `commit`, made on `base`, is to `base` what `change` is to `tip`: the same files, with the same content before and
    /// after. Then a pull request of it shows the same on either. False where the mirror does not hold one of the commits.
    ///
    /// # Errors
    /// When the mirror cannot be read.
    pub fn carries(&self, base: &CommitSha, commit: &CommitSha, tip: &CommitSha, change: &ValidatedChange) -> Result<bool, GitError> {
        self.with_handle(|handle| {
            let repository = &handle.repository;
            let proposals = self.proposals();
            let (Some(base), Some(commit), Some(tip)) =
                (proposals.load(repository, base)?, proposals.load(repository, commit)?, proposals.load(repository, tip)?)
            else {
                return Ok(false);
            };
            commit::carries(repository, base, commit, tip, change).map_err(|error| self.local(&error))
        })
    }

    /// Whether two stacks of commits, each from its tip down to its base, do the same one after the other: as many commits, and
    /// each changes the same files from the same content to the same content. False where the mirror does not hold them.
    ///
    /// # Errors
    /// When the mirror cannot be read.
    pub fn same_stack(&self, one: &Stack<'_>, other: &Stack<'_>) -> Result<bool, GitError> {
        self.with_handle(|handle| {
            for commit in [one.base, one.tip, other.base, other.tip] {
                if self.proposals().load(&handle.repository, commit)?.is_none() {
                    return Ok(false);
                }
            }
            stack::is_same(&handle.repository, one, other).map_err(|error| self.local(&error))
        })
    }

    /// Removes our objects of a commit that is merged, closed or replaced. Never an error: what stays is removed later.
    pub fn forget(&self, commit: &CommitSha) {
        self.forget_all([commit]);
    }

    /// As [`Self::forget`], for many.
    pub fn forget_all<'c>(&self, commits: impl IntoIterator<Item = &'c CommitSha>) {
        *lock(&self.handle) = None;
        commits.into_iter().for_each(|commit| self.proposals().forget(commit));
    }

    /// Our commits whose objects are kept here.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn proposed(&self) -> Result<Vec<CommitSha>, GitError> {
        self.proposals().listed()
    }

    /// Removes our objects of commits that are worth nothing any more, and what a killed process left half-written; of those
    /// that are worth little the newest stay, as many as are small beside the mirror. Only the process that owns the data directory
    /// may call it.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn prune(&self, worth: impl Fn(&CommitSha) -> Worth) -> Result<(), GitError> {
        // No commit of this process is being written while the handle is held, so a scratch file is a dead one's.
        let _closed = self.closed();
        self.proposals().prune(worth)
    }
}
