//! What the settings say of language models when resources are loaded, and what of an automation does not go with it.
//! It never asks a model, and knows no key.

use super::{AutomationSpec, DraftSpec, ModelSpec, Provider};
use crate::types::SpecError;
use std::collections::BTreeMap;

/// What is known of the settings of language models when resources are loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownModels {
    /// Whether they are those of a server. Where they are not, nobody set any, and the server's own may say more.
    pub given: bool,
    /// `LLM_PROVIDER`.
    pub provider: Option<Provider>,
    /// The model of each provider that has one: `LLM_<PROVIDER>_MODEL`.
    pub names: BTreeMap<Provider, String>,
    /// Whether the price of the model of `provider` is said.
    pub priced: bool,
    /// `LLM_MAX_TOKENS`, where it is known.
    pub max_tokens: Option<u32>,
}

impl KnownModels {
    /// Whether the settings say the price of the model that an automation wants.
    fn price(&self, wanted: Option<&ModelSpec>) -> bool {
        let Some(provider) = self.provider.filter(|_| self.priced) else { return false };
        let theirs = wanted.and_then(|wanted| wanted.provider).is_none_or(|wanted| wanted == provider);
        theirs && wanted.and_then(|wanted| wanted.name.as_ref()).is_none_or(|wanted| self.names.get(&provider) == Some(wanted))
    }

    /// What is wrong where a cost is limited of which nobody could say what it is. An error where the settings are given; where they are
    /// not, a server that knows no price refuses it.
    pub fn unpriced(&self, draft: &DraftSpec) -> Option<SpecError> {
        let per_day = draft.budget.per_day.as_ref().and_then(|day| day.cost);
        let pointer = match (draft.budget.cost, per_day) {
            (Some(_), _) => "/draft/budget/cost",
            (None, Some(_)) => "/draft/budget/perDay/cost",
            (None, None) => return None,
        };
        let model = draft.model.as_ref();
        if model.is_some_and(|model| model.price.is_some()) || self.price(model) {
            return None;
        }
        let (message, hint) = match self.given {
            true => (
                "what a draft costs is limited, and nobody says what its model costs",
                "say it in `draft.model.price`; LLM_INPUT_PRICE and LLM_OUTPUT_PRICE are those of the model that LLM_PROVIDER names",
            ),
            false => (
                "what a draft costs is limited: where the server knows no price of its model this is refused",
                "say it in `draft.model.price`, or check with the server's own LLM_PROVIDER, LLM_INPUT_PRICE and LLM_OUTPUT_PRICE set",
            ),
        };
        Some(SpecError::new(pointer, message).hint(hint))
    }

    /// What of a draft comes to nothing with these models.
    pub fn warnings(&self, spec: &AutomationSpec) -> Vec<SpecError> {
        let mut warnings = Vec::new();
        if let Some(draft) = &spec.draft {
            warnings.extend(self.without_model(draft.model.as_ref()));
            warnings.extend(self.small_budgets(draft));
        }
        warnings
    }

    /// Where nobody says which model drafts.
    fn without_model(&self, wanted: Option<&ModelSpec>) -> Option<SpecError> {
        let named = wanted.and_then(|wanted| wanted.name.as_ref());
        let Some(provider) = wanted.and_then(|wanted| wanted.provider).or(self.provider) else {
            return Some(match self.given {
                true => SpecError::new("/draft", "no language model is set, so nothing can be drafted")
                    .hint("set LLM_PROVIDER, or name a provider in `draft.model`"),
                false => SpecError::new("/draft", "no language model is set here: where the server has none either nothing is drafted")
                    .hint("check with the server's own LLM_PROVIDER set, or name a provider in `draft.model`"),
            });
        };
        if !self.given || named.is_some() || self.names.contains_key(&provider) {
            return None;
        }
        let message = format!("nobody says which model of {} drafts, so nothing can be drafted", provider.as_str());
        let hint = format!("name it in `draft.model.name`, or set LLM_{}_MODEL", provider.as_str().to_ascii_uppercase());
        Some(SpecError::new("/draft/model/provider", message).hint(hint))
    }

    /// Budgets in which no call has room: each is reckoned with all the tokens that an answer may have, and at least one that is sent.
    fn small_budgets(&self, draft: &DraftSpec) -> Vec<SpecError> {
        let wanted = draft.model.as_ref().and_then(|model| model.max_tokens);
        let Some(answer) = wanted.or(self.max_tokens).map(u64::from) else { return Vec::new() };
        let per_day = draft.budget.per_day.as_ref().and_then(|day| day.tokens);
        let budgets = [("/draft/budget/tokens", Some(draft.budget.tokens)), ("/draft/budget/perDay/tokens", per_day)];
        let small = budgets.into_iter().filter_map(|(pointer, budget)| Some((pointer, budget.filter(|budget| (1..=answer).contains(budget))?)));
        let warning = |(pointer, budget): (&'static str, u64)| {
            let whose = if wanted.is_some() { "draft.model.maxTokens" } else { "LLM_MAX_TOKENS" };
            let message = format!("no call has room in {budget} tokens: its answer alone may have {answer} ({whose})");
            SpecError::new(pointer, message).hint("raise it; a call is reckoned at what is sent and the longest answer together")
        };
        small.map(warning).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn automation(draft: Value) -> AutomationSpec {
        let mut spec = json!({ "instructions": "x", "write": ["**"], "allow": [{ "kinds": ["Deployment"], "fields": ["spec.replicas"] }] });
        spec.as_object_mut().expect("a mapping").extend(draft.as_object().expect("a mapping").clone());
        serde_json::from_value(json!({ "target": { "cluster": "prod" }, "pullRequest": { "title": "x" }, "draft": spec })).expect("an automation")
    }

    fn server() -> KnownModels {
        KnownModels {
            given: true,
            provider: Some(Provider::Local),
            names: [(Provider::Local, "qwen3".to_owned())].into(),
            priced: true,
            max_tokens: Some(4096),
        }
    }

    #[test]
    fn a_cost_that_is_limited_wants_the_price_of_the_model_that_is_asked() {
        let cost = |model: Value| automation(json!({ "budget": { "cost": 1.5 }, "model": model })).draft.expect("a draft");
        let refused = |known: &KnownModels, model: Value| known.unpriced(&cost(model)).map(|error| error.pointer);
        for priced in [json!({}), json!({ "provider": "local" }), json!({ "name": "qwen3" }), json!({ "price": { "input": 1, "output": 2 } })] {
            assert_eq!(refused(&server(), priced.clone()), None, "{priced}");
        }
        for unpriced in [json!({ "provider": "openai", "name": "x" }), json!({ "name": "qwen4" })] {
            assert_eq!(refused(&server(), unpriced.clone()).as_deref(), Some("/draft/budget/cost"), "{unpriced}");
        }
        let day = automation(json!({ "budget": { "perDay": { "cost": 1 } } })).draft.expect("a draft");
        let told = KnownModels::default().unpriced(&day).expect("a word");
        assert!(told.pointer == "/draft/budget/perDay/cost" && told.message.contains("where the server knows no price"), "{told:?}");
    }

    #[test]
    fn what_no_model_drafts_is_warned_of() {
        let none = KnownModels { given: true, ..KnownModels::default() };
        let told = |known: &KnownModels, spec: &AutomationSpec| known.warnings(spec).into_iter().map(|warning| warning.pointer).collect::<Vec<_>>();
        for (known, draft, pointers) in [
            (server(), json!({}), &[] as &[&str]),
            (none.clone(), json!({}), &["/draft"]),
            (KnownModels::default(), json!({}), &["/draft"]),
            (KnownModels::default(), json!({ "model": { "provider": "openai" } }), &[]),
            (server(), json!({ "model": { "provider": "openai" } }), &["/draft/model/provider"]),
            (none.clone(), json!({ "model": { "provider": "openai", "name": "x" } }), &[]),
        ] {
            assert_eq!(told(&known, &automation(draft.clone())), pointers, "{draft} {known:?}");
        }
        // An automation works without the copilot, and who asks it is told what is missing.
        let offered = AutomationSpec { copilot: true, draft: None, ..automation(json!({})) };
        assert!(told(&none, &offered).is_empty());
    }

    #[test]
    fn a_budget_below_one_call_is_warned_of() {
        let told = |draft: Value| server().warnings(&automation(draft)).into_iter().map(|warning| warning.pointer).collect::<Vec<_>>();
        assert_eq!(told(json!({ "budget": { "tokens": 4096 } })), ["/draft/budget/tokens"]);
        assert_eq!(told(json!({ "budget": { "perDay": { "tokens": 1000 } } })), ["/draft/budget/perDay/tokens"]);
        assert_eq!(told(json!({ "budget": { "tokens": 4097 } })), Vec::<String>::new());
        assert_eq!(told(json!({ "budget": { "tokens": 4096 }, "model": { "maxTokens": 100 } })), Vec::<String>::new());
    }
}
