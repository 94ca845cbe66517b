//! Why messages cannot be pulled or acknowledged. It never holds a secret.

use crate::types::{ErrorClass, SecretName};
use async_nats::{ConnectError, ConnectErrorKind};

/// Why messages cannot be pulled or acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A secret is missing, or not of the form wanted.
    #[error("the secret {name} does not serve: {reason}")]
    Secret {
        /// The secret.
        name: SecretName,
        /// Why, without its text.
        reason: String,
    },
    /// NATS does not take us for who we say we are, or we do not take it for who it says.
    #[error("NATS cannot be logged in to: {0}")]
    Refused(String),
    /// The stream or the consumer is not as it has to be.
    #[error("{0}")]
    Unfit(String),
    /// NATS cannot be reached, or does not answer.
    #[error("NATS cannot be reached: {0}")]
    Away(String),
}

impl StreamError {
    /// How the error is to be treated: all is tried again, but what is permanent somebody has to see to.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Away(_) => ErrorClass::Transient,
            Self::Secret { .. } | Self::Refused(_) | Self::Unfit(_) => ErrorClass::Permanent,
        }
    }

    /// A word for it, one of a few.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Secret { .. } => "secret",
            Self::Refused(_) => "refused",
            Self::Unfit(_) => "unfit",
            Self::Away(_) => "away",
        }
    }

    pub(super) fn of_connect(error: ConnectError) -> Self {
        let words = match std::error::Error::source(&error) {
            Some(cause) => format!("{}: {cause}", error.kind()),
            None => error.kind().to_string(),
        };
        match error.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Tls => Self::Refused(words),
            // A certificate that is not believed comes as an error of the connection.
            _ if words.to_ascii_lowercase().contains("certificate") => Self::Refused(words),
            _ => Self::Away(words),
        }
    }

    /// The same with what the server said last, where it said anything.
    pub(super) fn with(self, said: Option<String>) -> Self {
        let Some(said) = said else { return self };
        let more = |words: String| format!("{words} (the server says: {said})");
        match self {
            Self::Unfit(words) => Self::Unfit(more(words)),
            // A permission that is lacking shows as an answer that does not come.
            Self::Away(words) if said.to_ascii_lowercase().contains("permissions violation") => Self::Refused(more(words)),
            Self::Away(words) => Self::Away(more(words)),
            other => other,
        }
    }
}
