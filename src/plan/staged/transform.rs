//! What a kustomization makes of one object: patches, namespace, names, labels, counts, images, in Kustomize's order.
//! What it does beyond that (see [`OTHER_CHANGES`]) is noted and never guessed: the object is not whole then.

use super::fields::{counted, imaged, labelled, named};
use super::kustomize::directory_of;
use super::outcome::Watched;
use super::selection::{Patterns, fits_target};
use super::{PlanError, Staged};
use crate::manifest::{
    Kustomization, Limits, ObjectRef, Patch, PatchContent, PatchError, Room, Step, flatten, json_patch, parse, push_step, resolve_reference,
    strategic_merge,
};
use crate::types::ManifestPath;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What changes objects and is not applied here.
const OTHER_CHANGES: [&str; 5] = ["configurations", "openapi", "replacements", "transformers", "vars"];
/// What adds objects that are not known here.
const OTHER_OBJECTS: [&str; 3] = ["generators", "helmChartInflationGenerator", "helmCharts"];
/// Components may build on each other so deep.
const MAX_DEPTH: usize = 16;

/// Where something was decided: a file, and a JSON pointer in it.
pub(in crate::plan) type Decided = (ManifestPath, String);

/// The documents of a patch; none when it cannot be read.
type Documents = Arc<Option<Vec<Value>>>;

/// An object on its way through kustomizations.
#[derive(Debug, Clone)]
pub(in crate::plan) struct Passing {
    /// As it is now; null once it is taken away.
    pub(in crate::plan) value: Value,
    /// Every identity it had, its present one last.
    pub(in crate::plan) known_as: Vec<ObjectRef>,
    /// What decided something of it.
    pub(in crate::plan) decided: Vec<Decided>,
    /// Whether everything on its way could be applied.
    pub(in crate::plan) whole: bool,
    /// The field of it that is asked about, where one is.
    pub(super) watched: Option<Watched>,
}

/// What is kept while objects pass.
pub(in crate::plan) struct Passage {
    /// Room for what is made.
    pub(in crate::plan) room: Room,
    /// What was left out.
    pub(in crate::plan) notes: BTreeSet<Note>,
    pub(super) patterns: Patterns,
    patches: HashMap<Decided, Documents>,
    known: HashMap<ManifestPath, Arc<Known>>,
}

/// What a kustomization names besides its own rules.
#[derive(Default)]
struct Known {
    /// The kustomizations of its components.
    components: Vec<ManifestPath>,
    /// What it does to objects that is not applied here.
    changes: Vec<Note>,
    /// The objects it adds that are not known here.
    objects: Vec<Note>,
}

/// What was left out: the kustomization, the pointer in it, and what it is.
pub(in crate::plan) type Note = (ManifestPath, String, String);

impl Passage {
    pub(in crate::plan) fn new(room: Room) -> Self {
        Self { room, notes: BTreeSet::new(), patterns: Patterns::default(), patches: HashMap::new(), known: HashMap::new() }
    }
}

impl Passing {
    pub(in crate::plan) fn new(value: Value, object: ObjectRef) -> Self {
        Self { value, known_as: vec![object], decided: Vec::new(), whole: true, watched: None }
    }

    fn is_gone(&self) -> bool {
        self.value.is_null()
    }

    /// Whether a patch that is written as this object is for it.
    pub(super) fn is_named(&self, written: &ObjectRef) -> bool {
        self.known_as.iter().any(|known| is_meant(written, known))
    }

    pub(super) fn now(&self) -> Option<&ObjectRef> {
        self.known_as.last()
    }

    /// Something of it was decided.
    pub(super) fn decide(&mut self, by: Decided) {
        if let Some(watched) = &mut self.watched {
            watched.look(&self.value, &by);
        }
        self.decided.push(by);
    }

    /// Gives a field of `metadata` a value.
    pub(super) fn set_metadata(&mut self, field: &str, value: &str, by: Decided) {
        let Some(fields) = self.value.as_object_mut() else { return };
        let metadata = fields.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if let Some(metadata) = metadata.as_object_mut()
            && metadata.get(field).and_then(Value::as_str) != Some(value)
        {
            metadata.insert(field.to_owned(), Value::from(value));
            self.decide(by);
        }
        self.known_as.extend(ObjectRef::of(&self.value));
    }
}

impl Staged<'_> {
    /// Lets an object pass through a kustomization; `from` is the one it comes from, where it comes from one.
    pub(in crate::plan) fn pass(
        &mut self,
        path: &ManifestPath,
        from: Option<&ManifestPath>,
        object: &mut Passing,
        passage: &mut Passage,
    ) -> Result<(), Stopped> {
        self.pass_within(path, from, object, passage, 0)
    }

    fn pass_within(
        &mut self,
        path: &ManifestPath,
        from: Option<&ManifestPath>,
        object: &mut Passing,
        passage: &mut Passage,
        depth: usize,
    ) -> Result<(), Stopped> {
        let Some(value) = self.kustomization(path)? else { return Ok(()) };
        let lists = value.as_object().into_iter().flatten().filter(|(field, _)| !matches!(field.as_str(), "resources" | "bases"));
        let entries = lists.filter_map(|(_, list)| list.as_array()).map(Vec::len).sum();
        passage.room.take(entries).map_err(|_| Stopped::TooMuch)?;
        let known = self.known(path, &value, passage)?;
        object.whole &= known.changes.is_empty();
        passage.notes.extend(known.changes.iter().cloned());
        // A component is applied to all that came before it, and has been to what comes out of it.
        let passed = known.components.iter().position(|component| Some(component) == from).map_or(0, |at| at + 1);
        for component in known.components.get(passed..).unwrap_or_default() {
            if object.is_gone() {
                break;
            }
            if depth == MAX_DEPTH {
                let what = format!("components within each other more than {MAX_DEPTH} deep");
                passage.notes.insert((path.clone(), "/components".to_owned(), what));
                object.whole = false;
                break;
            }
            self.pass_within(component, None, object, passage, depth + 1)?;
        }
        let kustomization = Kustomization::of(&value);
        let (early, late): (Vec<_>, Vec<_>) =
            kustomization.patches().into_iter().partition(|patch| patch.steps.first() != Some(&Step::key("patchesJson6902")));
        self.patch_all(path, &early, object, passage)?;
        if !object.is_gone() {
            named(path, kustomization, object);
            labelled(path, &value, object);
        }
        self.patch_all(path, &late, object, passage)?;
        if !object.is_gone() {
            counted(path, &value, object);
            imaged(path, &value, object, passage)?;
        }
        Ok(())
    }

    /// The components of a kustomization.
    pub(in crate::plan) fn components(&mut self, path: &ManifestPath, passage: &mut Passage) -> Result<Vec<ManifestPath>, PlanError> {
        let Some(value) = self.kustomization(path)? else { return Ok(Vec::new()) };
        Ok(self.known(path, &value, passage)?.components.clone())
    }

    /// Notes the objects that a kustomization adds and that are not known here.
    pub(in crate::plan) fn note_unknown_objects(&mut self, path: &ManifestPath, passage: &mut Passage) -> Result<(), PlanError> {
        let Some(value) = self.kustomization(path)? else { return Ok(()) };
        let known = self.known(path, &value, passage)?;
        passage.notes.extend(known.objects.iter().cloned());
        Ok(())
    }

    fn known(&mut self, path: &ManifestPath, value: &Value, passage: &mut Passage) -> Result<Arc<Known>, PlanError> {
        if let Some(known) = passage.known.get(path) {
            return Ok(Arc::clone(known));
        }
        let is_set = |field: &&&str| value.get(**field).is_some_and(|value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
        let note = |field: &str, what: String| (path.clone(), format!("/{field}"), what);
        let mut known = Known::default();
        known.changes.extend(OTHER_CHANGES.iter().filter(is_set).map(|field| note(field, format!("`{field}`"))));
        known.objects.extend(OTHER_OBJECTS.iter().filter(is_set).map(|field| note(field, format!("`{field}`"))));
        for (list, reference) in Kustomization::of(value).resources() {
            let local = resolve_reference(directory_of(path), reference);
            let is_there = match &local {
                Some(local) => self.is_there(local)?.is_some(),
                None => false,
            };
            if !is_there {
                let into = if list == "components" { &mut known.changes } else { &mut known.objects };
                into.push(note(list, format!("{reference:?}, which is not in the repository")));
            } else if list == "components"
                && let Some(local) = local
            {
                known.components.extend(self.kustomization_in(&local)?.filter(|component| component != path));
            }
        }
        let known = Arc::new(known);
        passage.known.insert(path.clone(), Arc::clone(&known));
        Ok(known)
    }

    fn patch_all(&mut self, path: &ManifestPath, patches: &[Patch<'_>], object: &mut Passing, passage: &mut Passage) -> Result<(), Stopped> {
        for patch in patches {
            if object.is_gone() {
                break;
            }
            let at = pointer_of(&patch.steps);
            let selected = match patch.target {
                Some(target) => fits_target(target, object, &mut passage.patterns),
                None => Some(true),
            };
            match selected {
                Some(false) => continue,
                Some(true) => {}
                None => {
                    passage.notes.insert((path.clone(), at, "a patch whose `target` cannot be told here".to_owned()));
                    object.whole = false;
                    continue;
                }
            }
            self.patch(path, patch, &at, object, passage)?;
        }
        Ok(())
    }

    fn patch(&mut self, path: &ManifestPath, patch: &Patch<'_>, at: &str, object: &mut Passing, passage: &mut Passage) -> Result<(), Stopped> {
        let (place, documents) = self.patch_text(path, patch, at, passage)?;
        let mut failed = |reason: String, object: &mut Passing| {
            let name = object.now().map(ToString::to_string).unwrap_or_default();
            passage.notes.insert((path.clone(), at.to_owned(), format!("a patch of {name} ({reason})")));
            object.whole = false;
        };
        let Some(documents) = documents.as_ref() else {
            failed("it cannot be read".to_owned(), object);
            return Ok(());
        };
        if let [Value::Array(operations)] = documents.as_slice() {
            let mut patched = object.value.clone();
            match json_patch(&mut patched, operations, &mut passage.room) {
                Ok(()) => object.patched(Some(patched), place),
                Err(PatchError::Misfit(reason)) => failed(reason, object),
                Err(PatchError::TooMuch) => return Err(Stopped::TooMuch),
            }
            return Ok(());
        }
        for document in documents.iter().flat_map(flatten) {
            let written = || ObjectRef::of(document.1).is_ok_and(|written| object.is_named(&written));
            if object.is_gone() || (patch.target.is_none() && !written()) {
                continue;
            }
            let own = object.now().is_some_and(|object| object.is_cluster_scoped().is_some());
            match strategic_merge(object.value.clone(), &anonymous(document.1), own, &mut passage.room) {
                Ok(patched) => object.patched(patched, (place.0.clone(), format!("{}{}", place.1, document.0))),
                Err(PatchError::Misfit(reason)) => failed(reason, object),
                Err(PatchError::TooMuch) => return Err(Stopped::TooMuch),
            }
        }
        Ok(())
    }

    /// Where a patch stands, and its documents; none when it cannot be read.
    fn patch_text(&mut self, path: &ManifestPath, patch: &Patch<'_>, at: &str, passage: &mut Passage) -> Result<(Decided, Documents), PlanError> {
        let local = |file: &str| resolve_reference(directory_of(path), file).and_then(|file| file.parse::<ManifestPath>().ok());
        let place = match patch.content {
            PatchContent::Inline(_) => (path.clone(), at.to_owned()),
            PatchContent::File(file) => local(file).map_or_else(|| (path.clone(), at.to_owned()), |file| (file, String::new())),
        };
        if let Some(known) = passage.patches.get(&place) {
            return Ok((place, Arc::clone(known)));
        }
        let text = match patch.content {
            PatchContent::Inline(text) => Some(text.to_owned()),
            PatchContent::File(_) if place.0 == *path => None,
            PatchContent::File(_) => self.text(&place.0)?,
        };
        let documents = text.and_then(|text| parse(&text, Limits::default()).ok());
        let documents = Arc::new(documents.map(|documents| documents.into_iter().map(|document| document.value).collect()));
        passage.patches.insert(place.clone(), Arc::clone(&documents));
        Ok((place, documents))
    }
}

/// The JSON pointer of a place in a kustomization.
pub(super) fn pointer_of(steps: &[Step]) -> String {
    let mut pointer = String::new();
    for step in steps {
        match step {
            Step::Key(key) => push_step(&mut pointer, key),
            Step::Place(place) => push_step(&mut pointer, &place.to_string()),
            Step::Element { .. } => {}
        }
    }
    pointer
}

/// Why nothing can be said.
#[derive(Debug)]
pub(in crate::plan) enum Stopped {
    /// There is more than there is room for.
    TooMuch,
    /// The tree cannot be read, or is not to be looked through.
    Plan(PlanError),
}

impl<E: Into<PlanError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Plan(error.into())
    }
}

impl Passing {
    fn patched(&mut self, value: Option<Value>, by: Decided) {
        self.value = value.unwrap_or(Value::Null);
        self.decide(by);
        if let Ok(now) = ObjectRef::of(&self.value)
            && self.now() != Some(&now)
        {
            self.known_as.push(now);
        }
    }
}

/// Whether a patch that names `written` is for an object known as `known`.
fn is_meant(written: &ObjectRef, known: &ObjectRef) -> bool {
    let namespace = |object: &ObjectRef| object.namespace.clone().unwrap_or_else(|| "default".to_owned());
    written.group() == known.group() && written.kind == known.kind && written.name == known.name && namespace(written) == namespace(known)
}

/// A patch without what only says whom it is for.
fn anonymous(patch: &Value) -> Value {
    let mut patch = patch.clone();
    if let Some(fields) = patch.as_object_mut() {
        fields.shift_remove("apiVersion");
        fields.shift_remove("kind");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("name");
            metadata.shift_remove("namespace");
        }
    }
    patch
}
