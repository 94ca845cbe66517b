//! How a line of the log looks. It ends with the trace and the span it was written in, whether or not traces are exported.
//! A span's fields stand in it unless they have a dot in their name: those are attributes for traces alone.

use super::LogFormat;
use crate::types::TraceParent;
use opentelemetry::trace::TraceContextExt;
use serde_json::{Map, Value};
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The form of events, and of the fields of spans.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines(pub(super) LogFormat);

/// What is shown of the span a line was written in: its name, its fields, and its place in its trace.
struct Within {
    name: &'static str,
    fields: String,
    place: Option<TraceParent>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let within = context.event_scope().and_then(|mut scope| scope.next()).map(|span| {
            let fields = span.extensions().get::<FormattedFields<N>>().map(|fields| fields.fields.clone());
            Within { name: span.name(), fields: fields.unwrap_or_default(), place: place(&span.id()) }
        });
        match self.0 {
            LogFormat::Text => text(writer, event, within.as_ref()),
            LogFormat::Json => json(writer, event, within.as_ref()),
        }
    }
}

fn place(span: &tracing::span::Id) -> Option<TraceParent> {
    let context = tracing::dispatcher::get_default(|dispatch| tracing_opentelemetry::get_otel_context(span, dispatch))?;
    let span = context.span();
    let span = span.span_context();
    TraceParent::new(u128::from_be_bytes(span.trace_id().to_bytes()), u64::from_be_bytes(span.span_id().to_bytes()), span.is_sampled())
}

/// Whether the event says itself which trace it is about.
fn names_its_trace(metadata: &Metadata<'_>) -> bool {
    metadata.fields().field("trace_id").is_some()
}

/// `2026-11-20T12:00:00.000000Z  WARN step{request=...}: kubeops::worker: message field=value trace_id=... span_id=...`
fn text(mut writer: Writer<'_>, event: &Event<'_>, within: Option<&Within>) -> fmt::Result {
    let metadata = event.metadata();
    let coloured = writer.has_ansi_escapes();
    let (dim, plain) = if coloured { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
    write!(writer, "{dim}")?;
    SystemTime.format_time(&mut writer)?;
    let colour = if coloured { colour(*metadata.level()) } else { "" };
    write!(writer, "{plain} {colour}{:>5}{plain} ", metadata.level().as_str())?;
    if let Some(within) = within {
        match within.fields.as_str() {
            "" => write!(writer, "{}: ", within.name)?,
            fields => write!(writer, "{}{{{fields}}}: ", within.name)?,
        }
    }
    write!(writer, "{dim}{}:{plain} ", metadata.target())?;
    DefaultFields::new().format_fields(writer.by_ref(), event)?;
    if let Some(place) = within.and_then(|within| within.place).filter(|_| !names_its_trace(metadata)) {
        write!(writer, " {dim}trace_id={} span_id={}{plain}", place.trace_id(), place.span_id())?;
    }
    writeln!(writer)
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// One object: `timestamp, level, message`, the fields of the event, `target, span, trace_id, span_id`.
fn json(mut writer: Writer<'_>, event: &Event<'_>, within: Option<&Within>) -> fmt::Result {
    let metadata = event.metadata();
    let mut time = String::new();
    SystemTime.format_time(&mut Writer::new(&mut time))?;
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), time.into());
    line.insert("level".to_owned(), metadata.level().as_str().into());
    event.record(&mut Fields::<false>(&mut line));
    line.insert("target".to_owned(), metadata.target().into());
    if let Some(within) = within {
        let mut span: Map<String, Value> = serde_json::from_str(&format!("{{{}}}", within.fields)).unwrap_or_default();
        span.insert("name".to_owned(), within.name.into());
        line.insert("span".to_owned(), span.into());
        if let Some(place) = within.place.filter(|_| !names_its_trace(metadata)) {
            line.insert("trace_id".to_owned(), place.trace_id().into());
            line.insert("span_id".to_owned(), place.span_id().into());
        }
    }
    writeln!(writer, "{}", Value::from(line))
}

/// The fields of spans. Those of events are written with the event.
impl<'w> FormatFields<'w> for Lines {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut said = Map::new();
        fields.record(&mut Fields::<true>(&mut said));
        let mut between = "";
        for (name, value) in said {
            match (self.0, &value) {
                (LogFormat::Json, value) => write!(writer, "{between}{}:{value}", Value::from(name))?,
                // Quoted, so that nothing in it ends the line or the field.
                (LogFormat::Text, Value::String(text)) if text.contains(|c: char| c.is_control() || c == '"' || c.is_whitespace()) => {
                    write!(writer, "{between}{name}={text:?}")?;
                }
                (LogFormat::Text, Value::String(text)) => write!(writer, "{between}{name}={text}")?,
                (LogFormat::Text, value) => write!(writer, "{between}{name}={value}")?,
            }
            between = if self.0 == LogFormat::Json { "," } else { " " };
        }
        Ok(())
    }

    fn add_fields(&self, current: &'w mut FormattedFields<Self>, fields: &tracing::span::Record<'_>) -> fmt::Result {
        let mut added = String::new();
        self.format_fields(Writer::new(&mut added), fields)?;
        if !added.is_empty() && !current.fields.is_empty() {
            current.fields.push(if self.0 == LogFormat::Json { ',' } else { ' ' });
        }
        current.fields.write_str(&added)
    }
}

/// Fields as JSON. Of a span's, what is an attribute for traces alone is not even written.
struct Fields<'m, const OF_SPAN: bool>(&'m mut Map<String, Value>);

impl<const OF_SPAN: bool> Fields<'_, OF_SPAN> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        let name = field.name();
        if !(OF_SPAN && name.contains('.')) {
            self.0.insert(name.strip_prefix("r#").unwrap_or(name).to_owned(), value.into());
        }
    }
}

impl<const OF_SPAN: bool> Visit for Fields<'_, OF_SPAN> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !(OF_SPAN && field.name().contains('.')) {
            self.put(field, format!("{value:?}"));
        }
    }
}
