//! What is said with a model is recorded, and played again in the model's place: the same request comes to the same answer with nobody to ask.

use super::drafted::{job_is, prepare, scale, start};
use crate::support::fake_llm::{FakeLlm, Said};
use crate::support::server::{TestServer, eventually};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const SECRET: &str = "clusters/prod-eu/apps/shop/secret.yaml";
/// In the repository's Secret.
const CANARY: &str = "horse-Battery-canary-7";
/// In the model's own words.
const TOKEN: &str = "glpat-Hj5Fd3Sa8Gk2Lp9Qw4Er";

fn server_with(llm: &FakeLlm, name: &str, cassette: &Path) -> TestServer {
    let mut server = prepare(llm);
    let secret = format!("apiVersion: v1\nkind: Secret\nmetadata: {{ name: web, namespace: shop }}\nstringData:\n  a: {CANARY}\n");
    server.upstream.write("main", SECRET, &secret);
    server.set(name, cassette.to_str().expect("UTF-8")).run();
    server
}

fn answers(server: &TestServer, id: &str) -> Value {
    server.at().get(&format!("/requests/{id}/drafts"))[0]["digests"]["answer"].clone()
}

#[test]
fn a_draft_that_was_recorded_is_drafted_again_from_the_cassette_alone_and_what_it_does_not_hold_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    let cassette = directory.path().join("said.jsonl");
    let llm = FakeLlm::start();
    llm.says(Said::text(&format!("The token {TOKEN} stands in my way.")).and_calls("read_file", json!({ "file": SECRET })));
    llm.says(Said::calls("propose_change", scale(4)));
    let first = server_with(&llm, "LLM_RECORD", &cassette);
    let id = start(&first, "Scale the front end of shop to four");
    job_is(&first, &id, "proposed");
    let (answer, summary) = (answers(&first, &id), first.at().get(&format!("/requests/{id}"))["summary"].clone());
    assert!(answer.is_string(), "{answer}");
    let text = std::fs::read_to_string(&cassette).expect("the cassette");
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains("Scale the front end of shop to four") && text.contains("\u{27e6}withheld:"), "{text}");
    assert!(!text.contains(CANARY) && !text.contains(TOKEN), "{text}");
    assert_eq!(std::fs::metadata(&cassette).expect("the file").permissions().mode() & 0o777, 0o600);
    drop(first);

    // Another server, with other keys for placeholders, other ids and another clock; there is no model.
    let nobody = FakeLlm::start();
    nobody.answers(|_| panic!("nobody is asked"));
    let second = server_with(&nobody, "LLM_CASSETTE", &cassette);
    let id = start(&second, "Scale the front end of shop to four");
    job_is(&second, &id, "proposed");
    assert_eq!((answers(&second, &id), second.at().get(&format!("/requests/{id}"))["summary"].clone()), (answer, summary));
    let other = start(&second, "Scale the front end of shop to five");
    let failed = eventually("it fails", || {
        let request = second.at().get(&format!("/requests/{other}"));
        (request["state"] == "failed").then_some(request)
    });
    let message = failed["message"].as_str().unwrap_or_default();
    assert!(message.contains("has no answer to the exchange") && message.contains("(turn 1 with qwen3-coder of local)"), "{failed:#}");
    assert_eq!(nobody.ledger().len(), 0);
}

#[test]
fn a_cassette_that_is_not_there_or_cannot_be_written_and_one_to_play_and_to_record_at_once_are_refused_at_the_start() {
    let llm = FakeLlm::start();
    let mut server = prepare(&llm);
    let missing = server.place("missing.jsonl").display().to_string();
    let refused = |server: &TestServer| String::from_utf8_lossy(&server.run_refused().stderr).into_owned();
    server.set("LLM_CASSETTE", &missing);
    assert!(refused(&server).contains(&format!("the cassette {missing} cannot be used")), "{}", refused(&server));
    server.set("LLM_RECORD", &missing);
    assert!(refused(&server).contains("LLM_CASSETTE is set as well"), "{}", refused(&server));
    let nowhere = server.place("nowhere/said.jsonl").display().to_string();
    server.set("LLM_CASSETTE", "").set("LLM_RECORD", &nowhere);
    let told = refused(&server);
    assert!(told.contains(&format!("LLM_RECORD cannot be used: the cassette {nowhere} cannot be written")), "{told}");
}
