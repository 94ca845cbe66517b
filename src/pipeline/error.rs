//! Why a step was not done.

use crate::draft::{ModelError, ToolError};
use crate::feedback::FeedbackError;
use crate::forge::ForgeError;
use crate::git::GitError;
use crate::plan::PlanError;
use crate::store::StoreError;
use crate::types::ErrorClass;
use std::time::Duration;

/// How long a limit is waited for that does not say how long.
const UNTOLD: Duration = Duration::from_secs(60);

/// Why a step was not done. The text is shown in the timeline and holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Planning failed for a reason that is not the request's.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The forge failed.
    #[error(transparent)]
    Forge(#[from] ForgeError),
    /// A channel failed.
    #[error(transparent)]
    Feedback(#[from] FeedbackError),
    /// A language model did not answer.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An MCP server, whose tools a model is to use, failed.
    #[error(transparent)]
    Tools(#[from] ToolError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The step took longer than a step may.
    #[error("the step took longer than {0} s")]
    TimedOut(u64),
    /// Waiting does not help; a person must change something.
    #[error("{0}")]
    Permanent(String),
    /// Ours.
    #[error("{0}")]
    Bug(String),
}

impl StepError {
    /// How the error is to be treated.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Plan(error) => error.class(),
            Self::Git(error) => error.class(),
            Self::Forge(error) => error.class(),
            Self::Feedback(error) => error.class(),
            Self::Model(error) => error.class(),
            Self::Tools(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::TimedOut(_) => ErrorClass::Transient,
            Self::Permanent(_) => ErrorClass::Permanent,
            Self::Bug(_) => ErrorClass::Bug,
        }
    }

    /// How long nobody may call, where the other side's limit is the reason: then the attempt does not count.
    pub fn limited(&self) -> Option<Duration> {
        match self {
            Self::Forge(ForgeError::Limited { retry_after, .. })
            | Self::Feedback(FeedbackError::Limited { retry_after, .. })
            | Self::Model(ModelError::Busy { status: 429, retry_after, .. }) => Some(retry_after.unwrap_or(UNTOLD)),
            _ => None,
        }
    }

    /// How long the other side asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Forge(error) => error.retry_after(),
            Self::Feedback(error) => error.retry_after(),
            Self::Model(error) => error.retry_after(),
            _ => None,
        }
    }
}
