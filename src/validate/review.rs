//! The objects of a change as policies see them: each new state beside the one in the base, wherever in the changed files it stood;
//! and how much a change does in all.

use super::policy::{Budget, Namespaces, Review, STEPS_OF_A_CHANGE, Subject};
use super::{Finding, Gate, Severity, kustomize};
use crate::inventory::ChangeLimits;
use crate::manifest::{Action, Document, Limits, ObjectChange, ObjectRef, flatten, parse};
use crate::plan::{BaseTree, FileChange, TreeError};
use crate::types::{DirectoryPath, ManifestPath};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

/// Notes of policies that the evidence keeps, at most.
const MAX_NOTES: usize = 200;

/// One file that differs: its documents before and after.
pub(super) struct ChangedFile {
    pub(super) path: ManifestPath,
    pub(super) before: Vec<Document>,
    pub(super) after: Vec<Document>,
}

/// Group, kind, namespace and name.
type Key = (String, String, Option<String>, String);

/// An object and where it stands.
struct Placed<'a> {
    path: &'a ManifestPath,
    document: &'a Document,
    pointer: String,
    value: &'a Value,
    object: ObjectRef,
}

impl Placed<'_> {
    fn key(&self) -> Key {
        let (group, kind, namespace, name) = self.object.key();
        (group.to_owned(), kind.to_owned(), namespace.map(str::to_owned), name.to_owned())
    }
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

impl Gate<'_> {
    /// Holds every object that changes against the policies in force. An object that stays as it is was not made by this change.
    pub(super) fn review(&mut self, changed: &[ChangedFile]) -> Result<(), TreeError> {
        if self.rules.policies.is_empty() {
            return Ok(());
        }
        let before: Vec<Placed<'_>> = changed.iter().flat_map(|file| objects(&file.path, &file.before)).collect();
        let after: Vec<Placed<'_>> = changed.iter().flat_map(|file| objects(&file.path, &file.after)).collect();
        let old: HashMap<Key, &Placed<'_>> = before.iter().map(|placed| (placed.key(), placed)).collect();
        let new: HashMap<Key, &Placed<'_>> = after.iter().map(|placed| (placed.key(), placed)).collect();
        let known = Known::new(self.base, &self.rules.within, &before, &after);
        let budget = Budget::new(STEPS_OF_A_CHANGE);
        let mut patches = BTreeMap::new();
        let written = after.iter().map(|placed| (placed, Some(placed.value), old.get(&placed.key()).map(|old| old.value)));
        let gone = before.iter().filter(|placed| !new.contains_key(&placed.key())).map(|placed| (placed, None, Some(placed.value)));
        for (placed, new, old) in written.chain(gone) {
            if new == old {
                continue;
            }
            let review = self.rules.policies.review(Subject { object: &placed.object, new, old }, &known, &budget);
            if review == Review::default() {
                continue;
            }
            // A patch is a part of an object: what becomes of the whole is not known here.
            let is_patch = match patches.get(placed.path) {
                Some(known) => *known,
                None => *patches.entry(placed.path).or_insert(kustomize::is_patch(placed.path, self.all, self.base)?),
            };
            if !is_patch {
                self.note(placed, review, new.is_some());
            }
        }
        known.failed.into_inner().map_or(Ok(()), Err)
    }

    fn note(&mut self, placed: &Placed<'_>, review: Review, stands: bool) {
        let Review { decisions, evaluated, annotations } = review;
        self.evidence.policies.extend(evaluated);
        let audited = decisions.iter().filter(|decision| decision.audit).map(|decision| format!("{}: {}", decision.policy, decision.message));
        for note in annotations.into_iter().chain(audited) {
            if self.evidence.audit.len() < MAX_NOTES {
                self.evidence.audit.push(format!("{} of {}: {note}", placed.object, placed.path));
            }
        }
        for decision in decisions.into_iter().filter(|decision| decision.deny || decision.warn) {
            let severity = if decision.deny { Severity::Error } else { Severity::Warning };
            let hint = decision.error.is_some().then(|| {
                "an expression that cannot be evaluated counts as not fulfilled, by the policy's `failurePolicy: Fail`; ask whoever keeps the policy".to_owned()
            });
            let finding = Finding::error(&format!("policy.{}", decision.policy), placed.path, format!("{}: {}", placed.object, decision.message));
            self.findings.push(Finding {
                severity,
                document: stands.then_some(placed.document.index),
                pointer: stands.then(|| placed.pointer.clone()),
                line: stands.then(|| placed.document.positions.line(&placed.pointer)),
                hint,
                ..finding
            });
        }
    }
}

/// The namespaces that are known: those of the changed files, and those whose file in the base stands where namespaces are kept.
struct Known<'a> {
    base: &'a dyn BaseTree,
    found: RefCell<BTreeMap<String, Option<Value>>>,
    directories: Vec<String>,
    failed: RefCell<Option<TreeError>>,
}

impl<'a> Known<'a> {
    fn new(base: &'a dyn BaseTree, within: &DirectoryPath, before: &[Placed<'_>], after: &[Placed<'_>]) -> Self {
        let namespaces = before.iter().chain(after).filter(|placed| placed.object.group().is_empty() && placed.object.kind == "Namespace");
        // What the change leaves comes after what it found.
        let found = namespaces.map(|placed| (placed.object.name.clone(), Some(placed.value.clone()))).collect();
        let root = if *within == DirectoryPath::root() { "" } else { within.as_str() };
        let below = |directory: &&str| root.is_empty() || directory.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let above = before.iter().chain(after).flat_map(|placed| placed.path.ancestors()).filter(below);
        let mut directories: Vec<String> = above.chain([root]).map(str::to_owned).collect();
        // Those nearest to the objects first.
        directories.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        directories.dedup();
        Self { base, found: RefCell::new(found), directories, failed: RefCell::new(None) }
    }

    fn look(&self, name: &str) -> Result<Option<Value>, TreeError> {
        for directory in &self.directories {
            for file in [
                "namespace.yaml".to_owned(),
                "namespaces.yaml".to_owned(),
                format!("{name}.yaml"),
                format!("namespaces/{name}.yaml"),
                format!("{name}/namespace.yaml"),
            ] {
                let whole = if directory.is_empty() { file } else { format!("{directory}/{file}") };
                let Ok(path) = whole.parse::<ManifestPath>() else { continue };
                let Some(bytes) = self.base.read(&path)? else { continue };
                let documents = String::from_utf8(bytes).ok().and_then(|text| parse(&text, Limits::default()).ok()).unwrap_or_default();
                let is_it = |placed: &Placed<'_>| placed.object.group().is_empty() && placed.object.kind == "Namespace" && placed.object.name == name;
                if let Some(found) = objects(&path, &documents).into_iter().find(is_it) {
                    return Ok(Some(found.value.clone()));
                }
            }
        }
        Ok(None)
    }
}

impl Namespaces for Known<'_> {
    fn namespace(&self, name: &str) -> Option<Value> {
        if let Some(found) = self.found.borrow().get(name) {
            return found.clone();
        }
        let looked = self.look(name).unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            None
        });
        self.found.borrow_mut().insert(name.to_owned(), looked.clone());
        looked
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
