//! What leaves for a model is freed of secrets first: each becomes a placeholder that is the same wherever the value stands within one
//! draft. It is better to withhold too much than too little, but manifests without secrets come through as they are.
//! It never says what it withheld.

mod known;
mod lines;
mod manifests;
mod random;
mod shapes;
mod words;
#[cfg(test)]
mod tests;

use hmac::{Hmac, KeyInit, Mac};
use known::Known;
use regex::Regex;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use std::ops::Range;
use std::sync::LazyLock;

/// How a placeholder begins, and what follows: 12 hexadecimal digits and [`END`].
const BEGIN: &str = "⟦withheld:";
/// How a placeholder ends.
const END: char = '⟧';

static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| pattern("⟦withheld:[0-9a-f]{12}⟧"));

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// YAML or JSON, read as manifests as far as it can be.
    Manifest,
    /// Anything else.
    Other,
}

/// Withholds secrets in everything one draft sends. It remembers what it found in Secrets, so that the same value is withheld in other texts too.
pub struct Redactor {
    salt: Vec<u8>,
    patterns: Vec<Regex>,
    known: Known,
    /// Ids of ours that look random, and are no secret.
    own: Vec<String>,
}

/// A stretch of a text that must not leave, and the value it holds where that is written otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    range: Range<usize>,
    value: Option<String>,
}

impl Found {
    fn at(range: Range<usize>) -> Self {
        Self { range, value: None }
    }
}

impl Redactor {
    /// A redactor for a draft. `salt` is the draft's own; what one of `patterns` matches is withheld, its first group alone where it has one;
    /// `secrets` are values that are withheld wherever they stand, in base64 and in addresses too. Of those shorter than
    /// 4 bytes nothing is withheld: they would tear up any text.
    pub fn new(salt: &str, patterns: Vec<Regex>, secrets: &[SecretString]) -> Self {
        let mut known = Known::default();
        known.add(secrets.iter().map(|secret| secret.expose_secret()));
        Self { salt: salt.as_bytes().to_vec(), patterns, known, own: Vec::new() }
    }

    /// The same that does not take these ids for secrets because they look random. Only exactly these: what else stands with one of them is
    /// looked at without it.
    #[must_use]
    pub fn knowing(self, own: Vec<String>) -> Self {
        Self { own, ..self }
    }

    /// The text without what must not leave, with as many lines. Takes time in proportion to the text. Given what it gave before, it changes nothing.
    pub fn redact(&mut self, text: &str, kind: TextKind) -> String {
        let mut found = Vec::new();
        let read = kind == TextKind::Manifest && manifests::find(text, &mut found);
        // What stands in a Secret is withheld in the rest of the text, and in every text to come.
        self.known.add(found.iter().filter_map(|found| found.value.as_deref()).filter(|value| words::is_worth_remembering(value)));
        lines::find(text, read, &mut found);
        shapes::find(text, &mut found);
        random::find(text, &self.own, &mut found);
        self.known.find(text, &mut found);
        for pattern in &self.patterns {
            found.extend(
                pattern.captures_iter(text).filter_map(|captures| captures.get(1).or_else(|| captures.get(0))).map(|hit| Found::at(hit.range())),
            );
        }
        self.replace(text, found)
    }

    /// The memory that what it remembers takes, about, in bytes.
    pub fn weight(&self) -> usize {
        self.known.weight()
    }

    fn replace(&self, text: &str, mut found: Vec<Found>) -> String {
        found.retain(|found| !found.range.is_empty());
        found.sort_by_key(|found| (found.range.start, std::cmp::Reverse(found.range.end)));
        let mut merged: Vec<Found> = Vec::new();
        for next in found {
            match merged.last_mut().filter(|last| next.range.start < last.range.end) {
                Some(last) if next.range.end <= last.range.end => {
                    if next.range == last.range {
                        last.value = last.value.take().or(next.value);
                    }
                }
                Some(last) => *last = Found::at(last.range.start..next.range.end),
                None => merged.push(next),
            }
        }
        let mut before = PLACEHOLDER.find_iter(text).map(|hit| hit.range()).peekable();
        let (mut redacted, mut done) = (String::with_capacity(text.len()), 0);
        for Found { range, value } in merged {
            while before.next_if(|one| one.end <= range.start).is_some() {}
            if before.peek().is_some_and(|one| one.start <= range.start && range.end <= one.end) {
                continue;
            }
            redacted.push_str(&text[done..range.start]);
            let withheld = &text[range.clone()];
            redacted.push_str(&self.placeholder(value.as_deref().unwrap_or(withheld)));
            // What stands below keeps its line.
            redacted.extend(withheld.chars().filter(|c| *c == '\n'));
            done = range.end;
        }
        redacted.push_str(&text[done..]);
        redacted
    }

    fn placeholder(&self, value: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.salt) else { return format!("{BEGIN}{}{END}", "0".repeat(12)) };
        mac.update(value.as_bytes());
        let digest = hex::encode(mac.finalize().into_bytes());
        format!("{BEGIN}{}{END}", &digest[..12])
    }
}

/// A pattern of this module's own.
#[expect(clippy::expect_used, reason = "the patterns are literals of this module, and every one is compiled by its tests")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern")
}
