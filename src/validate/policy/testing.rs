//! Policies with test cases of their own: documents of kind `PolicyTest`, for `kubeops policy test` and for the shipped policies.

use super::baseline::read;
use super::{Binding, BindingSpec, Namespaces, Parameter, Policies, Policy, Shipped, Subject, ValidationAction};
use super::{Budget, STEPS_OF_A_CHANGE};
use crate::manifest::{Limits, ObjectRef, parse};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// The `spec:` of a document of kind `PolicyTest`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyTest {
    /// Files with policies and bindings, relative to this one; none for the shipped policies.
    #[serde(default)]
    pub policies: Vec<String>,
    /// The policy every case is about, where a case names none.
    pub policy: Option<String>,
    /// The cases.
    pub cases: Vec<TestCase>,
}

/// One case: an object, and what is expected of it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestCase {
    /// What it shows, in a sentence.
    pub name: String,
    /// Only this policy counts; without it all of the test do.
    pub policy: Option<String>,
    /// The object as it will be; without it the old one goes.
    pub object: Option<Value>,
    /// The same from a file, relative to this one.
    pub object_file: Option<String>,
    /// The object as it is.
    pub old_object: Option<Value>,
    /// The parameters.
    pub params: Option<Value>,
    /// The object's namespace.
    pub namespace_object: Option<Value>,
    /// What is expected.
    pub expect: Expectation,
    /// A part of what must be said.
    pub message: Option<String>,
}

/// What a case expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Expectation {
    /// Nothing is said.
    Allow,
    /// It is refused, by something that does not hold.
    Deny,
    /// The reviewer is told, and it is not refused.
    Warn,
    /// An expression cannot be evaluated.
    Error,
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseOutcome {
    /// Whether it is as expected.
    pub passed: bool,
    /// What was said, or why the case could not be run.
    pub said: Vec<String>,
}

/// Policies under test, with their bindings and what they may take parameters from.
#[derive(Debug, Default)]
pub struct TestedPolicies {
    read: Shipped,
    /// The other documents of their files.
    parameters: Vec<Arc<Parameter>>,
}

impl TestedPolicies {
    /// Adds what a file holds.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with its place.
    pub fn read(&mut self, path: &str, text: &str) -> Result<(), String> {
        read(path, text, &mut self.read)?;
        let documents = parse(text, Limits::default()).unwrap_or_default();
        self.parameters.extend(documents.into_iter().map(|document| Arc::new(Parameter::new(document.value))));
        Ok(())
    }

    /// The shipped policies.
    ///
    /// # Errors
    /// None for a tested build.
    pub fn shipped() -> Result<Self, String> {
        super::shipped().map(|read| Self { read, parameters: Vec::new() })
    }

    /// Each policy with its bindings, or one that denies where it has none, without parameters.
    pub fn bound(self) -> Policies {
        self.with(None, None)
    }

    /// Each policy with its bindings, or one that denies where it has none, all with these parameters alone; without any, with those of the
    /// policies' files.
    fn with(self, params: Option<Value>, only: Option<&str>) -> Policies {
        let Shipped { policies, bindings } = self.read;
        let policies: Vec<Arc<Policy>> = policies.into_iter().filter(|policy| only.is_none_or(|only| policy.name == only)).collect();
        let mut all: Vec<Binding> =
            bindings.into_iter().filter(|binding| policies.iter().any(|policy| policy.name == binding.spec.policy_name)).collect();
        for policy in &policies {
            if !all.iter().any(|binding| binding.spec.policy_name == policy.name) {
                let spec = BindingSpec {
                    policy_name: policy.name.clone(),
                    param_ref: None,
                    match_resources: None,
                    validation_actions: vec![ValidationAction::Deny],
                };
                all.push(Binding::new(&policy.name, spec, None, policy.place.clone()));
            }
        }
        let params = params.map(|value| Arc::new(Parameter::new(value)));
        let mut all = Policies::new(policies, all, &self.parameters);
        for (policy, binding) in &mut all.bound {
            if let (Some(binding), Some(_)) = (Arc::get_mut(binding), &policy.spec.param_kind) {
                if let Some(params) = &params {
                    binding.parameters = vec![Arc::clone(params)];
                }
                let chosen = params.is_some() || binding.spec.param_ref.is_none();
                if chosen {
                    binding.spec.param_ref = (!binding.parameters.is_empty()).then(|| super::model::ParamRef {
                        name: None,
                        namespace: None,
                        selector: Some(super::model::LabelSelector::default()),
                        parameter_not_found_action: super::model::NotFoundAction::Deny,
                    });
                }
            }
        }
        all
    }
}

/// The namespace a case gives.
struct Given<'a>(Option<&'a Value>);

impl Namespaces for Given<'_> {
    fn namespace(&self, _name: &str) -> Option<Value> {
        self.0.cloned()
    }
}

/// Runs one case; `object` is what its file holds, where it names one, and `only` the policy of the whole test.
pub fn run_case(tested: TestedPolicies, case: &TestCase, object: Option<&Value>, only: Option<&str>) -> CaseOutcome {
    let only = case.policy.as_deref().or(only);
    let policies = tested.with(case.params.clone(), only);
    let broken = |why: String| CaseOutcome { passed: false, said: vec![why] };
    if policies.is_empty() {
        return broken(only.map_or_else(|| "there is no policy to test".to_owned(), |only| format!("there is no policy {only:?}")));
    }
    let new = case.object.as_ref().or(object);
    let Some(named) = new.or(case.old_object.as_ref()) else { return broken("the case has neither `object` nor `oldObject`".to_owned()) };
    let reference = match ObjectRef::of(named) {
        Ok(reference) => reference,
        Err(error) => return broken(error.to_string()),
    };
    let subject = Subject { object: &reference, new, old: case.old_object.as_ref() };
    // Said beside an expression that fails, because it reads `null` where its author thinks of parameters.
    let without = policies.iter().filter(|_| case.params.is_none()).find_map(|(policy, binding)| {
        let kind = policy.spec.param_kind.as_ref().filter(|_| binding.lacks_parameters(policy))?;
        let told = format!("`params` is null here: the policy {} takes parameters of the kind {} of {}", policy.name, kind.kind, kind.api_version);
        Some(format!("{told}; give the case `params:`, or put them into a file that `policies:` names"))
    });
    let review = policies.review(subject, &Given(case.namespace_object.as_ref()), &Budget::new(STEPS_OF_A_CHANGE));
    let mut said: Vec<String> = review.decisions.iter().map(|decision| decision.message.clone()).collect();
    let failed = review.decisions.iter().any(|decision| decision.error.is_some());
    said.extend(without.filter(|_| failed));
    let any = |wanted: &dyn Fn(&super::Decision) -> bool| {
        review.decisions.iter().any(|decision| wanted(decision) && case.message.as_ref().is_none_or(|part| decision.message.contains(part.as_str())))
    };
    let denied = review.decisions.iter().any(|decision| decision.deny);
    let passed = match case.expect {
        Expectation::Allow => review.decisions.is_empty(),
        Expectation::Deny => any(&|decision| decision.deny && decision.error.is_none()),
        Expectation::Warn => !denied && any(&|decision| decision.warn),
        Expectation::Error => any(&|decision| decision.error.is_some()),
    };
    CaseOutcome { passed, said }
}
