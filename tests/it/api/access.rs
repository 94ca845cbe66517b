//! Every route of the OpenAPI document against no token, and one of each role.

use super::world::*;
use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use kubeops::api::{CALLS_A_MINUTE, needed_role, openapi};
use kubeops::store::Role;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Method, pattern and a path that fits it, of every route but the open ones.
fn guarded_routes() -> Vec<(Method, String, String)> {
    let document = serde_json::to_value(openapi()).expect("JSON");
    let mut routes = Vec::new();
    for (pattern, item) in document["paths"].as_object().expect("paths") {
        if !pattern.starts_with("/api/v1/") || pattern.starts_with("/api/v1/webhooks") {
            continue;
        }
        let id = match pattern.split('/').nth(3) {
            Some("requests" | "jobs") => request_id(99).to_string(),
            Some("events") => event_id(99).to_string(),
            Some("deliveries") => delivery_id(99).to_string(),
            Some("tokens") => token_id(99).to_string(),
            _ => String::new(),
        };
        let path = pattern.replace("{id}", &id).replace("{name}", "absent").replace("{repository}", "absent").replace("{number}", "7");
        for method in item.as_object().expect("operations").keys() {
            routes.push((method.to_uppercase().parse().expect("a method"), pattern.clone(), path.clone()));
        }
    }
    routes
}

async fn status(world: &World, method: &Method, path: &str, token: Option<String>) -> StatusCode {
    let mut request = TestRequest::default().method(method.clone()).uri(path).insert_header(("content-type", "application/json"));
    if let Some(token) = token {
        request = request.insert_header(("authorization", format!("Bearer {token}")));
    }
    let answer = world.call(request).await;
    if answer.status.is_client_error() {
        answer.error_code();
    }
    answer.status
}

#[actix_web::test]
async fn every_route_needs_a_token_and_its_role() {
    let routes = guarded_routes();
    assert!(routes.len() >= 28, "{routes:?}");
    let world = World::new();
    for (method, pattern, path) in routes {
        let needed = needed_role(&method, &pattern);
        assert_eq!(status(&world, &method, &path, None).await, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(status(&world, &method, &path, Some(token(9))).await, StatusCode::UNAUTHORIZED, "{method} {path}");
        for (role, token) in [(Role::Viewer, viewer()), (Role::Operator, operator()), (Role::Admin, admin())] {
            let status = status(&world, &method, &path, Some(token)).await;
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{method} {path} as {role:?}");
            assert_eq!(status == StatusCode::FORBIDDEN, role < needed, "{method} {path} as {role:?}: {status}");
            assert!(!status.is_server_error(), "{method} {path} as {role:?}: {status}");
        }
        world.advance(Duration::from_secs(60));
    }
}

#[test]
fn roles_grow_from_reading_to_tokens() {
    assert_eq!(needed_role(&Method::GET, "/api/v1/requests"), Role::Viewer);
    assert_eq!(needed_role(&Method::POST, "/api/v1/pulls/{repository}/{number}/merge"), Role::Operator);
    assert_eq!(needed_role(&Method::GET, "/api/v1/tokens"), Role::Admin);
    assert_eq!(needed_role(&Method::GET, "/api/v1/deliveries/{id}/body"), Role::Admin);
    assert_eq!(needed_role(&Method::PATCH, "/api/v1/whatever"), Role::Operator);
}

#[actix_web::test]
async fn a_refusal_says_how_to_come_back_and_with_what() {
    let world = World::new();
    let answer = world.call(TestRequest::get().uri("/api/v1/requests")).await;
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"kubeops\""));
    assert_eq!(answer.error_code(), "unauthenticated");
    let answer = world.call(TestRequest::get().uri("/api/v1/tokens").insert_header(("authorization", format!("Bearer {}", viewer())))).await;
    assert_eq!(answer.error_code(), "forbidden");
    assert!(answer.text().contains("needs the role admin"), "{}", answer.text());
}

#[actix_web::test]
async fn what_is_no_token_never_reaches_the_store() {
    let world = World::new();
    for credentials in ["Bearer ", "Bearer kops_x", "Basic dXNlcjpwYXNz", "kops_", "Bearer \u{e9}"] {
        let answer = world.call(TestRequest::get().uri("/api/v1/requests").insert_header(("authorization", credentials.as_bytes()))).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{credentials}");
    }
    assert_eq!(world.store.token_lookups.load(Ordering::SeqCst), 0);
}

#[actix_web::test]
async fn an_unknown_path_under_the_api_is_not_told_to_strangers() {
    let world = World::new();
    assert_eq!(world.call(TestRequest::get().uri("/api/v1/nothing")).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get("/api/v1/nothing").await.error_code(), "not_found");
}

#[actix_web::test]
async fn a_token_is_believed_for_five_seconds_without_asking_again() {
    let world = World::new();
    for _ in 0..3 {
        assert_eq!(world.get("/api/v1/sources").await.status, StatusCode::OK);
    }
    assert_eq!(world.store.token_lookups.load(Ordering::SeqCst), 1);
    world.store.tokens.lock().expect("a lock")[0].revoked_at = Some(at(1));
    world.advance(Duration::from_secs(5));
    assert_eq!(world.get("/api/v1/sources").await.status, StatusCode::UNAUTHORIZED);
}

#[actix_web::test]
async fn a_remembered_token_still_expires_on_time() {
    let world = World::new();
    let expiry = kubeops::clock::Clock::now(&*world.clock).plus(Duration::from_secs(2));
    world.store.tokens.lock().expect("a lock")[0].expires_at = Some(expiry);
    assert_eq!(world.get("/api/v1/sources").await.status, StatusCode::OK);
    world.advance(Duration::from_secs(2));
    assert_eq!(world.get("/api/v1/sources").await.status, StatusCode::UNAUTHORIZED);
}

#[actix_web::test]
async fn a_token_makes_300_calls_a_minute() {
    let world = World::new();
    for n in 0..CALLS_A_MINUTE {
        assert_eq!(world.get("/api/v1/sources").await.status, StatusCode::OK, "call {n}");
    }
    let refused = world.get("/api/v1/sources").await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("1")));
    assert_eq!(refused.error_code(), "rate_limited");
    let other = TestRequest::get().uri("/api/v1/sources").insert_header(("authorization", format!("Bearer {}", admin())));
    assert_eq!(world.call(other).await.status, StatusCode::OK, "another token has calls of its own");
    let webhook = world.call(TestRequest::post().uri("/api/v1/webhooks/service-desk").set_payload("{}")).await;
    assert_eq!(webhook.status, StatusCode::ACCEPTED, "webhooks are not limited");
    world.advance(Duration::from_millis(200));
    assert_eq!(world.get("/api/v1/sources").await.status, StatusCode::OK);
}
