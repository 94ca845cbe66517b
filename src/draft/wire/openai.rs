//! OpenAI's chat completions, as OpenAI, xAI and servers of one's own speak them.

use super::{arguments_of_json, arguments_of_text, model_name, shown_again, usage, word};
use crate::draft::{Call, End, Exchange, Message, Reply};
use serde_json::{Value, json};

pub(super) fn body(model: &str, exchange: &Exchange, max_tokens: &str) -> Value {
    let mut messages = vec![json!({ "role": "system", "content": exchange.system })];
    for message in &exchange.messages {
        match message {
            Message::User(text) => messages.push(json!({ "role": "user", "content": text })),
            Message::Model { text, calls } => messages.push(said(text, calls)),
            Message::Results(results) => {
                messages.extend(results.iter().map(|result| json!({ "role": "tool", "tool_call_id": result.id, "content": result.content })))
            }
        }
    }
    let mut body = json!({ "model": model, "messages": messages, "stream": false });
    body[max_tokens] = json!(exchange.max_tokens);
    if !exchange.tools.is_empty() {
        let tool = |tool: &crate::draft::Tool| json!({ "name": tool.name, "description": tool.description, "parameters": tool.parameters });
        body["tools"] = exchange.tools.iter().map(|each| json!({ "type": "function", "function": tool(each) })).collect();
        body["tool_choice"] = json!("auto");
    }
    body
}

fn said(text: &str, calls: &[Call]) -> Value {
    if calls.is_empty() {
        return json!({ "role": "assistant", "content": text });
    }
    let content = if text.is_empty() { Value::Null } else { json!(text) };
    let calls: Vec<Value> = calls
        .iter()
        .map(|call| json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": shown_again(&call.arguments).to_string() } }))
        .collect();
    json!({ "role": "assistant", "content": content, "tool_calls": calls })
}

pub(super) fn reply(body: &Value) -> Result<Reply, &'static str> {
    let choice = body["choices"].as_array().ok_or("it holds no `choices`")?.first().ok_or("its `choices` are empty")?;
    let message = choice["message"].as_object().ok_or("its choice holds no `message`")?;
    let field = |name: &str| message.get(name).unwrap_or(&Value::Null);
    let refusal = word(field("refusal"));
    let end = match choice["finish_reason"].as_str() {
        _ if refusal.is_some() => End::Refused,
        Some("content_filter") => End::Refused,
        Some("length") => End::Cut,
        _ => End::Finished,
    };
    let said = text(field("content"));
    let calls = field("tool_calls").as_array().map(Vec::as_slice).unwrap_or_default();
    let count = &body["usage"];
    Ok(Reply {
        text: if said.is_empty() { refusal.unwrap_or_default() } else { said },
        calls: calls.iter().enumerate().map(call).collect::<Result<_, _>>()?,
        usage: usage(count["prompt_tokens"].as_u64(), count["completion_tokens"].as_u64(), count["total_tokens"].as_u64()),
        model: model_name(&body["model"]),
        end,
    })
}

/// Text, or parts of which some are text.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

fn call((number, call): (usize, &Value)) -> Result<Call, &'static str> {
    let function = &call["function"];
    let arguments = match &function["arguments"] {
        Value::String(text) => arguments_of_text(text),
        other => arguments_of_json(other),
    };
    let name = word(&function["name"]).ok_or("a call in it names no tool")?;
    Ok(Call { id: word(&call["id"]).unwrap_or_else(|| format!("call-{number}")), name, arguments })
}
