//! What events say about requests there are, beside the requests that automations open for them.
//! A signal is a hint: it owes a look at how things stand, and is never itself believed.

use crate::types::{AutomationName, RepositoryName, TaskId};

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
}

/// A key that was taken back, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenBack {
    /// The key of the request, or of the member.
    pub correlation: String,
    /// Why, in a few words.
    pub reason: String,
}
