//! Automations, sources, clusters, repositories, templates and the status.

use super::world::*;
use kubeops::request::State;
use kubeops::store::{Stats, TaskKind};

#[actix_web::test]
async fn what_is_in_force_is_listed_and_shown() {
    let world = World::new();
    for (path, name) in [
        ("automations", "namespace-request"),
        ("sources", "service-desk"),
        ("clusters", "prod"),
        ("repositories", "gitops"),
        ("channels", "issues"),
        ("calendars", "office-hours"),
        ("mcp-servers", "prometheus"),
        ("templates", "namespace"),
    ] {
        assert_eq!(world.get(&format!("/api/v1/{path}")).await.json()["items"][0]["name"], name);
    }
    assert_eq!(world.get("/api/v1/automations/namespace-request").await.json()["templates"][0], "namespace");
    assert_eq!(world.get("/api/v1/templates/namespace").await.json()["purpose"], "A namespace for a team.");
    assert_eq!(world.get("/api/v1/automations/absent").await.error_code(), "not_found");
    assert_eq!(world.get("/api/v1/templates/absent").await.error_code(), "not_found");
}

#[actix_web::test]
async fn the_status_says_what_is_wrong_with_the_files_on_disk() {
    let world = World::new();
    world.inventory.0.lock().expect("a lock").problems.push("automations.yaml:3:5: unknown field `wen`".to_owned());
    *world.store.stats.lock().expect("a lock") = Stats {
        pending_deliveries: 4,
        tasks: vec![(TaskKind::Plan, 2), (TaskKind::Propose, 1)],
        dead_tasks: 1,
        requests: vec![(State::Merged, 9)],
        ..Stats::default()
    };
    let status = world.get("/api/v1/status").await.json();
    assert_eq!(status["resources"]["problems"][0], "automations.yaml:3:5: unknown field `wen`");
    assert_eq!((status["pending_deliveries"].as_u64(), status["queued_tasks"].as_u64(), status["dead_tasks"].as_u64()), (Some(4), Some(3), Some(1)));
    assert_eq!(status["requests"]["merged"], 9);
}
