//! How a repository is reached, as its author writes it: by which git, how much of it, and with which SSH key.
//! Secrets stand here only as names; known host keys are public and may stand here themselves.

use crate::types::{RemoteUrl, SecretName, SpecError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::num::NonZeroU32;

/// Which git fetches and pushes, and how much of the repository is kept here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct GitSpec {
    /// Which git fetches and pushes.
    pub transport: GitTransport,
    /// Keep no file contents, and fetch what is read when it is read. For `transport: git`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial_clone: bool,
    /// How many commits of the base branch the first fetch brings; all of them by default. For `transport: git`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<NonZeroU32>,
}

/// Which git fetches and pushes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GitTransport {
    /// The one built in.
    #[default]
    Libgit2,
    /// The `git` program of this machine.
    Git,
}

impl GitSpec {
    /// What is wrong: pointers into the repository's spec.
    pub(super) fn check(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        if self.transport == GitTransport::Libgit2 {
            let mut refuse = |field: &str, asked: bool| {
                if asked {
                    let message = "libgit2 fetches repositories whole";
                    errors.push(SpecError::new(format!("/git/{field}"), message).hint("add `transport: git`, or leave it out"));
                }
            };
            refuse("partialClone", self.partial_clone);
            refuse("depth", self.depth.is_some());
        }
        errors
    }
}

/// A key to enter SSH hosts with, and the keys of those hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SshSpec {
    /// Name of the secret that holds the private key, which has no passphrase.
    pub key: SecretName,
    /// The host's public keys as `ssh-keyscan` prints them, or the name of the secret that holds such lines.
    pub known_hosts: KnownHosts,
}

impl SshSpec {
    /// What is wrong for a repository at `url`: pointers into the repository's spec.
    pub(super) fn check(&self, url: &RemoteUrl) -> Vec<SpecError> {
        if url.ssh().is_some() {
            return Vec::new();
        }
        vec![SpecError::new("/ssh", "this URL is not reached over SSH").hint("url: git@host:path or ssh://git@host/path; or leave `ssh` out")]
    }

    /// The secrets it names.
    pub(super) fn secret_names(&self) -> impl Iterator<Item = &SecretName> {
        let hosts = match &self.known_hosts {
            KnownHosts::Secret(name) => Some(name),
            KnownHosts::Lines(_) => None,
        };
        std::iter::once(&self.key).chain(hosts)
    }
}

/// Public keys of hosts, as `known_hosts` of OpenSSH has them (`sshd(8)`), or the secret that holds them. A line has at least
/// two spaces and a secret's name has none, so one cannot be taken for the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KnownHosts {
    /// The lines.
    Lines(String),
    /// Name of the secret that holds them.
    Secret(SecretName),
}

impl TryFrom<String> for KnownHosts {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if !text.trim().contains(char::is_whitespace) {
            return text.trim().parse().map(Self::Secret).map_err(|error: crate::types::ParseError| error.to_string());
        }
        let wrong = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#') && line.split_whitespace().count() < 3);
        match wrong {
            Some(line) => {
                let line: String = line.chars().take(80).collect();
                Err(format!("{line:?} is no known host: a line reads `host type key`, as ssh-keyscan prints it"))
            }
            None => Ok(Self::Lines(text)),
        }
    }
}

impl From<KnownHosts> for String {
    fn from(hosts: KnownHosts) -> String {
        match hosts {
            KnownHosts::Lines(lines) => lines,
            KnownHosts::Secret(name) => name.to_string(),
        }
    }
}

impl JsonSchema for KnownHosts {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "KnownHosts".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "minLength": 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secrets_name_is_told_from_lines_of_host_keys() {
        let read = |text: &str| KnownHosts::try_from(text.to_owned());
        assert_eq!(read("GITOPS_HOSTS"), Ok(KnownHosts::Secret("GITOPS_HOSTS".parse().expect("a name"))));
        let lines = "# a host\nhost.example ssh-ed25519 AAAA comment\n";
        assert_eq!(read(lines), Ok(KnownHosts::Lines(lines.to_owned())));
        for bad in ["", "host ssh-ed25519", "two words\nhost ssh-ed25519 AAAA"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_only_the_git_program_can_do_is_refused_for_libgit2() {
        let read = |yaml: &str| serde_json::from_str::<GitSpec>(yaml).expect("a spec").check().len();
        assert_eq!(read(r#"{"partialClone": true, "depth": 1}"#), 2);
        assert_eq!(read(r#"{"transport": "git", "partialClone": true, "depth": 1}"#), 0);
        assert_eq!(read("{}"), 0);
    }
}
