//! Comments on pull requests as people write them: who wrote one and may be heeded, and the sign that it was.
//! What a webhook says of them is never asked; only GitHub's own answer counts.
//! <https://docs.github.com/en/rest/issues/comments?apiVersion=2022-11-28>,
//! <https://docs.github.com/en/rest/collaborators/collaborators?apiVersion=2022-11-28#get-repository-permissions-for-a-user>

use super::budget::Kind;
use super::client::Place;
use super::propose::same_text;
use super::wire::{WireComment, WirePermission, WireRemark};
use super::{BODY_LIMIT, GitHub};
use crate::forge::{ForgeError, OURS, Reaction, Remark, signed};
use http::Method;
use serde_json::{Value, json};

impl GitHub {
    /// The comment; none when it is gone, or was never there.
    pub(super) async fn remarked(&self, comment: u64) -> Result<Option<Remark>, ForgeError> {
        let route = |at: &Place| format!("/repos/{at}/issues/comments/{comment}");
        let wire: WireRemark = match self.client.get(&route).await {
            Ok(wire) => wire,
            Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. }) => {
                // Unless the whole repository is hidden from us.
                self.client.get::<Value>(&|at: &Place| format!("/repos/{at}")).await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let body = wire.body.unwrap_or_default();
        let user = wire.user;
        Ok(Some(Remark {
            pull: wire.issue_url.rsplit('/').next().and_then(|number| number.parse().ok()),
            is_bot: wire.performed_via_github_app.is_some_and(|app| !app.is_null()) || user.as_ref().is_none_or(|user| user.kind != "User"),
            author: user.map(|user| user.login).unwrap_or_default(),
            is_ours: body.contains(OURS),
            edited: wire.created_at != wire.updated_at,
            body,
        }))
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
            Err(ForgeError::NotFound { .. }) => {
                self.client.get::<Value>(&|at: &Place| format!("/repos/{at}")).await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// GitHub answers a second one of the same kind with the first.
    pub(super) async fn reacted(&self, comment: u64, reaction: Reaction) -> Result<(), ForgeError> {
        let content = match reaction {
            Reaction::Done => "+1",
            Reaction::Refused => "confused",
        };
        let route = |at: &Place| format!("/repos/{at}/issues/comments/{comment}/reactions");
        match self.client.write::<Value>(Method::POST, Kind::Write, &route, &json!({ "content": content })).await {
            // Deleted meanwhile, or the conversation was locked: the sign is not worth more than that.
            Ok(_) | Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. } | ForgeError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes a comment with its sign, unless `look` finds that it stands there already.
    pub(super) async fn say(&self, number: u64, body: &str, marker: Option<&str>, look: bool) -> Result<(), ForgeError> {
        let body = signed(body, marker, BODY_LIMIT);
        if look && self.stands_there(number, &body).await? {
            return Ok(());
        }
        let route = |at: &Place| format!("/repos/{at}/issues/{number}/comments");
        match self.client.write::<Value>(Method::POST, Kind::Content, &route, &json!({ "body": body })).await {
            Err(ForgeError::NotFound { .. }) => Err(self.no_pull(number).await),
            done => done.map(drop),
        }
    }

    /// Whether these very words stand there: an attempt whose reply was lost may have written them.
    async fn stands_there(&self, number: u64, body: &str) -> Result<bool, ForgeError> {
        let there: Vec<WireComment> = self.client.list(&|at: &Place| format!("/repos/{at}/issues/{number}/comments")).await?;
        Ok(there.iter().any(|comment| comment.body.as_deref().is_some_and(|there| same_text(there, body))))
    }
}
