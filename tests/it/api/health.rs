//! `/healthz`, `/health`, `/ready` and where `/` leads.

use super::world::*;
use actix_web::http::StatusCode;
use actix_web::test::TestRequest;
use kubeops::store::StoreError;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;

async fn ready(world: &World) -> Answer {
    world.call(TestRequest::get().uri("/ready")).await
}

#[actix_web::test]
async fn the_process_says_that_it_lives() {
    let world = World::new();
    *world.store.failure.lock().expect("a lock") = Some(StoreError::Unavailable("gone".to_owned()));
    for path in ["/healthz", "/health"] {
        let answer = world.call(TestRequest::get().uri(path)).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({ "status": "ok" })));
    }
}

#[actix_web::test]
async fn not_ready_once_a_part_that_must_run_has_ended() {
    let world = World::new();
    world.state.break_down("the worker ended unasked".to_owned());
    world.state.break_down("another".to_owned());
    let answer = ready(&world).await;
    assert_eq!((answer.status, answer.json()["checks"]["process"].clone()), (StatusCode::SERVICE_UNAVAILABLE, json!("the worker ended unasked")));
}

#[actix_web::test]
async fn ready_says_why_not() {
    let world = World::new();
    let all_well = json!({ "status": "ready", "checks": { "store": "ok", "resources": "ok", "process": "ok" } });
    let answer = ready(&world).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, all_well));

    world.advance(Duration::from_secs(1));
    *world.store.failure.lock().expect("a lock") = Some(StoreError::Full("disk /dev/sda1".to_owned()));
    let answer = ready(&world).await;
    assert_eq!((answer.status, answer.json()["checks"]["store"].clone()), (StatusCode::SERVICE_UNAVAILABLE, json!("the store is full")));

    for (failure, told) in [
        (StoreError::Unavailable("10.0.0.7".to_owned()), "the store cannot be reached just now"),
        (StoreError::Unusable("10.0.0.7".to_owned()), "the store refuses this process: the log says why"),
        (StoreError::Broken("10.0.0.7".to_owned()), "the store failed: the log says how"),
    ] {
        world.advance(Duration::from_secs(1));
        *world.store.failure.lock().expect("a lock") = Some(failure);
        let answer = ready(&world).await;
        assert_eq!((answer.status, answer.json()["checks"]["store"].clone()), (StatusCode::SERVICE_UNAVAILABLE, json!(told)));
    }

    world.advance(Duration::from_secs(1));
    *world.store.failure.lock().expect("a lock") = None;
    world.inventory.0.lock().expect("a lock").loaded_at = None;
    let answer = ready(&world).await;
    assert_eq!((answer.status, answer.json()["checks"]["resources"].clone()), (StatusCode::SERVICE_UNAVAILABLE, json!("not loaded")));
}

#[actix_web::test]
async fn an_author_s_mistake_shows_but_does_not_stop_deliveries() {
    let world = World::new();
    world.inventory.0.lock().expect("a lock").problems = vec!["secret/path.yaml:1:1: broken".to_owned()];
    let answer = ready(&world).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["checks"]["resources"], "refused with 1 problem; an older set is in force");
    assert!(!answer.text().contains("path.yaml"), "the route is open to anybody");
}

#[actix_web::test]
async fn a_process_that_is_told_to_stop_is_not_ready() {
    let world = World::new();
    world.state.start_draining();
    let answer = ready(&world).await;
    assert_eq!((answer.status, answer.json()["checks"]["process"].clone()), (StatusCode::SERVICE_UNAVAILABLE, json!("shutting down")));
}

#[actix_web::test]
async fn the_store_is_asked_once_a_second_however_often_it_is_probed() {
    let world = World::new();
    for _ in 0..5 {
        ready(&world).await;
    }
    assert_eq!(world.store.checks.load(Ordering::SeqCst), 1);
    world.advance(Duration::from_secs(1));
    ready(&world).await;
    assert_eq!(world.store.checks.load(Ordering::SeqCst), 2);
}
