//! One object held against a hundred policies: what the gate does for every object that changes.

use crate::Setting;
use crate::report::{Reference, Report, Sorted};
use anyhow::{Context, anyhow};
use kubeops::manifest::{Limits, ObjectRef, parse};
use kubeops::validate::policy::{Budget, Namespaces, Policies, STEPS_OF_A_CHANGE, Subject, TestedPolicies};
use serde_json::Value;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Policies that are about the object.
const MANY: usize = 100;

/// What policies ask for: fields, labels, every container.
const QUESTIONS: [&str; 5] = [
    "object.spec.replicas <= 50",
    "has(object.metadata.labels) && 'app' in object.metadata.labels",
    "object.spec.template.spec.containers.all(c, has(c.image) && c.image.startsWith('registry.example.com/'))",
    "!has(object.spec.template.spec.hostNetwork) || object.spec.template.spec.hostNetwork == false",
    "object.spec.template.spec.containers.all(c, !has(c.securityContext) || !has(c.securityContext.privileged) || c.securityContext.privileged == false)",
];

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop, labels: { app: web, team: shop } }
spec:
  replicas: 3
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - { name: web, image: 'registry.example.com/web:1.4.2', ports: [{ containerPort: 8080 }], resources: { requests: { cpu: 100m, memory: 64Mi }, limits: { memory: 128Mi } } }
        - { name: proxy, image: 'registry.example.com/proxy:2', securityContext: { privileged: false, capabilities: { drop: [ALL] } } }
";

struct Nowhere;

impl Namespaces for Nowhere {
    fn namespace(&self, _: &str) -> Option<Value> {
        None
    }
}

/// Measures `policy.100_ms`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let object = parse(DEPLOYMENT, Limits::default())?.into_iter().next().context("an object")?.value;
    let reference = ObjectRef::of(&object)?;
    let policies = policies()?;
    let subject = Subject { object: &reference, new: Some(&object), old: None };
    let review = policies.review(subject, &Nowhere, &Budget::new(STEPS_OF_A_CHANGE));
    anyhow::ensure!(review.evaluated.len() == MANY && review.decisions.is_empty(), "{review:?}");

    let environment = Arc::new(cel::Env::stdlib());
    let programs: Vec<cel::Program> =
        questions().map(|question| environment.compile(&question)).collect::<Result<_, _>>().map_err(|error| anyhow!("{error}"))?;
    let value = cel::to_value(&object).map_err(|error| anyhow!("{error}"))?;
    let bare = || {
        let mut context = cel::Context::with_env(Arc::clone(&environment));
        context.add_variable_from_value("object", value.clone());
        programs.iter().filter(|program| program.execute(&context) == Ok(cel::Value::Bool(true))).count()
    };
    anyhow::ensure!(bare() == MANY, "not every expression holds");

    let (warm_up, count) = setting.effort.pick((200, 3000), (20, 100));
    let (mut held, mut plain): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
    for number in 0..warm_up + count {
        let begun = Instant::now();
        std::hint::black_box(policies.review(subject, &Nowhere, &Budget::new(STEPS_OF_A_CHANGE)));
        let of_policies = begun.elapsed();
        let begun = Instant::now();
        std::hint::black_box(bare());
        if number >= warm_up {
            held.push(of_policies);
            plain.push(begun.elapsed());
        }
    }
    let (held, plain) = (Sorted::new(held), Sorted::new(plain));
    report.figure("policy.100_ms", held.millis(50.0), "ms", Reference { value: plain.millis(50.0), what: "the bare expressions" })?;
    report.note(&format!("100 policies on one Deployment:   {}", held.told()));
    report.note(&format!("their expressions alone:          {}", plain.told()));
    Ok(())
}

fn questions() -> impl Iterator<Item = String> {
    (0..MANY).map(|number| QUESTIONS[number % QUESTIONS.len()].to_owned())
}

fn policies() -> anyhow::Result<Policies> {
    let mut text = String::new();
    for (number, question) in questions().enumerate() {
        write!(
            text,
            "---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{ name: policy-{number} }}\nspec:\n  matchConstraints: {{ resourceRules: [{{ apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments] }}] }}\n  validations:\n    - expression: >-\n        {question}\n      message: what is wanted\n"
        )?;
    }
    let mut read = TestedPolicies::default();
    read.read("policies.yaml", &text).map_err(|error| anyhow!(error))?;
    Ok(read.bound())
}
