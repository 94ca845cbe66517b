//! All mirrors of a process, one for each repository.

use super::{BROKEN, Mirror};
use crate::git::RemoteSpec;
use crate::git::hold::{Hold, Ownership, lock};
use crate::git::survey::Known;
use crate::git::tip::Tip;
use crate::git::transport::Transport;
use crate::types::RepositoryName;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// Every mirror of this process, under one directory.
pub struct Mirrors {
    directory: PathBuf,
    transport: Arc<dyn Transport>,
    open: Mutex<HashMap<RepositoryName, Arc<Mirror>>>,
    ownership: Ownership,
}

impl Mirrors {
    /// Mirrors in `directory`, which is made when it is missing, reached through `transport`.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(directory: impl Into<PathBuf>, transport: Arc<dyn Transport>) -> std::io::Result<Self> {
        let directory = directory.into();
        fs::create_dir_all(&directory)?;
        for entry in fs::read_dir(&directory)?.flatten().filter(|entry| entry.file_name().to_string_lossy().contains(BROKEN)) {
            // Set aside by a process that ended before it could remove it.
            let _ = fs::remove_dir_all(entry.path());
        }
        Ok(Self { ownership: Ownership::of(&directory), directory, transport, open: Mutex::new(HashMap::new()) })
    }

    /// The mirror of a repository; nothing is read or fetched yet. The credentials given last are used from now on. A
    /// changed address gives a new mirror on disk, at the next fetch.
    pub fn get(&self, remote: &RemoteSpec) -> Arc<Mirror> {
        let mut open = lock(&self.open);
        if let Some(mirror) = open.get(&remote.name)
            && mirror.remote.url == remote.url
            && mirror.remote.base == remote.base
            && mirror.remote.git == remote.git
        {
            lock(&mirror.credentials).clone_from(&remote.credentials);
            lock(&mirror.ssh).clone_from(&remote.ssh);
            return Arc::clone(mirror);
        }
        let path = self.directory.join(format!("{}.git", remote.name));
        let mirror = Arc::new(Mirror {
            remote: RemoteSpec { credentials: None, ssh: None, ..remote.clone() },
            credentials: Mutex::new(remote.credentials.clone()),
            ssh: Mutex::new(remote.ssh.clone()),
            transport: Arc::clone(&self.transport),
            handle: Mutex::new(None),
            hold: open.get(&remote.name).map_or_else(|| Hold::of(&path), |former| Arc::clone(&former.hold)),
            path,
            damaged: AtomicBool::new(false),
            tip: Tip::default(),
            known: Known::default(),
            tidied: AtomicBool::new(false),
        });
        open.insert(remote.name.clone(), Arc::clone(&mirror));
        mirror
    }

    /// Whether this process, and no other that works on the same directory, is to prune the mirrors and to keep them small. Where
    /// files cannot be locked nobody is.
    pub fn are_ours(&self) -> bool {
        self.ownership.is_ours()
    }

    /// Closes handles that are not in use at this moment: for idle times, so that caches do not stay in memory.
    pub fn release(&self) {
        for mirror in lock(&self.open).values() {
            if let Ok(mut handle) = mirror.handle.try_lock() {
                *handle = None;
            }
        }
    }
}

impl fmt::Debug for Mirrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirrors").field("directory", &self.directory).finish_non_exhaustive()
    }
}
