//! Files and objects that go, and kustomizations that go on naming what there is.

use super::*;
use crate::render::Renderer;

const TWO: &str = "# both\nkind: Service\napiVersion: v1\nmetadata: {name: web, namespace: shop}\n---\n# the second\nkind: Service\napiVersion: v1\nmetadata: {name: api, namespace: shop}\n";
const KUSTOMIZATION: &str = "resources:\n- web.yaml # ours\n- api.yaml\n- more\npatches:\n- path: web-patch.yaml\n";

fn base() -> Files {
    Files::of(&[
        ("clusters/prod/kustomization.yaml", KUSTOMIZATION),
        ("clusters/prod/web.yaml", "kind: Service\napiVersion: v1\nmetadata: {name: only, namespace: shop}\n"),
        ("clusters/prod/api.yaml", TWO),
        ("clusters/prod/web-patch.yaml", "kind: Service\napiVersion: v1\nmetadata: {name: only}\nspec: {}\n"),
        ("clusters/prod/more/kustomization.yaml", "resources: []\n"),
    ])
}

fn removed(remove: Value) -> Result<BTreeMap<String, String>, PlanError> {
    removed_from(remove, &base())
}

fn removed_from(remove: Value, base: &Files) -> Result<BTreeMap<String, String>, PlanError> {
    let mut spec = spec(&json!([]));
    spec["remove"] = json!([remove]);
    change_of(&compile(spec).expect("compiles"), json!({"app": "web", "replicas": 1}), base, &NoTemplates)
}

const OVERLAY: &str = "clusters/prod/kustomization.yaml";

/// Two workloads, and a kustomization that says more of them.
fn patched(more: &str, files: &[(&str, &str)]) -> (String, Files) {
    let overlay = format!("namespace: shop\nresources:\n- all.yaml\n{more}");
    let all = ["web", "api"].map(|name| format!("kind: Deployment\napiVersion: apps/v1\nmetadata: {{name: {name}}}\nspec: {{replicas: 1}}\n"));
    let all = all.join("---\n");
    let mut base = vec![(OVERLAY, overlay.as_str()), ("clusters/prod/all.yaml", all.as_str())];
    base.extend_from_slice(files);
    let base = Files::of(&base);
    (overlay, base)
}

#[test]
fn a_file_goes_and_its_kustomization_no_longer_names_it() {
    let changed = removed(json!({"file": "{{ parameters.app }}.yaml"})).expect("a change");
    assert_eq!(changed["clusters/prod/web.yaml"], REMOVED);
    // With its patch, and that with its file: it names an object that is no more.
    let without = KUSTOMIZATION.replace("- web.yaml # ours\n", "").replace("patches:\n- path: web-patch.yaml\n", "patches: []\n");
    assert_eq!(changed["clusters/prod/kustomization.yaml"], without);
    assert_eq!(changed["clusters/prod/web-patch.yaml"], REMOVED);
    let changed = removed(json!({"file": "web-patch.yaml"})).expect("a change");
    assert_eq!(changed["clusters/prod/kustomization.yaml"], KUSTOMIZATION.replace("patches:\n- path: web-patch.yaml\n", "patches: []\n"));
    let changed = removed(json!({"file": "more/kustomization.yaml"})).expect("a change");
    assert_eq!(changed["clusters/prod/kustomization.yaml"], KUSTOMIZATION.replace("- more\n", ""));
}

#[test]
fn an_object_goes_with_its_document_and_the_last_one_with_its_file() {
    only(
        &removed(json!({"object": "Service/shop/api"})).expect("a change"),
        "clusters/prod/api.yaml",
        "# both\nkind: Service\napiVersion: v1\nmetadata: {name: web, namespace: shop}\n",
    );
    only(
        &removed(json!({"object": "Service/shop/web", "file": "api.yaml"})).expect("a change"),
        "clusters/prod/api.yaml",
        "# the second\nkind: Service\napiVersion: v1\nmetadata: {name: api, namespace: shop}\n",
    );
    let changed = removed(json!({"object": "Service/shop/only"})).expect("a change");
    assert_eq!(changed["clusters/prod/web.yaml"], REMOVED);
    assert!(!changed["clusters/prod/kustomization.yaml"].contains("web.yaml"));
}

#[test]
fn what_is_gone_already_is_nothing_to_do_unless_the_automation_says_otherwise() {
    for remove in [json!({"file": "gone.yaml"}), json!({"object": "Service/shop/gone"}), json!({"object": "Service/shop/gone", "file": "api.yaml"})] {
        assert!(removed(remove.clone()).expect("nothing to do").is_empty(), "{remove}");
        let mut refuse = remove;
        refuse["ifMissing"] = json!("refuse");
        let error = removed(refuse).expect_err("refused").to_string();
        assert!(error.contains("there is no"), "{error}");
    }
}

#[test]
fn what_is_for_an_object_alone_goes_with_it_in_whatever_form_it_stands() {
    let web = "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: web}\nspec: {paused: true}\n";
    let api = web.replace("name: web", "name: api");
    let both = format!("{web}---\n{api}");
    let indented = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let whole = "- target: {kind: Deployment, name: web}\n  path: ops.yaml\n";
    let by_kind = "- target: {kind: Deployment}\n  path: ops.yaml\n";
    for (more, without, gone) in [
        ("patches:\n- path: web.yaml\n- path: api.yaml\n".to_owned(), "patches:\n- path: api.yaml\n".to_owned(), vec!["web.yaml"]),
        (
            "patchesStrategicMerge:\n- api.yaml\n- ./web.yaml # of the shop\n".to_owned(),
            "patchesStrategicMerge:\n- api.yaml\n".to_owned(),
            vec!["web.yaml"],
        ),
        (
            format!("patches:\n- patch: |-\n{}- patch: |-\n{}", indented(web), indented(&api)),
            format!("patches:\n- patch: |-\n{}", indented(&api)),
            vec![],
        ),
        (format!("patches:\n- patch: |\n{}", indented(&both)), format!("patches:\n- patch: |\n{}", indented(&api)), vec![]),
        (format!("patches:\n{by_kind}{whole}"), format!("patches:\n{by_kind}"), vec![]),
        (format!("patchesJson6902:\n{whole}- path: api.yaml\n"), "patchesJson6902:\n- path: api.yaml\n".to_owned(), vec!["ops.yaml"]),
        ("patches:\n- path: both.yaml\n".to_owned(), "patches:\n- path: both.yaml\n".to_owned(), vec![]),
        (
            "replicas:\n- {name: api, count: 2}\n- {name: web, count: 3}\nimages: [{name: web, newTag: x}]\n".to_owned(),
            "replicas:\n- {name: api, count: 2}\nimages: [{name: web, newTag: x}]\n".to_owned(),
            vec![],
        ),
    ] {
        let (overlay, base) = patched(
            &more,
            &[
                ("clusters/prod/web.yaml", web),
                ("clusters/prod/api.yaml", &api),
                ("clusters/prod/both.yaml", &both),
                ("clusters/prod/ops.yaml", "- {op: add, path: /spec/paused, value: true}\n"),
            ],
        );
        let changed = removed_from(json!({"object": "Deployment/shop/web"}), &base).unwrap_or_else(|error| panic!("{error}: {more}"));
        let after = changed.get(OVERLAY).unwrap_or(&overlay);
        assert_eq!(*after, overlay.replace(&more, &without), "{more}");
        let files: Vec<&str> =
            changed.iter().filter(|(_, text)| *text == REMOVED).filter_map(|(path, _)| path.strip_prefix("clusters/prod/")).collect();
        assert_eq!(files, gone, "{more}");
        if more.contains("both.yaml") {
            assert_eq!(changed["clusters/prod/both.yaml"], api);
        }
    }
}

#[test]
fn a_patch_for_the_namesake_that_stays_stays_and_a_file_that_others_use_is_not_taken_from_them() {
    let web = "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: web}\n";
    let overlay = |namespace: &str| format!("namespace: {namespace}\nresources: [web.yaml]\npatches:\n- path: ../patch.yaml\n");
    let base = Files::of(&[
        ("clusters/prod/eu/kustomization.yaml", &overlay("eu")),
        ("clusters/prod/eu/web.yaml", web),
        ("clusters/prod/us/kustomization.yaml", &overlay("us")),
        ("clusters/prod/us/web.yaml", web),
        ("clusters/prod/patch.yaml", &format!("{web}spec: {{paused: true}}\n")),
    ]);
    let changed = removed_from(json!({"object": "Deployment/eu/web"}), &base).expect("a change");
    assert_eq!(changed.keys().collect::<Vec<_>>(), ["clusters/prod/eu/kustomization.yaml", "clusters/prod/eu/web.yaml"]);
    assert_eq!(changed["clusters/prod/eu/kustomization.yaml"], "namespace: eu\nresources: []\npatches: []\n");
    // Of a file for several objects nobody takes a part away from another overlay.
    let mut shared = base.1.clone();
    shared.insert("clusters/prod/patch.yaml".to_owned(), format!("{web}---\n{}", web.replace("web", "api")));
    let error = removed_from(json!({"object": "Deployment/eu/web"}), &Files(base.0.clone(), shared)).expect_err("refused").to_string();
    assert!(error.contains("patch.yaml patches it beside other objects; clusters/prod/us/kustomization.yaml uses it"), "{error}");
}

#[test]
fn a_file_that_goes_is_taken_out_of_generators_and_refused_where_nobody_knows_what_is_left() {
    let data = ("clusters/prod/data.yaml", "a: 1\n");
    let more =
        "configMapGenerator:\n- name: c\n  files:\n  - key=data.yaml\n  - other.txt\nsecretGenerator:\n- name: s\n  envs: [other.env, ./data.yaml]\n";
    let (overlay, base) = patched(more, &[data]);
    let changed = removed_from(json!({"file": "data.yaml"}), &base).expect("a change");
    assert_eq!(changed[OVERLAY], overlay.replace("  - key=data.yaml\n", "").replace(", ./data.yaml", ""));
    for more in ["transformers: [data.yaml]\n", "replacements: [{path: data.yaml}]\n"] {
        let (_, base) = patched(more, &[data]);
        let error = removed_from(json!({"file": "data.yaml"}), &base).expect_err("refused").to_string();
        assert!(error.contains("names it: change clusters/prod/kustomization.yaml first"), "{error}");
    }
    let (_, base) = patched("replacements:\n- source: {kind: Deployment, name: web, fieldPath: spec.replicas}\n  targets: []\n", &[]);
    let error = removed_from(json!({"object": "Deployment/shop/web"}), &base).expect_err("refused").to_string();
    assert!(error.contains("Deployment//web goes, and `replacements` of clusters/prod/kustomization.yaml take a value from it"), "{error}");
}

struct Renders;

impl Renderer for Renders {
    fn render(&self, jobs: &[RenderJob]) -> Result<Vec<Vec<u8>>, RenderError> {
        Ok(jobs.iter().map(|_| b"kind: Namespace\napiVersion: v1\nmetadata: {name: x}\n".to_vec()).collect())
    }
}

#[test]
fn a_new_file_is_named_by_the_nearest_kustomization_once() {
    let render = |path: &str| {
        let mut spec = spec(&json!([]));
        spec["parameters"] = json!({"name": {"schema": {"type": "string"}}, "owner": {"schema": {"type": "string"}}});
        spec["render"] = json!([{"template": "config-map", "path": path, "with": {"name": "'x'", "namespace": "'x'", "data": "{'a': 'b'}"}}]);
        let recipe = compile(spec).unwrap_or_else(|errors| panic!("{errors:?}"));
        change_of(&recipe, json!({}), &base(), &Renders).expect("a change")
    };
    let changed = render("new.yaml");
    assert_eq!(changed["clusters/prod/kustomization.yaml"], KUSTOMIZATION.replace("- more\n", "- more\n- new.yaml\n"));
    let changed = render("deep/er/new.yaml");
    assert_eq!(changed["clusters/prod/kustomization.yaml"], KUSTOMIZATION.replace("- more\n", "- more\n- deep/er/new.yaml\n"));
    let changed = render("more/new.yaml");
    assert_eq!(changed["clusters/prod/more/kustomization.yaml"], "resources: [new.yaml]\n");
    // What is there already, or named otherwise, is not named again.
    assert_eq!(render("web.yaml").len(), 1);
    assert_eq!(render("web-patch.yaml").len(), 1);
}
