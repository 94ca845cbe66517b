//! How other people would have written a file: rewritten by code, so that it says the same.

use kubeops::manifest::{Document, Location};
use serde_json::Value;
use std::ops::Range;

/// A text written anew; the same text where the habit does not show in it.
type Rewrite = fn(&str, &[Document]) -> String;

/// Every habit with its name.
pub const HABITS: &[(&str, Rewrite)] = &[
    ("CRLF", |text, _| text.replace('\n', "\r\n")),
    ("no line break at the end", no_last_break),
    ("begins with ---", |text, _| format!("---\n{text}")),
    ("header comment", |text, _| format!("# Owned by the platform team: ask before you change it.\n#\n#   - key: [value\n\n{text}")),
    ("comments behind values", |text, read| at_ends(text, read, " # it's: \"so\" [x")),
    ("blanks behind values", |text, read| at_ends(text, read, "  ")),
    ("lists stand deeper", |text, read| shift_lists(text, read, true)),
    ("lists stand at their key", |text, read| shift_lists(text, read, false)),
    ("blank lines doubled", blank_lines_doubled),
    ("quoted keys", quoted_keys),
];

/// Whether JSON stays JSON with this habit.
pub fn keeps_json(habit: &str) -> bool {
    matches!(habit, "CRLF" | "no line break at the end" | "blanks behind values" | "blank lines doubled")
}

/// Every node that stands in the text itself, with its value.
fn nodes(read: &[Document]) -> impl Iterator<Item = (Location, &Value)> {
    read.iter()
        .flat_map(|document| document.positions.iter().filter_map(move |(pointer, location)| Some((location, document.value.pointer(&pointer)?))))
}

pub fn range(location: &Location) -> Range<usize> {
    location.value.start.offset as usize..location.value.end.offset as usize
}

pub fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// A block of text at the end says something else without its last line break.
fn no_last_break(text: &str, read: &[Document]) -> String {
    let ends_in_block = nodes(read).any(|(at, value)| value.is_string() && range(&at).end == text.len());
    if ends_in_block { text.to_owned() } else { text.trim_end_matches('\n').to_owned() }
}

/// Puts `words` behind each scalar that ends its line.
fn at_ends(text: &str, read: &[Document], words: &str) -> String {
    let ends = nodes(read).filter_map(|(at, value)| {
        let written = range(&at);
        let rest = text[written.end..].split('\n').next().unwrap_or_default();
        let begins_line = text[line_start(text, written.start)..written.start].trim().is_empty();
        let fits = at.value.start.line == at.value.end.line && !written.is_empty() && !begins_line && !value.is_array() && !value.is_object();
        (fits && rest.trim().is_empty()).then_some(written.end)
    });
    inserted(text, ends.map(|at| (at, words.to_owned())).collect())
}

fn inserted(text: &str, mut insertions: Vec<(usize, String)>) -> String {
    insertions.sort_by_key(|(at, _)| *at);
    let (mut out, mut from) = (String::new(), 0);
    for (at, new) in insertions {
        out.push_str(&text[from..at]);
        out.push_str(&new);
        from = at;
    }
    out + &text[from..]
}

/// Every blank line twice, but for those within a text.
fn blank_lines_doubled(text: &str, read: &[Document]) -> String {
    // The blank lines that a block of text begins with are its own.
    let whole = |at: Range<usize>| text[..at.start].trim_end().len()..at.end;
    let texts: Vec<Range<usize>> = nodes(read).filter(|(_, value)| value.is_string()).map(|(at, _)| whole(range(&at))).collect();
    let (mut at, mut blank) = (0, Vec::new());
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() && line.ends_with('\n') && !texts.iter().any(|text| text.start <= at && at <= text.end) {
            blank.push((at, "\n".to_owned()));
        }
        at += line.len();
    }
    inserted(text, blank)
}

/// Every key in double quotes, but for merge keys.
fn quoted_keys(text: &str, read: &[Document]) -> String {
    let mut quotes = Vec::new();
    let keys = read.iter().flat_map(|document| document.positions.iter()).filter_map(|(_, at)| at.key);
    for key in keys {
        let written = key.of(text).unwrap_or_default();
        if written != "<<" && !written.starts_with(['"', '\'']) && !written.contains(['\\', '"']) {
            quotes.extend([(key.start.offset as usize, "\"".to_owned()), (key.end.offset as usize, "\"".to_owned())]);
        }
    }
    inserted(text, quotes)
}

/// Every list that is a field: its dashes two columns deeper than its key, or in the key's column.
fn shift_lists(text: &str, read: &[Document], deeper: bool) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut shifts = vec![0_i64; lines.len()];
    for (at, _) in nodes(read).filter(|(_, value)| value.is_array()) {
        let Some(key) = at.key else { continue };
        let key_line = key.start.line as usize - 1;
        let dash = |line: &&str| indent(line).filter(|columns| line[*columns..].starts_with("- ") || line[*columns..].trim_end() == "-");
        let mut above = (key_line + 1..at.value.start.line as usize).rev();
        let Some((first, column)) = above.find_map(|line| Some((line, dash(&lines[line])?))) else { continue };
        let wanted = key.start.column as usize - 1 + if deeper { 2 } else { 0 };
        let shift = wanted as i64 - column as i64;
        if (shift > 0) != deeper {
            continue;
        }
        for (number, line) in lines.iter().enumerate().skip(first) {
            let Some(columns) = indent(line) else { continue };
            if columns < column && line[columns..].starts_with('#') {
                continue;
            }
            if columns < column || (columns == column && dash(line).is_none() && !line[columns..].starts_with('#')) {
                break;
            }
            shifts[number] += shift;
        }
    }
    let shifted = lines.iter().zip(shifts).map(|(line, by)| match usize::try_from(by) {
        Ok(more) if !line.trim_end_matches(['\n', '\r']).is_empty() => format!("{:more$}{line}", ""),
        Ok(_) => (*line).to_owned(),
        Err(_) => line[(by.unsigned_abs() as usize).min(line.len() - line.trim_start_matches(' ').len())..].to_owned(),
    });
    shifted.collect()
}

/// Blanks before the first character of a line that has one.
fn indent(line: &str) -> Option<usize> {
    let columns = line.len() - line.trim_start_matches(' ').len();
    (!line.trim().is_empty()).then_some(columns)
}
