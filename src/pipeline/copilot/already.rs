//! Open requests that do already what a suggestion would, and those that want something else of the same fields. It only looks: whether
//! a second request is wanted is for whoever confirms.

use super::super::conflicts::MAX_RIVALS;
use super::super::{Pipeline, StepError, Wish};
use crate::request::{Changes, PullRef, Request, Rival, State, conflicts, findings};
use crate::store::{PageQuery, RequestFilter, RivalQuery};
use crate::types::{RepositoryName, RequestId};
use crate::validate::Finding;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Open requests of the automation that are looked at, newest first.
const MOST: u32 = 100;
/// The states of a request that may still be merged.
const OPEN: [State; 4] = [State::Accepted, State::Planned, State::Proposed, State::Approved];

/// An open request that does what a suggestion would.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlreadyOpen {
    /// Its id.
    pub request: RequestId,
    /// Where it stands.
    pub state: State,
    /// The repository it goes to, where that is known by now.
    pub repository: Option<RepositoryName>,
    /// Its pull request, where there is one.
    pub pull: Option<PullRef>,
}

/// What a suggestion would change, and where.
pub(super) struct Would {
    pub(super) repository: RepositoryName,
    pub(super) changes: Changes,
}

impl Pipeline {
    /// The open requests that do the same as `wish`: with the same parameters of the same automation, or with the same outcome for every
    /// object. Beside them stands what is wanted otherwise by others that are open.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn already_open(
        &self,
        wish: &Wish,
        parameters: &Map<String, Value>,
        would: Option<&Would>,
    ) -> Result<(Vec<AlreadyOpen>, Vec<Finding>), StepError> {
        let filter = RequestFilter { automation: Some(wish.automation.clone()), states: OPEN.to_vec(), ..RequestFilter::default() };
        let known = self.store.requests(&filter, &PageQuery { limit: MOST, after: None }).await?.items;
        let mut open: Vec<AlreadyOpen> = known.into_iter().filter(|known| asks_for_the_same(known, wish, parameters)).map(of_request).collect();
        let Some(Would { repository, changes }) = would else { return Ok((open, Vec::new())) };
        // It has no request yet: no other one has this id.
        let nobody = RequestId::from_parts(self.clock.now(), self.clock.random());
        let query = RivalQuery { repository, files: &changes.files, except: &nobody, merged_since: None };
        let rivals = self.store.rivals(&query, MAX_RIVALS).await?;
        let (same, others): (Vec<Rival>, Vec<Rival>) =
            rivals.into_iter().partition(|rival| changes.is_done_by(&rival.changes) || open.iter().any(|known| known.request == rival.request));
        for Rival { request, state, pull, .. } in same {
            if open.iter().all(|known| known.request != request) {
                open.push(AlreadyOpen { request, state, repository: Some(repository.clone()), pull });
            }
        }
        Ok((open, findings(&conflicts(changes, &others))))
    }
}

/// Whether an open request is one for the same: not what takes such a one back, and not a job with another goal.
fn asks_for_the_same(known: &Request, wish: &Wish, parameters: &Map<String, Value>) -> bool {
    let goals = [known.steering.job.as_deref(), wish.job.as_ref()].map(|job| job.map(|job| job.goal.trim()));
    known.parameters.as_ref() == Some(parameters) && known.steering.reverts.is_none() && goals[0] == goals[1]
}

fn of_request(Request { id, state, repository, pull, .. }: Request) -> AlreadyOpen {
    AlreadyOpen { request: id, state, repository, pull }
}
