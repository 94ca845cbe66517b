//! When what an automation asked for is no longer wanted, as its author writes it: an alert that resolved, a ticket that was cancelled.
//! Pure: which of two events is the newer one, and what becomes of the request, is decided elsewhere.

use super::{Automation, AutomationSpec, EVENT_VARIABLES, compile_at};
use crate::event::EventType;
use crate::expression::{Equality, Expression, Scope};
use crate::types::SpecError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a request is taken back, and what becomes of it then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WithdrawSpec {
    /// The event types that take it back; by default those the automation looks at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<EventType>,
    /// CEL over `event`: the request with the key that `correlate` gives is taken back when this is true. Without it every event of
    /// these types takes it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// What becomes of an open pull request.
    #[serde(default)]
    pub open: OpenWhenWithdrawn,
    /// What becomes of a merged change.
    #[serde(default)]
    pub merged: MergedWhenWithdrawn,
}

/// What becomes of a merged change whose request is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MergedWhenWithdrawn {
    /// It stays; the timeline says that its reason is gone.
    #[default]
    Keep,
    /// The pull request that takes it back is opened, with the reason.
    Revert,
}

/// What becomes of an open pull request whose request is taken back. What has no pull request yet gets none, unless it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OpenWhenWithdrawn {
    /// It is closed with the reason, and its branch deleted.
    #[default]
    Close,
    /// It stays open; a comment says so.
    Comment,
    /// It stays open, and nothing is said.
    Keep,
}

const FIRING: &str = "alert.firing";
const RESOLVED: &str = "alert.resolved";

/// A compiled [`WithdrawSpec`].
#[derive(Debug)]
pub struct Withdraw {
    /// What its author wrote, or what holds where nothing is written.
    pub spec: WithdrawSpec,
    pub(super) when: Option<Expression>,
    /// Whether its author wrote nothing, and it holds because the automation is about alerts that fire.
    pub(super) implied: bool,
}

impl Withdraw {
    /// What the spec says; of an automation that looks at alerts that fire and not at those that resolve, that resolving takes them back.
    pub(super) fn compile(spec: &AutomationSpec, errors: &mut Vec<SpecError>) -> Option<Self> {
        let types = &spec.on.types;
        let about = |kind: &str| types.iter().any(|known| known.as_str() == kind);
        let Some(written) = &spec.withdraw else {
            let resolved = RESOLVED.parse().ok().filter(|_| about(FIRING) && !about(RESOLVED))?;
            let spec = WithdrawSpec { types: vec![resolved], when: None, open: OpenWhenWithdrawn::default(), merged: MergedWhenWithdrawn::default() };
            return Some(Self { spec, when: None, implied: true });
        };
        let when = written.when.as_deref().and_then(|text| compile_at(text, "/withdraw/when", EVENT_VARIABLES, errors));
        if written.when.is_none() && (written.types.is_empty() || written.types.iter().any(|kind| spec.on.takes(kind))) {
            let error = SpecError::new(
                "/withdraw",
                "the events that ask for a request would take it back as well: neither `types` nor `when` tells them apart",
            );
            errors.push(error.hint("withdraw: { when: event.data.transition.to == \"Cancelled\" }"));
        }
        let mut spec_in_force = written.clone();
        if spec_in_force.types.is_empty() {
            spec_in_force.types.clone_from(types);
        }
        Some(Self { spec: spec_in_force, when, implied: false })
    }

    /// An equality that has to hold for this to be about the event at all, if there is one.
    pub(super) fn required_equality(&self, automation: &Automation) -> Option<Equality> {
        let when = if self.implied { automation.when.as_ref() } else { self.when.as_ref() };
        let all = when?.required_equalities().into_iter();
        // An alert that resolves differs from the one that fired in its type and its status.
        all.filter(|equality| !self.implied || !matches!(equality.path.last().map(String::as_str), Some("type" | "status")))
            .max_by_key(|equality| equality.path.len())
    }

    /// Whether an event takes back what it is the key of.
    pub(super) fn holds(&self, kind: &EventType, scope: &Scope<'_>) -> bool {
        (self.spec.types.is_empty() || self.spec.types.contains(kind)) && self.when.as_ref().is_none_or(|when| when.holds(scope))
    }
}
