//! Runs that remove themselves: a change adds a Job, somebody says that it is finished, and what takes it out of git again is proposed.
//! The resources are those of the documents.

use super::github::World;
use super::storms::merge;
use crate::support::fake_github::FakeGithub;
use crate::support::server::{Answered, TestServer, eventually, ticket};
use crate::support::warp::Warp;
use serde_json::{Value, json};
use std::process::Command;

pub(super) const KEY: &str = "OPS-42";
const FILE: &str = "clusters/prod-eu/runs/shop/reindex-ops-42.yaml";
pub(super) const TOKEN: &str = "what whoever tells of runs shows, long enough";
const HOUR: i64 = 3600;

/// The YAML of this kind and name, as a page of the documents has it.
pub(super) fn documented(page: &str, kind: &str, name: &str) -> String {
    let path = format!("{}/docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the page");
    let mut blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let found = blocks.find(|block| block.contains(&format!("kind: {kind}\n")) && block.contains(&format!("\n  name: {name}\n")));
    found.unwrap_or_else(|| panic!("docs/{page} has no {kind} {name}")).to_owned()
}

/// The documented automation and sources are in force once it runs.
fn listen(server: &mut TestServer, edit: impl FnOnce(String) -> String) {
    server.secret("RUNS_TOKEN", TOKEN);
    server.secret("TEKTON_SECRET", TOKEN);
    let sources = ["runs", "tekton"].map(|name| documented("sources.md", "Source", name)).join("\n---\n");
    server.edit_resource("runs.yaml", |_| sources);
    server.edit_resource("reindex.yaml", |_| edit(documented("automations.md", "Automation", "reindex-request")));
    server.set("OBSERVE_SECONDS", "1");
}

pub(super) fn prepare(edit: impl FnOnce(String) -> String) -> TestServer {
    let mut server = TestServer::prepare();
    listen(&mut server, edit);
    server
}

fn start() -> TestServer {
    let mut server = prepare(|text| text);
    server.run();
    server
}

/// A ticket that asks for a run; `round` tells one approval of it from the next.
fn asks(server: &TestServer, round: u32) {
    let mut asked = ticket(KEY, "shop");
    asked["issue"]["fields"]["issuetype"]["name"] = json!("Reindex request");
    asked["changelog"]["id"] = json!(round.to_string());
    let sent = asked["timestamp"].as_i64().expect("a timestamp");
    asked["timestamp"] = json!(sent + i64::from(round) * 1000);
    assert_eq!(server.at().ticket(&asked).word(), "202 accepted");
}

/// What Argo Workflows' exit handler and a Job's last step say, with these fields otherwise.
fn try_to_say(server: &TestServer, status: &str, otherwise: &Value) -> std::io::Result<Answered> {
    let mut body = json!({ "kind": "Job", "group": "batch", "namespace": "shop", "name": "reindex-ops-42", "cluster": "prod-eu", "status": status,
        "finishedAt": "2026-11-20T12:00:00Z" });
    for (field, value) in otherwise.as_object().expect("fields") {
        body[field] = value.clone();
    }
    server.at().deliver("runs", &[("authorization", &format!("Bearer {TOKEN}"))], body.to_string().as_bytes())
}

fn say(server: &TestServer, status: &str, otherwise: &Value) {
    let answered = try_to_say(server, status, otherwise).expect("an answer");
    assert_eq!(answered.word(), "202 accepted", "{}", answered.text());
}

pub(super) fn merged(server: &TestServer, round: u32) -> Value {
    asks(server, round);
    merge(server, &server.at().settled(KEY, "proposed"));
    server.at().settled(KEY, "merged")
}

fn id(request: &Value) -> &str {
    request["id"].as_str().expect("an id")
}

pub(super) fn revert_of(request: &Value) -> String {
    format!("revert of {}", id(request))
}

pub(super) fn messages(request: &Value) -> Vec<&str> {
    request["timeline"].as_array().expect("a timeline").iter().filter_map(|entry| entry["message"].as_str()).collect()
}

/// Whether the base has the run's file.
fn is_there(server: &TestServer) -> bool {
    server.upstream.git(&["ls-tree", "--name-only", "-r", "main"]).lines().any(|file| file == FILE)
}

/// The request that takes it back is proposed, and after its merge the file is gone.
pub(super) fn goes(server: &TestServer, request: &Value) -> Value {
    let undo = server.at().settled(&revert_of(request), "proposed");
    let expired = server.at().get(&format!("/requests/{}", id(request)));
    assert_eq!((&expired["state"], &expired["reverted_by"]), (&json!("expired"), &undo["id"]), "{expired:#}");
    merge(server, &undo);
    server.at().settled(&revert_of(request), "merged");
    assert!(!is_there(server));
    expired
}

#[test]
fn a_run_removes_itself_once_it_is_said_to_be_finished_and_the_next_of_its_name_waits_for_its_own_end() {
    let server = start();
    asks(&server, 1);
    let proposed = server.at().settled(KEY, "proposed");
    let pull = server.at().get(&format!("/pulls/gitops/{}", proposed["pull"]["number"]));
    let text = pull["body"].as_str().expect("a body");
    assert!(text.contains("- Time to live: wanted until what it runs is finished. Then KubeOps opens the pull request that takes it back"), "{text}");
    merge(&server, &proposed);
    let request = server.at().settled(KEY, "merged");
    server.at().nothing_owed();
    let waiting = server.at().settled(KEY, "merged");
    assert_eq!((&waiting["runs"], &waiting["expires_at"], is_there(&server)), (&json!([]), &Value::Null, true));
    assert_eq!((&waiting["changes"]["ttl"], &waiting["changes"]["ttl_from"]), (&json!("0s"), &json!("finished")));

    say(&server, "Succeeded", &json!({}));
    let expired = goes(&server, &request);
    let run = json!({ "apiVersion": "batch/v1", "kind": "Job", "namespace": "shop", "name": "reindex-ops-42", "outcome": "succeeded", "message": null,
        "at": "2026-11-20T12:00:00.000Z" });
    assert_eq!(expired["runs"], json!([run]));
    let said = messages(&expired);
    assert!(said.contains(&"Job shop/reindex-ops-42 succeeded"), "{said:#?}");
    assert!(said.iter().any(|line| line.starts_with("every run it added is finished: its time to live ends at ")), "{said:#?}");
    let undo = server.at().settled(&revert_of(&request), "merged");
    let body = server.at().get(&format!("/pulls/gitops/{}", undo["pull"]["number"]))["body"].as_str().expect("a body").to_owned();
    assert!(body.contains("Why: `what it ran is finished`"), "{body}");
    let shown = server.cli(&["requests", "show", id(&request)]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("run        Job shop/reindex-ops-42 succeeded at 2026-11-20T12:00:00.000Z"), "{shown}");
    assert!(shown.contains("wanted for 0s once what it runs is finished, until "), "{shown}");
    let traced = server.at().get(&format!("/trace/{KEY}"));
    let of_it =
        traced["requests"].as_array().expect("requests").iter().find(|traced| traced["request"]["id"] == request["id"]).expect("it is traced");
    let events: Vec<&str> = of_it["events"].as_array().expect("events").iter().filter_map(|event| event["type"].as_str()).collect();
    assert!(events.contains(&"run.succeeded") && of_it["request"]["runs"] == json!([run]), "{of_it:#}");

    // Approved once more, it runs once more, and what was said of the first run is not about the second.
    let again = merged(&server, 2);
    assert_ne!(again["id"], request["id"]);
    say(&server, "Succeeded", &json!({ "cluster": "prod-eu", "said": "again" }));
    server.at().nothing_owed();
    let again = server.at().settled(KEY, "merged");
    assert_eq!((&again["runs"], &again["expires_at"]), (&json!([]), &Value::Null), "{again:#}");
    say(&server, "Succeeded", &json!({ "finishedAt": "2026-11-20T15:00:00Z" }));
    goes(&server, &again);
    server.upstream.fsck();
}

#[test]
fn what_runs_is_taken_back_at_github_by_itself_also_where_its_end_was_heard_before_the_merge() {
    let mut world = World::prepare(FakeGithub::start());
    listen(&mut world.server, |text| text);
    // Nobody looks at pull requests yet.
    world.server.set("OBSERVE_SECONDS", "3600").run();
    asks(&world.server, 1);
    let proposed = world.server.at().settled(KEY, "proposed");
    let branch = proposed["branch"].as_str().expect("a branch").to_owned();
    let squashed = world.server.upstream.write("main", FILE, &world.server.upstream.show(FILE, &branch));
    world.github.person(1, |pull| (pull.state, pull.merged, pull.merged_as) = ("closed", true, Some(squashed.to_string())));
    say(&world.server, "Error", &json!({ "message": "the disk is full" }));
    world.server.at().nothing_owed();
    let open = world.server.at().settled(KEY, "proposed");
    assert_eq!(open["runs"], json!([]), "{open:#}");

    world.server.terminate();
    world.server.set("OBSERVE_SECONDS", "1").run();
    let expired = world.server.at().settled(KEY, "expired");
    assert!(messages(&expired).contains(&"Job shop/reindex-ops-42 failed: the disk is full"), "{expired:#}");
    let undo = world.server.at().settled(&revert_of(&expired), "proposed");
    let pulls = world.github.pulls();
    assert_eq!((pulls.len(), pulls[1].auto_merge.as_deref(), pulls[1].draft), (2, Some("SQUASH"), false), "{pulls:#?}");
    let branch = undo["branch"].as_str().expect("a branch").to_owned();
    world.server.upstream.git(&["update-ref", "refs/heads/main", &branch]);
    let merged_as = world.server.upstream.tip("main").expect("a tip").to_string();
    world.github.person(2, |pull| (pull.state, pull.merged, pull.merged_as) = ("closed", true, Some(merged_as)));
    world.server.at().settled(&revert_of(&expired), "merged");
    assert!(!is_there(&world.server));
}

#[test]
fn another_run_is_none_of_its_business_and_what_is_said_twice_is_said_once() {
    let server = start();
    let request = merged(&server, 1);
    for other in [
        json!({ "name": "reindex-ops-43" }),
        json!({ "namespace": "web" }),
        json!({ "namespace": null }),
        json!({ "cluster": "staging-eu" }),
        json!({ "kind": "TaskRun" }),
        json!({ "group": "tekton.dev" }),
        json!({ "group": null, "apiVersion": "v1" }),
    ] {
        say(&server, "Succeeded", &other);
    }
    // What only begins or goes on is no end.
    assert_eq!(try_to_say(&server, "Running", &json!({})).expect("an answer").word(), "200 ignored");
    server.at().nothing_owed();
    let waiting = server.at().settled(KEY, "merged");
    assert_eq!((&waiting["runs"], &waiting["expires_at"]), (&json!([]), &Value::Null), "{waiting:#}");
    assert!(!messages(&waiting).iter().any(|line| line.contains("succeeded")), "{waiting:#}");
    // A mapping that does not fit is told to whoever sends.
    let refused = try_to_say(&server, "Succeeded", &json!({ "name": "Not A Name" })).expect("an answer");
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("gives a `run.name` that no object can have"), "{}", refused.text());

    // A cluster that nobody knows by this name says nothing of where it is.
    for attempt in 0..3 {
        say(&server, "Failed", &json!({ "cluster": "in-cluster", "message": "exit code 3", "attempt": attempt }));
    }
    let expired = goes(&server, &request);
    let said = messages(&expired).into_iter().filter(|line| line.starts_with("Job ")).count();
    assert_eq!((said, expired["runs"].as_array().map(Vec::len)), (1, Some(1)), "{expired:#}");
    assert_eq!((&expired["runs"][0]["outcome"], &expired["runs"][0]["message"]), (&json!("failed"), &json!("exit code 3")));
    server.at().nothing_owed();
    assert_eq!((server.at().all("/requests").len(), server.at().all("/pulls").len()), (2, 2));
}

#[test]
fn it_waits_for_every_run_it_added_and_keeps_them_for_a_while_where_its_author_says_so() {
    let mut server = prepare(|text| {
        let (before, after) = text.split_once("  ttl:").expect("a time to live");
        let second =
            before.split_once("  render:\n").expect("what is rendered").1.replace("\"reindex\"", "\"verify\"").replace("/reindex-{{", "/verify-{{");
        let more = "    - template: config-map\n      with: { name: '\"index\"', data: '{\"size\": \"3\"}' }\n      path: \"runs/{{ parameters.namespace }}/index.yaml\"\n";
        format!("{before}{second}{more}  ttl:{}", after.replacen("after: 0s", "after: 1h", 1))
    });
    let warp = Warp::of(&mut server);
    server.run();
    let request = merged(&server, 1);
    assert_eq!(request["changes"]["objects"].as_array().map(Vec::len), Some(3), "{:#}", request["changes"]);
    say(&server, "Succeeded", &json!({}));
    let waiting = eventually("the first is noted", || Some(server.at().settled(KEY, "merged")).filter(|request| request["runs"] != json!([])));
    assert_eq!(waiting["expires_at"], Value::Null);
    assert!(messages(&waiting).contains(&"its time to live waits for the end of Job shop/verify-ops-42"), "{waiting:#}");
    say(&server, "Failed", &json!({ "name": "verify-ops-42" }));
    let ending =
        eventually("the second is noted", || Some(server.at().settled(KEY, "merged")).filter(|request| request["expires_at"] != Value::Null));
    assert_eq!(ending["runs"].as_array().map(Vec::len), Some(2));
    warp.to(HOUR / 2);
    server.terminate();
    server.run();
    assert_eq!(server.at().settled(KEY, "merged")["expires_at"], ending["expires_at"]);
    warp.to(HOUR + 60);
    goes(&server, &request);
}

#[test]
fn a_kill_between_the_end_of_a_run_and_what_takes_it_back_leaves_one_of_each() {
    for point in ["dispatch.read", "dispatch.recorded", "confirm.settling", "clock.settling", "revert.opened"] {
        let mut server = prepare(|text| text);
        server.run();
        let request = merged(&server, 1);
        server.at().nothing_owed();
        server.terminate();
        server.set("KUBEOPS_FAILPOINT", point).run();
        let _ = try_to_say(&server, "Succeeded", &json!({}));
        let status = server.wait();
        assert!(!status.success(), "{point}: it died, not ended: {status}");
        server.set("KUBEOPS_FAILPOINT", "").run();
        let expired = goes(&server, &request);
        server.at().nothing_owed();
        let lines = messages(&expired).into_iter().filter(|line| line.contains("succeeded")).count();
        assert_eq!((lines, server.at().all("/requests").len(), server.at().all("/pulls").len()), (1, 2, 2), "{point}: {expired:#}");
    }
}

#[test]
fn a_job_says_in_its_last_step_that_it_is_finished_with_the_script_of_the_documents() {
    let server = start();
    let request = merged(&server, 1);
    let job: Value = serde_yaml_ng::from_str(&documented("sources.md", "Job", "reindex-ops-42")).expect("YAML");
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let names: Vec<&str> = container["env"].as_array().expect("env").iter().filter_map(|variable| variable["name"].as_str()).collect();
    assert_eq!(names, ["NAMESPACE", "JOB", "KUBEOPS_TOKEN"]);
    let script = container["args"][0].as_str().expect("a script").replace("https://kubeops.example.com", &format!("http://{}", server.at().address));
    let run = |work: &str| {
        // The work itself is the program `reindex`.
        let script = format!("reindex() {{ {work}; }}\n{script}");
        let values = [("NAMESPACE", "shop"), ("JOB", "reindex-ops-42"), ("KUBEOPS_TOKEN", TOKEN)];
        Command::new("sh").args(["-c", &script]).envs(values).output().expect("a shell")
    };
    let ran = run("exit 3 | false");
    assert_eq!(ran.status.code(), Some(1), "the Job fails with its work: {}", String::from_utf8_lossy(&ran.stderr));
    let expired = goes(&server, &request);
    assert_eq!(expired["runs"][0]["outcome"], "failed", "{expired:#}");
    assert!(run("true").status.success());
}
