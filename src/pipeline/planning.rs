//! The pure half of planning: parameters, target, change, gate. Used by the flow and by previews, so that both say the same.

use super::planned::Planned;
use super::{InForce, StepError, reverts};
use crate::automation::{ParameterError, scope_of};
use crate::event::Event;
use crate::inventory::Target;
use crate::plan::{Answer, BaseTree, ChangeSet, Changed, Inputs, Inverse, Note, PlanError, PullText, Violation};
use crate::request::{Drafted, Expiry, Reverts};
use crate::types::{AutomationName, ErrorClass};
use crate::validate::{self, Finding, Severity, ValidateError, ValidatedChange};
use serde_json::{Map, Value};
use std::sync::Arc;
use tracing::field::Empty;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) automation: &'a AutomationName,
    pub(super) event: &'a Event,
    /// Parameters a person gave, or an earlier plan read; without them the event is read.
    pub(super) given: Option<&'a Map<String, Value>>,
    /// What is taken back, where that is what is asked for: then neither recipe nor parameters count.
    pub(super) reverts: Option<&'a Reverts>,
    /// Values that people set since: they go before the others.
    pub(super) set: Option<&'a Map<String, Value>>,
    /// What a model answered, where a model drafts.
    pub(super) draft: Option<&'a Draft>,
}

/// A model's answer, and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// What it proposes, in the order in which it was proposed, a draft and its revisions, each with where it comes from; at least one.
    pub(super) answers: Vec<Answer>,
    pub(super) each: Vec<Drafted>,
}

/// The label of every pull request that a model drafted.
pub(super) const DRAFTED_LABEL: &str = "llm-drafted";

/// What came of it.
pub(super) struct Made {
    pub(super) change: ValidatedChange,
    pub(super) text: PullText,
    pub(super) summary: Vec<String>,
    /// How long it is wanted, and what takes it back.
    pub(super) expiry: Option<Expiry>,
    /// Where it comes from, when a model drafted it.
    pub(super) drafted: Option<Drafted>,
}

/// A change before the gate.
pub(super) struct Ungated {
    pub(super) change: ChangeSet,
    pub(super) text: PullText,
    pub(super) expiry: Option<Expiry>,
}

/// Why planning stops: the request is refused, or something failed.
#[derive(Debug)]
pub(super) enum Stop {
    Refused { findings: Vec<Finding>, message: String },
    Failed(StepError),
}

impl Stop {
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::Refused { findings: Vec::new(), message: message.into() }
    }

    /// A refusal is an outcome; a failure is not.
    pub(super) fn into_planned(self) -> Result<Planned, StepError> {
        match self {
            Self::Refused { findings, message } => Ok(Planned::Rejected { findings, message }),
            Self::Failed(error) => Err(error),
        }
    }
}

impl From<PlanError> for Stop {
    fn from(error: PlanError) -> Self {
        match error.class() {
            ErrorClass::User => Self::refused(error.to_string()),
            _ => Self::Failed(error.into()),
        }
    }
}

impl<E: Into<StepError>> From<E> for Stop
where
    E: NotPlan,
{
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Errors that are never the request's fault.
pub(super) trait NotPlan {}
impl NotPlan for StepError {}
impl NotPlan for crate::git::GitError {}

/// The request's parameters and where its change goes.
pub(super) fn resolve(rules: &InForce, wanted: Wanted<'_>) -> Result<(Map<String, Value>, Target), Stop> {
    if let Some(reverts) = wanted.reverts {
        return Ok((wanted.given.cloned().unwrap_or_default(), reverts::target(&rules.set.inventory, reverts)?));
    }
    let (Some(automation), Some(rule)) = (rules.set.automations.get(wanted.automation), rules.set.rules.get(wanted.automation)) else {
        return Err(Stop::refused(format!("the automation {} is not configured any more", wanted.automation)));
    };
    let set = wanted.set.filter(|set| !set.is_empty());
    let overlaid = |given: Map<String, Value>| given.into_iter().chain(set.cloned().into_iter().flatten()).collect();
    let read = match (wanted.given, set) {
        (Some(given), _) => automation.parameters().complete(overlaid(given.clone())),
        (None, None) => automation.parameters().read(&scope_of(wanted.event)),
        (None, Some(_)) => automation.parameters().read(&scope_of(wanted.event)).and_then(|read| automation.parameters().complete(overlaid(read))),
    };
    let parameters = read.map_err(|errors| Stop::Refused {
        message: format!("the parameters are not valid: {}", errors.iter().map(|error| error.parameter.as_str()).collect::<Vec<_>>().join(", ")),
        findings: errors.into_iter().map(finding).collect(),
    })?;
    let target = rule.recipe.target(Inputs { event: wanted.event, parameters: &parameters }, &rules.set.inventory)?;
    Ok((parameters, target))
}

/// The change on `base`, past the gate.
pub(super) fn make(rules: &InForce, wanted: Wanted<'_>, parameters: &Map<String, Value>, target: &Target, base: &dyn BaseTree) -> Result<Made, Stop> {
    let Ungated { change, text, expiry } = match wanted.reverts {
        Some(reverts) => reverts::ungated(reverts, base)?,
        None => ungated(rules, wanted, parameters, target, base)?,
    };
    let gate = gate(rules, target);
    let with_an_end = expiry.as_ref().map(|expiry| (change.clone(), expiry));
    let span = tracing::debug_span!("validate", kubeops.files = change.files.len(), kubeops.outcome = Empty);
    let validated = span.in_scope(|| validate::validate(change, base, &gate));
    span.record("kubeops.outcome", if validated.is_ok() { "valid" } else { "refused" });
    let change = match validated {
        Ok(change) => change,
        Err(ValidateError::Rejected(rejection)) => return Err(Stop::Refused { message: rejection.to_string(), findings: rejection.findings }),
        Err(ValidateError::Base(error)) => return Err(PlanError::from(error).into()),
    };
    let change = match with_an_end {
        Some((as_planned, expiry)) => change.with_notes(end_refused(&as_planned, expiry, base, &gate)?),
        None => change,
    };
    let summary = change.summary().iter().map(ToString::to_string).collect();
    let drafted = wanted.draft.filter(|_| wanted.reverts.is_none()).and_then(|draft| draft.each.last().cloned());
    Ok(Made { change, text, summary, expiry, drafted })
}

/// What changes of a target are held against.
pub(super) fn gate(rules: &InForce, target: &Target) -> validate::Rules {
    validate::Rules {
        kubernetes: target.kubernetes,
        within: target.path.clone(),
        unknown_kinds: target.unknown_kinds,
        schemas: Arc::clone(&rules.set.schemas),
        schema_directories: target.schemas.clone(),
        read_schemas: Arc::clone(&rules.read_schemas),
        policies: rules.set.policies.for_cluster(target.cluster.as_ref()),
        limits: target.limits,
        builder: rules.builder.clone(),
    }
}

/// A warning where the rules of today would not let the change be taken back at the end of its time.
fn end_refused(change: &ChangeSet, expiry: &Expiry, base: &dyn BaseTree, gate: &validate::Rules) -> Result<Option<Note>, Stop> {
    let Some(path) = change.files.keys().next().cloned() else { return Ok(None) };
    let then = Changed::new(base, change);
    let undone = match expiry.inverse.apply(&then, &gate.within) {
        Err(error) if error.class() == ErrorClass::User => return Ok(None),
        undone => undone?,
    };
    match validate::validate(undone.change, &then, gate) {
        Err(ValidateError::Rejected(rejection)) => {
            let message =
                format!("at the end of its time the change stays, unless the rules are others by then: taking it back is refused today: {rejection}");
            Ok(Some(Note { rule: "ttl.refused", path, message }))
        }
        Ok(_) => Ok(None),
        Err(ValidateError::Base(error)) => Err(PlanError::from(error).into()),
    }
}

/// What the automation's recipe, or its model's answer, comes to.
fn ungated(rules: &InForce, wanted: Wanted<'_>, parameters: &Map<String, Value>, target: &Target, base: &dyn BaseTree) -> Result<Ungated, Stop> {
    let Some(rule) = rules.set.rules.get(wanted.automation) else {
        return Err(Stop::refused(format!("the automation {} is not configured any more", wanted.automation)));
    };
    let inputs = Inputs { event: wanted.event, parameters };
    let mut text = rule.recipe.pull_text(inputs)?;
    let change = match rule.recipe.guard() {
        None => rule.recipe.change(inputs, target, base, rules.renderer.as_ref(), rules.sealer.as_ref())?,
        Some(guard) => {
            let Some(draft) = wanted.draft else {
                return Err(Stop::refused("a language model drafts its change: what it comes to is known when the model has answered"));
            };
            text.draft = true;
            text.auto_merge = None;
            if !text.labels.iter().any(|label| label == DRAFTED_LABEL) {
                text.labels.push(DRAFTED_LABEL.to_owned());
            }
            guard.change_of_all(&draft.answers, target, base).map_err(PlanError::from)?.map_err(refused)?
        }
    };
    let expiry = match rule.recipe.ttl(inputs)? {
        Some(lifetime) => Some(Expiry { lifetime, inverse: Inverse::of(&change, base)? }),
        None => None,
    };
    Ok(Ungated { change, text, expiry })
}

/// A drafted change that goes beyond what its automation allows.
pub(super) fn refused(violations: Vec<Violation>) -> Stop {
    let message = match violations.as_slice() {
        [] => "the drafted change is refused".to_owned(),
        [one] => format!("the drafted change is refused: {}", one.message),
        [first, more @ ..] => format!("the drafted change is refused: {}; and {} more", first.message, more.len()),
    };
    Stop::Refused { findings: violations.into_iter().map(violation).collect(), message }
}

/// As a finding of the gate.
pub(super) fn violation(violation: Violation) -> Finding {
    Finding {
        severity: Severity::Error,
        rule: violation.rule.to_owned(),
        path: violation.path.unwrap_or_default(),
        document: None,
        pointer: None,
        line: None,
        message: violation.message,
        hint: None,
    }
}

fn finding(error: ParameterError) -> Finding {
    Finding {
        severity: Severity::Error,
        rule: "parameter".to_owned(),
        path: format!("parameters.{}", error.parameter),
        document: None,
        pointer: None,
        line: None,
        message: error.message,
        hint: None,
    }
}
