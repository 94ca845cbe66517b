//! Printing: tables for people, JSON and YAML for programs, colours only on a terminal.

use crate::manifest::is_shown;
use serde::Serialize;
use serde_json::Value;
use std::io::{IsTerminal, Write};

/// How results are printed: aligned columns for people, JSON or YAML for programs. (The variants have no comments, so that
/// help stays one line.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    Table,
    Json,
    Yaml,
}

/// A colour of the terminal (ANSI SGR codes).
#[derive(Debug, Clone, Copy)]
pub enum Colour {
    /// Good.
    Green,
    /// Bad.
    Red,
    /// Worth a look.
    Yellow,
    /// A place, a heading.
    Cyan,
    /// Less important.
    Dim,
    /// More important.
    Bold,
}

/// `text` in a colour, when standard output is a terminal and `NO_COLOR` is not set (<https://no-color.org>).
pub fn paint(colour: Colour, text: &str) -> String {
    static COLOURS: std::sync::LazyLock<bool> =
        std::sync::LazyLock::new(|| std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()));
    if !*COLOURS {
        return text.to_owned();
    }
    let code = match colour {
        Colour::Green => 32,
        Colour::Red => 31,
        Colour::Yellow => 33,
        Colour::Cyan => 36,
        Colour::Dim => 2,
        Colour::Bold => 1,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// One line to standard error.
pub fn error(message: &str) {
    let _ = writeln!(std::io::stderr(), "kubeops: {message}");
}

/// Text to standard output; a closed pipe is not an error.
pub fn text(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
}

/// A value for programs, or `table` for people.
///
/// # Errors
/// When the value cannot be written as YAML.
pub fn value(format: OutputFormat, value: &impl Serialize, table: impl FnOnce() -> String) -> anyhow::Result<()> {
    match format {
        OutputFormat::Table => text(&table()),
        OutputFormat::Json => text(&serde_json::to_string_pretty(value)?),
        OutputFormat::Yaml => text(&serde_saphyr::to_string(value)?),
    }
    Ok(())
}

/// Rows under a heading, columns aligned.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return "nothing found".to_owned();
    }
    let width =
        |column: usize| rows.iter().map(|row| row.get(column).map_or(0, |cell| visible(cell))).chain([heading[column].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: &[String]| -> String {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - visible(cell).min(*width))));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let heading: Vec<String> = heading.iter().map(|name| paint(Colour::Dim, &name.to_uppercase())).collect();
    let mut lines = vec![line(&heading)];
    lines.extend(rows.iter().map(|row| line(row)));
    lines.join("\n")
}

/// Characters of a cell that take room: colour codes do not.
fn visible(cell: &str) -> usize {
    let mut count = 0;
    let mut in_code = false;
    for c in cell.chars() {
        match c {
            '\x1b' => in_code = true,
            'm' if in_code => in_code = false,
            _ if !in_code => count += 1,
            _ => {}
        }
    }
    count
}

/// A field of a JSON object as a cell; `-` when there is none. What could steer a terminal is replaced.
pub fn cell(object: &Value, pointer: &str) -> String {
    match object.pointer(pointer) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => printable(text),
        Some(other) => other.to_string(),
    }
}

/// Text as it is read, and nothing else: ticket text must not steer a terminal, nor show a value otherwise than it is. A control character
/// is a space; what nobody sees (zero width, bidirectional) is left out.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| is_shown(*c)).collect()
}

/// A unified diff in colours.
pub fn diff(diff: &str) -> String {
    let paint_line = |line: &str| match line.as_bytes().first() {
        _ if line.starts_with("+++") || line.starts_with("---") || line.starts_with("diff ") => paint(Colour::Bold, line),
        Some(b'+') => paint(Colour::Green, line),
        Some(b'-') => paint(Colour::Red, line),
        Some(b'@') => paint(Colour::Cyan, line),
        _ => line.to_owned(),
    };
    diff.lines().map(|line| paint_line(&printable(line))).collect::<Vec<_>>().join("\n")
}

/// A request's state in its colour.
pub fn state(state: &str) -> String {
    let colour = match state {
        "merged" | "applied" | "approved" | "unchanged" => Colour::Green,
        "failed" | "rejected" | "declined" => Colour::Red,
        "proposed" | "planned" | "accepted" => Colour::Yellow,
        _ => Colour::Dim,
    };
    paint(colour, state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_their_colours() {
        let rows = vec![vec!["\x1b[32ma\x1b[0m".to_owned(), "b".to_owned()], vec!["long".to_owned(), "c".to_owned()]];
        let printed = table(&["x", "y"], &rows);
        assert_eq!(printed.lines().map(visible).collect::<Vec<_>>(), [7, 7, 7]);
    }

    #[test]
    fn ticket_text_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a [2Jb ");
        assert_eq!(printable("prod\u{202e}gnigats\u{2069}\u{200b}-\u{feff}eu \u{e0061}grün"), "prodgnigats-eu grün");
    }
}
