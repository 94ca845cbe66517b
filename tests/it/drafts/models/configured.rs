//! Which model the settings and an automation come to.

use super::*;
use crate::support::fake_llm::Said;
use kubeops::app::ConfiguredModels;
use kubeops::automation::{ModelSpec, PriceSpec};
use kubeops::config::{LanguageModels, Settings};
use kubeops::pipeline::Models;
use kubeops::secrets::FileSecrets;
use kubeops::store::Limit;
use std::path::Path;

fn language_models(pairs: &[(&str, &str)]) -> LanguageModels {
    Settings::from_env(&|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())).expect("settings").language_models
}

fn models(pairs: &[(&str, &str)], secrets: &Path) -> ConfiguredModels {
    kubeops::tls::install_provider();
    ConfiguredModels::new(language_models(pairs), Arc::new(FileSecrets::new(secrets)), Arc::new(Hand::default())).expect("models")
}

fn wanted(spec: Value) -> ModelSpec {
    serde_json::from_value(spec).expect("a model")
}

#[test]
fn an_automation_says_what_the_settings_leave_open_or_say_otherwise() {
    let directory = tempfile::tempdir().expect("a directory");
    let none = models(&[], directory.path());
    let told = none.model(None).map(|_| ()).expect_err("no model").to_string();
    assert_eq!(told, "no model drafts here: set LLM_PROVIDER, or name a provider in the automation's draft.model");
    let told = none.model(Some(&wanted(json!({ "provider": "xai" })))).map(|_| ()).expect_err("no model").to_string();
    assert_eq!(told, "no model drafts here: set LLM_XAI_MODEL, or name a model in the automation's draft.model");
    let settings = [
        ("LLM_PROVIDER", "openai"),
        ("LLM_OPENAI_MODEL", "gpt-5.1"),
        ("LLM_ANTHROPIC_MODEL", "claude-sonnet-4-5"),
        ("LLM_INPUT_PRICE", "1.25"),
        ("LLM_OUTPUT_PRICE", "10"),
        ("LLM_TOKENS_PER_DAY", "5000000"),
        ("LLM_COST_PER_DAY", "12.34"),
    ];
    let models = models(&settings, directory.path());
    let theirs = Some(PriceSpec { input: 1.25, output: 10.0 });
    let own = json!({ "provider": "google", "name": "gemini-3.7-flash", "maxTokens": 900, "price": { "input": 1.0, "output": 2.0 } });
    for (spec, provider, name, max_tokens, price) in [
        (None, Provider::OpenAi, "gpt-5.1", 4096, theirs),
        (Some(json!({ "provider": "anthropic" })), Provider::Anthropic, "claude-sonnet-4-5", 4096, None),
        (Some(json!({ "name": "gpt-5.1-mini" })), Provider::OpenAi, "gpt-5.1-mini", 4096, None),
        (Some(own), Provider::Google, "gemini-3.7-flash", 900, Some(PriceSpec { input: 1.0, output: 2.0 })),
    ] {
        let chosen = models.model(spec.map(wanted).as_ref()).expect("a model");
        assert_eq!((chosen.model.id().provider, chosen.model.id().name.as_str()), (provider, name));
        assert_eq!((chosen.max_tokens, chosen.price), (max_tokens, price), "a price is that of one model: {name}");
        assert_eq!(chosen.per_day, Limit { tokens: Some(5_000_000), micros: Some(12_340_000) });
    }
    let again = || models.model(None).expect("a model").model;
    assert!(Arc::ptr_eq(&again(), &again()), "one is made once");
}

#[tokio::test]
async fn the_key_is_a_secret_of_the_providers_name_looked_up_at_each_call() {
    let (fake, directory) = (FakeLlm::start(), tempfile::tempdir().expect("a directory"));
    let (chat, gemini) = (format!("{}/v1", fake.url()), format!("{}/v1beta/", fake.url()));
    let settings = [
        ("LLM_PROVIDER", "local"),
        ("LLM_LOCAL_MODEL", "qwen3"),
        ("LLM_LOCAL_URL", chat.as_str()),
        ("LLM_GOOGLE_MODEL", "gemini-3.7-flash"),
        ("LLM_GOOGLE_URL", gemini.as_str()),
    ];
    let models = models(&settings, directory.path());
    let local = models.model(None).expect("a model").model;
    local.answer(&question()).await.expect("a server of one's own wants no key");
    std::fs::write(directory.path().join("LLM_LOCAL_API_KEY"), "first\n").expect("a secret");
    local.answer(&question()).await.expect("an answer");
    assert_eq!(fake.asked().headers["authorization"], "Bearer first");
    let google = models.model(Some(&wanted(json!({ "provider": "google" })))).expect("a model").model;
    let error = google.answer(&question()).await.expect_err("no key").to_string();
    assert!(error.contains("LLM_GOOGLE_API_KEY"), "{error}");
    for key in ["one", "two"] {
        std::fs::write(directory.path().join("LLM_GOOGLE_API_KEY"), key).expect("a secret");
        fake.says(Said::text("Hello."));
        google.answer(&question()).await.expect("an answer");
        assert_eq!(fake.asked().headers["x-goog-api-key"], key);
    }
}
