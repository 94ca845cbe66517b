//! Members of a request that stands for a group of events: each asks for a change of its own, and has a commit of its own.
//! Pure values; who joins, and in which order, is the store's to keep.

use crate::event::Event;
use crate::types::{CommitSha, EventId, ParseError, Timestamp};
use crate::validate::Finding;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// It takes part.
    Active,
    /// It was taken out: what asked for it went away.
    Withdrawn,
    /// Its change was refused; the others go on. It is tried again whenever the group is planned again.
    Refused,
}

impl MemberState {
    /// The word used in the API and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Withdrawn => "withdrawn",
            Self::Refused => "refused",
        }
    }
}

impl std::str::FromStr for MemberState {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = [Self::Active, Self::Withdrawn, Self::Refused];
        let found = known.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| ParseError::new("state of a member", text, "known are active, withdrawn and refused"))
    }
}

/// One member of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its number within the request, in order of arrival, from 1.
    pub number: u32,
    /// What makes two events the same member: the value of the automation's `correlate`.
    pub correlation: String,
    /// Where it stands.
    pub state: MemberState,
    /// The event that asked for it, whole.
    pub event: Event,
    /// Its parameters: those a person gave, or those that were read when it was planned.
    pub parameters: Option<Map<String, Value>>,
    /// Whether the last plan took it into account. One that was not waits for the next.
    pub planned: bool,
    /// Whether the branch had its commit when it was last pushed.
    pub proposed: bool,
    /// Its commit in the last plan; none when it changes nothing, was refused or is not planned.
    pub commit: Option<CommitSha>,
    /// Its commit's subject.
    pub title: Option<String>,
    /// What it changes, a line for each object.
    pub summary: Vec<String>,
    /// Why it was refused, or what a reviewer is warned of.
    pub findings: Vec<Finding>,
    /// A sentence about where it stands.
    pub message: Option<String>,
    /// When it joined.
    pub joined_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What a plan came to for one member.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberOutcome {
    /// Which.
    pub number: u32,
    /// The event it was planned for.
    pub event: EventId,
    /// Whether its change was refused.
    pub refused: bool,
    /// Its parameters, where they were valid.
    pub parameters: Option<Map<String, Value>>,
    /// Its commit.
    pub commit: Option<CommitSha>,
    /// Its commit's subject.
    pub title: Option<String>,
    /// What it changes.
    pub summary: Vec<String>,
    /// Why it was refused, or what a reviewer is warned of.
    pub findings: Vec<Finding>,
    /// A sentence about it.
    pub message: Option<String>,
}

impl MemberOutcome {
    /// Whether this is where `member` stands already, but for the commit's id.
    pub fn is_where(&self, member: &Member) -> bool {
        member.planned
            && self.refused == (member.state == MemberState::Refused)
            && self.commit.is_some() == member.commit.is_some()
            && self.title == member.title
            && self.summary == member.summary
            && self.findings == member.findings
    }
}
