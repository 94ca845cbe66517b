//! Commits that a delivery tool named and a fetch did not bring: they are of a branch that is not fetched, or of nobody's.
//! Asking again at once would bring nothing; what comes meanwhile by another fetch is found without asking.

use crate::types::{CommitSha, RepositoryName};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After so long the remote is asked once more.
const FOR: Duration = Duration::from_secs(300);
/// Commits that are remembered, at most; beyond them the remote is asked sooner.
const MOST: usize = 10_000;

/// What fetches did not bring, by repository and commit, and when that was.
#[derive(Default)]
pub struct Unseen(Mutex<HashMap<(RepositoryName, CommitSha), Instant>>);

impl Unseen {
    /// Remembers that a fetch did not bring these.
    pub(super) fn note(&self, repository: &RepositoryName, commits: impl IntoIterator<Item = CommitSha>) {
        let mut notes = self.notes();
        notes.retain(|_, at| at.elapsed() < FOR);
        if notes.len() > MOST {
            notes.clear();
        }
        notes.extend(commits.into_iter().map(|commit| ((repository.clone(), commit), Instant::now())));
    }

    /// Whether a fetch of the last minutes did not bring it.
    pub(super) fn is_noted(&self, repository: &RepositoryName, commit: &CommitSha) -> bool {
        self.notes().get(&(repository.clone(), commit.clone())).is_some_and(|at| at.elapsed() < FOR)
    }

    fn notes(&self) -> MutexGuard<'_, HashMap<(RepositoryName, CommitSha), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_fetch_did_not_bring_is_known_for_its_repository_and_not_for_long() {
        let [one, other]: [RepositoryName; 2] = ["one", "other"].map(|name| name.parse().expect("a name"));
        let commit: CommitSha = "1".repeat(40).parse().expect("a commit");
        let unseen = Unseen::default();
        assert!(!unseen.is_noted(&one, &commit));
        unseen.note(&one, [commit.clone()]);
        assert!(unseen.is_noted(&one, &commit) && !unseen.is_noted(&other, &commit));
        let Some(long_ago) = Instant::now().checked_sub(FOR) else { return };
        unseen.notes().insert((one.clone(), commit.clone()), long_ago);
        assert!(!unseen.is_noted(&one, &commit), "long ago");
    }
}
