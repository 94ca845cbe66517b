use super::*;
use crate::automation::{PriceSpec, Provider};
use crate::telemetry::TraceSampler;
use proptest::prelude::*;

fn read(pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    Settings::from_env(&|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
}

fn settings(pairs: &[(&str, &str)]) -> Settings {
    read(pairs).expect("settings")
}

fn refusals(pairs: &[(&str, &str)]) -> Vec<SettingError> {
    read(pairs).expect_err("a refusal").0
}

#[test]
fn with_an_empty_environment_every_default_holds() {
    let settings = settings(&[]);
    assert_eq!(settings.listen, Listen::Tcp { host: "0.0.0.0".to_owned(), port: 8080 });
    assert_eq!(settings.timeout, Duration::from_secs(120));
    assert_eq!(settings.graceful_timeout, Duration::from_secs(120));
    assert_eq!(settings.keep_alive, Duration::from_secs(5));
    assert_eq!((settings.log_level, settings.server_log_level), (LogLevel::Warn, LogLevel::Info));
    assert_eq!(settings.log_format, LogFormat::Text);
    assert_eq!(settings.store_url, StoreUrl::Sqlite("data/kubeops.db".into()));
    assert_eq!(settings.public_url_at(&settings.listen).as_str(), "http://localhost:8080");
    assert_eq!(settings.kubernetes_version, "1.33".parse().expect("a version"));
    assert_eq!(settings.kubernetes_version, crate::types::KubernetesVersion::default(), "one default");
    assert!(settings.policy_baseline && !self::settings(&[("POLICY_BASELINE", "off")]).policy_baseline);
    assert!(!settings.enable_metrics);
    assert_eq!(settings.observe_every, Duration::from_secs(60));
    assert_eq!(settings.retention, Duration::from_secs(90 * 86_400));
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let blank = |_: &str| Some("  ".to_owned());
    assert_eq!(Settings::from_env(&blank), Ok(settings(&[])));
}

#[test]
fn bind_overrides_host_and_port() {
    let bound = |bind: &str| settings(&[("HOST", "10.0.0.1"), ("PORT", "81"), ("BIND", bind)]).listen;
    assert_eq!(bound("127.0.0.1:0"), Listen::Tcp { host: "127.0.0.1".to_owned(), port: 0 });
    assert_eq!(bound("[::1]:8081"), Listen::Tcp { host: "::1".to_owned(), port: 8081 });
    assert_eq!(bound("unix:/run/kubeops.sock"), Listen::Unix("/run/kubeops.sock".into()));
    for bad in ["8080", "::1:80", "host:99999", "unix:relative", "a b:1", "host:-1"] {
        assert_eq!(refusals(&[("BIND", bad)])[0].name, "BIND", "{bad}");
    }
}

#[test]
fn workers_are_reckoned_from_the_cores_unless_said_outright() {
    assert_eq!(settings(&[]).effective_workers(1), 2);
    assert_eq!(settings(&[]).effective_workers(8), 8);
    assert_eq!(settings(&[("WORKERS_PER_CORE", "0.5")]).effective_workers(8), 4);
    assert_eq!(settings(&[("MAX_WORKERS", "3")]).effective_workers(8), 3);
    assert_eq!(settings(&[("MAX_WORKERS", "1")]).effective_workers(8), 1);
    assert_eq!(settings(&[("WEB_CONCURRENCY", "1"), ("MAX_WORKERS", "4")]).effective_workers(8), 1);
    assert_eq!(settings(&[("WEB_CONCURRENCY", "16"), ("MAX_WORKERS", "4")]).effective_workers(8), 16);
}

#[test]
fn a_client_never_has_longer_than_a_call() {
    let (usual, short) = (settings(&[]), settings(&[("TIMEOUT", "3")]));
    assert_eq!((usual.head_timeout(), usual.body_timeout()), (Duration::from_secs(10), Duration::from_secs(30)));
    assert_eq!((short.head_timeout(), short.body_timeout()), (Duration::from_secs(3), Duration::from_secs(3)));
}

#[test]
fn all_mistakes_are_told_at_once_with_the_variable_its_value_and_what_is_allowed() {
    let errors = refusals(&[("PORT", "http"), ("LOG_LEVEL", "loud"), ("TIMEOUT", "0"), ("ENV", "staging"), ("TRUSTED_PROXIES", "10.0.0.0/8,lan")]);
    let names: Vec<&str> = errors.iter().map(|error| error.name.as_str()).collect();
    assert_eq!(names, ["PORT", "TIMEOUT", "LOG_LEVEL", "ENV", "TRUSTED_PROXIES"]);
    assert_eq!(errors[0].to_string(), "PORT=\"http\" cannot be used: it is not a whole number. Allowed: a whole number from 0 to 65535");
    assert_eq!(ConfigError(errors.clone()).to_string().lines().count(), errors.len());
}

#[test]
fn json_logs_and_log_format_agree_or_are_refused() {
    assert_eq!(settings(&[("JSON_LOGS", "1")]).log_format, LogFormat::Json);
    assert_eq!(settings(&[("LOG_FORMAT", "json")]).log_format, LogFormat::Json);
    assert_eq!(settings(&[("LOG_FORMAT", "json"), ("JSON_LOGS", "1")]).log_format, LogFormat::Json);
    for (json_logs, format) in [("0", "json"), ("1", "text")] {
        let errors = refusals(&[("LOG_FORMAT", format), ("JSON_LOGS", json_logs)]);
        assert_eq!(errors[0].name, "LOG_FORMAT");
        assert!(errors[0].problem.contains("JSON_LOGS"), "{}", errors[0]);
    }
}

#[test]
fn tags_take_their_values_from_the_variables_they_name() {
    let settings = settings(&[("ENV_TAGS", "team:TEAM, region:AWS_REGION"), ("TEAM", "platform"), ("AWS_REGION", "eu-1")]);
    assert_eq!(settings.tags.get("team").map(String::as_str), Some("platform"));
    assert_eq!(settings.tags.get("region").map(String::as_str), Some("eu-1"));
    let errors = refusals(&[("ENV_TAGS", "team:TEAM,nonsense,1x:TEAM,gone:GONE"), ("TEAM", "s3cret")]);
    assert_eq!(errors.len(), 3);
    assert!(!ConfigError(errors).to_string().contains("s3cret"));
}

#[test]
fn credentials_in_a_url_are_refused_and_never_printed() {
    for name in ["STORE_URL", "PUBLIC_URL", "APP_UI_URL", "LLM_LOCAL_URL"] {
        let told = ConfigError(refusals(&[(name, "https://user:hunter2@db.example/x")])).to_string();
        assert!(told.contains(name) && !told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_store_is_a_file_or_a_postgresql_database_whose_password_stands_elsewhere() {
    for address in ["postgres://kubeops@db.example/kubeops", "postgresql://kubeops@127.0.0.1:5432/kubeops?sslmode=require"] {
        assert_eq!(settings(&[("STORE_URL", address)]).store_url, StoreUrl::Postgres(address.to_owned()));
    }
    for (address, problem) in [
        ("postgres://kubeops:hunter2@db.example/kubeops", "it holds a password"),
        ("postgres://kubeops@db.example/kubeops?password=hunter2", "it holds a password"),
        ("postgres://kubeops@db.example", "it names no database"),
        ("mysql://db.example/kubeops", "it is no database this program knows"),
    ] {
        let refused = &refusals(&[("STORE_URL", address)])[0];
        assert_eq!(refused.problem, problem, "{refused}");
        assert!(refused.allowed.contains("postgres://user@host:5432/database") && !refused.to_string().contains("hunter2"), "{refused}");
    }
}

#[test]
fn programs_of_mcp_servers_are_none_unless_they_are_named_by_their_paths() {
    assert!(!settings(&[]).mcp_programs.contains("/opt/owners"));
    assert!(settings(&[("MCP_PROGRAMS", "/bin/x, /opt/owners")]).mcp_programs.contains("/opt/owners"));
    let refused = &refusals(&[("MCP_PROGRAMS", "/bin/x,owners")])[0];
    assert!(refused.problem.contains("`owners`") && refused.allowed.contains("absolute paths"), "{refused}");
}

#[test]
fn patterns_that_are_withheld_stand_one_a_line_and_match_something() {
    assert!(settings(&[]).language_models.withheld.patterns().is_empty());
    let withheld = settings(&[("LLM_WITHHOLD", "cust-[0-9]{2,6}\nticket=(\\w+)")]).language_models.withheld;
    assert_eq!(withheld.patterns().iter().map(|pattern| pattern.as_str()).collect::<Vec<_>>(), ["cust-[0-9]{2,6}", "ticket=(\\w+)"]);
    for (bad, problem) in [("cust-[0-9", "`cust-[0-9` is no regular expression"), ("x\na*", "`a*` matches the empty text")] {
        let refused = &refusals(&[("LLM_WITHHOLD", bad)])[0];
        assert!(refused.problem.contains(problem) && refused.allowed.contains("one a line"), "{refused}");
    }
}

#[test]
fn a_secret_provider_is_the_environment_or_a_directory() {
    assert_eq!(settings(&[("SECRET_PROVIDER", "file:/run/secrets")]).secret_provider, SecretProvider::Directory("/run/secrets".into()));
    for bad in ["file:relative", "vault"] {
        assert_eq!(refusals(&[("SECRET_PROVIDER", bad)])[0].allowed, "env or file:/directory");
    }
}

#[test]
fn a_provider_of_language_models_needs_its_model_and_a_local_one_its_address() {
    let models = settings(&[]).language_models;
    assert_eq!((models.provider, models.max_tokens, models.timeout, models.price), (None, 4096, Duration::from_secs(120), None));
    let local = [("LLM_PROVIDER", "local"), ("LLM_LOCAL_URL", "http://vllm:8000/v1"), ("LLM_LOCAL_MODEL", "qwen3-coder")];
    let prices = [("LLM_INPUT_PRICE", "2.5"), ("LLM_OUTPUT_PRICE", "10"), ("LLM_COST_PER_DAY", "25"), ("LLM_TOKENS_PER_DAY", "1000000")];
    let models = settings(&[local.as_slice(), &prices].concat()).language_models;
    assert_eq!(models.provider, Some(Provider::Local));
    assert_eq!(models.models, [(Provider::Local, "qwen3-coder".to_owned())].into());
    assert_eq!(models.urls[&Provider::Local].as_str(), "http://vllm:8000/v1");
    assert_eq!(models.price, Some(PriceSpec { input: 2.5, output: 10.0 }));
    assert_eq!((models.tokens_per_day, models.cost_per_day), (Some(1_000_000), Some(25.0)));
    for (given, allowed) in [
        (
            &local[..1],
            ["local with LLM_LOCAL_URL, such as http://localhost:11434/v1; another provider; or none", "a provider with LLM_LOCAL_MODEL, or none"]
                .as_slice(),
        ),
        (&[("LLM_PROVIDER", "anthropic")], &["a provider with LLM_ANTHROPIC_MODEL, or none"]),
        (&[("LLM_PROVIDER", "skynet")], &["local, openai, anthropic, google, xai"]),
        (&prices[..1], &["both prices, or none"]),
        (&[("LLM_OPENAI_URL", "http://models.example/v1")], &["an https:// URL, or an http:// one on this machine"]),
        (&[("LLM_GOOGLE_MODEL", "gemini 3")], &["1 to 200 characters without a space"]),
        (&[local.as_slice(), &prices[2..3]].concat(), &["with LLM_INPUT_PRICE and LLM_OUTPUT_PRICE, or none; LLM_TOKENS_PER_DAY needs no price"]),
        (&[("LLM_COST_PER_DAY", "-1")], &["a number from 0 to 1000000, such as 2.5"]),
    ] {
        assert_eq!(refusals(given).iter().map(|error| error.allowed.as_str()).collect::<Vec<_>>(), allowed, "{given:?}");
    }
    assert_eq!(
        settings(&[("LLM_OPENAI_URL", "http://127.0.0.1:8080/v1")]).language_models.urls[&Provider::OpenAi].as_str(),
        "http://127.0.0.1:8080/v1"
    );
}

#[test]
fn slips_in_the_settings_of_language_models_are_told_with_what_was_meant() {
    for (name, value, problem) in [
        ("LLM_PROVIDER", "ollama", "is `local`, at LLM_LOCAL_URL"),
        ("LLM_PROVIDER", "vLLM", "is `local`, at LLM_LOCAL_URL"),
        ("LLM_PROVIDER", "lmstudio", "is `local`, at LLM_LOCAL_URL"),
        ("LLM_PROVIDER", "claude", "is called `anthropic`"),
        ("LLM_PROVIDER", "opnai", "did you mean `openai`?"),
        ("LLM_LOCAL_URL", "localhost:11434", "`http://` or `https://` is missing before it"),
        ("LLM_LOCAL_URL", "10.0.0.7:8000/v1", "`http://` or `https://` is missing before it"),
        ("LLM_OPENAI_URL", "models.example/v1", "`http://` or `https://` is missing before it"),
        ("LLM_LOCAL_URL", "ftp://models.example", "it is another kind of URL"),
        ("LLM_LOCAL_URL", "mailto:a@models.example", "it is another kind of URL"),
    ] {
        let told = &refusals(&[(name, value)])[0];
        assert!(told.problem.contains(problem), "{value}: {told}");
    }
    let local = &refusals(&[("LLM_PROVIDER", "local"), ("LLM_LOCAL_MODEL", "x")])[0];
    assert!(local.problem.contains("LLM_LOCAL_URL") && local.problem.contains("is not set"), "{local}");
}

#[test]
fn an_address_of_models_without_a_version_is_warned_of() {
    let told = settings(&[("LLM_LOCAL_URL", "http://localhost:11434/"), ("LLM_OPENAI_URL", "https://gateway.example/v1")]).warnings();
    assert_eq!(
        told,
        ["LLM_LOCAL_URL=http://localhost:11434 has no path, and most servers are called below a version: LLM_LOCAL_URL=http://localhost:11434/v1"]
    );
}

#[test]
fn language_models_are_read_alone_as_all_settings_are() {
    let of = |given: &'static [(&'static str, &'static str)]| {
        move |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let priced = of(&[("LLM_PROVIDER", "openai"), ("LLM_OPENAI_MODEL", "gpt"), ("PORT", "http")]);
    assert_eq!(LanguageModels::from_env(&priced).expect("settings").provider, Some(Provider::OpenAi));
    assert!(LanguageModels::are_given(&priced));
    assert!(LanguageModels::from_env(&of(&[("LLM_PROVIDER", "ollama")])).is_err());
    assert!(!LanguageModels::are_given(&of(&[("PORT", "1"), ("LLM_PROVIDER", " ")])));
}

#[test]
fn logs_go_to_the_standard_streams_to_a_file_or_nowhere() {
    let settings = settings(&[("ACCESS_LOG", "off"), ("ERROR_LOG", "/var/log/kubeops.log")]);
    assert_eq!(settings.access_log, LogTarget::Off);
    assert_eq!(settings.error_log, LogTarget::File("/var/log/kubeops.log".into()));
}

#[test]
fn the_document_the_defaults_and_the_code_agree() {
    assert_eq!(include_str!("../../docs/settings.md"), settings_page(), "docs/settings.md is not what settings_page() says");
    let mut expected = table().into_iter();
    let mut comment = String::new();
    for line in DEFAULTS.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment = format!("{comment} {}", text.trim()).trim().to_owned();
        } else if let Some((key, _)) = line.split_once(" = ") {
            let row = expected.next().expect("a row for every key of config/default.toml");
            assert_eq!(key.to_ascii_uppercase(), row.name);
            assert_eq!(comment, format!("{}: {}", row.name, row.meaning));
            comment.clear();
        } else {
            comment.clear();
        }
    }
    assert_eq!(expected.next(), None, "a setting without a default in config/default.toml");
}

#[test]
fn every_setting_is_looked_at() {
    // A value no setting takes: whatever is parsed refuses it, and plain paths and names take it.
    let takes_any_text =
        ["ACCESS_LOG", "ERROR_LOG", "KUSTOMIZE_PROGRAM", "RESOURCES_DIR", "SCHEMAS_DIR", "TEMPLATES_DIR", "DATA_DIR", "LLM_RECORD", "LLM_CASSETTE"];
    for row in table().iter().filter(|row| !takes_any_text.contains(&row.name)) {
        let errors = refusals(&[(row.name, "\u{1}?")]);
        assert_eq!(errors.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), [row.name]);
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(index in 0usize..40, value in "\\PC{0,40}") {
        let rows = table();
        let name = rows[index % rows.len()].name;
        let _ = read(&[(name, value.as_str())]);
    }
}

#[test]
fn traces_go_to_a_collector_where_one_is_named_and_nowhere_else() {
    assert_eq!(settings(&[("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_SAMPLER", "always_on")]).traces, None);
    let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4318/base/");
    assert_eq!(settings(&[collector, ("OTEL_SDK_DISABLED", "true")]).traces, None);
    let traces = settings(&[collector]).traces.expect("traces");
    assert_eq!((traces.endpoint.as_str(), traces.service.as_str()), ("http://otel:4318/base/v1/traces", "kubeops"));
    assert_eq!((traces.sampler, traces.queue, traces.delay), (TraceSampler::ParentOrOn, 2048, Duration::from_secs(5)));
    let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/ingest");
    for given in [&[whole][..], &[collector, whole]] {
        assert_eq!(settings(given).traces.expect("traces").endpoint, "http://traces:4318/ingest", "as it is written");
    }
    let twice = &refusals(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4318/v1/traces/")])[0];
    assert!(twice.allowed.starts_with("http://otel:4318, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://otel:4318/v1/traces,"), "{twice}");
    let sampled =
        |sampler, part| settings(&[collector, ("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", part)]).traces.expect("traces").sampler;
    assert_eq!(sampled("traceidratio", "0.25"), TraceSampler::Ratio(0.25));
    assert_eq!(sampled("parentbased_traceidratio", ""), TraceSampler::ParentOrRatio(1.0));
    let said =
        settings(&[collector, ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod%20eu, team=a")]).traces.expect("traces").attributes;
    assert_eq!(said, [("deployment.environment.name".to_owned(), "prod eu".to_owned()), ("team".to_owned(), "a".to_owned())]);
    for (name, bad) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "otel:4317"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:s3cret@otel"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "otel:4318/v1/traces"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=a,team=b"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
    ] {
        let refused = refusals(&[(name, bad)]);
        assert_eq!(refused[0].name, name, "{bad}");
        assert!(!refused[0].to_string().contains("s3cret"), "{}", refused[0]);
    }
}
