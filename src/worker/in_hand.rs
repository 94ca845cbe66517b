//! What this process is at work on. The clock may say that a lease of it ran out, and the process knows better: it never claims such a task from
//! itself. It says nothing of what others hold.

use crate::store::ClaimedTask;
use crate::types::TaskId;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tasks, each with the fence it was claimed under.
#[derive(Default)]
pub(super) struct InHand(Mutex<BTreeSet<(TaskId, u64)>>);

/// Tasks of a batch that are in hand. Dropped, none of them is.
pub(super) struct Held {
    all: Arc<InHand>,
    batch: Vec<(TaskId, u64)>,
}

impl InHand {
    /// Takes the tasks of a batch.
    pub(super) fn take(self: &Arc<Self>, batch: &[ClaimedTask]) -> Held {
        let batch: Vec<_> = batch.iter().map(key).collect();
        self.lock().extend(batch.iter().cloned());
        Held { all: Arc::clone(self), batch }
    }

    /// It is settled, or will not be: nobody here goes on with it.
    pub(super) fn let_go(&self, task: &ClaimedTask) {
        self.lock().remove(&key(task));
    }

    /// All that is in hand.
    pub(super) fn all(&self) -> Vec<(TaskId, u64)> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(TaskId, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        for key in &self.batch {
            all.remove(key);
        }
    }
}

fn key(task: &ClaimedTask) -> (TaskId, u64) {
    (task.task.id.clone(), task.fence)
}
