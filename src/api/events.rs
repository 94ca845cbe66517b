//! What was said: events with the decisions taken on them, and the deliveries they were read from.

use super::access::Caller;
use super::error::ApiError;
use super::extract::{At, State};
use super::paging::{Listing, page};
use super::views::{DeliveryView, EventView};
use crate::event::EventType;
use crate::store::{DeliveryFilter, DeliveryState, EventFilter};
use crate::types::{DeliveryId, EventId, RequestId, SourceName};
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY};
use actix_web::{HttpResponse, get, post, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which events are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// From this source.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    source: Option<SourceName>,
    /// Of this type.
    #[serde(rename = "type")]
    #[param(value_type = Option<String>, pattern = "^[a-z][a-z0-9_-]*(\\.[a-z][a-z0-9_-]*)*$", max_length = 120, example = "alert.firing")]
    kind: Option<EventType>,
    /// About exactly this subject.
    subject: Option<String>,
    /// Read from this delivery.
    #[param(value_type = Option<String>, pattern = "^dlv_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    delivery: Option<DeliveryId>,
    /// That opened, joined or told of this request.
    #[param(value_type = Option<String>, pattern = "^req_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    request: Option<RequestId>,
    /// Rows wanted.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next` of the stretch before.
    after: Option<String>,
}

/// Lists events, newest first, with why each automation did or did not take them.
#[utoipa::path(tag = "events", params(EventsQuery), responses((status = 200, description = "The events.", body = Listing<EventView>)))]
#[get("/events")]
pub(super) async fn list_events(state: State, query: web::Query<EventsQuery>) -> Result<web::Json<Listing<EventView>>, ApiError> {
    let EventsQuery { source, kind, subject, delivery, request, limit, after } = query.into_inner();
    let page = page(limit, after.as_deref())?;
    let found = state.timed(state.store().events(&EventFilter { source, kind, subject, delivery, request }, &page)).await?;
    Ok(web::Json(Listing::of(found, EventView::from)))
}

/// Shows one event with the decisions taken on it.
#[utoipa::path(tag = "events", params(("id" = String, Path, description = "The event's id.")),
    responses((status = 200, description = "The event.", body = EventView)))]
#[get("/events/{id}")]
pub(super) async fn show_event(state: State, At(id): At<EventId>) -> Result<web::Json<EventView>, ApiError> {
    let event = state.timed(state.store().event(&id)).await?;
    let deployment = if event.kind.is_deployment() { state.parts.operations.what_counts(&event).await } else { Vec::new() };
    Ok(web::Json(EventView { deployment, ..event.into() }))
}

/// Which deliveries are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesQuery {
    /// From this source.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    source: Option<SourceName>,
    /// pending, dispatched, ignored or failed.
    #[param(value_type = Option<String>, example = "failed")]
    state: Option<DeliveryState>,
    /// Rows wanted.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next` of the stretch before.
    after: Option<String>,
}

/// Lists deliveries, newest first.
#[utoipa::path(tag = "deliveries", params(DeliveriesQuery), responses((status = 200, description = "The deliveries.", body = Listing<DeliveryView>)))]
#[get("/deliveries")]
pub(super) async fn list_deliveries(state: State, query: web::Query<DeliveriesQuery>) -> Result<web::Json<Listing<DeliveryView>>, ApiError> {
    let query = query.into_inner();
    let page = page(query.limit, query.after.as_deref())?;
    let filter = DeliveryFilter { source: query.source, state: query.state };
    let found = state.timed(state.store().deliveries(&filter, &page)).await?;
    Ok(web::Json(Listing::of(found, DeliveryView::from)))
}

/// Shows one delivery without its bytes.
#[utoipa::path(tag = "deliveries", params(("id" = String, Path, description = "The delivery's id.")),
    responses((status = 200, description = "The delivery.", body = DeliveryView)))]
#[get("/deliveries/{id}")]
pub(super) async fn show_delivery(state: State, At(id): At<DeliveryId>) -> Result<web::Json<DeliveryView>, ApiError> {
    Ok(web::Json(state.timed(state.store().delivery(&id)).await?.into()))
}

/// Gives the body of a delivery, byte for byte as it was sent.
#[utoipa::path(tag = "deliveries", params(("id" = String, Path, description = "The delivery's id.")),
    responses((status = 200, description = "The bytes.", body = Vec<u8>, content_type = "application/octet-stream")))]
#[get("/deliveries/{id}/body")]
pub(super) async fn show_delivery_body(state: State, At(id): At<DeliveryId>) -> Result<HttpResponse, ApiError> {
    let delivery = state.timed(state.store().delivery(&id)).await?;
    // A stranger wrote these bytes: a browser saves them and never shows them.
    let mut answer = HttpResponse::Ok();
    answer.insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{id}\"")));
    answer.insert_header((CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"));
    Ok(answer.content_type("application/octet-stream").body(delivery.body))
}

/// What came of a delivery that was dispatched again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReplayedView {
    /// The requests opened or joined.
    #[schema(value_type = Vec<String>)]
    requests: Vec<RequestId>,
}

/// Dispatches a stored delivery again, under the resources in force.
#[utoipa::path(tag = "deliveries", params(("id" = String, Path, description = "The delivery's id.")),
    responses((status = 200, description = "Dispatched again.", body = ReplayedView)))]
#[post("/deliveries/{id}/replay")]
pub(super) async fn replay_delivery(state: State, At(id): At<DeliveryId>, caller: Caller) -> Result<web::Json<ReplayedView>, ApiError> {
    let requests = state.timed(state.parts.operations.replay(&id, &caller.name)).await?;
    Ok(web::Json(ReplayedView { requests }))
}
