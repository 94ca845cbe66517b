//! A component's parameters as its definition says them, and the arguments of a call held against them when a catalogue is loaded: the
//! engine would say it only when something is rendered. It looks at tokens alone, and says nothing where a name may mean something else.

use super::source::{Fault, Place, Token, TokenKind, place};
use crate::types::nearest;

/// What a component takes.
#[derive(Debug, Clone, Default)]
pub(super) struct Signature {
    parameters: Vec<Parameter>,
    /// Whether it takes any others as well.
    open: bool,
}

#[derive(Debug, Clone)]
struct Parameter {
    name: String,
    kind: Option<String>,
    required: bool,
}

/// What a call gives.
#[derive(Debug, Clone, Default)]
pub(super) struct Arguments {
    given: Vec<Argument>,
    /// Whether a map is spread into it, whose names are not known.
    spread: bool,
}

#[derive(Debug, Clone)]
struct Argument {
    name: String,
    at: Place,
    /// What it is, where that stands there outright.
    literal: Option<TokenKind>,
}

impl Signature {
    /// Reads `(name: type = default, ...)`, the tokens after a definition's name.
    pub(super) fn of(tokens: &[Token<'_>]) -> Self {
        let mut signature = Self::default();
        for one in parts(tokens) {
            match one {
                [name, rest @ ..] if name.kind == TokenKind::Name => signature.parameters.push(Parameter {
                    name: name.text.to_owned(),
                    kind: match rest {
                        [colon, kind, ..] if colon.is_sign(":") => Some(kind.text.to_owned()),
                        _ => None,
                    },
                    required: !rest.iter().any(|token| token.is_sign("=")),
                }),
                [dot, ..] if dot.is_sign(".") => signature.open = true,
                _ => {}
            }
        }
        signature
    }

    /// What is wrong with the arguments of a call of `component` that stands at `at`.
    pub(super) fn check(&self, component: &str, arguments: &Arguments, at: Place) -> Vec<Fault> {
        let mut faults = Vec::new();
        for argument in &arguments.given {
            match self.parameters.iter().find(|parameter| parameter.name == argument.name) {
                None if self.open => {}
                None => faults.push(self.unknown(component, argument)),
                Some(Parameter { kind: Some(kind), .. }) if argument.literal.is_some_and(|literal| !fits(literal, kind)) => {
                    let message = format!("the argument `{}` of the component `{component}` is of the type {kind}", argument.name);
                    let hint = if kind == "string" { "write a text in quotes" } else { "write a value in braces, such as `name={3}`" };
                    faults.push(Fault::new(argument.at, message).hint(hint));
                }
                Some(_) => {}
            }
        }
        let missing = |parameter: &&Parameter| parameter.required && !arguments.given.iter().any(|argument| argument.name == parameter.name);
        // One that is misspelt is told already.
        if !arguments.spread && faults.is_empty() {
            faults.extend(self.parameters.iter().filter(missing).map(|Parameter { name, .. }| {
                let fault = Fault::new(at, format!("the component `{component}` needs the argument `{name}`"));
                fault.hint(format!("write `{{{{ <{component} {name}={{value}} /> }}}}`"))
            }));
        }
        faults
    }

    fn unknown(&self, component: &str, argument: &Argument) -> Fault {
        let known = || self.parameters.iter().map(|parameter| parameter.name.as_str());
        let hint = match nearest(&argument.name, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.parameters.is_empty() => "it takes none".to_owned(),
            None => format!("its arguments are: {}", known().collect::<Vec<_>>().join(", ")),
        };
        Fault::new(argument.at, format!("the component `{component}` has no argument `{}`", argument.name)).hint(hint)
    }
}

impl Arguments {
    /// Reads `name="text" other={value} third {...map}`, the tokens after a call's name.
    pub(super) fn of(source: &str, tokens: &[Token<'_>]) -> Self {
        let mut arguments = Self::default();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            if token.is_sign("{") {
                arguments.spread = true;
                at += closing(&tokens[at..]);
            } else if token.kind == TokenKind::Name {
                let mut literal = None;
                if tokens.get(at).is_some_and(|next| next.is_sign("=")) {
                    literal = match &tokens[at + 1..] {
                        [value, ..] if value.kind == TokenKind::Text => Some(TokenKind::Text),
                        [open, value, close, ..] if open.is_sign("{") && close.is_sign("}") && value.kind != TokenKind::Name => Some(value.kind),
                        _ => None,
                    };
                    at += match tokens.get(at + 1) {
                        Some(open) if open.is_sign("{") => 2 + closing(&tokens[at + 2..]),
                        _ => 2,
                    };
                }
                arguments.given.push(Argument { name: token.text.to_owned(), at: place(source, token.start), literal });
            }
        }
        arguments
    }
}

/// Whether what stands there outright can be of that type.
fn fits(literal: TokenKind, kind: &str) -> bool {
    match literal {
        TokenKind::Text => kind == "string",
        TokenKind::Number => kind != "string",
        TokenKind::Name | TokenKind::Sign => true,
    }
}

/// The tokens up to the brace that closes one opened before them, that one included.
fn closing(tokens: &[Token<'_>]) -> usize {
    let mut depth = 1_usize;
    for (at, token) in tokens.iter().enumerate() {
        depth = if token.is_sign("{") { depth + 1 } else { depth - usize::from(token.is_sign("}")) };
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// What stands between the commas of the list in parentheses that the tokens begin with.
fn parts<'t, 's>(tokens: &'t [Token<'s>]) -> Vec<&'t [Token<'s>]> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0_usize, 1);
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == TokenKind::Sign) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            "," if depth == 1 => {
                parts.push(&tokens[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        if depth == 0 {
            parts.push(&tokens[from.min(at)..at]);
            break;
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}
