//! What waits for its next attempt goes on when a person says that it may: nobody who has mended something sits out a pause.

use crate::support::server::{TestServer, eventually, ticket};
use crate::support::warp::Warp;
use serde_json::{Value, json};

/// After so many attempts a pause is longer than anybody here has patience.
const ATTEMPTS: u64 = 10;

/// The step of this kind that waits for its next attempt after so many.
fn waiting(server: &TestServer, id: &str, kind: &str, attempts: u64) -> Option<Value> {
    let request = server.at().get(&format!("/requests/{id}"));
    let tasks = request["tasks"].as_array()?.clone();
    let fits = |task: &Value| task["kind"] == kind && task["state"] == "waiting" && task["attempts"].as_u64() >= Some(attempts);
    tasks.into_iter().find(fits)
}

/// The clock runs ahead of its pauses until one is long.
fn pauses_long(server: &TestServer, warp: &Warp, id: &str, kind: &str) {
    for attempts in 1..ATTEMPTS {
        eventually(&format!("attempt {attempts} to {kind} failed"), || waiting(server, id, kind, attempts));
        warp.to(i64::try_from(attempts).expect("small") * 300);
    }
    eventually(&format!("attempt {ATTEMPTS} to {kind} failed"), || waiting(server, id, kind, ATTEMPTS));
}

/// The request is held, and its pull request could not be told so for long; by now it could.
pub(super) fn hold_while_the_repository_is_away(server: &TestServer, warp: &Warp, id: &str) {
    let away = server.upstream.path().with_extension("away");
    std::fs::rename(server.upstream.path(), &away).expect("the repository is away");
    assert!(server.cli(&["requests", "hold", id]).status.success());
    pauses_long(server, warp, id, "propose");
    std::fs::rename(&away, server.upstream.path()).expect("the repository is back");
}

fn retry(server: &TestServer, id: &str) {
    let output = server.cli(&["requests", "retry", id]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn lines_by_flow(server: &TestServer, id: &str) -> Vec<String> {
    let request = server.at().get(&format!("/requests/{id}"));
    let timeline = request["timeline"].as_array().expect("a timeline").clone();
    let said = timeline.iter().filter(|entry| entry["actor"] == "flow").filter_map(|entry| entry["message"].as_str());
    said.map(str::to_owned).collect()
}

#[test]
fn whatever_step_waits_for_its_next_attempt_is_hurried_by_who_asks_for_it_again() {
    let mut server = TestServer::prepare();
    let warp = Warp::of(&mut server);
    server.set("OBSERVE_SECONDS", "3600").run();
    server.at().ticket(&ticket("OPS-1", "payments"));
    let id = server.at().settled("OPS-1", "proposed")["id"].as_str().expect("an id").to_owned();
    // Nothing waits.
    let refused = server.cli(&["requests", "retry", &id]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("nothing of it waits for its next attempt"), "{why}");

    hold_while_the_repository_is_away(&server, &warp, &id);
    retry(&server, &id);
    eventually("it shows that it is held", || (server.at().get("/pulls/gitops/1")["labels"] == json!(["namespace", "kubeops/held"])).then_some(()));
    server.at().settled("OPS-1", "proposed");
    assert_eq!(lines_by_flow(&server, &id), ["held by flow", "asked for in person: it waits no longer: propose"]);
    let gone = server.cli(&["requests", "retry", &id]);
    assert!(!gone.status.success(), "nothing waits any more");
    server.upstream.fsck();
}
