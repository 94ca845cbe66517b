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
    let mut spec = spec(&json!([]));
    spec["remove"] = json!([remove]);
    change_of(&compile(spec).expect("compiles"), json!({"app": "web", "replicas": 1}), &base(), &NoTemplates)
}

#[test]
fn a_file_goes_and_its_kustomization_no_longer_names_it() {
    let changed = removed(json!({"file": "{{ parameters.app }}.yaml"})).expect("a change");
    assert_eq!(changed["clusters/prod/web.yaml"], REMOVED);
    assert_eq!(changed["clusters/prod/kustomization.yaml"], KUSTOMIZATION.replace("- web.yaml # ours\n", ""));
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
