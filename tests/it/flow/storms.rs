//! Storms: many events that do not become as many pull requests.

use crate::support::server::{TestServer, eventually};
use kubeops::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use sha2::Digest as _;
use std::time::Duration;

/// The automation the alerts of these stories are for.
const AUTOMATION: &str = "autoscaler-maxed-out";

/// A server whose alerts' automation has these further lines in its spec; nothing runs yet.
pub(super) fn prepare(lines: &str) -> TestServer {
    let mut server = TestServer::prepare();
    server.edit_resource("autoscaler-maxed-out.yaml", |text| text.replacen("\nspec:\n", &format!("\nspec:\n{lines}"), 1));
    server.set("OBSERVE_SECONDS", "1").set("API_CALLS_PER_MINUTE", "100000");
    server
}

/// An autoscaler at its maximum of so many replicas; `round` tells one firing of it from the next.
fn alert(name: &str, replicas: u32, round: i64) -> Value {
    alert_in("web", name, replicas, round)
}

/// The same in any namespace.
pub(super) fn alert_in(namespace: &str, name: &str, replicas: u32, round: i64) -> Value {
    let digest = sha2::Sha256::digest(format!("{namespace}/{name}"));
    json!({
        "status": "firing",
        "labels": {
            "alertname": "KubeHpaMaxedOut", "severity": "warning", "cluster": "prod-eu", "namespace": namespace, "horizontalpodautoscaler": name,
        },
        "annotations": { "summary": "It has run at its maximum.", "max_replicas": replicas.to_string() },
        "startsAt": SystemClock.now().minus(Duration::from_secs(3600)).plus(Duration::from_secs(round.unsigned_abs())).to_string(),
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": hex::encode(&digest[..8]),
    })
}

/// What Alertmanager sends of these alerts.
pub(super) fn notification(alerts: &[Value]) -> Value {
    json!({ "version": "4", "status": "firing", "receiver": "kubeops", "groupKey": "{}", "alerts": alerts })
}

pub(super) fn tell(server: &TestServer, alerts: &[Value]) {
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

/// An hour passes for what the stopped server keeps.
fn an_hour_passes(server: &TestServer) {
    let address = format!("sqlite://{}", server.data().join("kubeops.db").display());
    let passing = async {
        use sqlx::{Connection as _, Executor as _};
        let mut connection = sqlx::SqliteConnection::connect(&address).await.expect("the store");
        for sql in ["UPDATE admissions SET at = at - 3600000", "UPDATE outbox SET run_at = run_at - 3600000"] {
            connection.execute(sql).await.expect("time passes");
        }
        connection.close().await.expect("closed");
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(passing);
}

fn in_state(server: &TestServer, state: &str) -> Vec<Value> {
    server.at().all("/requests").into_iter().filter(|request| request["state"] == state).collect()
}

#[test]
fn what_is_over_the_limit_waits_says_so_and_is_proposed_when_there_is_room() {
    let mut server = prepare("  limits: { perHour: 3, perTarget: { perHour: 2 } }\n");
    server.run();
    let names = ["a", "b", "c", "d", "e"];
    tell(&server, &names.map(|name| alert(name, 6, 1)));
    let wait = |server: &TestServer, proposed: usize| {
        eventually("as many are proposed as may be, and the others wait", || {
            let waiting = in_state(server, "accepted");
            let said = waiting.iter().filter(|request| request["message"].as_str().is_some_and(|said| said.starts_with("waits for room")));
            (in_state(server, "proposed").len() == proposed && said.count() == names.len() - proposed).then_some(waiting)
        })
    };
    let waiting = wait(&server, 2);
    let message = waiting[0]["message"].as_str().expect("a message");
    assert!(
        message.contains("for gitops:clusters/prod-eu opened 2 pull requests within an hour, as many as `limits.perTarget.perHour`"),
        "{message}"
    );
    assert!(message.contains("its turn should come at 20") && message.contains(", after "), "{message}");
    let shown = server.at().get(&format!("/requests/{}", waiting[0]["id"].as_str().expect("an id")));
    assert_eq!(timeline(&shown).iter().filter(|line| line.starts_with("waits for room")).count(), 1, "{shown:#}");
    assert_eq!((&shown["tasks"][0]["kind"], &shown["tasks"][0]["attempts"]), (&json!("plan"), &json!(0)), "{shown:#}");
    assert_eq!(eventually("it is counted", || server.at().get("/status")["waiting_for_room"].as_u64().filter(|count| *count == 3)), 3);
    assert_eq!(server.at().metric("kubeops_requests_waiting_for_room", &[]), 3.0);
    // A person need not wait.
    let first = waiting[0]["correlation"].as_str().expect("a key").to_owned();
    assert_eq!(server.at().api("POST", &format!("/requests/{}/retry", waiting[0]["id"].as_str().expect("an id")), None).status, 202);
    server.at().settled(&first, "proposed");
    // A restart forgets nothing: three were opened in this hour.
    server.kill();
    server.run();
    tell(&server, &[alert("f", 6, 1)]);
    eventually("the new one waits behind the others", || {
        let waiting = in_state(&server, "accepted");
        let said = |request: &Value| request["message"].as_str().is_some_and(|said| said.contains("after 2 requests that wait before it"));
        (waiting.len() == 3 && waiting.iter().any(said)).then_some(())
    });
    server.kill();
    an_hour_passes(&server);
    server.run();
    eventually("two more are proposed", || (in_state(&server, "proposed").len() == 5 && in_state(&server, "accepted").len() == 1).then_some(()));
    server.kill();
    an_hour_passes(&server);
    server.run();
    eventually("the last as well", || (in_state(&server, "proposed").len() == 6).then_some(()));
    assert_eq!(server.at().all("/pulls").len(), 6);
    assert_eq!(server.at().get("/status")["dead_tasks"], 0);
    server.upstream.fsck();
}

/// The newest request of the alert's autoscaler, once it is in a state.
fn of_storefront(server: &TestServer, state: &str, number: usize) -> Value {
    eventually(&format!("request {number} is {state}"), || {
        let requests = server.at().requests_of("prod-eu/web/storefront");
        (requests.len() == number && requests[0]["state"] == state).then_some(())
    });
    server.at().settled("prod-eu/web/storefront", state)
}

pub(super) fn merge(server: &TestServer, request: &Value) {
    let path = format!("/pulls/gitops/{}", request["pull"]["number"]);
    for action in ["approve", "merge"] {
        let done = server.at().api("POST", &format!("{path}/{action}"), None);
        assert!(done.status < 300, "{}", done.text());
    }
}

#[test]
fn a_value_that_goes_back_and_forth_stops_with_an_explanation_and_a_person_lets_it_through_once() {
    let mut server = prepare("");
    server.run();
    // The first makes the file; then 9 -> 6 -> 9 -> 6 -> 9.
    for round in 1..=5 {
        tell(&server, &[alert("storefront", if round % 2 == 1 { 6 } else { 4 }, round)]);
        let number = usize::try_from(round).expect("small");
        merge(&server, &of_storefront(&server, "proposed", number));
        of_storefront(&server, "merged", number);
    }
    tell(&server, &[alert("storefront", 4, 6)]);
    let stopped = of_storefront(&server, "rejected", 6);
    let message = stopped["message"].as_str().expect("a message");
    assert!(message.starts_with("stopped: clusters/prod-eu/apps/web/storefront-hpa.yaml, "), "{message}");
    assert!(message.contains("spec.maxReplicas goes back and forth, 5 times within 1h with this one"), "{message}");
    let finding = &stopped["findings"][0];
    assert_eq!((&finding["rule"], &finding["severity"]), (&json!("loop"), &json!("error")));
    let told = finding["message"].as_str().expect("a message");
    let first = &server.at().requests_of("prod-eu/web/storefront")[4];
    for part in ["with 9 -> 6 it would be", "9 -> 6 at 20", "pull request #5)", first["id"].as_str().expect("an id")] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let id = stopped["id"].as_str().expect("an id");
    assert!(finding["hint"].as_str().is_some_and(|hint| hint.contains(&format!("kubeops requests retry {id}"))), "{finding:#}");
    assert_eq!(server.at().all("/pulls").len(), 5);
    // A person has looked: it goes through, once.
    assert_eq!(server.at().api("POST", &format!("/requests/{id}/retry"), None).status, 202);
    merge(&server, &of_storefront(&server, "proposed", 6));
    of_storefront(&server, "merged", 6);
    tell(&server, &[alert("storefront", 6, 7)]);
    of_storefront(&server, "rejected", 7);
    // Going on to another value is no loop.
    tell(&server, &[alert("storefront", 8, 8)]);
    of_storefront(&server, "proposed", 8);
    server.upstream.fsck();
}

#[test]
fn an_alert_that_flaps_is_not_proposed_over_and_over() {
    let mut server = prepare("");
    server.run();
    for round in 1..=2 {
        tell(&server, &[alert("storefront", 6, round)]);
        let proposed = of_storefront(&server, "proposed", usize::try_from(round).expect("small"));
        let cancel = format!("/requests/{}/cancel", proposed["id"].as_str().expect("an id"));
        assert_eq!(server.at().api("POST", &cancel, Some(&json!({ "reason": "the alert is over" }))).status, 202);
    }
    tell(&server, &[alert("storefront", 6, 3)]);
    let stopped = of_storefront(&server, "rejected", 3);
    let told = stopped["findings"][0]["message"].as_str().expect("a message");
    assert_eq!((told.matches("(proposed, req_").count(), told.matches("(taken back, req_").count()), (2, 2), "{told}");
    assert_eq!(server.at().all("/pulls").len(), 2);
}
