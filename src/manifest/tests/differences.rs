use super::*;

#[test]
fn what_kustomize_makes_a_secret_from_is_masked_as_the_secret_is() {
    for (old, new) in [
        ("secretGenerator:\n- name: s\n  literals: [pw=aaa]\n", "secretGenerator:\n- name: s\n  literals: [pw=bbb]\n"),
        ("- {op: add, path: /stringData/pw, value: aaa}\n", "- {op: add, path: /stringData/pw, value: bbb}\n"),
        ("patches: [{target: {kind: Secret}, patch: aaa}]\n", "patches: [{target: {kind: Secret}, patch: bbb}]\n"),
    ] {
        let told = format!("{:?}", diff(&read(old), &read(new)));
        assert!(told.contains("***") && !told.contains("aaa") && !told.contains("bbb"), "{told}");
    }
}

fn lines(old: &str, new: &str) -> Vec<String> {
    diff(&read(old), &read(new)).iter().map(ToString::to_string).collect()
}

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: { name: api, namespace: web, annotations: { example.com/owner: me } }
spec:
  replicas: 2
  template:
    spec:
      containers:
        - { name: api, image: 'registry/api:1.0', args: [a, b] }
        - { name: sidecar, image: 'registry/side:1.0' }
";

#[test]
fn a_changed_field_is_told_with_its_path_and_both_values() {
    assert_eq!(lines(DEPLOYMENT, &DEPLOYMENT.replace("replicas: 2", "replicas: 4")), ["Deployment web/api: spec.replicas 2 -> 4"]);
    assert_eq!(
        lines(DEPLOYMENT, &DEPLOYMENT.replace("api:1.0", "api:1.1").replace("owner: me", "owner: 'on'")),
        [
            r#"Deployment web/api: metadata.annotations["example.com/owner"] me -> "on"; spec.template.spec.containers[name=api].image registry/api:1.0 -> registry/api:1.1"#
        ]
    );
    assert_eq!(
        lines(DEPLOYMENT, &DEPLOYMENT.replace("[a, b]", "[a]")),
        ["Deployment web/api: spec.template.spec.containers[name=api].args[1] removed, was b"]
    );
}

#[test]
fn named_elements_are_matched_by_name_and_a_new_order_is_told() {
    let swapped = DEPLOYMENT
        .replace("{ name: api, image: 'registry/api:1.0', args: [a, b] }", "X")
        .replace("{ name: sidecar, image: 'registry/side:1.0' }", "{ name: api, image: 'registry/api:1.0', args: [a, b] }")
        .replace("- X", "- { name: sidecar, image: 'registry/side:1.0' }");
    assert_eq!(lines(DEPLOYMENT, &swapped), ["Deployment web/api: spec.template.spec.containers [api, sidecar] -> [sidecar, api]"]);
    let without = DEPLOYMENT.replace("        - { name: api, image: 'registry/api:1.0', args: [a, b] }\n", "");
    let changes = diff(&read(DEPLOYMENT), &read(&without));
    assert_eq!(changes[0].fields.len(), 1);
    assert_eq!(changes[0].fields[0].path, "spec.template.spec.containers[name=api]");
    assert_eq!(changes[0].fields[0].new, None);
}

#[test]
fn objects_come_and_go_and_move_between_versions_of_their_group() {
    let two = format!("{DEPLOYMENT}---\napiVersion: v1\nkind: Namespace\nmetadata: {{ name: web }}\n");
    assert_eq!(lines(DEPLOYMENT, &two), ["Namespace web: added"]);
    assert_eq!(lines(&two, DEPLOYMENT), ["Namespace web: removed"]);
    assert_eq!(lines(DEPLOYMENT, &DEPLOYMENT.replace("apps/v1", "apps/v2")), ["Deployment web/api: apiVersion apps/v1 -> apps/v2"]);
    assert_eq!(lines("apiVersion: v1\nkind: List\nitems: []\n", DEPLOYMENT).len(), 1);
}

#[test]
fn an_object_in_a_list_is_the_same_object_as_one_on_its_own() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- { apiVersion: v1, kind: Namespace, metadata: { name: web } }\n";
    assert_eq!(lines(list, "{ apiVersion: v1, kind: Namespace, metadata: { name: web } }"), Vec::<String>::new());
}

#[test]
fn the_same_content_in_another_form_is_no_change() {
    assert!(lines("a: 1 # x\nb: [c]\n", "{ b: ['c'], a: 1 }").is_empty());
    assert_eq!(lines("replicas: 1\n", "replicas: '1'\n"), [r#"document 1: replicas 1 -> "1""#]);
}

#[test]
fn what_a_secret_holds_is_never_told() {
    let secret = |value: &str| format!("{{ apiVersion: v1, kind: Secret, metadata: {{ name: s }}, stringData: {{ password: {value} }} }}");
    let nested = |value: &str| format!("{{ apiVersion: x/v1, kind: Template, metadata: {{ name: t }}, spec: {{ objects: [{}] }} }}", secret(value));
    let annotated = |value: &str| {
        format!(
            "{{ apiVersion: v1, kind: Secret, metadata: {{ name: s, annotations: {{ last: '{{\"kind\":\"Secret\",\"data\":\"{value}\"}}' }} }} }}"
        )
    };
    for make in [&secret as &dyn Fn(&str) -> String, &nested, &annotated] {
        let changes = diff(&read(&make("hunter2")), &read(&make("hunter3")));
        assert_eq!(changes.len(), 1);
        for shown in [serde_json::to_string(&changes).expect("JSON"), format!("{changes:?}"), changes[0].to_string()] {
            assert!(!shown.contains("hunter"), "{shown}");
            assert!(shown.contains("***"), "{shown}");
        }
    }
    // A whole new element that holds one.
    let changes = diff(&read("spec: {}"), &read(&format!("spec: {{ a: {} }}", secret("hunter2"))));
    assert!(!format!("{changes:?}").contains("hunter"));
}

#[test]
fn a_line_stays_short_and_a_change_survives_json() {
    let many = |n: u32| (0..9).map(|field| format!("f{field}: {n}\n")).collect::<String>();
    let changes = diff(&read(&many(1)), &read(&many(2)));
    assert_eq!(changes[0].to_string(), "document 1: f0 1 -> 2; f1 1 -> 2; f2 1 -> 2; f3 1 -> 2; and 5 more fields");
    let back: Vec<ObjectChange> = serde_json::from_str(&serde_json::to_string(&changes).expect("JSON")).expect("changes");
    assert_eq!(back, changes);
    let long = diff(&read("a: b"), &read(&format!("a: {}", "x".repeat(500))));
    assert!(long[0].to_string().len() < 100);
}

proptest! {
    #[test]
    fn equal_documents_never_differ_and_different_ones_always_do(a in scalars::value(&nasty().boxed()), b in scalars::value(&nasty().boxed())) {
        let document = |value: &Value| read(&write_value(&serde_json::json!({ "v": value })));
        prop_assert!(diff(&document(&a), &document(&a)).is_empty());
        prop_assert_eq!(diff(&document(&a), &document(&b)).is_empty(), a == b);
    }
}
