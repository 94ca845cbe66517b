//! The resources in force, to look at.

use super::error::ApiError;
use super::extract::{At, State};
use super::paging::Listing;
use super::ports::ResourcesStatus;
use super::views::{AutomationView, CalendarView, ChannelView, ClusterView, McpServerView, RepositoryView, SourceView, TemplateView};
use crate::types::{AutomationName, TemplateName};
use actix_web::{get, web};
use serde::Serialize;
use utoipa::ToSchema;

/// Lists the automations in force, by name.
#[utoipa::path(tag = "resources", responses((status = 200, description = "The automations.", body = Listing<AutomationView>)))]
#[get("/automations")]
pub(super) async fn list_automations(state: State) -> web::Json<Listing<AutomationView>> {
    web::Json(Listing::whole(state.parts.inventory.automations()))
}

/// Shows one automation.
#[utoipa::path(tag = "resources", params(("name" = String, Path, description = "The automation's name.")),
    responses((status = 200, description = "The automation.", body = AutomationView)))]
#[get("/automations/{name}")]
pub(super) async fn show_automation(state: State, At(name): At<AutomationName>) -> Result<web::Json<AutomationView>, ApiError> {
    let found = state.parts.inventory.automations().into_iter().find(|automation| automation.name == name);
    found.map(web::Json).ok_or_else(|| ApiError::not_found(format!("there is no automation {name}")))
}

/// Lists the webhook senders in force, by name. No secret is shown.
#[utoipa::path(tag = "resources", responses((status = 200, description = "The sources.", body = Listing<SourceView>)))]
#[get("/sources")]
pub(super) async fn list_sources(state: State) -> web::Json<Listing<SourceView>> {
    web::Json(Listing::whole(state.parts.inventory.sources()))
}

/// Lists the clusters in force, by name.
#[utoipa::path(tag = "resources", responses((status = 200, description = "The clusters.", body = Listing<ClusterView>)))]
#[get("/clusters")]
pub(super) async fn list_clusters(state: State) -> web::Json<Listing<ClusterView>> {
    web::Json(Listing::whole(state.parts.inventory.clusters()))
}

/// Lists the repositories in force, by name. No credential is shown.
#[utoipa::path(tag = "resources", responses((status = 200, description = "The repositories.", body = Listing<RepositoryView>)))]
#[get("/repositories")]
pub(super) async fn list_repositories(state: State) -> web::Json<Listing<RepositoryView>> {
    web::Json(Listing::whole(state.parts.inventory.repositories()))
}

/// Lists the channels in force, by name: where it is told what became of a request. No secret is shown.
#[utoipa::path(tag = "resources", responses((status = 200, description = "The channels.", body = Listing<ChannelView>)))]
#[get("/channels")]
pub(super) async fn list_channels(state: State) -> web::Json<Listing<ChannelView>> {
    web::Json(Listing::whole(state.parts.inventory.channels()))
}

/// Lists the calendars in force, by name, and how each stands now.
#[utoipa::path(tag = "resources", responses((status = 200, description = "The calendars.", body = Listing<CalendarView>)))]
#[get("/calendars")]
pub(super) async fn list_calendars(state: State) -> web::Json<Listing<CalendarView>> {
    web::Json(Listing::whole(state.parts.inventory.calendars()))
}

/// Lists the MCP servers in force, by name, with the tools of each that are let through. No secret is shown.
#[utoipa::path(tag = "resources", responses((status = 200, description = "The MCP servers.", body = Listing<McpServerView>)))]
#[get("/mcp-servers")]
pub(super) async fn list_mcp_servers(state: State) -> web::Json<Listing<McpServerView>> {
    web::Json(Listing::whole(state.parts.inventory.mcp_servers()))
}

/// Lists the catalogue of templates, by name.
#[utoipa::path(tag = "resources", responses((status = 200, description = "The templates.", body = Listing<TemplateView>)))]
#[get("/templates")]
pub(super) async fn list_templates(state: State) -> web::Json<Listing<TemplateView>> {
    web::Json(Listing::whole(state.parts.inventory.templates()))
}

/// Shows one template.
#[utoipa::path(tag = "resources", params(("name" = String, Path, description = "The template's name.")),
    responses((status = 200, description = "The template.", body = TemplateView)))]
#[get("/templates/{name}")]
pub(super) async fn show_template(state: State, At(name): At<TemplateName>) -> Result<web::Json<TemplateView>, ApiError> {
    let found = state.parts.inventory.templates().into_iter().find(|template| template.name == name);
    found.map(web::Json).ok_or_else(|| ApiError::not_found(format!("there is no template {name}")))
}

/// How the service stands.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatusView {
    /// The version that runs.
    version: &'static str,
    /// How the last load of the resources went, with every problem.
    resources: ResourcesStatus,
    /// Deliveries stored but not yet read.
    pending_deliveries: u64,
    /// Tasks that wait or are worked on.
    queued_tasks: u64,
    /// Dead letters.
    dead_tasks: u64,
    /// Requests that wait for room under a limit of their automation.
    waiting_for_room: u64,
    /// Service requests, by state.
    #[schema(example = json!({"proposed": 3}))]
    requests: std::collections::BTreeMap<&'static str, u64>,
}

/// Shows how the service stands: what is queued, what is dead, and what is wrong with the resources on disk.
#[utoipa::path(tag = "resources", responses((status = 200, description = "How it stands.", body = StatusView)))]
#[get("/status")]
pub(super) async fn show_status(state: State) -> Result<web::Json<StatusView>, ApiError> {
    let stats = state.store_stats().await?;
    Ok(web::Json(StatusView {
        version: env!("CARGO_PKG_VERSION"),
        resources: state.parts.inventory.status(),
        pending_deliveries: stats.pending_deliveries,
        queued_tasks: stats.tasks.iter().map(|(_, tasks)| tasks).sum(),
        dead_tasks: stats.dead_tasks,
        waiting_for_room: stats.waiting_for_room,
        requests: stats.requests.iter().map(|(state, requests)| (state.as_str(), *requests)).collect(),
    }))
}
