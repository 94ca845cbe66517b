//! Whether what was merged is in force: a delivery tool names a commit, and the request's own is in its history; and whether what it
//! runs is finished. Everything that was said is in the store, so it does not matter in which order it came.

use super::{Pipeline, StepError, blocking, outcome};
use crate::inventory::Inventory;
use crate::request::{Request, State};
use crate::store::{Deployment, DeploymentStanding, Settlement, TaskKind, lane};

/// Words of delivery tools that are looked at, the newest.
const MOST_WORDS: u32 = 500;

impl Pipeline {
    /// Sees what was said of a merged request: of its runs, and by delivery tools of the commit that merged it.
    pub(super) async fn confirm(&self, request: &Request) -> Result<Settlement, StepError> {
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
        let mut said = self.store.deployments(&repository.name, MOST_WORDS).await?;
        said.retain(|deployment| concerns(deployment, request, &rules.set.inventory));
        let mirror = self.mirror(&repository)?;
        let found = blocking(move || {
            let unknown = said.iter().any(|deployment| !matches!(mirror.is_in(&merged, &deployment.revision), Ok(Some(_))));
            if unknown {
                // The tool may be ahead of what this mirror has seen.
                mirror.fetch()?;
            }
            // A change that was in force once is not blamed for what comes later.
            let (good, bad): (Vec<_>, Vec<_>) = said.into_iter().partition(|deployment| deployment.standing == DeploymentStanding::Applied);
            for deployment in good.into_iter().chain(bad) {
                if mirror.is_in(&merged, &deployment.revision)? == Some(true) {
                    return Ok(Some(deployment));
                }
            }
            Ok(None)
        });
        let Some(deployment) = found.await? else { return Ok(outcome::nothing()) };
        let (state, message) = shown(&deployment);
        if state == request.state || !request.state.may_become(state) {
            return Ok(outcome::nothing());
        }
        Ok(outcome::confirmed(request.clone(), state, message, self.clock.as_ref()))
    }
}

/// Whether a word is about what the request changed: of a cluster that is known, only what lies below its path.
fn concerns(deployment: &Deployment, request: &Request, inventory: &Inventory) -> bool {
    let cluster = deployment.cluster.as_deref().and_then(|name| inventory.clusters.get(name));
    let files = request.changes.as_ref().map(|changes| changes.files.as_slice()).unwrap_or_default();
    cluster.is_none_or(|cluster| files.iter().any(|file| cluster.path.contains(file)))
}

/// The state that a word means, and a sentence about it.
fn shown(deployment: &Deployment) -> (State, String) {
    let (application, at) = (&deployment.application, &deployment.revision.as_str()[..12]);
    let words = deployment.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    match deployment.standing {
        DeploymentStanding::Applied => (State::Applied, format!("in force: {application} is at {at}")),
        DeploymentStanding::Degraded => (State::Degraded, format!("{application} is at {at} and not well{words}")),
        DeploymentStanding::Failed => (State::Degraded, format!("{application} could not be brought to {at}{words}")),
    }
}
