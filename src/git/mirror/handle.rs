//! The open repository of a mirror: opened on first use, and anew now and then, so that what libgit2 keeps in memory stays bounded.

use super::Mirror;
use crate::git::GitError;
use crate::git::hold::lock;
use crate::git::open::open_in_memory;
use crate::types::CommitSha;
use git2::{Oid, Repository};

/// After so many uses a handle is opened anew, which bounds libgit2's caches and the memory store of built objects.
const USES_PER_HANDLE: u32 = 256;
/// After building so many bytes a handle is opened anew.
const BYTES_PER_HANDLE: usize = 8 * 1024 * 1024;

/// An open repository.
pub(super) struct Handle {
    pub(super) repository: Repository,
    uses: u32,
    /// What was built in memory so far, in bytes.
    pub(super) built: usize,
}

impl Mirror {
    /// Keeps everybody of this process from reading until it is dropped; whoever reads next opens the mirror anew.
    pub(in crate::git) fn closed(&self) -> impl Drop + '_ {
        let mut handle = lock(&self.handle);
        *handle = None;
        handle
    }

    /// As [`Self::with_repository`], with this commit of the base or of ours readable: a handle may be a new one.
    pub(in crate::git) fn with_commit<T>(&self, commit: &CommitSha, read: impl FnOnce(&Repository) -> Result<T, git2::Error>) -> Result<T, GitError> {
        self.with_handle(|handle| {
            self.find(&handle.repository, commit)?;
            read(&handle.repository).map_err(|error| self.local(&error))
        })
    }

    pub(in crate::git) fn with_repository<T>(&self, read: impl FnOnce(&Repository) -> Result<T, git2::Error>) -> Result<T, GitError> {
        self.with_handle(|handle| read(&handle.repository).map_err(|error| self.local(&error)))
    }

    /// The same, with two commits that the mirror or proposals hold.
    pub(in crate::git) fn with_found<T>(
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

    /// Runs `work` with the open repository. Damage is remembered, so that the next fetch builds the mirror anew.
    pub(super) fn with_handle<T>(&self, work: impl FnOnce(&mut Handle) -> Result<T, GitError>) -> Result<T, GitError> {
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
    pub(super) fn find(&self, repository: &Repository, commit: &CommitSha) -> Result<Oid, GitError> {
        let found = self.proposals().load(repository, commit)?;
        found.ok_or_else(|| self.missing(commit))
    }

    pub(super) fn parent_of(&self, commit: &CommitSha) -> Result<Option<CommitSha>, GitError> {
        self.with_handle(|handle| {
            let id = self.find(&handle.repository, commit)?;
            let parent = handle.repository.find_commit(id).map(|commit| commit.parent_id(0).ok()).map_err(|error| self.local(&error))?;
            Ok(parent.map(|parent| CommitSha::from_bytes(parent.as_bytes())))
        })
    }

    pub(super) fn tree_of(&self, commit: &CommitSha) -> Result<Oid, GitError> {
        self.with_handle(|handle| {
            let id = self.find(&handle.repository, commit)?;
            let tree = handle.repository.find_commit(id).and_then(|commit| commit.tree()).map_err(|error| self.local(&error))?;
            Ok(tree.id())
        })
    }
}
