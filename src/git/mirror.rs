//! One bare mirror per repository: made on first use, built anew when damaged, shared by all who work on the repository.
//! The mirror holds the base branch; what we propose stands beside it in `proposals/<commit>` until it is pushed and
//! forgotten. Everything in it can be made again: losing it loses no request.

mod rebuild;

use super::commit;
use super::hold::{Alone, Hold, Ownership, Pin, Talking, lock};
use super::message::CommitMeta;
use super::open::open_in_memory;
use super::proposal::{Proposals, Worth};
use super::tip::Tip;
use super::transport::{Expected, Place, PushReport, Pushed, RefUpdate, Transport};
use super::upkeep::Moment;
use super::{Credentials, GitError, RemoteSpec, Snapshot, SshAccess, Stack, diff, scraps, stack};
use crate::types::{BranchName, CommitSha, RepositoryName, TreeDiff};
use crate::validate::ValidatedChange;
use git2::{Oid, Repository};
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// After so many uses a handle is opened anew, which bounds libgit2's caches and the memory store of built objects.
const USES_PER_HANDLE: u32 = 256;
/// After building so many bytes a handle is opened anew.
const BYTES_PER_HANDLE: usize = 8 * 1024 * 1024;
/// Written last when a mirror is made: a mirror without it is half-written. Holds what it is a mirror of.
const MARKER: &str = "kubeops-mirror";
/// What a mirror's directory is called while it is being removed.
const BROKEN: &str = ".broken-";

/// Every mirror of this process, under one directory.
pub struct Mirrors {
    directory: PathBuf,
    transport: Arc<dyn Transport>,
    open: Mutex<HashMap<RepositoryName, Arc<Mirror>>>,
    ownership: Ownership,
}

impl Mirrors {
    /// Mirrors in `directory`, which is made when it is missing, reached through `transport`.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(directory: impl Into<PathBuf>, transport: Arc<dyn Transport>) -> std::io::Result<Self> {
        let directory = directory.into();
        fs::create_dir_all(&directory)?;
        for entry in fs::read_dir(&directory)?.flatten().filter(|entry| entry.file_name().to_string_lossy().contains(BROKEN)) {
            // Set aside by a process that ended before it could remove it.
            let _ = fs::remove_dir_all(entry.path());
        }
        Ok(Self { ownership: Ownership::of(&directory), directory, transport, open: Mutex::new(HashMap::new()) })
    }

    /// The mirror of a repository; nothing is read or fetched yet. The credentials given last are used from now on. A
    /// changed address gives a new mirror on disk, at the next fetch.
    pub fn get(&self, remote: &RemoteSpec) -> Arc<Mirror> {
        let mut open = lock(&self.open);
        if let Some(mirror) = open.get(&remote.name)
            && mirror.remote.url == remote.url
            && mirror.remote.base == remote.base
            && mirror.remote.git == remote.git
        {
            lock(&mirror.credentials).clone_from(&remote.credentials);
            lock(&mirror.ssh).clone_from(&remote.ssh);
            return Arc::clone(mirror);
        }
        let path = self.directory.join(format!("{}.git", remote.name));
        let mirror = Arc::new(Mirror {
            remote: RemoteSpec { credentials: None, ssh: None, ..remote.clone() },
            credentials: Mutex::new(remote.credentials.clone()),
            ssh: Mutex::new(remote.ssh.clone()),
            transport: Arc::clone(&self.transport),
            handle: Mutex::new(None),
            hold: open.get(&remote.name).map_or_else(|| Hold::of(&path), |former| Arc::clone(&former.hold)),
            path,
            damaged: AtomicBool::new(false),
            tip: Tip::default(),
            tidied: AtomicBool::new(false),
        });
        open.insert(remote.name.clone(), Arc::clone(&mirror));
        mirror
    }

    /// Whether this process, and no other that works on the same directory, is to prune the mirrors and to keep them small. Where
    /// files cannot be locked nobody is.
    pub fn are_ours(&self) -> bool {
        self.ownership.is_ours()
    }

    /// Closes handles that are not in use at this moment: for idle times, so that caches do not stay in memory.
    pub fn release(&self) {
        for mirror in lock(&self.open).values() {
            if let Ok(mut handle) = mirror.handle.try_lock() {
                *handle = None;
            }
        }
    }
}

impl fmt::Debug for Mirrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirrors").field("directory", &self.directory).finish_non_exhaustive()
    }
}

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
    /// Whether what a process before this one left was removed.
    tidied: AtomicBool,
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").field("path", &self.path).field("remote", &self.remote).finish_non_exhaustive()
    }
}

struct Handle {
    repository: Repository,
    uses: u32,
    /// What was built in memory so far, in bytes.
    built: usize,
}

impl Mirror {
    /// Fetches the base branch and tells its tip. A damaged mirror, or one of another address, is built anew.
    ///
    /// # Errors
    /// When the remote cannot be reached or has no such branch, or the disk refuses.
    pub fn fetch(&self) -> Result<CommitSha, GitError> {
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

    /// Commits `change` on `base` and tells the commit; `base` itself when the change leaves the tree as it is. No
    /// reference moves. The objects stand in one file under `proposals/`, written without `fsync`: after a power loss the
    /// same call gives the same commit again.
    ///
    /// # Errors
    /// When the mirror does not hold `base` or cannot be read or written, or a path is no file in the base.
    pub fn commit(&self, base: &CommitSha, change: &ValidatedChange, meta: &CommitMeta) -> Result<CommitSha, GitError> {
        self.with_handle(|handle| {
            let repository = &handle.repository;
            let base_id = self.find(repository, base)?;
            let Some(built) = commit::build(&self.remote.name, repository, base_id, change, meta)? else { return Ok(base.clone()) };
            let sha = CommitSha::from_bytes(built.commit.as_bytes());
            let odb = repository.odb().map_err(|error| self.local(&error))?;
            handle.built += self.proposals().write(&odb, &built, &sha)?;
            Ok(sha)
        })
    }

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
        let report = self.converse(|transport, place| transport.push(place, updates));
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

    /// Where the remote's `branch` is; none when there is no such branch.
    ///
    /// # Errors
    /// When the remote cannot be reached.
    pub fn remote_tip(&self, branch: &BranchName) -> Result<Option<CommitSha>, GitError> {
        self.converse(|transport, place| transport.tip(place, branch))
    }

    /// Brings a branch's commits into the mirror and tells its tip, which upkeep leaves while the pin is held; none when the remote has
    /// no such branch.
    pub(super) fn fetch_branch(&self, branch: &BranchName) -> Result<Option<(CommitSha, Arc<Pin>)>, GitError> {
        let tip = self.converse(|transport, place| {
            let Some(tip) = transport.fetch_branch(place, branch)? else { return Ok(None) };
            // While the conversation still keeps upkeep away.
            let pin = self.pin(&tip)?;
            Ok(Some((tip, pin)))
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

    /// Keeps everybody of this process from reading until it is dropped; whoever reads next opens the mirror anew.
    pub(super) fn closed(&self) -> impl Drop + '_ {
        let mut handle = lock(&self.handle);
        *handle = None;
        handle
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

    /// As [`Self::with_repository`], with this commit of the base or of ours readable: a handle may be a new one.
    pub(super) fn with_commit<T>(&self, commit: &CommitSha, read: impl FnOnce(&Repository) -> Result<T, git2::Error>) -> Result<T, GitError> {
        self.with_handle(|handle| {
            self.find(&handle.repository, commit)?;
            read(&handle.repository).map_err(|error| self.local(&error))
        })
    }

    pub(super) fn with_repository<T>(&self, read: impl FnOnce(&Repository) -> Result<T, git2::Error>) -> Result<T, GitError> {
        self.with_handle(|handle| read(&handle.repository).map_err(|error| self.local(&error)))
    }

    /// The same, with two commits that the mirror or proposals hold.
    pub(super) fn with_found<T>(
        &self,
        from: &CommitSha,
        to: &CommitSha,
        read: impl FnOnce(&Repository, Oid, Oid) -> Result<T, git2::Error>,
    ) -> Result<T, GitError> {
        self.with_handle(|handle| {
            let repository = &handle.repository;
            let (from, to) = (self.find(repository, from)?, self.find(repository, to)?);
            read(repository, from, to).map_err(|error| self.local(&error))
        })
    }

    fn update(&self, update: RefUpdate) -> Result<Pushed, GitError> {
        self.push_many(vec![update])?.pop().unwrap_or_else(|| Err(self.bug("the transport told nothing of the branch")))
    }

    fn bug(&self, message: &str) -> GitError {
        GitError::Bug { repository: self.remote.name.clone(), message: message.to_owned() }
    }

    /// Runs `work` with the open repository. Damage is remembered, so that the next fetch builds the mirror anew.
    fn with_handle<T>(&self, work: impl FnOnce(&mut Handle) -> Result<T, GitError>) -> Result<T, GitError> {
        let mut slot = lock(&self.handle);
        if slot.as_ref().is_none_or(|handle| handle.uses >= USES_PER_HANDLE || handle.built >= BYTES_PER_HANDLE) {
            *slot = None;
            *slot = Some(Handle { repository: self.open()?, uses: 0, built: 0 });
        }
        let Some(handle) = slot.as_mut() else { unreachable!("a handle was just put there") };
        handle.uses += 1;
        let result = work(handle);
        if matches!(result, Err(GitError::Corrupt { .. })) {
            self.mark_damaged();
            *slot = None;
        }
        result
    }

    /// A handle whose new objects stay in memory until they are written as a proposal.
    fn open(&self) -> Result<Repository, GitError> {
        open_in_memory(&self.path).map_err(|error| match error.code() {
            // No mirror yet, or one that lost its head: a fetch makes it.
            git2::ErrorCode::NotFound => GitError::Corrupt { repository: self.remote.name.clone(), message: "there is no mirror yet".to_owned() },
            _ => self.local(&error),
        })
    }

    /// The id of a commit that the mirror or a proposal holds.
    fn find(&self, repository: &Repository, commit: &CommitSha) -> Result<Oid, GitError> {
        let found = self.proposals().load(repository, commit)?;
        found.ok_or_else(|| self.missing(commit))
    }

    pub(super) fn missing(&self, commit: &CommitSha) -> GitError {
        GitError::NoCommit { repository: self.remote.name.clone(), commit: commit.clone() }
    }

    fn parent_of(&self, commit: &CommitSha) -> Result<Option<CommitSha>, GitError> {
        self.with_handle(|handle| {
            let id = self.find(&handle.repository, commit)?;
            let parent = handle.repository.find_commit(id).map(|commit| commit.parent_id(0).ok()).map_err(|error| self.local(&error))?;
            Ok(parent.map(|parent| CommitSha::from_bytes(parent.as_bytes())))
        })
    }

    fn tree_of(&self, commit: &CommitSha) -> Result<Oid, GitError> {
        self.with_handle(|handle| {
            let id = self.find(&handle.repository, commit)?;
            let tree = handle.repository.find_commit(id).and_then(|commit| commit.tree()).map_err(|error| self.local(&error))?;
            Ok(tree.id())
        })
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
