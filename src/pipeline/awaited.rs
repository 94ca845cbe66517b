//! What of a request has to be in force, and which of it a delivery tool's word is about.
//! Pure: it reads the request, the inventory and the word. Whether a path's kustomization builds from a file is asked of the caller.

use crate::inventory::Inventory;
use crate::request::Request;
use crate::store::Deployment;
use crate::types::{ClusterName, DirectoryPath, ManifestPath, RepositoryName};
use std::collections::BTreeMap;

/// What has to be in force in one cluster; of no known cluster, all that the request changes.
#[derive(Debug, PartialEq)]
pub(super) struct Part {
    pub(super) cluster: Option<ClusterName>,
    pub(super) files: Vec<ManifestPath>,
}

/// How a word is about a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// A file of it lies below a path of the word, or the word says no path.
    Directly,
    /// Its cluster may be meant, and its files lie elsewhere than the word's paths, which may still build from them.
    Perhaps,
}

/// Everything of a request that has to be in force.
#[derive(Debug)]
pub(super) struct Awaited<'i> {
    inventory: &'i Inventory,
    repository: RepositoryName,
    pub(super) parts: Vec<Part>,
    /// Whether the repository has one cluster at most, so that a word that names none can only mean that.
    alone: bool,
}

impl<'i> Awaited<'i> {
    /// One part for each cluster that the request was planned for, or else that its files lie in.
    pub(super) fn of(request: &Request, repository: &RepositoryName, inventory: &'i Inventory) -> Self {
        let of_repository = || inventory.clusters.iter().filter(|(_, spec)| spec.repository == *repository);
        let (files, named) = match &request.changes {
            Some(changes) => (changes.files.as_slice(), changes.clusters.clone()),
            None => (Default::default(), Default::default()),
        };
        let mut parts: BTreeMap<&ClusterName, Vec<ManifestPath>> = BTreeMap::new();
        for (name, spec) in of_repository().filter(|(name, _)| named.contains(*name)) {
            parts.insert(name, files.iter().filter(|file| spec.path.contains(file)).cloned().collect());
        }
        if parts.is_empty() {
            for file in files {
                let over: Vec<_> = of_repository().filter(|(_, spec)| spec.path.contains(file)).collect();
                // The cluster whose directory is nearest: another's may be the whole repository.
                let nearest = over.iter().map(|(_, spec)| depth(&spec.path)).max();
                for (name, _) in over.into_iter().filter(|(_, spec)| Some(depth(&spec.path)) == nearest) {
                    parts.entry(name).or_default().push(file.clone());
                }
            }
        }
        let mut parts: Vec<Part> = parts.into_iter().map(|(name, files)| Part { cluster: Some(name.clone()), files }).collect();
        if parts.is_empty() {
            parts.push(Part { cluster: None, files: files.to_vec() });
        }
        Self { inventory, repository: repository.clone(), parts, alone: of_repository().count() <= 1 }
    }

    /// How a word is about a part; none where it is not.
    pub(super) fn about(&self, word: &Deployment, part: &Part) -> Option<About> {
        let paths = paths(word);
        let below = || paths.iter().any(|path| part.files.iter().any(|file| path.contains(file)));
        match word.cluster.as_deref().and_then(|called| self.inventory.cluster_called(called)) {
            Some((_, spec)) if spec.repository != self.repository => return None,
            Some((name, _)) if part.cluster.as_ref().is_some_and(|of| of != name) => return None,
            // Files of no cluster: only a path can say that this one builds from them.
            Some(_) if part.cluster.is_none() && word.paths.is_empty() => return None,
            None if word.paths.is_empty() && !self.alone && !word.named => return None,
            _ => {}
        }
        Some(if word.paths.is_empty() || below() { About::Directly } else { About::Perhaps })
    }
}

/// The directories a word says, as far as they can be ones of the repository.
pub(super) fn paths(word: &Deployment) -> Vec<DirectoryPath> {
    word.paths.iter().filter_map(|path| path.parse().ok()).collect()
}

/// How far below the root a directory is.
fn depth(path: &DirectoryPath) -> usize {
    if path.as_str() == "." { 0 } else { path.as_str().split('/').count() }
}
