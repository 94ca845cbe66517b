//! Policies on the way of a ticket: what is denied ends there with every reason, what is warned of stands in the pull request.

use super::branches;
use super::edits::{DEPLOYMENT, PATH, body, replicas};
use crate::support::server::{TestServer, eventually};
use serde_json::json;

const POLICIES: &str = r#"apiVersion: admissionregistration.k8s.io/v1
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
