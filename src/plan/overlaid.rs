//! The objects of a change as the kustomizations below the target build them, before and after it: what a cluster would get.
//! Only what a change can have made different is looked at. Kustomize itself is not run here: see [`builds`](super::builds()).

use super::staged::{Passage, Passing, Staged, Stopped, Ways, directory_of};
use super::{BaseTree, FileChange, PlanError, TreeError};
use crate::manifest::{KUSTOMIZATION_NAMES, Limits, ObjectRef, Room, flatten, is_kustomization, parse};
use crate::types::{DirectoryPath, ErrorClass, ManifestPath};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Objects that are looked at for one change, before and after it together, at most.
const MAX_OBJECTS: usize = 4_000;
/// What they may weigh, in values and pieces of 64 bytes of text; a Deployment has about a hundred.
const MAX_WEIGHT: usize = 4_000_000;

/// An object as an overlay builds it.
#[derive(Debug, Clone)]
pub struct Overlaid {
    /// The directory of the overlay.
    pub overlay: String,
    /// Which object it is.
    pub object: ObjectRef,
    /// All of it.
    pub value: Value,
    /// The file it comes from, or the kustomization that generates it.
    pub file: ManifestPath,
    /// The document there, from 0.
    pub document: usize,
    /// Where in it, as a JSON pointer.
    pub pointer: String,
    /// What decided something of it on its way: files with JSON pointers, the last one last.
    pub decided: Vec<(ManifestPath, String)>,
    /// The kustomizations on its way.
    pub chain: Vec<ManifestPath>,
}

/// What the overlays build of the objects that a change may have made different.
#[derive(Debug, Default)]
pub struct Overlays {
    /// Before the change.
    pub before: Vec<Overlaid>,
    /// After it.
    pub after: Vec<Overlaid>,
    /// The changed files that overlays build, and that need not be judged as they are written: all of their objects are in `before` and
    /// `after`, but for those of the files in `partial`.
    pub covered: BTreeSet<ManifestPath>,
    /// What was left out.
    pub left_out: BTreeSet<LeftOut>,
    /// What was left out before the change as well.
    pub left_out_before: BTreeSet<LeftOut>,
    /// Overlays with the files of which something could not be followed to its end there; such a file may be in `covered` as well, and
    /// is judged as it is written then.
    pub partial: BTreeSet<(String, ManifestPath)>,
}

/// What an overlay does to its objects, or the objects it adds, that is not known here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// The directory of the overlay.
    pub overlay: String,
    /// The kustomization that says it.
    pub path: ManifestPath,
    /// Where in it, as a JSON pointer.
    pub pointer: String,
    /// What it is, for a person.
    pub what: String,
}

/// Why nothing can be said of overlays.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OverlaidError {
    /// The change makes more objects different than are looked at.
    #[error(
        "the kustomizations below the target build more from this change than can be looked at: {MAX_OBJECTS} objects of {MAX_WEIGHT} values in all"
    )]
    TooMany,
    /// The target is not looked through.
    #[error("{0}")]
    NotSearched(String),
    /// The base could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl OverlaidError {
    /// The author may ask for less; the base says itself whether reading it again may help.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::TooMany | Self::NotSearched(_) => ErrorClass::User,
            Self::Tree(error) => error.class,
        }
    }
}

impl From<Stopped> for OverlaidError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::TooMuch => Self::TooMany,
            Stopped::Plan(PlanError::Tree(error)) => Self::Tree(error),
            Stopped::Plan(error) => Self::NotSearched(error.to_string()),
        }
    }
}

impl From<PlanError> for OverlaidError {
    fn from(error: PlanError) -> Self {
        Stopped::Plan(error).into()
    }
}

/// The objects that the kustomizations below `within` build, as far as `files` may make them different.
///
/// # Errors
/// See [`OverlaidError`].
pub fn overlaid(base: &dyn BaseTree, files: &BTreeMap<ManifestPath, FileChange>, within: &DirectoryPath) -> Result<Overlays, OverlaidError> {
    if !files.keys().any(|path| may_be_built(path, files, base).unwrap_or(true)) {
        return Ok(Overlays::default());
    }
    let mut before = Side::new(Staged::new(base, within));
    let mut after = Side::new(Staged::changed(base, within, files));
    // What was an overlay stays one: another around it does not take it away.
    let mut entries: Vec<ManifestPath> = before.staged.roots()?;
    after.staged.learn(&before.staged);
    entries.extend(after.staged.roots()?);
    entries.sort();
    entries.dedup();
    before.ways = before.staged.ways(&entries)?;
    after.ways = after.staged.ways(&entries)?;

    before.leave_depths_out();
    after.leave_depths_out();

    let mut changed = Changed { files, known: HashMap::new() };
    let (ways_before, ways_after) = (before.all_ways(), after.all_ways());
    let mut affected: BTreeSet<Way> = ways_before.symmetric_difference(&ways_after).cloned().collect();
    for (chain, file) in ways_before.union(&ways_after) {
        let mut differs = file.as_ref().is_some_and(|file| files.contains_key(file));
        for path in chain {
            differs = differs || changed.decides(path, &mut before, &mut after)?;
        }
        if !differs {
            continue;
        }
        affected.insert((chain.clone(), file.clone()));
        if file.is_none() {
            for side in [&mut before, &mut after] {
                for path in chain {
                    side.staged.note_unknown_objects(path, &mut side.passage)?;
                }
                side.leave_out(chain);
            }
        }
    }
    let wanted: Vec<&ManifestPath> = affected.iter().filter_map(|(_, file)| file.as_ref()).collect();
    if wanted.len() > MAX_OBJECTS {
        return Err(OverlaidError::TooMany);
    }
    base.prefetch(&wanted)?;
    let mut count = 0;
    let before_made = before.make(affected.intersection(&ways_before), &mut count)?;
    let after_made = after.make(affected.intersection(&ways_after), &mut count)?;
    let mut covered = BTreeSet::new();
    for (path, change) in files {
        let (was, is) = (before.ways.files.contains_key(path), after.ways.files.contains_key(path));
        // What nothing built stood for itself, and does so still.
        let stood_alone = !was && base.entry(path.as_str())?.is_some();
        if if matches!(change, FileChange::Write(_)) { is && !stood_alone } else { was } {
            covered.insert(path.clone());
        }
    }
    Ok(Overlays {
        before: before_made,
        after: after_made,
        covered,
        left_out: after.left_out,
        left_out_before: before.left_out,
        partial: after.partial,
    })
}

/// Whether a kustomization stands at or above a file, before the change or after it: Kustomize reads nothing that lies elsewhere.
fn may_be_built(path: &ManifestPath, files: &BTreeMap<ManifestPath, FileChange>, base: &dyn BaseTree) -> Result<bool, TreeError> {
    if is_kustomization(path) {
        return Ok(true);
    }
    for directory in path.ancestors().chain([""]) {
        for name in KUSTOMIZATION_NAMES {
            let whole = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
            let written = whole.parse::<ManifestPath>().is_ok_and(|path| files.contains_key(&path));
            if written || base.entry(&whole)?.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Which kustomizations decide otherwise after a change.
struct Changed<'a> {
    files: &'a BTreeMap<ManifestPath, FileChange>,
    known: HashMap<ManifestPath, bool>,
}

impl Changed<'_> {
    /// Whether a kustomization does something else to an object than before: which objects it builds does not matter.
    fn decides(&mut self, path: &ManifestPath, before: &mut Side<'_>, after: &mut Side<'_>) -> Result<bool, PlanError> {
        if let Some(known) = self.known.get(path) {
            return Ok(*known);
        }
        // Components may name each other in a circle.
        self.known.insert(path.clone(), false);
        let mut differs = self.files.contains_key(path) && rules(&mut before.staged, path)? != rules(&mut after.staged, path)?;
        differs = differs || before.staged.names_other(path, self.files)? || after.staged.names_other(path, self.files)?;
        let mut components = before.staged.components(path, &mut before.passage)?;
        components.extend(after.staged.components(path, &mut after.passage)?);
        for component in components {
            differs = differs || self.decides(&component, before, after)?;
        }
        self.known.insert(path.clone(), differs);
        Ok(differs)
    }
}

/// What a kustomization says but for the lists of what it builds.
fn rules(staged: &mut Staged<'_>, path: &ManifestPath) -> Result<Option<Value>, PlanError> {
    let mut value = staged.kustomization(path)?.map(|value| Value::clone(&value));
    if let Some(fields) = value.as_mut().and_then(Value::as_object_mut) {
        fields.shift_remove("resources");
        fields.shift_remove("bases");
    }
    Ok(value)
}

/// A chain of kustomizations with the file it builds; without a file, what its last one generates.
type Way = (Vec<ManifestPath>, Option<ManifestPath>);

/// The tree before the change, or after it.
struct Side<'b> {
    staged: Staged<'b>,
    ways: Ways,
    passage: Passage,
    left_out: BTreeSet<LeftOut>,
    /// Overlays with the files of which something could not be followed to its end.
    partial: BTreeSet<(String, ManifestPath)>,
}

impl<'b> Side<'b> {
    fn new(staged: Staged<'b>) -> Self {
        Self { staged, ways: Ways::default(), passage: Passage::new(Room::new(MAX_WEIGHT / 2)), left_out: BTreeSet::new(), partial: BTreeSet::new() }
    }

    fn all_ways(&self) -> BTreeSet<Way> {
        let files = self.ways.files.iter().flat_map(|(file, chains)| chains.iter().map(|chain| (chain.clone(), Some(file.clone()))));
        files.chain(self.ways.chains.iter().map(|chain| (chain.clone(), None))).collect()
    }

    /// What the overlays make of the objects of these ways.
    fn make<'w>(&mut self, ways: impl Iterator<Item = &'w Way>, count: &mut usize) -> Result<Vec<Overlaid>, OverlaidError> {
        let mut made = Vec::new();
        for (chain, file) in ways {
            let objects = match (file, chain.last()) {
                (Some(file), _) => {
                    self.objects(chain, file)?.into_iter().map(|(document, pointer, value)| (file.clone(), document, pointer, value)).collect()
                }
                (None, Some(last)) => {
                    let generated = self.staged.generated(last, &mut self.passage)?;
                    self.leave_out(chain);
                    generated.into_iter().map(|(pointer, value)| (last.clone(), 0, pointer, value)).collect::<Vec<_>>()
                }
                (None, None) => Vec::new(),
            };
            for (file, document, pointer, value) in objects {
                *count += 1;
                if *count > MAX_OBJECTS {
                    return Err(OverlaidError::TooMany);
                }
                made.extend(self.follow(chain, file, document, pointer, value)?);
            }
        }
        Ok(made)
    }

    /// Notes the chains of kustomizations that go on deeper than is followed.
    fn leave_depths_out(&mut self) {
        for chain in &self.ways.too_deep {
            let Some(path) = chain.last().cloned() else { continue };
            let what = format!("what it builds on: {} kustomizations build on each other by then", chain.len());
            self.left_out.insert(LeftOut { overlay: overlay_of(chain), path, pointer: "/resources".to_owned(), what });
        }
    }

    /// Notes for the overlay of a chain what was left out on its way.
    fn leave_out(&mut self, chain: &[ManifestPath]) {
        let notes = std::mem::take(&mut self.passage.notes);
        let overlay = overlay_of(chain);
        self.left_out.extend(notes.into_iter().map(|(path, pointer, what)| LeftOut { overlay: overlay.clone(), path, pointer, what }));
    }

    fn objects(&mut self, chain: &[ManifestPath], file: &ManifestPath) -> Result<Vec<(usize, String, Value)>, OverlaidError> {
        let Some(text) = self.staged.text(file)? else { return Ok(Vec::new()) };
        let Ok(documents) = parse(&text, Limits::default()) else {
            self.partial.insert((overlay_of(chain), file.clone()));
            return Ok(Vec::new());
        };
        let objects = documents.iter().flat_map(|document| {
            flatten(&document.value).into_iter().map(|(pointer, value)| (document.index, pointer, value.clone())).collect::<Vec<_>>()
        });
        Ok(objects.collect())
    }

    /// One object from the innermost kustomization to the outermost.
    fn follow(
        &mut self,
        chain: &[ManifestPath],
        file: ManifestPath,
        document: usize,
        pointer: String,
        value: Value,
    ) -> Result<Option<Overlaid>, OverlaidError> {
        let Ok(object) = ObjectRef::of(&value) else { return Ok(None) };
        self.passage.room.weigh(&value).map_err(|_| OverlaidError::TooMany)?;
        let mut passing = Passing::new(value, object);
        let mut from: Option<&ManifestPath> = None;
        for path in chain.iter().rev() {
            self.staged.pass(path, from, &mut passing, &mut self.passage)?;
            from = Some(path);
        }
        self.leave_out(chain);
        let overlay = overlay_of(chain);
        if !passing.whole {
            self.partial.insert((overlay.clone(), file.clone()));
        }
        let Ok(object) = ObjectRef::of(&passing.value) else { return Ok(None) };
        Ok(Some(Overlaid { overlay, object, value: passing.value, file, document, pointer, decided: passing.decided, chain: chain.to_vec() }))
    }
}

fn overlay_of(chain: &[ManifestPath]) -> String {
    chain.first().map(|path| directory_of(path).to_owned()).unwrap_or_default()
}
