//! Objects are judged as the kustomizations below the target build them.

use super::super::policy::TestedPolicies;
use super::*;
use crate::plan::{BuildError, Builder};

const K: &str = "kustomization.yaml";
const PLAIN: &str = "resources:\n- web.yaml\n";

/// Pods and namespaces of the baseline, images of one registry, and at most five replicas.
fn rules_in_force() -> Rules {
    let own = r#"apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: registries }
spec:
  matchConstraints: { resourceRules: [{ apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments] }] }
  validations:
    - expression: object.spec.template.spec.containers.all(c, c.image.startsWith('registry.example.com/'))
      messageExpression: "'images are ' + object.spec.template.spec.containers.map(c, c.image).join(' ')"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: replicas }
spec:
  matchConstraints: { resourceRules: [{ apiGroups: [apps], apiVersions: [v1], operations: ['*'], resources: [deployments] }] }
  validations:
    - expression: object == null || object.spec.replicas <= 5
      messageExpression: "'from ' + (oldObject == null ? 'nothing' : string(oldObject.spec.replicas)) + ' to ' + string(object.spec.replicas)"
    - { expression: object != null, message: it goes }
"#;
    let mut read = TestedPolicies::default();
    read.read("own.yaml", own).expect("policies");
    read.read("pods.yaml", include_str!("../../../policies/baseline/pods.yaml")).expect("policies");
    read.read("namespaces.yaml", include_str!("../../../policies/baseline/namespaces.yaml")).expect("policies");
    Rules { policies: read.bound(), ..rules() }
}

fn judged(files: &[(&str, &str)], base: &FakeTree) -> Vec<Finding> {
    judged_by(files, base, &rules_in_force())
}

fn judged_by(files: &[(&str, &str)], base: &FakeTree, rules: &Rules) -> Vec<Finding> {
    let mut found = findings(change(files), base, rules);
    found.retain(|finding| finding.rule.starts_with("policy.") && (finding.severity == Severity::Error || finding.rule == "policy.left_out"));
    found
}

/// The only finding, as rule, place and message.
#[track_caller]
fn one(found: &[Finding]) -> (String, String, String) {
    let [finding] = found else { panic!("{found:#?}") };
    (finding.rule.clone(), format!("{}:{}", finding.path, finding.line.unwrap_or(0)), finding.message.clone())
}

fn web() -> String {
    DEPLOYMENT.replace("registry/api:1.0", "registry.example.com/web:1.0")
}

fn tree(kustomization: &str) -> FakeTree {
    FakeTree::new().file(K, kustomization).file("web.yaml", &web())
}

#[test]
fn an_image_that_the_kustomization_sets_is_judged_at_the_line_that_sets_it() {
    let images = "resources:\n- web.yaml\nimages:\n- name: other\n  newTag: '1'\n- name: registry.example.com/web\n  newName: evil.example.org/web\n";
    let (rule, place, message) = one(&judged(&[(K, images)], &tree(PLAIN)));
    assert_eq!((rule.as_str(), place.as_str()), ("policy.registries", "kustomization.yaml:6"));
    assert_eq!(message, "Deployment web/api (as the root's kustomization builds it): images are evil.example.org/web:1.0");
    // As Kustomize does, an entry's name is taken as a pattern.
    let pattern = images.replace("name: registry.example.com/web", "name: regis.*");
    assert_eq!(one(&judged(&[(K, &pattern)], &tree(PLAIN))).1, "kustomization.yaml:6");
    // What was so before was not made by this change.
    assert_eq!(judged(&[(K, &format!("{images}nameSuffix: ''\n"))], &tree(images)), []);
    // An image that the file cannot have is mended by its overlay.
    let base = FakeTree::new().file(K, PLAIN).file("web.yaml", &web());
    let placeholder = web().replace("registry.example.com/web:1.0", "web");
    let mended = "resources:\n- web.yaml\nimages:\n- name: web\n  newName: registry.example.com/web\n  newTag: '2'\n";
    assert_eq!(judged(&[(K, mended), ("web.yaml", &placeholder)], &base), []);
}

#[test]
fn a_count_is_judged_beside_the_one_the_base_builds() {
    let with = |count: u32| format!("resources:\n- web.yaml\nreplicas:\n- name: api\n  count: {count}\n");
    let (rule, place, message) = one(&judged(&[(K, &with(9))], &tree(&with(4))));
    assert_eq!((rule.as_str(), place.as_str()), ("policy.replicas", "kustomization.yaml:5"));
    assert!(message.ends_with("from 4 to 9"), "{message}");
    assert_eq!(judged(&[(K, &with(5))], &tree(&with(4))), []);
    // It goes by its name as well where a prefix is put before it.
    let renamed = format!("namePrefix: eu-\n{}", with(9));
    assert!(one(&judged(&[(K, &renamed)], &tree(&format!("namePrefix: eu-\n{}", with(4))))).2.contains("Deployment web/eu-api"));
}

#[test]
fn patches_are_judged_in_what_they_make_of_the_object() {
    let merge = "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: api, namespace: web}\nspec:\n  template:\n    spec:\n      containers:\n      - name: api\n        securityContext: {privileged: true}\n";
    let base = || tree(PLAIN).file("patch.yaml", &merge.replace("privileged: true", "privileged: false"));
    let by_file = "resources: [web.yaml]\npatches: [{path: patch.yaml}]\n";
    let (rule, place, _) = one(&judged(&[("patch.yaml", merge)], &base().file(K, by_file)));
    assert_eq!((rule.as_str(), place.as_str()), ("policy.baseline-pods", "patch.yaml:9"));
    let inline = format!("resources: [web.yaml]\npatches:\n- patch: |-\n{}", merge.lines().map(|line| format!("    {line}\n")).collect::<String>());
    assert_eq!(one(&judged(&[(K, &inline)], &base())).1, "kustomization.yaml:3");
    let old =
        format!("resources: [web.yaml]\npatchesStrategicMerge:\n- |-\n{}", merge.lines().map(|line| format!("    {line}\n")).collect::<String>());
    assert_eq!(one(&judged(&[(K, &old)], &base())).0, "policy.baseline-pods");
    let operation = "[{op: add, path: /spec/template/spec/hostNetwork, value: true}]";
    for target in ["{kind: Deployment}", "{name: a.*}", "{labelSelector: '!app'}"] {
        let json = format!("resources: [web.yaml]\npatches:\n- target: {target}\n  patch: '{operation}'\n");
        assert_eq!(one(&judged(&[(K, &json)], &base())).0, "policy.baseline-pods", "{target}");
    }
    let other = format!("resources: [web.yaml]\npatches:\n- target: {{name: other}}\n  patch: '{operation}'\n");
    assert_eq!(judged(&[(K, &other)], &base()), []);
}

#[test]
fn a_patch_that_no_longer_patches_and_a_file_that_is_no_longer_built_are_changes_of_the_object() {
    let mends = "resources: [web.yaml]\nimages: [{name: evil.example.org/web, newName: registry.example.com/web}]\n";
    let base = FakeTree::new().file(K, mends).file("web.yaml", &web().replace("registry.example.com", "evil.example.org"));
    let (rule, place, _) = one(&judged(&[(K, PLAIN)], &base));
    assert_eq!((rule.as_str(), place.as_str()), ("policy.registries", "kustomization.yaml:1"));
    let found = judged(&[(K, "resources: []\n")], &tree(PLAIN));
    assert!(found.iter().any(|finding| finding.message.ends_with("it goes") && finding.path == K), "{found:#?}");
}

#[test]
fn an_overlay_on_a_base_and_components_are_followed() {
    let base = || FakeTree::new().file("base/kustomization.yaml", "resources: [web.yaml]\n").file("base/web.yaml", &web());
    let overlay = "prod/kustomization.yaml";
    let before = base().file(overlay, "resources: [../base]\n");
    let evil = "resources: [../base]\nnamespace: kube-system\n";
    // Another namespace: one object comes, another goes.
    let mut found = judged(&[(overlay, evil)], &before);
    let (rule, place, message) = one(&found.split_off(1));
    assert_eq!((rule.as_str(), place.as_str()), ("policy.replicas", "prod/kustomization.yaml:2"));
    assert_eq!(message, "Deployment web/api (as prod builds it): it goes");
    let (rule, place, message) = one(&found);
    assert_eq!((rule.as_str(), place.as_str()), ("policy.baseline-namespaces", "prod/kustomization.yaml:2"));
    assert!(message.starts_with("Deployment kube-system/api (as prod builds it)"), "{message}");
    // A component changes what the overlay has, though it builds nothing itself.
    let component = "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\nreplicas: [{name: api, count: 3}]\n";
    let with = base().file(overlay, "resources: [../base]\ncomponents: [../more]\n").file("more/kustomization.yaml", component);
    let (rule, place, _) = one(&judged(&[("more/kustomization.yaml", &component.replace('3', "30"))], &with));
    assert_eq!((rule.as_str(), place.as_str()), ("policy.replicas", "more/kustomization.yaml:3"));
    // A change of the base is judged in each overlay, which may have the last word.
    let two =
        base().file(overlay, "resources: [../base]\n").file("test/kustomization.yaml", "resources: [../base]\nreplicas: [{name: api, count: 1}]\n");
    let more = web().replace("replicas: 2", "replicas: 7");
    let (_, place, message) = one(&judged(&[("base/web.yaml", &more)], &two));
    assert!(place == "base/web.yaml:1" && message.contains("as prod builds it"), "{place} {message}");
    // Another kustomization around an overlay does not take the overlay away.
    let around = [(overlay, evil), ("kustomization.yaml", "resources: [prod]\nnamespace: fine\n")];
    assert!(!judged(&around, &before).is_empty());
}

#[test]
fn what_a_generator_makes_is_judged() {
    let generator = |namespace: &str| format!("configMapGenerator:\n- name: c\n  namespace: {namespace}\n  literals: [a=b]\n");
    let found = judged(&[(K, &generator("kube-system"))], &FakeTree::new());
    assert_eq!(one(&found).0, "policy.baseline-namespaces");
    assert_eq!(judged(&[(K, &generator("web"))], &FakeTree::new()), []);
}

#[test]
fn what_cannot_be_applied_here_is_said() {
    let unknown = "resources: [web.yaml]\nreplicas: [{name: api, count: 3}]\nreplacements: [{path: r.yaml}]\nhelmCharts: [{name: x}]\n";
    let found = judged(&[(K, unknown)], &tree(PLAIN));
    let told: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "policies judged what this kustomization builds without `helmCharts`",
            "policies judged what this kustomization builds without `replacements`"
        ]
    );
    assert!(found.iter().all(|finding| finding.severity == Severity::Warning && finding.path == K));
    // The file is then judged as it is written as well.
    let both = judged(&[(K, unknown), ("web.yaml", &web().replace("registry.example.com", "evil.example.org"))], &tree(PLAIN));
    assert_eq!(both.iter().filter(|finding| finding.rule == "policy.registries").count(), 2, "{both:#?}");
    // A patch that does not fit.
    let misfit = "resources: [web.yaml]\npatches:\n- target: {kind: Deployment}\n  patch: '[{op: replace, path: /spec/nothing, value: 1}]'\n";
    assert!(one(&judged(&[(K, misfit)], &tree(PLAIN))).2.contains("a patch of Deployment web/api (there is no `/spec/nothing`)"));
}

#[test]
fn a_change_that_makes_too_many_objects_different_is_refused() {
    let many: String =
        (0..4_100).map(|number| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{number}, namespace: web}}\n")).collect();
    let base = FakeTree::new().file(K, "resources: [all.yaml]\n").file("all.yaml", &many);
    let (rule, _, message) = one(&judged(&[(K, "resources: [all.yaml]\nnamespace: other\n")], &base));
    assert!(rule == "policy.too_many" && message.contains("4000 objects"), "{message}");
    // One more object in a large overlay changes none of the others.
    let more = [(K, "resources: [all.yaml, web.yaml]\n"), ("web.yaml", &*web())];
    assert_eq!(judged(&more, &base), []);
}

/// Builds the same of everything.
#[derive(Debug)]
struct Says(&'static str);

impl Builder for Says {
    fn build(&self, files: &BTreeMap<String, Vec<u8>>, _: &str) -> Result<String, BuildError> {
        let changed = files.values().any(|bytes| String::from_utf8_lossy(bytes).contains("count: 3"));
        Ok(if changed { DEPLOYMENT.replace("registry/api:1.0", self.0) } else { web() })
    }
}

#[test]
fn what_kustomize_built_is_judged_in_place_of_what_was_worked_out() {
    let overlay = "resources: [web.yaml]\nreplicas: [{name: api, count: 3}]\nreplacements: [{path: r.yaml}]\n";
    let rules = |says: &'static str| Rules { builder: Some(Arc::new(Says(says))), ..rules_in_force() };
    let found = judged_by(&[(K, overlay)], &tree(PLAIN), &rules("evil.example.org/web:1"));
    let (rule, place, message) = one(&found);
    assert_eq!((rule.as_str(), place.as_str()), ("policy.registries", "kustomization.yaml:2"));
    assert!(message.contains("evil.example.org/web:1"), "{message}");
    assert_eq!(judged_by(&[(K, overlay)], &tree(PLAIN), &rules("registry.example.com/web:2")), []);
}

#[test]
fn what_goes_deeper_than_is_followed_is_told_and_judged_as_it_is_written() {
    // Components within each other.
    let mut base = FakeTree::new().file("web.yaml", &web()).file(K, "resources: [web.yaml]\ncomponents: [c1]\n");
    // Kustomizations on each other.
    let mut deep = FakeTree::new().file(K, "resources: [c1]\n").file("c20/web.yaml", &web());
    for number in 1..=20 {
        let path = format!("c{number}/kustomization.yaml");
        let next = |list: &str, last: &str| if number == 20 { last.to_owned() } else { format!("{list}: [../c{}]\n", number + 1) };
        base = base.file(&path, &format!("kind: Component\n{}", next("components", "replicas: [{name: api, count: 9}]\n")));
        deep = deep.file(&path, &next("resources", "resources: [web.yaml]\n"));
    }
    let evil = web().replace("registry.example.com/", "evil.example.org/");
    for (base, path, what) in
        [(base, "web.yaml", "components within each other more than 16 deep"), (deep, "c20/web.yaml", "16 kustomizations build on each other")]
    {
        let found = judged(&[(path, &evil)], &base);
        assert!(found.iter().any(|finding| finding.rule == "policy.left_out" && finding.message.contains(what)), "{found:#?}");
        assert!(found.iter().any(|finding| finding.rule == "policy.registries" && finding.path.as_str() == path), "{found:#?}");
    }
}

#[test]
fn a_kustomization_without_an_extension_is_judged_as_one() {
    let base = FakeTree::new().file("Kustomization", PLAIN).file("web.yaml", &web());
    let (rule, place, _) = one(&judged(&[("Kustomization", "resources:\n- web.yaml\nreplicas:\n- name: api\n  count: 9\n")], &base));
    assert_eq!((rule.as_str(), place.as_str()), ("policy.replicas", "Kustomization:4"));
}
