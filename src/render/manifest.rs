//! The rules of a manifest template, and its translation for the engine.
//! An expression stands for a whole YAML value, key or list item; a tag stands on a line of its own and leaves no trace of it.
//! Whatever is printed goes through the engine's own filters: nothing here may let text through another way.

use super::arguments::{Arguments, Signature};
use super::lint::{self, Vocabulary};
use super::skeleton::Skeletons;
use super::source::{Fault, Kind, Piece, Place, TokenKind, place, scan};

/// The deepest nesting of loops, over components and partials.
pub(super) const MAX_LOOPS: usize = 3;

pub(super) const VOCABULARY: Vocabulary = Vocabulary {
    filters: &[
        "abs",
        "capitalize",
        "default",
        "first",
        "float",
        "get",
        "group_by",
        "int",
        "join",
        "keys",
        "last",
        "length",
        "lower",
        "nth",
        "pairs",
        "replace",
        "reverse",
        "round",
        "sort",
        "split",
        "str",
        "title",
        "trim",
        "trim_end",
        "trim_start",
        "truncate",
        "unique",
        "upper",
        "values",
    ],
    functions: &["range", "throw"],
    comprehensions: true,
};

/// A component's definition or the file's own body, with what it calls.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// None for the file's own body.
    pub component: Option<String>,
    /// What it takes.
    pub signature: Signature,
    pub at: Place,
    /// The deepest nesting of its own loops.
    pub loops: usize,
    pub calls: Vec<Call>,
}

/// A component called, or a partial included.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub target: Target,
    /// What it gives.
    pub arguments: Arguments,
    pub at: Place,
    /// How many loops it stands in.
    pub loops: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Component(String),
    Partial(String),
}

/// A checked file.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    /// The source as the engine gets it, with the same lines.
    pub translated: String,
    pub units: Vec<Unit>,
}

/// Checks one `.tera` file; `shared` files alone may define components.
pub(super) fn check(source: &str, shared: bool) -> Result<Checked, Vec<Fault>> {
    if let Some(at) = source.find('\r') {
        return Err(vec![Fault::new(place(source, at), "a carriage return").hint("end lines with a line feed alone")]);
    }
    let pieces = scan(source).map_err(|fault| vec![fault])?;
    let mut checker = Checker {
        source,
        shared,
        out: String::with_capacity(source.len() * 2),
        swallow: 0,
        skeletons: Skeletons::new(source),
        open: Vec::new(),
        units: vec![Unit { component: None, signature: Signature::default(), at: Place { line: 1, column: 1 }, loops: 0, calls: Vec::new() }],
        current: 0,
        faults: Vec::new(),
    };
    for piece in &pieces {
        match piece.kind {
            Kind::Text => checker.text(piece),
            Kind::Comment => checker.comment(piece),
            Kind::Expression => checker.expression(piece),
            Kind::Tag => checker.tag(piece),
        }
    }
    let mut faults = checker.faults;
    if faults.is_empty() {
        faults.extend(checker.skeletons.check());
    }
    faults.sort_by_key(|fault| fault.at);
    if faults.is_empty() { Ok(Checked { translated: checker.out, units: checker.units }) } else { Err(faults) }
}

/// An open block tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    If,
    For,
    Component,
}

struct Checker<'s> {
    source: &'s str,
    shared: bool,
    out: String,
    /// Bytes of the next text that belong to a line that leaves no trace.
    swallow: usize,
    skeletons: Skeletons,
    open: Vec<Block>,
    units: Vec<Unit>,
    current: usize,
    faults: Vec<Fault>,
}

impl Checker<'_> {
    fn text(&mut self, piece: &Piece<'_>) {
        let kept = &piece.inner[self.swallow.min(piece.inner.len())..];
        self.swallow = 0;
        self.out.push_str(kept);
        self.skeletons.text(piece.inner);
    }

    /// The indentation before a piece that has its line to itself, and the bytes after it up to and with the line feed.
    fn alone(&self, piece: &Piece<'_>) -> Option<(usize, usize)> {
        let start = self.source[..piece.start].rfind('\n').map_or(0, |at| at + 1);
        let after = &self.source[piece.end..];
        let rest = after.find('\n').map_or(after.len(), |at| at + 1);
        let blank = |text: &str| text.bytes().all(|b| matches!(b, b' ' | b'\n'));
        (blank(&self.source[start..piece.start]) && blank(&after[..rest])).then_some((piece.start - start, rest))
    }

    /// Takes a line out of the output: its indentation goes into the tag, which keeps columns, and its line feed too, which keeps line numbers.
    fn vanish(&mut self, indent: usize, rest: usize) -> &'static str {
        self.out.truncate(self.out.len() - indent);
        self.swallow = rest;
        if rest > 0 { "\n" } else { "" }
    }

    fn not_alone(&mut self, piece: &Piece<'_>, what: &str, hint: &str) {
        self.faults.push(Fault::new(place(self.source, piece.start), format!("{what} stands on a line of its own")).hint(hint));
    }

    fn comment(&mut self, piece: &Piece<'_>) {
        let Some((indent, rest)) = self.alone(piece) else {
            return self.not_alone(piece, "a template comment", "move it to the line above");
        };
        let newline = self.vanish(indent, rest);
        self.out.push_str("{#");
        self.out.push_str(&"\n".repeat(piece.inner.matches('\n').count()));
        self.out.push_str(newline);
        self.out.push_str("#}");
        self.skeletons.gap(piece.inner);
    }

    fn expression(&mut self, piece: &Piece<'_>) {
        if let Some((name, inner)) = lint::component_call(&piece.tokens) {
            let Some((indent, rest)) = self.alone(piece) else {
                return self.not_alone(piece, "a component", "it gives whole lines of YAML: put it on its own line, indented as its lines shall be");
            };
            lint::tokens(self.source, piece, inner, &VOCABULARY, &mut self.faults);
            let arguments = Arguments::of(self.source, inner);
            self.call(Target::Component(name), arguments, piece, lint::comprehension_depth(inner));
            let newline = self.vanish(indent, rest);
            let inner = lint::guard_joins(piece, self.source);
            self.out.push_str(&format!("{{{{({inner})|__block(width={indent}){newline}}}}}"));
            self.skeletons.gap(piece.inner);
            return;
        }
        lint::tokens(self.source, piece, &piece.tokens, &VOCABULARY, &mut self.faults);
        let loops = lint::comprehension_depth(&piece.tokens);
        self.loops(piece, loops);
        let key = match self.skeletons.value(self.source, piece) {
            Ok(key) => key,
            Err(fault) => {
                self.faults.push(fault);
                false
            }
        };
        // The parenthesis takes the place of a space, so that columns stay.
        let guarded = lint::guard_joins(piece, self.source);
        let inner = guarded.strip_prefix(' ').unwrap_or(&guarded);
        self.out.push_str(&format!("{{{{({inner})|__value(key={key},of={})}}}}", literal(piece.inner)));
    }

    fn call(&mut self, target: Target, arguments: Arguments, piece: &Piece<'_>, own: usize) {
        let loops = self.depth();
        self.loops(piece, own);
        self.units[self.current].calls.push(Call { target, arguments, at: place(self.source, piece.start), loops });
    }

    fn depth(&self) -> usize {
        self.open.iter().filter(|block| **block == Block::For).count()
    }

    fn loops(&mut self, piece: &Piece<'_>, more: usize) {
        let depth = self.depth() + more;
        let unit = &mut self.units[self.current];
        unit.loops = unit.loops.max(depth);
        if depth > MAX_LOOPS && more > 0 {
            self.faults.push(Fault::new(place(self.source, piece.start), format!("loops nest at most {MAX_LOOPS} deep")));
        }
    }

    fn tag(&mut self, piece: &Piece<'_>) {
        let word = piece.tokens.first().filter(|token| token.kind == TokenKind::Name).map_or("", |token| token.text);
        let here = place(self.source, piece.start);
        let Some((indent, rest)) = self.alone(piece) else {
            return self.not_alone(piece, "a tag", "for a choice within a line write `{{ one if condition else other }}`");
        };
        let arguments = piece.tokens.get(1..).unwrap_or_default();
        let judged = match word {
            "for" => skip_loop_names(arguments),
            // A definition's name and parenthesis look like a call.
            "component" | "endcomponent" => &arguments[lint::dotted_name(arguments).map_or(0, |(_, used)| used)..],
            _ => arguments,
        };
        lint::tokens(self.source, piece, judged, &VOCABULARY, &mut self.faults);
        let newline = self.vanish(indent, rest);
        self.skeletons.gap(piece.inner);
        match word {
            "if" => self.open.push(Block::If),
            "for" => {
                self.open.push(Block::For);
                self.loops(piece, 0);
                if self.depth() > MAX_LOOPS {
                    self.faults.push(Fault::new(here, format!("loops nest at most {MAX_LOOPS} deep")));
                }
            }
            "elif" | "else" | "break" | "continue" => {}
            "endif" => self.close(Block::If),
            "endfor" => self.close(Block::For),
            "set" | "set_global" => {
                if !arguments.get(1).is_some_and(|token| token.is_sign("=")) {
                    self.faults.push(Fault::new(here, "`set` takes an expression").hint("write `{% set name = expression %}`"));
                }
                self.loops(piece, lint::comprehension_depth(arguments));
            }
            "component" => self.component(arguments, here),
            "endcomponent" => {
                self.close(Block::Component);
                self.current = 0;
                self.skeletons.enter(None, self.source, piece.end);
            }
            "include" => return self.include(piece, indent, newline),
            _ => self.faults.push(refused(word, here)),
        }
        self.out.push_str("{%");
        self.out.push_str(&" ".repeat(indent));
        self.out.push_str(&lint::guard_joins(piece, self.source));
        self.out.push_str(newline);
        self.out.push_str("%}");
    }

    fn component(&mut self, arguments: &[super::source::Token<'_>], here: Place) {
        if !self.shared {
            self.faults.push(Fault::new(here, "components are defined in `_shared`").hint("move it to a `.tera` file in the folder `_shared`"));
        }
        let Some((name, used)) = lint::dotted_name(arguments) else {
            return self.faults.push(Fault::new(here, "the component has no name"));
        };
        self.open.push(Block::Component);
        self.current = self.units.len();
        let signature = Signature::of(&arguments[used..]);
        self.units.push(Unit { component: Some(name.clone()), signature, at: here, loops: 0, calls: Vec::new() });
        self.skeletons.enter(Some(name), self.source, 0);
    }

    fn include(&mut self, piece: &Piece<'_>, indent: usize, newline: &str) {
        let here = place(self.source, piece.start);
        let [_, file] = piece.tokens.as_slice() else {
            return self.faults.push(Fault::new(here, "`include` takes one file of the catalogue, in quotes"));
        };
        match file.literal() {
            Some(name) if name.starts_with("_shared/") && name.ends_with(".tera") => {
                self.call(Target::Partial(name.to_owned()), Arguments::default(), piece, 0);
                self.out.push_str(&format!("{{% filter __block(width={indent}) %}}{{%{}%}}{{% endfilter {newline}%}}", piece.inner));
            }
            _ => self.faults.push(
                Fault::new(place(self.source, file.start), format!("{} is not in the catalogue", file.text))
                    .hint("only files of the folder `_shared` can be included: \"_shared/name.tera\""),
            ),
        }
    }

    fn close(&mut self, block: Block) {
        // What does not match is reported by the engine's own parser, with its place.
        if self.open.last() == Some(&block) {
            self.open.pop();
        }
    }
}

/// `x in list` and `k, v in map`: the tokens after the names, so that a loop variable's name is not taken for anything else.
fn skip_loop_names<'t, 's>(arguments: &'t [super::source::Token<'s>]) -> &'t [super::source::Token<'s>] {
    arguments.iter().position(|token| token.is_name("in")).map_or(arguments, |at| &arguments[at + 1..])
}

fn refused(word: &str, here: Place) -> Fault {
    let fault = Fault::new(here, if word.is_empty() { "this tag is not allowed".to_owned() } else { format!("the tag `{word}` is not allowed") });
    match word {
        "raw" | "endraw" => fault.hint("to print braces, write them as a string: {{ \"{{ $labels.pod }}\" }}"),
        "extends" | "block" | "endblock" => fault.hint("share YAML as a component in `_shared`"),
        "filter" | "endfilter" => fault.hint("filter the value itself: {{ value | filter }}"),
        "" => fault.hint("a component takes arguments, not a body: {{ <name argument={value} /> }}"),
        _ => fault.hint("tags are if, elif, else, endif, for, endfor, break, continue, set, set_global, include, component, endcomponent"),
    }
}

/// An expression's text as a string literal of the template language, for error messages.
pub(super) fn literal(expression: &str) -> String {
    let words: Vec<&str> = expression.split_whitespace().collect();
    let short: String = words.join(" ").chars().take(80).collect();
    format!("\"{}\"", short.replace('\\', "\\\\").replace('"', "\\\""))
}
