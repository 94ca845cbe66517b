//! Policies, bindings and parameters as a part of the set.

use super::*;

const POLICY: &str = r#"apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: replica-limit }
spec:
  paramKind: { apiVersion: v1, kind: ConfigMap }
  matchConstraints: { resourceRules: [{ apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments] }] }
  validations:
    - expression: object.spec.replicas <= 5
"#;
const BINDING: &str = r#"---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: replica-limit, annotations: { kubeops.dev/clusters: "pro*" } }
spec: { policyName: replica-limit, validationActions: [Deny] }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: limits }
data: { most: "5" }
"#;

#[test]
fn policies_bindings_and_their_parameters_are_a_part_of_the_set() {
    let set = load(&[("a.yaml", BASICS), ("p.yaml", &format!("{POLICY}{BINDING}"))]).unwrap_or_else(|found| panic!("{found:#?}"));
    assert!(set.warnings.is_empty(), "{:?}", set.warnings);
    let of =
        |cluster: &str| set.policies.for_cluster(Some(&cluster.parse().expect("a name"))).iter().any(|(policy, _)| policy.name == "replica-limit");
    assert!(of("prod") && !of("dev"));
    assert!(set.policies.iter().any(|(policy, _)| policy.name == "baseline-pods"), "the shipped ones are in force");

    let parameters = "apiVersion: kubeops.dev/v1alpha1\nkind: PolicyParameters\nmetadata: { name: registries }\nspec: { registries: [a] }\n";
    let own = BINDING
        .split("---\n")
        .nth(1)
        .expect("a binding")
        .replace("replica-limit", "baseline-image-registries")
        .replace("validationActions", "paramRef: { name: registries, parameterNotFoundAction: Deny }, validationActions");
    let set = load(&[("a.yaml", BASICS), ("p.yaml", &format!("{parameters}---\n{own}"))]).unwrap_or_else(|found| panic!("{found:#?}"));
    let bound: Vec<&str> =
        set.policies.iter().filter(|(policy, _)| policy.name == "baseline-image-registries").map(|(_, binding)| binding.place.as_str()).collect();
    assert_eq!(bound, ["p.yaml:6"], "the shipped binding is out of force");
}

#[test]
fn what_is_wrong_with_policies_is_told_at_its_place() {
    let good = format!("{POLICY}{BINDING}");
    for (from, to, place, says) in [
        ("object.spec.replicas <= 5", "objct.spec.replicas <= 5", "p.yaml:8:19", "did you mean object?"),
        ("object.spec.replicas <= 5", "variables.x <= 5", "p.yaml:8:", "there is no variable `variables.x`"),
        ("- expression: object.spec.replicas <= 5", "- expresion: 'true'", "p.yaml:8:7", "did you mean `expression`?"),
        ("operations: [CREATE]", "operations: [CREAT]", "p.yaml:6:", "CREAT"),
        ("policyName: replica-limit", "policyName: replica-limits", "p.yaml:13:9", "did you mean \"replica-limit\"?"),
        ("validationActions: [Deny]", "validationActions: [Deny, Warn]", "p.yaml:13:", "would say everything twice"),
        ("validationActions: [Deny]", "validationActions: []", "p.yaml:13:", "item"),
        ("kubeops.dev/clusters: \"pro*\"", "kubeops.dev/clusters: prd", "p.yaml:12:", "did you mean \"prod\"?"),
        ("kind: ConfigMap\nmetadata", "kind: ConfigMaps\nmetadata", "p.yaml:15:", "apiVersion \"v1\" is not known here"),
        ("\n---\napiVersion: v1\n", "\n---\napiVersion: admissionregistration.k8s.io/v2\n", "p.yaml:15:", "is not known here"),
        (
            "validationActions: [Deny] }",
            "validationActions: [Deny], paramRef: { name: a, selector: {} } }",
            "p.yaml:13:",
            "exactly one of `name` and `selector`",
        ),
        ("metadata: { name: limits }", "metadata: {}", "p.yaml:17:", "`metadata.name` is missing"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        let found = errors(&[("a.yaml", BASICS), ("p.yaml", &text)]);
        assert!(found.iter().any(|error| error.starts_with(place) && error.contains(says)), "{to}: {found:#?}");
    }
    // A policy that is refused is not missed by its binding as well.
    let found = errors(&[("a.yaml", BASICS), ("p.yaml", &good.replace("object.spec", "objct.spec"))]);
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = errors(&[("a.yaml", BASICS), ("p.yaml", &good), ("q.yaml", good.split("---\napiVersion: v1\n").next().expect("a part"))]);
    assert!(found.len() == 2 && found[0].contains("stands at p.yaml:1 already") && found[1].contains("stands at p.yaml:10 already"), "{found:#?}");
    let set = load(&[("a.yaml", BASICS), ("p.yaml", &POLICY.replace("  paramKind: { apiVersion: v1, kind: ConfigMap }\n", ""))])
        .unwrap_or_else(|found| panic!("{found:#?}"));
    assert!(set.warnings.len() == 1 && set.warnings[0].message.contains("never evaluated"), "{:?}", set.warnings);
}

#[test]
fn a_resource_that_no_kind_has_is_warned_of_unless_its_group_is_not_known() {
    let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: { name: widgets.example.com }\nspec:\n  group: example.com\n  names: { kind: Widget, plural: widgets }\n  scope: Namespaced\n  versions: [{ name: v1, served: true, storage: true, schema: { openAPIV3Schema: { type: object } } }]\n";
    let (schemas, problems) = crate::validate::SchemaSet::read([("widget.yaml", crd.as_bytes())]);
    assert!(problems.is_empty(), "{problems:?}");
    for (groups, resources, says) in [
        ("['']", "[configmap]", Some("did you mean `configmaps`?")),
        ("[apps]", "[deployments, deployment/scale]", Some("did you mean `deployments`?")),
        ("['']", "[deployments]", Some("a resource is a kind in lower case")),
        ("['*']", "[deploymnets]", Some("did you mean `deployments`?")),
        ("[example.com]", "[widget]", Some("did you mean `widgets`?")),
        ("[example.com]", "[widgets]", None),
        ("[other.example.com]", "[widget]", None),
        ("['*']", "['*', pods/exec, gizmos]", None),
        ("['', apps]", "[pods, deployments]", None),
    ] {
        let text = format!("{POLICY}{BINDING}").replacen("apiGroups: [apps]", &format!("apiGroups: {groups}"), 1);
        let text = text.replacen("resources: [deployments]", &format!("resources: {resources}"), 1);
        let set = load(&[("a.yaml", BASICS), ("p.yaml", &text)]).unwrap_or_else(|found| panic!("{found:#?}"));
        let told: Vec<String> = set.with_schemas(std::sync::Arc::new(schemas.clone())).warnings.iter().map(ToString::to_string).collect();
        match says {
            Some(says) => assert!(told.len() == 1 && told[0].contains(says) && told[0].starts_with("p.yaml:6:"), "{groups} {resources}: {told:#?}"),
            None => assert!(told.is_empty(), "{groups} {resources}: {told:#?}"),
        }
    }
}
