//! What is said to a model, and what it answers, whoever offers it.

use crate::automation::Provider;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelId {
    /// Who offers it.
    pub provider: Provider,
    /// Its name there.
    pub name: String,
}

/// All that is said to a model for one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// Who it is and what it may do.
    pub system: String,
    /// What was said so far, in order.
    pub messages: Vec<Message>,
    /// What it may call.
    pub tools: Vec<Tool>,
    /// Tokens the answer may have.
    pub max_tokens: u32,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Ours.
    User(String),
    /// The model's.
    Model {
        /// What it said.
        text: String,
        /// What it called.
        calls: Vec<Call>,
    },
    /// What its calls gave, one for each.
    Results(Vec<CallResult>),
}

/// A tool the model may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// A call the model made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its id in this conversation.
    pub id: String,
    /// The tool, declared or not.
    pub name: String,
    /// With what.
    pub arguments: Arguments,
}

/// What a model gave to a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arguments {
    /// JSON.
    Read(Value),
    /// Something else: the text as it came, shortened, and why it cannot be read.
    Unreadable {
        /// The text.
        text: String,
        /// Why.
        reason: String,
    },
}

/// What a call gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallResult {
    /// The call.
    pub id: String,
    /// Its tool.
    pub name: String,
    /// What the model is told.
    pub content: String,
}

/// A model's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// What it said.
    pub text: String,
    /// What it called.
    pub calls: Vec<Call>,
    /// Tokens used, as the provider says; none where it does not.
    pub usage: Option<Usage>,
    /// The model that answered, as the provider says.
    pub model: Option<String>,
    /// How the answer ended.
    pub end: End,
}

/// Tokens used by one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Those that were sent.
    pub input: u64,
    /// Those that were answered, whatever they were spent on.
    pub output: u64,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// As the model wished, or with calls.
    Finished,
    /// It was cut at the number of tokens it may have.
    Cut,
    /// The model, or its provider's filter, refused.
    Refused,
}
