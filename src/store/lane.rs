//! Lanes: the tasks of one are done a batch at a time, on one machine at a time. A repository has two. Git's work and the forge's
//! calls wait apart, because a forge wants its calls paced: a branch need not wait for the pull requests of others.
//! Drafts, and tasks without a lane, are done each by itself, beside one another.

use crate::types::{AutomationName, RepositoryName};

/// No repository has it in its name.
const PULLS: &str = "/pulls";
/// Nor this.
const FEEDBACK: &str = "/feedback";
/// Where drafts by a language model wait, of all requests: a model answers slowly, and one request's draft stands in no other's way.
pub const DRAFTS: &str = "/draft";

/// Where planning and pushing wait.
pub fn of(repository: &RepositoryName) -> String {
    repository.as_str().to_owned()
}

/// Where opening and closing pull requests wait.
pub fn pulls(repository: &RepositoryName) -> String {
    format!("{repository}{PULLS}")
}

/// Whether pull requests wait there.
pub fn is_pulls(lane: &str) -> bool {
    lane.ends_with(PULLS)
}

/// The name of the repository a lane is of.
pub fn repository(lane: &str) -> &str {
    lane.strip_suffix(PULLS).unwrap_or(lane)
}

/// The name of the repository whose git or pull requests wait there.
pub(in crate::store) fn of_repository(lane: &str) -> Option<&str> {
    (!lane.is_empty() && pool(lane) < 2).then(|| repository(lane))
}

/// Where it waits to be told outside what became of an automation's requests.
pub fn feedback(automation: &AutomationName) -> String {
    format!("{automation}{FEEDBACK}")
}

/// Whether tellings wait there.
pub fn is_feedback(lane: &str) -> bool {
    lane.ends_with(FEEDBACK)
}

/// Whether drafts wait there.
pub fn is_draft(lane: &str) -> bool {
    lane == DRAFTS
}

/// Whether the tasks of a lane are done a batch at a time. Those of the others, of drafts and of none, are done each by itself, as many at
/// once as there is room for.
pub fn is_in_turn(lane: &str) -> bool {
    !lane.is_empty() && !is_draft(lane)
}

/// Which part of [`super::Room`] a lane counts against: git's work, pull requests, feedback, drafts.
pub(in crate::store) fn pool(lane: &str) -> usize {
    match lane {
        lane if is_draft(lane) => 3,
        lane if is_feedback(lane) => 2,
        lane => usize::from(is_pulls(lane)),
    }
}
