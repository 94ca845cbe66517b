//! What the gate has to say about a change.

use crate::types::{DirectoryPath, ManifestPath};
use serde::{Deserialize, Serialize};

/// One thing found wrong, or worth a word, with its place and the mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Whether it stops the change.
    pub severity: Severity,
    /// The rule, as a stable word: `path.symlink`, `yaml.syntax`, `schema.type`, `secret.plaintext`, ...
    pub rule: String,
    /// The file.
    pub path: String,
    /// The document within the file, from 0, where it is in one.
    pub document: Option<usize>,
    /// JSON pointer within the document (RFC 6901), where it is at a field.
    pub pointer: Option<String>,
    /// Line in the file, from 1, where known.
    pub line: Option<u32>,
    /// What is wrong and what was expected.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Told to the reviewer.
    Warning,
    /// Stops the change.
    Error,
}

impl Finding {
    /// An error about a whole file.
    pub(super) fn error(rule: &str, path: &ManifestPath, message: impl Into<String>) -> Self {
        Self::whole(rule, path.as_str(), message.into())
    }

    fn whole(rule: &str, path: &str, message: String) -> Self {
        let (rule, path) = (rule.to_owned(), path.to_owned());
        Self { severity: Severity::Error, rule, path, document: None, pointer: None, line: None, message, hint: None }
    }

    /// A word to the reviewer about a whole file.
    pub(super) fn warning(rule: &str, path: &ManifestPath, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(rule, path, message) }
    }

    /// A word to the reviewer about a directory.
    pub(super) fn of_directory(rule: &str, path: &DirectoryPath, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::whole(rule, path.as_str(), message.into()) }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn line(mut self, line: u32) -> Self {
        self.line = Some(line);
        self
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.is_empty() {
            f.write_str(&self.path)?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}
