//! What people do with a pull request of the local forge: at GitHub they do it there.

use super::repository::MergeOrder;
use super::{LocalForge, LocalPull};
use crate::forge::{Forge, ForgeError, Pull, PullState};
use crate::types::TreeDiff;

/// A person who reviews, as the merge commit names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name shown and compared.
    pub name: String,
    /// The e-mail address.
    pub email: String,
}

/// What a person does with a pull request of the local forge. At GitHub people do it there.
#[async_trait::async_trait]
pub trait Review: Forge {
    /// Notes that a person approves. Doing so twice counts once.
    ///
    /// # Errors
    /// [`ForgeError::NotOpen`] when it is closed or merged, [`ForgeError::Changed`] when the branch has other commits by now.
    async fn approve(&self, number: u64, who: &Person) -> Result<Pull, ForgeError>;

    /// Merges the branch into its base with a merge commit, and deletes it. Merging what is merged tells it.
    ///
    /// # Errors
    /// [`ForgeError::Conflict`] with the files, [`ForgeError::Changed`] when the branch has other commits than the record,
    /// [`ForgeError::NotOpen`] when it was closed.
    async fn merge(&self, number: u64, who: &Person) -> Result<Pull, ForgeError>;

    /// Closes it as a person's decision: it is not opened again.
    ///
    /// # Errors
    /// [`ForgeError::NotOpen`] when it is merged.
    async fn decline(&self, number: u64, who: &Person, comment: Option<&str>) -> Result<Pull, ForgeError>;

    /// The repository's pull requests, newest first; `state` narrows them.
    ///
    /// # Errors
    /// When the records cannot be read.
    async fn list(&self, state: Option<PullState>, limit: usize) -> Result<Vec<Pull>, ForgeError>;

    /// What merging it would change, with at most `limit` bytes of patches, and what it did once it is merged.
    ///
    /// # Errors
    /// When a commit is gone or the repository cannot be read.
    async fn diff(&self, number: u64, limit: usize) -> Result<TreeDiff, ForgeError>;
}

#[async_trait::async_trait]
impl Review for LocalForge {
    async fn approve(&self, number: u64, who: &Person) -> Result<Pull, ForgeError> {
        let record = self.reviewable(number).await?;
        let approved = |record: &mut LocalPull| {
            if !record.pull.approved_by.contains(&who.name) {
                record.pull.approved_by.push(who.name.clone());
                record.pull.reviewers.retain(|reviewer| reviewer.to_string() != who.name);
            }
        };
        match record.pull.approved_by.contains(&who.name) {
            true => Ok(record.pull),
            false => Ok(self.edit(record, approved).await?.pull),
        }
    }

    async fn merge(&self, number: u64, who: &Person) -> Result<Pull, ForgeError> {
        let record = self.record(number).await?;
        if record.pull.state == PullState::Merged {
            return Ok(record.pull);
        }
        // A merge that was made but not recorded is found again, even when the head branch is gone by now.
        if record.pull.state == PullState::Open
            && let Some(merged) = self.merged(&record.pull).await?
        {
            return self.record_merge(record, merged, &who.name).await;
        }
        let record = self.reviewable(number).await?;
        let order = MergeOrder::of(&record.pull, who, self.clock.now());
        let order = order.ok_or_else(|| ForgeError::Changed { forge: self.upstream.forge.clone(), number })?;
        let merged = self.blocking(move |upstream| upstream.merge(&order)).await?;
        self.record_merge(record, merged, &who.name).await
    }

    async fn decline(&self, number: u64, who: &Person, comment: Option<&str>) -> Result<Pull, ForgeError> {
        let record = self.record(number).await?;
        if record.pull.state == PullState::Merged {
            return Err(ForgeError::NotOpen { forge: self.upstream.forge.clone(), number });
        }
        self.end(record, &who.name, comment).await
    }

    async fn list(&self, state: Option<PullState>, limit: usize) -> Result<Vec<Pull>, ForgeError> {
        let records = self.records.list(&self.name, state, limit).await.map_err(|error| self.failed(0, error))?;
        Ok(records.into_iter().map(|record| record.pull).collect())
    }

    async fn diff(&self, number: u64, limit: usize) -> Result<TreeDiff, ForgeError> {
        let pull = self.record(number).await?.pull;
        self.blocking(move |upstream| upstream.diff(&pull, limit)).await
    }
}
