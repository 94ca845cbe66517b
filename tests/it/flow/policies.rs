//! Policies on the way of a ticket: what is denied ends there with every reason, what is warned of stands in the pull request.

use super::branches;
use super::edits::{DEPLOYMENT, PATH, body, replicas};
use crate::support::server::{TestServer, eventually};
use serde_json::json;

pub(super) const POLICIES: &str = r#"apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: replica-limit }
spec:
  paramKind: { apiVersion: rules.example.com/v1, kind: ReplicaLimit }
  matchConstraints:
    resourceRules: [{ apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments] }]
  variables:
    - { name: before, expression: "oldObject == null ? 0 : oldObject.spec.replicas" }
  validations:
    - expression: object.spec.replicas <= params.most
      messageExpression: "'at most ' + string(params.most) + ' replicas; ask for fewer'"
    - expression: object.spec.replicas <= variables.before * 2
      messageExpression: "'from ' + string(variables.before) + ' replicas to more than twice as many; go there in two steps'"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: replica-limit }
spec:
  policyName: replica-limit
  validationActions: [Deny]
  paramRef: { name: shop, parameterNotFoundAction: Deny }
---
apiVersion: rules.example.com/v1
kind: ReplicaLimit
metadata: { name: shop }
most: 5
"#;

fn server() -> TestServer {
    let mut server = TestServer::prepare();
    server.upstream.write("main", PATH, DEPLOYMENT);
    server.edit_resource("policies.yaml", |_| POLICIES.to_owned());
    server.set("RESOURCES_RELOAD_SECONDS", "1").run();
    server
}

#[test]
fn what_a_policy_denies_is_rejected_with_every_reason_and_nothing_is_pushed() {
    let server = server();
    server.at().ticket(&replicas("OPS-1", "web", 9.0));
    let rejected = server.at().settled("OPS-1", "rejected");
    let findings = rejected["findings"].as_array().expect("findings");
    let of = |part: &str| findings.iter().find(|finding| finding["message"].as_str().is_some_and(|message| message.contains(part)));
    for part in ["at most 5 replicas; ask for fewer", "from 2 replicas to more than twice as many; go there in two steps"] {
        let finding = of(part).unwrap_or_else(|| panic!("{part}: {rejected:#}"));
        assert_eq!((&finding["rule"], &finding["severity"]), (&json!("policy.replica-limit"), &json!("error")));
        assert_eq!((&finding["path"], &finding["line"], &finding["pointer"]), (&json!(PATH), &json!(2), &json!("")));
        assert!(finding["message"].as_str().is_some_and(|message| message.starts_with("Deployment shop/web: ")), "{finding}");
    }
    // What only warns is told as well: the author may mend all of it at once.
    assert!(of("set resources.requests.cpu").is_some(), "{rejected:#}");
    assert!(rejected["message"].as_str().is_some_and(|message| message.contains("at most 5 replicas")), "{rejected:#}");
    assert_eq!(branches(&server.upstream), []);
    assert!(server.at().all("/pulls").is_empty());
}

#[test]
fn what_a_policy_warns_of_stands_in_the_pull_request() {
    let server = server();
    server.at().ticket(&replicas("OPS-1", "web", 3.0));
    let body = body(&server, &server.at().settled("OPS-1", "proposed"));
    assert!(body.contains("the containers web do not say what they need; set resources.requests.cpu"), "{body}");
    assert!(body.contains("Held against these policies") && body.contains("replica-limit") && body.contains("baseline-pods"), "{body}");
}

#[test]
fn a_broken_policy_is_refused_with_its_place_and_the_old_one_stays_in_force() {
    let server = server();
    server.edit_resource("policies.yaml", |text| text.replace("params.most\n", "parms.most\n").replace("most: 5", "most: 100"));
    let valid = || server.at().metric("kubeops_resources_valid", &[]);
    eventually("the change is refused", || (valid() == 0.0).then_some(()));
    let status = server.at().get("/status").to_string();
    assert!(status.contains("policies.yaml:11:43") && status.contains("did you mean params?"), "{status}");
    server.at().ticket(&replicas("OPS-1", "web", 6.0));
    let rejected = server.at().settled("OPS-1", "rejected").to_string();
    assert!(rejected.contains("at most 5 replicas"), "{rejected}");
}

const OVERLAY: &str = "clusters/prod-eu/kustomization.yaml";

/// Images of one registry with a tag, by the shipped policies.
const REGISTRIES: &str = "apiVersion: kubeops.dev/v1alpha1
kind: PolicyParameters
metadata: { name: ours }
spec: { registries: [registry.example.com] }
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: ours }
spec:
  policyName: baseline-image-registries
  validationActions: [Deny]
  paramRef: { name: ours, parameterNotFoundAction: Deny }
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: pinned }
spec: { policyName: baseline-image-tags, validationActions: [Deny] }
";

/// A server whose automation does this to the Deployment, which an overlay with `rules` builds.
fn overlaid(rules: &str, edit: &str) -> TestServer {
    let mut server = TestServer::prepare();
    server.upstream.write("main", PATH, DEPLOYMENT);
    server.upstream.write("main", OVERLAY, &format!("resources:\n- apps/shop/web.yaml\n{rules}"));
    server.edit_resource("policies.yaml", |_| format!("{POLICIES}---\n{REGISTRIES}"));
    server.edit_resource("replicas-request.yaml", |text| {
        let (before, edits) = text.split_once("  edit:").expect("edits");
        let (_, behind) = edits.split_once("  pullRequest:").expect("what follows");
        format!("{before}  edit:\n    - object: Deployment/shop/web\n      set: {{ {edit} }}\n  pullRequest:{behind}")
    });
    server.run();
    server
}

/// What the ticket is refused for: each finding with its place.
fn refused(server: &TestServer) -> Vec<String> {
    server.at().ticket(&replicas("OPS-1", "web", 9.0));
    let rejected = server.at().settled("OPS-1", "rejected");
    assert_eq!(branches(&server.upstream), []);
    let findings = rejected["findings"].as_array().expect("findings").clone();
    let errors = findings.iter().filter(|finding| finding["severity"] == "error");
    let text = |finding: &serde_json::Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    errors.map(|finding| format!("{} {}:{} {}", text(finding, "rule"), text(finding, "path"), finding["line"], text(finding, "message"))).collect()
}

#[test]
fn an_image_that_goes_into_the_kustomization_is_judged_in_the_object_it_is_for() {
    let images = "images:\n- name: registry.example.com/shop/web\n  newTag: 1.4.2\n";
    let found = refused(&overlaid(images, "'spec.template.spec.containers[name=web].image': \"'evil.example.org/web:latest'\""));
    assert!(
        found[0].starts_with(&format!("policy.baseline-image-registries {OVERLAY}:"))
            && found[0].contains(
                "Deployment shop/web (as clusters/prod-eu builds it): the images evil.example.org/web:latest come from no allowed registry"
            ),
        "{found:#?}"
    );
    assert!(found[1].starts_with(&format!("policy.baseline-image-tags {OVERLAY}:")) && found.len() == 2, "{found:#?}");
}

#[test]
fn a_privileged_container_by_a_patch_and_replicas_by_a_kustomization_are_rejected() {
    let patch = "patches:\n- target: { kind: Deployment, name: web }\n  patch: |-\n    - op: add\n      path: /spec/template/spec/containers/0/securityContext\n      value: { privileged: false }\n";
    let found = refused(&overlaid(patch, "'spec.template.spec.containers[name=web].securityContext': \"{'privileged': true}\""));
    assert!(found[0].starts_with(&format!("policy.baseline-pods {OVERLAY}:")) && found[0].contains("(as clusters/prod-eu builds it)"), "{found:#?}");
    let found = refused(&overlaid("replicas:\n- name: web\n  count: 4\n", "spec.replicas: parameters.replicas"));
    assert!(found.iter().any(|found| found.contains(&format!("{OVERLAY}:5")) && found.contains("at most 5 replicas")), "{found:#?}");
    assert!(found.iter().any(|found| found.contains("from 4 replicas to more than twice")), "{found:#?}");
}
