//! A validated change as a commit: trees edited along the changed paths only, objects built in memory.
//! It moves no reference and makes no checkout; the same change on the same base gives the same commit id.

use super::message::{CommitMeta, commit_message};
use super::{GitError, Signing};
use crate::plan::FileChange;
use crate::types::{ManifestPath, RepositoryName};
use crate::validate::ValidatedChange;
use git2::{ObjectType, Oid, Repository, Signature, Time, Tree};
use std::collections::BTreeMap;
use std::path::Path;

/// The changes below one directory.
#[derive(Default)]
struct Directory<'a> {
    files: BTreeMap<&'a str, &'a FileChange>,
    directories: BTreeMap<&'a str, Directory<'a>>,
}

impl<'a> Directory<'a> {
    fn of(files: &'a BTreeMap<ManifestPath, FileChange>) -> Self {
        let mut root = Self::default();
        for (path, change) in files {
            let mut at = &mut root;
            let mut components = path.components().peekable();
            while let Some(name) = components.next() {
                if components.peek().is_some() {
                    at = at.directories.entry(name).or_default();
                } else {
                    at.files.insert(name, change);
                }
            }
        }
        root
    }
}

/// A commit built in memory: its id, and every object it adds.
pub(super) struct Built {
    pub commit: Oid,
    pub objects: Vec<Oid>,
}

/// Builds the commit in the repository's object store (a memory store in front of the mirror's). None when the change
/// leaves the tree as it is.
pub(super) fn build(
    name: &RepositoryName,
    repository: &Repository,
    base: Oid,
    change: &ValidatedChange,
    meta: &CommitMeta,
) -> Result<Option<Built>, GitError> {
    let local = |error: git2::Error| GitError::local(name, &error);
    let parent = repository.find_commit(base).map_err(local)?;
    let tree = parent.tree().map_err(local)?;
    let mut editor = Editor { name, repository, objects: Vec::new(), path: String::new() };
    let edited = editor.edit(Some(&tree), &Directory::of(change.files()))?;
    let root = match edited {
        Some(root) => root,
        // The last file is gone: the root is the empty tree.
        None => editor.keep(repository.treebuilder(None).and_then(|builder| builder.write()).map_err(local)?),
    };
    if root == tree.id() {
        return Ok(None);
    }
    let time = Time::new(meta.time.unix_seconds(), 0);
    let author = Signature::new(meta.author.name(), meta.author.email(), &time).map_err(local)?;
    let committer = Signature::new(meta.committer.name(), meta.committer.email(), &time).map_err(local)?;
    let message = commit_message(meta, change.templates());
    let root = repository.find_tree(root).map_err(local)?;
    let unsigned = repository.commit_create_buffer(&author, &committer, &message, &root, &[&parent]).map_err(local)?;
    let commit = match &meta.signing {
        None => repository.odb().and_then(|odb| odb.write(ObjectType::Commit, &unsigned)).map_err(local)?,
        Some(signing) => sign(name, repository, &unsigned, signing, meta)?,
    };
    let mut objects = editor.objects;
    objects.push(commit);
    Ok(Some(Built { commit, objects }))
}

/// See [`super::Mirror::carries`].
pub(super) fn carries(repository: &Repository, base: Oid, commit: Oid, tip: Oid, change: &ValidatedChange) -> Result<bool, git2::Error> {
    let tree = |id: Oid| repository.find_commit(id).and_then(|commit| commit.tree());
    let (base, commit, tip) = (tree(base)?, tree(commit)?, tree(tip)?);
    let entry = |tree: &Tree<'_>, path: &ManifestPath| match tree.get_path(Path::new(path.as_str())) {
        Ok(entry) => Ok(Some((entry.id(), entry.filemode()))),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    for (path, file) in change.files() {
        let before = entry(&tip, path)?;
        let after = match file {
            FileChange::Write(bytes) => Some((Oid::hash_object(git2::ObjectType::Blob, bytes)?, before.map_or(0o100_644, |(_, mode)| mode))),
            FileChange::Remove => None,
        };
        if entry(&base, path)? != before || entry(&commit, path)? != after {
            return Ok(false);
        }
    }
    let differing = repository.diff_tree_to_tree(Some(&base), Some(&commit), None)?.deltas().len();
    Ok(differing == change.files().len())
}

/// Writes the commit with its signature in the header `gpgsig`, as git does for either kind of key.
fn sign(name: &RepositoryName, repository: &Repository, unsigned: &[u8], signing: &Signing, meta: &CommitMeta) -> Result<Oid, GitError> {
    let signature = signing.sign(unsigned, meta.time).map_err(|problem| GitError::Signing {
        repository: name.clone(),
        secret: problem.secret,
        message: problem.message,
    })?;
    let content =
        std::str::from_utf8(unsigned).map_err(|_| GitError::Bug { repository: name.clone(), message: "a commit is not UTF-8".to_owned() })?;
    repository.commit_signed(content, signature.trim_end(), None).map_err(|error| GitError::local(name, &error))
}

struct Editor<'r> {
    name: &'r RepositoryName,
    repository: &'r Repository,
    objects: Vec<Oid>,
    /// The directory being edited, with a trailing slash; for messages.
    path: String,
}

impl Editor<'_> {
    /// The tree `base` with the changes of `directory`; none when nothing is left in it. Each tree is read and written once.
    fn edit(&mut self, base: Option<&Tree<'_>>, directory: &Directory<'_>) -> Result<Option<Oid>, GitError> {
        let name = self.name;
        let local = move |error: git2::Error| GitError::local(name, &error);
        let mut builder = self.repository.treebuilder(base).map_err(local)?;
        for (part, below) in &directory.directories {
            let existing = match base.and_then(|base| base.get_name(part)) {
                None => None,
                Some(entry) if entry.filemode() == 0o040_000 => Some(self.repository.find_tree(entry.id()).map_err(local)?),
                Some(_) => return Err(self.refuse(part, "something that is not a directory stands there in the base")),
            };
            let length = self.path.len();
            self.path.push_str(part);
            self.path.push('/');
            let edited = self.edit(existing.as_ref(), below)?;
            self.path.truncate(length);
            match edited {
                Some(id) => drop(builder.insert(*part, id, 0o040_000).map_err(local)?),
                None if existing.is_some() => builder.remove(*part).map_err(local)?,
                None => {}
            }
        }
        for (part, change) in &directory.files {
            let existing = base.and_then(|base| base.get_name(part)).map(|entry| entry.filemode());
            if existing.is_some_and(|mode| !matches!(mode, 0o100_644 | 0o100_755)) {
                return Err(self.refuse(part, "a directory, a symbolic link or a submodule stands there in the base"));
            }
            match change {
                FileChange::Write(bytes) => {
                    let blob = self.repository.blob(bytes).map_err(local)?;
                    let blob = self.keep(blob);
                    drop(builder.insert(*part, blob, existing.unwrap_or(0o100_644)).map_err(local)?);
                }
                FileChange::Remove if existing.is_some() => builder.remove(*part).map_err(local)?,
                FileChange::Remove => {}
            }
        }
        if builder.is_empty() {
            return Ok(None);
        }
        let tree = builder.write().map_err(local)?;
        Ok(Some(self.keep(tree)))
    }

    fn keep(&mut self, id: Oid) -> Oid {
        self.objects.push(id);
        id
    }

    fn refuse(&self, part: &str, message: &str) -> GitError {
        GitError::Path { repository: self.name.clone(), path: format!("{}{part}", self.path), message: message.to_owned() }
    }
}
