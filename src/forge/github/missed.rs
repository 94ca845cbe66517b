//! What no webhook brought: comments since a moment, and deliveries of an App that its receiver did not take.
//! <https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries>

use super::app::App;
use super::client::Place;
use super::wire::{WireHookDelivery, WireIssueComment};
use super::{GitHub, read};
use crate::forge::{Comment, ForgeError, Priority};
use crate::types::Timestamp;
use http::Method;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Comments, and deliveries, in one page of a listing.
const PAGE: usize = 100;
/// Pages of comments, and of deliveries, read in one look.
const MOST_PAGES: u32 = 10;
/// Deliveries asked for again in one look; the next one goes on.
const MOST_REDELIVERED: u64 = 50;

impl GitHub {
    /// The comments changed since, the oldest first. With an App there are none: its deliveries are asked for again.
    pub(super) async fn comments_since(&self, since: Timestamp) -> Result<Vec<Comment>, ForgeError> {
        let mut all = Vec::new();
        if self.client.repository.account.is_app() {
            return Ok(all);
        }
        let since = since.to_string().replace(':', "%3A");
        for page in 1..=MOST_PAGES {
            let route = |at: &Place| format!("/repos/{at}/issues/comments?sort=updated&direction=asc&since={since}&per_page={PAGE}&page={page}");
            let found: Vec<Value> = self.client.get(&route).await?;
            let last = found.len() < PAGE;
            for raw in found {
                // One that is not as GitHub describes it is no command either.
                let Ok(wire) = WireIssueComment::deserialize(&raw) else { continue };
                let Some(number) = wire.issue_url.rsplit('/').next().and_then(|number| number.parse().ok()) else { continue };
                all.push(Comment { number, updated_at: wire.updated_at, raw });
            }
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// What a webhook about a comment has beside it: the issue and the repository.
    pub(super) async fn around(&self, number: u64) -> Result<(Value, Value), ForgeError> {
        let issue = self.client.get(&|at: &Place| format!("/repos/{at}/issues/{number}")).await?;
        Ok((issue, self.client.get(&|at: &Place| format!("/repos/{at}")).await?))
    }
}

impl App {
    /// Asks for every delivery since a moment that was not taken and not asked for before, once; tells how many.
    pub(super) async fn redeliver(&self, since: Timestamp) -> Result<u64, ForgeError> {
        let (forge, priority) = (self.title(), Priority::Housekeeping);
        let mut settled = BTreeSet::new();
        let mut failed: Vec<(String, u64)> = Vec::new();
        let mut route = format!("/app/hook/deliveries?per_page={PAGE}");
        for _ in 0..MOST_PAGES {
            let answer = self.call(&forge, Method::GET, &route, None, priority).await?;
            let page: Vec<WireHookDelivery> = read(&forge, &answer.text)?;
            let beyond = page.last().is_none_or(|oldest| oldest.delivered_at < since);
            for delivery in page.into_iter().filter(|delivery| delivery.delivered_at >= since) {
                if delivery.redelivery || (200..300).contains(&delivery.status_code) {
                    settled.insert(delivery.guid);
                } else {
                    failed.push((delivery.guid, delivery.id));
                }
            }
            match answer.header("link").and_then(next).and_then(|next| self.route_of(next)) {
                Some(next) if !beyond => route = next,
                _ => break,
            }
        }
        let mut asked = 0;
        // The oldest first, as they would have come.
        for (guid, id) in failed.into_iter().rev() {
            if asked < MOST_REDELIVERED && settled.insert(guid) {
                self.call(&forge, Method::POST, &format!("/app/hook/deliveries/{id}/attempts"), None, priority).await?;
                asked += 1;
            }
        }
        Ok(asked)
    }
}

/// The address of the next page (RFC 8288).
fn next(link: &str) -> Option<&str> {
    let part = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    part.trim().strip_prefix('<')?.split('>').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_one_that_says_so() {
        let link = "<https://api.github.com/app/hook/deliveries?per_page=100&cursor=v1_1>; rel=\"next\"";
        assert_eq!(next(link), Some("https://api.github.com/app/hook/deliveries?per_page=100&cursor=v1_1"));
        assert_eq!(next(&format!("<https://api.github.com/a>; rel=\"prev\", {link}")), next(link));
        assert_eq!(next("<https://api.github.com/a>; rel=\"prev\""), None);
    }
}
