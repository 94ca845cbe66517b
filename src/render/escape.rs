//! Strings as YAML scalars that every reader takes for the same string.
//! Nothing written here can be read as a number, a truth value, null, a date or structure, under YAML 1.1 or 1.2.

use std::borrow::Cow;
use std::fmt::Write;

/// Words some YAML reader takes for a truth value, null or a number.
const RESERVED: [&str; 13] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity", "none"];
/// Suffixes of Kubernetes quantities; no YAML reader takes digits before one of them for a number. `E` is left out: `1E` looks like an exponent.
const QUANTITY: [&str; 12] = ["m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// `text` as one YAML scalar on one line, for any place a plain or double-quoted scalar may stand (block or flow, value or key).
pub(super) fn write_scalar(text: &str) -> Cow<'_, str> {
    if is_plain(text) { Cow::Borrowed(text) } else { Cow::Owned(quoted(text)) }
}

fn is_plain(text: &str) -> bool {
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b));
    if word {
        return text.len() <= 128 && !RESERVED.iter().any(|reserved| text.eq_ignore_ascii_case(reserved));
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (1..=18).contains(&digits) && QUANTITY.contains(&&text[digits..])
}

/// Double quotes with escapes both YAML 1.1 and 1.2 know. What a reader could not see, or would see out of order, is escaped too.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if is_hidden(c) => {
                let code = u32::from(c);
                // Writing to a String cannot fail.
                let _ = if code > 0xffff { write!(out, "\\U{code:08x}") } else { write!(out, "\\u{code:04x}") };
            }
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether a character is invisible, a line break, not printable in YAML, or changes the direction of what follows.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{3164}' | '\u{ffa0}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{fdd0}'..='\u{fdef}' | '\u{e0000}'..='\u{e0fff}')
        || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_quantities_stay_plain() {
        for plain in ["web", "platform-team", "kubernetes.io/os", "500m", "10Gi", "ReadWriteOnce", "v1"] {
            assert_eq!(write_scalar(plain), plain);
        }
    }

    #[test]
    fn what_a_reader_could_take_for_something_else_is_quoted() {
        for text in [
            "",
            " ",
            "yes",
            "No",
            "ON",
            "y",
            "null",
            "~",
            "1",
            "1.0",
            "1e3",
            "1E",
            "0x1f",
            "0o7",
            "017",
            "1_000",
            "12:30:45",
            "2026-11-20",
            "-",
            "- a",
            "a: b",
            "a #b",
            "#",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a`",
            "[",
            "{",
            "|",
            ">",
            "?",
            "=",
            "<<",
            ".inf",
            "a,b",
            "ä",
            "-1",
            "+1",
            "1.2Gi",
        ] {
            let written = write_scalar(text);
            assert!(written.starts_with('"') && written.ends_with('"'), "{written}");
        }
    }

    #[test]
    fn line_breaks_and_hidden_characters_are_escaped() {
        assert_eq!(write_scalar("a\nb\r\t\u{0}\u{85}\u{2028}\u{202e}\u{feff}\u{1ffff}"), r#""a\nb\r\t\u0000\u0085\u2028\u202e\ufeff\U0001ffff""#);
    }
}
