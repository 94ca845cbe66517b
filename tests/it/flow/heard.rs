//! What GitHub's webhooks tell is acted on at once, in whatever order and however often it comes: each is a hint to look.

use super::github::World;
use crate::support::fake_github::FakeGithub;
use crate::support::server::{Answered, call, eventually};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const SECRET: &str = "the secret of GitHub's webhook";

/// A server that looks by itself once an hour: whatever happens sooner, a webhook brought about.
fn start() -> World {
    let mut world = prepare();
    world.server.run();
    world
}

/// The same, not running yet.
pub(super) fn prepare() -> World {
    listening(World::prepare(FakeGithub::start()))
}

/// The same for a world that is there.
pub(super) fn listening(mut world: World) -> World {
    world.server.secret("GITHUB_WEBHOOK_SECRET", SECRET);
    let source = "kind: Source\nmetadata: { name: github }\nspec: { kind: github, authentication: { hmac: { secrets: [GITHUB_WEBHOOK_SECRET] } } }\n";
    world.server.edit_resource("sources.yaml", |text| format!("{text}\n---\napiVersion: kubeops.dev/v1alpha1\n{source}"));
    world.server.set("OBSERVE_SECONDS", "3600").set("FETCH_MAX_AGE_SECONDS", "3600");
    world
}

pub(super) fn tell(world: &World, event: &str, body: &Value) -> String {
    try_to_tell(world, event, body).expect("an answer").word()
}

pub(super) fn try_to_tell(world: &World, event: &str, body: &Value) -> std::io::Result<Answered> {
    try_to_tell_with(world, SECRET, event, body)
}

/// Tells a source whose secret is another one.
pub(super) fn tell_with(world: &World, secret: &str, event: &str, body: &Value) -> String {
    try_to_tell_with(world, secret, event, body).expect("an answer").word()
}

fn try_to_tell_with(world: &World, secret: &str, event: &str, body: &Value) -> std::io::Result<Answered> {
    let body = body.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let headers = [("content-type", "application/json"), ("x-github-event", event), ("x-github-delivery", "1"), ("x-hub-signature-256", &signature)];
    call(world.server.at().address, "POST", "/api/v1/webhooks/github", &headers, body.as_bytes())
}

fn of_pull(action: &str, number: u64, repository: &str, more: Value) -> Value {
    let mut pull = json!({ "number": number, "updated_at": "2026-11-20T12:00:01Z" });
    pull.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    json!({ "action": action, "number": number, "pull_request": pull, "repository": { "full_name": repository } })
}

#[test]
fn a_merge_and_a_close_are_heard_at_once_and_believed_only_as_github_itself_tells_them() {
    let world = start();
    let first = world.proposed("OPS-1", "payments");
    let second = world.proposed("OPS-2", "billing");

    // Whoever signs may say what he likes: nothing is merged before GitHub says so.
    assert_eq!(tell(&world, "pull_request", &of_pull("closed", first.number, "acme/gitops", json!({ "merged": true }))), "202 accepted");
    world.server.at().nothing_owed();
    world.server.at().settled("OPS-1", "proposed");

    world.github.end(first.number, true);
    world.github.end(second.number, false);
    // The end of the one is told by an event of another kind, and that of the other in another spelling of the repository.
    let body = of_pull("labeled", first.number, "acme/gitops", json!({ "title": "x" }));
    assert_eq!(tell(&world, "pull_request", &body), "202 accepted");
    assert_eq!(tell(&world, "pull_request", &body), "200 duplicate");
    assert_eq!(tell(&world, "pull_request", &of_pull("closed", second.number, "Acme/GitOps", json!({ "merged": false }))), "202 accepted");
    world.server.at().settled("OPS-1", "merged");
    let declined = world.server.at().settled("OPS-2", "declined");

    // A person thinks better of it, and has GitHub restore the branch.
    let (branch, commit) = (declined["branch"].as_str().expect("a branch"), declined["commit"].as_str().expect("a commit"));
    eventually("the branch is gone", || world.server.upstream.tip(branch).is_none().then_some(()));
    world.server.upstream.git(&["update-ref", &format!("refs/heads/{branch}"), commit]);
    world.github.person(second.number, |pull| pull.state = "open");
    assert_eq!(tell(&world, "pull_request", &of_pull("reopened", second.number, "acme/gitops", json!({}))), "202 accepted");
    let again = world.server.at().settled("OPS-2", "proposed");
    assert!(again["message"].as_str().is_some_and(|message| message.contains("was opened again")), "{again:#}");
}

#[test]
fn a_kill_before_what_was_heard_is_kept_costs_another_look_and_nothing_else() {
    let mut world = prepare();
    world.server.set("KUBEOPS_FAILPOINT", "observe.settling").run();
    let pull = world.proposed("OPS-1", "payments");
    world.github.end(pull.number, true);
    // Whether the answer still came does not matter: what matters was written before.
    let _ = try_to_tell(&world, "pull_request", &of_pull("closed", pull.number, "acme/gitops", json!({ "merged": true })));
    let status = world.server.wait();
    assert!(!status.success(), "it died, not ended: {status}");
    world.server.set("KUBEOPS_FAILPOINT", "").run();
    let merged = world.server.at().settled("OPS-1", "merged");
    let lines = merged["timeline"].as_array().expect("a timeline").iter().filter(|entry| entry["to"] == "merged").count();
    assert_eq!(lines, 1, "{merged:#}");
}

#[test]
fn an_approval_is_heard_and_events_of_strangers_owe_nothing() {
    let world = start();
    let pull = world.proposed("OPS-1", "payments");
    world.github.person(pull.number, |pull| pull.reviews.push(("ada".to_owned(), "APPROVED".to_owned())));
    let mut body = of_pull("submitted", pull.number, "acme/gitops", json!({}));
    body["review"] = json!({ "id": 1, "state": "approved", "submitted_at": "2026-11-20T12:00:01Z" });
    assert_eq!(tell(&world, "pull_request_review", &body), "202 accepted");
    world.server.at().settled("OPS-1", "approved");

    world.server.at().nothing_owed();
    world.github.clear_ledger();
    for (number, repository) in [(pull.number + 100, "acme/gitops"), (pull.number, "stranger/gitops")] {
        assert_eq!(tell(&world, "pull_request", &of_pull("closed", number, repository, json!({ "merged": true }))), "202 accepted");
    }
    world.server.at().nothing_owed();
    assert_eq!(world.github.calls(), Vec::<String>::new(), "nobody was asked about strangers");
}

#[test]
fn what_github_says_of_a_deployment_a_status_or_a_check_counts_where_the_repository_says_so() {
    let mut world = prepare();
    let named = "appliedBy: { statuses: [\"kustomization/*\"], checks: [rollout] }";
    world.server.edit_resource("inventory.yaml", |text| text.replacen("  branch: main\n", &format!("  branch: main\n  {named}\n"), 1));
    world.server.run();
    let repository = json!({ "full_name": "acme/gitops" });
    let deployment = |sha: &str, environment: &str, state: &str| {
        json!({
            "action": "created", "repository": repository,
            "deployment": { "id": 1, "sha": sha, "environment": environment, "created_at": "2026-11-20T12:00:00Z" },
            "deployment_status": { "id": state.len(), "state": state, "environment": environment, "description": "3 of 4 pods", "created_at": "2026-11-20T12:00:01Z" },
        })
    };
    let status = |sha: &str, context: &str, state: &str| json!({ "id": context.len(), "sha": sha, "name": "acme/gitops", "context": context, "state": state, "description": "x", "branches": [], "commit": {}, "repository": repository, "updated_at": "2026-11-20T12:00:02Z" });
    let check = |sha: &str, name: &str, conclusion: &str| {
        json!({
            "action": "completed", "repository": repository,
            "check_run": { "id": name.len(), "name": name, "head_sha": sha, "status": "completed", "conclusion": conclusion, "completed_at": "2026-11-20T12:00:03Z", "output": { "title": "x" } },
        })
    };
    for (number, (event, noise, word, state)) in [
        ("deployment_status", deployment("", "preview", "success"), deployment("", "prod-eu", "error"), "degraded"),
        ("status", status("", "ci/build", "success"), status("", "kustomization/apps", "success"), "applied"),
        ("check_run", check("", "lint", "success"), check("", "rollout", "success"), "applied"),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("OPS-{}", number + 1);
        let pull = world.proposed(&key, &format!("team-{number}"));
        let branch = world.server.at().settled(&key, "proposed")["branch"].as_str().expect("a branch").to_owned();
        world.server.upstream.git(&["update-ref", "refs/heads/main", &branch]);
        let tip = world.server.upstream.tip("main").expect("a tip").to_string();
        world.github.person(pull.number, |pull| (pull.state, pull.merged, pull.merged_as) = ("closed", true, Some(tip.clone())));
        assert_eq!(tell(&world, "pull_request", &of_pull("closed", pull.number, "acme/gitops", json!({ "merged": true }))), "202 accepted");
        world.server.at().settled(&key, "merged");
        let at = |mut body: Value| {
            for place in ["/deployment/sha", "/sha", "/check_run/head_sha"] {
                if let Some(sha) = body.pointer_mut(place) {
                    *sha = json!(tip);
                }
            }
            body
        };
        assert_eq!(tell(&world, event, &at(noise)), "202 accepted", "{event}");
        world.server.at().nothing_owed();
        world.server.at().settled(&key, "merged");
        assert_eq!(tell(&world, event, &at(word)), "202 accepted", "{event}");
        world.server.at().settled(&key, state);
    }
}

#[test]
fn what_we_say_of_a_commit_ourselves_is_not_taken_for_a_deployment_whatever_the_repository_names() {
    let mut world = prepare();
    let named = "appliedBy: { statuses: [\"*\"], checks: [\"*\"] }";
    world.server.edit_resource("inventory.yaml", |text| text.replacen("  branch: main\n", &format!("  branch: main\n  {named}\n"), 1));
    world.server.run();
    let pull = world.proposed("OPS-1", "payments");
    let branch = world.server.at().settled("OPS-1", "proposed")["branch"].as_str().expect("a branch").to_owned();
    world.server.upstream.git(&["update-ref", "refs/heads/main", &branch]);
    let tip = world.server.upstream.tip("main").expect("a tip").to_string();
    world.github.person(pull.number, |pull| (pull.state, pull.merged, pull.merged_as) = ("closed", true, Some(tip.clone())));
    assert_eq!(tell(&world, "pull_request", &of_pull("closed", pull.number, "acme/gitops", json!({ "merged": true }))), "202 accepted");
    world.server.at().settled("OPS-1", "merged");
    let repository = json!({ "full_name": "acme/gitops" });
    let status = |context: &str| json!({ "id": context.len(), "sha": tip, "name": "acme/gitops", "context": context, "state": "success", "description": "x", "branches": [], "commit": {}, "repository": repository, "updated_at": "2026-11-20T12:00:02Z" });
    let check = json!({
        "action": "completed", "repository": repository,
        "check_run": { "id": 7, "name": "kubeops/window", "head_sha": tip, "status": "completed", "conclusion": "success", "completed_at": "2026-11-20T12:00:03Z", "output": { "title": "x" } },
    });
    assert_eq!(tell(&world, "status", &status("kubeops/window")), "202 accepted");
    assert_eq!(tell(&world, "check_run", &check), "202 accepted");
    world.server.at().nothing_owed();
    world.server.at().settled("OPS-1", "merged");
    assert_eq!(tell(&world, "status", &status("kustomization/apps")), "202 accepted");
    world.server.at().settled("OPS-1", "applied");
}

#[test]
fn a_push_to_the_base_has_open_requests_planned_again_on_it() {
    let world = start();
    let pull = world.proposed("OPS-1", "payments");
    let before = world.server.at().settled("OPS-1", "proposed");
    // What was asked for comes into the base by another way: the request has nothing left to propose.
    let branch = before["branch"].as_str().expect("a branch");
    world.server.upstream.git(&["update-ref", "refs/heads/main", branch]);
    let push = |branch: &str, after: &str| json!({ "ref": format!("refs/heads/{branch}"), "before": "0".repeat(40), "after": after, "repository": { "full_name": "acme/gitops" } });
    assert_eq!(tell(&world, "push", &push("other", &"a".repeat(40))), "202 accepted");
    world.server.at().nothing_owed();
    world.server.at().settled("OPS-1", "proposed");
    assert_eq!(tell(&world, "push", &push("main", &"b".repeat(40))), "202 accepted");
    world.server.at().settled("OPS-1", "unchanged");
    eventually("its pull request is closed", || {
        world.github.pulls().iter().any(|other| other.number == pull.number && other.state == "closed").then_some(())
    });
}
