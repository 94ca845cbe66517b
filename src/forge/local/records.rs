//! The records of the local forge, behind a trait that the store stands behind.
//! The trait says what must be atomic; it knows no database.

use crate::forge::{Pull, PullState};
use crate::types::{BranchName, ErrorClass, RepositoryName, Timestamp};
use serde::{Deserialize, Serialize};

/// One pull request of the local forge, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalPull {
    /// The repository it belongs to; its number counts within it.
    pub repository: RepositoryName,
    /// What is shown.
    pub pull: Pull,
    /// What was said, oldest first.
    pub comments: Vec<Comment>,
    /// Counts writes; an update names the version it read.
    pub version: u64,
}

/// One comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub author: String,
    /// What, Markdown.
    pub body: String,
}

/// Why a record could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The head branch has an open pull request already.
    #[error("the branch has an open pull request already")]
    Exists,
    /// Another wrote in between.
    #[error("the record was changed by another at the same time")]
    Outdated,
    /// The store says no.
    #[error("{message}")]
    Storage {
        /// What it said.
        message: String,
        /// Whether waiting may help.
        class: ErrorClass,
    },
}

/// Where pull requests of the local forge are kept.
#[async_trait::async_trait]
pub trait PullRecords: Send + Sync {
    /// Keeps a new pull request, gives it the repository's next number (from 1, never used twice), appends
    /// `/<number>` to its `url`, and sets version 1.
    ///
    /// # Errors
    /// [`RecordError::Exists`] when the repository has an open one with this head; checked in the same transaction.
    async fn insert(&self, record: &LocalPull) -> Result<LocalPull, RecordError>;

    /// Writes a record back, with the next version.
    ///
    /// # Errors
    /// [`RecordError::Outdated`] when its version is not the kept one, or there is no such record.
    async fn update(&self, record: &LocalPull) -> Result<LocalPull, RecordError>;

    /// The pull request of a head branch: the open one, else the one with the highest number.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn find(&self, repository: &RepositoryName, head: &BranchName) -> Result<Option<LocalPull>, RecordError>;

    /// The pull request with a number.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn get(&self, repository: &RepositoryName, number: u64) -> Result<Option<LocalPull>, RecordError>;

    /// A repository's pull requests, highest number first, at most `limit`; `state` narrows them.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn list(&self, repository: &RepositoryName, state: Option<PullState>, limit: usize) -> Result<Vec<LocalPull>, RecordError>;
}
