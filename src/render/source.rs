//! A template's source cut into text, expressions, tags and comments, with their places.
//! It cuts exactly where Tera cuts; it judges little and renders nothing.

/// A place in a file, line and column from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub line: u32,
    pub column: u32,
}

/// Something wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub at: Place,
    pub message: String,
    pub hint: Option<String>,
}

impl Fault {
    pub fn new(at: Place, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Expression,
    Tag,
    Comment,
}

/// A stretch of the source. `inner` is what stands between the delimiters; for text, the text itself.
#[derive(Debug, Clone)]
pub(super) struct Piece<'s> {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
    pub inner: &'s str,
    pub tokens: Vec<Token<'s>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Name,
    Text,
    Number,
    Sign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'s> {
    pub kind: TokenKind,
    pub text: &'s str,
    pub start: usize,
}

impl Token<'_> {
    pub fn is_sign(&self, sign: &str) -> bool {
        self.kind == TokenKind::Sign && self.text == sign
    }

    pub fn is_name(&self, name: &str) -> bool {
        self.kind == TokenKind::Name && self.text == name
    }

    /// The value of a string token, when it holds no escapes.
    pub fn literal(&self) -> Option<&str> {
        (self.kind == TokenKind::Text && !self.text.contains('\\')).then(|| &self.text[1..self.text.len() - 1])
    }
}

/// The place of byte `offset` in `source`.
pub(super) fn place(source: &str, offset: usize) -> Place {
    let before = &source[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: count(before.matches('\n').count() + 1), column: count(before[line_start..].chars().count() + 1) }
}

/// Cuts `source` into pieces that together are all of it.
pub(super) fn scan(source: &str) -> Result<Vec<Piece<'_>>, Fault> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < source.len() {
        let start = source.as_bytes()[at..].windows(2).position(|w| matches!(w, b"{{" | b"{%" | b"{#")).map_or(source.len(), |found| at + found);
        if start > at {
            pieces.push(Piece { kind: Kind::Text, start: at, end: start, inner: &source[at..start], tokens: Vec::new() });
        }
        if start == source.len() {
            break;
        }
        let piece = match source.as_bytes()[start + 1] {
            b'#' => comment(source, start)?,
            b'%' => code(source, start, Kind::Tag, "%}")?,
            _ => code(source, start, Kind::Expression, "}}")?,
        };
        at = piece.end;
        pieces.push(piece);
    }
    Ok(pieces)
}

fn comment(source: &str, start: usize) -> Result<Piece<'_>, Fault> {
    let body = start + 2;
    let length = source[body..].find("#}").ok_or_else(|| Fault::new(place(source, start), "the comment is not closed").hint("close it with `#}`"))?;
    Ok(Piece { kind: Kind::Comment, start, end: body + length + 2, inner: &source[body..body + length], tokens: Vec::new() })
}

fn code<'s>(source: &'s str, start: usize, kind: Kind, close: &str) -> Result<Piece<'s>, Fault> {
    let body = start + 2;
    let mut tokens = Vec::new();
    let mut at = body;
    loop {
        let rest = &source[at..];
        let Some(first) = rest.chars().next() else {
            return Err(Fault::new(place(source, start), format!("the {} is not closed", if kind == Kind::Tag { "tag" } else { "expression" }))
                .hint(format!("close it with `{close}`")));
        };
        if rest.starts_with(close) {
            return Ok(Piece { kind, start, end: at + 2, inner: &source[body..at], tokens });
        }
        if first.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let (kind, length) = match first {
            '"' | '\'' | '`' => (TokenKind::Text, string_length(rest).ok_or_else(|| Fault::new(place(source, at), "the string is not closed"))?),
            '0'..='9' => (TokenKind::Number, rest.bytes().take_while(u8::is_ascii_digit).count()),
            c if c == '_' || c.is_ascii_alphabetic() => {
                (TokenKind::Name, rest.bytes().take_while(|b| *b == b'_' || b.is_ascii_alphanumeric()).count())
            }
            c => (TokenKind::Sign, c.len_utf8()),
        };
        tokens.push(Token { kind, text: &rest[..length], start: at });
        at += length;
    }
}

/// The length of the string literal `rest` begins with, quotes included.
fn string_length(rest: &str) -> Option<usize> {
    let quote = rest.as_bytes()[0];
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if byte == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}
