//! Commits of ours that are not in the base: one file for each, holding the objects the commit adds.
//! The file is those objects in git's own canonical form, `<type> <size>\0<content>`, one after the other, the commit last.
//! One file is one inode: on a busy disk making inodes is most of a commit's price. Ids are made anew on reading, so damage shows.

use super::GitError;
use super::commit::Built;
use crate::types::{CommitSha, RepositoryName};
use git2::{ObjectType, Odb, Oid, Repository};
use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many commits of ours may stand on each other.
pub(super) const MAX_STACK: usize = 256;

/// What is worth little may be one part in so many of the mirror.
const LITTLE: u64 = 40;

/// What the objects of a commit of ours are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// Its request is under way.
    Much,
    /// Its request has ended: nice to look at, and made again where it is wanted.
    Little,
    /// Nobody knows it any more.
    Nothing,
}

/// The proposals of one mirror.
pub(super) struct Proposals<'m> {
    repository: &'m RepositoryName,
    directory: PathBuf,
}

impl<'m> Proposals<'m> {
    pub(super) fn of(repository: &'m RepositoryName, mirror: &Path) -> Self {
        Self { repository, directory: mirror.join("proposals") }
    }

    pub(super) fn prepare(&self) -> Result<(), GitError> {
        fs::create_dir_all(&self.directory).map_err(|error| GitError::storage(self.repository, &error))
    }

    /// Writes a built commit's objects, whole or not at all, and tells how many bytes they are. Not synced: see `docs/git.md`.
    pub(super) fn write(&self, odb: &Odb<'_>, built: &Built, commit: &CommitSha) -> Result<usize, GitError> {
        let place = self.place(commit);
        if place.exists() {
            return Ok(0);
        }
        let mut bytes = Vec::with_capacity(16 * 1024);
        for id in &built.objects {
            let object = odb.read(*id).map_err(|error| GitError::local(self.repository, &error))?;
            bytes.extend_from_slice(format!("{} {}\0", object.kind().str(), object.len()).as_bytes());
            bytes.extend_from_slice(object.data());
        }
        let scratch = self.directory.join(format!(".{commit}-{}-{}", std::process::id(), unique()));
        let written = fs::File::create_new(&scratch).and_then(|mut file| file.write_all(&bytes)).and_then(|()| fs::rename(&scratch, &place));
        written.map_err(|error| {
            let _ = fs::remove_file(&scratch);
            GitError::storage(self.repository, &error)
        })?;
        Ok(bytes.len())
    }

    /// Makes `commit` readable in a repository whose new objects stay in memory, with those of ours it stands on. Tells its
    /// id; none when neither the mirror nor a proposal holds it.
    pub(super) fn load(&self, repository: &Repository, commit: &CommitSha) -> Result<Option<Oid>, GitError> {
        self.load_telling(repository, commit, &mut Vec::new())
    }

    /// The same, adding to `objects` every object that came out of a proposal.
    pub(super) fn load_telling(&self, repository: &Repository, commit: &CommitSha, objects: &mut Vec<Oid>) -> Result<Option<Oid>, GitError> {
        let local = |error: git2::Error| GitError::local(self.repository, &error);
        let odb = repository.odb().map_err(local)?;
        let wanted = Oid::from_str(commit.as_str()).map_err(local)?;
        // Read as a whole before anything of it is given on: half a stack must not look like one that is there.
        let (mut stack, mut next) = (Vec::new(), Some(wanted));
        while let Some(id) = next.filter(|id| !odb.exists(*id)) {
            if stack.len() == MAX_STACK {
                return Ok(None);
            }
            let Some(bytes) = self.read(id)? else { return Ok(None) };
            next = parent_of(&bytes).map_err(local)?;
            stack.push((id, bytes));
        }
        for (id, bytes) in stack {
            let read = read_objects(&odb, &bytes).map_err(local)?;
            if read.last() != Some(&id) {
                let message = format!("the objects of commit {id} are damaged");
                return Err(GitError::Corrupt { repository: self.repository.clone(), message });
            }
            objects.extend(read);
        }
        Ok(Some(wanted))
    }

    /// The file of a commit's objects; none when there is none.
    fn read(&self, commit: Oid) -> Result<Option<Vec<u8>>, GitError> {
        match fs::read(self.directory.join(commit.to_string())) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(GitError::storage(self.repository, &error)),
        }
    }

    /// What each commit is worth: as much as the most valuable that stands on it.
    fn worths(&self, names: impl Iterator<Item = CommitSha>, worth: impl Fn(&CommitSha) -> Worth) -> HashMap<Oid, Worth> {
        let named: Vec<(Oid, Worth)> = names.filter_map(|name| Some((Oid::from_str(name.as_str()).ok()?, worth(&name)))).collect();
        let mut worths: HashMap<Oid, Worth> = HashMap::new();
        for wanted in [Worth::Much, Worth::Little] {
            for (commit, _) in named.iter().filter(|(_, worth)| *worth == wanted) {
                let mut next = Some(*commit);
                // What cannot be read holds nobody up: it is made again from its request.
                while let Some(id) = next.filter(|id| !worths.contains_key(id)) {
                    worths.insert(id, wanted);
                    next = self.read(id).ok().flatten().and_then(|bytes| parent_of(&bytes).ok().flatten());
                }
            }
        }
        worths
    }

    /// Removes a commit's objects; what cannot be removed stays for a later pruning.
    pub(super) fn forget(&self, commit: &CommitSha) {
        let _ = fs::remove_file(self.place(commit));
    }

    /// The commits whose objects stand here.
    pub(super) fn listed(&self) -> Result<Vec<CommitSha>, GitError> {
        match fs::read_dir(&self.directory) {
            Ok(entries) => Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(GitError::storage(self.repository, &error)),
        }
    }

    /// Removes the objects of commits that are worth nothing, and half-written files. Those that are worth little stay, the newest
    /// first, while they are a small part of the mirror. A commit is worth what those are that stand on it.
    pub(super) fn prune(&self, worth: impl Fn(&CommitSha) -> Worth) -> Result<(), GitError> {
        let storage = |error: std::io::Error| GitError::storage(self.repository, &error);
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(storage(error)),
        };
        let entries: Vec<(fs::DirEntry, String)> =
            entries.flatten().filter_map(|entry| entry.file_name().to_str().map(str::to_owned).map(|name| (entry, name))).collect();
        let worths = self.worths(entries.iter().filter_map(|(_, name)| name.parse().ok()), worth);
        let worth = |commit: CommitSha| Oid::from_str(commit.as_str()).ok().and_then(|id| worths.get(&id).copied()).unwrap_or(Worth::Nothing);
        let (mut dead, mut little) = (Vec::new(), Vec::new());
        for (entry, name) in entries {
            match name.parse().map(worth) {
                Err(_) if name.starts_with('.') => dead.push(entry.path()),
                Ok(Worth::Nothing) => dead.push(entry.path()),
                Ok(Worth::Little) => {
                    let meta = entry.metadata().map_err(storage)?;
                    little.push((meta.modified().map_err(storage)?, meta.len(), entry.path()));
                }
                Ok(Worth::Much) | Err(_) => {}
            }
        }
        little.sort_unstable_by(|a, b| b.cmp(a));
        let mut left = self.mirror_bytes().map_err(storage)? / LITTLE;
        for (_, bytes, path) in little {
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => dead.push(path),
            }
        }
        for path in dead {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(repository = %self.repository, %error, "objects of a finished commit could not be removed");
            }
        }
        Ok(())
    }

    /// The bytes of the mirror's own objects, as far as they are packed.
    fn mirror_bytes(&self) -> std::io::Result<u64> {
        match fs::read_dir(self.directory.with_file_name("objects").join("pack")) {
            Ok(packs) => packs.map(|entry| Ok(entry?.metadata()?.len())).sum(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Whether the objects of this commit stand here.
    pub(super) fn has(&self, commit: &CommitSha) -> bool {
        self.place(commit).exists()
    }

    fn place(&self, commit: &CommitSha) -> PathBuf {
        self.directory.join(commit.as_str())
    }
}

/// Gives every object of a proposal to the object store and tells their ids, in their order.
fn read_objects(odb: &Odb<'_>, bytes: &[u8]) -> Result<Vec<Oid>, git2::Error> {
    let mut read = Vec::new();
    each_object(bytes, |kind, content| {
        read.push(odb.write(kind, content)?);
        Ok(())
    })?;
    Ok(read)
}

/// The commit that the commit of a proposal stands on, by its own words; none when it stands on none.
fn parent_of(bytes: &[u8]) -> Result<Option<Oid>, git2::Error> {
    let mut parent = None;
    each_object(bytes, |kind, content| {
        let header = content.split(|byte| *byte == b'\n').take_while(|line| kind == ObjectType::Commit && !line.is_empty());
        parent = header.filter_map(|line| line.strip_prefix(b"parent ")).find_map(|id| Oid::from_str(std::str::from_utf8(id).ok()?).ok());
        Ok(())
    })?;
    Ok(parent)
}

/// Tells of every object of a proposal, in order.
fn each_object(mut bytes: &[u8], mut tell: impl FnMut(ObjectType, &[u8]) -> Result<(), git2::Error>) -> Result<(), git2::Error> {
    let broken = || git2::Error::new(git2::ErrorCode::GenericError, git2::ErrorClass::Object, "a proposal's file is cut short or damaged");
    while !bytes.is_empty() {
        let end = bytes.iter().take(32).position(|byte| *byte == 0).ok_or_else(broken)?;
        let header = std::str::from_utf8(&bytes[..end]).map_err(|_| broken())?;
        let (kind, size) = header.split_once(' ').ok_or_else(broken)?;
        let kind = ObjectType::from_str(kind).ok_or_else(broken)?;
        let size: usize = size.parse().map_err(|_| broken())?;
        let content = bytes[end + 1..].get(..size).ok_or_else(broken)?;
        tell(kind, content)?;
        bytes = &bytes[end + 1 + size..];
    }
    Ok(())
}

/// A number no other call in this process gets; for names of scratch files and directories.
pub(super) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
