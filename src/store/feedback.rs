//! What is told outside of a request: which news there are, and which act of telling was begun, done or refused. Plain values.

use crate::request::TimelineEntry;
use crate::types::{RequestId, Timestamp};

/// An act of telling: one effect on one channel about one piece of news. The four texts together are what it is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ActKey {
    /// The request.
    pub request: RequestId,
    /// The channel's name.
    pub channel: String,
    /// What is told: the state the request came to, and what tells one coming to it from the next.
    pub news: String,
    /// Which act: `comment`, `transition`, ...
    pub act: String,
}

/// Where an act stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActState {
    /// It was begun, and may have happened.
    Begun,
    /// It happened.
    Done,
    /// The other side does not let it happen; it is not tried again.
    Refused,
}

impl ActState {
    /// The word used in the store and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

impl std::str::FromStr for ActState {
    type Err = crate::types::ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = [Self::Begun, Self::Done, Self::Refused];
        known
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| crate::types::ParseError::new("state of an act", text, "known are begun, done, refused".to_owned()))
    }
}

/// An act with where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// What it is known by.
    pub key: ActKey,
    /// Where it stands.
    pub state: ActState,
    /// What the other side said, where there is something to say.
    pub note: Option<String>,
    /// Since when it stands there.
    pub at: Timestamp,
}

/// Everything there is to tell of a request, and what was told.
#[derive(Debug, Clone, Default)]
pub struct ToldSoFar {
    /// The changes of its state, oldest first, each with its number among everything that was ever written into timelines.
    pub changes: Vec<(u64, TimelineEntry)>,
    /// The acts begun, done or refused.
    pub acts: Vec<Act>,
}
