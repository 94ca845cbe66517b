//! What the process tells about itself: the log, the access log and the metrics.
//! It holds no state beyond the one subscriber it installs; who has something to count is handed a [`Metrics`].
//! No line it writes holds a secret: access lines leave the query string out, and types that hold secrets print none.

mod access;
mod metrics;

pub use access::{AccessEntry, AccessLog};
pub use metrics::{ForgeSeen, Metrics, RESERVED_LABELS};

use crate::types::ErrorClass;
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub enum LogLevel {
    /// Failures alone.
    Error,
    /// Also what may become a failure.
    #[default]
    Warn,
    /// Also what happens.
    Info,
    /// Also why.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word `tracing` has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogTarget {
    /// Standard output for the access log, standard error for the log.
    #[default]
    Standard,
    /// Nowhere.
    Off,
    /// A file that is appended to.
    File(PathBuf),
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Lines for people; access lines in the combined log format.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, how and where.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// What KubeOps itself logs. Libraries never log below `warn`: their finer lines may hold what they carry.
    pub level: LogLevel,
    /// What the web server logs; access lines are written from `info` down.
    pub server_level: LogLevel,
    /// How lines look.
    pub format: LogFormat,
    /// Where the log goes.
    pub target: LogTarget,
    /// Where access lines go.
    pub access: LogTarget,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A log file cannot be opened.
    #[error("the log file {path} cannot be opened: {cause}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The thread that writes access lines cannot be started.
    #[error("the access log cannot be started: {0}")]
    Thread(std::io::Error),
    /// A subscriber is installed already.
    #[error("logging was set up before in this process")]
    Twice,
    /// A metric or a label is not acceptable.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(String),
}

impl TelemetryError {
    /// How the error is to be treated.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::File { .. } => ErrorClass::User,
            Self::Thread(_) => ErrorClass::Transient,
            Self::Twice => ErrorClass::Bug,
            Self::Metrics(_) => ErrorClass::User,
        }
    }
}

/// Installs the subscriber of the process and opens the access log; none when it is off.
///
/// # Errors
/// When a file cannot be opened, or this was done before in the process.
pub fn init(options: &LogOptions) -> Result<Option<AccessLog>, TelemetryError> {
    let (writer, ansi) = match &options.target {
        LogTarget::Standard => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
        LogTarget::Off => (BoxMakeWriter::new(std::io::sink), false),
        LogTarget::File(path) => (BoxMakeWriter::new(open(path)?), false),
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter(options)).with_writer(writer).with_ansi(ansi);
    let installed = match options.format {
        LogFormat::Text => tracing::subscriber::set_global_default(subscriber.finish()),
        LogFormat::Json => {
            tracing::subscriber::set_global_default(subscriber.json().flatten_event(true).with_current_span(true).with_span_list(false).finish())
        }
    };
    installed.map_err(|_| TelemetryError::Twice)?;
    access_log(options)
}

/// The access log alone.
///
/// # Errors
/// When its file cannot be opened or its thread cannot be started.
pub fn access_log(options: &LogOptions) -> Result<Option<AccessLog>, TelemetryError> {
    if options.server_level < LogLevel::Info {
        return Ok(None);
    }
    let writer: Box<dyn Write + Send> = match &options.access {
        LogTarget::Off => return Ok(None),
        LogTarget::Standard => Box::new(std::io::stdout()),
        LogTarget::File(path) => Box::new(open(path)?),
    };
    AccessLog::start(writer, options.format).map(Some).map_err(TelemetryError::Thread)
}

fn open(path: &PathBuf) -> Result<File, TelemetryError> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|cause| TelemetryError::File { path: path.clone(), cause })
}

fn filter(options: &LogOptions) -> EnvFilter {
    let (own, server) = (options.level.as_str(), options.server_level.as_str());
    let others = options.level.min(LogLevel::Warn).as_str();
    // The usual level of the web server is `info`, for its access lines; that it starts and stops we say ourselves.
    let runtime = if options.server_level == LogLevel::Info { LogLevel::Warn.as_str() } else { server };
    // The MCP client writes what servers send into its lines, at whatever level.
    EnvFilter::new(format!("{others},rmcp=off,kubeops={own},actix_server={runtime},actix_web={server},actix_http={server}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(level: LogLevel, server_level: LogLevel, access: LogTarget) -> LogOptions {
        LogOptions { level, server_level, format: LogFormat::Text, target: LogTarget::Off, access }
    }

    #[test]
    fn libraries_never_log_below_warn() {
        let finest = filter(&options(LogLevel::Trace, LogLevel::Info, LogTarget::Off)).to_string();
        assert!(finest.contains("kubeops=trace") && finest.contains("actix_web=info"), "{finest}");
        assert!(finest.split(',').any(|directive| directive == "warn"), "{finest}");
        assert!(finest.contains("rmcp=off"), "what an MCP server sends is in no line: {finest}");
        let coarsest = filter(&options(LogLevel::Error, LogLevel::Error, LogTarget::Off)).to_string();
        assert!(coarsest.split(',').any(|directive| directive == "error"), "{coarsest}");
    }

    #[test]
    fn at_the_usual_level_the_web_servers_runtime_is_quiet_and_at_debug_it_speaks() {
        let at = |level| filter(&options(LogLevel::Warn, level, LogTarget::Off)).to_string();
        assert!(at(LogLevel::Info).contains("actix_server=warn") && at(LogLevel::Info).contains("actix_web=info"));
        assert!(at(LogLevel::Debug).contains("actix_server=debug") && at(LogLevel::Error).contains("actix_server=error"));
    }

    #[test]
    fn access_lines_follow_the_web_servers_level() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = LogTarget::File(directory.path().join("access.log"));
        assert!(access_log(&options(LogLevel::Trace, LogLevel::Warn, file.clone())).expect("no failure").is_none());
        assert!(access_log(&options(LogLevel::Error, LogLevel::Info, file)).expect("no failure").is_some());
        assert!(access_log(&options(LogLevel::Error, LogLevel::Info, LogTarget::Off)).expect("no failure").is_none());
    }

    #[test]
    fn a_log_file_that_cannot_be_opened_is_named() {
        let error = open(&PathBuf::from("/nonexistent/kubeops.log")).expect_err("no such directory");
        assert!(error.to_string().contains("/nonexistent/kubeops.log"));
        assert_eq!(error.class(), ErrorClass::User);
    }
}
