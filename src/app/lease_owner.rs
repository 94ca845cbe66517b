//! The name leases are held under: the data directory's own, so that a restarted process takes back at once what the one before it
//! held when it died, instead of waiting until those leases run out. The name is had only together with a lock on its file: it
//! never takes anything from a process that lives.

use crate::clock::Clock;
use crate::store::Replicas;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// The file in the data directory that holds the name.
const FILE: &str = "lease-owner";

/// A name to hold leases under, for as long as this value lives.
pub(super) struct LeaseOwner {
    name: String,
    /// The lock on the name; the system lets it go when the process ends, however it ends. None for a name used once.
    lock: Option<File>,
}

impl LeaseOwner {
    /// The directory's name when no living process has it, else a name of this process's own.
    pub(super) fn of(directory: &Path, clock: &dyn Clock) -> Self {
        match locked(directory) {
            Ok(Some(mut file)) => match name_in(&mut file, clock) {
                Ok(name) => return Self { name, lock: Some(file) },
                Err(error) => tracing::warn!(%error, "the name of leases could not be kept; after a crash they run out by themselves"),
            },
            Ok(None) => tracing::warn!(directory = %directory.display(), "another process works with this data directory"),
            Err(error) => tracing::warn!(%error, "the name of leases could not be locked; after a crash they run out by themselves"),
        }
        Self { name: new_name(clock), lock: None }
    }

    /// The same, as long as no other process that shares the store lives under this name, as one does on a copy of the directory; else a
    /// name of this process's own, under which nothing is taken back.
    pub(super) async fn alone_in(self, store: &(impl Replicas + ?Sized), clock: &dyn Clock) -> Self {
        match store.hold_name(&self.name).await {
            Ok(true) => return self,
            Ok(false) => tracing::warn!(
                "another process that shares the store works under the name in this data directory ({FILE}), which is a copy of its or was: this \
                 run takes a new name; remove {FILE} from the copy before the next"
            ),
            Err(error) => {
                tracing::warn!(%error, "the name of leases could not be held; this run takes a new one, and what the process before held runs out")
            }
        }
        Self { name: new_name(clock), lock: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether leases found under this name are those of a process that is no more.
    pub(super) fn inherits(&self) -> bool {
        self.lock.is_some()
    }
}

/// The file, locked; none when another process has the lock.
fn locked(directory: &Path) -> std::io::Result<Option<File>> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(directory.join(FILE))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The name in the file; a new one is put there when it holds none, was cut short, or is anything else.
fn name_in(file: &mut File, clock: &dyn Clock) -> std::io::Result<String> {
    let name = new_name(clock);
    // Bytes, and one more than a name has: what a power cut left may be anything.
    let mut known = Vec::new();
    Read::take(&mut *file, name.len() as u64 + 1).read_to_end(&mut known)?;
    if let Ok(known) = String::from_utf8(known)
        && known.len() == name.len()
        && known.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return Ok(known);
    }
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(name.as_bytes())?;
    Ok(name)
}

fn new_name(clock: &dyn Clock) -> String {
    format!("{:032x}", clock.random())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_process_has_the_name_of_the_one_before_it_but_never_of_one_that_lives() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = LeaseOwner::of(directory.path(), &SystemClock);
        let beside = LeaseOwner::of(directory.path(), &SystemClock);
        assert!(first.inherits() && !beside.inherits());
        assert_ne!(first.name(), beside.name());
        let name = first.name().to_owned();
        drop(first);
        let next = LeaseOwner::of(directory.path(), &SystemClock);
        assert!(next.inherits());
        assert_eq!(next.name(), name);
    }

    #[test]
    fn a_name_that_was_cut_short_or_is_none_is_replaced() {
        for left in [&b"0123"[..], &[0; 32], &[0xff; 32], &[b'0'; 33]] {
            let directory = tempfile::tempdir().expect("a directory");
            std::fs::write(directory.path().join(FILE), left).expect("written");
            let first = LeaseOwner::of(directory.path(), &SystemClock);
            assert!(first.inherits(), "{left:?} is not the directory's");
            let name = first.name().to_owned();
            assert_eq!(name.len(), 32);
            drop(first);
            assert_eq!(std::fs::read_to_string(directory.path().join(FILE)).expect("the file"), name);
            assert_eq!(LeaseOwner::of(directory.path(), &SystemClock).name(), name);
        }
    }

    #[test]
    fn a_directory_that_cannot_be_written_gives_a_name_for_once() {
        let missing = Path::new("/nonexistent/kubeops");
        let (one, other) = (LeaseOwner::of(missing, &SystemClock), LeaseOwner::of(missing, &SystemClock));
        assert!(!one.inherits());
        assert_ne!(one.name(), other.name());
    }
}
