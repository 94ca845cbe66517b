//! What calls of a model cost: at the most before they are made, and as far as it can be believed afterwards.

use super::super::{ChosenModel, StepError};
use crate::automation::{BudgetSpec, PriceSpec};
use crate::draft::{Exchange, Reply, Usage};
use crate::request::{Drafted, amount};
use crate::store::{Budget, Limit, Purse, Spend, Turn};
use crate::types::AutomationName;

/// A provider that says less was used than this part of the most is not believed: no token stands for so much text.
const LEAST_PART: u64 = 64;

/// Why a limit on costs cannot be held.
const UNPRICED: &str = "nobody says what the model costs: `draft.model.price`, or LLM_INPUT_PRICE and LLM_OUTPUT_PRICE";

/// Millionths of an amount.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "amounts are bounded, and none is below 0")]
pub(super) fn micros(amount: f64) -> u64 {
    (amount * 1_000_000.0).ceil() as u64
}

/// What an automation's drafts are held against with this model.
///
/// # Errors
/// When it limits what they cost, and nobody says what the model costs.
pub(super) fn budget(automation: &AutomationName, spec: &BudgetSpec, chosen: &ChosenModel) -> Result<Budget, StepError> {
    let day = spec.per_day.as_ref().map_or(Limit::default(), |day| Limit { tokens: day.tokens, micros: day.cost.map(micros) });
    let request = Limit { tokens: Some(spec.tokens), micros: spec.cost.map(micros) };
    if request.micros.or(day.micros).is_some() && chosen.price.is_none() {
        return Err(StepError::Permanent(format!("the automation {automation} limits what its drafts cost, and {UNPRICED}")));
    }
    is_priced(chosen).map_err(StepError::Permanent)?;
    Ok(Budget { request, automation_day: day, day: chosen.per_day })
}

/// Whether what a day may cost can be reckoned with this model; why not, where it cannot.
pub(in crate::pipeline) fn is_priced(chosen: &ChosenModel) -> Result<(), String> {
    match (chosen.per_day.micros, chosen.price) {
        (Some(_), None) => Err(format!("LLM_COST_PER_DAY limits what models cost, and {UNPRICED}")),
        _ => Ok(()),
    }
}

/// The most a call can cost.
pub(in crate::pipeline) fn most(exchange: &Exchange, price: Option<PriceSpec>) -> Spend {
    priced(Usage { input: exchange.most_tokens(), output: u64::from(exchange.max_tokens) }, price)
}

/// What a call did cost. A provider that says nothing, or what cannot be, is reckoned at the most.
pub(in crate::pipeline) fn actual(reply: &Reply, exchange: &Exchange, worst: Spend, price: Option<PriceSpec>) -> Spend {
    let answered = u64::try_from(serde_json::to_vec(&(&reply.text, &reply.calls)).map_or(0, |bytes| bytes.len())).unwrap_or(u64::MAX);
    match reply.usage {
        Some(usage) if usage.input >= exchange.most_tokens() / LEAST_PART && usage.output >= answered / LEAST_PART => priced(usage, price),
        Some(usage) => {
            let claimed = priced(usage, price);
            Spend { tokens: worst.tokens.max(claimed.tokens), micros: worst.micros.max(claimed.micros) }
        }
        None => worst,
    }
}

/// What calls did cost altogether, those that were cut off at their most.
pub(super) fn sum(turns: &[Turn]) -> Spend {
    turns.iter().map(|turn| turn.spent.unwrap_or(turn.reserved)).fold(Spend::default(), |sum, spent| Spend {
        tokens: sum.tokens.saturating_add(spent.tokens),
        micros: sum.micros.saturating_add(spent.micros),
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "rounded up; no bill is that high")]
fn priced(usage: Usage, price: Option<PriceSpec>) -> Spend {
    // A price for a million, in whole units, is one for a single token in millionths.
    let micros = price.map_or(0.0, |price| usage.input as f64 * price.input + usage.output as f64 * price.output);
    Spend { tokens: usage.input.saturating_add(usage.output), micros: micros.ceil() as u64 }
}

/// Why a call was not made.
pub(in crate::pipeline) fn exhausted(whose: Purse, used: Spend, limit: Limit, worst: Spend) -> String {
    let whose = match whose {
        Purse::Request => "the request's budget",
        Purse::AutomationDay => "the automation's budget for today",
        Purse::Day => "the budget for language models of today",
    };
    let over_tokens = limit.tokens.is_some_and(|limit| used.tokens.saturating_add(worst.tokens) > limit);
    match (over_tokens, limit.tokens, limit.micros) {
        (true, Some(limit), _) => {
            format!("{whose} does not allow another turn: {} of {limit} tokens are used, and it could take {}", used.tokens, worst.tokens)
        }
        (_, _, Some(limit)) => {
            format!(
                "{whose} does not allow another turn: {} of {} are used, and it could cost {}",
                amount(used.micros),
                amount(limit),
                amount(worst.micros)
            )
        }
        _ => format!("{whose} does not allow another turn"),
    }
}

/// What a draft took, for a timeline.
pub(super) fn told(drafted: &Drafted) -> String {
    let refused = match drafted.refused {
        0 => String::new(),
        1 => "; one answer before it was refused".to_owned(),
        more => format!("; {more} answers before it were refused"),
    };
    let turns = if drafted.turns == 1 { "turn" } else { "turns" };
    let cost = drafted.cost().map(|cost| format!(", {cost}")).unwrap_or_default();
    format!("drafted by {} of {} in {} {turns}, {} tokens{cost}{refused}", drafted.model, drafted.provider.as_str(), drafted.turns, drafted.tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::{End, Message};

    #[test]
    fn what_a_provider_says_was_used_counts_only_where_it_can_be() {
        let exchange =
            Exchange { system: "s".repeat(4_000), messages: vec![Message::User("u".repeat(60_000))], tools: Vec::new(), max_tokens: 1_000 };
        let price = Some(PriceSpec { input: 2.0, output: 8.0 });
        let worst = most(&exchange, price);
        assert!(worst.tokens > 65_000 && worst.micros == 2 * (worst.tokens - 1_000) + 8_000, "{worst:?}");
        let of = |usage: Option<(u64, u64)>| {
            let usage = usage.map(|(input, output)| Usage { input, output });
            let reply = Reply { text: "t".repeat(640), calls: Vec::new(), usage, model: None, end: End::Finished };
            actual(&reply, &exchange, worst, price)
        };
        assert_eq!(of(Some((20_000, 200))), Spend { tokens: 20_200, micros: 41_600 }, "what may well be");
        for lie in [None, Some((1, 1)), Some((0, 0)), Some((20_000, 1)), Some((100, 200))] {
            assert_eq!(of(lie), worst, "{lie:?} counts for the most");
        }
        let more = of(Some((500_000, 0)));
        assert!(more.tokens == 500_000 && more.micros >= 1_000_000, "more than can be, half of it unbelievable: {more:?}");
    }
}
