//! Which bytes are a field's or an element's own: what stands outside of them has to be there after it is gone, or has another beside it.

use super::edits::extent;
use super::habits::{line_start, range};
use super::nodes::Node;

/// What parts members of braces and brackets.
const BETWEEN: [char; 5] = [' ', '\t', '\r', '\n', ','];

/// A text with every place in it.
pub struct Extents<'a> {
    pub text: &'a str,
    /// The document that is looked at.
    pub number: usize,
    pub nodes: &'a [(usize, Node)],
}

impl Extents<'_> {
    /// Whether `new` is the text without the node: everything before it and behind its last line, comments too, but for blanks and commas
    /// beside it and an empty `{}` or `[]` where it was the only one. False where its dash stands on another line, or nothing in it is its own: that is
    /// not looked at.
    pub fn held_without(&self, node: &Node, new: &str) -> Result<bool, String> {
        let Some(begin) = self.begin(node).filter(|_| !self.is_merged(node)) else { return Ok(false) };
        let end = self.end(node);
        // Where it is all there is, `{}` stands on its line.
        let is_all =
            node.steps.len() == 1 && self.nodes.iter().filter(|(number, other)| *number == self.number && other.steps.len() == 1).count() == 1;
        let owns_line = !is_all && self.text[line_start(self.text, begin)..begin].trim().is_empty() && !self.is_in_brackets(node);
        // What is said behind it on its last line goes with its lines.
        let behind =
            if owns_line && !self.text[..end].ends_with('\n') { &self.text[end + rest_of_line(&self.text[end..])..] } else { &self.text[end..] };
        let before = self.text[..begin].trim_end_matches(BETWEEN);
        let behind = behind.trim_start_matches(BETWEEN);
        let new = match self.parent(node).and_then(|parent| parent.at.key).filter(|_| self.is_alone(node) && owns_line) {
            Some(key) => without_empty(new, key.end.offset as usize),
            None => new.to_owned(),
        };
        let middle = held(before, behind, &new)?;
        let left = middle.replace("{}", "").replace("[]", "");
        if left.trim_matches(BETWEEN).is_empty() { Ok(true) } else { Err(format!("{left:?} stands where it was")) }
    }

    /// Whether `new` is the text with another element in the list: everything before the end of its last one and behind the list.
    pub fn held_with_another(&self, list: &Node, new: &str) -> Result<(), String> {
        let (begin, end) = match list.value.as_array().is_some_and(Vec::is_empty) {
            true => (range(&list.at).start, range(&list.at).end),
            false => match self.is_bracketed(list) {
                true => (self.children(list).map(|child| self.end(child)).max().unwrap_or_default(), range(&list.at).end - 1),
                false => (self.last_line_end(list), self.last_line_end(list)),
            },
        };
        let middle = held(&self.text[..begin], self.text[end..].trim_start_matches(BETWEEN), new)?;
        let mut said = middle.chars();
        let mut there = self.text[begin..end].chars().filter(|_| !list.value.as_array().is_some_and(Vec::is_empty));
        if there.all(|c| said.any(|other| other == c)) { Ok(()) } else { Err(format!("{middle:?} lacks something of {:?}", &self.text[begin..end])) }
    }

    /// Where it begins: its key, its dash, or within brackets its value.
    fn begin(&self, node: &Node) -> Option<usize> {
        let start = range(&node.at).start;
        match node.at.key {
            Some(key) => Some(key.start.offset as usize),
            None if self.is_in_brackets(node) => Some(start),
            None => {
                let line = line_start(self.text, start);
                let before = &self.text.as_bytes()[line..start];
                let is_dash = |at: &usize| before[*at] == b'-' && before.get(at + 1).is_none_or(|next| matches!(next, b' ' | b'\t'));
                let dash = (0..before.len()).rev().find(is_dash)?;
                // A block of text stands below its dash.
                Some(line + dash)
            }
        }
    }

    /// Where its last byte stands that is no comment and no blank.
    fn end(&self, node: &Node) -> usize {
        let written = range(&node.at);
        if self.is_bracketed(node) || !(node.value.is_object() || node.value.is_array()) {
            return extent(self.text, node).1;
        }
        self.children(node).map(|child| self.end(child)).max().unwrap_or(written.end)
    }

    /// Where the line ends that its last byte is in; what is said behind it there is before what comes next.
    fn last_line_end(&self, node: &Node) -> usize {
        let end = self.end(node);
        if self.text[..end].ends_with('\n') { end } else { end + self.text[end..].find('\n').unwrap_or(self.text.len() - end) }
    }

    fn children<'s>(&'s self, node: &'s Node) -> impl Iterator<Item = &'s Node> {
        let below = |other: &&Node| other.steps.len() == node.steps.len() + 1 && other.steps.starts_with(&node.steps);
        self.nodes.iter().filter(|(number, _)| *number == self.number).map(|(_, other)| other).filter(below).filter(|other| other.at.exact)
    }

    fn parent(&self, node: &Node) -> Option<&Node> {
        let above = &node.steps[..node.steps.len() - 1];
        self.nodes.iter().find(|(number, other)| *number == self.number && other.steps == above).map(|(_, other)| other)
    }

    fn is_alone(&self, node: &Node) -> bool {
        self.parent(node).is_some_and(|parent| self.children(parent).count() == 1)
    }

    fn is_in_brackets(&self, node: &Node) -> bool {
        match self.parent(node) {
            Some(parent) => self.is_bracketed(parent) || self.is_in_brackets(parent),
            None => self.text.trim_start().starts_with(['{', '[']),
        }
    }

    /// Whether it is written with braces or brackets, or as an alias. A list of such begins with its first element, as readers have it.
    fn is_bracketed(&self, node: &Node) -> bool {
        let begins_with_child = || self.children(node).any(|child| range(&child.at).start == range(&node.at).start);
        let written = node.at.value.of(self.text).unwrap_or_default();
        (node.value.is_object() || node.value.is_array()) && written.starts_with(['{', '[', '*']) && !begins_with_child()
    }

    /// Whether all that is in it came by a merge key, which is no place of its own.
    fn is_merged(&self, node: &Node) -> bool {
        (node.value.is_object() || node.value.is_array()) && !self.is_bracketed(node) && self.children(node).next().is_none()
    }
}

/// What stands between `before` and `behind` in `new`.
fn held<'n>(before: &str, behind: &str, new: &'n str) -> Result<&'n str, String> {
    let rest = new.strip_prefix(before).ok_or_else(|| format!("bytes before it: {before:?}"))?;
    rest.strip_suffix(behind).ok_or_else(|| format!("bytes behind it: {behind:?}"))
}

/// The text without the first `{}` or `[]` behind `from`, and the blank before it.
fn without_empty(text: &str, from: usize) -> String {
    let (head, rest) = text.split_at(from.min(text.len()));
    match [rest.find("{}"), rest.find("[]")].into_iter().flatten().min() {
        Some(at) => format!("{head}{}{}", rest[..at].strip_suffix(' ').unwrap_or(&rest[..at]), &rest[at + 2..]),
        None => text.to_owned(),
    }
}

/// The bytes to the end of the line, its break included.
fn rest_of_line(text: &str) -> usize {
    text.find('\n').map_or(text.len(), |newline| newline + 1)
}
