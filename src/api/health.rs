//! Whether the process lives, whether it should be sent work, and what it counts. Open to anybody, so answers are short,
//! hold nothing of the resources' text, and ask the store at most once a second.

use super::error::ApiError;
use super::extract::State;
use super::views::{ForgeCallsView, ForgeView};
use crate::store::StoreError;
use crate::telemetry::ForgeSeen;
use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use utoipa::ToSchema;

/// The process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Says that the process lives.
#[utoipa::path(tag = "health", responses((status = 200, description = "It lives.", body = Health)))]
#[get("/healthz")]
pub(super) async fn healthz() -> web::Json<Health> {
    web::Json(Health { status: "ok" })
}

/// Says that the process lives.
#[utoipa::path(tag = "health", responses((status = 200, description = "It lives.", body = Health)))]
#[get("/health")]
pub(super) async fn health() -> web::Json<Health> {
    web::Json(Health { status: "ok" })
}

/// Whether work should be sent here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// `ready` or `not_ready`.
    #[schema(example = "ready")]
    status: &'static str,
    /// Each thing that was looked at.
    checks: Checks,
}

/// What readiness depends on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Checks {
    /// `ok`, or why the store would not take a write.
    #[schema(example = "ok")]
    store: String,
    /// `ok`; `not loaded` before a first set was in force; or how many problems the files on disk have, while an older set stays in
    /// force. That last one does not make the service unready: an author's mistake must not stop deliveries.
    #[schema(example = "ok")]
    resources: String,
    /// `ok`, or that the process is shutting down, or which part of it ended unasked.
    #[schema(example = "ok")]
    process: String,
}

/// Says whether work should be sent here, and why not.
#[utoipa::path(tag = "health", responses((status = 200, description = "It should.", body = Readiness), (status = 503, description = "It should not.", body = Readiness)))]
#[get("/ready")]
pub(super) async fn ready(state: State) -> HttpResponse {
    let ok = || "ok".to_owned();
    let store = state.store_health().await.err().map(|error| unwell(&error).to_owned());
    let status = state.parts.inventory.status();
    let unloaded = status.loaded_at.is_none().then(|| "not loaded".to_owned());
    let stale = (!status.problems.is_empty()).then(|| match status.problems.len() {
        1 => "refused with 1 problem; an older set is in force".to_owned(),
        many => format!("refused with {many} problems; an older set is in force"),
    });
    let process = state.broken().map(str::to_owned).or_else(|| state.is_draining().then(|| "shutting down".to_owned()));
    let is_ready = store.is_none() && unloaded.is_none() && process.is_none();
    let checks = Checks { store: store.unwrap_or_else(ok), resources: unloaded.or(stale).unwrap_or_else(ok), process: process.unwrap_or_else(ok) };
    let mut answer = if is_ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.json(Readiness { status: if is_ready { "ready" } else { "not_ready" }, checks })
}

/// What anybody may know of why the store takes no write; the log says more.
fn unwell(error: &StoreError) -> &'static str {
    match error {
        StoreError::Full(_) => "the store is full",
        StoreError::Unavailable(_) => "the store cannot be reached just now",
        StoreError::Unusable(_) => "the store refuses this process: the log says why",
        _ => "the store failed: the log says how",
    }
}

/// A forge's account as the metrics tell it.
fn seen(forge: ForgeView) -> ForgeSeen {
    let ForgeCallsView { done, refused, failed, limited, held } = forge.calls;
    ForgeSeen {
        budgets: forge.budgets.into_iter().map(|budget| (budget.resource, budget.limit, budget.remaining, budget.resets_at)).collect(),
        limited_until: forge.limited_until,
        calls: [("done", done), ("refused", refused), ("failed", failed), ("limited", limited), ("held", held)],
        account: forge.name,
    }
}

/// Tells the metrics, in Prometheus' text format. Only there with `ENABLE_METRICS=true`.
#[utoipa::path(tag = "health", responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain"),
    (status = 404, description = "Metrics are off.", body = super::error::ErrorBody)))]
#[get("/metrics")]
pub(super) async fn metrics(state: State) -> Result<HttpResponse, ApiError> {
    let metrics = state.metrics().ok_or_else(|| ApiError::not_found("metrics are off; ENABLE_METRICS=true turns them on"))?;
    // Of a store that is away nothing is told; the other metrics are, all the same.
    match state.store_stats_soon().await {
        Some(stats) => metrics.record_stats(&stats, state.now()),
        None => metrics.store_is_silent(),
    }
    metrics.record_forges(&state.parts.operations.forges().into_iter().map(seen).collect::<Vec<_>>());
    metrics.record_inbox(&state.parts.receiver.counts());
    let text = metrics.text().map_err(ApiError::internal)?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}
