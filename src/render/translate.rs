//! The source of a text template checked, and rewritten for the engine: every expression ends in the filter that writes its value.
//! It never renders anything.

use super::lint::{self, Vocabulary};
use super::markdown;
use super::source::{Fault, Kind, Piece, Place, TokenKind, place, scan};
use super::text::TextKind;
use std::ops::Range;

const VOCABULARY: Vocabulary = Vocabulary {
    filters: &[
        "abs",
        "capitalize",
        "default",
        "fence",
        "first",
        "float",
        "get",
        "int",
        "join",
        "last",
        "length",
        "lower",
        "nth",
        "replace",
        "round",
        "str",
        "title",
        "trim",
        "trim_end",
        "trim_start",
        "truncate",
        "upper",
    ],
    functions: &[],
    comprehensions: false,
};
/// The largest source, in bytes.
const MAX_SOURCE: usize = 32 * 1024;
/// The most `~` in one expression: each may add a copy of a value.
const MAX_JOINS: usize = 16;

/// A stretch of the translated source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// It stands in the output as it is.
    Text(Range<usize>),
    /// Names joined by dots, the path of a value.
    Field(Range<usize>, Style),
}

/// How a value is written into Markdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// The author wrapped it in backticks.
    pub(super) code: bool,
    /// The text has tables.
    pub(super) table: bool,
}

/// A source in which every expression ends in the filter that writes its value.
pub(super) struct Translated {
    pub(super) text: String,
    pub(super) parts: Option<Vec<Part>>,
}

/// Checks a template and makes each expression end in the filter that writes its value.
pub(super) fn translate(source: &str, kind: TextKind) -> Result<Translated, Fault> {
    let start = Place { line: 1, column: 1 };
    if source.len() > MAX_SOURCE {
        return Err(Fault::new(start, format!("the template is longer than {MAX_SOURCE} bytes")));
    }
    let pieces = scan(source)?;
    let spans = if kind == TextKind::Markdown { markdown::check(source, &pieces)? } else { Vec::new() };
    let table = kind == TextKind::Markdown && pieces.iter().any(|piece| piece.kind == Kind::Text && piece.inner.contains('|'));
    let mut out = String::with_capacity(source.len() * 2);
    let mut strip = 0;
    // A tag takes the white space around it away, and decides what is there at all.
    let mut parts = pieces.iter().all(|piece| matches!(piece.kind, Kind::Text | Kind::Expression)).then(Vec::new);
    for (at, piece) in pieces.iter().enumerate() {
        let mut faults = Vec::new();
        match piece.kind {
            Kind::Text => {
                let mut text = &piece.inner[strip.min(piece.inner.len())..];
                strip = 0;
                if let Some(ticks) = spans.iter().find(|(next, _)| *next == at + 1).map(|(_, ticks)| *ticks) {
                    text = &text[..text.len() - ticks];
                }
                out.push_str(text);
                if let Some(parts) = &mut parts {
                    parts.push(Part::Text(out.len() - text.len()..out.len()));
                }
            }
            Kind::Comment => strip = vanish(source, piece, &mut out),
            Kind::Tag => {
                tag(source, piece, &mut faults);
                strip = vanish(source, piece, &mut out);
                out.push_str(&format!("{{%{}%}}", lint::guard_joins(piece, source)));
            }
            Kind::Expression => {
                expression(source, piece, kind, &mut faults);
                let code = spans.iter().find(|(index, _)| *index == at);
                strip = code.map_or(0, |(_, ticks)| *ticks);
                let of = super::manifest::literal(piece.inner);
                let guarded = lint::guard_joins(piece, source);
                let inner = guarded.strip_prefix(' ').unwrap_or(&guarded);
                let style = Style { code: code.is_some(), table };
                let start = out.len() + "{{(".len();
                parts = parts.zip(field(piece)).map(|(mut parts, length)| {
                    parts.push(Part::Field(start..start + length, style));
                    parts
                });
                out.push_str(&format!("{{{{({inner})|__text(code={},table={table},of={of})}}}}", style.code));
            }
        }
        if let Some(fault) = faults.into_iter().next() {
            return Err(fault);
        }
    }
    Ok(Translated { text: out, parts })
}

/// The length of the path that is all of an expression: `{{ event.subject }}`, with one space at most before it.
fn field(piece: &Piece<'_>) -> Option<usize> {
    let names = piece.tokens.len() >= 3 && piece.tokens.len() % 2 == 1;
    let alternate = piece.tokens.iter().enumerate().all(|(at, token)| if at % 2 == 0 { token.kind == TokenKind::Name } else { token.is_sign(".") });
    let path = piece.inner.strip_prefix(' ').unwrap_or(piece.inner).trim_end();
    (names && alternate && !path.contains(|c: char| c.is_ascii_whitespace())).then_some(path.len())
}

/// A tag or comment with its line to itself leaves no empty line: gives the bytes of the next text that go with it.
fn vanish(source: &str, piece: &Piece<'_>, out: &mut String) -> usize {
    let start = source[..piece.start].rfind('\n').map_or(0, |at| at + 1);
    let after = &source[piece.end..];
    let rest = after.find('\n').map(|at| at + 1);
    let blank = |text: &str| text.bytes().all(|b| matches!(b, b' ' | b'\n'));
    match rest {
        Some(rest) if blank(&source[start..piece.start]) && blank(&after[..rest]) && out.len() >= piece.start - start => {
            out.truncate(out.len() - (piece.start - start));
            rest
        }
        _ => 0,
    }
}

fn tag(source: &str, piece: &Piece<'_>, faults: &mut Vec<Fault>) {
    let word = piece.tokens.first().map_or("", |token| token.text);
    if !matches!(word, "if" | "elif" | "else" | "endif") {
        faults.push(
            Fault::new(place(source, piece.start), format!("the tag `{word}` is not allowed in a text"))
                .hint("a text has conditions, but no loops, includes or components"),
        );
    }
    lint::tokens(source, piece, piece.tokens.get(1..).unwrap_or_default(), &VOCABULARY, faults);
}

fn expression(source: &str, piece: &Piece<'_>, kind: TextKind, faults: &mut Vec<Fault>) {
    lint::tokens(source, piece, &piece.tokens, &VOCABULARY, faults);
    let here = place(source, piece.start);
    if piece.tokens.iter().filter(|token| token.is_sign("~")).count() > MAX_JOINS {
        faults.push(Fault::new(here, format!("more than {MAX_JOINS} `~` in one expression")));
    }
    if let Some(at) = piece.tokens.iter().position(|token| token.is_name("fence")) {
        let filter = at > 0 && piece.tokens[at - 1].is_sign("|");
        if filter && kind != TextKind::Markdown {
            faults.push(Fault::new(here, "`fence` makes a code block of Markdown").hint("leave it out here"));
        } else if filter && at + 1 < piece.tokens.len() {
            faults.push(Fault::new(here, "`fence` is the last thing in its expression").hint("write {{ value | fence }}"));
        }
    }
}
