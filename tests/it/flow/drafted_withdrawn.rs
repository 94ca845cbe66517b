//! Nobody waits for a model whose work is no longer wanted: the alert resolved, the ticket was cancelled.

use super::drafted::{AUTOMATION, prepare, scale};
use super::storms::{alert_in, notification, tell};
use super::withdrawn::{moved_to, resolved};
use crate::support::fake_llm::{FakeLlm, Fault, Said};
use crate::support::server::{TestServer, eventually};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const KEY: &str = "storefront";

/// A server that has the change for an alert, or for a ticket, drafted, with these further lines in its automation.
fn drafts_for(llm: &FakeLlm, lines: &str) -> TestServer {
    let mut server = prepare(llm);
    let on_alert = "spec:\n  on: { source: alertmanager, types: [alert.firing] }\n  correlate: event.data.labels.horizontalpodautoscaler\n";
    let on_ticket = "spec:\n  on: { source: service-desk, types: [jira.issue.transitioned] }\n  when: event.data.transition.to == \"Approved\"\n";
    let withdraw = "  withdraw: { when: event.data.transition.to == \"Cancelled\" }\n";
    let automation = |name: &str, head: &str| {
        let named = AUTOMATION.replace("name: anything", &format!("name: {name}")).replace("    jobs: true\n", "");
        named.replace("{{ event.data.goal }}", name).replacen("spec:\n", head, 1)
    };
    server.edit_resource("autoscaler-maxed-out.yaml", |_| automation("alerted", &format!("{on_alert}{lines}")));
    server.edit_resource("namespace-request.yaml", |_| automation("asked", &format!("{on_ticket}{withdraw}")));
    server.set("OBSERVE_SECONDS", "1");
    server
}

/// The longest from the word that nobody wants it to the end of the call: what takes a third of a second on a machine that does nothing else.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The request once it is withdrawn; the model has not answered, and its call would have taken two minutes.
fn withdrawn_at_once(server: &TestServer, llm: &FakeLlm, key: &str, begun: Instant) -> Value {
    let ended = eventually("the call is broken off", || llm.broken_off().first().copied());
    assert!(ended.duration_since(begun) < AT_ONCE, "{:?}", ended.duration_since(begun));
    let request = server.at().settled(key, "withdrawn");
    server.at().nothing_owed();
    let id = request["id"].as_str().expect("an id");
    let drafts = server.at().get(&format!("/requests/{id}/drafts"));
    assert_eq!(drafts.as_array().expect("drafts").last().expect("a draft")["state"], "cancelled", "{drafts:#}");
    server.at().get(&format!("/requests/{id}"))
}

#[test]
fn an_alert_that_resolves_while_the_model_thinks_is_not_waited_for() {
    let llm = FakeLlm::start();
    llm.fails(Fault::Hang);
    let mut server = drafts_for(&llm, "");
    server.run();
    tell(&server, &[alert_in("web", KEY, 6, 1)]);
    eventually("the model is asked", || (llm.ledger().len() == 1).then_some(()));
    let begun = Instant::now();
    tell(&server, &[resolved("web", KEY, 2)]);
    let request = withdrawn_at_once(&server, &llm, KEY, begun);
    assert_eq!(request["message"], "withdrawn: the alert \"KubeHpaMaxedOut\" resolved");
    assert_eq!(llm.ledger().len(), 1);
    assert_eq!(server.at().all("/pulls"), Vec::<Value>::new());

    // It fires again, and is drafted anew.
    llm.says(Said::calls("propose_change", scale(4)));
    tell(&server, &[alert_in("web", KEY, 6, 3)]);
    assert_eq!(server.at().settled(KEY, "proposed")["generation"], 2);
}

#[test]
fn a_ticket_that_is_cancelled_while_the_model_thinks_is_not_waited_for() {
    let llm = FakeLlm::start();
    llm.fails(Fault::Hang);
    let mut server = drafts_for(&llm, "");
    server.run();
    server.at().ticket(&moved_to("OPS-1", "Approved", 0));
    eventually("the model is asked", || (llm.ledger().len() == 1).then_some(()));
    let begun = Instant::now();
    server.at().ticket(&moved_to("OPS-1", "Cancelled", 1_000));
    assert_eq!(withdrawn_at_once(&server, &llm, "OPS-1", begun)["message"], "withdrawn: OPS-1 moved to \"Cancelled\"");
    assert_eq!(llm.ledger().len(), 1);
}

#[test]
fn a_revision_is_not_waited_for_either_and_where_an_alert_takes_nothing_back_the_model_may_go_on() {
    let llm = FakeLlm::start();
    llm.says(Said::calls("propose_change", scale(4)));
    let mut server = drafts_for(&llm, "");
    server.run();
    tell(&server, &[alert_in("web", KEY, 6, 1)]);
    let id = server.at().settled(KEY, "proposed")["id"].as_str().expect("an id").to_owned();
    llm.fails(Fault::Hang);
    assert_eq!(server.at().api("POST", &format!("/requests/{id}/revise"), Some(&json!({ "text": "five" }))).status, 202);
    eventually("the model is asked", || (llm.ledger().len() == 2).then_some(()));
    let begun = Instant::now();
    tell(&server, &[resolved("web", KEY, 2)]);
    let number = withdrawn_at_once(&server, &llm, KEY, begun)["pull"]["number"].clone();
    assert_eq!(server.at().get(&format!("/pulls/gitops/{number}"))["state"], "closed");

    let llm = FakeLlm::start();
    let mut server = drafts_for(&llm, "  withdraw: { types: [alert.resolved], open: keep }\n");
    server.run();
    let address = server.at().clone();
    let mut turn = 0;
    llm.answers(move |_| {
        turn += 1;
        if turn > 1 {
            return Said::calls("propose_change", scale(4));
        }
        // It is kept that the alert resolved before the model answers.
        assert_eq!(address.alert(&notification(&[resolved("web", KEY, 2)])).word(), "202 accepted");
        eventually("it is read", || (address.get("/status")["pending_deliveries"] == 0).then_some(()));
        Said::calls("list_files", json!({}))
    });
    tell(&server, &[alert_in("web", KEY, 6, 1)]);
    server.at().settled(KEY, "proposed");
    assert_eq!(llm.ledger().len(), 2);
}
