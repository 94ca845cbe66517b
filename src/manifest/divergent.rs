//! Characters and lines that YAML readers take differently. Looked for in the text, before any reader of ours sees it.

use super::compose::{at, narrow};
use super::{Place, SyntaxError};
use std::ops::Range;

/// Refuses characters and lines that YAML 1.1 and YAML 1.2 readers, or `kubectl`'s splitter, take differently: behind one of
/// them a whole object can hide from one reader and be applied by another.
pub(super) fn refuse(text: &str) -> Result<(), SyntaxError> {
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        let end = begin + line.len();
        // Nearly every line is plain: that is told without a branch for each byte.
        let printable = |line: &str| line.bytes().fold(true, |all, byte| all & (b' '..=b'~').contains(&byte));
        if line.starts_with("---") || !printable(line.strip_suffix('\n').unwrap_or(line)) {
            refuse_line(text, begin..end)?;
        }
        begin = end;
    }
    Ok(())
}

fn refuse_line(text: &str, line: Range<usize>) -> Result<(), SyntaxError> {
    let bytes = text.as_bytes();
    for offset in line.clone() {
        let byte = &bytes[offset];
        let next = |ahead: usize| bytes.get(offset + ahead).copied().unwrap_or(0);
        let fault = match byte {
            b'\n' | b'\t' | b' '..=b'~' => None,
            b'\r' => (next(1) != b'\n').then_some("a carriage return without a line feed"),
            0..=0x1f | 0x7f => Some("a control character"),
            0xc2 if next(1) < 0xa0 => Some("a control character"),
            0xe2 if next(1) == 0x80 && matches!(next(2), 0xa8 | 0xa9) => Some("a line break that only YAML 1.1 knows"),
            0xef if (next(1), next(2)) == (0xbb, 0xbf) && offset > 0 => Some("a byte order mark inside the text"),
            0xef if next(1) == 0xbf && next(2) >= 0xbe => Some("a character that is none"),
            _ => None,
        };
        if let Some(fault) = fault {
            return Err(at(locate(text, offset), format!("{fault}; write it as an escape in double quotes, such as \"\\u0085\"")));
        }
        if offset == line.start && bytes[offset..].starts_with(b"---") {
            let rest = text[offset + 3..].lines().next().unwrap_or("").trim();
            if !rest.is_empty() && !rest.starts_with('#') {
                return Err(at(locate(text, offset), "nothing but a comment may follow `---` on its line".to_owned()));
            }
        }
    }
    Ok(())
}

/// Whether the anchor that stands between two events, at `from` and before or at `to`, has a name that libyaml would end earlier:
/// it knows letters, digits, `_` and `-`, YAML 1.2 nearly everything. Beside it only indicators, a tag and comments stand there.
pub(super) fn is_odd_anchor(text: &str, from: u32, to: u32) -> bool {
    let (mut rest, to) = (text.get(from as usize..).unwrap_or_default(), to.saturating_sub(from) as usize);
    let whole = rest.len();
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        if whole - rest.len() > to {
            return false;
        }
        if c == '&' {
            let name = rest[1..].split(|c: char| c.is_whitespace() || ",[]{}".contains(c)).next().unwrap_or_default();
            return name.contains(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c)));
        }
        rest = match c {
            '#' if before.is_whitespace() => rest.find('\n').map_or("", |end| &rest[end..]),
            _ => &rest[c.len_utf8()..],
        };
        before = c;
    }
    false
}

fn locate(text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    Place { offset: narrow(offset), line: narrow(line), column: narrow(column) }
}
