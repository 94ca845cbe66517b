//! A text as its editor looks at it: lines and their ends, where a value ends, how deep its author indents.

use super::error::EditError;
use super::style::Style;
use crate::manifest::positions::{Form, NodeView, Span};
use crate::manifest::{Document, Step};
use serde_json::Value;
use std::ops::Range;

/// Bytes to be replaced by a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// Something to be put between two bytes.
pub(super) fn inserted(at: usize, text: String) -> Splice {
    Splice { range: at..at, text }
}

/// The text with every splice written; they are in order and do not overlap.
pub(super) fn spliced(text: &str, splices: &[Splice]) -> String {
    let mut out = String::with_capacity(text.len() + splices.iter().map(|splice| splice.text.len()).sum::<usize>());
    let mut at = 0;
    for splice in splices {
        out.push_str(text.get(at..splice.range.start).unwrap_or_default());
        out.push_str(&splice.text);
        at = splice.range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// Whether a line begins or ends a document.
fn is_marker(line: &str) -> bool {
    let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// The lines of the document that stands at `at`, without the markers around it.
pub(super) fn document_lines(text: &str, at: usize) -> Range<usize> {
    let mut lines = 0..text.len();
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        if is_marker(line) && begin > at {
            lines.end = begin;
            break;
        }
        begin += line.len();
        if is_marker(line) {
            lines.start = begin;
        }
    }
    lines
}

/// The lines of the document that stands at `at`, with the marker before it; of the first one, with the marker behind it.
pub(super) fn whole_document(text: &str, at: usize) -> Range<usize> {
    let lines = document_lines(text, at);
    let before = text[..lines.start].split_inclusive('\n').next_back().unwrap_or_default();
    let first = text[..lines.start - before.len()].trim().is_empty();
    if first {
        let marker = text[lines.end..].split_inclusive('\n').next().unwrap_or_default();
        return lines.start..lines.end + marker.len();
    }
    lines.start - before.len()..lines.end
}

/// A text with one of its documents, and the path asked for.
pub(super) struct Page<'a> {
    pub(super) text: &'a str,
    pub(super) document: &'a Document,
    pub(super) whole: &'a [Step],
    pub(super) style: Style,
}

impl<'a> Page<'a> {
    pub(super) fn new(text: &'a str, document: &'a Document, json: bool, whole: &'a [Step]) -> Self {
        let crlf = text.find('\n').is_some_and(|at| text[..at].ends_with('\r'));
        let mut page = Self {
            text,
            document,
            whole,
            style: Style { json, eol: if crlf { "\r\n" } else { "\n" }, step: 2, dash: 0, literal: text.ends_with('\n') },
        };
        page.style.step = page.indentation().unwrap_or(2);
        page.style.dash = page.dash_indentation().unwrap_or(0);
        page
    }

    pub(super) fn form(&self, what: &str) -> EditError {
        EditError::form(self.whole, what)
    }

    /// How much deeper a mapping stands than the one it is in, in columns.
    fn indentation(&self) -> Option<usize> {
        self.nested(Form::BlockMapping).map(|(outer, inner)| column(inner.value) - column(outer.value)).next()
    }

    /// How much deeper the `-` of a list stands than the mapping it is in, in columns.
    fn dash_indentation(&self) -> Option<usize> {
        self.nested(Form::BlockSequence)
            .filter_map(|(outer, inner)| {
                let line = self.line_start(inner.value.start.offset as usize);
                let dash = self.text[line..].bytes().take_while(|byte| *byte == b' ').count();
                (self.text[line + dash..].starts_with('-')).then(|| dash.checked_sub(column(outer.value)))?
            })
            .next()
    }

    /// Block mappings, each with a node of a form that is a field of it and stands deeper.
    fn nested(&self, form: Form) -> impl Iterator<Item = (NodeView<'a>, NodeView<'a>)> {
        let positions = &self.document.positions;
        let mappings = positions.subtree(0).filter(|node| node.written.form == Form::BlockMapping);
        mappings
            .flat_map(move |outer| positions.below(outer.number).map(move |inner| (outer, inner)))
            .filter(move |(outer, inner)| inner.written.form == form && (form != Form::BlockMapping || column(inner.value) > column(outer.value)))
    }

    /// Where the line begins that `at` is in.
    pub(super) fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// Where the line ends that `at` is in: before its line break, or at the end of the text.
    pub(super) fn line_end(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        let line = rest.find('\n').map_or(rest, |newline| &rest[..newline]);
        at + line.strip_suffix('\r').unwrap_or(line).len()
    }

    /// Where the line after the one that `at` is in begins.
    pub(super) fn next_line(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |newline| at + newline + 1)
    }

    /// The first byte at or after `from` that is neither white space nor in a comment.
    pub(super) fn skip_blank(&self, from: usize) -> usize {
        let mut at = from;
        while let Some(byte) = self.text.as_bytes().get(at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => at += 1,
                b'#' if at > from => at = self.line_end(at),
                _ => break,
            }
        }
        at
    }

    /// The first byte at or after `from` that is neither white space, nor in a comment, nor in an anchor or a tag.
    pub(super) fn skip_to_value(&self, from: usize) -> usize {
        let mut at = self.skip_blank(from);
        while self.text[at..].starts_with(['&', '!']) {
            at += self.text[at..].find(|c: char| c.is_whitespace()).unwrap_or(self.text.len() - at);
            at = self.skip_blank(at);
        }
        at
    }

    /// The place behind the `:` of a field; none where the key has none, or one on another line.
    pub(super) fn after_colon(&self, node: &NodeView<'_>) -> Option<usize> {
        let (_, key) = node.key?;
        let end = key.end.offset as usize;
        let blanks = self.text[end..].bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        self.text[end + blanks..].starts_with(':').then_some(end + blanks + 1)
    }

    /// Where the `-` of a block list's element stands.
    pub(super) fn dash(&self, element: &NodeView<'_>) -> Option<usize> {
        let start = element.value.start.offset as usize;
        if element.written.form == Form::Absent && self.text[start..].starts_with('-') {
            return Some(start);
        }
        let start = match element.written.form {
            // The reader gives the place of the first line of text, or of what is in the list.
            Form::Literal | Form::Folded => self.element_header(start)?,
            Form::BlockSequence => self.dash(&self.document.positions.below(element.number).next()?)?,
            _ => start,
        };
        self.dash_before(start)
    }

    /// Where the `|` or `>` of a block of text stands.
    pub(super) fn block_header(&self, node: &NodeView<'_>) -> Option<usize> {
        if node.key.is_none() {
            return self.element_header(node.value.start.offset as usize);
        }
        let start = self.skip_to_value(self.after_colon(node)?);
        self.text[start..].starts_with(['|', '>']).then_some(start)
    }

    /// As [`Self::block_header`], of an element whose text begins at `start`: the first one in the line above that stands behind a `-`.
    fn element_header(&self, start: usize) -> Option<usize> {
        let above = self.text[..self.line_start(start)].trim_end();
        let line = self.line_start(above.len());
        above[line..].match_indices(['|', '>']).map(|(at, _)| line + at).find(|at| self.dash_before(*at).is_some_and(|dash| dash >= line))
    }

    /// The `-` before `at`: between them stand only anchors, tags, blank lines and comments.
    fn dash_before(&self, at: usize) -> Option<usize> {
        let mut end = at;
        loop {
            let line = self.line_start(end);
            let before = &self.text[line..end];
            let comment = before.find(" #").or_else(|| before.trim_start().starts_with('#').then_some(0));
            let before = before[..comment.unwrap_or(before.len())].trim_end();
            let is_mark = |word: &str| word.starts_with(['&', '!']);
            if before.split_whitespace().all(is_mark) {
                end = line.checked_sub(1)?;
                continue;
            }
            let dash = if before.ends_with('-') { before.len() - 1 } else { before.rfind("- ")? };
            return before[dash + 1..].split_whitespace().all(is_mark).then_some(line + dash);
        }
    }

    /// Columns before the `-` of a block list's element.
    pub(super) fn dash_column(&self, element: &NodeView<'_>) -> Option<usize> {
        let dash = self.dash(element)?;
        Some(self.text[self.line_start(dash)..dash].chars().count())
    }

    /// Whether nothing but blanks stands before `at` in its line.
    pub(super) fn begins_line(&self, at: usize) -> bool {
        self.text[self.line_start(at)..at].bytes().all(|byte| matches!(byte, b' ' | b'\t'))
    }

    /// Where the text of a value ends: behind its last byte, or, of a block scalar, behind its last line.
    pub(super) fn content_end(&self, node: &NodeView<'_>, value: Option<&Value>) -> usize {
        match node.written.form {
            Form::Literal | Form::Folded => self.block_end(node, value.and_then(Value::as_str)),
            Form::Absent => self.after_colon(node).unwrap_or(node.value.end.offset as usize),
            Form::BlockMapping | Form::BlockSequence => {
                let Some((number, last)) = self.document.positions.below(node.number).enumerate().last() else {
                    return node.value.end.offset as usize;
                };
                let value = match last.key {
                    Some((key, _)) => value.and_then(|value| value.get(key)),
                    None => value.and_then(|value| value.get(number)),
                };
                self.content_end(&last, value)
            }
            _ => node.value.end.offset as usize,
        }
    }

    /// Where the last line of a block scalar ends, behind its line break. Empty lines at the end are left out, unless the scalar keeps
    /// them (`|+`) or its last line holds nothing but blanks, which its `value` tells.
    pub(super) fn block_end(&self, node: &NodeView<'_>, value: Option<&str>) -> usize {
        let (start, end) = (node.value.start.offset as usize, node.value.end.offset as usize);
        if end == self.text.len() && !self.text.ends_with('\n') {
            return end;
        }
        // The parser also takes the indentation of the line that follows.
        let mut end = self.line_start(end).max(self.line_start(start));
        let kept = value.is_some_and(|value| {
            let last = value.strip_suffix('\n').unwrap_or(value).rsplit('\n').next();
            !value.is_empty() && last.is_some_and(|last| last.trim().is_empty())
        });
        while !kept && end > start {
            let line = self.line_start(end - 1);
            if line < start || !self.text[line..end].trim().is_empty() {
                break;
            }
            end = line;
        }
        end
    }
}

/// Columns before a stretch.
pub(super) fn column(span: Span) -> usize {
    (span.start.column as usize).saturating_sub(1)
}
