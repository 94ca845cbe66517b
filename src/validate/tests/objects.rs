//! What a file must hold: documents, objects, and the files that are neither.

use super::*;

#[test]
fn a_file_is_utf_8_not_too_large_not_empty_and_what_its_name_says() {
    let bytes = |bytes: Vec<u8>| {
        let mut changes = ChangeSet::default();
        changes.files.insert("a.yaml".parse().expect("a path"), FileChange::Write(bytes));
        findings(changes, &FakeTree::new(), &rules()).remove(0)
    };
    assert_eq!(bytes(vec![b' '; crate::plan::MAX_FILE_BYTES + 1]).rule, "file.size");
    let encoding = bytes(b"a: 1\nb: \xff\n".to_vec());
    assert_eq!((encoding.rule.as_str(), encoding.line), ("file.encoding", Some(2)));
    assert_eq!(bytes(b"# nothing\n".to_vec()).rule, "file.empty");
    assert_eq!(broken("apiVersion: v1\nkind: Namespace\nmetadata: { name: \"a\", labels: { x: \"\0\" } }\n"), ["yaml.syntax"]);
    assert_eq!(broken("a: 1\na: 2\n"), ["yaml.syntax"]);
    assert_eq!(broken_at("a.json", NAMESPACE), ["json.syntax"]);
    assert_eq!(broken_at("a.json", r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"web"}}"#), Vec::<String>::new());
    assert_eq!(broken_at("a.json", r#"{"apiVersion":"v1","kind":"Namespace","kind":"Namespace","metadata":{"name":"web"}}"#), ["yaml.syntax"]);
}

#[test]
fn every_document_is_an_object_with_a_name() {
    for (text, pointer) in [
        ("kind: Namespace\nmetadata: { name: a }\n", "/apiVersion"),
        ("apiVersion: v1\nmetadata: { name: a }\n", "/kind"),
        ("apiVersion: v1\nkind: Namespace\n", "/metadata/name"),
        ("apiVersion: v1\nkind: Namespace\nmetadata: { name: '' }\n", "/metadata/name"),
        ("apiVersion: v1\nkind: Namespace\nmetadata: { name: 1 }\n", "/metadata/name"),
        ("apiVersion: [v1]\nkind: Namespace\nmetadata: { name: a }\n", "/apiVersion"),
        ("- a\n", ""),
        ("just text\n", ""),
    ] {
        let finding = only(text);
        assert_eq!((finding.rule.as_str(), finding.pointer.as_deref()), ("object.identity", Some(pointer)), "{text}");
        assert_eq!(finding.document, Some(0));
    }
    let generated = only("apiVersion: batch/v1\nkind: Job\nmetadata:\n  generateName: x-\n");
    assert_eq!((generated.rule.as_str(), generated.line), ("object.generate_name", Some(4)));
    assert!(generated.hint.is_some());
    let second = only(&format!("{NAMESPACE}---\nfoo: bar\n"));
    assert_eq!((second.document, second.line), (Some(1), Some(6)));
}

#[test]
fn a_list_is_looked_into_and_a_typed_list_is_refused() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: { name: a }\n- apiVersion: v1\n  kind: List\n  items:\n  - kind: Namespace\n";
    let finding = only(list);
    assert_eq!((finding.rule.as_str(), finding.pointer.as_deref(), finding.line), ("object.identity", Some("/items/1/items/0/apiVersion"), Some(10)));
    assert_eq!(broken("apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: { name: a }\n  data: { a: b }\n"), ["object.list"]);
    assert_eq!(
        broken("apiVersion: v1\nkind: SecretList\nitems:\n- metadata: { name: a }\n  stringData: { a: b }\n"),
        ["secret.plaintext", "object.list"]
    );
}

#[test]
fn names_are_what_kubernetes_takes() {
    for name in ["a/b", "'..'", "a%2f", "'a b'", "\"a\\n\""] {
        assert_eq!(broken(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {name} }}\n")), ["object.name"], "{name}");
    }
    assert_eq!(
        broken("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: 'system:x' }\nrules: []\n"),
        Vec::<String>::new()
    );
    assert_eq!(broken("apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a, namespace: A_b }\n"), ["object.namespace"]);
}

#[test]
fn the_same_object_twice_is_refused() {
    assert_eq!(broken(&format!("{NAMESPACE}---\n{NAMESPACE}")), ["object.twice"]);
    let all = findings(change(&[("a.yaml", NAMESPACE), ("b/c.yaml", NAMESPACE)]), &FakeTree::new(), &rules());
    assert_eq!((all[0].rule.as_str(), all[0].path.as_str()), ("object.twice", "b/c.yaml"));
    assert!(all[0].message.contains("a.yaml:1"), "{}", all[0]);
    assert_eq!(broken(&format!("{NAMESPACE}---\n{}", NAMESPACE.replace("web", "other"))), Vec::<String>::new());
}

#[test]
fn helm_input_and_kustomizations_are_no_objects() {
    for name in ["values.yaml", "values-prod.yaml", "prod-values.yaml", "prod.values.yml", "values.prod.yaml"] {
        assert_eq!(broken_at(&format!("charts/{name}"), "replicas: 2\nimage: { tag: x }\n"), Vec::<String>::new(), "{name}");
        assert_eq!(broken_at(&format!("charts/{name}"), "- a\n"), ["object.identity"], "{name}");
        assert_eq!(broken_at(&format!("charts/{name}"), "kind: Deployment\n"), ["object.identity"], "{name}");
    }
    assert_eq!(broken_at("charts/Chart.yaml", "apiVersion: v2\nname: x\nversion: 1.0.0\n"), Vec::<String>::new());
    // A name takes no object out of the checks.
    assert_eq!(broken_at("charts/Chart.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\nversion: 1.0.0\n"), ["schema.unknown_field"]);
    assert_eq!(broken_at("charts/Chart.yaml", "kind: ConfigMap\nname: x\n"), ["object.identity"]);
    assert_eq!(broken_at("charts/Chart.yml", "apiVersion: v2\nname: x\n"), ["object.identity"]);
    assert_eq!(broken_at("config.yaml", "replicas: 2\n"), ["object.identity"]);
    assert_eq!(broken_at("a/kustomization.yaml", "resources: [a.yaml]\nimages: [{ name: a, newTag: b }]\n"), Vec::<String>::new());
    assert_eq!(broken_at("a/kustomization.yaml", "resource: [a.yaml]\n"), ["kustomization.unknown_field"]);
    assert_eq!(broken_at("a/kustomization.yaml", "kind: Deployment\n"), ["kustomization.type"]);
    assert_eq!(broken_at("a/kustomization.yaml", "resources: { a: b }\n"), ["kustomization.type"]);
    assert_eq!(broken_at("a/kustomization.yaml", "resources: []\n---\nresources: []\n"), ["kustomization.type"]);
}

#[test]
fn a_patch_that_a_kustomization_names_may_be_a_part() {
    let patch = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: api }\nspec: { replicas: 3, template: { spec: { containers: [{ name: a, $patch: delete }] } } }\n";
    assert_eq!(broken_at("o/p.yaml", patch), ["schema.required", "schema.unknown_field"]);
    for kustomization in ["patches: [{ path: p.yaml }]\n", "patchesStrategicMerge: [./p.yaml]\n"] {
        let base = FakeTree::new().file("o/kustomization.yaml", kustomization);
        assert!(findings(change(&[("o/p.yaml", patch)]), &base, &rules()).is_empty());
        assert_eq!(findings(change(&[("o/p.yaml", &patch.replace("replicas", "replica"))]), &base, &rules())[0].rule, "schema.unknown_field");
    }
    // The change's own kustomization counts, one above does, and the part does not clash with the whole.
    let files = [
        ("o/kustomization.yml", "patches: [{ path: parts/p.yaml }]\n"),
        ("o/parts/p.yaml", patch),
        ("p/d.yaml", &DEPLOYMENT.replace("  namespace: web\n", "")),
    ];
    assert_eq!(findings(change(&files), &FakeTree::new(), &rules()), []);
    let operations = "- { op: replace, path: /spec/replicas, value: 3 }\n";
    let base = |target: &str| FakeTree::new().file("kustomization.yaml", &format!("patches: [{{ path: p.yaml, target: {{ kind: {target} }} }}]\n"));
    assert!(findings(change(&[("p.yaml", operations)]), &base("Deployment"), &rules()).is_empty());
    assert_eq!(findings(change(&[("p.yaml", operations)]), &base("Secret"), &rules())[0].rule, "object.identity");
}

#[test]
fn what_readers_disagree_on_and_what_hides_is_told_to_the_reviewer() {
    let finding = only("apiVersion: v1\nkind: ServiceAccount\nmetadata: { name: a }\nautomountServiceAccountToken: no\n");
    assert_eq!((finding.rule.as_str(), finding.severity, finding.line), ("yaml.ambiguous", Severity::Warning, Some(4)));
    assert!(finding.message.contains("`no` is false to kubectl and text to YAML 1.2"), "{}", finding.message);
    assert_eq!(broken("apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata: { 'no': 'on', y: x }\n"), ["yaml.ambiguous"]);
    assert_eq!(broken("apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata: { a: \"x\u{202e}y\" }\n"), ["yaml.hidden"]);
    assert_eq!(broken("apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata: { a: \"größer 😀\" }\n"), Vec::<String>::new());
}

#[test]
fn the_fields_of_a_kustomization_hold_what_kustomize_reads() {
    for (text, told) in [
        ("replicas:\n- name: web\n  count: three\n", "a/kustomization.yaml:3: `replicas[].count` is to be a whole number from 0 on"),
        ("replicas:\n- name: web\n  count: -4\n", "a/kustomization.yaml:3: `replicas[].count` is to be a whole number from 0 on"),
        (
            "replicas:\n- name: web\n",
            "a/kustomization.yaml:2: an entry of `replicas` has no `count` (without it Kustomize takes 0: write `count: 0`, or take the entry out)",
        ),
        ("images:\n- name: a\n  newTag: 1.10\n", "a/kustomization.yaml:3: `images[].newTag` is to be text (write it in quotes: \"1.1\")"),
        ("images:\n- name: a\n  tag: b\n", "a/kustomization.yaml:3: an entry of `images` has no field `tag`"),
        ("namespace: 7\n", "a/kustomization.yaml:1: `namespace` is to be text (write it in quotes: \"7\")"),
        ("resources:\n- a.yaml\n- {b: c}\n", "a/kustomization.yaml:3: `an entry of resources` is to be text"),
        ("commonLabels:\n  a: true\n", "a/kustomization.yaml:2: `commonLabels.a` is to be text (write it in quotes: \"true\")"),
        ("patches: [a.yaml]\n", "a/kustomization.yaml:1: an entry of `patches` is to be a mapping"),
        (
            "patches:\n- patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n    spec:\n      replicas: three\n      selector: null\n      $patch: merge\n",
            "a/kustomization.yaml:7: the patch of Deployment: `spec.replicas`: expected a whole number, found the text \"three\"",
        ),
        ("patches:\n- patch: 'a: ['\n", "a/kustomization.yaml:2: the patch cannot be read"),
    ] {
        let found: Vec<String> =
            findings(change(&[("a/kustomization.yaml", text)]), &FakeTree::new(), &rules()).iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|found| found.contains(told)) && found.len() == 1, "{text}: {found:?}");
    }
    for text in ["replicas: []\nimages:\n", "namespace:\nresources: [a.yaml]\nreplicas: [{name: a, count: 0}]\n"] {
        assert_eq!(broken_at("a/kustomization.yaml", text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_number_that_the_api_server_refuses_is_told_with_its_line_in_objects_and_in_patches() {
    let negative = only(&DEPLOYMENT.replace("replicas: 2", "replicas: -1"));
    assert_eq!((negative.rule.as_str(), negative.pointer.as_deref()), ("object.value", Some("/spec/replicas")));
    let line = 1 + DEPLOYMENT.lines().position(|line| line.contains("replicas")).expect("replicas");
    assert_eq!(negative.line.map(|line| line as usize), Some(line));
    assert!(negative.message.ends_with("`spec.replicas`: expected 0 or more, found the number -1"), "{}", negative.message);
    let autoscaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: { name: a }\nspec:\n  scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: a }\n  minReplicas: 5\n  maxReplicas: 3\n";
    let fewer = only(autoscaler);
    assert_eq!((fewer.rule.as_str(), fewer.line), ("object.value", Some(7)));
    assert!(broken(&autoscaler.replace("maxReplicas: 3", "maxReplicas: 5")).is_empty());
    let patch = "resources: [a.yaml]\npatches:\n  - patch: |\n      apiVersion: apps/v1\n      kind: Deployment\n      metadata: { name: a }\n      spec:\n        replicas: -1\n";
    let found = findings(change(&[("kustomization.yaml", patch)]), &FakeTree::new(), &rules());
    assert_eq!(found.iter().map(|finding| (finding.rule.as_str(), finding.line)).collect::<Vec<_>>(), [("object.value", Some(8))], "{found:?}");
}
