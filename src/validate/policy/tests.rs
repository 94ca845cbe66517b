use super::*;
use crate::manifest::{Limits, ObjectRef, parse};
use serde_json::json;

mod documentation;
mod properties;
mod semantics;
mod shipped;

/// Nothing is known of any namespace.
struct Nowhere;

impl Namespaces for Nowhere {
    fn namespace(&self, _: &str) -> Option<Value> {
        None
    }
}

/// The namespace of every object.
struct In(Value);

impl Namespaces for In {
    fn namespace(&self, _: &str) -> Option<Value> {
        Some(self.0.clone())
    }
}

/// Policies and bindings out of a text, with parameters.
fn policies(text: &str, parameters: &[Value]) -> Policies {
    let mut read = Shipped::default();
    baseline::read("test.yaml", text, &mut read).unwrap_or_else(|error| panic!("{error}"));
    let parameters: Vec<Arc<Parameter>> = parameters.iter().map(|value| Arc::new(Parameter::new(value.clone()))).collect();
    Policies::new(read.policies, read.bindings, &parameters)
}

fn yaml(text: &str) -> Value {
    parse(text, Limits::default()).expect("YAML").remove(0).value
}

fn review(policies: &Policies, new: Option<&Value>, old: Option<&Value>, namespaces: &dyn Namespaces) -> Review {
    let object = ObjectRef::of(new.or(old).expect("an object")).expect("a name");
    policies.review(Subject { object: &object, new, old }, namespaces, &Budget::new(STEPS_OF_A_CHANGE))
}

/// What is said about a new object.
fn said(policies: &Policies, new: &Value) -> Vec<String> {
    review(policies, Some(new), None, &Nowhere).decisions.into_iter().map(|decision| decision.message).collect()
}

fn deployment(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "shop", "labels": { "app": "web" } },
        "spec": { "replicas": replicas, "template": { "spec": { "containers": [{ "name": "web", "image": "registry.example/web:1" }] } } },
    })
}

const BINDING: &str = "
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: b }
spec: { policyName: p, validationActions: [Deny] }
";

/// A policy about Deployments with this after its match constraints, and a binding that denies.
fn about_deployments(rest: &str) -> String {
    format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{ name: p }}\nspec:\n  matchConstraints:\n    \
         resourceRules: [{{ apiGroups: [apps], apiVersions: [v1], operations: [\"*\"], resources: [deployments] }}]\n{rest}{BINDING}"
    )
}
