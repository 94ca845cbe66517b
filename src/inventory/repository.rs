//! One repository, as its author writes it.

use super::{AuthorSpec, ForgeSpec};
use crate::types::{BranchName, RemoteUrl, SecretName, SpecError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The `spec:` of a document of kind `Repository`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepositorySpec {
    /// Where it is fetched from and pushed to: `https://`, `ssh://`, `git@host:path`, `file://` or an absolute path.
    pub url: RemoteUrl,
    /// The base branch pull requests go to.
    #[serde(default = "main_branch")]
    pub branch: BranchName,
    /// What head branches start with.
    #[serde(default = "branch_prefix")]
    pub branch_prefix: BranchName,
    /// Who opens and keeps pull requests.
    #[serde(default)]
    pub forge: ForgeSpec,
    /// What fetching and pushing over HTTPS authenticates with; without it, the forge's token, or the token of its App.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsSpec>,
    /// Whose name stands on commits.
    #[serde(default)]
    pub author: AuthorSpec,
}

/// A user name and the secret that goes with it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialsSpec {
    /// The user name; GitHub takes any with a token.
    #[serde(default = "token_user")]
    pub username: String,
    /// Name of the secret that holds the token.
    pub secret: SecretName,
}

fn main_branch() -> BranchName {
    known("main")
}
fn branch_prefix() -> BranchName {
    known("kubeops")
}
fn known(name: &str) -> BranchName {
    name.parse().unwrap_or_else(|_| unreachable!("a literal branch name"))
}
fn token_user() -> String {
    "x-access-token".to_owned()
}

impl RepositorySpec {
    /// Every secret it names.
    pub fn secret_names(&self) -> impl Iterator<Item = SecretName> {
        let own = self.credentials.as_ref().map(|credentials| credentials.secret.clone());
        own.into_iter().chain(self.forge.secret_names())
    }

    /// What is wrong beyond the types: pointers into the spec.
    pub fn check(&self) -> Vec<SpecError> {
        let mut errors = self.forge.check(&self.url);
        errors.extend(self.author.check());
        errors
    }
}
