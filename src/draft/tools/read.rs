//! `read_file`: a file's text, or some lines of it.

use super::files::{self, Effort, Files};
use super::{MAX_ANSWER, Refused, arguments};
use crate::draft::Tool;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) const NAME: &str = "read_file";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The path of the file.
    file: String,
    /// The first line wanted, from 1.
    #[serde(default)]
    #[schemars(with = "u32")]
    from_line: Option<u32>,
    /// The last line wanted.
    #[serde(default)]
    #[schemars(with = "u32")]
    to_line: Option<u32>,
}

pub(super) fn tool() -> Tool {
    arguments::tool::<Wanted>(
        NAME,
        "Reads a file of the repository. The first line of the answer says which lines follow; those are exactly as in the file, but for secrets, \
         which are withheld: ⟦withheld:...⟧ stands in their place and must never be written anywhere.",
    )
}

pub(super) fn answer(files: &mut Files<'_>, wanted: &Wanted) -> Result<String, Refused> {
    let path = files::path(&wanted.file);
    let Some(raw) = files.raw(&path, &mut Effort::new())? else {
        return Err(Refused::Told(format!("there is no file {path:?} that can be read as text")));
    };
    let text = files.redacted(&path, &raw);
    let all = text.split_inclusive('\n').count();
    let number = |line: Option<u32>, otherwise: usize| line.map_or(otherwise, |line| usize::try_from(line).unwrap_or(usize::MAX));
    let (from, to) = (number(wanted.from_line, 1).max(1), number(wanted.to_line, all).min(all));
    if from > to && all > 0 {
        return Err(Refused::Told(format!("{path} has {all} lines: there are none from {from} to {to}")));
    }
    let (mut shown, mut last) = (String::new(), from.saturating_sub(1));
    for line in text.split_inclusive('\n').skip(from - 1).take((to + 1).saturating_sub(from)) {
        if shown.len() + line.len() > MAX_ANSWER {
            break;
        }
        shown.push_str(line);
        last += 1;
    }
    if last < from && all > 0 {
        // One line that is longer than an answer may be.
        let line = text.split_inclusive('\n').nth(from - 1).unwrap_or_default();
        let end = line.floor_char_boundary(MAX_ANSWER);
        return Ok(format!("{path}, the begin of line {from} of {all}, which is too long to be shown:\n{}\n", &line[..end]));
    }
    let more = if last < to { format!("; go on with from_line {}", last + 1) } else { String::new() };
    Ok(format!("{path}, lines {from} to {last} of {all}{more}:\n{shown}"))
}
