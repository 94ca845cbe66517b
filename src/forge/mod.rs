//! Forges: where a branch becomes a pull request that a person reviews.
//! One trait, two implementations: `local` (no account, a bare repository) and `github`. Every call can be repeated: it
//! finds what an earlier one left. A forge never reopens what a person closed, and no error holds a token.

mod error;
pub mod github;
pub mod local;
mod remark;
mod report;
mod spec;
mod window;

pub use error::ForgeError;
pub use github::{Account, GitHub, GitHubSettings, Myself};
pub use local::{LocalForge, PullRecords, Review, Tools};
pub use remark::Remark;
pub use report::{AccountReport, Calls, WindowReport};
pub use spec::{CheckSpec, Priority, PullSpec, Reaction, Reviewer};
pub use window::{HELD_LABEL, WINDOW_CONTEXT, WindowSpec};

use crate::request::{RemarkAddress, RemarkPlace};
use crate::types::{BranchName, CommitSha, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What the flow of a request needs of a forge.
#[async_trait::async_trait]
pub trait Forge: Send + Sync {
    /// Makes sure that the head branch has exactly one pull request that looks as `spec` says, and tells it. One of the same
    /// request's commits that was closed or merged is told as it is, untouched.
    ///
    /// # Errors
    /// When the forge cannot be reached, refuses, or is out of budget.
    async fn ensure_pull(&self, spec: &PullSpec) -> Result<Pull, ForgeError>;

    /// The pull request with this number, and whether it stands in a merge queue: then its branch must not be rebased or
    /// pushed to, which would throw it out. Its approvals are told by [`Self::look`].
    ///
    /// # Errors
    /// [`ForgeError::NoPull`] when there is none, and what the forge gives.
    async fn get(&self, number: u64) -> Result<Pull, ForgeError>;

    /// The pull request of a head branch: the open one, else the newest.
    ///
    /// # Errors
    /// What the forge gives.
    async fn find(&self, head: &BranchName) -> Result<Option<Pull>, ForgeError>;

    /// Closes a pull request, saying why first. Closing what is closed or merged does nothing but tell it.
    ///
    /// # Errors
    /// As [`Self::get`].
    async fn close(&self, number: u64, comment: Option<&str>) -> Result<Pull, ForgeError>;

    /// Whether an open pull request shows what its branch holds without a word from us. Where it does not,
    /// [`Self::ensure_pull`] has to be told of every new commit.
    fn follows_branches(&self) -> bool;

    /// Writes a comment that is known by its marker, a few plain characters that nobody sees. Where an attempt before may have written
    /// it (`asked_before`), it is looked for first, and not written twice.
    ///
    /// # Errors
    /// As [`Self::get`].
    async fn comment_once(&self, number: u64, body: &str, marker: &str, asked_before: bool) -> Result<(), ForgeError>;

    /// Answers a remark where it was made, as [`Self::comment_once`]: in its thread where it has one, else in the conversation. Where the
    /// thread is gone there is nobody to answer.
    ///
    /// # Errors
    /// As [`Self::get`].
    async fn answer_once(&self, remark: &RemarkAddress, body: &str, marker: &str, asked_before: bool) -> Result<(), ForgeError>;

    /// The remark with this address, as the forge itself tells it; none when it is gone or stands on another pull request, and where
    /// remarks have no ids.
    ///
    /// # Errors
    /// What the forge gives.
    async fn remark(&self, remark: &RemarkAddress) -> Result<Option<Remark>, ForgeError>;

    /// Whether the forge lets this person write to the repository. A forge that knows no people says false.
    ///
    /// # Errors
    /// What the forge gives.
    async fn may_write(&self, login: &str) -> Result<bool, ForgeError>;

    /// Puts a sign on a remark, once however often it is called. Where there are no signs it does nothing.
    ///
    /// # Errors
    /// What the forge gives.
    async fn react(&self, remark: &RemarkAddress, reaction: Reaction) -> Result<(), ForgeError>;

    /// Those of the pull requests with these numbers that may look otherwise than at the look that gave `since`, with their
    /// approvals; all of them without it. Cheap where nothing changed: meant to be called all day long.
    ///
    /// # Errors
    /// What the forge gives; then the look is made again with the same `since`.
    async fn look(&self, numbers: &[u64], since: Option<&Mark>) -> Result<Look, ForgeError>;

    /// Comments in such places that were written or changed since a moment, the oldest first, where nobody else sees to it that none is
    /// missed. Reviews are told by [`Self::reviews`] alone.
    ///
    /// # Errors
    /// What the forge gives.
    async fn comments(&self, place: RemarkPlace, since: Timestamp) -> Result<Vec<Remark>, ForgeError> {
        let _ = (place, since);
        Ok(Vec::new())
    }

    /// The newest reviews of those open pull requests that [`Self::look`] would tell, at the price of that look, and what the next one
    /// begins with; none where somebody else sees to it that none is missed.
    ///
    /// # Errors
    /// As [`Self::look`].
    async fn reviews(&self, numbers: &[u64], since: Option<&Mark>) -> Result<(Vec<Remark>, Mark), ForgeError> {
        let _ = (numbers, since);
        Ok((Vec::new(), Mark::default()))
    }

    /// What a webhook about a remark has beside it: the pull request, which is told as an issue to the conversation, and the repository.
    ///
    /// # Errors
    /// What the forge gives.
    async fn surroundings(&self, remark: &RemarkAddress) -> Result<(Value, Value), ForgeError> {
        let _ = remark;
        Ok((Value::Null, Value::Null))
    }

    /// Asked when git was refused: whether the forge knows a reason. That is the error; without one git's own stands, also
    /// where the token is not taken here either, because whoever replaces it in time loses nothing.
    ///
    /// # Errors
    /// [`ForgeError::Archived`], [`ForgeError::ReadOnly`], [`ForgeError::Renamed`], what the forge refuses the repository with,
    /// and what may pass when it cannot be asked now.
    async fn why_refused(&self) -> Result<(), ForgeError>;

    /// Puts the evidence beside a commit, once however often it is called; tells whether it stands there. A forge that has
    /// no such thing, or lets us not write it, says false and calls nobody.
    ///
    /// # Errors
    /// What the forge gives.
    async fn report(&self, check: &CheckSpec) -> Result<bool, ForgeError>;

    /// Shows beside a commit whether it may be merged now, once however often it is called; tells whether that stands there, as
    /// [`Self::report`].
    ///
    /// # Errors
    /// What the forge gives.
    async fn show_window(&self, window: &WindowSpec) -> Result<bool, ForgeError>;
}

/// What a look at many pull requests found.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Those that may have changed.
    pub pulls: Vec<Pull>,
    /// What the next look begins with, once this one's findings are kept.
    pub mark: Mark,
}

/// How far a forge was looked at. Only the forge that gave it understands it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// The forge's time of the newest change seen.
    newest: Option<Timestamp>,
    /// The forge's name of the listing as it was then.
    version: Option<String>,
    /// When each pull request that was told had changed last; one that changed while nobody asked is forgotten.
    looked: BTreeMap<u64, Timestamp>,
}

impl Mark {
    /// What was found about this pull request could not be kept: the next look tells it again.
    pub fn again(&mut self, number: u64) {
        self.looked.remove(&number);
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
    /// Who it is assigned to.
    #[serde(default)]
    pub assignees: Vec<String>,
    /// Its milestone's title.
    #[serde(default)]
    pub milestone: Option<String>,
    /// Whether it is a draft, which cannot be merged.
    #[serde(default)]
    pub draft: bool,
    /// Whether the forge merges it by itself once it may.
    #[serde(default)]
    pub auto_merge: bool,
    /// Whether it stands in a merge queue, told by [`Forge::get`] and where we queued it.
    #[serde(default)]
    pub queued: bool,
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
    /// Logins of those who approve. GitHub tells them only when they are asked for: see [`Forge::look`].
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

/// What each comment of ours holds where nobody sees it: we never heed one that does.
const OURS: &str = "<!-- kubeops";

/// A comment of ours with its sign, at most `limit` characters.
fn signed(body: &str, marker: Option<&str>, limit: usize) -> String {
    let sign = marker.map_or_else(|| format!("{OURS} -->"), |marker| format!("{OURS}:{marker} -->"));
    format!("{}\n\n{sign}", cut(body, limit.saturating_sub(sign.chars().count() + 2)))
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
    fn text_is_cut_by_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
