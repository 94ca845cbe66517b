//! What a step found, turned into what the store is to write: the settlements of the steps, and nothing else.

use super::alarms;
use super::planned::{Grouped, Planned, Postponed};
use crate::clock::Clock;
use crate::forge::PullState;
use crate::request::{CONFLICT, Changes, PullRef, PullWritten, Request, State, TimelineEntry};
use crate::store::{Beside, DraftEnd, NewTask, Settlement, TakenBack, TaskKind, Verdict, lane};
use crate::types::{CommitSha, RepositoryName, RequestId, TaskId, Timestamp};
use crate::validate::Finding;
use std::time::Duration;

/// Where cleaning up after this end begins: what a person closed or merged is over, of anything else the pull request is closed
/// first.
pub(super) fn first_lane(state: State, repository: &RepositoryName) -> String {
    if state.is_merged() || state == State::Declined { lane::of(repository) } else { lane::pulls(repository) }
}

/// The task is done, and nothing changed.
pub(super) fn nothing() -> Settlement {
    Settlement::default()
}

/// The task is done later, and this attempt does not count.
pub(super) fn not_before(run_at: Timestamp, reason: String) -> Settlement {
    Settlement { verdict: Verdict::Postponed { run_at, reason }, ..nothing() }
}

/// The task goes on at once in this lane, and this attempt does not count.
pub(super) fn goes_on(lane: String) -> Settlement {
    Settlement { verdict: Verdict::GoesOn { lane }, ..nothing() }
}

/// A line of the timeline that changes nothing.
pub(super) fn note(request: &Request, message: String, clock: &dyn Clock) -> TimelineEntry {
    TimelineEntry { at: clock.now(), from: Some(request.state), to: request.state, message, actor: "kubeops".to_owned() }
}

/// How long what cannot be planned again waits until it is looked whether its commit is to be had.
const WITHOUT_COMMIT: Duration = Duration::from_secs(60);

/// The same change on a newer tip: nothing a person would notice.
pub(super) fn checked(mut request: Request, tip: CommitSha, clock: &dyn Clock) -> Settlement {
    request.checked = Some(tip);
    request.steering.rebase = false;
    request.updated_at = clock.now();
    let follow_up = still_proposed(&request, Duration::ZERO, clock);
    Settlement { request: Some(request), follow_up, ..nothing() }
}

/// What it comes to now nobody may know, and it stays as it is.
pub(super) fn left(request: &Request, clock: &dyn Clock) -> Settlement {
    Settlement { follow_up: still_proposed(request, WITHOUT_COMMIT, clock), ..nothing() }
}

/// What is planned and stays is proposed, this much later: where the commit was not to be had, the task that was to do so has ended.
fn still_proposed(request: &Request, later: Duration, clock: &dyn Clock) -> Vec<NewTask> {
    let (State::Planned, Some(repository)) = (request.state, &request.repository) else { return Vec::new() };
    let task = follow_up(request, TaskKind::Propose, &lane::of(repository), clock);
    vec![NewTask { run_at: task.run_at.plus(later), ..task }]
}

/// The same change, of which something else is to be said now.
pub(super) fn warned(mut request: Request, tip: CommitSha, findings: Vec<Finding>, clock: &dyn Clock) -> Settlement {
    request.checked = Some(tip);
    say_anew(&mut request);
    let lane = request.repository.as_ref().map(lane::of).unwrap_or_default();
    let follow = follow_up(&request, TaskKind::Propose, &lane, clock);
    let known = std::mem::replace(&mut request.findings, findings);
    let conflicts = new_conflicts(&request, &known, clock);
    let message = "other requests for the same fields came or went: what its pull request says of them is written again".to_owned();
    let mut settlement = settle(request, State::Planned, message, vec![follow], clock);
    settlement.timeline.extend(conflicts);
    settlement
}

/// A person went on from the branch: what was planned before stays, and its pull request says so.
pub(super) fn taken_over(mut request: Request, tip: Option<CommitSha>, clock: &dyn Clock) -> Settlement {
    request.checked = tip;
    let lane = request.repository.as_ref().map(lane::of).unwrap_or_default();
    let follow = follow_up(&request, TaskKind::Propose, &lane, clock);
    settle(request, State::Planned, "a person went on from its branch: it is not computed again".to_owned(), vec![follow], clock)
}

/// Something else holds an open request up now, or nothing any more.
pub(super) fn proposed_again(request: Request, message: String, task: NewTask, clock: &dyn Clock) -> Settlement {
    settle(request, State::Planned, message, vec![task], clock)
}

/// What was written of it proves nothing any more, neither in the pull request nor in the check run.
fn say_anew(request: &mut Request) {
    if let Some(written) = &mut request.written {
        written.digest.clear();
        written.checked = None;
    }
}

/// After planning, for the first time or again on a newer base. A pull request that is open is closed when nothing is left
/// to propose.
pub(super) fn planned(mut request: Request, planned: Planned, clock: &dyn Clock) -> Settlement {
    match planned {
        Planned::Rejected { findings, message } => {
            request.findings = findings;
            let cleanup = clean_up(&request, State::Rejected, clock);
            settle(request, State::Rejected, message, cleanup, clock)
        }
        Planned::Postponed(postponed) => later(request, postponed, clock),
        Planned::ToBeDrafted { parameters, repository } => {
            let message = match request.state {
                State::Accepted => "a language model drafts its change",
                _ => "the base moved, and what was drafted does not fit it any more: a language model drafts it again",
            };
            request.parameters = Some(parameters);
            request.repository = Some(repository);
            let follow = follow_up(&request, TaskKind::Draft, lane::DRAFTS, clock);
            let state = request.state;
            settle(request, state, message.to_owned(), vec![follow], clock)
        }
        Planned::Unchanged { parameters, repository, base, warnings } => {
            request.changes = None;
            request.parameters = Some(parameters);
            request.repository = Some(repository);
            if request.steering.reverts.is_some() {
                request.findings = warnings;
            }
            let message = match (&request.steering.reverts, request.findings.is_empty()) {
                (None, _) => format!("the base branch at {} holds all of it already", short(base.as_str())),
                (Some(_), true) => format!("there is nothing to take back: the base branch at {} holds none of it any more", short(base.as_str())),
                (Some(_), false) => "there is nothing to take back: somebody else has changed since what it changed".to_owned(),
            };
            let cleanup = clean_up(&request, State::Unchanged, clock);
            request.checked = Some(base.clone());
            request.base = Some(base);
            settle(request, State::Unchanged, message, cleanup, clock)
        }
        Planned::Committed { parameters, repository, target: _, branch, base, commit, summary, changes, text, warnings } => {
            let again = match request.state {
                State::Accepted => "computed",
                _ if request.base.as_ref() == Some(&base) && request.members > 0 => "its members changed: computed again",
                _ if request.base.as_ref() == Some(&base) && draft_of(request.changes.as_ref()) != draft_of(Some(&changes)) => {
                    "it was revised: computed again"
                }
                _ if request.base.as_ref() == Some(&base) => "its parameters changed: computed again",
                _ => "the base moved: computed again",
            };
            let message = format!("{again} on {}, committed as {}", short(base.as_str()), short(commit.as_str()));
            request.checked = Some(base.clone());
            request.steering.rebase = false;
            let follow = follow_up(&request, TaskKind::Propose, &lane::of(&repository), clock);
            request.parameters = Some(parameters);
            request.repository = Some(repository);
            request.branch = Some(branch);
            request.base = Some(base);
            // A commit planned before may be on the branch, though nobody could record that. One is remembered, which spares
            // a look at the branch; of others that were pushed since, the branch itself tells that they are ours.
            let before = request.commit.replace(commit.clone()).filter(|before| *before != commit);
            request.pushed = request.pushed.take().or(before);
            if request.text.as_ref() != Some(text.as_ref()) || request.summary != summary || request.findings != warnings {
                // It may be written from now on, whether or not that is noted: what was written before proves nothing more.
                say_anew(&mut request);
            }
            request.summary = summary;
            request.changes = Some(*changes);
            // It was let through as it was before.
            request.steering.released = None;
            request.text = Some(*text);
            let known = std::mem::replace(&mut request.findings, warnings);
            let conflicts = new_conflicts(&request, &known, clock);
            let mut settlement = settle(request, State::Planned, message, vec![follow], clock);
            settlement.timeline.extend(conflicts);
            settlement
        }
    }
}

/// The newest draft a change is made of.
fn draft_of(changes: Option<&Changes>) -> Option<u32> {
    Some(changes?.drafted.as_ref()?.number)
}

/// After a model answered what may be proposed: it is planned with that.
pub(super) fn drafted(request: Request, end: DraftEnd, message: String, more: bool, clock: &dyn Clock) -> Settlement {
    let mut settlement = after_draft(&request, clock);
    settlement.follow_up.extend(more.then(|| follow_up(&request, TaskKind::Draft, lane::DRAFTS, clock)));
    let beside = Beside { draft: Some(end), ..settlement.beside };
    Settlement { timeline: vec![note(&request, message, clock)], beside, ..settlement }
}

/// A draft is over, or there is none to be made: the request is planned.
pub(super) fn after_draft(request: &Request, clock: &dyn Clock) -> Settlement {
    let kind = if request.state == State::Accepted { TaskKind::Plan } else { TaskKind::Replan };
    let lane = request.repository.as_ref().map(lane::of).unwrap_or_default();
    Settlement { follow_up: vec![follow_up(request, kind, &lane, clock)], ..nothing() }
}

/// A model was asked for a revision, and nothing came of it: what is proposed stays. `more`: something else is wanted of it as well.
pub(super) fn not_revised(request: &Request, end: DraftEnd, message: String, more: bool, clock: &dyn Clock) -> Settlement {
    let follow_up = more.then(|| follow_up(request, TaskKind::Draft, lane::DRAFTS, clock)).into_iter().collect();
    Settlement { timeline: vec![note(request, message, clock)], follow_up, beside: Beside { draft: Some(end), ..Beside::default() }, ..nothing() }
}

/// A draft is over that somebody else goes on with: it is drafted anew.
pub(super) fn drafted_anew(end: DraftEnd) -> Settlement {
    let settlement = goes_on(lane::DRAFTS.to_owned());
    Settlement { beside: Beside { draft: Some(end), ..Beside::default() }, ..settlement }
}

/// How the message of a request begins whose model said that nothing is to be changed, before the model's own words.
pub(super) const PROPOSES_NOTHING: &str = "the language model proposes no change; ";
/// A request's message without a model's own words: as it may stand in a log.
pub fn without_words(message: &str) -> &str {
    if message.starts_with(PROPOSES_NOTHING) { PROPOSES_NOTHING.trim_end_matches("; ") } else { message }
}

/// How that of a request begins whose model came to nothing that may be proposed, before the reason.
pub(super) const NOTHING_DRAFTED: &str = "nothing was drafted: ";

/// A model said that nothing is to be changed, or that it cannot be done.
pub(super) fn draft_declined(request: Request, end: DraftEnd, reason: &str, clock: &dyn Clock) -> Settlement {
    let reason = if reason.is_empty() { "it gave no reason".to_owned() } else { format!("in its own words: \"{reason}\"") };
    let message = format!("{PROPOSES_NOTHING}{reason}");
    without_draft(request, State::Unchanged, Some(end), message, clock)
}

/// A model came to nothing that may be proposed.
pub(super) fn draft_refused(mut request: Request, end: Option<DraftEnd>, message: String, findings: Vec<Finding>, clock: &dyn Clock) -> Settlement {
    request.findings = findings;
    without_draft(request, State::Rejected, end, format!("{NOTHING_DRAFTED}{message}"), clock)
}

fn without_draft(request: Request, state: State, end: Option<DraftEnd>, message: String, clock: &dyn Clock) -> Settlement {
    let cleanup = clean_up(&request, state, clock);
    let settlement = settle(request, state, message, cleanup, clock);
    Settlement { beside: Beside { draft: end, ..settlement.beside }, ..settlement }
}

/// The same for a group, with what it came to for each member.
pub(super) fn grouped(request: Request, grouped: Grouped, clock: &dyn Clock) -> Settlement {
    let settlement = planned(request, grouped.planned, clock);
    let beside = Beside { members: grouped.members, ..settlement.beside };
    Settlement { beside, ..settlement }
}

/// Stays where it is for now; said once in the timeline, and each time in its message.
fn later(mut request: Request, postponed: Postponed, clock: &dyn Clock) -> Settlement {
    let Postponed { run_at, message, since_now } = postponed;
    let timeline = since_now.then(|| note(&request, message.clone(), clock)).into_iter().collect();
    request.message = Some(message.clone());
    request.updated_at = clock.now();
    Settlement { request: Some(request), timeline, ..not_before(run_at, message) }
}

/// A line for each conflict that was not known when the request was planned before.
fn new_conflicts(request: &Request, known: &[Finding], clock: &dyn Clock) -> Vec<TimelineEntry> {
    let new = request.findings.iter().filter(|finding| finding.rule == CONFLICT && !known.contains(finding));
    new.map(|finding| TimelineEntry { from: Some(State::Planned), to: State::Planned, ..note(request, finding.message.clone(), clock) }).collect()
}

/// What became of the pull request of a planned request.
pub(super) struct Proposal {
    pub(super) pull: PullRef,
    pub(super) state: PullState,
    /// What it was made to say, to be kept while it is open.
    pub(super) written: PullWritten,
    /// Said when a person has pushed to the branch.
    pub(super) branch_note: Option<String>,
    /// What the forge could not do.
    pub(super) notes: Vec<String>,
}

/// After the pull request was opened or found.
pub(super) fn proposed(mut request: Request, proposal: Proposal, clock: &dyn Clock) -> Settlement {
    let Proposal { pull, state, written, branch_note, notes } = proposal;
    if branch_note.is_none() {
        request.pushed.clone_from(&request.commit);
    }
    let (state, said) = match state {
        PullState::Open => (State::Proposed, format!("pull request #{} is open: {}", pull.number, pull.url)),
        PullState::Closed => (State::Declined, format!("pull request #{} was closed by a person", pull.number)),
        PullState::Merged => (State::Merged, format!("pull request #{} is merged", pull.number)),
    };
    request.written = (state == State::Proposed).then_some(written);
    request.pull = Some(pull);
    request.urged = false;
    // Where a person went on, or merged or closed it meanwhile, the pull request has what it had.
    let pushed = request.members > 0 && !request.taken_over && state == State::Proposed;
    let held = request.steering.held_up().filter(|_| state == State::Proposed).map(|held| format!("it is held {}", held.words()));
    let message = std::iter::once(said).chain(held).chain(branch_note).chain(notes).collect::<Vec<_>>().join("; ");
    let cleanup = if state.is_ended() { clean_up(&request, state, clock) } else { Vec::new() };
    let settlement = settle(request, state, message, cleanup, clock);
    Settlement { beside: Beside { pushed, ..settlement.beside }, ..settlement }
}

/// After the pull request of an open request was found to be over.
pub(super) fn over(request: Request, state: State, message: String, clock: &dyn Clock) -> Settlement {
    let cleanup = clean_up(&request, state, clock);
    settle(request, state, message, cleanup, clock)
}

/// What asked for it went away: withdrawn, and what is there of it goes.
pub(super) fn taken_back(request: Request, taken_back: &TakenBack, clock: &dyn Clock) -> Settlement {
    let lane = request.repository.as_ref().map(|name| first_lane(State::Withdrawn, name)).unwrap_or_default();
    let cleanup = if request.repository.is_some() { vec![follow_up(&request, TaskKind::Withdraw, &lane, clock)] } else { Vec::new() };
    settle(request, State::Withdrawn, format!("withdrawn: {}", taken_back.reason), cleanup, clock)
}

/// Its time to live ran out, and another request takes it back.
pub(super) fn expired(mut request: Request, by: RequestId, clock: &dyn Clock) -> Settlement {
    let message = format!("its time to live is over: request {by} takes it back");
    request.steering.reverted_by = Some(by);
    settle(request, State::Expired, message, Vec::new(), clock)
}

/// A line in its timeline, and nothing else.
pub(super) fn noted(request: &Request, message: String, clock: &dyn Clock) -> Settlement {
    Settlement { timeline: vec![note(request, message, clock)], ..nothing() }
}

/// After a look at the pull request of an open request, which is otherwise than it was known.
pub(super) fn seen(request: Request, state: State, message: String, actor: &str, clock: &dyn Clock) -> Settlement {
    let cleanup = if state.is_ended() { clean_up(&request, state, clock) } else { Vec::new() };
    settle_by(actor, request, state, message, cleanup, clock)
}

/// After a delivery tool said how what was merged stands.
pub(super) fn confirmed(request: Request, state: State, message: String, clock: &dyn Clock) -> Settlement {
    settle(request, state, message, Vec::new(), clock)
}

/// What an end leaves to do where a branch may be.
fn clean_up(request: &Request, end: State, clock: &dyn Clock) -> Vec<NewTask> {
    let repository = request.repository.as_ref().filter(|_| request.branch.is_some());
    repository.map(|name| follow_up(request, TaskKind::Withdraw, &first_lane(end, name), clock)).into_iter().collect()
}

/// After the forge found that the base holds everything already.
pub(super) fn nothing_to_propose(request: Request, message: String, clock: &dyn Clock) -> Settlement {
    let cleanup = clean_up(&request, State::Unchanged, clock);
    settle(request, State::Unchanged, message, cleanup, clock)
}

/// Planned once more, because what was planned is lost. What has a pull request stays what it is: it may be merged or spoken to meanwhile.
pub(super) fn plan_again(request: Request, clock: &dyn Clock) -> Settlement {
    let lane = request.repository.as_ref().map(lane::of).unwrap_or_default();
    let (state, kind) = match request.pull {
        None => (State::Accepted, TaskKind::Plan),
        Some(_) => (request.state, TaskKind::Replan),
    };
    let follow = follow_up(&request, kind, &lane, clock);
    settle(request, state, "the commit is not in the mirror any more; it is planned again".to_owned(), vec![follow], clock)
}

/// A task for the same request, due now.
pub(super) fn follow_up(request: &Request, kind: TaskKind, lane: &str, clock: &dyn Clock) -> NewTask {
    let now = clock.now();
    NewTask { id: TaskId::from_parts(now, clock.random()), kind, request: request.id.clone(), lane: lane.to_owned(), run_at: now }
}

fn settle(request: Request, state: State, message: String, follow_up: Vec<NewTask>, clock: &dyn Clock) -> Settlement {
    settle_by("kubeops", request, state, message, follow_up, clock)
}

/// A request that comes to a state because of `actor`, and everything that this owes.
pub(super) fn settle_by(actor: &str, mut request: Request, state: State, message: String, follow_up: Vec<NewTask>, clock: &dyn Clock) -> Settlement {
    let now = clock.now();
    let from = request.state;
    debug_assert!(from == state || from.may_become(state), "{from} -> {state}");
    request.state = state;
    request.message = Some(message.clone());
    request.updated_at = now;
    let follow_up = follow_up.into_iter().chain(alarms::owed(&mut request, from, clock)).collect();
    let entry = TimelineEntry { at: now, from: Some(from), to: state, message, actor: actor.to_owned() };
    let beside = Beside { successor: successor(&request, clock), ..Beside::default() };
    Settlement { request: Some(request), timeline: vec![entry], follow_up, beside, ..nothing() }
}

/// Who goes on with the members that an ended group did not take along; when it is withdrawn or failed they stay with it.
pub(super) fn successor(request: &Request, clock: &dyn Clock) -> Option<RequestId> {
    let goes_on = matches!(request.state, State::Merged | State::Declined | State::Unchanged | State::Rejected);
    (request.members > 0 && goes_on).then(|| RequestId::from_parts(clock.now(), clock.random()))
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}
