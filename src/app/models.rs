//! Glue: the models of the settings and of automations, each made once.

use crate::automation::{KnownModels, ModelSpec, PriceSpec, Provider};
use crate::clock::Clock;
use crate::config::LanguageModels;
use crate::draft::{
    Exchange, KeySource, Model, ModelError, ModelId, ModelSettings, Recording, Redactor, Replaying, Reply, Scrub, Tape, TextKind, provider,
};
use crate::pipeline::{ChosenModel, Models};
use crate::secrets::{SecretError, SecretProvider};
use crate::store::Limit;
use crate::telemetry::{Metrics, ModelCall};
use crate::types::{SecretName, Withheld};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The models the settings and automations name.
pub struct ConfiguredModels {
    settings: LanguageModels,
    secrets: Arc<dyn SecretProvider>,
    clock: Arc<dyn Clock>,
    made: Mutex<Vec<Arc<dyn Model>>>,
    tape: Option<Arc<Tape>>,
    cassette: Option<Replaying>,
    metrics: Option<Arc<Metrics>>,
}

impl ConfiguredModels {
    /// Models that are made when they are first wanted, with keys that `secrets` gives at each call; or the cassette in their place.
    ///
    /// # Errors
    /// When there is to be a cassette and it cannot be read, or everything is to be recorded and the file cannot be opened.
    pub fn new(settings: LanguageModels, secrets: Arc<dyn SecretProvider>, clock: Arc<dyn Clock>) -> Result<Self, ModelError> {
        let scrub = || scrub(&hex::encode(clock.random().to_be_bytes()), &settings.withheld);
        let cassette = settings.cassette.as_deref().map(|path| Replaying::open(path, scrub())).transpose()?;
        let tape = settings.record.as_ref().map(|path| Arc::new(Tape::new(path, scrub())));
        if let Some(tape) = &tape {
            tape.check().map_err(|error| ModelError::NotConfigured(format!("LLM_RECORD cannot be used: {error}")))?;
        }
        Ok(Self { settings, secrets, clock, made: Mutex::default(), tape, cassette, metrics: None })
    }

    /// The same, with every call counted.
    pub fn counted(self, metrics: &Arc<Metrics>) -> Self {
        Self { metrics: Some(Arc::clone(metrics)), ..self }
    }

    fn made(&self, id: ModelId) -> Result<Arc<dyn Model>, ModelError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = made.iter().find(|model| *model.id() == id) {
            return Ok(Arc::clone(model));
        }
        if let Some(cassette) = &self.cassette {
            return Ok(Arc::new(cassette.in_place_of(id)));
        }
        let url = self.settings.urls.get(&id.provider).and_then(|url| url.as_str().parse().ok());
        let settings = ModelSettings { provider: id.provider, name: id.name, url, timeout: self.settings.timeout };
        let model = provider(settings, self.key(id.provider)?, Arc::clone(&self.clock))?;
        let model = match &self.tape {
            // Drafts are the work; that they are recorded is not.
            Some(tape) => Arc::new(Recording::new(model, Arc::clone(tape), false)),
            None => model,
        };
        made.push(Arc::clone(&model));
        Ok(model)
    }

    /// The secret `LLM_<PROVIDER>_API_KEY`. A local provider may have none.
    fn key(&self, provider: Provider) -> Result<KeySource, ModelError> {
        let name = format!("LLM_{}_API_KEY", provider.as_str().to_ascii_uppercase());
        let name: SecretName = name.parse().map_err(|error| ModelError::NotConfigured(format!("{error}")))?;
        let secrets = Arc::clone(&self.secrets);
        Ok(Arc::new(move || match secrets.secret(&name) {
            Ok(key) => Ok(Some(key)),
            Err(SecretError::Missing { .. }) if provider == Provider::Local => Ok(None),
            Err(error) => Err(error.to_string()),
        }))
    }
}

impl Models for ConfiguredModels {
    fn model(&self, wanted: Option<&ModelSpec>) -> Result<ChosenModel, ModelError> {
        let settings = &self.settings;
        let none = |what: &str| ModelError::NotConfigured(format!("no model drafts here: {what}"));
        let provider = wanted
            .and_then(|wanted| wanted.provider)
            .or(settings.provider)
            .ok_or_else(|| none("set LLM_PROVIDER, or name a provider in the automation's draft.model"))?;
        let named = wanted.and_then(|wanted| wanted.name.clone());
        let name = named.or_else(|| settings.models.get(&provider).cloned()).ok_or_else(|| {
            let variable = format!("LLM_{}_MODEL", provider.as_str().to_ascii_uppercase());
            none(&format!("set {variable}, or name a model in the automation's draft.model"))
        })?;
        // The price of the settings is that of their model and of no other.
        let theirs = settings.provider == Some(provider) && settings.models.get(&provider) == Some(&name);
        let price: Option<PriceSpec> = wanted.and_then(|wanted| wanted.price).or(settings.price.filter(|_| theirs));
        let model = self.made(ModelId { provider, name })?;
        let model = match &self.metrics {
            Some(metrics) => Arc::new(Counted { model, price, metrics: Arc::clone(metrics) }),
            None => model,
        };
        Ok(ChosenModel {
            model,
            max_tokens: wanted.and_then(|wanted| wanted.max_tokens).unwrap_or(settings.max_tokens),
            price,
            per_day: Limit { tokens: settings.tokens_per_day, micros: settings.cost_per_day.map(micros) },
        })
    }
}

/// A model whose calls are counted.
struct Counted {
    model: Arc<dyn Model>,
    price: Option<PriceSpec>,
    metrics: Arc<Metrics>,
}

#[async_trait::async_trait]
impl Model for Counted {
    fn id(&self) -> &ModelId {
        self.model.id()
    }

    async fn answer(&self, exchange: &Exchange) -> Result<Reply, ModelError> {
        let begun = Instant::now();
        let replied = self.model.answer(exchange).await;
        let outcome = replied.as_ref().map_or_else(|error| error.class().as_str(), |_| "done");
        let usage = replied.as_ref().ok().and_then(|reply| reply.usage);
        #[expect(clippy::cast_precision_loss, reason = "tokens of one call, far below 2^52")]
        let cost = self.price.zip(usage).map(|(price, usage)| (usage.input as f64 * price.input + usage.output as f64 * price.output) / 1e6);
        let tokens = usage.map(|usage| (usage.input, usage.output));
        self.metrics.model_call(ModelCall { provider: self.id().provider.as_str(), outcome, took: begun.elapsed(), tokens, cost });
        replied
    }
}

/// Takes out what looks like a secret. What is said to a model was freed of those that are known already; what it answers was not.
fn scrub(salt: &str, withheld: &Withheld) -> Scrub {
    let (salt, patterns) = (salt.to_owned(), withheld.patterns().to_vec());
    Arc::new(move |text| Redactor::new(&salt, patterns.clone(), &[]).redact(text, TextKind::Other))
}

/// What the settings say of models, for whoever loads resources; `given` where they are a server's.
pub fn known(settings: &LanguageModels, given: bool) -> KnownModels {
    let LanguageModels { provider, models, price, max_tokens, .. } = settings;
    KnownModels { given, provider: *provider, names: models.clone(), priced: price.is_some(), max_tokens: Some(*max_tokens) }
}

/// Millionths of an amount.
fn micros(amount: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an amount from 0 to a million, as the settings have it")]
    let micros = (amount * 1_000_000.0).round() as u64;
    micros
}
