//! The types settings are parsed into, and their parsers. A refusal says what is wrong and what is allowed.

use crate::api::Listen;
use crate::automation::Provider;
use crate::inventory::McpPrograms;
use crate::telemetry::{LogLevel, LogTarget};
use crate::types::{KubernetesVersion, Withheld, is_loopback, nearest};
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A value, or what is wrong with its text and what is allowed.
pub(super) type Parsed<T> = Result<T, (String, String)>;

/// Where the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Environment {
    /// On a developer's machine.
    #[default]
    Local,
    /// For real.
    Production,
    /// Under tests.
    Pytest,
}

impl Environment {
    /// The word as it is set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Production => "production",
            Self::Pytest => "pytest",
        }
    }
}

/// Where secrets named in resources are looked up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SecretProvider {
    /// In the environment.
    #[default]
    Environment,
    /// In files of a directory, one secret a file, as Kubernetes mounts them.
    Directory(PathBuf),
}

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// An SQLite database in this file.
    Sqlite(PathBuf),
    /// A PostgreSQL database at this address, which holds no password.
    Postgres(String),
}

impl std::str::FromStr for StoreUrl {
    type Err = String;

    /// As `STORE_URL` is written.
    fn from_str(raw: &str) -> Result<Self, String> {
        store_url(raw).map_err(|(problem, allowed)| format!("{problem}: write {allowed}"))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(address) => f.write_str(address),
        }
    }
}

/// An absolute `http` or `https` URL without credentials, without a `/` at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// The URL's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where a person on the same machine reaches what listens at `listen`.
    pub(super) fn of(listen: &Listen) -> Self {
        match listen {
            Listen::Unix(_) => Self("http://localhost".to_owned()),
            Listen::Tcp { host, port } => match host.parse::<IpAddr>() {
                Ok(address) if address.is_unspecified() => Self(format!("http://localhost:{port}")),
                Ok(IpAddr::V6(address)) => Self(format!("http://[{address}]:{port}")),
                _ => Self(format!("http://{host}:{port}")),
            },
        }
    }
}

impl HttpUrl {
    /// Whether it ends with its host and port.
    pub(super) fn has_no_path(&self) -> bool {
        reqwest::Url::parse(&self.0).is_ok_and(|url| url.path() == "/")
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `value` with a URL's credentials masked: whatever stands between `//` and `@`, and behind `password=`.
pub(super) fn masked(value: &str) -> String {
    let Some(start) = value.find("//").map(|at| at + 2) else { return value.to_owned() };
    let masked = match value[start..].rfind('@') {
        Some(end) => format!("{}***{}", &value[..start], &value[start + end..]),
        None => value.to_owned(),
    };
    let Some(start) = masked.find("password=").map(|at| at + "password=".len()) else { return masked };
    let end = masked[start..].find('&').map_or(masked.len(), |end| start + end);
    format!("{}***{}", &masked[..start], &masked[end..])
}

fn refusal<T>(problem: impl Into<String>, allowed: impl Into<String>) -> Parsed<T> {
    Err((problem.into(), allowed.into()))
}

/// An empty text is no value.
pub(super) fn optional<T>(parse: impl FnOnce(&str) -> Parsed<T>) -> impl FnOnce(&str) -> Parsed<Option<T>> {
    move |raw| if raw.is_empty() { Ok(None) } else { parse(raw).map(Some) }
}

/// Any text but an empty one.
pub(super) fn text(raw: &str) -> Parsed<String> {
    if raw.is_empty() { refusal("it is empty", "a path") } else { Ok(raw.to_owned()) }
}

/// A whole number between two bounds, both allowed.
pub(super) fn number<T: FromStr + TryFrom<u64>>(min: u64, max: u64) -> impl FnOnce(&str) -> Parsed<T> {
    move |raw| {
        let allowed = || format!("a whole number from {min} to {max}");
        match raw.parse::<u64>() {
            Ok(value) if (min..=max).contains(&value) => T::try_from(value).or_else(|_| refusal("it is too large", allowed())),
            Ok(_) => refusal("it is out of range", allowed()),
            Err(_) => refusal("it is not a whole number", allowed()),
        }
    }
}

/// A whole number of units of `unit` seconds each.
pub(super) fn span(min: u64, max: u64, unit: u64) -> impl FnOnce(&str) -> Parsed<Duration> {
    move |raw| number::<u64>(min, max)(raw).map(|value| Duration::from_secs(value * unit))
}

pub(super) fn factor(raw: &str) -> Parsed<f64> {
    match raw.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 100.0 => Ok(value),
        _ => refusal("it is not such a number", "a number above 0, at most 100, such as 0.5"),
    }
}

/// One word out of a few; case does not matter.
pub(super) fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl FnOnce(&str) -> Parsed<T> {
    move |raw| match words.iter().find(|(word, _)| word.eq_ignore_ascii_case(raw)) {
        Some((_, value)) => Ok(*value),
        None => refusal("it is not known", words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")),
    }
}

pub(super) fn flag(raw: &str) -> Parsed<bool> {
    choice(&[("true", true), ("false", false), ("1", true), ("0", false)])(raw)
}

pub(super) fn level(raw: &str) -> Parsed<LogLevel> {
    choice(&[
        ("CRITICAL", LogLevel::Error),
        ("ERROR", LogLevel::Error),
        ("WARNING", LogLevel::Warn),
        ("WARN", LogLevel::Warn),
        ("INFO", LogLevel::Info),
        ("DEBUG", LogLevel::Debug),
        ("TRACE", LogLevel::Trace),
    ])(raw)
}

pub(super) fn log_target(raw: &str) -> Parsed<LogTarget> {
    match raw {
        "" => refusal("it is empty", "-, off or a file"),
        "-" => Ok(LogTarget::Standard),
        "off" => Ok(LogTarget::Off),
        path => Ok(LogTarget::File(path.into())),
    }
}

pub(super) fn url(raw: &str) -> Parsed<HttpUrl> {
    let allowed = "an absolute http:// or https:// URL without credentials, query or fragment";
    match reqwest::Url::parse(raw) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            if !url.username().is_empty() || url.password().is_some() {
                return refusal("it holds credentials", allowed);
            }
            if url.query().is_some() || url.fragment().is_some() {
                return refusal("it has a query or a fragment", allowed);
            }
            Ok(HttpUrl(url.as_str().trim_end_matches('/').to_owned()))
        }
        _ if is_without_scheme(raw) => refusal("`http://` or `https://` is missing before it", allowed),
        Ok(_) => refusal("it is another kind of URL", allowed),
        Err(e) => refusal(e.to_string(), allowed),
    }
}

/// Whether it would be a URL of a host if it said of which kind: `localhost:11434`, `models.example/v1`.
fn is_without_scheme(raw: &str) -> bool {
    let port = raw.split_once(':').is_none_or(|(_, after)| after.starts_with(|c: char| c.is_ascii_digit()));
    port && !raw.contains("//") && !raw.starts_with('/') && reqwest::Url::parse(&format!("http://{raw}")).is_ok_and(|url| url.has_host())
}

pub(super) fn host(raw: &str) -> Parsed<String> {
    let bare = raw.strip_prefix('[').and_then(|raw| raw.strip_suffix(']')).unwrap_or(raw);
    let is_name = !bare.is_empty() && bare.len() <= 253 && bare.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    if bare.parse::<IpAddr>().is_ok() || is_name {
        Ok(bare.to_owned())
    } else {
        refusal("it is neither a host name nor an IP address", "a host name or an IP address, without a port")
    }
}

pub(super) fn bind(raw: &str) -> Parsed<Listen> {
    let allowed = "host:port, [ipv6]:port or unix:/path";
    if let Some(path) = raw.strip_prefix("unix:") {
        return if path.starts_with('/') { Ok(Listen::Unix(path.into())) } else { refusal("the socket's path is not absolute", allowed) };
    }
    let Some((before, after)) = raw.rsplit_once(':') else { return refusal("it has no port", allowed) };
    if before.contains(':') && !before.starts_with('[') {
        return refusal("an IPv6 address stands in brackets", allowed);
    }
    match (host(before), number(0, 65_535)(after)) {
        (Ok(host), Ok(port)) => Ok(Listen::Tcp { host, port }),
        (Err((problem, _)), _) | (_, Err((problem, _))) => refusal(problem, allowed),
    }
}

pub(super) fn secret_provider(raw: &str) -> Parsed<SecretProvider> {
    match raw.strip_prefix("file:") {
        Some(path) if path.starts_with('/') => Ok(SecretProvider::Directory(path.into())),
        Some(_) => refusal("the directory's path is not absolute", "env or file:/directory"),
        None => {
            choice(&[("env", ())])(raw).map(|()| SecretProvider::Environment).map_err(|(problem, _)| (problem, "env or file:/directory".to_owned()))
        }
    }
}

pub(super) fn store_url(raw: &str) -> Parsed<StoreUrl> {
    let allowed = "sqlite:<path of a file>, or postgres://user@host:5432/database";
    if ["postgres://", "postgresql://"].iter().any(|scheme| raw.starts_with(scheme)) {
        return postgres(raw);
    }
    match raw.strip_prefix("sqlite:") {
        Some(path) => {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() || path.starts_with(":memory:") || path.contains(['?', '#']) {
                refusal("it names no file", allowed)
            } else {
                Ok(StoreUrl::Sqlite(path.into()))
            }
        }
        None => refusal("it is no database this program knows", allowed),
    }
}

fn postgres(raw: &str) -> Parsed<StoreUrl> {
    let allowed = "postgres://user@host:5432/database?sslmode=verify-full";
    let Ok(url) = reqwest::Url::parse(raw) else { return refusal("it is no address", allowed) };
    if url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password") {
        return refusal("it holds a password", format!("{allowed}; the password is the secret STORE_PASSWORD"));
    }
    if url.path().trim_matches('/').is_empty() && !url.query_pairs().any(|(name, _)| name == "dbname") {
        return refusal("it names no database", allowed);
    }
    Ok(StoreUrl::Postgres(raw.to_owned()))
}

pub(super) fn networks(raw: &str) -> Parsed<Vec<IpNet>> {
    raw.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| match (entry.parse::<IpNet>(), entry.parse::<IpAddr>()) {
            (Ok(network), _) => Ok(network),
            (_, Ok(address)) => Ok(address.into()),
            _ => refusal(format!("`{entry}` is no network"), "a list of networks or addresses, such as 10.0.0.0/8,::1"),
        })
        .collect()
}

/// Programs by their paths.
pub(super) fn programs(raw: &str) -> Parsed<McpPrograms> {
    raw.parse().or_else(|problem: String| refusal(problem, "a list of absolute paths, such as /usr/local/bin/mcp-server,/opt/owners"))
}

/// Regular expressions, one a line.
pub(super) fn patterns(raw: &str) -> Parsed<Withheld> {
    raw.parse().or_else(|problem: String| refusal(problem, "regular expressions, one a line, such as cust-[0-9]+"))
}

/// `on` or `off`.
pub(super) fn switch(raw: &str) -> Parsed<bool> {
    match raw.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => refusal("it is neither on nor off", "on or off"),
    }
}

pub(super) fn kubernetes_version(raw: &str) -> Parsed<KubernetesVersion> {
    raw.parse().or_else(|_| {
        let known: Vec<String> = KubernetesVersion::supported().iter().map(ToString::to_string).collect();
        refusal("there are no schemas for it", format!("one of {}", known.join(", ")))
    })
}

/// Words for providers that are taken for their names, each with the provider that is meant.
const MEANT: [(&str, Provider); 13] = [
    ("ollama", Provider::Local),
    ("vllm", Provider::Local),
    ("lmstudio", Provider::Local),
    ("lm-studio", Provider::Local),
    ("llamacpp", Provider::Local),
    ("llama.cpp", Provider::Local),
    ("localai", Provider::Local),
    ("litellm", Provider::Local),
    ("openrouter", Provider::Local),
    ("chatgpt", Provider::OpenAi),
    ("claude", Provider::Anthropic),
    ("gemini", Provider::Google),
    ("grok", Provider::Xai),
];

/// Who offers language models.
pub(super) fn provider(raw: &str) -> Parsed<Option<Provider>> {
    let known = Provider::ALL.map(|provider| (provider.as_str(), Some(provider)));
    choice(&known)(raw).map_err(|(problem, allowed)| {
        let word = raw.to_ascii_lowercase();
        match MEANT.iter().find(|(meant, _)| *meant == word) {
            Some((_, Provider::Local)) => ("a server that speaks OpenAI's chat completions is `local`, at LLM_LOCAL_URL".to_owned(), allowed),
            Some((_, meant)) => (format!("who offers it is called `{}`", meant.as_str()), allowed),
            None => match nearest(raw, Provider::ALL.iter().map(|provider| provider.as_str())) {
                Some(near) => (format!("{problem}; did you mean `{near}`?"), allowed),
                None => (problem, allowed),
            },
        }
    })
}

/// The name of a model at its provider.
pub(super) fn model_name(raw: &str) -> Parsed<String> {
    match raw.len() <= 200 && !raw.chars().any(|c| c.is_whitespace() || c.is_control()) {
        true => Ok(raw.to_owned()),
        false => refusal("it is no name of a model", "1 to 200 characters without a space"),
    }
}

/// Where a provider's models are: what leaves the machine in the clear goes to a server of one's own alone.
pub(super) fn model_url(raw: &str, provider: Provider) -> Parsed<HttpUrl> {
    let url = url(raw)?;
    let local = reqwest::Url::parse(url.as_str()).is_ok_and(|url| url.scheme() == "https" || is_loopback(&url));
    if local || provider == Provider::Local {
        return Ok(url);
    }
    refusal("it is plain http to another machine", "an https:// URL, or an http:// one on this machine")
}

/// An amount of money.
pub(super) fn amount(raw: &str) -> Parsed<f64> {
    match raw.parse::<f64>() {
        Ok(value) if (0.0..=1_000_000.0).contains(&value) => Ok(value),
        _ => refusal("it is no such amount", "a number from 0 to 1000000, such as 2.5"),
    }
}
