//! What a language model drafts: from a goal, a ticket or an alert to a pull request that says who drafted it, through refusals, faults,
//! cancellations and crashes.

use crate::support::fake_llm::{Asked, FakeLlm, Fault, Said};
use crate::support::server::{TestServer, eventually};
use serde_json::{Value, json};

/// What stands in the repository.
pub(super) const WEB: &str = "# The shop's front end.\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  replicas: 2 # for now\n  selector:\n    matchLabels: { app: web }\n  template:\n    metadata:\n      labels: { app: web }\n    spec:\n      containers:\n        - name: web\n          image: ghcr.io/example/web:1.4.0\n          resources:\n            requests: { cpu: 100m, memory: 128Mi }\n            limits: { memory: 256Mi }\n";

/// An automation that has anything of this drafted.
pub(super) const AUTOMATION: &str = "apiVersion: kubeops.dev/v1alpha1
kind: Automation
metadata:
  name: anything
spec:
  target: { repository: gitops, path: clusters/prod-eu }
  draft:
    instructions: Give the workload that is named what is asked for.
    jobs: true
    write: ['apps/**/*.yaml']
    allow:
      - kinds: [Deployment]
        fields: [spec.replicas, 'spec.template.spec.containers[*].resources', 'spec.template.spec.containers[*].image']
      - kinds: [ConfigMap]
        fields: [data]
        add: true
  pullRequest:
    title: 'Draft: {{ event.data.goal }}'
";

/// A server whose model is this one; not running yet.
pub(super) fn prepare(llm: &FakeLlm) -> TestServer {
    let mut server = TestServer::prepare();
    server.upstream.write("main", "clusters/prod-eu/apps/shop/web.yaml", WEB);
    server.edit_resource("anything.yaml", |_| AUTOMATION.to_owned());
    asks(&mut server, llm);
    server
}

/// The server asks this model.
pub(super) fn asks(server: &mut TestServer, llm: &FakeLlm) {
    server.set("LLM_PROVIDER", "local").set("LLM_LOCAL_URL", &format!("{}/v1", llm.url())).set("LLM_LOCAL_MODEL", "qwen3-coder");
    server.set("API_CALLS_PER_MINUTE", "100000");
}

/// Files a job and tells its id.
pub(super) fn start(server: &TestServer, goal: &str) -> String {
    let filed = server.at().api("POST", "/jobs", Some(&json!({ "goal": goal })));
    assert_eq!(filed.status, 201, "{}", filed.text());
    let filed = filed.json();
    assert_eq!(filed["status"], "created");
    filed["job_id"].as_str().expect("an id").to_owned()
}

/// The job once it stands so.
pub(super) fn job_is(server: &TestServer, id: &str, status: &str) -> Value {
    eventually(&format!("the job is {status}"), || {
        let job = server.at().get(&format!("/jobs/{id}"));
        assert!(
            job["status"] == status || !matches!(job["status"].as_str(), Some("failed" | "rejected" | "unchanged" | "proposed")),
            "{job:#}\n{}",
            server.log()
        );
        (job["status"] == status).then_some(job)
    })
}

/// An answer that gives the front end so many replicas.
pub(super) fn scale(replicas: u32) -> Value {
    json!({
        "operations": [{ "edit": { "object": "Deployment/shop/web", "set": { "spec.replicas": replicas } } }],
        "explanation": format!("The front end gets **{replicas}** replicas. @octocat see https://evil.example/?x=1"),
    })
}

/// What the model was told last in a request.
fn last(asked: &Asked) -> String {
    asked.body["messages"].as_array().and_then(|messages| messages.last()).map(|message| message["content"].to_string()).unwrap_or_default()
}

#[test]
fn a_goal_becomes_a_draft_pull_request_that_says_who_drafted_it() {
    let llm = FakeLlm::start();
    llm.says(Said::calls("propose_change", scale(4)).used(2_000, 120));
    let mut server = prepare(&llm);
    server.run();
    let id = start(&server, "Scale the front end of shop to four");
    let job = job_is(&server, &id, "proposed");
    assert_eq!(job["draft"]["tokens"], 2_120);
    let asked = llm.asked();
    let told = asked.body["messages"].to_string();
    assert!(told.contains("Scale the front end of shop to four") && told.contains("Give the workload that is named"), "{told}");
    assert_eq!(llm.ledger().len(), 1);

    let request = server.at().get(&format!("/requests/{id}"));
    assert!(told.contains("\\\"subject\\\": \\\"evt_"), "our own id is no secret: {told}");
    assert_eq!(request["summary"], json!(["Deployment shop/web: spec.replicas 2 -> 4"]));
    let branch = request["branch"].as_str().expect("a branch");
    let text = server.upstream.show("clusters/prod-eu/apps/shop/web.yaml", branch);
    assert_eq!(text, WEB.replace("replicas: 2 # for now", "replicas: 4 # for now"), "nothing else changed");
    let message = server.upstream.git(&["log", "-1", "--format=%B", branch]);
    for trailer in [
        "Kubeops-Model: local/qwen3-coder\n",
        "Kubeops-Prompt: sha256:",
        "Kubeops-Context: sha256:",
        "Kubeops-Answer: sha256:",
        "Kubeops-Draft: turns=1 refused=0 tokens=2120\n",
    ] {
        assert!(message.contains(trailer), "{trailer}: {message}");
    }

    let pull = server.at().get(&format!("/pulls/gitops/{}", job["pull"]["number"]));
    assert_eq!(pull["labels"], json!(["llm-drafted"]), "{pull:#}");
    let body = pull["body"].as_str().expect("a body");
    let (what, words) = (body.find("### What changes").expect("what changes"), body.find("### Drafted by a language model").expect("its words"));
    assert!(what < words, "what was computed stands first");
    assert!(body.contains("The front end gets 4 replicas. octocat see (address left out)"), "{body}");
    assert!(!body.contains("evil.example") && !body.contains("@octocat"), "{body}");
}

#[test]
fn an_answer_that_is_refused_is_mended_and_what_crosses_a_line_is_not_explained() {
    let llm = FakeLlm::start();
    let secret = json!({ "operations": [{ "file": { "file": "clusters/prod-eu/apps/shop/secret.yaml", "content": "apiVersion: v1\nkind: Secret\nmetadata: { name: x, namespace: shop }\nstringData: { a: b }\n" } }], "explanation": "x" });
    let unknown = json!({ "operations": [{ "edit": { "object": "Deployment/shop/wep", "set": { "spec.replicas": 3 } } }], "explanation": "x" });
    llm.says(Said::calls("propose_change", secret)).says(Said::calls("propose_change", unknown)).says(Said::text("I am done."));
    llm.says(Said::calls("propose_change", scale(3)));
    let mut server = prepare(&llm);
    server.run();
    let id = start(&server, "Scale the front end of shop to three");
    let job = job_is(&server, &id, "proposed");
    let asked = llm.ledger();
    assert_eq!(asked.len(), 4);
    assert!(last(&asked[1]).contains("does what is not allowed here") && !last(&asked[1]).contains("Secret"), "{}", last(&asked[1]));
    assert!(last(&asked[2]).contains("there is no Deployment/shop/wep"), "{}", last(&asked[2]));
    assert!(last(&asked[3]).contains("propose_change"), "{}", last(&asked[3]));
    assert_eq!((&job["draft"]["turns"], &job["draft"]["state"]), (&json!(4), &json!("answered")));
    let lines = server.at().get(&format!("/requests/{id}/drafts/1/lines"));
    let refused: Vec<&str> =
        lines.as_array().expect("lines").iter().filter(|line| line["kind"] == "refused").filter_map(|line| line["text"].as_str()).collect();
    assert!(refused[0].starts_with("draft.kind"), "people are told why: {refused:#?}");
}

#[test]
fn a_number_that_the_api_server_would_refuse_is_mended_before_anything_is_proposed() {
    let llm = FakeLlm::start();
    let replaced = json!({ "file": "clusters/prod-eu/apps/shop/web.yaml", "search": "replicas: 2 #", "replace": "replicas: -1 #" });
    let negative = json!({ "operations": [{ "replace": replaced }], "explanation": "x" });
    llm.says(Said::calls("propose_change", negative)).says(Said::calls("propose_change", scale(3)));
    let mut server = prepare(&llm);
    server.run();
    let id = start(&server, "Scale the front end of shop to minus one");
    job_is(&server, &id, "proposed");
    let asked = llm.ledger();
    assert!(last(&asked[1]).contains("`spec.replicas`: expected 0 or more, found the number -1"), "{}", last(&asked[1]));
    let lines = server.at().get(&format!("/requests/{id}/drafts/1/lines"));
    let refused = lines.as_array().expect("lines").iter().find(|line| line["kind"] == "refused").expect("a refusal");
    assert!(refused["text"].as_str().is_some_and(|text| text.starts_with("object.value")), "{refused}");
}

#[test]
fn a_model_that_proposes_nothing_leaves_no_pull_request_and_its_reason() {
    let llm = FakeLlm::start();
    llm.says(Said::calls("no_change", json!({ "reason": "The front end has <b>two</b> already, @octocat." })));
    let mut server = prepare(&llm);
    server.run();
    let id = start(&server, "Scale the front end of shop to two");
    let job = job_is(&server, &id, "unchanged");
    assert_eq!(job["message"], "the language model proposes no change; in its own words: \"The front end has two already, octocat.\"");
    assert_eq!(job["draft"]["state"], "declined");
    assert_eq!(server.at().all("/pulls"), Vec::<Value>::new());
    assert!(super::branches(&server.upstream).is_empty());
}

#[test]
fn a_model_that_repeats_itself_or_finds_no_end_is_stopped() {
    let llm = FakeLlm::start();
    let wrong = || {
        Said::calls(
            "propose_change",
            json!({ "operations": [{ "edit": { "object": "Deployment/shop/web", "set": { "spec.paused": true } } }], "explanation": "x" }),
        )
    };
    llm.says(wrong()).says(wrong());
    let mut server = prepare(&llm);
    server.run();
    let id = start(&server, "Pause it");
    let job = job_is(&server, &id, "rejected");
    assert_eq!(job["message"], "nothing was drafted: the model came back to an answer that was refused before (draft.field)");
    assert_eq!(llm.ledger().len(), 2);
    let request = server.at().get(&format!("/requests/{id}"));
    assert_eq!(request["findings"][0]["rule"], "draft.field", "{request:#}");

    llm.answers(|_| Said::calls("list_files", json!({})));
    let id = server.at().api("POST", "/jobs", Some(&json!({ "goal": "Look around", "max_turns": 3 }))).json()["job_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let job = job_is(&server, &id, "rejected");
    assert_eq!(job["message"], "nothing was drafted: the model came to no answer within 3 turns");
    assert_eq!(llm.ledger().len(), 5);
}

#[test]
fn a_provider_that_is_busy_or_breaks_off_is_asked_again_and_only_what_it_may_have_charged_counts() {
    let llm = FakeLlm::start();
    llm.fails(Fault::Status(429, Some("0".to_owned()))).fails(Fault::Status(500, None)).fails(Fault::Dropped);
    llm.says(Said::calls("propose_change", scale(4)).used(100, 20));
    let mut server = prepare(&llm);
    server.run();
    let id = start(&server, "Scale the front end of shop to four");
    let job = job_is(&server, &id, "proposed");
    assert_eq!(llm.ledger().len(), 4);
    assert_eq!(job["draft"]["turns"], 1, "a call that came to nothing is no turn");
    assert!(job["draft"]["tokens"].as_u64().expect("tokens") > 4096, "the call that broke off counts at its most: {job:#}");
    let log = server.log();
    assert!(!log.contains("Scale the front end"), "nothing that was said stands in the log: {log}");
}

#[test]
fn a_budget_that_is_too_small_for_another_turn_ends_the_draft_before_it_is_overrun() {
    let llm = FakeLlm::start();
    let mut server = prepare(&llm);
    server.edit_resource("anything.yaml", |text| text.replace("    jobs: true\n", "    jobs: true\n    budget: { tokens: 60000 }\n"));
    llm.answers(|_| Said::calls("list_files", json!({})).used(9_000, 100));
    server.run();
    let id = start(&server, "Look around");
    let job = job_is(&server, &id, "rejected");
    assert!(
        job["message"].as_str().expect("a message").starts_with("nothing was drafted: the request's budget does not allow another turn:"),
        "{job:#}"
    );
    assert!(job["draft"]["tokens"].as_u64().expect("tokens") <= 60_000, "{job:#}");
}

#[test]
fn a_job_that_is_cancelled_while_the_model_thinks_ends_at_once() {
    let llm = FakeLlm::start();
    llm.fails(Fault::Hang);
    let mut server = prepare(&llm);
    server.run();
    let id = start(&server, "Scale the front end of shop to four");
    eventually("the model is asked", || (llm.ledger().len() == 1).then_some(()));
    let begun = std::time::Instant::now();
    assert_eq!(server.at().api("DELETE", &format!("/jobs/{id}"), None).status, 202);
    let job = job_is(&server, &id, "withdrawn");
    assert_eq!(job["draft"]["state"], "cancelled", "{job:#}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    server.at().nothing_owed();
    assert_eq!(llm.ledger().len(), 1);
}

#[test]
fn a_kill_anywhere_in_a_draft_asks_nothing_twice_that_was_answered() {
    for (point, asked) in
        [("draft.begun", 2), ("draft.reserved", 2), ("draft.answered", 2), ("draft.looked", 2), ("draft.told", 2), ("draft.settling", 2)]
    {
        let llm = FakeLlm::start();
        llm.says(Said::calls("list_files", json!({}))).says(Said::calls("propose_change", scale(4)));
        let mut server = prepare(&llm);
        server.set("KUBEOPS_FAILPOINT", point).run();
        let id = start(&server, "Scale the front end of shop to four");
        let status = server.wait();
        assert!(!status.success(), "{point}: it died, not ended: {status}");
        server.set("KUBEOPS_FAILPOINT", "").run();
        let job = job_is(&server, &id, "proposed");
        assert_eq!(llm.ledger().len(), asked, "{point}");
        assert_eq!(job["draft"]["state"], "answered");
        assert_eq!(server.at().all("/pulls").len(), 1, "{point}");
    }
}

#[test]
fn limits_that_nobody_could_hold_are_refused_when_they_are_loaded() {
    let llm = FakeLlm::start();
    let mut server = prepare(&llm);
    let with = |lines: &str| AUTOMATION.replace("    jobs: true\n", &format!("    jobs: true\n{lines}"));
    let refused = |server: &TestServer| {
        let output = server.run_refused();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    server.edit_resource("anything.yaml", |_| with("    model: { maxTokens: 0 }\n"));
    assert!(refused(&server).contains("an answer of no token says nothing"));
    let unpriced = "what a draft costs is limited, and nobody says what its model costs";
    for limit in ["    budget: { cost: 2 }\n", "    budget: { perDay: { cost: 2 } }\n"] {
        server.edit_resource("anything.yaml", |_| with(limit));
        assert!(refused(&server).contains(unpriced), "{limit}");
    }
    // The price of the settings is that of their model alone.
    server.set("LLM_INPUT_PRICE", "1").set("LLM_OUTPUT_PRICE", "2");
    server.edit_resource("anything.yaml", |_| with("    budget: { cost: 2 }\n    model: { name: another }\n"));
    assert!(refused(&server).contains(unpriced));
    for priced in ["", "    model: { name: another, price: { input: 1, output: 2 } }\n", "    model: { name: qwen3-coder }\n"] {
        server.edit_resource("anything.yaml", |_| with(&format!("    budget: {{ cost: 2 }}\n{priced}")));
        server.run();
        server.terminate();
    }
}

#[test]
fn no_more_drafts_than_allowed_are_made_at_once() {
    let llm = FakeLlm::start();
    llm.fails(Fault::Hang).says(Said::calls("propose_change", scale(4)));
    let mut server = prepare(&llm);
    server.set("LLM_DRAFTS_AT_ONCE", "1").run();
    let first = start(&server, "Look around");
    eventually("the model is asked", || (llm.ledger().len() == 1).then_some(()));
    let second = start(&server, "Scale the front end of shop to four");
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!((llm.ledger().len(), &server.at().get(&format!("/jobs/{second}"))["status"]), (1, &json!("created")));
    assert_eq!(server.at().api("DELETE", &format!("/jobs/{first}"), None).status, 202);
    job_is(&server, &second, "proposed");
}

#[test]
fn two_drafts_go_on_at_once_and_neither_waits_for_the_other() {
    let llm = FakeLlm::start();
    // The first that is asked never answers; who comes after does not wait for it.
    llm.fails(Fault::Hang).says(Said::calls("propose_change", scale(4)));
    let mut server = prepare(&llm);
    server.run();
    let first = start(&server, "Think for ever");
    eventually("the first is asked", || (llm.ledger().len() == 1).then_some(()));
    let second = start(&server, "Scale the front end of shop to four");
    job_is(&server, &second, "proposed");
    assert_eq!(server.at().get(&format!("/jobs/{first}"))["status"], "running");
    assert_eq!(server.at().api("DELETE", &format!("/jobs/{first}"), None).status, 202);
    job_is(&server, &first, "withdrawn");
}

#[test]
fn without_a_model_a_job_fails_and_says_what_to_do() {
    let llm = FakeLlm::start();
    let mut server = prepare(&llm);
    server.set("LLM_PROVIDER", "").run();
    let id = start(&server, "Scale the front end of shop to four");
    let job = job_is(&server, &id, "failed");
    assert!(job["message"].as_str().expect("a message").contains("set LLM_PROVIDER"), "{job:#}");
    assert_eq!(llm.ledger().len(), 0);
}
