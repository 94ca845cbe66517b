//! What an edit gives is what the kustomizations build; one that they would take back is refused, with what does.

use super::*;

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  labels: {app: web}\nspec:\n  replicas: 1\n  template:\n    spec:\n      containers:\n      - name: web\n        image: reg/web:1.0\n";
const OVERLAY: &str = "clusters/prod/kustomization.yaml";
const IMAGE: &str = "spec.template.spec.containers[name=web].image";

/// All of it below the target: the object in a directory of its own, a component beside it.
fn with(overlay: &str, component: &str) -> Files {
    Files::of(&[
        ("clusters/prod/web/kustomization.yaml", "resources:\n- web.yaml\n"),
        ("clusters/prod/web/web.yaml", WEB),
        ("clusters/prod/more/kustomization.yaml", &format!("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n{component}")),
        (OVERLAY, &format!("resources:\n- web\n{overlay}")),
    ])
}

fn set(field: &str, value: &str) -> Value {
    json!({"object": "Deployment//web", "set": {field: value}})
}

/// A patch of the count for a target.
fn patch(target: &str) -> String {
    format!(
        "patches:\n- target: {{{target}}}\n  patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {{name: any}}\n    spec: {{replicas: 5}}\n"
    )
}

#[test]
fn an_edit_that_a_kustomization_would_take_back_is_refused_with_what_decides_it_last() {
    let none = "";
    let chained = "images:\n- {name: reg/web, newName: mirror/web, newTag: \"2\"}\n- {name: mirror/web, newName: far/web}\n";
    for (number, (field, value, overlay, component, decides)) in [
        ("spec.replicas", "6", patch("name: w.*"), none, "/patches/0/patch"),
        ("spec.replicas", "6", patch("kind: Deployment|StatefulSet"), none, "/patches/0/patch"),
        ("spec.replicas", "6", patch("kind: Deployment, labelSelector: app=web"), none, "/patches/0/patch"),
        (IMAGE, "'mirror/web:3'", chained.to_owned(), none, "/images/1"),
        (IMAGE, "'reg/web:3'", "images:\n- {name: reg/web, newTag: \"2\"}\n- {name: reg/web, newTag: \"4\"}\n".to_owned(), none, "/images/1"),
        ("spec.replicas", "6", "replicas:\n- {name: web, count: 3}\n- {name: web, count: 4}\n".to_owned(), none, "/replicas/1"),
        (IMAGE, "'reg/web:3'", "images:\n- {name: reg/.*, newTag: \"2\"}\n".to_owned(), none, "/images/0"),
        (
            "spec.replicas",
            "6",
            "patches:\n- target: {kind: Deployment, name: web}\n  patch: '[{\"op\": \"replace\", \"path\": \"/spec\", \"value\": {\"replicas\": 9}}]'\n"
                .to_owned(),
            none,
            "/patches/0/patch",
        ),
        ("spec.replicas", "6", "components: [more]\n".to_owned(), "replicas:\n- {name: web, count: 3}\n", "/replicas/0"),
        ("spec.replicas", "6", "components: [more]\n".to_owned(), &*patch("kind: Deployment, name: web"), "/patches/0/patch"),
    ]
    .into_iter()
    .enumerate()
    {
        let told = refused(set(field, value), &with(&overlay, component));
        let by = if component.is_empty() { OVERLAY } else { "clusters/prod/more/kustomization.yaml" };
        assert!(told.contains(&format!("`{decides}` of {by} decides it last: change that")), "{number}: {told}");
        assert!(told.contains(&format!("`{field}` of Deployment//web would not be what was asked for")), "{number}: {told}");
    }
}

#[test]
fn every_kind_of_edit_that_changes_nothing_of_the_build_is_refused() {
    let overlay =
        "patches:\n- target: {name: w.*}\n  patch: '[{\"op\": \"replace\", \"path\": \"/spec\", \"value\": {\"replicas\": 9, \"paused\": true}}]'\n";
    for edit in [
        json!({"increase": {"spec.replicas": 1}}),
        json!({"merge": {"spec": "{'replicas': 2}"}}),
        json!({"append": {"spec.template.spec.containers": "{'name': 'side', 'image': 'side:1'}"}}),
        json!({"ensure": {"spec.template.spec.containers": "{'name': 'web', 'image': 'web:2'}"}}),
        json!({"remove": ["spec.replicas"]}),
    ] {
        let mut whole = json!({"object": "Deployment//web"});
        whole.as_object_mut().expect("an object").extend(edit.as_object().cloned().expect("an object"));
        let told = refused(whole, &with(overlay, ""));
        assert!(told.contains("would not be what was asked for"), "{edit}: {told}");
    }
}

#[test]
fn what_the_build_adds_to_an_edit_does_not_stand_in_its_way() {
    let overlay =
        "commonLabels: {team: shop}\nnamePrefix: big-\npatches:\n- target: {name: x.*}\n  patch: '[{\"op\": \"remove\", \"path\": \"/spec\"}]'\n";
    let edit = |edit: Value| {
        let mut whole = json!({"object": "Deployment//big-web"});
        whole.as_object_mut().expect("an object").extend(edit.as_object().cloned().expect("an object"));
        edited(whole, &with(overlay, ""))
    };
    only(&edit(json!({"set": {"spec.replicas": "6"}})), "clusters/prod/web/web.yaml", &WEB.replace("replicas: 1", "replicas: 6"));
    only(&edit(json!({"set": {"metadata.labels": "{'app': 'api'}"}})), "clusters/prod/web/web.yaml", &WEB.replace("{app: web}", "{app: api}"));
    assert!(edit(json!({"merge": {"metadata.labels": "{'tier': 'a'}"}})).len() == 1);
    assert!(
        refused(json!({"object": "Deployment//big-web", "set": {"metadata.labels.team": "'other'"}}), &with(overlay, "")).contains("/commonLabels")
    );
}

#[test]
fn a_reviewer_is_told_of_what_may_decide_the_field_and_is_not_known() {
    let overlay = "replacements:\n- path: elsewhere.yaml\n";
    let message = "`/replacements` (`replacements`) is not followed here, and may give `spec.replicas` of Deployment//web another value".to_owned();
    assert_eq!(noted(set("spec.replicas", "6"), &with(overlay, "")), [(OVERLAY.to_owned(), message)]);
}

#[test]
fn a_kustomization_without_an_extension_is_one() {
    let files = [("clusters/prod/web.yaml", WEB), ("clusters/prod/Kustomization", "resources: [web.yaml]\nreplicas:\n- {name: web, count: 3}\n")];
    let changed = edited(set("spec.replicas", "6"), &Files::of(&files));
    only(&changed, "clusters/prod/Kustomization", "resources: [web.yaml]\nreplicas:\n- {name: web, count: 6}\n");
}

#[test]
fn an_object_is_not_looked_for_among_kustomizations_that_go_too_deep() {
    let mut files = Files::of(&[(OVERLAY, "resources: [n1]\n"), ("clusters/prod/n17/web.yaml", WEB)]);
    for number in 1..=17 {
        let next = if number == 17 { "web.yaml".to_owned() } else { format!("../n{}", number + 1) };
        files.1.insert(format!("clusters/prod/n{number}/kustomization.yaml"), format!("resources: [{next}]\n"));
    }
    let told = refused(set("spec.replicas", "6"), &files);
    assert!(told.contains("build on each other more than 16 deep, beyond clusters/prod/n15/kustomization.yaml"), "{told}");
}

#[test]
fn a_namespace_keeps_its_name_but_for_the_namespace_of_its_kustomization() {
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: old, labels: {a: b}}\n";
    let tree = |kustomization: &str| Files::of(&[("clusters/prod/n.yaml", namespace), (OVERLAY, kustomization)]);
    for (kustomization, name) in [
        ("resources: [n.yaml]\nnamePrefix: big-\n", "old"),
        ("resources: [n.yaml]\nnamespace: shop\n", "shop"),
        ("resources: [n.yaml]\nnamespace: shop\nnamePrefix: big-\n", "shop"),
    ] {
        let edit = json!({"object": format!("Namespace//{name}"), "set": {"metadata.labels.a": "'c'"}});
        only(&edited(edit, &tree(kustomization)), "clusters/prod/n.yaml", &namespace.replace("a: b", "a: c"));
    }
}
