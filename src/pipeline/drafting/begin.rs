//! How a draft begins: what the model is told, put together from the automation, the event and the base as it is now.

use super::super::planning::{self, Stop};
use super::super::plans::{Bases, wanted};
use super::super::{InForce, Pipeline, StepError, blocking};
use super::{Begun, kept};
use crate::draft::{Beginning, brief};
use crate::plan::Answer;
use crate::request::Request;
use crate::store::{Draft, DraftState};
use std::sync::Arc;

impl Pipeline {
    /// A draft of the request on the present tip of its base.
    pub(super) async fn begin(self: &Arc<Self>, rules: &Arc<InForce>, request: &Request, number: u32) -> Result<Draft, StepError> {
        let (this, rules, request) = (Arc::clone(self), Arc::clone(rules), request.clone());
        blocking(move || this.begin_here(&rules, &request, number)).await
    }

    /// The same where one may block.
    fn begin_here(&self, rules: &Arc<InForce>, request: &Request, number: u32) -> Result<Draft, StepError> {
        let gone = || StepError::Permanent(format!("the automation {} has no model draft any more", request.key.automation));
        let automation = rules.set.automations.get(&request.key.automation).ok_or_else(gone)?;
        let spec = automation.spec.draft.as_ref().ok_or_else(gone)?;
        let guard = rules.set.rules.get(&request.key.automation).and_then(|rule| rule.recipe.guard()).ok_or_else(gone)?;
        let chosen = self.models.model(spec.model.as_ref())?;
        let (parameters, target) = planning::resolve(rules, wanted(request)).map_err(failed)?;
        let base = self.base(&mut Bases::new(), &target.repository)?;
        let salt = hex::encode(self.clock.random().to_be_bytes());
        let mut redactor = crate::draft::Redactor::new(&salt);
        let event = serde_json::json!({
            "type": request.event.kind, "subject": request.event.subject, "time": request.event.time, "data": request.event.data,
        });
        let event = redactor.redact(&pretty(&event));
        let values = redactor.redact(&pretty(&parameters));
        let (objects, files, passages) = (String::new(), Vec::new(), Vec::new());
        let brief = brief(&Beginning {
            spec,
            goal: request.steering.job.as_deref().map(|job| (job.goal.as_str(), job.by.as_str())),
            place: &place(&target),
            event: &event,
            parameters: &values,
            objects: &objects,
            files: &files,
            passages: &passages,
            revision: None,
            answer: &Answer::schema(guard.formats()),
            tools: Vec::new(),
            salt: &salt,
        });
        Ok(Draft {
            request: request.id.clone(),
            number,
            automation: request.key.automation.clone(),
            state: DraftState::Running,
            base: base.tip.clone(),
            salt,
            brief: kept(&Begun { brief, model: chosen.model.id().clone() })?,
            outcome: None,
            begun_at: self.clock.now(),
            ended_at: None,
        })
    }
}

/// What was resolved before and is not any more: planning says so to people, so it is left to it.
pub(super) fn failed(stop: Stop) -> StepError {
    match stop {
        Stop::Refused { message, .. } => StepError::Permanent(message),
        Stop::Failed(error) => error,
    }
}

fn place(target: &crate::inventory::Target) -> String {
    let directory = if target.path.as_str() == "." { "its root".to_owned() } else { format!("the directory {}", target.path) };
    match &target.cluster {
        Some(cluster) => format!("the repository {}, {directory} (cluster {cluster}, Kubernetes {})", target.repository.name, target.kubernetes),
        None => format!("the repository {}, {directory} (Kubernetes {})", target.repository.name, target.kubernetes),
    }
}

fn pretty<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
