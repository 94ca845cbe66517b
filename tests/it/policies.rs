//! The shipped policies beside the shipped templates: what KubeOps makes passes what KubeOps demands.

use kubeops::manifest::{Limits, ObjectRef, flatten, parse};
use kubeops::render::{Catalogue, RenderJob};
use kubeops::validate::policy::{Budget, Namespaces, Policies, STEPS_OF_A_CHANGE, Subject, shipped};

struct Nowhere;

impl Namespaces for Nowhere {
    fn namespace(&self, _: &str) -> Option<serde_json::Value> {
        None
    }
}

#[test]
fn every_shipped_template_passes_every_shipped_policy_without_a_word() {
    let shipped = shipped().expect("the shipped policies");
    let policies = Policies::new(shipped.policies, shipped.bindings, &[]);
    let catalogue = Catalogue::embedded().expect("the shipped catalogue");
    let mut said = Vec::new();
    for template in catalogue.templates() {
        for example in template.examples() {
            let parameters = catalogue.with_defaults(template.name(), &example.parameters).expect("a known template");
            let job = RenderJob { template: template.name().clone(), context: serde_json::json!({ "parameters": parameters }) };
            let text = catalogue.render_direct(&job).expect("the example renders");
            for document in parse(std::str::from_utf8(&text).expect("UTF-8"), Limits::default()).expect("YAML") {
                for (_, value) in flatten(&document.value) {
                    let object = ObjectRef::of(value).expect("a name");
                    let review = policies.review(Subject { object: &object, new: Some(value), old: None }, &Nowhere, &Budget::new(STEPS_OF_A_CHANGE));
                    assert!(!review.evaluated.is_empty(), "{object}: a policy is about every object");
                    let of = |decision: kubeops::validate::policy::Decision| {
                        format!("{} {}: {object}: {}", template.name(), example.name, decision.message)
                    };
                    said.extend(review.decisions.into_iter().map(of));
                }
            }
        }
    }
    assert!(said.is_empty(), "{}", said.join("\n"));
}
