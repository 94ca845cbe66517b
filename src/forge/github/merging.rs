//! What only GraphQL can do: mark a draft ready, have GitHub merge by itself, put into a merge queue, and tell what is queued.
//! What GitHub refuses for good becomes a note in words a person understands.
//! <https://docs.github.com/en/graphql/reference/mutations>

use super::budget::Kind;
use super::{GitHub, note};
use crate::automation::MergeMethod;
use crate::forge::{ForgeError, Pull, PullSpec};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// Ends the life of a draft.
const READY: &str = "mutation($pull: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $pull}) { pullRequest { isDraft } } }";
/// Merges once reviews and checks allow it. On a branch with a merge queue GitHub queues it, and the method is the queue's.
const MERGE: &str = "mutation($pull: ID!, $method: PullRequestMergeMethod!) { \
    enablePullRequestAutoMerge(input: {pullRequestId: $pull, mergeMethod: $method}) { pullRequest { autoMergeRequest { enabledAt } } } }";
/// Queues what may be merged already.
const ENQUEUE: &str = "mutation($pull: ID!) { enqueuePullRequest(input: {pullRequestId: $pull}) { mergeQueueEntry { position } } }";
/// Takes automatic merging back.
const UNMERGE: &str =
    "mutation($pull: ID!) { disablePullRequestAutoMerge(input: {pullRequestId: $pull}) { pullRequest { autoMergeRequest { enabledAt } } } }";
/// Takes it out of the merge queue.
const DEQUEUE: &str = "mutation($pull: ID!) { dequeuePullRequest(input: {id: $pull}) { mergeQueueEntry { position } } }";
/// Whether it is in a merge queue.
const QUEUED: &str = "query($owner: String!, $name: String!, $number: Int!) { repository(owner: $owner, name: $name) { pullRequest(number: $number) { isInMergeQueue } } }";

impl GitHub {
    /// Out of draft, and merged by itself, where that is asked for and was not before: what a person changed since stays.
    pub(super) async fn readiness(&self, pull: &mut Pull, node: &str, spec: &PullSpec) -> Result<(), ForgeError> {
        let before = spec.written.as_ref();
        if pull.draft && !spec.draft && before.is_some_and(|written| written.draft) {
            match self.client.graphql(Kind::Write, READY, json!({ "pull": node })).await {
                Ok(_) => pull.draft = false,
                Err(error) => note(&mut pull.notes, "it is still a draft", error)?,
            }
        }
        if spec.held {
            return self.withhold(pull, node, before.is_some_and(|written| written.auto_merge) || spec.asked_before && before.is_none()).await;
        }
        match spec.auto_merge() {
            Some(method) if !pull.auto_merge && !before.is_some_and(|written| written.auto_merge) => self.merge_itself(pull, node, method).await,
            _ => Ok(()),
        }
    }

    /// What is held is not merged by itself, whoever asked for that. `asked` says whether we may have: then GitHub may have queued it.
    async fn withhold(&self, pull: &mut Pull, node: &str, asked: bool) -> Result<(), ForgeError> {
        if pull.auto_merge {
            match self.client.graphql(Kind::Write, UNMERGE, json!({ "pull": node })).await {
                Ok(_) => pull.auto_merge = false,
                Err(error) => note(&mut pull.notes, "it is held, and GitHub may still merge it by itself", error)?,
            }
        } else if asked && self.queued(pull.number).await? {
            match self.client.graphql(Kind::Write, DEQUEUE, json!({ "pull": node })).await {
                Ok(_) => pull.queued = false,
                Err(error) => note(&mut pull.notes, "it is held, and still stands in the merge queue", error)?,
            }
        }
        Ok(())
    }

    async fn merge_itself(&self, pull: &mut Pull, node: &str, method: MergeMethod) -> Result<(), ForgeError> {
        if pull.draft {
            pull.notes.push("GitHub does not merge it by itself as long as it is a draft".to_owned());
            return Ok(());
        }
        let method = match method {
            MergeMethod::Merge => "MERGE",
            MergeMethod::Squash => "SQUASH",
            MergeMethod::Rebase => "REBASE",
        };
        match self.client.graphql(Kind::Write, MERGE, json!({ "pull": node, "method": method })).await {
            Ok(Value::Null) => pull.notes.push("this GitHub cannot merge by itself".to_owned()),
            Ok(_) => pull.auto_merge = true,
            Err(ForgeError::Refused { message, .. }) if message.contains("clean status") => self.enqueue(pull, node).await?,
            Err(error) => note(&mut pull.notes, "GitHub does not merge it by itself", explained(error))?,
        }
        Ok(())
    }

    /// GitHub switches automatic merging on only where something still has to happen first. A merge queue takes it as it is.
    async fn enqueue(&self, pull: &mut Pull, node: &str) -> Result<(), ForgeError> {
        match self.client.graphql(Kind::Write, ENQUEUE, json!({ "pull": node })).await {
            Ok(Value::Null) => {}
            Ok(_) => {
                (pull.auto_merge, pull.queued) = (true, true);
                return Ok(());
            }
            Err(ForgeError::Refused { .. } | ForgeError::Forbidden { .. } | ForgeError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let message = "GitHub does not merge it by itself, because nothing stands in the way of merging it now: merge it, or protect the base branch";
        pull.notes.push(message.to_owned());
        Ok(())
    }

    /// Whether an open pull request stands in a merge queue.
    pub(super) async fn queued(&self, number: u64) -> Result<bool, ForgeError> {
        let repository = &self.client.repository;
        if repository.without_queues.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let (owner, name) = repository.place().parts();
        let data = match self.client.graphql(Kind::Read, QUEUED, json!({ "owner": owner, "name": name, "number": number })).await {
            Ok(data) => data,
            // What stands in a queue must not be pushed to: who is not told asks again.
            Err(ForgeError::NotFound { message, .. } | ForgeError::Forbidden { message, .. } | ForgeError::Refused { message, .. }) => {
                return Err(self.client.unreachable(format!("whether pull request {number} is in a merge queue is not told: {message}")));
            }
            Err(error) => return Err(error),
        };
        if data.is_null() {
            repository.without_queues.store(true, Ordering::Relaxed);
        }
        Ok(data.pointer("/repository/pullRequest/isInMergeQueue") == Some(&Value::Bool(true)))
    }
}

/// What a person can do about it.
fn explained(error: ForgeError) -> ForgeError {
    let ForgeError::Refused { forge, message } = error else { return error };
    let advice = match message.as_str() {
        said if said.contains("Auto merge is not allowed") => "; allow it in the repository's settings",
        said if said.contains("Protected branch rules not configured") => "; protect the base branch",
        said if said.contains("unstable status") => "; a check that is not required has failed",
        said if said.contains("merge method") || said.contains("not allowed on this repository") => "; the repository allows another way of merging",
        _ => "",
    };
    ForgeError::Refused { message: format!("{message}{advice}"), forge }
}
