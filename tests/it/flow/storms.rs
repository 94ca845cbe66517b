//! Storms: many events that do not become as many pull requests.

use crate::support::server::{TestServer, eventually};
use kubeops::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use sha2::Digest as _;
use std::time::Duration;

/// The automation the alerts of these stories are for.
const AUTOMATION: &str = "autoscaler-maxed-out";

/// A server whose alerts' automation has these further lines in its spec; nothing runs yet.
fn prepare(lines: &str) -> TestServer {
    let mut server = TestServer::prepare();
    server.edit_resource("autoscaler-maxed-out.yaml", |text| text.replacen("\nspec:\n", &format!("\nspec:\n{lines}"), 1));
    server.set("OBSERVE_SECONDS", "1").set("API_CALLS_PER_MINUTE", "100000");
    server
}

/// An autoscaler at its maximum of so many replicas; `round` tells one firing of it from the next.
fn alert(name: &str, replicas: u32, round: i64) -> Value {
    let digest = sha2::Sha256::digest(name);
    json!({
        "status": "firing",
        "labels": {
            "alertname": "KubeHpaMaxedOut", "severity": "warning", "cluster": "prod-eu", "namespace": "web", "horizontalpodautoscaler": name,
        },
        "annotations": { "summary": "It has run at its maximum.", "max_replicas": replicas.to_string() },
        "startsAt": SystemClock.now().minus(Duration::from_secs(3600)).plus(Duration::from_secs(round.unsigned_abs())).to_string(),
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": hex::encode(&digest[..8]),
    })
}

/// What Alertmanager sends of these alerts.
fn notification(alerts: &[Value]) -> Value {
    json!({ "version": "4", "status": "firing", "receiver": "kubeops", "groupKey": "{}", "alerts": alerts })
}

fn tell(server: &TestServer, alerts: &[Value]) {
    assert_eq!(server.at().alert(&notification(alerts)).word(), "202 accepted");
}

/// The one request there is, with everything about it.
fn only_request(server: &TestServer) -> Value {
    let requests = server.at().all("/requests");
    assert_eq!(requests.len(), 1, "{requests:#?}");
    server.at().get(&format!("/requests/{}", requests[0]["id"].as_str().expect("an id")))
}

fn timeline(request: &Value) -> Vec<&str> {
    request["timeline"].as_array().expect("a timeline").iter().filter_map(|entry| entry["message"].as_str()).collect()
}

#[test]
fn a_request_waits_for_further_events_and_is_planned_for_the_newest() {
    let mut server = prepare("  debounce: { quiet: 300ms, atMost: 10m }\n");
    server.run();
    // Told in one delivery, so that no pause comes between them.
    tell(&server, &[(1, 6), (3, 10), (2, 8)].map(|(round, replicas)| alert("storefront", replicas, round)));
    let request = server.at().settled("prod-eu/web/storefront", "proposed");
    assert_eq!(request["parameters"]["maxReplicas"], 15, "{request:#}");
    assert_eq!(server.at().all("/pulls").len(), 1);
    let said = timeline(&request);
    assert!(said[0].contains("; waits until ") && said[0].contains("for further events, at most until"), "{said:#?}");
    let joined = said.iter().filter(|line| line.starts_with("joined by") && line.contains("; waits until ")).count();
    assert_eq!(joined, 2, "{said:#?}");
    server.upstream.fsck();
}

#[test]
fn waiting_for_events_survives_a_restart_and_a_person_does_not_wait() {
    let mut server = prepare("  debounce: { quiet: 1h, atMost: 2h }\n");
    server.run();
    tell(&server, &[alert("storefront", 6, 1)]);
    let before = eventually("the request is there", || server.at().all("/requests").first().map(|_| only_request(&server)));
    let due = before["tasks"][0]["run_at"].as_str().expect("a time").to_owned();
    assert!(before["message"].as_str().is_some_and(|said| said.contains("until 1h pass without one, at most 2h")), "{before:#}");
    server.kill();
    server.run();
    let after = only_request(&server);
    assert_eq!((&after["state"], &after["tasks"][0]["run_at"]), (&json!("accepted"), &json!(due)));
    // A person asks for the same in their own name: it waits no longer.
    let body = json!({
        "parameters": { "name": "storefront", "namespace": "web", "cluster": "prod-eu", "maxReplicas": 9 },
        "correlation": "prod-eu/web/storefront",
    });
    let asked = server.at().api("POST", &format!("/automations/{AUTOMATION}/requests"), Some(&body));
    assert_eq!(asked.word(), "200 joined");
    let request = server.at().settled("prod-eu/web/storefront", "proposed");
    assert!(timeline(&request)[1].ends_with("; waits no longer for further events"), "{request:#}");
    super::left_exactly_one(&server, "prod-eu/web/storefront", "proposed");
}
