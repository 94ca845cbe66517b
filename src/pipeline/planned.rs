//! What planning comes to, before anything is written of it.

use crate::plan::PullText;
use crate::request::{Changes, MemberOutcome};
use crate::types::{BranchName, CommitSha, RepositoryName, Timestamp};
use crate::validate::Finding;
use serde_json::{Map, Value};

/// What planning came to.
pub(super) enum Planned {
    /// Parameters, target, template or validation say no.
    Rejected { findings: Vec<Finding>, message: String },
    /// There is no room for another pull request now: it is planned anew later.
    Postponed(Postponed),
    /// A language model has to draft it first, or once more because what it drafted does not fit the base any more.
    ToBeDrafted { parameters: Map<String, Value>, repository: RepositoryName },
    /// Nothing differs from the base.
    Unchanged { parameters: Map<String, Value>, repository: RepositoryName, base: CommitSha, warnings: Vec<Finding> },
    /// A commit holds the change.
    Committed {
        parameters: Map<String, Value>,
        repository: RepositoryName,
        /// Where in it: `repository:path`.
        target: String,
        branch: BranchName,
        base: CommitSha,
        commit: CommitSha,
        summary: Vec<String>,
        changes: Box<Changes>,
        text: Box<PullText>,
        warnings: Vec<Finding>,
    },
}

impl Planned {
    /// The base it was planned on, as far as it came to one.
    pub(super) fn base(&self) -> Option<&CommitSha> {
        match self {
            Self::Unchanged { base, .. } | Self::Committed { base, .. } => Some(base),
            Self::Rejected { .. } | Self::Postponed(_) | Self::ToBeDrafted { .. } => None,
        }
    }
}

/// Why a request is planned later, and when.
pub(super) struct Postponed {
    pub(super) run_at: Timestamp,
    /// For a person.
    pub(super) message: String,
    /// Whether it waits since this very moment.
    pub(super) since_now: bool,
}

/// What planning came to: of the whole, and of each member of a group that was looked at.
pub(super) struct Grouped {
    pub(super) planned: Planned,
    pub(super) members: Vec<MemberOutcome>,
}

impl From<Planned> for Grouped {
    fn from(planned: Planned) -> Self {
        Self { planned, members: Vec::new() }
    }
}
