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
    ("APP_UI_URL", "Where people look at requests, if not at this server: links in pull requests go to `<url>/requests/<id>`."),
    ("SECRET_PROVIDER", "Where secrets named in resources are looked up: `env` for variables, `file:/directory` for one file each."),
    ("RESOURCES_DIR", "Directory of the YAML documents: sources, repositories, clusters, channels, calendars, automations."),
    ("RESOURCES_RELOAD_SECONDS", "Seconds between looks at RESOURCES_DIR for changes; 0 reloads on SIGHUP alone."),
    (
        "SCHEMAS_DIR",
        "Schemas of kinds that are not Kubernetes' own: CustomResourceDefinitions, or JSON Schemas at `<group>/<kind>_<version>.json`; empty for none.",
    ),
    (
        "KUSTOMIZE_PROGRAM",
        "What builds the overlays a change touches, before and after it, for the pull request: `kubectl`, `kustomize`, or a path of one; empty for none.",
    ),
    ("TEMPLATES_DIR", "A further catalogue of templates, beside the one built in; empty for none."),
    ("DATA_DIR", "Directory of the store and of the mirrors of the repositories."),
    ("STORE_URL", "The store: `sqlite:<file>`; empty for kubeops.db in DATA_DIR."),
    ("RETENTION_DAYS", "Days deliveries, events and ended requests are kept; never removes what a live request needs."),
    ("API_CALLS_PER_MINUTE", "Calls one API token may make a minute; beyond it is answered 429. Webhooks are not limited."),
    ("TRUSTED_PROXIES", "Networks whose X-Forwarded-For is believed, separated by commas. Over a unix socket it is always believed."),
    ("WORKER_CONCURRENCY", "Repositories that git works on at the same time; four times as many have pull requests opened."),
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
    ("MAX_QUEUED_DELIVERIES", "Deliveries that may wait; beyond it senders are answered 503 and try again."),
    (
        "PUBLIC_URL",
        "Where people and forges reach this server, for links in pull requests and comments; empty for http://HOST:PORT, `localhost` for an address that stands for all.",
    ),
    ("KUBERNETES_VERSION", "Kubernetes minor whose schemas apply where a cluster names none."),
    ("POLICY_BASELINE", "Whether the policies that are shipped are in force: `on` or `off`."),
];
