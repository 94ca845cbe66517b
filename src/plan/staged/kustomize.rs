//! The kustomizations below a target: what each builds, and that it goes on naming the files there are.

use super::{PlanError, Staged};
use crate::manifest::{
    FieldPath, KUSTOMIZATION_NAMES, Kustomization, Limits, ObjectRef, Step, flatten, is_kustomization, parse, reference_from, resolve_reference,
};
use crate::plan::{EntryKind, FileChange};
use crate::types::ManifestPath;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// How deep kustomizations may build on each other.
const MAX_DEPTH: usize = 16;

/// Ways in which the kustomizations below a target may build on each other, at most: a diamond of diamonds has thousands of them.
const MAX_WAYS: usize = 20_000;

/// Kustomizations that were read, and the files each names: as a resource, or as anything else.
#[derive(Default)]
pub(super) struct Cache {
    read: HashMap<ManifestPath, Option<Arc<Value>>>,
    named: HashMap<ManifestPath, Arc<Named>>,
    /// The kustomizations of directories.
    places: HashMap<String, Option<ManifestPath>>,
    /// Whether the base was told that all of them will be read.
    fetched: bool,
}

/// The ways in which files are built, each as a chain of kustomizations, outermost first.
#[derive(Default)]
pub(in crate::plan) struct Ways {
    /// Of every file that is built.
    pub(in crate::plan) files: BTreeMap<ManifestPath, Vec<Vec<ManifestPath>>>,
    /// To every kustomization, which is the last of its chain.
    pub(in crate::plan) chains: Vec<Vec<ManifestPath>>,
    /// Those that go on deeper than is followed.
    pub(in crate::plan) too_deep: Vec<Vec<ManifestPath>>,
}

/// The paths of files a kustomization names.
struct Named {
    resources: BTreeSet<String>,
    others: BTreeSet<String>,
}

impl Cache {
    pub(super) fn forget(&mut self, path: &ManifestPath) {
        self.read.remove(path);
        self.named.remove(path);
        self.places.remove(directory_of(path));
    }
}

/// The directory a file is in; empty for the root.
pub(in crate::plan) fn directory_of(path: &ManifestPath) -> &str {
    path.as_str().rsplit_once('/').map_or("", |(directory, _)| directory)
}

impl Staged<'_> {
    /// What a kustomization says now; none when there is none that can be read.
    pub(in crate::plan) fn kustomization(&mut self, path: &ManifestPath) -> Result<Option<Arc<Value>>, PlanError> {
        if let Some(known) = self.kustomizations.read.get(path) {
            return Ok(known.clone());
        }
        let text = self.text(path)?;
        let value = text.and_then(|text| parse(&text, Limits::default()).ok()).and_then(|documents| {
            let [document] = documents.as_slice() else { return None };
            Some(Arc::new(document.value.clone()))
        });
        self.kustomizations.read.insert(path.clone(), value.clone());
        Ok(value)
    }

    /// Takes over what another state of the same tree has read already, of the files that are the same here.
    pub(in crate::plan) fn learn(&mut self, other: &Self) {
        self.listing.clone_from(&other.listing);
        self.listed.clone_from(&other.listed);
        self.kustomizations.fetched = other.kustomizations.fetched;
        let same = other.kustomizations.read.iter().filter(|(path, _)| !self.files.contains_key(*path));
        self.kustomizations.read.extend(same.map(|(path, value)| (path.clone(), value.clone())));
    }

    /// The kustomization of a directory.
    pub(in crate::plan) fn kustomization_in(&mut self, directory: &str) -> Result<Option<ManifestPath>, PlanError> {
        if let Some(known) = self.kustomizations.places.get(directory) {
            return Ok(known.clone());
        }
        let found = self.look_for_kustomization(directory)?;
        self.kustomizations.places.insert(directory.to_owned(), found.clone());
        Ok(found)
    }

    fn look_for_kustomization(&self, directory: &str) -> Result<Option<ManifestPath>, PlanError> {
        for name in KUSTOMIZATION_NAMES {
            let path = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
            if matches!(self.is_there(&path)?, Some(EntryKind::File | EntryKind::Executable)) {
                return Ok(path.parse().ok());
            }
        }
        Ok(None)
    }

    /// The kustomizations below the target.
    pub(super) fn kustomizations(&mut self) -> Result<Vec<ManifestPath>, PlanError> {
        let paths: Vec<ManifestPath> = self.paths()?.into_iter().filter(is_kustomization).collect();
        if self.listing.is_none() && !self.kustomizations.fetched {
            self.base.prefetch(&paths.iter().collect::<Vec<_>>())?;
            self.kustomizations.fetched = true;
        }
        Ok(paths)
    }

    /// Every file that kustomizations below the target build, with the chain of kustomizations that does, outermost first.
    pub(super) fn built(&mut self) -> Result<BTreeMap<ManifestPath, Vec<Vec<ManifestPath>>>, PlanError> {
        Ok(self.ways_below()?.files)
    }

    /// The same with the ways to the kustomizations themselves.
    pub(super) fn ways_below(&mut self) -> Result<Ways, PlanError> {
        let roots = self.roots()?;
        let ways = self.ways(&roots)?;
        if let Some(last) = ways.too_deep.first().and_then(|chain| chain.last()) {
            let message = format!(
                "the kustomizations below {} build on each other more than {MAX_DEPTH} deep, beyond {last}: name the `file`, or a target that is narrower",
                self.within
            );
            return Err(PlanError::Object(message));
        }
        Ok(ways)
    }

    /// What is built from these kustomizations.
    pub(in crate::plan) fn ways(&mut self, roots: &[ManifestPath]) -> Result<Ways, PlanError> {
        let mut ways = Ways::default();
        for path in roots {
            self.follow(path, &mut Vec::new(), &mut ways)?;
        }
        Ok(ways)
    }

    /// Whether a kustomization names one of these files as something else than a resource.
    pub(in crate::plan) fn names_other(&mut self, path: &ManifestPath, files: &BTreeMap<ManifestPath, FileChange>) -> Result<bool, PlanError> {
        let named = self.named(path)?;
        Ok(files.keys().any(|file| named.others.contains(file.as_str())))
    }

    /// The files a kustomization names.
    fn named(&mut self, path: &ManifestPath) -> Result<Arc<Named>, PlanError> {
        if let Some(known) = self.kustomizations.named.get(path) {
            return Ok(Arc::clone(known));
        }
        let directory = directory_of(path).to_owned();
        let value = self.kustomization(path)?;
        let resources: BTreeSet<String> = self.built_by(path)?.into_iter().map(|(_, resource)| resource).collect();
        let files = value.iter().flat_map(|value| Kustomization::of(value).files());
        let others = files.filter_map(|file| resolve_reference(&directory, file)).filter(|file| !resources.contains(file)).collect();
        let named = Arc::new(Named { resources, others });
        self.kustomizations.named.insert(path.clone(), Arc::clone(&named));
        Ok(named)
    }

    /// Whether a kustomization names a file.
    pub(super) fn names(&mut self, owner: &ManifestPath, file: &str) -> Result<bool, PlanError> {
        let named = self.named(owner)?;
        Ok(named.resources.contains(file) || named.others.contains(file))
    }

    /// The kustomizations below the target that no other one there builds from.
    pub(in crate::plan) fn roots(&mut self) -> Result<Vec<ManifestPath>, PlanError> {
        let all = self.kustomizations()?;
        let mut named: BTreeSet<ManifestPath> = BTreeSet::new();
        for path in &all {
            for (_, resource) in self.built_by(path)? {
                named.extend(self.kustomization_in(&resource)?.filter(|named| named != path));
            }
        }
        Ok(all.into_iter().filter(|path| !named.contains(path)).collect())
    }

    /// The local paths a kustomization builds from, with the list each stands in.
    pub(super) fn built_by(&mut self, path: &ManifestPath) -> Result<Vec<(&'static str, String)>, PlanError> {
        let Some(value) = self.kustomization(path)? else { return Ok(Vec::new()) };
        let directory = directory_of(path);
        let resources = Kustomization::of(&value).resources();
        Ok(resources.filter_map(|(field, reference)| Some((field, resolve_reference(directory, reference)?))).collect())
    }

    fn follow(&mut self, path: &ManifestPath, chain: &mut Vec<ManifestPath>, ways: &mut Ways) -> Result<(), PlanError> {
        if chain.contains(path) {
            return Ok(());
        }
        if chain.len() == MAX_DEPTH {
            ways.too_deep.push(chain.clone());
            return Ok(());
        }
        if ways.chains.len() == MAX_WAYS {
            let message = format!(
                "the kustomizations below {} build on each other in more than {MAX_WAYS} ways: name the `file`, or a target that is narrower",
                self.within
            );
            return Err(PlanError::Object(message));
        }
        chain.push(path.clone());
        ways.chains.push(chain.clone());
        for (_, resource) in self.built_by(path)? {
            match self.is_there(&resource)? {
                Some(EntryKind::File | EntryKind::Executable) => {
                    if let Ok(file) = resource.parse::<ManifestPath>() {
                        ways.files.entry(file).or_default().push(chain.clone());
                    }
                }
                Some(EntryKind::Directory) => {
                    if let Some(inner) = self.kustomization_in(&resource)? {
                        self.follow(&inner, chain, ways)?;
                    }
                }
                _ => {}
            }
        }
        chain.pop();
        Ok(())
    }

    /// Whether a kustomization in the file's directory, or in one above it, names the file as something else than a resource.
    pub(super) fn is_patch_file(&mut self, path: &ManifestPath) -> Result<bool, PlanError> {
        let mut directory = directory_of(path).to_owned();
        loop {
            if let Some(kustomization) = self.kustomization_in(&directory)? {
                let named = self.named(&kustomization)?;
                if named.others.contains(path.as_str()) && !named.resources.contains(path.as_str()) {
                    return Ok(true);
                }
            }
            match directory.rsplit_once('/') {
                Some((parent, _)) => directory = parent.to_owned(),
                None if !directory.is_empty() => directory.clear(),
                None => return Ok(false),
            }
        }
    }

    /// Has the kustomizations name the files that are new, and no longer those that are gone. A kustomization written from a template
    /// is left as it is.
    pub(in crate::plan) fn keep_kustomizations(&mut self) -> Result<(), PlanError> {
        let (mut new, mut gone) = (Vec::new(), Vec::new());
        for (path, stage) in &self.files {
            match stage {
                super::Stage::Written(bytes) if self.base.entry(path.as_str())?.is_none() => new.push((path.clone(), is_of_objects(bytes))),
                super::Stage::Edited(editor, true) if self.base.entry(path.as_str())?.is_none() => {
                    new.push((path.clone(), is_of_objects(editor.text().as_bytes())));
                }
                super::Stage::Removed => gone.push(path.clone()),
                _ => {}
            }
        }
        let owners = if gone.is_empty() { Vec::new() } else { self.kustomizations()? };
        for path in gone {
            self.take_out(&path, &owners)?;
        }
        let objects = std::mem::take(&mut self.gone);
        self.forget_objects(objects)?;
        for (path, of_objects) in new {
            let is_kustomization = is_kustomization(&path);
            if is_kustomization || of_objects {
                self.put_in(&path, is_kustomization)?;
            }
        }
        Ok(())
    }

    /// Names a new file in the nearest kustomization; a new kustomization is named by its directory, in the nearest one above.
    fn put_in(&mut self, path: &ManifestPath, is_kustomization: bool) -> Result<(), PlanError> {
        let (mut directory, named) = match is_kustomization {
            false => (directory_of(path).to_owned(), path.as_str().to_owned()),
            true => match directory_of(path).rsplit_once('/') {
                Some((parent, _)) => (parent.to_owned(), directory_of(path).to_owned()),
                None => (String::new(), directory_of(path).to_owned()),
            },
        };
        if named.is_empty() {
            return Ok(());
        }
        loop {
            let owner = self.kustomization_in(&directory)?.filter(|owner| owner != path);
            if let Some(owner) = owner {
                return self.put_into(&owner, &directory, &named);
            }
            if directory.is_empty() || directory == self.within.as_str() {
                return Ok(());
            }
            directory = directory.rsplit_once('/').map_or(String::new(), |(parent, _)| parent.to_owned());
        }
    }

    fn put_into(&mut self, owner: &ManifestPath, directory: &str, named: &str) -> Result<(), PlanError> {
        let written = matches!(self.files.get(owner), Some(super::Stage::Written(_)));
        let Some(value) = self.kustomization(owner)? else { return Ok(()) };
        let reference = reference_from(directory, named);
        let already = self.built_by(owner)?.iter().any(|(_, resource)| resource == named) || Kustomization::of(&value).names_file(&reference);
        if already || written || !self.within.contains(owner) {
            return Ok(());
        }
        // As its neighbours are written.
        let dotted = Kustomization::of(&value).resources().next().is_some_and(|(_, first)| first.starts_with("./"));
        let reference = if dotted { format!("./{reference}") } else { reference };
        self.edit(owner, |editor| editor.append(None, &field(&[Step::key("resources")]), &Value::from(reference))).map(drop)
    }
}

/// Whether every document of a text is an object.
fn is_of_objects(bytes: &[u8]) -> bool {
    let documents = std::str::from_utf8(bytes).ok().and_then(|text| parse(text, Limits::default()).ok()).unwrap_or_default();
    !documents.is_empty() && documents.iter().all(|document| flatten(&document.value).iter().all(|(_, value)| ObjectRef::of(value).is_ok()))
}

pub(super) fn field(steps: &[Step]) -> FieldPath {
    FieldPath::from(steps.to_vec())
}
