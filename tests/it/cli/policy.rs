//! `kubeops policy test` and `kubeops policy list`, as people and pipelines call them.

use super::world::World;
use serde_json::Value;

const POLICY: &str = "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: replica-limit }
spec:
  matchConstraints: { resourceRules: [{ apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments] }] }
  validations: [{ expression: object.spec.replicas <= 5, message: at most 5 replicas; ask for fewer }]
";
const BINDING: &str = "---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: replica-limit, annotations: { kubeops.dev/clusters: prod } }
spec: { policyName: replica-limit, validationActions: [Warn] }
";
const TEST: &str = "apiVersion: kubeops.dev/v1alpha1
kind: PolicyTest
metadata: { name: replicas }
spec:
  policies: [replicas.yaml]
  cases:
    - name: a few
      object: { apiVersion: apps/v1, kind: Deployment, metadata: { name: web }, spec: { replicas: 2 } }
      expect: allow
    - name: too many
      objectFile: web.yaml
      expect: deny
      message: at most 5
    - name: nothing said
      object: { apiVersion: apps/v1, kind: Deployment, metadata: { name: web }, spec: {} }
      expect: error
";

#[test]
fn the_shipped_policies_pass_their_tests() {
    let world = World::new();
    let said = world.run(&["policy", "test"]).ok();
    assert!(said.lines().last().is_some_and(|line| line.ends_with(" passed, 0 failed")), "{said}");
    let report: Value = serde_json::from_str(&world.run(&["policy", "test", "--output", "json"]).ok()).expect("JSON");
    assert!(report["passed"].as_u64().is_some_and(|passed| passed > 50), "{report}");
}

#[test]
fn policies_of_ones_own_are_tested_and_a_case_that_fails_says_what_was_said() {
    let world = World::new();
    world.write("replicas.yaml", POLICY);
    world.write("web.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\nspec: { replicas: 9 }\n");
    world.write("test.yaml", TEST);
    let said = world.run(&["policy", "test", "test.yaml"]).ok();
    assert_eq!(said.trim(), "ok     test.yaml: a few\nok     test.yaml: too many\nok     test.yaml: nothing said\n3 passed, 0 failed");
    // Bound with Warn, it no longer denies.
    world.write("replicas.yaml", &format!("{POLICY}{BINDING}"));
    let failed = world.run(&["policy", "test", "test.yaml"]);
    assert_eq!(failed.code, 3);
    for part in
        ["FAILED test.yaml: too many", "expected: deny with \"at most 5\"", "was said: at most 5 replicas; ask for fewer", "2 passed, 1 failed"]
    {
        assert!(failed.out.contains(part), "{part}: {}", failed.out);
    }
    for (text, says) in [
        (TEST.replace("expect: allow", "expect: maybe"), "maybe"),
        (TEST.replace("[replicas.yaml]", "[nowhere.yaml]"), "nowhere.yaml cannot be read"),
        ("kind: ConfigMap\n".to_owned(), "PolicyTest is wanted"),
        (TEST.replace("  cases:", "  policy: other\n  cases:"), "there is no policy \"other\""),
    ] {
        world.write("test.yaml", &text);
        let ran = world.run(&["policy", "test", "test.yaml"]);
        assert!([1, 3].contains(&ran.code) && format!("{}{}", ran.out, ran.error).contains(says), "{says}: {} {}", ran.out, ran.error);
    }
}

#[test]
fn what_is_in_force_is_listed_with_its_binding_and_where_it_stands() {
    let world = World::new();
    world.write("resources/policies.yaml", &format!("{POLICY}{BINDING}"));
    let said = world.run(&["policy", "list"]).ok();
    let line = |name: &str| said.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {said}")).to_owned();
    assert!(line("baseline-pods").contains("Deny") && line("baseline-pods").contains("shipped pods.yaml"), "{said}");
    assert!(line("baseline-resources").contains("Warn"), "{said}");
    let own = line("replica-limit");
    assert!(own.contains("Warn") && own.contains("prod") && own.contains("deployments") && own.contains("policies.yaml:8"), "{own}");

    let own: Value = serde_json::from_str(&world.run(&["policy", "list", "--policy-baseline", "off", "--output", "json"]).ok()).expect("JSON");
    assert_eq!(own.as_array().map(Vec::len), Some(1), "{own}");

    // A binding of one's own takes the shipped one's place.
    world.write("resources/policies.yaml", &BINDING.replace("policyName: replica-limit", "policyName: baseline-pods").replace("prod", "\"*\""));
    let said = world.run(&["policy", "list"]).ok();
    assert_eq!(said.lines().filter(|line| line.starts_with("baseline-pods")).count(), 1, "{said}");
    assert!(said.lines().any(|line| line.starts_with("baseline-pods") && line.contains("Warn")), "{said}");
}

#[test]
fn without_any_resources_the_shipped_policies_are_listed() {
    let world = World::new();
    let list = |more: &[&str]| world.run(&[&["policy", "list", "--resources", "config/resources"], more].concat());
    let said = list(&[]).ok();
    assert!(said.lines().any(|line| line.starts_with("baseline-pods") && line.contains("shipped pods.yaml")), "{said}");
    assert_eq!(list(&["--policy-baseline", "off", "--output", "json"]).ok().trim(), "[]");
    assert!(world.run(&["policy", "list", "--resources", "elsewhere"]).fails(1).contains("elsewhere"), "who names a directory means it");
    // Where there is one, what is wrong with it is told.
    world.write("config/resources/broken.yaml", "kind: Nothing\n");
    assert!(list(&[]).fails(1).contains("config/resources are not valid"));
}

#[test]
fn a_directory_of_policy_tests_is_run_and_a_mistake_in_one_is_told_at_its_line() {
    let world = World::new();
    std::fs::create_dir_all(world.path("policies")).expect("a directory");
    world.write("policies/replicas.yaml", POLICY);
    world.write("policies/web.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\nspec: { replicas: 9 }\n");
    world.write("policies/test.yaml", TEST);
    assert!(world.run(&["policy", "test", "policies"]).ok().ends_with("3 passed, 0 failed\n"));
    world.write("policies/test.yaml", &TEST.replace("      expect: error", "      expects: error"));
    let told = world.run(&["policy", "test", "policies"]).fails(1);
    assert!(told.contains("policies/test.yaml:16:7: error: there is no field `expects` here") && told.contains("did you mean `expect`?"), "{told}");
    std::fs::create_dir_all(world.path("empty")).expect("a directory");
    assert!(world.run(&["policy", "test", "empty"]).fails(1).contains("there is no file with a document of kind PolicyTest in empty"));
}

#[test]
fn parameters_in_the_file_of_a_policy_count_for_every_case_that_gives_none() {
    let world = World::new();
    let policy = POLICY
        .replace("spec:\n", "spec:\n  paramKind: { apiVersion: v1, kind: ConfigMap }\n")
        .replace("object.spec.replicas <= 5", "object.spec.replicas <= int(params.data.most)");
    world.write("web.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\nspec: { replicas: 9 }\n");
    world.write("test.yaml", TEST);
    world.write("replicas.yaml", &policy);
    let told = world.run(&["policy", "test", "test.yaml"]).fails(3);
    assert!(told.contains("`params` is null here: the policy replica-limit takes parameters of the kind ConfigMap of v1"), "{told}");
    world.write("replicas.yaml", &format!("{policy}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: most }}\ndata: {{ most: '5' }}\n"));
    assert!(world.run(&["policy", "test", "test.yaml"]).ok().contains("3 passed"));
}

#[test]
fn a_policy_that_demands_nothing_for_want_of_parameters_says_so_in_the_list() {
    let world = World::new();
    let told = world.run(&["policy", "list"]).ok();
    let line = told.lines().find(|line| line.starts_with("baseline-image-registries ")).expect("a line");
    assert!(line.contains("Deny (nothing yet: it has no parameters)"), "{line}");
    assert!(told.lines().filter(|line| line.contains("nothing yet")).count() < 4, "{told}");
}
