//! A policy with its expressions compiled, once: whatever can be seen to be wrong is told when it is loaded, with its place. Those that
//! are shipped are known to be right, and compiled when the first object comes that they are held against.

use super::model::{FailurePolicy, PolicySpec, ValidationSpec};
use crate::expression::{CompileError, Metered, Wanted};
use crate::types::SpecError;
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// What every expression of a policy may read.
const KNOWN: [&str; 5] = ["object", "oldObject", "request", "params", "namespaceObject"];

/// A policy.
#[derive(Debug)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// As written.
    pub spec: PolicySpec,
    /// Where it stands: `file:line`, or the shipped file's name.
    pub place: String,
    compiled: OnceLock<Compiled>,
}

/// The expressions of a policy.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) conditions: Vec<(String, Metered)>,
    pub(super) variables: Vec<(String, Metered)>,
    pub(super) validations: Vec<Validation>,
    pub(super) annotations: Vec<(String, Metered)>,
    /// Whether it wants to know the object's namespace, which may have to be read.
    pub(super) reads_namespace: bool,
}

/// A compiled validation.
#[derive(Debug)]
pub(super) struct Validation {
    pub(super) expression: Metered,
    pub(super) message: Option<String>,
    pub(super) message_expression: Option<Metered>,
}

impl Policy {
    /// Compiles a policy.
    ///
    /// # Errors
    /// Everything that is wrong with it, with pointers into its `spec:`.
    pub fn compile(name: &str, spec: PolicySpec, place: String) -> Result<Self, Vec<SpecError>> {
        let compiled = OnceLock::from(Compiled::of(&spec)?);
        Ok(Self { name: name.to_owned(), spec, place, compiled })
    }

    /// A policy that a test has compiled: its expressions are read when they are first evaluated.
    pub(super) fn tested(name: &str, spec: PolicySpec, place: String) -> Self {
        Self { name: name.to_owned(), spec, place, compiled: OnceLock::new() }
    }

    /// Its expressions.
    pub(super) fn compiled(&self) -> &Compiled {
        self.compiled.get_or_init(|| match Compiled::of(&self.spec) {
            Ok(compiled) => compiled,
            Err(errors) => unreachable!("the shipped policies are compiled by a test: {}: {errors:?}", self.name),
        })
    }

    /// Whether an expression that cannot be evaluated denies.
    pub(super) fn fails_closed(&self) -> bool {
        self.spec.failure_policy == FailurePolicy::Fail
    }
}

impl Compiled {
    fn of(spec: &PolicySpec) -> Result<Self, Vec<SpecError>> {
        let mut errors = Vec::new();
        if spec.validations.is_empty() && spec.audit_annotations.is_empty() {
            let error = SpecError::new("", "the policy demands nothing: it has neither `validations` nor `auditAnnotations`");
            errors.push(error.hint("add `validations:` with an expression that must be true"));
        }
        let mut compile = |pointer: String, source: &str, declared: &[&str], wanted: Wanted| {
            let compiled = Metered::compile(source, &KNOWN, declared, wanted);
            compiled.map_err(|error| errors.push(located(pointer, error))).ok()
        };
        let mut conditions = Vec::new();
        for (at, condition) in spec.match_conditions.iter().enumerate() {
            // Evaluated before the rest, so variables are out of their reach.
            let compiled = compile(format!("/matchConditions/{at}/expression"), &condition.expression, &[], Wanted::Bool);
            conditions.extend(compiled.map(|compiled| (condition.name.clone(), compiled)));
        }
        let mut declared: Vec<&str> = Vec::new();
        let mut variables = Vec::new();
        for (at, variable) in spec.variables.iter().enumerate() {
            let compiled = compile(format!("/variables/{at}/expression"), &variable.expression, &declared, Wanted::Any);
            variables.extend(compiled.map(|compiled| (variable.name.clone(), compiled)));
            declared.push(&variable.name);
        }
        let mut validations = Vec::new();
        for (at, validation) in spec.validations.iter().enumerate() {
            let expression = compile(format!("/validations/{at}/expression"), &validation.expression, &declared, Wanted::Bool);
            let computed = validation.message_expression.as_deref();
            let message_expression = computed.map(|source| compile(format!("/validations/{at}/messageExpression"), source, &declared, Wanted::Text));
            validations.extend(expression.map(|expression| Validation {
                expression,
                message: validation.message.clone(),
                message_expression: message_expression.flatten(),
            }));
        }
        let mut annotations = Vec::new();
        for (at, annotation) in spec.audit_annotations.iter().enumerate() {
            let compiled = compile(format!("/auditAnnotations/{at}/valueExpression"), &annotation.value_expression, &declared, Wanted::Text);
            annotations.extend(compiled.map(|compiled| (annotation.key.clone(), compiled)));
        }
        errors.extend(twice("/variables", "variable", spec.variables.iter().map(|variable| variable.name.as_str())));
        errors.extend(twice("/matchConditions", "match condition", spec.match_conditions.iter().map(|condition| condition.name.as_str())));
        errors.extend(spec.variables.iter().enumerate().filter(|(_, variable)| !is_identifier(&variable.name)).map(|(at, _)| {
            SpecError::new(format!("/variables/{at}/name"), "a variable's name has letters, digits and `_`, and begins with no digit")
        }));
        errors.extend(spec.validations.iter().enumerate().filter_map(|(at, validation)| message_error(at, validation)));
        let named = conditions.iter().chain(&variables).chain(&annotations).map(|(_, expression)| expression);
        let validating = validations.iter().flat_map(|validation| std::iter::once(&validation.expression).chain(&validation.message_expression));
        let reads_namespace = named.chain(validating).any(|expression| expression.reads("namespaceObject"));
        match errors.is_empty() {
            true => Ok(Self { conditions, variables, validations, annotations, reads_namespace }),
            false => Err(errors),
        }
    }
}

fn located(pointer: String, error: CompileError) -> SpecError {
    SpecError { within: Some((error.line, error.column)), ..SpecError::new(pointer, format!("not a valid CEL expression: {}", error.message)) }
}

fn twice<'n>(pointer: &str, what: &str, names: impl Iterator<Item = &'n str>) -> Vec<SpecError> {
    let mut seen = BTreeSet::new();
    let again = names.enumerate().filter(|(_, name)| !seen.insert(*name));
    again.map(|(at, name)| SpecError::new(format!("{pointer}/{at}/name"), format!("there is another {what} called {name:?} before it"))).collect()
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Kubernetes wants one line; and where the expression has several, a message.
fn message_error(at: usize, validation: &ValidationSpec) -> Option<SpecError> {
    let message = validation.message.as_deref();
    if message.is_some_and(|message| message.trim().is_empty() || message.trim_end().contains('\n')) {
        return Some(SpecError::new(format!("/validations/{at}/message"), "a message is one line of text, and not an empty one"));
    }
    (message.is_none() && validation.expression.trim().contains('\n'))
        .then(|| SpecError::new(format!("/validations/{at}"), "an expression of several lines needs a `message`: Kubernetes refuses it without one"))
}
