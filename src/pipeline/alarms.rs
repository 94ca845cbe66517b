//! What is due of a request by the clock, whoever else looks at it. When that is follows from the request alone: it is set in the
//! transaction that brings the request to its state, and a process that starts again finds it there.

use super::{Pipeline, StepError, outcome};
use crate::clock::Clock;
use crate::request::{Request, State};
use crate::store::{NewTask, Settlement, TaskKind, Verdict, lane};
use crate::types::Timestamp;

/// What a request's clock can ring for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alarm {
    /// It is merged for so long that it should be in force, and nobody has said that it is.
    Overdue,
    /// Its calendars open or close.
    WindowTurns,
}

/// Sets what begins with the state that a request has just come to.
pub(super) fn wind(request: &mut Request, now: Timestamp) {
    if request.state == State::Merged {
        let within = request.changes.as_ref().and_then(|changes| changes.applied_within);
        request.steering.applied_by = within.map(|within| now.plus(within.get()));
    }
}

/// The first alarm of a request, and its moment.
fn next(request: &Request) -> Option<(Timestamp, Alarm)> {
    let steering = &request.steering;
    let overdue = steering.applied_by.filter(|_| request.state == State::Merged && steering.overdue_since.is_none());
    let turns = steering.window_turns(request.state);
    let alarms = [overdue.map(|at| (at, Alarm::Overdue)), turns.map(|at| (at, Alarm::WindowTurns))];
    alarms.into_iter().flatten().min_by_key(|(at, _)| *at)
}

/// The task that looks at a request when its first alarm is due.
pub(super) fn task(request: &Request, clock: &dyn Clock) -> Option<NewTask> {
    let (run_at, _) = next(request)?;
    let lane = request.repository.as_ref().map(lane::pulls).unwrap_or_default();
    Some(NewTask { run_at, ..outcome::follow_up(request, TaskKind::Clock, &lane, clock) })
}

impl Pipeline {
    /// Does the first thing that is due of a request, and waits for the next.
    pub(super) async fn look_at_the_clock(&self, request: &Request) -> Result<Settlement, StepError> {
        let Some((at, alarm)) = next(request) else { return Ok(outcome::nothing()) };
        if at > self.clock.now() {
            return Ok(waiting(outcome::nothing(), at));
        }
        let settlement = match alarm {
            Alarm::Overdue => self.overdue(request.clone()),
            Alarm::WindowTurns => self.window_turns(request.clone()),
        };
        let after = settlement.request.as_ref().unwrap_or(request);
        Ok(match next(after) {
            Some((at, _)) => waiting(settlement, at),
            None => settlement,
        })
    }

    /// Nobody has said in time that the change is in force.
    fn overdue(&self, mut request: Request) -> Settlement {
        let message = "merged, and nobody has said in time that it is in force".to_owned();
        let now = self.clock.now();
        request.steering.overdue_since = Some(now);
        request.message = Some(message.clone());
        let tell = outcome::follow_up(&request, TaskKind::Tell, &lane::feedback(&request.key.automation), self.clock.as_ref());
        let follow_up = if request.tells { vec![tell] } else { Vec::new() };
        Settlement { timeline: vec![outcome::note(&request, message, self.clock.as_ref())], request: Some(request), follow_up, ..outcome::nothing() }
    }
}

fn waiting(settlement: Settlement, run_at: Timestamp) -> Settlement {
    Settlement { verdict: Verdict::Postponed { run_at, reason: "its time has not come".to_owned() }, ..settlement }
}
