//! Every rule has a test here that fails when the rule is broken.

mod objects;
mod overlays;
mod paths;
mod policies;
mod schema;
mod secrets;

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

    fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, TreeError> {
        let found = self.entries.get(path);
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

    fn names(&self, directory: &str) -> Result<Vec<String>, TreeError> {
        let inside = |path: &String| {
            let rest = if directory.is_empty() { path.as_str() } else { path.strip_prefix(directory)?.strip_prefix('/')? };
            Some(rest.split_once('/').map_or(rest.to_owned(), |(name, _)| format!("{name}/")))
        };
        let mut names: Vec<String> = self.entries.keys().filter_map(inside).collect();
        names.dedup();
        Ok(names)
    }
}

fn rules() -> Rules {
    Rules::new(KubernetesVersion::newest(), DirectoryPath::root(), UnknownKinds::Warn)
}

fn change(files: &[(&str, &str)]) -> ChangeSet {
    let files = files.iter().map(|(path, text)| (path.parse().expect("a path"), FileChange::Write(text.as_bytes().to_vec()))).collect();
    ChangeSet { files, templates: BTreeMap::from([("namespace".to_owned(), "digest".to_owned())]), notes: Vec::new() }
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), tail in "[-a-z:{}\\[\\], \n#&*|'\"]{0,80}") {
        let mut changes = ChangeSet::default();
        changes.files.insert("a.yaml".parse().expect("a path"), FileChange::Write(bytes));
        changes.files.insert("b.yaml".parse().expect("a path"), FileChange::Write(tail.clone().into_bytes()));
        changes.files.insert("c.yaml".parse().expect("a path"), FileChange::Write(format!("{DEPLOYMENT}  {tail}").into_bytes()));
        let _ = validate(changes, &FakeTree::new(), &rules());
    }
}
