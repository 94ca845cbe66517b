//! Members of a group: taken out one by one.

use super::access::Caller;
use super::error::ApiError;
use super::extract::{At, State};
use super::requests::{Cancellation, check_text, parse_body};
use super::views::RequestView;
use crate::types::RequestId;
use actix_web::{HttpResponse, post, web};

/// Takes one member out of a live group: only its commit goes. The last one taken out withdraws the request.
#[utoipa::path(tag = "requests",
    params(("id" = String, Path, description = "The request's id."),
           ("member" = String, Path, description = "The member's correlation key, percent-encoded, or its number.", example = "3")),
    request_body = Option<Cancellation>,
    responses((status = 202, description = "The group is being planned again without it, or withdrawn.", body = RequestView),
              (status = 409, description = "The request has ended, or the member was taken out before.", body = super::error::ErrorBody)))]
#[post("/requests/{id}/members/{member}/withdraw")]
pub(super) async fn withdraw_member(
    state: State,
    At((id, member)): At<(RequestId, String)>,
    caller: Caller,
    body: web::Bytes,
) -> Result<HttpResponse, ApiError> {
    let given: Option<Cancellation> = if body.is_empty() { None } else { parse_body(&body)? };
    let reason = given.unwrap_or_default().reason;
    check_text("reason", reason.as_deref())?;
    let request = state.timed(state.parts.operations.withdraw_member(&id, &member, &caller.name, reason.as_deref())).await?;
    Ok(HttpResponse::Accepted().json(RequestView::from(request)))
}
