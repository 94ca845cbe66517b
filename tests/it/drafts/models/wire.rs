//! What each provider is sent and what is read of its answers, as the providers document it.

use super::*;
use crate::support::fake_llm::{Fault, Said};
use kubeops::draft::{Bench, Brief, Conversation, End, Next, Reply, Usage, Verdict};

/// What chat completions hold beside the field for the answer's bound.
fn chat(model: &str, bound: &str) -> Value {
    let mut body = json!({
        "model": model,
        "messages": [
            { "role": "system", "content": "You change manifests." },
            { "role": "user", "content": format!("Give web three replicas. {PROMPT}") },
            {
                "role": "assistant", "content": "I look first.",
                "tool_calls": [
                    { "id": "a1", "type": "function", "function": { "name": "read_file", "arguments": "{\"path\":\"apps/web.yaml\"}" } },
                    { "id": "call-1", "type": "function", "function": { "name": "list_files", "arguments": "{\"unreadable\":\"{\\\"path\\\":\"}" } },
                ],
            },
            { "role": "tool", "tool_call_id": "a1", "content": "replicas: 2\n" },
            { "role": "tool", "tool_call_id": "call-1", "content": "These arguments are no JSON." },
            { "role": "user", "content": "Go on." },
        ],
        "stream": false,
        "tools": tools(|name, parameters| json!({
            "type": "function", "function": { "name": name, "description": format!("What {name} does."), "parameters": parameters },
        })),
        "tool_choice": "auto",
    });
    body[bound] = json!(1000);
    body
}

#[tokio::test]
async fn chat_completions_are_spoken_with_openai_xai_and_servers_of_ones_own() {
    let fake = FakeLlm::start();
    for (provider, bound) in [(Provider::OpenAi, "max_completion_tokens"), (Provider::Xai, "max_completion_tokens"), (Provider::Local, "max_tokens")]
    {
        fake.says(Said::text("Two of them.").and_calls("read_file", json!({ "path": "a" })).and_calls("list_files", json!({})));
        let reply = model(provider, &fake).answer(&conversation()).await.expect("an answer");
        let asked = fake.asked();
        assert_eq!((asked.path.as_str(), asked.query.as_str()), ("/v1/chat/completions", ""));
        assert_eq!(asked.headers["authorization"], format!("Bearer {KEY}"));
        assert_eq!(asked.body, chat(name(provider), bound));
        let call = |id: &str, name: &str, arguments| Call { id: id.to_owned(), name: name.to_owned(), arguments: Arguments::Read(arguments) };
        let expected = Reply {
            text: "Two of them.".to_owned(),
            calls: vec![call("call_0", "read_file", json!({ "path": "a" })), call("call_1", "list_files", json!({}))],
            usage: Some(Usage { input: 12, output: 7 }),
            model: Some(name(provider).to_owned()),
            end: End::Finished,
        };
        assert_eq!(reply, expected);
    }
}

#[tokio::test]
async fn messages_are_spoken_with_anthropic() {
    let fake = FakeLlm::start();
    fake.says(Said::text("One of them.").and_calls("read_file", json!({ "path": "a" })));
    let reply = model(Provider::Anthropic, &fake).answer(&conversation()).await.expect("an answer");
    let asked = fake.asked();
    assert_eq!(asked.path, "/v1/messages");
    assert_eq!((asked.headers["x-api-key"].as_str(), asked.headers["anthropic-version"].as_str()), (KEY, "2023-06-01"));
    assert!(!asked.headers.contains_key("authorization"));
    let expected = json!({
        "model": "claude-sonnet-4-5",
        "max_tokens": 1000,
        "system": "You change manifests.",
        "messages": [
            { "role": "user", "content": [{ "type": "text", "text": format!("Give web three replicas. {PROMPT}") }] },
            { "role": "assistant", "content": [
                { "type": "text", "text": "I look first." },
                { "type": "tool_use", "id": "a1", "name": "read_file", "input": { "path": "apps/web.yaml" } },
                { "type": "tool_use", "id": "call-1", "name": "list_files", "input": { "unreadable": "{\"path\":" } },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "a1", "content": "replicas: 2\n" },
                { "type": "tool_result", "tool_use_id": "call-1", "content": "These arguments are no JSON." },
            ] },
            { "role": "user", "content": [{ "type": "text", "text": "Go on." }] },
        ],
        "tools": tools(|name, parameters| json!({ "name": name, "description": format!("What {name} does."), "input_schema": parameters })),
        "tool_choice": { "type": "auto" },
    });
    assert_eq!(asked.body, expected);
    let arguments = Arguments::Read(json!({ "path": "a" }));
    assert_eq!(reply.calls, [Call { id: "toolu_0".to_owned(), name: "read_file".to_owned(), arguments }]);
    assert_eq!((reply.text.as_str(), reply.usage, reply.end), ("One of them.", Some(Usage { input: 12, output: 7 }), End::Finished));
    assert_eq!(reply.model.as_deref(), Some("claude-sonnet-4-5"));
}

#[tokio::test]
async fn contents_are_spoken_with_google() {
    let fake = FakeLlm::start();
    fake.says(Said::text("Two of them.").and_calls("read_file", json!({ "path": "a" })).and_calls("read_file", json!({ "path": "b" })));
    let reply = model(Provider::Google, &fake).answer(&conversation()).await.expect("an answer");
    let asked = fake.asked();
    assert_eq!((asked.path.as_str(), asked.query.as_str()), ("/v1beta/models/gemini-3.7-flash:generateContent", ""), "the key is in no address");
    assert_eq!(asked.headers["x-goog-api-key"], KEY);
    let expected = json!({
        "systemInstruction": { "parts": [{ "text": "You change manifests." }] },
        "contents": [
            { "role": "user", "parts": [{ "text": format!("Give web three replicas. {PROMPT}") }] },
            { "role": "model", "parts": [
                { "text": "I look first." },
                { "functionCall": { "name": "read_file", "args": { "path": "apps/web.yaml" }, "id": "a1" }, "thoughtSignature": "skip_thought_signature_validator" },
                { "functionCall": { "name": "list_files", "args": { "unreadable": "{\"path\":" } } },
            ] },
            { "role": "user", "parts": [
                { "functionResponse": { "name": "read_file", "response": { "result": "replicas: 2\n" }, "id": "a1" } },
                { "functionResponse": { "name": "list_files", "response": { "result": "These arguments are no JSON." } } },
            ] },
            { "role": "user", "parts": [{ "text": "Go on." }] },
        ],
        "generationConfig": { "maxOutputTokens": 1000 },
        "tools": [{ "functionDeclarations": tools(|name, parameters| json!({
            "name": name, "description": format!("What {name} does."), "parametersJsonSchema": parameters,
        })) }],
        "toolConfig": { "functionCallingConfig": { "mode": "AUTO" } },
    });
    assert_eq!(asked.body, expected);
    assert_eq!(reply.calls.iter().map(|call| call.id.as_str()).collect::<Vec<_>>(), ["call-0", "call-1"], "ids where it gives none");
    assert_eq!((reply.text.as_str(), reply.usage, reply.end), ("Two of them.", Some(Usage { input: 12, output: 7 }), End::Finished));
    assert_eq!(reply.model.as_deref(), Some("gemini-3.7-flash"));
}

#[tokio::test]
async fn an_exchange_without_tools_names_none() {
    let fake = FakeLlm::start();
    for provider in Provider::ALL {
        model(provider, &fake).answer(&Exchange { tools: Vec::new(), ..question() }).await.expect("an answer");
        let body = fake.asked().body;
        assert!(["tools", "tool_choice", "toolConfig"].iter().all(|field| body.get(*field).is_none()), "{provider:?}: {body}");
    }
}

#[tokio::test]
async fn how_an_answer_ended_is_read_in_each_providers_words() {
    let fake = FakeLlm::start();
    for (provider, word, end) in [
        (Provider::OpenAi, "stop", End::Finished),
        (Provider::OpenAi, "length", End::Cut),
        (Provider::OpenAi, "content_filter", End::Refused),
        (Provider::Local, "length", End::Cut),
        (Provider::Xai, "length", End::Cut),
        (Provider::Anthropic, "end_turn", End::Finished),
        (Provider::Anthropic, "stop_sequence", End::Finished),
        (Provider::Anthropic, "max_tokens", End::Cut),
        (Provider::Anthropic, "model_context_window_exceeded", End::Cut),
        (Provider::Anthropic, "refusal", End::Refused),
        (Provider::Google, "STOP", End::Finished),
        (Provider::Google, "MAX_TOKENS", End::Cut),
        (Provider::Google, "SAFETY", End::Refused),
        (Provider::Google, "PROHIBITED_CONTENT", End::Refused),
        (Provider::Google, "BLOCKLIST", End::Refused),
        (Provider::Google, "MALFORMED_FUNCTION_CALL", End::Finished),
    ] {
        fake.says(Said::text("So far").ended(word));
        let reply = model(provider, &fake).answer(&question()).await.expect("an answer");
        assert_eq!((reply.text.as_str(), reply.end), ("So far", end), "{provider:?} {word}");
    }
}

/// A bench that lets everything pass, and is never to be asked.
struct Lax;

#[async_trait::async_trait]
impl Bench for Lax {
    type Error = String;

    async fn look(&self, call: &Call) -> Result<String, String> {
        Err(format!("{} was called", call.name))
    }

    fn withhold(&self, text: &str) -> String {
        text.to_owned()
    }

    async fn judge(&self, _: &Value) -> Result<Verdict, String> {
        Ok(Verdict::Passes)
    }
}

#[tokio::test]
async fn what_a_reply_calls_that_was_cut_is_not_followed() {
    let fake = FakeLlm::start();
    let conversation = Conversation::new(Brief { system: String::new(), task: "Scale web.".to_owned(), tools: vec![tool("read_file")] });
    for (provider, cut, whole) in
        [(Provider::OpenAi, "length", "tool_calls"), (Provider::Anthropic, "max_tokens", "tool_use"), (Provider::Google, "MAX_TOKENS", "STOP")]
    {
        for (called, arguments) in [
            ("propose_change", json!({ "operations": [{ "file": { "file": "a.yaml", "content": "one: 1\ntwo:" } }], "explanation": "" })),
            ("no_change", json!({ "reason": "The work" })),
        ] {
            let said =
                || Said::text("So").and_calls("read_file", json!({ "path": "a" })).and_calls(called, arguments.clone()).and_calls(called, json!({}));
            fake.says(said().ended(cut));
            let reply = model(provider, &fake).answer(&question()).await.expect("an answer");
            let Next::GoesOn(response) = conversation.follow(&reply, &Lax).await.expect("nothing is called") else {
                panic!("{provider:?}: {called}")
            };
            assert_eq!(response.results.len(), 3, "every call is answered, or no provider takes the next message");
            assert!(response.results[1].content.contains("Your reply was cut off"), "{response:?}");
            let refused = response.refused.expect("it counts as an answer");
            assert!(refused.findings[0].message.contains("cut off") && !refused.security, "{refused:?}");
            fake.says(Said::text("So").and_calls(called, arguments.clone()).ended(whole));
            let reply = model(provider, &fake).answer(&question()).await.expect("an answer");
            let next = conversation.follow(&reply, &Lax).await.expect("nothing is called");
            assert!(matches!(next, Next::Answered(_) | Next::Declined { .. }), "{provider:?}: {next:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_one_however_it_is_said() {
    let fake = FakeLlm::start();
    fake.says(Said::text("").refusing("I cannot help with that."));
    let reply = model(Provider::OpenAi, &fake).answer(&question()).await.expect("an answer");
    assert_eq!((reply.text.as_str(), reply.end), ("I cannot help with that.", End::Refused));
    let blocked =
        json!({ "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" }, "usageMetadata": { "promptTokenCount": 9, "totalTokenCount": 9 } });
    fake.fails(Fault::Body(200, blocked));
    let reply = model(Provider::Google, &fake).answer(&question()).await.expect("an answer");
    assert_eq!((reply.end, reply.usage), (End::Refused, Some(Usage { input: 9, output: 0 })));
}

#[tokio::test]
async fn usage_is_what_the_provider_says_with_all_that_was_thought_and_cached_or_nothing() {
    let fake = FakeLlm::start();
    let counted = |body: Value| fake.fails(Fault::Body(200, body));
    for provider in Provider::ALL {
        fake.says(Said::text("No count.").without_usage());
        assert_eq!(model(provider, &fake).answer(&question()).await.expect("an answer").usage, None, "{provider:?}");
        fake.says(Said::text("A lie.").used(u64::MAX, u64::MAX));
        let usage = model(provider, &fake).answer(&question()).await.expect("an answer").usage;
        assert_eq!(usage, Some(Usage { input: u64::MAX, output: u64::MAX }), "{provider:?}: whoever pays bounds it");
    }
    // xAI leaves what was spent on reasoning out of the tokens of the answer.
    let choices = json!([{ "message": { "content": "Hello" }, "finish_reason": "stop" }]);
    counted(json!({ "choices": choices, "usage": { "prompt_tokens": 20, "completion_tokens": 35, "total_tokens": 247 } }));
    assert_eq!(model(Provider::Xai, &fake).answer(&question()).await.expect("an answer").usage, Some(Usage { input: 20, output: 227 }));
    let count = json!({ "input_tokens": 5, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000, "output_tokens": 3 });
    counted(json!({ "content": [{ "type": "text", "text": "Hello" }], "stop_reason": "end_turn", "usage": count }));
    assert_eq!(model(Provider::Anthropic, &fake).answer(&question()).await.expect("an answer").usage, Some(Usage { input: 1105, output: 3 }));
    let count = json!({ "promptTokenCount": 90, "candidatesTokenCount": 22, "totalTokenCount": 188, "thoughtsTokenCount": 76 });
    counted(json!({ "candidates": [{ "content": { "parts": [{ "text": "Hello" }] }, "finishReason": "STOP" }], "usageMetadata": count }));
    assert_eq!(model(Provider::Google, &fake).answer(&question()).await.expect("an answer").usage, Some(Usage { input: 90, output: 98 }));
    let negative = json!({ "prompt_tokens": -5, "completion_tokens": 1 });
    counted(json!({ "choices": choices, "usage": negative }));
    assert_eq!(model(Provider::Local, &fake).answer(&question()).await.expect("an answer").usage, None, "a count that is none");
}

#[tokio::test]
async fn what_was_thought_is_no_part_of_the_answer() {
    let fake = FakeLlm::start();
    let content = json!([
        { "type": "thinking", "thinking": "Hm.", "signature": "c2ln" }, { "type": "redacted_thinking", "data": "eA==" }, { "type": "text", "text": "Done." },
    ]);
    fake.fails(Fault::Body(200, json!({ "content": content, "stop_reason": "end_turn" })));
    assert_eq!(model(Provider::Anthropic, &fake).answer(&question()).await.expect("an answer").text, "Done.");
    let parts = json!([{ "text": "Hm.", "thought": true }, { "text": "Done.", "thoughtSignature": "c2ln" }]);
    fake.fails(Fault::Body(200, json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": "STOP" }] })));
    assert_eq!(model(Provider::Google, &fake).answer(&question()).await.expect("an answer").text, "Done.");
    let message = json!({ "role": "assistant", "reasoning_content": "Hm.", "content": "Done." });
    fake.fails(Fault::Body(200, json!({ "choices": [{ "message": message, "finish_reason": "stop" }] })));
    assert_eq!(model(Provider::Local, &fake).answer(&question()).await.expect("an answer").text, "Done.");
}

#[tokio::test]
async fn arguments_that_are_no_object_are_told_as_they_came_and_the_answer_stands() {
    let fake = FakeLlm::start();
    for (given, reason) in [
        ("{\"path\": \"a", "it ends in the middle of its JSON (line 1, column 11)"),
        ("path=a", "it is no JSON (line 1, column 1)"),
        ("[1]", "it is no JSON object"),
        ("{}{}", "it is no JSON (line 1, column 3)"),
    ] {
        fake.says(Said::text("Here.").and_calls("list_files", json!({})).and_calls_badly("nobody_declared_this", given));
        let reply = model(Provider::Local, &fake).answer(&question()).await.expect("an answer");
        assert_eq!(reply.calls[0].arguments, Arguments::Read(json!({})));
        assert_eq!(reply.calls[1].name, "nobody_declared_this");
        assert_eq!(reply.calls[1].arguments, Arguments::Unreadable { text: given.to_owned(), reason: reason.to_owned() });
    }
    for provider in [Provider::Anthropic, Provider::Google] {
        fake.says(Said::text("").and_calls_badly("read_file", "a"));
        let reply = model(provider, &fake).answer(&question()).await.expect("an answer");
        let expected = Arguments::Unreadable { text: "\"a\"".to_owned(), reason: "it is no JSON object".to_owned() };
        assert_eq!(reply.calls[0].arguments, expected, "{provider:?}");
    }
    fake.says(Said::text("").and_calls_badly("read_file", ""));
    let reply = model(Provider::OpenAi, &fake).answer(&question()).await.expect("an answer");
    assert_eq!(reply.calls[0].arguments, Arguments::Read(json!({})), "a call without arguments");
    fake.says(Said::text("").and_calls_badly("read_file", &"x".repeat(100_000)));
    let reply = model(Provider::OpenAi, &fake).answer(&question()).await.expect("an answer");
    let Arguments::Unreadable { text, .. } = &reply.calls[0].arguments else { panic!("{reply:?}") };
    assert_eq!(text.len(), 2000);
}

#[tokio::test]
async fn a_model_is_told_again_what_it_said_in_a_conversation_of_many_turns() {
    let fake = FakeLlm::start();
    fake.answers(|asked| match asked.body.to_string().contains("result 1") {
        false => Said::calls("list_files", json!({})).and_calls("read_file", json!({ "path": "b" })),
        true => Said::text("Three replicas it is."),
    });
    for provider in Provider::ALL {
        let model = model(provider, &fake);
        let mut exchange = question();
        for turn in 0..2 {
            let reply = model.answer(&exchange).await.expect("an answer");
            let result = |call: &Call| CallResult { id: call.id.clone(), name: call.name.clone(), content: format!("result {turn}") };
            let results = reply.calls.iter().map(result).collect();
            exchange.messages.extend([Message::Model { text: reply.text, calls: reply.calls }, Message::Results(results)]);
        }
        let reply = model.answer(&exchange).await.expect("an answer");
        assert_eq!((reply.text.as_str(), reply.calls.len()), ("Three replicas it is.", 0), "{provider:?}");
    }
}
