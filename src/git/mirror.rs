//! One bare mirror per repository: made on first use, built anew when damaged, shared by all who work on the repository.
//! The mirror holds the base branch; what we propose stands beside it in `proposals/<commit>` until it is pushed and
//! forgotten. Everything in it can be made again: losing it loses no request.

mod all;
mod handle;
mod objects;
mod push;
mod rebuild;

pub use all::Mirrors;

use super::hold::{Alone, Hold, Pin, Talking, lock};
use super::proposal::Proposals;
use super::survey::Known;
use super::tip::Tip;
use super::transport::{Place, Transport};
use super::upkeep::Moment;
use super::{Credentials, GitError, RemoteSpec, Snapshot, SshAccess, scraps};
use crate::spans;
use crate::types::{BranchName, CommitSha};
use git2::Oid;
use handle::Handle;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What a mirror's directory is called while it is being removed.
const BROKEN: &str = ".broken-";
/// Written last when a mirror is made: a mirror without it is half-written. Holds what it is a mirror of.
const MARKER: &str = "kubeops-mirror";

/// One repository's mirror.
pub struct Mirror {
    path: PathBuf,
    remote: RemoteSpec,
    credentials: Mutex<Option<Credentials>>,
    ssh: Mutex<Option<SshAccess>>,
    transport: Arc<dyn Transport>,
    handle: Mutex<Option<Handle>>,
    /// One conversation with the remote at a time; shared by successive mirrors on the same directory.
    hold: Arc<Hold>,
    damaged: AtomicBool,
    tip: Tip,
    /// What its files may hold.
    pub(super) known: Known,
    /// Whether what a process before this one left was removed.
    tidied: AtomicBool,
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").field("path", &self.path).field("remote", &self.remote).finish_non_exhaustive()
    }
}

impl Mirror {
    /// Fetches the base branch and tells its tip. A damaged mirror, or one of another address, is built anew.
    ///
    /// # Errors
    /// When the remote cannot be reached or has no such branch, or the disk refuses.
    pub fn fetch(&self) -> Result<CommitSha, GitError> {
        self.in_span("git fetch", || self.fetch_base())
    }

    /// What `work` comes to, as a span of the present trace.
    fn in_span<T>(&self, name: &'static str, work: impl FnOnce() -> Result<T, GitError>) -> Result<T, GitError> {
        let span = tracing::debug_span!("git", otel.name = name, otel.kind = "client", vcs.repository.name = self.remote.name.as_str());
        spans::told(&span, span.in_scope(work), GitError::class)
    }

    fn fetch_base(&self) -> Result<CommitSha, GitError> {
        let _talking = self.talk();
        let mut rebuilt = self.prepare()?;
        loop {
            let fetched = self.transport.fetch(&self.place()).and_then(|tip| {
                self.tree_of(&tip)?;
                Ok(tip)
            });
            match fetched {
                Err(GitError::Corrupt { .. } | GitError::NoCommit { .. }) if !rebuilt => {
                    self.rebuild()?;
                    rebuilt = true;
                }
                Err(error) => return Err(self.remember(error)),
                Ok(tip) => {
                    self.tip.note(&tip);
                    return Ok(tip);
                }
            }
        }
    }

    /// The base's tip, fetched unless a conversation of the last `age` showed it already and the mirror holds it.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub fn fetch_within(&self, age: Duration) -> Result<CommitSha, GitError> {
        match self.tip.within(age) {
            Some(tip) if self.tree_of(&tip).is_ok() => Ok(tip),
            _ => self.fetch(),
        }
    }

    /// The base's tip as the last conversation of at most `age` ago showed it, without one now; the mirror may not hold it yet.
    pub fn known_tip(&self, age: Duration) -> Option<CommitSha> {
        self.tip.within(age)
    }

    /// Where the base branch is at the remote; the mirror need not hold it. None when there is no such branch.
    ///
    /// # Errors
    /// When the remote cannot be reached.
    pub fn look_at_tip(&self) -> Result<Option<CommitSha>, GitError> {
        let tip = self.remote_tip(&self.remote.base)?;
        match &tip {
            Some(tip) => self.tip.note(tip),
            None => self.tip.forget(),
        }
        Ok(tip)
    }

    /// What is known of the base's tip is out of date: somebody told that it moved.
    pub fn forget_tip(&self) {
        self.tip.forget();
    }

    /// The tree of a commit the mirror holds, to plan on.
    ///
    /// # Errors
    /// When the mirror does not hold the commit (fetch first) or cannot be read.
    pub fn snapshot(self: &Arc<Self>, commit: &CommitSha) -> Result<Snapshot, GitError> {
        // Before anything is read: from now on upkeep leaves it, and before, the commit is missing or whole.
        let mut pins = vec![self.pin(commit)?];
        let root = self.tree_of(commit)?;
        // Of a commit of ours the mirror has what it stands on.
        let mut at = commit.clone();
        while self.proposals().has(&at) {
            let Some(parent) = self.parent_of(&at)? else { break };
            pins.push(self.pin(&parent)?);
            at = parent;
        }
        Ok(Snapshot::new(Arc::clone(self), commit.clone(), root, pins))
    }

    /// Where the remote's `branch` is; none when there is no such branch.
    ///
    /// # Errors
    /// When the remote cannot be reached.
    pub fn remote_tip(&self, branch: &BranchName) -> Result<Option<CommitSha>, GitError> {
        self.in_span("git ls-remote", || self.converse(|transport, place| transport.tip(place, branch)))
    }

    /// Brings a branch's commits into the mirror and tells its tip, which upkeep leaves while the pin is held; none when the remote has
    /// no such branch.
    pub(super) fn fetch_branch(&self, branch: &BranchName) -> Result<Option<(CommitSha, Arc<Pin>)>, GitError> {
        let tip = self.in_span("git fetch", || {
            self.converse(|transport, place| {
                let Some(tip) = transport.fetch_branch(place, branch)? else { return Ok(None) };
                // While the conversation still keeps upkeep away.
                let pin = self.pin(&tip)?;
                Ok(Some((tip, pin)))
            })
        })?;
        if self.remote.git.depth.is_some() {
            // An open handle goes on seeing the history cut off where it was.
            *lock(&self.handle) = None;
        }
        Ok(tip)
    }

    /// Whether file contents are fetched when they are read.
    pub(super) fn is_partial(&self) -> bool {
        self.remote.git.partial_clone
    }

    /// Speaks with the remote, while nobody else does for this mirror. Damage is remembered, so that the next conversation
    /// begins with a new mirror.
    pub(super) fn converse<T>(&self, talk: impl FnOnce(&dyn Transport, &Place) -> Result<T, GitError>) -> Result<T, GitError> {
        let _talking = self.talk();
        self.prepare()?;
        talk(self.transport.as_ref(), &self.place()).map_err(|error| self.remember(error))
    }

    /// Waits for its turn to talk with the remote. Before the first time, and after a conversation that was given up, what a killed git
    /// left is removed, if no other process talks at this moment.
    fn talk(&self) -> Talking<'_> {
        if !self.tidied.swap(true, Ordering::Relaxed)
            && let Ok(Some(_alone)) = self.hold.alone()
        {
            scraps::remove(&self.path);
        }
        self.hold.talk()
    }

    /// What a failed conversation means for the next one.
    fn remember(&self, error: GitError) -> GitError {
        match &error {
            GitError::Corrupt { .. } => self.mark_damaged(),
            GitError::Timeout { .. } | GitError::Storage { .. } => self.tidied.store(false, Ordering::Relaxed),
            _ => {}
        }
        error
    }

    /// Upkeep leaves the commit, and what it reaches, while the pin is held.
    fn pin(&self, commit: &CommitSha) -> Result<Arc<Pin>, GitError> {
        Ok(self.hold.pin(Oid::from_str(commit.as_str()).map_err(|error| self.local(&error))?))
    }

    /// Nobody talks with the remote until it is dropped; none when another process does.
    pub(super) fn alone(&self) -> Result<Option<Alone<'_>>, GitError> {
        self.hold.alone().map_err(|error| self.storage(&error))
    }

    /// The commits of snapshots in use.
    pub(super) fn pinned(&self) -> Vec<Oid> {
        self.hold.pinned()
    }

    /// How it was when upkeep last found nothing to do.
    pub(super) fn last_look(&self) -> MutexGuard<'_, Option<Moment>> {
        lock(&self.hold.looked)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn transport(&self) -> &dyn Transport {
        self.transport.as_ref()
    }

    /// Whether there is a mirror, and not a half-written one.
    pub(super) fn is_there(&self) -> bool {
        self.path.join(MARKER).exists()
    }

    /// The next fetch builds it anew.
    pub(super) fn mark_damaged(&self) {
        self.damaged.store(true, Ordering::Relaxed);
    }

    fn bug(&self, message: &str) -> GitError {
        GitError::Bug { repository: self.remote.name.clone(), message: message.to_owned() }
    }

    /// Nothing was said, or nothing came back.
    pub(super) fn network(&self, message: String) -> GitError {
        GitError::Network { repository: self.remote.name.clone(), message }
    }

    pub(super) fn missing(&self, commit: &CommitSha) -> GitError {
        GitError::NoCommit { repository: self.remote.name.clone(), commit: commit.clone() }
    }

    pub(super) fn place(&self) -> Place {
        Place {
            path: self.path.clone(),
            remote: RemoteSpec { credentials: lock(&self.credentials).clone(), ssh: lock(&self.ssh).clone(), ..self.remote.clone() },
        }
    }

    fn proposals(&self) -> Proposals<'_> {
        Proposals::of(&self.remote.name, &self.path)
    }

    pub(super) fn local(&self, error: &git2::Error) -> GitError {
        GitError::local(&self.remote.name, error)
    }

    pub(super) fn corrupt(&self, message: String) -> GitError {
        GitError::Corrupt { repository: self.remote.name.clone(), message }
    }

    pub(super) fn storage(&self, error: &std::io::Error) -> GitError {
        GitError::storage(&self.remote.name, error)
    }
}
