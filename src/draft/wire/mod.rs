//! The forms providers speak: what is sent for an exchange, and what an answer says. Pure: no form is guessed, nothing is sent from here.
//! No error here holds what was answered.

mod anthropic;
mod google;
mod openai;

use super::http::why;
use super::{Arguments, Exchange, Reply, Usage};
use crate::automation::Provider;
use reqwest::header::HeaderName;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

/// Characters kept of arguments that cannot be read.
const MAX_UNREADABLE: usize = 2000;
/// Characters kept of what a provider calls the model that answered: the name stands in rows, commits and events.
const MAX_MODEL_NAME: usize = 200;

/// A form, and what differs within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// OpenAI's chat completions, with the field that bounds the answer.
    OpenAi { max_tokens: &'static str },
    /// Anthropic's messages.
    Anthropic,
    /// Google's `generateContent`.
    Google,
}

impl Wire {
    /// What a provider speaks.
    pub(super) fn of(provider: Provider) -> Self {
        match provider {
            // The newer name is not known to every server of one's own, and reasoning models of the others know no other.
            Provider::Local => Self::OpenAi { max_tokens: "max_tokens" },
            Provider::OpenAi | Provider::Xai => Self::OpenAi { max_tokens: "max_completion_tokens" },
            Provider::Anthropic => Self::Anthropic,
            Provider::Google => Self::Google,
        }
    }

    /// The segments below the base URL where a model is called.
    pub(super) fn path(self, model: &str) -> Vec<String> {
        match self {
            Self::OpenAi { .. } => vec!["chat".to_owned(), "completions".to_owned()],
            Self::Anthropic => vec!["messages".to_owned()],
            Self::Google => vec!["models".to_owned(), format!("{}:generateContent", model.strip_prefix("models/").unwrap_or(model))],
        }
    }

    /// Headers that are no secret.
    pub(super) fn headers(self) -> Vec<(HeaderName, &'static str)> {
        match self {
            Self::Anthropic => vec![(HeaderName::from_static("anthropic-version"), "2023-06-01")],
            Self::OpenAi { .. } | Self::Google => Vec::new(),
        }
    }

    /// The header that holds the key, with it.
    pub(super) fn key(self, key: &SecretString) -> (HeaderName, SecretString) {
        match self {
            Self::OpenAi { .. } => (reqwest::header::AUTHORIZATION, format!("Bearer {}", key.expose_secret()).into()),
            Self::Anthropic => (HeaderName::from_static("x-api-key"), key.clone()),
            Self::Google => (HeaderName::from_static("x-goog-api-key"), key.clone()),
        }
    }

    /// What is sent.
    pub(super) fn body(self, model: &str, exchange: &Exchange) -> Value {
        match self {
            Self::OpenAi { max_tokens } => openai::body(model, exchange, max_tokens),
            Self::Anthropic => anthropic::body(model, exchange),
            Self::Google => google::body(model, exchange),
        }
    }

    /// What was answered.
    ///
    /// # Errors
    /// Why it is no answer, without what it says.
    pub(super) fn reply(self, body: &Value) -> Result<Reply, &'static str> {
        match self {
            Self::OpenAi { .. } => openai::reply(body),
            Self::Anthropic => anthropic::reply(body),
            Self::Google => google::reply(body),
        }
    }
}

/// Arguments that came as text.
fn arguments_of_text(text: &str) -> Arguments {
    if text.trim().is_empty() {
        return Arguments::Read(json!({}));
    }
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(fields)) => Arguments::Read(Value::Object(fields)),
        Ok(_) => unreadable(text, "it is no JSON object".to_owned()),
        Err(error) => unreadable(text, why(&error)),
    }
}

/// Arguments that came as JSON; a call without any has none.
fn arguments_of_json(arguments: &Value) -> Arguments {
    match arguments {
        Value::Object(_) => Arguments::Read(arguments.clone()),
        Value::Null => Arguments::Read(json!({})),
        _ => unreadable(&arguments.to_string(), "it is no JSON object".to_owned()),
    }
}

fn unreadable(text: &str, reason: String) -> Arguments {
    Arguments::Unreadable { text: text.chars().take(MAX_UNREADABLE).collect(), reason }
}

/// What the model is shown again of its own arguments: providers take nothing but an object.
fn shown_again(arguments: &Arguments) -> Value {
    match arguments {
        Arguments::Read(value @ Value::Object(_)) => value.clone(),
        Arguments::Read(value) => json!({ "unreadable": value.to_string() }),
        Arguments::Unreadable { text, .. } => json!({ "unreadable": text }),
    }
}

/// Tokens used: the answered ones are those it names, or what the total leaves beside those sent, whichever is more.
/// Some leave what was spent on reasoning out of the one and not out of the other.
fn usage(input: Option<u64>, output: Option<u64>, total: Option<u64>) -> Option<Usage> {
    let input = input?;
    let left = total.map(|total| total.saturating_sub(input));
    Some(Usage { input, output: output.max(left)? })
}

/// A word that stands for an id or a name; an empty one is none.
fn word(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The model that answered, by the provider's word: what can be seen of it, and no more than a name is long.
fn model_name(value: &Value) -> Option<String> {
    let seen = |c: &char| c.is_ascii_graphic() || *c == ' ';
    let name: String = value.as_str()?.chars().filter(seen).take(MAX_MODEL_NAME).collect();
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_name_of_a_model_is_short_and_can_be_seen() {
        assert_eq!(model_name(&json!("qwen3-coder:30b")).as_deref(), Some("qwen3-coder:30b"));
        assert_eq!(model_name(&json!("gpt\u{202e}\n\u{200b}-5 \u{1b}[2J")).as_deref(), Some("gpt-5 [2J"));
        assert_eq!(model_name(&json!("m".repeat(4_000_000))).map(|name| name.len()), Some(200));
        for none in [json!(""), json!(" \u{200b}"), json!(7), Value::Null] {
            assert_eq!(model_name(&none), None, "{none}");
        }
    }
}
