//! `/metrics`, and what is counted.

use super::world::*;
use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use kubeops::store::{Stats, StoreError};
use std::time::Duration;

fn counting() -> World {
    World::with(Wishes { metrics: true, ..Wishes::default() })
}

async fn metrics(world: &World) -> String {
    let answer = world.call(TestRequest::get().uri("/metrics")).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, Some("text/plain; version=0.0.4; charset=utf-8")));
    answer.text()
}

#[actix_web::test]
async fn without_enable_metrics_there_are_none() {
    let answer = World::new().call(TestRequest::get().uri("/metrics")).await;
    assert_eq!((answer.status, answer.error_code().as_str()), (StatusCode::NOT_FOUND, "not_found"));
}

#[actix_web::test]
async fn requests_are_counted_by_route_method_and_status() {
    let world = counting();
    world.get("/api/v1/requests").await;
    world.get(&format!("/api/v1/requests/{}", request_id(9))).await;
    world.call(TestRequest::get().uri("/api/v1/requests")).await;
    for path in ["/healthz", "/health", "/ready", "/metrics"] {
        world.call(TestRequest::get().uri(path)).await;
    }
    let text = metrics(&world).await;
    for line in [
        "kubeops_http_requests_total{endpoint=\"/api/v1/requests\",method=\"GET\",status=\"200\"} 1",
        "kubeops_http_requests_total{endpoint=\"/api/v1/requests\",method=\"GET\",status=\"401\"} 1",
        "kubeops_http_requests_total{endpoint=\"/api/v1/requests/{id}\",method=\"GET\",status=\"404\"} 1",
        "kubeops_http_requests_in_progress 1",
    ] {
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    }
    for probe in ["/healthz", "/health", "/ready", "/metrics"] {
        assert!(!text.contains(&format!("endpoint=\"{probe}\"")), "{probe}");
    }
}

#[actix_web::test]
async fn a_stranger_cannot_make_up_labels() {
    let world = counting();
    for n in 0..20 {
        world.call(TestRequest::get().uri(&format!("/wp-admin/{n}"))).await;
        world.call(TestRequest::default().method(Method::from_bytes(format!("M{n}").as_bytes()).expect("a method")).uri("/healthz")).await;
        world.call(TestRequest::post().uri(&format!("/api/v1/webhooks/made-up-{n}")).set_payload("{}")).await;
        world.call(TestRequest::post().uri(&format!("/api/v1/webhooks/too-large-{n}")).set_payload("x".repeat(1024 * 1024 + 1))).await;
    }
    let text = metrics(&world).await;
    assert!(text.contains("kubeops_http_requests_total{endpoint=\"unmatched\",method=\"GET\",status=\"404\"} 20"), "{text}");
    assert!(text.contains("kubeops_deliveries_total{outcome=\"unknown_source\",source=\"unknown\"} 20"), "{text}");
    for made_up in ["wp-admin", "M1", "made-up", "too-large-"] {
        assert!(!text.contains(made_up), "{made_up}");
    }
}

#[actix_web::test]
async fn deliveries_and_the_store_s_counts_are_told() {
    let world = counting();
    *world.store.stats.lock().expect("a lock") = Stats { pending_deliveries: 12, ..Stats::default() };
    world.call(TestRequest::post().uri("/api/v1/webhooks/service-desk").set_payload("{}")).await;
    let text = metrics(&world).await;
    assert!(text.contains("kubeops_deliveries_total{outcome=\"accepted\",source=\"service-desk\"} 1"));
    assert!(text.contains("kubeops_pending_deliveries 12"));
    assert!(text.contains("kubeops_build_info{environment=\"pytest\",version=\""));
}

#[actix_web::test]
async fn of_a_store_that_does_not_answer_nothing_is_told_and_the_rest_is() {
    let world = counting();
    let tells = async |name: &str| metrics(&world).await.lines().any(|line| line.starts_with(name));
    assert!(tells("kubeops_pending_oldest_seconds ").await);
    world.advance(Duration::from_secs(5));
    *world.store.failure.lock().expect("a lock") = Some(StoreError::Unavailable("gone".to_owned()));
    assert!(!tells("kubeops_pending_oldest_seconds").await, "an age that stands still says that all is well");
    assert!(tells("kubeops_build_info{").await && tells("kubeops_inbox_waiting ").await);
    *world.store.failure.lock().expect("a lock") = None;
    assert!(tells("kubeops_pending_oldest_seconds ").await);
}
