//! The settings by name, with what each means: the source of `docs/settings.md`. Defaults stand in `config/default.toml` alone.

use super::DEFAULTS;
use config::{Config, File, FileFormat};

/// One setting, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The environment variable.
    pub name: &'static str,
    /// Its default; empty when it has none.
    pub default: String,
    /// What it does.
    pub meaning: &'static str,
}

/// Every setting, in the order of `config/default.toml`. Its defaults are the ones compiled in.
pub fn table() -> Vec<Row> {
    let defaults = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml)).build().unwrap_or_default();
    MEANINGS
        .iter()
        .map(|(name, meaning)| Row { name, default: defaults.get_string(&name.to_ascii_lowercase()).unwrap_or_default(), meaning })
        .collect()
}

/// `docs/settings.md`.
pub fn settings_page() -> String {
    let mut page = String::from(
        "# Settings\n\nThe process is configured by environment variables and nothing else. An empty variable counts as not set. A value that cannot be\n\
         used stops the start; every mistake is told at once, with the variable, its value and what is allowed.\n\n\
         Commands that read the same variables as defaults of their options (`--resources`, `--templates`, `--kubernetes`, and `KUBEOPS_SERVER`\n\
         and `KUBEOPS_TOKEN` for `--server` and `--token`) take an empty one as the empty value: unset it instead.\n\n\
         | Variable | Default | Meaning |\n|---|---|---|\n",
    );
    for Row { name, default, meaning } in table() {
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        page.push_str(&format!("| `{name}` | {default} | {meaning} |\n"));
    }
    page
}

/// The names of all settings.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    MEANINGS.iter().map(|(name, _)| *name)
}

const MEANINGS: &[(&str, &str)] = &[
    ("HOST", "Address or host name the server listens on."),
    ("PORT", "TCP port the server listens on; 0 lets the system choose."),
    ("BIND", "Overrides HOST and PORT: `host:port`, `[ipv6]:port`, or `unix:/path` for a unix socket."),
    ("WORKERS_PER_CORE", "HTTP worker threads per core; a fraction is allowed. At least 2 workers run."),
    ("MAX_WORKERS", "Most HTTP worker threads reckoned from the cores; empty for no cap. It does not cap WEB_CONCURRENCY."),
    ("WEB_CONCURRENCY", "Number of HTTP worker threads; empty reckons it from the cores: max(cores x WORKERS_PER_CORE, 2)."),
    ("KEEP_ALIVE", "Seconds an idle connection is kept open; 0 closes it after each answer."),
    (
        "TIMEOUT",
        "Most seconds one call may take before it is answered 503. A client has at most this long, and never more than 10 seconds for its headers and 30 for its body.",
    ),
    ("GRACEFUL_TIMEOUT", "Most seconds a shutdown waits for what is in flight."),
    ("LOG_LEVEL", "What KubeOps logs: CRITICAL, ERROR, WARNING or WARN, INFO, DEBUG, TRACE. Libraries never log below WARN."),
    ("GUNICORN_LOG_LEVEL", "The web server's own level. Access lines are written at INFO and below."),
    ("ACCESS_LOG", "Where access lines go: `-` for standard output, `off`, or a file that is appended to."),
    ("ERROR_LOG", "Where the log goes: `-` for standard error, `off`, or a file that is appended to."),
    ("JSON_LOGS", "1 writes every log line as one JSON object, 0 as text. The same as LOG_FORMAT; when both are given they must agree."),
    ("LOG_FORMAT", "`text` or `json`; empty follows JSON_LOGS."),
    ("ENABLE_METRICS", "`true` serves Prometheus metrics at /metrics."),
    ("ENV", "Where the process runs: `local`, `production` or `pytest`. It is a label of the metrics."),
    ("ENV_TAGS", "Labels for the metrics: a list `tag:VARIABLE,...` whose values come from the variables named."),
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "Base URL of an OpenTelemetry collector that traces are exported to, OTLP over HTTP at `<url>/v1/traces`; empty: no traces are exported. The headers it wants are no setting but the secret OTEL_EXPORTER_OTLP_HEADERS (`name=value,...`), which SECRET_PROVIDER looks up at each export.",
    ),
    (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "The whole URL that traces are exported to, with its path, in the place of OTEL_EXPORTER_OTLP_ENDPOINT; empty: that one counts.",
    ),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "How traces are exported; `http/protobuf` is what this program speaks."),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "Most milliseconds one export may take."),
    ("OTEL_SDK_DISABLED", "`true` exports no traces, whatever else is set."),
    ("OTEL_SERVICE_NAME", "The name of the service in traces."),
    ("OTEL_RESOURCE_ATTRIBUTES", "What else traces say of the process: a list `name=value,...`, values percent-encoded."),
    (
        "OTEL_TRACES_SAMPLER",
        "Which traces are kept: `always_on`, `always_off`, `traceidratio`, or, for those that begin here, `parentbased_always_on`, `parentbased_always_off`, `parentbased_traceidratio`: what a sender said of its own holds then.",
    ),
    ("OTEL_TRACES_SAMPLER_ARG", "The part that `traceidratio` and `parentbased_traceidratio` keep, from 0 to 1; empty for 1."),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "Spans that may wait to be exported, those of unfinished steps among them; beyond it they are dropped and counted."),
    ("OTEL_BSP_SCHEDULE_DELAY", "Most milliseconds a span waits for others before it is exported."),
    ("APP_UI_URL", "Where people look at requests, if not at this server: links in pull requests go to `<url>/requests/<id>`."),
    ("SECRET_PROVIDER", "Where secrets named in resources are looked up: `env` for variables, `file:/directory` for one file each."),
    ("RESOURCES_DIR", "Directory of the YAML documents: sources, repositories, clusters, channels, calendars, MCP servers, automations."),
    ("RESOURCES_RELOAD_SECONDS", "Seconds between looks at RESOURCES_DIR for changes; 0 reloads on SIGHUP alone."),
    (
        "SCHEMAS_DIR",
        "Schemas of kinds that are not Kubernetes' own: CustomResourceDefinitions, or JSON Schemas at `<group>/<kind>_<version>.json`; empty for none.",
    ),
    (
        "KUSTOMIZE_PROGRAM",
        "What builds the overlays a change touches, before and after it, for the pull request: `kubectl`, `kustomize`, or a path of one; empty for none.",
    ),
    (
        "MCP_PROGRAMS",
        "Programs that an McpServer with `stdio` may name, as exact absolute paths separated by commas; empty for none. They run as the server's own user and can read what it can: name none that runs whatever its arguments say, as a shell does.",
    ),
    ("TEMPLATES_DIR", "A further catalogue of templates, beside the one built in; empty for none."),
    ("DATA_DIR", "Directory of the store and of the mirrors of the repositories."),
    (
        "STORE_URL",
        "The store: `sqlite:<file>`, or `postgres://user@host:5432/database` (14 or later), which several replicas share; its password is the secret STORE_PASSWORD. Empty for kubeops.db in DATA_DIR.",
    ),
    ("STORE_CONNECTIONS", "Connections to PostgreSQL that this process has at most."),
    (
        "RETENTION_DAYS",
        "Days deliveries, events and ended requests are kept, and with these their pull requests of the local forge; never removes what a live request needs.",
    ),
    ("API_CALLS_PER_MINUTE", "Calls one API token may make a minute; beyond it is answered 429. Webhooks are not limited."),
    ("TRUSTED_PROXIES", "Networks whose X-Forwarded-For is believed, separated by commas. Over a unix socket it is always believed."),
    ("WORKER_CONCURRENCY", "Repositories that git works on at the same time; four times as many have pull requests opened."),
    (
        "LEASE_SECONDS",
        "Seconds after which what a process that died or stands still had in hand is taken over by another; it is extended while the work goes on.",
    ),
    ("TASK_MAX_ATTEMPTS", "Attempts at one step of a request before it becomes a dead letter."),
    ("OBSERVE_SECONDS", "Seconds between looks at open pull requests, for merges and closes nobody told of."),
    ("RECONCILE_SECONDS", "Seconds between looks at the senders of sources with `reconcile`, for what no delivery brought; 0: none."),
    (
        "FETCH_MAX_AGE_SECONDS",
        "Seconds for which the tip of a base branch is believed before it is fetched again; a base that moved meanwhile is noticed at the push. 0: fetched every time.",
    ),
    (
        "FORGE_WRITE_PAUSE_MS",
        "Least milliseconds between two calls to GitHub that people are notified of, for each token or App installation: GitHub asks for a second.",
    ),
    ("MAX_QUEUED_DELIVERIES", "Deliveries that may wait; beyond it senders are answered 503 and try again. Looked at once a second."),
    (
        "PUBLIC_URL",
        "Where people and forges reach this server, for links in pull requests and comments; empty for http://HOST:PORT, `localhost` for an address that stands for all.",
    ),
    ("KUBERNETES_VERSION", "Kubernetes minor whose schemas apply where a cluster names none."),
    ("POLICY_BASELINE", "Whether the policies that are shipped are in force: `on` or `off`."),
    (
        "LLM_PROVIDER",
        "Who offers the language model that drafts where an automation names none: `local`, `openai`, `anthropic`, `google` or `xai`; empty: none. The keys are no settings but secrets, which SECRET_PROVIDER looks up at each call: LLM_OPENAI_API_KEY, LLM_ANTHROPIC_API_KEY, LLM_GOOGLE_API_KEY, LLM_XAI_API_KEY, and LLM_LOCAL_API_KEY where a server of one's own wants one.",
    ),
    (
        "LLM_LOCAL_URL",
        "Base URL of a server of one's own that speaks OpenAI's chat completions (vLLM, Ollama and others), with the version in it, as `http://vllm:8000/v1`. It alone may be plain http to another machine.",
    ),
    ("LLM_LOCAL_MODEL", "Name of the model at LLM_LOCAL_URL."),
    ("LLM_OPENAI_MODEL", "Name of the model at OpenAI."),
    ("LLM_ANTHROPIC_MODEL", "Name of the model at Anthropic."),
    ("LLM_GOOGLE_MODEL", "Name of the model at Google (Gemini)."),
    ("LLM_XAI_MODEL", "Name of the model at xAI."),
    ("LLM_OPENAI_URL", "Base URL of a server to call in OpenAI's place, with the version in it; empty for `https://api.openai.com/v1`."),
    ("LLM_ANTHROPIC_URL", "Base URL of a server to call in Anthropic's place, with the version in it; empty for `https://api.anthropic.com/v1`."),
    (
        "LLM_GOOGLE_URL",
        "Base URL of a server to call in Google's place, with the version in it; empty for `https://generativelanguage.googleapis.com/v1beta`.",
    ),
    ("LLM_XAI_URL", "Base URL of a server to call in xAI's place, with the version in it; empty for `https://api.x.ai/v1`."),
    ("LLM_MAX_TOKENS", "Most tokens one answer of a model may have."),
    ("LLM_TIMEOUT", "Most seconds one call of a model may take, from its begin to the last byte of the answer."),
    ("LLM_DRAFTS_AT_ONCE", "Drafts that are made at the same time, 1 to 64; each of them mostly waits for its model."),
    (
        "LLM_INPUT_PRICE",
        "What a million tokens sent to the model of LLM_PROVIDER cost, in whatever currency budgets are written in; empty: unknown. Given together with LLM_OUTPUT_PRICE.",
    ),
    ("LLM_OUTPUT_PRICE", "What a million tokens answered by the model of LLM_PROVIDER cost."),
    ("LLM_TOKENS_PER_DAY", "Most tokens drafts and the copilot together may use in a day (UTC), those sent and those answered; empty for no limit."),
    ("LLM_COST_PER_DAY", "Most that drafts and the copilot together may cost in a day (UTC), in the currency of the prices; empty for no limit."),
    (
        "LLM_WITHHOLD",
        "Regular expressions, one a line, for what is shown to no language model, beside what is withheld anyway; of one with a group the first group alone. They hold for drafts, the copilot and LLM_RECORD; an automation may name more (`draft.withhold`).",
    ),
    (
        "LLM_RECORD",
        "Path of a file to which everything that is said with language models is added, secrets taken out, readable for its owner alone, 64 MiB at most; one that cannot be opened stops the start; empty: nothing is recorded.",
    ),
    (
        "LLM_CASSETTE",
        "Path of a file written with LLM_RECORD or `kubeops drafts eval --record` that answers in the place of every model; what it does not hold is an error, and nobody is asked. For demonstrations and tests; empty: models are asked.",
    ),
];
