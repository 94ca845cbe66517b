//! `/api/v1/requests` and asking for an automation.

use super::world::*;
use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use kubeops::request::State;
use kubeops::store::{Task, TaskKind, TaskState};
use kubeops::types::TaskId;
use kubeops::validate::{Finding, Severity};
use serde_json::json;

fn with_requests(count: u128) -> World {
    let world = World::new();
    world.store.requests.lock().expect("a lock").extend((1..=count).map(|n| request(n, if n == 1 { State::Failed } else { State::Proposed })));
    world
}

#[actix_web::test]
async fn a_listing_comes_in_stretches() {
    let world = with_requests(5);
    let mut path = "/api/v1/requests?limit=2".to_owned();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let page = world.get(&path).await.json();
        seen.extend(page["items"].as_array().expect("rows").iter().map(|row| row["correlation"].as_str().expect("a key").to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/requests?limit=2&after={next}"),
            None => path.clear(),
        }
    }
    assert_eq!(seen, ["OPS-1", "OPS-2", "OPS-3", "OPS-4", "OPS-5"]);
    assert!(path.is_empty(), "the last stretch has no next");
    world.get("/api/v1/requests").await;
    assert_eq!(world.store.last_page.lock().expect("a lock").as_ref().map(|page| page.limit), Some(50));
}

#[actix_web::test]
async fn filters_reach_the_store_parsed() {
    let world = with_requests(3);
    let answer = world.get("/api/v1/requests?state=failed,merged&automation=namespace-request&repository=gitops&correlation=OPS-1").await;
    assert_eq!(answer.json()["items"].as_array().map(Vec::len), Some(1));
    let filter = world.store.last_filter.lock().expect("a lock").clone().expect("a filter");
    assert_eq!(filter.states, [State::Failed, State::Merged]);
    assert_eq!(filter.automation, "namespace-request".parse().ok());
    assert_eq!(filter.repository, "gitops".parse().ok());
    assert_eq!(filter.correlation.as_deref(), Some("OPS-1"));
}

#[actix_web::test]
async fn one_request_comes_with_timeline_tasks_and_findings() {
    let world = World::new();
    let mut shown = request(1, State::Rejected);
    shown.findings.push(Finding {
        severity: Severity::Error,
        rule: "secret.plaintext".to_owned(),
        path: "a.yaml".to_owned(),
        document: Some(0),
        pointer: None,
        line: Some(3),
        message: "a Secret in clear".to_owned(),
        hint: None,
    });
    world.store.requests.lock().expect("a lock").push(shown);
    world.store.timeline.lock().expect("a lock").push(timeline_entry());
    world.store.tasks.lock().expect("a lock").push(Task {
        id: TaskId::from_parts(at(0), 1),
        kind: TaskKind::Plan,
        request: request_id(1),
        lane: "gitops".to_owned(),
        state: TaskState::Dead,
        run_at: at(3),
        attempts: 10,
        last_error: Some("no route to host".to_owned()),
    });
    let detail = world.get(&format!("/api/v1/requests/{}", request_id(1))).await.json();
    assert_eq!(detail["id"], json!(request_id(1)));
    assert_eq!(detail["state"], "rejected");
    assert_eq!(detail["event"]["type"], "jira.issue.transitioned");
    assert!(detail["event"].get("data").is_none(), "what a sender wrote is in the delivery, for admins");
    assert_eq!(detail["timeline"][0]["to"], "accepted");
    assert_eq!(
        detail["tasks"][0],
        json!({"id": TaskId::from_parts(at(0), 1), "kind": "plan", "state": "dead", "run_at": at(3), "attempts": 10, "last_error": "no route to host"})
    );
    assert_eq!(detail["findings"][0]["rule"], "secret.plaintext");
    let missing = world.get(&format!("/api/v1/requests/{}", request_id(2))).await;
    assert_eq!((missing.status, missing.error_code().as_str()), (StatusCode::NOT_FOUND, "not_found"));
}

#[actix_web::test]
async fn a_diff_is_text_unless_json_is_asked_for() {
    let world = World::new();
    let path = format!("/api/v1/requests/{}/diff", request_id(1));
    let text = world.get(&path).await;
    assert_eq!(text.header("content-type"), Some("text/x-diff; charset=utf-8"));
    assert!(text.text().starts_with("--- /dev/null\n+++ b/namespaces/payments.yaml\n"));
    let authorised = TestRequest::get().uri(&path).insert_header(("authorization", format!("Bearer {}", viewer())));
    let json = world.call(authorised.insert_header(("accept", "application/json"))).await.json();
    assert_eq!(json["files"][0]["path"], "namespaces/payments.yaml");
    assert_eq!(json["files"][0]["change"], "added");
}

#[actix_web::test]
async fn retry_and_cancel_carry_who_asked_and_why() {
    let world = World::new();
    let id = request_id(1);
    assert_eq!(world.post(&format!("/api/v1/requests/{id}/retry"), &json!({})).await.status, StatusCode::ACCEPTED);
    let answer = world.post(&format!("/api/v1/requests/{id}/cancel"), &json!({ "reason": "not needed" })).await;
    assert_eq!(answer.json()["state"], "withdrawn");
    let bare = TestRequest::post().uri(&format!("/api/v1/requests/{id}/cancel")).insert_header(("authorization", format!("Bearer {}", operator())));
    assert_eq!(world.call(bare).await.status, StatusCode::ACCEPTED);
    let done = world.operations.done.lock().expect("a lock").clone();
    assert_eq!(
        done,
        [format!("retry {id} by an operator"), format!("cancel {id} by an operator: not needed"), format!("cancel {id} by an operator: -")]
    );
    let forged = world.post(&format!("/api/v1/requests/{id}/cancel"), &json!({ "reason": "a\nb" })).await;
    assert_eq!(forged.error_code(), "invalid_body");
}

#[actix_web::test]
async fn taking_back_and_extending_carry_who_asked_and_for_what() {
    let world = World::new();
    let id = request_id(1);
    let opened = world.post(&format!("/api/v1/requests/{id}/revert"), &json!({ "reason": "it made things worse" })).await;
    assert_eq!((opened.status, opened.json()), (StatusCode::CREATED, json!({ "id": request_id(9), "status": "opened" })));
    let bare = TestRequest::post().uri(&format!("/api/v1/requests/{id}/revert")).insert_header(("authorization", format!("Bearer {}", operator())));
    let known = world.call(bare).await;
    assert_eq!((known.status, known.json()["status"].clone()), (StatusCode::OK, json!("joined")));
    let extended = world.post(&format!("/api/v1/requests/{id}/extend"), &json!({ "by": "1h30m" })).await;
    assert_eq!((extended.status, extended.json()["state"].clone()), (StatusCode::OK, json!("merged")));
    let done = world.operations.done.lock().expect("a lock").clone();
    assert_eq!(
        done,
        [
            format!("revert {id} by an operator: it made things worse"),
            format!("revert {id} by an operator: -"),
            format!("extend {id} by 1h30m by an operator")
        ]
    );
    for (path, body) in [("revert", json!({ "reason": "a\nb" })), ("extend", json!({})), ("extend", json!({ "by": "a while" }))] {
        assert_eq!(world.post(&format!("/api/v1/requests/{id}/{path}"), &body).await.error_code(), "invalid_body", "{path} {body}");
    }
}

#[actix_web::test]
async fn hold_and_release_carry_who_said_so_and_why() {
    let world = World::new();
    let id = request_id(1);
    let held = world.post(&format!("/api/v1/requests/{id}/hold"), &json!({ "reason": "not tonight" })).await;
    assert_eq!(held.status, StatusCode::ACCEPTED);
    assert_eq!((&held.json()["held"]["by"], &held.json()["held"]["message"]), (&json!("an operator"), &json!("by an operator: not tonight")));
    let bare = TestRequest::post().uri(&format!("/api/v1/requests/{id}/hold")).insert_header(("authorization", format!("Bearer {}", operator())));
    assert_eq!(world.call(bare).await.status, StatusCode::ACCEPTED);
    let released = world.post(&format!("/api/v1/requests/{id}/release"), &json!({})).await;
    assert_eq!((released.status, &released.json()["held"]), (StatusCode::ACCEPTED, &serde_json::Value::Null));
    let done = world.operations.done.lock().expect("a lock").clone();
    assert_eq!(
        done,
        [format!("hold {id} by an operator: not tonight"), format!("hold {id} by an operator: -"), format!("release {id} by an operator")]
    );
    let forged = world.post(&format!("/api/v1/requests/{id}/hold"), &json!({ "reason": "a\nb" })).await;
    assert_eq!(forged.error_code(), "invalid_body");
}

#[actix_web::test]
async fn asking_twice_with_one_key_opens_one_request() {
    let world = World::new();
    let ask = |key: &str, token: String| {
        let request = TestRequest::post().uri("/api/v1/automations/namespace-request/requests");
        let request = request.insert_header(("authorization", format!("Bearer {token}"))).insert_header(("idempotency-key", key.to_owned()));
        world.call(request.set_json(json!({ "parameters": { "team": "payments" }, "correlation": "OPS-1" })))
    };
    let first = ask("k1", operator()).await;
    assert_eq!((first.status, first.json()["status"].clone()), (StatusCode::CREATED, json!("opened")));
    assert_eq!(first.header("location"), Some(format!("/api/v1/requests/{}", request_id(1)).as_str()));
    let again = ask("k1", operator()).await;
    assert_eq!((again.status, again.json()["status"].clone()), (StatusCode::OK, json!("joined")));
    assert_eq!(ask("k1", admin()).await.status, StatusCode::CREATED, "another token's key is another key");
    let asked = world.operations.asked.lock().expect("a lock").clone();
    assert_eq!(asked[0].parameters.get("team"), Some(&json!("payments")));
    assert_eq!((asked[0].correlation.as_deref(), asked[0].actor.as_str()), (Some("OPS-1"), "an operator"));
    for bad in ["", "a b", &"x".repeat(256)] {
        assert_eq!(ask(bad, operator()).await.error_code(), "invalid_header", "{bad:?}");
    }
}
