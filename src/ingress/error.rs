//! Why a delivery, or a source's configuration, is refused.
//! `Display` is for the sender and never says more than the sender may know; `detail` is for the log. Neither holds a secret.

use crate::types::{ErrorClass, SecretName};
use std::net::IpAddr;

/// How a delivery is refused, for whoever words the answer: the API maps it to a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The address may not send (403).
    Forbidden,
    /// The proof is missing or wrong (401).
    Unauthorized,
    /// Too many bytes (413).
    TooLarge,
    /// Neither the content type nor the encoding is one that is read (415).
    UnsupportedMedia,
    /// The bytes are not what they should be, with the place (400).
    Unreadable,
    /// The service itself lacks what it needs to check deliveries (503).
    Unavailable,
}

impl Refusal {
    /// A stable word, for metrics and error codes.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::Forbidden => "forbidden",
            Refusal::Unauthorized => "unauthorized",
            Refusal::TooLarge => "too_large",
            Refusal::UnsupportedMedia => "unsupported_media",
            Refusal::Unreadable => "unreadable",
            Refusal::Unavailable => "unavailable",
        }
    }
}

/// Why a proof was not accepted. For the log: the sender is never told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unproven {
    /// The header is not there.
    Missing,
    /// The signature does not begin with the configured prefix.
    Prefix,
    /// The header does not have the configured form (encoding, scheme).
    Malformed,
    /// No secret gives this signature, or is this token.
    Mismatch,
    /// The header with the time of sending is not there.
    NoTime,
    /// What should be the time of sending is not in Unix seconds.
    BadTime,
    /// The signed time of sending is too far from the time of receipt.
    Stale,
}

/// Which bytes are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Oversized {
    /// The body as sent.
    Body,
    /// The body after it is unpacked.
    Unpacked,
}

/// Why a delivery is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngressError {
    /// The address is not in the source's `allowFrom`.
    #[error("this address may not send to this source")]
    Forbidden {
        /// The address.
        address: IpAddr,
    },
    /// The proof is missing or wrong.
    #[error("the delivery is not authenticated: its signature or credentials are missing or wrong")]
    Unauthorized(Unproven),
    /// A configured secret is missing, empty or too short, and no other one fits.
    #[error("the service cannot check deliveries of this source at the moment")]
    SecretUnavailable {
        /// The secret's name, not its value.
        secret: SecretName,
    },
    /// The body is over the limit.
    #[error("{} is larger than {limit} bytes, which is this source's limit", match .what { Oversized::Body => "the body", Oversized::Unpacked => "the unpacked body" })]
    TooLarge {
        /// Which bytes were counted.
        what: Oversized,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The content type or encoding is not one that is read.
    #[error("{0}")]
    UnsupportedMedia(String),
    /// The bytes are not strict JSON, or not gzip.
    #[error("the body cannot be read: {message} (line {line}, column {column})")]
    Unreadable {
        /// What is wrong.
        message: String,
        /// Line of the unpacked body, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// The JSON does not have the sender's documented shape.
    #[error("the body does not fit: {message} (at {})", if .pointer.is_empty() { "the top" } else { .pointer.as_str() })]
    Malformed {
        /// The place in the body as a JSON pointer (RFC 6901).
        pointer: String,
        /// What is wrong.
        message: String,
    },
    /// An expression of the source's mapping has no usable value for this body.
    #[error("the body does not fit the source's mapping: `{field}` {message}")]
    Mapping {
        /// The field of the mapping: `each`, `id`, `type`, `subject`, `time` or `data`.
        field: &'static str,
        /// What is wrong.
        message: String,
    },
}

impl IngressError {
    pub(super) fn malformed(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Malformed { pointer: pointer.into(), message: message.into() }
    }

    /// How the delivery is refused.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Forbidden { .. } => Refusal::Forbidden,
            Self::Unauthorized(_) => Refusal::Unauthorized,
            Self::SecretUnavailable { .. } => Refusal::Unavailable,
            Self::TooLarge { .. } => Refusal::TooLarge,
            Self::UnsupportedMedia(_) => Refusal::UnsupportedMedia,
            Self::Unreadable { .. } | Self::Malformed { .. } | Self::Mapping { .. } => Refusal::Unreadable,
        }
    }

    /// A word for what went wrong, one of a few: what is counted or spared by it stays small whatever is sent.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unauthorized(Unproven::Missing) => "missing",
            Self::Unauthorized(Unproven::Prefix) => "prefix",
            Self::Unauthorized(Unproven::Malformed) => "malformed",
            Self::Unauthorized(Unproven::Mismatch) => "mismatch",
            Self::Unauthorized(Unproven::NoTime) => "no_time",
            Self::Unauthorized(Unproven::BadTime) => "bad_time",
            Self::Unauthorized(Unproven::Stale) => "stale",
            other => other.refusal().as_str(),
        }
    }

    /// How the error is to be treated: a missing secret is the operator's to mend, everything else the sender's.
    pub fn class(&self) -> ErrorClass {
        match self.refusal() {
            Refusal::Unavailable => ErrorClass::Permanent,
            _ => ErrorClass::User,
        }
    }

    /// What the log may say beyond what the sender is told.
    pub fn detail(&self) -> String {
        match self {
            Self::Forbidden { address } => format!("{address} is not in allowFrom"),
            Self::Unauthorized(Unproven::Missing) => "the header with the signature or credentials is missing".to_owned(),
            Self::Unauthorized(Unproven::Prefix) => "the signature does not begin with the configured prefix".to_owned(),
            Self::Unauthorized(Unproven::Malformed) => "the header with the signature or credentials does not have the configured form".to_owned(),
            Self::Unauthorized(Unproven::Mismatch) => "no configured secret fits".to_owned(),
            Self::Unauthorized(Unproven::NoTime) => "the header with the time of sending is missing".to_owned(),
            Self::Unauthorized(Unproven::BadTime) => "the time of sending is not a whole number of Unix seconds".to_owned(),
            Self::Unauthorized(Unproven::Stale) => "the signed time of sending is too far from the time of receipt".to_owned(),
            Self::SecretUnavailable { secret } => format!("the secret {secret} is missing, empty or too short"),
            other => other.to_string(),
        }
    }
}
