//! The objects of a change as policies see them: each new state beside the one in the base, as a kustomization below the target builds
//! it, and where none does as it stands in its file; and how much a change does in all.

mod known;
mod place;

use super::policy::{Budget, Decision, Review, STEPS_OF_A_CHANGE, Subject};
use super::{Finding, Gate, Severity, kustomize};
use crate::inventory::ChangeLimits;
use crate::manifest::{Action, Document, ObjectChange, ObjectRef, flatten};
use crate::plan::{Built, FileChange, Overlaid, OverlaidError, Overlays, TreeError, overlaid};
use crate::types::ManifestPath;
use known::Known;
use place::Place;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Notes of policies that the evidence keeps, at most.
const MAX_NOTES: usize = 200;
/// Things a reviewer is told that policies did not see, at most.
const MAX_LEFT_OUT: usize = 20;

/// One file that differs: its documents before and after.
pub(super) struct ChangedFile {
    pub(super) path: ManifestPath,
    pub(super) before: Vec<Document>,
    pub(super) after: Vec<Document>,
}

/// Group, kind, namespace and name.
type Key<'a> = (&'a str, &'a str, Option<&'a str>, &'a str);

/// An object and where it stands.
struct Placed<'a> {
    path: &'a ManifestPath,
    document: &'a Document,
    pointer: String,
    value: &'a Value,
    object: ObjectRef,
}

fn objects<'a>(path: &'a ManifestPath, documents: &'a [Document]) -> Vec<Placed<'a>> {
    if crate::manifest::is_kustomization(path) {
        return Vec::new();
    }
    let of = |document: &'a Document| {
        flatten(&document.value)
            .into_iter()
            .filter_map(move |(pointer, value)| Some(Placed { path, document, pointer, value, object: ObjectRef::of(value).ok()? }))
    };
    documents.iter().flat_map(of).collect()
}

/// An object that is judged.
#[derive(Clone, Copy)]
struct Item<'a> {
    object: &'a ObjectRef,
    value: &'a Value,
    origin: Origin<'a>,
}

/// Who says that the object is so.
#[derive(Clone, Copy)]
enum Origin<'a> {
    /// Its file.
    File(&'a Placed<'a>),
    /// An overlay.
    Overlay(&'a Overlaid),
}

impl<'a> Item<'a> {
    fn of_file(placed: &'a Placed<'a>) -> Self {
        Self { object: &placed.object, value: placed.value, origin: Origin::File(placed) }
    }

    fn of_overlay(overlaid: &'a Overlaid) -> Self {
        Self { object: &overlaid.object, value: &overlaid.value, origin: Origin::Overlay(overlaid) }
    }

    /// The overlay that builds it: the same object of two overlays is two objects.
    fn overlay(&self) -> Option<&'a str> {
        match self.origin {
            Origin::File(_) => None,
            Origin::Overlay(overlaid) => Some(&overlaid.overlay),
        }
    }

    fn file(&self) -> &'a ManifestPath {
        match self.origin {
            Origin::File(placed) => placed.path,
            Origin::Overlay(overlaid) => &overlaid.file,
        }
    }

    fn key(&self) -> Key<'a> {
        self.object.key()
    }

    /// How it is called.
    fn name(&self) -> String {
        match self.overlay() {
            None => self.object.to_string(),
            Some("") => format!("{} (as the root's kustomization builds it)", self.object),
            Some(overlay) => format!("{} (as {overlay} builds it)", self.object),
        }
    }
}

/// One state of what is judged, to be looked up.
struct State<'a> {
    by_overlay: HashMap<(Option<&'a str>, Key<'a>), Item<'a>>,
    overlays: HashMap<Key<'a>, Vec<Item<'a>>>,
}

impl<'a> State<'a> {
    fn of(items: &[Item<'a>]) -> Self {
        let mut overlays: HashMap<Key<'a>, Vec<Item<'a>>> = HashMap::new();
        items.iter().for_each(|item| overlays.entry(item.key()).or_default().push(*item));
        Self { by_overlay: items.iter().map(|item| ((item.overlay(), item.key()), *item)).collect(), overlays }
    }

    fn same(&self, item: &Item<'a>) -> Option<&Item<'a>> {
        self.by_overlay.get(&(item.overlay(), item.key()))
    }

    /// The same object wherever it is.
    fn anywhere(&self, item: &Item<'a>) -> &[Item<'a>] {
        self.overlays.get(&item.key()).map_or(&[], Vec::as_slice)
    }
}

impl Gate<'_> {
    /// Holds every object that changes against the policies in force. An object that stays as it is was not made by this change.
    pub(super) fn review(&mut self, changed: &[ChangedFile], built: &[Built]) -> Result<(), TreeError> {
        if self.rules.policies.is_empty() || changed.is_empty() {
            return Ok(());
        }
        let mut overlays = self.overlays()?;
        self.prefer_builds(&mut overlays, built);
        let placed = |documents: fn(&ChangedFile) -> &[Document]| -> Vec<Placed<'_>> {
            let files = changed.iter().filter(|file| !overlays.covered.contains(&file.path));
            files.flat_map(|file| objects(&file.path, documents(file))).collect()
        };
        let (files_before, files_after) = (placed(|file| &file.before), placed(|file| &file.after));
        let before: Vec<Item<'_>> = files_before.iter().map(Item::of_file).chain(overlays.before.iter().map(Item::of_overlay)).collect();
        let after: Vec<Item<'_>> = files_after.iter().map(Item::of_file).chain(overlays.after.iter().map(Item::of_overlay)).collect();
        let (old, new) = (State::of(&before), State::of(&after));
        let known = Known::new(self.base, &self.rules.within, &before, &after);
        let budget = Budget::new(STEPS_OF_A_CHANGE);
        let written = after.iter().map(|item| {
            // What comes into an overlay was perhaps elsewhere before.
            let was = old.same(item).or_else(|| old.anywhere(item).first());
            (item, Some(item.value), was.map(|was| was.value))
        });
        let moved = |item: &Item<'_>| new.anywhere(item).iter().any(|now| old.same(now).is_none());
        let gone = before.iter().filter(|item| new.same(item).is_none() && !moved(item)).map(|item| (item, None, Some(item.value)));
        let mut patches = BTreeMap::new();
        for (item, new, old) in written.chain(gone) {
            if new == old {
                continue;
            }
            let review = self.rules.policies.review(Subject { object: item.object, new, old }, &known, &budget);
            if review == Review::default() {
                continue;
            }
            // A patch is a part of an object: the whole is judged where a kustomization builds it.
            if let Origin::File(placed) = item.origin {
                let is_patch = match patches.get(placed.path) {
                    Some(known) => *known,
                    None => *patches.entry(placed.path).or_insert(kustomize::is_patch(placed.path, self.all, self.base)?),
                };
                if is_patch {
                    continue;
                }
            }
            let own = self.own_faults(item, new.is_some(), &review, changed, &known, &budget);
            self.note(item, review, new.is_some(), changed, &own);
        }
        known.failure().map_or(Ok(()), Err)
    }

    /// What the overlays below the target make of the change.
    fn overlays(&mut self) -> Result<Overlays, TreeError> {
        let Some(first) = self.differing.first() else { return Ok(Overlays::default()) };
        match overlaid(self.base, &self.differing_files(), &self.rules.within) {
            Ok(overlays) => Ok(overlays),
            Err(OverlaidError::Tree(error)) => Err(error),
            Err(error @ OverlaidError::TooMany) => {
                let finding = Finding::error("policy.too_many", first, format!("policies cannot judge all of it: {error}"));
                self.findings.push(finding.hint("ask for less at a time, or name a target that is narrower"));
                Ok(Overlays::default())
            }
            Err(error @ OverlaidError::NotSearched(_)) => {
                let message = format!("policies judged files as they are written, not what kustomizations build of them: {error}");
                self.findings.push(Finding::warning("policy.left_out", first, message));
                Ok(Overlays::default())
            }
        }
    }

    /// Takes what Kustomize itself built in the place of what was worked out, and tells what neither saw.
    fn prefer_builds(&mut self, overlays: &mut Overlays, built: &[Built]) {
        let mut exact: BTreeSet<String> = BTreeSet::new();
        for Built { build, documents } in built {
            let Some((before, after)) = documents else { continue };
            let fallback = self.differing.iter().find(|path| crate::manifest::is_kustomization(path)).or(self.differing.first());
            let Some(fallback) = fallback else { continue };
            for (worked_out, documents) in [(&mut overlays.before, before), (&mut overlays.after, after)] {
                place::replace(worked_out, &build.directory, documents, fallback);
            }
            exact.insert(build.directory.clone());
        }
        let partial: HashSet<&ManifestPath> = overlays.partial.iter().filter(|(overlay, _)| !exact.contains(overlay)).map(|(_, file)| file).collect();
        overlays.covered.retain(|path| !partial.contains(path));
        overlays.left_out.retain(|left_out| !exact.contains(&left_out.overlay));
        let told: BTreeSet<_> = overlays.left_out.iter().map(|left_out| (&left_out.path, &left_out.pointer, &left_out.what)).collect();
        for (path, pointer, what) in told.into_iter().take(MAX_LEFT_OUT) {
            let message = format!("policies judged what this kustomization builds without {what}");
            let finding = Finding::warning("policy.left_out", path, message);
            self.findings.push(Finding { pointer: Some(pointer.clone()), ..finding.hint("with KUSTOMIZE_PROGRAM, what it really builds is judged") });
        }
    }

    /// What is wrong with an object already as its changed file has it, so that its overlay is not to blame.
    fn own_faults(
        &self,
        item: &Item<'_>,
        stands: bool,
        review: &Review,
        changed: &[ChangedFile],
        known: &Known<'_>,
        budget: &Budget,
    ) -> Vec<Decision> {
        let Origin::Overlay(overlaid) = item.origin else { return Vec::new() };
        if !stands || review.decisions.is_empty() {
            return Vec::new();
        }
        let file = changed.iter().find(|file| file.path == overlaid.file);
        let document = file.and_then(|file| file.after.iter().find(|document| document.index == overlaid.document));
        let Some(value) = document.and_then(|document| document.value.pointer(&overlaid.pointer)) else { return Vec::new() };
        let Ok(object) = ObjectRef::of(value) else { return Vec::new() };
        self.rules.policies.review(Subject { object: &object, new: Some(value), old: None }, known, budget).decisions
    }

    fn note(&mut self, item: &Item<'_>, review: Review, stands: bool, changed: &[ChangedFile], own: &[Decision]) {
        let Review { decisions, evaluated, annotations } = review;
        let name = item.name();
        self.evidence.policies.extend(evaluated);
        let audited = decisions.iter().filter(|decision| decision.audit).map(|decision| format!("{}: {}", decision.policy, decision.message));
        for note in annotations.into_iter().chain(audited) {
            if self.evidence.audit.len() < MAX_NOTES {
                self.evidence.audit.push(format!("{name} of {}: {note}", item.file()));
            }
        }
        for decision in decisions.into_iter().filter(|decision| decision.deny || decision.warn) {
            let severity = if decision.deny { Severity::Error } else { Severity::Warning };
            let hint = decision.error.is_some().then(|| {
                "an expression that cannot be evaluated counts as not fulfilled, by the policy's `failurePolicy: Fail`; ask whoever keeps the policy".to_owned()
            });
            let is_own = own.iter().any(|own| own.policy == decision.policy && own.message == decision.message);
            let Place { path, document, pointer, line } = match item.origin {
                Origin::File(placed) => Place::of_object(placed, stands),
                Origin::Overlay(overlaid) => Place::of_overlaid(overlaid, changed, stands, is_own),
            };
            let finding = Finding::error(&format!("policy.{}", decision.policy), path, format!("{name}: {}", decision.message));
            self.findings.push(Finding { severity, document, pointer, line, hint, ..finding });
        }
    }
}

/// What a change does beyond its limits.
pub(super) fn blast(
    files: &BTreeMap<ManifestPath, FileChange>,
    differing: &[ManifestPath],
    summary: &[ObjectChange],
    limits: ChangeLimits,
) -> Vec<Finding> {
    let Some(first) = differing.first().or_else(|| files.keys().next()) else { return Vec::new() };
    let removed = summary.iter().filter(|change| change.action == Action::Removed && change.object.is_some()).count();
    let counted = [
        ("blast.files", "changes", differing.len(), "files", limits.files, "files"),
        ("blast.objects", "touches", summary.len(), "objects", limits.objects, "objects"),
        ("blast.deletions", "removes", removed, "objects", limits.deletions, "deletions"),
    ];
    let beyond = counted.into_iter().filter(|(_, _, count, _, limit, _)| *count > usize::try_from(*limit).unwrap_or(usize::MAX));
    beyond
        .map(|(rule, does, count, what, limit, setting)| {
            let finding = Finding::error(rule, first, format!("the whole change {does} {count} {what}; {limit} are allowed at once"));
            finding.hint(format!("ask for less at a time, or raise `limits.{setting}` of the Cluster"))
        })
        .collect()
}
