//! What a request takes back that takes back another: kept with it whole, because the other one, its automation and its cluster may be
//! gone or changed by the time it is planned.

use crate::plan::{Inverse, PullText};
use crate::types::{ClusterName, CommitSha, DirectoryPath, RepositoryName, RequestId};
use serde::{Deserialize, Serialize};

/// What a request takes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reverts {
    /// The request whose change it takes back.
    pub request: RequestId,
    /// Why, as the end of a sentence: `its time to live is over`.
    pub why: String,
    /// What led to it.
    #[serde(default)]
    pub cause: RevertCause,
    /// Whether it was given up because what asked for the change came back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wanted_again: bool,
    /// The commit that brought the change into the base, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<CommitSha>,
    /// What takes the change back.
    pub inverse: Inverse,
    /// The repository the change went to.
    pub repository: RepositoryName,
    /// Where in it.
    pub place: Place,
    /// How the pull request looks, without what is left to others: that is known when it is planned.
    pub text: PullText,
}

/// What leads to taking a change back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevertCause {
    /// Somebody asked for it.
    #[default]
    Asked,
    /// Its time to live is over.
    TimeIsOver,
    /// What asked for the change is over: the alert resolved, the ticket was cancelled.
    NoLongerWanted,
}

/// Where in its repository a change goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The cluster, when the target was named by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// The directory every file lies under.
    pub path: DirectoryPath,
}
