//! Percent-encoding, read. <https://www.rfc-editor.org/rfc/rfc3986#section-2.1>

/// The bytes a text stands for; a `%` with no two hexadecimal digits behind it stands for itself.
pub(crate) fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let digit = |place: usize| bytes.get(place).and_then(|digit| char::from(*digit).to_digit(16));
        let escaped = (byte == b'%').then(|| Some(digit(at + 1)? * 16 + digit(at + 2)?)).flatten();
        decoded.push(escaped.and_then(|value| u8::try_from(value).ok()).unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    decoded
}
