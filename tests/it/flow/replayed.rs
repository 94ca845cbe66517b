//! A kept draft decided once more: the same course where nothing changed, and the first place where it is another one.

use super::drafted::{job_is, prepare, scale, start};
use crate::support::fake_llm::{FakeLlm, Said};
use crate::support::server::{TestServer, eventually};
use serde_json::{Value, json};

fn replay(server: &TestServer, id: &str, code: i32) -> Value {
    let ran = server.cli(&["drafts", "replay", id, "--output", "json"]);
    assert_eq!(ran.status.code(), Some(code), "{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).expect("JSON")
}

#[test]
fn a_kept_draft_takes_the_same_course_until_the_rules_are_others() {
    let llm = FakeLlm::start();
    let unknown = json!({ "operations": [{ "edit": { "object": "Deployment/shop/wep", "set": { "spec.replicas": 3 } } }], "explanation": "x" });
    llm.says(Said::calls("read_file", json!({ "path": "clusters/prod-eu/apps/shop/web.yaml" })));
    llm.says(Said::calls("propose_change", unknown)).says(Said::calls("propose_change", scale(4)));
    let mut server = prepare(&llm);
    server.set("RESOURCES_RELOAD_SECONDS", "1").run();
    let id = start(&server, "Scale the front end of shop to four");
    job_is(&server, &id, "proposed");
    let kept = server.at().get(&format!("/requests/{id}/drafts"))[0]["digests"]["answer"].clone();

    // The base has moved on since; the draft is decided on the one it was begun on.
    server.upstream.write("main", "clusters/prod-eu/apps/shop/web.yaml", &super::drafted::WEB.replace("replicas: 2", "replicas: 9"));
    let replayed = replay(&server, &id, 0);
    assert_eq!((&replayed["same"], &replayed["turns"], &replayed["answer"]), (&json!(true), &json!(3), &kept), "{replayed:#}");
    assert_eq!((&replayed["difference"], &replayed["begins"]), (&Value::Null, &Value::Null), "{replayed:#}");
    let told = String::from_utf8(server.cli(&["drafts", "replay", &id]).stdout).expect("text");
    assert!(told.starts_with("the same: draft 1, 3 turns, ended as then: the answer "), "{told}");

    server.edit_resource("anything.yaml", |text| text.replace("fields: [spec.replicas, ", "fields: ["));
    let replayed = eventually("it takes another course", || {
        let ran = server.cli(&["drafts", "replay", &id, "--output", "json"]);
        (ran.status.code() == Some(3)).then(|| serde_json::from_slice::<Value>(&ran.stdout).expect("JSON"))
    });
    assert_eq!(replayed["difference"]["turn"], 3, "{replayed:#}");
    assert!(replayed["difference"]["then"].as_str().is_some_and(|then| then.starts_with("the answer ") && then.ends_with(" passed")), "{replayed:#}");
    assert!(replayed["difference"]["now"].as_str().is_some_and(|now| now.contains("draft.field") && now.contains("spec.replicas")), "{replayed:#}");
    assert_eq!(llm.ledger().len(), 3, "the model was not asked");

    let gone = server.cli(&["drafts", "replay", &id, "--draft", "7"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("draft 7"), "{}", String::from_utf8_lossy(&gone.stderr));
}

#[test]
fn what_the_model_would_be_told_otherwise_is_told_and_a_commit_that_is_gone_is_said() {
    let llm = FakeLlm::start();
    llm.says(Said::calls("no_change", json!({ "reason": "It has two already." })));
    let mut server = prepare(&llm);
    server.run();
    let id = start(&server, "Scale the front end of shop to two");
    job_is(&server, &id, "unchanged");
    server.terminate();
    server.edit_resource("anything.yaml", |text| text.replace("Give the workload that is named what is asked for.", "Be careful."));
    server.run();
    let replayed = replay(&server, &id, 0);
    assert_eq!(replayed["ended"], "the model declined: It has two already.");
    assert_eq!((&replayed["begins"]["turn"], &replayed["same"]), (&json!(0), &json!(true)), "{replayed:#}");
    assert!(replayed["begins"].to_string().contains("Be careful."), "{replayed:#}");

    server.terminate();
    let tree = server.upstream.git(&["hash-object", "-t", "tree", "-w", "/dev/null"]);
    let anew = server.upstream.git(&["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit-tree", tree.trim(), "-m", "anew"]);
    server.upstream.git(&["update-ref", "refs/heads/main", anew.trim()]);
    std::fs::remove_dir_all(server.data().join("mirrors")).expect("removed");
    server.run();
    let refused = server.cli(&["drafts", "replay", &id]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() != Some(0) && told.contains("the server's mirror does not hold any more"), "{told}");
}
