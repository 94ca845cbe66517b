//! Where a model's calls are answered: tools that read the base a draft was begun on, and the gate its answers are held against.

use super::super::planning;
use super::super::plans::wanted;
use super::super::{InForce, Pipeline, StepError, blocking};
use crate::draft::{Bench, Redactor, Verdict};
use crate::git::Snapshot;
use crate::inventory::Target;
use crate::plan::{Answer, PlanError};
use crate::request::Request;
use crate::store::Draft;
use crate::validate::{self, Finding, Severity, ValidateError};
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex};

/// Rules whose breach is an attack until somebody says otherwise: the model is not told more than that it is refused.
const SECURITY: [&str; 3] = ["secret.", "path.", "draft.placeholder"];

/// Answers one draft's calls.
pub(super) struct Workbench {
    inner: Arc<Inner>,
}

struct Inner {
    rules: Arc<InForce>,
    request: Request,
    parameters: Map<String, Value>,
    target: Target,
    base: Snapshot,
    redactor: Mutex<Redactor>,
}

impl Workbench {
    /// The bench of a draft: the base it was begun on, also where the branch has moved on since.
    pub(super) async fn open(pipeline: &Arc<Pipeline>, rules: &Arc<InForce>, request: &Request, draft: &Draft) -> Result<Self, StepError> {
        let (pipeline, rules, request, draft) = (Arc::clone(pipeline), Arc::clone(rules), request.clone(), draft.clone());
        blocking(move || {
            let (parameters, target) = planning::resolve(&rules, wanted(&request)).map_err(super::begin::failed)?;
            let base = pipeline.mirror(&target.repository)?.snapshot(&draft.base)?;
            let redactor = Mutex::new(Redactor::new(&draft.salt));
            Ok(Self { inner: Arc::new(Inner { rules, request, parameters, target, base, redactor }) })
        })
        .await
    }
}

#[async_trait]
impl Bench for Workbench {
    type Error = StepError;

    async fn look(&self, tool: &str, arguments: &Value) -> Result<String, StepError> {
        let (inner, tool, arguments) = (Arc::clone(&self.inner), tool.to_owned(), arguments.clone());
        blocking(move || inner.look(&tool, &arguments)).await
    }

    async fn judge(&self, answer: &Value) -> Result<Verdict, StepError> {
        let (inner, answer) = (Arc::clone(&self.inner), answer.clone());
        blocking(move || inner.judge(&answer)).await
    }
}

impl Inner {
    fn look(&self, _tool: &str, _arguments: &Value) -> Result<String, StepError> {
        Ok(String::new())
    }

    /// What the gate says of an answer on the draft's base.
    fn judge(&self, answer: &Value) -> Result<Verdict, StepError> {
        let answer = match Answer::parse(answer) {
            Ok(answer) => answer,
            Err(error) => return Ok(refused(vec![finding("draft.answer", error.to_string())], false)),
        };
        let Some(guard) = self.rules.set.rules.get(&self.request.key.automation).and_then(|rule| rule.recipe.guard()) else {
            return Err(StepError::Permanent(format!("the automation {} has no model draft any more", self.request.key.automation)));
        };
        let change = match guard.change(&answer, &self.target, &self.base).map_err(PlanError::from)? {
            Ok(change) => change,
            Err(violations) => {
                let security = violations.iter().any(|violation| violation.security);
                return Ok(refused(violations.into_iter().map(planning::violation).collect(), security));
            }
        };
        match validate::validate(change, &self.base, &planning::gate(&self.rules, &self.target)) {
            Ok(change) if change.is_empty() => {
                let message = "the change changes nothing: the files say all of it already. If that is as it should be, call no_change";
                Ok(refused(vec![finding("draft.empty", message.to_owned())], false))
            }
            Ok(_) => Ok(Verdict::Passes),
            Err(ValidateError::Rejected(rejection)) => {
                let errors: Vec<Finding> = rejection.findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect();
                let security = errors.iter().any(|finding| SECURITY.iter().any(|rule| finding.rule.starts_with(rule)));
                Ok(refused(errors, security))
            }
            Err(ValidateError::Base(error)) => Err(PlanError::from(error).into()),
        }
    }
}

fn refused(findings: Vec<Finding>, security: bool) -> Verdict {
    Verdict::Refused { findings, security }
}

fn finding(rule: &str, message: String) -> Finding {
    Finding { severity: Severity::Error, rule: rule.to_owned(), path: String::new(), document: None, pointer: None, line: None, message, hint: None }
}
