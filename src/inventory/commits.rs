//! How a repository's commits look, as its author writes it.

use crate::types::SpecError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose name stands on commits.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorSpec {
    /// Name.
    #[serde(default = "author_name")]
    pub name: String,
    /// Address.
    #[serde(default = "author_email")]
    pub email: String,
}

impl Default for AuthorSpec {
    fn default() -> Self {
        Self { name: author_name(), email: author_email() }
    }
}

impl AuthorSpec {
    /// What is wrong: pointers into the repository's spec.
    pub(super) fn check(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        for (pointer, text) in [("/author/name", &self.name), ("/author/email", &self.email)] {
            if text.is_empty() || text.chars().any(|c| c.is_control() || "<>".contains(c)) {
                errors.push(SpecError::new(pointer, "a name or address on a commit is not empty and holds no `<`, `>` or control characters"));
            }
        }
        errors
    }
}

fn author_name() -> String {
    "KubeOps".to_owned()
}
fn author_email() -> String {
    "kubeops@localhost".to_owned()
}
