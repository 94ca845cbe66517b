//! Templates to manifests and text: the catalogue, its rules, and what may go wrong.
//! Pure. A value is always data: it becomes neither template source, nor YAML structure, nor another type, nor a directory level.
//! It never reads a file, the environment, a clock or random bits; `sandbox` runs it where it can be killed.

mod arguments;
mod catalogue;
mod engine;
mod folder;
mod graph;
mod lint;
mod manifest;
mod markdown;
mod reads;
mod schema;
mod skeleton;
mod source;
#[cfg(test)]
mod tests;
mod text;
mod translate;
mod violation;

pub use catalogue::Catalogue;
pub(crate) use engine::Engine;
pub use engine::MAX_OUTPUT_BYTES;
pub(crate) use folder::file_of;
pub use folder::{Example, Origin, Template};
pub use text::{TextError, TextKind, TextTemplate};

use crate::types::{ErrorClass, TemplateName};
use serde::{Deserialize, Serialize};

/// Something wrong in a catalogue, with its place and the mend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct TemplateError {
    /// The file, relative to the catalogue.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it; empty when the message says it.
    pub hint: String,
}

impl TemplateError {
    /// The error, and on a line of its own how it is mended.
    pub fn told(&self) -> String {
        if self.hint.is_empty() { self.to_string() } else { format!("{self}\n  hint: {}", self.hint) }
    }
}

/// One template to render.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderJob {
    /// Which template.
    pub template: TemplateName,
    /// The variables: an object with `parameters` (defaults applied), and `event`, `request`, `target` where known.
    pub context: serde_json::Value,
}

/// Whatever turns templates into bytes: the catalogue itself, or processes that can be killed.
pub trait Renderer: Send + Sync {
    /// Renders every job, in order. May block for up to two seconds a job.
    ///
    /// # Errors
    /// The first job's that failed; nothing is kept of the others.
    fn render(&self, jobs: &[RenderJob]) -> Result<Vec<Vec<u8>>, RenderError>;
}

/// One parameter that breaks its template's schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// JSON pointer to the parameter (RFC 6901); empty for the parameters as a whole.
    pub pointer: String,
    /// What is wrong, at most 300 characters.
    pub message: String,
    /// What was probably meant, or what the parameter is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.pointer.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.pointer, self.message) }
    }
}

/// Why there is no output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum RenderError {
    /// The catalogue has no such template.
    #[error("there is no template `{0}`")]
    UnknownTemplate(String),
    /// The parameters break the template's schema; every violation is listed.
    #[error("the parameters do not fit the template `{template}`: {}", list(violations))]
    Parameters {
        /// The template.
        template: String,
        /// All of them.
        violations: Vec<Violation>,
    },
    /// The template failed: a missing variable, a filter on a value of the wrong type, `throw`.
    #[error("template `{template}`, {file} line {line}: {message}")]
    Template {
        /// The template.
        template: String,
        /// The file it failed in, which may be a shared one.
        file: String,
        /// Line, from 1; 0 when unknown.
        line: u32,
        /// What went wrong.
        message: String,
    },
    /// The output passed the limit.
    #[error("template `{template}` writes more than {limit} bytes")]
    OutputTooLarge {
        /// The template.
        template: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The template took too long and was stopped.
    #[error("template `{template}` took longer than {millis} ms and was stopped")]
    TimeExceeded {
        /// The template.
        template: String,
        /// The limit in milliseconds.
        millis: u64,
    },
    /// The process that rendered it died: it asked for more memory than allowed, or crashed.
    #[error("template `{template}` was stopped: {reason}")]
    Crashed {
        /// The template.
        template: String,
        /// How the process ended.
        reason: String,
    },
    /// No process could be started.
    #[error("rendering is not available: {0}")]
    Unavailable(String),
    /// The two sides of the sandbox did not understand each other.
    #[error("the render worker answered nonsense: {0}")]
    Protocol(String),
}

impl RenderError {
    /// The error with every violation on a line of its own, and below it the mend: for a terminal.
    pub fn told(&self) -> String {
        let Self::Parameters { template, violations } = self else { return self.to_string() };
        let mut lines = vec![format!("the parameters do not fit the template `{template}`:")];
        for violation in violations {
            lines.push(format!("  {violation}"));
            lines.extend(violation.hint.iter().map(|hint| format!("    hint: {hint}")));
        }
        lines.push(format!("`kubeops templates show {template}` shows its parameters"));
        lines.join("\n")
    }

    /// A template's or its parameters' faults are for people to mend; a process that cannot start may start later.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::UnknownTemplate(_)
            | Self::Parameters { .. }
            | Self::Template { .. }
            | Self::OutputTooLarge { .. }
            | Self::TimeExceeded { .. }
            | Self::Crashed { .. } => ErrorClass::User,
            Self::Unavailable(_) => ErrorClass::Transient,
            Self::Protocol(_) => ErrorClass::Bug,
        }
    }
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
