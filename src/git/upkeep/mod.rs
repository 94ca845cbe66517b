//! A mirror's objects kept small: what no reference reaches goes, and many packs become one, however often the base moved.
//! It works beside the steps. New packs are whole and on disk before an old one goes, so it may be killed at any moment; nothing
//! that a reference, a snapshot in use or a conversation needs is removed. Shallow and partial mirrors are their transport's.

mod delta;
mod files;
mod pack;
mod reach;
mod write;

use super::GitError;
use super::hold::Alone;
use super::mirror::Mirror;
use super::open::open_mirror;
use super::proposal::unique;
use super::transport::SEEN;
use files::{Files, PackFiles, pack_of, sweep};
use git2::{Oid, Repository};
use pack::Pack;
use reach::Reach;
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::SystemTime;
use write::Selection;

/// More packs than this are made fewer.
const MOST_PACKS: usize = 8;
/// More loose objects than this are packed.
const MOST_LOOSE: usize = 256;
/// What is not wanted, and what stands beside the largest pack, may each be one part in so many of the whole.
const SHARE: u64 = 20;
/// What a new pack's directory is called while it is written.
const SCRATCH: &str = "repack-";

/// What upkeep came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// There was nothing to do.
    AsItWas,
    /// Packs were replaced: the bytes of all objects before and after.
    Repacked {
        /// Before.
        before: u64,
        /// After.
        after: u64,
    },
    /// Somebody else works with the mirror, or moved its references meanwhile: later.
    Busy,
    /// The mirror is not whole (shallow, or a partial clone), and its transport saw to it.
    Transports,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    /// Everything but the largest pack becomes one.
    Merge,
    /// Everything becomes one.
    Repack,
}

/// A mirror at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    roots: BTreeSet<Oid>,
    files: Files,
}

impl Mirror {
    /// Removes what no reference reaches any more and makes few packs of many, where that is worth it. Steps go on meanwhile: only
    /// conversations with the remote wait, for the moment in which packs are exchanged. Only the process that owns the data
    /// directory may call it.
    ///
    /// # Errors
    /// When the mirror is damaged, which the next fetch mends, or the disk refuses; then everything is as it was.
    pub fn upkeep(&self) -> Result<Upkeep, GitError> {
        if !self.is_there() {
            return Ok(Upkeep::AsItWas);
        }
        if self.path().join("shallow").exists() || self.has_promised() {
            return self.upkeep_by_transport();
        }
        // Where references move while a pack is written, nothing of it counts, and the second time nobody may move them.
        for patient in [true, false] {
            let Some(alone) = self.alone()? else { return Ok(Upkeep::Busy) };
            let moment = self.moment(&alone)?;
            if self.last_look().as_ref() == Some(&moment) {
                return Ok(Upkeep::AsItWas);
            }
            let held = (!patient).then_some(alone);
            let (need, live) = self.survey(&moment)?;
            if need == Need::Nothing {
                *self.last_look() = Some(moment);
                return Ok(Upkeep::AsItWas);
            }
            let written = self.write(&moment, need, &live)?;
            let alone = match held {
                Some(alone) => alone,
                None => match self.alone()? {
                    Some(alone) => alone,
                    None => return Ok(Upkeep::Busy),
                },
            };
            if let Some(after) = self.exchange(&alone, &moment, need, &written)? {
                return Ok(Upkeep::Repacked { before: moment.files.bytes(), after });
            }
        }
        Ok(Upkeep::Busy)
    }

    /// A mirror that is not whole is packed by git, which knows what may be missing. It takes packs away when it is done, so nobody
    /// reads or talks meanwhile, and nothing is in use that no reference names.
    fn upkeep_by_transport(&self) -> Result<Upkeep, GitError> {
        let Some(_alone) = self.alone()? else { return Ok(Upkeep::Busy) };
        let _closed = self.closed();
        if !self.pinned().is_empty() {
            return Ok(Upkeep::Busy);
        }
        let forgotten = open_mirror(self.path()).and_then(|repository| forget_seen(&repository));
        forgotten.map_err(|error| self.local(&error))?;
        self.transport().upkeep(&self.place()).map(|()| Upkeep::Transports)
    }

    /// References and files as they are, without what a killed process left.
    fn moment(&self, _: &Alone<'_>) -> Result<Moment, GitError> {
        sweep(self.path(), SCRATCH, SystemTime::now()).map_err(|error| self.storage(&error))?;
        let repository = open_mirror(self.path()).map_err(|error| self.local(&error))?;
        forget_seen(&repository).map_err(|error| self.local(&error))?;
        let roots = self.roots(&repository)?;
        Ok(Moment { roots, files: Files::of(self.path()).map_err(|error| self.storage(&error))? })
    }

    /// What must stay: everything a reference names, and what steps read at this moment.
    fn roots(&self, repository: &Repository) -> Result<BTreeSet<Oid>, GitError> {
        let named = || -> Result<BTreeSet<Oid>, git2::Error> {
            let mut roots = BTreeSet::new();
            for reference in repository.references()? {
                roots.extend(reference?.target());
            }
            let odb = repository.odb()?;
            roots.extend(self.pinned().into_iter().filter(|pinned| odb.exists(*pinned)));
            Ok(roots)
        };
        named().map_err(|error| self.local(&error))
    }

    /// What the mirror needs, and what of it is wanted.
    fn survey(&self, moment: &Moment) -> Result<(Need, Reach), GitError> {
        let Moment { roots, files } = moment;
        let Some(largest) = files.packs.first().filter(|_| !roots.is_empty()) else { return Ok((Need::Nothing, Reach::default())) };
        let known = self.opened(largest)?.entries.into_iter().map(|entry| entry.id).collect();
        let live = self.reading(|repository| Reach::of(repository, roots, &known).map_err(|error| self.local(&error)))?;
        let (mut counted, mut wanted, mut dead) = (HashSet::with_capacity(live.order.len()), 0, 0);
        for pack in &files.packs {
            for entry in self.opened(pack)?.entries {
                let first = live.order.contains_key(&entry.id) && counted.insert(entry.id);
                *(if first { &mut wanted } else { &mut dead }) += entry.end - entry.at;
            }
        }
        let outside = files.bytes() - largest.bytes;
        let need = match () {
            () if dead * SHARE > wanted || outside * SHARE > largest.bytes => Need::Repack,
            () if files.packs.len() > MOST_PACKS || files.loose.len() > MOST_LOOSE => Need::Merge,
            () => Need::Nothing,
        };
        Ok((need, live))
    }

    /// Writes the new pack in a directory of its own; no pack where there is nothing to put into one.
    fn write(&self, moment: &Moment, need: Need, live: &Reach) -> Result<Written, GitError> {
        let scratch = Scratch(self.path().join(format!("{SCRATCH}{}-{}", std::process::id(), unique())));
        fs::create_dir(&scratch.0).map_err(|error| self.storage(&error))?;
        let packs = moment.files.packs.iter().map(|pack| self.opened(pack)).collect::<Result<Vec<Pack>, _>>()?;
        let pack = self.reading(|repository| {
            let odb = repository.odb().map_err(|error| self.local(&error))?;
            let selection = Selection::new(&packs, usize::from(need == Need::Merge), &odb, live);
            if selection.is_empty() {
                return Ok(None);
            }
            selection.write(&scratch.0).and_then(|index| pack_of(&index)).map(Some).map_err(|error| self.unreadable(&error))
        })?;
        Ok(Written { pack, _scratch: scratch })
    }

    fn opened(&self, pack: &PackFiles) -> Result<Pack, GitError> {
        Pack::open(&pack.part("idx")).map_err(|error| self.unreadable(&error))
    }

    /// Puts the new pack in the place of those it was made of, and tells the bytes of all objects then; none when something is
    /// wanted by now that was not when it was made.
    fn exchange(&self, _: &Alone<'_>, moment: &Moment, need: Need, written: &Written) -> Result<Option<u64>, GitError> {
        // Nobody reads from here on, so whoever takes a snapshot is seen below or waits; whoever reads next opens the new pack.
        let _closed = self.closed();
        let repository = open_mirror(self.path()).map_err(|error| self.local(&error))?;
        if !self.roots(&repository)?.is_subset(&moment.roots) {
            return Ok(None);
        }
        drop(repository);
        let files = &moment.files;
        let swap = || {
            let kept = match (need, files.packs.as_slice()) {
                (Need::Merge, [largest, ..]) => Some(largest.clone()),
                _ => None,
            };
            let new = written.pack.as_ref().map(|pack| files.adopt(pack)).transpose()?;
            let stay: Vec<&PackFiles> = kept.iter().chain(&new).collect();
            files.remove(&stay)?;
            Files::of(self.path())
        };
        let after = swap().map_err(|error| self.storage(&error))?;
        let bytes = after.bytes();
        *self.last_look() = Some(Moment { roots: moment.roots.clone(), files: after });
        Ok(Some(bytes))
    }

    /// Reads objects through a handle of its own, whose caches go with it. Damage is remembered, so that the next fetch mends it.
    fn reading<T>(&self, read: impl FnOnce(&Repository) -> Result<T, GitError>) -> Result<T, GitError> {
        let result = open_mirror(self.path()).map_err(|error| self.local(&error)).and_then(|repository| read(&repository));
        if let Err(GitError::Corrupt { .. }) = &result {
            self.mark_damaged();
        }
        result
    }

    /// A pack that makes no sense is damage; anything else is the disk's.
    fn unreadable(&self, error: &std::io::Error) -> GitError {
        match error.kind() {
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
                self.mark_damaged();
                self.corrupt(error.to_string())
            }
            _ => self.storage(error),
        }
    }

    /// Whether it is a partial clone: some pack has objects behind it that were only promised.
    fn has_promised(&self) -> bool {
        let packs = fs::read_dir(self.path().join("objects/pack"));
        packs.into_iter().flatten().flatten().any(|entry| entry.path().extension().is_some_and(|ending| ending == "promisor"))
    }
}

/// A pack that was written, and the directory it is in until it is adopted.
struct Written {
    pack: Option<PackFiles>,
    _scratch: Scratch,
}

/// A directory that goes with its content.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Branches that were looked at once: a look that was cut short left its reference.
fn forget_seen(repository: &Repository) -> Result<(), git2::Error> {
    for reference in repository.references_glob(&format!("{SEEN}*"))? {
        reference?.delete()?;
    }
    Ok(())
}
