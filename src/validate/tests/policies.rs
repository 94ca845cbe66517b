//! Policies and limits in the gate.

use super::policy::{Policies, TestedPolicies, shipped};
use super::*;

fn baseline() -> Rules {
    let shipped = shipped().expect("the shipped policies");
    Rules { policies: Policies::new(shipped.policies, shipped.bindings, &[]), ..rules() }
}

fn privileged() -> String {
    DEPLOYMENT.replace("          image", "          securityContext: { privileged: true }\n          image")
}

fn denied(change: ChangeSet, base: &FakeTree) -> Vec<(String, u32)> {
    let found = findings(change, base, &baseline());
    let denied = found.into_iter().filter(|finding| finding.severity == Severity::Error);
    denied.map(|finding| (format!("{} {}", finding.rule, finding.path), finding.line.unwrap_or(0))).collect()
}

#[test]
fn every_object_that_changes_is_held_against_the_policies_and_found_at_its_line() {
    let both = format!("{NAMESPACE}---\n{}", privileged());
    assert_eq!(denied(change(&[("a.yaml", &both)]), &FakeTree::new()), [("policy.baseline-pods a.yaml".to_owned(), 6)]);
    let list = "kind: List\napiVersion: v1\nitems:\n  - { apiVersion: v1, kind: ConfigMap, metadata: { name: a, namespace: kube-system } }\n";
    assert_eq!(denied(change(&[("a.yaml", list)]), &FakeTree::new()), [("policy.baseline-namespaces a.yaml".to_owned(), 4)]);
}

#[test]
fn an_object_that_stays_as_it_is_was_not_made_by_the_change_wherever_it_goes() {
    let base = FakeTree::new().file("a.yaml", &format!("{NAMESPACE}---\n{}", privileged()));
    let other = format!("{}---\n{}", NAMESPACE.replace("name: web", "name: web\n  labels: { a: b }"), privileged());
    assert_eq!(denied(change(&[("a.yaml", &other)]), &base), []);
    // It moves to another file: nothing of it changes.
    assert_eq!(denied(change(&[("a.yaml", NAMESPACE), ("b.yaml", &privileged())]), &base), []);
    // It changes: Kubernetes would refuse it now.
    let changed = format!("{NAMESPACE}---\n{}", privileged().replace("replicas: 2", "replicas: 3"));
    assert_eq!(denied(change(&[("a.yaml", &changed)]), &base).len(), 1);
}

#[test]
fn what_goes_is_judged_where_it_stood() {
    let base = FakeTree::new()
        .file("a.yaml", NAMESPACE)
        .file("b.yaml", &format!("{NAMESPACE}---\n{DEPLOYMENT}").replace("name: web\n---", "name: other\n---"));
    let mut gone = change(&[("b.yaml", DEPLOYMENT)]);
    gone.files.insert("a.yaml".parse().expect("a path"), FileChange::Remove);
    assert_eq!(denied(gone, &base), [("policy.baseline-namespaces a.yaml".to_owned(), 0), ("policy.baseline-namespaces b.yaml".to_owned(), 0)]);
}

#[test]
fn a_patch_is_no_whole_object() {
    let kustomization = "resources: [a.yaml]\npatches: [{ path: patch.yaml }]\n";
    assert_eq!(denied(change(&[("kustomization.yaml", kustomization), ("patch.yaml", &privileged())]), &FakeTree::new()), []);
    // What is built as an object is judged as one, whatever else it is named as.
    let both = "resources: [./patch.yaml]\npatches: [{ path: patch.yaml }]\n";
    let found = denied(change(&[("kustomization.yaml", both), ("patch.yaml", &privileged())]), &FakeTree::new());
    assert!(found.iter().any(|(rule, _)| rule.starts_with("policy.baseline-pods")), "{found:?}");
    let base = FakeTree::new()
        .file("kustomization.yaml", "resources: [apps/patch.yaml]\n")
        .file("apps/kustomization.yaml", "patches: [{ path: patch.yaml }]\n");
    assert!(!denied(change(&[("apps/patch.yaml", &privileged())]), &base).is_empty());
}

#[test]
fn the_namespace_is_the_one_of_the_change_or_the_one_kept_in_the_base() {
    let policy = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: { name: p }\nspec:\n  matchConstraints:\n    resourceRules: [{ apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments] }]\n    namespaceSelector: { matchLabels: { tier: open } }\n  validations: [{ expression: 'false', message: said }]\n";
    let dir = |path: &str| format!("clusters/a/{path}");
    let open = NAMESPACE.replace("name: web", "name: web\n  labels: { tier: open }");
    let said = |change: ChangeSet, base: &FakeTree| {
        let mut read = TestedPolicies::default();
        read.read("p.yaml", policy).expect("a policy");
        findings(change, base, &Rules { policies: read.bound(), ..rules() }).iter().filter(|finding| finding.rule == "policy.p").count()
    };
    let deployment = dir("apps/api.yaml");
    assert_eq!(said(change(&[(&deployment, DEPLOYMENT)]), &FakeTree::new()), 0);
    assert_eq!(said(change(&[(&deployment, DEPLOYMENT), ("ns.yaml", &open)]), &FakeTree::new()), 1);
    for kept in ["clusters/a/namespaces/web.yaml", "clusters/a/apps/namespace.yaml", "namespaces.yaml", "clusters/a/web/namespace.yaml"] {
        assert_eq!(said(change(&[(&deployment, DEPLOYMENT)]), &FakeTree::new().file(kept, &open)), 1, "{kept}");
    }
}

#[test]
fn a_change_that_does_too_much_at_once_is_refused() {
    let limits = ChangeLimits { files: 2, objects: 3, deletions: 1 };
    let of = |changes: ChangeSet, base: &FakeTree| {
        let found = findings(changes, base, &Rules { limits, ..rules() });
        found.into_iter().map(|finding| finding.rule).collect::<Vec<_>>()
    };
    let named = |name: &str| NAMESPACE.replace("web", name);
    let three = [("a.yaml", named("a")), ("b.yaml", named("b")), ("c.yaml", named("c"))];
    let borrowed: Vec<(&str, &str)> = three.iter().map(|(path, text)| (*path, text.as_str())).collect();
    assert_eq!(of(change(&borrowed), &FakeTree::new()), ["blast.files"]);
    assert_eq!(of(change(&borrowed[..2]), &FakeTree::new()), Vec::<String>::new());
    let many = ["a", "b", "c", "d"].map(named).join("---\n");
    assert_eq!(of(change(&[("a.yaml", &many)]), &FakeTree::new()), ["blast.objects"]);
    let base = FakeTree::new().file("a.yaml", &["a", "b", "c"].map(named).join("---\n"));
    assert_eq!(of(change(&[("a.yaml", &named("a"))]), &base), ["blast.deletions"]);
}
