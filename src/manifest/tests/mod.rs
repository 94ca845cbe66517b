//! The reader, its positions, the scalar writer and the diff, held against two other YAML readers.

mod differences;
mod edits;
pub(crate) mod edits_at_random;
mod operations;
mod reading;
mod scalars;

use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn read(text: &str) -> Vec<Document> {
    parse(text, Limits::default()).unwrap_or_else(|error| panic!("{error} in {text:?}"))
}

fn read_one(text: &str) -> Value {
    let mut documents = read(text);
    assert_eq!(documents.len(), 1, "{text:?}");
    documents.remove(0).value
}

fn refusal(text: &str) -> SyntaxError {
    parse(text, Limits::default()).err().unwrap_or_else(|| panic!("{text:?} was read"))
}

/// Text of every nasty shape: indicators, numbers, words, line breaks, characters that hide or reorder.
fn nasty() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[-+.0-9eExXoOaAbB_:, ]{0,12}",
        "[ynosftruealYNOSFTRUEAL~]{0,5}",
        "[-?:,\\[\\]{}#&*!|>'\"%@`<=~ \\n\\t\\r\\\\a]{0,16}",
        prop::collection::vec(
            prop::sample::select(vec![
                '\0',
                '\u{7}',
                '\u{7f}',
                '\u{85}',
                '\u{a0}',
                '\u{ad}',
                '\u{200b}',
                '\u{200d}',
                '\u{2028}',
                '\u{2029}',
                '\u{202e}',
                '\u{feff}',
                '\u{fffe}',
                '\u{ffff}',
                '\u{d7ff}',
                '\u{e000}',
                '\u{1f600}',
                '\u{1fffe}',
                '\u{e0041}',
                '\u{10ffff}',
                ' ',
                '\n',
                '\r',
                '\\',
                '"',
                'x',
                ':',
                '#',
                '-',
            ]),
            0..12
        )
        .prop_map(|characters| characters.into_iter().collect()),
        prop::sample::select(vec![
            "---",
            "...",
            "- a",
            "a: b",
            "a #b",
            "<<",
            "=",
            "!!str x",
            "&a",
            "*a",
            "|",
            ">-",
            "0x1F",
            "0o17",
            "0b1",
            "0644",
            "1_000",
            "1e3",
            "1:30",
            "190:20:30.15",
            ".inf",
            "-.INF",
            ".nan",
            "2026-01-01",
            "2001-12-14t21:59:43.10-05:00",
            "null",
            "Null",
            "True",
            "y",
            "N",
            "Off",
            "{{ x }}",
            "a\nb: c",
            "a\n---\nkind: Secret",
            "%YAML 1.1",
            "infinity",
            "NaN",
        ])
        .prop_map(str::to_owned),
    ]
}
