//! Models of each provider against one fake that speaks as all of them.

mod cassette;
mod configured;
mod faults;
mod wire;

use crate::forge::Hand;
use crate::support::fake_llm::FakeLlm;
use kubeops::automation::Provider;
use kubeops::clock::Clock;
use kubeops::draft::{Arguments, Call, CallResult, Exchange, KeySource, Message, Model, ModelError, ModelSettings, Tool, provider};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const KEY: &str = "sk-canary-of-the-key-5f1d";
const PROMPT: &str = "canary-of-the-prompt-77ab";
const ANSWER: &str = "canary-of-the-answer-90ce";

fn key(text: &str) -> KeySource {
    let text = text.to_owned();
    Arc::new(move || Ok(Some(text.clone().into())))
}

fn settings(provider: Provider, fake: &FakeLlm) -> ModelSettings {
    let version = if provider == Provider::Google { "v1beta" } else { "v1" };
    let url = format!("{}/{version}", fake.url()).parse().expect("a URL");
    ModelSettings { provider, name: name(provider).to_owned(), url: Some(url), timeout: Duration::from_secs(20) }
}

fn name(provider: Provider) -> &'static str {
    match provider {
        Provider::Local => "qwen3-coder-30b-max",
        Provider::OpenAi => "gpt-5.1-codex-max",
        Provider::Anthropic => "claude-sonnet-4-5",
        Provider::Google => "gemini-3.7-flash",
        Provider::Xai => "grok-4-fast-high",
    }
}

fn made(settings: ModelSettings, key: KeySource) -> Result<Arc<dyn Model>, ModelError> {
    kubeops::tls::install_provider();
    provider(settings, key, Arc::new(Hand::default()) as Arc<dyn Clock>)
}

fn model(provider: Provider, fake: &FakeLlm) -> Arc<dyn Model> {
    made(settings(provider, fake), key(KEY)).expect("a model")
}

fn tool(name: &str) -> Tool {
    let parameters = json!({
        "type": "object", "additionalProperties": false, "required": ["path"],
        "properties": { "path": { "type": "string", "description": "Below the repository's root." } },
    });
    Tool { name: name.to_owned(), description: format!("What {name} does."), parameters }
}

/// A question, two calls of which one is unreadable, their results, and a word more.
fn conversation() -> Exchange {
    let arguments = Arguments::Unreadable { text: "{\"path\":".to_owned(), reason: "it ends in the middle of its JSON".to_owned() };
    let result = |id: &str, name: &str, content: &str| CallResult { id: id.to_owned(), name: name.to_owned(), content: content.to_owned() };
    Exchange {
        system: "You change manifests.".to_owned(),
        messages: vec![
            Message::User(format!("Give web three replicas. {PROMPT}")),
            Message::Model {
                text: "I look first.".to_owned(),
                calls: vec![
                    Call { id: "a1".to_owned(), name: "read_file".to_owned(), arguments: Arguments::Read(json!({ "path": "apps/web.yaml" })) },
                    Call { id: "call-1".to_owned(), name: "list_files".to_owned(), arguments },
                ],
            },
            Message::Results(vec![result("a1", "read_file", "replicas: 2\n"), result("call-1", "list_files", "These arguments are no JSON.")]),
            Message::User("Go on.".to_owned()),
        ],
        tools: vec![tool("read_file"), tool("list_files")],
        max_tokens: 1000,
    }
}

fn question() -> Exchange {
    Exchange { messages: vec![Message::User(format!("Give web three replicas. {PROMPT}"))], ..conversation() }
}

/// The tools as a form writes them.
fn tools(form: impl Fn(&str, Value) -> Value) -> Value {
    conversation().tools.into_iter().map(|tool| form(&tool.name, tool.parameters)).collect()
}
