//! Values that are known to be secret, wherever and however they stand: as they are, in base64 at any alignment, escaped in an address or in JSON.

use super::Found;
use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::collections::BTreeSet;

/// Shorter values are not looked for.
const SHORTEST: usize = 4;
/// Shorter pieces of base64 stand in too many places.
const SHORTEST_ENCODED: usize = 8;
/// A line of a longer value that is looked for by itself.
const SHORTEST_LINE: usize = 12;
/// Values that are looked for, at most, and their bytes together.
const MAX_VALUES: usize = 4_096;
const MAX_BYTES: usize = 4 << 20;

/// The values, ready to be found.
#[derive(Default)]
pub(super) struct Known {
    values: BTreeSet<String>,
    bytes: usize,
    automaton: Option<(AhoCorasick, Vec<Form>)>,
}

/// A way in which a value may be written.
struct Form {
    text: String,
    value: String,
    /// A piece of base64: what stands around it belongs to it.
    encoded: bool,
}

impl Known {
    /// Adds values; those that are known, too short or too many are passed over.
    pub(super) fn add<'v>(&mut self, values: impl Iterator<Item = &'v str>) {
        let before = self.values.len();
        for value in values {
            let lines = value.lines().filter(|line| value.contains('\n') && line.trim().len() >= SHORTEST_LINE);
            for value in std::iter::once(value).chain(lines).map(str::trim) {
                if value.len() < SHORTEST || self.values.len() >= MAX_VALUES || self.bytes + value.len() > MAX_BYTES {
                    continue;
                }
                if self.values.insert(value.to_owned()) {
                    self.bytes += value.len();
                }
            }
        }
        if self.values.len() > before {
            let forms: Vec<Form> = self.values.iter().flat_map(|value| forms(value)).collect();
            // It fails with far more patterns than are kept.
            self.automaton = AhoCorasick::new(forms.iter().map(|form| &form.text)).ok().map(|automaton| (automaton, forms));
        }
    }

    /// The memory it takes, about, in bytes.
    pub(super) fn weight(&self) -> usize {
        let forms = |(automaton, forms): &(AhoCorasick, Vec<Form>)| {
            automaton.memory_usage() + forms.iter().map(|form| form.text.len() + form.value.len() + size_of::<Form>()).sum::<usize>()
        };
        self.bytes + self.automaton.as_ref().map_or(0, forms)
    }

    /// Every place where one of the values stands.
    pub(super) fn find(&self, text: &str, found: &mut Vec<Found>) {
        let Some((automaton, forms)) = &self.automaton else { return };
        // The run of base64 that was found last: one that holds many values is walked through once.
        let mut run = 0..0;
        for hit in automaton.find_overlapping_iter(text) {
            let form = &forms[hit.pattern().as_usize()];
            if !form.encoded {
                found.push(Found { range: hit.range(), value: Some(form.value.clone()) });
            } else if hit.end() > run.end {
                let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte);
                let before = text.as_bytes()[run.end.min(hit.start())..hit.start()].iter().rev().take_while(|byte| is_base64(byte)).count();
                let behind = text.as_bytes()[hit.end()..].iter().take_while(|byte| is_base64(byte)).count();
                run = hit.start() - before..hit.end() + behind;
                found.push(Found::at(run.clone()));
            }
        }
        if text.contains('%') {
            let (decoded, places) = unescaped(text);
            for hit in automaton.find_overlapping_iter(&decoded) {
                let range = places[hit.start()]..places[hit.end()];
                // Where nothing was escaped it is found above.
                if range.len() > hit.range().len() {
                    let range = text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end);
                    found.push(Found { range, value: Some(forms[hit.pattern().as_usize()].value.clone()) });
                }
            }
        }
    }
}

/// The text with what is escaped as in an address as it is meant, and where each byte of that begins in the text.
/// <https://www.rfc-editor.org/rfc/rfc3986#section-2.1>
fn unescaped(text: &str) -> (Vec<u8>, Vec<usize>) {
    let (bytes, mut decoded, mut places, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), Vec::with_capacity(text.len() + 1), 0);
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
    while at < bytes.len() {
        places.push(at);
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high * 16 + low);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    places.push(at);
    (decoded, places)
}

fn forms(value: &str) -> Vec<Form> {
    let plain = |text: String| Form { text, value: value.to_owned(), encoded: false };
    let mut forms = vec![plain(value.to_owned())];
    let json = serde_json::Value::from(value).to_string();
    forms.push(plain(json[1..json.len() - 1].to_owned()));
    if value.contains(' ') {
        forms.push(plain(value.replace(' ', "+")));
    }
    for before in 0..3 {
        let text = encoded(value, before);
        let pieces = [text.replace('+', "-").replace('/', "_"), text];
        forms.extend(pieces.into_iter().filter(|text| text.len() >= SHORTEST_ENCODED).map(|text| Form { encoded: true, ..plain(text) }));
    }
    forms
}

/// The characters of base64 that the value alone decides when so many other bytes stand before it.
fn encoded(value: &str, before: usize) -> String {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(value.as_bytes());
    let text = STANDARD_NO_PAD.encode(&bytes);
    let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    text.get(first..last).unwrap_or_default().to_owned()
}
