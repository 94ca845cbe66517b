//! One commit of the base branch, read only: what `plan` and `validate` see of the repository.
//! It reads trees along the asked paths and nothing else; there is no checkout.

use super::{GitError, hold::Pin, mirror::Mirror};
use crate::plan::{BaseTree, EntryKind, MAX_FILE_BYTES, Surveyed, TreeError};
use crate::types::{CommitSha, ErrorClass, ManifestPath};
use std::sync::Arc;

/// A commit's tree. Cheap to make and to clone; reads go through the mirror's handle.
#[derive(Debug, Clone)]
pub struct Snapshot {
    mirror: Arc<Mirror>,
    commit: CommitSha,
    root: git2::Oid,
    /// Upkeep leaves what is being read.
    _pins: Arc<[Arc<Pin>]>,
}

struct Found {
    id: git2::Oid,
    mode: i32,
}

impl Found {
    /// A regular file: executable or not, and 100664 from early gits.
    fn is_file(&self) -> bool {
        matches!(self.mode, 0o100_644 | 0o100_755 | 0o100_664)
    }
}

impl Snapshot {
    pub(super) fn new(mirror: Arc<Mirror>, commit: CommitSha, root: git2::Oid, pins: Vec<Arc<Pin>>) -> Self {
        Self { mirror, commit, root, _pins: pins.into() }
    }

    /// What stands at `path`; the root for an empty path or `.`.
    fn find(&self, repository: &git2::Repository, path: &str) -> Result<Option<Found>, git2::Error> {
        let mut found = Found { id: self.root, mode: 0o040_000 };
        if path.contains('\0') {
            return Ok(None);
        }
        for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
            if found.mode != 0o040_000 {
                return Ok(None);
            }
            let tree = repository.find_tree(found.id)?;
            let Some(entry) = tree.get_name(part) else { return Ok(None) };
            found = Found { id: entry.id(), mode: entry.filemode() };
        }
        Ok(Some(found))
    }

    fn reading<T>(&self, read: impl FnOnce(&git2::Repository) -> Result<T, git2::Error>) -> Result<T, TreeError> {
        self.mirror.with_commit(&self.commit, |repository| read(repository)).map_err(tree_error)
    }
}

fn tree_error(error: GitError) -> TreeError {
    TreeError { class: error.class(), message: error.to_string() }
}

impl BaseTree for Snapshot {
    fn commit(&self) -> &CommitSha {
        &self.commit
    }

    fn entry(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        let found = self.reading(|repository| self.find(repository, path))?;
        found.map(|found| kind(found.mode)).transpose()
    }

    fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        let found = self.reading(|repository| self.find(repository, path))?;
        let Some(found) = found.filter(Found::is_file) else { return Ok(None) };
        self.mirror.bring(&self.commit, &[found.id]).map_err(tree_error)?;
        let read = self.reading(|repository| {
            let odb = repository.odb()?;
            let (size, _) = odb.read_header(found.id)?;
            if size > MAX_FILE_BYTES {
                return Ok(Err(size));
            }
            Ok(Ok(Some(odb.read(found.id)?.data().to_vec())))
        })?;
        read.map_err(|size| TreeError { message: format!("{path} has {size} bytes; at most {MAX_FILE_BYTES} are read"), class: ErrorClass::User })
    }

    fn prefetch(&self, paths: &[&ManifestPath]) -> Result<(), TreeError> {
        if !self.mirror.is_partial() {
            return Ok(());
        }
        let find = |repository: &git2::Repository| {
            let found = paths.iter().map(|path| self.find(repository, path.as_str()));
            found.filter_map(|found| found.map(|found| found.filter(Found::is_file).map(|found| found.id)).transpose()).collect::<Result<Vec<_>, _>>()
        };
        let wanted = self.reading(find)?;
        self.mirror.bring(&self.commit, &wanted).map_err(tree_error)
    }

    fn survey(&self, directory: &str, most: usize) -> Result<Option<Vec<Surveyed>>, TreeError> {
        let found = self.reading(|repository| self.find(repository, directory))?;
        let Some(found) = found.filter(|found| found.mode == 0o040_000) else { return Ok(Some(Vec::new())) };
        self.mirror.surveyed(&self.commit, found.id, directory, most).map(Some).map_err(tree_error)
    }

    fn spellings(&self, path: &str) -> Result<Vec<String>, TreeError> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let wanted = name.to_lowercase();
        self.reading(|repository| {
            let Some(found) = self.find(repository, directory)?.filter(|found| found.mode == 0o040_000) else { return Ok(Vec::new()) };
            let tree = repository.find_tree(found.id)?;
            let names = tree.iter().filter_map(|entry| entry.name().ok().map(str::to_owned));
            Ok(names.filter(|name| name.to_lowercase() == wanted).collect())
        })
    }

    fn names(&self, directory: &str) -> Result<Vec<String>, TreeError> {
        self.reading(|repository| {
            let Some(found) = self.find(repository, directory)?.filter(|found| found.mode == 0o040_000) else { return Ok(Vec::new()) };
            let tree = repository.find_tree(found.id)?;
            let named = |entry: git2::TreeEntry<'_>| {
                let name = entry.name().ok()?;
                Some(if entry.filemode() == 0o040_000 { format!("{name}/") } else { name.to_owned() })
            };
            Ok(tree.iter().filter_map(named).collect())
        })
    }
}

/// What a tree entry's mode means (`gitformat-index`, and 100664 from early gits).
fn kind(mode: i32) -> Result<EntryKind, TreeError> {
    match mode {
        0o040_000 => Ok(EntryKind::Directory),
        0o100_644 | 0o100_664 => Ok(EntryKind::File),
        0o100_755 => Ok(EntryKind::Executable),
        0o120_000 => Ok(EntryKind::Symlink),
        0o160_000 => Ok(EntryKind::Submodule),
        other => Err(TreeError { message: format!("a tree entry has the unknown mode {other:o}"), class: ErrorClass::Permanent }),
    }
}
