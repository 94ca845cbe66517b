//! Anthropic's messages.

use super::{arguments_of_json, model_name, shown_again, usage, word};
use crate::draft::{Call, End, Exchange, Message, Reply, Usage};
use serde_json::{Value, json};

pub(super) fn body(model: &str, exchange: &Exchange) -> Value {
    // A text without a character is refused.
    let text = |text: &str| (!text.is_empty()).then(|| json!({ "type": "text", "text": text }));
    let mut messages = Vec::new();
    for message in &exchange.messages {
        let (role, content): (_, Vec<Value>) = match message {
            Message::User(said) => ("user", text(said).into_iter().collect()),
            Message::Model { text: said, calls } => {
                let calls =
                    calls.iter().map(|call| json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": shown_again(&call.arguments) }));
                ("assistant", text(said).into_iter().chain(calls).collect())
            }
            Message::Results(results) => {
                let result = |id: &str, content: &str| json!({ "type": "tool_result", "tool_use_id": id, "content": content });
                ("user", results.iter().map(|each| result(&each.id, &each.content)).collect())
            }
        };
        if !content.is_empty() {
            messages.push(json!({ "role": role, "content": content }));
        }
    }
    let mut body = json!({ "model": model, "max_tokens": exchange.max_tokens, "system": exchange.system, "messages": messages });
    if !exchange.tools.is_empty() {
        let tool = |tool: &crate::draft::Tool| json!({ "name": tool.name, "description": tool.description, "input_schema": tool.parameters });
        body["tools"] = exchange.tools.iter().map(tool).collect();
        body["tool_choice"] = json!({ "type": "auto" });
    }
    body
}

pub(super) fn reply(body: &Value) -> Result<Reply, &'static str> {
    let blocks = body["content"].as_array().ok_or("it holds no `content`")?;
    let mut reply = Reply {
        text: String::new(),
        calls: Vec::new(),
        usage: used(&body["usage"]),
        model: model_name(&body["model"]),
        end: match body["stop_reason"].as_str() {
            Some("max_tokens" | "model_context_window_exceeded") => End::Cut,
            Some("refusal") => End::Refused,
            _ => End::Finished,
        },
    };
    for block in blocks {
        match block["type"].as_str() {
            Some("text") => reply.text.push_str(block["text"].as_str().unwrap_or_default()),
            Some("tool_use") => reply.calls.push(Call {
                id: word(&block["id"]).unwrap_or_else(|| format!("call-{}", reply.calls.len())),
                name: word(&block["name"]).ok_or("a call in it names no tool")?,
                arguments: arguments_of_json(&block["input"]),
            }),
            // What it thought, and what a later version may add.
            _ => {}
        }
    }
    Ok(reply)
}

/// What was read from or written to a cache was sent as well, and is counted apart.
fn used(count: &Value) -> Option<Usage> {
    let cached = ["cache_creation_input_tokens", "cache_read_input_tokens"].into_iter().filter_map(|field| count[field].as_u64());
    let cached = cached.fold(0u64, u64::saturating_add);
    usage(count["input_tokens"].as_u64().map(|input| input.saturating_add(cached)), count["output_tokens"].as_u64(), None)
}
