//! Lanes: the tasks of one are done a batch at a time, on one machine at a time. A repository has two. Git's work and the forge's
//! calls wait apart, because a forge wants its calls paced: a branch need not wait for the pull requests of others.

use crate::types::{AutomationName, RepositoryName, RequestId};

/// No repository has it in its name.
const PULLS: &str = "/pulls";
/// Nor this.
const FEEDBACK: &str = "/feedback";
/// Nor this.
const DRAFT: &str = "/draft";

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

/// Where a request's draft by a language model goes on: a lane of its own, because a model answers slowly and stands in nobody's way.
pub fn draft(request: &RequestId) -> String {
    format!("{request}{DRAFT}")
}

/// Whether a draft goes on there.
pub fn is_draft(lane: &str) -> bool {
    lane.ends_with(DRAFT)
}

/// Which part of [`super::Room`] a lane counts against: git's work, pull requests, feedback, drafts.
pub(in crate::store) fn pool(lane: &str) -> usize {
    match lane {
        lane if is_draft(lane) => 3,
        lane if is_feedback(lane) => 2,
        lane => usize::from(is_pulls(lane)),
    }
}
