//! What is merged is in force when a delivery tool says so: the ticket hears it, whichever commit the tool names and in whatever order.

use super::storms::merge;
use crate::support::server::{Answered, TestServer, call, eventually, ticket};
use serde_json::{Value, json};

const TOKEN: &str = "the token of Argo CD's notifications, long enough";

fn start() -> TestServer {
    let mut server = TestServer::prepare();
    listen(&server);
    server.set("OBSERVE_SECONDS", "1").run();
    server
}

/// Argo CD is one of its sources.
pub(super) fn listen(server: &TestServer) {
    server.secret("ARGOCD_TOKEN", TOKEN);
    let source = "kind: Source\nmetadata: { name: argocd }\nspec: { kind: argocd, authentication: { bearer: { secrets: [ARGOCD_TOKEN] } } }\n";
    server.edit_resource("sources.yaml", |text| format!("{text}\n---\napiVersion: kubeops.dev/v1alpha1\n{source}"));
}

/// What Argo CD says of an application at a commit.
fn says(server: &TestServer, application: &str, revision: &str, cluster: &Value, health: &str, second: u32) {
    let answered = try_to_say(server, application, revision, cluster, health, second).expect("an answer");
    assert_eq!(answered.word(), "202 accepted", "{}", answered.text());
}

fn try_to_say(server: &TestServer, application: &str, revision: &str, cluster: &Value, health: &str, second: u32) -> std::io::Result<Answered> {
    let second = second.to_string();
    let body = notification(application, revision, health, &json!({ "name": cluster }), &json!([]), &second);
    tell_argocd(server, &body)
}

/// What the template of docs/sources.md writes.
pub(super) fn notification(application: &str, revision: &str, health: &str, destination: &Value, paths: &Value, second: &str) -> Value {
    let at = format!("2026-11-20T12:00:{second:0>2}Z");
    json!({
        "application": application, "namespace": "argocd", "uid": "7d0cdc51-ddcf-4743-b223-83ca5c699632", "project": "default",
        "destination": destination, "repositories": [], "paths": paths,
        "sync": { "status": "Synced", "revision": revision, "revisions": null },
        "health": { "status": health, "since": at },
        "operation": { "phase": "Succeeded", "message": "synced", "revision": revision, "revisions": null, "finishedAt": at },
    })
}

pub(super) fn tell_argocd(server: &TestServer, body: &Value) -> std::io::Result<Answered> {
    let token = format!("Bearer {TOKEN}");
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    call(server.at().address, "POST", "/api/v1/webhooks/argocd", &headers, body.to_string().as_bytes())
}

pub(super) fn merged(server: &TestServer, key: &str, team: &str) -> String {
    assert_eq!(server.at().ticket(&ticket(key, team)).word(), "202 accepted");
    merge(server, &server.at().settled(key, "proposed"));
    server.at().settled(key, "merged");
    server.upstream.tip("main").expect("a tip").to_string()
}

#[test]
fn a_merged_change_is_applied_once_a_tool_is_at_its_commit_or_a_later_one() {
    let server = start();
    let before = server.upstream.tip("main").expect("a tip").to_string();
    merged(&server, "OPS-1", "payments");
    says(&server, "web", &before, &json!("prod-eu"), "Healthy", 1);
    server.at().nothing_owed();
    server.at().settled("OPS-1", "merged");

    // Somebody else's commit follows; the tool jumps over ours, and the mirror has not seen it yet.
    let later = server.upstream.write("main", "somebody.md", "x\n").to_string();
    says(&server, "web", &later, &json!("prod-eu"), "Healthy", 2);
    let applied = server.at().settled("OPS-1", "applied");
    assert_eq!(applied["message"], format!("in force: web is at {}", &later[..12]));

    // What is merged after the word was said is not taken for applied.
    merged(&server, "OPS-2", "billing");
    server.at().nothing_owed();
    server.at().settled("OPS-2", "merged");
}

#[test]
fn a_kill_before_what_a_tool_said_is_kept_costs_another_look_and_nothing_else() {
    let mut server = TestServer::prepare();
    listen(&server);
    // Once merged, it looks at what was said before; the second look is that of the word.
    server.set("OBSERVE_SECONDS", "1").set("KUBEOPS_FAILPOINT", "confirm.settling:2").run();
    let tip = merged(&server, "OPS-1", "payments");
    server.at().nothing_owed();
    let _ = try_to_say(&server, "web", &tip, &json!("prod-eu"), "Healthy", 1);
    let status = server.wait();
    assert!(!status.success(), "it died, not ended: {status}");
    server.set("KUBEOPS_FAILPOINT", "").run();
    let applied = server.at().settled("OPS-1", "applied");
    let lines = applied["timeline"].as_array().expect("a timeline").iter().filter(|entry| entry["to"] == "applied").count();
    assert_eq!(lines, 1, "{applied:#}");
}

#[test]
fn what_is_not_well_is_degraded_until_the_tool_says_otherwise() {
    let server = start();
    let tip = merged(&server, "OPS-1", "payments");
    says(&server, "web", &tip, &json!("prod-eu"), "Degraded", 1);
    let degraded = server.at().settled("OPS-1", "degraded");
    assert!(degraded["message"].as_str().is_some_and(|message| message.contains("web is at") && message.contains("not well")), "{degraded:#}");
    let later = server.upstream.write("main", "somebody.md", "x\n").to_string();
    says(&server, "web", &later, &json!("prod-eu"), "Healthy", 2);
    server.at().settled("OPS-1", "applied");
}

#[test]
fn the_word_of_another_cluster_counts_for_nothing() {
    let server = start();
    let tip = merged(&server, "OPS-1", "payments");
    let request = &server.at().requests_of("OPS-1")[0];
    assert!(request["repository"] == "gitops", "{request:#}");
    says(&server, "web", &tip, &json!("staging-eu"), "Healthy", 1);
    server.at().nothing_owed();
    server.at().settled("OPS-1", "merged");
    says(&server, "web", &tip, &json!("prod-eu"), "Healthy", 2);
    server.at().settled("OPS-1", "applied");
}

#[test]
fn what_nobody_says_is_in_force_in_time_is_told_once_and_applied_all_the_same_when_it_is() {
    let mut server = TestServer::prepare();
    listen(&server);
    server.edit_resource("inventory.yaml", |text| text.replacen("  path: clusters/prod-eu\n", "  path: clusters/prod-eu\n  appliedWithin: 1s\n", 1));
    server.set("KUBEOPS_FAILPOINT", "clock.settling").run();
    let tip = merged(&server, "OPS-1", "payments");
    let status = server.wait();
    assert!(!status.success(), "it died before it could keep that it told: {status}");
    server.set("KUBEOPS_FAILPOINT", "").run();
    let overdue = eventually("it is told", || {
        let request = server.at().settled("OPS-1", "merged");
        (request["message"] == "merged, and nobody has said in time that it is in force" && request["tasks"] == json!([])).then_some(request)
    });
    server.kill();
    server.run();
    server.at().nothing_owed();
    let again = server.at().settled("OPS-1", "merged");
    assert_eq!(again["timeline"], overdue["timeline"], "once, also after a start");
    says(&server, "web", &tip, &json!("prod-eu"), "Healthy", 2);
    server.at().settled("OPS-1", "applied");
}
