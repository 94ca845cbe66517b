//! Edits of an automation on a tree in memory.

mod builds;
mod inverses;
mod operations;
mod outcomes;
mod overlays;
mod removals;
mod sealed;

use super::*;
use crate::automation::AutomationSpec;
use crate::event::Event;
use crate::inventory::{Repository, Target};
use crate::render::{Catalogue, RenderJob, Renderer};
use crate::types::{DirectoryPath, EventId, SpecError, Timestamp, UnknownKinds};
use serde_json::{Map, Value, json};
use std::sync::Arc;

struct Files(CommitSha, BTreeMap<String, String>);

impl Files {
    fn of(files: &[(&str, &str)]) -> Self {
        Self(CommitSha::from_bytes(&[1; 20]), files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }
}

impl BaseTree for Files {
    fn commit(&self) -> &CommitSha {
        &self.0
    }

    fn entry(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        let directory =
            || self.1.keys().any(|other| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))).then_some(EntryKind::Directory);
        Ok(self.1.get(path).map(|text| if text == "link" { EntryKind::Symlink } else { EntryKind::File }).or_else(directory))
    }

    fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        Ok(self.1.get(path).filter(|text| *text != "link").map(|text| text.clone().into_bytes()))
    }

    fn spellings(&self, _: &str) -> Result<Vec<String>, TreeError> {
        Ok(Vec::new())
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

/// What stands in the place of a text for a file that goes.
const REMOVED: &str = "(removed)";

/// What one operation on one object comes to, in the files of `base`: the paths that changed with their texts.
fn edited(edit: Value, base: &Files) -> BTreeMap<String, String> {
    change(&json!([edit]), json!({"app": "web", "replicas": 6}), base).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(edit: Value, base: &Files) -> String {
    change(&json!([edit]), json!({"app": "web", "replicas": 6}), base).expect_err("refused").to_string()
}

#[track_caller]
fn only(changed: &BTreeMap<String, String>, path: &str, text: &str) {
    assert_eq!(changed.keys().map(String::as_str).collect::<Vec<_>>(), [path]);
    assert_eq!(changed[path], text);
}

struct NoTemplates;

impl Renderer for NoTemplates {
    fn render(&self, _: &[RenderJob]) -> Result<Vec<Vec<u8>>, RenderError> {
        unreachable!("edits alone render nothing")
    }
}

fn spec(edit: &Value) -> Value {
    json!({
        "on": {"source": "service-desk"},
        "parameters": {"app": {"schema": {"type": "string"}}, "replicas": {"schema": {"type": "integer"}}},
        "target": {"repository": "gitops", "path": "clusters/prod"},
        "edit": edit,
        "pullRequest": {"title": "t"}
    })
}

fn compile(spec: Value) -> Result<Recipe, Vec<SpecError>> {
    let spec: AutomationSpec = serde_json::from_value(spec).expect("a spec");
    Recipe::compile(&spec, &Arc::new(Catalogue::embedded().expect("the shipped templates")))
}

fn change(edit: &Value, parameters: Value, base: &Files) -> Result<BTreeMap<String, String>, PlanError> {
    change_of(&compile(spec(edit)).expect("compiles"), parameters, base, &NoTemplates)
}

/// What a reviewer is told of an edit: the file and the sentence.
fn noted(edit: Value, base: &Files) -> Vec<(String, String)> {
    let recipe = compile(spec(&json!([edit]))).expect("compiles");
    let changed = changes_of(&recipe, json!({"app": "web", "replicas": 6}), base, &NoTemplates).expect("a change");
    changed.notes.into_iter().map(|note| (note.path.to_string(), note.message)).collect()
}

fn change_of(recipe: &Recipe, parameters: Value, base: &Files, renderer: &dyn Renderer) -> Result<BTreeMap<String, String>, PlanError> {
    let changed = changes_of(recipe, parameters, base, renderer)?;
    let text = |change: FileChange| match change {
        FileChange::Write(bytes) => String::from_utf8(bytes).expect("UTF-8"),
        FileChange::Remove => REMOVED.to_owned(),
    };
    Ok(changed.files.into_iter().map(|(path, change)| (path.to_string(), text(change))).collect())
}

fn changes_of(recipe: &Recipe, parameters: Value, base: &Files, renderer: &dyn Renderer) -> Result<ChangeSet, PlanError> {
    let event = Event {
        id: EventId::from_parts(Timestamp::from_unix_millis(0), 1),
        delivery: None,
        source: None,
        traceparent: None,
        kind: "jira.issue.created".parse().expect("a type"),
        subject: "OPS-42".into(),
        time: Timestamp::from_unix_millis(0),
        data: json!({}),
    };
    let repository: Repository =
        Repository { name: "gitops".parse().expect("a name"), spec: serde_json::from_value(json!({"url": "/srv/git/gitops.git"})).expect("a spec") };
    let target = Target {
        applied_within: None,
        repository: Arc::new(repository),
        path: "clusters/prod".parse::<DirectoryPath>().expect("a directory"),
        cluster: None,
        labels: BTreeMap::new(),
        kubernetes: Default::default(),
        unknown_kinds: UnknownKinds::Warn,
        schemas: Vec::new(),
        limits: Default::default(),
        sealing: None,
    };
    let parameters: Map<String, Value> = parameters.as_object().cloned().expect("an object");
    let inputs = Inputs { event: &event, parameters: &parameters };
    recipe.change(inputs, &target, base, renderer, &Placeholders)
}

const DEPLOYMENT: &str = "# web\nkind: Deployment\napiVersion: apps/v1\nmetadata: {name: web, namespace: shop}\nspec:\n  replicas: 2 # two\n---\nkind: Service\napiVersion: v1\nmetadata: {name: web, namespace: shop}\n";
const PATH: &str = "clusters/prod/apps/web/deployment.yaml";

fn edit() -> Value {
    json!([{
        "file": "apps/{{ parameters.app }}/deployment.yaml",
        "object": "Deployment/shop/{{ parameters.app }}",
        "set": {"spec.replicas": "parameters.replicas", "metadata.annotations[\"kubeops.dev/ticket\"]": "event.subject"},
    }])
}

#[test]
fn an_edit_changes_its_fields_and_keeps_the_rest_of_the_file() {
    let base = Files::of(&[(PATH, DEPLOYMENT)]);
    let files = change(&edit(), json!({"app": "web", "replicas": 6}), &base).expect("a change");
    let expected = DEPLOYMENT.replace("replicas: 2 ", "replicas: 6 ").replacen(
        "{name: web, namespace: shop}",
        "{name: web, namespace: shop, annotations: {kubeops.dev/ticket: OPS-42}}",
        1,
    );
    assert_eq!(files, BTreeMap::from([(PATH.to_owned(), expected)]));
}

#[test]
fn edits_of_one_file_are_done_in_order_and_what_is_equal_changes_no_file() {
    let base = Files::of(&[(PATH, DEPLOYMENT)]);
    let one = |field: &str, value: &str| json!({"file": "apps/web/deployment.yaml", "object": "Deployment/shop/web", "set": {field: value}});
    let files = change(&json!([one("spec.a", "{'b': 1}"), one("spec.a.b", "2.0 * 3.0"), one("spec.c", "null")]), json!({}), &base).expect("a change");
    assert_eq!(files[PATH], DEPLOYMENT.replace("replicas: 2 # two\n", "replicas: 2 # two\n  a:\n    b: 6\n"));
    assert_eq!(change(&json!([one("spec.replicas", "2")]), json!({}), &base).expect("no change"), BTreeMap::new());
}

#[test]
fn what_cannot_be_edited_is_told_with_what_there_is() {
    let base = Files::of(&[
        (PATH, DEPLOYMENT),
        ("clusters/prod/apps/api/deployment.yml", "a: 1\n"),
        ("clusters/prod/apps/link/deployment.yaml", "link"),
        ("clusters/prod/apps/bad/deployment.yaml", "a: [\n"),
    ]);
    let refused = |parameters: Value| {
        let error = change(&edit(), parameters, &base).expect_err("refused");
        assert_eq!(error.class(), ErrorClass::User);
        error.to_string()
    };
    for (app, says) in [
        (
            "api",
            "clusters/prod/apps/api/deployment.yaml cannot be edited: there is no such file; did you mean deployment.yml?; clusters/prod/apps/api has deployment.yml",
        ),
        ("wep", "there is no such file; did you mean web?; clusters/prod/apps has api/, bad/, link/, web/"),
        ("link", "it is a symbolic link"),
        ("bad", "it cannot be read: line 1, column 4"),
    ] {
        let told = refused(json!({"app": app, "replicas": 1}));
        assert!(told.contains(says), "{told}");
    }
    let told = refused(json!({"app": "web"}));
    assert!(told.starts_with("edit.set.spec.replicas: `parameters.replicas` has no value"), "{told}");
    let base = Files::of(&[(PATH, &DEPLOYMENT.replace("shop", "store"))]);
    let told = change(&edit(), json!({"app": "web", "replicas": 1}), &base).expect_err("refused").to_string();
    assert!(told.contains("Deployment/shop/web: there is no Deployment/shop/web in the file; there are: Deployment/store/web"), "{told}");
}

#[test]
fn a_mistake_in_an_edit_is_told_at_load() {
    let told = |edit: Value| -> Vec<String> { compile(spec(&edit)).err().expect("refused").iter().map(ToString::to_string).collect() };
    let field = |field: &str| json!([{"file": "a.yaml", "set": {field: "1"}}]);
    for (edit, pointer, says) in [
        (json!([]), "", "`render`, `edit`, `remove` or `draft`"),
        (json!([{"file": "a.yaml"}]), "/edit/0", "changes at least one field"),
        (json!([{"file": "../a.yaml", "set": {"a": "1"}}]), "/edit/0/file", "can never be a path"),
        (json!([{"file": "{{ parameters.nap }}.yaml", "set": {"a": "1"}}]), "/edit/0/file", "there is no `parameters.nap`"),
        (json!([{"file": "a.yaml", "object": "Deployment/{{ parameters.app }}", "set": {"a": "1"}}]), "/edit/0/object", "kind/namespace/name"),
        (field("spec.containers[0].image"), "/edit/0/set/spec.containers[0].image", "at character 17: an element is named by one of its fields"),
        (field("metadata.annotations.a/b"), "/edit/0/set/metadata.annotations.a~1b", "at character 23"),
        (
            json!([{"file": "a.yaml", "set": {"a": "parameters.replicas + parameters['replics']"}}]),
            "/edit/0/set/a",
            "there is no `parameters.replics`",
        ),
        (
            json!([{"file": "a.yaml", "set": {"a": "[{'replics': 1}].map(parameters, parameters.replics)[0] + nap"}}]),
            "/edit/0/set/a",
            "there is no variable `nap`",
        ),
        (json!([{"file": "a.yaml", "set": {"a": "parameter.x"}}]), "/edit/0/set/a", "there is no variable `parameter`"),
        (
            json!([{"file": "a.yaml", "set": {"a": "1", "a.b": "2"}}]),
            "/edit/0/set/a.b",
            "`a` and `a.b` are the same field, or one is a part of the other",
        ),
    ] {
        let errors = told(edit);
        assert!(errors.len() == 1 && errors[0].starts_with(&format!("{pointer}: ")) && errors[0].contains(says), "{errors:?}");
    }
}

#[test]
fn a_file_is_written_from_a_template_or_edited_never_both() {
    let mut both = spec(&json!([{"file": "a.yaml", "set": {"a": "1"}}]));
    both["render"] = json!([{"template": "namespace", "path": "a.yaml", "with": {"team": "'x'"}}]);
    let errors = compile(both.clone()).err().expect("refused");
    assert!(errors[0].pointer == "/edit/0/file" && errors[0].message.contains("from a template"), "{errors:?}");
    // Where only the parameters tell, it is refused when they are known.
    both["edit"][0]["file"] = json!("{{ parameters.app }}.yaml");
    let recipe = compile(both).expect("compiles");
    let catalogue = Catalogue::embedded().expect("the shipped templates");
    let base = Files::of(&[("clusters/prod/a.yaml", "a: 2\n"), ("clusters/prod/b.yaml", "a: 2\n")]);
    let error = change_of(&recipe, json!({"app": "a"}), &base, &catalogue).expect_err("refused").to_string();
    assert_eq!(error, "the automation writes clusters/prod/a.yaml from a template, and edits it as well");
    let files = change_of(&recipe, json!({"app": "b"}), &base, &catalogue).expect("two files");
    assert_eq!((files.len(), files["clusters/prod/b.yaml"].as_str()), (2, "a: 1\n"));
}

#[test]
fn what_makes_an_object_the_one_it_is_is_never_edited() {
    let base = Files::of(&[(PATH, DEPLOYMENT), ("clusters/prod/values.yaml", "kind: a\nmetadata: {name: b}\n")]);
    let says = "says which object Deployment/shop/web is";
    for operation in [
        json!({"set": {"kind": "'StatefulSet'"}}),
        json!({"set": {"apiVersion": "'apps/v2'"}}),
        json!({"set": {"metadata.name": "'other'"}}),
        json!({"set": {"metadata.namespace": "'other'"}}),
        json!({"merge": {"metadata": "{'name': 'other'}"}}),
        json!({"remove": ["metadata.namespace"]}),
        json!({"remove": ["kind"]}),
    ] {
        for place in [json!({"object": "Deployment/shop/web"}), json!({"object": "Deployment/shop/web", "file": "apps/web/deployment.yaml"})] {
            let mut edit = operation.clone();
            edit.as_object_mut().expect("an object").extend(place.as_object().cloned().expect("an object"));
            let told = refused(edit.clone(), &base);
            assert!(told.contains(says), "{edit}: {told}");
        }
    }
    // What is no object has no such fields.
    let values = edited(json!({"file": "values.yaml", "set": {"kind": "'c'", "metadata.name": "'d'"}}), &base);
    only(&values, "clusters/prod/values.yaml", "kind: c\nmetadata: {name: d}\n");
}

#[test]
fn text_stays_text_in_an_element_that_is_ensured_by_its_key() {
    let base = Files::of(&[("clusters/prod/a.yaml", "env:\n- name: MODE\n  value: \"1.0\" # kept\n")]);
    let ensure = json!({"file": "a.yaml", "ensure": {"env": {"value": "{'name': 'MODE', 'value': 1.1}", "key": "name"}}});
    only(&edited(ensure, &base), "clusters/prod/a.yaml", "env:\n- name: MODE\n  value: \"1.1\" # kept\n");
}
