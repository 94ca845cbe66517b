//! What a person does at the local forge with what a model drafted, and drafts that come about with a template or end by a refusal.

use super::drafted::{AUTOMATION, job_is, prepare, scale, start};
use crate::support::fake_llm::{FakeLlm, Said};
use crate::support::server::eventually;
use serde_json::{Value, json};

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

    assert_eq!(printed(&["pulls", "ready", "gitops#1"]).trim(), "gitops#1 is open, and ready for review, approved by flow");
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

#[test]
fn a_template_gives_a_draft_something_to_begin_with() {
    let llm = FakeLlm::start();
    llm.says(Said::calls("render_template", json!({ "template": "config-map", "parameters": { "name": "flags" } })));
    llm.says(Said::calls("render_template", json!({ "template": "config-mapp" })));
    llm.says(Said::calls(
        "render_template",
        json!({ "template": "config-map", "parameters": { "name": "flags", "namespace": "shop", "data": { "colour": "green", "password": "hunter2-of-the-shop" } } }),
    ));
    let content = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: flags\n  namespace: shop\ndata:\n  colour: green\n";
    let file = json!({ "operations": [{ "file": { "file": "clusters/prod-eu/apps/shop/flags.yaml", "content": content } }], "explanation": "x" });
    llm.says(Said::calls("propose_change", file));
    let mut server = prepare(&llm);
    server.run();
    let id = start(&server, "Add the flag colour");
    let job = job_is(&server, &id, "proposed");
    let branch = server.at().get(&format!("/requests/{id}"))["branch"].as_str().expect("a branch").to_owned();
    assert_eq!(server.upstream.show("clusters/prod-eu/apps/shop/flags.yaml", &branch), content);
    assert_eq!(
        server.upstream.git(&["diff", "--name-only", "main", &branch]).trim(),
        "clusters/prod-eu/apps/shop/flags.yaml",
        "nothing else is written"
    );
    assert_eq!(job["draft"]["turns"], 4);

    let lines = server.at().get(&format!("/jobs/{id}/logs"));
    let gave: Vec<&str> =
        lines.as_array().expect("lines").iter().filter(|line| line["kind"] == "gave").filter_map(|line| line["text"].as_str()).collect();
    assert!(gave[0].contains("namespace") && gave[0].contains("It does not render"), "which parameters there are: {}", gave[0]);
    assert!(gave[1].contains("config-mapp") && gave[1].contains("It does not render"), "{}", gave[1]);
    assert!(gave[2].contains("kind: ConfigMap") && gave[2].contains("colour: green"), "{}", gave[2]);
    assert!(!gave[2].contains("hunter2"), "what it gives passes the same withholding as a file: {}", gave[2]);
    let offered = llm.ledger()[0].body["tools"].to_string();
    assert!(offered.contains("render_template") && offered.contains("config-map ("), "{offered}");
}

#[test]
fn a_model_that_refuses_ends_the_draft_with_its_words_and_without_a_pull_request() {
    for (said, told) in [
        (Said::text("").refusing("I cannot help with <b>that</b>, @octocat.").ended("stop"), "I cannot help with that, octocat."),
        (Said::text("").ended("content_filter"), "The model, or its provider, refused to answer."),
        // What it proposes in the same breath is no answer either.
        (Said::calls("propose_change", scale(4)).refusing("No.").ended("stop"), "No."),
    ] {
        let llm = FakeLlm::start();
        llm.says(said);
        let mut server = prepare(&llm);
        server.edit_resource("anything.yaml", |_| AUTOMATION.to_owned());
        server.run();
        let id = start(&server, "Scale the front end of shop to four");
        let job = job_is(&server, &id, "unchanged");
        let message = job["message"].as_str().expect("a message");
        assert!(message.contains("proposes no change") && message.contains(told), "{message}");
        assert_eq!((&job["draft"]["state"], &job["pull"]), (&json!("declined"), &Value::Null));
        assert_eq!((llm.ledger().len(), server.at().all("/pulls").len()), (1, 0), "it is not asked twice");
        assert!(super::branches(&server.upstream).is_empty());
    }
}
