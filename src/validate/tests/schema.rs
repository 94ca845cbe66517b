//! What Kubernetes' own schemas say.

use super::*;

#[test]
fn a_schema_fault_has_its_line_what_was_expected_and_what_was_meant() {
    let told = |from: &str, to: &str| {
        assert!(DEPLOYMENT.contains(from), "{from}");
        let finding = only(&DEPLOYMENT.replacen(from, to, 1));
        (finding.rule, finding.pointer.unwrap_or_default(), finding.line.unwrap_or_default(), finding.message, finding.hint.unwrap_or_default())
    };
    let (rule, pointer, line, message, hint) = told("replicas: 2", "replicas: '2'");
    assert_eq!((rule.as_str(), pointer.as_str(), line), ("schema.type", "/spec/replicas", 7));
    assert_eq!(message, "Deployment web/api: `spec.replicas`: expected a whole number, found the text \"2\"");
    assert_eq!(hint, "write it without quotes");
    let (rule, pointer, line, message, hint) = told("replicas: 2", "replica: 2");
    assert_eq!((rule.as_str(), pointer.as_str(), line), ("schema.unknown_field", "/spec/replica", 7));
    assert_eq!((message.as_str(), hint.as_str()), ("Deployment web/api: `spec` has no field `replica`", "did you mean `replicas`?"));
    let (rule, pointer, line, _, hint) = told("          image:", "          imaeg:");
    assert_eq!((rule.as_str(), pointer.as_str(), line), ("schema.unknown_field", "/spec/template/spec/containers/0/imaeg", 14));
    assert_eq!(hint, "did you mean `image`?");
    let (rule, pointer, line, message, _) = told("        - name: api", "        - workingDir: /x");
    assert_eq!((rule.as_str(), pointer.as_str(), line), ("schema.required", "/spec/template/spec/containers/0", 13));
    assert!(message.contains("`name` is missing in `spec.template.spec.containers[0]`"), "{message}");
    let (rule, _, _, message, hint) = told("cpu: 500m", "cpu: 4 cores");
    assert_eq!((rule.as_str(), hint.contains("500m")), ("schema.value", true), "{message}");
    let (rule, _, _, message, _) = told("replicas: 2", "replicas: 3000000000");
    assert!(rule == "schema.value" && message.contains("2147483647"), "{message}");
    let (rule, _, _, _, hint) = told("app: api", "app: 1");
    assert_eq!((rule.as_str(), hint.as_str()), ("schema.type", "put it in quotes"));
    let (rule, pointer, ..) = told("  selector: { matchLabels: { app: api } }\n", "");
    assert_eq!((rule.as_str(), pointer.as_str()), ("schema.required", "/spec"));
    let (rule, pointer, ..) = told("metadata:\n  name: api", "spek: {}\nmetadata:\n  name: api");
    assert_eq!((rule.as_str(), pointer.as_str()), ("schema.unknown_field", "/spek"));
}

#[test]
fn quantities_and_ports_may_be_numbers_or_text() {
    for cpu in ["1", "0.5", "'2'", "500m", "1e3", "1Gi", "+1", "null"] {
        assert_eq!(broken(&DEPLOYMENT.replace("cpu: 500m", &format!("cpu: {cpu}"))), Vec::<String>::new(), "{cpu}");
    }
    for cpu in ["''", "'1 '", "true", "1GiB", "[]"] {
        assert_eq!(broken(&DEPLOYMENT.replace("cpu: 500m", &format!("cpu: {cpu}"))).len(), 1, "{cpu}");
    }
    for port in ["80", "http", "'80'"] {
        let service = format!("apiVersion: v1\nkind: Service\nmetadata: {{ name: a }}\nspec: {{ ports: [{{ port: 80, targetPort: {port} }}] }}\n");
        assert_eq!(broken(&service), Vec::<String>::new(), "{port}");
    }
}

#[test]
fn kinds_that_kubernetes_does_not_have_are_told_apart_from_kinds_of_others() {
    let wrong = only("apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: { name: a }\n");
    assert_eq!((wrong.rule.as_str(), wrong.hint.as_deref()), ("schema.kind", Some("there is `Ingress` of `networking.k8s.io/v1`")));
    let wrong = only("apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: { name: a }\n");
    assert_eq!(
        (wrong.rule.as_str(), wrong.severity, wrong.hint.as_deref()),
        ("schema.kind", Severity::Error, Some("there is `Deployment` of `apps/v1`"))
    );
    let wrong = only("apiVersion: v1\nkind: Deployment\nmetadata: { name: a }\n");
    assert_eq!(wrong.hint.as_deref(), Some("there is `Deployment` of `apps/v1`"));
    let wrong = only("apiVersion: v1\nkind: Namespcae\nmetadata: { name: a }\n");
    assert_eq!(wrong.hint.as_deref(), Some("there is `Namespace` of `v1`"));
    let foreign = "apiVersion: example.com/v1\nkind: Widget\nmetadata: { name: a }\nspec: { any: thing }\n";
    for (setting, severity) in
        [(UnknownKinds::Deny, Some(Severity::Error)), (UnknownKinds::Warn, Some(Severity::Warning)), (UnknownKinds::Allow, None)]
    {
        let found = findings(change(&[("a.yaml", foreign)]), &FakeTree::new(), &Rules { unknown_kinds: setting, ..rules() });
        assert_eq!(found.first().map(|finding| finding.severity), severity);
        assert!(found.iter().all(|finding| finding.rule == "schema.unknown_kind"));
    }
}

#[test]
fn the_schemas_follow_the_version_asked_for() {
    // `resource.k8s.io/v1` came with 1.34.
    let text = "apiVersion: resource.k8s.io/v1\nkind: DeviceClass\nmetadata: { name: a }\nspec: {}\n";
    let at = |version: &str| {
        let rules = Rules { kubernetes: version.parse().expect("a version"), ..rules() };
        findings(change(&[("a.yaml", text)]), &FakeTree::new(), &rules).into_iter().map(|finding| finding.rule).collect::<Vec<_>>()
    };
    assert_eq!(at("1.33"), ["schema.kind"]);
    assert_eq!(at("1.34"), Vec::<String>::new());
    assert!("1.20".parse::<KubernetesVersion>().expect_err("old").to_string().contains("1.33, 1.34, 1.35, 1.36, 1.37"));
    assert_eq!(KubernetesVersion::newest().to_string(), "1.37");
    assert_eq!(serde_json::to_string(&KubernetesVersion::newest()).expect("JSON"), "\"1.37\"");
    assert!(serde_json::from_str::<KubernetesVersion>("\"1.99\"").is_err());
}

const WIDGETS: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.com}\nspec:\n  group: example.com\n  names: {kind: Widget, plural: widgets}\n  scope: Namespaced\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema:\n      openAPIV3Schema:\n        type: object\n        properties:\n          spec: {type: object, properties: {size: {type: integer}}}\n";
const WIDGET: &str = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec:\n  sise: 1\n";

fn widget(rules: &Rules, base: FakeTree, also: &[(&str, &str)]) -> Vec<(String, Option<u32>, Option<String>)> {
    let mut files = vec![("w.yaml", WIDGET)];
    files.extend_from_slice(also);
    let findings = match validate(change(&files), &base, rules) {
        Ok(change) => change.warnings().to_vec(),
        Err(ValidateError::Rejected(rejection)) => rejection.findings,
        Err(error) => panic!("{error}"),
    };
    findings.into_iter().map(|finding| (finding.rule, finding.line, finding.hint)).collect()
}

#[test]
fn a_kind_of_somebody_else_is_held_against_the_definition_there_is() {
    let refused = [("schema.unknown_field".to_owned(), Some(5), Some("did you mean `size`?".to_owned()))];
    let unknown = widget(&rules(), FakeTree::new(), &[]);
    assert_eq!(unknown[0].0, "schema.unknown_kind");
    // With the change.
    assert_eq!(widget(&rules(), FakeTree::new(), &[("crd.yaml", WIDGETS)]), refused);
    // In the repository, where it is told to look.
    let base = || FakeTree::new().file("platform/crds/a/widgets.yaml", WIDGETS).file("platform/crds/README.md", "# x").file("other/x.yaml", "a: [");
    assert_eq!(widget(&rules(), base(), &[])[0].0, "schema.unknown_kind");
    let looking = Rules { schema_directories: vec!["platform/crds".parse().expect("a directory")], ..rules() };
    assert_eq!(widget(&looking, base(), &[]), refused);
    // From the server's own directory.
    let (set, problems) = SchemaSet::read([("widgets.yaml", WIDGETS.as_bytes())]);
    assert!(problems.is_empty());
    assert_eq!(widget(&Rules { schemas: Arc::new(set), ..rules() }, FakeTree::new(), &[]), refused);
}

#[test]
fn a_version_that_is_not_served_is_refused_and_a_broken_definition_is_told() {
    let looking = Rules { schema_directories: vec![DirectoryPath::root()], unknown_kinds: UnknownKinds::Deny, ..rules() };
    let found = widget(&looking, FakeTree::new().file("crd.yaml", &WIDGETS.replace("name: v1\n", "name: v2\n")), &[]);
    assert_eq!((found[0].0.as_str(), found[0].2.as_deref()), ("schema.kind", Some("there is `Widget` of `example.com/v2`")));
    let broken = FakeTree::new().file("crd.yaml", "kind: CustomResourceDefinition\n a: b\n").file("ok.yaml", WIDGETS);
    let found = widget(&looking, broken, &[]);
    assert!(found.iter().any(|(rule, ..)| rule == "schema.unreadable") && found.iter().any(|(rule, ..)| rule == "schema.unknown_field"), "{found:?}");
}

#[test]
fn a_schema_directory_that_is_not_there_is_told_and_a_refused_kind_names_its_next_step() {
    let looking = Rules { schema_directories: vec!["platform/crd".parse().expect("a directory")], unknown_kinds: UnknownKinds::Deny, ..rules() };
    let base = FakeTree::new().file("platform/crds/widgets.yaml", WIDGETS);
    let found = widget(&looking, base, &[]);
    let hint = |rule: &str| found.iter().find(|(found, ..)| found == rule).and_then(|(_, _, hint)| hint.clone()).unwrap_or_default();
    assert!(hint("schema.unreadable").contains("mend the `schemas`"), "{found:?}");
    assert!(hint("schema.unknown_kind").contains("SCHEMAS_DIR") && hint("schema.unknown_kind").contains("`unknownKinds: warn`"), "{found:?}");
}

#[test]
fn a_definition_with_a_type_that_there_is_not_is_told_with_its_line() {
    let (set, problems) = SchemaSet::read([("w.yaml", WIDGETS.replace("integer", "intger").as_bytes())]);
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!((problem.line, problem.message.as_str()), (16, "there is no type `intger`"));
    assert_eq!(problem.hint.as_deref(), Some("did you mean `integer`?"));
    assert_eq!(set.len(), 1);
    let (_, problems) =
        SchemaSet::read([("old.yaml", &b"apiVersion: apiextensions.k8s.io/v1beta1\nkind: CustomResourceDefinition\nmetadata: {name: a}\n"[..])]);
    assert!(problems.iter().any(|problem| problem.message == "`spec` is missing"), "{problems:?}");
}
