//! Where a change may write: below one directory, through plain directories only, in one spelling on every file system.

use super::{Finding, Rules};
use crate::plan::{BaseTree, EntryKind, FileChange, TreeError};
use crate::types::ManifestPath;
use std::collections::{BTreeMap, HashMap};

/// Looks at the paths of one change; what it learns of a directory serves all files below it.
pub(super) struct Paths<'a> {
    base: &'a dyn BaseTree,
    rules: &'a Rules,
    files: &'a BTreeMap<ManifestPath, FileChange>,
    /// What is wrong with a directory that was looked at.
    directories: HashMap<String, Option<(&'static str, String)>>,
    /// Each path and directory the change leaves behind, in lower case, and the spelling that came first.
    spellings: HashMap<String, String>,
}

impl<'a> Paths<'a> {
    pub(super) fn new(base: &'a dyn BaseTree, rules: &'a Rules, files: &'a BTreeMap<ManifestPath, FileChange>) -> Self {
        Self { base, rules, files, directories: HashMap::new(), spellings: HashMap::new() }
    }

    /// What is wrong with the place of one file.
    pub(super) fn check(&mut self, path: &ManifestPath) -> Result<Option<Finding>, TreeError> {
        if !self.rules.within.contains(path) {
            let message = format!("the file lies outside `{}`, the directory this change is for", self.rules.within);
            return Ok(Some(Finding::error("path.outside", path, message)));
        }
        for directory in path.ancestors() {
            if let Some((rule, message)) = self.directory(directory)? {
                return Ok(Some(Finding::error(rule, path, message)));
            }
        }
        let found = self.base.entry(path.as_str())?;
        if let Some(what @ (EntryKind::Symlink | EntryKind::Submodule | EntryKind::Directory)) = found {
            let message = format!("`{path}` is {} in the base; only plain files are written and removed", name(what));
            return Ok(Some(Finding::error(rule(what), path, message)));
        }
        if !matches!(self.files.get(path), Some(FileChange::Write(_))) {
            return Ok(None);
        }
        if let Some(message) = self.other_spelling(path.as_str())?.or_else(|| self.clash(path)) {
            let hint = "file systems that ignore case cannot hold both; use the one that is there";
            return Ok(Some(Finding::error("path.case", path, message).hint(hint)));
        }
        Ok(None)
    }

    fn directory(&mut self, directory: &str) -> Result<Option<(&'static str, String)>, TreeError> {
        if let Some(known) = self.directories.get(directory) {
            return Ok(known.clone());
        }
        let fault = match self.base.entry(directory)? {
            Some(what @ (EntryKind::Symlink | EntryKind::Submodule | EntryKind::File | EntryKind::Executable)) => {
                Some((rule(what), format!("`{directory}` is {} in the base, not a directory", name(what))))
            }
            Some(EntryKind::Directory) | None => self.other_spelling(directory)?.map(|message| ("path.case", message)),
        };
        self.directories.insert(directory.to_owned(), fault.clone());
        Ok(fault)
    }

    /// Whether the base has the last component of `path` in another spelling that this change leaves there.
    fn other_spelling(&self, path: &str) -> Result<Option<String>, TreeError> {
        let (parent, last) = path.rsplit_once('/').map_or((None, path), |(parent, last)| (Some(parent), last));
        for other in self.base.spellings(path)?.into_iter().filter(|other| other != last) {
            let whole = parent.map_or_else(|| other.clone(), |parent| format!("{parent}/{other}"));
            let removed = whole.parse::<ManifestPath>().is_ok_and(|path| matches!(self.files.get(&path), Some(FileChange::Remove)));
            if !removed {
                return Ok(Some(format!("the base has `{whole}`, which differs from `{path}` only in case")));
            }
        }
        Ok(None)
    }

    /// Whether another file of the change, or a directory it makes, differs only in case, or is a directory where this is a file.
    fn clash(&mut self, path: &ManifestPath) -> Option<String> {
        let directories = path.ancestors().map(|directory| format!("{directory}/"));
        for spelling in directories.chain([path.as_str().to_owned()]) {
            let bare = spelling.trim_end_matches('/').to_ascii_lowercase();
            let first = self.spellings.entry(bare).or_insert_with(|| spelling.clone());
            if *first != spelling {
                return Some(format!("the change also writes `{first}`, which cannot stand beside `{spelling}`"));
            }
        }
        None
    }
}

fn name(what: EntryKind) -> &'static str {
    match what {
        EntryKind::File | EntryKind::Executable => "a file",
        EntryKind::Symlink => "a symbolic link",
        EntryKind::Submodule => "a submodule",
        EntryKind::Directory => "a directory",
    }
}

fn rule(what: EntryKind) -> &'static str {
    match what {
        EntryKind::File | EntryKind::Executable => "path.file",
        EntryKind::Symlink => "path.symlink",
        EntryKind::Submodule => "path.submodule",
        EntryKind::Directory => "path.directory",
    }
}
