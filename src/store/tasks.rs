//! Tasks as the store keeps them: what is owed, what is claimed, and what an attempt leaves, as plain values.

use super::lane;
use super::storms::Beside;
use crate::request::{Request, TimelineEntry};
use crate::types::{RequestId, TaskId, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Compute, validate and commit the change.
    Plan,
    /// Have a language model draft the change.
    Draft,
    /// Push the branch and open or update the pull request.
    Propose,
    /// Clean up after an end: close the pull request where it is still open, delete the branch.
    Withdraw,
    /// Compute an open request's change again on a newer base, and update its branch when it differs.
    Replan,
    /// Look at the pull request: somebody said that something happened to it.
    Observe,
    /// See what is no longer wanted of what was asked for, and act accordingly.
    Retract,
    /// See whether what was merged is in force, and whether what it runs is finished.
    Confirm,
    /// Tell outside what became of the request.
    Tell,
    /// See whether anything is due by the clock: see the pipeline's alarms.
    Clock,
    /// Do what people asked for in comments on the pull request.
    Command,
}

impl TaskKind {
    /// Every kind, in the order of a request's life.
    pub const ALL: [TaskKind; 11] = [
        TaskKind::Plan,
        TaskKind::Draft,
        TaskKind::Propose,
        TaskKind::Observe,
        TaskKind::Replan,
        TaskKind::Retract,
        TaskKind::Withdraw,
        TaskKind::Confirm,
        TaskKind::Tell,
        TaskKind::Clock,
        TaskKind::Command,
    ];

    /// The word used in the store, the API and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Draft => "draft",
            Self::Propose => "propose",
            Self::Withdraw => "withdraw",
            Self::Replan => "replan",
            Self::Observe => "observe",
            Self::Retract => "retract",
            Self::Tell => "tell",
            Self::Confirm => "confirm",
            Self::Clock => "clock",
            Self::Command => "command",
        }
    }

    /// Whether it belongs to one try of a request: asked for again, or ended, the request owes it no more. The others stay owed.
    pub fn is_of_one_try(self) -> bool {
        !matches!(self, Self::Observe | Self::Retract | Self::Confirm | Self::Tell | Self::Clock | Self::Command)
    }
}

impl std::str::FromStr for TaskKind {
    type Err = crate::types::ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| crate::types::ParseError::new("kind of task", text, format!("known are {}", known())))
    }
}

/// A task to be added. At most one task of a kind waits for a request; adding it again makes the waiting one due at the earlier time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// Its id, made by the caller.
    pub id: TaskId,
    /// What it does.
    pub kind: TaskKind,
    /// For which request.
    pub request: RequestId,
    /// Where it waits, see [`crate::store::lane`]; empty when the repository is not known yet.
    pub lane: String,
    /// Not before.
    pub run_at: Timestamp,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waiting for its time or for a worker.
    Waiting,
    /// A worker has it.
    Leased,
    /// Attempts are exhausted, or it cannot succeed: a dead letter, kept until retried.
    Dead,
}

/// A task that is still owed, or dead. A task that is done is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// What it does.
    pub kind: TaskKind,
    /// For which request.
    pub request: RequestId,
    /// Its lane.
    pub lane: String,
    /// Where it stands.
    pub state: TaskState,
    /// Not before.
    pub run_at: Timestamp,
    /// How often it was begun.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// How much may be claimed at once. Lanes of pull requests, of feedback and of drafts are counted apart: they mostly wait for others, and must
/// not stand in the way of git's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// For planning and pushing.
    pub git: Share,
    /// For opening and closing pull requests.
    pub pulls: Share,
    /// For telling outside what became of requests.
    pub feedback: Share,
    /// For drafts by a language model.
    pub drafts: Share,
}

/// A part of [`Room`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Lanes; a task that is done by itself, without a lane or as a draft, counts as one.
    pub lanes: u32,
    /// Tasks of a lane, which are then done together.
    pub each: u32,
}

impl Room {
    /// Up to `lanes` lanes of each kind, and up to `each` tasks of one.
    pub fn of(lanes: u32, each: u32) -> Self {
        let share = Share { lanes, each };
        Self { git: share, pulls: share, feedback: share, drafts: share }
    }

    /// The part a lane counts against.
    pub fn share(&self, lane: &str) -> Share {
        self.shares()[lane::pool(lane)]
    }

    /// Every part, in the order of [`lane::pool`].
    pub(in crate::store) fn shares(&self) -> [Share; 4] {
        [self.git, self.pulls, self.feedback, self.drafts]
    }

    /// One task of each of up to `lanes` lanes of each kind.
    pub fn single(lanes: u32) -> Self {
        Self::of(lanes, 1)
    }
}

/// Who claims, and what it knows of leases beside what the clock shows.
#[derive(Debug, Clone, Copy)]
pub struct Claimer<'c> {
    /// The name its leases are held under.
    pub owner: &'c str,
    /// Its own tasks it is at work on, each with its fence: their leases are not lost, whatever the clock shows.
    pub in_hand: &'c [(TaskId, u64)],
    /// Whether it takes over what others hold once their leases have run out. Not while the clock is not to be believed.
    pub takes_over: bool,
}

impl<'c> Claimer<'c> {
    /// One that has nothing in hand and believes the clock.
    pub fn of(owner: &'c str) -> Self {
        Self { owner, in_hand: &[], takes_over: true }
    }
}

/// The clock that processes go by which share the store, and what became of what waits when it was set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreClock {
    /// What the clock of the database's machine shows; none where that is this one.
    pub moment: Option<Timestamp>,
    /// By how much it was ever set back, in all, as far as what waits has followed.
    pub back: Duration,
}

/// A leased task with its request, as read in the same transaction.
#[derive(Debug, Clone)]
pub struct ClaimedTask {
    /// The task; `attempts` counts this one.
    pub task: Task,
    /// The request it is for.
    pub request: Request,
    /// Who holds the lease.
    pub owner: String,
    /// Raised by every claim; a write with an older fence is refused, and one under the name of another holder.
    pub fence: u64,
    /// Who had it before, where that one's lease ran out.
    pub taken_over: Option<FormerHolder>,
}

/// Who held a task and let the lease run out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerHolder {
    /// The name the lease was held under.
    pub owner: String,
    /// When it ran out.
    pub lease_until: Timestamp,
}

/// What a finished attempt leaves behind.
#[derive(Debug, Clone, Default)]
pub struct Settlement {
    /// The request as it is now, with the version it was read at; none when it does not change.
    pub request: Option<Request>,
    /// Timeline entries to add.
    pub timeline: Vec<TimelineEntry>,
    /// Tasks to add.
    pub follow_up: Vec<NewTask>,
    /// What becomes of the task.
    pub verdict: Verdict,
    /// What else a plan leaves.
    pub beside: Beside,
}

/// What becomes of a task after an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Done: the task is removed.
    #[default]
    Done,
    /// Once more, not before `run_at`.
    Retry {
        /// Not before.
        run_at: Timestamp,
        /// Why this attempt failed.
        error: String,
    },
    /// Later, and this attempt does not count: the other side asked us to wait before anything was tried in earnest.
    Postponed {
        /// Not before.
        run_at: Timestamp,
        /// Who asks us to wait, and why.
        reason: String,
    },
    /// It goes on at once in this lane, in its turn there, and this attempt does not count.
    GoesOn {
        /// See [`crate::store::lane`].
        lane: String,
    },
    /// No more attempts: kept as a dead letter.
    Dead {
        /// Why.
        error: String,
    },
}
