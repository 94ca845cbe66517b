//! Google's `generateContent` (Gemini).

use super::{arguments_of_json, model_name, shown_again, usage, word};
use crate::draft::{Call, CallResult, End, Exchange, Message, Reply, Usage};
use serde_json::{Value, json};

/// What stands in for the signature of a thought that is not kept: <https://ai.google.dev/gemini-api/docs/thought-signatures>.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";
/// The ids that calls have which came without one. They are not sent: such calls are matched in order.
const OUR_ID: &str = "call-";

pub(super) fn body(model: &str, exchange: &Exchange) -> Value {
    let mut contents = Vec::new();
    for message in &exchange.messages {
        let (role, parts): (_, Vec<Value>) = match message {
            Message::User(text) => ("user", vec![json!({ "text": text })]),
            Message::Model { text, calls } => ("model", said(model, text, calls)),
            Message::Results(results) => ("user", results.iter().map(result).collect()),
        };
        if !parts.is_empty() {
            contents.push(json!({ "role": role, "parts": parts }));
        }
    }
    let mut body = json!({
        "systemInstruction": { "parts": [{ "text": exchange.system }] },
        "contents": contents,
        "generationConfig": { "maxOutputTokens": exchange.max_tokens },
    });
    if !exchange.tools.is_empty() {
        let tool = |tool: &crate::draft::Tool| json!({ "name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters });
        body["tools"] = json!([{ "functionDeclarations": exchange.tools.iter().map(tool).collect::<Vec<_>>() }]);
        body["toolConfig"] = json!({ "functionCallingConfig": { "mode": "AUTO" } });
    }
    body
}

fn said(model: &str, text: &str, calls: &[Call]) -> Vec<Value> {
    let mut parts = Vec::new();
    if !text.is_empty() {
        parts.push(json!({ "text": text }));
    }
    for (number, call) in calls.iter().enumerate() {
        let mut part = json!({ "functionCall": { "name": call.name, "args": shown_again(&call.arguments) } });
        if !call.id.starts_with(OUR_ID) {
            part["functionCall"]["id"] = json!(call.id);
        }
        if number == 0 && signs_thoughts(model) {
            part["thoughtSignature"] = json!(NO_SIGNATURE);
        }
        parts.push(part);
    }
    parts
}

/// Whether a model wants the first call of a turn signed: those since Gemini 3 do.
fn signs_thoughts(model: &str) -> bool {
    let model = model.strip_prefix("models/").unwrap_or(model);
    !["gemini-1", "gemini-2"].iter().any(|old| model.starts_with(old))
}

fn result(result: &CallResult) -> Value {
    let mut response = json!({ "name": result.name, "response": { "result": result.content } });
    if !result.id.starts_with(OUR_ID) {
        response["id"] = json!(result.id);
    }
    json!({ "functionResponse": response })
}

pub(super) fn reply(body: &Value) -> Result<Reply, &'static str> {
    let mut reply = Reply {
        text: String::new(),
        calls: Vec::new(),
        usage: used(&body["usageMetadata"]),
        model: model_name(&body["modelVersion"]),
        end: End::Finished,
    };
    let Some(candidate) = body["candidates"].as_array().and_then(|candidates| candidates.first()) else {
        // What was asked is blocked before a model answers.
        return match body["promptFeedback"]["blockReason"].as_str() {
            Some(_) => Ok(Reply { end: End::Refused, ..reply }),
            None => Err("it holds no `candidates`"),
        };
    };
    reply.end = match candidate["finishReason"].as_str() {
        Some("MAX_TOKENS") => End::Cut,
        Some("SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII") => End::Refused,
        _ => End::Finished,
    };
    for part in candidate["content"]["parts"].as_array().map(Vec::as_slice).unwrap_or_default() {
        if let Some(function) = part["functionCall"].as_object() {
            let field = |name: &str| function.get(name).unwrap_or(&Value::Null);
            reply.calls.push(Call {
                id: word(field("id")).unwrap_or_else(|| format!("{OUR_ID}{}", reply.calls.len())),
                name: word(field("name")).ok_or("a call in it names no tool")?,
                arguments: arguments_of_json(field("args")),
            });
        } else if part["thought"] != json!(true) {
            reply.text.push_str(part["text"].as_str().unwrap_or_default());
        }
    }
    Ok(reply)
}

fn used(count: &Value) -> Option<Usage> {
    let number = |field: &str| count[field].as_u64();
    let sum = |a: Option<u64>, b: Option<u64>| a.map_or(b, |a| Some(a.saturating_add(b.unwrap_or(0))));
    let input = number("promptTokenCount").map(|input| input.saturating_add(number("toolUsePromptTokenCount").unwrap_or(0)));
    usage(input, sum(number("candidatesTokenCount"), number("thoughtsTokenCount")), number("totalTokenCount"))
}
