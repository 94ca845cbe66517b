//! What bounds a draft: its time, its repairs and its budget; and what stays out of the log.

use super::drafted::{AUTOMATION, job_is, prepare, scale, start};
use crate::support::fake_llm::{FakeLlm, Fault, Said};
use crate::support::server::eventually;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn the_time_a_draft_may_take_ends_a_call_that_is_under_way() {
    let llm = FakeLlm::start();
    llm.fails(Fault::Hang);
    let mut server = prepare(&llm);
    server.edit_resource("anything.yaml", |_| AUTOMATION.replace("    jobs: true\n", "    jobs: true\n    timeout: 2s\n"));
    server.run();
    let begun = Instant::now();
    let id = start(&server, "Scale the front end of shop to four");
    let job = job_is(&server, &id, "rejected");
    assert!(begun.elapsed() < Duration::from_secs(60), "a call may take 120 s, and the draft 2: {:?}", begun.elapsed());
    assert_eq!(job["message"], "nothing was drafted: the model came to no answer within 2s");
    assert!(job["draft"]["tokens"].as_u64() > Some(1_000), "what was under way counts at its most: {job:#}");
}

#[test]
fn an_answer_is_mended_three_times_and_not_once_more() {
    let llm = FakeLlm::start();
    for number in 0..5 {
        let set = json!({ format!("spec.template.spec.x{number}"): 1 });
        let answer = json!({ "operations": [{ "edit": { "object": "Deployment/shop/web", "set": set } }], "explanation": "x" });
        llm.says(Said::calls("propose_change", answer));
    }
    let mut server = prepare(&llm);
    server.run();
    let id = start(&server, "Scale the front end of shop to four");
    let job = job_is(&server, &id, "rejected");
    assert_eq!(job["message"], "nothing was drafted: the model mended its answer 3 times, and it is still refused (draft.field)");
    let shown = server.cli(&["jobs", "show", &id]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("still refused (draft.field)"), "{}", String::from_utf8_lossy(&shown.stdout));
    assert_eq!(llm.ledger().len(), 4);
    let followed = server.cli(&["jobs", "logs", &id, "--follow"]);
    assert_eq!(followed.status.code(), Some(3), "{}", String::from_utf8_lossy(&followed.stdout));
}

#[test]
fn a_provider_that_is_not_there_uses_up_no_budget() {
    let llm = FakeLlm::start();
    llm.says(Said::calls("propose_change", scale(4)));
    let mut server = prepare(&llm);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/v1", nobody.local_addr().expect("an address"));
    drop(nobody);
    // Of one call at its most there is room, of two there is not.
    server.set("LLM_LOCAL_URL", &address).set("LLM_MAX_TOKENS", "20000").set("LLM_TOKENS_PER_DAY", "60000").run();
    let id = start(&server, "Scale the front end of shop to four");
    eventually("three calls found nobody", || (server.log().matches("a step failed and is tried again").count() >= 3).then_some(()));
    assert!(server.log().contains("cannot be reached"), "{}", server.log());
    // Not told while it is being tried.
    let waits = eventually("it is told why the job waits", || server.at().get(&format!("/jobs/{id}"))["waits"].as_str().map(str::to_owned));
    assert!(waits.starts_with("tried ") && waits.contains("cannot be reached"), "{waits}");
    let shown = || String::from_utf8_lossy(&server.cli(&["jobs", "show", &id]).stdout).into_owned();
    eventually("the shell tells it too", || shown().contains("waits:      tried ").then_some(()));
    let lines = server.at().get(&format!("/jobs/{id}/logs"));
    let asked = lines.as_array().expect("lines").iter().filter(|line| line["kind"] == "asked").count();
    assert_eq!(asked, 1, "one turn is tried, however often: {lines:#}");
    assert_eq!(server.at().get(&format!("/jobs/{id}"))["draft"]["turns"], 0, "the model took none");
    assert!(server.terminate().success());
    server.set("LLM_LOCAL_URL", &format!("{}/v1", llm.url())).run();
    assert!(server.cli(&["requests", "retry", &id]).status.success());
    job_is(&server, &id, "proposed");
}

#[test]
fn a_models_words_stand_in_no_line_of_the_log() {
    let llm = FakeLlm::start();
    llm.says(Said::text("canary-said").and_calls("no_change", json!({ "reason": "canary-reason of Jane Doe" })));
    let mut answer = scale(4);
    answer["explanation"] = json!("canary-explanation");
    llm.says(Said::text("canary-said").and_calls("propose_change", answer));
    let mut server = prepare(&llm);
    server.run();
    let declined = start(&server, "Scale the front end of shop to four");
    let job = job_is(&server, &declined, "unchanged");
    assert!(job["message"].as_str().expect("a message").contains("canary-reason"), "people are told: {job:#}");
    let id = start(&server, "Scale the front end of shop to four, again");
    job_is(&server, &id, "proposed");
    let log = server.log();
    assert!(log.contains("the language model proposes no change"), "{log}");
    assert!(!log.contains("canary-"), "{}", log.lines().find(|line| line.contains("canary-")).unwrap_or_default());
}

#[test]
fn a_draft_that_its_provider_refuses_has_failed_and_says_why_and_nobody_cancelled_it() {
    let llm = FakeLlm::start();
    llm.fails(Fault::Status(404, None));
    let mut server = prepare(&llm);
    server.run();
    let id = start(&server, "Scale the front end of shop to four");
    let job = job_is(&server, &id, "failed");
    assert_eq!((&job["draft"]["state"], &job["draft"]["turns"]), (&json!("failed"), &json!(0)), "{job:#}");
    let listed = server.cli(&["drafts", "list", &id]);
    let listed = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.contains("failed") && listed.contains("HTTP 404"), "{listed}");
    // What is mended is drafted anew.
    llm.says(Said::calls("propose_change", scale(4)));
    assert!(server.at().api("POST", &format!("/requests/{id}/retry"), None).status < 300);
    let job = eventually("it is proposed", || {
        let job = server.at().get(&format!("/jobs/{id}"));
        (job["status"] == "proposed").then_some(job)
    });
    assert_eq!((&job["draft"]["number"], &job["draft"]["state"]), (&json!(2), &json!("answered")));
}

#[test]
fn a_draft_that_writes_a_comment_otherwise_says_so_where_it_is_reviewed() {
    let llm = FakeLlm::start();
    let replace =
        json!({ "file": "clusters/prod-eu/apps/shop/web.yaml", "search": "replicas: 2 # for now", "replace": "replicas: 4 # for the sale" });
    llm.says(Said::calls("propose_change", json!({ "operations": [{ "replace": replace }], "explanation": "x" })));
    let mut server = prepare(&llm);
    server.run();
    let id = start(&server, "Scale the front end of shop to four");
    let job = job_is(&server, &id, "proposed");
    let pull = server.at().get(&format!("/pulls/gitops/{}", job["pull"]["number"]));
    let body = pull["body"].as_str().expect("a body");
    assert!(body.contains("clusters/prod-eu/apps/shop/web.yaml") && body.contains("1 comment line changed"), "{body}");
}
