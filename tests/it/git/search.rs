//! Objects looked for by their names in a real repository of many manifests.

use crate::support::upstream::UpstreamRepo;
use kubeops::automation::AutomationSpec;
use kubeops::event::Event;
use kubeops::git::{Libgit2, Mirror, Mirrors, RemoteSpec};
use kubeops::inventory::{Inventory, Repository};
use kubeops::plan::{BaseTree, FileChange, Inputs, Placeholders, PlanError, Recipe};
use kubeops::render::Catalogue;
use kubeops::types::{CommitSha, EventId, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

fn manifest(name: &str, replicas: usize) -> String {
    format!("apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  replicas: {replicas} # as asked\n")
}

fn commit(files: &[(String, String)]) -> String {
    let mut stream =
        String::from("commit refs/heads/main\ncommitter Seed <seed@example.com> 1700000001 +0000\ndata 4\nmore\nfrom refs/heads/main^0\n");
    for (path, content) in files {
        stream.push_str(&format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len()));
    }
    stream
}

/// So many manifests, a hundred to a directory; every other directory is built by a kustomization.
fn many(count: usize) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for directory in 0..count / 100 {
        let place = format!("clusters/prod/teams/t{}/apps/d{directory}", directory % 20);
        let names: Vec<String> = (0..100).map(|file| format!("web-{directory}-{file}")).collect();
        files.extend(names.iter().map(|name| (format!("{place}/{name}.yaml"), manifest(name, 2))));
        if directory % 2 == 0 {
            let resources: String = names.iter().map(|name| format!("- {name}.yaml\n")).collect();
            files.push((format!("{place}/kustomization.yaml"), format!("resources:\n{resources}")));
        }
    }
    files
}

struct Place {
    upstream: UpstreamRepo,
    mirror: Arc<Mirror>,
    base: CommitSha,
}

impl Place {
    fn of(files: &[(String, String)]) -> Self {
        let upstream = UpstreamRepo::new();
        upstream.fast_import(&commit(files));
        let mirrors = Mirrors::new(upstream.scratch("mirrors"), Arc::new(Libgit2::default())).expect("a directory");
        let url = format!("file://{}", upstream.path().display()).parse().expect("an address");
        let mirror = mirrors.get(&RemoteSpec::new("gitops".parse().expect("a name"), url, "main".parse().expect("a branch")));
        let base = mirror.fetch().expect("fetched");
        Self { upstream, mirror, base }
    }

    fn goes_on(&mut self, files: &[(String, String)]) {
        self.upstream.fast_import(&commit(files));
        self.base = self.mirror.fetch().expect("fetched");
    }

    fn edit(&self, object: &str, replicas: usize) -> Result<BTreeMap<String, String>, PlanError> {
        let base = self.mirror.snapshot(&self.base).expect("a snapshot");
        let spec = json!({
            "on": {"source": "s"}, "target": {"repository": "gitops", "path": "clusters/prod"}, "pullRequest": {"title": "t"},
            "edit": [{"object": object, "set": {"spec.replicas": replicas.to_string()}}],
        });
        planned(spec, &base)
    }
}

fn planned(spec: Value, base: &dyn BaseTree) -> Result<BTreeMap<String, String>, PlanError> {
    let nothing = Arc::new(Catalogue::from_files([]).unwrap_or_else(|_| panic!("an empty catalogue")));
    let spec: AutomationSpec = serde_json::from_value(spec).expect("a spec");
    let recipe = Recipe::compile(&spec, &nothing).unwrap_or_else(|errors| panic!("{errors:?}"));
    let event = Event {
        id: EventId::from_parts(Timestamp::from_unix_millis(0), 0),
        delivery: None,
        source: None,
        traceparent: None,
        kind: "test.edit".parse().expect("a type"),
        subject: String::new(),
        time: Timestamp::from_unix_millis(0),
        data: Value::Null,
    };
    let repository =
        Repository { name: "gitops".parse().expect("a name"), spec: serde_json::from_value(json!({"url": "/srv/gitops"})).expect("a spec") };
    let inventory = Inventory { repositories: [(repository.name.clone(), Arc::new(repository))].into(), ..Inventory::default() };
    let inputs = Inputs { event: &event, parameters: &Map::new() };
    let target = recipe.target(inputs, &inventory).expect("a target");
    let change = recipe.change(inputs, &target, base, &*nothing, &Placeholders)?;
    let text = |change| match change {
        FileChange::Write(bytes) => String::from_utf8(bytes).expect("UTF-8"),
        FileChange::Remove => "(removed)".to_owned(),
    };
    Ok(change.files.into_iter().map(|(path, change)| (path.to_string(), text(change))).collect())
}

#[test]
fn what_is_found_is_what_the_commit_holds_and_not_what_an_earlier_one_held() {
    let mut place = Place::of(&many(300));
    let path = "clusters/prod/teams/t1/apps/d1/web-1-7.yaml";
    let changed = place.edit("Deployment/shop/web-1-7", 3).expect("a change");
    assert_eq!(changed, BTreeMap::from([(path.to_owned(), manifest("web-1-7", 3))]));
    // It moves, is renamed, and its old place says something else.
    place.goes_on(&[(path.to_owned(), manifest("other", 2)), ("clusters/prod/new/web.yaml".to_owned(), manifest("web-1-7", 5))]);
    let changed = place.edit("Deployment/shop/web-1-7", 3).expect("a change");
    assert_eq!(changed.keys().collect::<Vec<_>>(), ["clusters/prod/new/web.yaml"]);
    assert_eq!(place.edit("Deployment/shop/other", 3).expect("a change").keys().collect::<Vec<_>>(), [path]);
    // A prefix that a kustomization gives is none of the file's.
    place.goes_on(&[("clusters/prod/teams/t1/apps/d1/kustomization.yaml".to_owned(), "namePrefix: eu-\nresources: [web-1-7.yaml]\n".to_owned())]);
    assert_eq!(place.edit("Deployment/shop/eu-other", 3).expect("a change").keys().collect::<Vec<_>>(), [path]);
    // A name that is written with escapes is the name all the same.
    place.goes_on(&[("clusters/prod/new/web.yaml".to_owned(), manifest("\"web\\x2d1\\x2d7\"", 6))]);
    assert_eq!(place.edit("Deployment/shop/web-1-7", 3).expect("a change").len(), 1);
    let error = place.edit("Deployment/shop/web-9-9", 3).expect_err("refused").to_string();
    assert!(error.contains("there is no Deployment/shop/web-9-9 below clusters/prod; did you mean Deployment/shop/web-"), "{error}");
}
