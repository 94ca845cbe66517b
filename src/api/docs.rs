//! The OpenAPI document, generated from the routes, and the page to read it in. What holds for many routes (failures, security,
//! roles) is added here in one place, so that no route can forget it.

use super::access::{needed_role, role_name};
use super::error::ErrorBody;
use actix_web::http::Method;
use actix_web::http::header::LOCATION;
use actix_web::{App, HttpResponse, web};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, Response};
use utoipa::{Modify, OpenApi as _};
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::{Config, SwaggerUi};

const DOCUMENT_PATH: &str = "/api/v1/docs/openapi.json";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "KubeOps",
        description = "A ticket or an alert comes in; a reviewed pull request that changes Kubernetes manifests goes out.\n\n\
            Every call needs `Authorization: Bearer kops_...` unless it says otherwise. Roles: viewer reads, operator also asks, retries, \
            cancels, approves and merges, admin also sees and makes tokens and reads deliveries byte for byte. A token may make 300 calls a minute.\n\n\
            Failures are `{\"error\":{code,message,details,trace_id,timestamp}}`. Listings are `{items,next}`; `next` goes back in as `after`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "requests", description = "Service requests, from acceptance to their end."),
        (name = "drafts", description = "What language models draft, and jobs: what they are asked for in people's own words."),
        (name = "pulls", description = "Pull requests of the local forge."),
        (name = "events", description = "What was said, and what was decided on it."),
        (name = "deliveries", description = "What senders sent."),
        (name = "resources", description = "Sources, repositories, clusters, channels, calendars, MCP servers, automations and templates in force."),
        (name = "tokens", description = "API tokens."),
        (name = "webhooks", description = "Where senders send."),
        (name = "health", description = "For probes and Prometheus.")
    ),
    components(schemas(ErrorBody)),
    modifiers(&Schemes)
)]
struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut add = |name: &str, scheme: SecurityScheme| components.security_schemes.insert(name.to_owned(), scheme.into());
        let bearer = |format: &str, what: &str| {
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(format).description(Some(what)).build())
        };
        add("token", bearer("kops_", "An API token."));
        let basic = HttpBuilder::new().scheme(HttpAuthScheme::Basic).description(Some("Of a source that says `basic`."));
        add("source_basic", SecurityScheme::Http(basic.build()));
        add("source_bearer", bearer("opaque", "Of a source that says `bearer`."));
        let signature = "Of a source that says `hmac` or `header`; the header's name is the source's to choose.";
        add("source_header", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("X-Hub-Signature", signature))));
    }
}

/// The document, whole.
pub fn openapi() -> OpenApi {
    let (_, mut document) = App::new().into_utoipa_app().openapi(Document::openapi()).configure(super::described).split_for_parts();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete(path, &method, operation);
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let slots = [(Method::GET, &mut item.get), (Method::POST, &mut item.post), (Method::PUT, &mut item.put), (Method::DELETE, &mut item.delete)];
    slots.into_iter().filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

/// Adds to a route what it has in common with others: the failures it can give, and what it needs.
fn complete(path: &str, method: &Method, operation: &mut Operation) {
    let requirement = |name: &str| SecurityRequirement::new::<_, [&str; 0], &str>(name, []);
    let mut failures: Vec<(u16, &str)> = Vec::new();
    if path.starts_with("/api/v1/webhooks") {
        operation.security = Some(["source_header", "source_bearer", "source_basic"].map(requirement).to_vec());
        failures.extend([
            (400, "The body cannot be read; `details` has the place."),
            (401, "No signature or credentials, or wrong ones."),
            (403, "Not from this address."),
            (404, "There is no such source."),
            (408, "The body did not arrive in time."),
            (413, "The body is larger than the source may send."),
            (415, "The content type or encoding cannot be read."),
        ]);
    } else if path.starts_with("/api/v1") {
        let role = role_name(needed_role(method, path));
        operation.security = Some(vec![requirement("token")]);
        operation.extensions = Some(ExtensionsBuilder::new().add("x-required-role", role).build());
        let about = operation.description.take().or_else(|| operation.summary.clone()).unwrap_or_default();
        operation.description = Some(format!("{}\n\nNeeds the role `{role}`.", about.trim()).trim().to_owned());
        failures.extend([
            (401, "No token, or one that is not known."),
            (403, "The token's role is too low."),
            (429, "Too many calls; see `Retry-After`."),
        ]);
        if operation.parameters.is_some() || operation.request_body.is_some() {
            failures.push((400, "What was sent cannot be read."));
        }
        if path.contains('{') {
            failures.push((404, "There is no such thing."));
        }
        if operation.request_body.is_some() {
            failures.extend([(413, "The body is too large."), (415, "The body is not JSON.")]);
        }
    } else {
        operation.security = Some(Vec::new());
        return;
    }
    failures
        .extend([(500, "Something went wrong here; the log has it under the trace id."), (503, "Busy, or the store is away; see `Retry-After`.")]);
    for (status, what) in failures {
        operation.responses.responses.entry(status.to_string()).or_insert_with(|| failure(what).into());
    }
}

fn failure(what: &str) -> Response {
    let mut response = Response::new(what);
    let content = Content::new(Some(Ref::from_schema_name("ErrorBody")));
    response.content.insert("application/json".to_owned(), content.into());
    response
}

/// The document as served, and which methods each path takes.
struct Served {
    json: web::Bytes,
    allowed: BTreeMap<String, String>,
}

/// Made when it is first asked for: most processes never are.
static SERVED: LazyLock<Served> = LazyLock::new(|| {
    let mut document = openapi();
    let json = document.to_json().unwrap_or_default().into();
    let allowed = document.paths.paths.iter_mut().map(|(path, item)| {
        let methods: Vec<String> = operations(item).map(|(method, _)| method.to_string()).collect();
        (path.clone(), methods.join(", "))
    });
    Served { allowed: allowed.collect(), json }
});

/// The methods the route with this pattern takes; none when there is no such route.
pub(super) fn allowed_methods(pattern: &str) -> Option<&'static str> {
    match pattern {
        "/" | "/api/v1/docs" | DOCUMENT_PATH => Some("GET"),
        _ => SERVED.allowed.get(pattern).map(String::as_str),
    }
}

/// The document and the page to read it in, open to anybody.
pub(super) fn routes(config: &mut web::ServiceConfig) -> &mut web::ServiceConfig {
    config
        .route(DOCUMENT_PATH, web::get().to(async || HttpResponse::Ok().content_type("application/json").body(SERVED.json.clone())))
        .route("/api/v1/docs", web::get().to(async || HttpResponse::TemporaryRedirect().insert_header((LOCATION, "/api/v1/docs/")).finish()))
        .service(SwaggerUi::new("/api/v1/docs/{_:.*}").config(Config::new([DOCUMENT_PATH]).validator_url("none").persist_authorization(false)))
}
