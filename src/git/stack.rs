//! Commits of ours that stand on each other, from a base to a tip: whether two such stacks do the same.
//! It reads trees where they differ, and nothing of what the commits say.

use super::proposal::MAX_STACK;
use crate::types::CommitSha;
use git2::{Oid, Repository};

/// A stack of commits.
#[derive(Debug, Clone, Copy)]
pub struct Stack<'a> {
    /// What the first commit stands on.
    pub base: &'a CommitSha,
    /// The last commit.
    pub tip: &'a CommitSha,
}

/// A file that one commit changes: its path, and content and mode before and after.
type Delta = (Vec<u8>, (Oid, i32), (Oid, i32));

/// See [`super::Mirror::same_stack`].
pub(super) fn is_same(repository: &Repository, one: &Stack<'_>, other: &Stack<'_>) -> Result<bool, git2::Error> {
    let (Some(mine), Some(others)) = (commits(repository, one)?, commits(repository, other)?) else { return Ok(false) };
    if mine.len() != others.len() {
        return Ok(false);
    }
    for (mine, others) in mine.into_iter().zip(others) {
        if mine != others && deltas(repository, mine)? != deltas(repository, others)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The commits from the tip down to the base, which is left out; none when they do not lead there one by one.
fn commits(repository: &Repository, stack: &Stack<'_>) -> Result<Option<Vec<Oid>>, git2::Error> {
    let (base, mut next) = (Oid::from_str(stack.base.as_str())?, Oid::from_str(stack.tip.as_str())?);
    let mut commits = Vec::new();
    while next != base {
        let commit = repository.find_commit(next)?;
        if commits.len() == MAX_STACK || commit.parent_count() != 1 {
            return Ok(None);
        }
        commits.push(next);
        next = commit.parent_id(0)?;
    }
    Ok(Some(commits))
}

fn deltas(repository: &Repository, commit: Oid) -> Result<Vec<Delta>, git2::Error> {
    let commit = repository.find_commit(commit)?;
    let (before, after) = (commit.parent(0)?.tree()?, commit.tree()?);
    let diff = repository.diff_tree_to_tree(Some(&before), Some(&after), None)?;
    let side = |file: git2::DiffFile<'_>| (file.id(), i32::from(file.mode()));
    let path = |delta: &git2::DiffDelta<'_>| delta.new_file().path_bytes().or(delta.old_file().path_bytes()).unwrap_or_default().to_vec();
    Ok(diff.deltas().map(|delta| (path(&delta), side(delta.old_file()), side(delta.new_file()))).collect())
}
