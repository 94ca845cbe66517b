//! What an unquoted scalar means, to a YAML 1.1 reader as `kubectl` has it and to a YAML 1.2 reader.
//! <https://yaml.org/type/>, <https://yaml.org/spec/1.2.2/#103-core-schema>

use serde::Serialize;

/// The meaning of an unquoted scalar.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scalar {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number that fits into 64 bits.
    Int(i128),
    /// Any other number, infinities and "not a number" included.
    Float(f64),
    /// Its own text.
    Text,
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scalar::Null => f.write_str("null"),
            Scalar::Bool(flag) => write!(f, "{flag}"),
            Scalar::Int(number) => write!(f, "the number {number}"),
            Scalar::Float(number) => write!(f, "the number {number}"),
            Scalar::Text => f.write_str("text"),
        }
    }
}

/// What `kubectl` makes of it: YAML 1.1 without sexagesimal numbers, and timestamps stay text.
pub(super) fn kubectl(text: &str) -> Scalar {
    let Some(first) = text.bytes().next() else { return Scalar::Null };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => match text {
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Scalar::Bool(true),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Scalar::Bool(false),
            _ => word(text),
        },
        b'.' => infinite(text).unwrap_or_else(|| decimal(text)),
        b'0'..=b'9' | b'+' | b'-' => infinite(text).unwrap_or_else(|| {
            let digits: std::borrow::Cow<str> = if text.contains('_') { text.replace('_', "").into() } else { text.into() };
            prefixed(&digits).unwrap_or_else(|| decimal(&digits))
        }),
        _ => Scalar::Text,
    }
}

/// What YAML 1.2's core schema makes of it.
pub(super) fn core(text: &str) -> Scalar {
    let Some(first) = text.bytes().next() else { return Scalar::Null };
    match first {
        b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'~' => word(text),
        b'.' => infinite(text).unwrap_or_else(|| decimal(text)),
        b'0'..=b'9' | b'+' | b'-' => infinite(text).unwrap_or_else(|| {
            let radix = |digits: &str, radix| whole(digits, radix, false);
            if let Some(digits) = text.strip_prefix("0x") {
                return radix(digits, 16).unwrap_or(Scalar::Text);
            }
            if let Some(digits) = text.strip_prefix("0o") {
                return radix(digits, 8).unwrap_or(Scalar::Text);
            }
            let (negative, digits) = sign(text);
            whole(digits, 10, negative).unwrap_or_else(|| decimal(text))
        }),
        _ => Scalar::Text,
    }
}

fn word(text: &str) -> Scalar {
    match text {
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" => Scalar::Bool(true),
        "false" | "False" | "FALSE" => Scalar::Bool(false),
        _ => Scalar::Text,
    }
}

fn infinite(text: &str) -> Option<Scalar> {
    match text {
        ".nan" | ".NaN" | ".NAN" => Some(Scalar::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(Scalar::Float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => Some(Scalar::Float(f64::NEG_INFINITY)),
        _ => None,
    }
}

fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    }
}

/// A whole number with Go's prefixes: `0x`, `0b`, `0o`, and `0` for octal. None when it is none, or over 64 bits.
fn prefixed(text: &str) -> Option<Scalar> {
    let (negative, digits) = sign(text);
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    whole(digits, radix, negative)
}

fn whole(digits: &str, radix: u32, negative: bool) -> Option<Scalar> {
    // Rust's own parser would take another sign here.
    if digits.is_empty() || !digits.bytes().all(|b| char::from(b).is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    let number = if negative { -magnitude } else { magnitude };
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&number).then_some(Scalar::Int(number))
}

/// A number with a point or an exponent, or a whole one too large for 64 bits; text when it is none or beyond a double.
fn decimal(text: &str) -> Scalar {
    let (_, unsigned) = sign(text);
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let before = digits(unsigned);
    let mut rest = &unsigned[before..];
    let mut after = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        after = digits(fraction);
        rest = &fraction[after..];
    }
    if before + after == 0 {
        return Scalar::Text;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if exponent.is_empty() || digits(exponent) != exponent.len() {
            return Scalar::Text;
        }
    } else if !rest.is_empty() {
        return Scalar::Text;
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map_or(Scalar::Text, Scalar::Float)
}
