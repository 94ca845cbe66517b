//! GitHub: deliveries of an App that did not get through are asked for again, and comments and reviews that hold a command are looked
//! for. What became of pull requests is looked at by [`crate::pipeline::Observer`]. However many sources are GitHub's, one of them asks,
//! and of a repository one that may speak of it.

use super::{ReconcileError, Reconciled, Reconciler, headers};
use crate::forge::{Forge, Priority, Remark};
use crate::ingress::{Asks, Source, SourceKind};
use crate::inventory::Repository;
use crate::request::{RemarkPlace, commands};
use crate::types::{RequestId, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;
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
        let asking = || rules.set.sources.values().filter(|source| source.reconcile().is_some_and(|how| how.asks == Asks::Github));
        if asking().next().is_none_or(|first| first.name() == source.name()) {
            match self.pipeline.forges.redeliver(since).await {
                Ok(redelivered) => found.redelivered = redelivered,
                Err(error) => first_error = Some(ReconcileError::from(error)),
            }
        }
        let speaks = |repository: &Repository| {
            let first = asking().find(|asking| asking.may_speak_of(&repository.name));
            source.may_speak_of(&repository.name) && first.is_none_or(|first| first.name() == source.name())
        };
        let open = self.pipeline.open_pulls().await?;
        for repository in rules.set.inventory.repositories.values().filter(|repository| speaks(repository)) {
            for place in [RemarkPlace::Conversation, RemarkPlace::Thread] {
                match self.comments_of(source, repository, place, since).await {
                    Ok(filed) => found.filed += filed,
                    Err(error) => first_error = first_error.or(Some(error)),
                }
            }
            if let Some(open) = open.get(&repository.name) {
                match self.reviews_of(source, repository, open, since).await {
                    Ok(filed) => found.filed += filed,
                    Err(error) => first_error = first_error.or(Some(error)),
                }
            }
        }
        first_error.map_or(Ok(found), Err)
    }

    async fn comments_of(&mut self, source: &Source, repository: &Repository, place: RemarkPlace, since: Timestamp) -> Result<u64, ReconcileError> {
        let known = (repository.name.clone(), place);
        let from = self.comments.get(&known).map_or(since, |newest| newest.minus(OVERLAP)).max(since);
        let forge = self.pipeline.forges.forge(repository, Priority::Housekeeping)?;
        let comments = forge.comments(place, from).await?;
        let mut filed = 0;
        for comment in comments.iter().filter(|comment| is_command(comment)) {
            filed += u64::from(self.remark(source, repository, &forge, comment).await?);
        }
        if let Some(newest) = comments.iter().map(|comment| comment.updated_at).max() {
            self.comments.insert(known, newest);
        }
        Ok(filed)
    }

    /// Reviews are told with the pull requests that changed: there is no listing of a repository's reviews.
    async fn reviews_of(
        &mut self,
        source: &Source,
        repository: &Repository,
        open: &BTreeMap<u64, RequestId>,
        since: Timestamp,
    ) -> Result<u64, ReconcileError> {
        let forge = self.pipeline.forges.forge(repository, Priority::Housekeeping)?;
        let numbers: Vec<u64> = open.keys().copied().collect();
        let (reviews, mark) = forge.reviews(&numbers, self.reviews.get(&repository.name)).await?;
        let mut filed = 0;
        for review in reviews.iter().filter(|review| review.updated_at >= since && is_command(review)) {
            filed += u64::from(self.remark(source, repository, &forge, review).await?);
        }
        self.reviews.insert(repository.name.clone(), mark);
        Ok(filed)
    }

    async fn remark(&self, source: &Source, repository: &Repository, forge: &Arc<dyn Forge>, remark: &Remark) -> Result<bool, ReconcileError> {
        if self.pipeline.store.request_of_pull(&repository.name, remark.at.pull).await?.is_none() {
            return Ok(false);
        }
        let (event, _) = webhook(remark.at.place);
        let attributes = headers(&[("x-github-event", event)]);
        let Some(name) = repository.spec.forge.github_name(&repository.spec.url) else { return Ok(false) };
        // Enough to know it by: what else a webhook has is asked for only where it is new. It may have come by any source of GitHub's
        // that is heard there.
        let body = told(remark, json!({ "number": remark.at.pull }), json!({ "full_name": name }));
        let rules = self.pipeline.rules.current();
        let heard = |of_github: &&Arc<Source>| of_github.kind() == SourceKind::Github && of_github.may_speak_of(&repository.name);
        for of_github in rules.set.sources.values().filter(heard) {
            match self.known(of_github, &attributes, &body).await? {
                None if of_github.name() == source.name() => return Ok(false),
                Some(known) if known.iter().all(|known| *known) => return Ok(false),
                _ => {}
            }
        }
        let (pull, whole) = forge.surroundings(&remark.at).await?;
        self.file(source, &attributes, &told(remark, pull, whole)).await
    }
}

/// Whether it holds a command and, as far as is known, still says what it said when it was written: what was edited since was told then,
/// or is another matter. What a dismissed review asked for is not looked for any more.
fn is_command(remark: &Remark) -> bool {
    !remark.is_ours && remark.edited != Some(true) && remark.raw["state"] != "dismissed" && !commands(&remark.body).is_empty()
}

/// The event that tells of a new remark in such a place, and the action it names.
fn webhook(place: RemarkPlace) -> (&'static str, &'static str) {
    match place {
        RemarkPlace::Conversation => ("issue_comment", "created"),
        RemarkPlace::Thread => ("pull_request_review_comment", "created"),
        RemarkPlace::Review => ("pull_request_review", "submitted"),
    }
}

/// What the webhook says of a new remark.
fn told(remark: &Remark, pull: Value, repository: Value) -> Value {
    let (_, action) = webhook(remark.at.place);
    let (around, what) = match remark.at.place {
        RemarkPlace::Conversation => ("issue", "comment"),
        RemarkPlace::Thread => ("pull_request", "comment"),
        RemarkPlace::Review => ("pull_request", "review"),
    };
    json!({ "action": action, around: pull, what: remark.raw, "repository": repository, "sender": remark.raw["user"] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::RemarkAddress;

    fn remark(place: RemarkPlace, body: &str, edited: Option<bool>) -> Remark {
        let moment = "2026-11-20T12:00:00Z";
        let raw = json!({ "id": 7, "body": body, "updated_at": moment, "submitted_at": moment, "state": "commented", "user": { "login": "ada" } });
        Remark {
            at: RemarkAddress { pull: 3, place, id: 7 },
            author: "ada".to_owned(),
            is_bot: false,
            is_ours: false,
            edited,
            body: body.to_owned(),
            url: "https://github.com/acme/gitops/pull/3".to_owned(),
            updated_at: moment.parse().expect("a time"),
            raw,
        }
    }

    #[test]
    fn a_remark_is_a_command_when_a_line_of_it_begins_with_one_and_nobody_is_known_to_have_edited_it() {
        let said = |body: &str, edited| is_command(&remark(RemarkPlace::Conversation, body, edited));
        assert!(said("/kubeops retry", Some(false)));
        assert!(said("Please:\r\n  /kubeops retry", Some(false)));
        assert!(!said("what does /kubeops do?", Some(false)));
        assert!(!said("```\n/kubeops retry\n```", Some(false)), "code");
        assert!(!said("/kubeopsx retry", Some(false)));
        assert!(!said("/kubeops retry", Some(true)), "edited since");
        assert!(said("/kubeops retry", None), "whether it was is asked when it is read");
        assert!(!is_command(&Remark { is_ours: true, ..remark(RemarkPlace::Conversation, "/kubeops retry", Some(false)) }));
        let mut dismissed = remark(RemarkPlace::Review, "/kubeops retry", None);
        dismissed.raw["state"] = json!("dismissed");
        assert!(!is_command(&dismissed));
    }

    #[test]
    fn each_place_is_told_as_its_webhook_tells_it() {
        for (place, action, around, what) in [
            (RemarkPlace::Conversation, "created", "issue", "comment"),
            (RemarkPlace::Thread, "created", "pull_request", "comment"),
            (RemarkPlace::Review, "submitted", "pull_request", "review"),
        ] {
            let body = told(&remark(place, "/kubeops retry", None), json!({ "number": 3 }), json!({ "full_name": "acme/gitops" }));
            assert_eq!((&body["action"], &body["sender"]["login"]), (&json!(action), &json!("ada")), "{place:?}");
            assert_eq!((&body[around]["number"], &body[what]["id"]), (&json!(3), &json!(7)), "{place:?}");
        }
    }
}
