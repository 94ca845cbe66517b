//! The bare repository under the local forge: where a branch is, what it changes, and its merge.
//! A merge moves the base branch by compare-and-swap, so it never loses another's commit. Blocking; no hook runs.

use super::Person;
use crate::forge::{ForgeError, Pull, PullState};
use crate::lease;
use crate::types::{CommitSha, ErrorClass, Timestamp, TreeDiff};
use git2::{ErrorCode, Oid, Repository, Signature, Time};
use std::path::{Path, PathBuf};

/// How a repository is opened and how two commits' difference is told; given by `app`, because adapters do not import
/// each other. Both come from the git adapter (`open_isolated` and `tree_diff`).
#[derive(Clone, Copy)]
pub struct Tools {
    /// Opens a bare repository so that no configuration of the machine is obeyed.
    pub open: fn(&Path) -> Result<Repository, git2::Error>,
    /// The difference between two commits, of at most so many bytes.
    pub diff: fn(&Repository, Oid, Oid, usize) -> Result<TreeDiff, git2::Error>,
}

/// What a merge made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The commit that brought the change into the base.
    pub commit: CommitSha,
}

/// One merge to make.
pub(super) struct MergeOrder {
    number: u64,
    base: String,
    head: CommitSha,
    message: String,
    who: Person,
    at: Timestamp,
}

impl MergeOrder {
    /// None when the record does not say which commit it is about.
    pub(super) fn of(pull: &Pull, who: &Person, at: Timestamp) -> Option<Self> {
        let head = pull.head_commit.clone()?;
        let title = pull.title.split_whitespace().collect::<Vec<_>>().join(" ");
        // The last paragraph is ours: what stands in the title can be no trailer.
        let message = format!("Merge pull request {} from {}\n\n{title}\n\nKubeops-Pull: {}\n", pull.number, pull.head, pull.number);
        Some(Self { number: pull.number, base: pull.base.clone(), head, message, who: who.clone(), at })
    }
}

/// How often a merge is tried again because the base moved.
const ATTEMPTS: usize = 8;

#[derive(Clone)]
pub(super) struct Upstream {
    /// The forge's name in messages.
    pub(super) forge: String,
    pub(super) path: PathBuf,
    pub(super) tools: Tools,
}

impl Upstream {
    /// Where a branch is.
    pub(super) fn tip(&self, branch: &str) -> Result<Option<CommitSha>, ForgeError> {
        match self.open()?.refname_to_id(&format!("refs/heads/{branch}")) {
            Ok(id) => Ok(Some(CommitSha::from_bytes(id.as_bytes()))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// What merging changes: the head against where it left the base; once merged, the merge against its first parent.
    pub(super) fn diff(&self, pull: &Pull, limit: usize) -> Result<TreeDiff, ForgeError> {
        let repository = self.open()?;
        let told = match (&pull.merge_commit, &pull.head_commit) {
            (Some(merge), _) if pull.state == PullState::Merged => Oid::from_str(merge.as_str())
                .and_then(|merge| repository.find_commit(merge)?.parent_id(0).map(|parent| (parent, merge)))
                .and_then(|(from, to)| (self.tools.diff)(&repository, from, to, limit)),
            (_, Some(head)) => Oid::from_str(head.as_str()).and_then(|head| {
                let base = repository.refname_to_id(&format!("refs/heads/{}", pull.base))?;
                (self.tools.diff)(&repository, repository.merge_base(base, head)?, head, limit)
            }),
            _ => Ok(TreeDiff::default()),
        };
        told.map_err(|error| self.failed(&error))
    }

    /// The commit that brought `head` into the branch `base`, by whomever and whether it was recorded or not.
    pub(super) fn merged_already(&self, base: &str, head: &CommitSha) -> Result<Option<Merged>, ForgeError> {
        let repository = self.open()?;
        let find = || -> Result<Option<Oid>, git2::Error> {
            let (base, head) = (repository.refname_to_id(&format!("refs/heads/{base}"))?, Oid::from_str(head.as_str())?);
            if repository.find_commit(head).is_err() {
                return Ok(None);
            }
            if base != head && !repository.graph_descendant_of(base, head)? {
                return Ok(None);
            }
            // The newest commit on the base's own line whose other parent is the head; a fast-forward has none.
            let mut walk = repository.revwalk()?;
            walk.push(base)?;
            walk.hide(head)?;
            walk.simplify_first_parent()?;
            for id in walk {
                let id = id?;
                if repository.find_commit(id)?.parent_ids().skip(1).any(|parent| parent == head) {
                    return Ok(Some(id));
                }
            }
            Ok(Some(head))
        };
        find().map(|found| found.map(|id| Merged { commit: CommitSha::from_bytes(id.as_bytes()) })).map_err(|error| self.failed(&error))
    }

    /// Merges the head into the base.
    pub(super) fn merge(&self, order: &MergeOrder) -> Result<Merged, ForgeError> {
        let repository = self.open()?;
        for _ in 0..ATTEMPTS {
            if let Some(merged) = self.merged_already(&order.base, &order.head)? {
                return Ok(merged);
            }
            let reference = format!("refs/heads/{}", order.base);
            let base = repository.refname_to_id(&reference).map_err(|error| self.failed(&error))?;
            let commit = self.commit(&repository, order, base)?;
            self.may_move()?;
            match repository.reference_matching(&reference, commit, true, base, "merge") {
                Ok(_) => return Ok(Merged { commit: CommitSha::from_bytes(commit.as_bytes()) }),
                // Another was faster; its commit is merged with, never lost.
                Err(error) if matches!(error.code(), ErrorCode::Modified | ErrorCode::Locked) => {}
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Err(ForgeError::Busy { forge: self.forge.clone(), number: order.number })
    }

    /// Deletes a branch that is merged. One that has moved on since, or that somebody deleted, is left as it is.
    pub(super) fn delete_merged(&self, branch: &str, head: &CommitSha) -> Result<(), ForgeError> {
        let repository = self.open()?;
        let reference = format!("refs/heads/{branch}");
        self.may_move()?;
        let delete = || match repository.find_reference(&reference) {
            // libgit2 deletes it only where it stood when it was looked up.
            Ok(mut found) if found.target().is_some_and(|id| CommitSha::from_bytes(id.as_bytes()) == *head) => found.delete(),
            Ok(_) => Ok(()),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        delete().map_err(|error| self.failed(&error))
    }

    /// The merge commit, not yet on the base.
    fn commit(&self, repository: &Repository, order: &MergeOrder, base: Oid) -> Result<Oid, ForgeError> {
        let make = || -> Result<Result<Oid, Vec<String>>, git2::Error> {
            let ours = repository.find_commit(base)?;
            let theirs = repository.find_commit(Oid::from_str(order.head.as_str())?)?;
            let tree = if repository.merge_base(base, theirs.id())? == base {
                // The base has not moved: what was looked at is what it becomes.
                theirs.tree_id()
            } else {
                let mut index = repository.merge_commits(&ours, &theirs, None)?;
                if index.has_conflicts() {
                    return Ok(Err(conflicts(&index)?));
                }
                index.write_tree_to(repository)?
            };
            let signature = Signature::new(&order.who.name, &order.who.email, &Time::new(order.at.unix_seconds(), 0))?;
            let tree = repository.find_tree(tree)?;
            repository.commit(None, &signature, &signature, &order.message, &tree, &[&ours, &theirs]).map(Ok)
        };
        make().map_err(|error| self.failed(&error))?.map_err(|files| ForgeError::Conflict { forge: self.forge.clone(), number: order.number, files })
    }

    /// Asked right before a reference moves: another may have gone on with the work.
    fn may_move(&self) -> Result<(), ForgeError> {
        let lost = |lost: lease::Lost| ForgeError::Storage { forge: self.forge.clone(), message: lost.to_string(), class: ErrorClass::Transient };
        lease::check().map_err(lost)
    }

    fn open(&self) -> Result<Repository, ForgeError> {
        (self.tools.open)(&self.path).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &git2::Error) -> ForgeError {
        let class = match error.code() {
            ErrorCode::NotFound | ErrorCode::Invalid | ErrorCode::InvalidSpec => ErrorClass::Permanent,
            _ => ErrorClass::Transient,
        };
        ForgeError::Storage { forge: self.forge.clone(), message: error.message().to_owned(), class }
    }
}

/// The files in conflict, each once, in order.
fn conflicts(index: &git2::Index) -> Result<Vec<String>, git2::Error> {
    let mut files = std::collections::BTreeSet::new();
    for conflict in index.conflicts()? {
        let conflict = conflict?;
        for side in [conflict.our, conflict.their, conflict.ancestor].into_iter().flatten() {
            files.insert(String::from_utf8_lossy(&side.path).into_owned());
        }
    }
    Ok(files.into_iter().collect())
}
