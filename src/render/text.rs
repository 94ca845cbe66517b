//! Small templates for titles, bodies and paths: text with values in it, conditions, and nothing that loops.
//! It holds its source and the places of the values in it; what has filters or conditions compiles when it renders, so that thousands cost little.
//! A value never becomes markup, a mention, a line break in a title, or a directory level.

use super::engine::{Limited, joined_filter};
use super::markdown;
use super::translate::{Part, Style, translate};
use crate::expression::Variables;
use crate::manifest::is_shown;
use crate::types::ErrorClass;
use std::sync::LazyLock;
use tera::{Context, ErrorKind, Kwargs, State, Tera, TeraResult, Value};

/// The longest title, in characters.
const MAX_LINE: usize = 250;
/// The largest text, in bytes: what GitHub takes as a pull request's body.
const MAX_TEXT: usize = 65_536;
/// What a text is for; it decides how values are written into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextKind {
    /// A title: one line of at most 250 characters.
    Line,
    /// GitHub flavoured Markdown, at most 64 KiB. Values are words or code spans; the filter `fence` makes a code block.
    Markdown,
    /// A commit's message, at most 64 KiB. A value is one line; a list is a line for each entry.
    Message,
    /// A path: values of ASCII letters, digits, `.`, `_` and `-`, so that no value adds a directory level.
    Path,
}

/// Why a text template is refused, or why it has no text. Line and column count from 1; both are 0 when there is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TextError {
    /// What is wrong, and the mend where there is one.
    pub message: String,
    /// Line.
    pub line: u32,
    /// Column in characters.
    pub column: u32,
}

impl TextError {
    /// Somebody wrote the template or the ticket wrong.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

/// A checked text template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTemplate {
    translated: Box<str>,
    kind: TextKind,
    /// The whole of it where it is made of text and plain fields alone, which most are: such a text needs no engine.
    parts: Option<Box<[Part]>>,
}

impl TextTemplate {
    /// Checks a template.
    ///
    /// # Errors
    /// The first thing wrong, with its place.
    pub fn compile(source: &str, kind: TextKind) -> Result<Self, TextError> {
        let translated = translate(source, kind).map_err(|fault| TextError {
            message: fault.hint.map_or_else(|| fault.message.clone(), |hint| format!("{}: {hint}", fault.message)),
            line: fault.at.line,
            column: fault.at.column,
        })?;
        // The engine's own syntax check, on the source as written, for true columns.
        match Tera::new().add_raw_template("text", source) {
            Err(error) if matches!(error.kind(), ErrorKind::SyntaxError(_)) => Err(text_error(&error)),
            _ => Ok(Self { translated: translated.text.into(), kind, parts: translated.parts.map(Vec::into_boxed_slice) }),
        }
    }

    /// What the text is for.
    pub fn kind(&self) -> TextKind {
        self.kind
    }

    /// The text for these variables.
    ///
    /// # Errors
    /// A missing variable, by name; a value that cannot stand in a path; a text that is too long.
    pub fn render<'v>(&self, variables: impl Into<Variables<'v>>) -> Result<String, TextError> {
        let variables = variables.into();
        // What has no text this way has none with the engine either, which says why.
        let text = match self.joined(&variables) {
            Some(text) => text,
            None => self.render_by_engine(&variables)?,
        };
        Ok(if self.kind == TextKind::Line { one_line(&text) } else { text })
    }

    /// Text and values joined, for a template that has nothing else; none when a value is missing or may not stand there.
    fn joined(&self, variables: &Variables<'_>) -> Option<String> {
        let mut out = String::with_capacity(128);
        for part in self.parts.as_deref()? {
            match part {
                Part::Text(range) => out.push_str(&self.translated[range.clone()]),
                Part::Field(range, style) => {
                    let value = variables.find(self.translated[range.clone()].split('.'))?;
                    let value = Value::try_from_serializable(value.as_ref()).ok()?;
                    out.push_str(finish(self.kind, value, *style)?.as_str()?);
                }
            }
            // A large value named many times is not joined many times before it is refused.
            if out.len() > MAX_TEXT {
                return None;
            }
        }
        Some(out)
    }

    fn render_by_engine(&self, variables: &Variables<'_>) -> Result<String, TextError> {
        let mut context = Context::new();
        for (name, variable) in variables.iter() {
            // A payload can be large: what the source never names is not converted.
            if self.translated.contains(name) {
                context.insert(name.to_owned(), &variable);
            }
        }
        let engine = match self.kind {
            TextKind::Line => &*LINE,
            TextKind::Message => &*MESSAGE,
            TextKind::Markdown => &*MARKDOWN,
            TextKind::Path => &*PATH,
        };
        let mut out = Limited { bytes: Vec::new(), limit: MAX_TEXT, exceeded: false };
        match engine.render_str_to(&self.translated, &context, true, &mut out) {
            Err(_) if out.exceeded => return Err(without_place(format!("the text is longer than {MAX_TEXT} bytes"))),
            Err(error) => return Err(text_error(&error)),
            Ok(()) => {}
        }
        String::from_utf8(out.bytes).map_err(|_| without_place("the text is not UTF-8".to_owned()))
    }
}

/// A value as it may stand in a text of this kind; none when it may not.
fn finish(kind: TextKind, value: Value, style: Style) -> Option<Value> {
    match kind {
        TextKind::Line => Some(Value::safe_string(&plain(&value))),
        TextKind::Message => Some(Value::safe_string(&match value.as_array() {
            Some(entries) => entries.iter().map(plain).collect::<Vec<_>>().join("\n"),
            None => plain(&value),
        })),
        TextKind::Markdown if value.is_string() && value.is_safe() => Some(value),
        TextKind::Markdown => Some(Value::safe_string(&markdown::inline(&plain(&value), style.code, style.table))),
        TextKind::Path => {
            let text = value.to_string();
            let scalar = value.is_string() || value.is_number() || value.is_bool();
            let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
            (scalar && plain && !text.is_empty() && text != "." && text != ".." && text.len() <= 200).then(|| Value::safe_string(&text))
        }
    }
}

static LINE: LazyLock<Tera> = LazyLock::new(|| engine(TextKind::Line));
static MARKDOWN: LazyLock<Tera> = LazyLock::new(|| {
    let mut tera = engine(TextKind::Markdown);
    tera.register_filter("fence", |value: Value, _: Kwargs, _: &State| {
        if value.is_undefined() {
            return Err(tera::Error::message("the value for `fence` is not defined"));
        }
        Ok(Value::safe_string(&markdown::fence(&value.to_string())))
    });
    tera
});
static MESSAGE: LazyLock<Tera> = LazyLock::new(|| engine(TextKind::Message));
static PATH: LazyLock<Tera> = LazyLock::new(|| engine(TextKind::Path));

/// An engine whose every expression ends in [`finish`]; filters that could multiply a value are bounded.
fn engine(kind: TextKind) -> Tera {
    let mut tera = Tera::new();
    tera.register_filter("__text", move |value: Value, arguments: Kwargs, _: &State| {
        let of = arguments.must_get::<&str>("of")?;
        if value.is_undefined() {
            return Err(tera::Error::message(format!("`{of}` is not defined")));
        }
        let style = Style { code: arguments.must_get::<bool>("code")?, table: arguments.must_get::<bool>("table")? };
        finish(kind, value, style).ok_or_else(|| {
            tera::Error::message(format!(
                "`{of}` cannot stand in a path: it takes letters, digits, `.`, `_` and `-`, and is neither empty, `.` nor `..`"
            ))
        })
    });
    tera.register_filter("__joined", joined_filter);
    tera.register_filter("replace", |value: &str, arguments: Kwargs, _: &State| {
        let (from, to) = (arguments.must_get::<&str>("from")?, arguments.must_get::<&str>("to")?);
        let times = value.matches(from).count();
        bounded(value.len().saturating_add(times.saturating_mul(to.len())))?;
        Ok::<_, tera::Error>(value.replace(from, to))
    });
    tera.register_filter("join", |value: &[Value], arguments: Kwargs, _: &State| {
        let separator = arguments.get::<&str>("sep")?.unwrap_or("");
        let parts: Vec<String> = value.iter().map(ToString::to_string).collect();
        bounded(parts.iter().map(String::len).sum::<usize>().saturating_add(parts.len().saturating_mul(separator.len())))?;
        Ok::<_, tera::Error>(parts.join(separator))
    });
    tera
}

fn bounded(length: usize) -> TeraResult<()> {
    if length > 2 * 1024 * 1024 { Err(tera::Error::message("the value is too long")) } else { Ok(()) }
}

/// A value as one line without what cannot be seen.
fn plain(value: &Value) -> String {
    one_spaced(&value.to_string())
}

fn one_spaced(text: &str) -> String {
    let seen: String = text
        .chars()
        .filter_map(|c| match c {
            c if c.is_whitespace() || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => Some(' '),
            c => is_shown(c).then_some(c),
        })
        .collect();
    seen.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn one_line(text: &str) -> String {
    let line = one_spaced(text);
    match line.char_indices().nth(MAX_LINE) {
        None => line,
        Some(_) => line.chars().take(MAX_LINE - 1).chain(['…']).collect(),
    }
}

fn text_error(error: &tera::Error) -> TextError {
    match error.kind() {
        ErrorKind::RenderingError(report) | ErrorKind::SyntaxError(report) => TextError {
            message: report.message().chars().take(500).collect(),
            line: u32::try_from(report.span().start_line).unwrap_or(u32::MAX),
            column: u32::try_from(report.span().start_col + 1).unwrap_or(u32::MAX),
        },
        other => without_place(other.to_string()),
    }
}

fn without_place(message: String) -> TextError {
    TextError { message, line: 0, column: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const KINDS: [TextKind; 4] = [TextKind::Line, TextKind::Message, TextKind::Markdown, TextKind::Path];

    fn with(value: &serde_json::Value) -> serde_json::Value {
        json!({ "parameters": { "a": value, "team": "web" }, "event": { "subject": "OPS-42", "data": { "x": value } } })
    }

    #[test]
    fn text_and_plain_fields_need_no_engine() {
        for source in ["", "x", "{{ parameters.a }}", "{{parameters.a}}/{{ event.data.x  }}.yaml", "a `{{ parameters.a }}` b"] {
            assert!(TextTemplate::compile(source, TextKind::Markdown).expect("sound").parts.is_some(), "{source}");
        }
        for source in ["{{ parameters }}", "{{ parameters.a | upper }}", "{{ parameters[\"a\"] }}", "{# x #}", "{% if parameters.a %}x{% endif %}"] {
            assert!(TextTemplate::compile(source, TextKind::Markdown).expect("sound").parts.is_none(), "{source}");
        }
    }

    fn same(source: &str, value: &serde_json::Value) {
        let variables = with(value);
        for kind in KINDS {
            let Ok(template) = TextTemplate::compile(source, kind) else { continue };
            let by_engine = template.render_by_engine(&Variables::from(&variables));
            match template.joined(&Variables::from(&variables)) {
                Some(text) => assert_eq!(Ok(text), by_engine, "{source} {kind:?}"),
                None => assert!(template.parts.is_none() || by_engine.is_err(), "{source} {kind:?}: {by_engine:?}"),
            }
        }
    }

    #[test]
    fn every_type_of_value_is_written_as_the_engine_writes_it() {
        let nested = json!({"b": [1, "x", {"c": null}]});
        for value in [json!(null), json!(true), json!(-7), json!(u64::MAX), json!(0.1), json!(1e300), json!(1.0), json!(""), json!([]), nested] {
            same("{{ parameters.a }}", &value);
            same("{{ parameters.a.b }} {{ parameters.gone.x }}", &value);
        }
    }

    proptest! {
        #[test]
        fn without_the_engine_a_text_is_the_same(pieces in prop::collection::vec(piece(), 0..6), value in "\\PC{0,12}|[`@#<a|.\\n -]{0,8}") {
            same(&pieces.concat(), &json!(value));
        }
    }

    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z |`./#@\\n]{0,6}".prop_map(String::from),
            Just("{{ parameters.a }}".to_owned()),
            Just("{{parameters.team}}".to_owned()),
            Just("`{{ event.data.x }}`".to_owned()),
            Just("{{  event.subject }}".to_owned()),
            Just("{{ event . subject }}".to_owned()),
            Just("{{ event.data }}".to_owned()),
            Just("{{ parameters.a.b }}".to_owned()),
            Just("{# note #}\n".to_owned()),
        ]
    }
}
