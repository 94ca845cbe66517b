//! What no webhook brought: comments and reviews since a look before, and deliveries of an App that its receiver did not take.
//! <https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries>

use super::app::App;
use super::client::Place;
use super::many::Words;
use super::wire::{WireHookDelivery, WireRemark};
use super::{GitHub, read, remarks};
use crate::forge::{ForgeError, Mark, Priority, Remark};
use crate::request::{RemarkAddress, RemarkPlace};
use crate::types::Timestamp;
use http::Method;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Comments, and deliveries, in one page of a listing.
const PAGE: usize = 100;
/// Pages of comments, and of deliveries, read in one look.
const MOST_PAGES: u32 = 10;
/// Deliveries asked for again in one look; the next one goes on.
const MOST_REDELIVERED: usize = 50;
/// So often one that does not get through is asked for again.
const MOST_ATTEMPTS: u32 = 3;

/// What became of one delivery, as far as GitHub lists it.
#[derive(Default)]
struct Attempts {
    taken: bool,
    again: u32,
    /// The first attempt, by its place in the listing and its id; none where that was too long ago.
    first: Option<(usize, u64)>,
}

impl GitHub {
    /// The comments changed since, the oldest first.
    pub(super) async fn comments_since(&self, place: RemarkPlace, since: Timestamp) -> Result<Vec<Remark>, ForgeError> {
        let mut all = Vec::new();
        let kind = match place {
            RemarkPlace::Conversation => "issues",
            RemarkPlace::Thread => "pulls",
            // GitHub has no listing of a repository's reviews.
            RemarkPlace::Review => return Ok(all),
        };
        let since = since.to_string().replace(':', "%3A");
        for page in 1..=MOST_PAGES {
            let route = |at: &Place| format!("/repos/{at}/{kind}/comments?sort=updated&direction=asc&since={since}&per_page={PAGE}&page={page}");
            let found: Vec<Value> = self.client.get(&route).await?;
            let last = found.len() < PAGE;
            for raw in found {
                // One that is not as GitHub describes it is no command either.
                let Ok(wire) = WireRemark::deserialize(&raw) else { continue };
                all.extend(remarks::read(place, wire, raw));
            }
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// The newest reviews of those open pull requests that changed since the look that gave `since`, found as [`Self::looked`] finds what
    /// changed.
    pub(super) async fn reviews_since(&self, numbers: &[u64], since: Option<&Mark>) -> Result<(Vec<Remark>, Mark), ForgeError> {
        let (look, reviews) = self.looked(numbers, since, Words::Told).await?;
        Ok((reviews, look.mark))
    }

    /// What a webhook about a remark has beside it: the pull request, which is an issue to the conversation, and the repository.
    pub(super) async fn around(&self, remark: &RemarkAddress) -> Result<(Value, Value), ForgeError> {
        let kind = if remark.place == RemarkPlace::Conversation { "issues" } else { "pulls" };
        let pull = self.client.get(&|at: &Place| format!("/repos/{at}/{kind}/{}", remark.pull)).await?;
        Ok((pull, self.client.get(&|at: &Place| format!("/repos/{at}")).await?))
    }
}

impl App {
    /// Asks once more for every delivery since a moment that was not taken, unless it was asked for too often; tells how many.
    pub(super) async fn redeliver(&self, since: Timestamp) -> Result<u64, ForgeError> {
        let (forge, priority) = (self.title(), Priority::Housekeeping);
        let mut all: BTreeMap<String, Attempts> = BTreeMap::new();
        let mut place = 0;
        let mut route = format!("/app/hook/deliveries?per_page={PAGE}");
        for _ in 0..MOST_PAGES {
            let answer = self.call(&forge, Method::GET, &route, None, priority).await?;
            let page: Vec<WireHookDelivery> = read(&forge, &answer.text)?;
            let beyond = page.last().is_none_or(|oldest| oldest.delivered_at < since);
            for delivery in page.into_iter().filter(|delivery| delivery.delivered_at >= since) {
                place += 1;
                let known = all.entry(delivery.guid).or_default();
                known.taken |= (200..300).contains(&delivery.status_code);
                known.again += u32::from(delivery.redelivery);
                known.first = known.first.or(Some((place, delivery.id)).filter(|_| !delivery.redelivery));
            }
            match answer.header("link").and_then(next).and_then(|next| self.route_of(next)) {
                Some(next) if !beyond => route = next,
                _ => break,
            }
        }
        let mut failed: Vec<(usize, u64)> =
            all.into_values().filter(|known| !known.taken && known.again < MOST_ATTEMPTS).filter_map(|known| known.first).collect();
        failed.sort_unstable();
        let mut asked = 0;
        // The oldest first, as they would have come.
        for (_, id) in failed.into_iter().rev().take(MOST_REDELIVERED) {
            self.call(&forge, Method::POST, &format!("/app/hook/deliveries/{id}/attempts"), None, priority).await?;
            asked += 1;
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
