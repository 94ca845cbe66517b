//! What an exchange is reckoned at before it is sent, and the digest it is known by.

use super::{Arguments, Exchange, Message};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Tokens a provider may add of its own: the frame of the conversation, and the words it tells a model about tools with.
const FRAME: u64 = 1024;
/// Tokens a provider may put around a message, a call, a result or a tool.
const AROUND: u64 = 32;

impl Exchange {
    /// More tokens than sending this can cost, without those of the answer (`max_tokens`).
    ///
    /// A token has at least one byte of what is sent. Texts count with their bytes; what is sent as JSON counts twice with the bytes of its
    /// JSON, because a provider may write it anew, with other white space and escapes.
    pub fn most_tokens(&self) -> u64 {
        let json = |value: &Value| 2 * count(&value.to_string());
        let messages = self.messages.iter().map(|message| match message {
            Message::User(text) => AROUND + count(text),
            Message::Model { text, calls } => {
                let call = |arguments: &Arguments| match arguments {
                    Arguments::Read(value) => json(value),
                    Arguments::Unreadable { text, .. } => 2 * count(text),
                };
                AROUND + count(text) + calls.iter().map(|each| AROUND + count(&each.id) + count(&each.name) + call(&each.arguments)).sum::<u64>()
            }
            Message::Results(results) => {
                results.iter().map(|each| AROUND + count(&each.id) + count(&each.name) + 2 * count(&each.content)).sum::<u64>()
            }
        });
        let tools = self.tools.iter().map(|tool| AROUND + count(&tool.name) + 2 * count(&tool.description) + json(&tool.parameters));
        FRAME + count(&self.system) + messages.sum::<u64>() + tools.sum::<u64>()
    }

    /// SHA-256 in hex of the exchange's JSON with the fields of every object in order: the same whatever order they were written in.
    pub fn digest(&self) -> String {
        let canonical = serde_json::to_value(self).map(in_order).unwrap_or_default();
        hex::encode(Sha256::digest(canonical.to_string()))
    }
}

fn count(text: &str) -> u64 {
    text.len() as u64
}

fn in_order(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(in_order).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> = fields.into_iter().map(|(name, value)| (name, in_order(value))).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        plain => plain,
    }
}
