//! Text that is not what it looks like: characters that no one sees, and placeholders of what was withheld from the model.

use crate::manifest::{Limits, parse};
use regex::Regex;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Spaces within a line behind which something may stand that nobody scrolls to.
const MANY_SPACES: usize = 80;
/// Texts within texts that are looked into.
const MAX_TEXTS: usize = 2;

/// Control, format, private and unassigned characters, separators of lines and paragraphs, and whatever else is drawn as nothing.
static INVISIBLE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}--[\n\t]]").ok());
/// A placeholder as the redactor writes it, or as somebody might copy it.
static PLACEHOLDER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i)⟦\s*withheld|withheld\s*[:：]\s*[0-9a-f]{8}").ok());

/// Whether a text holds a character that nobody sees.
pub(super) fn is_hidden(text: &str) -> bool {
    // An emoji may be told to be drawn in colours.
    let drawn = |text: &str| {
        let mut before = ' ';
        let mut shown = String::with_capacity(text.len());
        for c in text.chars() {
            if c != '\u{fe0f}' || before.is_ascii() || before == '\u{fe0f}' {
                shown.push(c);
            }
            before = c;
        }
        shown
    };
    !text.is_ascii() && INVISIBLE.as_ref().is_none_or(|invisible| invisible.is_match(&drawn(text)))
        || text.bytes().any(|b| b.is_ascii_control() && !matches!(b, b'\n' | b'\t'))
}

/// Whether a text holds a placeholder, also one that was broken up by space or by what nobody sees.
pub fn holds_placeholder(text: &str) -> bool {
    let is_in = |text: &str| PLACEHOLDER.as_ref().is_none_or(|placeholder| placeholder.is_match(text));
    if is_in(text) {
        return true;
    }
    text.contains('⟦') && {
        let close: String = text.chars().filter(|c| c.is_alphanumeric() || ":：⟦".contains(*c)).collect();
        is_in(&close)
    }
}

/// The first line of `after` that is not in `before` and hides something, from 1.
pub(super) fn hidden_line(before: &str, after: &str) -> Option<usize> {
    let known: HashSet<&str> = before.lines().collect();
    let hides = |line: &str| {
        let inner = line.trim();
        is_hidden(line) || inner.as_bytes().windows(MANY_SPACES).any(|window| window.iter().all(|byte| matches!(byte, b' ' | b'\t')))
    };
    after.lines().position(|line| !known.contains(line) && hides(line)).map(|at| at + 1)
}

/// What is wrong with the texts that are new.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Faults {
    pub(super) hidden: bool,
    pub(super) placeholder: bool,
}

/// Looks at the keys and texts of `after` that `before` does not have.
pub(super) fn faults<'v>(before: impl Iterator<Item = &'v Value>, after: impl Iterator<Item = &'v Value>) -> Faults {
    let mut known = HashSet::new();
    before.for_each(|value| {
        texts(value, &mut |text| {
            known.insert(text);
        });
    });
    let mut faults = Faults::default();
    for value in after {
        texts(value, &mut |text| {
            if !known.contains(text) {
                look(text, MAX_TEXTS, &mut faults);
            }
        });
    }
    faults
}

fn look(text: &str, depth: usize, faults: &mut Faults) {
    faults.hidden |= is_hidden(text);
    faults.placeholder |= holds_placeholder(text);
    // A document within a text has escapes of its own.
    if depth > 0
        && text.contains('\\')
        && let Ok(documents) = parse(text, Limits::default())
    {
        for document in &documents {
            if !document.value.is_string() {
                texts(&document.value, &mut |text| look(text, depth - 1, faults));
            }
        }
    }
}

/// Whether a key or a text of a value holds a placeholder.
pub fn value_holds_placeholder(value: &Value) -> bool {
    let mut holds = false;
    texts(value, &mut |text| holds |= holds_placeholder(text));
    holds
}

/// Every key and text of a value.
pub(super) fn texts<'v>(value: &'v Value, each: &mut dyn FnMut(&'v str)) {
    match value {
        Value::String(text) => each(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, each)),
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            each(key);
            texts(value, each);
        }),
        _ => {}
    }
}
