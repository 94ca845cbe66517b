//! What can go wrong at a channel, in sentences for a person.
//! No variant holds a secret, and none an answer's whole body.

use crate::types::ErrorClass;
use std::time::Duration;

/// Why a channel did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedbackError {
    /// The secret is wrong, expired or revoked.
    #[error("{channel} does not accept who we are ({message}); put a valid secret in its place, then ask again")]
    Unauthorised {
        /// The channel.
        channel: String,
        /// Its words.
        message: String,
    },
    /// The account may not do this.
    #[error("{channel} does not allow it ({message}); give the account the right, then ask again")]
    Forbidden {
        /// The channel.
        channel: String,
        /// Its words.
        message: String,
    },
    /// There is no such issue, or the account may not see it.
    #[error("{channel} knows no {issue}, or hides it from this account ({message}); was it deleted, or may the account not browse its project?")]
    NotFound {
        /// The channel.
        channel: String,
        /// What was asked for.
        issue: String,
        /// Its words.
        message: String,
    },
    /// It understood and does not take it.
    #[error("{channel} does not take it: {message}")]
    Invalid {
        /// The channel.
        channel: String,
        /// Its words.
        message: String,
    },
    /// It asks us to slow down.
    #[error("{channel} asks to wait{}: {message}", retry_after.map(|wait| format!(" {} s", wait.as_secs())).unwrap_or_default())]
    Limited {
        /// The channel.
        channel: String,
        /// How long, where it says so.
        retry_after: Option<Duration>,
        /// Its words.
        message: String,
    },
    /// It is away, broken, slow, or its answer makes no sense. Whether the effect happened is not known.
    #[error("{channel} cannot be reached or does not answer as it should ({message}); it is tried again")]
    Unavailable {
        /// The channel.
        channel: String,
        /// What was seen.
        message: String,
        /// How long it asks to wait, where it says so.
        retry_after: Option<Duration>,
    },
    /// It was there and is no more.
    #[error("{channel} is gone for good ({message}); name another address, or take the channel away")]
    Gone {
        /// The channel.
        channel: String,
        /// Its words.
        message: String,
    },
    /// The settings make no client.
    #[error("{channel} cannot be used: {message}")]
    Setup {
        /// The channel.
        channel: String,
        /// What is wrong.
        message: String,
    },
}

impl FeedbackError {
    /// How it is to be treated.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unauthorised { .. } | Self::Forbidden { .. } | Self::Gone { .. } | Self::Setup { .. } => ErrorClass::Permanent,
            Self::NotFound { .. } | Self::Invalid { .. } => ErrorClass::User,
            Self::Limited { .. } | Self::Unavailable { .. } => ErrorClass::Transient,
        }
    }

    /// How long the channel wants us to wait before the next call of any kind, where it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limited { retry_after, .. } | Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
