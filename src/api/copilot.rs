//! The copilot: a sentence becomes a suggestion, and a suggestion that a person confirms becomes a request like any other.

use super::access::Caller;
use super::error::ApiError;
use super::extract::{At, State};
use super::ports::AskCopilot;
use super::requests::{AskedView, asked};
use super::views::{CopilotView, SuggestionView};
use crate::pipeline::MAX_SENTENCE;
use crate::types::{AutomationName, SuggestionId};
use actix_web::{HttpResponse, get, post, web};
use serde::Deserialize;
use utoipa::ToSchema;

/// What is wanted, in a sentence.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CopilotBody {
    /// What you want, in your own words.
    #[schema(min_length = 1, max_length = 2000, pattern = r"\S", example = "a namespace for payments on prod-eu, 8 CPUs and 16Gi")]
    sentence: String,
    /// The automation, where you know which: then its parameters are filled and nothing else is chosen.
    #[schema(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    automation: Option<AutomationName>,
}

/// Has a language model pick one of the automations marked for it and fill its parameters. Nothing is filed: what it would do is shown,
/// and kept for a day so that it can be confirmed. It takes as long as the model does, two minutes at most.
#[utoipa::path(tag = "drafts",
    responses((status = 200, description = "What may be confirmed, or why there is nothing.", body = CopilotView),
              (status = 404, description = "There is no such automation.", body = super::error::ErrorBody),
              (status = 409, description = "The model, or its provider, does not take the call.", body = super::error::ErrorBody),
              (status = 422, description = "No automation is offered, or no model is set up.", body = super::error::ErrorBody)))]
#[post("/copilot")]
pub(super) async fn suggest(state: State, caller: Caller, body: web::Json<CopilotBody>) -> Result<web::Json<CopilotView>, ApiError> {
    let CopilotBody { sentence, automation } = body.into_inner();
    if sentence.trim().is_empty() || sentence.chars().count() > MAX_SENTENCE {
        return Err(ApiError::bad_request("invalid_body", format!("sentence has 1 to {MAX_SENTENCE} characters and says something")));
    }
    // It has a bound of its own, longer than that of other calls.
    let made = state.parts.operations.copilot(AskCopilot { sentence, automation, actor: caller.name }).await?;
    Ok(web::Json(made.into()))
}

/// Shows a suggestion that was made.
#[utoipa::path(tag = "drafts", params(("id" = String, Path, description = "The suggestion's id.")),
    responses((status = 200, description = "The suggestion.", body = SuggestionView),
              (status = 409, description = "It may not be confirmed any more.", body = super::error::ErrorBody)))]
#[get("/copilot/{id}")]
pub(super) async fn show_suggestion(state: State, At(id): At<SuggestionId>) -> Result<web::Json<SuggestionView>, ApiError> {
    let suggested = state.timed(state.parts.operations.suggestion(&id)).await?;
    Ok(web::Json(suggested.into()))
}

/// Files what a suggestion shows, with exactly its parameters. Confirmed again it is the same request.
#[utoipa::path(tag = "drafts", params(("id" = String, Path, description = "The suggestion's id.")),
    responses((status = 201, description = "A request was opened.", body = AskedView, headers(("Location" = String, description = "The request."))),
              (status = 200, description = "It was confirmed before.", body = AskedView, headers(("Location" = String, description = "The request."))),
              (status = 409, description = "It may not be confirmed any more.", body = super::error::ErrorBody),
              (status = 422, description = "The automation takes these parameters no more: `details.problems` has each.", body = super::error::ErrorBody)))]
#[post("/copilot/{id}/confirm")]
pub(super) async fn confirm_suggestion(state: State, At(id): At<SuggestionId>, caller: Caller) -> Result<HttpResponse, ApiError> {
    Ok(asked(state.timed(state.parts.operations.confirm_suggestion(&id, &caller.name)).await?))
}
