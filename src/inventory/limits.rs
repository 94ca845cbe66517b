//! How much one change may do to a cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most that one change may do: what goes beyond is refused, because nobody reviews it line by line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ChangeLimits {
    /// Files that differ.
    #[schemars(range(min = 1))]
    pub files: u32,
    /// Objects that are added, changed or removed.
    #[schemars(range(min = 1))]
    pub objects: u32,
    /// Objects that are removed.
    pub deletions: u32,
}

impl Default for ChangeLimits {
    fn default() -> Self {
        Self { files: 100, objects: 200, deletions: 20 }
    }
}
