//! `/api/v1/copilot`: what reaches the operations, what is refused before, and how what comes of it is told.

use super::world::*;
use actix_web::http::StatusCode;
use kubeops::api::OperationError;
use serde_json::json;
use std::time::Duration;

#[actix_web::test]
async fn a_sentence_reaches_the_operations_and_is_told_as_a_suggestion() {
    let world = World::new();
    let answer = world.post("/api/v1/copilot", &json!({ "sentence": "a namespace for payments", "automation": "namespace-request" })).await;
    assert_eq!(answer.status, StatusCode::OK);
    let told = answer.json();
    assert_eq!((&told["status"], &told["reason"]), (&json!("suggested"), &json!(null)));
    assert_eq!(told["suggestion"]["id"], json!(suggestion_id()));
    assert_eq!(told["suggestion"]["parameters"], json!([{ "name": "team", "value": "payments", "from": "said" }]));
    let open = json!({ "request": request_id(2), "state": "proposed", "repository": "gitops", "pull": { "number": 4, "url": "https://git.example/pulls/4" } });
    assert_eq!(told["suggestion"]["already_open"], json!([open]));
    assert_eq!(told["suggestion"]["expires_at"], "2026-01-01T00:00:00.000Z");
    assert_eq!(told["model"], json!({ "provider": "local", "name": "qwen3", "reported": null, "calls": 2, "tokens": 1234, "cost": 0.005 }));
    let declined = world.post("/api/v1/copilot", &json!({ "sentence": "nothing" })).await.json();
    assert_eq!((&declined["status"], &declined["reason"]), (&json!("declined"), &json!("no automation does that")));
    assert_eq!(declined["suggestion"], json!(null));
    let done = world.operations.done.lock().expect("a lock").clone();
    assert_eq!(done, ["copilot Some(\"namespace-request\"): a namespace for payments by an operator", "copilot None: nothing by an operator"]);
}

#[actix_web::test]
async fn every_field_that_does_not_fit_is_refused_before_anything_is_asked() {
    let world = World::new();
    for (body, named) in [
        (json!({}), "sentence"),
        (json!({ "sentence": "" }), "sentence"),
        (json!({ "sentence": "\n" }), "sentence"),
        (json!({ "sentence": 7 }), "string"),
        (json!({ "sentence": "x".repeat(2_001) }), "sentence"),
        (json!({ "sentence": "x", "automation": "No Name" }), "automation"),
        (json!({ "sentence": "x", "confirm": true }), "confirm"),
    ] {
        let answer = world.post("/api/v1/copilot", &body).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (StatusCode::BAD_REQUEST, "invalid_body"), "{body}");
        let message = answer.json()["error"]["message"].as_str().expect("a message").to_owned();
        assert!(message.contains(named), "{body}: {message}");
    }
    assert!(world.operations.done.lock().expect("a lock").is_empty());
}

#[actix_web::test]
async fn a_suggestion_is_shown_and_confirmed_by_its_id() {
    let world = World::new();
    let id = suggestion_id();
    let shown = world.get(&format!("/api/v1/copilot/{id}")).await;
    assert_eq!((shown.status, &shown.json()["target"]), (StatusCode::OK, &json!("gitops:clusters/prod")));
    let confirmed = world.post(&format!("/api/v1/copilot/{id}/confirm"), &json!(null)).await;
    assert_eq!((confirmed.status, &confirmed.json()["status"]), (StatusCode::CREATED, &json!("opened")));
    assert_eq!(confirmed.header("location"), Some(format!("/api/v1/requests/{}", request_id(1)).as_str()));
    assert_eq!(*world.operations.done.lock().expect("a lock"), [format!("suggestion {id}"), format!("confirm {id} by an operator")]);
    assert_eq!(world.get("/api/v1/copilot/req_01kajz0000000000000000000a").await.status, StatusCode::NOT_FOUND, "an id of something else");
}

#[actix_web::test]
async fn a_budget_that_is_used_up_says_when_the_next_day_begins() {
    let world = World::new();
    let busy = OperationError::Busy { message: "the budget for language models of today".to_owned(), retry_after: Duration::from_secs(3_600) };
    *world.operations.failure.lock().expect("a lock") = Some(busy);
    let answer = world.post("/api/v1/copilot", &json!({ "sentence": "x" })).await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("3600")));
}
