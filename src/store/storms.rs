//! What the store keeps of storms of events: waits, limits and members, as plain values.

use super::DraftEnd;
use crate::request::MemberOutcome;
use crate::types::{AutomationName, RequestId, TaskId, Timestamp};
use std::time::Duration;

/// How long the first plan of a request waits for further events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debounce {
    /// Until so long after the last of them,
    pub quiet: Duration,
    /// but never longer than so long after the first.
    pub at_most: Duration,
}

/// What a plan leaves beside the request itself.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// What it came to for each member of a group that it took into account; of members withdrawn meanwhile nothing is written.
    pub members: Vec<MemberOutcome>,
    /// Whether the branch has the members' commits now.
    pub pushed: bool,
    /// When the request ends: the id of the request that goes on with the members it did not take along, if there are any.
    pub successor: Option<RequestId>,
    /// How a draft of the request ended.
    ///
    /// Refused with [`super::StoreError::Conflict`], and the settlement with it, where the draft is over already.
    pub draft: Option<DraftEnd>,
}

/// A member to be taken out of a group.
#[derive(Debug, Clone)]
pub struct Withdrawal {
    /// The request that stands for the group.
    pub request: RequestId,
    /// The member: its correlation key, or its number.
    pub member: String,
    /// Why, in a few words; shown behind who did it.
    pub reason: Option<String>,
    /// Who did it.
    pub actor: String,
    /// What is owed where others stay: the group is planned again.
    pub replan: TaskId,
    /// What is owed where it was the last: the request is withdrawn, and cleaned up after.
    pub clean_up: TaskId,
}

/// A request that is about to open a pull request, and the limits it is under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The request.
    pub request: RequestId,
    /// Its automation.
    pub automation: AutomationName,
    /// Where its change goes: `repository:path`.
    pub target: String,
    /// Pull requests the automation may open within an hour.
    pub per_hour: Option<u32>,
    /// And those of them for one target.
    pub per_target: Option<u32>,
    /// A person asked for it: it counts, but it is not made to wait.
    pub insists: bool,
}

/// Whether there is room for a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// There is, and it is taken.
    Given,
    /// There is none now.
    Waits {
        /// When its turn should come.
        until: Timestamp,
        /// Which limit is reached.
        lacks: Lack,
        /// How many it allows.
        limit: u32,
        /// Requests that wait for the same before this one.
        ahead: u64,
        /// Whether it waits since this very moment.
        since_now: bool,
    },
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// That of the automation.
    Automation,
    /// That of the automation for one target.
    Target,
}

impl Lack {
    /// The word used in the store and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Automation => "automation",
            Self::Target => "target",
        }
    }
}
