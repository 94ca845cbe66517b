//! Revisions when something comes between: the base moves, the model is another one, its provider is away, or there were too many.
//! Whatever it is, what is proposed stays, and nobody is asked without end.

use super::drafted::{AUTOMATION, WEB, job_is, prepare, scale, start};
use crate::support::fake_llm::{FakeLlm, Fault, Said};
use crate::support::server::{TestServer, eventually};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const FILE: &str = "clusters/prod-eu/apps/shop/web.yaml";

fn set(object: &str, field: &str, value: Value) -> Said {
    Said::calls("propose_change", json!({ "operations": [{ "edit": { "object": object, "set": { field: value } } }], "explanation": "Done." }))
}

fn memory(limit: &str) -> Said {
    set("Deployment/shop/web", "spec.template.spec.containers[name=web].resources.limits.memory", json!(limit))
}

/// A drafted request that is proposed.
fn proposed(server: &TestServer) -> String {
    let id = start(server, "Scale the front end of shop to four");
    job_is(server, &id, "proposed");
    server.at().nothing_owed();
    id
}

fn revise(server: &TestServer, id: &str, text: &str) {
    let asked = server.at().api("POST", &format!("/requests/{id}/revise"), Some(&json!({ "text": text })));
    assert_eq!(asked.status, 202, "{}", asked.text());
}

fn show(server: &TestServer, id: &str) -> Value {
    server.at().get(&format!("/requests/{id}"))
}

/// Until the request is proposed with this on its branch and nothing is owed.
fn once_there(server: &TestServer, id: &str, text: &str) -> String {
    eventually(text, || {
        let request = show(server, id);
        let there = request["state"] == "proposed" && server.upstream.show(FILE, request["branch"].as_str().expect("a branch")).contains(text);
        assert!(there || !matches!(request["state"].as_str(), Some("rejected" | "failed" | "unchanged")), "{request:#}");
        there.then_some(())
    });
    server.at().nothing_owed();
    on_branch(server, id)
}

/// What the branch has of the front end once the request's timeline says this and nothing is owed.
fn once_told(server: &TestServer, id: &str, said: &str) -> String {
    eventually(said, || show(server, id)["timeline"].to_string().contains(said).then_some(()));
    server.at().nothing_owed();
    on_branch(server, id)
}

fn on_branch(server: &TestServer, id: &str) -> String {
    let request = show(server, id);
    assert_eq!(request["state"], "proposed", "{request:#}");
    assert_eq!(server.at().get(&format!("/pulls/gitops/{}", request["pull"]["number"]))["state"], "open");
    server.upstream.show(FILE, request["branch"].as_str().expect("a branch"))
}

#[test]
fn a_base_on_which_a_revised_draft_does_not_fit_any_more_has_it_drafted_once_with_every_wish() {
    let llm = FakeLlm::start();
    llm.says(Said::calls("propose_change", scale(4)));
    let mut server = prepare(&llm);
    server.set("OBSERVE_SECONDS", "1").run();
    let id = proposed(&server);
    llm.says(memory("512Mi"));
    revise(&server, &id, "and give it 512Mi");
    once_there(&server, &id, "memory: 512Mi");

    let object = "Deployment/shop/storefront";
    llm.says(Said::calls(
        "propose_change",
        json!({ "operations": [{ "edit": { "object": object, "set": {
            "spec.replicas": 4, "spec.template.spec.containers[name=web].resources.limits.memory": "512Mi" } } }], "explanation": "Both." }),
    ));
    server.upstream.write("main", FILE, &WEB.replacen("name: web", "name: storefront", 1));
    let text = once_there(&server, &id, "name: storefront");
    assert!(text.contains("replicas: 4") && text.contains("memory: 512Mi"), "{text}");
    assert_eq!(llm.ledger().len(), 3, "once for the draft, once for the wish, once for the new base");
    let told = llm.asked().body["messages"].to_string();
    assert!(told.contains("does not fit the repository any more") && told.contains("and give it 512Mi"), "{told}");
}

#[test]
fn a_revision_that_another_model_goes_on_with_is_a_revision_of_the_same_draft() {
    let llm = FakeLlm::start();
    llm.says(Said::calls("propose_change", scale(4)));
    let mut server = prepare(&llm);
    server.run();
    let id = proposed(&server);
    llm.says(Said::calls("list_files", json!({}))).fails(Fault::Hang);
    revise(&server, &id, "and give it 512Mi");
    eventually("the first model is at it", || (llm.ledger().len() == 3).then_some(()));
    server.kill();
    llm.says(memory("512Mi"));
    server.set("LLM_LOCAL_MODEL", "another-model").run();
    let text = once_there(&server, &id, "memory: 512Mi");
    assert!(text.contains("replicas: 4"), "it goes on from the draft there is: {text}");
    assert_eq!(llm.ledger().len(), 4, "the other model is asked once");
    let asked = llm.asked();
    let told = asked.body["messages"].to_string();
    assert_eq!(asked.body["model"], "another-model");
    assert!(told.contains("There is a draft already") && told.contains("and give it 512Mi") && !told.contains("does not fit"), "{told}");

    // One that declines leaves what is proposed.
    llm.fails(Fault::Hang);
    revise(&server, &id, "is this right?");
    eventually("it is asked", || (llm.ledger().len() == 5).then_some(()));
    server.kill();
    llm.says(Said::calls("no_change", json!({ "reason": "It is." })));
    server.set("LLM_LOCAL_MODEL", "a-third-model").run();
    let after = once_told(&server, &id, "the language model did not revise it; in its own words: \\\"It is.\\\"");
    let timeline = show(&server, &id)["timeline"].to_string();
    assert!(
        timeline.contains("to be revised by the language model: \\\"is this right?\\\"") && timeline.contains("it was revised: computed again"),
        "{timeline}"
    );
    assert_eq!(after, text);
}

#[test]
fn a_kill_anywhere_in_a_revision_asks_nothing_twice_that_was_answered() {
    for point in ["draft.begun", "draft.reserved", "draft.answered", "draft.told", "draft.settling"] {
        let llm = FakeLlm::start();
        llm.says(Said::calls("propose_change", scale(4)));
        let mut server = prepare(&llm);
        server.run();
        let id = proposed(&server);
        assert!(server.terminate().success());
        llm.says(Said::calls("list_files", json!({}))).says(memory("512Mi"));
        server.set("KUBEOPS_FAILPOINT", point).run();
        revise(&server, &id, "and give it 512Mi");
        assert!(!server.wait().success(), "{point}: it died");
        server.set("KUBEOPS_FAILPOINT", "").run();
        let text = once_there(&server, &id, "memory: 512Mi");
        assert!(text.contains("replicas: 4"), "{point}: {text}");
        assert_eq!(llm.ledger().len(), 3, "{point}");
    }
}

#[test]
fn a_provider_that_refuses_a_revision_leaves_what_is_proposed_and_the_next_wish_is_heard() {
    let llm = FakeLlm::start();
    llm.says(Said::calls("propose_change", scale(4)));
    let mut server = prepare(&llm);
    server.set("TASK_MAX_ATTEMPTS", "2").run();
    let id = proposed(&server);
    llm.fails(Fault::Status(401, None));
    revise(&server, &id, "and give it 512Mi");
    let text = once_told(&server, &id, "it was not revised: the model at ");
    assert!(text.contains("memory: 256Mi"), "{text}");
    assert!(show(&server, &id)["timeline"].to_string().contains("refuses the call: HTTP 401"));

    // One that is away for longer is a matter of its own: what was wished for is not lost.
    llm.fails(Fault::Dropped).fails(Fault::Dropped);
    revise(&server, &id, "and give it 1Gi");
    once_told(&server, &id, "`kubeops requests retry");
    llm.says(memory("1Gi"));
    let again = server.cli(&["requests", "retry", &id]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    once_there(&server, &id, "memory: 1Gi");
    let told = llm.asked().body["messages"].to_string();
    assert!(told.contains("and give it 1Gi"), "{told}");
}

#[test]
fn wishes_beyond_the_limit_are_refused_and_drafts_beyond_theirs_leave_what_is_proposed() {
    let llm = FakeLlm::start();
    let name = Arc::new(Mutex::new("web".to_owned()));
    let theirs = Arc::clone(&name);
    llm.answers(move |asked| match asked.body["messages"].to_string().contains("There is a draft already") {
        true => Said::calls("no_change", json!({ "reason": "It is as it should be." })).used(2_000, 120),
        false => set(&format!("Deployment/shop/{}", theirs.lock().expect("a name")), "spec.replicas", json!(4)).used(2_000, 120),
    });
    let mut server = prepare(&llm);
    server.edit_resource("anything.yaml", |_| AUTOMATION.replace("    jobs: true\n", "    jobs: true\n    maxRevisions: 15\n"));
    server.set("OBSERVE_SECONDS", "1").run();
    let id = proposed(&server);
    for wish in 1..=14 {
        revise(&server, &id, "is this right?");
        eventually("the model was asked", || (llm.ledger().len() == wish + 1).then_some(()));
        server.at().nothing_owed();
    }
    for number in 1..=5 {
        let renamed = format!("web-{number}");
        name.lock().expect("a name").clone_from(&renamed);
        server.upstream.write("main", FILE, &WEB.replacen("name: web", &format!("name: {renamed}"), 1));
        once_there(&server, &id, &format!("name: {renamed}"));
    }
    assert_eq!(llm.ledger().len(), 20);
    let before = on_branch(&server, &id);
    revise(&server, &id, "one more");
    assert_eq!(once_told(&server, &id, "it was not revised: it was drafted 20 times already"), before);
    assert_eq!(llm.ledger().len(), 20, "no model is asked");
    let refused = server.at().api("POST", &format!("/requests/{id}/revise"), Some(&json!({ "text": "and another" })));
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("it was revised 15 times, as often as `draft.maxRevisions` allows"), "{}", refused.text());
}
