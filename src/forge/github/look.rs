//! Looks at many pull requests at once: the repository's listing by time of change, asked for only if it is another one than
//! the last time (GitHub does not count an answer that nothing changed). What its first page does not tell, and approvals, are asked
//! of GraphQL, many at a time; where that is not to be had, the listing is read on and each is asked for by itself.

use super::budget::Kind;
use super::client::{Call, Place};
use super::many::Words;
use super::wire::WirePull;
use super::{GitHub, read};
use crate::forge::{ForgeError, Look, Mark, Pull, PullState, Remark};
use http::Method;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Pull requests in one page of the listing.
const PAGE: usize = 100;
/// Pages read in one look where GraphQL does not tell; beyond them, each pull request is asked for by itself.
const MOST_PAGES: u32 = 10;
/// How far the look goes back behind the newest change seen before: longer than a step of ours takes, because a pull request
/// is ours to look at only once its step is over.
const OVERLAP: Duration = Duration::from_secs(15 * 60);

impl GitHub {
    /// The look, and the reviews of open pull requests that it came across: all that are told where `words` are asked for.
    pub(super) async fn looked(&self, numbers: &[u64], since: Option<&Mark>, words: Words) -> Result<(Look, Vec<Remark>), ForgeError> {
        let wanted: BTreeSet<u64> = numbers.iter().copied().collect();
        if wanted.is_empty() {
            return Ok((Look { pulls: Vec::new(), mark: since.cloned().unwrap_or_default() }, Vec::new()));
        }
        if !self.client.repository.without_many.load(Ordering::Relaxed)
            && let Some(found) = self.looked_at_once(&wanted, since, words).await?
        {
            return Ok(found);
        }
        self.looked_one_by_one(&wanted, since).await
    }

    /// With one page of the listing, and GraphQL for the rest; none where there is no such GraphQL.
    async fn looked_at_once(&self, wanted: &BTreeSet<u64>, since: Option<&Mark>, words: Words) -> Result<Option<(Look, Vec<Remark>)>, ForgeError> {
        let mut mark = since.cloned().unwrap_or_default();
        let walked = self.walk(wanted, &mut mark, 1).await?;
        let (open, mut pulls): (Vec<Pull>, Vec<Pull>) = walked.changed.into_iter().partition(|pull| pull.state == PullState::Open);
        let told: BTreeSet<u64> = open.iter().chain(&pulls).map(|pull| pull.number).collect();
        let untold = wanted.iter().filter(|number| !walked.everything && !mark.looked.contains_key(number) && !told.contains(number));
        let untold: Vec<u64> = untold.copied().collect();
        let reviews = match (<[Pull; 1]>::try_from(open), untold.is_empty()) {
            // The cheapest there is.
            (Ok([pull]), true) => {
                let (pull, reviews) = self.reviewed(pull).await?;
                pulls.push(pull);
                reviews
            }
            (open, _) => {
                let open = open.map_or_else(|open| open, Vec::from);
                let asked: Vec<u64> = open.iter().map(|pull| pull.number).chain(untold).collect();
                let Some((found, reviews)) = self.many(&asked, words).await? else { return Ok(None) };
                pulls.extend(found);
                reviews
            }
        };
        mark.looked.extend(pulls.iter().map(|pull| (pull.number, pull.updated_at)));
        Ok(Some((Look { pulls, mark }, reviews)))
    }

    async fn looked_one_by_one(&self, wanted: &BTreeSet<u64>, since: Option<&Mark>) -> Result<(Look, Vec<Remark>), ForgeError> {
        let mut mark = since.cloned().unwrap_or_default();
        let walked = self.walk(wanted, &mut mark, MOST_PAGES).await?;
        let (mut pulls, mut reviews) = (Vec::new(), Vec::new());
        for pull in walked.changed {
            mark.looked.insert(pull.number, pull.updated_at);
            if pull.state == PullState::Open {
                let (pull, said) = self.reviewed(pull).await?;
                pulls.push(pull);
                reviews.extend(said);
            } else {
                pulls.push(pull);
            }
        }
        // What the listing cannot tell: pull requests that are looked at for the first time, or changed while nobody asked.
        for number in wanted.iter().filter(|number| !mark.looked.contains_key(number)).copied().collect::<Vec<_>>() {
            if walked.everything {
                continue;
            }
            match self.pull(number).await {
                Ok(held) => {
                    mark.looked.insert(number, held.pull.updated_at);
                    let (pull, said) = self.reviewed(held.pull).await?;
                    pulls.push(pull);
                    reviews.extend(said);
                }
                Err(ForgeError::NoPull { .. }) => tracing::warn!(number, forge = self.client.forge(), "a pull request is not there any more"),
                Err(error) => return Err(error),
            }
        }
        Ok((Look { pulls, mark }, reviews))
    }

    async fn walk(&self, wanted: &BTreeSet<u64>, mark: &mut Mark, pages: u32) -> Result<Walked, ForgeError> {
        let floor = mark.newest.map(|newest| newest.minus(OVERLAP));
        let mut walked = Walked { changed: Vec::new(), everything: false };
        let (mut newest, mut version, mut reached) = (None, None, false);
        for page in 1..=pages {
            let Some(wires) = self.page(page, mark.version.as_deref().filter(|_| page == 1), &mut version).await? else { return Ok(walked) };
            walked.everything = wires.len() < PAGE;
            let pulls: Vec<Pull> = wires.into_iter().map(|wire| self.held(wire).pull).collect();
            newest = newest.max(pulls.first().map(|pull| pull.updated_at));
            reached = pulls.last().is_some_and(|oldest| floor.is_some_and(|floor| oldest.updated_at < floor));
            for pull in pulls {
                let known = mark.looked.get(&pull.number);
                match (wanted.contains(&pull.number), known) {
                    (_, Some(known)) if *known == pull.updated_at => {}
                    (true, _) => walked.changed.push(pull),
                    (false, Some(_)) => drop(mark.looked.remove(&pull.number)),
                    (false, None) => {}
                }
            }
            if walked.everything || reached || (floor.is_none() && walked.changed.len() == wanted.len()) {
                break;
            }
        }
        if floor.is_some() && !walked.everything && !reached {
            // More has changed than is read in one look: nobody knows what of ours did.
            mark.looked.clear();
        }
        mark.newest = mark.newest.max(newest);
        mark.version = version;
        Ok(walked)
    }

    /// A page of the listing, the last changed first; none when it is the version that is known.
    async fn page(&self, page: u32, known: Option<&str>, version: &mut Option<String>) -> Result<Option<Vec<WirePull>>, ForgeError> {
        let route = |at: &Place| format!("/repos/{at}/pulls?state=all&sort=updated&direction=desc&per_page={PAGE}&page={page}");
        let answer = self.client.send(Call { method: Method::GET, kind: Kind::Read, route: &route, body: None, known }).await?;
        if answer.status.as_u16() == 304 {
            return Ok(None);
        }
        if page == 1 {
            *version = answer.header("etag").map(str::to_owned);
        }
        read(self.client.forge(), &answer.text).map(Some)
    }
}

/// What a walk along the listing came across.
struct Walked {
    /// Those wanted that are otherwise than when they were told the last time.
    changed: Vec<Pull>,
    /// Whether it went to the listing's end.
    everything: bool,
}
