//! A field is changed where it is decided: in the overlay that has the last word, or in the object's own file.

use super::*;

const BASE: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  replicas: 1\n  template:\n    spec:\n      containers:\n      - name: web\n        image: web:1.0\n        env:\n        - {name: MODE, value: slow}\n";
const OVERLAY: &str = "clusters/prod/kustomization.yaml";

/// A base that others build on too, and the overlay of the target.
fn with(overlay: &str) -> Files {
    Files::of(&[
        ("base/web/kustomization.yaml", "resources:\n- web.yaml\n"),
        ("base/web/web.yaml", BASE),
        (OVERLAY, overlay),
        ("clusters/prod/patch.yaml", "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: web}\nspec:\n  replicas: 3 # of this cluster\n"),
        ("clusters/prod/ops.yaml", "- op: replace\n  path: /spec/template/spec/containers/0/env/0/value\n  value: fast\n"),
    ])
}

fn on_web(operation: Value) -> Value {
    let mut edit = json!({"object": "Deployment/shop/web"});
    edit.as_object_mut().expect("an object").extend(operation.as_object().cloned().expect("an object"));
    edit
}

const HEAD: &str = "# prod\nnamespace: shop\nresources:\n- ../../base/web\n";

#[test]
fn a_count_is_changed_where_the_overlay_gives_it() {
    let overlay = format!("{HEAD}replicas:\n- name: web # the shop\n  count: 4\n");
    let set = || on_web(json!({"set": {"spec.replicas": "6"}}));
    only(&edited(set(), &with(&overlay)), OVERLAY, &overlay.replace("count: 4", "count: 6"));
    let grown = edited(on_web(json!({"increase": {"spec.replicas": 1}})), &with(&overlay));
    only(&grown, OVERLAY, &overlay.replace("count: 4", "count: 5"));
    // Nobody but the base says it, which is not this target's: the overlay gets the last word.
    let grown = edited(on_web(json!({"increase": {"spec.replicas": 2}})), &with(HEAD));
    only(&grown, OVERLAY, &format!("{HEAD}replicas:\n- name: web\n  count: 3\n"));
    only(&edited(set(), &with(HEAD)), OVERLAY, &format!("{HEAD}replicas:\n- name: web\n  count: 6\n"));
}

#[test]
fn an_image_is_changed_where_the_overlay_gives_it() {
    let image = "spec.template.spec.containers[name=web].image";
    let overlay = format!("{HEAD}images:\n- name: web\n  newName: registry.example.com/web\n  newTag: \"1.4\" # held\n");
    let set = |image_is: &str| on_web(json!({"set": {image: format!("'{image_is}'")}}));
    only(&edited(set("registry.example.com/web:1.5"), &with(&overlay)), OVERLAY, &overlay.replace("1.4", "1.5"));
    let digest = "sha256:0123456789012345678901234567890123456789012345678901234567890123";
    let pinned = edited(set(&format!("registry.example.com/web@{digest}")), &with(&overlay));
    only(&pinned, OVERLAY, &overlay.replace("  newTag: \"1.4\" # held\n", &format!("  digest: \"{digest}\"\n")));
    let added = edited(set("mirror.example.com/web:2.0"), &with(HEAD));
    only(&added, OVERLAY, &format!("{HEAD}images:\n- name: web\n  newName: mirror.example.com/web\n  newTag: \"2.0\"\n"));
    assert!(edited(set("web:1.0"), &with(HEAD)).is_empty());
}

#[test]
fn a_patch_that_decides_a_field_is_what_is_edited() {
    let by_file = format!("{HEAD}patches:\n- path: patch.yaml\n");
    only(
        &edited(on_web(json!({"set": {"spec.replicas": "6"}})), &with(&by_file)),
        "clusters/prod/patch.yaml",
        "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: web}\nspec:\n  replicas: 6 # of this cluster\n",
    );
    let inline = format!(
        "{HEAD}patches:\n- target: {{kind: Deployment, name: web}}\n  patch: |-\n    kind: Deployment\n    metadata:\n      name: web\n    spec:\n      replicas: 3 # inline\n"
    );
    only(&edited(on_web(json!({"multiply": {"spec.replicas": 2}})), &with(&inline)), OVERLAY, &inline.replace("replicas: 3", "replicas: 6"));
    let json_patch = format!("{HEAD}patches:\n- target: {{kind: Deployment}}\n  path: ops.yaml\n");
    let env = "spec.template.spec.containers[name=web].env[name=MODE].value";
    only(
        &edited(on_web(json!({"set": {env: "'faster'"}})), &with(&json_patch)),
        "clusters/prod/ops.yaml",
        "- op: replace\n  path: /spec/template/spec/containers/0/env/0/value\n  value: faster\n",
    );
    // For another object, a patch decides nothing.
    let other = by_file.replace("- path: patch.yaml", "- path: patch.yaml\n  target: {kind: Deployment, name: other}");
    only(&edited(on_web(json!({"set": {"spec.replicas": "6"}})), &with(&other)), OVERLAY, &format!("{other}replicas:\n- name: web\n  count: 6\n"));
}

#[test]
fn a_field_that_goes_goes_from_everything_that_gives_it_or_not_at_all() {
    let remove = || on_web(json!({"remove": ["spec.replicas"]}));
    let by_file = format!("{HEAD}patches:\n- path: patch.yaml\n");
    let told = refused(remove(), &with(&by_file));
    assert!(
        told.contains("`spec.replicas` of Deployment/shop/web would still be given by base/web/web.yaml, which lies outside of clusters/prod"),
        "{told}"
    );
    // Where the base is the target's own, it goes from both.
    let mut own = with("namespace: shop\nresources:\n- web.yaml\npatches:\n- path: patch.yaml\n");
    own.1.insert("clusters/prod/web.yaml".to_owned(), BASE.to_owned());
    let changed = edited(remove(), &own);
    assert_eq!(changed["clusters/prod/web.yaml"], BASE.replace("  replicas: 1\n", ""));
    assert!(!changed["clusters/prod/patch.yaml"].contains("replicas"), "{changed:?}");
    // Where only the patch gives it, it goes from there.
    own.1.insert("clusters/prod/web.yaml".to_owned(), BASE.replace("  replicas: 1\n", ""));
    assert_eq!(edited(remove(), &own).keys().collect::<Vec<_>>(), ["clusters/prod/patch.yaml"]);
    let json_patch = format!("{HEAD}patches:\n- target: {{kind: Deployment}}\n  path: ops.yaml\n");
    let told = refused(on_web(json!({"remove": ["spec.template.spec.containers[name=web].env[name=MODE].value"]})), &with(&json_patch));
    assert!(told.contains("is given by an operation of a JSON patch: take the operation out of it"), "{told}");
}

#[test]
fn a_reviewer_is_told_of_the_other_objects_that_an_image_changes() {
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: once}\nspec: {template: {spec: {initContainers: [{name: x, image: 'web:0.9'}]}}}\n";
    let mut base = with(&format!("{HEAD}- job.yaml\nimages: [{{name: web, newTag: \"1.4\"}}]\n"));
    base.1.insert("clusters/prod/job.yaml".to_owned(), job.to_owned());
    let set = on_web(json!({"set": {"spec.template.spec.containers[name=web].image": "'web:1.5'"}}));
    let message = "`images` changes every object with the image web, these as well: Job//once";
    assert_eq!(noted(set.clone(), &base), [(OVERLAY.to_owned(), message.to_owned())]);
    base.1.insert("clusters/prod/job.yaml".to_owned(), job.replace("web:0.9", "other/web:0.9"));
    assert!(noted(set, &base).is_empty());
}

#[test]
fn what_only_a_base_outside_of_the_target_decides_is_refused_with_the_way_out() {
    let told = refused(on_web(json!({"set": {"spec.paused": "true"}})), &with(HEAD));
    assert!(told.contains("is set by nobody, and base/web/web.yaml, which the object stands in, lies outside of clusters/prod"), "{told}");
    let told = refused(
        on_web(json!({"set": {"metadata.labels.a": "'b'", "spec.template.spec.containers[name=web].env[name=MODE].value": "'x'"}})),
        &with(HEAD),
    );
    assert!(told.contains("; add a patch for it to clusters/prod/kustomization.yaml"), "{told}");
    let told = refused(on_web(json!({"set": {"spec.template.spec.containers[name=web].env[name=MODE].value": "'x'"}})), &with(HEAD));
    assert!(
        told.contains("decided in base/web/web.yaml, which lies outside of clusters/prod; add a patch for it to clusters/prod/kustomization.yaml"),
        "{told}"
    );
}

#[test]
fn a_name_is_the_one_the_kustomization_makes() {
    let overlay = "namePrefix: eu-\nnamespace: shop\nresources: [web.yaml]\n";
    let base = Files::of(&[("clusters/prod/kustomization.yaml", overlay), ("clusters/prod/web.yaml", BASE)]);
    for object in ["Deployment/shop/eu-web", "Deployment//web"] {
        let changed = edited(json!({"object": object, "set": {"spec.replicas": "6"}}), &base);
        only(&changed, "clusters/prod/web.yaml", &BASE.replace("replicas: 1", "replicas: 6"));
    }
    let told = refused(json!({"object": "Deployment/shop/web2", "set": {"spec.replicas": "6"}}), &base);
    assert!(told.contains("there are: Deployment/shop/eu-web"), "{told}");
}

#[test]
fn a_literal_of_a_generator_is_a_field_of_its_config_map() {
    let overlay =
        format!("{HEAD}configMapGenerator:\n- name: settings\n  literals:\n  - MODE=slow # for now\n  - \"LEVEL=info\"\n  files: [app.conf]\n");
    let set = |field: &str| json!({"object": "ConfigMap/shop/settings", "set": {field: "'fast'"}});
    only(&edited(set("data.MODE"), &with(&overlay)), OVERLAY, &overlay.replace("MODE=slow", "MODE=fast"));
    only(&edited(set("data.NEW"), &with(&overlay)), OVERLAY, &overlay.replace("  - \"LEVEL=info\"\n", "  - \"LEVEL=info\"\n  - \"NEW=fast\"\n"));
    let told = refused(set("data[\"app.conf\"]"), &with(&overlay));
    assert!(told.contains("is the content of the file \"app.conf\""), "{told}");
    let told = refused(json!({"object": "ConfigMap/shop/settings", "remove": ["data.MODE"]}), &with(&overlay));
    assert!(told.contains("remove does not fit"), "{told}");
}

#[test]
fn two_overlays_of_one_base_are_told_apart_by_their_namespace() {
    let base = Files::of(&[
        ("clusters/prod/base/kustomization.yaml", "resources: [web.yaml]\n"),
        ("clusters/prod/base/web.yaml", BASE),
        ("clusters/prod/eu/kustomization.yaml", "namespace: eu\nresources: [../base]\nreplicas: [{name: web, count: 2}]\n"),
        ("clusters/prod/us/kustomization.yaml", "namespace: us\nresources: [../base]\nreplicas: [{name: web, count: 2}]\n"),
    ]);
    let changed = edited(json!({"object": "Deployment/us/web", "set": {"spec.replicas": "6"}}), &base);
    only(&changed, "clusters/prod/us/kustomization.yaml", "namespace: us\nresources: [../base]\nreplicas: [{name: web, count: 6}]\n");
    let told = refused(json!({"object": "Deployment//web", "set": {"spec.replicas": "6"}}), &base);
    assert!(told.contains("built by clusters/prod/eu/kustomization.yaml"), "{told}");
}

#[test]
fn a_count_of_another_kind_is_not_for_a_kustomization_to_give() {
    let rollout = BASE.replace("apps/v1", "argoproj.io/v1alpha1").replace("Deployment", "Rollout");
    let base = Files::of(&[
        ("base/kustomization.yaml", "resources: [r.yaml]\n"),
        ("base/r.yaml", &rollout),
        (OVERLAY, "namespace: shop\nresources: [../../base]\n"),
    ]);
    let told = refused(json!({"object": "Rollout/shop/web", "set": {"spec.replicas": "6"}}), &base);
    assert!(told.contains("lies outside of clusters/prod"), "{told}");
}

#[test]
fn overlays_that_multiply_end_in_an_error_and_soon() {
    let mut files = vec![("clusters/prod/web.yaml".to_owned(), BASE.to_owned())];
    for level in 0..12 {
        for place in 0..4 {
            let below: Vec<String> = (0..4).map(|below| format!("../l{}-{below}", level + 1)).collect();
            let resources = if level == 11 { "../web.yaml".to_owned() } else { below.join(", ") };
            files.push((format!("clusters/prod/l{level}-{place}/kustomization.yaml"), format!("resources: [{resources}]\n")));
        }
    }
    let base = Files::of(&files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>());
    let told = refused(json!({"object": "Deployment//web", "set": {"spec.replicas": "6"}}), &base);
    assert!(told.contains("in more than 20000 ways"), "{told}");
}

#[test]
fn a_count_of_the_overlay_goes_with_its_whole_entry_or_not_at_all() {
    let remove = || on_web(json!({"remove": ["spec.replicas"]}));
    let overlay = format!("{HEAD}replicas:\n- name: web\n  count: 4\n- name: api\n  count: 2\n");
    let told = refused(remove(), &with(&overlay));
    assert!(told.contains("`spec.replicas` of Deployment/shop/web would still be given by base/web/web.yaml"), "{told}");
    assert!(told.contains("to have that apply again, `remove` `replicas[name=web]` with `file`: clusters/prod/kustomization.yaml"), "{told}");
    let by_file = json!({"file": "kustomization.yaml", "remove": ["replicas[name=web]"]});
    only(&edited(by_file, &with(&overlay)), OVERLAY, &overlay.replace("- name: web\n  count: 4\n", ""));
    // Where nothing below says how many, the entry is all there is.
    let mut bare = with(&overlay);
    bare.1.insert("base/web/web.yaml".to_owned(), BASE.replace("  replicas: 1\n", ""));
    only(&edited(remove(), &bare), OVERLAY, &overlay.replace("- name: web\n  count: 4\n", ""));
    // Where the base is the target's own, the field goes from it as well.
    let own_overlay = "namespace: shop\nresources:\n- web.yaml\nreplicas:\n- name: web\n  count: 4\n";
    let own = Files::of(&[(OVERLAY, own_overlay), ("clusters/prod/web.yaml", BASE)]);
    let changed = edited(remove(), &own);
    assert_eq!(changed[OVERLAY], own_overlay.replace("replicas:\n- name: web\n  count: 4\n", "replicas: []\n"));
    assert_eq!(changed["clusters/prod/web.yaml"], BASE.replace("  replicas: 1\n", ""));
}

#[test]
fn an_image_that_kustomize_would_not_build_is_refused() {
    let image = "spec.template.spec.containers[name=web].image";
    let set = |image_is: &str| on_web(json!({"set": {image: format!("'{image_is}'")}}));
    let overlay = format!("{HEAD}images:\n- name: web\n  newTag: \"1.4\"\n");
    for base in [overlay.as_str(), HEAD] {
        let told = refused(set("mirror.example.com/web"), &with(base));
        assert!(told.contains("Kustomize would build mirror.example.com/web:1.0 of the image mirror.example.com/web"), "{told}");
        assert!(told.contains("name a tag or a digest"), "{told}");
        let told = refused(set("bad image"), &with(base));
        assert!(told.contains("\"bad image\" is no image"), "{told}");
    }
    // What the base says without a tag stays without one.
    let mut bare = with(&overlay);
    bare.1.insert("base/web/web.yaml".to_owned(), BASE.replace("web:1.0", "web"));
    only(&edited(set("web"), &bare), OVERLAY, &overlay.replace("  newTag: \"1.4\"\n", ""));
}

#[test]
fn a_count_that_no_workload_can_have_is_written_nowhere() {
    let set = |value: &str| on_web(json!({"set": {"spec.replicas": value}}));
    let overlay = format!("{HEAD}replicas:\n- name: web\n  count: 4\n");
    let inline = format!("{HEAD}patches:\n- patch: |-\n    kind: Deployment\n    metadata: {{name: web}}\n    spec:\n      replicas: 3\n");
    for base in [overlay.as_str(), HEAD, &inline] {
        for value in ["'three'", "-4", "2.5", "true", "3000000000"] {
            let told = refused(set(value), &with(base));
            assert!(told.contains("`spec.replicas` is a whole number from 0 on"), "{told}");
        }
    }
    let told = refused(on_web(json!({"increase": {"spec.replicas": {"by": -9, "min": -2}}})), &with(&overlay));
    assert!(told.contains("is a whole number from 0 on, and -2 is none"), "{told}");
}

#[test]
fn a_field_that_nobody_sets_is_told_apart_from_one_that_the_base_decides() {
    let told = refused(on_web(json!({"set": {"spec.template.spec.containers[name=web].tty": "true"}})), &with(HEAD));
    assert!(told.contains("of Deployment/shop/web is set by nobody"), "{told}");
    let patch = "patches:\n- target: {kind: Deployment, name: web}\n  patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata:\n      name: web\n    spec:\n      template:\n        spec:\n          containers:\n          - name: web\n            tty: ...";
    assert!(told.ends_with(patch), "{told}");
    // With these lines in the overlay, the patch is what is edited.
    let patched = format!("{HEAD}{}\n", patch.replace("...", "false"));
    let set = on_web(json!({"set": {"spec.template.spec.containers[name=web].tty": "true"}}));
    only(&edited(set, &with(&patched)), OVERLAY, &patched.replace("tty: false", "tty: true"));
}

#[test]
fn files_that_could_not_be_read_are_named() {
    let mut base = with(HEAD);
    base.1.insert("clusters/prod/broken.yaml".to_owned(), "a: [\n".to_owned());
    let set = || json!({"object": "Deployment/shop/api", "set": {"spec.replicas": "6"}});
    assert!(refused(set(), &base).ends_with("(clusters/prod/broken.yaml could not be read as YAML)"), "{}", refused(set(), &base));
    for number in 0..6 {
        base.1.insert(format!("clusters/prod/c{number}.yaml"), "a: [\n".to_owned());
    }
    let told = refused(set(), &base);
    assert!(told.ends_with("clusters/prod/c3.yaml and 2 more files could not be read as YAML)"), "{told}");
}

/// Gives the same text for every file.
struct Says(&'static str);

impl Renderer for Says {
    fn render(&self, jobs: &[RenderJob]) -> Result<Vec<Vec<u8>>, RenderError> {
        Ok(jobs.iter().map(|_| self.0.as_bytes().to_vec()).collect())
    }
}

#[test]
fn a_rendered_object_that_a_kustomization_renames_is_told_and_a_sealed_one_refused() {
    const STRICT: &str =
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata:\n  name: ledger\n  namespace: payments\nspec: {encryptedData: {a: AQ}}\n";
    const WIDE: &str = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata:\n  name: ledger\n  namespace: payments\n  annotations: {sealedsecrets.bitnami.com/namespace-wide: 'true'}\nspec: {encryptedData: {a: AQ}}\n";
    const CLUSTER: &str = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata:\n  name: ledger\n  namespace: payments\n  annotations: {sealedsecrets.bitnami.com/cluster-wide: 'true'}\nspec: {encryptedData: {a: AQ}}\n";
    const OPEN: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ledger, namespace: payments}\n";
    let mut spec = spec(&json!([]));
    spec["render"] = json!([{"template": "namespace", "path": "app/new.yaml", "with": {"team": "'x'"}}]);
    let recipe = compile(spec).expect("compiles");
    let rendered = |kustomization: &str, text: &'static str| {
        let base = Files::of(&[("clusters/prod/kustomization.yaml", kustomization), ("clusters/prod/app/kustomization.yaml", "resources: []\n")]);
        changes_of(&recipe, json!({}), &base, &Says(text)).map(|change| change.notes)
    };
    for (kustomization, text, opens) in [
        ("resources: [app]\nnamePrefix: dev-\n", STRICT, false),
        ("resources: [app]\nnameSuffix: -x\n", STRICT, false),
        ("resources: [app]\nnamespace: shop\n", STRICT, false),
        ("resources: [app]\nnamespace: payments\n", STRICT, true),
        ("resources: [other]\nnamespace: shop\n", STRICT, true),
        ("resources: [app]\nnamePrefix: dev-\n", WIDE, true),
        ("resources: [app]\nnamespace: shop\n", WIDE, false),
        ("resources: [app]\nnamespace: shop\n", CLUSTER, true),
    ] {
        let outcome = rendered(kustomization, text);
        assert_eq!(outcome.is_ok(), opens, "{kustomization} {text}: {outcome:?}");
    }
    let told = rendered("resources: [app]\nnamespace: shop\n", STRICT).expect_err("refused").to_string();
    assert!(told.contains("SealedSecret/payments/ledger is sealed for that name and namespace"), "{told}");
    assert!(told.contains("clusters/prod/kustomization.yaml") && told.contains("makes it SealedSecret/shop/ledger"), "{told}");
    let notes = rendered("resources: [app]\nnamespace: shop\nnamePrefix: dev-\n", OPEN).expect("a change");
    assert_eq!(notes.len(), 1);
    assert!(
        notes[0].rule == "kustomize.renamed" && notes[0].message.starts_with("ConfigMap/payments/ledger will be ConfigMap/shop/dev-ledger: "),
        "{notes:?}"
    );
    assert!(rendered("resources: [app]\n", OPEN).expect("a change").is_empty());
}
