//! The YAML documents that configure KubeOps: sources, repositories, clusters, channels, calendars, MCP servers and automations, checked as one set.
//! Pure: it is given the files' texts and never reads a directory. A set with one error is no set; every error has its
//! file, line, column and, where there is one, a hint.

mod automations;
mod calendars;
mod diagnostic;
mod document;
mod drafts;
mod mcp;
mod policies;
mod schema;
mod sealing;
mod set;
#[cfg(test)]
mod tests;

pub use automations::Rule;
pub use diagnostic::{Diagnostic, Level};
pub use document::{API_VERSION, Kind};
pub use schema::{check_test, schema_like, schema_of};
pub use set::{Defaults, ResourceSet};

/// One file of a resources directory.
#[derive(Debug, Clone)]
pub struct ResourceFile {
    /// Its path, as diagnostics show it.
    pub path: String,
    /// Its text.
    pub text: String,
}
