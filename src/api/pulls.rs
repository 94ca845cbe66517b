//! Pull requests of the local forge: listed, looked at, approved, marked ready, merged, closed.

use super::access::Caller;
use super::error::ApiError;
use super::extract::{At, State, WantsJson};
use super::paging::{Listing, page};
use super::ports::{Diff, PullAction};
use super::requests::{check_text, diff_answer, parse_body};
use super::views::PullView;
use crate::store::{PullFilter, PullState};
use crate::types::{BranchName, RepositoryName};
use actix_web::{HttpResponse, get, post, web};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

/// Which pull requests are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PullsQuery {
    /// Of this repository.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    repository: Option<RepositoryName>,
    /// open, closed or merged.
    #[param(value_type = Option<String>, pattern = "^(open|closed|merged)$", example = "open")]
    state: Option<PullState>,
    /// With this head branch.
    #[param(value_type = Option<String>)]
    head: Option<BranchName>,
    /// Rows wanted.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next` of the stretch before.
    after: Option<String>,
}

/// Lists pull requests of the local forge, newest first.
#[utoipa::path(tag = "pulls", params(PullsQuery), responses((status = 200, description = "The pull requests.", body = Listing<PullView>)))]
#[get("/pulls")]
pub(super) async fn list_pulls(state: State, query: web::Query<PullsQuery>) -> Result<web::Json<Listing<PullView>>, ApiError> {
    let query = query.into_inner();
    let page = page(query.limit, query.after.as_deref())?;
    let filter = PullFilter { repository: query.repository, state: query.state, head: query.head };
    let found = state.timed(state.store().pulls(&filter, &page)).await?;
    Ok(web::Json(Listing::of(found, PullView::from)))
}

/// Shows one pull request.
#[utoipa::path(tag = "pulls", params(("repository" = String, Path, description = "The repository's name."), ("number" = u64, Path, description = "Its number.")),
    responses((status = 200, description = "The pull request.", body = PullView)))]
#[get("/pulls/{repository}/{number}")]
pub(super) async fn show_pull(state: State, At((repository, number)): At<(RepositoryName, u64)>) -> Result<web::Json<PullView>, ApiError> {
    let found = state.timed(state.store().pull(&repository, number)).await?;
    found.map(|pull| web::Json(pull.into())).ok_or_else(|| ApiError::not_found(format!("there is no pull request {repository}#{number}")))
}

/// Shows what a pull request changes, as a unified diff or, with `Accept: application/json`, file by file.
#[utoipa::path(tag = "pulls", params(("repository" = String, Path, description = "The repository's name."), ("number" = u64, Path, description = "Its number.")),
    responses((status = 200, description = "The change.", content((String = "text/x-diff"), (Diff = "application/json")))))]
#[get("/pulls/{repository}/{number}/diff")]
pub(super) async fn diff_pull(state: State, At((repository, number)): At<(RepositoryName, u64)>, json: WantsJson) -> Result<HttpResponse, ApiError> {
    Ok(diff_answer(&state.timed(state.parts.operations.pull_diff(&repository, number)).await?, &json))
}

/// Approves a pull request, which also merges it where it is to be merged by itself and is not held.
#[utoipa::path(tag = "pulls", params(("repository" = String, Path, description = "The repository's name."), ("number" = u64, Path, description = "Its number.")),
    responses((status = 200, description = "It is approved.", body = PullView), (status = 409, description = "It is not open, or its forge is not ours.", body = super::error::ErrorBody)))]
#[post("/pulls/{repository}/{number}/approve")]
pub(super) async fn approve_pull(state: State, At(pull): At<(RepositoryName, u64)>, caller: Caller) -> Result<web::Json<PullView>, ApiError> {
    act(&state, pull, PullAction::Approve, &caller).await
}

/// Marks a draft ready, so that it may be merged.
#[utoipa::path(tag = "pulls", params(("repository" = String, Path, description = "The repository's name."), ("number" = u64, Path, description = "Its number.")),
    responses((status = 200, description = "It is ready.", body = PullView), (status = 409, description = "It is not open, or its forge is not ours.", body = super::error::ErrorBody)))]
#[post("/pulls/{repository}/{number}/ready")]
pub(super) async fn ready_pull(state: State, At(pull): At<(RepositoryName, u64)>, caller: Caller) -> Result<web::Json<PullView>, ApiError> {
    act(&state, pull, PullAction::Ready, &caller).await
}

/// Merges a pull request: a real merge of its head into its base.
#[utoipa::path(tag = "pulls", params(("repository" = String, Path, description = "The repository's name."), ("number" = u64, Path, description = "Its number.")),
    responses((status = 200, description = "It is merged.", body = PullView), (status = 409, description = "It is not open, is a draft, does not merge cleanly, or its forge is not ours.", body = super::error::ErrorBody)))]
#[post("/pulls/{repository}/{number}/merge")]
pub(super) async fn merge_pull(state: State, At(pull): At<(RepositoryName, u64)>, caller: Caller) -> Result<web::Json<PullView>, ApiError> {
    act(&state, pull, PullAction::Merge, &caller).await
}

/// Why a pull request is closed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Closing {
    /// A sentence for whoever asked.
    #[schema(max_length = 500, pattern = r"\S", example = "not this quarter")]
    comment: Option<String>,
}

/// Closes a pull request without a merge: a veto that is remembered.
#[utoipa::path(tag = "pulls", params(("repository" = String, Path, description = "The repository's name."), ("number" = u64, Path, description = "Its number.")),
    request_body = Option<Closing>,
    responses((status = 200, description = "It is closed.", body = PullView), (status = 409, description = "It is not open, or its forge is not ours.", body = super::error::ErrorBody)))]
#[post("/pulls/{repository}/{number}/close")]
pub(super) async fn close_pull(
    state: State,
    At(pull): At<(RepositoryName, u64)>,
    caller: Caller,
    body: web::Bytes,
) -> Result<web::Json<PullView>, ApiError> {
    let given: Option<Closing> = if body.is_empty() { None } else { parse_body(&body)? };
    let comment = given.unwrap_or_default().comment;
    check_text("comment", comment.as_deref())?;
    act(&state, pull, PullAction::Close(comment), &caller).await
}

async fn act(
    state: &State,
    (repository, number): (RepositoryName, u64),
    action: PullAction,
    caller: &Caller,
) -> Result<web::Json<PullView>, ApiError> {
    let pull = state.timed(state.parts.operations.act_on_pull(&repository, number, action, &caller.name)).await?;
    Ok(web::Json(pull.into()))
}
