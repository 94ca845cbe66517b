//! What each provider takes: which fields, in which order the messages, that every call has its result at once.

use super::Form;
use crate::support::loopback::Request;
use serde_json::Value;

/// As whom the server is asked, and the body.
///
/// # Errors
/// Why the provider would not take it.
pub(super) fn read(request: &Request) -> Result<(Form, Value), String> {
    if request.method != "POST" || request.headers.get("content-type").map(String::as_str) != Some("application/json") {
        return Err(format!("{} with the content type {:?}", request.method, request.headers.get("content-type")));
    }
    let body: Value = serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
    match request.path.as_str() {
        "/v1/chat/completions" => openai(&body).map(|()| (Form::OpenAi, body)),
        "/v1/messages" if request.headers.get("anthropic-version").map(String::as_str) == Some("2023-06-01") => {
            anthropic(&body).map(|()| (Form::Anthropic, body))
        }
        path if path.starts_with("/v1beta/models/") && path.ends_with(":generateContent") => google(&body).map(|()| (Form::Google, body)),
        path => Err(format!("there is nothing at {path} for these headers")),
    }
}

fn only(body: &Value, known: &[&str], needed: &[&str]) -> Result<(), String> {
    let fields = body.as_object().ok_or("the body is no object")?;
    if let Some(field) = fields.keys().find(|field| !known.contains(&field.as_str())) {
        return Err(format!("the field {field} is not known"));
    }
    needed.iter().find(|field| !fields.contains_key(**field)).map_or(Ok(()), |field| Err(format!("the field {field} is missing")))
}

fn items<'a>(value: &'a Value, what: &str) -> Result<&'a [Value], String> {
    value.as_array().filter(|items| !items.is_empty()).map(Vec::as_slice).ok_or_else(|| format!("{what} is no list of something"))
}

fn same(wanted: &mut Vec<&Value>, given: &Value) -> Result<(), String> {
    match wanted.iter().position(|id| *id == given) {
        Some(at) => {
            wanted.remove(at);
            Ok(())
        }
        None => Err(format!("a result is of no call before it: {given}")),
    }
}

fn openai(body: &Value) -> Result<(), String> {
    let known = ["model", "messages", "tools", "tool_choice", "max_tokens", "max_completion_tokens", "stream"];
    only(body, &known, &["model", "messages"])?;
    let mut open: Vec<&Value> = Vec::new();
    for message in items(&body["messages"], "messages")? {
        match message["role"].as_str() {
            Some("tool") => same(&mut open, &message["tool_call_id"])?,
            _ if !open.is_empty() => return Err(format!("calls without a result: {open:?}")),
            Some("system" | "user") if message["content"].is_string() => {}
            Some("assistant") => {
                for call in message["tool_calls"].as_array().into_iter().flatten() {
                    let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
                    serde_json::from_str::<serde_json::Map<String, Value>>(arguments).map_err(|error| format!("arguments: {error}"))?;
                    open.push(&call["id"]);
                }
            }
            _ => return Err(format!("the message {message}")),
        }
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        only(tool, &["type", "function"], &["type", "function"])?;
        only(&tool["function"], &["name", "description", "parameters", "strict"], &["name"])?;
    }
    Ok(())
}

fn anthropic(body: &Value) -> Result<(), String> {
    only(body, &["model", "max_tokens", "system", "messages", "tools", "tool_choice"], &["model", "max_tokens", "messages"])?;
    let mut open: Vec<&Value> = Vec::new();
    for (number, message) in items(&body["messages"], "messages")?.iter().enumerate() {
        let role = message["role"].as_str().filter(|role| ["user", "assistant"].contains(role)).ok_or("a role is wrong")?;
        if number == 0 && role != "user" {
            return Err("the first message is the user's".to_owned());
        }
        for block in items(&message["content"], "content")? {
            match (role, block["type"].as_str()) {
                ("user", Some("tool_result")) => same(&mut open, &block["tool_use_id"])?,
                ("user", _) if !open.is_empty() => return Err(format!("calls without a result: {open:?}")),
                (_, Some("text")) if block["text"].as_str().is_some_and(|text| !text.is_empty()) => {}
                ("assistant", Some("tool_use")) if block["input"].is_object() => open.push(&block["id"]),
                _ => return Err(format!("the block {block} of the {role}")),
            }
        }
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        only(tool, &["name", "description", "input_schema"], &["name", "input_schema"])?;
    }
    Ok(())
}

fn google(body: &Value) -> Result<(), String> {
    only(body, &["systemInstruction", "contents", "generationConfig", "tools", "toolConfig"], &["contents"])?;
    let mut open: Vec<&Value> = Vec::new();
    for content in items(&body["contents"], "contents")? {
        let role = content["role"].as_str().filter(|role| ["user", "model"].contains(role)).ok_or("a role is wrong")?;
        for part in items(&content["parts"], "parts")? {
            match (role, part) {
                ("user", part) if part["functionResponse"]["response"].is_object() => same(&mut open, &part["functionResponse"]["name"])?,
                ("user", _) if !open.is_empty() => return Err(format!("calls without a result: {open:?}")),
                ("model", part) if part["functionCall"]["args"].is_object() => open.push(&part["functionCall"]["name"]),
                (_, part) if part["text"].is_string() => {}
                _ => return Err(format!("the part {part} of the {role}")),
            }
        }
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        for declaration in items(&tool["functionDeclarations"], "functionDeclarations")? {
            only(declaration, &["name", "description", "parameters", "parametersJsonSchema"], &["name"])?;
        }
    }
    Ok(())
}
