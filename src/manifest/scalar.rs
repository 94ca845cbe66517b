//! Writing values into YAML: on one line, with one meaning under YAML 1.1 and YAML 1.2, whatever the text.
//! It never writes a plain scalar that some reader could take for anything but that text.

use serde_json::Value;
use std::borrow::Cow;

/// Words that some reader takes for something else than text, in any case of letters.
const RESERVED: [&str; 14] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf", "infinity", "nil"];

/// Suffixes of Kubernetes quantities; no YAML reader takes digits before one of them for a number. `E` is left out: `1E` looks like an exponent.
const QUANTITY: [&str; 12] = ["m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The YAML spelling of a string: the text itself where that is safe as a value, a key and a flow element; double quotes otherwise.
///
/// Read back by a YAML 1.1 or YAML 1.2 reader it is the same string. As a key it must not be longer than the 1,024
/// characters that YAML allows a key on one line.
pub fn write_scalar(text: &str) -> Cow<'_, str> {
    if is_plain(text) { Cow::Borrowed(text) } else { Cow::Owned(quote(text)) }
}

/// The YAML spelling of any value on one line: scalars as [`write_scalar`] has them, mappings and sequences in flow style.
pub fn write_value(value: &Value) -> String {
    let mut out = String::new();
    write_into(value, &mut out);
    out
}

fn write_into(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&write_number(number)),
        Value::String(text) => out.push_str(&write_scalar(text)),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                write_into(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (place, (key, value)) in fields.iter().enumerate() {
                if place > 0 {
                    out.push_str(", ");
                }
                out.push_str(&write_scalar(key));
                out.push_str(": ");
                write_into(value, out);
            }
            out.push('}');
        }
    }
}

/// A number that YAML 1.1 reads as one too: its floats need a point, and a sign in the exponent.
fn write_number(number: &serde_json::Number) -> String {
    let text = number.to_string();
    if !number.is_f64() {
        return text;
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text.as_str(), None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let point = if mantissa.contains('.') { "" } else { ".0" };
    match exponent {
        None => format!("{mantissa}{point}"),
        Some(exponent) if exponent.starts_with(['-', '+']) => format!("{mantissa}{point}e{exponent}"),
        Some(exponent) => format!("{mantissa}{point}e+{exponent}"),
    }
}

/// A letter, then letters, digits and `_./-` only: no indicator of YAML, no number of any version, which all begin with a
/// digit, a sign or a point. `:` and `@` are left out because flow collections and tools differ on them. Or a Kubernetes
/// quantity with a suffix, which a person would not quote.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let safe = |b: &u8| b.is_ascii_alphanumeric() || b"_./-".contains(b);
    if bytes.first().is_some_and(u8::is_ascii_alphabetic) {
        return bytes.len() <= 128 && bytes.iter().all(safe) && !is_reserved(text);
    }
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    (1..=18).contains(&digits) && QUANTITY.contains(&&text[digits..])
}

/// Whether some reader takes the word for something else than text.
pub(super) fn is_reserved(text: &str) -> bool {
    RESERVED.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// The string in double quotes.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_shown(c) => out.push(c),
            // `\u` and `\U` are the same in YAML 1.1 and YAML 1.2.
            c if u32::from(c) <= 0xffff => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// Whether a reader of the file sees the character for what it is, and every YAML reader takes it as content: no controls,
/// line separators, marks that reorder or hide text, or code points that are no characters.
pub(crate) fn is_shown(c: char) -> bool {
    !matches!(u32::from(c),
        0..=0x1f | 0x7f..=0xa0 | 0xad | 0x034f | 0x061c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f
        | 0x200b..=0x200f | 0x2028..=0x202f | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xffff
        | 0x1_bca0..=0x1_bca3 | 0x1_d173..=0x1_d17a | 0xe_0000..=0xe_0fff)
        && u32::from(c) & 0xfffe != 0xfffe
}
