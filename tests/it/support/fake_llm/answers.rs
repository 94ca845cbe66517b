//! What a model says, in the form it was asked in: as the providers document their answers.

use super::{Asked, Form};
use crate::support::loopback::Answer;
use serde_json::{Value, json};

/// What a model says.
#[derive(Debug, Clone)]
pub struct Said {
    text: String,
    calls: Vec<(String, Given)>,
    end: Option<String>,
    refusal: Option<String>,
    usage: Option<(u64, u64)>,
}

/// A call's arguments.
#[derive(Debug, Clone)]
enum Given {
    Json(Value),
    Text(String),
}

impl Said {
    pub fn text(text: &str) -> Self {
        Self { text: text.to_owned(), calls: Vec::new(), end: None, refusal: None, usage: Some((12, 7)) }
    }

    pub fn calls(tool: &str, arguments: Value) -> Self {
        Self::text("").and_calls(tool, arguments)
    }

    pub fn and_calls(mut self, tool: &str, arguments: Value) -> Self {
        self.calls.push((tool.to_owned(), Given::Json(arguments)));
        self
    }

    /// A call whose arguments are this text, whatever it is. Where a form has no text there, they are a JSON string.
    pub fn and_calls_badly(mut self, tool: &str, arguments: &str) -> Self {
        self.calls.push((tool.to_owned(), Given::Text(arguments.to_owned())));
        self
    }

    /// With the provider's own word for how it ended.
    pub fn ended(mut self, word: &str) -> Self {
        self.end = Some(word.to_owned());
        self
    }

    /// OpenAI's `refusal`.
    pub fn refusing(mut self, words: &str) -> Self {
        self.refusal = Some(words.to_owned());
        self
    }

    pub fn used(mut self, input: u64, output: u64) -> Self {
        self.usage = Some((input, output));
        self
    }

    pub fn without_usage(mut self) -> Self {
        self.usage = None;
        self
    }

    pub(super) fn answer(&self, asked: &Asked) -> Answer {
        let body = match asked.form {
            Form::OpenAi => self.openai(asked),
            Form::Anthropic => self.anthropic(asked),
            Form::Google => self.google(),
        };
        Answer::new(200, "application/json", body.to_string())
    }

    fn end(&self, calls: &str, plain: &str) -> String {
        self.end.clone().unwrap_or_else(|| if self.calls.is_empty() { plain } else { calls }.to_owned())
    }

    fn openai(&self, asked: &Asked) -> Value {
        let call = |(number, (name, given)): (usize, &(String, Given))| {
            let arguments = match given {
                Given::Json(value) => value.to_string(),
                Given::Text(text) => text.clone(),
            };
            json!({ "id": format!("call_{number}"), "type": "function", "function": { "name": name, "arguments": arguments } })
        };
        let content = if self.text.is_empty() { Value::Null } else { json!(self.text) };
        let mut message = json!({ "role": "assistant", "content": content, "refusal": self.refusal, "annotations": [] });
        if !self.calls.is_empty() {
            message["tool_calls"] = self.calls.iter().enumerate().map(call).collect();
        }
        let mut body = json!({
            "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": "chat.completion", "created": 1_741_569_952,
            "model": asked.body["model"],
            "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": self.end("tool_calls", "stop") }],
        });
        if let Some((input, output)) = self.usage {
            body["usage"] = json!({
                "prompt_tokens": input, "completion_tokens": output, "total_tokens": input.saturating_add(output),
                "completion_tokens_details": { "reasoning_tokens": 0 },
            });
        }
        body
    }

    fn anthropic(&self, asked: &Asked) -> Value {
        let mut content = Vec::new();
        if !self.text.is_empty() {
            content.push(json!({ "type": "text", "text": self.text }));
        }
        for (number, (name, given)) in self.calls.iter().enumerate() {
            content.push(json!({ "type": "tool_use", "id": format!("toolu_{number}"), "name": name, "input": given.json() }));
        }
        let mut body = json!({
            "id": "msg_01XFDUDYJgAACzvnptvVoYEL", "type": "message", "role": "assistant", "model": asked.body["model"],
            "content": content, "stop_reason": self.end("tool_use", "end_turn"), "stop_sequence": null,
        });
        if let Some((input, output)) = self.usage {
            body["usage"] = json!({ "input_tokens": input, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": output });
        }
        body
    }

    fn google(&self) -> Value {
        let mut parts = Vec::new();
        if !self.text.is_empty() {
            parts.push(json!({ "text": self.text }));
        }
        parts.extend(self.calls.iter().map(|(name, given)| json!({ "functionCall": { "name": name, "args": given.json() } })));
        let content = json!({ "parts": parts, "role": "model" });
        let mut body = json!({
            "candidates": [{ "content": content, "finishReason": self.end("STOP", "STOP"), "index": 0 }],
            "modelVersion": "gemini-3.7-flash", "responseId": "QFiDas-DJqmSjrEPraSZsAQ",
        });
        if let Some((input, output)) = self.usage {
            let total = input.saturating_add(output);
            body["usageMetadata"] = json!({ "promptTokenCount": input, "candidatesTokenCount": output, "totalTokenCount": total });
        }
        body
    }
}

impl Given {
    fn json(&self) -> Value {
        match self {
            Self::Json(value) => value.clone(),
            Self::Text(text) => json!(text),
        }
    }
}
