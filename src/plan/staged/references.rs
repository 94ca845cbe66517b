//! What kustomizations below the target say of files and objects that go: it goes with them, so that the build goes on.
//! An entry is taken out only where it is for nothing else; what cannot be told is refused, never guessed.
//! <https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/>

use super::entries::COUNTED;
use super::kustomize::{directory_of, field};
use super::selection::{Patterns, fits_target, is_by_names};
use super::transform::Passing;
use super::{Stage, Staged};
use crate::manifest::{
    Editor, Kustomization, Limits, ObjectAddress, ObjectRef, Patch, PatchContent, Step, flatten, is_kustomization, parse, resolve_reference,
};
use crate::plan::PlanError;
use crate::types::ManifestPath;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Lists of files that are no objects: what would be left of one without its file nobody can tell.
const PROGRAMS: [&str; 6] = ["generators", "transformers", "validators", "configurations", "crds", "replacements"];

impl Staged<'_> {
    /// Takes a file that is gone out of every kustomization below the target, and with a directory's last kustomization the directory.
    pub(super) fn take_out(&mut self, path: &ManifestPath, owners: &[ManifestPath]) -> Result<(), PlanError> {
        let gone = if is_kustomization(path) { directory_of(path).to_owned() } else { path.as_str().to_owned() };
        for owner in owners {
            let directory = directory_of(owner).to_owned();
            let is_gone = |reference: &str| resolve_reference(&directory, reference).as_deref() == Some(&*gone);
            for (list, resource) in self.built_by(owner)? {
                if resource != gone {
                    continue;
                }
                let Some(value) = self.kustomization(owner)? else { continue };
                let entries = value.get(list).and_then(Value::as_array).into_iter().flatten();
                let place = entries.filter_map(Value::as_str).position(is_gone);
                if let Some(place) = place {
                    self.edit(owner, |editor| editor.remove(None, &field(&[Step::key(list), Step::Place(place)])))?;
                }
            }
            let Some(value) = self.kustomization(owner)? else { continue };
            let kustomization = Kustomization::of(&value);
            let of_gone = |patch: &Patch<'_>| matches!(patch.content, PatchContent::File(file) if is_gone(file));
            let mut entries: Vec<Vec<Step>> =
                kustomization.patches().iter().filter(|patch| of_gone(patch)).map(|patch| patch.steps.clone()).collect();
            for list in ["configMapGenerator", "secretGenerator"] {
                entries.extend(kustomization.generators(list).flat_map(|(steps, generator)| sources(&steps, generator, &is_gone)));
            }
            // From the last one, so that the places of the others stay true.
            for steps in entries.into_iter().rev() {
                self.edit(owner, |editor| editor.remove(None, &field(&steps)))?;
            }
            if let Some(list) = PROGRAMS.into_iter().find(|list| names(value.get(list), &is_gone)) {
                let message = format!("{path} goes, and `{list}` of {owner} names it: change {owner} first");
                return Err(PlanError::Object(message));
            }
        }
        Ok(())
    }

    /// Takes what is for these objects alone out of the kustomizations that built them: patches and counts.
    pub(super) fn forget_objects(&mut self, gone: Vec<(ManifestPath, ObjectRef)>) -> Result<(), PlanError> {
        let mut gone_for_good = Vec::new();
        for (path, object) in gone {
            if !self.is_written(&object)? {
                gone_for_good.push((path, object));
            }
        }
        if gone_for_good.is_empty() {
            return Ok(());
        }
        let mut before = Staged::new(self.base, self.within);
        before.listing = self.listing.clone();
        let built_before = before.built()?;
        let built_now = self.built()?;
        for (path, object) in gone_for_good {
            let mut owners: BTreeMap<ManifestPath, Vec<ObjectRef>> = BTreeMap::new();
            for chain in built_before.get(&path).into_iter().flatten() {
                for (at, owner) in chain.iter().enumerate().filter(|(_, owner)| self.within.contains(owner)) {
                    // What a kustomization calls it: as its file does, or as those within it do.
                    let names = owners.entry(owner.clone()).or_default();
                    names.push(object.clone());
                    names.push(before.as_built(&chain[at + 1..], &object)?);
                    names.push(before.as_built(&chain[at..], &object)?);
                }
            }
            for (owner, names) in owners {
                let mut others = Vec::new();
                for other in built_now.iter().filter(|(_, chains)| chains.iter().any(|chain| chain.contains(&owner))).map(|(other, _)| other) {
                    others.extend(self.namesakes(other, &names)?);
                }
                Leaving { owner, names, others }.leave(self)?;
            }
        }
        Ok(())
    }

    /// Whether the change itself writes the object elsewhere: then it moved.
    fn is_written(&mut self, object: &ObjectRef) -> Result<bool, PlanError> {
        let paths: Vec<ManifestPath> =
            self.files.iter().filter(|(_, stage)| !matches!(stage, Stage::Removed)).map(|(path, _)| path.clone()).collect();
        for path in paths {
            if !self.namesakes(&path, std::slice::from_ref(object))?.is_empty() && !self.is_patch_file(&path)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The objects of a file that have the kind and one of the names.
    fn namesakes(&self, path: &ManifestPath, names: &[ObjectRef]) -> Result<Vec<ObjectRef>, PlanError> {
        if !names.iter().any(|named| self.may_hold(path, &named.kind, Some(&named.name))) {
            return Ok(Vec::new());
        }
        let Some(text) = self.text(path)? else { return Ok(Vec::new()) };
        let documents = parse(&text, Limits::default()).unwrap_or_default();
        let objects = documents.iter().flat_map(|document| flatten(&document.value)).filter_map(|(_, value)| ObjectRef::of(value).ok());
        Ok(objects.filter(|object| names.iter().any(|named| is_named(object, named))).collect())
    }

    /// Removes the file of a patch that no kustomization below the target names any more.
    fn drop_patch_file(&mut self, file: &ManifestPath) -> Result<(), PlanError> {
        if !self.within.contains(file) || !self.users(file)?.is_empty() {
            return Ok(());
        }
        self.remove_file(file).map(drop)
    }

    /// The kustomizations below the target that name a file.
    fn users(&mut self, file: &ManifestPath) -> Result<Vec<ManifestPath>, PlanError> {
        let mut users = Vec::new();
        for owner in self.kustomizations()? {
            if self.names(&owner, file.as_str())? {
                users.push(owner);
            }
        }
        Ok(users)
    }
}

/// Whether two are of one kind and one name, wherever they live.
fn is_named(object: &ObjectRef, named: &ObjectRef) -> bool {
    object.kind == named.kind && object.name == named.name && object.group() == named.group()
}

/// The entries of a generator that are a file.
fn sources(steps: &[Step], generator: &Value, is_gone: &impl Fn(&str) -> bool) -> Vec<Vec<Step>> {
    let mut found = Vec::new();
    let path = |text: &str| is_gone(text.split_once('=').map_or(text, |(_, path)| path));
    if generator.get("env").and_then(Value::as_str).is_some_and(is_gone) {
        found.push([steps, &[Step::key("env")]].concat());
    }
    for list in ["envs", "files"] {
        for (place, entry) in generator.get(list).and_then(Value::as_array).into_iter().flatten().enumerate() {
            if entry.as_str().is_some_and(path) {
                found.push([steps, &[Step::key(list), Step::Place(place)]].concat());
            }
        }
    }
    found
}

/// Whether a list names the file, itself or by the `path` of an entry.
fn names(list: Option<&Value>, is_gone: &impl Fn(&str) -> bool) -> bool {
    let entries = list.and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(|entry| entry.as_str().or_else(|| entry.get("path")?.as_str())).any(is_gone)
}

/// An object that leaves a kustomization.
struct Leaving {
    owner: ManifestPath,
    /// It, under each name it has there.
    names: Vec<ObjectRef>,
    /// What is still built there of its kind and name.
    others: Vec<ObjectRef>,
}

impl Leaving {
    fn leave(&self, staged: &mut Staged<'_>) -> Result<(), PlanError> {
        let Some(value) = staged.kustomization(&self.owner)? else { return Ok(()) };
        let kustomization = Kustomization::of(&value);
        self.refuse_sources(&value)?;
        let mut files = BTreeSet::new();
        // From the last one, so that the places of the others stay true.
        for patch in kustomization.patches().into_iter().rev() {
            if self.take_out_of(&patch, staged)?
                && let PatchContent::File(file) = patch.content
            {
                files.extend(resolve_reference(directory_of(&self.owner), file).and_then(|file| file.parse::<ManifestPath>().ok()));
            }
        }
        for file in files {
            staged.drop_patch_file(&file)?;
        }
        let counted = self.names.iter().any(|named| COUNTED.contains(&named.kind.as_str())) && self.others.is_empty();
        if let Some(steps) = self.names.iter().filter(|_| counted).find_map(|named| kustomization.replicas(&named.name)) {
            staged.edit(&self.owner, |editor| editor.remove(None, &field(&steps[..2])))?;
        }
        Ok(())
    }

    /// What takes a value from the object has none without it.
    fn refuse_sources(&self, value: &Value) -> Result<(), PlanError> {
        let list = |name: &str| value.get(name).and_then(Value::as_array).into_iter().flatten();
        let sources = list("replacements").filter_map(|entry| entry.get("source")).map(|source| ("replacements", source));
        let sources = sources.chain(list("vars").filter_map(|entry| entry.get("objref")).map(|source| ("vars", source)));
        let is_it = |source: &Value| self.names.iter().any(|named| source["kind"] == *named.kind && source["name"] == *named.name);
        match sources.into_iter().find(|(_, source)| self.others.is_empty() && is_it(source)) {
            None => Ok(()),
            Some((list, _)) => Err(PlanError::Object(format!(
                "{} goes, and `{list}` of {} take a value from it: change {} first",
                self.shown(),
                self.owner,
                self.owner
            ))),
        }
    }

    fn shown(&self) -> String {
        self.names.first().map_or_else(String::new, |object| ObjectAddress::of(object).to_string())
    }

    /// Takes a patch out that is for the object and nothing else, and of one with several documents those that are; tells whether the
    /// entry went.
    fn take_out_of(&self, patch: &Patch<'_>, staged: &mut Staged<'_>) -> Result<bool, PlanError> {
        if let Some(target) = patch.target {
            if !self.is_target(target) {
                return Ok(false);
            }
            return self.take_entry_out(patch, staged);
        }
        let (file, text) = match patch.content {
            PatchContent::Inline(text) => (None, Some(text.to_owned())),
            PatchContent::File(file) => {
                let file = resolve_reference(directory_of(&self.owner), file).and_then(|file| file.parse::<ManifestPath>().ok());
                let text = file.as_ref().map(|file| staged.text(file)).transpose()?.flatten();
                (file, text)
            }
        };
        let Some(editor) = text.and_then(|text| Editor::open(text, false).ok()) else { return Ok(false) };
        let written: Vec<Option<ObjectRef>> = editor.documents().iter().map(|document| document.object().ok()).collect();
        let own: Vec<&ObjectRef> = written.iter().flatten().filter(|written| self.is_patch(written)).collect();
        if own.is_empty() {
            return Ok(false);
        }
        if own.len() == written.len() {
            return self.take_entry_out(patch, staged);
        }
        match file {
            Some(file) => self.take_out_of_file(&file, &own, staged)?,
            None => {
                let mut inner = editor.clone();
                for object in &own {
                    let unfit =
                        |error: crate::manifest::EditError| super::failed(&self.owner, format!("a patch in it for {}: {error}", self.shown()));
                    inner.remove_object(&ObjectAddress::exactly(object)).map_err(unfit)?;
                }
                staged.edit(&self.owner, |editor| editor.set(None, &field(&patch.steps), &Value::from(inner.text())))?;
            }
        }
        Ok(false)
    }

    fn take_out_of_file(&self, file: &ManifestPath, own: &[&ObjectRef], staged: &mut Staged<'_>) -> Result<(), PlanError> {
        let others: Vec<String> = staged.users(file)?.into_iter().filter(|user| *user != self.owner).map(|user| user.to_string()).collect();
        if !others.is_empty() || !staged.within.contains(file) {
            let message = format!(
                "{} goes, and {file} patches it beside other objects; {} it: take the patch out of it first",
                self.shown(),
                if others.is_empty() { format!("others than {} may use", self.owner) } else { format!("{} uses", others.join(", ")) }
            );
            return Err(PlanError::Object(message));
        }
        for object in own {
            staged.edit(file, |editor| editor.remove_object(&ObjectAddress::exactly(object)))?;
        }
        Ok(())
    }

    fn take_entry_out(&self, patch: &Patch<'_>, staged: &mut Staged<'_>) -> Result<bool, PlanError> {
        staged.edit(&self.owner, |editor| editor.remove(None, &field(&patch.steps[..2])))
    }

    /// Whether a target is this object and no other one. Patterns and selectors are for whatever they find, which may be nothing.
    fn is_target(&self, target: &Value) -> bool {
        let text = |field: &str| target.get(field).and_then(Value::as_str).filter(|text| !text.is_empty() && *text != ".*");
        if text("kind").is_none() || text("name").is_none() || !is_by_names(target) || !self.others.is_empty() {
            return false;
        }
        let fits = |named: &ObjectRef| fits_target(target, &Passing::new(Value::Null, named.clone()), &mut Patterns::default()) == Some(true);
        self.names.iter().any(fits)
    }

    /// Whether a patch written as this object is for the one that leaves.
    fn is_patch(&self, written: &ObjectRef) -> bool {
        let fits = |named: &ObjectRef| is_named(written, named) && (written.namespace.is_none() || written.namespace == named.namespace);
        // One without a namespace may be for a namesake.
        self.names.iter().any(fits) && (written.namespace.is_some() || self.others.is_empty())
    }
}
