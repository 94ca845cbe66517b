//! What events say about requests there are, beside the requests that automations open for them.
//! A signal is a hint: it owes a look at how things stand. Of a pull request, a command and what was taken back, what is found there is
//! believed and never the signal. [`Signal::Deployed`] is the exception: nobody here can look into a cluster, so the word of whoever a
//! source's secret proves is taken for it. What is checked is the rest: that the commit is in the base's history, and that the source may
//! speak of the repository.

use crate::request::{RemarkAddress, RunOutcome};
use crate::types::{AutomationName, CommitSha, ParseError, RepositoryName, TaskId, Timestamp};

/// What an event says about requests there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Something happened to a pull request: whoever it belongs to looks at it.
    Pull {
        /// The repository.
        repository: RepositoryName,
        /// Its number there.
        number: u64,
        /// Id of the task that is owed.
        task: TaskId,
    },
    /// A comment began a thread on a line of a pull request: where a language model drafted its change, it may be to revise it.
    Reviewed {
        /// The repository.
        repository: RepositoryName,
        /// What names it there.
        at: RemarkAddress,
        /// Id of the task that is owed.
        task: TaskId,
    },
    /// A comment on a pull request, or a review, may hold commands: whoever it belongs to reads it.
    Command {
        /// The repository.
        repository: RepositoryName,
        /// What names it there.
        at: RemarkAddress,
        /// Id of the task that is owed.
        task: TaskId,
    },
    /// What an automation was asked for with a key is no longer wanted. An older event that comes later changes nothing.
    TakenBack {
        /// The automation.
        automation: AutomationName,
        /// The key of the request, or of the member.
        correlation: String,
        /// Why, in a few words.
        reason: String,
        /// Id of the task that is owed where there is such a request.
        task: TaskId,
    },
    /// A delivery tool said how a commit stands: every merged request of the repository sees whether its own commit is in it.
    Deployed(Deployment),
    /// Somebody said that a run is finished: every merged request whose change added it notes that.
    Ran(RunEnd),
}

/// What somebody said of the end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// The API group, where it was said.
    pub group: Option<String>,
    /// The kind.
    pub kind: String,
    /// The namespace, where it has one.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// The cluster, where one was said.
    pub cluster: Option<String>,
    /// How it ended.
    pub outcome: RunOutcome,
    /// What was said about it.
    pub message: Option<String>,
    /// When, by the sender's word.
    pub at: Timestamp,
}

/// What a delivery tool said of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The repository the commit is of.
    pub repository: RepositoryName,
    /// Which application; `` where nobody said one.
    pub application: String,
    /// The cluster, where one was said, as the tool calls it.
    pub cluster: Option<String>,
    /// Directories of the repository that the application is made from, as the tool writes them; none where it says none.
    pub paths: Vec<String>,
    /// Whether the repository names whoever says this.
    pub named: bool,
    /// The commit.
    pub revision: CommitSha,
    /// How it stands.
    pub standing: DeploymentStanding,
    /// What the tool says about it.
    pub message: Option<String>,
    /// When, by the tool's word.
    pub at: Timestamp,
}

/// How a deployment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentStanding {
    /// It is in force.
    Applied,
    /// It was applied and is not well.
    Degraded,
    /// It could not be applied.
    Failed,
}

impl DeploymentStanding {
    /// The word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

impl std::str::FromStr for DeploymentStanding {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = [Self::Applied, Self::Degraded, Self::Failed];
        let found = known.into_iter().find(|standing| standing.as_str() == text);
        found.ok_or_else(|| ParseError::new("standing of a deployment", text, "known are applied, degraded, failed".to_owned()))
    }
}

/// A key that was taken back, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenBack {
    /// The key of the request, or of the member.
    pub correlation: String,
    /// Why, in a few words.
    pub reason: String,
    /// When, by the event's word.
    pub at: Timestamp,
}
