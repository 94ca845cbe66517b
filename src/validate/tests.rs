//! Every rule has a test here that fails when the rule is broken.

use super::*;
use crate::plan::EntryKind;
use crate::types::CommitSha;
use proptest::prelude::*;

/// A base tree in memory: each path with its kind and bytes; directories follow from the paths.
#[derive(Default)]
struct FakeTree {
    commit: Option<CommitSha>,
    entries: BTreeMap<String, (Option<EntryKind>, Vec<u8>)>,
}

impl FakeTree {
    fn new() -> Self {
        Self { commit: "0123456789012345678901234567890123456789".parse().ok(), entries: BTreeMap::new() }
    }

    fn file(mut self, path: &str, text: &str) -> Self {
        self.entries.insert(path.to_owned(), (Some(EntryKind::File), text.as_bytes().to_vec()));
        self
    }

    fn special(mut self, path: &str, kind: EntryKind) -> Self {
        self.entries.insert(path.to_owned(), (Some(kind), Vec::new()));
        self
    }

    fn broken(mut self, path: &str) -> Self {
        self.entries.insert(path.to_owned(), (None, Vec::new()));
        self
    }
}

impl BaseTree for FakeTree {
    fn commit(&self) -> &CommitSha {
        self.commit.as_ref().expect("a commit")
    }

    fn entry(&self, path: &str) -> Result<Option<EntryKind>, TreeError> {
        match self.entries.get(path) {
            Some((None, _)) => Err(TreeError { message: "disk".to_owned(), class: ErrorClass::Transient }),
            Some((kind, _)) => Ok(*kind),
            None => Ok(self.entries.keys().any(|other| other.starts_with(&format!("{path}/"))).then_some(EntryKind::Directory)),
        }
    }

    fn read(&self, path: &ManifestPath) -> Result<Option<Vec<u8>>, TreeError> {
        let found = self.entries.get(path.as_str());
        Ok(found.filter(|(kind, _)| matches!(kind, Some(EntryKind::File | EntryKind::Executable))).map(|(_, bytes)| bytes.clone()))
    }

    fn spellings(&self, path: &str) -> Result<Vec<String>, TreeError> {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let last = path.rsplit('/').next().unwrap_or(path);
        let inside = |entry: &str| {
            let rest = if parent.is_empty() { Some(entry) } else { entry.strip_prefix(parent).and_then(|rest| rest.strip_prefix('/')) };
            rest.and_then(|rest| rest.split('/').next()).map(str::to_owned)
        };
        let mut names: Vec<String> = self.entries.keys().filter_map(|entry| inside(entry)).filter(|name| name.eq_ignore_ascii_case(last)).collect();
        names.dedup();
        Ok(names)
    }
}

fn rules() -> Rules {
    Rules { kubernetes: KubernetesVersion::default(), within: DirectoryPath::root(), unknown_kinds: UnknownKinds::Warn }
}

fn change(files: &[(&str, &str)]) -> ChangeSet {
    let files = files.iter().map(|(path, text)| (path.parse().expect("a path"), FileChange::Write(text.as_bytes().to_vec()))).collect();
    ChangeSet { files, templates: BTreeMap::from([("namespace".to_owned(), "digest".to_owned())]) }
}

fn findings(change: ChangeSet, base: &FakeTree, rules: &Rules) -> Vec<Finding> {
    match validate(change, base, rules) {
        Ok(validated) => validated.warnings().to_vec(),
        Err(ValidateError::Rejected(rejection)) => {
            assert!(rejection.findings.iter().any(|finding| finding.severity == Severity::Error));
            rejection.findings
        }
        Err(error) => panic!("{error}"),
    }
}

/// The rules that a text breaks as `a.yaml` of an empty base.
fn broken(text: &str) -> Vec<String> {
    broken_at("a.yaml", text)
}

fn broken_at(path: &str, text: &str) -> Vec<String> {
    findings(change(&[(path, text)]), &FakeTree::new(), &rules()).into_iter().map(|finding| finding.rule).collect()
}

fn only(text: &str) -> Finding {
    let mut all = findings(change(&[("a.yaml", text)]), &FakeTree::new(), &rules());
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: web\n";
const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
  namespace: web
spec:
  replicas: 2
  selector: { matchLabels: { app: api } }
  template:
    metadata: { labels: { app: api } }
    spec:
      containers:
        - name: api
          image: registry/api:1.0
          resources: { requests: { cpu: 500m, memory: 512Mi } }
";

fn path_rules(path: &str, base: &FakeTree, rules: &Rules) -> Vec<String> {
    findings(change(&[(path, NAMESPACE)]), base, rules).into_iter().map(|finding| finding.rule).collect()
}

#[test]
fn a_valid_change_passes_with_its_summary() {
    let base = FakeTree::new().file("web/deployment.yaml", DEPLOYMENT);
    let mut changes = change(&[("web/deployment.yaml", &DEPLOYMENT.replace("replicas: 2", "replicas: 4")), ("web/namespace.yaml", NAMESPACE)]);
    changes.files.insert("web/gone.yaml".parse().expect("a path"), FileChange::Remove);
    let validated = validate(changes, &base, &rules()).expect("valid");
    assert_eq!(validated.files().len(), 2);
    assert!(!validated.is_empty());
    assert_eq!(validated.templates()["namespace"], "digest");
    assert_eq!(validated.warnings(), []);
    let told: Vec<String> = validated.summary().iter().map(ToString::to_string).collect();
    assert_eq!(told, ["Deployment web/api: spec.replicas 2 -> 4", "Namespace web: added"]);
    assert_eq!(validated.summary()[0].file.as_ref().map(ManifestPath::as_str), Some("web/deployment.yaml"));
}

#[test]
fn what_equals_the_base_is_left_out_and_an_empty_change_says_so() {
    // It is not even looked at: a fault that is in the base already is not this change's.
    let base = FakeTree::new().file("a.yaml", "not: an object\n").file("b.yaml", NAMESPACE);
    let mut same = change(&[("a.yaml", "not: an object\n"), ("b.yaml", NAMESPACE)]);
    same.files.insert("c.yaml".parse().expect("a path"), FileChange::Remove);
    let validated = validate(same.clone(), &base, &rules()).expect("valid");
    assert!(validated.is_empty() && validated.summary().is_empty());
    same.files.insert("b.yaml".parse().expect("a path"), FileChange::Remove);
    let validated = validate(same, &base, &rules()).expect("valid");
    assert_eq!(validated.files().len(), 1);
    assert_eq!(validated.summary()[0].to_string(), "Namespace web: removed");
}

#[test]
fn everything_wrong_is_told_at_once_in_order() {
    let files =
        [("b.yaml", "kind: x\n"), ("a.yaml", "a: [\n"), ("c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: c }\ndata: 1\nx: 2\n")];
    let all = findings(change(&files), &FakeTree::new(), &rules());
    let told: Vec<_> = all.iter().map(|finding| (finding.path.as_str(), finding.rule.as_str())).collect();
    assert_eq!(told, [("a.yaml", "yaml.syntax"), ("b.yaml", "object.identity"), ("c.yaml", "schema.type"), ("c.yaml", "schema.unknown_field")]);
    let error = validate(change(&files), &FakeTree::new(), &rules()).expect_err("refused");
    assert_eq!(error.class(), ErrorClass::User);
    assert!(error.to_string().ends_with("and 3 more"), "{error}");
}

#[test]
fn a_base_that_cannot_be_read_is_no_rejection() {
    let error = validate(change(&[("a/b.yaml", NAMESPACE)]), &FakeTree::new().broken("a"), &rules()).expect_err("unread");
    assert_eq!(error.class(), ErrorClass::Transient);
    assert!(matches!(error, ValidateError::Base(_)));
}

#[test]
fn a_file_outside_the_directory_is_refused() {
    let within = Rules { within: "clusters/a".parse().expect("a directory"), ..rules() };
    assert_eq!(path_rules("clusters/a/x.yaml", &FakeTree::new(), &within), Vec::<String>::new());
    for path in ["clusters/b/x.yaml", "clusters/ab/x.yaml", "x.yaml"] {
        assert_eq!(path_rules(path, &FakeTree::new(), &within), ["path.outside"]);
    }
}

#[test]
fn a_path_through_anything_but_directories_is_refused() {
    for (kind, rule) in [
        (EntryKind::Symlink, "path.symlink"),
        (EntryKind::Submodule, "path.submodule"),
        (EntryKind::File, "path.file"),
        (EntryKind::Executable, "path.file"),
    ] {
        assert_eq!(path_rules("a/b/c.yaml", &FakeTree::new().special("a", kind), &rules()), [rule]);
        assert_eq!(path_rules("a/b/c.yaml", &FakeTree::new().special("a/b", kind), &rules()), [rule]);
    }
    for (kind, rule) in [(EntryKind::Symlink, "path.symlink"), (EntryKind::Submodule, "path.submodule")] {
        assert_eq!(path_rules("a/b.yaml", &FakeTree::new().special("a/b.yaml", kind), &rules()), [rule]);
        let mut removal = ChangeSet::default();
        removal.files.insert("a/b.yaml".parse().expect("a path"), FileChange::Remove);
        assert_eq!(findings(removal, &FakeTree::new().special("a/b.yaml", kind), &rules())[0].rule, rule);
    }
    assert_eq!(path_rules("a.yaml", &FakeTree::new().file("a.yaml/b.yaml", ""), &rules()), ["path.directory"]);
    assert_eq!(path_rules("a.yaml", &FakeTree::new().special("a.yaml", EntryKind::Executable), &rules()), Vec::<String>::new());
}

#[test]
fn another_spelling_of_a_name_is_refused_at_every_level() {
    assert_eq!(path_rules("a/b/c.yaml", &FakeTree::new().file("A/x.yaml", ""), &rules()), ["path.case"]);
    assert_eq!(path_rules("a/b/c.yaml", &FakeTree::new().file("a/B/x.yaml", ""), &rules()), ["path.case"]);
    assert_eq!(path_rules("a/b/c.yaml", &FakeTree::new().file("a/b/C.yaml", ""), &rules()), ["path.case"]);
    assert_eq!(path_rules("a/b/c.yaml", &FakeTree::new().file("a/b/c.yaml", ""), &rules()), Vec::<String>::new());
    // Within the change: files, directories, and a file where another needs a directory.
    let two = |a, b| findings(change(&[(a, NAMESPACE), (b, "apiVersion: v1\nkind: Namespace\nmetadata: { name: b }\n")]), &FakeTree::new(), &rules());
    assert_eq!(two("a/x.yaml", "a/X.yaml")[0].rule, "path.case");
    assert_eq!(two("a/x.yaml", "A/y.yaml")[0].rule, "path.case");
    assert_eq!(two("a.yaml", "a.yaml/b.yaml")[0].rule, "path.case");
    assert!(two("a/x.yaml", "a/y.yaml").is_empty());
    // A rename to another spelling leaves one.
    let mut rename = change(&[("a.yaml", NAMESPACE)]);
    rename.files.insert("A.yaml".parse().expect("a path"), FileChange::Remove);
    assert!(validate(rename, &FakeTree::new().file("A.yaml", NAMESPACE), &rules()).is_ok());
}

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
    assert!(message.contains("`name` is missing in `spec.template.spec.containers.0`"), "{message}");
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
    assert_eq!(KubernetesVersion::default().to_string(), "1.37");
    assert_eq!(serde_json::to_string(&KubernetesVersion::default()).expect("JSON"), "\"1.37\"");
    assert!(serde_json::from_str::<KubernetesVersion>("\"1.99\"").is_err());
}

#[test]
fn a_plaintext_secret_is_refused_wherever_it_stands() {
    let secret = "{ apiVersion: v1, kind: Secret, metadata: { name: s }, stringData: { password: hunter2 } }";
    let wraps = [
        secret.to_owned(),
        secret.replace("stringData", "data"),
        secret.replace("apiVersion: v1, ", ""),
        format!("apiVersion: v1\nkind: List\nitems: [{secret}]\n"),
        format!("apiVersion: template.openshift.io/v1\nkind: Template\nmetadata: {{ name: t }}\nobjects: [{secret}]\n"),
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: t }}\ndata:\n  s.yaml: |\n    {secret}\n"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: t }\ndata:\n  s.yaml: |\n    kind: Secret\n    data:\n      password: {{ .hunter2 }\n"
            .to_owned(),
        "x: &s { kind: Secret, stringData: { password: hunter2 } }\napiVersion: a.b/v1\nkind: X\nmetadata: { name: x }\nspec: { <<: *s }\n"
            .to_owned(),
        "apiVersion: v1\nkind: Secret\nmetadata: { name: s }\ndata: { a: 'ENC[AES256_GCM,data:hunter2]' }\nsops: { mac: x }\n".to_owned(),
    ];
    for text in wraps {
        let all = findings(change(&[("a.yaml", &text)]), &FakeTree::new(), &rules());
        assert!(all.iter().any(|finding| finding.rule == "secret.plaintext" && finding.severity == Severity::Error), "{text}\n{all:#?}");
        assert!(!format!("{all:?}").contains("hunter2"), "{text}\n{all:#?}");
    }
    assert_eq!(broken_at("values.yaml", "extra:\n- kind: Secret\n  data: { a: b }\n"), ["secret.plaintext"]);
    assert_eq!(broken_at("kustomization.yaml", "secretGenerator:\n- name: a\n  literals: [a=b]\n"), ["secret.plaintext"]);
    assert_eq!(
        broken_at("kustomization.yaml", "patches:\n- target: { kind: Secret }\n  patch: |\n    - { op: add, path: /data/a, value: b }\n"),
        ["secret.plaintext"]
    );
}

#[test]
fn what_only_names_a_secret_or_encrypts_it_is_let_through() {
    for text in [
        "apiVersion: v1\nkind: Secret\nmetadata: { name: token, annotations: { kubernetes.io/service-account.name: x } }\ntype: kubernetes.io/service-account-token\n",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: { name: x }\nsecrets: [{ kind: Secret, name: why }]\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\ndata: { README: 'The kind Secret holds data.' }\n",
    ] {
        assert_eq!(broken(text), Vec::<String>::new(), "{text}");
    }
    for text in [
        "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: { name: x }\nspec: { target: { template: { data: { a: '{{ .b }}' } } } }\n",
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: { name: x }\nspec: { encryptedData: { a: AgB } }\n",
    ] {
        assert_eq!(broken(text), ["schema.unknown_kind"], "{text}");
    }
    let encrypted = |text: &str| format!("ENC[AES256_GCM,data:{text},iv:{}=,tag:{}==,type:str]", "A".repeat(43), "B".repeat(22));
    let sops = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{ name: x }}\nstringData: {{ a: '{}' }}\nsops:\n  mac: '{}'\n  version: 3.9.0\n",
        encrypted("x1Y="),
        encrypted("zz==")
    );
    assert_eq!(broken(&sops), Vec::<String>::new());
    assert_eq!(broken(&sops.replace("stringData: {", "stringData: { b: plain,")), ["secret.plaintext", "schema.unknown_field"]);
    assert_eq!(broken(&sops.replace("mac:", "mic:")), ["secret.plaintext", "schema.unknown_field"]);
}

#[test]
fn helm_input_and_kustomizations_are_no_objects() {
    for name in ["values.yaml", "values-prod.yaml", "prod-values.yaml", "prod.values.yml", "values.prod.yaml"] {
        assert_eq!(broken_at(&format!("charts/{name}"), "replicas: 2\nimage: { tag: x }\n"), Vec::<String>::new(), "{name}");
        assert_eq!(broken_at(&format!("charts/{name}"), "- a\n"), ["object.identity"], "{name}");
        assert_eq!(broken_at(&format!("charts/{name}"), "kind: Deployment\n"), ["object.identity"], "{name}");
    }
    assert_eq!(broken_at("charts/Chart.yaml", "apiVersion: v2\nname: x\nversion: 1.0.0\n"), Vec::<String>::new());
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

/// A value with a plaintext Secret somewhere in it: in lists, mappings and texts.
fn hidden_secret() -> impl Strategy<Value = serde_json::Value> {
    let field = prop_oneof![Just("data"), Just("stringData")];
    let version = prop_oneof![Just(Some("v1")), Just(None)];
    let secret = (field, version, "[a-z]{1,8}").prop_map(|(field, version, name)| {
        let mut secret = serde_json::json!({ "kind": "Secret", "metadata": { "name": name }, field: { name.clone(): "aHVudGVyMg==" } });
        if let Some(version) = version {
            secret["apiVersion"] = version.into();
        }
        secret
    });
    secret.prop_recursive(4, 8, 1, |inner| {
        prop_oneof![
            inner.clone().prop_map(|value| serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": [value] })),
            inner.clone().prop_map(|value| serde_json::json!([1, value, "x"])),
            ("[a-z/~.]{1,6}", inner.clone()).prop_map(|(key, value)| serde_json::json!({ "a": null, key: value })),
            inner
                .clone()
                .prop_map(|value| serde_json::json!({ "apiVersion": "a.b/v1", "kind": "Template", "metadata": { "name": "t" }, "spec": value })),
            inner.clone().prop_map(|value| serde_json::json!({ "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "data": value })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_document_with_a_plaintext_secret_gets_through(
        secret in hidden_secret(), text in any::<bool>(), json in any::<bool>(), name in prop::sample::select(vec!["a.yaml", "values.yaml", "kustomization.yaml", "Chart.yaml"]),
    ) {
        let secret = if text { serde_json::json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" }, "data": { "x": secret.to_string() } }) } else { secret };
        let written = if json { serde_json::to_string_pretty(&secret).expect("JSON") } else { crate::manifest::write_value(&secret) };
        let document = format!("{NAMESPACE}---\n{written}\n");
        for text in [written, document] {
            match validate(change(&[(name, &text)]), &FakeTree::new(), &rules()) {
                Ok(_) => prop_assert!(false, "passed: {}", text),
                Err(ValidateError::Rejected(rejection)) => {
                    prop_assert!(rejection.findings.iter().any(|finding| finding.rule == "secret.plaintext"), "{} {:?}", text, rejection);
                    let shown = format!("{rejection:?} {rejection}");
                    prop_assert!(!shown.contains("aHVudGVyMg"));
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), tail in "[-a-z:{}\\[\\], \n#&*|'\"]{0,80}") {
        let mut changes = ChangeSet::default();
        changes.files.insert("a.yaml".parse().expect("a path"), FileChange::Write(bytes));
        changes.files.insert("b.yaml".parse().expect("a path"), FileChange::Write(tail.clone().into_bytes()));
        changes.files.insert("c.yaml".parse().expect("a path"), FileChange::Write(format!("{DEPLOYMENT}  {tail}").into_bytes()));
        let _ = validate(changes, &FakeTree::new(), &rules());
    }
}
