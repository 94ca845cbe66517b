//! One turn of a draft: the model is asked, within its budget and its time, and for as long as anybody wants to know.

use super::super::{ChosenModel, Pipeline, StepError, outcome};
use super::{Step, kept, late, spend};
use crate::failpoint;
use crate::request::{Request, State};
use crate::store::{Budget, Reservation, Settlement, Spend, Turn};
use crate::types::{RequestId, SpecDuration};
use std::sync::Arc;
use std::time::Duration;

/// While a model is asked, it is looked this often whether anybody still wants to know.
const LOOKS: Duration = Duration::from_millis(300);
/// When a draft goes on that nobody wanted for a moment.
const AGAIN: Duration = Duration::from_secs(1);

/// Why nobody wants a draft any more.
pub(super) enum Unwanted {
    /// Its request has ended.
    Ended,
    /// What asked for its request went away; the request as it is then.
    TakenBack(Box<Request>),
}

impl Pipeline {
    /// Asks the model once, within its budget, and does what follows from its reply.
    pub(super) async fn turn(
        self: &Arc<Self>,
        mut step: Step<'_>,
        chosen: &ChosenModel,
        budget: &Budget,
        timeout: SpecDuration,
    ) -> Result<Settlement, StepError> {
        if let Some(unwanted) = self.unwanted(&step.request.id).await? {
            return self.over(&step, unwanted).await;
        }
        let exchange = step.conversation.exchange(chosen.max_tokens);
        let reserved = spend::most(&exchange, chosen.price);
        let (held, draft) = (step.held, step.draft.number);
        let (number, begun_at) = (step.asked() + 1, self.clock.now());
        let attempt = match self.store.reserve_turn(held, draft, number, reserved, budget, begun_at).await? {
            Reservation::Made { attempt } => attempt,
            Reservation::Exhausted { whose, used, limit } => {
                return self.fails(&step, spend::exhausted(whose, used, limit, reserved), Vec::new()).await;
            }
            Reservation::Over => return self.over(&step, Unwanted::Ended).await,
        };
        failpoint::hit("draft.reserved");
        let left = timeout.get().saturating_sub(begun_at.since(step.draft.begun_at));
        let said = tokio::select! {
            said = chosen.model.answer(&exchange) => said,
            unwanted = self.until_unwanted(&step.request.id) => return self.over(&step, unwanted).await,
            // The call counts for what it was reckoned at.
            () = tokio::time::sleep(left) => return self.fails(&step, late(timeout), Vec::new()).await,
        };
        let ended_at = Some(self.clock.now());
        let mut turn = Turn { number, attempt, begun_at, reserved, spent: None, reply: None, response: None, ended_at };
        let reply = match said {
            Ok(reply) => reply,
            Err(error) => {
                turn.spent = error.charges_nothing().then(Spend::default);
                self.store.settle_turn(held, draft, &turn).await?;
                return Err(error.into());
            }
        };
        turn.spent = Some(spend::actual(&reply, &exchange, reserved, chosen.price));
        turn.reply = Some(kept(&reply)?);
        self.store.settle_turn(held, draft, &turn).await?;
        failpoint::hit("draft.answered");
        step.turns.push(turn);
        step.conversation.turns.push((reply.clone(), None));
        self.follow(step, reply).await
    }

    /// Nobody wants the draft any more.
    pub(super) async fn over(&self, step: &Step<'_>, unwanted: Unwanted) -> Result<Settlement, StepError> {
        self.learnt.forget(&step.request.id);
        let settlement = match unwanted {
            Unwanted::Ended => return Ok(outcome::nothing()),
            // The task that is owed for it waits for this one to end: what it would do is done here.
            Unwanted::TakenBack(now) => self.retract(&now).await?,
        };
        let again = || outcome::not_before(self.clock.now().plus(AGAIN), "it is wanted again".to_owned());
        Ok(if settlement.request.is_none() { again() } else { settlement })
    }

    /// Why nobody wants the request any more; none where somebody does.
    async fn unwanted(&self, request: &RequestId) -> Result<Option<Unwanted>, StepError> {
        let now = self.store.request(request).await?;
        if now.state.is_ended() && now.state != State::Merged {
            return Ok(Some(Unwanted::Ended));
        }
        Ok(self.is_taken_back(&now).await?.then(|| Unwanted::TakenBack(Box::new(now))))
    }

    /// Until nobody wants the request any more.
    pub(super) async fn until_unwanted(&self, request: &RequestId) -> Unwanted {
        loop {
            tokio::time::sleep(LOOKS).await;
            if let Ok(Some(unwanted)) = self.unwanted(request).await {
                return unwanted;
            }
        }
    }
}
