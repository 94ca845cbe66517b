//! Merged changes: taken back, or kept for longer.

use super::access::Caller;
use super::error::ApiError;
use super::extract::{At, State};
use super::requests::{AskedView, asked, check_text, parse_body};
use super::views::RequestView;
use crate::types::{RequestId, SpecDuration};
use actix_web::{HttpResponse, post, web};
use serde::Deserialize;
use utoipa::ToSchema;

/// Why a merged change is taken back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reversal {
    /// A sentence for the pull request and the timeline.
    #[schema(max_length = 500, pattern = r"\S", example = "it made things worse")]
    reason: Option<String>,
}

/// Opens the request that takes a merged change back, on the base as it is now. One that lives, or is merged, is told instead.
#[utoipa::path(tag = "requests", params(("id" = String, Path, description = "The request's id.")), request_body = Option<Reversal>,
    responses((status = 201, description = "A request was opened.", body = AskedView, headers(("Location" = String, description = "The request."))),
              (status = 200, description = "There is such a request already.", body = AskedView, headers(("Location" = String, description = "The request."))),
              (status = 409, description = "It is not merged, or what takes it back cannot be told.", body = super::error::ErrorBody)))]
#[post("/requests/{id}/revert")]
pub(super) async fn revert_request(state: State, At(id): At<RequestId>, caller: Caller, body: web::Bytes) -> Result<HttpResponse, ApiError> {
    let given: Option<Reversal> = if body.is_empty() { None } else { parse_body(&body)? };
    let given = given.unwrap_or_default();
    check_text("reason", given.reason.as_deref())?;
    Ok(asked(state.timed(state.parts.operations.revert(&id, &caller.name, given.reason.as_deref())).await?))
}

/// By how much a time to live is extended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Extension {
    /// The time, counted from the end it has.
    #[schema(value_type = String, pattern = "^[0-9]{1,4}[smhd]$", example = "2h")]
    by: SpecDuration,
}

/// Has a merged change with a time to live live on for a while longer.
#[utoipa::path(tag = "requests", params(("id" = String, Path, description = "The request's id.")), request_body = Extension,
    responses((status = 200, description = "It ends later.", body = RequestView),
              (status = 409, description = "Its clock does not run, or it would live for too long.", body = super::error::ErrorBody)))]
#[post("/requests/{id}/extend")]
pub(super) async fn extend_request(state: State, At(id): At<RequestId>, caller: Caller, body: web::Bytes) -> Result<HttpResponse, ApiError> {
    let Extension { by } = parse_body(&body)?;
    let request = state.timed(state.parts.operations.extend(&id, &caller.name, by)).await?;
    Ok(HttpResponse::Ok().json(RequestView::from(request)))
}
