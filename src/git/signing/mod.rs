//! Signatures on commits, made in this process: SSH (`PROTOCOL.sshsig`, namespace `git`) and OpenPGP (RFC 9580, version 4).
//! The same key signs the same commit the same way, always. The key is asked for at each use; it is never kept, written,
//! logged or shown, and neither is what a library says while it holds one.

mod openpgp;
mod ssh;

use crate::clock::Clock;
use crate::inventory::{SigningFormat, SigningSpec};
use crate::types::{SecretName, Timestamp};
use secrecy::SecretString;
use std::fmt;
use std::sync::Arc;
use tracing::subscriber::{NoSubscriber, with_default};

type Secrets = dyn Fn(&SecretName) -> Result<SecretString, String> + Send + Sync;

/// What a repository's commits are signed with, and a way to the key of the moment.
#[derive(Clone)]
pub struct Signing {
    spec: SigningSpec,
    secrets: Arc<Secrets>,
    clock: Arc<dyn Clock>,
}

/// Why a key does not serve: which secret, what is wrong and what to do. Holds nothing of the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KeyProblem {
    /// The secret.
    pub secret: SecretName,
    /// What is wrong with it, and what to do.
    pub message: String,
}

/// What is wrong, and with which of the two secrets.
#[derive(Debug)]
enum Wrong {
    Key(String),
    Passphrase(String),
}

impl Signing {
    /// Signing as `spec` says; `secrets` gives secrets by name, and its error is shown to people and must hold no secret. Whether a
    /// key has expired is told by `clock`.
    pub fn new(
        spec: SigningSpec,
        clock: Arc<dyn Clock>,
        secrets: impl Fn(&SecretName) -> Result<SecretString, String> + Send + Sync + 'static,
    ) -> Self {
        Self { spec, secrets: Arc::new(secrets), clock }
    }

    /// The armoured signature of `content` as made at `time`, in whole seconds. OpenPGP keys that are younger than `time` sign as at their making.
    ///
    /// # Errors
    /// When the key is missing, cannot be read or unlocked, is of a kind that is not supported, or has expired or was revoked.
    pub(super) fn sign(&self, content: &[u8], time: Timestamp) -> Result<String, KeyProblem> {
        self.with_secrets(|key, passphrase| match self.spec.format {
            SigningFormat::Ssh => ssh::sign(key, passphrase, content),
            SigningFormat::Openpgp => openpgp::sign(key, passphrase, self.clock.now(), time, content),
        })
    }

    /// Looks whether the key would serve now.
    ///
    /// # Errors
    /// As signing a commit.
    pub fn check(&self) -> Result<(), KeyProblem> {
        self.sign(b"", self.clock.now()).map(drop)
    }

    fn with_secrets<T>(&self, work: impl FnOnce(&SecretString, Option<&SecretString>) -> Result<T, Wrong>) -> Result<T, KeyProblem> {
        let read = |name: &SecretName| (self.secrets)(name).map_err(|message| KeyProblem { secret: name.clone(), message });
        let key = read(&self.spec.key)?;
        let passphrase = self.spec.passphrase.as_ref().map(read).transpose()?;
        // The libraries log what they read and why it fails: nobody listens.
        with_default(NoSubscriber::default(), || work(&key, passphrase.as_ref())).map_err(|wrong| match (wrong, &self.spec.passphrase) {
            (Wrong::Passphrase(message), Some(secret)) => KeyProblem { secret: secret.clone(), message },
            (Wrong::Passphrase(message) | Wrong::Key(message), _) => KeyProblem { secret: self.spec.key.clone(), message },
        })
    }
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signing").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Wrong {
    fn key(message: impl Into<String>) -> Self {
        Self::Key(message.into())
    }

    /// The key has a passphrase, and either none was given or it is another.
    fn locked(passphrase: Option<&SecretString>) -> Self {
        match passphrase {
            Some(_) => Self::Passphrase("it is not the key's passphrase; put the right one there".to_owned()),
            None => Self::key("the key is locked with a passphrase; name the secret that holds it as `passphrase` of the repository's `signing`"),
        }
    }
}

/// A sentence for a text that is no key of the wanted format; the text is not in it.
fn no_key(text: &str, wanted: SigningFormat) -> Wrong {
    let (ssh, openpgp) =
        ("an OpenSSH private key, as `ssh-keygen -t ed25519` makes", "an OpenPGP private key, as `gpg --armor --export-secret-keys` writes");
    let begins = |start: &str| text.trim_start().starts_with(start);
    let public = ["ssh-", "ecdsa-", "sk-ssh-", "-----BEGIN PGP PUBLIC"].into_iter().any(begins);
    Wrong::key(match wanted {
        _ if public => "it holds a public key; put the private one there".to_owned(),
        SigningFormat::Ssh if begins("-----BEGIN PGP") => "it holds an OpenPGP key; write `format: openpgp`, or put an SSH key there".to_owned(),
        SigningFormat::Openpgp if begins("-----BEGIN OPENSSH") => "it holds an SSH key; write `format: ssh`, or put an OpenPGP key there".to_owned(),
        SigningFormat::Ssh if begins("-----BEGIN OPENSSH") => format!("the key is cut short or damaged; put {ssh} there, with its line breaks"),
        SigningFormat::Openpgp if begins("-----BEGIN PGP PRIVATE") => {
            format!("the key is cut short or damaged; put {openpgp} there, with its line breaks")
        }
        SigningFormat::Ssh if begins("-----BEGIN") => "it holds a key of another format; convert it with `ssh-keygen -p -f <file>`".to_owned(),
        SigningFormat::Ssh => format!("it holds no key; put {ssh} there"),
        SigningFormat::Openpgp => format!("it holds no key; put {openpgp} there"),
    })
}
