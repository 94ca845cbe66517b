//! HTTP: webhooks in, everything under `/api/v1`, health, metrics and the documentation of it all.
//! It turns HTTP into calls of the traits in [`ports`] and of the store, and their answers into HTTP; it decides nothing.
//! It never shows a secret, nor an internal error's text; every route needs a token unless [`routes`] says otherwise.

mod access;
mod address;
mod bodies;
mod copilot;
mod docs;
mod drafts;
mod error;
mod events;
mod extract;
mod forges;
mod health;
mod held;
mod icons;
mod jobs;
mod limit;
mod members;
mod paging;
mod ports;
mod pulls;
mod requests;
mod reverts;
mod resources;
mod serve;
mod shell;
mod state;
mod token;
mod tokens;
mod trace;
mod tracing;
mod views;
mod webhooks;

pub use access::{Caller, needed_role};
pub use docs::openapi;
pub use error::{ApiError, ErrorBody, ErrorDetail};
pub use limit::CALLS_A_MINUTE;
pub use paging::Listing;
pub use ports::{
    Ask, AskCopilot, AskJob, Asked, Diff, FileChangeKind, FileDiff, Incoming, Inventory, OperationError, Operations, Problem, PullAction, Receipt,
    Receiver, Refusal, ResourcesStatus, Revising,
};
pub use serve::{Bound, Listen, ServeError, ServeOptions, Server, serve};
pub use state::{AppState, Parts};
pub use token::{Token, token_name};
pub use views::*;
pub use webhooks::DEFAULT_BODY_LIMIT;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header::LOCATION;
use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, Error, HttpRequest, HttpResponse, web};
use std::sync::Arc;
use utoipa_actix_web::service_config::ServiceConfig;

/// The longest JSON body of an API call, in bytes.
pub(crate) const JSON_BODY_LIMIT: usize = 256 * 1024;

/// The whole application, as each worker has it.
pub fn app(
    state: Arc<AppState>,
) -> App<impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<impl MessageBody>, Error = Error, InitError = ()>> {
    let counting = Condition::new(state.parts.metrics_enabled, state.parts.metrics.http());
    App::new()
        .app_data(web::Data::from(Arc::clone(&state)))
        .app_data(web::JsonConfig::default().limit(JSON_BODY_LIMIT).error_handler(error::refused_by_extractor))
        .app_data(web::QueryConfig::default().error_handler(error::refused_by_extractor))
        .app_data(web::PathConfig::default().error_handler(error::refused_by_extractor))
        .app_data(web::PayloadConfig::new(JSON_BODY_LIMIT))
        .configure(served)
        .route("/", web::get().to(to_docs))
        .route("/icons/{file}", web::get().to(icons::icon))
        .default_service(web::to(nowhere))
        .wrap(counting)
        .wrap(shell::Shell(state))
}

/// Every route that stands in the OpenAPI document. What a sender or a probe asks for comes first; the last scope needs a token.
/// A macro, because the document is made once, and the routes in every worker: there nobody pays for a document.
macro_rules! routes {
    ($config:ident, $scope:path, $docs:expr) => {
        $config.service($scope("/api/v1/webhooks").service(webhooks::deliver).service(webhooks::deliver_by_put));
        $config.service(health::healthz).service(health::health).service(health::ready).service(health::metrics);
        // The documentation is registered before this scope would take its paths.
        $docs;
        $config.service(
            $scope("/api/v1")
                .wrap(from_fn(access::authenticate))
                .service(trace::trace)
                .service(requests::list_requests)
                .service(requests::show_request)
                .service(requests::diff_request)
                .service(requests::retry_request)
                .service(requests::cancel_request)
                .service(reverts::revert_request)
                .service(reverts::extend_request)
                .service(requests::hold_request)
                .service(requests::release_request)
                .service(members::withdraw_member)
                .service(requests::ask_automation)
                .service(drafts::list_drafts)
                .service(drafts::show_draft)
                .service(drafts::replay_draft)
                .service(drafts::revise_request)
                .service(jobs::start_job)
                .service(jobs::list_jobs)
                .service(jobs::show_job)
                .service(jobs::job_logs)
                .service(jobs::cancel_job)
                .service(copilot::suggest)
                .service(copilot::show_suggestion)
                .service(copilot::confirm_suggestion)
                .service(events::list_events)
                .service(events::show_event)
                .service(events::list_deliveries)
                .service(events::show_delivery)
                .service(events::show_delivery_body)
                .service(events::replay_delivery)
                .service(resources::list_automations)
                .service(resources::show_automation)
                .service(resources::list_sources)
                .service(resources::list_clusters)
                .service(resources::list_repositories)
                .service(resources::list_channels)
                .service(resources::list_mcp_servers)
                .service(resources::list_calendars)
                .service(forges::list_forges)
                .service(resources::list_templates)
                .service(resources::show_template)
                .service(resources::show_status)
                .service(pulls::list_pulls)
                .service(pulls::show_pull)
                .service(pulls::diff_pull)
                .service(pulls::approve_pull)
                .service(pulls::ready_pull)
                .service(pulls::merge_pull)
                .service(pulls::close_pull)
                .service(tokens::list_tokens)
                .service(tokens::create_token)
                .service(tokens::revoke_token),
        );
    };
}

fn served(config: &mut web::ServiceConfig) {
    routes!(config, web::scope, docs::routes(config));
}

fn described(config: &mut ServiceConfig<'_>) {
    routes!(config, utoipa_actix_web::scope, config.map(docs::routes));
}

async fn to_docs() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((LOCATION, "/api/v1/docs")).finish()
}

/// What no route takes: 405 where another method would be taken, else 404.
async fn nowhere(request: HttpRequest, body: web::Payload) -> Result<HttpResponse, ApiError> {
    held::hold(&request, body.into_inner());
    match request.match_pattern().and_then(|pattern| docs::allowed_methods(&pattern)) {
        Some(methods) => Err(ApiError::method_not_allowed(methods)),
        None => Err(ApiError::not_found("nothing stands here; see /api/v1/docs")),
    }
}
