//! Where people write something about a pull request. Each place has ids of its own: only place and id together name what was written.

use crate::types::ParseError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where on a pull request something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemarkPlace {
    /// A comment in the conversation.
    Conversation,
    /// A comment on a line or a file of the change, in the thread that it began or answers.
    Thread,
    /// The words that a review was submitted with.
    Review,
}

/// What names a remark, by the forge's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RemarkAddress {
    /// The pull request's number.
    pub pull: u64,
    /// Where on it.
    pub place: RemarkPlace,
    /// Its id among all of the repository in such places.
    pub id: u64,
}

impl RemarkPlace {
    /// Every place there is.
    pub const ALL: [Self; 3] = [Self::Conversation, Self::Thread, Self::Review];

    /// The word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conversation => "conversation",
            Self::Thread => "thread",
            Self::Review => "review",
        }
    }
}

impl FromStr for RemarkPlace {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let found = Self::ALL.into_iter().find(|place| place.as_str() == text);
        found.ok_or_else(|| ParseError::new("place of a remark", text, "known are conversation, thread, review".to_owned()))
    }
}

/// As people are told of it: `comment 7`, `line comment 7`, `review 7`.
impl fmt::Display for RemarkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.place {
            RemarkPlace::Conversation => "comment",
            RemarkPlace::Thread => "line comment",
            RemarkPlace::Review => "review",
        };
        write!(f, "{what} {}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_same_id_in_each_place_is_told_apart_and_each_place_is_read_back() {
        let told: BTreeSet<String> = RemarkPlace::ALL.map(|place| RemarkAddress { pull: 1, place, id: 7 }.to_string()).into();
        assert_eq!(told.into_iter().collect::<Vec<_>>(), ["comment 7", "line comment 7", "review 7"]);
        for place in RemarkPlace::ALL {
            assert_eq!(place.as_str().parse(), Ok(place));
        }
        assert!("elsewhere".parse::<RemarkPlace>().is_err());
    }
}
