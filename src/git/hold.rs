//! Who works with a mirror at this moment: conversations with the remote, snapshots being read, and upkeep, which waits for both.
//! Conversations of one process follow each other; those of another process on the same directory are seen through a file's lock,
//! which the system lets go however a process ends.

use super::upkeep::Moment;
use git2::Oid;
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often, and how far apart, it is asked whether nobody else talks.
const ATTEMPTS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(25);

/// What successive handles on one mirror's directory share.
pub(super) struct Hold {
    network: Mutex<()>,
    lock_file: PathBuf,
    pins: Mutex<BTreeMap<Oid, usize>>,
    /// How the mirror was when upkeep last found nothing to do.
    pub(super) looked: Mutex<Option<Moment>>,
}

/// A conversation with the remote: references move and packs come, and no pack goes.
pub(super) struct Talking<'h> {
    _one: MutexGuard<'h, ()>,
    _file: Option<File>,
}

/// Nobody talks with the remote, in this process or another.
pub(super) struct Alone<'h> {
    _one: MutexGuard<'h, ()>,
    _file: File,
}

/// Keeps a commit and what it reaches in the mirror, though no reference names it any more.
#[derive(Debug)]
pub(super) struct Pin {
    hold: Arc<Hold>,
    commit: Oid,
}

impl Hold {
    /// For the mirror at `path`; its lock stands beside it.
    pub(super) fn of(path: &Path) -> Arc<Self> {
        let lock_file = path.with_extension("lock");
        Arc::new(Self { network: Mutex::default(), lock_file, pins: Mutex::default(), looked: Mutex::default() })
    }

    /// Waits for its turn. Where files cannot be locked, nobody removes packs either.
    pub(super) fn talk(&self) -> Talking<'_> {
        let one = lock(&self.network);
        let file = open(&self.lock_file).and_then(|file| file.lock_shared().map(|()| file));
        Talking { _one: one, _file: file.ok() }
    }

    /// None when another process talks at this moment. A child of ours that was just forked holds what we held for a moment, too,
    /// so it is worth asking more than once.
    pub(super) fn alone(&self) -> std::io::Result<Option<Alone<'_>>> {
        let one = lock(&self.network);
        let file = open(&self.lock_file)?;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            match file.try_lock() {
                Ok(()) => return Ok(Some(Alone { _one: one, _file: file })),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    pub(super) fn pin(self: &Arc<Self>, commit: Oid) -> Arc<Pin> {
        *lock(&self.pins).entry(commit).or_default() += 1;
        Arc::new(Pin { hold: Arc::clone(self), commit })
    }

    /// What is being read.
    pub(super) fn pinned(&self) -> Vec<Oid> {
        lock(&self.pins).keys().copied().collect()
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold").field("lock_file", &self.lock_file).finish_non_exhaustive()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = lock(&self.hold.pins);
        if let Some(count) = pins.get_mut(&self.commit) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.commit);
            }
        }
    }
}

/// Whether this process alone cares for what is in a directory of mirrors: who has the lock on a file in it does, until it ends.
#[derive(Debug)]
pub(super) struct Ownership {
    lock_file: PathBuf,
    held: Mutex<Option<File>>,
}

impl Ownership {
    pub(super) fn of(directory: &Path) -> Self {
        Self { lock_file: directory.join("owner.lock"), held: Mutex::default() }
    }

    /// Asks for it where it is not had yet: the process that had it may have ended.
    pub(super) fn is_ours(&self) -> bool {
        let mut held = lock(&self.held);
        if held.is_none() {
            *held = open(&self.lock_file).ok().filter(|file| file.try_lock().is_ok());
        }
        held.is_some()
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(path)
}

/// Locks; a panic elsewhere while it was held left nothing half-done that a next use would not repair.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
