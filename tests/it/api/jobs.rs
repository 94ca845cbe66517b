//! `/api/v1/jobs`: what reaches the operations and the store, and what is refused before.

use super::world::*;
use actix_web::http::StatusCode;
use futures_util::future::join_all;
use kubeops::request::{Job, Request, State};
use kubeops::store::{Draft, DraftState, Progress};
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;

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

fn job(n: u128) -> Request {
    let mut job = request(n, State::Accepted);
    job.steering.job = Some(Box::new(Job { goal: "Scale it".to_owned(), by: "ada".to_owned(), max_turns: None, timeout: None }));
    job
}

/// A draft of a job that runs.
fn draft(n: u128, number: u32) -> Draft {
    Draft {
        request: request_id(n),
        number,
        automation: "namespace-request".parse().expect("a name"),
        state: DraftState::Running,
        base: "a".repeat(40).parse().expect("a commit"),
        salt: "00ff".repeat(8),
        brief: json!({ "brief": { "system": "You change manifests.", "task": "Scale it", "tools": [] }, "model": { "provider": "local", "name": "qwen3" } }),
        outcome: None,
        begun_at: at(2),
        ended_at: None,
    }
}

fn progress(calls: u64, newest: DraftState) -> Progress {
    Progress { request: State::Accepted, newest: Some(newest), drafts: 1, calls, ended: calls, replies: calls, responses: calls }
}

#[actix_web::test]
async fn a_listing_tells_what_drafts_cost_without_reading_what_was_said() {
    let world = World::new();
    world.store.requests.lock().expect("a lock").push(job(2));
    world.store.drafts.lock().expect("a lock").extend([draft(2, 1), draft(2, 2)]);
    for shown in [world.get("/api/v1/jobs").await.json()["items"][0].clone(), world.get(&format!("/api/v1/jobs/{}", request_id(2))).await.json()] {
        let told = &shown["draft"];
        assert_eq!(
            (&told["number"], &told["turns"], &told["tokens"], &told["model"]),
            (&json!(2), &json!(2), &json!(1_400), &json!("qwen3")),
            "{shown:#}"
        );
    }
    // The store answers with an error whoever wants to read the turns.
    assert_eq!(world.store.drafts_read.load(Ordering::SeqCst), 0);
}

#[actix_web::test]
async fn whoever_follows_has_what_was_said_read_only_where_something_happened() {
    let world = World::new();
    world.store.requests.lock().expect("a lock").push(job(2));
    world.store.drafts.lock().expect("a lock").push(draft(2, 1));
    *world.store.turns.lock().expect("a lock") = Some(Vec::new());
    let running = progress(0, DraftState::Running);
    let planned = [running, running, running, progress(1, DraftState::Running), progress(1, DraftState::Running), progress(1, DraftState::Answered)];
    world.store.progress.lock().expect("a lock").extend(planned);
    let told = world.follow(&request_id(2)).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.text());
    let text = told.text();
    let events: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(events, ["line", "line", "end"], "what it was told, once: {text}");
    assert_eq!(world.store.drafts_read.load(Ordering::SeqCst), 3, "of six looks three found something else");
}

#[actix_web::test]
async fn no_more_than_64_follow_at_the_same_time_and_who_is_too_many_is_told_so() {
    let world = World::new();
    world.store.requests.lock().expect("a lock").push(job(2));
    world.store.drafts.lock().expect("a lock").push(draft(2, 1));
    *world.store.turns.lock().expect("a lock") = Some(Vec::new());
    let is = |newest| *world.store.progress.lock().expect("a lock") = [progress(0, newest)].into();
    is(DraftState::Running);
    let one = || async {
        let answer = world.follow(&request_id(2)).await;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            // The others follow until it is over.
            is(DraftState::Answered);
        }
        answer
    };
    let all = tokio::time::timeout(Duration::from_secs(20), join_all((0..65).map(|_| one()))).await.expect("somebody is refused");
    let refused: Vec<&Answer> = all.iter().filter(|answer| answer.status != StatusCode::OK).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].error_code().as_str(), refused[0].header("retry-after")), ("too_many_followers", Some("5")));
    assert_eq!(world.follow(&request_id(2)).await.status, StatusCode::OK, "those who are done make room");
}
