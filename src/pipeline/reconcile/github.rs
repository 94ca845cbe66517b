//! GitHub: deliveries of an App that did not get through are asked for again, and comments that hold a command are looked for. What
//! became of pull requests is looked at by [`crate::pipeline::Observer`]. However many sources are GitHub's, one of them asks.

use super::{ReconcileError, Reconciled, Reconciler, headers};
use crate::forge::{Comment, Forge, Priority};
use crate::ingress::{Asks, Source, SourceKind};
use crate::inventory::Repository;
use crate::request::commands;
use crate::types::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How far a look at comments goes back behind the newest seen before: times are told in seconds, and what is written in one may be
/// shown a little later.
const OVERLAP: Duration = Duration::from_secs(60);

impl Reconciler {
    pub(super) async fn github(&mut self, source: &Source, since: Timestamp) -> Result<Reconciled, ReconcileError> {
        let (mut found, mut first_error) = (Reconciled::default(), None);
        let rules = self.pipeline.rules.current();
        // They are in the order of their names.
        let mut asking = rules.set.sources.values().filter(|source| source.reconcile().is_some_and(|how| how.asks == Asks::Github));
        if asking.next().is_some_and(|first| first.name() != source.name()) {
            return Ok(found);
        }
        match self.pipeline.forges.redeliver(since).await {
            Ok(redelivered) => found.redelivered = redelivered,
            Err(error) => first_error = Some(ReconcileError::from(error)),
        }
        for repository in rules.set.inventory.repositories.values() {
            match self.comments_of(source, repository, since).await {
                Ok(filed) => found.filed += filed,
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(found), Err)
    }

    async fn comments_of(&mut self, source: &Source, repository: &Repository, since: Timestamp) -> Result<u64, ReconcileError> {
        let from = self.comments.get(&repository.name).map_or(since, |newest| newest.minus(OVERLAP)).max(since);
        let forge = self.pipeline.forges.forge(repository, Priority::Housekeeping)?;
        let comments = forge.comments(from).await?;
        let mut filed = 0;
        for comment in comments.iter().filter(|comment| is_command(comment)) {
            filed += u64::from(self.comment(source, repository, &forge, comment).await?);
        }
        if let Some(newest) = comments.iter().map(|comment| comment.updated_at).max() {
            self.comments.insert(repository.name.clone(), newest);
        }
        Ok(filed)
    }

    async fn comment(&self, source: &Source, repository: &Repository, forge: &Arc<dyn Forge>, comment: &Comment) -> Result<bool, ReconcileError> {
        if self.pipeline.store.request_of_pull(&repository.name, comment.number).await?.is_none() {
            return Ok(false);
        }
        let attributes = headers(&[("x-github-event", "issue_comment")]);
        let Some(name) = repository.spec.forge.github_name(&repository.spec.url) else { return Ok(false) };
        // Enough to know it by: what else a webhook has is asked for only where it is new. It may have come by any source of GitHub's.
        let body = told(comment, json!({ "number": comment.number }), json!({ "full_name": name }));
        let rules = self.pipeline.rules.current();
        for of_github in rules.set.sources.values().filter(|source| source.kind() == SourceKind::Github) {
            let known = self.known(of_github, &attributes, &body).await?;
            if known.is_some_and(|known| known.into_iter().all(|known| known)) {
                return Ok(false);
            }
        }
        let (issue, whole) = forge.surroundings(comment.number).await?;
        self.file(source, &attributes, &told(comment, issue, whole)).await
    }
}

/// Whether it holds a command and still says what it said when it was written: what was edited since was told then, or is another matter.
fn is_command(comment: &Comment) -> bool {
    let says = comment.raw["body"].as_str().unwrap_or_default();
    comment.raw["created_at"] == comment.raw["updated_at"] && !commands(says).is_empty()
}

/// What the webhook says of a new comment.
fn told(comment: &Comment, issue: Value, repository: Value) -> Value {
    json!({ "action": "created", "issue": issue, "comment": comment.raw, "repository": repository, "sender": comment.raw["user"] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comment(body: &str, updated: &str) -> Comment {
        let raw = json!({ "id": 7, "body": body, "created_at": "2026-11-20T12:00:00Z", "updated_at": updated, "user": { "login": "ada" } });
        Comment { number: 3, updated_at: updated.parse().expect("a time"), raw }
    }

    #[test]
    fn a_comment_is_a_command_when_a_line_of_it_begins_with_one_and_nobody_edited_it() {
        let created = "2026-11-20T12:00:00Z";
        assert!(is_command(&comment("/kubeops retry", created)));
        assert!(is_command(&comment("Please:\r\n  /kubeops retry", created)));
        assert!(!is_command(&comment("what does /kubeops do?", created)));
        assert!(!is_command(&comment("```\n/kubeops retry\n```", created)), "code");
        assert!(!is_command(&comment("/kubeopsx retry", created)));
        assert!(!is_command(&comment("/kubeops retry", "2026-11-20T12:00:01Z")), "edited since");
    }

    #[test]
    fn it_is_told_as_the_webhook_tells_it() {
        let body = told(&comment("/kubeops retry", "2026-11-20T12:00:00Z"), json!({ "number": 3 }), json!({ "full_name": "acme/gitops" }));
        assert_eq!((&body["action"], &body["sender"]["login"], &body["comment"]["id"]), (&json!("created"), &json!("ada"), &json!(7)));
    }
}
