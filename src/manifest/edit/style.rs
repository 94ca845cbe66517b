//! How values are written: as the text around them is, and never so that a reader could take them for something else.

use crate::manifest::plain::{Scalar, core, kubectl};
use crate::manifest::positions::Form;
use crate::manifest::scalar::{is_reserved, quote};
use crate::manifest::{is_shown, write_scalar, write_value};
use serde_json::Value;
use std::borrow::Cow;

/// The habits of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// Whether it is JSON and stays so.
    pub(super) json: bool,
    /// Its line break.
    pub(super) eol: &'static str,
    /// Columns a mapping stands deeper than the one it is in.
    pub(super) step: usize,
    /// Columns a list's `-` stands deeper than the mapping it is in.
    pub(super) dash: usize,
    /// Whether text of several lines may be written as a block.
    pub(super) literal: bool,
}

impl Style {
    /// A value on one line.
    pub(super) fn inline(&self, value: &Value) -> String {
        if self.json { json(value) } else { write_value(value) }
    }

    /// A field on one line, as it stands in braces.
    pub(super) fn pair(&self, key: &str, value: &Value) -> String {
        if self.json { format!("{}: {}", json_string(key), json(value)) } else { format!("{}: {}", write_scalar(key), write_value(value)) }
    }

    /// A field whose key stands at column `indent`; lines after its first are indented.
    pub(super) fn field(&self, key: &str, value: &Value, indent: usize) -> String {
        let mut out = String::new();
        self.push_field(&mut out, key, value, indent);
        out
    }

    /// What follows the `:` of a key at column `indent`.
    pub(super) fn behind_colon(&self, value: &Value, indent: usize) -> String {
        let mut out = String::new();
        self.push_value(&mut out, value, indent);
        out
    }

    /// A mapping or list as a block whose lines begin at column `indent`; its first line is not indented.
    pub(super) fn block(&self, value: &Value, indent: usize) -> String {
        let mut out = String::new();
        match value {
            Value::Array(items) if !items.is_empty() => {
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        self.push_line(&mut out, indent);
                    }
                    out.push_str("- ");
                    out.push_str(&self.block(item, indent + 2));
                }
            }
            Value::Object(fields) if !fields.is_empty() => {
                for (number, (key, value)) in fields.iter().enumerate() {
                    if number > 0 {
                        self.push_line(&mut out, indent);
                    }
                    self.push_field(&mut out, key, value, indent);
                }
            }
            value => out.push_str(&write_value(value)),
        }
        out
    }

    fn push_line(&self, out: &mut String, indent: usize) {
        out.push_str(self.eol);
        out.extend(std::iter::repeat_n(' ', indent));
    }

    fn push_field(&self, out: &mut String, key: &str, value: &Value, indent: usize) {
        out.push_str(&write_scalar(key));
        out.push(':');
        self.push_value(out, value, indent);
    }

    fn push_value(&self, out: &mut String, value: &Value, indent: usize) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                self.push_line(out, indent + self.step);
                out.push_str(&self.block(value, indent + self.step));
            }
            Value::Array(items) if !items.is_empty() => {
                self.push_line(out, indent + self.dash);
                out.push_str(&self.block(value, indent + self.dash));
            }
            Value::String(text) if self.literal && is_literal(text) => {
                out.push(' ');
                out.push_str(header(text));
                out.push_str(&self.lines(text, indent + self.step));
            }
            value => {
                out.push(' ');
                out.push_str(&write_value(value));
            }
        }
    }

    /// The lines of a literal block, each behind a line break.
    fn lines(&self, text: &str, indent: usize) -> String {
        let mut out = String::new();
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            self.push_line(&mut out, if line.is_empty() { 0 } else { indent });
            out.push_str(line);
        }
        out
    }

    /// A literal block in the place of another: its header, and its lines with their breaks.
    pub(super) fn literal(&self, text: &str, indent: usize) -> Option<(&'static str, String)> {
        if !self.literal || !is_literal(text) {
            return None;
        }
        let lines = self.lines(text, indent);
        Some((header(text), format!("{}{}", lines.strip_prefix(self.eol).unwrap_or(&lines), self.eol)))
    }

    /// A value on one line in the place of a scalar of this form, written `old`: in the same quotes, and without where the old one had
    /// none and the new one needs none. `flow`: within brackets or braces.
    pub(super) fn instead_of(&self, form: Form, old: &str, new: &Value, flow: bool) -> String {
        let Value::String(text) = new else { return self.inline(new) };
        if self.json {
            return json_string(text);
        }
        match form {
            Form::DoubleQuoted => quote(text),
            Form::SingleQuoted if text.chars().all(is_shown) => format!("'{}'", text.replace('\'', "''")),
            Form::SingleQuoted => quote(text),
            Form::Plain if stays_plain(old, text, flow) => text.clone(),
            _ => write_scalar(text).into_owned(),
        }
    }
}

/// Whether a text that takes the place of the plain scalar `old` may be plain too. [`write_scalar`] quotes whatever some tool somewhere
/// may misread; an image that stood there without quotes is not to get them with its next version.
fn stays_plain(old: &str, text: &str, flow: bool) -> bool {
    let is_text = |text: &str| kubectl(text) == Scalar::Text && core(text) == Scalar::Text && !is_reserved(text);
    if !is_text(old) || !is_text(text) || text.len() > 256 {
        return false;
    }
    let first = text.bytes().next().unwrap_or(b' ');
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_./:@+-".contains(c) || (c == ' ' && !flow) || (c == '=' && old.contains('='));
    if !text.chars().all(allowed) || text.ends_with([':', ' ']) || text.contains(": ") || text.contains(" -") || text.contains("  ") {
        return false;
    }
    if first.is_ascii_alphabetic() && !flow {
        return true;
    }
    // The old one vouches for others of its shape, but for what YAML 1.1 takes for times and dates.
    let shape = shape(text);
    shape == self::shape(old)
        && (first.is_ascii_alphabetic()
            || first == b'/'
            || (first.is_ascii_digit() && !text.contains([':', '_', '+']) && !shape.starts_with("9-9-9")))
}

/// The text with each run of letters as one `a` and each run of digits as one `9`.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    for c in text.chars() {
        let class = if c.is_ascii_digit() {
            '9'
        } else if c.is_ascii_alphabetic() {
            'a'
        } else {
            c
        };
        if !(class.is_ascii_alphanumeric() && shape.ends_with(class)) {
            shape.push(class);
        }
    }
    shape
}

/// Whether a literal block says exactly this, in a form that nobody misreads: several lines, none that begins the block with a space,
/// no spaces at the ends of lines, one line break at the end or none.
fn is_literal(text: &str) -> bool {
    let inner = text.strip_suffix('\n').unwrap_or(text);
    text.contains('\n')
        && !inner.is_empty()
        && !inner.starts_with([' ', '\n'])
        && !inner.ends_with('\n')
        && text.chars().all(|c| c == '\n' || is_shown(c))
        && inner.split('\n').all(|line| !line.ends_with(' '))
}

fn header(text: &str) -> &'static str {
    if text.ends_with('\n') { "|" } else { "|-" }
}

fn json(value: &Value) -> String {
    match value {
        Value::String(text) => json_string(text),
        Value::Array(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            format!("{{{}}}", fields.iter().map(|(key, value)| format!("{}: {}", json_string(key), json(value))).collect::<Vec<_>>().join(", "))
        }
        Value::Number(number) if number.is_f64() => write_value(value),
        scalar => scalar.to_string(),
    }
}

/// A JSON string that shows no character for another (RFC 8259, section 7).
fn json_string(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    let escaped: Cow<'_, str> = if quoted.chars().all(is_shown) {
        quoted.into()
    } else {
        let mut units = [0; 2];
        let escape = |c: char, units: &mut [u16; 2]| c.encode_utf16(units).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
        quoted.chars().map(|c| if is_shown(c) { c.to_string() } else { escape(c, &mut units) }).collect::<String>().into()
    };
    escaped.into_owned()
}
