//! `kubeops calendar`: what the author of a calendar wrote, as moments. No server is asked.

use super::EXIT_REFUSED;
use super::local::Resources;
use super::output::{self, Colour, OutputFormat, paint, printable, table};
use crate::clock::{Clock, SystemClock};
use crate::inventory::{Calendar, Standing};
use crate::types::{Timestamp, nearest};
use anyhow::bail;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Stretches that are shown, at most.
const MOST_SHOWN: usize = 200;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0, and 3 when the resources are not valid.\n\nExamples:\n  kubeops calendar\n  kubeops calendar office-hours\n  kubeops calendar office-hours --at 2026-12-18T15:00:00+01:00 --days 30 --output json"
)]
pub struct Arguments {
    /// The calendar; without it each is shown as it stands.
    name: Option<String>,
    /// From this moment on, as RFC 3339; by default now.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// For so many days.
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=3660))]
    days: u32,
    #[command(flatten)]
    resources: Resources,
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let set = match arguments.resources.load()? {
        Ok(set) => set,
        Err(diagnostics) => {
            diagnostics.iter().for_each(|diagnostic| output::error(&diagnostic.to_string()));
            return Ok(ExitCode::from(EXIT_REFUSED));
        }
    };
    let calendars = &set.inventory.calendars;
    let at = arguments.at.unwrap_or_else(|| SystemClock.now());
    let Some(name) = &arguments.name else {
        let shown: Vec<Value> = calendars.values().map(|calendar| standing(calendar, at)).collect();
        output::value(format, &json!({ "items": shown }), || every(&shown))?;
        return Ok(ExitCode::SUCCESS);
    };
    let Some(calendar) = calendars.get(name.as_str()) else {
        let near = nearest(name, calendars.keys().map(AsRef::as_ref)).map(|near| format!("\n  hint: did you mean {near}?")).unwrap_or_default();
        bail!("there is no calendar {}{near}", printable(name));
    };
    let stretches = stretches(calendar, at, at.plus(Duration::from_secs(u64::from(arguments.days) * 86_400)));
    let report = json!({ "name": calendar.name, "timeZone": calendar.spec.time_zone, "stretches": stretches });
    output::value(format, &report, || stretches.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// How a calendar stands, from one change to the next.
fn stretches(calendar: &Calendar, from: Timestamp, to: Timestamp) -> Vec<Value> {
    let mut stretches = Vec::new();
    let mut at = from;
    while at < to && stretches.len() < MOST_SHOWN {
        let shown = standing(calendar, at);
        stretches.push(shown);
        match calendar.standing(at).until() {
            Some(until) => at = until,
            None => break,
        }
    }
    stretches
}

fn standing(calendar: &Calendar, at: Timestamp) -> Value {
    let standing = calendar.standing(at);
    let (open, until) = (standing.is_open(), standing.until());
    let reason = if let Standing::Closed { reason, .. } = standing { Some(reason) } else { None };
    json!({
        "name": calendar.name, "open": open, "from": at, "until": until, "reason": reason,
        "shown": { "from": calendar.shown(at), "until": until.map(|until| calendar.shown(until)) },
    })
}

fn line(stretch: &Value) -> String {
    let text = |pointer: &str| stretch.pointer(pointer).and_then(Value::as_str).map(printable);
    let word = if stretch["open"] == true { paint(Colour::Green, "open  ") } else { paint(Colour::Red, "closed") };
    let until = text("/shown/until").unwrap_or_else(|| "for good".to_owned());
    let reason = text("/reason").map(|reason| format!("  {reason}")).unwrap_or_default();
    format!("{word}  {} - {until}{reason}", text("/shown/from").unwrap_or_default())
}

fn every(calendars: &[Value]) -> String {
    let text = |calendar: &Value, pointer: &str| calendar.pointer(pointer).and_then(Value::as_str).map_or_else(|| "-".to_owned(), printable);
    let rows: Vec<Vec<String>> = calendars
        .iter()
        .map(|calendar| {
            let word = if calendar["open"] == true { "open" } else { "closed" };
            vec![text(calendar, "/name"), word.to_owned(), text(calendar, "/shown/until"), text(calendar, "/reason")]
        })
        .collect();
    table(&["calendar", "now", "until", "why"], &rows)
}
