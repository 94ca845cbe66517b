//! How a repository's commits look, as its author writes it.

use crate::types::{Identity, SecretName, SpecError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose name stands on commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// What is wrong: pointers into the repository's spec, below `at`.
    pub(super) fn check(&self, at: &str) -> Vec<SpecError> {
        let fields = [("name", Identity::new(&self.name, "a@b")), ("email", Identity::new("a", &self.email))];
        let mut errors: Vec<SpecError> =
            fields.into_iter().filter_map(|(field, read)| Some(SpecError::new(format!("{at}/{field}"), read.err()?.to_string()))).collect();
        if errors.is_empty() && !self.email.contains('@') {
            errors.push(SpecError::new(format!("{at}/email"), format!("`{}` is no address", self.email)).hint("email: kubeops@acme.example"));
        }
        errors
    }
}

/// What commits are signed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SigningSpec {
    /// The kind of key.
    pub format: SigningFormat,
    /// Name of the secret that holds the private key.
    pub key: SecretName,
    /// Name of the secret that holds the key's passphrase, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SecretName>,
}

/// A kind of signature that `git verify-commit` reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SigningFormat {
    /// An OpenSSH private key: Ed25519, or ECDSA on P-256 or P-384.
    Ssh,
    /// An OpenPGP private key, armoured: Ed25519, or ECDSA on P-256 or P-384.
    Openpgp,
}

impl SigningFormat {
    /// The word in the document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Openpgp => "openpgp",
        }
    }
}

impl SigningSpec {
    /// What is wrong: pointers into the repository's spec.
    pub(super) fn check(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        if self.passphrase.as_ref() == Some(&self.key) {
            errors.push(
                SpecError::new("/signing/passphrase", "this is the secret with the key, which cannot hold its own passphrase")
                    .hint("name another secret, or leave it out where the key has no passphrase"),
            );
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
