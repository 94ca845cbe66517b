//! A template with its tags taken out and a word in the place of each expression: plain YAML, so a YAML reader can say where each word ends up.
//! Every one must be a whole plain scalar. Only the template's own text is read here, never a value.

use super::source::{Fault, Piece, Place, place};
use granit_parser::{Event, Parser, ScalarStyle};

/// The skeletons of one file: its body, and each of its components.
pub(super) struct Skeletons {
    /// What every placeholder starts with; it does not occur in the source.
    word: String,
    parts: Vec<Part>,
    current: usize,
    /// Where each expression stands and how it is written.
    values: Vec<(Place, String)>,
}

struct Part {
    component: Option<String>,
    yaml: String,
}

impl Skeletons {
    pub fn new(source: &str) -> Self {
        let mut word = "value0x".to_owned();
        while source.contains(&word) {
            word.push('x');
        }
        Self { word, parts: vec![Part { component: None, yaml: String::new() }], current: 0, values: Vec::new() }
    }

    /// What follows belongs to the component, or to the file's body again.
    pub fn enter(&mut self, component: Option<String>, source: &str, offset: usize) {
        let lines = if component.is_some() { self.parts[self.current].yaml.matches('\n').count() } else { source[..offset].matches('\n').count() };
        match component {
            None => self.current = 0,
            Some(_) => {
                self.current = self.parts.len();
                self.parts.push(Part { component, yaml: String::new() });
            }
        }
        let part = &mut self.parts[self.current];
        let have = part.yaml.matches('\n').count();
        part.yaml.push_str(&"\n".repeat(lines.saturating_sub(have)));
    }

    pub fn text(&mut self, text: &str) {
        self.parts[self.current].yaml.push_str(text);
    }

    /// A tag or comment: only its line feeds count.
    pub fn gap(&mut self, inner: &str) {
        let feeds = inner.matches('\n').count();
        self.parts[self.current].yaml.push_str(&"\n".repeat(feeds));
    }

    /// Puts a word in the place of an expression and says whether it stands for a key.
    ///
    /// # Errors
    /// When what stands directly before or after it makes it less than a whole value.
    pub fn value(&mut self, source: &str, piece: &Piece<'_>) -> Result<bool, Fault> {
        let at = place(source, piece.start);
        let written = piece.inner.trim().to_owned();
        let yaml = &mut self.parts[self.current].yaml;
        let line = yaml.rsplit('\n').next().unwrap_or_default().to_owned();
        yaml.push_str(&format!("{}{}z", self.word, self.values.len()));
        self.values.push((at, written.clone()));
        let after = source[piece.end..].split('\n').next().unwrap_or_default();
        let key = after.starts_with(": ") || after == ":";
        if !key && !ends_value(after) {
            return Err(joined(at, &written, "followed", after));
        }
        let before = line.trim_end_matches(' ');
        let spaced = line.len() > before.len();
        match before.chars().last() {
            None if key => Ok(true),
            None => {
                Err(Fault::new(at, "a value stands on the line of its key")
                    .hint(format!("write `key: {{{{ {written} }}}}` or `- {{{{ {written} }}}}`")))
            }
            Some(':' | '-') if spaced => Ok(key),
            Some('[' | '{' | ',') => Ok(key),
            Some('#') => Err(in_comment(at)),
            Some(_) if before.trim_start().starts_with('#') || before.contains(" #") => Err(in_comment(at)),
            Some(_) => Err(joined(at, &written, "preceded", before)),
        }
    }

    /// Reads the skeletons as YAML: each word must come back as a whole plain scalar.
    pub fn check(&self) -> Vec<Fault> {
        let mut seen = vec![false; self.values.len()];
        let mut faults = Vec::new();
        for part in &self.parts {
            for next in Parser::new_from_str(&part.yaml) {
                match next {
                    Ok((Event::Scalar(value, style, _, tag), _)) => self.scalar(&value, style, tag.is_some(), &mut seen, &mut faults),
                    Ok((Event::Comment(text, _), _)) => drop(self.found(&text, &mut seen, |at| faults.push(in_comment(at)))),
                    Ok(_) => {}
                    Err(error) => {
                        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                        let at = Place { line: count(error.marker().line()), column: count(error.marker().col() + 1) };
                        let whose = part.component.as_ref().map_or("the template".to_owned(), |name| format!("the component `{name}`"));
                        faults.push(
                            Fault::new(at, format!("{whose} is not YAML: {}", error.info()))
                                .hint("with its tags taken out and every branch written one after the other, it has to be YAML"),
                        );
                        return faults;
                    }
                }
            }
        }
        for (index, _) in seen.iter().enumerate().filter(|(_, seen)| !**seen) {
            let (at, written) = &self.values[index];
            faults.push(
                Fault::new(*at, format!("`{written}` does not stand for a value")).hint("an expression stands for a whole value, key or list item"),
            );
        }
        faults
    }

    fn scalar(&self, value: &str, style: ScalarStyle, tagged: bool, seen: &mut [bool], faults: &mut Vec<Fault>) {
        let mut places = Vec::new();
        let whole = self.found(value, seen, |at| places.push(at)) == Some(value.len());
        for at in places {
            let message = match style {
                ScalarStyle::Plain if whole && !tagged => continue,
                ScalarStyle::Plain if whole => "an expression after a YAML tag (`!`)",
                ScalarStyle::Plain => "an expression is part of a longer text",
                ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => "an expression within quotes",
                ScalarStyle::Literal | ScalarStyle::Folded => "an expression within a block of text (`|` or `>`)",
            };
            faults.push(
                Fault::new(at, message)
                    .hint("an expression stands for the whole value and brings its own quotes: key: {{ \"text \" ~ value ~ \"\\nmore\" }}"),
            );
        }
    }

    /// Calls `on` with the place of each placeholder in `text`; gives the length of the last one.
    fn found(&self, text: &str, seen: &mut [bool], mut on: impl FnMut(Place)) -> Option<usize> {
        let mut length = None;
        for (start, _) in text.match_indices(&self.word) {
            let digits: String = text[start + self.word.len()..].chars().take_while(char::is_ascii_digit).collect();
            let Some(index) = digits.parse::<usize>().ok().filter(|index| *index < seen.len()) else { continue };
            seen[index] = true;
            length = Some(self.word.len() + digits.len() + 1);
            on(self.values[index].0);
        }
        length
    }
}

/// Whether what follows an expression on its line lets it be a whole value.
fn ends_value(after: &str) -> bool {
    let rest = after.trim_start_matches(' ');
    let spaced = rest.len() < after.len();
    rest.is_empty() || rest.starts_with([',', ']', '}']) || (spaced && rest.starts_with('#'))
}

fn joined(at: Place, written: &str, how: &str, what: &str) -> Fault {
    if what.trim_end().ends_with(['"', '\'']) || (how == "followed" && what.starts_with(['"', '\''])) {
        return Fault::new(at, "an expression within quotes")
            .hint(format!("take the quotes away, it brings its own: {{{{ {written} }}}}; to add text write {{{{ \"text-\" ~ {written} }}}}"));
    }
    let text: String =
        if how == "followed" { what.split([' ', '{']).next().unwrap_or_default() } else { what.rsplit([' ', '}']).next().unwrap_or_default() }
            .to_owned();
    let mend = if how == "followed" { format!("{{{{ {written} ~ {text:?} }}}}") } else { format!("{{{{ {text:?} ~ {written} }}}}") };
    Fault::new(at, format!("an expression stands for a whole value, but this one is {how} by text"))
        .hint(format!("put the text into the expression: {mend}"))
}

fn in_comment(at: Place) -> Fault {
    Fault::new(at, "an expression within a comment")
        .hint("a value may not be printed into a comment: use a label or an annotation, or a template comment {# #}")
}
