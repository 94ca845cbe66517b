//! Which of the runs that a merged change added are finished: somebody said so, and everything that was said is in the store.
//! So it does not matter whether it came before the merge was known, how often, or in which order.

use super::{Pipeline, StepError, alarms, outcome};
use crate::automation::TtlBegin;
use crate::clock::Clock;
use crate::inventory::Inventory;
use crate::manifest::{ObjectChange, ObjectRef};
use crate::request::{FinishedRun, Request};
use crate::store::{RunEnd, Settlement};
use crate::types::listed;

/// What was said of the runs of one request, at most.
const MOST_WORDS: u32 = 1_000;
/// Runs that one line names, at most.
const NAMED: usize = 5;

impl Pipeline {
    /// Notes the runs of a merged request that are finished, and begins its time to live where that waits for them; none when nobody
    /// said anything new.
    pub(super) async fn finished_runs(&self, request: &Request) -> Result<Option<Settlement>, StepError> {
        if request.added().next().is_none() {
            return Ok(None);
        }
        let said = self.store.run_ends(&request.id, MOST_WORDS).await?;
        if said.is_empty() {
            return Ok(None);
        }
        Ok(noted(request, &said, &self.rules.current().set.inventory, self.clock.as_ref()))
    }
}

/// What a request comes to with these words, the earliest end first; none when it is what it was.
fn noted(request: &Request, said: &[RunEnd], inventory: &Inventory, clock: &dyn Clock) -> Option<Settlement> {
    let mut after = request.clone();
    let mut lines = Vec::new();
    for (change, object) in request.added() {
        let Some(end) = said.iter().find(|end| is_of(end, object) && concerns(end, change, request, inventory)) else { continue };
        let run = FinishedRun { object: object.clone(), outcome: end.outcome, message: end.message.clone(), at: end.at };
        match after.steering.runs.iter_mut().find(|known| known.object == run.object) {
            // A run ends once: of two ends the earlier one counts, whichever was heard first.
            Some(known) if (known.at, known.outcome) <= (run.at, run.outcome) => continue,
            Some(known) => {
                lines.push(run.line());
                *known = run;
            }
            None => {
                lines.push(run.line());
                after.steering.runs.push(run);
            }
        }
    }
    if lines.is_empty() {
        return None;
    }
    lines.extend(begins(&mut after, clock));
    after.message = Some(lines.join("; "));
    after.updated_at = clock.now();
    let timeline = lines.into_iter().map(|line| outcome::note(&after, line, clock)).collect();
    let follow_up = alarms::task(&after, clock).into_iter().collect();
    Some(Settlement { request: Some(after), timeline, follow_up, ..outcome::nothing() })
}

/// Begins the time to live that waits for the runs once all of them are finished, and says so, or says what it waits for.
fn begins(request: &mut Request, clock: &dyn Clock) -> Option<String> {
    let waits = alarms::lifetime(request).is_some_and(|lifetime| lifetime.from == TtlBegin::Finished) && request.steering.expires_at.is_none();
    if !waits {
        return None;
    }
    alarms::begin(request, clock.now());
    if let Some(end) = request.steering.expires_at {
        return Some(format!("every run it added is finished: its time to live ends at {end}"));
    }
    Some(format!("its time to live waits for the end of {}", listed(request.unfinished_runs(), NAMED)))
}

/// Whether it is that object's end. An object without a namespace gets one from a kustomization or from what applies it, so any will do;
/// a word without one is about an object that has none.
fn is_of(end: &RunEnd, object: &ObjectRef) -> bool {
    let namespace = object.namespace.is_none() || object.namespace == end.namespace;
    let group = end.group.as_deref().is_none_or(|group| group == object.group());
    end.name == object.name && end.kind == object.kind && namespace && group
}

/// Whether it happened where the object goes: in a cluster that is known, what lies below its path.
fn concerns(end: &RunEnd, change: &ObjectChange, request: &Request, inventory: &Inventory) -> bool {
    let cluster = end.cluster.as_deref().and_then(|name| inventory.clusters.get(name));
    cluster.is_none_or(|cluster| {
        request.repository.as_ref() == Some(&cluster.repository) && change.file.as_ref().is_some_and(|file| cluster.path.contains(file))
    })
}
