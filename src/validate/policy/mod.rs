//! Policies as a cluster has them: `ValidatingAdmissionPolicy` and its bindings, evaluated on every object of a change before it is
//! committed. Pure: compiled when they are loaded, given objects and what is known of namespaces. What they mean: `docs/policies.md`.

mod baseline;
mod compile;
mod evaluate;
mod matching;
mod model;
mod resource;
mod testing;
#[cfg(test)]
mod tests;

pub(crate) use baseline::is_policy_version;
pub use baseline::{PARAMETERS_KIND, Shipped, shipped, shipped_tests};
pub use compile::Policy;
pub use evaluate::{Decision, Namespaces, Review, STEPS_OF_A_CHANGE, Subject};
pub use model::{BindingSpec, MatchResources, OperationName, ParamKind, ParamRef, PolicySpec, ValidationAction};
pub use testing::{CaseOutcome, Expectation, PolicyTest, TestCase, TestedPolicies, run_case};

pub use crate::expression::Budget;

use crate::expression::Converted;
use crate::types::{ClusterName, SpecError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The API group of policies; `v1`, and `v1beta1`, which says the same.
pub const GROUP: &str = "admissionregistration.k8s.io";
/// On a binding: the clusters it is for, as names or patterns with `*`, separated by commas. Without it: all.
pub const CLUSTERS_ANNOTATION: &str = "kubeops.dev/clusters";

/// An object that gives a policy its parameters.
#[derive(Debug)]
pub struct Parameter {
    value: Value,
    converted: Converted<'static>,
}

impl Parameter {
    /// A document as parameters.
    pub fn new(value: Value) -> Self {
        Self { converted: Converted::own(&value), value }
    }

    fn none() -> Self {
        Self { value: Value::Null, converted: Converted::null() }
    }

    fn name(&self) -> Option<&str> {
        self.value.pointer("/metadata/name")?.as_str()
    }

    fn namespace(&self) -> Option<&str> {
        self.value.pointer("/metadata/namespace")?.as_str()
    }

    fn is_of(&self, kind: &ParamKind) -> bool {
        let text = |field: &str| self.value.get(field).and_then(Value::as_str);
        text("apiVersion") == Some(&kind.api_version) && text("kind") == Some(&kind.kind)
    }
}

/// A binding with the parameters it may choose from.
#[derive(Debug, Clone)]
pub struct Binding {
    /// Its name.
    pub name: String,
    /// As written.
    pub spec: BindingSpec,
    /// The clusters it is for; none for all.
    pub clusters: Option<Vec<String>>,
    /// Where it stands: `file:line`, or the shipped file's name.
    pub place: String,
    pub(super) parameters: Vec<Arc<Parameter>>,
}

impl Binding {
    /// A binding; `clusters` is the text of its annotation.
    pub fn new(name: &str, spec: BindingSpec, clusters: Option<&str>, place: String) -> Self {
        let clusters = clusters.map(|text| text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect());
        Self { name: name.to_owned(), spec, clusters, place, parameters: Vec::new() }
    }

    /// What is wrong with it by itself, with pointers into its `spec:`.
    pub fn check(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        let has = |action: ValidationAction| self.spec.validation_actions.contains(&action);
        if self.spec.validation_actions.is_empty() {
            errors.push(SpecError::new("/validationActions", "at least one of Deny, Warn and Audit is wanted"));
        }
        if has(ValidationAction::Deny) && has(ValidationAction::Warn) {
            let error = SpecError::new("/validationActions", "Deny and Warn together would say everything twice: Kubernetes refuses them");
            errors.push(error.hint("keep one of them"));
        }
        if let Some(reference) = &self.spec.param_ref
            && reference.name.is_some() == reference.selector.is_some()
        {
            errors.push(SpecError::new("/paramRef", "exactly one of `name` and `selector` is wanted"));
        }
        errors
    }

    /// Whether the policy takes parameters, and this binding chooses none: it then demands what its expressions demand of `null`.
    pub fn lacks_parameters(&self, policy: &Policy) -> bool {
        let chosen = |reference: &ParamRef| {
            let named = |parameter: &&Arc<Parameter>| reference.name.is_none() || parameter.name() == reference.name.as_deref();
            self.parameters.iter().any(|parameter| named(&parameter))
        };
        policy.spec.param_kind.is_some() && !self.spec.param_ref.as_ref().is_some_and(chosen)
    }

    /// Whether it is for a cluster; a change for a bare repository has none.
    fn is_for(&self, cluster: Option<&ClusterName>) -> bool {
        let Some(patterns) = &self.clusters else { return true };
        cluster.is_some_and(|cluster| patterns.iter().any(|pattern| fits(pattern, cluster.as_str())))
    }
}

/// Whether a name is as a pattern says, in which `*` stands for any text.
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Policies, each with a binding that puts it in force.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    bound: Vec<(Arc<Policy>, Arc<Binding>)>,
}

impl Policies {
    /// Every binding with its policy, and with the parameters of the policy's kind. A binding without a policy is left out.
    pub fn new(policies: impl IntoIterator<Item = Arc<Policy>>, bindings: impl IntoIterator<Item = Binding>, parameters: &[Arc<Parameter>]) -> Self {
        let policies: BTreeMap<String, Arc<Policy>> = policies.into_iter().map(|policy| (policy.name.clone(), policy)).collect();
        let mut bound: Vec<(Arc<Policy>, Arc<Binding>)> = bindings
            .into_iter()
            .filter_map(|mut binding| {
                let policy = policies.get(&binding.spec.policy_name)?;
                if let Some(kind) = &policy.spec.param_kind {
                    binding.parameters = parameters.iter().filter(|parameter| parameter.is_of(kind)).cloned().collect();
                }
                Some((Arc::clone(policy), Arc::new(binding)))
            })
            .collect();
        bound.sort_by(|(one, first), (other, second)| (&one.name, &first.name).cmp(&(&other.name, &second.name)));
        Self { bound }
    }

    /// Those in force for a cluster, or for a change of a bare repository.
    #[must_use]
    pub fn for_cluster(&self, cluster: Option<&ClusterName>) -> Self {
        Self { bound: self.bound.iter().filter(|(_, binding)| binding.is_for(cluster)).cloned().collect() }
    }

    /// Each policy with its binding, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Policy, &Binding)> {
        self.bound.iter().map(|(policy, binding)| (policy.as_ref(), binding.as_ref()))
    }

    /// Whether nothing is in force.
    pub fn is_empty(&self) -> bool {
        self.bound.is_empty()
    }
}
