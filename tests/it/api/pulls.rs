//! `/api/v1/pulls`.

use super::world::*;
use actix_web::http::StatusCode;
use serde_json::json;

#[actix_web::test]
async fn pull_requests_are_listed_shown_and_diffed() {
    let world = World::new();
    world.store.pulls.lock().expect("a lock").extend([pull(1), pull(2)]);
    assert_eq!(world.get("/api/v1/pulls?state=open&repository=gitops").await.json()["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(world.get("/api/v1/pulls?state=merged").await.json()["items"], json!([]));
    let shown = world.get("/api/v1/pulls/gitops/2").await.json();
    assert_eq!((&shown["number"], &shown["state"], &shown["base"]), (&json!(2), &json!("open"), &json!("main")));
    assert!(shown.get("version").is_none());
    assert_eq!(world.get("/api/v1/pulls/gitops/3").await.error_code(), "not_found");
    assert!(world.get("/api/v1/pulls/gitops/2/diff").await.text().contains("+kind: Namespace"));
}

#[actix_web::test]
async fn a_pull_request_is_approved_merged_and_closed_by_name() {
    let world = World::new();
    for action in ["approve", "ready", "merge", "close"] {
        assert_eq!(world.post(&format!("/api/v1/pulls/gitops/7/{action}"), &json!({})).await.status, StatusCode::OK);
    }
    let done = world.operations.done.lock().expect("a lock").clone();
    let expected = ["Approve", "Ready", "Merge", "Close(None)"].map(|action| format!("{action} gitops#7 by an operator"));
    assert_eq!(done, expected);
}
