//! `kubeops trace`: everything that is kept about one thing, in the order in which it happened.

use super::client::Server;
use super::naming::segment;
use super::output::{self, Colour, OutputFormat, cell, paint, printable};
use super::requests::owed;
use serde_json::Value;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kubeops trace OPS-42                      a ticket\n  kubeops trace gitops#12                   a pull request; its address does as well\n  kubeops trace 3f2a9c1                     a commit: seven digits of its id or more\n  kubeops trace OPS-42 --output json > why.json   to be kept with the audit"
)]
pub struct Arguments {
    /// The key of a ticket, the fingerprint of an alert, an id of a delivery, event or request, at least the first seven digits of
    /// a commit's id, a branch, or a pull request.
    #[arg(value_name = "ANYTHING")]
    about: String,
    #[command(flatten)]
    server: Server,
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let path = format!("/trace/{}", segment(arguments.about.trim()));
    let found = super::runtime()?.block_on(arguments.server.json(reqwest::Method::GET, &path, &[], None))?;
    output::value(format, &found, || shown(&found))?;
    Ok(ExitCode::SUCCESS)
}

fn shown(found: &Value) -> String {
    let mut parts: Vec<String> = list(found, "/requests").map(request).collect();
    let beside: Vec<Line> = lines_of(found);
    if !beside.is_empty() {
        let heading = paint(Colour::Bold, "Events that no request came of");
        parts.push(format!("{heading}\n{}", told(beside)));
    }
    if found["more"] == true {
        parts.push("There are more requests than these: ask about something that fewer have in common.".to_owned());
    }
    parts.join("\n\n")
}

/// One thing that happened.
struct Line {
    at: String,
    what: &'static str,
    text: String,
}

fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn request(traced: &Value) -> String {
    let request = &traced["request"];
    let heading = format!(
        "{} {} {}",
        paint(Colour::Bold, &cell(request, "/id")),
        output::state(&cell(request, "/state")),
        printable(&format!("{} for {:?}, number {}", cell(request, "/automation"), cell(request, "/correlation"), cell(request, "/generation")))
    );
    let mut facts: Vec<(&str, String)> = [
        ("message", "/request/message"),
        ("pull request", "/request/pull/url"),
        ("branch", "/request/branch"),
        ("planned on", "/request/base"),
        ("commit", "/request/commit"),
        ("merged as", "/merged"),
        ("automation", "/rule"),
    ]
    .into_iter()
    .map(|(name, pointer)| (name, cell(traced, pointer)))
    .filter(|(_, value)| value != "-")
    .collect();
    if let Some(templates) = traced.pointer("/changes/evidence/templates").and_then(Value::as_object) {
        facts.extend(templates.iter().map(|(name, digest)| ("template", printable(&format!("{name} {}", digest.as_str().unwrap_or_default())))));
    }
    let policies: Vec<String> = list(traced, "/changes/evidence/policies").filter_map(Value::as_str).map(printable).collect();
    if !policies.is_empty() {
        facts.push(("policies", policies.join(", ")));
    }
    facts.extend(list(traced, "/changes/files").filter_map(Value::as_str).map(|file| ("file", printable(file))));
    facts.extend(list(traced, "/request/summary").filter_map(Value::as_str).map(|line| ("change", printable(line))));
    facts.extend(list(traced, "/findings").map(|finding| ("finding", format!("{}: {}", cell(finding, "/rule"), cell(finding, "/message")))));
    facts.extend(owed(traced).map(|(kind, text)| ("still to do", format!("{kind} {text}"))));
    let facts: Vec<String> = facts.iter().map(|(name, value)| format!("  {}  {value}", paint(Colour::Dim, &format!("{name:<12}")))).collect();
    let mut lines = lines_of(traced);
    lines.extend(list(traced, "/timeline").map(|entry| Line {
        at: cell(entry, "/at"),
        what: "request",
        text: format!("{} ({}): {}", cell(entry, "/to"), cell(entry, "/actor"), cell(entry, "/message")),
    }));
    lines.extend(list(traced, "/told").map(|act| {
        let note = act["note"].as_str().map(|note| format!(": {}", printable(note))).unwrap_or_default();
        let text = format!("{} of {} on {} {}{note}", cell(act, "/act"), cell(act, "/news"), cell(act, "/channel"), cell(act, "/state"));
        Line { at: cell(act, "/at"), what: "told", text }
    }));
    [vec![heading], facts, vec![told(lines)]].concat().join("\n")
}

/// The deliveries and events of a value that has both.
fn lines_of(value: &Value) -> Vec<Line> {
    let deliveries = list(value, "/deliveries").map(|delivery| Line {
        at: cell(delivery, "/received_at"),
        what: "delivery",
        text: format!(
            "{} from {}, {} bytes, sha256 {}, {}",
            cell(delivery, "/id"),
            cell(delivery, "/source"),
            cell(delivery, "/body_bytes"),
            cell(delivery, "/sha256"),
            cell(delivery, "/state")
        ),
    });
    let events = list(value, "/events").map(|event| {
        let decisions: Vec<String> = list(event, "/decisions").map(decided).collect();
        let decisions = if decisions.is_empty() { "no automation listens to it".to_owned() } else { decisions.join("; ") };
        let repeats = event["repeats"].as_str().map(|first| format!(", tells {first} again")).unwrap_or_default();
        let text = format!(
            "{} {} about {}, happened {}{repeats}: {decisions}",
            cell(event, "/id"),
            cell(event, "/type"),
            cell(event, "/subject"),
            cell(event, "/time")
        );
        Line { at: cell(event, "/recorded_at"), what: "event", text }
    });
    deliveries.chain(events).collect()
}

fn decided(decision: &Value) -> String {
    let word = if decision["matched"] == true { "taken by" } else { "not taken by" };
    let message = decision["message"].as_str().map(|message| format!(" ({})", printable(message))).unwrap_or_default();
    format!("{word} {}{message}", cell(decision, "/automation"))
}

/// In the order in which it happened.
fn told(mut lines: Vec<Line>) -> String {
    lines.sort_by(|one, other| one.at.cmp(&other.at));
    let line = |line: &Line| format!("  {}  {}  {}", line.at, paint(Colour::Cyan, &format!("{:<8}", line.what)), line.text);
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}
