//! What was measured: a line for people, a line of JSON for programs.

use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Writes figures as they come.
pub struct Report {
    summary: File,
}

/// What a figure is held against.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// Its value, in the figure's unit, measured in the same run.
    pub value: f64,
    /// What it is.
    pub what: &'a str,
}

impl Report {
    /// Appends to `summary`.
    pub fn open(summary: &Path) -> anyhow::Result<Self> {
        Ok(Self { summary: OpenOptions::new().create(true).append(true).open(summary)? })
    }

    /// A figure that docs/performance.md names: printed, and kept in the summary.
    pub fn figure(&mut self, name: &str, value: f64, unit: &str, reference: Reference<'_>) -> anyhow::Result<()> {
        let ratio = value / reference.value;
        println!("  {name:<32} {:>12} {unit:<14} {:>12} {:<34} {:>8}", number(value), number(reference.value), reference.what, number(ratio));
        let line = json!({ "name": name, "value": rounded(value), "unit": unit, "reference": rounded(reference.value), "ratio": rounded(ratio) });
        writeln!(self.summary, "{line}")?;
        Ok(())
    }

    /// Something worth knowing beside a figure: printed alone.
    pub fn note(&self, text: &str) {
        println!("  {text}");
    }
}

/// Six significant digits: more would be noise.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// A number for people: as many digits as tell something.
pub fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}

/// Durations in order, to read percentiles from.
pub struct Sorted(Vec<Duration>);

impl Sorted {
    /// Sorts `times`.
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The smallest time that `percent` of all do not exceed, in milliseconds.
    pub fn millis(&self, percent: f64) -> f64 {
        let at = (self.0.len() as f64 * percent / 100.0).ceil() as usize;
        self.0.get(at.clamp(1, self.0.len().max(1)) - 1).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }

    /// Percentiles in one line.
    pub fn told(&self) -> String {
        format!("p50 {} ms, p99 {} ms, most {} ms", number(self.millis(50.0)), number(self.millis(99.0)), number(self.millis(100.0)))
    }
}
