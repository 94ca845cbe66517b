//! `search`: lines that hold a text or match a pattern.

use super::files::{self, Effort, Files};
use super::{Lines, Refused, arguments};
use crate::draft::Tool;
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const NAME: &str = "search";
/// Lines that one answer shows, at most, and the characters of each.
const MAX_LINES: usize = 200;
const MAX_CHARS: usize = 300;
/// The longest pattern, and what it may take when it is compiled, in bytes.
const MAX_PATTERN: usize = 1_000;
const MAX_COMPILED: usize = 1 << 20;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The text that a line holds, upper and lower case told apart. Either this or `regex`.
    #[serde(default)]
    #[schemars(with = "String")]
    text: Option<String>,
    /// The regular expression that a line matches (RE2 syntax).
    #[serde(default)]
    #[schemars(with = "String")]
    regex: Option<String>,
    /// Only in files that match: *.yaml, apps/**. `*` stays within a directory, `**` does not.
    #[serde(default)]
    #[schemars(with = "String")]
    glob: Option<String>,
}

pub(super) fn tool() -> Tool {
    arguments::tool::<Wanted>(NAME, "Searches the files of the repository. Each line of the answer is a file, a line's number and the line.")
}

pub(super) fn answer(files: &mut Files<'_>, wanted: &Wanted) -> Result<String, Refused> {
    let pattern = pattern(wanted)?;
    let listed = files.list("", files::glob(wanted.glob.as_deref())?.as_ref())?;
    files.prefetch(&listed.paths)?;
    let (mut lines, mut effort, mut unread) = (Lines::new(MAX_LINES), Effort::new(), 0);
    for path in &listed.paths {
        if lines.is_full() || !effort.is_left() {
            unread += 1;
            continue;
        }
        // What does not match as it stands need not be freed of secrets; what does is looked at only as it may leave.
        let Some(raw) = files.raw(path, &mut effort)?.filter(|raw| raw.lines().any(|line| pattern.is_match(line))) else { continue };
        let text = files.redacted(path, &raw);
        for (number, line) in text.lines().enumerate().filter(|(_, line)| pattern.is_match(line)) {
            let shown: String = line.chars().take(MAX_CHARS).collect();
            let cut = if shown.len() < line.len() { " ..." } else { "" };
            lines.push(&format!("{path}:{}: {shown}{cut}", number + 1));
        }
    }
    let mut notes = Vec::new();
    if lines.is_full() {
        notes.push("there may be more; ask more narrowly".to_owned());
    } else if unread > 0 || listed.cut {
        notes.push("not every file was looked at; ask with a glob".to_owned());
    }
    Ok(lines.end("no line matches", &notes))
}

fn pattern(wanted: &Wanted) -> Result<Regex, Refused> {
    let source = match (wanted.text.as_deref(), wanted.regex.as_deref()) {
        (Some(text), None) if !text.is_empty() => regex::escape(text),
        (None, Some(regex)) if !regex.is_empty() => regex.to_owned(),
        _ => return Err(Refused::Told("search takes either `text` or `regex`".to_owned())),
    };
    if source.len() > MAX_PATTERN {
        return Err(Refused::Told(format!("what is searched for is longer than {MAX_PATTERN} bytes")));
    }
    RegexBuilder::new(&source).size_limit(MAX_COMPILED).build().map_err(|error| Refused::Told(format!("`regex` is none: {error}")))
}
