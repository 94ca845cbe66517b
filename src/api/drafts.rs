//! What language models drafted for a request, and everything that was said in it.

use super::access::Caller;
use super::error::ApiError;
use super::extract::{At, State};
use super::ports::Revising;
use super::views::{DraftLineView, DraftView, ReplayView, RequestView};
use crate::pipeline::{DraftReport, StepError, draft_lines};
use crate::request;
use crate::store::{Draft, DraftState, Store};
use crate::types::RequestId;
use actix_web::{HttpResponse, get, post, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest wish, in characters.
const MAX_WISH: usize = 2_000;

/// Lists the drafts of a service request, oldest first.
#[utoipa::path(tag = "drafts", params(("id" = String, Path, description = "The request's id.")),
    responses((status = 200, description = "The drafts; none where no model was asked.", body = Vec<DraftView>)))]
#[get("/requests/{id}/drafts")]
pub(super) async fn list_drafts(state: State, At(id): At<RequestId>) -> Result<web::Json<Vec<DraftView>>, ApiError> {
    let drafts = state.timed(async {
        let request = state.store().request(&id).await?;
        let mut views = Vec::new();
        for draft in state.store().drafts(&id).await? {
            views.push(DraftView::from(report(state.store(), draft).await?));
        }
        // One that failed with its request says nothing of its own.
        if let Some(last) = views.last_mut().filter(|last| last.state == DraftState::Failed && request.state == request::State::Failed) {
            last.message = last.message.take().or(request.message);
        }
        Ok::<_, ApiError>(views)
    });
    Ok(web::Json(drafts.await?))
}

/// Shows everything that was said in a draft, in order.
#[utoipa::path(tag = "drafts", params(("id" = String, Path, description = "The request's id."), ("number" = u32, Path, description = "Which of its drafts, from 1.")),
    responses((status = 200, description = "What was said.", body = Vec<DraftLineView>)))]
#[get("/requests/{id}/drafts/{number}/lines")]
pub(super) async fn show_draft(state: State, path: web::Path<(String, u32)>) -> Result<web::Json<Vec<DraftLineView>>, ApiError> {
    let (id, number) = path.into_inner();
    let id: RequestId = id.parse().map_err(|error: crate::types::ParseError| ApiError::bad_request("invalid_path", error.to_string()))?;
    let lines = state.timed(async {
        state.store().request(&id).await?;
        let draft = state.store().drafts(&id).await?.into_iter().find(|draft| draft.number == number);
        let draft = draft.ok_or_else(|| ApiError::not_found(format!("there is no draft {number} of {id}")))?;
        lines_of(state.store(), &draft).await
    });
    Ok(web::Json(lines.await?))
}

/// Decides a draft once more, with the replies that were kept: the model is not asked. Tells whether it takes the same course under the
/// resources in force, and where not. Nothing is changed.
#[utoipa::path(tag = "drafts", params(("id" = String, Path, description = "The request's id."), ("number" = u32, Path, description = "Which of its drafts, from 1.")),
    responses((status = 200, description = "What came of it.", body = ReplayView),
              (status = 409, description = "It runs yet, or the commit it was begun on is gone.", body = super::error::ErrorBody)))]
#[post("/requests/{id}/drafts/{number}/replay")]
pub(super) async fn replay_draft(state: State, path: web::Path<(String, u32)>) -> Result<web::Json<ReplayView>, ApiError> {
    let (id, number) = path.into_inner();
    let id: RequestId = id.parse().map_err(|error: crate::types::ParseError| ApiError::bad_request("invalid_path", error.to_string()))?;
    Ok(web::Json(state.timed(state.parts.operations.replay_draft(&id, number)).await?.into()))
}

/// What is wanted otherwise.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    /// In your own words.
    #[schema(min_length = 1, max_length = 2000, pattern = r"\S", example = "keep the memory limit as it was")]
    text: String,
}

/// A wish for a revision that was heard.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RevisionAsked {
    /// The request.
    #[serde(flatten)]
    request: RequestView,
    /// Which wish for a revision this is, from 1: the draft that is made for it names the same as its `revision`.
    #[schema(minimum = 1, example = 1)]
    revision: u32,
}

/// Has the language model that drafted the change revise it, as a new commit on the same pull request.
#[utoipa::path(tag = "drafts", params(("id" = String, Path, description = "The request's id.")),
    responses((status = 202, description = "The model is asked.", body = RevisionAsked),
              (status = 409, description = "No model drafted it, it is not open, or it was revised too often.", body = super::error::ErrorBody)))]
#[post("/requests/{id}/revise")]
pub(super) async fn revise_request(state: State, At(id): At<RequestId>, caller: Caller, body: web::Json<Wish>) -> Result<HttpResponse, ApiError> {
    let Wish { text } = body.into_inner();
    if text.trim().is_empty() || text.chars().count() > MAX_WISH {
        return Err(ApiError::bad_request("invalid_body", format!("text has 1 to {MAX_WISH} characters and says something")));
    }
    let Revising { request, revision } = state.timed(state.parts.operations.revise(&id, &caller.name, &text)).await?;
    Ok(HttpResponse::Accepted().json(RevisionAsked { request: request.into(), revision }))
}

/// A draft with what it came to so far.
pub(super) async fn report(store: &dyn Store, draft: Draft) -> Result<DraftReport, ApiError> {
    let tally = store.tally(&draft.request, draft.number).await?;
    DraftReport::of(draft, tally).map_err(unreadable)
}

/// Everything that was said in a draft.
pub(super) async fn lines_of(store: &dyn Store, draft: &Draft) -> Result<Vec<DraftLineView>, ApiError> {
    let turns = store.turns(&draft.request, draft.number).await?;
    let lines = draft_lines(draft, &turns).map_err(unreadable)?;
    Ok(lines.into_iter().map(|line| DraftLineView::of(draft.number, line)).collect())
}

fn unreadable(error: StepError) -> ApiError {
    ApiError::internal(error)
}
