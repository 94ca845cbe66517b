//! `/api/v1/jobs`: what reaches the operations and the store, and what is refused before.

use super::world::*;
use actix_web::http::StatusCode;
use kubeops::request::{Job, State};
use serde_json::json;

#[actix_web::test]
async fn a_job_reaches_the_operations_with_what_was_asked() {
    let world = World::new();
    let answer = world.post("/api/v1/jobs", &json!({ "goal": "Scale it", "automation": "anything", "max_turns": 3, "timeout_seconds": 60 })).await;
    assert_eq!((answer.status, answer.json()["status"].clone()), (StatusCode::CREATED, json!("created")));
    assert_eq!(answer.header("location"), Some(format!("/api/v1/jobs/{}", request_id(1)).as_str()));
    assert_eq!(answer.json()["details"]["logs"], format!("/api/v1/jobs/{}/logs", request_id(1)));
    assert_eq!(*world.operations.done.lock().expect("a lock"), ["job Some(\"anything\"): Scale it"]);
}

#[actix_web::test]
async fn every_field_that_does_not_fit_is_refused_before_anything_is_asked() {
    let world = World::new();
    for (body, named) in [
        (json!({}), "goal"),
        (json!({ "goal": 7 }), "string"),
        (json!({ "goal": "" }), "goal"),
        (json!({ "goal": " \n\t" }), "goal"),
        (json!({ "goal": "x".repeat(4_001) }), "goal"),
        (json!({ "goal": "x", "max_turns": 0 }), "max_turns"),
        (json!({ "goal": "x", "max_turns": 101 }), "max_turns"),
        (json!({ "goal": "x", "max_turns": -1 }), "u32"),
        (json!({ "goal": "x", "timeout_seconds": 0 }), "timeout_seconds"),
        (json!({ "goal": "x", "timeout_seconds": 86_401 }), "timeout_seconds"),
        (json!({ "goal": "x", "timeout_seconds": "10m" }), "u64"),
        (json!({ "goal": "x", "automation": "No Name" }), "automation"),
        (json!({ "goal": "x", "cluster": 7 }), "string"),
        (json!({ "goal": "x", "parameters": [] }), "map"),
        (json!({ "goal": "x", "model": "another" }), "model"),
    ] {
        let answer = world.post("/api/v1/jobs", &body).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (StatusCode::BAD_REQUEST, "invalid_body"), "{body}");
        let message = answer.json()["error"]["message"].as_str().expect("a message").to_owned();
        assert!(message.contains(named), "{body}: {message}");
    }
    assert!(world.operations.done.lock().expect("a lock").is_empty());
    let longest = world.post("/api/v1/jobs", &json!({ "goal": "ö".repeat(4_000) })).await;
    assert_eq!(longest.status, StatusCode::CREATED, "characters are counted, not bytes");
}

#[actix_web::test]
async fn a_listing_asks_the_store_for_jobs_alone() {
    let world = World::new();
    let answer = world.get("/api/v1/jobs?automation=namespace-request&limit=3").await;
    assert_eq!(answer.json()["items"], json!([]));
    let filter = world.store.last_filter.lock().expect("a lock").clone().expect("a filter");
    assert!(filter.jobs);
    assert_eq!(filter.automation, "namespace-request".parse().ok());
    assert_eq!(world.store.last_page.lock().expect("a lock").as_ref().map(|page| page.limit), Some(3));
    for bad in ["limit=0", "limit=501", "automation=No+Name", "state=failed"] {
        assert_eq!(world.get(&format!("/api/v1/jobs?{bad}")).await.error_code(), "invalid_query", "{bad}");
    }
}

#[actix_web::test]
async fn a_request_that_nobody_asked_in_words_is_no_job() {
    let world = World::new();
    world.store.requests.lock().expect("a lock").push(request(1, State::Proposed));
    let mut job = request(2, State::Accepted);
    job.steering.job = Some(Box::new(Job { goal: "Scale it".to_owned(), by: "ada".to_owned(), max_turns: None, timeout: None }));
    world.store.requests.lock().expect("a lock").push(job);
    let shown = world.get(&format!("/api/v1/jobs/{}", request_id(2))).await.json();
    assert_eq!(
        (&shown["goal"], &shown["by"], &shown["status"], &shown["draft"]),
        (&json!("Scale it"), &json!("ada"), &json!("created"), &json!(null))
    );
    for path in ["", "/logs"] {
        let answer = world.get(&format!("/api/v1/jobs/{}{path}", request_id(1))).await;
        assert_eq!((answer.status, answer.error_code().as_str()), (StatusCode::NOT_FOUND, "not_found"), "{path}");
    }
    assert_eq!(world.get("/api/v1/jobs/nonsense").await.status, StatusCode::NOT_FOUND);
}
