//! Fetching with the git program: the base, a branch, objects that a partial mirror lacks; and where branches are.
//! Nothing is written to the mirror but packs and the references asked for.

use super::environment::{REMOTE, promised};
use super::{GitCommand, Heard, judge, words};
use crate::git::GitError;
use crate::git::open::open_mirror;
use crate::git::transport::{Place, base_ref, make_way};
use crate::types::{BranchName, CommitSha};
use git2::{Oid, Repository};
use std::collections::HashMap;

/// A branch that is looked at is here for a moment. One name for all: one conversation a mirror has at a time.
const SEEN: &str = "refs/kubeops/seen/tip";
/// Most objects that are asked for in one conversation.
const MOST_OBJECTS: usize = 10_000;

/// The start of every fetch: no tags, no files beside packs and references, nothing of submodules, no housekeeping.
fn fetching(place: &Place) -> Vec<String> {
    let mut arguments = promised(&place.remote.git);
    arguments.extend(words(&["fetch", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance", "--progress"]));
    if place.remote.git.partial_clone {
        arguments.push("--filter=blob:none".to_owned());
    }
    arguments
}

/// Fetches the base branch into its reference and tells its tip.
pub(super) fn base(git: &GitCommand, place: &Place) -> Result<CommitSha, GitError> {
    let base = &place.remote.base;
    let reference = base_ref(base);
    let mut arguments = fetching(place);
    if tip_of(place, &reference)?.is_none() {
        make_way(&open(place)?, &reference).map_err(|error| GitError::local(&place.remote.name, &error))?;
        // Only the first fetch is cut off: later ones bring what is new, and the cut stays where it was.
        arguments.extend(place.remote.git.depth.map(|depth| format!("--depth={depth}")));
    }
    arguments.extend([REMOTE.to_owned(), format!("+{}:{reference}", base.full_ref())]);
    let heard = git.talk(place)?.run(&arguments, None)?;
    if !fetched(place, heard)? {
        return Err(GitError::NoBranch { repository: place.remote.name.clone(), branch: base.clone() });
    }
    git.saw_base(place);
    let lost = || GitError::Corrupt { repository: place.remote.name.clone(), message: "the fetched reference is not there".to_owned() };
    tip_of(place, &reference)?.ok_or_else(lost)
}

/// Fetches a branch's commits and tells its tip; none when there is no such branch.
pub(super) fn branch(git: &GitCommand, place: &Place, branch: &BranchName) -> Result<Option<CommitSha>, GitError> {
    let mut arguments = fetching(place);
    arguments.extend([REMOTE.to_owned(), format!("+{}:{SEEN}", branch.full_ref())]);
    if !fetched(place, git.talk(place)?.run(&arguments, None)?)? {
        return Ok(None);
    }
    let tip = tip_of(place, SEEN)?;
    let repository = open(place)?;
    if let Ok(mut seen) = repository.find_reference(SEEN) {
        // Looked at once; the next fetch must not count on it.
        seen.delete().map_err(|error| GitError::local(&place.remote.name, &error))?;
    }
    if let Some(tip) = &tip
        && repository.is_shallow()
        && !stands_on_the_base(&repository, place, tip)
    {
        // Where the branch leaves the base lies beyond the cut: whose it is can be told from the whole history alone.
        let mut arguments = fetching(place);
        arguments.extend([
            "--unshallow".to_owned(),
            REMOTE.to_owned(),
            format!("+{0}:{1}", place.remote.base.full_ref(), base_ref(&place.remote.base)),
        ]);
        fetched(place, git.talk(place)?.run(&arguments, None)?)?;
    }
    Ok(tip)
}

/// Whether a branch is in the base, or one commit on a commit of it, in a mirror whose history is cut off.
fn stands_on_the_base(repository: &Repository, place: &Place, tip: &CommitSha) -> bool {
    let beside = || -> Result<usize, git2::Error> {
        let mut walk = repository.revwalk()?;
        walk.push(Oid::from_str(tip.as_str())?)?;
        walk.hide_ref(&base_ref(&place.remote.base))?;
        Ok(walk.take(2).count())
    };
    beside().is_ok_and(|beside| beside < 2)
}

/// Fetches objects by their ids.
pub(super) fn objects(git: &GitCommand, place: &Place, objects: &[Oid]) -> Result<(), GitError> {
    for some in objects.chunks(MOST_OBJECTS) {
        // As git itself fetches what it finds missing: without telling what is here already.
        let mut arguments = words(&["-c", "fetch.negotiationAlgorithm=noop"]);
        arguments.extend(fetching(place));
        arguments.extend(words(&["--stdin", REMOTE]));
        let wanted: String = some.iter().map(|id| format!("{id}\n")).collect();
        git.talk(place)?.run(&arguments, Some(wanted.into_bytes()))?.success()?;
    }
    Ok(())
}

/// Every branch of the remote, by its full reference, and where it is.
pub(super) fn tips(git: &GitCommand, place: &Place) -> Result<HashMap<String, CommitSha>, GitError> {
    let listed = git.talk(place)?.run(&words(&["ls-remote", "--heads", REMOTE]), None)?.success()?;
    let text = String::from_utf8_lossy(&listed.stdout);
    let pair = |line: &str| line.split_once('\t').and_then(|(id, name)| Some((name.to_owned(), id.parse().ok()?)));
    Ok(text.lines().filter_map(pair).collect())
}

/// Whether the branch that was asked for is there.
fn fetched(place: &Place, heard: Heard) -> Result<bool, GitError> {
    match heard.failure {
        None => judge::damage(&place.remote.name, &heard.finished.stderr).map_or(Ok(true), Err),
        Some(_) if judge::no_such_branch(&heard.finished.stderr) => Ok(false),
        Some(error) => Err(error),
    }
}

fn open(place: &Place) -> Result<Repository, GitError> {
    open_mirror(&place.path).map_err(|error| GitError::local(&place.remote.name, &error))
}

fn tip_of(place: &Place, reference: &str) -> Result<Option<CommitSha>, GitError> {
    match open(place)?.refname_to_id(reference) {
        Ok(id) => Ok(Some(CommitSha::from_bytes(id.as_bytes()))),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(GitError::local(&place.remote.name, &error)),
    }
}
