//! The base branch moves while pull requests are open: what is asked for is computed again on the new base.

use super::branches;
use crate::support::server::{TestServer, eventually, ticket};
use kubeops::types::CommitSha;
use serde_json::{Value, json};

fn start() -> TestServer {
    let mut server = TestServer::prepare();
    server.set("OBSERVE_SECONDS", "1").set("FETCH_MAX_AGE_SECONDS", "5").run();
    server
}

/// A ticket for the team `payments` that has its pull request.
fn proposed(server: &TestServer, key: &str, team: &str) -> Value {
    server.at().ticket(&ticket(key, team));
    server.at().settled(key, "proposed")
}

pub(super) fn field<'v>(request: &'v Value, name: &str) -> &'v str {
    request[name].as_str().unwrap_or_else(|| panic!("{name} of {request:#}"))
}

pub(super) fn now(server: &TestServer, request: &Value) -> Value {
    server.at().get(&format!("/requests/{}", field(request, "id")))
}

/// The request once its commit stands on this base.
pub(super) fn on_base(server: &TestServer, request: &Value, base: &CommitSha) -> Value {
    eventually("it is proposed on the new base", || {
        let now = now(server, request);
        (now["base"] == json!(base) && now["state"] == "proposed").then_some(now)
    })
}

/// Nothing waits and nothing is under way, and the base's tip was looked at since.
fn quiet(server: &TestServer) {
    server.at().nothing_owed();
}

/// The path of the one file a request's branch changes.
fn changed(server: &TestServer, request: &Value) -> String {
    server.upstream.git(&["diff", "--name-only", &format!("main...{}", field(request, "branch"))]).trim().to_owned()
}

#[test]
fn a_change_that_comes_out_differently_on_the_new_base_is_proposed_anew() {
    let server = start();
    let first = proposed(&server, "OPS-1", "payments");
    let file = changed(&server, &first);
    // Somebody makes the same file by hand, with other content.
    let base = server.upstream.write("main", &file, "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: payments\n  labels:\n    by: hand\n");
    let again = on_base(&server, &first, &base);
    assert_eq!((&again["branch"], &again["pull"]["number"]), (&first["branch"], &first["pull"]["number"]), "the same pull request");
    assert_ne!(again["commit"], first["commit"]);
    let branch = field(&again, "branch");
    assert_eq!(server.upstream.git(&["rev-list", "--format=%P", "--no-commit-header", "--max-count=1", branch]).trim(), base.as_str());
    assert_eq!(branches(&server.upstream), [(branch.to_owned(), field(&again, "commit").to_owned())]);
    let pull = server.at().get(&format!("/pulls/gitops/{}", again["pull"]["number"]));
    assert!(field(&pull, "body").contains("labels"), "the body tells what differs now: {pull:#}");
    assert!(again["timeline"].to_string().contains("the base moved: computed again"), "{again:#}");
    server.upstream.fsck();
}

/// What is proposed, and the base it was computed again on; the process died before its new commit was pushed.
fn dies_with_a_new_commit(server: &mut TestServer) -> (Value, CommitSha) {
    let first = proposed(server, "OPS-1", "payments");
    let file = changed(server, &first);
    assert!(server.terminate().success());
    let base = server.upstream.write("main", &file, "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: payments\n");
    server.set("KUBEOPS_FAILPOINT", "settled").run();
    assert!(!server.wait().success(), "it died, not ended");
    (first, base)
}

#[test]
fn a_proposed_change_whose_new_commit_is_lost_stays_open_while_that_is_made_again() {
    let mut server = start();
    let (first, base) = dies_with_a_new_commit(&mut server);
    // The power failed, and the file has no content.
    for proposal in std::fs::read_dir(server.data().join("mirrors/gitops.git/proposals")).expect("proposals").flatten() {
        std::fs::write(proposal.path(), "").expect("written");
    }
    server.set("KUBEOPS_FAILPOINT", "").run();
    let again = on_base(&server, &first, &base);
    assert_eq!(again["pull"]["number"], first["pull"]["number"], "the same pull request");
    let lines: Vec<(&str, &str)> =
        again["timeline"].as_array().expect("a timeline").iter().map(|line| (field(line, "to"), field(line, "message"))).collect();
    assert!(lines.iter().any(|(_, message)| message.contains("not in the mirror any more")), "it was not lost: {lines:#?}");
    // People may speak to it all the while, and what becomes of its pull request is followed.
    let open = lines.iter().position(|(to, _)| *to == "proposed").expect("it was proposed");
    assert!(lines[open..].iter().all(|(to, _)| *to != "accepted"), "{lines:#?}");
    quiet(&server);
}

#[test]
fn a_commit_that_one_process_has_not_and_the_next_has_is_proposed() {
    let mut server = start();
    let (first, base) = dies_with_a_new_commit(&mut server);
    // It is proposed where the commit is not, and planned again where it is, as by replicas of which each has its own mirror.
    let proposals = server.data().join("mirrors/gitops.git/proposals");
    let elsewhere = server.data().join("elsewhere");
    std::fs::rename(&proposals, &elsewhere).expect("away");
    server.run();
    assert!(!server.wait().success(), "it died once it was to be planned again");
    std::fs::remove_dir_all(&proposals).ok();
    std::fs::rename(&elsewhere, &proposals).expect("there again");
    server.set("KUBEOPS_FAILPOINT", "").run();
    let again = on_base(&server, &first, &base);
    assert!(again["timeline"].to_string().contains("not in the mirror any more"), "it was not lost: {again:#}");
    assert_eq!(branches(&server.upstream), [(field(&again, "branch").to_owned(), field(&again, "commit").to_owned())]);
    quiet(&server);
}

#[test]
fn a_change_that_is_the_same_on_the_new_base_is_left_as_it_is() {
    let server = start();
    let first = proposed(&server, "OPS-1", "payments");
    let other = proposed(&server, "OPS-2", "search");
    let base = server.upstream.write("main", "README.md", "something else\n");
    // The one that must change shows that the others were looked at: they are planned on one look at the base.
    let third = server.upstream.write("main", &changed(&server, &other), "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: search\n");
    assert_ne!(base, third);
    on_base(&server, &other, &third);
    quiet(&server);
    let after = now(&server, &first);
    assert_eq!((&after["commit"], &after["base"], &after["state"]), (&first["commit"], &first["base"], &json!("proposed")));
    assert_eq!(after["timeline"], first["timeline"]);
    assert!(!after["timeline"].to_string().contains("base moved"), "{after:#}");
    assert_eq!(server.upstream.tip(field(&first, "branch")).map(|tip| tip.to_string()).as_deref(), first["commit"].as_str());
}

#[test]
fn what_the_base_holds_by_now_is_no_longer_proposed() {
    let server = start();
    let first = proposed(&server, "OPS-1", "payments");
    let file = changed(&server, &first);
    let content = server.upstream.show(&file, field(&first, "branch"));
    server.upstream.write("main", &file, &content);
    let request = server.at().settled("OPS-1", "unchanged");
    eventually("the pull request is closed and the branch gone", || {
        let pull = server.at().get(&format!("/pulls/gitops/{}", first["pull"]["number"]));
        (pull["state"] == "closed" && branches(&server.upstream).is_empty()).then_some(())
    });
    assert!(field(&request, "message").contains("holds all of it already"), "{request:#}");
}

#[test]
fn a_branch_a_person_has_pushed_to_is_left_alone_and_the_pull_request_says_so() {
    let server = start();
    let first = proposed(&server, "OPS-1", "payments");
    let (branch, file) = (field(&first, "branch").to_owned(), changed(&server, &first));
    let theirs = server.upstream.write(&branch, "notes.md", "a person's\n");
    server.upstream.write("main", &file, "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: payments\n");
    let note = eventually("the pull request says so", || {
        let pull = server.at().get(&format!("/pulls/gitops/{}", first["pull"]["number"]));
        pull["body"].as_str().filter(|body| body.contains("Somebody has pushed to this branch")).map(str::to_owned)
    });
    assert!(note.contains("leaves it alone"), "{note}");
    assert_eq!(server.upstream.tip(&branch).as_ref(), Some(&theirs));
    // And it stays so when the base moves on.
    server.upstream.write("main", &file, "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: payments\n  labels: {}\n");
    let other = proposed(&server, "OPS-2", "search");
    server.upstream.write("main", &changed(&server, &other), "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: search\n");
    on_base(&server, &other, &server.upstream.tip("main").expect("a tip"));
    quiet(&server);
    assert_eq!(server.upstream.tip(&branch).as_ref(), Some(&theirs));
    let left = now(&server, &first);
    assert_eq!(left["state"], "proposed");
    // What is told of it is what stood there when the person went on.
    assert_eq!((&left["commit"], &left["base"], &left["changes"]), (&first["commit"], &first["base"], &first["changes"]));
    let timeline = left["timeline"].to_string();
    assert!(timeline.contains("a person went on from its branch") && !timeline.contains("computed again on"), "{timeline}");
}

#[test]
fn a_base_that_was_rewritten_or_came_back_is_planned_on_like_any_other() {
    let mut server = TestServer::prepare();
    server.set("OBSERVE_SECONDS", "1").set("FETCH_MAX_AGE_SECONDS", "0").run();
    let root = server.upstream.tip("main").expect("a tip");
    server.upstream.write("main", "README.md", "one\n");
    let first = proposed(&server, "OPS-1", "payments");
    let file = changed(&server, &first);
    // Force-pushed to another history, in which the file exists.
    server.upstream.git(&["update-ref", "refs/heads/main", root.as_str()]);
    let rewritten = server.upstream.write("main", &file, "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: payments\n");
    let again = on_base(&server, &first, &rewritten);
    // Deleted for a while: open pull requests stay, a new ticket fails and says why.
    server.upstream.git(&["update-ref", "-d", "refs/heads/main"]);
    server.at().ticket(&ticket("OPS-2", "search"));
    let failed = server.at().settled("OPS-2", "failed");
    assert!(field(&failed, "message").contains("the remote has no branch main"), "{failed:#}");
    assert_eq!(now(&server, &again)["state"], "proposed");
    server.upstream.git(&["update-ref", "refs/heads/main", rewritten.as_str()]);
    assert!(server.at().api("POST", &format!("/requests/{}/retry", field(&failed, "id")), None).status < 300);
    server.at().settled("OPS-2", "proposed");
    server.upstream.fsck();
}
