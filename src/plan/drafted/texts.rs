//! A file's text, document by document: what was not to be changed says the same in the same bytes.

use crate::manifest::{Document, Limits, SyntaxError, parse};
use crate::types::ManifestPath;
use serde_json::Value;
use std::collections::HashMap;

/// A file that was read.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) documents: Vec<Document>,
}

/// What stands between two markers.
#[derive(Debug)]
struct Part<'t> {
    /// All of it, without the line ends around it.
    bytes: &'t str,
    document: Option<&'t Document>,
}

impl Text {
    /// Reads a file.
    ///
    /// # Errors
    /// As [`parse`]; a file of JSON is to be JSON.
    pub(super) fn read(path: &ManifestPath, text: String) -> Result<Self, SyntaxError> {
        let documents = parse(&text, Limits::default())?;
        if path.as_str().ends_with(".json") {
            serde_json::from_str::<serde::de::IgnoredAny>(&text).map_err(|error| SyntaxError {
                message: "it is no JSON".to_owned(),
                line: u32::try_from(error.line()).unwrap_or(u32::MAX),
                column: u32::try_from(error.column()).unwrap_or(u32::MAX),
            })?;
        }
        Ok(Self { text, documents })
    }

    /// A file that is not there.
    pub(super) fn nothing() -> Self {
        Self { text: String::new(), documents: Vec::new() }
    }

    fn parts(&self) -> Vec<Part<'_>> {
        let mut parts = Vec::new();
        let (mut begin, mut at) = (0, 0);
        let mut documents = self.documents.iter().peekable();
        let mut close = |begin: usize, end: usize| {
            let is_here = |document: &&Document| (document.positions.find("").value.start.offset as usize) < end;
            let bytes = self.text.get(begin..end).unwrap_or_default().trim_matches(['\n', '\r']);
            parts.push(Part { bytes, document: documents.next_if(is_here) });
        };
        for line in self.text.split_inclusive('\n') {
            // What ends a document (`...`) belongs to it; whatever follows begins with a marker.
            let rest = line.strip_prefix("---");
            if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])) {
                close(begin, at);
                // A comment on the marker's line belongs to what follows.
                begin = if rest.trim().is_empty() { at + line.len() } else { at + 3 };
            }
            at += line.len();
        }
        close(begin, at);
        parts
    }

    /// What changed of that which says the same as before: the sentence; none where nothing did.
    pub(super) fn touched(&self, after: &Self) -> Option<String> {
        let (before, after) = (self.parts(), after.parts());
        let mut there: HashMap<&Value, Vec<usize>> = HashMap::new();
        for (place, part) in after.iter().enumerate().rev() {
            there.entry(part.document.map_or(&Value::Null, |document| &document.value)).or_default().push(place);
        }
        let mut last = None;
        for (number, part) in before.iter().enumerate() {
            let value = part.document.map_or(&Value::Null, |document| &document.value);
            if part.document.is_none() && part.bytes.trim().is_empty() {
                continue;
            }
            let Some(places) = there.get_mut(value).filter(|places| !places.is_empty()) else {
                match part.document {
                    // What it says is another matter: the limits on objects see it.
                    Some(_) => continue,
                    None => return Some(format!("the comments in part {} of the file", number + 1)),
                }
            };
            let same = places.iter().rposition(|place| after.get(*place).is_some_and(|part_after| part_after.bytes == part.bytes));
            let Some(at) = same else {
                return Some(match part.document {
                    Some(document) => format!("the document that begins on line {} says the same as before, in other bytes", document.start_line),
                    None => format!("the comments in part {} of the file", number + 1),
                });
            };
            let place = places.remove(at);
            if last.is_some_and(|last| last > place) {
                return Some("its documents stand in another order".to_owned());
            }
            last = Some(place);
        }
        let values = |text: &[Part<'_>]| text.iter().filter_map(|part| part.document.map(|document| document.value.clone())).collect::<Vec<_>>();
        (values(&before) == values(&after)).then(|| "it says the same as before, in another form".to_owned())
    }

    /// The anchors, aliases, merge keys and tags that `after` has more of than this has, as they are written.
    pub(super) fn new_shorthands(&self, after: &Self) -> Vec<String> {
        let count = |text: &Self| {
            let mut counts: HashMap<String, usize> = HashMap::new();
            for shorthand in text.documents.iter().flat_map(|document| document.shorthands(&text.text)) {
                *counts.entry(shorthand).or_default() += 1;
            }
            counts
        };
        let before = count(self);
        let mut new: Vec<String> =
            count(after).into_iter().filter(|(what, many)| before.get(what).is_none_or(|had| had < many)).map(|(what, _)| what).collect();
        new.sort();
        new
    }
}
