//! The transport each repository asked for.
//! It decides nothing else: what one of them cannot do, the other is not asked for.

use super::{GitCommand, GitCommandOptions, Libgit2, Limits, Place, PushReport, RefUpdate, Transport};
use crate::git::GitError;
use crate::inventory::GitTransport;
use crate::types::{BranchName, CommitSha};
use git2::Oid;
use std::path::PathBuf;

/// Talks with each remote through the git its repository names.
#[derive(Debug)]
pub struct PerRepository {
    libgit2: Libgit2,
    git: GitCommand,
}

impl PerRepository {
    /// Chooses between these two.
    pub fn new(libgit2: Libgit2, git: GitCommand) -> Self {
        Self { libgit2, git }
    }

    /// Chooses between libgit2 and the git program in `PATH`, whose conversations have their files in `runtime`.
    pub fn of_this_machine(runtime: PathBuf) -> Self {
        let git =
            GitCommandOptions { git: PathBuf::from("git"), ssh: PathBuf::from("ssh"), askpass: this_program(), runtime, limits: Limits::default() };
        Self::new(Libgit2::default(), GitCommand::new(git))
    }

    /// Ends what is under way, because the process ends: no program goes on without it, and nothing of a conversation stays on disk.
    /// Returns within some seconds. Conversations that are begun later are refused.
    pub fn end(&self) {
        self.git.end();
    }

    fn of(&self, place: &Place) -> &dyn Transport {
        match place.remote.git.transport {
            GitTransport::Libgit2 => &self.libgit2,
            GitTransport::Git => &self.git,
        }
    }
}

/// This program as children of git can run it, to be asked for tokens. On Linux it is the file this process runs, also when another
/// stands at its path by now; `/proc/self` would be git's own.
fn this_program() -> PathBuf {
    let running = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    if cfg!(target_os = "linux") && running.exists() { running } else { std::env::current_exe().unwrap_or_else(|_| PathBuf::from("kubeops")) }
}

impl Transport for PerRepository {
    fn fetch(&self, place: &Place) -> Result<CommitSha, GitError> {
        self.of(place).fetch(place)
    }

    fn fetch_branch(&self, place: &Place, branch: &BranchName) -> Result<Option<CommitSha>, GitError> {
        self.of(place).fetch_branch(place, branch)
    }

    fn push(&self, place: &Place, updates: Vec<RefUpdate>) -> Result<PushReport, GitError> {
        self.of(place).push(place, updates)
    }

    fn tip(&self, place: &Place, branch: &BranchName) -> Result<Option<CommitSha>, GitError> {
        self.of(place).tip(place, branch)
    }

    fn upkeep(&self, place: &Place) -> Result<(), GitError> {
        self.of(place).upkeep(place)
    }

    fn fetch_objects(&self, place: &Place, objects: &[Oid]) -> Result<(), GitError> {
        self.of(place).fetch_objects(place, objects)
    }
}
