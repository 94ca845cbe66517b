//! A piece of a file's text, found exactly once, never nearly.

use crate::types::nearest;

/// Characters of a line that a message shows.
const SHOWN: usize = 120;

/// The text with `search` replaced.
///
/// # Errors
/// The sentence that says how often it stands there; for never, the line that comes nearest.
pub(super) fn once(text: &str, search: &str, replace: &str) -> Result<String, String> {
    let mut places = text.match_indices(search).map(|(at, _)| at);
    match (places.next(), overlapping(text, search)) {
        (Some(at), 1) => Ok(format!("{}{replace}{}", &text[..at], &text[at + search.len()..])),
        (None, _) => Err(format!("`search` does not stand in the file as it is now{}", near(text, search))),
        (_, many) => Err(format!("`search` stands {many} times in the file: take in a line before or behind it that tells them apart")),
    }
}

/// How often a text stands in another, overlaps counted too.
fn overlapping(text: &str, search: &str) -> usize {
    let (mut from, mut count) = (0, 0);
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(search)) {
        count += 1;
        from += at + text[from + at..].chars().next().map_or(1, char::len_utf8);
    }
    count
}

/// The line of the file that the first line of what is looked for, and is not there, was probably meant to be.
fn near(text: &str, search: &str) -> String {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(missing) = search.lines().map(str::trim).find(|line| !line.is_empty() && lines().all(|there| there != *line)) else {
        return ": its lines are there, but not one after the other with the same indentation".to_owned();
    };
    let line = nearest(missing, lines()).or_else(|| {
        let key = missing.split(':').next().unwrap_or(missing);
        lines().find(|line| line.split(':').next() == Some(key))
    });
    let number = line.and_then(|line| text.lines().position(|there| there.trim() == line));
    match (line, number) {
        (Some(line), Some(number)) => format!("; the nearest is line {}: `{}`", number + 1, line.chars().take(SHOWN).collect::<String>()),
        _ => String::new(),
    }
}
