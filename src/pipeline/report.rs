//! How the steps of a batch tell what came of them: one by one, while the others still run.

use super::StepError;
use crate::store::Settlement;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What came of the task at this place of the batch.
pub type Outcome = (usize, Result<Settlement, StepError>);

/// Where a batch hears of its outcomes.
#[derive(Debug, Clone)]
pub struct Report(UnboundedSender<Outcome>);

impl Report {
    /// A report to tell outcomes to, and where they are heard.
    pub fn channel() -> (Self, UnboundedReceiver<Outcome>) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), receiver)
    }

    /// Tells one. Where nobody listens any more, it is lost: the task is done again.
    pub(super) fn tell(&self, place: usize, outcome: Result<Settlement, StepError>) {
        let _ = self.0.send((place, outcome));
    }
}
