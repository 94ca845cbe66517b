//! What the process tells about itself: the log, the access log, the metrics and the traces.
//! It holds no state beyond the one subscriber it installs; who has something to count is handed a [`Metrics`].
//! No line it writes holds a secret: access lines leave the query string out, and types that hold secrets print none.

mod access;
mod lines;
mod metrics;
mod otlp;
mod queue;
mod traces;

pub use access::{AccessEntry, AccessLog};
pub use metrics::{ForgeSeen, Metrics, ModelCall, RESERVED_LABELS};
pub use otlp::{Exporter, HeaderSource};
pub use traces::{TraceCounts, TraceOptions, TraceSampler};

use crate::types::ErrorClass;
use lines::Lines;
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use traces::Tracing;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterFn, Targets};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

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
    /// What `tracing` has for it.
    fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
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
    /// Where traces go; none when they are not exported.
    pub traces: Option<TraceOptions>,
}

/// What was set up, for whoever runs it.
#[derive(Default)]
pub struct Telemetry {
    /// The access log; none when it is off.
    pub access_log: Option<AccessLog>,
    /// Who exports traces; none when nobody does. Until it runs, they wait.
    pub exporter: Option<Exporter>,
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

/// Installs the subscriber of the process and opens the access log.
///
/// # Errors
/// When a file cannot be opened, or this was done before in the process.
pub fn init(options: &LogOptions) -> Result<Telemetry, TelemetryError> {
    let (writer, ansi) = match &options.target {
        LogTarget::Standard => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
        LogTarget::Off => (BoxMakeWriter::new(std::io::sink), false),
        LogTarget::File(path) => (BoxMakeWriter::new(open(path)?), false),
    };
    let access_log = access_log(options)?;
    let Tracing { tracer, exporter } = Tracing::new(options.traces.as_ref());
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_context_activation(false)
        .with_location(false)
        .with_threads(false)
        .with_level(false)
        .with_target(false)
        .with_tracked_inactivity(false);
    let subscriber = tracing_subscriber::registry().with(spans.with_filter(spans_of_ours(exporter.is_some()))).with(lines(
        options,
        exporter.is_some(),
        writer,
        ansi,
    ));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::Twice)?;
    Ok(Telemetry { access_log, exporter })
}

/// The log. Spans are heard of at any level: a warning too says which trace it belongs to.
fn lines<S: Subscriber + for<'a> LookupSpan<'a>>(options: &LogOptions, exported: bool, writer: BoxMakeWriter, ansi: bool) -> impl Layer<S> {
    let events = targets(options);
    let most = options.level.max(options.server_level).filter().max(most_of_spans(exported));
    let heard = FilterFn::new(move |metadata| match metadata.is_span() {
        true => is_span_of_ours(metadata, exported),
        false => events.would_enable(metadata.target(), metadata.level()),
    });
    let lines = Lines(options.format);
    tracing_subscriber::fmt::layer()
        .event_format(lines)
        .fmt_fields(lines)
        .with_writer(writer)
        .with_ansi(ansi)
        .with_filter(heard.with_max_level_hint(most))
}

/// Spans of KubeOps itself, and no events: what is logged stays in the log.
fn spans_of_ours(exported: bool) -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    FilterFn::new(move |metadata: &Metadata<'_>| metadata.is_span() && is_span_of_ours(metadata, exported))
        .with_max_level_hint(most_of_spans(exported))
}

/// Spans at `DEBUG` are details of traces: where nobody keeps traces, they are not made.
fn is_span_of_ours(metadata: &Metadata<'_>, exported: bool) -> bool {
    (metadata.target() == "kubeops" || metadata.target().starts_with("kubeops::")) && (exported || *metadata.level() <= Level::INFO)
}

fn most_of_spans(exported: bool) -> LevelFilter {
    if exported { LevelFilter::DEBUG } else { LevelFilter::INFO }
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

/// Which events are logged, by the module they come from.
fn targets(options: &LogOptions) -> Targets {
    let server = options.server_level.filter();
    // The usual level of the web server is `info`, for its access lines; that it starts and stops we say ourselves.
    let runtime = if options.server_level == LogLevel::Info { LevelFilter::WARN } else { server };
    Targets::new()
        .with_default(options.level.min(LogLevel::Warn).filter())
        // The MCP client writes what servers send into its lines, at whatever level.
        .with_target("rmcp", LevelFilter::OFF)
        .with_target("kubeops", options.level.filter())
        .with_target("actix_server", runtime)
        .with_target("actix_web", server)
        .with_target("actix_http", server)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(level: LogLevel, server_level: LogLevel, access: LogTarget) -> LogOptions {
        LogOptions { level, server_level, format: LogFormat::Text, target: LogTarget::Off, access, traces: None }
    }

    #[test]
    fn without_export_a_span_has_its_place_in_a_trace_and_of_what_only_traces_tell_nothing_is_looked_up() {
        let Tracing { tracer, exporter } = Tracing::new(None);
        let spans = tracing_opentelemetry::layer().with_tracer(tracer).with_context_activation(false).with_filter(spans_of_ours(false));
        let lines = lines(&options(LogLevel::Trace, LogLevel::Trace, LogTarget::Off), false, BoxMakeWriter::new(std::io::sink), false);
        let looked_up = std::cell::Cell::new(false);
        let look_up = || {
            looked_up.set(true);
            "a word"
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(spans).with(lines), || {
            let step = tracing::info_span!("step", kubeops.outcome = tracing::field::Empty);
            assert!(crate::spans::place_of(&step).is_some() && !crate::spans::is_kept(&step));
            let detail = tracing::debug_span!(parent: &step, "git", otel.name = look_up());
            assert!(detail.is_disabled() && !crate::spans::is_kept(&detail));
        });
        assert!(exporter.is_none() && !looked_up.get());
    }

    #[test]
    fn libraries_never_log_below_warn() {
        let finest = targets(&options(LogLevel::Trace, LogLevel::Info, LogTarget::Off));
        assert!(finest.would_enable("kubeops::worker", &Level::TRACE) && finest.would_enable("actix_web::middleware", &Level::INFO));
        assert!(finest.would_enable("sqlx", &Level::WARN) && !finest.would_enable("sqlx", &Level::INFO));
        assert!(!finest.would_enable("rmcp::service", &Level::ERROR), "what an MCP server sends is in no line");
        let coarsest = targets(&options(LogLevel::Error, LogLevel::Error, LogTarget::Off));
        assert!(coarsest.would_enable("sqlx", &Level::ERROR) && !coarsest.would_enable("sqlx", &Level::WARN));
    }

    #[test]
    fn at_the_usual_level_the_web_servers_runtime_is_quiet_and_at_debug_it_speaks() {
        let at = |level| targets(&options(LogLevel::Warn, level, LogTarget::Off));
        assert!(!at(LogLevel::Info).would_enable("actix_server::worker", &Level::INFO));
        assert!(at(LogLevel::Info).would_enable("actix_web::x", &Level::INFO));
        assert!(at(LogLevel::Debug).would_enable("actix_server::worker", &Level::DEBUG));
        assert!(!at(LogLevel::Error).would_enable("actix_server::worker", &Level::WARN));
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
