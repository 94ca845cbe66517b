//! Packs of mirrors that are not whole, made few: git alone knows what may be missing from them.
//! Nobody else works with the mirror meanwhile. What a partial mirror was once given it keeps, in one pack.

use super::environment::promised;
use super::{GitCommand, words};
use crate::git::GitError;
use crate::git::transport::{Limits, Place};
use std::fs;

/// More packs than this are made one.
const MOST_PACKS: usize = 8;

/// Packs everything anew when there are many packs. In a shallow mirror what no reference reaches goes.
pub(super) fn repack(git: &GitCommand, place: &Place) -> Result<(), GitError> {
    let packs = fs::read_dir(place.path.join("objects/pack")).map_err(|error| GitError::storage(&place.remote.name, &error))?;
    if packs.flatten().filter(|entry| entry.path().extension().is_some_and(|ending| ending == "pack")).count() <= MOST_PACKS {
        return Ok(());
    }
    let mut talk = git.work(place)?;
    // It says nothing while it works.
    talk.limits = Limits { idle: talk.limits.total, ..talk.limits };
    let mut arguments = promised(&place.remote.git);
    arguments.extend(words(&["repack", "-a", "-d", "-q", "--no-write-bitmap-index"]));
    talk.run(&arguments, None)?.success().map(drop)
}
