//! What an exchange is reckoned at before it is sent, and the digest it is known by.

use super::{Arguments, Exchange, Message};
use regex::Regex;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::LazyLock;

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

    /// SHA-256 in hex of what is said, the same for two drafts that say the same. Over the exchange's JSON with the fields of every object in
    /// order, whatever order they were written in; what is drawn anew for each draft (marks, placeholders, ids of ours, the time at
    /// which something was asked for) counts by its place alone.
    pub fn digest(&self) -> String {
        digest_of(&serde_json::to_value(self).unwrap_or_default())
    }
}

/// The digest of an exchange as JSON.
pub(super) fn digest_of(exchange: &Value) -> String {
    hex::encode(Sha256::digest(canonical(exchange, &mut BTreeMap::new()).to_string()))
}

/// What is drawn anew for each draft.
#[expect(clippy::expect_used, reason = "the pattern is a literal, and a test compiles it")]
static DRAWN: LazyLock<Regex> = LazyLock::new(|| {
    let patterns = [r"⟦withheld:[0-9a-f]{12}⟧", r"data-[0-9a-f]{16}\b", r"\b(?:evt|req)_[0-9a-z]{26}\b", r#""time": "[0-9T:.Z-]{20,30}""#];
    Regex::new(&patterns.join("|")).expect("a pattern")
});

fn count(text: &str) -> u64 {
    text.len() as u64
}

/// The fields in order, and numbers in the place of what is drawn anew: the first that comes is the first.
fn canonical<'v>(value: &'v Value, drawn: &mut BTreeMap<&'v str, usize>) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| canonical(item, drawn)).collect(),
        Value::Object(fields) => {
            let fields: BTreeMap<&String, &Value> = fields.iter().collect();
            Value::Object(fields.into_iter().map(|(name, value)| (name.clone(), canonical(value, drawn))).collect())
        }
        Value::String(text) => {
            let (mut plain, mut done) = (String::with_capacity(text.len()), 0);
            for hit in DRAWN.find_iter(text) {
                let next = drawn.len();
                plain.push_str(&text[done..hit.start()]);
                plain.push_str(&format!("⟦{}⟧", drawn.entry(hit.as_str()).or_insert(next)));
                done = hit.end();
            }
            plain.push_str(&text[done..]);
            Value::String(plain)
        }
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        Exchange { system: "x".to_owned(), messages: vec![Message::User(text.to_owned())], tools: Vec::new(), max_tokens: 9 }.digest()
    }

    #[test]
    fn what_is_drawn_anew_counts_by_its_place_and_everything_else_as_it_is() {
        let with = |mark: &str, [one, other, third]: [&str; 3], id: &str, time: &str| {
            said(&format!(
                "<data-{mark} what=\"event\">{{\"subject\": \"{id}\", \"time\": \"{time}\"}} ⟦withheld:{one}⟧ ⟦withheld:{other}⟧ ⟦withheld:{third}⟧"
            ))
        };
        let (id, other) = ("evt_01m81t40x6vqt7r194b2b0c994", "evt_01m81t44fx535q7xp7tc1m7mrg");
        let first = with("0123456789abcdef", ["0a0a0a0a0a0a", "0b0b0b0b0b0b", "0a0a0a0a0a0a"], id, "2026-11-20T12:00:15Z");
        assert_eq!(first, with("fedcba9876543210", ["111111111111", "222222222222", "111111111111"], other, "2026-11-21T12:00:15.123Z"));
        assert_ne!(
            first,
            with("0123456789abcdef", ["0a0a0a0a0a0a", "0b0b0b0b0b0b", "0b0b0b0b0b0b"], id, "2026-11-20T12:00:15Z"),
            "which is which counts"
        );
        assert_ne!(first, with("0123456789abcdef", ["0a0a0a0a0a0a", "0b0b0b0b0b0b", "0a0a0a0a0a0a"], id, "soon"));
        assert_ne!(said("startsAt: 2026-11-20T12:00:15Z"), said("startsAt: 2026-11-21T12:00:15Z"));
    }
}
