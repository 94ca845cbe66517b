//! Secrets in any text, line by line: what stands behind a key that speaks of a secret; and, where a text is not read as YAML (it is a
//! template, or stands in Markdown, or is broken), what looks like the data of a Secret.

use super::words::{is_literal, speaks_of_a_secret};
use super::{Found, pattern};
use regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

/// A key that may speak of a secret, and what is behind it: in quotes, or up to the next space or mark.
static KEYED: LazyLock<Regex> = LazyLock::new(|| {
    let value = r#""((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'|([^\s"',;{}\[\])=][^\s"',;}\])]*)"#;
    pattern(&format!(r#"(?i)([a-z0-9_.-]*(?:pass|pwd|secret|token|key|credential|connection)[a-z0-9_.-]*)\\?["']?[ \t]*[:=][ \t]*\\?(?:{value})"#))
});
/// A variable of an environment.
static VARIABLE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"name["']?:[ \t]*["']?([A-Za-z0-9_.-]+)["']?[ \t]*,?\r?\n?[ \t]*["']?value["']?:[ \t]*([^\n]+)"#));
/// The kind of an object that holds secrets.
static KIND: LazyLock<Regex> = LazyLock::new(|| pattern(r#"kind\\?["']?\s*:\s*\\?["']?(?:Sealed)?Secret(?:List)?(?:[^A-Za-z0-9_-]|$)"#));
/// Where its data begins: the indentation, and what stands on the same line.
static DATA: LazyLock<Regex> = LazyLock::new(|| pattern(r#"^([\s>#-]*)["']?(?:data|stringData|encryptedData|sops)["']?:[ \t]*(.*)$"#));
/// The same within braces.
static DATA_IN_BRACES: LazyLock<Regex> = LazyLock::new(|| pattern(r#"["']?(?:data|stringData|encryptedData)\\?["']?\s*:\s*\{([^}]*)\}"#));
/// A key and what is behind it.
static ENTRY: LazyLock<Regex> = LazyLock::new(|| pattern(r#"^[\s>#-]*(?:"[^"]*"|'[^']*'|[^\s:"'][^\s:]*):(?:[ \t]+(.*))?$"#));

/// Finds what stands behind telling keys; `read` where the text was read as YAML, so that its Secrets are found already.
pub(super) fn find(text: &str, read: bool, found: &mut Vec<Found>) {
    for hit in KEYED.captures_iter(text) {
        let (key, value) = (&hit[1], hit.get(2).or_else(|| hit.get(3)).or_else(|| hit.get(4)));
        let in_environment = !key.bytes().any(|byte| byte.is_ascii_lowercase());
        found.extend(
            value.filter(|value| speaks_of_a_secret(key, !in_environment) && is_literal(value.as_str())).map(|value| Found::at(value.range())),
        );
    }
    if read {
        return;
    }
    for hit in VARIABLE.captures_iter(text) {
        let value = hit.get(2).filter(|value| speaks_of_a_secret(&hit[1], false) && is_literal(value.as_str()));
        found.extend(value.map(|value| Found::at(trimmed(text, value.range()))));
    }
    for part in parts(text) {
        let slice = &text[part.clone()];
        if KIND.is_match(slice) || slice.contains("ENC[") {
            data(text, part, found);
        }
    }
}

/// Whether a text holds, or may hold, a Secret with its data.
pub(super) fn holds_a_secret(text: &str) -> bool {
    ["data", "Data", "items"].iter().any(|word| text.contains(word)) && KIND.is_match(text)
}

/// Documents of YAML, and what stands between fences of Markdown.
fn parts(text: &str) -> Vec<Range<usize>> {
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        if line.starts_with("---") || line.trim_start().starts_with("```") {
            parts.push(start..at);
            start = at;
        }
        at += line.len();
    }
    parts.push(start..at);
    parts
}

/// The values of the data of Secrets in a part of the text.
fn data(text: &str, part: Range<usize>, found: &mut Vec<Found>) {
    found.extend(
        DATA_IN_BRACES
            .captures_iter(&text[part.clone()])
            .filter_map(|hit| hit.get(1))
            .map(|hit| Found::at(trimmed(text, part.start + hit.start()..part.start + hit.end()))),
    );
    // How far the key of the data is indented, and its entries, once there is one.
    let (mut of_data, mut of_entries) = (None::<usize>, None::<usize>);
    let mut at = part.start;
    for line in text[part].split_inclusive('\n') {
        let (begin, content) = (at, line.trim_end());
        at += line.len();
        if content.trim().is_empty() {
            continue;
        }
        let indent = content.len() - content.trim_start_matches([' ', '\t', '-', '#', '>']).len();
        if of_data.is_some_and(|data| indent > data) {
            let entry = *of_entries.get_or_insert(indent);
            let value = match ENTRY.captures(content).filter(|_| indent == entry) {
                Some(entry) => {
                    entry.get(1).map(|value| value.range()).filter(|value| !matches!(&content[value.clone()], "|" | ">" | "|-" | ">-" | "|+" | ">+"))
                }
                None => Some(indent..content.len()),
            };
            found.extend(value.map(|value| Found::at(trimmed(text, begin + value.start..begin + value.end))));
            continue;
        }
        (of_data, of_entries) = (None, None);
        if let Some(key) = DATA.captures(content) {
            of_data = Some(indent);
            let rest = key.get(2).filter(|rest| !rest.as_str().is_empty() && !rest.as_str().starts_with(['#', '{', '|', '>']));
            found.extend(rest.map(|rest| Found::at(trimmed(text, begin + rest.start()..begin + rest.end()))));
        }
    }
}

/// The range without the white space and the quotes around what stands there.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let written = &text[range.clone()];
    let begin = written.len() - written.trim_start_matches([' ', '\t', '\r', '\n', '"', '\'']).len();
    let end = written.trim_end_matches([' ', '\t', '\r', '\n', '"', '\'', ',']).len();
    range.start + begin..range.start + end.max(begin)
}
