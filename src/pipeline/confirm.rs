//! Whether what was merged is in force: a delivery tool names a commit, and the request's own is in its history; and whether what it
//! runs is finished. Everything that was said is in the store, so it does not matter in which order it came.

use super::awaited::{About, Awaited, Part, paths};
use super::{Pipeline, StepError, Unseen, blocking, outcome};
use crate::git::{GitError, Mirror};
use crate::plan::{PlanError, builds_from};
use crate::request::{Request, State};
use crate::store::{Deployment, DeploymentStanding, Settlement, TaskKind, lane};
use crate::types::{CommitSha, RepositoryName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Words of delivery tools that are looked at, the newest.
const MOST_WORDS: u32 = 500;
/// Different paths of words whose kustomizations are read for one look, at most.
const MOST_BUILDS: usize = 50;

impl Pipeline {
    /// Sees what was said of a merged request: of its runs, and by delivery tools of the commit that merged it.
    pub(super) async fn confirm(self: &Arc<Self>, request: &Request) -> Result<Settlement, StepError> {
        let in_force = request.state == State::Applied;
        if let Some(mut settlement) = self.finished_runs(request).await? {
            // What the tools said waits for its own look, which may need the repository.
            let again = request.repository.as_ref().filter(|_| !in_force);
            settlement.follow_up.extend(again.map(|name| outcome::follow_up(request, TaskKind::Confirm, &lane::of(name), self.clock.as_ref())));
            return Ok(settlement);
        }
        if in_force {
            return Ok(outcome::nothing());
        }
        let rules = self.rules.current();
        let repository = request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name)).cloned();
        let (Some(repository), Some(merged)) = (repository, request.merged.clone()) else { return Ok(outcome::nothing()) };
        // What was heard before it was asked for is not about a commit made since.
        let said = self.store.deployments(&repository.name, request.created_at, MOST_WORDS).await?;
        let awaited = Awaited::of(request, &repository.name, &rules.set.inventory);
        let heard: Vec<Heard> = said.into_iter().filter_map(|word| Heard::of(word, &awaited)).collect();
        if heard.is_empty() {
            return Ok(outcome::nothing());
        }
        let mirror = self.mirror(&repository)?;
        let (this, parts) = (Arc::clone(self), awaited.parts);
        let found = blocking(move || {
            let mut look = Look { unseen: &this.unseen, repository: repository.name.clone(), mirror, merged, fetched: false, known: BTreeMap::new() };
            look.judge(&parts, heard)
        });
        let Some((deployment, of)) = found.await? else { return Ok(outcome::nothing()) };
        let (state, message) = shown(&deployment, &of);
        if state == request.state || !request.state.may_become(state) {
            return Ok(outcome::nothing());
        }
        Ok(outcome::confirmed(request.clone(), state, message, self.clock.as_ref()))
    }
}

/// A word, and the parts of the request that it is or may be about, by their places.
struct Heard {
    word: Deployment,
    about: BTreeMap<usize, About>,
}

impl Heard {
    fn of(word: Deployment, awaited: &Awaited<'_>) -> Option<Self> {
        let about = awaited.parts.iter().enumerate().filter_map(|(place, part)| Some((place, awaited.about(&word, part)?)));
        let about: BTreeMap<usize, About> = about.collect();
        (!about.is_empty()).then_some(Self { word, about })
    }
}

/// One look at what was said of a request.
struct Look<'p> {
    unseen: &'p Unseen,
    repository: RepositoryName,
    mirror: Arc<Mirror>,
    merged: CommitSha,
    fetched: bool,
    /// Whether the request's commit is in the history of each revision that was asked about.
    known: BTreeMap<CommitSha, bool>,
}

impl Look<'_> {
    /// The word that decides, with the clusters it decides for where there are several: a good one once there is one of each part, else a
    /// bad one of a part that no good one is about. A change that was in force once is not blamed for what comes later.
    fn judge(&mut self, parts: &[Part], mut heard: Vec<Heard>) -> Result<Option<(Deployment, Vec<String>)>, StepError> {
        self.settle_doubts(parts, &mut heard)?;
        let revisions: BTreeSet<CommitSha> = heard.iter().map(|heard| heard.word.revision.clone()).collect();
        // The tool may be ahead of what this mirror has seen.
        self.bring(revisions)?;
        let (good, bad): (Vec<_>, Vec<_>) = heard.into_iter().partition(|heard| heard.word.standing == DeploymentStanding::Applied);
        let mut missing: BTreeSet<usize> = (0..parts.len()).collect();
        let clusters = |places: &mut dyn Iterator<Item = usize>| {
            let several = places.filter(|_| parts.len() > 1);
            several.filter_map(|place| parts.get(place)?.cluster.as_ref().map(ToString::to_string)).collect::<Vec<_>>()
        };
        for Heard { word, about } in good {
            if about.keys().any(|place| missing.contains(place)) && self.is_in(&word.revision)? {
                missing.retain(|place| !about.contains_key(place));
                if missing.is_empty() {
                    return Ok(Some((word, clusters(&mut (0..parts.len())))));
                }
            }
        }
        for Heard { word, about } in bad {
            let blamed: Vec<usize> = about.into_keys().filter(|place| missing.contains(place)).collect();
            if !blamed.is_empty() && self.is_in(&word.revision)? {
                return Ok(Some((word, clusters(&mut blamed.into_iter()))));
            }
        }
        Ok(None)
    }

    /// Leaves what words are about for certain. Of a part that lies below no word's path, those are about it whose path's kustomization
    /// builds from it: a base beside the overlay.
    fn settle_doubts(&mut self, parts: &[Part], heard: &mut Vec<Heard>) -> Result<(), StepError> {
        let direct: BTreeSet<usize> =
            heard.iter().flat_map(|heard| heard.about.iter().filter(|(_, about)| **about == About::Directly).map(|(place, _)| *place)).collect();
        let doubtful = |heard: &Heard, place: &usize| heard.about.get(place) == Some(&About::Perhaps) && !direct.contains(place);
        let is_doubtful = heard.iter().any(|heard| heard.about.keys().any(|place| doubtful(heard, place)));
        let snapshot = if is_doubtful && self.bring([self.merged.clone()].into())? { Some(self.mirror.snapshot(&self.merged)?) } else { None };
        let mut asked: BTreeMap<(String, usize), bool> = BTreeMap::new();
        for heard in heard.iter_mut() {
            let mut sure = BTreeSet::new();
            for place in heard.about.keys() {
                let is_direct = heard.about.get(place) == Some(&About::Directly);
                let mut builds = false;
                for path in paths(&heard.word).into_iter().filter(|_| doubtful(heard, place)) {
                    let key = (path.to_string(), *place);
                    let (Some(snapshot), Some(part)) = (&snapshot, parts.get(*place)) else { continue };
                    if !asked.contains_key(&key) && asked.len() < MOST_BUILDS {
                        asked.insert(key.clone(), builds_from(snapshot, &part.files, &path).map_err(PlanError::Tree)?);
                    }
                    builds |= asked.get(&key) == Some(&true);
                }
                if is_direct || builds {
                    sure.insert(*place);
                }
            }
            heard.about.retain(|place, _| sure.contains(place));
        }
        heard.retain(|heard| !heard.about.is_empty());
        Ok(())
    }

    /// Fetches, once in a look, where the mirror lacks one of these or the request's own commit, unless a fetch of the last minutes did
    /// not bring it. Tells whether the request's own is there.
    fn bring(&mut self, mut wanted: BTreeSet<CommitSha>) -> Result<bool, StepError> {
        wanted.insert(self.merged.clone());
        let lacking = |wanted: BTreeSet<CommitSha>| -> Result<BTreeSet<CommitSha>, GitError> {
            wanted.into_iter().filter_map(|commit| self.mirror.holds(&commit).map(|holds| (!holds).then_some(commit)).transpose()).collect()
        };
        let mut lacked = lacking(wanted)?;
        if !self.fetched && lacked.iter().any(|commit| !self.unseen.is_noted(&self.repository, commit)) {
            self.mirror.fetch()?;
            lacked = lacking(lacked)?;
            self.unseen.note(&self.repository, lacked.iter().cloned());
            self.fetched = true;
        }
        Ok(!lacked.contains(&self.merged))
    }

    /// Whether the request's commit is in the history of a revision; each is asked once.
    fn is_in(&mut self, revision: &CommitSha) -> Result<bool, StepError> {
        if let Some(known) = self.known.get(revision) {
            return Ok(*known);
        }
        let is_in = self.mirror.is_in(&self.merged, revision)? == Some(true);
        self.known.insert(revision.clone(), is_in);
        Ok(is_in)
    }
}

/// The state that a word means, and a sentence about it; `of` are the clusters it is about, where there are several.
fn shown(deployment: &Deployment, of: &[String]) -> (State, String) {
    let (application, at) = (&deployment.application, &deployment.revision.as_str()[..12]);
    let there = if of.is_empty() { String::new() } else { format!(" in {}", of.join(", ")) };
    let words = deployment.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    match deployment.standing {
        DeploymentStanding::Applied => (State::Applied, format!("in force{there}: {application} is at {at}")),
        DeploymentStanding::Degraded => (State::Degraded, format!("{application}{there} is at {at} and not well{words}")),
        DeploymentStanding::Failed => (State::Degraded, format!("{application}{there} could not be brought to {at}{words}")),
    }
}
