//! Branches this process pushed a moment ago, for whoever opens their pull requests next: git need not be asked again.
//! What is not here, because it was long ago or another process did it, is pushed once more, which sends nothing.

use super::branch::Placed;
use crate::types::{CommitSha, RequestId};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After so long somebody may well have touched the branch.
const FRESH: Duration = Duration::from_secs(60);

/// Where branches were put, by request.
#[derive(Default)]
pub struct JustPushed(Mutex<HashMap<RequestId, (CommitSha, JustPlaced)>>);

/// Where a branch was put, and when.
pub(super) struct JustPlaced {
    at: Instant,
    pub(super) placed: Placed,
}

impl JustPlaced {
    pub(super) fn now(placed: Placed) -> Self {
        Self { at: Instant::now(), placed }
    }

    fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH
    }
}

impl JustPushed {
    /// Remembers where the request's branch was put for this commit.
    pub(super) fn note(&self, request: &RequestId, commit: &CommitSha, placed: JustPlaced) {
        let mut notes = self.notes();
        notes.retain(|_, (_, placed)| placed.is_fresh());
        notes.insert(request.clone(), (commit.clone(), placed));
    }

    /// Where the request's branch was put, if that was for this commit and not long ago; it is forgotten here.
    pub(super) fn take(&self, request: &RequestId, commit: &CommitSha) -> Option<JustPlaced> {
        let (of, placed) = self.notes().remove(request)?;
        (of == *commit && placed.is_fresh()).then_some(placed)
    }

    fn notes(&self) -> MutexGuard<'_, HashMap<RequestId, (CommitSha, JustPlaced)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    fn placed(tip: &CommitSha) -> Placed {
        Placed { tip: tip.clone(), replaced: None, note: None, was_there: false, as_left: false, came_up: true }
    }

    #[test]
    fn a_note_counts_once_for_its_commit_and_not_for_long() {
        let request = RequestId::from_parts(Timestamp::from_unix_millis(0), 1);
        let [one, other] = ["1", "2"].map(|digit| digit.repeat(40).parse::<CommitSha>().expect("a commit"));
        let pushed = JustPushed::default();
        assert!(pushed.take(&request, &one).is_none());
        pushed.note(&request, &one, JustPlaced::now(placed(&one)));
        assert_eq!(pushed.take(&request, &one).expect("just now").placed.tip, one);
        assert!(pushed.take(&request, &one).is_none(), "once");
        pushed.note(&request, &one, JustPlaced::now(placed(&one)));
        assert!(pushed.take(&request, &other).is_none(), "for another commit");
        // Noted again, it does not become younger.
        let Some(long_ago) = Instant::now().checked_sub(FRESH) else { return };
        pushed.note(&request, &one, JustPlaced { at: long_ago, placed: placed(&one) });
        assert!(pushed.take(&request, &one).is_none(), "long ago");
    }
}
