//! Why a model did not answer.

use crate::types::ErrorClass;
use std::time::Duration;

/// Why a model did not answer. Nothing of what was said to it, and nothing of what it said, stands in here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The connection broke off.
    #[error("the connection to the model at {place} broke off: {reason}")]
    Unreachable {
        /// The address, without anything secret.
        place: String,
        /// Why, in the words of the transport.
        reason: String,
    },
    /// Nothing was sent: no connection came about.
    #[error("the model at {place} cannot be reached: {reason}")]
    NotReached {
        /// The address, without anything secret.
        place: String,
        /// Why, in the words of the transport.
        reason: String,
    },
    /// It did not answer in time.
    #[error("the model at {place} did not answer within {} s", .within.as_secs())]
    TimedOut {
        /// The address.
        place: String,
        /// How long was waited.
        within: Duration,
    },
    /// The provider asks us to wait (429), or is overloaded or out of order (5xx).
    #[error("the model at {place} is not to be had now: HTTP {status}")]
    Busy {
        /// The address.
        place: String,
        /// The status.
        status: u16,
        /// How long we are asked to wait.
        retry_after: Option<Duration>,
    },
    /// The provider refuses the call: credentials, the model's name, the form of the request.
    #[error("the model at {place} refuses the call: HTTP {status}{}{}", .code.as_deref().map(|code| format!(" ({code})")).unwrap_or_default(), .hint.map(|hint| format!("; {hint}")).unwrap_or_default())]
    Refused {
        /// The address.
        place: String,
        /// The status.
        status: u16,
        /// The provider's own word for it, when it is a plain one.
        code: Option<String>,
        /// What to look at first, in our words.
        hint: Option<&'static str>,
    },
    /// What came is no answer.
    #[error("what the model at {place} answered cannot be read: {reason}")]
    Unreadable {
        /// The address.
        place: String,
        /// Why, without what was answered.
        reason: String,
    },
    /// The settings name no model, or one without what it needs.
    #[error("{0}")]
    NotConfigured(String),
}

impl ModelError {
    /// How the error is to be treated.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable { .. } | Self::NotReached { .. } | Self::TimedOut { .. } | Self::Busy { .. } | Self::Unreadable { .. } => {
                ErrorClass::Transient
            }
            Self::Refused { .. } | Self::NotConfigured(_) => ErrorClass::Permanent,
        }
    }

    /// Whether the call cost nothing: nobody charges for what never came, or for what they refuse. Of one that broke off nobody knows.
    pub fn charges_nothing(&self) -> bool {
        matches!(self, Self::NotReached { .. } | Self::Busy { .. } | Self::Refused { .. } | Self::NotConfigured(_))
    }

    /// How long the provider asks us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
