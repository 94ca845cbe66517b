//! The models of a provider, called over HTTP by this process itself.
//!
//! The crate `genai` is not used here. Of it, only a client that makes the whole call is public, and that client reads an answer of any
//! size into memory, takes endings as `-high` or `-max` of a model's name for a setting of its own and asks for another model, drops
//! refusals, gives a usage of nothing where none was told, and fails a call, with the whole prompt in the error, where one argument of a
//! tool is malformed. The forms themselves are small (`wire`).

use super::http::Http;
use super::wire::Wire;
use super::{Exchange, Model, ModelError, ModelId, Reply};
use crate::automation::Provider;
use crate::clock::Clock;
use crate::spans;
use crate::types::is_loopback;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use url::Url;

/// The longest name of a model.
const MAX_NAME: usize = 200;
/// Words for a refusal that do not say what is wrong with the request.
const UNCLEAR: [&str; 2] = ["BadRequestError", "invalid_request_error"];
const WANTS_A_KEY: &str = "a server of one's own that wants a key is given the secret LLM_LOCAL_API_KEY";
const WANTS_TOOLS_ENABLED: &str =
    "it was offered tools, which the model has to know and some servers take only when told to (vLLM: --enable-auto-tool-choice, --tool-call-parser)";

/// Which model is called, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSettings {
    /// Who offers it.
    pub provider: Provider,
    /// Its name there.
    pub name: String,
    /// The base of its address, with the version in it, as `https://api.openai.com/v1`; none for the provider's own, which `local` has not.
    pub url: Option<Url>,
    /// How long a call may take from its begin to the last byte of the answer.
    pub timeout: Duration,
}

/// Gives the provider's key, freshly at each call; none where there is none. Its error is text without a secret.
pub type KeySource = Arc<dyn Fn() -> Result<Option<SecretString>, String> + Send + Sync>;

/// The model these settings name. Nothing is called yet, and the key is asked for at each call and kept by nobody.
///
/// # Errors
/// [`ModelError::NotConfigured`] when the name or the address cannot be used: plain http is for this machine and the local provider.
pub fn provider(settings: ModelSettings, key: KeySource, clock: Arc<dyn Clock>) -> Result<Arc<dyn Model>, ModelError> {
    let ModelSettings { provider, name, url, timeout } = settings;
    let refuse = |problem: &str| Err(ModelError::NotConfigured(format!("the model of {}: {problem}", provider.as_str())));
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return refuse("its name has 1 to 200 characters and no space");
    }
    let Some(mut url) = url.or_else(|| own_address(provider)) else {
        return refuse("it has no address; set LLM_LOCAL_URL");
    };
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !url.username().is_empty() || url.password().is_some() {
        return refuse("its address is an http:// or https:// URL without credentials");
    }
    if url.scheme() == "http" && provider != Provider::Local && !is_loopback(&url) {
        return refuse("its address is plain http, which only a model of one's own (`local`) or on this machine may have");
    }
    let wire = Wire::of(provider);
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(wire.path(&name));
    }
    let http = Http::new(url, timeout, clock)?;
    Ok(Arc::new(Provided { id: ModelId { provider, name }, wire, http, key }))
}

/// Where a provider is, without a setting.
fn own_address(provider: Provider) -> Option<Url> {
    let text = match provider {
        Provider::Local => return None,
        Provider::OpenAi => "https://api.openai.com/v1",
        Provider::Anthropic => "https://api.anthropic.com/v1",
        Provider::Google => "https://generativelanguage.googleapis.com/v1beta",
        Provider::Xai => "https://api.x.ai/v1",
    };
    text.parse().ok()
}

struct Provided {
    id: ModelId,
    wire: Wire,
    http: Http,
    key: KeySource,
}

impl Provided {
    fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, ModelError> {
        let place = self.http.place();
        let mut headers: Vec<_> = self.wire.headers().into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
        let key = (self.key)().map_err(|problem| ModelError::NotConfigured(format!("the model at {place} has no key: {problem}")))?;
        match key {
            Some(key) => {
                let (name, value) = self.wire.key(&key);
                let mut value = HeaderValue::from_str(value.expose_secret())
                    .map_err(|_| ModelError::NotConfigured(format!("the key of the model at {place} holds characters that no header may hold")))?;
                value.set_sensitive(true);
                headers.push((name, value));
            }
            None if self.id.provider == Provider::Local => {}
            None => return Err(ModelError::NotConfigured(format!("the model at {place} has no key"))),
        }
        Ok(headers)
    }

    async fn ask(&self, exchange: &Exchange) -> Result<Reply, ModelError> {
        let body = self.wire.body(&self.id.name, exchange);
        let answer = self.http.post(self.headers()?, &body).await.map_err(|error| self.with_hint(error, exchange))?;
        self.wire.reply(&answer).map_err(|reason| self.http.unreadable(reason))
    }

    /// The span of a call, as the conventions for generative models name it. What is said is in no attribute.
    /// <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>
    fn span(&self, exchange: &Exchange) -> Span {
        let provider = match self.id.provider {
            Provider::Local => "local",
            Provider::OpenAi => "openai",
            Provider::Anthropic => "anthropic",
            Provider::Google => "gcp.gemini",
            Provider::Xai => "x_ai",
        };
        tracing::debug_span!(
            "chat",
            otel.name = format!("chat {}", self.id.name),
            otel.kind = "client",
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = provider,
            gen_ai.request.model = self.id.name.as_str(),
            gen_ai.request.max_tokens = exchange.max_tokens,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            gen_ai.response.model = Empty,
            server.address = self.http.host(),
        )
    }

    /// The same with what a server of one's own usually wants when it refuses so. Its own words are not looked at.
    fn with_hint(&self, error: ModelError, exchange: &Exchange) -> ModelError {
        match error {
            ModelError::Refused { place, status, code, .. } if self.id.provider == Provider::Local => {
                let told = code.as_deref().is_some_and(|code| !UNCLEAR.contains(&code));
                let hint = match status {
                    401 => Some(WANTS_A_KEY),
                    400 if !exchange.tools.is_empty() && !told => Some(WANTS_TOOLS_ENABLED),
                    _ => None,
                };
                ModelError::Refused { place, status, code, hint }
            }
            error => error,
        }
    }
}

/// Says what a call used. A model's own word for itself is shown where it looks like a model's name.
fn told(span: &Span, reply: &Reply) {
    if let Some(usage) = reply.usage {
        span.record("gen_ai.usage.input_tokens", usage.input);
        span.record("gen_ai.usage.output_tokens", usage.output);
    }
    let is_name = |name: &&String| name.len() <= MAX_NAME && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/@-".contains(&b));
    if let Some(name) = reply.model.as_ref().filter(is_name) {
        span.record("gen_ai.response.model", name.as_str());
    }
}

#[async_trait::async_trait]
impl Model for Provided {
    fn id(&self) -> &ModelId {
        &self.id
    }

    async fn answer(&self, exchange: &Exchange) -> Result<Reply, ModelError> {
        let span = self.span(exchange);
        let replied = self.ask(exchange).instrument(span.clone()).await;
        if let Ok(reply) = &replied {
            told(&span, reply);
        }
        spans::told(&span, replied, ModelError::class)
    }
}
