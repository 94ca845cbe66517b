//! A repository as the git adapter needs it, and how one may enter: credentials are asked for at use.
//! A token is never printed.

use crate::inventory::GitSpec;
use crate::types::{BranchName, RemoteUrl, RepositoryName};
use base64::Engine as _;
use secrecy::{ExposeSecret, SecretString};
use std::{fmt, sync::Arc};

/// A user name and a way to the token of the moment. The token is asked for at each use, so that it may rotate.
#[derive(Clone)]
pub struct Credentials {
    username: String,
    token: Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>,
}

impl Credentials {
    /// Credentials for HTTPS: the user name (GitHub takes any; `x-access-token` by custom) and where the token comes from.
    /// The closure's error is shown to people and must hold no secret.
    pub fn new(username: impl Into<String>, token: impl Fn() -> Result<SecretString, String> + Send + Sync + 'static) -> Self {
        Self { username: username.into(), token: Arc::new(token) }
    }

    pub(super) fn username(&self) -> &str {
        &self.username
    }

    pub(super) fn token(&self) -> Result<SecretString, String> {
        (self.token)()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A way to the private key of the moment, and to the keys of the hosts it is for. Both are asked for at each use.
#[derive(Clone)]
pub struct SshAccess {
    key: Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>,
    known_hosts: Arc<dyn Fn() -> Result<String, String> + Send + Sync>,
}

impl SshAccess {
    /// Where the private key (OpenSSH's own form or PEM, without a passphrase) and the lines of `known_hosts` (`sshd(8)`) come
    /// from. The closures' errors are shown to people and must hold no secret.
    pub fn new(
        key: impl Fn() -> Result<SecretString, String> + Send + Sync + 'static,
        known_hosts: impl Fn() -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        Self { key: Arc::new(key), known_hosts: Arc::new(known_hosts) }
    }

    /// The key as programs read it: with the newline at its end that a secret loses.
    pub(super) fn key(&self) -> Result<SecretString, String> {
        let key = (self.key)()?;
        let text = key.expose_secret().trim();
        if !text.starts_with("-----BEGIN ") {
            return Err("the secret is no private key: it does not start with `-----BEGIN`".to_owned());
        }
        if has_passphrase(text) {
            return Err("the key has a passphrase, which nobody is there to type; take a key without one (ssh-keygen -p)".to_owned());
        }
        Ok(format!("{text}\n").into())
    }

    pub(super) fn known_hosts(&self) -> Result<String, String> {
        (self.known_hosts)()
    }
}

impl fmt::Debug for SshAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshAccess").finish_non_exhaustive()
    }
}

/// Whether a private key is encrypted: PEM says so in words, OpenSSH's form names a cipher after its magic (`PROTOCOL.key`).
fn has_passphrase(key: &str) -> bool {
    if !key.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") {
        return key.contains("ENCRYPTED");
    }
    let body: String = key.lines().filter(|line| !line.starts_with("-----")).flat_map(|line| line.trim().chars()).collect();
    let head = body.get(..64).and_then(|head| base64::engine::general_purpose::STANDARD.decode(head).ok()).unwrap_or_default();
    !head.starts_with(b"openssh-key-v1\0\0\0\0\x04none")
}

/// One repository as the git adapter needs it.
#[derive(Debug, Clone)]
pub struct RemoteSpec {
    /// Its name: the mirror's directory and the word in messages.
    pub name: RepositoryName,
    /// Where it lives.
    pub url: RemoteUrl,
    /// The branch changes are made for.
    pub base: BranchName,
    /// How to enter; none for a public or local repository. Used for `https://` and `http://` only.
    pub credentials: Option<Credentials>,
    /// How to enter an SSH host; without it, with the agent and the known hosts of whoever runs this process.
    pub ssh: Option<SshAccess>,
    /// Which git speaks with it, and how much of it is kept here.
    pub git: GitSpec,
}

impl RemoteSpec {
    /// A public or local repository, reached by the git that is built in.
    pub fn new(name: RepositoryName, url: RemoteUrl, base: BranchName) -> Self {
        Self { name, url, base, credentials: None, ssh: None, git: GitSpec::default() }
    }

    /// What a mirror of it is a mirror of: the address, and how much is left out. One of another mark is built anew.
    pub(super) fn mark(&self) -> String {
        let mut mark = self.url.as_str().to_owned();
        if self.git.partial_clone {
            mark.push_str("\npartial");
        }
        if let Some(depth) = self.git.depth {
            mark.push_str(&format!("\ndepth {depth}"));
        }
        mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_token() {
        let credentials = Credentials::new("bot", || Ok(SecretString::from("hunter2")));
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }

    #[test]
    fn a_key_that_nobody_can_unlock_is_named_before_it_is_tried() {
        let directory = tempfile::tempdir().expect("a directory");
        let made = |name: &str, passphrase: &str, more: &[&str]| {
            let file = directory.path().join(name);
            let mut command = std::process::Command::new("ssh-keygen");
            let made = command.args(["-q", "-N", passphrase, "-f"]).arg(&file).args(more).status().expect("ssh-keygen");
            assert!(made.success());
            std::fs::read_to_string(file).expect("a key")
        };
        let read = |text: String| SshAccess::new(move || Ok(text.trim_end().to_owned().into()), || Ok(String::new())).key();
        for form in [&["-t", "ed25519"][..], &["-t", "ecdsa", "-m", "PEM"], &["-t", "rsa", "-b", "2048", "-m", "PKCS8"]] {
            let plain = made(&form.concat(), "", form);
            assert_eq!(read(plain.clone()).expect("a key").expose_secret(), &plain);
            let error = read(made(&format!("{}-locked", form.concat()), "hunter2", form)).expect_err("locked");
            assert!(error.contains("passphrase"), "{error}");
        }
        let error = read("hunter2".to_owned()).expect_err("no key");
        assert!(error.contains("no private key") && !error.contains("hunter2"), "{error}");
    }
}
