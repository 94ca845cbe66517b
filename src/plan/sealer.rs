//! Sealing as plans see it: by the names of secrets alone. Who has their values stands behind [`Sealer`].

use crate::inventory::SealingSpec;
use crate::seal::{Scope, SealError};
use crate::types::SecretName;

/// One value to seal.
#[derive(Debug, Clone, Copy)]
pub struct SealOrder<'a> {
    /// For which controller, and with which key of the server.
    pub sealing: &'a SealingSpec,
    /// For which Secret of the cluster.
    pub scope: Scope<'a>,
    /// The key of the Secret.
    pub key: &'a str,
    /// The name of the secret whose value it gets.
    pub secret: &'a SecretName,
}

/// Whoever has secrets and seals them, the same value for the same place always to the same text.
pub trait Sealer: Send + Sync {
    /// The sealed value, as `encryptedData` of a SealedSecret holds it.
    ///
    /// # Errors
    /// When a secret is not at hand, or its value cannot be sealed.
    fn seal(&self, order: SealOrder<'_>) -> Result<String, SealError>;

    /// What people are to be told of its values where they are no real ones.
    fn note(&self) -> Option<&'static str> {
        None
    }
}

/// Puts a word of the same form where sealed values would stand: for those who show what a change looks like and have no secrets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Placeholders;

/// The length of the shortest sealed value: nothing, for a key of 2,048 bits.
const LENGTH: usize = 368;
const WORDS: &str = "AQA/PLACEHOLDER/NOT+SEALED/ONLY+THE+SERVER+SEALS/";

impl Sealer for Placeholders {
    fn seal(&self, _: SealOrder<'_>) -> Result<String, SealError> {
        Ok(WORDS.chars().chain(WORDS.chars().skip(4).cycle()).take(LENGTH).collect())
    }

    fn note(&self) -> Option<&'static str> {
        Some("sealed values are placeholders: no secret is read here, the server alone seals")
    }
}
