//! Whose a branch is that is not where we left it: told by its commits' own words, because a note of ours may be lost.
//! A branch is ours to move only while nobody else's commit stands on it; in doubt it is not. It changes nothing at the remote.

use super::message::request_of;
use super::{GitError, Identity, Mirror};
use crate::types::{BranchName, CommitSha, RequestId, Timestamp};
use git2::{Commit, Oid, Repository};

/// Commits of a branch that are looked at, beside those of the base.
const MOST_COMMITS: usize = 1000;

/// Whom a branch may belong to.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The request our commits name in their trailer.
    pub request: &'a RequestId,
    /// Who commits for us in this repository, as it is set now.
    pub committer: &'a Identity,
    /// The author and committer time of our commits of this request; none where each has its own.
    pub time: Option<Timestamp>,
    /// Commits that are known to be of this request.
    pub known: &'a [CommitSha],
}

/// Where a branch is at the remote, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// There is no such branch.
    Absent,
    /// One or more commits on top of each other, all of this request and made by us, and nobody else's: they may be replaced.
    Ours(CommitSha),
    /// A person went on from a commit of this request.
    Continued(CommitSha),
    /// Nothing on it is of this request.
    Foreign(CommitSha),
}

impl Mirror {
    /// Whether a commit is in the history of `tip`; none where that cannot be told, because the mirror holds only a part of the history, or
    /// neither of them. It looks at what is here, and fetches nothing.
    ///
    /// # Errors
    /// When the mirror cannot be read.
    pub fn is_in(&self, commit: &CommitSha, tip: &CommitSha) -> Result<Option<bool>, GitError> {
        if commit == tip {
            return Ok(Some(true));
        }
        self.with_repository(|repository| {
            let (commit, tip) = (oid(commit)?, oid(tip)?);
            if repository.find_commit(tip).is_err() || repository.find_commit(commit).is_err() {
                return Ok(None);
            }
            match repository.graph_descendant_of(tip, commit) {
                Ok(is_in) => Ok(Some(is_in)),
                // Cut off somewhere on the way.
                Err(_) if repository.is_shallow() => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// Whether the mirror holds a commit. It looks at what is here, and fetches nothing.
    ///
    /// # Errors
    /// When the mirror cannot be read.
    pub fn holds(&self, commit: &CommitSha) -> Result<bool, GitError> {
        self.with_repository(|repository| Ok(repository.find_commit(oid(commit)?).is_ok()))
    }

    /// Looks at a branch at the remote and tells whose it is.
    ///
    /// # Errors
    /// When the remote cannot be reached or the mirror cannot be read.
    pub fn standing(&self, branch: &BranchName, owner: &Owner<'_>) -> Result<Standing, GitError> {
        let base = self.fetch()?;
        let Some((tip, _pin)) = self.fetch_branch(branch)? else { return Ok(Standing::Absent) };
        let told = self.with_repository(|repository| {
            let base = oid(&base)?;
            // The base may have been rewritten since, and what it was be gone.
            if repository.odb()?.exists(base) { whose(repository, oid(&tip)?, base, owner).map(Some) } else { Ok(None) }
        })?;
        let told = told.ok_or_else(|| self.missing(&base))?;
        Ok(told(tip))
    }
}

fn oid(commit: &CommitSha) -> Result<Oid, git2::Error> {
    Oid::from_str(commit.as_str())
}

fn whose(repository: &Repository, tip: Oid, base: Oid, owner: &Owner<'_>) -> Result<fn(CommitSha) -> Standing, git2::Error> {
    let known: Vec<Oid> = owner.known.iter().filter_map(|known| oid(known).ok()).collect();
    if known.contains(&tip) {
        return Ok(Standing::Ours);
    }
    let names_us = |commit: &Commit<'_>| commit.message().ok().and_then(request_of).as_ref() == Some(owner.request);
    let mut walk = repository.revwalk()?;
    walk.push(tip)?;
    walk.hide(base)?;
    let beside: Vec<Oid> = walk.take(MOST_COMMITS).collect::<Result<_, _>>()?;
    // The tip counts also where it is in the base by now.
    let beside = if beside.is_empty() { vec![tip] } else { beside };
    let commits = beside.into_iter().map(|id| repository.find_commit(id)).collect::<Result<Vec<_>, _>>()?;
    // A merge of ours is none: we make stacks. What the limit cut off is nobody's for certain.
    let made_by_us = |commit: &Commit<'_>| is_by(commit, owner.committer) || is_untouched(commit, owner.time);
    let ours = |commit: &Commit<'_>| commit.parent_count() == 1 && names_us(commit) && made_by_us(commit);
    if commits.len() < MOST_COMMITS && commits.iter().all(ours) {
        return Ok(Standing::Ours);
    }
    // Known ones count also when they are in the base by now.
    let continues = known.iter().any(|known| repository.graph_descendant_of(tip, *known).unwrap_or(false));
    Ok(if continues || commits.iter().any(names_us) { Standing::Continued } else { Standing::Foreign })
}

fn is_by(commit: &Commit<'_>, identity: &Identity) -> bool {
    let committer = commit.committer();
    committer.name().ok() == Some(identity.name()) && committer.email().ok() == Some(identity.email())
}

/// Whether a commit that names our request is as we made it, also where another committer is set by now: whoever amends or rebases
/// one leaves the time of that, and where they keep even the time, a committer who is not the author.
fn is_untouched(commit: &Commit<'_>, time: Option<Timestamp>) -> bool {
    let (author, committer) = (commit.author(), commit.committer());
    let ours = time.map_or(author.when().seconds(), Timestamp::unix_seconds);
    let at_ours = |when: git2::Time| when.seconds() == ours && when.offset_minutes() == 0;
    let same = author.name_bytes() == committer.name_bytes() && author.email_bytes() == committer.email_bytes();
    at_ours(author.when()) && at_ours(committer.when()) && same
}
