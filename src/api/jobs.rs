//! Jobs: what operators ask a language model for in their own words. A job is a service request like any other, which ends in a reviewed
//! pull request or in the reason why there is none.

use super::access::Caller;
use super::drafts::{lines_of, report};
use super::error::ApiError;
use super::extract::{At, IdempotencyKey, State};
use super::paging::{Listing, page};
use super::ports::AskJob;
use super::views::{DraftLineView, JobView};
use crate::request::{self, Request};
use crate::store::{DraftState, Progress, RequestFilter, Store, Task, TaskFilter, TaskState};
use crate::types::{AutomationName, RequestId, SpecDuration};
use actix_web::http::header::{ACCEPT, LOCATION};
use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::{IntoParams, ToSchema};

/// The longest goal, in characters.
const MAX_GOAL: usize = 4_000;
/// Whoever follows a job is told within this.
const FOLLOWED: Duration = Duration::from_millis(300);
/// Steps of a job that are looked at.
const MOST_TASKS: u32 = 8;
/// Looks after which whoever follows is told that the connection is alive.
const LOOKS_ALIVE: u32 = 50;

/// A job as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobBody {
    /// What is to be changed, in your own words.
    #[schema(min_length = 1, max_length = 4000, pattern = r"\S", example = "Give the checkout service in shop 512Mi of memory")]
    goal: String,
    /// Answers of the model, at most; the automation's limit where that is lower.
    #[schema(minimum = 1, maximum = 100)]
    max_turns: Option<u32>,
    /// How long it may take, in seconds; the automation's limit where that is shorter.
    #[schema(minimum = 1, maximum = 86400)]
    timeout_seconds: Option<u64>,
    /// Becomes the automation's parameter `environment`.
    environment: Option<String>,
    /// Becomes the automation's parameter `repository`.
    repository: Option<String>,
    /// Becomes the automation's parameter `cluster`.
    cluster: Option<String>,
    /// The automation; left out where only one takes jobs.
    #[schema(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    automation: Option<AutomationName>,
    /// Its other parameters.
    #[serde(default)]
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
}

/// A job that was filed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobFiled {
    /// Its id.
    #[schema(value_type = String, example = "req_01kajz0000000000000000000a")]
    job_id: RequestId,
    /// `created`, or `exists` where the same was asked before.
    #[schema(example = "created")]
    status: &'static str,
    /// A sentence.
    message: String,
    /// Where it can be followed.
    #[schema(value_type = Object)]
    details: Value,
}

/// Files a job: a language model drafts what you ask for, within what the automation allows, and a person reviews it.
#[utoipa::path(tag = "drafts",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes asking again harmless; 1 to 255 visible ASCII characters.", pattern = "^[!-~]{1,255}$")),
    responses((status = 201, description = "The job is filed.", body = JobFiled, headers(("Location" = String, description = "The job."))),
              (status = 200, description = "There is such a job already.", body = JobFiled, headers(("Location" = String, description = "The job."))),
              (status = 404, description = "There is no such automation.", body = super::error::ErrorBody),
              (status = 422, description = "No automation takes it, or its parameters do not fit: `details.problems` has each.", body = super::error::ErrorBody)))]
#[post("/jobs")]
pub(super) async fn start_job(
    state: State,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    body: web::Json<JobBody>,
) -> Result<HttpResponse, ApiError> {
    let JobBody { goal, max_turns, timeout_seconds, environment, repository, cluster, automation, mut parameters } = body.into_inner();
    let unfit = |text: String| Err(ApiError::bad_request("invalid_body", text));
    if goal.trim().is_empty() || goal.chars().count() > MAX_GOAL {
        return unfit(format!("goal has 1 to {MAX_GOAL} characters and says something"));
    }
    if max_turns.is_some_and(|turns| !(1..=100).contains(&turns)) {
        return unfit("max_turns lies between 1 and 100".to_owned());
    }
    if timeout_seconds.is_some_and(|seconds| !(1..=86_400).contains(&seconds)) {
        return unfit("timeout_seconds lies between 1 and 86400".to_owned());
    }
    for (name, value) in [("environment", environment), ("repository", repository), ("cluster", cluster)] {
        if let Some(value) = value {
            parameters.insert(name.to_owned(), value.into());
        }
    }
    let ask = AskJob {
        automation,
        goal,
        max_turns,
        timeout: timeout_seconds.map(|seconds| SpecDuration::from_millis(seconds * 1000)),
        parameters,
        idempotency_key: key.map(|key| format!("{}:{key}", caller.token)),
        actor: caller.name,
    };
    let asked = state.timed(state.parts.operations.ask_job(ask)).await?;
    let at = format!("/api/v1/jobs/{}", asked.request);
    let mut answer = if asked.opened { HttpResponse::Created() } else { HttpResponse::Ok() };
    answer.insert_header((LOCATION, at.clone()));
    Ok(answer.json(JobFiled {
        status: if asked.opened { "created" } else { "exists" },
        message: "a language model drafts it; what comes of it is proposed in a pull request".to_owned(),
        details: serde_json::json!({ "job": at, "logs": format!("{at}/logs"), "request": format!("/api/v1/requests/{}", asked.request) }),
        job_id: asked.request,
    }))
}

/// Which jobs are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct JobsQuery {
    /// Of this automation.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    automation: Option<AutomationName>,
    /// Rows wanted.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next` of the stretch before.
    after: Option<String>,
}

/// Lists jobs, newest first.
#[utoipa::path(tag = "drafts", params(JobsQuery), responses((status = 200, description = "The jobs.", body = Listing<JobView>)))]
#[get("/jobs")]
pub(super) async fn list_jobs(state: State, query: web::Query<JobsQuery>) -> Result<web::Json<Listing<JobView>>, ApiError> {
    let JobsQuery { automation, limit, after } = query.into_inner();
    let page = page(limit, after.as_deref())?;
    let filter = RequestFilter { automation, jobs: true, ..RequestFilter::default() };
    let jobs = state.timed(async {
        let found = state.store().requests(&filter, &page).await?;
        let mut items = Vec::new();
        for request in found.items {
            items.extend(view(state.store(), request).await?);
        }
        Ok::<_, ApiError>(Listing { items, next: found.next })
    });
    Ok(web::Json(jobs.await?))
}

/// Shows one job.
#[utoipa::path(tag = "drafts", params(("id" = String, Path, description = "The job's id.")), responses((status = 200, description = "The job.", body = JobView)))]
#[get("/jobs/{id}")]
pub(super) async fn show_job(state: State, At(id): At<RequestId>) -> Result<web::Json<JobView>, ApiError> {
    Ok(web::Json(state.timed(job(state.store(), &id)).await?))
}

/// Shows everything that was said in a job, turn by turn. With `Accept: text/event-stream` it is followed while it runs: an event `line`
/// for each, and `end` with the job when its draft is over.
#[utoipa::path(tag = "drafts", params(("id" = String, Path, description = "The job's id.")),
    responses((status = 200, description = "What was said so far.", content((Vec<DraftLineView> = "application/json"), (String = "text/event-stream"))),
              (status = 503, description = "As many follow jobs already as may at the same time.", body = super::error::ErrorBody)))]
#[get("/jobs/{id}/logs")]
pub(super) async fn job_logs(state: State, At(id): At<RequestId>, http: HttpRequest) -> Result<HttpResponse, ApiError> {
    state.timed(job(state.store(), &id)).await?;
    let follows = http.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/event-stream"));
    if !follows {
        return Ok(HttpResponse::Ok().json(state.timed(lines(state.store(), &id)).await?));
    }
    let begin = Following { _place: state.follower()?, state, id, seen: None, told: 0, looks: 0, over: false };
    let events = stream::unfold(begin, |mut following| async move {
        if following.over {
            return None;
        }
        let text = following.next().await;
        Some((Ok::<_, actix_web::Error>(web::Bytes::from(text)), following))
    });
    Ok(HttpResponse::Ok().content_type("text/event-stream").insert_header(("Cache-Control", "no-store")).streaming(events))
}

/// Cancels a job: the model is asked no more, and what there is of it is withdrawn.
#[utoipa::path(tag = "drafts", params(("id" = String, Path, description = "The job's id.")),
    responses((status = 202, description = "It is cancelled.", body = JobView),
              (status = 409, description = "It has ended.", body = super::error::ErrorBody)))]
#[delete("/jobs/{id}")]
pub(super) async fn cancel_job(state: State, At(id): At<RequestId>, caller: Caller) -> Result<HttpResponse, ApiError> {
    let cancelled = state.timed(async {
        job(state.store(), &id).await?;
        state.parts.operations.cancel(&id, &caller.name, None).await?;
        job(state.store(), &id).await
    });
    Ok(HttpResponse::Accepted().json(cancelled.await?))
}

/// Somebody who follows a job.
struct Following {
    state: State,
    id: RequestId,
    /// How far the job was when it was last told of.
    seen: Option<Progress>,
    told: usize,
    looks: u32,
    over: bool,
    /// One of the places there are for those who follow.
    _place: OwnedSemaphorePermit,
}

impl Following {
    /// The next events, as soon as there are any.
    async fn next(&mut self) -> String {
        loop {
            let Ok(text) = self.look().await else {
                self.over = true;
                return "event: error\ndata: {}\n\n".to_owned();
            };
            if !text.is_empty() {
                return text;
            }
            self.looks += 1;
            tokio::time::sleep(FOLLOWED).await;
            if self.looks.is_multiple_of(LOOKS_ALIVE) {
                return ": alive\n\n".to_owned();
            }
        }
    }

    /// What there is to tell that was not told yet. What was said is read only where something happened since the last look.
    async fn look(&mut self) -> Result<String, ApiError> {
        let store = self.state.store();
        // Before the lines: what is said between the two is seen as something new at the next look.
        let progress = store.progress(&self.id).await?;
        if self.seen == Some(progress) {
            return Ok(String::new());
        }
        let lines = lines(store, &self.id).await?;
        let mut text: String = lines.iter().skip(self.told).map(|line| event("line", line)).collect();
        if progress.request != request::State::Accepted || progress.newest.is_some_and(|newest| newest != DraftState::Running) {
            text.push_str(&event("end", &job(store, &self.id).await?));
            self.over = true;
        }
        self.told = lines.len().max(self.told);
        self.seen = Some(progress);
        Ok(text)
    }
}

/// A server-sent event.
fn event<T: Serialize>(name: &str, data: &T) -> String {
    format!("event: {name}\ndata: {}\n\n", serde_json::to_string(data).unwrap_or_default())
}

async fn lines(store: &dyn Store, id: &RequestId) -> Result<Vec<DraftLineView>, ApiError> {
    let mut lines = Vec::new();
    for draft in store.drafts(id).await? {
        lines.extend(lines_of(store, &draft).await?);
    }
    Ok(lines)
}

async fn job(store: &dyn Store, id: &RequestId) -> Result<JobView, ApiError> {
    let request = store.request(id).await?;
    let job = view(store, request).await?.ok_or_else(|| ApiError::not_found(format!("there is no job {id}")))?;
    Ok(JobView { waits: waits(store, id).await?, ..job })
}

/// Why a step of the job is tried again later.
async fn waits(store: &dyn Store, id: &RequestId) -> Result<Option<String>, ApiError> {
    let waiting = TaskFilter { request: Some(id.clone()), state: Some(TaskState::Waiting) };
    let tasks = store.tasks(&waiting, MOST_TASKS).await?;
    let told = |task: &Task| Some(format!("tried {} times, again at {}: {}", task.attempts, task.run_at, task.last_error.as_deref()?));
    Ok(tasks.iter().filter(|task| task.attempts > 0).find_map(told))
}

async fn view(store: &dyn Store, request: Request) -> Result<Option<JobView>, ApiError> {
    let report = match store.newest_draft(&request.id).await? {
        Some(draft) => Some(report(store, draft).await?),
        None => None,
    };
    Ok(JobView::of(request, report))
}
