//! What is wrong with a resource, and where.

use serde::Serialize;
use std::fmt;

/// How grave a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The set is refused.
    Error,
    /// The set is taken; somebody should look.
    Warning,
}

/// One thing found in a resource file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How grave.
    pub level: Level,
    /// The file.
    pub file: String,
    /// Line, from 1; 0 when it is about the file or directory as a whole.
    pub line: u32,
    /// Column, from 1; 0 where the line is.
    pub column: u32,
    /// `Automation/namespace-request`, where it is known.
    pub resource: Option<String>,
    /// JSON pointer within the document, where it is at a field.
    pub pointer: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        match self.line {
            0 => write!(f, "{}: {level}: ", self.file)?,
            line if self.column == 0 => write!(f, "{}:{line}: {level}: ", self.file)?,
            line => write!(f, "{}:{line}:{}: {level}: ", self.file, self.column)?,
        }
        if let Some(resource) = &self.resource {
            write!(f, "{resource}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(pointer) = self.pointer.as_deref().filter(|pointer| !pointer.is_empty()) {
            write!(f, " (at {pointer})")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}
