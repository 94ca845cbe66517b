//! What people write about pull requests: who wrote it and may be heeded, the sign that it was, and the answer where it was asked.
//! What a webhook says of them is never asked; only GitHub's own answer counts.
//! <https://docs.github.com/en/rest/issues/comments?apiVersion=2022-11-28>, <https://docs.github.com/en/rest/pulls/comments?apiVersion=2022-11-28>,
//! <https://docs.github.com/en/rest/pulls/reviews?apiVersion=2022-11-28>,
//! <https://docs.github.com/en/rest/collaborators/collaborators?apiVersion=2022-11-28#get-repository-permissions-for-a-user>

use super::budget::Kind;
use super::client::Place;
use super::propose::same_text;
use super::wire::{WirePermission, WireRemark};
use super::{BODY_LIMIT, GitHub};
use crate::forge::{ForgeError, OURS, Reaction, Remark, signed};
use crate::request::{RemarkAddress, RemarkPlace};
use crate::types::Timestamp;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

/// When something was shown to everybody, and when it was changed last.
const CHANGED: &str = "query($node: ID!) { node(id: $node) { \
    ... on PullRequestReviewComment { publishedAt lastEditedAt } ... on PullRequestReview { publishedAt lastEditedAt } } }";

impl GitHub {
    /// The remark; none when it is gone, was never there, or stands on another pull request.
    pub(super) async fn remarked(&self, remark: &RemarkAddress) -> Result<Option<Remark>, ForgeError> {
        let Some(raw) = self.raw(remark).await? else { return Ok(None) };
        let wire = self.wire(&raw)?;
        let node = wire.node_id.clone();
        let Some(mut read) = read(remark.place, wire, raw).filter(|read| read.at == *remark) else { return Ok(None) };
        if read.edited.is_none() {
            read.edited = self.was_edited(node).await?;
        }
        Ok(Some(read))
    }

    async fn raw(&self, remark: &RemarkAddress) -> Result<Option<Value>, ForgeError> {
        let RemarkAddress { pull, place, id } = remark;
        let route = |at: &Place| match place {
            RemarkPlace::Conversation => format!("/repos/{at}/issues/comments/{id}"),
            RemarkPlace::Thread => format!("/repos/{at}/pulls/comments/{id}"),
            RemarkPlace::Review => format!("/repos/{at}/pulls/{pull}/reviews/{id}"),
        };
        match self.client.get(&route).await {
            Ok(raw) => Ok(Some(raw)),
            Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. }) => self.is_visible().await.map(|()| None),
            Err(error) => Err(error),
        }
    }

    fn wire(&self, raw: &Value) -> Result<WireRemark, ForgeError> {
        WireRemark::deserialize(raw).map_err(|_| self.client.unreachable("what it tells of a comment makes no sense".to_owned()))
    }

    /// That something is not there says nothing where the whole repository is hidden from us: that is the error then.
    async fn is_visible(&self) -> Result<(), ForgeError> {
        self.client.get::<Value>(&|at: &Place| format!("/repos/{at}")).await.map(drop)
    }

    /// Whether what GraphQL knows by this name was changed after everybody could read it; none where it does not tell. The REST API tells
    /// nothing of it: a review has no time of its last change, and a comment on a line changes when the review is submitted that it was
    /// drafted for.
    async fn was_edited(&self, node: Option<String>) -> Result<Option<bool>, ForgeError> {
        let Some(node) = node else { return Ok(None) };
        match self.client.graphql(Kind::Read, CHANGED, json!({ "node": node })).await {
            Ok(data) => Ok(data.get("node").and_then(edited)),
            Err(ForgeError::Forbidden { .. } | ForgeError::Refused { .. } | ForgeError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether GitHub gives this person the right to write to the repository: `write`, `maintain` or `admin`.
    pub(super) async fn permits(&self, login: &str) -> Result<bool, ForgeError> {
        // It becomes part of an address.
        if login.is_empty() || !login.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
            return Ok(false);
        }
        let route = |at: &Place| format!("/repos/{at}/collaborators/{login}/permission");
        match self.client.get::<WirePermission>(&route).await {
            Ok(has) => Ok(matches!(has.permission.as_str(), "admin" | "maintain" | "write")),
            Err(ForgeError::NotFound { .. }) => self.is_visible().await.map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// GitHub answers a second one of the same kind with the first. A review has no signs in the REST API.
    pub(super) async fn reacted(&self, remark: &RemarkAddress, reaction: Reaction) -> Result<(), ForgeError> {
        let content = match reaction {
            Reaction::Done => "+1",
            Reaction::Refused => "confused",
        };
        let kind = match remark.place {
            RemarkPlace::Conversation => "issues",
            RemarkPlace::Thread => "pulls",
            RemarkPlace::Review => return Ok(()),
        };
        let route = |at: &Place| format!("/repos/{at}/{kind}/comments/{}/reactions", remark.id);
        match self.client.write::<Value>(Method::POST, Kind::Write, &route, &json!({ "content": content })).await {
            // Deleted meanwhile, or the conversation was locked: the sign is not worth more than that.
            Ok(_) | Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. } | ForgeError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes a comment with its sign, unless `look` finds that it stands there already.
    pub(super) async fn say(&self, number: u64, body: &str, marker: Option<&str>, look: bool) -> Result<(), ForgeError> {
        let body = signed(body, marker, BODY_LIMIT);
        let route = |at: &Place| format!("/repos/{at}/issues/{number}/comments");
        if look && self.stands_there(&route, None, &body).await? {
            return Ok(());
        }
        match self.client.write::<Value>(Method::POST, Kind::Content, &route, &json!({ "body": body })).await {
            Err(ForgeError::NotFound { .. }) => Err(self.no_pull(number).await),
            done => done.map(drop),
        }
    }

    /// Writes into the thread of a comment on a line, as [`Self::say`]; nothing where the comment is gone.
    pub(super) async fn reply(&self, remark: &RemarkAddress, body: &str, marker: &str, look: bool) -> Result<(), ForgeError> {
        let Some(raw) = self.raw(remark).await? else { return Ok(()) };
        // Only the first of a thread can be answered.
        let first = self.wire(&raw)?.in_reply_to_id.unwrap_or(remark.id);
        let (number, body) = (remark.pull, signed(body, Some(marker), BODY_LIMIT));
        if look && self.stands_there(&|at: &Place| format!("/repos/{at}/pulls/{number}/comments"), Some(first), &body).await? {
            return Ok(());
        }
        let route = |at: &Place| format!("/repos/{at}/pulls/{number}/comments/{first}/replies");
        match self.client.write::<Value>(Method::POST, Kind::Content, &route, &json!({ "body": body })).await {
            Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. }) => self.is_visible().await,
            done => done.map(drop),
        }
    }

    /// Whether these very words stand there, in this thread: an attempt whose reply was lost may have written them.
    async fn stands_there(&self, listing: &(dyn Fn(&Place) -> String + Send + Sync), thread: Option<u64>, body: &str) -> Result<bool, ForgeError> {
        let there: Vec<WireRemark> = self.client.list(listing).await?;
        let is_it = |there: &WireRemark| there.in_reply_to_id == thread && there.body.as_deref().is_some_and(|there| same_text(there, body));
        Ok(there.iter().any(is_it))
    }
}

/// A remark as the REST API tells it, which `raw` is all of; none for a review that is not submitted, and for what stands on no pull
/// request.
pub(super) fn read(place: RemarkPlace, wire: WireRemark, mut raw: Value) -> Option<Remark> {
    let at = RemarkAddress { pull: wire.pull()?, place, id: wire.id };
    let body = wire.body.unwrap_or_default();
    if place == RemarkPlace::Review {
        // Webhooks write it small.
        if let Some(Value::String(state)) = raw.get_mut("state") {
            state.make_ascii_lowercase();
        }
    }
    Some(Remark {
        at,
        is_bot: wire.performed_via_github_app.is_some_and(|app| !app.is_null()) || wire.user.as_ref().is_none_or(|user| user.kind != "User"),
        author: wire.user.map(|user| user.login).unwrap_or_default(),
        is_ours: body.contains(OURS),
        edited: (place == RemarkPlace::Conversation).then_some(wire.created_at != wire.updated_at),
        updated_at: wire.updated_at.or(wire.submitted_at)?,
        body,
        url: wire.html_url,
        raw,
    })
}

/// Whether something was changed after everybody could read it, by what GraphQL tells of both times.
pub(super) fn edited(node: &Value) -> Option<bool> {
    let moment = |name: &str| match node.get(name)? {
        Value::Null => Some(None),
        told => told.as_str()?.parse::<Timestamp>().ok().map(Some),
    };
    let (published, changed) = (moment("publishedAt")?, moment("lastEditedAt")?);
    Some(changed.is_some_and(|changed| published.is_none_or(|published| changed > published)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_before_everybody_could_read_it_was_not_edited() {
        let told = |published: Option<&str>, changed: Option<&str>| edited(&json!({ "publishedAt": published, "lastEditedAt": changed }));
        let (before, then, after) = ("2026-11-20T11:59:59Z", "2026-11-20T12:00:00Z", "2026-11-20T12:00:01Z");
        assert_eq!(told(Some(then), None), Some(false));
        assert_eq!(told(Some(then), Some(before)), Some(false), "while it was a draft");
        assert_eq!(told(Some(then), Some(after)), Some(true));
        assert_eq!(told(None, Some(after)), Some(true));
        assert_eq!(told(Some(then), Some("soon")), None);
        assert_eq!(edited(&json!({})), None, "nobody told");
        assert_eq!(edited(&Value::Null), None);
    }
}
