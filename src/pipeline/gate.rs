//! Between a plan and its commit: whether the pull request may be opened now.
//! What must wait is planned anew when its turn comes, so nothing stale is ever proposed. It decides nothing about open ones.

use super::step::Postponed;
use super::{InForce, Pipeline, StepError};
use crate::inventory::Target;
use crate::request::{Request, State};
use crate::store::{Admission, Admitted, Lack};
use std::time::Duration;
use tokio::runtime::Handle;

/// Who waits looks again at least this often: room may come earlier than expected, and limits may change.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

impl Pipeline {
    /// Takes room for the request's pull request under its automation's limits; none when it has it, or needs none. Called
    /// where one may block.
    pub(super) fn room(&self, rules: &InForce, request: &Request, target: &Target) -> Result<Option<Postponed>, StepError> {
        let Some(automation) = rules.set.automations.get(&request.key.automation) else { return Ok(None) };
        let limits = automation.spec.limits;
        let per_target = limits.per_target.map(|target| target.per_hour);
        // An open pull request was let through already.
        if request.state != State::Accepted || request.pull.is_some() || (limits.per_hour, per_target) == (None, None) {
            return Ok(None);
        }
        let admission = Admission {
            request: request.id.clone(),
            automation: automation.name.clone(),
            target: format!("{}:{}", target.repository.name, target.path),
            per_hour: limits.per_hour,
            per_target,
            insists: request.urged || request.event.source.is_none(),
        };
        let now = self.clock.now();
        let admitted = Handle::current().block_on(self.store.admit(&admission, now))?;
        let Admitted::Waits { until, lacks, limit, ahead, since_now } = admitted else { return Ok(None) };
        let (whose, field) = match lacks {
            Lack::Automation => (format!("automation {}", admission.automation), "limits.perHour"),
            Lack::Target => (format!("automation {} for {}", admission.automation, admission.target), "limits.perTarget.perHour"),
        };
        let queue = match ahead {
            0 => String::new(),
            1 => ", after 1 request that waits before it".to_owned(),
            more => format!(", after {more} requests that wait before it"),
        };
        let message = format!(
            "waits for room: {whose} opened {limit} pull request{} within an hour, as many as `{field}` allows; its turn should come at {until}{queue}",
            if limit == 1 { "" } else { "s" }
        );
        Ok(Some(Postponed { run_at: until.min(now.plus(LOOK_AGAIN)), message, since_now }))
    }
}
