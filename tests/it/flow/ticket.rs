//! A ticket, from the service desk's webhook to the merged manifest.

use super::{branches, left_exactly_one};
use crate::support::server::{TestServer, ticket};
use serde_json::json;
use std::io::Write;
use std::process::{Command, Output, Stdio};

fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// The trailers of a commit, as git reads them.
fn trailers(server: &TestServer, commit: &str) -> Vec<String> {
    let message = server.upstream.git(&["log", "-1", "--format=%B", commit]);
    let mut git = Command::new("git").args(["interpret-trailers", "--parse"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git");
    git.stdin.take().expect("stdin").write_all(message.as_bytes()).expect("written");
    String::from_utf8(git.wait_with_output().expect("git ends").stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

#[test]
fn an_approved_ticket_becomes_a_merged_manifest() {
    let server = TestServer::start();
    let path = "clusters/prod-eu/namespaces/payments.yaml";

    // The ticket is approved: one request, one branch, one commit, one pull request.
    let answered = server.at().ticket(&ticket("OPS-42", "payments"));
    assert_eq!(answered.word(), "202 accepted");
    let proposed = server.at().settled("OPS-42", "proposed");
    left_exactly_one(&server, "OPS-42", "proposed");
    assert_eq!(proposed["event"]["delivery"], answered.id());
    let states: Vec<&str> = proposed["timeline"].as_array().expect("a timeline").iter().filter_map(|entry| entry["to"].as_str()).collect();
    assert_eq!(states, ["accepted", "planned", "proposed"]);

    // The commit says where it comes from, in trailers that git itself reads.
    let branch = proposed["branch"].as_str().expect("a branch");
    let read = trailers(&server, branch);
    let of = |name: &str| read.iter().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or_else(|| panic!("{name} in {read:?}"));
    assert_eq!(of("Kubeops-Request"), proposed["id"].as_str().expect("an id"));
    assert_eq!(of("Kubeops-Automation"), "namespace-request");
    assert_eq!(of("Kubeops-Event"), proposed["event"]["id"].as_str().expect("an id"));
    assert_eq!(server.upstream.git(&["log", "-1", "--format=%s", branch]).trim(), "Namespace payments (OPS-42)");
    assert_eq!(server.upstream.git(&["log", "-1", "--format=%at", branch]).trim(), "1795176000", "the time of the event");

    // The change is one new file, and says what the ticket asked for.
    assert_eq!(server.upstream.git(&["diff", "--name-status", "main", branch]).trim(), format!("A\t{path}"));
    let manifest = server.upstream.show(path, branch);
    assert!(manifest.contains("kubeops.dev/team: payments") && manifest.contains("requests.cpu: \"8\""), "{manifest}");
    let pull = server.at().get("/pulls/gitops/1");
    assert_eq!(
        (&pull["title"], &pull["labels"], &pull["reviewers"]),
        (&json!("Namespace payments (OPS-42)"), &json!(["namespace"]), &json!(["platform-team"]))
    );
    let diff = printed(&server.cli(&["pulls", "diff", "gitops#1"]));
    assert!(diff.contains("+kind: Namespace"), "{diff}");

    // A person approves and merges it.
    assert!(printed(&server.cli(&["pulls", "approve", "gitops#1"])).contains("approved by flow"));
    server.at().settled("OPS-42", "approved");
    assert!(printed(&server.cli(&["pulls", "merge", "gitops#1"])).contains("merged"));
    let merged = server.at().settled("OPS-42", "merged");
    assert_eq!(merged["timeline"].as_array().expect("a timeline").last().expect("an entry")["actor"], "flow");
    assert_eq!(server.upstream.show(path, "main"), manifest, "what was proposed is what stands in main");
    let log = server.upstream.git(&["log", "--format=%s", "main"]);
    assert!(log.contains("Namespace payments (OPS-42)"), "{log}");
    assert_eq!(server.upstream.git(&["rev-list", "--parents", "-1", "main"]).split_whitespace().count(), 3, "a real merge has two parents");
    server.upstream.fsck();

    // The same ticket is approved once more: there is nothing left to do.
    let mut again = ticket("OPS-42", "payments");
    again["timestamp"] = json!(1_795_176_999_000_i64);
    again["changelog"]["id"] = json!("1");
    assert_eq!(server.at().ticket(&again).word(), "202 accepted");
    let unchanged = server.at().settled("OPS-42", "unchanged");
    assert_eq!((&unchanged["generation"], &unchanged["pull"]), (&json!(2), &json!(null)));
    assert_eq!(server.at().all("/pulls").len(), 1);
    assert_eq!(server.at().requests_of("OPS-42").len(), 2);
}

#[test]
fn a_ticket_with_wrong_parameters_is_rejected_with_every_reason() {
    let server = TestServer::start();
    let mut wrong = ticket("OPS-7", "../../etc");
    wrong["issue"]["fields"]["customfield_10051"] = json!("lots");
    assert_eq!(server.at().ticket(&wrong).word(), "202 accepted");
    let rejected = server.at().settled("OPS-7", "rejected");
    let findings = rejected["findings"].to_string();
    assert!(findings.contains("team") && findings.contains("cpu"), "{findings}");
    assert!(rejected["message"].as_str().is_some_and(|message| !message.is_empty()), "{rejected:#}");
    assert_eq!(branches(&server.upstream), []);
    assert!(server.at().all("/pulls").is_empty());

    // A cluster nobody has is told with those there are.
    let mut nowhere = ticket("OPS-8", "payments");
    nowhere["issue"]["fields"]["customfield_10052"]["value"] = json!("mars");
    server.at().ticket(&nowhere);
    let rejected = server.at().settled("OPS-8", "rejected").to_string();
    assert!(rejected.contains("mars") && rejected.contains("prod-eu"), "{rejected}");
    assert_eq!(branches(&server.upstream), []);
}

#[test]
fn a_ticket_that_is_not_approved_asks_for_nothing_and_the_silence_is_explained() {
    let server = TestServer::start();
    let mut refused = ticket("OPS-9", "payments");
    refused["changelog"]["items"][1]["toString"] = json!("Declined");
    assert_eq!(server.at().ticket(&refused).word(), "202 accepted");
    let event = crate::support::server::eventually("the event is recorded", || server.at().all("/events").into_iter().next());
    let decision = &event["decisions"][0];
    assert_eq!((&decision["automation"], &decision["matched"]), (&json!("namespace-request"), &json!(false)));
    assert!(decision["explanation"].to_string().contains("Declined"), "{decision:#}");
    assert!(server.at().all("/requests").is_empty());
}

#[test]
fn a_local_pull_request_of_a_request_planned_again_holds_the_new_commit() {
    let server = TestServer::start();
    server.at().ticket(&ticket("OPS-42", "payments"));
    let first = server.at().settled("OPS-42", "proposed");
    server.upstream.write("main", "README.md", "moved on");
    super::plan_again(&server, "OPS-42");
    let moved = crate::support::server::eventually("it is proposed on the new base", || {
        let request = server.at().requests_of("OPS-42").remove(0);
        (request["state"] == "proposed" && request["commit"] != first["commit"]).then_some(request)
    });
    assert_eq!(server.at().get("/pulls/gitops/1")["head_commit"], moved["commit"], "it is what reviewers look at");
    left_exactly_one(&server, "OPS-42", "proposed");
}
