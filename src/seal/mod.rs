//! Values of secrets sealed for one cluster: what a `SealedSecret` of Bitnami's controller holds in `encryptedData`.
//! Pure: it is given the values and reads nothing. The same value for the same place gives the same bytes, so that a request
//! planned again is the same change. It never gives a value, a session key or a seed away, also not in an error.

mod certificate;
mod derive;
mod oaep;

pub use certificate::Certificate;

use crate::types::{ErrorClass, SecretName};
use aes_gcm::aead::Aead;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use derive::Place;
use secrecy::zeroize::Zeroizing;
use std::fmt;

/// The largest value, in bytes: what Kubernetes lets a Secret hold in all.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;
/// The shortest sealing key, in bytes.
pub const MIN_KEY_BYTES: usize = 32;

/// Why nothing was sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The certificate cannot be used.
    #[error("the certificate of the sealed-secrets controller cannot be used: {0}; `kubeseal --fetch-cert` prints it")]
    Certificate(String),
    /// The sealing key is too short to keep anything.
    #[error("the sealing key has {0} bytes; it must have at least {MIN_KEY_BYTES}")]
    ShortKey(usize),
    /// A secret that is named is not at hand.
    #[error("the secret {0} is not there")]
    Missing(SecretName),
    /// The value is larger than a Secret may be.
    #[error("the value of `{key}` has more than {MAX_VALUE_BYTES} bytes, which is all a Secret may hold")]
    TooLarge {
        /// The key of the Secret.
        key: String,
    },
    /// The cipher refused, which it does for no value of an allowed size.
    #[error("the value of `{key}` could not be sealed")]
    Cipher {
        /// The key of the Secret.
        key: String,
    },
}

impl SealError {
    /// A certificate, a key or a value is for people to mend.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Certificate(_) | Self::ShortKey(_) | Self::Missing(_) => ErrorClass::Permanent,
            Self::TooLarge { .. } => ErrorClass::User,
            Self::Cipher { .. } => ErrorClass::Bug,
        }
    }
}

/// For which Secret a value is sealed: the controller opens it for no other.
/// <https://github.com/bitnami-labs/sealed-secrets#scopes>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// For the Secret of this name in this namespace.
    Strict {
        /// The namespace.
        namespace: &'a str,
        /// The name.
        name: &'a str,
    },
    /// For any Secret of this namespace.
    NamespaceWide {
        /// The namespace.
        namespace: &'a str,
    },
    /// For any Secret of the cluster.
    ClusterWide,
}

impl Scope<'_> {
    /// What the session key is bound to.
    fn label(&self) -> String {
        match self {
            Self::Strict { namespace, name } => format!("{namespace}/{name}"),
            Self::NamespaceWide { namespace } => (*namespace).to_owned(),
            Self::ClusterWide => String::new(),
        }
    }
}

/// A secret of the server's own, from which seeds and session keys are derived: [`derive`] says how and why.
pub struct SealingKey(Zeroizing<Vec<u8>>);

impl SealingKey {
    /// Takes random bytes.
    ///
    /// # Errors
    /// [`SealError::ShortKey`].
    pub fn new(bytes: &[u8]) -> Result<Self, SealError> {
        if bytes.len() < MIN_KEY_BYTES { Err(SealError::ShortKey(bytes.len())) } else { Ok(Self(Zeroizing::new(bytes.to_vec()))) }
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

/// Seals `value` as the entry `key` of a Secret: base64 of the length of the RSA ciphertext (16 bits, big endian), the session
/// key under RSA-OAEP (RFC 8017, SHA-256, the scope as its label), and the value under AES-256-GCM with a nonce of zeros.
/// <https://github.com/bitnami-labs/sealed-secrets/blob/main/docs/developer/crypto.md>
///
/// # Errors
/// [`SealError::TooLarge`].
pub fn seal(certificate: &Certificate, sealing_key: &SealingKey, scope: Scope<'_>, key: &str, value: &[u8]) -> Result<String, SealError> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(SealError::TooLarge { key: key.to_owned() });
    }
    let label = scope.label();
    let place = Place { certificate: certificate.digest(), scope, key };
    let derived = derive::derive(&sealing_key.0, &place, value);
    let cipher = Aes256Gcm::new((&*derived.session_key).into());
    // A session key encrypts one value alone, so that its nonce may be the same always: this is what the controller expects.
    let sealed = cipher.encrypt(&Nonce::default(), value).map_err(|_| SealError::Cipher { key: key.to_owned() })?;
    let wrapped = oaep::encrypt(certificate.public_key(), label.as_bytes(), &derived.session_key, &derived.seed);
    let length = u16::try_from(wrapped.len()).map_err(|_| SealError::Cipher { key: key.to_owned() })?;
    let mut bytes = Vec::with_capacity(2 + wrapped.len() + sealed.len());
    bytes.extend(length.to_be_bytes());
    bytes.extend(wrapped);
    bytes.extend(sealed);
    Ok(STANDARD.encode(bytes))
}
