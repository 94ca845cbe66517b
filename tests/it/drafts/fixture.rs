//! A small repository with everything a draft could reach for, and the limits of an automation on it.

use crate::support::drafts_oracle::Files;
use kubeops::automation::DraftSpec;
use kubeops::inventory::Target;
use kubeops::plan::{Answer, BaseTree, ChangeSet, EntryKind, FileChange, Guard, TreeError, Violation};
use kubeops::types::{CommitSha, UnknownKinds};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const WITHIN: &str = "clusters/prod";
const LINK: &str = "(link)";
const MODULE: &str = "(module)";

const TREE: &[(&str, &str)] = &[
    ("clusters/prod/apps/web/deployment.yaml", include_str!("tree/deployment.yaml")),
    ("clusters/prod/apps/web/config.yaml", include_str!("tree/config.yaml")),
    ("clusters/prod/apps/web/rbac.yaml", include_str!("tree/rbac.yaml")),
    ("clusters/prod/apps/web/secret.yaml", include_str!("tree/secret.yaml")),
    ("clusters/prod/apps/web/values.yaml", include_str!("tree/values.yaml")),
    ("clusters/prod/apps/shared/anchors.yaml", include_str!("tree/anchors.yaml")),
    ("clusters/prod/apps/shared/list.yaml", include_str!("tree/list.yaml")),
    ("clusters/prod/apps/shared/namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n"),
    ("clusters/prod/apps/kustom/kustomization.yaml", include_str!("tree/kustomization.yaml")),
    ("clusters/prod/apps/kustom/deployment.yaml", include_str!("tree/worker.yaml")),
    ("clusters/prod/apps/generated/kustomization.yaml", "namespace: shop\nconfigMapGenerator: [{name: made, literals: [a=b]}]\n"),
    ("clusters/prod/apps/delivery/app.yaml", include_str!("tree/application.yaml")),
    ("clusters/prod/apps/linked.yaml", LINK),
    ("clusters/prod/apps/links", LINK),
    ("clusters/prod/apps/module", MODULE),
    ("clusters/prod/apps/.hidden/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hidden, namespace: shop}\ndata: {a: b}\n"),
    ("clusters/prod/infra/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: infra, namespace: shop}\ndata: {a: b}\n"),
    ("clusters/dev/apps/web/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: dev, namespace: shop}\ndata: {a: b}\n"),
    (".github/workflows/ci.yaml", "on: push\n"),
    ("docs/runbooks/scale.md", "# Scale\n"),
];

pub fn draft() -> Value {
    json!({
        "instructions": "Do what the ticket asks for.",
        "write": ["apps/**"],
        "read": ["infra/*.yaml", "/docs/**"],
        "runbooks": ["/docs/runbooks/*.md"],
        "images": ["ghcr.io/example/*"],
        "allow": [
            {"kinds": ["Deployment"], "fields": [
                "spec.replicas", "spec.template.spec.containers[*].resources", "spec.template.spec.containers[*].image",
                "spec.template.spec.containers[*].env", "spec.strategy", "metadata.labels.*"
            ]},
            {"kinds": ["ConfigMap"], "fields": ["data"], "add": true, "remove": true},
            {"kinds": ["HorizontalPodAutoscaler.autoscaling"], "fields": ["spec.minReplicas", "spec.maxReplicas"], "add": true},
            {"kinds": ["Job"], "add": true},
            {"kinds": ["Kustomization.kustomize.config.k8s.io"], "fields": ["resources", "images[*].newTag", "images[*].newName", "replicas", "patches"]},
            {"kinds": ["none"], "fields": ["replicaCount", "image.tag", "image.repository", "resources"]},
            {"kinds": ["*"], "fields": ["metadata.annotations.*"]}
        ]
    })
}

pub fn guard() -> Guard {
    guard_of(&draft())
}

pub fn guard_of(draft: &Value) -> Guard {
    let spec: DraftSpec = serde_json::from_value(draft.clone()).expect("a spec");
    Guard::compile(&spec).unwrap_or_else(|errors| panic!("{errors:?}"))
}

pub fn target() -> Target {
    let repository = serde_json::from_value(json!({"url": "/srv/git/gitops.git"})).expect("a spec");
    Target {
        applied_within: None,
        repository: Arc::new(kubeops::inventory::Repository { name: "gitops".parse().expect("a name"), spec: repository }),
        path: WITHIN.parse().expect("a directory"),
        cluster: None,
        labels: BTreeMap::new(),
        kubernetes: Default::default(),
        unknown_kinds: UnknownKinds::Warn,
        schemas: Vec::new(),
        limits: Default::default(),
        sealing: None,
    }
}

/// The repository in memory.
pub struct Tree(CommitSha, Files);

impl Tree {
    pub fn new() -> Self {
        let mut files: Files = TREE.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let lines: String = (0..400).map(|number| format!("  line-{number:03}: {}\n", "x".repeat(40))).collect();
        let large = format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: large\n  namespace: shop\ndata:\n{lines}");
        files.insert("clusters/prod/apps/large.yaml".to_owned(), large);
        Self(CommitSha::from_bytes(&[1; 20]), files)
    }

    /// With other files beside its own.
    pub fn with(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::new();
        tree.1.extend(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
        tree
    }

    /// All that is in it: a path, and the text of a regular file.
    pub fn entries(&self) -> impl Iterator<Item = (&str, Entry<'_>)> {
        self.1.iter().map(|(path, text)| {
            let entry = match text.as_str() {
                LINK => Entry::Link,
                MODULE => Entry::Module,
                text => Entry::File(text),
            };
            (path.as_str(), entry)
        })
    }

    /// Its files as texts, without what is none.
    pub fn files(&self) -> Files {
        self.1.iter().filter(|(_, text)| *text != LINK && *text != MODULE).map(|(path, text)| (path.clone(), text.clone())).collect()
    }

    /// The files after a change.
    pub fn after(&self, change: &ChangeSet) -> Files {
        let mut files = self.files();
        for (path, change) in &change.files {
            match change {
                FileChange::Write(bytes) => drop(files.insert(path.to_string(), String::from_utf8(bytes.clone()).expect("UTF-8"))),
                FileChange::Remove => drop(files.remove(path.as_str())),
            }
        }
        files
    }
}

impl BaseTree for Tree {
    fn commit(&self) -> &CommitSha {
        &self.0
    }

    fn entry(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        let is_directory = || self.1.keys().any(|other| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')));
        Ok(match self.1.get(path).map(String::as_str) {
            Some(LINK) => Some(EntryKind::Symlink),
            Some(MODULE) => Some(EntryKind::Submodule),
            Some(_) => Some(EntryKind::File),
            None => is_directory().then_some(EntryKind::Directory),
        })
    }

    fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        Ok(self.1.get(path).filter(|text| *text != LINK && *text != MODULE).map(|text| text.clone().into_bytes()))
    }

    fn spellings(&self, path: &str) -> Result<Vec<String>, TreeError> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let names = self.names(directory)?.into_iter().map(|name| name.trim_end_matches('/').to_owned());
        Ok(names.filter(|other| other.eq_ignore_ascii_case(name)).collect())
    }

    fn names(&self, directory: &str) -> Result<Vec<String>, TreeError> {
        let inside = |path: &String| {
            let rest = if directory.is_empty() { path.as_str() } else { path.strip_prefix(directory)?.strip_prefix('/')? };
            Some(rest.split_once('/').map_or(rest.to_owned(), |(name, _)| format!("{name}/")))
        };
        let mut names: Vec<String> = self.1.keys().filter_map(inside).collect();
        names.dedup();
        Ok(names)
    }
}

/// Something that a tree holds.
pub enum Entry<'t> {
    File(&'t str),
    Link,
    Module,
}

/// What becomes of an answer as it came: unread, refused, or a change.
pub enum Outcome {
    Unread(String),
    Refused(Vec<Violation>),
    Change(ChangeSet),
}

pub fn play(guard: &Guard, tree: &Tree, answer: &Value) -> Outcome {
    match Answer::parse(answer) {
        Err(error) => Outcome::Unread(error.to_string()),
        Ok(answer) => match guard.change(&answer, &target(), tree).expect("the tree can be read") {
            Ok(change) => Outcome::Change(change),
            Err(violations) => Outcome::Refused(violations),
        },
    }
}
