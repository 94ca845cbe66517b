//! What was planned, held beside what other requests want of the same files. A conflict stops nothing: a person decides.

use super::outcome;
use super::planned::Planned;
use super::{Pipeline, StepError};
use crate::request::{CONFLICT, Changes, Request, Rival, State, conflicts, findings};
use crate::store::{NewTask, RivalQuery, Settlement, TaskKind, lane};
use crate::types::{CommitSha, RepositoryName, RequestId};
use crate::validate::Finding;
use std::collections::{BTreeMap, BTreeSet};

/// Other requests that are looked at, newest first.
pub(super) const MAX_RIVALS: u32 = 100;

/// What was planned in the same batch, which the store may not know yet.
#[derive(Default)]
pub(super) struct Mates(BTreeMap<RequestId, (RepositoryName, Rival)>);

impl Mates {
    /// Remembers what a request was planned as.
    pub(super) fn remember(&mut self, settlement: &Settlement) {
        let Some(request) = settlement.request.as_ref().filter(|request| request.state == State::Planned) else { return };
        if let (Some(repository), Some(changes)) = (&request.repository, &request.changes) {
            let rival =
                Rival { request: request.id.clone(), state: request.state, pull: request.pull.clone(), changes: changes.clone(), merged: false };
            self.0.insert(request.id.clone(), (repository.clone(), rival));
        }
    }

    /// Those that touch one of the files, for `stored` to be read with: what was planned just now stands for what is stored.
    fn join(&self, request: &RequestId, repository: &RepositoryName, changes: &Changes, stored: Vec<Rival>) -> Vec<Rival> {
        let files: BTreeSet<_> = changes.files.iter().collect();
        let beside = self.0.values().filter(|(theirs, rival)| theirs == repository && rival.request != *request);
        let beside = beside.filter(|(_, rival)| rival.changes.files.iter().any(|file| files.contains(file)));
        let mut rivals: Vec<Rival> = beside.map(|(_, rival)| rival.clone()).collect();
        rivals.extend(stored.into_iter().filter(|rival| !self.0.contains_key(&rival.request)));
        rivals
    }
}

impl Pipeline {
    /// The plan with a warning for each field that another request leaves otherwise: one that is still open, or one that was
    /// merged since this request was first planned.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn beside_others(&self, request: &Request, mut planned: Planned, mates: &Mates) -> Result<Planned, StepError> {
        let Planned::Committed { repository, changes, warnings, .. } = &mut planned else { return Ok(planned) };
        changes.follow(request.changes.as_ref(), self.clock.now());
        warnings.extend(self.conflicts_of(request, repository, changes, mates).await?);
        Ok(planned)
    }

    /// What is written of a request whose change is the same on a newer tip. It may have been warned of a request that is over now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn checked(&self, request: Request, tip: CommitSha, mates: &Mates) -> Result<Settlement, StepError> {
        let warned = request.findings.iter().any(|finding| finding.rule == CONFLICT);
        if let (true, false, Some(repository), Some(changes)) = (warned, request.taken_over, &request.repository, &request.changes) {
            let now = self.conflicts_of(&request, repository, changes, mates).await?;
            let (known, others): (Vec<Finding>, Vec<Finding>) = request.findings.iter().cloned().partition(|finding| finding.rule == CONFLICT);
            if known != now {
                return Ok(outcome::warned(request, tip, others.into_iter().chain(now).collect(), self.clock.as_ref()));
            }
        }
        Ok(outcome::checked(request, tip, self.clock.as_ref()))
    }

    /// Owes another look to the live requests that may have been warned of this one, which has ended.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(super) async fn tell_rivals(&self, request: &Request) -> Result<(), StepError> {
        let (Some(repository), Some(changes)) = (&request.repository, &request.changes) else { return Ok(()) };
        let query = RivalQuery { repository, files: &changes.files, except: &request.id, merged_since: None };
        let mut owed: Vec<NewTask> = Vec::new();
        for rival in self.store.rivals(&query, MAX_RIVALS).await? {
            if rival.state == State::Accepted {
                continue;
            }
            let rival = self.store.request(&rival.request).await?;
            if rival.findings.iter().any(|finding| finding.rule == CONFLICT) {
                owed.push(outcome::follow_up(&rival, TaskKind::Replan, &lane::of(repository), self.clock.as_ref()));
            }
        }
        Ok(self.store.add_tasks(&owed).await?)
    }

    async fn conflicts_of(
        &self,
        request: &Request,
        repository: &RepositoryName,
        changes: &Changes,
        mates: &Mates,
    ) -> Result<Vec<Finding>, StepError> {
        // A first plan is made on a base that everything merged is in.
        let merged_since = request.changes.as_ref().and_then(|before| before.first.as_ref()).map(|first| first.at);
        let query = RivalQuery { repository, files: &changes.files, except: &request.id, merged_since };
        let rivals = mates.join(&request.id, repository, changes, self.store.rivals(&query, MAX_RIVALS).await?);
        Ok(findings(&conflicts(changes, &rivals)))
    }
}
