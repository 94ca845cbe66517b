//! A document's envelope: `apiVersion`, `kind`, `metadata`, `spec`.

use super::schema::{Problem, Schemas};
use super::{Diagnostic, Level, ResourceFile};
use crate::automation::escape_pointer;
use crate::manifest::{self, Span};
use crate::validate::policy::PARAMETERS_KIND;
use serde::Serialize;
use serde_json::Value;

/// The version of every document.
pub const API_VERSION: &str = "kubeops.dev/v1alpha1";

/// The kinds of document there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    /// A webhook sender.
    Source,
    /// A git repository.
    Repository,
    /// A cluster.
    Cluster,
    /// Where it is told what became of a request.
    Channel,
    /// When changes may take effect.
    Calendar,
    /// A server whose tools models may use.
    McpServer,
    /// A rule.
    Automation,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 7] = [Kind::Source, Kind::Repository, Kind::Cluster, Kind::Channel, Kind::Calendar, Kind::McpServer, Kind::Automation];

    /// The word written under `kind:`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Source => "Source",
            Kind::Repository => "Repository",
            Kind::Cluster => "Cluster",
            Kind::Channel => "Channel",
            Kind::Calendar => "Calendar",
            Kind::McpServer => "McpServer",
            Kind::Automation => "Automation",
        }
    }

    /// What people call it.
    pub(super) fn word(self) -> String {
        match self {
            Kind::McpServer => "MCP server".to_owned(),
            other => other.as_str().to_lowercase(),
        }
    }
}

/// A document whose envelope and spec fit the schema of its kind.
pub(super) struct Document<'f> {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) spec: Value,
    file: &'f ResourceFile,
    parsed: manifest::Document,
}

impl Document<'_> {
    /// A diagnostic at a pointer within the document; `within` is a place inside a text that stands there.
    pub(super) fn diagnostic(&self, level: Level, pointer: &str, message: String, hint: Option<String>, within: Option<(u32, u32)>) -> Diagnostic {
        let (line, column) = place_of(self.file, &self.parsed, pointer, within);
        let (file, resource) = (self.file.path.clone(), Some(format!("{}/{}", self.kind.as_str(), self.name)));
        Diagnostic { level, file, line, column, resource, pointer: Some(pointer.to_owned()), message, hint }
    }

    /// The pointer to where `text` stands as a value of the spec; to the spec when it does not.
    pub(super) fn pointer_to(&self, text: &str) -> String {
        fn search(value: &Value, text: &str, at: String) -> Option<String> {
            match value {
                Value::String(found) => (found == text).then_some(at),
                Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| search(item, text, format!("{at}/{index}"))),
                Value::Object(fields) => fields.iter().find_map(|(name, field)| search(field, text, format!("{at}/{}", escape_pointer(name)))),
                _ => None,
            }
        }
        search(&self.spec, text, "/spec".to_owned()).unwrap_or_else(|| "/spec".to_owned())
    }

    /// `file:line` of the document's beginning.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file.path, self.parsed.start_line)
    }
}

/// A document that is none of KubeOps' own kinds: a policy, its binding, its parameters, or a mistake.
pub(super) struct Foreign<'f> {
    file: &'f ResourceFile,
    parsed: manifest::Document,
}

impl Foreign<'_> {
    /// The whole document.
    pub(super) fn value(&self) -> &Value {
        &self.parsed.value
    }

    pub(super) fn api_version(&self) -> &str {
        self.value().get("apiVersion").and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn kind(&self) -> &str {
        self.value().get("kind").and_then(Value::as_str).unwrap_or_default()
    }

    /// A field of its metadata.
    pub(super) fn metadata(&self, field: &str) -> Option<&Value> {
        self.value().get("metadata")?.get(field)
    }

    /// The names of its fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.value().as_object().into_iter().flat_map(|fields| fields.keys().map(String::as_str))
    }

    /// `file:line` of the document's beginning.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file.path, self.parsed.start_line)
    }

    /// See [`Document::diagnostic`].
    pub(super) fn diagnostic(&self, level: Level, pointer: &str, message: String, hint: Option<String>, within: Option<(u32, u32)>) -> Diagnostic {
        let (line, column) = place_of(self.file, &self.parsed, pointer, within);
        let name = self.metadata("name").and_then(Value::as_str).unwrap_or_default();
        let resource = (!self.kind().is_empty()).then(|| format!("{}/{name}", self.kind()));
        Diagnostic { level, file: self.file.path.clone(), line, column, resource, pointer: Some(pointer.to_owned()), message, hint }
    }

    /// A violation of a schema of what stands at `below`.
    pub(super) fn problem(&self, problem: Problem, below: &str) -> Diagnostic {
        let pointer = format!("{below}{}", problem.pointer);
        let location = self.parsed.positions.find(&pointer);
        let place = if problem.at_key { location.place() } else { location.value.start };
        Diagnostic { line: place.line, column: place.column, ..self.diagnostic(Level::Error, &pointer, problem.message, problem.hint, None) }
    }
}

/// Line and column of a pointer; `within` is a place inside the text that stands there.
fn place_of(file: &ResourceFile, parsed: &manifest::Document, pointer: &str, within: Option<(u32, u32)>) -> (u32, u32) {
    let location = parsed.positions.find(pointer);
    let text = parsed.value.pointer(pointer).and_then(Value::as_str);
    match (within, text) {
        (Some(place), Some(text)) => place_within(&file.text, location.value, text, place),
        _ => (location.place().line, location.place().column),
    }
}

/// Reads every document of a file: KubeOps' own, and others into `foreign`. What is wrong goes to `found`.
pub(super) fn read<'f>(file: &'f ResourceFile, schemas: &Schemas, foreign: &mut Vec<Foreign<'f>>, found: &mut Vec<Diagnostic>) -> Vec<Document<'f>> {
    let documents = match manifest::parse(&file.text, manifest::Limits::default()) {
        Ok(documents) => documents,
        Err(error) => {
            found.push(Diagnostic {
                level: Level::Error,
                file: file.path.clone(),
                line: error.line,
                column: error.column,
                resource: None,
                pointer: None,
                hint: written_badly(&error.message, &file.text, error.line),
                message: error.message,
            });
            return Vec::new();
        }
    };
    let (own, others): (Vec<_>, Vec<_>) = documents.into_iter().partition(|parsed| {
        let is = |field: &str, wanted: &str| parsed.value.get(field).and_then(Value::as_str) == Some(wanted);
        is("apiVersion", API_VERSION) && !is("kind", PARAMETERS_KIND)
    });
    foreign.extend(others.into_iter().map(|parsed| Foreign { file, parsed }));
    own.into_iter().filter_map(|parsed| envelope(file, parsed, schemas, found)).collect()
}

/// The usual reason for what a YAML parser says.
fn written_badly(message: &str, text: &str, line: u32) -> Option<String> {
    let at = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
    let depth = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let before = text.lines().take(at).filter(|line| !line.trim().is_empty()).last().map(depth);
    let here = text.lines().nth(at).map(depth);
    let deeper = before.zip(here).is_some_and(|(before, here)| here > before);
    if message.contains("tabs") {
        return Some("indent with spaces: YAML takes no tabs there".to_owned());
    }
    if message.contains("mapping values are not allowed") && !deeper {
        return Some("a text with `: ` in it is put in quotes".to_owned());
    }
    let indentation =
        message.contains("mapping values are not allowed") || message.contains("did not find expected key") || message.contains("'-' indicator");
    indentation.then(|| "look at the indentation: fields of one mapping, and items of one list, begin in the same column".to_owned())
}

fn envelope<'f>(file: &'f ResourceFile, parsed: manifest::Document, schemas: &Schemas, found: &mut Vec<Diagnostic>) -> Option<Document<'f>> {
    let text = |pointer: &str| parsed.value.pointer(pointer).and_then(Value::as_str);
    let name = text("/metadata/name").unwrap_or_default().to_owned();
    let kind = Kind::ALL.into_iter().find(|kind| text("/kind") == Some(kind.as_str()));
    let refuse = |pointer: &str, message: String, hint: String| {
        let place = parsed.positions.find(pointer).place();
        let resource = kind.map(|kind| format!("{}/{name}", kind.as_str()));
        let (file, pointer, hint) = (file.path.clone(), Some(pointer.to_owned()), Some(hint));
        Diagnostic { level: Level::Error, file, line: place.line, column: place.column, resource, pointer, message, hint }
    };
    let Some(kind) = kind else {
        let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).chain([PARAMETERS_KIND]).collect();
        let message = match text("/kind") {
            Some(other) => format!("kind {other:?} is not known"),
            None => "the document has no kind".to_owned(),
        };
        found.push(refuse("/kind", message, format!("one of: {}", known.join(", "))));
        return None;
    };
    let problems = schemas.check(kind, &parsed.value);
    if problems.is_empty() {
        let spec = parsed.value.get("spec").cloned().unwrap_or(Value::Null);
        return Some(Document { kind, name, spec, file, parsed });
    }
    for problem in problems {
        let location = parsed.positions.find(&problem.pointer);
        let place = if problem.at_key { location.place() } else { location.value.start };
        found.push(Diagnostic {
            level: Level::Error,
            file: file.path.clone(),
            line: place.line,
            column: place.column,
            resource: Some(format!("{}/{name}", kind.as_str())),
            pointer: Some(problem.pointer),
            message: problem.message,
            hint: problem.hint,
        });
    }
    None
}

/// Where in the file a place within a scalar's text stands. A scalar may be quoted or folded over lines, so the way is
/// walked by the characters that are not white space, which the spelling does not change.
fn place_within(file: &str, span: Span, text: &str, (line, column): (u32, u32)) -> (u32, u32) {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1) as usize).map(|line| line.chars().count()).sum();
    let mut left = text.chars().take(before + column.saturating_sub(1) as usize).filter(|c| !c.is_whitespace()).count();
    let (mut at_line, mut at_column) = (span.start.line, span.start.column);
    let mut source = span.of(file).unwrap_or_default().chars().peekable();
    if matches!(source.peek(), Some('"' | '\'')) && !text.starts_with(['"', '\'']) {
        source.next();
        at_column += 1;
    }
    for c in source {
        if left == 0 && !c.is_whitespace() {
            break;
        }
        left = left.saturating_sub(usize::from(!c.is_whitespace()));
        (at_line, at_column) = if c == '\n' { (at_line + 1, 1) } else { (at_line, at_column + 1) };
    }
    (at_line, at_column)
}
