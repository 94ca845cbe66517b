//! Which parameters a template's source reads, held against its schema: a misspelled one would be missing in every request.
//! It looks at tokens only, and says nothing where a name may mean something else.

use super::source::{Fault, Kind, Token, TokenKind, place, scan};
use crate::types::nearest;
use serde_json::{Map, Value};

/// A fault for each `parameters.name` of which the schema says that nobody can give it.
pub(super) fn check(source: &str, schema: &Value) -> Vec<Fault> {
    // `additionalProperties` is false in every template's schema; patterns would allow names that stand nowhere.
    let closed = schema.get("patternProperties").is_none();
    let Ok(pieces) = scan(source) else { return Vec::new() };
    let code: Vec<&[Token<'_>]> =
        pieces.iter().filter(|piece| matches!(piece.kind, Kind::Expression | Kind::Tag)).map(|piece| piece.tokens.as_slice()).collect();
    if !closed || code.iter().any(|tokens| rebinds(tokens)) {
        return Vec::new();
    }
    let nothing = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&nothing);
    let reads = code.iter().flat_map(|tokens| reads(tokens));
    reads.filter(|(name, _)| !properties.contains_key(*name)).map(|(name, at)| unknown(source, name, at, properties)).collect()
}

fn unknown(source: &str, name: &str, at: usize, properties: &Map<String, Value>) -> Fault {
    let known = || properties.keys().map(String::as_str);
    let hint = match nearest(name, known()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if properties.is_empty() => "params.schema.json has no parameters".to_owned(),
        None => format!("params.schema.json has: {}", known().collect::<Vec<_>>().join(", ")),
    };
    Fault::new(place(source, at), format!("there is no parameter `{name}`, and params.schema.json allows no others than its own")).hint(hint)
}

/// Whether the name `parameters` is given to something else: by `set`, or as the variable of a loop.
fn rebinds(tokens: &[Token<'_>]) -> bool {
    tokens.windows(2).any(|pair| pair[1].is_name("parameters") && ["for", "set", "set_global"].iter().any(|word| pair[0].is_name(word)))
        || tokens.windows(3).any(|three| three[0].is_sign(",") && three[1].is_name("parameters") && three[2].is_name("in"))
}

/// Each name read directly below `parameters`, as `parameters.name` or `parameters["name"]`, with where it stands.
fn reads<'t>(tokens: &'t [Token<'_>]) -> impl Iterator<Item = (&'t str, usize)> {
    tokens.iter().enumerate().filter_map(move |(at, token)| {
        let of_another = at.checked_sub(1).is_some_and(|before| tokens[before].is_sign("."));
        if !token.is_name("parameters") || of_another {
            return None;
        }
        // `?.` and `?[` read as `.` and `[` do.
        let skipped = usize::from(tokens.get(at + 1).is_some_and(|next| next.is_sign("?")));
        match &tokens[at + 1 + skipped..] {
            [dot, name, ..] if dot.is_sign(".") && name.kind == TokenKind::Name => Some((name.text, name.start)),
            [open, name, close, ..] if open.is_sign("[") && close.is_sign("]") => name.literal().map(|text| (text, name.start)),
            _ => None,
        }
    })
}
