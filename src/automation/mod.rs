//! Rules kept as YAML: which events they take, under which condition, with which parameters.
//! Pure. An automation decides that a request is wanted and with which values; what the change looks like is `plan`'s.
//! It never fails on an event: what does not fit is "does not match", and can be explained.

mod draft;
mod feedback;
mod known_models;
mod matching;
mod mcp;
mod model;
mod parameters;
mod seal;
mod storm;
mod ttl;
mod withdraw;
#[cfg(test)]
mod tests;

pub use draft::{AllowSpec, AnswerFormat, BudgetSpec, DayBudgetSpec, DraftSpec, ExampleSpec, ModelSpec, PriceSpec, Provider};
pub use feedback::{FeedbackSpec, LabelsSpec, News, NewsSpec, TransitionSpec, TransitionWithSpec};
pub use known_models::KnownModels;
pub use matching::{Automations, Considered};
pub use mcp::McpToolsSpec;
pub use model::{
    Amount, AmountSpec, AutomationSpec, BoundedSpec, CoAuthorSpec, CommitSpec, EditSpec, ElementSpec, IfExists, IfMissing, MergeMethod, Milestone,
    OneOrMany, ParameterSpec, PullRequestSpec, RemoveSpec, RenderSpec, RoundSpec, TargetSpec, Trigger,
};
pub use parameters::{ParameterError, Parameters};
pub use seal::{SealScope, SealSpec};
pub use storm::{DebounceSpec, GroupSpec, LimitsSpec, LoopSpec, MOST_MEMBERS, TargetLimitsSpec};
pub use ttl::{TtlBegin, TtlSpec, TtlWithSpec};
pub use withdraw::{MergedWhenWithdrawn, OpenWhenWithdrawn, Withdraw, WithdrawSpec};

pub(crate) use parameters::escape as escape_pointer;

use crate::event::Event;
use crate::expression::{EvaluationError, Expression, Scope, Variable, Variables};
use crate::types::{AutomationName, SpecError};
use sha2::{Digest as _, Sha256};

/// The variables of `when` and `correlate`.
pub const EVENT_VARIABLES: &[&str] = &["event"];
/// The longest correlation key, in characters.
pub const MAX_CORRELATION: usize = 512;

/// A compiled automation.
#[derive(Debug)]
pub struct Automation {
    /// Its name.
    pub name: AutomationName,
    /// What its author wrote.
    pub spec: AutomationSpec,
    when: Option<Expression>,
    correlate: Expression,
    group: Option<Expression>,
    withdraw: Option<Withdraw>,
    issues: Vec<Expression>,
    parameters: Parameters,
}

impl Automation {
    /// Compiles a spec.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn compile(name: AutomationName, spec: AutomationSpec) -> Result<Self, Vec<SpecError>> {
        let mut errors = Vec::new();
        let is_asked = spec.copilot || spec.draft.as_ref().is_some_and(|draft| draft.jobs);
        if spec.on.sources().next().is_none() && !is_asked {
            errors.push(
                SpecError::new("/on", "an automation names the source, or sources, whose events it takes")
                    .hint("on: { source: service-desk, types: [jira.issue.transitioned] }; one that only operators ask for says `copilot: true` or `draft.jobs: true`"),
            );
        }
        if spec.copilot && spec.description.as_deref().is_none_or(|description| description.trim().is_empty()) {
            errors.push(
                SpecError::new("/copilot", "without a description no model can tell what it is for")
                    .hint("description: Opens a namespace for a team, with quotas and its members' rights."),
            );
        }
        let when = spec.when.as_deref().and_then(|text| compile_at(text, "/when", EVENT_VARIABLES, &mut errors));
        let correlate = compile_at(spec.correlate.as_deref().unwrap_or("event.subject"), "/correlate", EVENT_VARIABLES, &mut errors);
        let group = spec.group.as_ref().and_then(|group| compile_at(&group.by, "/group/by", EVENT_VARIABLES, &mut errors));
        let withdraw = Withdraw::compile(&spec, &mut errors);
        let issues = feedback::compile(&spec.feedback, &mut errors);
        errors.extend(storm::check(&spec));
        errors.extend(draft::check(&spec));
        let parameters = Parameters::compile(&spec.parameters).map_err(|found| errors.extend(found)).ok();
        match (correlate, parameters) {
            (Some(correlate), Some(parameters)) if errors.is_empty() => Ok(Self { name, spec, when, correlate, group, withdraw, issues, parameters }),
            _ => Err(errors),
        }
    }

    /// SHA-256 over what its author wrote, in hex; comments and the order of fields are no part of it.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(serde_json::to_vec(&self.spec).unwrap_or_default()))
    }

    /// Its parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// When what it asked for is taken back; none when nothing does that.
    pub fn withdraw(&self) -> Option<&Withdraw> {
        self.withdraw.as_ref()
    }

    /// What makes two events the same request.
    ///
    /// # Errors
    /// A sentence for the author when the expression has no value, or no text as its value.
    pub fn correlation(&self, scope: &Scope<'_>) -> Result<String, String> {
        key("correlate", &self.correlate, scope)
    }

    /// What makes two events members of one request; none when each event asks for a request of its own.
    ///
    /// # Errors
    /// As [`Self::correlation`].
    pub fn group_key(&self, scope: &Scope<'_>) -> Result<Option<String>, String> {
        self.group.as_ref().map(|group| key("group.by", group, scope)).transpose()
    }

    /// Whether the automation's `on` fits the event.
    pub fn listens_to(&self, event: &Event) -> bool {
        event.source.as_ref().is_some_and(|source| self.spec.on.sources().any(|name| name == source)) && self.spec.on.takes(&event.kind)
    }

    /// Looks at one event in full: every predicate with its values.
    pub fn consider(&self, scope: &Scope<'_>) -> Considered {
        let explanation = self.when.as_ref().map(|when| when.explain(scope));
        Considered { automation: self.name.clone(), matched: explanation.as_ref().is_none_or(|e| e.holds), explanation }
    }
}

/// The text an expression at `field` gives as a key.
fn key(field: &str, expression: &Expression, scope: &Scope<'_>) -> Result<String, String> {
    let said = format!("`{field}: {}`", expression.source());
    let text = match expression.evaluate(scope) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(serde_json::Value::Number(number)) => number.to_string(),
        Ok(_) => return Err(format!("{said} gives neither text nor a number")),
        Err(error) => return Err(format!("{said} has no value: {error}")),
    };
    match text.chars().count() {
        0 => Err(format!("{said} gives an empty text")),
        1..=MAX_CORRELATION => Ok(text),
        length => Err(format!("{said} gives {length} characters; {MAX_CORRELATION} are allowed")),
    }
}

/// The variables an event gives to expressions.
pub fn scope_of(event: &Event) -> Scope<'_> {
    Scope::lending(Variables::new([("event", Variable::Event(event))]))
}

/// Compiles the expression at `pointer`, or adds what is wrong to `errors`.
pub(crate) fn compile_at(text: &str, pointer: &str, variables: &[&str], errors: &mut Vec<SpecError>) -> Option<Expression> {
    Expression::compile(text, variables)
        .map_err(|error| {
            errors.push(SpecError {
                pointer: pointer.to_owned(),
                message: format!("not a valid CEL expression: {}", error.message),
                hint: None,
                within: Some((error.line, error.column)),
            });
        })
        .ok()
}

/// A sentence for a value that an expression does not have.
pub(crate) fn no_value(text: &str, error: &EvaluationError) -> String {
    match error {
        EvaluationError::Missing(field) => format!("`{text}` finds nothing: there is no field `{field}` in the event"),
        other => format!("`{text}` has no value: {other}"),
    }
}
