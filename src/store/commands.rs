//! Comments on pull requests, and reviews, that hold commands: which were heard of, what was done about them, what is answered. Plain values.

use crate::request::RemarkAddress;
use crate::types::{ParseError, RepositoryName, RequestId, Timestamp};
use serde::{Deserialize, Serialize};

/// A comment or a review that may hold commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandComment {
    /// The request whose pull request it stands on.
    pub request: RequestId,
    /// The repository.
    pub repository: RepositoryName,
    /// What names it there.
    pub at: RemarkAddress,
    /// Where it stands.
    pub state: CommandState,
    /// The commands as they were written, a line each, once read.
    pub what: Option<String>,
    /// Who wrote it, by the forge's word, once asked.
    pub by: Option<String>,
    /// What is answered, once everything was done.
    pub answer: Option<CommandAnswer>,
    /// Since when it is in that state.
    pub since: Timestamp,
}

/// Where a comment with commands stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandState {
    /// It was heard of.
    Asked,
    /// What it asks for was done or refused, and it may have been answered.
    Done,
    /// It was answered.
    Told,
    /// It holds nothing to be heeded, or its author may not ask.
    Ignored,
}

/// What is answered to commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandAnswer {
    /// Whether any of them was not done.
    pub refused: bool,
    /// Words, in Markdown; none where the sign says enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl CommandState {
    /// The word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Done => "done",
            Self::Told => "told",
            Self::Ignored => "ignored",
        }
    }
}

impl std::str::FromStr for CommandState {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = [Self::Asked, Self::Done, Self::Told, Self::Ignored];
        let found = known.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| ParseError::new("state of a comment with commands", text, "known are asked, done, told, ignored".to_owned()))
    }
}
