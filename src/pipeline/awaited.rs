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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Changes, RequestKey};
    use crate::store::DeploymentStanding;
    use crate::types::{EventId, RequestId, Timestamp};
    use serde_json::json;
    use std::sync::Arc;

    fn inventory(clusters: &[(&str, &str)]) -> Inventory {
        let spec = |path: &str| Arc::new(serde_json::from_value(json!({ "repository": "gitops", "path": path })).expect("a spec"));
        let clusters = clusters.iter().map(|(name, path)| (name.parse().expect("a name"), spec(path))).collect();
        Inventory { clusters, ..Inventory::default() }
    }

    fn request(files: &[&str], clusters: &[&str]) -> Request {
        let now = Timestamp::from_unix_millis(0);
        let event =
            json!({ "id": EventId::from_parts(now, 1), "delivery": null, "source": null, "type": "x", "subject": "x", "time": now, "data": null });
        let key = RequestKey { automation: "replicas".parse().expect("a name"), correlation: "x".to_owned(), generation: 1 };
        let changes: Changes =
            serde_json::from_value(json!({ "files": files, "objects": [], "cut": false, "evidence": crate::validate::Evidence::default(), "first": null, "clusters": clusters }))
                .expect("changes");
        let opened = Request::opened(&RequestId::from_parts(now, 1), &key, serde_json::from_value(event).expect("an event"), now);
        Request { changes: Some(changes), ..opened }
    }

    fn word(cluster: Option<&str>, paths: &[&str], named: bool) -> Deployment {
        Deployment {
            repository: "gitops".parse().expect("a name"),
            application: "web".to_owned(),
            cluster: cluster.map(str::to_owned),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            named,
            revision: "1".repeat(40).parse().expect("a commit"),
            standing: DeploymentStanding::Applied,
            message: None,
            at: Timestamp::from_unix_millis(0),
        }
    }

    /// The clusters of the parts, and how a word is about each.
    fn seen(clusters: &[(&str, &str)], request: &Request, word: &Deployment) -> Vec<(String, Option<About>)> {
        let inventory = inventory(clusters);
        let awaited = Awaited::of(request, &"gitops".parse().expect("a name"), &inventory);
        let name = |part: &Part| part.cluster.as_ref().map_or("-".to_owned(), ToString::to_string);
        awaited.parts.iter().map(|part| (name(part), awaited.about(word, part))).collect()
    }

    #[test]
    fn a_request_waits_for_the_clusters_it_was_planned_for_else_for_the_nearest_above_its_files() {
        let shared = [("eu", "clusters/all"), ("us", "clusters/all"), ("hub", ".")];
        let said = |request: &Request, cluster: &str| seen(&shared, request, &word(Some(cluster), &[], false));
        let direct = |name: &str| (name.to_owned(), Some(About::Directly));
        let planned = request(&["clusters/all/a.yaml"], &["eu"]);
        assert_eq!(said(&planned, "eu"), [direct("eu")]);
        assert_eq!(said(&planned, "us"), [("eu".to_owned(), None)], "the same files, and another cluster");
        let by_files = request(&["clusters/all/a.yaml"], &[]);
        assert_eq!(said(&by_files, "us"), [("eu".to_owned(), None), direct("us")]);
        assert_eq!(said(&request(&["README/a.yaml"], &[]), "hub"), [direct("hub")]);
    }

    #[test]
    fn a_word_without_a_known_cluster_counts_by_its_paths_or_its_name_or_where_there_is_one_cluster() {
        let (one, two) = ([("eu", "clusters/eu")], [("eu", "clusters/eu"), ("us", "clusters/us")]);
        let planned = request(&["clusters/eu/web/a.yaml"], &["eu"]);
        let about = |clusters: &[(&str, &str)], word: &Deployment| seen(clusters, &planned, word)[0].1;
        for cluster in [None, Some("https://kubernetes.default.svc")] {
            assert_eq!(about(&one, &word(cluster, &[], false)), Some(About::Directly));
            assert_eq!(about(&two, &word(cluster, &[], false)), None);
            assert_eq!(about(&two, &word(cluster, &[], true)), Some(About::Directly));
            assert_eq!(about(&two, &word(cluster, &["./clusters/eu/web/"], false)), Some(About::Directly));
            assert_eq!(about(&two, &word(cluster, &["clusters/eu/we"], true)), Some(About::Perhaps));
        }
        assert_eq!(about(&two, &word(Some("us"), &["clusters/eu/web"], true)), None);
    }

    #[test]
    fn files_of_no_cluster_are_reached_by_paths_alone_where_a_word_names_a_cluster() {
        let clusters = [("eu", "clusters/eu")];
        let base = request(&["base/web/a.yaml"], &[]);
        let about = |word: &Deployment| seen(&clusters, &base, word);
        assert_eq!(about(&word(Some("eu"), &[], false)), [("-".to_owned(), None)]);
        assert_eq!(about(&word(Some("eu"), &["clusters/eu/web"], false)), [("-".to_owned(), Some(About::Perhaps))]);
        assert_eq!(about(&word(Some("eu"), &["base"], false)), [("-".to_owned(), Some(About::Directly))]);
    }
}
