//! A field or an element taken out, with the lines or the comma that were its own. Comments on other lines stay.

use super::error::EditError;
use super::page::{Page, Splice, inserted};
use crate::manifest::positions::{Form, NodeView};
use serde_json::Value;

/// What goes with the lines of a child. A block scalar before it that keeps empty lines (`|+`) must not get others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing; a text whose last line has no line break keeps that habit.
    Lines,
    /// The empty lines behind it.
    AndBlanks,
    /// Nothing, and the line before it keeps its line break.
    ButBreak,
}

impl Taken {
    /// Every way, the usual one first.
    pub(super) const WAYS: [Self; 3] = [Self::Lines, Self::AndBlanks, Self::ButBreak];
}

/// The splices that take the child `number` out of `parent`, whose value is `whole`.
pub(super) fn child(page: &Page<'_>, parent: &NodeView<'_>, whole: &Value, number: usize, taken: Taken) -> Result<Vec<Splice>, EditError> {
    let family = Family { page, parent, whole, taken, siblings: page.document.positions.below(parent.number).collect() };
    match parent.written.form {
        Form::FlowMapping | Form::FlowSequence => Ok(vec![family.in_brackets(number)?]),
        Form::BlockMapping | Form::BlockSequence if family.siblings.len() == 1 => family.alone(number),
        Form::BlockMapping | Form::BlockSequence => Ok(vec![family.among_others(number)?]),
        _ => Err(EditError::unsound(page.whole)),
    }
}

/// A mapping or list and what stands directly in it.
struct Family<'a> {
    page: &'a Page<'a>,
    parent: &'a NodeView<'a>,
    whole: &'a Value,
    taken: Taken,
    siblings: Vec<NodeView<'a>>,
}

impl Family<'_> {
    fn sibling(&self, number: usize) -> Result<&NodeView<'_>, EditError> {
        self.siblings.get(number).ok_or_else(|| EditError::unsound(self.page.whole))
    }

    /// Where a child begins: its key, its dash, or its value.
    fn begin(&self, number: usize) -> Result<usize, EditError> {
        let node = self.sibling(number)?;
        match (node.key, self.parent.written.form) {
            (Some((_, key)), _) => Ok(key.start.offset as usize),
            (None, Form::BlockSequence) => self.page.dash(node).ok_or_else(|| self.page.form("has an element whose `-` is not on its first line")),
            (None, _) => Ok(node.value.start.offset as usize),
        }
    }

    /// Where its value ends.
    fn end(&self, number: usize) -> Result<usize, EditError> {
        let node = self.sibling(number)?;
        Ok(match (node.written.form, node.key) {
            (Form::Absent, Some((_, key))) => self.page.after_colon(node).unwrap_or(key.end.offset as usize),
            (Form::Absent, None) => self.page.dash(node).map_or(node.value.end.offset as usize, |dash| dash + 1),
            (_, Some((key, _))) => self.page.content_end(node, self.whole.get(key)),
            (_, None) => self.page.content_end(node, self.whole.get(number)),
        })
    }

    /// The whole lines of a child that begins its own.
    fn lines(&self, number: usize) -> Result<Splice, EditError> {
        let (page, end) = (self.page, self.end(number)?);
        let begin = page.line_start(self.begin(number)?);
        let mut end = if page.text[..end].ends_with('\n') { end } else { page.next_line(end) };
        while self.taken == Taken::AndBlanks && end < page.text.len() && page.text[end..page.line_end(end)].trim().is_empty() {
            end = page.next_line(end);
        }
        let begin = match page.text.ends_with('\n') || self.taken == Taken::ButBreak {
            false if end == page.text.len() && begin > 0 => page.line_end(page.line_start(begin - 1)),
            _ => begin,
        };
        Ok(Splice { range: begin..end, text: String::new() })
    }

    /// One of several in a block.
    fn among_others(&self, number: usize) -> Result<Splice, EditError> {
        let begin = self.begin(number)?;
        if self.page.begins_line(begin) {
            return self.lines(number);
        }
        // The first one stands behind the dash of the element they all belong to: the next one moves there.
        let (end, next) = (self.end(number)?, self.begin(number + 1)?);
        let between = self.page.text.get(end..next).unwrap_or_default();
        let blanks = between.len() - between.trim_start_matches([' ', '\t']).len();
        let end = if between.trim().is_empty() { next } else { end + blanks };
        Ok(Splice { range: begin..end, text: String::new() })
    }

    /// The only one in a block: `{}` or `[]` stands in its place.
    fn alone(&self, number: usize) -> Result<Vec<Splice>, EditError> {
        let (page, begin, end) = (self.page, self.begin(number)?, self.end(number)?);
        let empty = if self.parent.written.form == Form::BlockMapping { "{}" } else { "[]" };
        match page.after_colon(self.parent) {
            Some(colon) if page.begins_line(begin) => {
                // Behind an anchor or a tag, which belong to the value.
                let behind = page.text[colon..page.skip_to_value(colon).min(page.line_end(colon))].trim_end();
                let at = if behind.contains('#') { colon } else { colon + behind.len() };
                Ok(vec![inserted(at, format!(" {empty}")), self.lines(number)?])
            }
            _ => {
                let ends_lines = page.text[..end].ends_with('\n');
                let end = if ends_lines { page.line_end(page.line_start(end - 1)) } else { end };
                Ok(vec![Splice { range: begin..end, text: empty.to_owned() }])
            }
        }
    }

    /// One within brackets or braces, with the comma that parts it from its neighbour.
    fn in_brackets(&self, number: usize) -> Result<Splice, EditError> {
        let (begin, end) = (self.begin(number)?, self.end(number)?);
        let range = match number.checked_sub(1) {
            _ if number + 1 < self.siblings.len() => begin..self.begin(number + 1)?,
            Some(before) => self.end(before)?..end,
            // A single pair in a list, without braces of its own.
            None if !self.page.text[self.parent.value.start.offset as usize..].starts_with(['{', '[']) => {
                return Ok(Splice { range: begin..end, text: "{}".to_owned() });
            }
            None => self.parent.value.start.offset as usize + 1..(self.parent.value.end.offset as usize).saturating_sub(1),
        };
        let around = [self.page.text.get(range.start..begin), self.page.text.get(end..range.end)];
        if around.into_iter().flatten().any(|text| text.contains('#')) {
            return Err(self.page.form("stands in brackets with comments between its neighbours"));
        }
        Ok(Splice { range, text: String::new() })
    }
}
