//! Private directories for what a conversation needs in files: an SSH key, a socket, the objects of a push.
//! Nobody else may read them. Each is gone with its conversation; those of a process that was killed go when the next one starts.

use crate::clock::{Clock, SystemClock};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Held while the process lives: what can be locked is a dead one's.
const LOCK: &str = "lock";
/// What the directories of processes are called, before their random part.
const PREFIX: &str = "git-";

/// The directory of this process, with one for each conversation in it.
#[derive(Debug)]
pub(super) struct Runtime {
    path: PathBuf,
    next: AtomicU64,
    /// Closed, and so unlocked, after the directory is gone.
    _lock: File,
}

impl Runtime {
    /// A directory in `root`, which is made when it is missing. Those of dead processes are removed.
    pub(super) fn open(root: &Path) -> io::Result<Arc<Self>> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let root = root.canonicalize()?;
        remove_dead(&root);
        let path = root.join(format!("{PREFIX}{:032x}", SystemClock.random()));
        private(&path)?;
        let lock = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path.join(LOCK))?;
        lock.lock()?;
        private(&path.join("home"))?;
        Ok(Arc::new(Self { path, next: AtomicU64::new(0), _lock: lock }))
    }

    /// An empty home: nobody's configuration, netrc or keys.
    pub(super) fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    /// A directory for one conversation.
    pub(super) fn conversation(self: &Arc<Self>) -> io::Result<Directory> {
        let path = self.path.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        private(&path)?;
        Ok(Directory { path, _runtime: Arc::clone(self) })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// One conversation's directory, removed with it.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _runtime: Arc<Runtime>,
}

impl Directory {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A file that only this user can read.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        use std::io::Write as _;
        fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(self.path.join(name))?.write_all(content)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, "the directory of a git conversation could not be removed; it goes with the next start");
        }
    }
}

fn private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

fn remove_dead(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let dead = match File::open(entry.path().join(LOCK)) {
            // Made in this very moment, or by one that was killed before it had anything to hide.
            Err(_) => false,
            Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        };
        if dead {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn directories(root: &Path) -> usize {
        fs::read_dir(root).expect("listed").count()
    }

    #[test]
    fn nobody_else_may_read_it_and_it_goes_with_its_conversation() {
        let root = tempfile::tempdir().expect("a directory");
        let runtime = Runtime::open(root.path()).expect("made");
        let conversation = runtime.conversation().expect("made");
        conversation.write("key", b"secret").expect("written");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(conversation.path()), mode(&conversation.path().join("key")), mode(&runtime.home())), (0o700, 0o600, 0o700));
        let path = conversation.path().to_owned();
        drop(conversation);
        assert!(!path.exists());
        drop(runtime);
        assert_eq!(directories(root.path()), 0);
    }

    #[test]
    fn what_a_killed_process_left_goes_and_what_a_living_one_has_stays() {
        let root = tempfile::tempdir().expect("a directory");
        let living = Runtime::open(root.path()).expect("made");
        // A process that was killed: its lock is free, its key still there.
        let killed = root.path().join("git-0123");
        fs::create_dir_all(killed.join("0")).expect("made");
        fs::write(killed.join("lock"), "").expect("written");
        fs::write(killed.join("0/key"), "secret").expect("written");
        let next = Runtime::open(root.path()).expect("made");
        assert!(!killed.exists());
        assert!(living.home().exists() && next.home().exists());
    }
}
