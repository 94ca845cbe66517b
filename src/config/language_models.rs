//! The settings of language models. Their keys are secrets and stand in none of them.

use super::values::{self, HttpUrl, number, optional, span};
use super::{ConfigError, Reader, table};
use crate::automation::{PriceSpec, Provider};
use crate::types::Withheld;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// `LLM_...`: which models draft, and what they may use.
#[derive(Debug, Clone, PartialEq)]
pub struct LanguageModels {
    /// `LLM_PROVIDER`; none when nothing drafts unless an automation names a provider.
    pub provider: Option<Provider>,
    /// `LLM_<PROVIDER>_MODEL` of those that are given.
    pub models: BTreeMap<Provider, String>,
    /// `LLM_<PROVIDER>_URL` of those that are given.
    pub urls: BTreeMap<Provider, HttpUrl>,
    /// `LLM_MAX_TOKENS`: tokens one answer may have.
    pub max_tokens: u32,
    /// `LLM_TIMEOUT`: the longest one call may take.
    pub timeout: Duration,
    /// `LLM_DRAFTS_AT_ONCE`.
    pub drafts_at_once: usize,
    /// `LLM_INPUT_PRICE` and `LLM_OUTPUT_PRICE`: what the model of `provider` costs.
    pub price: Option<PriceSpec>,
    /// `LLM_TOKENS_PER_DAY`.
    pub tokens_per_day: Option<u64>,
    /// `LLM_COST_PER_DAY`.
    pub cost_per_day: Option<f64>,
    /// `LLM_WITHHOLD`: what is shown to no model, beside what is withheld anyway.
    pub withheld: Withheld,
    /// `LLM_RECORD`: the cassette that every exchange is added to.
    pub record: Option<PathBuf>,
    /// `LLM_CASSETTE`: the cassette that answers in the place of every model.
    pub cassette: Option<PathBuf>,
}

impl LanguageModels {
    /// Reads them alone, as [`super::Settings::from_env`] reads them, for whoever looks at resources without a server.
    ///
    /// # Errors
    /// Every value that cannot be used, all at once.
    pub fn from_env(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(environment)?;
        let models = reader.language_models();
        if reader.errors.is_empty() { Ok(models) } else { Err(ConfigError(reader.errors)) }
    }

    /// Whether the environment says anything about them.
    pub fn are_given(environment: &dyn Fn(&str) -> Option<String>) -> bool {
        let given = |name: &str| environment(name).is_some_and(|value| !value.trim().is_empty());
        table::names().any(|name| name.starts_with("LLM_") && given(name))
    }

    /// What can be used and is hardly meant, a sentence each.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        self.urls.iter().filter(|(_, url)| url.has_no_path()).map(|(provider, url)| {
            let word = provider.as_str().to_ascii_uppercase();
            let version = if *provider == Provider::Google { "v1beta" } else { "v1" };
            format!("LLM_{word}_URL={url} has no path, and most servers are called below a version: LLM_{word}_URL={url}/{version}")
        })
    }
}

impl Reader<'_> {
    pub(super) fn language_models(&mut self) -> LanguageModels {
        let provider: Option<Provider> = self.get("LLM_PROVIDER", optional(values::provider)).flatten();
        let (mut models, mut urls) = (BTreeMap::new(), BTreeMap::new());
        for each in Provider::ALL {
            let word = each.as_str().to_ascii_uppercase();
            let model = self.get(&format!("LLM_{word}_MODEL"), optional(values::model_name));
            models.extend(model.map(|model| (each, model)));
            let url = self.get(&format!("LLM_{word}_URL"), optional(move |raw| values::model_url(raw, each)));
            urls.extend(url.map(|url| (each, url)));
        }
        self.complete(provider, &models, &urls);
        let record = self.get("LLM_RECORD", optional(values::text)).map(PathBuf::from);
        let cassette = self.get("LLM_CASSETTE", optional(values::text)).map(PathBuf::from);
        if record.is_some() && cassette.is_some() {
            self.refuse("LLM_RECORD", "LLM_CASSETTE is set as well".to_owned(), "one of the two, or none");
        }
        let price = self.price();
        LanguageModels {
            record,
            cassette,
            provider,
            models,
            urls,
            max_tokens: self.get("LLM_MAX_TOKENS", number(1, 1_000_000)),
            timeout: self.get("LLM_TIMEOUT", span(1, 3600, 1)),
            drafts_at_once: self.get("LLM_DRAFTS_AT_ONCE", number(1, 64)),
            price,
            tokens_per_day: self.get("LLM_TOKENS_PER_DAY", optional(number(1, 1_000_000_000_000))),
            cost_per_day: self.cost_per_day(provider, price),
            withheld: self.get("LLM_WITHHOLD", values::patterns),
        }
    }

    /// The provider has what it needs.
    fn complete(&mut self, provider: Option<Provider>, models: &BTreeMap<Provider, String>, urls: &BTreeMap<Provider, HttpUrl>) {
        let Some(provider) = provider else { return };
        let word = provider.as_str().to_ascii_uppercase();
        if provider == Provider::Local && !urls.contains_key(&provider) && self.raw("LLM_LOCAL_URL").is_empty() {
            let problem = "that is a server of one's own, and LLM_LOCAL_URL, which says where it is, is not set";
            self.refuse("LLM_PROVIDER", problem, "local with LLM_LOCAL_URL, such as http://localhost:11434/v1; another provider; or none");
        }
        let variable = format!("LLM_{word}_MODEL");
        if !models.contains_key(&provider) && self.raw(&variable).is_empty() {
            let problem = format!("{variable}, which says which model is called there, is not set");
            self.refuse("LLM_PROVIDER", problem, format!("a provider with {variable}, or none"));
        }
    }

    /// A limit on costs that can be reckoned: of a provider with a price.
    fn cost_per_day(&mut self, provider: Option<Provider>, price: Option<PriceSpec>) -> Option<f64> {
        let cost = self.get("LLM_COST_PER_DAY", optional(values::amount));
        if cost.is_some() && provider.is_some() && price.is_none() && self.raw("LLM_INPUT_PRICE").is_empty() {
            let problem = "nobody says what the model costs, so nothing would be limited".to_owned();
            self.refuse("LLM_COST_PER_DAY", problem, "with LLM_INPUT_PRICE and LLM_OUTPUT_PRICE, or none; LLM_TOKENS_PER_DAY needs no price");
        }
        cost
    }

    /// Both prices, or none.
    fn price(&mut self) -> Option<PriceSpec> {
        let mistakes = self.errors.len();
        let input = self.get("LLM_INPUT_PRICE", optional(values::amount));
        let output = self.get("LLM_OUTPUT_PRICE", optional(values::amount));
        if self.errors.len() == mistakes && input.is_some() != output.is_some() {
            let (given, other) = if input.is_some() { ("LLM_INPUT_PRICE", "LLM_OUTPUT_PRICE") } else { ("LLM_OUTPUT_PRICE", "LLM_INPUT_PRICE") };
            self.refuse(given, format!("{other} is not set"), "both prices, or none");
        }
        input.zip(output).map(|(input, output)| PriceSpec { input, output })
    }
}
