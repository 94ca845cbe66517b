//! One object held against the policies that are about it: conditions, variables, validations, messages, annotations.
//! <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/>

use super::compile::{Policy, Validation};
use super::matching::{Attributes, selects};
use super::model::{NotFoundAction, OperationName, ParamRef, ValidationAction};
use super::{Binding, Parameter, Policies};
use crate::expression::{Activation, Budget, Converted, EvaluationError, Metered};
use crate::manifest::ObjectRef;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::cell::OnceCell;
use std::sync::Arc;

/// What one policy may take on one object with one parameter: about a tenth of a second.
const STEPS: u64 = 1_000_000;
/// What all of them may take on all objects of one change: some seconds.
pub const STEPS_OF_A_CHANGE: u64 = 40_000_000;
/// The longest message an expression may compute, in bytes; Kubernetes' own limit.
const MAX_MESSAGE: usize = 5 * 1024;

/// What happens to one object.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Which it is.
    pub object: &'a ObjectRef,
    /// As it will be; none when it goes.
    pub new: Option<&'a Value>,
    /// As it is; none when it is not there yet.
    pub old: Option<&'a Value>,
}

/// Knows namespaces.
pub trait Namespaces {
    /// The Namespace of that name as the change leaves it, where it is known.
    fn namespace(&self, name: &str) -> Option<Value>;
}

/// One thing a policy has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The policy's name.
    pub policy: String,
    /// The binding's name.
    pub binding: String,
    /// Whether the change is refused for it.
    pub deny: bool,
    /// Whether the reviewer is told.
    pub warn: bool,
    /// Whether the evidence notes it.
    pub audit: bool,
    /// What is said.
    pub message: String,
    /// Why an expression could not be evaluated, where that is what is said.
    pub error: Option<String>,
}

/// What the policies say about one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Review {
    /// What does not hold.
    pub decisions: Vec<Decision>,
    /// The policies that were about it.
    pub evaluated: Vec<String>,
    /// `policy/key: value` of every annotation.
    pub annotations: Vec<String>,
}

impl Policies {
    /// Holds one object against every policy in force that is about it. Once `budget` is spent, nothing can be evaluated any more.
    pub fn review(&self, subject: Subject<'_>, namespaces: &dyn Namespaces, budget: &Budget) -> Review {
        let mut review = Review::default();
        let attributes = Attributes::new(subject.object, subject.new, subject.old);
        let world = World {
            subject,
            attributes,
            namespaces,
            budget,
            namespace: OnceCell::new(),
            converted: OnceCell::new(),
            converted_namespace: OnceCell::new(),
        };
        for (policy, binding) in &self.bound {
            if world.is_about(policy, binding) {
                world.hold(policy, binding, &mut review);
            }
        }
        review
    }
}

/// One object with everything that is worked out about it once.
struct World<'a> {
    subject: Subject<'a>,
    attributes: Attributes<'a>,
    namespaces: &'a dyn Namespaces,
    budget: &'a Budget,
    namespace: OnceCell<Option<Value>>,
    converted: OnceCell<[Converted<'static>; 3]>,
    /// Of those policies alone that read it: it may have to be looked for.
    converted_namespace: OnceCell<Converted<'static>>,
}

impl World<'_> {
    fn is_about(&self, policy: &Policy, binding: &Binding) -> bool {
        let namespace = || self.namespace();
        policy.spec.match_constraints.matches(&self.attributes, &namespace)
            && binding.spec.match_resources.as_ref().is_none_or(|narrower| narrower.matches(&self.attributes, &namespace))
    }

    /// The object's namespace, as far as it is known: at least its name.
    fn namespace(&self) -> Option<&Value> {
        let find = || {
            let name = self.attributes.namespace?;
            let mut found =
                self.namespaces.namespace(name).unwrap_or_else(|| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
            // Kubernetes gives every namespace this label itself.
            if let Some(metadata) = found.get_mut("metadata").and_then(Value::as_object_mut) {
                let labels = metadata.entry("labels").or_insert_with(|| json!({}));
                if let Some(labels) = labels.as_object_mut() {
                    labels.insert("kubernetes.io/metadata.name".to_owned(), json!(name));
                }
            }
            Some(found)
        };
        self.namespace.get_or_init(find).as_ref()
    }

    /// `object`, `oldObject` and `request` as expressions see them.
    fn converted(&self) -> &[Converted<'static>; 3] {
        self.converted.get_or_init(|| {
            let convert = |value: Option<&Value>| value.map_or_else(Converted::null, Converted::own);
            [convert(self.subject.new), convert(self.subject.old), Converted::own(&self.request())]
        })
    }

    /// The request as an API server would have it.
    fn request(&self) -> Value {
        let Attributes { object, group, version, resource, operation, namespace, .. } = &self.attributes;
        let kind = json!({ "group": group, "version": version, "kind": object.kind });
        let resource = json!({ "group": group, "version": version, "resource": resource });
        let (operation, options) = match operation {
            OperationName::Create => ("CREATE", "CreateOptions"),
            OperationName::Delete => ("DELETE", "DeleteOptions"),
            _ => ("UPDATE", "UpdateOptions"),
        };
        let mut request = json!({
            "uid": uid(object, operation),
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": object.name,
            "operation": operation,
            "userInfo": { "username": "kubeops", "groups": ["kubeops", "system:authenticated"] },
            "dryRun": false,
            "options": { "apiVersion": "meta.k8s.io/v1", "kind": options },
        });
        // A namespace's request is one in itself.
        let within = namespace.or_else(|| (group.is_empty() && object.kind == "Namespace").then_some(object.name.as_str()));
        if let (Some(fields), Some(namespace)) = (request.as_object_mut(), within) {
            fields.insert("namespace".to_owned(), json!(namespace));
        }
        request
    }

    fn hold(&self, policy: &Policy, binding: &Binding, review: &mut Review) {
        let no_parameters = Parameter::none();
        let null = Converted::null();
        let chosen: Vec<&Parameter> = match (&policy.spec.param_kind, &binding.spec.param_ref) {
            (Some(_), Some(reference)) => {
                let chosen = self.parameters(binding, reference);
                if chosen.is_empty() {
                    if reference.parameter_not_found_action == NotFoundAction::Deny && policy.fails_closed() {
                        let message = format!("there are no parameters for it: {}", wanted(reference));
                        let decision = decision(policy, binding, message.clone(), Some(message));
                        review.decisions.push(Decision { deny: true, ..decision });
                        review.evaluated.push(policy.name.clone());
                    }
                    return;
                }
                chosen
            }
            _ => vec![&no_parameters],
        };
        for parameter in chosen {
            let [object, old, request] = self.converted();
            let namespace = match policy.compiled().reads_namespace {
                true => self.converted_namespace.get_or_init(|| self.namespace().map_or_else(Converted::null, Converted::own)),
                false => &null,
            };
            let values =
                [("object", object), ("oldObject", old), ("request", request), ("namespaceObject", namespace), ("params", &parameter.converted)];
            let variables = policy.compiled().variables.iter().map(|(name, expression)| (name.as_str(), expression));
            let steps = STEPS.min(self.budget.left());
            let own = self.budget.beside(steps);
            let activation = Activation::new(values, variables, &own);
            Case { policy, binding, activation: &activation }.run(review);
            self.budget.pay(steps - own.left());
        }
    }

    /// The parameters a binding chooses for this object.
    fn parameters<'b>(&self, binding: &'b Binding, reference: &ParamRef) -> Vec<&'b Parameter> {
        let here = |parameter: &&Arc<Parameter>| match (&reference.namespace, parameter.namespace()) {
            (Some(wanted), found) => found == Some(wanted),
            (None, Some(found)) => self.attributes.namespace == Some(found),
            (None, None) => true,
        };
        let wanted = |parameter: &&Arc<Parameter>| {
            reference.name.as_deref().is_none_or(|name| parameter.name() == Some(name))
                && reference.selector.as_ref().is_none_or(|selector| selects(selector, &parameter.value))
        };
        binding.parameters.iter().filter(here).filter(wanted).map(AsRef::as_ref).collect()
    }
}

fn wanted(reference: &ParamRef) -> String {
    let within = reference.namespace.as_ref().map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
    match &reference.name {
        Some(name) => format!("the binding names {name:?}{within}"),
        None => format!("the binding's selector finds none{within}"),
    }
}

/// An identifier in the form of a UUID, the same for the same object and operation.
fn uid(object: &ObjectRef, operation: &str) -> String {
    let digest = hex::encode(Sha256::digest(format!("{operation} {} {object}", object.api_version)));
    format!("{}-{}-{}-{}-{}", &digest[..8], &digest[8..12], &digest[12..16], &digest[16..20], &digest[20..32])
}

fn decision(policy: &Policy, binding: &Binding, message: String, error: Option<String>) -> Decision {
    let has = |action: ValidationAction| binding.spec.validation_actions.contains(&action);
    Decision {
        policy: policy.name.clone(),
        binding: binding.name.clone(),
        deny: has(ValidationAction::Deny),
        warn: has(ValidationAction::Warn),
        audit: has(ValidationAction::Audit),
        message,
        error,
    }
}

/// One policy on one object with one parameter.
struct Case<'a> {
    policy: &'a Policy,
    binding: &'a Binding,
    activation: &'a Activation<'a>,
}

impl Case<'_> {
    fn run(&self, review: &mut Review) {
        let mut unclear = None;
        for (name, condition) in &self.policy.compiled().conditions {
            match self.activation.holds(condition) {
                Ok(true) => {}
                // One that does not hold is enough, whatever became of the others.
                Ok(false) => return,
                Err(error) => drop(unclear.get_or_insert((name, condition, error))),
            }
        }
        review.evaluated.push(self.policy.name.clone());
        if let Some((name, condition, error)) = unclear {
            return self.failed(&format!("match condition {name:?}"), condition, &error, review);
        }
        for validation in &self.policy.compiled().validations {
            match self.activation.holds(&validation.expression) {
                Ok(true) => {}
                Ok(false) => review.decisions.push(decision(self.policy, self.binding, self.message(validation), None)),
                Err(error) => self.failed("expression", &validation.expression, &error, review),
            }
        }
        for (key, expression) in &self.policy.compiled().annotations {
            match self.activation.text(expression) {
                Ok(Some(text)) if !text.trim().is_empty() => {
                    let text: String = text.chars().take(MAX_MESSAGE).map(|c| if c.is_control() { ' ' } else { c }).collect();
                    review.annotations.push(format!("{}/{key}: {text}", self.policy.name));
                }
                Ok(_) => {}
                Err(error) => self.failed(&format!("audit annotation {key:?}"), expression, &error, review),
            }
        }
    }

    /// An expression that cannot be evaluated denies, or is passed over, as the policy says.
    fn failed(&self, what: &str, expression: &Metered, error: &EvaluationError, review: &mut Review) {
        if self.policy.fails_closed() {
            let message = format!("the {what} `{}` cannot be evaluated: {error}", short(expression.source()));
            review.decisions.push(decision(self.policy, self.binding, message, Some(error.to_string())));
        }
    }

    fn message(&self, validation: &Validation) -> String {
        let computed = validation.message_expression.as_ref().and_then(|expression| self.activation.text(expression).ok().flatten());
        let fitting = |text: &String| !text.trim().is_empty() && !text.trim().contains('\n') && text.len() <= MAX_MESSAGE;
        let text = computed.filter(fitting).or_else(|| validation.message.clone());
        let text = text.unwrap_or_else(|| format!("failed expression: {}", validation.expression.source().trim()));
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

/// An expression on one line, cut where it is long.
fn short(source: &str) -> String {
    let line = source.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(120) {
        Some((at, _)) => format!("{}...", &line[..at]),
        None => line,
    }
}
