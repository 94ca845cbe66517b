//! How the steps of a batch tell what came of them: one by one, while the others still run.

use super::StepError;
use crate::store::Settlement;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::Span;

/// What came of the task at this place of the batch.
pub type Outcome = (usize, Result<Settlement, StepError>);

/// Where a batch hears of its outcomes, and the span of each of its steps.
#[derive(Debug, Clone)]
pub struct Report {
    outcomes: UnboundedSender<Outcome>,
    spans: Arc<[Span]>,
}

impl Report {
    /// A report to tell outcomes to, and where they are heard. The spans stand in the order of the batch; a place without one has none.
    pub fn channel(spans: impl Into<Arc<[Span]>>) -> (Self, UnboundedReceiver<Outcome>) {
        let (outcomes, receiver) = unbounded_channel();
        (Self { outcomes, spans: spans.into() }, receiver)
    }

    /// The span of the step at this place: what is done for it is done in that.
    pub(super) fn span(&self, place: usize) -> Span {
        self.spans.get(place).cloned().unwrap_or_else(Span::none)
    }

    /// Tells one. Where nobody listens any more, it is lost: the task is done again.
    pub(super) fn tell(&self, place: usize, outcome: Result<Settlement, StepError>) {
        let _ = self.outcomes.send((place, outcome));
    }
}
