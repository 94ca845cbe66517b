//! How a request's pull request shall look, how urgent its calls are, and when the forge need not be asked at all.
//! It only reads the request; what the forge and git did is told to it.

use super::body;
use super::branch::{Head, Placed};
use crate::forge::{CheckSpec, Priority, PullSpec, WindowSpec};
use crate::inventory::Repository;
use crate::plan::PullText;
use crate::request::{PullRef, PullWritten, Request};
use crate::types::CommitSha;
use crate::validate::Severity;

/// How urgent the calls of a request are: an alert burns, everything else was asked for by somebody who can wait.
pub(super) fn priority(request: &Request) -> Priority {
    if request.event.kind.is_alert() { Priority::Alert } else { Priority::Ticket }
}

/// What the pull request of a request shall be, now that its branch is where `placed` says.
pub(super) fn spec(
    request: &Request,
    text: &PullText,
    head: &Head,
    placed: &Placed,
    repository: &Repository,
    attempt: u32,
    people_at: &str,
) -> PullSpec {
    PullSpec {
        head: head.branch.clone(),
        base: repository.spec.branch.clone(),
        head_commit: placed.tip.clone(),
        earlier: head.commits().into_iter().chain(placed.replaced.clone()).collect(),
        title: text.title.clone(),
        body: body::body(request, people_at, repository.is_steered_by_comments()),
        labels: text.labels.clone(),
        reviewers: text.reviewers.iter().filter_map(|name| name.parse().ok()).collect(),
        assignees: text.assignees.clone(),
        milestone: text.milestone.clone(),
        draft: text.draft,
        held: request.steering.held_up().is_some(),
        auto_merge: text.auto_merge,
        // An attempt that a shutdown cut short is not counted, but it may have pushed and asked.
        asked_before: attempt > 1 || placed.was_there,
        former: request.former_pull,
        written: request.written.clone(),
    }
}

/// The pull request, where nothing has to be asked or said: it was made to say exactly this, its branch was where we left it
/// (so nobody deleted it), nothing of ours was tried since, and nobody saw it ended. Whether a person closes it at this very
/// moment is seen by the next look at open pull requests, as always.
pub(super) fn unchanged<'r>(request: &'r Request, spec: &PullSpec, placed: &Placed, attempt: u32) -> Option<&'r PullRef> {
    let (pull, written) = (request.pull.as_ref()?, request.written.as_ref()?);
    let same = written.number == pull.number && written.digest == spec.digest();
    (same && placed.as_left && placed.note.is_none() && attempt == 1).then_some(pull)
}

/// What the pull request was made to say, to be kept for the next time.
pub(super) fn written(number: u64, spec: &PullSpec, checked: Option<CommitSha>) -> PullWritten {
    PullWritten { number, digest: spec.digest(), draft: spec.draft, auto_merge: spec.auto_merge().is_some(), checked, window: None }
}

/// What is shown beside the commit at the head of the branch of a request that has calendars, or that a person held; none where that
/// stands there already.
pub(super) fn window(request: &Request, spec: &PullSpec, placed: &Placed, people_at: &str) -> Option<WindowSpec> {
    let shown = request.written.as_ref().and_then(|written| written.window.as_ref());
    let held = request.steering.held_up();
    if request.steering.window.is_none() && held.is_none() && shown.is_none() {
        return None;
    }
    let window = WindowSpec {
        commit: spec.head_commit.clone(),
        key: request.id.to_string(),
        held: held.map(|held| held.words()),
        details: format!("{people_at}/requests/{}", request.id),
        asked_before: !placed.came_up,
    };
    (shown != Some(&(window.commit.clone(), window.line()))).then_some(window)
}

/// The evidence for the commit at the head of the branch; none where that is a person's, or has it.
pub(super) fn check(request: &Request, spec: &PullSpec, placed: &Placed, people_at: &str) -> Option<CheckSpec> {
    let has_it = request.written.as_ref().and_then(|written| written.checked.as_ref()) == Some(&spec.head_commit);
    if request.commit.as_ref() != Some(&spec.head_commit) || has_it {
        return None;
    }
    Some(CheckSpec {
        commit: spec.head_commit.clone(),
        key: request.id.to_string(),
        title: spec.title.clone(),
        summary: body::evidence(request),
        details: format!("{people_at}/requests/{}", request.id),
        warnings: request.findings.iter().any(|finding| finding.severity == Severity::Warning),
        // Nothing can stand beside a commit that was not there.
        asked_before: !placed.came_up,
    })
}
