//! What Kubernetes' documentation of policies shows, with our own words: each does here what it is said to do there.

use super::*;

#[test]
fn a_limit_of_replicas() {
    let all = policies(&about_deployments("  validations: [{ expression: object.spec.replicas <= 5 }]\n"), &[]);
    assert_eq!(said(&all, &deployment(5)), Vec::<String>::new());
    assert_eq!(said(&all, &deployment(6)), ["failed expression: object.spec.replicas <= 5"]);
}

#[test]
fn a_limit_out_of_parameters_of_a_kind_of_ones_own() {
    let text = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: replica-limit }
spec:
  failurePolicy: Fail
  paramKind: { apiVersion: rules.example.com/v1, kind: ReplicaLimit }
  matchConstraints:
    resourceRules:
      - { apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments] }
  validations:
    - expression: object.spec.replicas <= params.maxReplicas
      messageExpression: \"'replicas must be no greater than ' + string(params.maxReplicas)\"
      reason: Invalid
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: replica-limit-test }
spec:
  policyName: replica-limit
  validationActions: [Deny]
  paramRef: { name: replica-limit-test, parameterNotFoundAction: Deny }
  matchResources: { namespaceSelector: { matchLabels: { environment: test } } }
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: replica-limit-production }
spec:
  policyName: replica-limit
  validationActions: [Deny]
  paramRef: { name: replica-limit-production, parameterNotFoundAction: Deny }
  matchResources: { namespaceSelector: { matchExpressions: [{ key: environment, operator: NotIn, values: [test] }] } }
";
    let limit = |name: &str, most: i64| json!({ "apiVersion": "rules.example.com/v1", "kind": "ReplicaLimit", "metadata": { "name": name }, "maxReplicas": most });
    let all = policies(text, &[limit("replica-limit-test", 3), limit("replica-limit-production", 100)]);
    let within = |environment: &str, replicas: i64| {
        let namespace = In(json!({ "metadata": { "name": "shop", "labels": { "environment": environment } } }));
        review(&all, Some(&deployment(replicas)), None, &namespace).decisions.into_iter().map(|decision| decision.message).collect::<Vec<_>>()
    };
    assert_eq!(within("test", 4), ["replicas must be no greater than 3"]);
    assert_eq!(within("production", 4), Vec::<String>::new());
    assert_eq!(within("production", 101), ["replicas must be no greater than 100"]);
}

#[test]
fn the_image_fits_the_environment_of_the_namespace() {
    let all = policies(
        &about_deployments(
            "  variables:
    - { name: environment, expression: \"'environment' in namespaceObject.metadata.labels ? namespaceObject.metadata.labels['environment'] : 'prod'\" }
    - { name: exempt, expression: \"has(object.metadata.labels) && 'exempt' in object.metadata.labels && object.metadata.labels['exempt'] == 'true'\" }
    - { name: containers, expression: object.spec.template.spec.containers }
    - { name: containersToCheck, expression: \"variables.containers.filter(c, c.image.contains('example.com/'))\" }
  validations:
    - expression: \"variables.exempt || variables.containersToCheck.all(c, c.image.startsWith(variables.environment + '.'))\"
      messageExpression: \"'only ' + variables.environment + ' images are allowed in namespace ' + namespaceObject.metadata.name\"
",
        ),
        &[],
    );
    let with = |image: &str, exempt: bool, labels: Value| {
        let mut object = deployment(1);
        object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        object["metadata"]["labels"]["exempt"] = json!(exempt.to_string());
        let namespace = In(json!({ "metadata": { "name": "shop", "labels": labels } }));
        review(&all, Some(&object), None, &namespace).decisions.into_iter().map(|decision| decision.message).collect::<Vec<_>>()
    };
    let staging = json!({ "environment": "staging" });
    assert_eq!(with("example.com/nginx", false, staging.clone()), ["only staging images are allowed in namespace shop"]);
    assert_eq!(with("staging.example.com/nginx", false, staging.clone()), Vec::<String>::new());
    assert_eq!(with("example.com/nginx", true, staging.clone()), Vec::<String>::new());
    assert_eq!(with("elsewhere.test/nginx", false, staging), Vec::<String>::new());
    assert_eq!(with("staging.example.com/nginx", false, json!({})), ["only prod images are allowed in namespace shop"]);
}

#[test]
fn conditions_leave_requests_out() {
    let all = policies(
        &about_deployments(
            "  matchConditions:
    - { name: exclude-leases, expression: \"!(request.resource.group == 'coordination.k8s.io' && request.resource.resource == 'leases')\" }
    - { name: exclude-kubelets, expression: \"!('system:nodes' in request.userInfo.groups)\" }
  validations:
    - { expression: \"!object.metadata.name.contains('demo') || object.metadata.namespace == 'demo'\" }
",
        ),
        &[],
    );
    let mut object = deployment(1);
    assert!(said(&all, &object).is_empty());
    object["metadata"]["name"] = json!("demo-web");
    assert_eq!(said(&all, &object).len(), 1);
}

#[test]
fn an_annotation_says_what_a_high_count_was() {
    let all = policies(
        &about_deployments(
            "  validations: [{ expression: object.spec.replicas < 100, message: m }]
  auditAnnotations:
    - { key: high-replica-count, valueExpression: \"object.spec.replicas > 50 ? 'Deployment spec.replicas set to ' + string(object.spec.replicas) : null\" }
",
        ),
        &[],
    );
    assert_eq!(review(&all, Some(&deployment(51)), None, &Nowhere).annotations, ["p/high-replica-count: Deployment spec.replicas set to 51"]);
    assert_eq!(review(&all, Some(&deployment(50)), None, &Nowhere).annotations, Vec::<String>::new());
}

#[test]
fn a_mistake_in_a_type_that_only_shows_when_it_runs_denies() {
    // `replicas` is no list: Kubernetes warns of it when the policy is stored, and denies when it is evaluated.
    let all = policies(&about_deployments("  validations: [{ expression: \"object.replicas > 1\", message: m }]\n"), &[]);
    let found = review(&all, Some(&deployment(3)), None, &Nowhere).decisions;
    assert!(found.len() == 1 && found[0].error.as_deref() == Some("there is no field `replicas`"), "{found:?}");
}

#[test]
fn an_old_object_is_compared_with_the_new_one() {
    let all = policies(
        &about_deployments(
            "  validations: [{ expression: \"oldObject == null || object.metadata.labels['app'] == oldObject.metadata.labels['app']\", message: \"the label app stays as it is\" }]\n",
        ),
        &[],
    );
    let (new, mut old) = (deployment(1), deployment(1));
    assert!(said(&all, &new).is_empty());
    old["metadata"]["labels"]["app"] = json!("other");
    assert_eq!(review(&all, Some(&new), Some(&old), &Nowhere).decisions.len(), 1);
    assert_eq!(yaml("a: 1")["a"], json!(1));
}
