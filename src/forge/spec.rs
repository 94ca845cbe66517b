//! What a forge is asked for: how a pull request shall look, what stands beside a commit, and how urgent it is.
//! Plain values; nothing here calls anybody.

use super::HELD_LABEL;
use crate::automation::{MergeMethod, Milestone};
use crate::request::PullWritten;
use crate::types::{BranchName, CommitSha, ParseError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// How urgent a call is. Each but the first leaves a reserve of the forge's budget to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// An alert is burning: everything may be spent on it.
    Alert,
    /// A person asked and waits.
    Ticket,
    /// Nobody waits: looking at open pull requests.
    Housekeeping,
}

impl Priority {
    /// Calls that must stay of `limit` calls an hour.
    pub(crate) fn reserve(self, limit: u64) -> u64 {
        match self {
            Self::Alert => 0,
            Self::Ticket => limit / 20,
            Self::Housekeeping => limit / 5,
        }
    }
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
    /// Who it is assigned to at least; others a person added stay.
    pub assignees: Vec<String>,
    /// Its milestone, where it shall have one.
    pub milestone: Option<Milestone>,
    /// Whether it is opened as a draft. One that is there is never made a draft again.
    pub draft: bool,
    /// Whether it is held: then it has the label that says so, and the forge does not merge it by itself, whoever asked for that.
    pub held: bool,
    /// How the forge merges it by itself, where it shall and nothing holds it.
    pub auto_merge: Option<MergeMethod>,
    /// The commit the head branch is at. The caller has seen that it is the request's, or continues the request's.
    pub head_commit: CommitSha,
    /// Other commits of the same request that the branch may have been at.
    pub earlier: Vec<CommitSha>,
    /// Whether an earlier attempt may have asked for it already. Only when the caller has recorded nothing of the kind
    /// may this be false: then the search is spared, and the forge's own refusal of a second open one is the guard.
    pub asked_before: bool,
    /// The pull request the branch had before it was asked for again: over then, and not what is looked for now.
    pub former: Option<u64>,
    /// The pull request it has, and what that was made to say: then it is this one, whatever became of it.
    pub written: Option<PullWritten>,
}

impl PullSpec {
    /// The labels it has at least, with the one of what is held.
    pub fn all_labels(&self) -> Vec<String> {
        self.labels.iter().cloned().chain(self.held.then(|| HELD_LABEL.to_owned())).collect()
    }

    /// Its automatic merge, where nothing holds it.
    pub fn auto_merge(&self) -> Option<MergeMethod> {
        self.auto_merge.filter(|_| !self.held)
    }

    /// SHA-256 of everything the pull request shall say, hex: equal digests need no call. The commits are no part of it,
    /// because a pull request follows its branch by itself.
    pub fn digest(&self) -> String {
        let said = serde_json::json!([
            self.head,
            self.base,
            self.title,
            self.body,
            self.labels,
            self.reviewers,
            self.assignees,
            self.milestone,
            self.draft,
            self.auto_merge,
            self.held,
        ]);
        hex::encode(Sha256::digest(said.to_string()))
    }
}

/// The evidence that is put beside a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckSpec {
    /// The commit.
    pub commit: CommitSha,
    /// What makes it the same when it is put there again: the request's id.
    pub key: String,
    /// One line.
    pub title: String,
    /// The evidence, Markdown; cut to what the forge takes.
    pub summary: String,
    /// Where a person reads more.
    pub details: String,
    /// Whether there is something a reviewer should look at.
    pub warnings: bool,
    /// Whether an earlier attempt may have put it there already; then it is looked for first.
    pub asked_before: bool,
}

/// A sign on a remark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// What it asks for is done.
    Done,
    /// It is not, or not all of it.
    Refused,
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
    fn a_digest_changes_with_everything_that_is_said_and_with_nothing_else() {
        let spec = PullSpec {
            head: "kubeops/a".parse().expect("a branch"),
            base: "main".parse().expect("a branch"),
            title: "t".to_owned(),
            body: "b".to_owned(),
            labels: vec!["l".to_owned()],
            reviewers: vec!["ada".parse().expect("a reviewer")],
            assignees: vec!["bob".to_owned()],
            milestone: Some(Milestone::Number(1)),
            draft: false,
            held: false,
            auto_merge: None,
            head_commit: "1".repeat(40).parse().expect("a commit"),
            earlier: Vec::new(),
            asked_before: false,
            former: None,
            written: None,
        };
        let same = PullSpec { head_commit: "2".repeat(40).parse().expect("a commit"), asked_before: true, former: Some(1), ..spec.clone() };
        assert_eq!(same.digest(), spec.digest());
        let others = [
            PullSpec { head: "kubeops/b".parse().expect("a branch"), ..spec.clone() },
            PullSpec { base: "next".parse().expect("a branch"), ..spec.clone() },
            PullSpec { title: "u".to_owned(), ..spec.clone() },
            PullSpec { body: "c".to_owned(), ..spec.clone() },
            PullSpec { labels: vec![], ..spec.clone() },
            PullSpec { reviewers: vec![], ..spec.clone() },
            PullSpec { assignees: vec![], ..spec.clone() },
            PullSpec { milestone: Some(Milestone::Title("1".to_owned())), ..spec.clone() },
            PullSpec { draft: true, ..spec.clone() },
            PullSpec { held: true, ..spec.clone() },
            PullSpec { auto_merge: Some(MergeMethod::Squash), ..spec.clone() },
        ];
        let mut digests: Vec<String> = others.iter().map(PullSpec::digest).chain([spec.digest()]).collect();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), others.len() + 1);
    }

    #[test]
    fn the_more_urgent_leave_less_behind() {
        let kept = [Priority::Alert, Priority::Ticket, Priority::Housekeeping].map(|priority| priority.reserve(5000));
        assert_eq!(kept, [0, 250, 1000]);
    }
}
