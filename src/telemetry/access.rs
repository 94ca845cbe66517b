//! One line per HTTP request, written by a thread of its own so that no request waits for a slow pipe or disk.
//! Text is the combined log format with the duration in milliseconds and the trace id behind it; JSON has the same as fields.
//! Query strings are left out: some senders put secrets there.

use super::LogFormat;
use crate::types::Timestamp;
use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

/// Lines that may wait for the writer; more are dropped and counted.
const QUEUE: usize = 4096;
const COMBINED_TIME: &[BorrowedFormatItem<'static>] = format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");

/// What is told about one request.
#[derive(Debug, Clone, Copy)]
pub struct AccessEntry<'a> {
    /// When its answer was ready.
    pub at: Timestamp,
    /// Who asked, by the trusted part of the way it came; none over a unix socket without a proxy.
    pub client: Option<std::net::IpAddr>,
    /// The name of the token it came with.
    pub actor: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// The path, without the query.
    pub path: &'a str,
    /// The version of HTTP, such as `HTTP/1.1`.
    pub version: &'a str,
    /// The status of the answer.
    pub status: u16,
    /// Length of the answer's body in bytes; none when it is not known beforehand.
    pub bytes: Option<u64>,
    /// The `Referer` header.
    pub referer: Option<&'a str>,
    /// The `User-Agent` header.
    pub user_agent: Option<&'a str>,
    /// How long the answer took.
    pub duration: Duration,
    /// The request's trace id.
    pub trace_id: &'a str,
}

impl AccessEntry<'_> {
    /// `client - actor [time] "METHOD path HTTP/1.1" status bytes "referer" "user agent" milliseconds trace`
    pub fn as_text(&self) -> String {
        let mut line = String::with_capacity(220);
        match self.client {
            Some(client) => drop(write!(line, "{client}")),
            None => line.push('-'),
        }
        line.push_str(" - ");
        push_escaped(&mut line, self.actor.unwrap_or("-"));
        line.push_str(" [");
        let moment = OffsetDateTime::from_unix_timestamp(self.at.unix_seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        line.push_str(&moment.format(COMBINED_TIME).unwrap_or_default());
        let _ = write!(line, "] \"{} ", self.method);
        push_escaped(&mut line, self.path);
        let _ = write!(line, " {}\" {} ", self.version, self.status);
        match self.bytes {
            Some(bytes) => drop(write!(line, "{bytes}")),
            None => line.push('-'),
        }
        for header in [self.referer, self.user_agent] {
            line.push_str(" \"");
            push_escaped(&mut line, header.unwrap_or("-"));
            line.push('"');
        }
        let _ = writeln!(line, " {:.3} {}", self.duration.as_secs_f64() * 1000.0, self.trace_id);
        line
    }

    /// One JSON object: `time, client, actor, method, path, version, status, bytes, referer, user_agent, duration_ms, trace_id`.
    pub fn as_json(&self) -> String {
        let mut line = serde_json::json!({
            "time": self.at,
            "client": self.client.map(|client| client.to_string()),
            "actor": self.actor,
            "method": self.method,
            "path": self.path,
            "version": self.version,
            "status": self.status,
            "bytes": self.bytes,
            "referer": self.referer,
            "user_agent": self.user_agent,
            "duration_ms": (self.duration.as_secs_f64() * 1_000_000.0).round() / 1000.0,
            "trace_id": self.trace_id,
        })
        .to_string();
        line.push('\n');
        line
    }
}

/// Quotes, backslashes and control characters cannot end a field, nor a line.
fn push_escaped(line: &mut String, text: &str) {
    for c in text.chars().take(512) {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            c if c.is_control() => drop(write!(line, "\\x{:02x}", u32::from(c))),
            c => line.push(c),
        }
    }
}

enum Message {
    Line(String),
    Flush(Sender<()>),
}

/// The access log. Cheap to clone; all clones write to the same place.
#[derive(Clone)]
pub struct AccessLog {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    format: LogFormat,
}

impl AccessLog {
    /// Starts the thread that writes to `writer`; it ends with the last clone.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(writer: Box<dyn Write + Send>, format: LogFormat) -> std::io::Result<Self> {
        let (lines, queue) = sync_channel(QUEUE);
        std::thread::Builder::new().name("access-log".to_owned()).stack_size(128 * 1024).spawn(move || write_all(writer, &queue))?;
        Ok(Self { lines, dropped: Arc::default(), format })
    }

    /// Writes a line. Never waits: when the writer cannot follow, the line is dropped and counted.
    pub fn write(&self, entry: &AccessEntry<'_>) {
        let line = match self.format {
            LogFormat::Text => entry.as_text(),
            LogFormat::Json => entry.as_json(),
        };
        if self.lines.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many lines were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until every line written before is with the system, two seconds at most. Blocks: for shutdown and tests.
    pub fn flush(&self) {
        let (done, wait) = channel();
        if self.lines.send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(Duration::from_secs(2));
        }
    }
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessLog").field("format", &self.format).field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

/// Gathers what waits and writes it at once; a target that refuses to be written to has its lines lost, not the service.
fn write_all(mut writer: Box<dyn Write + Send>, queue: &Receiver<Message>) {
    let mut buffer = String::new();
    while let Ok(first) = queue.recv() {
        let mut flushed = Vec::new();
        for message in std::iter::once(first).chain(queue.try_iter().take(QUEUE)) {
            match message {
                Message::Line(line) => buffer.push_str(&line),
                Message::Flush(done) => flushed.push(done),
            }
        }
        let _ = writer.write_all(buffer.as_bytes()).and_then(|()| writer.flush());
        buffer.clear();
        buffer.shrink_to(64 * 1024);
        for done in flushed {
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn entry<'a>(path: &'a str, agent: &'a str) -> AccessEntry<'a> {
        AccessEntry {
            at: Timestamp::from_unix_millis(1_795_262_400_250),
            client: "192.0.2.7".parse().ok(),
            actor: Some("ci"),
            method: "GET",
            path,
            version: "HTTP/1.1",
            status: 200,
            bytes: Some(17),
            referer: None,
            user_agent: Some(agent),
            duration: Duration::from_micros(1_234),
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
        }
    }

    #[test]
    fn a_text_line_is_the_combined_format_with_duration_and_trace_behind_it() {
        assert_eq!(
            entry("/api/v1/requests", "curl/8").as_text(),
            "192.0.2.7 - ci [21/Nov/2026:12:00:00 +0000] \"GET /api/v1/requests HTTP/1.1\" 200 17 \"-\" \"curl/8\" 1.234 4bf92f3577b34da6a3ce929d0e0e4736\n"
        );
    }

    #[test]
    fn a_sender_cannot_forge_a_line() {
        let line = entry("/x", "a\" 200 1\n10.0.0.1 - root \u{1b}[31m\\").as_text();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.contains("a\\\" 200 1\\x0a10.0.0.1"), "{line}");
        let json: serde_json::Value = serde_json::from_str(&entry("/x", "a\"\n").as_json()).expect("JSON");
        assert_eq!(json["user_agent"], "a\"\n");
        assert_eq!(json["duration_ms"], 1.234);
    }

    #[test]
    fn what_was_written_is_in_the_file_after_a_flush() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let log = AccessLog::start(Box::new(file.reopen().expect("the file again")), LogFormat::Text).expect("a thread");
        for _ in 0..100 {
            log.write(&entry("/x", "curl"));
        }
        log.flush();
        let mut text = String::new();
        file.read_to_string(&mut text).expect("the lines");
        assert_eq!(text.lines().count(), 100);
        assert_eq!(log.dropped(), 0);
    }
}
