//! The overlays below a target, each with every file it is built from.

use super::kustomize::directory_of;
use super::{Stage, Staged};
use crate::manifest::{Kustomization, PatchContent, resolve_reference};
use crate::plan::{BaseTree, EntryKind, FileChange, PlanError, TreeError};
use crate::types::{DirectoryPath, ErrorClass, ManifestPath};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Files of one overlay, at most.
const MAX_FILES: usize = 2_000;

/// A kustomization nobody else below the target builds from.
#[derive(Debug, Default)]
pub(in crate::plan) struct Overlay {
    /// Every file it is built from, its own and those of what it builds on.
    pub(in crate::plan) files: BTreeMap<String, Vec<u8>>,
    /// What it builds from that is not in the repository.
    pub(in crate::plan) elsewhere: Vec<String>,
    /// What it builds from that is to be in the repository, and is not.
    pub(in crate::plan) missing: Vec<String>,
}

impl<'b> Staged<'b> {
    /// The tree with a change on top.
    pub(in crate::plan) fn changed(base: &'b dyn BaseTree, within: &'b DirectoryPath, files: &BTreeMap<ManifestPath, FileChange>) -> Self {
        let mut staged = Self::new(base, within);
        for (path, file) in files {
            let stage = match file {
                FileChange::Write(bytes) => Stage::Written(bytes.clone()),
                FileChange::Remove => Stage::Removed,
            };
            staged.files.insert(path.clone(), stage);
        }
        staged
    }

    /// The overlays below the target by their directories.
    pub(in crate::plan) fn overlays(&mut self) -> Result<BTreeMap<String, Overlay>, TreeError> {
        let read = |error: PlanError| match error {
            PlanError::Tree(error) => error,
            error => TreeError { message: error.to_string(), class: ErrorClass::Permanent },
        };
        let mut overlays = BTreeMap::new();
        for root in self.roots().map_err(read)? {
            let mut overlay = Overlay::default();
            self.gather(&root, &mut BTreeSet::new(), &mut overlay).map_err(read)?;
            overlays.insert(directory_of(&root).to_owned(), overlay);
        }
        Ok(overlays)
    }

    /// The bytes of a file of any kind, as it is now.
    pub(super) fn content(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        match path.parse::<ManifestPath>() {
            Ok(path) if self.files.contains_key(&path) => Ok(self.text(&path)?.map(String::into_bytes)),
            _ => self.base.bytes(path),
        }
    }

    fn gather(&mut self, path: &ManifestPath, seen: &mut BTreeSet<ManifestPath>, overlay: &mut Overlay) -> Result<(), PlanError> {
        if !seen.insert(path.clone()) || overlay.files.len() > MAX_FILES {
            return Ok(());
        }
        let Some(text) = self.text(path)? else { return Ok(()) };
        overlay.files.insert(path.to_string(), text.into_bytes());
        let Some(value) = self.kustomization(path)? else { return Ok(()) };
        let directory = directory_of(path).to_owned();
        for (_, resource) in Kustomization::of(&value).resources() {
            match resolve_reference(&directory, resource) {
                Some(local) if self.is_there(&local)?.is_some() => {}
                // `github.com/org/repository//path` has no scheme.
                Some(_) if !resource.contains("//") && !names_a_host(resource) => overlay.missing.push(resource.to_owned()),
                _ => overlay.elsewhere.push(resource.to_owned()),
            }
        }
        for patch in Kustomization::of(&value).patches() {
            if let PatchContent::File(file) = patch.content
                && let Some(local) = resolve_reference(&directory, file)
                && self.is_there(&local)?.is_none()
            {
                overlay.missing.push(file.to_owned());
            }
        }
        overlay.elsewhere.extend(remote(&value));
        let mut texts = Vec::new();
        strings(&value, &mut texts);
        for text in texts {
            let reference = text.rsplit_once('=').map_or(text.as_str(), |(_, path)| path);
            let Some(local) = resolve_reference(&directory, reference).filter(|local| !local.is_empty()) else { continue };
            match self.is_there(&local)? {
                Some(EntryKind::File | EntryKind::Executable) => {
                    if let Some(bytes) = self.content(&local)? {
                        overlay.files.insert(local, bytes);
                    }
                }
                Some(EntryKind::Directory) => {
                    if let Some(inner) = self.kustomization_in(&local)? {
                        self.gather(&inner, seen, overlay)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a reference begins as the name of a machine does.
fn names_a_host(reference: &str) -> bool {
    reference.split_once('/').is_some_and(|(first, _)| first.contains('.') && !first.starts_with('.'))
}

/// What a kustomization would fetch, run, or read from elsewhere besides its resources: all this is left alone.
fn remote(value: &Value) -> Vec<String> {
    const PROGRAMS: [&str; 6] = ["generators", "transformers", "validators", "helmCharts", "helmChartInflationGenerator", "openapi"];
    let mut found: Vec<String> = PROGRAMS.into_iter().filter(|field| value.get(field).is_some()).map(str::to_owned).collect();
    const FILES: [&str; 8] =
        ["patches", "patchesStrategicMerge", "patchesJson6902", "replacements", "configMapGenerator", "secretGenerator", "configurations", "crds"];
    let mut texts = Vec::new();
    FILES.into_iter().filter_map(|field| value.get(field)).for_each(|value| strings(value, &mut texts));
    // A literal may hold an address; whoever writes one into a generator's literals loses the evidence, not more.
    found.extend(texts.into_iter().filter(|text| text.contains("://")));
    found
}

/// Every text on one line: any of them may name a file.
fn strings(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() <= 1024 && !text.contains('\n') && !text.contains(' ') => into.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
        Value::Object(fields) => fields.values().for_each(|value| strings(value, into)),
        _ => {}
    }
}
