//! The settings of the process, read from the environment once, over the defaults compiled in from `config/default.toml`.
//! Past this module nobody looks at the environment: everything is a parsed value, and every mistake is told at once.
//! It never prints a secret, and it never guesses: a value it does not know stops the start.

mod language_models;
mod table;
mod traces;
#[cfg(test)]
mod tests;
mod values;

pub use language_models::LanguageModels;
pub use table::{Row, settings_page, table};
pub use values::{Environment, HttpUrl, SecretProvider, StoreUrl};

use crate::api::Listen;
use crate::inventory::McpPrograms;
use crate::telemetry::{LogFormat, LogLevel, LogTarget, RESERVED_LABELS, TraceOptions};
use crate::types::ErrorClass;
use crate::validate::KubernetesVersion;
use config::{Config, File, FileFormat};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use values::{Parsed, choice, number, optional, span, text};

/// `config/default.toml`: every setting with its default and its meaning.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// How the process runs. One field per setting of `docs/settings.md`, in its order, unless two settings decide one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `HOST`, `PORT` and `BIND`: where the server listens.
    pub listen: Listen,
    /// `WORKERS_PER_CORE`.
    pub workers_per_core: f64,
    /// `MAX_WORKERS`; none for no cap.
    pub max_workers: Option<usize>,
    /// `WEB_CONCURRENCY`; none when it is reckoned from the cores.
    pub web_concurrency: Option<usize>,
    /// `KEEP_ALIVE`; zero closes a connection after each answer.
    pub keep_alive: Duration,
    /// `TIMEOUT`: the longest an API call may take.
    pub timeout: Duration,
    /// `GRACEFUL_TIMEOUT`: the longest a shutdown may take.
    pub graceful_timeout: Duration,
    /// `LOG_LEVEL`.
    pub log_level: LogLevel,
    /// `GUNICORN_LOG_LEVEL`: the web server's own level.
    pub server_log_level: LogLevel,
    /// `ACCESS_LOG`.
    pub access_log: LogTarget,
    /// `ERROR_LOG`.
    pub error_log: LogTarget,
    /// `LOG_FORMAT` and `JSON_LOGS`.
    pub log_format: LogFormat,
    /// `ENABLE_METRICS`.
    pub enable_metrics: bool,
    /// `ENV`.
    pub environment: Environment,
    /// `ENV_TAGS`, with the values of the variables it names.
    pub tags: BTreeMap<String, String>,
    /// `OTEL_...`: where traces go; none when they are not exported.
    pub traces: Option<TraceOptions>,
    /// `APP_UI_URL`.
    pub app_ui_url: Option<HttpUrl>,
    /// `SECRET_PROVIDER`.
    pub secret_provider: SecretProvider,
    /// `RESOURCES_DIR`.
    pub resources_dir: PathBuf,
    /// `RESOURCES_RELOAD_SECONDS`; none when only a signal reloads.
    pub resources_reload: Option<Duration>,
    /// `SCHEMAS_DIR`.
    pub schemas_dir: Option<PathBuf>,
    /// `KUSTOMIZE_PROGRAM`; none when nothing is built.
    pub kustomize_program: Option<PathBuf>,
    /// `MCP_PROGRAMS`: the programs that MCP servers may be.
    pub mcp_programs: McpPrograms,
    /// `TEMPLATES_DIR`.
    pub templates_dir: Option<PathBuf>,
    /// `DATA_DIR`.
    pub data_dir: PathBuf,
    /// `STORE_URL`.
    pub store_url: StoreUrl,
    /// Connections to PostgreSQL at most.
    pub store_connections: u32,
    /// `RETENTION_DAYS`.
    pub retention: Duration,
    /// `API_CALLS_PER_MINUTE`: calls one API token may make.
    pub api_calls_per_minute: u32,
    /// `TRUSTED_PROXIES`.
    pub trusted_proxies: Vec<IpNet>,
    /// `WORKER_CONCURRENCY`.
    pub worker_concurrency: usize,
    /// `LEASE_SECONDS`.
    pub lease: Duration,
    /// `TASK_MAX_ATTEMPTS`.
    pub task_max_attempts: u32,
    /// `OBSERVE_SECONDS`.
    pub observe_every: Duration,
    /// `RECONCILE_SECONDS`; none for 0.
    pub reconcile_every: Option<Duration>,
    /// `FETCH_MAX_AGE_SECONDS`.
    pub fetch_max_age: Duration,
    /// `FORGE_WRITE_PAUSE_MS`.
    pub forge_write_pause: Duration,
    /// `MAX_QUEUED_DELIVERIES`.
    pub max_queued_deliveries: u64,
    /// `PUBLIC_URL`; none when it follows from where the server listens.
    pub public_url: Option<HttpUrl>,
    /// `KUBERNETES_VERSION`.
    pub kubernetes_version: KubernetesVersion,
    /// `POLICY_BASELINE`.
    pub policy_baseline: bool,
    /// `LLM_...`: the models that draft.
    pub language_models: LanguageModels,
}

/// One value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value:?} cannot be used: {problem}. Allowed: {allowed}")]
pub struct SettingError {
    /// The variable.
    pub name: String,
    /// Its value; whatever looks like a credential is masked.
    pub value: String,
    /// What is wrong with it.
    pub problem: String,
    /// What is allowed.
    pub allowed: String,
}

/// Everything that is wrong with the environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub Vec<SettingError>);

impl ConfigError {
    /// The operator's to mend.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

impl Settings {
    /// Reads the settings from `environment`; a variable that is not set, or empty, has its default.
    ///
    /// # Errors
    /// Every value that cannot be used, all at once.
    pub fn from_env(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(environment)?;
        let settings = reader.settings();
        if reader.errors.is_empty() { Ok(settings) } else { Err(ConfigError(reader.errors)) }
    }

    /// What can be used and is hardly meant, a sentence each: for the log, at the start.
    pub fn warnings(&self) -> Vec<String> {
        self.language_models.warnings().collect()
    }

    /// Where people reach a server that listens at `bound`, which has the port that the system chose for port 0.
    pub fn public_url_at(&self, bound: &Listen) -> HttpUrl {
        self.public_url.clone().unwrap_or_else(|| HttpUrl::of(bound))
    }

    /// The longest a client may take to send a request's headers: `TIMEOUT`, and never more than 10 seconds.
    pub fn head_timeout(&self) -> Duration {
        self.timeout.min(Duration::from_secs(10))
    }

    /// The longest a client may take to send a request's body: `TIMEOUT`, and never more than 30 seconds.
    pub fn body_timeout(&self) -> Duration {
        self.timeout.min(Duration::from_secs(30))
    }

    /// How many threads serve HTTP on a machine with `cores` cores: `WEB_CONCURRENCY`, or else cores times `WORKERS_PER_CORE`,
    /// at least 2, at most `MAX_WORKERS`.
    pub fn effective_workers(&self, cores: usize) -> usize {
        if let Some(workers) = self.web_concurrency {
            return workers;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "cores times a factor below 1,000, rounded down"
        )]
        let wanted = (cores as f64 * self.workers_per_core) as usize;
        wanted.max(2).min(self.max_workers.unwrap_or(usize::MAX))
    }
}

/// The merged texts of all settings, and what was wrong so far.
struct Reader<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    merged: Config,
    errors: Vec<SettingError>,
}

impl<'a> Reader<'a> {
    fn new(environment: &'a dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let broken = |e: config::ConfigError| {
            ConfigError(vec![SettingError {
                name: "config/default.toml".to_owned(),
                value: String::new(),
                problem: e.to_string(),
                allowed: "the file this program was built with".to_owned(),
            }])
        };
        let mut builder = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        for name in table::names() {
            let given = environment(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
            builder = builder.set_override_option(name.to_ascii_lowercase(), given).map_err(broken)?;
        }
        Ok(Self { environment, merged: builder.build().map_err(broken)?, errors: Vec::new() })
    }

    /// What the variable says, or its default; empty when it has neither.
    fn raw(&self, name: &str) -> String {
        self.merged.get_string(&name.to_ascii_lowercase()).unwrap_or_default()
    }

    /// Whether the environment itself says something about the variable.
    fn is_given(&self, name: &str) -> bool {
        (self.environment)(name).is_some_and(|value| !value.trim().is_empty())
    }

    fn refuse(&mut self, name: &str, problem: impl Into<String>, allowed: impl Into<String>) {
        let value = values::masked(&self.raw(name));
        self.errors.push(SettingError { name: name.to_owned(), value, problem: problem.into(), allowed: allowed.into() });
    }

    /// The parsed value. After a mistake, which is noted, it is any value: the settings are not used then.
    fn get<T: Default>(&mut self, name: &str, parse: impl FnOnce(&str) -> Parsed<T>) -> T {
        parse(&self.raw(name)).unwrap_or_else(|(problem, allowed)| {
            self.refuse(name, problem, allowed);
            T::default()
        })
    }

    /// Every setting, in the order of the table. Mistakes stand in `errors` afterwards.
    fn settings(&mut self) -> Settings {
        let listen = self.listen();
        let data_dir: PathBuf = self.get("DATA_DIR", text).into();
        let environments = [("local", Environment::Local), ("production", Environment::Production), ("pytest", Environment::Pytest)];
        Settings {
            workers_per_core: self.get("WORKERS_PER_CORE", values::factor),
            max_workers: self.get("MAX_WORKERS", optional(number(1, 4096))),
            web_concurrency: self.get("WEB_CONCURRENCY", optional(number(1, 4096))),
            keep_alive: self.get("KEEP_ALIVE", span(0, 3600, 1)),
            timeout: self.get("TIMEOUT", span(1, 3600, 1)),
            graceful_timeout: self.get("GRACEFUL_TIMEOUT", span(1, 3600, 1)),
            log_level: self.get("LOG_LEVEL", values::level),
            server_log_level: self.get("GUNICORN_LOG_LEVEL", values::level),
            access_log: self.get("ACCESS_LOG", values::log_target),
            error_log: self.get("ERROR_LOG", values::log_target),
            log_format: self.log_format(),
            enable_metrics: self.get("ENABLE_METRICS", values::flag),
            environment: self.get("ENV", choice(&environments)),
            tags: self.tags(),
            traces: self.traces(),
            app_ui_url: self.get("APP_UI_URL", optional(values::url)),
            secret_provider: self.get("SECRET_PROVIDER", values::secret_provider),
            resources_dir: self.get("RESOURCES_DIR", text).into(),
            resources_reload: Some(self.get("RESOURCES_RELOAD_SECONDS", span(0, 86_400, 1))).filter(|every| !every.is_zero()),
            schemas_dir: self.get("SCHEMAS_DIR", optional(text)).map(PathBuf::from),
            kustomize_program: self.get("KUSTOMIZE_PROGRAM", optional(text)).map(PathBuf::from),
            mcp_programs: self.get("MCP_PROGRAMS", values::programs),
            templates_dir: self.get("TEMPLATES_DIR", optional(text)).map(PathBuf::from),
            store_url: self.get("STORE_URL", optional(values::store_url)).unwrap_or_else(|| StoreUrl::Sqlite(data_dir.join("kubeops.db"))),
            store_connections: self.get("STORE_CONNECTIONS", number(2, 1000)),
            data_dir,
            retention: self.get("RETENTION_DAYS", span(1, 36_500, 86_400)),
            api_calls_per_minute: self.get("API_CALLS_PER_MINUTE", number(1, 1_000_000)),
            trusted_proxies: self.get("TRUSTED_PROXIES", values::networks),
            worker_concurrency: self.get("WORKER_CONCURRENCY", number(1, 256)),
            lease: self.get("LEASE_SECONDS", span(3, 600, 1)),
            task_max_attempts: self.get("TASK_MAX_ATTEMPTS", number(1, 1000)),
            observe_every: self.get("OBSERVE_SECONDS", span(1, 86_400, 1)),
            reconcile_every: Some(self.get("RECONCILE_SECONDS", span(0, 86_400, 1))).filter(|every| !every.is_zero()),
            fetch_max_age: self.get("FETCH_MAX_AGE_SECONDS", span(0, 3600, 1)),
            forge_write_pause: Duration::from_millis(self.get("FORGE_WRITE_PAUSE_MS", number(0, 60_000))),
            max_queued_deliveries: self.get("MAX_QUEUED_DELIVERIES", number(1, 1_000_000_000)),
            public_url: self.get("PUBLIC_URL", optional(values::url)),
            listen,
            kubernetes_version: self.get("KUBERNETES_VERSION", values::kubernetes_version),
            policy_baseline: self.get("POLICY_BASELINE", values::switch),
            language_models: self.language_models(),
        }
    }

    /// `BIND` overrides `HOST` and `PORT`, which are read all the same, so that a mistake in them is told.
    fn listen(&mut self) -> Listen {
        let (host, port) = (self.get("HOST", values::host), self.get("PORT", number(0, 65_535)));
        self.get("BIND", optional(values::bind)).unwrap_or(Listen::Tcp { host, port })
    }

    /// `LOG_FORMAT` and `JSON_LOGS` say the same thing; when both are given they must agree.
    fn log_format(&mut self) -> LogFormat {
        let mistakes = self.errors.len();
        let json_logs = self.get("JSON_LOGS", choice(&[("0", LogFormat::Text), ("1", LogFormat::Json)]));
        let named = self.get("LOG_FORMAT", optional(choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)])));
        if named.is_some_and(|format| format != json_logs) && self.is_given("JSON_LOGS") && self.errors.len() == mistakes {
            let problem = format!("JSON_LOGS={} says the contrary", self.raw("JSON_LOGS"));
            self.refuse("LOG_FORMAT", problem, "text with JSON_LOGS=0, json with JSON_LOGS=1, or only one of the two");
        }
        named.unwrap_or(json_logs)
    }

    fn tags(&mut self) -> BTreeMap<String, String> {
        let allowed =
            "a list `tag:VARIABLE,...` of tags (letters, digits, `_`, starting with a letter, no label of the metrics) and variables that are set";
        let mut tags = BTreeMap::new();
        let raw = self.raw("ENV_TAGS");
        for entry in raw.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let Some((tag, variable)) = entry.split_once(':').map(|(tag, variable)| (tag.trim(), variable.trim())) else {
                self.refuse("ENV_TAGS", format!("`{entry}` has no `:`"), allowed);
                continue;
            };
            let well_named = !RESERVED_LABELS.contains(&tag)
                && tag.starts_with(|c: char| c.is_ascii_alphabetic())
                && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            match (self.environment)(variable).filter(|_| well_named) {
                Some(_) if tags.contains_key(tag) => self.refuse("ENV_TAGS", format!("the tag `{tag}` stands in it twice"), allowed),
                Some(value) => drop(tags.insert(tag.to_owned(), value)),
                None if well_named => self.refuse("ENV_TAGS", format!("the variable `{variable}` is not set"), allowed),
                None => self.refuse("ENV_TAGS", format!("`{tag}` cannot be a tag"), allowed),
            }
        }
        tags
    }
}
