//! What a person does at the local forge with what a model drafted.

use super::drafted::{job_is, prepare, scale, start};
use crate::support::fake_llm::{FakeLlm, Said};
use crate::support::server::eventually;
use serde_json::json;

#[test]
fn a_draft_is_merged_at_the_local_forge_once_a_person_has_marked_it_ready_and_an_update_leaves_it_so() {
    let llm = FakeLlm::start();
    llm.says(Said::calls("propose_change", scale(4)));
    let mut server = prepare(&llm);
    server.run();
    let id = start(&server, "Scale the front end of shop to four");
    let number = job_is(&server, &id, "proposed")["pull"]["number"].clone();
    let path = format!("/pulls/gitops/{number}");
    assert_eq!(server.at().get(&path)["draft"], true);
    let printed = |arguments: &[&str]| String::from_utf8(server.cli(arguments).stdout).expect("UTF-8");
    assert!(printed(&["pulls", "list"]).contains("gitops#1  draft"), "{}", printed(&["pulls", "list"]));

    let base = server.upstream.tip("main");
    assert_eq!(server.at().api("POST", &format!("{path}/approve"), None).status, 200);
    let refused = server.at().api("POST", &format!("{path}/merge"), None);
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (409, &json!("conflict")), "{}", refused.text());
    assert!(refused.text().contains("mark it ready first"), "{}", refused.text());
    assert_eq!((server.upstream.tip("main"), server.at().get(&path)["state"].clone()), (base, json!("open")));

    assert_eq!(printed(&["pulls", "ready", "gitops#1"]).trim(), "gitops#1 is open, approved by flow");
    assert_eq!(server.at().get(&path)["draft"], false);
    // A revision brings it up to date: it stays ready, and what was approved is not what stands there now.
    llm.says(Said::calls("propose_change", scale(5)));
    let wish = json!({ "text": "five rather" });
    assert_eq!(server.at().api("POST", &format!("/requests/{id}/revise"), Some(&wish)).status, 202);
    eventually("it is revised", || server.at().get(&format!("/requests/{id}"))["summary"].to_string().contains("2 -> 5").then_some(()));
    let pull = eventually("the pull request is brought up to date", || {
        Some(server.at().get(&path)).filter(|pull| pull["body"].as_str().is_some_and(|body| body.contains("5")) && pull["approved_by"] == json!([]))
    });
    assert_eq!((&pull["draft"], &pull["state"]), (&json!(false), &json!("open")));
    assert_eq!(server.at().api("POST", &format!("{path}/merge"), None).status, 200);
    assert!(server.upstream.show("clusters/prod-eu/apps/shop/web.yaml", "main").contains("replicas: 5 # for now"));
    eventually("the request is merged", || (server.at().get(&format!("/requests/{id}"))["state"] == "merged").then_some(()));
}
