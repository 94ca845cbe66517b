//! What people and clocks decided about a request beside its plan. Kept whole with the request, and carried over when it is planned again.

use super::{FinishedRun, Hold, Job, Release, Reverts, Revision, Window};
use crate::types::{RequestId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What was decided about a request since it was asked for. What is empty is not kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Steering {
    /// When it should be in force at the latest, once merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_by: Option<Timestamp>,
    /// Since when it is known not to be in force in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdue_since: Option<Timestamp>,
    /// When its time to live is over; none while its clock does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The last reminder that its time is nearly over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reminded: Option<Reminded>,
    /// The runs it added that are finished, once it is merged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<FinishedRun>,
    /// The change of another request that it takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverts: Option<Box<Reverts>>,
    /// The newest request that takes its change back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverted_by: Option<RequestId>,
    /// The values that people gave its parameters since: they go before all others whenever it is planned.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub set: Map<String, Value>,
    /// Whether a person asked that its branch stand on the present base, also where the change is the same there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rebase: bool,
    /// What an operator asked a language model for in their own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Box<Job>>,
    /// What people want otherwise of what a language model drafted, in order. Each becomes a draft that goes on from those before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Revision>,
    /// A person's word that it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Hold>,
    /// A person's word that it does not wait for its calendars, until it is planned anew or they open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<Release>,
    /// How its calendars stood when they were last looked at; none where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// A reminder that the time to live is nearly over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reminded {
    /// When.
    pub at: Timestamp,
    /// The end it is about: of a later one people are reminded again.
    pub of: Timestamp,
    /// Whether nobody had to be: somebody had moved the end there a moment ago.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
}
