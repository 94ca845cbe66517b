//! Which kinds and names the files of a tree may hold, kept by the id of their content: a file that did not change is not read again,
//! in whatever commit and at whatever path it stands. Losing it costs reading; it is never asked what a file says.

use super::hold::lock;
use super::{GitError, mirror::Mirror};
use crate::manifest::Mentions;
use crate::plan::{MAX_FILE_BYTES, Surveyed};
use crate::types::{CommitSha, ManifestPath, below};
use git2::{Oid, Repository};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

/// What is kept for one mirror, in bytes: a hundred thousand manifests and more.
const MAX_BYTES: usize = 16 << 20;
/// Of one file beside its mentions: its id, and its place in the table.
const ENTRY_BYTES: usize = 64;
/// Files that are read with the mirror held.
const AT_ONCE: usize = 512;

/// What is known of files by the ids of their contents.
#[derive(Default)]
pub(super) struct Known(Mutex<(HashMap<Oid, Arc<Mentions>>, usize)>);

impl Known {
    fn unknown(&self, files: &[(ManifestPath, Oid)]) -> Vec<Oid> {
        let known = lock(&self.0);
        let unknown: HashSet<Oid> = files.iter().map(|(_, id)| *id).filter(|id| !known.0.contains_key(id)).collect();
        unknown.into_iter().collect()
    }

    fn learn(&self, read: Vec<(Oid, Mentions)>) {
        let mut known = lock(&self.0);
        for (id, mentions) in read {
            let bytes = mentions.bytes() + ENTRY_BYTES;
            if known.1 + bytes > MAX_BYTES {
                // Those in use are learned again by whoever asks next.
                *known = (HashMap::new(), 0);
            }
            if known.0.insert(id, Arc::new(mentions)).is_none() {
                known.1 += bytes;
            }
        }
    }

    fn tell(&self, files: Vec<(ManifestPath, Oid)>) -> Vec<Surveyed> {
        let known = lock(&self.0);
        let anything = Arc::new(Mentions::anything());
        let told = |(path, id)| Surveyed { path, mentions: known.0.get(&id).unwrap_or(&anything).clone() };
        files.into_iter().map(told).collect()
    }
}

impl Mirror {
    /// The files of manifests below a tree of a commit, which stands at `root`, and what each may hold; looks no further once there are
    /// more than `most`.
    ///
    /// # Errors
    /// When the mirror cannot be read, or what it lacks cannot be fetched.
    pub(super) fn surveyed(&self, commit: &CommitSha, tree: Oid, root: &str, most: usize) -> Result<Vec<Surveyed>, GitError> {
        let files = self.with_commit(commit, |repository| files_below(repository, tree, root, most))?;
        if files.len() > most {
            let anything = Arc::new(Mentions::anything());
            return Ok(files.into_iter().map(|(path, _)| Surveyed { path, mentions: Arc::clone(&anything) }).collect());
        }
        let unknown = self.known.unknown(&files);
        self.bring(commit, &unknown)?;
        for ids in unknown.chunks(AT_ONCE) {
            let read = self.with_commit(commit, |repository| ids.iter().map(|id| Ok((*id, mentions(repository, *id)?))).collect::<Result<_, _>>())?;
            self.known.learn(read);
        }
        Ok(self.known.tell(files))
    }
}

fn files_below(repository: &Repository, tree: Oid, root: &str, most: usize) -> Result<Vec<(ManifestPath, Oid)>, git2::Error> {
    let (mut trees, mut files) = (vec![(tree, root.to_owned())], Vec::new());
    while let Some((tree, directory)) = trees.pop() {
        for entry in &repository.find_tree(tree)? {
            let Ok(name) = entry.name() else { continue };
            let path = below(&directory, name);
            match entry.filemode() {
                0o040_000 if !name.starts_with('.') => trees.push((entry.id(), path)),
                0o100_644 | 0o100_755 | 0o100_664 => files.extend(path.parse::<ManifestPath>().ok().map(|path| (path, entry.id()))),
                _ => {}
            }
        }
        if files.len() > most {
            break;
        }
    }
    Ok(files)
}

fn mentions(repository: &Repository, id: Oid) -> Result<Mentions, git2::Error> {
    let odb = repository.odb()?;
    if odb.read_header(id)?.0 > MAX_FILE_BYTES {
        return Ok(Mentions::anything());
    }
    Ok(std::str::from_utf8(odb.read(id)?.data()).map_or_else(|_| Mentions::anything(), Mentions::of))
}
