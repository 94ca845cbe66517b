//! What is said between the copilot and its model: every call is held against the day's budget before it is made, and what the model is
//! told has passed the redactor.

use super::super::drafting::{actual, exhausted, most};
use super::{CopilotError, ModelAsked, offer};
use crate::automation::Automation;
use crate::draft::{
    Conversation, MOST_TRIES, ModelError, Offer, Picked, Redactor, Reply, Response, TextKind, choosing, chosen, filled, filling, plain,
};
use crate::pipeline::{ChosenModel, Pipeline, StepError};
use crate::store::{CallReservation, Purse, Spend};
use crate::types::AutomationName;
use serde_json::Value;
use std::time::Duration;

/// How often a call is made that a provider does not answer.
const MOST_ATTEMPTS: u32 = 3;
/// The longest wait for a provider that asks for one: a person sits before it.
const MOST_WAITED: Duration = Duration::from_secs(20);
const DAY_MILLIS: i64 = 86_400_000;

/// A talk with the model about one sentence.
pub(super) struct Talk<'p> {
    pipeline: &'p Pipeline,
    chosen: ChosenModel,
    redactor: Redactor,
    salt: String,
    asked: ModelAsked,
}

impl<'p> Talk<'p> {
    pub(super) fn new(pipeline: &'p Pipeline, chosen: ChosenModel, (redactor, salt): (Redactor, String)) -> Self {
        let id = chosen.model.id().clone();
        let micros = chosen.price.map(|_| 0);
        let asked = ModelAsked { provider: id.provider, model: id.name, reported: None, calls: 0, tokens: 0, micros };
        Self { pipeline, chosen, redactor, salt, asked }
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> ModelAsked {
        self.asked.clone()
    }

    /// A text without what must not leave.
    pub(super) fn withheld(&mut self, text: &str) -> String {
        self.redactor.redact(text, TextKind::Other)
    }

    /// The automation that does what the sentence wants, or why none does.
    pub(super) async fn choose(&mut self, sentence: &str, offered: &[&Automation]) -> Result<Result<AutomationName, String>, CopilotError> {
        let offers: Vec<Offer<'_>> = offered.iter().map(|automation| offer(automation)).collect();
        let conversation = choosing(sentence, &offers, &self.salt);
        let find = |name: &str| offered.iter().find(|automation| automation.name.as_str() == name);
        let picked = self.until_picked(conversation, |reply| chosen(reply, |name| find(name).is_some())).await?;
        Ok(picked.and_then(|name| find(&name).map(|automation| automation.name.clone()).ok_or(name)))
    }

    /// The automation's parameters as `judge` takes them, or why there are none.
    pub(super) async fn fill<T>(
        &mut self,
        sentence: &str,
        automation: &Automation,
        clusters: &[&str],
        judge: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<Result<T, String>, CopilotError> {
        let conversation = filling(sentence, offer(automation), &automation.parameters().schema_with_defaults(), clusters, &self.salt);
        self.until_picked(conversation, |reply| filled(reply, &judge)).await
    }

    async fn until_picked<T>(
        &mut self,
        mut conversation: Conversation,
        read: impl Fn(&Reply) -> Picked<T>,
    ) -> Result<Result<T, String>, CopilotError> {
        let mut last = String::new();
        for _ in 0..MOST_TRIES {
            let reply = self.answer(&conversation).await?;
            match read(&reply) {
                Picked::Is(picked) => return Ok(Ok(picked)),
                Picked::Nothing { reason } => return Ok(Err(plain(&reason).replace('\n', " "))),
                Picked::Not { problem, response } => {
                    last = problem;
                    let response = self.told(response);
                    conversation.turns.push((reply, Some(response)));
                }
            }
        }
        Ok(Err(format!("the model did not say it in a way that fits in {MOST_TRIES} tries; the last time: {}", last.replace('\n', "; "))))
    }

    fn told(&mut self, mut response: Response) -> Response {
        for result in &mut response.results {
            result.content = self.redactor.redact(&result.content, TextKind::Other);
        }
        response
    }

    /// The model's next reply. What a provider has no time for now is asked again after as long as it says.
    async fn answer(&mut self, conversation: &Conversation) -> Result<Reply, CopilotError> {
        let mut attempt = 1;
        loop {
            let error = match self.call(conversation).await? {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let wait = error.retry_after().unwrap_or(Duration::from_secs(1));
            let is_over_soon = matches!(error, ModelError::Busy { .. } | ModelError::Unreachable { .. } | ModelError::NotReached { .. });
            if attempt == MOST_ATTEMPTS || !is_over_soon || wait > MOST_WAITED {
                return Err(StepError::from(error).into());
            }
            attempt += 1;
            tokio::time::sleep(wait).await;
        }
    }

    /// One call within the day's budget.
    async fn call(&mut self, conversation: &Conversation) -> Result<Result<Reply, ModelError>, CopilotError> {
        let exchange = conversation.exchange(self.chosen.max_tokens);
        let worst = most(&exchange, self.chosen.price);
        let now = self.pipeline.clock.now();
        let call = match self.pipeline.store.reserve_call(worst, self.chosen.per_day, now).await? {
            CallReservation::Made { call } => call,
            CallReservation::Exhausted { used, limit } => {
                let left = DAY_MILLIS - now.unix_millis().rem_euclid(DAY_MILLIS);
                let retry_after = Duration::from_millis(left.unsigned_abs());
                return Err(CopilotError::Exhausted { message: exhausted(Purse::Day, used, limit, worst), retry_after });
            }
        };
        self.asked.calls += 1;
        let answered = self.chosen.model.answer(&exchange).await;
        let spent = match &answered {
            Ok(reply) => actual(reply, &exchange, worst, self.chosen.price),
            Err(error) if error.charges_nothing() => Spend::default(),
            Err(_) => worst,
        };
        self.pipeline.store.settle_call(call, spent).await?;
        self.asked.tokens = self.asked.tokens.saturating_add(spent.tokens);
        self.asked.micros = self.asked.micros.map(|micros| micros.saturating_add(spent.micros));
        if let Ok(reply) = &answered {
            self.asked.reported = reply.model.clone().or(self.asked.reported.take());
        }
        Ok(answered)
    }
}
