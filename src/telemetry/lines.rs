//! How a line of the log looks. It ends with the trace and the span it was written in, whether or not traces are exported.
//! A span's fields stand in it unless they have a dot in their name: those are attributes for traces alone.

use super::LogFormat;
use crate::types::TraceParent;
use opentelemetry::trace::TraceContextExt;
use serde_json::{Map, Value};
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
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

/// The trace and the span a line ends with, by their names: those the event names itself, else those it was written in.
fn ending(said: &mut Map<String, Value>, within: Option<&Within>) -> [(&'static str, Option<Value>); 2] {
    let (trace, span) = ("trace_id", "span_id");
    match (said.shift_remove(trace), said.shift_remove(span), within.and_then(|within| within.place)) {
        (None, _, Some(place)) => [(trace, Some(place.trace_id().into())), (span, Some(place.span_id().into()))],
        (own_trace, own_span, _) => [(trace, own_trace), (span, own_span)],
    }
}

/// `2026-11-20T12:00:00.000000Z  WARN step{request=...}: kubeops::worker: message field=value field="two words" trace_id=... span_id=...`
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
    write!(writer, "{dim}{}:{plain}", metadata.target())?;
    let mut said = Map::new();
    event.record(&mut Fields::<false>(&mut said));
    let ending = ending(&mut said, within);
    if let Some(message) = said.shift_remove("message") {
        write!(writer, " {}", Message(message.as_str().unwrap_or_default()))?;
    }
    for (name, value) in &said {
        write!(writer, " {dim}{name}={plain}{}", Word(value))?;
    }
    for (name, value) in &ending {
        if let Some(value) = value {
            write!(writer, " {dim}{name}={}{plain}", Word(value))?;
        }
    }
    writeln!(writer)
}

/// A field's value as text: quoted where it is not one word, so that nothing in it ends the line or the field.
struct Word<'v>(&'v Value);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::String(text) if text.is_empty() || text.contains(|c: char| c.is_control() || c == '"' || c.is_whitespace()) => {
                write!(f, "{text:?}")
            }
            Value::String(text) => f.write_str(text),
            other => write!(f, "{other}"),
        }
    }
}

/// What a line says: on several lines where ours has some, and without a character that a terminal would obey.
struct Message<'m>(&'m str);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| if c.is_control() && c != '\n' { write!(f, "{}", c.escape_default()) } else { f.write_char(c) })
    }
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

/// One object: `time, level, message`, the fields of the event, `target, span, trace_id, span_id`.
fn json(mut writer: Writer<'_>, event: &Event<'_>, within: Option<&Within>) -> fmt::Result {
    let metadata = event.metadata();
    let mut time = String::new();
    SystemTime.format_time(&mut Writer::new(&mut time))?;
    let mut line = Map::new();
    line.insert("time".to_owned(), time.into());
    line.insert("level".to_owned(), metadata.level().as_str().into());
    event.record(&mut Fields::<false>(&mut line));
    let ending = ending(&mut line, within);
    line.insert("target".to_owned(), metadata.target().into());
    if let Some(within) = within {
        let mut span: Map<String, Value> = serde_json::from_str(&format!("{{{}}}", within.fields)).unwrap_or_default();
        span.insert("name".to_owned(), within.name.into());
        line.insert("span".to_owned(), span.into());
    }
    line.extend(ending.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    writeln!(writer, "{}", Value::from(line))
}

/// The fields of spans. Those of events are written with the event.
impl<'w> FormatFields<'w> for Lines {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut said = Map::new();
        fields.record(&mut Fields::<true>(&mut said));
        let mut between = "";
        for (name, value) in said {
            match self.0 {
                LogFormat::Json => write!(writer, "{between}{}:{value}", Value::from(name))?,
                LogFormat::Text => write!(writer, "{between}{name}={}", Word(&value))?,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt;

    /// What is written, for whoever looks at it afterwards.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("a lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, log: impl FnOnce()) -> String {
        let (lines, written) = (Lines(format), Written::default());
        let into = written.clone();
        let layer = tracing_subscriber::fmt::layer().event_format(lines).fmt_fields(lines).with_ansi(false).with_writer(move || into.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = written.0.lock().expect("a lock").clone();
        String::from_utf8(bytes).expect("UTF-8")
    }

    /// As the API logs what it refuses: the trace is named first.
    fn put_off() {
        let forged = "two words\n2026 ERROR \u{1b}[31m";
        tracing::warn!(
            trace_id = "0af7",
            span_id = "b7ad",
            code = "busy",
            cause = forged,
            tries = 3,
            none = None::<&str>,
            "a request was {}",
            "put off"
        );
    }

    #[test]
    fn a_line_ends_with_its_trace_and_what_is_more_than_a_word_is_quoted() {
        let line = written(LogFormat::Text, put_off);
        let (_, said) = line.split_once("  WARN ").expect("a level");
        let said = said.split_once(": ").map_or("", |(_, said)| said);
        assert_eq!(said, "a request was put off code=busy cause=\"two words\\n2026 ERROR \\u{1b}[31m\" tries=3 trace_id=0af7 span_id=b7ad\n");
        let bare = written(LogFormat::Text, || tracing::error!(error = %"it broke", empty = "", "in \u{1b}[2J\ntwo"));
        assert!(bare.ends_with(": in \\u{1b}[2J\ntwo error=\"it broke\" empty=\"\"\n"), "{bare}");
    }

    #[test]
    fn as_json_a_line_has_the_time_by_the_name_it_has_in_the_access_log_and_ends_with_its_trace() {
        let line: Map<String, Value> = serde_json::from_str(&written(LogFormat::Json, put_off)).expect("JSON");
        let names: Vec<&str> = line.keys().map(String::as_str).collect();
        assert_eq!(names, ["time", "level", "message", "code", "cause", "tries", "target", "trace_id", "span_id"]);
        assert_eq!((&line["trace_id"], &line["tries"]), (&Value::from("0af7"), &Value::from(3)));
    }
}
