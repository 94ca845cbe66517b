//! What can go wrong at a forge, in sentences for a person.
//! No variant holds a token, and none an answer's whole body.

use crate::types::{BranchName, ErrorClass};
use std::time::Duration;

/// Why a forge did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForgeError {
    /// The token is wrong, expired or revoked.
    #[error("{forge} does not accept the token ({message}); put a valid one in its place")]
    Unauthorised {
        /// The forge and repository.
        forge: String,
        /// Its words.
        message: String,
    },
    /// The token may not do this.
    #[error("{forge} does not allow it ({message}); give the token, or the App, the right to write pull requests, then ask again")]
    Forbidden {
        /// The forge and repository.
        forge: String,
        /// Its words.
        message: String,
    },
    /// There is no such repository, or the token may not see it.
    #[error("{forge} knows no such repository, or hides it from this token ({message}); check the name and the token's access")]
    NotFound {
        /// The forge and repository.
        forge: String,
        /// Its words.
        message: String,
    },
    /// The repository is archived: nothing in it can be written.
    #[error("{forge} is archived, and so read-only; unarchive it or name another repository, then ask again")]
    Archived {
        /// The forge and repository.
        forge: String,
    },
    /// The token may read the repository, not write it.
    #[error("{forge} may be read but not written by {who}; give it the right to write contents, or put another in its place, then ask again")]
    ReadOnly {
        /// The forge and repository.
        forge: String,
        /// Whose right is missing.
        who: String,
    },
    /// The repository has another name, to which git follows no redirect.
    #[error(
        "{forge} is called {now} now, and git follows no redirect to it; put the new address into `url` and the new name into `forge.repository` of its resource, then ask again"
    )]
    Renamed {
        /// The forge and repository, by its former name.
        forge: String,
        /// Its present name.
        now: String,
    },
    /// The repository, or this part of it, was there and is no more.
    #[error("{forge} is gone for good ({message}); name another repository, then ask again")]
    Gone {
        /// The forge and repository.
        forge: String,
        /// Its words.
        message: String,
    },
    /// It may not be shown, by law.
    #[error("{forge} is blocked for legal reasons ({message}); its owner has to settle that with the forge")]
    Blocked {
        /// The forge and repository.
        forge: String,
        /// Its words.
        message: String,
    },
    /// The base branch is not there.
    #[error("{forge} has no branch {base} to propose a change for; create it or name another base branch, then ask again")]
    NoBase {
        /// The forge and repository.
        forge: String,
        /// The base branch.
        base: BranchName,
    },
    /// The forge does not know the head branch, though it was pushed: it may not have noticed yet.
    #[error("{forge} does not see the branch {head} yet; it is tried again")]
    NoHead {
        /// The forge and repository.
        forge: String,
        /// The head branch.
        head: BranchName,
    },
    /// The base holds every commit of the head branch: there is nothing to propose.
    #[error("{forge} finds nothing on {head} that {base} does not hold")]
    NothingToPropose {
        /// The forge and repository.
        forge: String,
        /// The head branch.
        head: BranchName,
        /// The base branch.
        base: BranchName,
    },
    /// There is no such pull request.
    #[error("{forge} has no pull request {number}")]
    NoPull {
        /// The forge and repository.
        forge: String,
        /// The number asked for.
        number: u64,
    },
    /// The forge asks us to slow down.
    #[error("{forge} asks to wait{}: {message}", retry_after.map(|wait| format!(" {} s", wait.as_secs())).unwrap_or_default())]
    Limited {
        /// The forge and repository.
        forge: String,
        /// How long, where it says so or its rules do.
        retry_after: Option<Duration>,
        /// Its words.
        message: String,
    },
    /// It is away, broken, slow, or its answer makes no sense. Whether the effect happened is not known.
    #[error("{forge} cannot be reached or does not answer as it should ({message}); it is tried again")]
    Unreachable {
        /// The forge and repository.
        forge: String,
        /// What was seen.
        message: String,
    },
    /// It understood and says no.
    #[error("{forge} refuses: {message}")]
    Refused {
        /// The forge and repository.
        forge: String,
        /// Its words.
        message: String,
    },
    /// The branch and its base changed the same places.
    #[error("{forge}: pull request {number} conflicts with its base in {}; it must be made again on the newer base", files.join(", "))]
    Conflict {
        /// The forge and repository.
        forge: String,
        /// The pull request.
        number: u64,
        /// The files in conflict.
        files: Vec<String>,
    },
    /// The branch has commits that nobody approved here.
    #[error("{forge}: the branch of pull request {number} has changed since it was last looked at; look at it again")]
    Changed {
        /// The forge and repository.
        forge: String,
        /// The pull request.
        number: u64,
    },
    /// The base branch kept moving while we merged.
    #[error("{forge}: the base branch of pull request {number} moves faster than it can be merged; try again")]
    Busy {
        /// The forge and repository.
        forge: String,
        /// The pull request.
        number: u64,
    },
    /// The pull request is closed or merged.
    #[error("{forge}: pull request {number} is no longer open")]
    NotOpen {
        /// The forge and repository.
        forge: String,
        /// The pull request.
        number: u64,
    },
    /// The pull request is a draft.
    #[error("{forge}: pull request {number} is a draft; mark it ready first")]
    Draft {
        /// The forge and repository.
        forge: String,
        /// The pull request.
        number: u64,
    },
    /// Another wrote the same pull request's record at the same time.
    #[error("{forge}: the record of pull request {number} was changed by another at the same time; try again")]
    Outdated {
        /// The forge and repository.
        forge: String,
        /// The pull request.
        number: u64,
    },
    /// The local forge's repository or records cannot be read or written.
    #[error("{forge} cannot read or write ({message})")]
    Storage {
        /// The forge and repository.
        forge: String,
        /// What was seen.
        message: String,
        /// Whether waiting may help.
        class: ErrorClass,
    },
    /// The settings make no client.
    #[error("{forge} cannot be set up: {message}")]
    Setup {
        /// The forge and repository.
        forge: String,
        /// What is wrong.
        message: String,
    },
}

impl ForgeError {
    /// How it is to be treated.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unauthorised { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Archived { .. }
            | Self::ReadOnly { .. }
            | Self::Renamed { .. }
            | Self::Gone { .. }
            | Self::Blocked { .. }
            | Self::NoBase { .. }
            | Self::NothingToPropose { .. }
            | Self::Refused { .. }
            | Self::Setup { .. } => ErrorClass::Permanent,
            Self::NoPull { .. } | Self::Conflict { .. } | Self::Changed { .. } | Self::NotOpen { .. } | Self::Draft { .. } => ErrorClass::User,
            Self::Limited { .. } | Self::Unreachable { .. } | Self::NoHead { .. } | Self::Busy { .. } | Self::Outdated { .. } => {
                ErrorClass::Transient
            }
            Self::Storage { class, .. } => *class,
        }
    }

    /// How long the forge wants us to wait before the next call of any kind, where it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limited { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
