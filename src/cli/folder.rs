//! A directory of this machine as a tree to make changes on: for `edit`, `diff` and `test`, which need no git.

use crate::manifest::Mentions;
use crate::plan::{BaseTree, EntryKind, Surveyed, TreeError};
use crate::types::{CommitSha, ErrorClass, ManifestPath};
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files of a directory that are read, at most.
const MAX_FILES: usize = 50_000;

/// The tree below a directory. Its commit is git's null id.
pub struct Folder {
    root: PathBuf,
    commit: CommitSha,
}

impl Folder {
    /// The tree below `root`.
    ///
    /// # Errors
    /// When there is no such directory.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let metadata = std::fs::metadata(root).with_context(|| format!("{} cannot be read", root.display()))?;
        if !metadata.is_dir() {
            bail!("{} is no directory", root.display());
        }
        Ok(Self { root: root.to_owned(), commit: CommitSha::from_bytes(&[0; 20]) })
    }

    fn kind(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        use std::os::unix::fs::PermissionsExt;
        let mut at = self.root.clone();
        let mut kind = EntryKind::Directory;
        for step in path.split('/').filter(|step| !step.is_empty()) {
            at.push(step);
            kind = match std::fs::symlink_metadata(&at) {
                Ok(metadata) if metadata.is_symlink() => return Ok(Some(EntryKind::Symlink)),
                Ok(metadata) if metadata.is_dir() => EntryKind::Directory,
                Ok(metadata) if metadata.permissions().mode() & 0o111 != 0 => EntryKind::Executable,
                Ok(_) => EntryKind::File,
                Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => return Ok(None),
                Err(error) => return Err(failed(&at, &error)),
            };
        }
        Ok(Some(kind))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> TreeError {
    TreeError { message: format!("{}: {error}", path.display()), class: ErrorClass::Permanent }
}

impl BaseTree for Folder {
    fn commit(&self) -> &CommitSha {
        &self.commit
    }

    fn entry(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        self.kind(path)
    }

    fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        match self.kind(path)? {
            Some(EntryKind::File | EntryKind::Executable) => {
                let at = self.root.join(path);
                std::fs::read(&at).map(Some).map_err(|error| failed(&at, &error))
            }
            _ => Ok(None),
        }
    }

    fn spellings(&self, path: &str) -> Result<Vec<String>, TreeError> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let names = self.names(directory)?.into_iter().map(|name| name.trim_end_matches('/').to_owned());
        Ok(names.filter(|other| other.eq_ignore_ascii_case(name)).collect())
    }

    fn names(&self, directory: &str) -> Result<Vec<String>, TreeError> {
        if self.kind(directory)? != Some(EntryKind::Directory) {
            return Ok(Vec::new());
        }
        let at = self.root.join(directory);
        let entries = std::fs::read_dir(&at).map_err(|error| failed(&at, &error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed(&at, &error))?;
            let kind = entry.file_type().map_err(|error| failed(&entry.path(), &error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name == ".git" {
                continue;
            }
            names.push(if kind.is_dir() { format!("{name}/") } else { name });
        }
        names.sort();
        Ok(names)
    }
}

/// Files in memory, as a tree.
pub struct Texts {
    files: BTreeMap<String, Vec<u8>>,
    commit: CommitSha,
}

impl Texts {
    /// A tree of these files, by path.
    pub fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self { files, commit: CommitSha::from_bytes(&[0; 20]) }
    }
}

impl BaseTree for Texts {
    fn commit(&self) -> &CommitSha {
        &self.commit
    }

    fn entry(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        if self.files.contains_key(path) {
            return Ok(Some(EntryKind::File));
        }
        let inside = |other: &String| other.strip_prefix(path).is_some_and(|rest| path.is_empty() || rest.starts_with('/'));
        Ok(self.files.keys().any(inside).then_some(EntryKind::Directory))
    }

    fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        Ok(self.files.get(path).cloned())
    }

    fn survey(&self, directory: &str, most: usize) -> Result<Option<Vec<Surveyed>>, TreeError> {
        let is_inside = |path: &str| directory.is_empty() || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
        let surveyed = self.files.iter().filter(|(path, _)| is_inside(path)).filter_map(|(path, bytes)| {
            let path = path.parse::<ManifestPath>().ok()?;
            let mentions = std::str::from_utf8(bytes).map_or_else(|_| Mentions::anything(), Mentions::of);
            Some(Surveyed { path, mentions: Arc::new(mentions) })
        });
        Ok(Some(surveyed.take(most.saturating_add(1)).collect()))
    }

    fn spellings(&self, path: &str) -> Result<Vec<String>, TreeError> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let names = self.names(directory)?.into_iter().map(|name| name.trim_end_matches('/').to_owned());
        Ok(names.filter(|other| other.eq_ignore_ascii_case(name)).collect())
    }

    fn names(&self, directory: &str) -> Result<Vec<String>, TreeError> {
        let inside = |path: &String| {
            let rest = if directory.is_empty() { path.as_str() } else { path.strip_prefix(directory)?.strip_prefix('/')? };
            Some(rest.split_once('/').map_or(rest.to_owned(), |(name, _)| format!("{name}/")))
        };
        let mut names: Vec<String> = self.files.keys().filter_map(inside).collect();
        names.dedup();
        Ok(names)
    }
}

/// Every file below a directory or the file itself, by its path below the directory. What is no directory is read as one file, a pipe
/// as well; `-` is the standard input.
///
/// # Errors
/// When something cannot be read, or there are more than 50,000 files.
pub fn files_of(path: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).context("the standard input cannot be read")?;
        files.insert("-".to_owned(), bytes);
        return Ok(files);
    }
    if path.exists() && !path.is_dir() {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        files.insert(name, std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?);
        return Ok(files);
    }
    let folder = Folder::open(path)?;
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        for name in folder.names(&directory)? {
            let below = crate::types::below(&directory, &name);
            match below.strip_suffix('/') {
                Some(_) if name.starts_with('.') => {}
                Some(inner) => directories.push(inner.to_owned()),
                None if folder.kind(&below)? == Some(EntryKind::Symlink) => {}
                None => {
                    let at = path.join(&below);
                    files.insert(below, std::fs::read(&at).with_context(|| format!("{} cannot be read", at.display()))?);
                }
            }
            if files.len() > MAX_FILES {
                bail!("more than {MAX_FILES} files lie below {}", path.display());
            }
        }
    }
    Ok(files)
}
