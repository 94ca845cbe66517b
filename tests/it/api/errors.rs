//! One shape for every failure, whoever noticed it, and the headers every answer carries.

use super::world::*;
use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use kubeops::api::{OperationError, Problem};
use kubeops::store::StoreError;
use serde_json::json;
use std::time::Duration;

const HSTS: &str = "max-age=31536000 ; includeSubDomains";

fn as_operator(request: TestRequest) -> TestRequest {
    request.insert_header(("authorization", format!("Bearer {}", operator())))
}

#[actix_web::test]
async fn every_answer_carries_hsts() {
    let world = World::new();
    for path in [
        "/",
        "/healthz",
        "/health",
        "/ready",
        "/metrics",
        "/api/v1/docs",
        "/api/v1/docs/",
        "/api/v1/docs/openapi.json",
        "/nowhere",
        "/api/v1/requests",
    ] {
        let answer = world.call(TestRequest::get().uri(path)).await;
        assert_eq!(answer.header("strict-transport-security"), Some(HSTS), "{path}");
    }
    let answer = world.call(TestRequest::post().uri("/api/v1/webhooks/service-desk").set_payload("{}")).await;
    assert_eq!(answer.header("strict-transport-security"), Some(HSTS));
}

#[actix_web::test]
async fn whoever_refuses_the_shape_is_the_same() {
    let world = World::new();
    let cases = [
        (TestRequest::get().uri("/nowhere"), 404, "not_found"),
        (TestRequest::delete().uri("/healthz"), 405, "method_not_allowed"),
        (TestRequest::default().method(Method::TRACE).uri("/healthz"), 405, "method_not_allowed"),
        (TestRequest::get().uri("/api/v1/webhooks/service-desk"), 405, "method_not_allowed"),
        (TestRequest::get().uri("/api/v1/docs/absent.js"), 404, "not_found"),
        (as_operator(TestRequest::patch().uri("/api/v1/requests")), 405, "method_not_allowed"),
        (as_operator(TestRequest::get().uri("/api/v1/requests?limit=ten")), 400, "invalid_query"),
        (as_operator(TestRequest::get().uri("/api/v1/requests?limit=0")), 400, "invalid_query"),
        (as_operator(TestRequest::get().uri("/api/v1/requests?colour=red")), 400, "invalid_query"),
        (as_operator(TestRequest::get().uri("/api/v1/requests?after=nonsense")), 400, "invalid_query"),
        (as_operator(TestRequest::get().uri("/api/v1/requests?state=lost")), 400, "invalid_query"),
        (as_operator(TestRequest::get().uri("/api/v1/requests/req_x")), 404, "not_found"),
        (as_operator(TestRequest::get().uri("/api/v1/pulls/gitops/minus-one")), 404, "not_found"),
        (as_operator(TestRequest::post().uri("/api/v1/automations/a/requests").set_payload("{}")), 415, "unsupported_media_type"),
        (as_operator(TestRequest::post().uri("/api/v1/automations/a/requests").set_json(json!({"colour": 1}))), 400, "invalid_body"),
        (
            as_operator(TestRequest::post().uri("/api/v1/automations/a/requests").set_json(json!({"correlation": "x".repeat(300_000)}))),
            413,
            "too_large",
        ),
        (
            as_operator(TestRequest::post().uri(&format!("/api/v1/requests/{}/cancel", request_id(1))).set_payload("x".repeat(300_000))),
            413,
            "too_large",
        ),
    ];
    for (n, (request, status, code)) in cases.into_iter().enumerate() {
        let what = format!("case {n}");
        let answer = world.call(request).await;
        assert_eq!((answer.status.as_u16(), answer.error_code().as_str()), (status, code), "{what}");
        assert_eq!(answer.header("strict-transport-security"), Some(HSTS), "{what}");
    }
}

#[actix_web::test]
async fn a_method_refused_comes_with_those_allowed() {
    let world = World::new();
    assert_eq!(world.call(TestRequest::post().uri("/healthz")).await.header("allow"), Some("GET"));
    assert_eq!(world.call(TestRequest::delete().uri("/api/v1/webhooks/x")).await.header("allow"), Some("POST, PUT"));
    let admin = TestRequest::patch().uri("/api/v1/tokens").insert_header(("authorization", format!("Bearer {}", admin())));
    assert_eq!(world.call(admin).await.header("allow"), Some("GET, POST"));
}

#[actix_web::test]
async fn a_broken_body_is_told_with_its_place() {
    let world = World::new();
    let request = as_operator(TestRequest::post().uri("/api/v1/automations/a/requests")).insert_header(("content-type", "application/json"));
    let answer = world.call(request.set_payload("{\n  \"parameters\": oops }")).await;
    assert_eq!(answer.error_code(), "invalid_body");
    assert_eq!(answer.json()["error"]["details"]["line"], 2);
}

#[actix_web::test]
async fn the_trace_of_the_caller_is_kept() {
    let world = World::new();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traced = |request: TestRequest| request.insert_header(("traceparent", format!("00-{trace}-00f067aa0ba902b7-01")));
    for request in [TestRequest::get().uri("/nowhere"), as_operator(TestRequest::get().uri("/api/v1/requests?limit=0"))] {
        assert_eq!(world.call(traced(request)).await.json()["error"]["trace_id"], trace);
    }
    let made = world.call(TestRequest::get().uri("/nowhere")).await.json()["error"]["trace_id"].clone();
    let other = world.call(TestRequest::get().uri("/nowhere")).await.json()["error"]["trace_id"].clone();
    assert_ne!(made, other);
}

#[actix_web::test]
async fn what_is_ours_to_mend_is_not_told() {
    let world = World::new();
    let secret = "password=hunter2 at /srv/kubeops.db";
    assert_eq!(world.get("/api/v1/requests").await.status, StatusCode::OK);
    let cases = [
        (StoreError::Broken(secret.to_owned()), 500, "internal", None),
        (StoreError::Full(secret.to_owned()), 503, "store_full", Some("5")),
        (StoreError::Unavailable(secret.to_owned()), 503, "store_unavailable", Some("5")),
        (StoreError::Conflict(secret.to_owned()), 409, "conflict", None),
    ];
    for (failure, status, code, retry_after) in cases {
        *world.store.failure.lock().expect("a lock") = Some(failure);
        let answer = world.get("/api/v1/requests").await;
        assert_eq!((answer.status.as_u16(), answer.error_code().as_str(), answer.header("retry-after")), (status, code, retry_after));
        assert!(!answer.text().contains("hunter2"), "{}", answer.text());
    }
}

#[actix_web::test]
async fn an_operation_s_refusals_have_their_status() {
    let world = World::new();
    let problem = Problem { field: "/parameters/team".to_owned(), message: "is required".to_owned() };
    let cases = [
        (OperationError::NotFound("request x".to_owned()), 404, "not_found"),
        (OperationError::Conflict("it has ended".to_owned()), 409, "conflict"),
        (OperationError::Unsupported("it is on GitHub".to_owned()), 409, "unsupported"),
        (OperationError::Invalid { message: "1 problem".to_owned(), problems: vec![problem] }, 422, "invalid"),
        (OperationError::Busy { message: "later".to_owned(), retry_after: Duration::from_secs(9) }, 503, "busy"),
        (OperationError::Failed("secret".to_owned()), 500, "internal"),
    ];
    for (failure, status, code) in cases {
        *world.operations.failure.lock().expect("a lock") = Some(failure.clone());
        let answer = world.post(&format!("/api/v1/requests/{}/retry", request_id(1)), &json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.error_code().as_str()), (status, code));
        match failure {
            OperationError::Invalid { .. } => assert_eq!(answer.json()["error"]["details"]["problems"][0]["field"], "/parameters/team"),
            OperationError::Busy { .. } => assert_eq!(answer.header("retry-after"), Some("9")),
            OperationError::Failed(_) => assert!(!answer.text().contains("secret")),
            _ => {}
        }
    }
}
