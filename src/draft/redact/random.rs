//! Strings that look drawn at random, as keys and tokens do. The rule: a run of base64's characters with a stretch of at least 16 letters
//! and digits in which upper case, lower case and digits follow one another as they do by chance and never in words. Hexadecimal numbers are
//! left alone (commits, image digests, checksums, UUIDs), and so is what stands behind the name of a digest.

use super::{Found, pattern};
use regex::Regex;
use std::sync::LazyLock;

/// Shorter stretches are names more often than keys.
const SHORTEST: usize = 16;
/// A stretch of one case and digits must be this long.
const SHORTEST_OF_ONE_CASE: usize = 24;
/// A stretch has at least so many different characters.
const DIFFERENT: usize = 9;

static RUN: LazyLock<Regex> = LazyLock::new(|| pattern("[A-Za-z0-9+/=_-]{16,}"));
static DIGEST: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:sha(?:1|256|384|512)[:-]|h1:)$"));

/// Every run that looks random also without the ids that are our own.
pub(super) fn find(text: &str, own: &[String], found: &mut Vec<Found>) {
    for run in RUN.find_iter(text) {
        // `sha256-<base64>` is one run; of `sha256:<base64>` the name stands before it.
        let before = &text.as_bytes()[run.start().saturating_sub(7)..run.start()];
        let named = std::str::from_utf8(before).is_ok_and(|before| DIGEST.is_match(before));
        let integrity = ["sha256-", "sha384-", "sha512-", "sha1-"].iter().any(|name| run.as_str().starts_with(name));
        let rest = own.iter().filter(|id| run.as_str().contains(id.as_str())).fold(run.as_str().to_owned(), |rest, id| rest.replace(id.as_str(), ""));
        let stretches = || rest.split(|c: char| !c.is_ascii_alphanumeric());
        // A key in base64 may have a `/` anywhere; words between slashes do not look like one.
        let joined = || rest.split(['-', '_']).any(|part| part.contains(['/', '+']) && looks_drawn(&part.replace(['/', '+', '='], "")));
        if !named && !integrity && (stretches().any(is_random) || joined()) {
            found.push(Found::at(run.range()));
        }
    }
}

/// Whether it has all of base64's letters and digits in the order of chance.
fn looks_drawn(text: &str) -> bool {
    [|byte: u8| byte.is_ascii_uppercase(), |byte: u8| byte.is_ascii_lowercase(), |byte: u8| byte.is_ascii_digit()]
        .iter()
        .all(|is| text.bytes().any(is))
        && is_random(text)
}

/// Whether letters and digits follow one another as they do by chance: among those of base64 six of ten differ in kind from the one before.
fn is_random(stretch: &str) -> bool {
    if stretch.len() < SHORTEST || is_hexadecimal(stretch) {
        return false;
    }
    let kinds: Vec<u8> = stretch.bytes().map(kind).collect();
    let changes = kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let has = |wanted: u8| kinds.contains(&wanted);
    let mut different = [false; 128];
    stretch.bytes().for_each(|byte| different[usize::from(byte & 0x7f)] = true);
    let share = |least: usize| changes * 100 >= kinds.len() * least;
    different.iter().filter(|seen| **seen).count() >= DIFFERENT
        && match (has(0), has(1), has(2)) {
            (true, true, true) => share(34),
            (true, true, false) => share(40),
            (false, false, _) => false,
            _ => stretch.len() >= SHORTEST_OF_ONE_CASE && share(25),
        }
}

/// Upper case, lower case, a digit.
fn kind(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => 0,
        b'a'..=b'z' => 1,
        _ => 2,
    }
}

fn is_hexadecimal(text: &str) -> bool {
    let digits = |letters: std::ops::RangeInclusive<u8>| text.bytes().all(|byte| byte.is_ascii_digit() || letters.contains(&byte));
    digits(b'a'..=b'f') || digits(b'A'..=b'F')
}
