//! What people do with a pull request of the local forge: at GitHub they do it there.

use super::repository::MergeOrder;
use super::{LocalForge, LocalPull};
use crate::forge::{Forge, ForgeError, HELD_LABEL, Pull, PullState};
use crate::types::TreeDiff;

/// A person who reviews, as the merge commit names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name shown and compared.
    pub name: String,
    /// The e-mail address.
    pub email: String,
}

impl Person {
    /// Somebody of whom no more than the name is known, under an address that nobody has.
    pub fn named(name: &str) -> Self {
        let kept: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
        let mailbox = if kept.is_empty() { "person" } else { &kept };
        Self { name: name.to_owned(), email: format!("{mailbox}@users.kubeops.invalid") }
    }
}

/// What a person does with a pull request of the local forge. At GitHub people do it there.
#[async_trait::async_trait]
pub trait Review: Forge {
    /// Notes that a person approves; doing so twice counts once. What merges by itself is merged then, unless it is held: `held` says that
    /// it is by now, also where it does not show that yet. What stands in the way of the merge is a note and not an error.
    ///
    /// # Errors
    /// [`ForgeError::NotOpen`] when it is closed or merged, [`ForgeError::Changed`] when the branch has other commits by now.
    async fn approve(&self, number: u64, who: &Person, held: bool) -> Result<Pull, ForgeError>;

    /// Merges the branch into its base with a merge commit, and deletes it. Merging what is merged tells it.
    ///
    /// # Errors
    /// [`ForgeError::Conflict`] with the files, [`ForgeError::Changed`] when the branch has other commits than the record,
    /// [`ForgeError::NotOpen`] when it was closed, [`ForgeError::Draft`] when nobody has marked it ready.
    async fn merge(&self, number: u64, who: &Person) -> Result<Pull, ForgeError>;

    /// Marks a draft ready: from now on it may be merged. One that is ready stays as it is.
    ///
    /// # Errors
    /// [`ForgeError::NotOpen`] when it is closed or merged.
    async fn ready(&self, number: u64) -> Result<Pull, ForgeError>;

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
    async fn approve(&self, number: u64, who: &Person, held: bool) -> Result<Pull, ForgeError> {
        let record = self.reviewable(number).await?;
        let approved = |record: &mut LocalPull| {
            // Who looks at it next finds it held as well, until it is brought up to date.
            if held && !is_held(&record.pull) {
                record.pull.labels.push(HELD_LABEL.to_owned());
            }
            if !record.pull.approved_by.contains(&who.name) {
                record.pull.approved_by.push(who.name.clone());
                record.pull.reviewers.retain(|reviewer| reviewer.to_string() != who.name);
            }
        };
        let known = record.pull.approved_by.contains(&who.name) && (!held || is_held(&record.pull));
        let record = if known { record } else { self.edit(record, approved).await? };
        self.merge_itself(record.pull).await
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
        if record.pull.draft {
            return Err(ForgeError::Draft { forge: self.upstream.forge.clone(), number });
        }
        self.merge_reviewed(record, who).await
    }

    async fn ready(&self, number: u64) -> Result<Pull, ForgeError> {
        let record = self.record(number).await?;
        if record.pull.state != PullState::Open {
            return Err(ForgeError::NotOpen { forge: self.upstream.forge.clone(), number });
        }
        let record = if record.pull.draft { self.edit(record, |record| record.pull.draft = false).await? } else { record };
        Ok(record.pull)
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

impl LocalForge {
    /// Merges a pull request that merges by itself, once a person has approved what stands there and nothing holds it: there are no checks
    /// here that could stand in for a person. What stands in the way leaves it open, with a note of it.
    pub(super) async fn merge_itself(&self, pull: Pull) -> Result<Pull, ForgeError> {
        if approver(&pull).is_none() {
            return Ok(pull);
        }
        let number = pull.number;
        let error = match self.merge_approved(number).await {
            Ok(pull) => return Ok(pull),
            Err(error) => error,
        };
        tracing::debug!(pull = number, %error, "an approved pull request is not merged by itself");
        if let (ForgeError::Conflict { .. }, Some(head)) = (&error, &pull.head_commit) {
            let words = format!("Approved, and not merged by itself: {error}.");
            if let Err(untold) = self.comment_once(number, &words, &format!("conflict:{head}"), true).await {
                tracing::warn!(pull = number, error = %untold, "why it is not merged by itself could not be written there");
            }
        }
        let mut pull = self.record(number).await?.pull;
        pull.notes.push(format!("it is not merged by itself: {error}"));
        Ok(pull)
    }

    /// What stands there now is looked at once more: only a commit that is approved is merged.
    async fn merge_approved(&self, number: u64) -> Result<Pull, ForgeError> {
        let record = self.reviewable(number).await?;
        match approver(&record.pull) {
            Some(who) => self.merge_reviewed(record, &who).await,
            None => Ok(record.pull),
        }
    }

    /// Merges the very commit that the record tells, in a person's name.
    async fn merge_reviewed(&self, record: LocalPull, who: &Person) -> Result<Pull, ForgeError> {
        let order = MergeOrder::of(&record.pull, who, self.clock.now());
        let order = order.ok_or_else(|| ForgeError::Changed { forge: self.upstream.forge.clone(), number: record.pull.number })?;
        let merged = self.blocking(move |upstream| upstream.merge(&order)).await?;
        self.record_merge(record, merged, &who.name).await
    }
}

fn is_held(pull: &Pull) -> bool {
    pull.labels.iter().any(|label| label == HELD_LABEL)
}

/// In whose name a pull request is merged by itself now: of those who approve it, the last. None where it waits for a person still.
fn approver(pull: &Pull) -> Option<Person> {
    let merges = pull.state == PullState::Open && pull.auto_merge && !pull.draft && !is_held(pull);
    pull.approved_by.last().filter(|_| merges).map(|name| Person::named(name))
}
