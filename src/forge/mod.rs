//! Forges: where a branch becomes a pull request that a person reviews.
//! One trait, two implementations: `local` (no account, a bare repository) and `github`. Every call can be repeated: it
//! finds what an earlier one left. A forge never reopens what a person closed, and no error holds a token.

mod error;
pub mod github;
pub mod local;

pub use error::ForgeError;
pub use github::{GitHub, GitHubSettings, RateBudget};
pub use local::{LocalForge, PullRecords, Review, Tools};

use crate::types::{BranchName, CommitSha, ParseError, Timestamp};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What the flow of a request needs of a forge.
#[async_trait::async_trait]
pub trait Forge: Send + Sync {
    /// Makes sure that the head branch has exactly one pull request that looks as `spec` says, and tells it. One of the same
    /// request's commits that was closed or merged is told as it is, untouched.
    ///
    /// # Errors
    /// When the forge cannot be reached, refuses, or is out of budget.
    async fn ensure_pull(&self, spec: &PullSpec) -> Result<Pull, ForgeError>;

    /// The pull request with this number, with its approvals.
    ///
    /// # Errors
    /// [`ForgeError::NoPull`] when there is none, and what the forge gives.
    async fn get(&self, number: u64) -> Result<Pull, ForgeError>;

    /// The pull request of a head branch: the open one, else the newest.
    ///
    /// # Errors
    /// What the forge gives.
    async fn find(&self, head: &BranchName) -> Result<Option<Pull>, ForgeError>;

    /// Closes a pull request, saying why first. Closing what is closed or merged does nothing.
    ///
    /// # Errors
    /// As [`Self::get`].
    async fn close(&self, number: u64, comment: Option<&str>) -> Result<Pull, ForgeError>;

    /// Writes a comment.
    ///
    /// # Errors
    /// As [`Self::get`].
    async fn comment(&self, number: u64, body: &str) -> Result<(), ForgeError>;
}

/// How a pull request shall look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullSpec {
    /// The branch with the change; already pushed.
    pub head: BranchName,
    /// The branch it is for.
    pub base: BranchName,
    /// The title; cut to what the forge takes.
    pub title: String,
    /// The body, Markdown; cut to what the forge takes.
    pub body: String,
    /// Labels it has at least; others a person added stay.
    pub labels: Vec<String>,
    /// Who is asked to review.
    pub reviewers: Vec<Reviewer>,
    /// The commit the head branch is at. The caller has seen that it is the request's, or continues the request's.
    pub head_commit: CommitSha,
    /// Other commits of the same request that the branch may have been at.
    pub earlier: Vec<CommitSha>,
    /// Whether an earlier attempt may have asked for it already. Only when the caller has recorded nothing of the kind
    /// may this be false: then the search is spared, and the forge's own refusal of a second open one is the guard.
    pub asked_before: bool,
    /// The pull request the branch had before it was asked for again: closed then, and not what is looked for now.
    pub former: Option<u64>,
}

/// Who is asked to review: `user` or `organisation/team`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reviewer {
    /// A person's login.
    User(String),
    /// A team.
    Team {
        /// The organisation it belongs to.
        organisation: String,
        /// Its short name.
        team: String,
    },
}

impl FromStr for Reviewer {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let word =
            |s: &str| (1..=100).contains(&s.len()) && !s.starts_with('-') && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        match text.split_once('/') {
            None if word(text) => Ok(Self::User(text.to_owned())),
            Some((organisation, team)) if word(organisation) && word(team) => {
                Ok(Self::Team { organisation: organisation.to_owned(), team: team.to_owned() })
            }
            _ => Err(ParseError::new("reviewer", text, "it is a login or organisation/team, of letters, digits, `-`, `_` and `.`")),
        }
    }
}

impl TryFrom<String> for Reviewer {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Reviewer> for String {
    fn from(reviewer: Reviewer) -> Self {
        reviewer.to_string()
    }
}

impl fmt::Display for Reviewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(login) => f.write_str(login),
            Self::Team { organisation, team } => write!(f, "{organisation}/{team}"),
        }
    }
}

/// A pull request as a forge tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Pull {
    /// Its number in the repository.
    pub number: u64,
    /// Where a person looks at it.
    pub url: String,
    /// Where it stands.
    pub state: PullState,
    /// The title.
    pub title: String,
    /// The body, Markdown.
    pub body: String,
    /// Labels.
    pub labels: Vec<String>,
    /// Who was asked to review and has not yet.
    #[schemars(with = "Vec<String>")]
    pub reviewers: Vec<Reviewer>,
    /// The branch with the change.
    pub head: String,
    /// The branch it is for.
    pub base: String,
    /// The commit the head branch is at.
    pub head_commit: Option<CommitSha>,
    /// The commit that brought it into the base, once merged.
    pub merge_commit: Option<CommitSha>,
    /// Logins of those who approve. GitHub tells them only when asked for one pull request.
    pub approved_by: Vec<String>,
    /// Who opened it.
    pub author: String,
    /// Who closed or merged it, where the forge tells.
    pub closed_by: Option<String>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What could not be done and does not matter enough to fail: a reviewer who does not exist.
    pub notes: Vec<String>,
}

impl Pull {
    /// Whether it is the one `spec` asks for. An open one follows its branch, whose commit the caller has looked at. One
    /// that is over counts only when a commit of this very request was its head (a commit names its request, so no other
    /// has the same), and not when it was over before the request was asked for again: a branch's name proves nothing.
    fn is_of(&self, spec: &PullSpec) -> bool {
        let heads = || std::iter::once(&spec.head_commit).chain(&spec.earlier);
        self.state == PullState::Open || Some(self.number) != spec.former && heads().any(|head| self.head_commit.as_ref() == Some(head))
    }
}

/// Where a pull request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PullState {
    /// It waits for review or merge.
    Open,
    /// It was closed without a merge.
    Closed,
    /// Its change is in the base.
    Merged,
}

/// Text cut to `limit` characters, with a sign that it was.
fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reviewer_is_a_person_or_a_team() {
        assert_eq!("ada".parse(), Ok(Reviewer::User("ada".to_owned())));
        assert_eq!("acme/platform".parse(), Ok(Reviewer::Team { organisation: "acme".to_owned(), team: "platform".to_owned() }));
        for bad in ["", "/", "a/b/c", "a b", "-x", "@ada", "acme/"] {
            assert!(bad.parse::<Reviewer>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn text_is_cut_by_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
