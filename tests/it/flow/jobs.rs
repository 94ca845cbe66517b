//! Jobs against the real program: what operators ask in their own words, over the API and with `kubeops jobs` and `kubeops drafts`.

use super::drafted::{AUTOMATION, job_is, prepare, scale, start};
use crate::support::fake_llm::{FakeLlm, Fault, Said};
use crate::support::server::{Answered, PATIENCE, TestServer, call, eventually};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Output;
use std::sync::mpsc;

/// A token of this role.
fn token(server: &TestServer, role: &str) -> String {
    let made = server.cli(&["token", "create", "--name", role, "--role", role]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).expect("UTF-8").trim().to_owned()
}

fn as_somebody(server: &TestServer, token: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answered {
    let bearer = format!("Bearer {token}");
    let all: Vec<(&str, &str)> =
        [("authorization", bearer.as_str()), ("content-type", "application/json")].into_iter().chain(headers.iter().copied()).collect();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    call(server.at().address, method, &format!("/api/v1{path}"), &all, body.as_bytes()).expect("an answer")
}

fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The events of a job's log, each as it arrives: its name and what it says.
fn followed(server: &TestServer, token: &str, id: &str) -> mpsc::Receiver<(String, Value)> {
    let mut stream = TcpStream::connect(server.at().address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let head = format!(
        "GET /api/v1/jobs/{id}/logs HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept: text/event-stream\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let (told, hear) = mpsc::channel();
    std::thread::spawn(move || {
        let mut name = String::new();
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some(event) = line.strip_prefix("event: ") {
                name = event.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ")
                && told.send((name.clone(), serde_json::from_str(data).expect("JSON"))).is_err()
            {
                return;
            }
        }
    });
    hear
}

#[test]
fn a_job_is_followed_line_by_line_while_it_runs_and_to_its_end() {
    let llm = FakeLlm::start();
    llm.says(Said::text("Let me look.").and_calls("list_files", json!({}))).fails(Fault::Hang);
    let mut server = prepare(&llm);
    server.set("LLM_TIMEOUT", "4").run();
    let viewer = token(&server, "viewer");
    let id = start(&server, "Scale the front end of shop to four");
    let events = followed(&server, &viewer, &id);
    // The second answer hangs: what was said in the first is told already.
    let mut seen: Vec<(String, Value)> = Vec::new();
    while !seen.iter().any(|(_, line)| line["kind"] == "gave") {
        seen.push(events.recv_timeout(PATIENCE).expect("a line while it runs"));
    }
    assert!(seen.iter().all(|(name, line)| name == "line" && line["draft"] == 1), "{seen:#?}");
    let said = seen.iter().find(|(_, line)| line["kind"] == "said").expect("what it said");
    assert_eq!(said.1["text"], "Let me look.");
    assert!(server.at().get(&format!("/jobs/{id}"))["status"] == "running");
    llm.says(Said::calls("propose_change", scale(4)));
    seen.extend(std::iter::from_fn(|| events.recv_timeout(PATIENCE).ok()));
    let (last, lines) = seen.split_last().expect("events");
    assert_eq!((last.0.as_str(), &last.1["job_id"]), ("end", &json!(id)));
    assert_eq!(lines.iter().filter(|(name, _)| name == "line").count(), lines.len());
    job_is(&server, &id, "proposed");
    // The same as JSON, to whoever comes later.
    let all = server.at().get(&format!("/jobs/{id}/logs"));
    let told: Vec<&Value> = lines.iter().map(|(_, line)| line).collect();
    assert_eq!(all.as_array().expect("lines").iter().filter(|line| line["kind"] != "system").count() >= 4, true, "{all:#}");
    for line in told {
        assert!(all.as_array().expect("lines").contains(line), "{line:#} in {all:#}");
    }
    let whole: Vec<(String, Value)> = std::iter::from_fn({
        let events = followed(&server, &viewer, &id);
        move || events.recv_timeout(PATIENCE).ok()
    })
    .collect();
    assert_eq!(whole.len(), all.as_array().expect("lines").len() + 1, "a job that is over is told at once");
    assert_eq!(whole.last().expect("an end").1["status"], "proposed");
}

#[test]
fn a_server_that_ends_does_not_wait_for_those_who_follow() {
    let llm = FakeLlm::start();
    llm.fails(Fault::Hang);
    let mut server = prepare(&llm);
    server.run();
    let viewer = token(&server, "viewer");
    let id = start(&server, "Scale the front end of shop to four");
    let events = followed(&server, &viewer, &id);
    eventually("the model is asked", || (llm.ledger().len() == 1).then_some(()));
    events.recv_timeout(PATIENCE).expect("the task");
    let begun = std::time::Instant::now();
    assert_eq!(server.terminate().code(), Some(0));
    // It runs with 20 s for what is under way.
    assert!(begun.elapsed() < std::time::Duration::from_secs(28), "{:?}", begun.elapsed());
}

#[test]
fn whoever_reads_may_read_jobs_and_whoever_operates_may_ask_for_them_once_for_each_key() {
    let llm = FakeLlm::start();
    llm.answers(|_| Said::calls("propose_change", scale(4)));
    let mut server = prepare(&llm);
    server.run();
    let (viewer, operator) = (token(&server, "viewer"), token(&server, "operator"));
    let goal = json!({ "goal": "Scale the front end of shop to four" });
    let forbidden = as_somebody(&server, &viewer, "POST", "/jobs", &[], &goal);
    assert_eq!((forbidden.status, &forbidden.json()["error"]["code"]), (403, &json!("forbidden")));
    let first = as_somebody(&server, &operator, "POST", "/jobs", &[("idempotency-key", "k1")], &goal);
    assert_eq!((first.status, &first.json()["status"]), (201, &json!("created")), "{}", first.text());
    let id = first.json()["job_id"].as_str().expect("an id").to_owned();
    assert_eq!(first.headers["location"], format!("/api/v1/jobs/{id}"));
    let again = as_somebody(&server, &operator, "POST", "/jobs", &[("idempotency-key", "k1")], &goal);
    assert_eq!((again.status, &again.json()["status"], &again.json()["job_id"]), (200, &json!("exists"), &json!(id)));
    job_is(&server, &id, "proposed");
    let ended = as_somebody(&server, &operator, "POST", "/jobs", &[("idempotency-key", "k1")], &goal);
    assert_eq!((ended.status, &ended.json()["job_id"]), (200, &json!(id)), "also once it is proposed");
    let other = as_somebody(&server, &operator, "POST", "/jobs", &[("idempotency-key", "k2")], &goal);
    assert_eq!((other.status, other.json()["job_id"] != json!(id)), (201, true));
    for path in [format!("/jobs/{id}"), "/jobs".to_owned(), format!("/jobs/{id}/logs")] {
        assert_eq!(as_somebody(&server, &viewer, "GET", &path, &[], &Value::Null).status, 200, "{path}");
    }
    assert_eq!(as_somebody(&server, &viewer, "DELETE", &format!("/jobs/{id}"), &[], &Value::Null).status, 403);
    let by: Vec<Value> = server.at().all("/jobs").iter().map(|job| job["by"].clone()).collect();
    assert_eq!(by, ["operator", "operator"]);

    // What is no job is none.
    let absent = server.at().api("GET", "/jobs/req_01kajz0000000000000000000a", None);
    assert_eq!((absent.status, &absent.json()["error"]["code"]), (404, &json!("not_found")));
    let asked = server.at().api("POST", "/automations/anything/requests", Some(&json!({ "correlation": "x" })));
    let request = asked.json()["id"].as_str().expect("a request").to_owned();
    assert_eq!(server.at().api("GET", &format!("/jobs/{request}"), None).status, 404, "a request that nobody asked in words");
    assert!(!server.at().all("/jobs").iter().any(|job| job["job_id"] == json!(request)));
}

#[test]
fn which_automation_takes_a_job_is_told_where_it_is_not_clear() {
    let llm = FakeLlm::start();
    let mut server = prepare(&llm);
    server.edit_resource("second.yaml", |_| AUTOMATION.replace("name: anything", "name: second"));
    server.edit_resource("third.yaml", |_| {
        AUTOMATION
            .replace("name: anything", "name: third")
            .replace("    jobs: true\n", "")
            .replace("  target:", "  on: { source: alertmanager, types: [alert.firing] }\n  target:")
    });
    server.run();
    let ask = |automation: Value| server.at().api("POST", "/jobs", Some(&json!({ "goal": "x", "automation": automation })));
    let message = |answered: &Answered| answered.json()["error"]["message"].as_str().expect("a message").to_owned();
    let several = ask(Value::Null);
    assert_eq!(several.status, 422);
    assert!(message(&several).contains("several automations take jobs, so name one: anything, second"), "{}", several.text());
    let unknown = ask(json!("secnd"));
    assert_eq!(unknown.status, 404);
    assert!(message(&unknown).contains("there is no automation secnd; did you mean second?"), "{}", unknown.text());
    let not_taking = ask(json!("third"));
    assert_eq!(not_taking.status, 422);
    assert!(message(&not_taking).contains("the automation third takes no jobs: `draft.jobs: true` says that one does"), "{}", not_taking.text());
    let told = refused(&server.cli(&["jobs", "start", "Do it", "--automation", "secnd"]));
    assert!(told.contains("did you mean second?"), "{told}");
    assert_eq!(llm.ledger().len(), 0);
}

#[test]
fn jobs_and_drafts_are_started_followed_listed_and_cancelled_from_a_shell() {
    let llm = FakeLlm::start();
    llm.says(Said::text("Let me look.").and_calls("list_files", json!({}))).says(Said::calls("propose_change", scale(4)).used(2_000, 100));
    let mut server = prepare(&llm);
    server.run();
    let told = printed(&server.cli(&["jobs", "start", "Scale the front end of shop to four", "--max-turns", "5", "--within", "10m", "--follow"]));
    for part in [
        "draft 1, turn 1",
        "said\n  Let me look.",
        "called list_files",
        "gave list_files",
        "called propose_change",
        "goal:       Scale the front end",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let job = server.at().all("/jobs").remove(0);
    let id = job["job_id"].as_str().expect("an id").to_owned();
    job_is(&server, &id, "proposed");
    let listed = printed(&server.cli(&["jobs", "list"]));
    assert!(listed.starts_with("JOB ") && listed.contains(&id) && listed.contains("proposed") && listed.contains("#1"), "{listed}");
    assert_eq!(printed(&server.cli(&["jobs", "list", "--automation", "another"])).lines().count(), 1);
    let shown = printed(&server.cli(&["jobs", "show", &id]));
    assert!(shown.contains("pull:       #1 ") && shown.contains("answered by qwen3-coder of local, 2 turns, "), "{shown}");
    let logs = printed(&server.cli(&["jobs", "logs", &id]));
    assert_eq!(logs, printed(&server.cli(&["drafts", "show", &id])));
    let drafts = printed(&server.cli(&["drafts", "list", &id]));
    assert!(drafts.contains("answered") && drafts.contains("qwen3-coder of local") && drafts.contains("The front end gets 4 replicas"), "{drafts}");
    let json: Value = serde_json::from_str(&printed(&server.cli(&["--output", "json", "jobs", "show", &id]))).expect("JSON");
    assert_eq!(json["status"], "proposed");
    let none = refused(&server.cli(&["drafts", "show", &id, "--draft", "9"]));
    assert!(none.contains("there is no draft 9"), "{none}");

    llm.fails(Fault::Hang);
    let filed = printed(&server.cli(&["jobs", "start", "Scale it to five"]));
    let other = filed.split_whitespace().find(|word| word.starts_with("req_")).expect("an id").to_owned();
    assert!(filed.contains(&format!("kubeops jobs logs {other} --follow")), "{filed}");
    eventually("the model is asked", || (llm.ledger().len() == 3).then_some(()));
    let cancelled = printed(&server.cli(&["jobs", "cancel", &other]));
    assert!(cancelled.contains(&other), "{cancelled}");
    job_is(&server, &other, "withdrawn");
    let again = refused(&server.cli(&["jobs", "cancel", &other]));
    assert!(again.contains("withdrawn"), "{again}");
    let followed = printed(&server.cli(&["jobs", "logs", &other, "--follow"]));
    assert!(followed.contains("withdrawn"), "{followed}");
}
