//! Why did this change? Whatever an auditor has in hand leads to the whole chain.

use super::storms::{self, alert_in, merge};
use crate::support::server::{Connection, TestServer, eventually, ticket};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

fn encoded(about: &str) -> String {
    about.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn trace(server: &Connection, about: &str) -> Value {
    server.get(&format!("/trace/{}", encoded(about)))
}

fn ids(found: &Value) -> Vec<&str> {
    found["requests"].as_array().expect("requests").iter().filter_map(|traced| traced["request"]["id"].as_str()).collect()
}

#[test]
fn a_ticket_a_commit_a_branch_and_a_pull_request_lead_to_the_same_chain() {
    let server = TestServer::start();
    let body = ticket("OPS-42", "payments");
    let delivery = server.at().ticket(&body).id();
    server.at().ticket(&ticket("OPS-43", "billing"));
    server.at().settled("OPS-43", "proposed");
    let proposed = server.at().settled("OPS-42", "proposed");
    merge(&server, &proposed);
    let merged = server.at().settled("OPS-42", "merged");
    let tip = server.upstream.tip("main").expect("a tip").to_string();

    let text = |pointer: &str| merged.pointer(pointer).and_then(Value::as_str).expect("a text").to_owned();
    let (id, commit, url) = (text("/id"), text("/commit"), text("/pull/url"));
    let number = merged["pull"]["number"].as_u64().expect("a number");
    let clues = [
        "OPS-42".to_owned(),
        id.clone(),
        delivery.clone(),
        text("/event/id"),
        text("/branch"),
        format!("refs/heads/{}", text("/branch")),
        commit.clone(),
        commit[..9].to_uppercase(),
        tip[..12].to_owned(),
        format!("gitops#{number}"),
        url,
    ];
    for clue in clues {
        assert_eq!(ids(&trace(server.at(), &clue)), [id.as_str()], "{clue}");
    }

    let found = trace(server.at(), "OPS-42");
    let traced = &found["requests"][0];
    let stored = &traced["deliveries"][0];
    assert_eq!((&stored["id"], &stored["sha256"]), (&json!(delivery), &json!(hex::encode(Sha256::digest(body.to_string())))));
    assert_eq!(traced["merged"], tip);
    assert_eq!(traced["events"][0]["decisions"][0]["matched"], true, "{found:#}");
    let states: Vec<&str> = traced["timeline"].as_array().expect("a timeline").iter().filter_map(|entry| entry["to"].as_str()).collect();
    assert_eq!(states, ["accepted", "planned", "proposed", "approved", "merged"]);
    assert_eq!(traced["timeline"][4]["actor"], "flow");
    let evidence = &traced["changes"]["evidence"];
    assert!(evidence["templates"]["namespace"].as_str().is_some_and(|digest| digest.len() == 64), "{evidence:#}");
    assert!(evidence["policies"].as_array().is_some_and(|policies| !policies.is_empty()), "{evidence:#}");
    assert_eq!(traced["rule"].as_str().map(str::len), Some(64));

    let printed = server.cli(&["trace", &format!("gitops#{number}")]);
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    for part in [id.as_str(), tip.as_str(), &delivery, "taken by namespace-request", "request   merged (flow):", "Namespace"] {
        assert!(printed.contains(part), "{part} in\n{printed}");
    }
    let exported = server.cli(&["trace", "OPS-42", "--output", "json"]);
    let exported: Value = serde_json::from_slice(&exported.stdout).expect("JSON");
    assert_eq!(exported["requests"], found["requests"]);
}

#[test]
fn what_stands_still_is_traced_with_the_step_that_fails_and_why() {
    let server = TestServer::start();
    let upstream = server.upstream.path().to_path_buf();
    std::fs::rename(&upstream, upstream.with_extension("away")).expect("moved");
    server.at().ticket(&ticket("OPS-42", "payments"));
    let why = format!("there is no directory {}", upstream.display());
    let printed = eventually("its trace says why", || {
        let printed = String::from_utf8_lossy(&server.cli(&["trace", "OPS-42"]).stdout).into_owned();
        printed.contains(&why).then_some(printed)
    });
    let line = printed.lines().find(|line| line.contains(&why)).expect("a line");
    assert!(line.contains("still to do   plan waiting, attempt ") && line.contains("check its address (`spec.url`)"), "{printed}");
    assert!(!printed.lines().any(str::is_empty), "{printed}");
    std::fs::rename(upstream.with_extension("away"), &upstream).expect("moved back");
}

#[test]
fn an_event_that_opened_nothing_is_traced_with_the_reason() {
    let server = TestServer::start();
    let mut other = ticket("OPS-7", "payments");
    for item in other["changelog"]["items"].as_array_mut().expect("items") {
        item["toString"] = json!("In progress");
    }
    let delivery = server.at().ticket(&other).id();
    let found = eventually("the event is traced", || {
        let answered = server.at().api("GET", "/trace/OPS-7", None);
        (answered.status == 200).then(|| answered.json())
    });
    assert_eq!(found["requests"], json!([]));
    assert_eq!(found["events"][0]["decisions"][0]["matched"], false, "{found:#}");
    assert_eq!(found["deliveries"][0]["id"], delivery);
    assert_eq!(ids(&trace(server.at(), &delivery)), [""; 0]);

    let unknown = server.at().api("GET", "/trace/OPS-8", None);
    assert_eq!(unknown.status, 404);
    let refused = server.cli(&["trace", "OPS-8"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("nothing is kept about this"));
}

#[test]
fn the_fingerprint_of_an_alert_leads_to_what_became_of_it() {
    let mut server = storms::prepare("");
    server.run();
    let alert = alert_in("web", "storefront", 6, 1);
    storms::tell(&server, std::slice::from_ref(&alert));
    let proposed = server.at().settled("prod-eu/web/storefront", "proposed");
    let found = trace(server.at(), alert["fingerprint"].as_str().expect("a fingerprint"));
    assert_eq!(ids(&found), [proposed["id"].as_str().expect("an id")]);
    assert_eq!(found["requests"][0]["events"][0]["type"], "alert.firing", "{found:#}");
    assert_eq!(server.at().api("GET", "/trace/ffffffffffffffff", None).status, 404);
}
