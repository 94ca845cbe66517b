//! An object found by its name in whichever file below the target it stands, with the kustomizations that build it.

use super::fields::called;
use super::{LISTED, Staged};
use crate::manifest::{Kustomization, Limits, Mentions, ObjectAddress, ObjectRef, flatten, is_kustomization, parse};
use crate::plan::PlanError;
use crate::types::{ManifestPath, listed, nearest};
use std::collections::{BTreeMap, BTreeSet};

/// Objects that are read to say which there are, at most.
const MAX_CANDIDATES: usize = 2_000;
/// Files that could not be read and are named, at most.
const MAX_UNREAD: usize = 5;

/// Where an object stands.
#[derive(Debug, Clone)]
pub(in crate::plan) struct Found {
    /// Its file.
    pub(in crate::plan) path: ManifestPath,
    /// The object as it is written there.
    pub(in crate::plan) object: ObjectRef,
    /// What was asked for.
    pub(super) asked: ObjectAddress,
    /// The kustomizations below the target that build it, outermost first.
    pub(super) chain: Vec<ManifestPath>,
}

impl Found {
    /// Its address within its file, with its group: another group may have an object of the same kind and name there.
    pub(in crate::plan) fn address(&self) -> ObjectAddress {
        ObjectAddress::exactly(&self.object)
    }
}

/// A file that may hold the object, and who builds it.
struct Candidate {
    path: ManifestPath,
    chain: Vec<ManifestPath>,
}

impl Staged<'_> {
    /// The one object of this name; none when there is none.
    pub(in crate::plan) fn find(&mut self, address: &ObjectAddress) -> Result<Option<Found>, PlanError> {
        let mut found: Vec<Found> = Vec::new();
        for candidate in self.candidates(Some(address))? {
            found.extend(self.matches(&candidate, address)?);
        }
        match found.as_slice() {
            [] => Ok(None),
            [_] => Ok(found.pop()),
            several => {
                let places: Vec<String> = several.iter().map(Found::place).collect();
                let groups: BTreeSet<String> = several.iter().map(|found| address.in_group_of(&found.object).to_string()).collect();
                let apart = if groups.len() == several.len() {
                    format!("name it with its group ({}), the `file`", groups.into_iter().collect::<Vec<_>>().join(", "))
                } else {
                    "name the `file`".to_owned()
                };
                let message = format!("{address} stands in more than one place: {}; {apart}, or a target that is narrower", listed(&places, LISTED));
                Err(PlanError::Object(message))
            }
        }
    }

    /// Why there is no such object, with those that come nearest.
    pub(in crate::plan) fn not_found(&mut self, address: &ObjectAddress) -> Result<PlanError, PlanError> {
        let mut names: BTreeMap<String, bool> = BTreeMap::new();
        let mut unread: Vec<String> = Vec::new();
        for candidate in self.candidates(None)?.into_iter().take(MAX_CANDIDATES) {
            let Some(text) = self.text(&candidate.path)? else { continue };
            let Ok(documents) = parse(&text, Limits::default()) else {
                unread.push(candidate.path.to_string());
                continue;
            };
            for object in documents.iter().flat_map(|document| flatten(&document.value)).filter_map(|(_, value)| ObjectRef::of(value).ok()) {
                let shown = self.as_built(&candidate.chain, &object)?;
                names.insert(ObjectAddress::of(&shown).to_string(), address.is_of_kind(&object));
            }
        }
        let wanted = address.to_string();
        let near = nearest(&wanted, names.keys().map(String::as_str)).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        let same: Vec<String> = names.iter().filter(|(_, same)| **same).map(|(name, _)| name.clone()).collect();
        let kinds = if same.is_empty() { names.into_keys().collect() } else { same };
        let there = if kinds.is_empty() { "; no object is there at all".to_owned() } else { format!("; there are: {}", listed(&kinds, LISTED)) };
        unread.dedup();
        let unread = match unread.as_slice() {
            [] => String::new(),
            [one] => format!(" ({one} could not be read as YAML)"),
            [first @ .., _] if first.len() < MAX_UNREAD => format!(" ({} could not be read as YAML)", unread.join(", ")),
            many => format!(" ({} and {} more files could not be read as YAML)", many[..MAX_UNREAD].join(", "), many.len() - MAX_UNREAD),
        };
        Ok(PlanError::Object(format!("there is no {wanted} below {}{near}{there}{unread}", self.within)))
    }

    /// The first of these objects that stands in some file now, and in which: in `path`, or, where its own namespace makes it the same
    /// object wherever it stands, in any file below the target. None of them is to be in `path` when it is asked for.
    pub(in crate::plan) fn standing(&mut self, objects: &[ObjectRef], path: &ManifestPath) -> Result<Option<(ObjectRef, ManifestPath)>, PlanError> {
        let mut places = vec![path.clone()];
        if objects.iter().any(is_the_same_anywhere) {
            places.extend(self.manifests()?.into_iter().filter(|place| place != path));
        }
        for place in places {
            let mut wanted = objects.iter().filter(|object| place == *path || is_the_same_anywhere(object));
            if !wanted.clone().any(|object| self.may_hold(&place, &object.kind, Some(&object.name))) || self.is_patch_file(&place)? {
                continue;
            }
            let Some(text) = self.text(&place)? else { continue };
            if !wanted.clone().any(|object| Mentions::of(&text).may_hold(&object.kind, Some(&object.name))) {
                continue;
            }
            let Ok(documents) = parse(&text, Limits::default()) else { continue };
            let there: Vec<ObjectRef> =
                documents.iter().flat_map(|document| flatten(&document.value)).filter_map(|(_, value)| ObjectRef::of(value).ok()).collect();
            if let Some(object) = wanted.find(|object| there.iter().any(|there| there.is_same(object))) {
                return Ok(Some((object.clone(), place)));
            }
        }
        Ok(None)
    }

    /// Every file below the target that may hold the object, once for each way in which it is built.
    fn candidates(&mut self, wanted: Option<&ObjectAddress>) -> Result<Vec<Candidate>, PlanError> {
        let built = self.built()?;
        let mut candidates = Vec::new();
        for path in self.manifests()? {
            let may_hold = wanted.is_none_or(|address| self.may_hold(&path, address.kind(), Some(address.name())));
            if may_hold && !built.contains_key(&path) && !is_kustomization(&path) && !self.is_patch_file(&path)? {
                candidates.push(Candidate { path, chain: Vec::new() });
            }
        }
        candidates.extend(built.into_iter().flat_map(|(path, chains)| chains.into_iter().map(move |chain| Candidate { path: path.clone(), chain })));
        Ok(candidates)
    }

    /// The objects of a file that the address names.
    fn matches(&mut self, candidate: &Candidate, address: &ObjectAddress) -> Result<Vec<Found>, PlanError> {
        // Most files say neither name nor kind, and need not be read, or not be parsed. A prefix of Kustomize's is not in the file.
        // A Namespace may be called as its kustomization's `namespace`.
        let name = if address.kind() == "Namespace" || self.renames(&candidate.chain)? { None } else { Some(address.name()) };
        if !self.may_hold(&candidate.path, address.kind(), name) {
            return Ok(Vec::new());
        }
        let Some(text) = self.text(&candidate.path)? else { return Ok(Vec::new()) };
        if !Mentions::of(&text).may_hold(address.kind(), name) {
            return Ok(Vec::new());
        }
        let Ok(documents) = parse(&text, Limits::default()) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for object in documents.iter().flat_map(|document| flatten(&document.value)).filter_map(|(_, value)| ObjectRef::of(value).ok()) {
            let as_built = self.as_built(&candidate.chain, &object)?;
            if address.names(&object) || address.names(&as_built) {
                found.push(Found { path: candidate.path.clone(), object, asked: address.clone(), chain: candidate.chain.clone() });
            }
        }
        Ok(found)
    }

    /// Whether one of the kustomizations gives its objects other names.
    pub(super) fn renames(&mut self, chain: &[ManifestPath]) -> Result<bool, PlanError> {
        for path in chain {
            if self.kustomization(path)?.is_some_and(|value| !Kustomization::of(&value).renamed("").is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The object with the name and namespace that its kustomizations give it.
    pub(super) fn as_built(&mut self, chain: &[ManifestPath], object: &ObjectRef) -> Result<ObjectRef, PlanError> {
        let mut built = object.clone();
        for path in chain.iter().rev() {
            if let Some(value) = self.kustomization(path)? {
                built = called(Kustomization::of(&value), &built);
            }
        }
        Ok(built)
    }
}

/// Whether an object says all that makes it the one it is: no kustomization puts it into a namespace.
fn is_the_same_anywhere(object: &ObjectRef) -> bool {
    object.namespace.is_some() || object.is_cluster_scoped() == Some(true)
}

impl Found {
    fn place(&self) -> String {
        match self.chain.first() {
            Some(kustomization) => format!("{} (built by {kustomization})", self.path),
            None => self.path.to_string(),
        }
    }
}
