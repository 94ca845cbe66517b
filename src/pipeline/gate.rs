//! Between a plan and its commit: whether the pull request may be opened now.
//! What must wait is planned anew when its turn comes, so nothing stale is ever proposed. It decides nothing about open ones.

use super::step::{Planned, Postponed};
use super::{InForce, Pipeline, StepError};
use crate::automation::LoopSpec;
use crate::inventory::Target;
use crate::request::{Footprint, Oscillation, Request, State, oscillations};
use crate::store::{Admission, Admitted, Lack};
use crate::types::{ManifestPath, RepositoryName};
use crate::validate::Finding;
use std::time::Duration;
use tokio::runtime::Handle;

/// Who waits looks again at least this often: room may come earlier than expected, and limits may change.
const LOOK_AGAIN: Duration = Duration::from_secs(600);
/// Places that are told of which go back and forth, and steps of each.
const MOST_TOLD: usize = 5;
const STEPS_TOLD: usize = 12;

impl Pipeline {
    /// Why a request that would take a value back to where it was, once more than its automation allows, is stopped: findings and
    /// a sentence. `hint` says how a person gets it through. Called where one may block.
    pub(super) fn breaks_a_loop(
        &self,
        rules: &InForce,
        request: &Request,
        repository: &RepositoryName,
        footprint: &Footprint,
        hint: &str,
    ) -> Result<Option<(Vec<Finding>, String)>, StepError> {
        let Some(automation) = rules.set.automations.get(&request.key.automation) else { return Ok(None) };
        let breaker = automation.spec.limits.breaker;
        if breaker.changes == 0 {
            return Ok(None);
        }
        let since = self.clock.now().minus(breaker.within.get());
        let files: Vec<&ManifestPath> = footprint.keys().collect();
        let touches = Handle::current().block_on(self.store.touches(repository, &files, since, &request.id))?;
        let found = oscillations(footprint, &touches, since, breaker.changes);
        let Some(first) = found.first() else { return Ok(None) };
        let message = format!(
            "stopped: {first} goes back and forth, {} times within {} with this one; see the findings, and if it is right, {hint}",
            first.changes, breaker.within
        );
        let findings = found.iter().take(MOST_TOLD).map(|found| finding(found, breaker, hint)).collect();
        Ok(Some((findings, message)))
    }

    /// The same for a request that asks for one change: one that is proposed already, or that a person wants, is not stopped.
    pub(super) fn stopped(
        &self,
        rules: &InForce,
        request: &Request,
        repository: &RepositoryName,
        footprint: &Footprint,
    ) -> Result<Option<Planned>, StepError> {
        if is_through(request) || is_by_a_person(request) {
            return Ok(None);
        }
        let hint = format!("let it through once: `kubeops requests retry {}`", request.id);
        let stopped = self.breaks_a_loop(rules, request, repository, footprint, &hint)?;
        Ok(stopped.map(|(findings, message)| Planned::Rejected { findings, message }))
    }

    /// Takes room for the request's pull request under its automation's limits; none when it has it, or needs none. Called
    /// where one may block.
    pub(super) fn room(&self, rules: &InForce, request: &Request, target: &Target) -> Result<Option<Postponed>, StepError> {
        let Some(automation) = rules.set.automations.get(&request.key.automation) else { return Ok(None) };
        let limits = automation.spec.limits;
        let per_target = limits.per_target.map(|target| target.per_hour);
        if is_through(request) || (limits.per_hour, per_target) == (None, None) {
            return Ok(None);
        }
        let admission = Admission {
            request: request.id.clone(),
            automation: automation.name.clone(),
            target: format!("{}:{}", target.repository.name, target.path),
            per_hour: limits.per_hour,
            per_target,
            insists: is_by_a_person(request),
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

/// Whether its pull request is open already: what follows is an update.
fn is_through(request: &Request) -> bool {
    request.state != State::Accepted || request.pull.is_some()
}

/// Whether a person asked for it, or asked for it again: it is not held up for what others did.
pub(super) fn is_by_a_person(request: &Request) -> bool {
    request.urged || request.event.source.is_none()
}

fn finding(found: &Oscillation, breaker: LoopSpec, hint: &str) -> Finding {
    let left_out = found.steps.len().saturating_sub(STEPS_TOLD);
    let mut steps: Vec<String> = found.steps.iter().skip(left_out).map(ToString::to_string).collect();
    if left_out > 0 {
        steps.insert(0, format!("{left_out} earlier changes"));
    }
    let message = format!(
        "{found} goes back and forth: with {} -> {} it would be changed so {} times within {}, and {} are allowed. What happened: {}",
        found.write.old,
        found.write.new,
        found.changes,
        breaker.within,
        breaker.changes,
        steps.join("; ")
    );
    let hint = format!(
        "find out who undoes whom: two automations, or an alert that flaps. If this change is right, {hint}. `limits.loop` says how many there may be"
    );
    Finding::error("loop", &found.file, message).hint(hint)
}
