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
pub struct JustPushed(Mutex<HashMap<RequestId, Note>>);

struct Note {
    at: Instant,
    commit: CommitSha,
    placed: Placed,
}

impl JustPushed {
    pub(super) fn note(&self, request: &RequestId, commit: &CommitSha, placed: Placed) {
        let mut notes = self.notes();
        notes.retain(|_, note| note.at.elapsed() < FRESH);
        notes.insert(request.clone(), Note { at: Instant::now(), commit: commit.clone(), placed });
    }

    /// Where the request's branch was put, if that was for this commit; it is forgotten here.
    pub(super) fn take(&self, request: &RequestId, commit: &CommitSha) -> Option<Placed> {
        let note = self.notes().remove(request)?;
        (note.at.elapsed() < FRESH && note.commit == *commit).then_some(note.placed)
    }

    fn notes(&self) -> MutexGuard<'_, HashMap<RequestId, Note>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
