//! The gate in front of git: paths, YAML, Kubernetes schemas and the rules no change may break.
//! [`validate`] alone makes a [`ValidatedChange`], and `git` accepts nothing else.
//! Pure: what it needs of the base comes through `BaseTree`. It never mends what it is given.

use crate::plan::{BaseTree, ChangeSet, FileChange};
pub use crate::types::{KubernetesVersion, UnknownKinds};

use crate::types::{DirectoryPath, ManifestPath};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

/// What a change is held against.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The Kubernetes minor whose schemas apply, such as `1.33`.
    pub kubernetes: KubernetesVersion,
    /// The directory every file must lie under.
    pub within: DirectoryPath,
    /// What to do with a kind that has no schema.
    pub unknown_kinds: UnknownKinds,
}

/// A change that passed the gate. Its fields are private: nothing else can make one, so what git commits was looked at.
#[derive(Debug, Clone)]
pub struct ValidatedChange {
    files: BTreeMap<ManifestPath, FileChange>,
    templates: BTreeMap<String, String>,
    warnings: Vec<Finding>,
}

impl ValidatedChange {
    /// What happens to each file.
    pub fn files(&self) -> &BTreeMap<ManifestPath, FileChange> {
        &self.files
    }

    /// Which templates made it, and their digests.
    pub fn templates(&self) -> &BTreeMap<String, String> {
        &self.templates
    }
}
