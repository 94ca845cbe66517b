//! Lanes: the tasks of one are done a batch at a time, on one machine at a time. A repository has two. Git's work and the forge's
//! calls wait apart, because a forge wants its calls paced: a branch need not wait for the pull requests of others.

use crate::types::RepositoryName;

/// No repository has it in its name.
const PULLS: &str = "/pulls";

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
