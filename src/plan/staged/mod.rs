//! The tree as a change leaves it so far: the base, and what was written, edited and removed on top of it.
//! Every step of an automation sees what those before it did. Nothing outside the target's directory is ever written.

mod aim;
mod beyond;
mod document;
mod entries;
mod fields;
mod generated;
mod kustomize;
mod overlays;
mod outcome;
mod outside;
mod references;
mod renamed;
mod search;
mod selection;
mod transform;
mod twice;

pub(super) use aim::Aim;
pub(super) use entries::hold;
pub(super) use kustomize::{Ways, directory_of};
pub(super) use outcome::Wanted;
pub(super) use overlays::Overlay;
pub(super) use search::Found;
pub(super) use transform::{Passage, Passing, Stopped};

use super::walk::manifests_below;
use super::{BaseTree, EntryKind, FileChange, Note, PlanError, TreeError};
use crate::manifest::{EditError, Editor, Limits, Mentions, ObjectRef, SyntaxError, flatten, parse};
use crate::types::{DirectoryPath, ManifestPath, listed, nearest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Names that a message lists.
pub(super) const LISTED: usize = 20;
/// Files below a target that are looked through, at most: a target is a cluster's directory, not the whole of a large repository.
const MAX_FILES: usize = 20_000;

/// The base with a change on top of it.
pub(super) struct Staged<'b> {
    base: &'b dyn BaseTree,
    within: &'b DirectoryPath,
    files: BTreeMap<ManifestPath, Stage>,
    templated: BTreeSet<ManifestPath>,
    /// The base's files below the target, once they were asked for.
    listing: Option<Arc<Listing>>,
    /// Their paths alone, where nothing more was asked for.
    listed: Option<Arc<Vec<ManifestPath>>>,
    kustomizations: kustomize::Cache,
    /// The objects that were removed, and where they stood.
    gone: Vec<(ManifestPath, ObjectRef)>,
    notes: Vec<Note>,
}

/// Files of the base, and what each may hold, where that is known without reading it.
type Listing = BTreeMap<ManifestPath, Option<Arc<Mentions>>>;

/// What became of one file.
enum Stage {
    /// Written from a template.
    Written(Vec<u8>),
    /// Opened to be edited; whether it was.
    Edited(Box<Editor>, bool),
    Removed,
}

impl<'b> Staged<'b> {
    /// Has files left alone that the automation has from templates, also where it keeps the one there is.
    pub(super) fn close(&mut self, templated: BTreeSet<ManifestPath>) {
        self.templated = templated;
    }

    /// Nothing changed yet.
    pub(super) fn new(base: &'b dyn BaseTree, within: &'b DirectoryPath) -> Self {
        Self {
            base,
            within,
            files: BTreeMap::new(),
            templated: BTreeSet::new(),
            listing: None,
            listed: None,
            kustomizations: kustomize::Cache::default(),
            gone: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Writes a file that was rendered.
    pub(super) fn write(&mut self, path: ManifestPath, bytes: Vec<u8>) -> Result<(), PlanError> {
        self.kustomizations.forget(&path);
        match self.files.insert(path.clone(), Stage::Written(bytes)) {
            None => Ok(()),
            Some(_) => Err(PlanError::Path(format!("two steps of the automation write {path}"))),
        }
    }

    /// Has a file say this, whatever it said before; steps after it may edit it.
    pub(super) fn say(&mut self, path: &ManifestPath, text: String) -> Result<(), SyntaxError> {
        let editor = Editor::open(text, path.as_str().ends_with(".json"))?;
        self.kustomizations.forget(path);
        self.files.insert(path.clone(), Stage::Edited(Box::new(editor), true));
        Ok(())
    }

    /// Does something to a file there is; tells whether that changed it.
    pub(super) fn edit(&mut self, path: &ManifestPath, operation: impl FnOnce(&mut Editor) -> Result<bool, EditError>) -> Result<bool, PlanError> {
        let (editor, edited) = self.open(path)?;
        let changed = operation(editor).map_err(|error| failed(path, error.to_string()))?;
        *edited |= changed;
        if changed {
            self.kustomizations.forget(path);
        }
        Ok(changed)
    }

    /// The editor of a file, and whether it changed the file yet.
    fn open(&mut self, path: &ManifestPath) -> Result<(&mut Editor, &mut bool), PlanError> {
        if self.templated.contains(path) {
            return Err(PlanError::Path(format!("the automation writes {path} from a template, and edits it as well")));
        }
        if !self.files.contains_key(path) {
            let editor = self.opened(path)?;
            self.files.insert(path.clone(), Stage::Edited(Box::new(editor), false));
        }
        match self.files.get_mut(path) {
            Some(Stage::Edited(editor, changed)) => Ok((editor, changed)),
            _ => Err(PlanError::Path(format!("the automation removes {path}, and edits it as well"))),
        }
    }

    /// The editor of a file, to read what it says.
    pub(super) fn reader(&mut self, path: &ManifestPath) -> Result<&Editor, PlanError> {
        self.open(path).map(|(editor, _)| &*editor)
    }

    /// The base's file, to be edited.
    fn opened(&self, path: &ManifestPath) -> Result<Editor, PlanError> {
        let Some(bytes) = self.base.read(path)? else {
            return Err(match self.base.entry(path.as_str())? {
                None => failed(path, missing(path, self.base)?),
                Some(EntryKind::Symlink) => failed(path, "it is a symbolic link; edit the file it leads to".to_owned()),
                Some(_) => failed(path, "it is no regular file".to_owned()),
            });
        };
        let text = String::from_utf8(bytes).map_err(|_| failed(path, "it is not UTF-8".to_owned()))?;
        Editor::open(text, path.as_str().ends_with(".json")).map_err(|error| failed(path, format!("it cannot be read: {error}")))
    }

    /// Removes a file with its objects; tells whether it was there.
    pub(super) fn remove(&mut self, path: &ManifestPath) -> Result<bool, PlanError> {
        let documents = self.text(path)?.and_then(|text| parse(&text, Limits::default()).ok()).unwrap_or_default();
        let objects = documents.iter().flat_map(|document| flatten(&document.value)).filter_map(|(_, value)| ObjectRef::of(value).ok());
        let objects: Vec<ObjectRef> = objects.collect();
        let was_there = self.remove_file(path)?;
        self.gone.extend(objects.into_iter().map(|object| (path.clone(), object)));
        Ok(was_there)
    }

    fn remove_file(&mut self, path: &ManifestPath) -> Result<bool, PlanError> {
        if self.templated.contains(path) {
            return Err(PlanError::Path(format!("the automation writes {path} from a template, and removes it as well")));
        }
        match self.files.get(path) {
            Some(Stage::Removed) => return Ok(false),
            Some(_) => {}
            None => match self.base.entry(path.as_str())? {
                None => return Ok(false),
                Some(EntryKind::File | EntryKind::Executable) => {}
                Some(_) => return Err(failed(path, "it is no regular file, and only those are removed".to_owned())),
            },
        }
        self.files.insert(path.clone(), Stage::Removed);
        self.kustomizations.forget(path);
        Ok(true)
    }

    /// What the base says in a file; none when there is none, or none that is text.
    pub(super) fn before(&self, path: &ManifestPath) -> Result<Option<String>, TreeError> {
        Ok(self.base.read(path)?.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    /// Has an edited file say the same in other bytes, its documents in another order perhaps; a text that says anything else is left alone.
    pub(super) fn say_instead(&mut self, path: &ManifestPath, text: String) {
        let Some(Stage::Edited(editor, true)) = self.files.get_mut(path) else { return };
        let Ok(other) = Editor::open(text, path.as_str().ends_with(".json")) else { return };
        let said = |editor: &Editor| {
            let mut said: Vec<String> = editor.documents().iter().map(|document| document.value.to_string()).collect();
            said.sort();
            said
        };
        let values = |editor: &Editor| editor.documents().iter().map(|document| document.value.clone()).collect::<Vec<_>>();
        if values(editor) == values(&other) || said(editor) == said(&other) {
            **editor = other;
        }
    }

    /// What a file says now; none when there is none, or none that is text.
    pub(super) fn text(&self, path: &ManifestPath) -> Result<Option<String>, TreeError> {
        let bytes = match self.files.get(path) {
            Some(Stage::Written(bytes)) => bytes.clone(),
            Some(Stage::Edited(editor, _)) => return Ok(Some(editor.text().to_owned())),
            Some(Stage::Removed) => return Ok(None),
            None => match self.base.read(path)? {
                Some(bytes) => bytes,
                None => return Ok(None),
            },
        };
        Ok(String::from_utf8(bytes).ok())
    }

    /// Whether a file or directory is there now.
    pub(super) fn is_there(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        match path.parse::<ManifestPath>().ok().and_then(|path| self.files.get(&path)) {
            Some(Stage::Removed) => Ok(None),
            Some(_) => Ok(Some(EntryKind::File)),
            None if self.lists(path) => Ok(Some(EntryKind::File)),
            None => {
                let is_within = |file: &ManifestPath| file.as_str().strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
                let is_new = || self.files.iter().any(|(file, stage)| !matches!(stage, Stage::Removed) && is_within(file));
                Ok(self.base.entry(path)?.or_else(|| is_new().then_some(EntryKind::Directory)))
            }
        }
    }

    /// Whether the base is known to have the file: then it need not be asked.
    fn lists(&self, path: &str) -> bool {
        let listed = |listing: &Arc<Listing>| path.parse::<ManifestPath>().is_ok_and(|path| listing.get(&path).is_some_and(Option::is_some));
        self.listing.as_ref().is_some_and(listed)
    }

    /// The YAML and JSON files below the target, as they are now.
    fn manifests(&mut self) -> Result<Vec<ManifestPath>, PlanError> {
        self.listing()?;
        self.paths()
    }

    /// Their paths, before anything of them is read.
    fn paths(&mut self) -> Result<Vec<ManifestPath>, PlanError> {
        let mut paths: BTreeSet<ManifestPath> = match &self.listing {
            Some(listing) => listing.keys().cloned().collect(),
            None => self.listed()?.iter().cloned().collect(),
        };
        for (path, stage) in &self.files {
            match stage {
                Stage::Removed => drop(paths.remove(path)),
                _ if self.within.contains(path) => drop(paths.insert(path.clone())),
                _ => {}
            }
        }
        Ok(paths.into_iter().collect())
    }

    /// The base's files below the target.
    fn listing(&mut self) -> Result<Arc<Listing>, PlanError> {
        if let Some(listing) = &self.listing {
            return Ok(Arc::clone(listing));
        }
        let root = if self.within.as_str() == "." { "" } else { self.within.as_str() };
        let files: Listing = match self.base.survey(root, MAX_FILES)? {
            Some(files) => files.into_iter().map(|file| (file.path, Some(file.mentions))).collect(),
            None => self.listed()?.iter().map(|path| (path.clone(), None)).collect(),
        };
        self.refuse_too_many(files.len())?;
        let unread: Vec<&ManifestPath> = files.iter().filter(|(_, mentions)| mentions.is_none()).map(|(path, _)| path).collect();
        self.base.prefetch(&unread)?;
        let listing = Arc::new(files);
        self.listing = Some(Arc::clone(&listing));
        Ok(listing)
    }

    /// Their paths.
    fn listed(&mut self) -> Result<Arc<Vec<ManifestPath>>, PlanError> {
        if let Some(listed) = &self.listed {
            return Ok(Arc::clone(listed));
        }
        let paths = Arc::new(manifests_below(self.base, self.within, MAX_FILES)?);
        self.refuse_too_many(paths.len())?;
        self.listed = Some(Arc::clone(&paths));
        Ok(paths)
    }

    fn refuse_too_many(&self, files: usize) -> Result<(), PlanError> {
        if files <= MAX_FILES {
            return Ok(());
        }
        Err(PlanError::Object(format!("more than {MAX_FILES} files lie below {}: name the `file`, or a target that is narrower", self.within)))
    }

    /// Whether a file may hold an object of the kind, and of the name where one is given.
    fn may_hold(&self, path: &ManifestPath, kind: &str, name: Option<&str>) -> bool {
        let known = self.listing.as_ref().filter(|_| !self.files.contains_key(path)).and_then(|listing| listing.get(path)?.as_ref());
        known.is_none_or(|mentions| mentions.may_hold(kind, name))
    }

    /// What a reviewer should know that the files do not show.
    pub(super) fn notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// The files that differ, and what happens to each.
    pub(super) fn finish(self) -> BTreeMap<ManifestPath, FileChange> {
        let changes = self.files.into_iter().filter_map(|(path, stage)| {
            Some(match stage {
                Stage::Written(bytes) => (path, FileChange::Write(bytes)),
                Stage::Edited(editor, true) => (path, FileChange::Write(editor.text().as_bytes().to_vec())),
                Stage::Edited(_, false) => return None,
                Stage::Removed => (path, FileChange::Remove),
            })
        });
        changes.collect()
    }
}

pub(super) fn failed(path: &ManifestPath, message: String) -> PlanError {
    PlanError::Edit { path: path.clone(), message }
}

/// What to say of a file that is not there: what stands in the nearest directory there is.
fn missing(path: &ManifestPath, base: &dyn BaseTree) -> Result<String, PlanError> {
    let mut directory = path.as_str();
    loop {
        let name = directory.rsplit('/').next().unwrap_or(directory);
        directory = directory.rsplit_once('/').map_or("", |(parent, _)| parent);
        let names = base.names(directory)?;
        if names.is_empty() && !directory.is_empty() {
            continue;
        }
        let there = if directory.is_empty() { "the repository".to_owned() } else { directory.to_owned() };
        if names.is_empty() {
            return Ok("there is no such file: the repository is empty".to_owned());
        }
        let near = nearest(name, names.iter().map(|name| name.trim_end_matches('/')));
        let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
        return Ok(format!("there is no such file{near}; {there} has {}", listed(&names, LISTED)));
    }
}
