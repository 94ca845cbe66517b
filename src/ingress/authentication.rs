//! Proof of where a delivery comes from: signatures over the raw bytes, tokens and passwords.
//! Compared in constant time, every secret each time. A secret that is missing or empty never matches: it fails closed.

use super::model::{Algorithm, Encoding};
use super::{Headers, IngressError, SecretLookup, Unproven};
use crate::types::{SecretName, Timestamp};
use base64::Engine;
use hmac::{KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256, Sha512};
use std::time::Duration;
use subtle::{Choice, ConstantTimeEq};

/// How a source's deliveries are proven, ready to check. Header names are in lower case.
#[derive(Debug)]
pub(super) enum Proof {
    /// Nobody has to prove anything.
    Open,
    /// Nothing that is sent to us is believed: what is to be had is fetched over a connection of our own.
    Fetched,
    /// A signature over the body.
    Signature(Signature),
    /// A secret as the value of a header, after `scheme` where there is one.
    Token { secrets: Vec<SecretName>, header: String, scheme: Option<&'static str>, least_bytes: usize },
    /// A user and a password.
    Basic { secrets: Vec<SecretName>, username: String },
}

/// How a signature is found and computed.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) secrets: Vec<SecretName>,
    pub(super) algorithm: Algorithm,
    pub(super) header: String,
    pub(super) prefix: String,
    pub(super) encoding: Encoding,
    /// The header with the time of sending, and how far that may be off.
    pub(super) timestamp: Option<(String, Duration)>,
}

/// What must be known of a secret's length: below `least` it is not used, below `advised` a warning is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Strength {
    pub(super) least: usize,
    pub(super) advised: usize,
}

impl Proof {
    /// The secrets it may look up.
    pub(super) fn secrets(&self) -> &[SecretName] {
        match self {
            Proof::Open | Proof::Fetched => &[],
            Proof::Signature(Signature { secrets, .. }) | Proof::Token { secrets, .. } | Proof::Basic { secrets, .. } => secrets,
        }
    }

    /// The word an author writes for it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Proof::Open => "none",
            Proof::Fetched => "connection",
            Proof::Signature(_) => "hmac",
            Proof::Token { scheme: Some(_), .. } => "bearer",
            Proof::Token { scheme: None, .. } => "header",
            Proof::Basic { .. } => "basic",
        }
    }

    /// The form of the headers that carry the proof, for the log: `x-signature: sha256=<hex>`.
    pub(super) fn form(&self) -> String {
        match self {
            Proof::Open => "nothing".to_owned(),
            Proof::Fetched => "nothing that is sent".to_owned(),
            Proof::Signature(Signature { header, prefix, encoding, timestamp, .. }) => {
                let encoding = match encoding {
                    Encoding::Hex => "hex",
                    Encoding::Base64 => "base64",
                };
                let sent_at = timestamp.as_ref().map(|(header, _)| format!(", {header}: <Unix seconds>")).unwrap_or_default();
                format!("{header}: {prefix}<{encoding}>{sent_at}")
            }
            Proof::Token { header, scheme: Some(scheme), .. } => format!("{header}: {scheme} <secret>"),
            Proof::Token { header, scheme: None, .. } => format!("{header}: <secret>"),
            Proof::Basic { .. } => "authorization: basic <user:password in base64>".to_owned(),
        }
    }

    /// The headers that carry the proof, which are never kept.
    pub(super) fn headers(&self) -> Vec<&str> {
        match self {
            Proof::Open | Proof::Fetched => Vec::new(),
            Proof::Signature(signature) => vec![&signature.header],
            Proof::Token { header, .. } => vec![header],
            Proof::Basic { .. } => vec!["authorization"],
        }
    }

    /// Whether the proof covers the bytes of the body.
    pub(super) fn signs_body(&self) -> bool {
        matches!(self, Proof::Signature(_))
    }

    /// How long its secrets must and should be, in bytes.
    pub(super) fn strength(&self) -> Strength {
        match self {
            Proof::Open | Proof::Fetched => Strength { least: 0, advised: 0 },
            Proof::Signature(_) | Proof::Basic { .. } => Strength { least: 1, advised: 16 },
            Proof::Token { least_bytes, .. } => Strength { least: *least_bytes, advised: 32 },
        }
    }

    /// Checks the proof.
    ///
    /// # Errors
    /// [`IngressError::Unauthorized`], and [`IngressError::SecretUnavailable`] when no usable secret fits and one is unusable.
    pub(super) fn verify(&self, headers: &dyn Headers, body: &[u8], received_at: Timestamp, secrets: &dyn SecretLookup) -> Result<(), IngressError> {
        let try_secrets = |matches: &dyn Fn(&[u8]) -> Choice| one_matches(self.secrets(), self.strength().least, secrets, matches);
        match self {
            Proof::Open => Ok(()),
            Proof::Fetched => Err(IngressError::Unauthorized(Unproven::Mismatch)),
            Proof::Signature(signature) => {
                let claimed = signature.claimed(headers)?;
                let sent_at = signature.sent_at(headers, received_at)?;
                let parts: [&[u8]; 3] = match sent_at {
                    Some(sent_at) => [sent_at, b":", body],
                    None => [b"", b"", body],
                };
                try_secrets(&|secret| match signature.algorithm {
                    Algorithm::Sha256 => mac_is::<hmac::Hmac<Sha256>>(secret, &parts, &claimed),
                    Algorithm::Sha512 => mac_is::<hmac::Hmac<Sha512>>(secret, &parts, &claimed),
                })
            }
            Proof::Token { header, scheme, .. } => {
                let value = headers.get(header).ok_or(IngressError::Unauthorized(Unproven::Missing))?;
                let token = match scheme {
                    Some(scheme) => after_scheme(value, scheme)?,
                    None => value,
                };
                let token = Sha256::digest(token);
                try_secrets(&|secret| Sha256::digest(secret).ct_eq(&token))
            }
            Proof::Basic { username, .. } => {
                let value = headers.get("authorization").ok_or(IngressError::Unauthorized(Unproven::Missing))?;
                let encoded = after_scheme(value, "basic")?;
                let malformed = IngressError::Unauthorized(Unproven::Malformed);
                let pair = base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|_| malformed.clone())?;
                let colon = pair.iter().position(|byte| *byte == b':').ok_or(malformed)?;
                let (user, password) = (Sha256::digest(&pair[..colon]), Sha256::digest(&pair[colon + 1..]));
                let right_user = Sha256::digest(username.as_bytes()).ct_eq(&user);
                try_secrets(&|secret| Sha256::digest(secret).ct_eq(&password) & right_user)
            }
        }
    }
}

impl Signature {
    /// The signature the sender claims, as bytes.
    fn claimed(&self, headers: &dyn Headers) -> Result<Vec<u8>, IngressError> {
        let value = headers.get(&self.header).ok_or(IngressError::Unauthorized(Unproven::Missing))?;
        let bare = value.strip_prefix(self.prefix.as_bytes()).ok_or(IngressError::Unauthorized(Unproven::Prefix))?;
        let decoded = match self.encoding {
            Encoding::Hex => hex::decode(bare).ok(),
            Encoding::Base64 => base64::engine::general_purpose::STANDARD.decode(bare).ok(),
        };
        decoded.ok_or(IngressError::Unauthorized(Unproven::Malformed))
    }

    /// The signed time of sending as it stands in its header; none where none is configured.
    fn sent_at<'h>(&self, headers: &'h dyn Headers, received_at: Timestamp) -> Result<Option<&'h [u8]>, IngressError> {
        let Some((header, tolerance)) = &self.timestamp else { return Ok(None) };
        let text = headers.get(header).ok_or(IngressError::Unauthorized(Unproven::NoTime))?;
        let digits = !text.is_empty() && text.len() <= 12 && text.iter().all(u8::is_ascii_digit);
        let seconds: Option<i64> = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|text| text.parse().ok());
        let sent_at = Timestamp::from_unix_millis(seconds.ok_or(IngressError::Unauthorized(Unproven::BadTime))? * 1000);
        if received_at.since(sent_at).max(sent_at.since(received_at)) > *tolerance {
            return Err(IngressError::Unauthorized(Unproven::Stale));
        }
        Ok(Some(text))
    }
}

/// What stands after `scheme` and spaces; the scheme's case does not matter (RFC 9110, 11.1).
fn after_scheme<'v>(value: &'v [u8], scheme: &str) -> Result<&'v [u8], IngressError> {
    let rest = value.split_at_checked(scheme.len()).filter(|(word, _)| word.eq_ignore_ascii_case(scheme.as_bytes())).map(|(_, rest)| rest);
    match rest {
        Some(rest) if rest.first() == Some(&b' ') => Ok(rest.trim_ascii()),
        _ => Err(IngressError::Unauthorized(Unproven::Malformed)),
    }
}

/// Whether one secret matches. Every usable one is tried whatever the others gave, so time does not tell which.
fn one_matches(names: &[SecretName], least: usize, lookup: &dyn SecretLookup, matches: &dyn Fn(&[u8]) -> Choice) -> Result<(), IngressError> {
    let mut matched = Choice::from(0);
    let mut unusable = None;
    for name in names {
        match lookup.get(name).map(|secret| secret.expose_secret().as_bytes()).filter(|secret| secret.len() >= least.max(1)) {
            Some(secret) => matched |= matches(secret),
            None => unusable = Some(name),
        }
    }
    match (bool::from(matched), unusable) {
        (true, _) => Ok(()),
        (false, None) => Err(IngressError::Unauthorized(Unproven::Mismatch)),
        (false, Some(secret)) => Err(IngressError::SecretUnavailable { secret: secret.clone() }),
    }
}

/// Whether the MAC of `parts` in a row is `claimed`; another length is another MAC.
fn mac_is<M: Mac + KeyInit>(secret: &[u8], parts: &[&[u8]], claimed: &[u8]) -> Choice {
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret) else { return Choice::from(0) };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().as_slice().ct_eq(claimed)
}
