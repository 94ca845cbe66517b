//! Who keeps a repository's pull requests, as its author writes it.

use crate::types::{RemoteUrl, SecretName, SpecError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who opens and keeps pull requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum ForgeSpec {
    /// KubeOps itself: the branch is in the repository, the pull request in the store. For a bare repository on this machine.
    #[default]
    Local,
    /// GitHub, or GitHub Enterprise.
    #[serde(rename_all = "camelCase")]
    Github {
        /// `owner/name` at GitHub; by default read from the repository's URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repository: Option<String>,
        /// The API's address, for GitHub Enterprise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        api_url: Option<String>,
        /// Name of the secret that holds the token.
        token: SecretName,
    },
}

impl ForgeSpec {
    /// What is wrong for a repository at `url`: pointers into the repository's spec.
    pub(super) fn check(&self, url: &RemoteUrl) -> Vec<SpecError> {
        let mut errors = Vec::new();
        match self {
            Self::Local if !url.is_local() => errors.push(
                SpecError::new("/url", "the local forge keeps pull requests beside a bare repository on this machine, and this URL is elsewhere")
                    .hint("forge: { kind: github, token: GITHUB_TOKEN }, or an absolute path or file:// URL"),
            ),
            Self::Github { repository, .. } => match repository.clone().or_else(|| url.owner_and_name()) {
                Some(slug) if is_slug(&slug) => {}
                _ => errors.push(
                    SpecError::new("/forge", "which repository at GitHub this is cannot be read from the URL")
                        .hint("forge: { kind: github, repository: owner/name, token: GITHUB_TOKEN }"),
                ),
            },
            Self::Local => {}
        }
        errors
    }
}

fn is_slug(slug: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    slug.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}
