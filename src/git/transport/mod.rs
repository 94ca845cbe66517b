//! Fetch and push, behind a trait: libgit2, and the git program of the machine. One contract suite holds both to the same behaviour.
//! A transport keeps a lease on every branch it moves: it moves it from where the caller expects it, or not at all.
//! It must never show a token, obey the machine's configuration, or run what a repository brings along.

mod command;
mod deadline;
mod libgit2;
mod per_repository;

pub use command::{GitCommand, GitCommandOptions, askpass_main, is_askpass};
pub use deadline::Limits;
pub use libgit2::Libgit2;
pub use per_repository::PerRepository;

use super::{GitError, RemoteSpec};
use crate::types::{BranchName, CommitSha};
use git2::Oid;
use std::path::PathBuf;

/// A mirror on disk and its remote, for the length of one conversation.
#[derive(Debug, Clone)]
pub struct Place {
    /// The bare mirror; commits of ours that are not in its object store stand in `proposals/`.
    pub path: PathBuf,
    /// The remote.
    pub remote: RemoteSpec,
}

/// Where a branch must be at the remote for an update to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// It does not exist.
    Absent,
    /// It is at this commit.
    At(CommitSha),
    /// Wherever it is.
    Any,
}

/// One branch to create, move or delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// The branch.
    pub branch: BranchName,
    /// Where it shall be; none to delete it.
    pub commit: Option<CommitSha>,
    /// Where it must be before.
    pub expected: Expected,
}

/// How an update succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The branch was moved, made or deleted.
    Updated,
    /// It was so already; nothing was sent.
    AlreadyThere,
}

/// What a push came to.
#[derive(Debug)]
pub struct PushReport {
    /// What became of each update, in their order.
    pub results: Vec<Result<Pushed, GitError>>,
    /// Where the base branch is, when the conversation showed it.
    pub base: Option<CommitSha>,
}

/// A way to talk with remotes. Blocking; every call ends within the transport's limits.
pub trait Transport: Send + Sync {
    /// Fetches the base branch into `refs/kubeops/base/<branch>` and tells its tip.
    ///
    /// # Errors
    /// When the remote cannot be reached, refuses, or has no such branch.
    fn fetch(&self, place: &Place) -> Result<CommitSha, GitError>;

    /// Fetches a branch's commits and tells its tip; none when it does not exist. No reference of it stays.
    ///
    /// # Errors
    /// When the remote cannot be reached or refuses.
    fn fetch_branch(&self, place: &Place, branch: &BranchName) -> Result<Option<CommitSha>, GitError>;

    /// Updates branches in one conversation. The results stand in the order of `updates`; one refused branch does not harm
    /// the others.
    ///
    /// # Errors
    /// When the conversation as a whole failed: then nothing is known of any branch, and the call may be repeated.
    fn push(&self, place: &Place, updates: Vec<RefUpdate>) -> Result<PushReport, GitError>;

    /// Where a branch is; none when it does not exist.
    ///
    /// # Errors
    /// When the remote cannot be reached or refuses.
    fn tip(&self, place: &Place, branch: &BranchName) -> Result<Option<CommitSha>, GitError>;

    /// Keeps the objects of a mirror small that is not whole: one with a file `shallow`, or with packs marked `.promisor`. Whole
    /// mirrors are seen to by [`super::Mirror::upkeep`]. Called from time to time, while nobody reads the mirror or talks with its remote.
    ///
    /// # Errors
    /// When the mirror cannot be read or written.
    fn upkeep(&self, place: &Place) -> Result<(), GitError> {
        let _ = place;
        Ok(())
    }

    /// Fetches these objects into a mirror that was fetched without them, all in one conversation.
    ///
    /// # Errors
    /// When the remote cannot be reached, refuses, or does not have one of them any more.
    fn fetch_objects(&self, place: &Place, objects: &[Oid]) -> Result<(), GitError>;
}

/// Words of servers and git that mean: the branch is not where it was when we looked.
const RACED: &[&str] = &[
    "stale info",
    "fetch first",
    "non-fast-forward",
    "failed to update ref",
    "cannot lock ref",
    "failed to lock",
    "already exists",
    "incorrect old value",
];

/// Removes references that leave no room for this one in a mirror: of a base that once had the name of its directory, or one below
/// its name. At the remote they cannot be any more, when this one is.
fn make_way(repository: &git2::Repository, reference: &str) -> Result<(), git2::Error> {
    let above = reference.match_indices('/').map(|(at, _)| &reference[..at]);
    let mut stale: Vec<git2::Reference<'_>> = above.filter_map(|name| repository.find_reference(name).ok()).collect();
    for below in repository.references_glob(&format!("{reference}/*"))? {
        stale.push(below?);
    }
    stale.into_iter().try_for_each(|mut reference| reference.delete())
}

/// The reference a fetched base branch is kept under: outside `refs/heads`, so that no push can mean it.
pub(super) fn base_ref(branch: &BranchName) -> String {
    format!("refs/kubeops/base/{branch}")
}

/// Branches that are only looked at are kept under `refs/kubeops/seen/` while they are.
pub(super) const SEEN: &str = "refs/kubeops/seen/";
