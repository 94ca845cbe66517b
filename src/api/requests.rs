//! Service requests: listed, looked at, asked for, tried again, cancelled.

use super::access::Caller;
use super::error::ApiError;
use super::extract::{At, IdempotencyKey, State, WantsJson};
use super::paging::{Listing, page};
use super::ports::{Ask, Asked, Diff};
use super::views::{RequestDetail, RequestView, UndoneView};
use crate::store::{RequestFilter, TaskFilter};
use crate::types::{AutomationName, RepositoryName, RequestId};
use actix_web::http::header::{LOCATION, VARY};
use actix_web::{HttpResponse, get, post, web};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

/// Tasks of one request that are shown.
const TASKS_SHOWN: u32 = 50;
/// Members of one request that are shown.
const MEMBERS_SHOWN: u32 = 500;
/// The longest correlation key and reason, in bytes.
const TEXT_LIMIT: usize = 500;

/// Which requests are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RequestsQuery {
    /// In one of these states, separated by commas.
    #[param(example = "proposed,approved")]
    state: Option<String>,
    /// Of this automation.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    automation: Option<AutomationName>,
    /// For this repository.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    repository: Option<RepositoryName>,
    /// With exactly this correlation key.
    correlation: Option<String>,
    /// Rows wanted.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next` of the stretch before.
    after: Option<String>,
}

/// Lists service requests, newest first.
#[utoipa::path(tag = "requests", params(RequestsQuery), responses((status = 200, description = "The requests.", body = Listing<RequestView>)))]
#[get("/requests")]
pub(super) async fn list_requests(state: State, query: web::Query<RequestsQuery>) -> Result<web::Json<Listing<RequestView>>, ApiError> {
    let query = query.into_inner();
    let states = query.state.as_deref().unwrap_or_default().split(',').filter(|word| !word.is_empty()).map(str::parse::<crate::request::State>);
    let states = states.collect::<Result<Vec<_>, _>>().map_err(|e| ApiError::bad_request("invalid_query", e.to_string()))?;
    let filter = RequestFilter {
        states,
        automation: query.automation,
        repository: query.repository,
        correlation: query.correlation,
        ..RequestFilter::default()
    };
    let page = page(query.limit, query.after.as_deref())?;
    let found = state.timed(state.store().requests(&filter, &page)).await?;
    Ok(web::Json(Listing::of(found, RequestView::from)))
}

/// Shows one service request with its timeline, its tasks and what was found wrong.
#[utoipa::path(tag = "requests", params(("id" = String, Path, description = "The request's id.")),
    responses((status = 200, description = "The request.", body = RequestDetail)))]
#[get("/requests/{id}")]
pub(super) async fn show_request(state: State, At(id): At<RequestId>) -> Result<web::Json<RequestDetail>, ApiError> {
    let detail = state.timed(async {
        let mut request = state.store().request(&id).await?;
        let timeline = state.store().timeline(&id).await?;
        let members = if request.members > 0 { state.store().members(&id, false, 0, MEMBERS_SHOWN).await? } else { Vec::new() };
        let tasks = state.store().tasks(&TaskFilter { request: Some(id), state: None }, TASKS_SHOWN).await?;
        let undone = match &request.steering.reverted_by {
            Some(by) => state.store().request(by).await.ok().map(|undone| UndoneView { state: undone.state, message: undone.message }),
            None => None,
        };
        let findings = std::mem::take(&mut request.findings);
        let changes = request.changes.take().map(Into::into);
        let tasks = tasks.into_iter().map(Into::into).collect();
        let members = members.into_iter().map(Into::into).collect();
        Ok::<_, ApiError>(RequestDetail { request: request.into(), timeline, tasks, findings, changes, members, undone })
    });
    Ok(web::Json(detail.await?))
}

/// Shows what a service request changes, as a unified diff or, with `Accept: application/json`, file by file.
#[utoipa::path(tag = "requests", params(("id" = String, Path, description = "The request's id.")),
    responses((status = 200, description = "The change.", content((String = "text/x-diff"), (Diff = "application/json"))),
              (status = 409, description = "Nothing is planned yet, or what an ended request changed is not kept any more.", body = super::error::ErrorBody)))]
#[get("/requests/{id}/diff")]
pub(super) async fn diff_request(state: State, At(id): At<RequestId>, json: WantsJson) -> Result<HttpResponse, ApiError> {
    Ok(diff_answer(&state.timed(state.parts.operations.request_diff(&id)).await?, &json))
}

/// A diff in the form that was asked for.
pub(super) fn diff_answer(diff: &Diff, json: &WantsJson) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((VARY, "Accept"));
    if json.0 {
        return answer.json(diff);
    }
    let mut patches: String = diff.files.iter().map(|file| file.patch.as_str()).collect();
    if diff.truncated {
        patches.push_str("# The diff is too long and was cut here: look at the branch itself.\n");
    }
    answer.content_type("text/x-diff; charset=utf-8").body(patches)
}

/// Has a request that failed, was rejected or was declined planned anew.
#[utoipa::path(tag = "requests", params(("id" = String, Path, description = "The request's id.")),
    responses((status = 202, description = "It is being planned.", body = RequestView),
              (status = 409, description = "Its state does not allow it.", body = super::error::ErrorBody)))]
#[post("/requests/{id}/retry")]
pub(super) async fn retry_request(state: State, At(id): At<RequestId>, caller: Caller) -> Result<HttpResponse, ApiError> {
    let request = state.timed(state.parts.operations.retry(&id, &caller.name)).await?;
    Ok(HttpResponse::Accepted().json(RequestView::from(request)))
}

/// Why a request is cancelled.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancellation {
    /// A sentence for the timeline.
    #[schema(max_length = 500, pattern = r"\S", example = "the team was dissolved")]
    pub(super) reason: Option<String>,
}

/// Withdraws a live request: its pull request is closed and its branch deleted.
#[utoipa::path(tag = "requests", params(("id" = String, Path, description = "The request's id.")), request_body = Option<Cancellation>,
    responses((status = 202, description = "It is being withdrawn.", body = RequestView),
              (status = 409, description = "It has ended.", body = super::error::ErrorBody)))]
#[post("/requests/{id}/cancel")]
pub(super) async fn cancel_request(state: State, At(id): At<RequestId>, caller: Caller, body: web::Bytes) -> Result<HttpResponse, ApiError> {
    let given: Option<Cancellation> = if body.is_empty() { None } else { parse_body(&body)? };
    let given = given.unwrap_or_default();
    check_text("reason", given.reason.as_deref())?;
    let request = state.timed(state.parts.operations.cancel(&id, &caller.name, given.reason.as_deref())).await?;
    Ok(HttpResponse::Accepted().json(RequestView::from(request)))
}

/// Why a request is held.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Holding {
    /// A sentence for the timeline and the pull request.
    #[schema(max_length = 500, pattern = r"\S", example = "the database is being moved")]
    reason: Option<String>,
}

/// Has a live request wait until somebody releases it: its pull request says so, and is not merged by itself. What is held already
/// stays as it is held.
#[utoipa::path(tag = "requests", params(("id" = String, Path, description = "The request's id.")), request_body = Option<Holding>,
    responses((status = 202, description = "It is held.", body = RequestView),
              (status = 409, description = "It has ended.", body = super::error::ErrorBody)))]
#[post("/requests/{id}/hold")]
pub(super) async fn hold_request(state: State, At(id): At<RequestId>, caller: Caller, body: web::Bytes) -> Result<HttpResponse, ApiError> {
    let given: Option<Holding> = if body.is_empty() { None } else { parse_body(&body)? };
    let given = given.unwrap_or_default();
    check_text("reason", given.reason.as_deref())?;
    let request = state.timed(state.parts.operations.hold(&id, &caller.name, given.reason.as_deref())).await?;
    Ok(HttpResponse::Accepted().json(RequestView::from(request)))
}

/// Lets a live request through, whatever holds it up: a person's word is taken back, and for closed calendars it does not wait this once.
#[utoipa::path(tag = "requests", params(("id" = String, Path, description = "The request's id.")),
    responses((status = 202, description = "Nothing holds it up.", body = RequestView),
              (status = 409, description = "It has ended.", body = super::error::ErrorBody)))]
#[post("/requests/{id}/release")]
pub(super) async fn release_request(state: State, At(id): At<RequestId>, caller: Caller) -> Result<HttpResponse, ApiError> {
    let request = state.timed(state.parts.operations.release(&id, &caller.name)).await?;
    Ok(HttpResponse::Accepted().json(RequestView::from(request)))
}

pub(super) fn parse_body<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // A list would be read as the fields of an object in their order.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(ApiError::bad_request("invalid_body", "a JSON object is wanted, not a list"));
    }
    serde_json::from_slice(body)
        .map_err(|e| ApiError::bad_request("invalid_body", e.to_string()).with_details(serde_json::json!({ "line": e.line(), "column": e.column() })))
}

pub(super) fn check_text(what: &str, text: Option<&str>) -> Result<(), ApiError> {
    match text {
        Some(text) if text.trim().is_empty() => {
            Err(ApiError::bad_request("invalid_body", format!("{what} says nothing: leave it out, or fill it in")))
        }
        Some(text) if text.len() > TEXT_LIMIT || text.chars().any(char::is_control) => {
            Err(ApiError::bad_request("invalid_body", format!("{what} has {TEXT_LIMIT} bytes at most and no control characters")))
        }
        _ => Ok(()),
    }
}

/// What an automation is asked for with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AskBody {
    /// Its parameters, by name.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"team": "payments", "cluster": "prod"}))]
    parameters: Map<String, Value>,
    /// Two asks with the same correlation are one request while it lives; left out, this is a request of its own.
    #[schema(max_length = 500, pattern = r"\S", example = "OPS-42")]
    correlation: Option<String>,
}

/// What came of asking.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AskedView {
    /// The request.
    #[schema(value_type = String, example = "req_01kajz0000000000000000000a")]
    id: RequestId,
    /// `opened`, or `joined` when a live request with the same correlation exists or the same was asked before.
    #[schema(example = "opened")]
    status: &'static str,
}

/// Asks for an automation directly. The same `Idempotency-Key` from the same token never opens a second request.
#[utoipa::path(tag = "requests",
    params(("name" = String, Path, description = "The automation's name."),
           ("Idempotency-Key" = Option<String>, Header, description = "Makes asking again harmless; 1 to 255 visible ASCII characters.", pattern = "^[!-~]{1,255}$")),
    responses((status = 201, description = "A request was opened.", body = AskedView, headers(("Location" = String, description = "The request."))),
              (status = 200, description = "There is such a request already.", body = AskedView, headers(("Location" = String, description = "The request."))),
              (status = 422, description = "The parameters are not the automation's: `details.problems` has each.", body = super::error::ErrorBody)))]
#[post("/automations/{name}/requests")]
pub(super) async fn ask_automation(
    state: State,
    At(automation): At<AutomationName>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    body: web::Json<AskBody>,
) -> Result<HttpResponse, ApiError> {
    let AskBody { parameters, correlation } = body.into_inner();
    check_text("correlation", correlation.as_deref())?;
    let idempotency_key = key.map(|key| format!("{}:{key}", caller.token));
    let ask = Ask { automation, parameters, correlation, idempotency_key, actor: caller.name };
    Ok(asked(state.timed(state.parts.operations.ask(ask)).await?))
}

/// The answer to who asked for a request.
pub(super) fn asked(asked: Asked) -> HttpResponse {
    let mut answer = if asked.opened { HttpResponse::Created() } else { HttpResponse::Ok() };
    answer.insert_header((LOCATION, format!("/api/v1/requests/{}", asked.request)));
    answer.json(AskedView { id: asked.request, status: if asked.opened { "opened" } else { "joined" } })
}
