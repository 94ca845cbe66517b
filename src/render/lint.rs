//! What may stand inside `{{ }}` and `{% %}`: known filters, functions and tests, nothing that switches escaping off.
//! It looks at tokens only; what the text around them must look like is decided by the manifest and text rules.

use super::source::{Fault, Piece, Token, TokenKind, place};

/// What expressions of one kind of template may use.
pub(super) struct Vocabulary {
    pub filters: &'static [&'static str],
    pub functions: &'static [&'static str],
    /// Whether `[x for x in list]` is allowed.
    pub comprehensions: bool,
}

const TESTS: [&str; 17] = [
    "array",
    "bool",
    "containing",
    "defined",
    "divisible_by",
    "ending_with",
    "even",
    "float",
    "integer",
    "iterable",
    "map",
    "none",
    "number",
    "odd",
    "starting_with",
    "string",
    "undefined",
];
/// Filters that make "safe" strings, or HTML, which has no business in a manifest.
const UNSAFE: [&str; 5] = ["safe", "escape", "escape_html", "escape_xml", "newlines_to_br"];

/// How deep an expression's own loops go: 1 when it holds a list comprehension.
pub(super) fn comprehension_depth(tokens: &[Token<'_>]) -> usize {
    usize::from(tokens.iter().enumerate().any(|(at, token)| token.is_name("for") && (at == 0 || !tokens[at - 1].is_sign("."))))
}

/// Checks the tokens of an expression, or those of a tag after its first word.
pub(super) fn tokens(source: &str, piece: &Piece<'_>, tokens: &[Token<'_>], vocabulary: &Vocabulary, faults: &mut Vec<Fault>) {
    if piece.inner.starts_with('-') || piece.inner.ends_with('-') {
        faults.push(
            Fault::new(place(source, piece.start), "white space control (`-`) is not allowed")
                .hint("leave the `-` out: a line that holds nothing but a tag leaves no trace in the output"),
        );
    }
    for (at, token) in tokens.iter().enumerate() {
        let previous = at.checked_sub(1).map(|before| &tokens[before]);
        let here = place(source, token.start);
        if token.is_sign("<") && starts_component(tokens, at) {
            faults.push(
                Fault::new(here, "a component stands alone: its result is YAML of several lines and cannot be part of an expression")
                    .hint("write `{{ <name argument={value} /> }}` on a line of its own"),
            );
        }
        if token.kind != TokenKind::Name || previous.is_some_and(|p| p.is_sign(".")) {
            continue;
        }
        if token.text.starts_with("__") {
            faults.push(Fault::new(here, format!("`{}`: names that begin with `__` are the engine's own", token.text)));
        } else if token.is_name("for") && !vocabulary.comprehensions {
            faults.push(Fault::new(here, "loops are not allowed here").hint("use `join`, `first`, `last` or `length`"));
        } else if previous.is_some_and(|p| p.is_sign("|")) {
            filter(here, token.text, vocabulary, faults);
        } else if is_test(tokens, at) {
            if !TESTS.contains(&token.text) {
                faults.push(Fault::new(here, format!("there is no test `{}`", token.text)).hint(format!("tests are {}", TESTS.join(", "))));
            }
        } else if tokens.get(at + 1).is_some_and(|next| next.is_sign("(")) && !is_keyword(token.text) && !vocabulary.functions.contains(&token.text) {
            let known = if vocabulary.functions.is_empty() { "none are".to_owned() } else { vocabulary.functions.join(" and ") };
            faults.push(
                Fault::new(here, format!("there is no function `{}`", token.text))
                    .hint(format!("templates have no access to the environment, the clock or files; functions allowed here: {known}")),
            );
        }
    }
}

fn filter(here: super::source::Place, name: &str, vocabulary: &Vocabulary, faults: &mut Vec<Fault>) {
    if vocabulary.filters.contains(&name) {
        return;
    }
    let fault = Fault::new(here, format!("the filter `{name}` is not allowed"));
    faults.push(if UNSAFE.contains(&name) {
        fault.hint("every value is written as data; nothing switches that off")
    } else {
        fault.hint(format!("filters are {}", vocabulary.filters.join(", ")))
    });
}

fn is_test(tokens: &[Token<'_>], at: usize) -> bool {
    let before = |n: usize| at.checked_sub(n).map(|index| &tokens[index]);
    let is =
        |token: Option<&Token<'_>>, beyond: Option<&Token<'_>>| token.is_some_and(|t| t.is_name("is")) && !beyond.is_some_and(|t| t.is_sign("."));
    (is(before(1), before(2)) && !tokens[at].is_name("not")) || (before(1).is_some_and(|t| t.is_name("not")) && is(before(2), before(3)))
}

fn is_keyword(name: &str) -> bool {
    matches!(name, "if" | "else" | "elif" | "and" | "or" | "not" | "in" | "is" | "for")
}

/// Whether the `<` at `at` begins a component rather than compares: nothing a value could end with stands before it.
fn starts_component(tokens: &[Token<'_>], at: usize) -> bool {
    let named = tokens.get(at + 1).is_some_and(|next| next.kind == TokenKind::Name);
    let operand = at.checked_sub(1).map(|before| &tokens[before]).is_some_and(|p| match p.kind {
        TokenKind::Text | TokenKind::Number => true,
        TokenKind::Name => !is_keyword(p.text),
        TokenKind::Sign => matches!(p.text, ")" | "]" | "}"),
    });
    named && !operand
}

/// The piece's inner text with every operand of `~` passed through the engine's `__joined`: by itself `~` takes a missing value for an empty text.
pub(super) fn guard_joins(piece: &Piece<'_>, source: &str) -> String {
    let tokens = &piece.tokens;
    let inner = piece.start + 2;
    let mut ends: Vec<(usize, usize)> = Vec::new();
    for (at, _) in tokens.iter().enumerate().filter(|(_, token)| token.is_sign("~")) {
        let left = operand_start(tokens, at);
        let right = operand_end(tokens, at + 1);
        for (from, to) in [(left, at), (at + 1, right)] {
            let literal = to == from + 1 && matches!(tokens[from].kind, TokenKind::Text | TokenKind::Number);
            if from < to && !literal {
                ends.push((tokens[from].start, tokens[to - 1].start + tokens[to - 1].text.len()));
            }
        }
    }
    ends.sort_unstable_by_key(|(_, end)| *end);
    ends.dedup_by_key(|(_, end)| *end);
    let mut out = String::with_capacity(piece.inner.len() + ends.len() * 32);
    let mut done = 0;
    for (start, end) in ends {
        out.push_str(&piece.inner[done..end - inner]);
        out.push_str(&format!("|__joined(of={})", super::manifest::literal(&source[start..end])));
        done = end - inner;
    }
    out.push_str(&piece.inner[done..]);
    out
}

/// The token after the operand that begins at `at`: the next operator, keyword or closing bracket on its own level.
fn operand_end(tokens: &[Token<'_>], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        if depth == 0 && index > at && ends_operand(tokens, index) {
            return index;
        }
        match token.text {
            "(" | "[" | "{" if token.kind == TokenKind::Sign => depth += 1,
            ")" | "]" | "}" if token.kind == TokenKind::Sign => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return index,
            },
            _ => {}
        }
    }
    tokens.len()
}

/// Where the operand that ends before `at` begins; it only serves the wording of an error.
fn operand_start(tokens: &[Token<'_>], at: usize) -> usize {
    let mut depth = 0_usize;
    for index in (0..at).rev() {
        let token = &tokens[index];
        match token.text {
            ")" | "]" | "}" if token.kind == TokenKind::Sign => depth += 1,
            "(" | "[" | "{" if token.kind == TokenKind::Sign => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return index + 1,
            },
            _ if depth == 0 && ends_operand(tokens, index) => return index + 1,
            _ => {}
        }
    }
    0
}

fn ends_operand(tokens: &[Token<'_>], at: usize) -> bool {
    let token = &tokens[at];
    match token.kind {
        TokenKind::Name => is_keyword(token.text) && !at.checked_sub(1).is_some_and(|before| tokens[before].is_sign(".")),
        TokenKind::Sign => matches!(token.text, "~" | "+" | "-" | "*" | "/" | "%" | "," | "=" | "!" | "<" | ">" | ":" | ")" | "]" | "}"),
        TokenKind::Text | TokenKind::Number => false,
    }
}

/// The name and the inner tokens of an expression that is one component call, `<name a={x} />`, and nothing else.
pub(super) fn component_call<'t, 's>(tokens: &'t [Token<'s>]) -> Option<(String, &'t [Token<'s>])> {
    let [first, inner @ .., slash, last] = tokens else { return None };
    if !(first.is_sign("<") && slash.is_sign("/") && last.is_sign(">")) {
        return None;
    }
    let mut depth = 0_usize;
    for (at, token) in inner.iter().enumerate() {
        match token.text {
            "{" if token.kind == TokenKind::Sign => depth += 1,
            "}" if token.kind == TokenKind::Sign => depth = depth.checked_sub(1)?,
            // A second component, or the end of the first one, before the end of the expression.
            "/" if token.kind == TokenKind::Sign && depth == 0 && inner.get(at + 1).is_none_or(|next| next.is_sign(">")) => return None,
            _ => {}
        }
    }
    let (name, used) = dotted_name(inner)?;
    (depth == 0).then(|| (name, &inner[used..]))
}

/// A component's name, `labels` or `pod.security`, and how many tokens it takes.
pub(super) fn dotted_name(tokens: &[Token<'_>]) -> Option<(String, usize)> {
    let mut name = tokens.first().filter(|t| t.kind == TokenKind::Name)?.text.to_owned();
    let mut used = 1;
    while let [dot, part, ..] = &tokens[used..] {
        if !(dot.is_sign(".") && part.kind == TokenKind::Name) {
            break;
        }
        name.push('.');
        name.push_str(part.text);
        used += 2;
    }
    Some((name, used))
}
