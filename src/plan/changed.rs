//! A base as it is once a change is in it.

use super::{BaseTree, ChangeSet, EntryKind, FileChange, Surveyed, TreeError};
use crate::manifest::Mentions;
use crate::types::{CommitSha, ManifestPath};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The tree of a base with a change; its commit is still that of the base.
pub struct Changed<'a> {
    base: &'a dyn BaseTree,
    change: &'a ChangeSet,
}

impl<'a> Changed<'a> {
    /// The base with the change.
    pub fn new(base: &'a dyn BaseTree, change: &'a ChangeSet) -> Self {
        Self { base, change }
    }

    fn file(&self, path: &str) -> Option<&FileChange> {
        self.change.files.iter().find(|(changed, _)| changed.as_str() == path).map(|(_, file)| file)
    }

    /// Whether a file below a directory goes.
    fn loses(&self, directory: &str) -> bool {
        self.change.files.iter().any(|(path, file)| *file == FileChange::Remove && below(path.as_str(), directory).is_some())
    }

    fn written(&self) -> impl Iterator<Item = (&ManifestPath, &Vec<u8>)> {
        self.change.files.iter().filter_map(|(path, file)| if let FileChange::Write(bytes) = file { Some((path, bytes)) } else { None })
    }
}

/// What of a path lies below a directory; the root's is all of it.
fn below<'p>(path: &'p str, directory: &str) -> Option<&'p str> {
    if directory.is_empty() { Some(path) } else { path.strip_prefix(directory)?.strip_prefix('/') }
}

fn mentions(bytes: &[u8]) -> Mentions {
    std::str::from_utf8(bytes).map_or_else(|_| Mentions::anything(), Mentions::of)
}

impl BaseTree for Changed<'_> {
    fn commit(&self) -> &CommitSha {
        self.base.commit()
    }

    fn entry(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        match self.file(path) {
            Some(FileChange::Write(_)) => {
                return Ok(Some(self.base.entry(path)?.filter(|kind| *kind == EntryKind::Executable).unwrap_or(EntryKind::File)));
            }
            Some(FileChange::Remove) => return Ok(None),
            None => {}
        }
        match self.base.entry(path)? {
            // As git has it: a directory goes with its last file.
            Some(EntryKind::Directory) if self.loses(path) && self.names(path)?.is_empty() => Ok(None),
            None if self.written().any(|(written, _)| below(written.as_str(), path).is_some()) => Ok(Some(EntryKind::Directory)),
            entry => Ok(entry),
        }
    }

    fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        match self.file(path) {
            Some(FileChange::Write(bytes)) => Ok(Some(bytes.clone())),
            Some(FileChange::Remove) => Ok(None),
            None => self.base.bytes(path),
        }
    }

    fn prefetch(&self, paths: &[&ManifestPath]) -> Result<(), TreeError> {
        let of_the_base: Vec<&ManifestPath> = paths.iter().copied().filter(|path| !self.change.files.contains_key(*path)).collect();
        self.base.prefetch(&of_the_base)
    }

    fn survey(&self, directory: &str, most: usize) -> Result<Option<Vec<Surveyed>>, TreeError> {
        let Some(mut surveyed) = self.base.survey(directory, most)? else { return Ok(None) };
        surveyed.retain(|found| !self.change.files.contains_key(&found.path));
        let written = self.written().filter(|(path, _)| below(path.as_str(), directory).is_some());
        surveyed.extend(written.map(|(path, bytes)| Surveyed { path: path.clone(), mentions: Arc::new(mentions(bytes)) }));
        Ok(Some(surveyed))
    }

    fn spellings(&self, path: &str) -> Result<Vec<String>, TreeError> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let names = self.names(directory)?.into_iter().map(|name| name.trim_end_matches('/').to_owned());
        Ok(names.filter(|other| other.eq_ignore_ascii_case(name)).collect())
    }

    fn names(&self, directory: &str) -> Result<Vec<String>, TreeError> {
        let at = |name: &str| if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
        let mut names = BTreeSet::new();
        for name in self.base.names(directory)? {
            let stays = match name.strip_suffix('/') {
                None => !matches!(self.file(&at(&name)), Some(FileChange::Remove)),
                Some(inner) => self.entry(&at(inner))?.is_some(),
            };
            if stays {
                names.insert(name);
            }
        }
        for (path, _) in self.written() {
            if let Some(rest) = below(path.as_str(), directory) {
                names.insert(rest.split_once('/').map_or_else(|| rest.to_owned(), |(name, _)| format!("{name}/")));
            }
        }
        Ok(names.into_iter().collect())
    }
}
