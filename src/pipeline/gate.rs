//! Between a plan and its proposal: whether it is stopped for going round in circles, and whether its pull request may be opened
//! now. What must wait is planned anew when its turn comes, so nothing stale is ever proposed. It decides nothing about open ones.

use super::planned::{Grouped, Planned, Postponed};
use super::{Pipeline, StepError};
use crate::automation::{Automation, LoopSpec};
use crate::request::{Changes, Oscillation, Request, State, oscillations};
use crate::store::{Admission, Admitted, ClaimedTask, Lack, TouchQuery};
use crate::types::{ManifestPath, RepositoryName};
use crate::validate::{Finding, Severity};
use std::sync::Arc;
use std::time::Duration;

/// Who waits looks again at least this often: room may come earlier than expected, and limits may change.
const LOOK_AGAIN: Duration = Duration::from_secs(600);
/// Earlier requests that are looked at for a loop.
const MOST_TOUCHES: u32 = 200;
/// Places that are told of which go back and forth, and steps of each.
const MOST_TOLD: usize = 5;
const STEPS_TOLD: usize = 12;

impl Pipeline {
    /// The plan, or what takes its place: a refusal where it would go round in circles, or a later time where there is no room.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(super) async fn let_through(&self, held: &ClaimedTask, mut grouped: Grouped) -> Result<Grouped, StepError> {
        let request = &held.request;
        // An open pull request was let through already.
        let (Planned::Committed { repository, target, changes, .. }, State::Accepted, None) = (&grouped.planned, request.state, &request.pull) else {
            return Ok(grouped);
        };
        let Some(automation) = self.rules.current().set.automations.get(&request.key.automation).cloned() else { return Ok(grouped) };
        // Of a group each member was asked by itself.
        if request.members == 0 && !insists(request) {
            let hint = format!("let it through once: `kubeops requests retry {}`", request.id);
            if let Some((findings, message)) = self.breaks_a_loop(&automation, request, repository, changes, &hint).await? {
                return Ok(Planned::Rejected { findings, message }.into());
            }
        }
        if let Some(postponed) = self.room(&automation, held, target).await? {
            grouped = Planned::Postponed(postponed).into();
        }
        Ok(grouped)
    }

    /// Why a change that would take a value back to where it was, once more than its automation allows, is stopped: findings and a
    /// sentence. `hint` says how a person gets it through.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn breaks_a_loop(
        &self,
        automation: &Automation,
        request: &Request,
        repository: &RepositoryName,
        changes: &Changes,
        hint: &str,
    ) -> Result<Option<(Vec<Finding>, String)>, StepError> {
        let breaker = automation.spec.limits.breaker;
        if breaker.changes == 0 {
            return Ok(None);
        }
        let since = self.clock.now().minus(breaker.within.get());
        let query = TouchQuery { repository, files: &changes.files, except: &request.id, since };
        let touches = self.store.touches(&query, MOST_TOUCHES).await?;
        let found = oscillations(changes, &touches, since, breaker.changes);
        let Some(first) = found.first() else { return Ok(None) };
        let message = format!(
            "stopped: {first} goes back and forth, {} times within {} with this one; see the findings, and if it is right, {hint}",
            first.changes, breaker.within
        );
        let findings = found.iter().take(MOST_TOLD).map(|found| finding(found, breaker, hint)).collect();
        Ok(Some((findings, message)))
    }

    /// Takes room for the request's pull request under its automation's limits; none when it has it, or needs none.
    async fn room(&self, automation: &Arc<Automation>, held: &ClaimedTask, target: &str) -> Result<Option<Postponed>, StepError> {
        let request = &held.request;
        let limits = automation.spec.limits;
        let per_target = limits.per_target.map(|target| target.per_hour);
        if (limits.per_hour, per_target) == (None, None) {
            return Ok(None);
        }
        let admission = Admission {
            request: request.id.clone(),
            automation: automation.name.clone(),
            target: target.to_owned(),
            per_hour: limits.per_hour,
            per_target,
            insists: insists(request),
        };
        let now = self.clock.now();
        let Admitted::Waits { until, lacks, limit, ahead, since_now } = self.store.admit(held, &admission, now).await? else { return Ok(None) };
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

/// Whether a person asked for it, or asked for it again, or it takes a change back, which was promised: it is not held up for what others
/// did.
pub(super) fn insists(request: &Request) -> bool {
    request.urged || request.event.source.is_none() || request.steering.reverts.is_some()
}

fn finding(found: &Oscillation, breaker: LoopSpec, hint: &str) -> Finding {
    let left_out = found.steps.len().saturating_sub(STEPS_TOLD);
    let mut steps: Vec<String> = found.steps.iter().skip(left_out).map(ToString::to_string).collect();
    if left_out > 0 {
        steps.insert(0, format!("{left_out} earlier changes"));
    }
    let message = format!(
        "{found} goes back and forth: with {} -> {} it would be changed so {} times within {}, and {} are allowed. What happened: {}",
        found.old,
        found.new,
        found.changes,
        breaker.within,
        breaker.changes,
        steps.join("; ")
    );
    let hint = format!(
        "find out who undoes whom: two automations, or an alert that flaps. If this change is right, {hint}. `limits.loop` says how many there may be"
    );
    Finding {
        severity: Severity::Error,
        rule: "loop".to_owned(),
        path: found.object.file.as_ref().map(ManifestPath::to_string).unwrap_or_default(),
        document: Some(found.object.document),
        pointer: None,
        line: None,
        message,
        hint: Some(hint),
    }
}
