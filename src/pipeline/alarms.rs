//! What is due of a request by the clock, whoever else looks at it. When that is follows from the request alone: it is set in the
//! transaction that brings the request to its state, and a process that starts again finds it there.

use super::operations::OperationError;
use super::reverting::Taking;
use super::{Pipeline, StepError, outcome, reverts, wording};
use crate::automation::TtlBegin;
use crate::clock::Clock;
use crate::failpoint;
use crate::forge::Priority;
use crate::plan::Lifetime;
use crate::request::{Reminded, Request, RevertCause, State};
use crate::store::{NewTask, Settlement, StoreError, TaskKind, Verdict, lane};
use crate::types::{ErrorClass, Timestamp};
use std::time::Duration;

/// What a request's clock can ring for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alarm {
    /// It is merged for so long that it should be in force, and nobody has said that it is.
    Overdue,
    /// Its time to live is nearly over.
    Remind,
    /// Its time to live is over.
    Expire,
    /// Its calendars open or close.
    WindowTurns,
}

/// While something outside cannot be had, what is due is tried again this often; a clock never gives up.
const AGAIN: Duration = Duration::from_secs(60);
/// What another writer stands in the way of is tried again after this pause.
const SOON: Duration = Duration::from_secs(1);

/// Sets what begins with the state that a request has just come to.
fn wind(request: &mut Request, now: Timestamp) {
    if request.state == State::Merged {
        let within = request.changes.as_ref().and_then(|changes| changes.applied_within);
        request.steering.applied_by = within.map(|within| now.plus(within.get()));
    }
    begin(request, now);
}

/// Begins the time to live where it has not begun, and what it begins with has come.
pub(super) fn begin(request: &mut Request, now: Timestamp) {
    let begins = lifetime(request).filter(|lifetime| match lifetime.from {
        TtlBegin::Merged => request.state == State::Merged,
        TtlBegin::Applied => request.state == State::Applied,
        TtlBegin::Finished => request.state.is_merged() && request.has_run(),
    });
    if let (Some(lifetime), None) = (begins, request.steering.expires_at) {
        request.steering.expires_at = Some(now.plus(lifetime.after.get()));
    }
}

/// How long it is wanted.
pub(super) fn lifetime(request: &Request) -> Option<&Lifetime> {
    request.changes.as_ref()?.expiry.as_ref().map(|expiry| &expiry.lifetime)
}

/// When people are reminded that the time to live is nearly over; none where they are not.
pub(super) fn reminder(request: &Request) -> Option<Timestamp> {
    let before = lifetime(request)?.remind?;
    Some(request.steering.expires_at?.minus(before.get()))
}

/// The first alarm of a request, and its moment.
fn next(request: &Request) -> Option<(Timestamp, Alarm)> {
    let steering = &request.steering;
    let overdue = steering.applied_by.filter(|_| request.state == State::Merged && steering.overdue_since.is_none());
    let end = steering.expires_at.filter(|_| request.state.is_merged());
    let reminded = |end| steering.reminded.is_some_and(|reminded| reminded.of == end);
    let remind = reminder(request).filter(|_| end.is_some_and(|end| !reminded(end)));
    let turns = steering.window_turns(request.state);
    let alarms = [
        overdue.map(|at| (at, Alarm::Overdue)),
        remind.map(|at| (at, Alarm::Remind)),
        end.map(|at| (at, Alarm::Expire)),
        turns.map(|at| (at, Alarm::WindowTurns)),
    ];
    alarms.into_iter().flatten().min_by_key(|(at, _)| *at)
}

/// The task that looks at a request when its first alarm is due.
pub(super) fn task(request: &Request, clock: &dyn Clock) -> Option<NewTask> {
    let (run_at, _) = next(request)?;
    let lane = request.repository.as_ref().map(lane::pulls).unwrap_or_default();
    Some(NewTask { run_at, ..outcome::follow_up(request, TaskKind::Clock, &lane, clock) })
}

/// What a request owes because it has come to its state from another one: a look when its first alarm is due, and, once merged, at what
/// delivery tools said before anybody knew of the merge. One that was merged while it was withdrawn may have to be taken back; and where
/// one took back what is no longer wanted, what an earlier request of the same key changed comes next.
pub(super) fn owed(request: &mut Request, from: State, clock: &dyn Clock) -> impl Iterator<Item = NewTask> + use<> {
    let came = request.state != from;
    if came {
        wind(request, clock.now());
    }
    let repository = request.repository.as_ref().filter(|_| came && request.state == State::Merged);
    let confirm = repository.map(|name| outcome::follow_up(request, TaskKind::Confirm, &lane::of(name), clock));
    let unwinds = request.steering.reverts.as_ref().is_some_and(|reverts| reverts.cause == RevertCause::NoLongerWanted);
    let retract = repository.filter(|_| from == State::Withdrawn || unwinds);
    let retract = retract.map(|name| outcome::follow_up(request, TaskKind::Retract, &lane::pulls(name), clock));
    confirm.into_iter().chain(retract).chain(task(request, clock))
}

impl Pipeline {
    /// Does the first thing that is due of a request, and waits for the next.
    pub(super) async fn look_at_the_clock(&self, request: &Request) -> Result<Settlement, StepError> {
        let Some((at, alarm)) = next(request) else { return Ok(outcome::nothing()) };
        if at > self.clock.now() {
            return match self.withdraw_early(request).await {
                Ok(()) => Ok(waiting(outcome::nothing(), at)),
                Err(OperationError::Step(error)) if error.class() != ErrorClass::Transient => Err(error),
                // Whoever is at it now is done in a moment.
                Err(error) => Ok(outcome::not_before(self.clock.now().plus(SOON).min(at), error.to_string())),
            };
        }
        let settlement = match alarm {
            Alarm::Overdue => self.overdue(request.clone()),
            Alarm::Remind => self.remind(request).await?,
            Alarm::Expire => self.expire(request).await?,
            Alarm::WindowTurns => self.window_turns(request.clone()).await?,
        };
        if matches!(settlement.verdict, Verdict::Postponed { .. }) {
            return Ok(settlement);
        }
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

    /// Tells people that the time to live is nearly over, where they look.
    async fn remind(&self, request: &Request) -> Result<Settlement, StepError> {
        let Some(end) = request.steering.expires_at else { return Ok(outcome::nothing()) };
        let now = self.clock.now();
        if end <= now {
            // Nobody was there to do so in time.
            return self.expire(request).await;
        }
        let mut request = request.clone();
        if self.reverting(&request.id).await?.is_some() {
            request.steering.reminded = Some(Reminded { at: now, of: end, silent: true });
            return Ok(Settlement { request: Some(request), ..outcome::nothing() });
        }
        let message = match self.comment_on_the_end(&request, end).await {
            Ok(()) => format!("its time to live ends at {end}: people were reminded"),
            Err(error) if error.class() == ErrorClass::Transient => return Ok(outcome::not_before(now.plus(AGAIN).min(end), error.to_string())),
            Err(error) => format!("its time to live ends at {end}; the pull request could not be told: {error}"),
        };
        failpoint::hit("clock.reminded");
        request.steering.reminded = Some(Reminded { at: now, of: end, silent: false });
        let tell = outcome::follow_up(&request, TaskKind::Tell, &lane::feedback(&request.key.automation), self.clock.as_ref());
        let follow_up = if request.tells { vec![tell] } else { Vec::new() };
        Ok(Settlement {
            timeline: vec![outcome::note(&request, message, self.clock.as_ref())],
            request: Some(request),
            follow_up,
            ..outcome::nothing()
        })
    }

    async fn comment_on_the_end(&self, request: &Request, end: Timestamp) -> Result<(), StepError> {
        let rules = self.rules.current();
        let repository = request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name));
        let (Some(repository), Some(pull)) = (repository, &request.pull) else { return Ok(()) };
        let words = wording::nearly_over(request, end, repository.is_steered_by_comments());
        Ok(self
            .forges
            .forge(repository, Priority::Housekeeping)?
            .comment_once(pull.number, &words, &format!("expiring:{}:{end}", request.id), true)
            .await?)
    }

    /// The time to live is over: what takes the change back is opened, unless it is there.
    async fn expire(&self, request: &Request) -> Result<Settlement, StepError> {
        let Some(end) = request.steering.expires_at else { return Ok(outcome::nothing()) };
        let id = reverts::at_the_end(&request.id, end);
        let by = match self.store.request(&id).await {
            // Opened by a process that died before that was noted.
            Ok(opened) => opened.id,
            Err(StoreError::NotFound(_)) => match self.reverting(&request.id).await? {
                Some(known) => known.id,
                None => {
                    let why = match lifetime(request).map(|lifetime| lifetime.from) {
                        Some(TtlBegin::Finished) => "what it ran is finished",
                        Some(TtlBegin::Merged | TtlBegin::Applied) | None => "its time to live is over",
                    };
                    let taking = Taking { why, actor: "kubeops", id, at: end, cause: RevertCause::TimeIsOver };
                    match self.open_revert(request, &taking).await {
                        Ok(opened) => opened,
                        Err(OperationError::Step(error)) if error.class() == ErrorClass::Transient => {
                            return Ok(outcome::not_before(self.clock.now().plus(AGAIN), error.to_string()));
                        }
                        Err(OperationError::Step(error)) => return Err(error),
                        Err(error) => return Err(StepError::Permanent(error.to_string())),
                    }
                }
            },
            Err(error) => return Err(error.into()),
        };
        Ok(outcome::expired(request.clone(), by, self.clock.as_ref()))
    }
}

fn waiting(settlement: Settlement, run_at: Timestamp) -> Settlement {
    Settlement { verdict: Verdict::Postponed { run_at, reason: "its time has not come".to_owned() }, ..settlement }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Action, ObjectChange, ObjectRef};
    use crate::plan::Inverse;
    use crate::request::{Changes, Expiry, FinishedRun, RequestKey, RunOutcome};
    use crate::types::{EventId, RequestId, SpecDuration};
    use crate::validate::Evidence;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_unix_millis(1_700_000_000_000).plus(Duration::from_secs(minutes * 60))
    }

    fn minutes(minutes: u64) -> SpecDuration {
        SpecDuration::from_millis(minutes * 60_000)
    }

    /// A request that is wanted for two hours, in this state.
    fn wanted(from: TtlBegin, state: State) -> Request {
        let event = crate::event::Event {
            id: EventId::from_parts(at(0), 1),
            delivery: None,
            source: None,
            traceparent: None,
            kind: "jira.issue.transitioned".parse().expect("a type"),
            subject: "OPS-1".to_owned(),
            time: at(0),
            data: serde_json::Value::Null,
        };
        let key = RequestKey { automation: "replicas".parse().expect("a name"), correlation: "OPS-1".to_owned(), generation: 1 };
        let lifetime = Lifetime { after: minutes(120), from, remind: Some(minutes(12)), auto_merge: None };
        let changes = Changes {
            drafted: None,
            files: Vec::new(),
            objects: Vec::new(),
            cut: false,
            evidence: Evidence::default(),
            first: None,
            expiry: Some(Expiry { lifetime, inverse: Inverse::default() }),
            rule: None,
            applied_within: Some(minutes(30)),
            place: None,
            clusters: Default::default(),
        };
        Request { state, changes: Some(changes), ..Request::opened(&RequestId::from_parts(at(0), 1), &key, event, at(0)) }
    }

    #[test]
    fn the_alarms_of_a_merged_change_come_one_after_the_other() {
        let mut request = wanted(TtlBegin::Merged, State::Merged);
        wind(&mut request, at(0));
        assert_eq!(next(&request), Some((at(30), Alarm::Overdue)));
        request.steering.overdue_since = Some(at(30));
        assert_eq!(next(&request), Some((at(108), Alarm::Remind)));
        request.steering.reminded = Some(Reminded { at: at(108), of: at(120), silent: false });
        assert_eq!(next(&request), Some((at(120), Alarm::Expire)));
        // Of a later end people are reminded again.
        request.steering.expires_at = Some(at(180));
        assert_eq!(next(&request), Some((at(168), Alarm::Remind)));
        request.state = State::Expired;
        assert_eq!(next(&request), None);
    }

    #[test]
    fn the_time_begins_once_and_with_what_its_author_says() {
        for (from, begins) in [(TtlBegin::Merged, State::Merged), (TtlBegin::Applied, State::Applied)] {
            for state in State::ALL {
                let mut request = wanted(from, state);
                wind(&mut request, at(5));
                assert_eq!(request.steering.expires_at, (state == begins).then(|| at(125)), "{from:?} {state}");
            }
        }
        let mut request = wanted(TtlBegin::Applied, State::Applied);
        wind(&mut request, at(0));
        // Not well in between, and in force again.
        wind(&mut request, at(60));
        assert_eq!(request.steering.expires_at, Some(at(120)));
        request.state = State::Degraded;
        assert_eq!(next(&request), Some((at(108), Alarm::Remind)), "its time goes on whether it is well or not");
    }

    #[test]
    fn from_the_end_of_runs_the_time_begins_once_every_one_of_them_is_finished() {
        let job = |name: &str| ObjectRef {
            api_version: "batch/v1".to_owned(),
            kind: "Job".to_owned(),
            namespace: Some("ops".to_owned()),
            name: name.to_owned(),
        };
        let added = |object| ObjectChange { file: None, document: 0, object: Some(object), action: Action::Added, fields: Vec::new(), content: None };
        let finished = |name: &str| FinishedRun { object: job(name), outcome: RunOutcome::Failed, message: None, at: at(1) };
        let end = |state: State, runs: &[&str]| {
            let mut request = wanted(TtlBegin::Finished, state);
            let changes = request.changes.as_mut().expect("changes");
            changes.objects = vec![added(job("one")), added(job("two"))];
            changes.applied_within = None;
            request.steering.runs = runs.iter().map(|name| finished(name)).collect();
            wind(&mut request, at(5));
            (request.steering.expires_at, next(&request))
        };
        for state in State::ALL {
            assert_eq!(end(state, &[]).0, None, "{state}: nobody has said anything");
            assert_eq!(end(state, &["one"]).0, None, "{state}: one goes on");
            assert_eq!(end(state, &["one", "two"]).0, state.is_merged().then(|| at(125)), "{state}");
        }
        assert_eq!(end(State::Degraded, &["two", "one"]).1, Some((at(113), Alarm::Remind)), "well or not");
        // At once: nobody is reminded, and it is over when it begins. What was begun is not begun again.
        let mut request = wanted(TtlBegin::Finished, State::Merged);
        let changes = request.changes.as_mut().expect("changes");
        (changes.objects, changes.applied_within) = (vec![added(job("one"))], None);
        let lifetime = &mut changes.expiry.as_mut().expect("a time to live").lifetime;
        (lifetime.after, lifetime.remind) = (minutes(0), None);
        request.steering.runs = vec![finished("one")];
        begin(&mut request, at(5));
        begin(&mut request, at(6));
        assert_eq!(next(&request), Some((at(5), Alarm::Expire)));
    }

    #[test]
    fn without_a_time_to_live_nothing_ends() {
        let mut request = wanted(TtlBegin::Merged, State::Merged);
        request.changes.as_mut().expect("changes").expiry = None;
        wind(&mut request, at(0));
        request.steering.overdue_since = Some(at(30));
        assert_eq!((next(&request), request.steering.expires_at), (None, None));
    }
}
