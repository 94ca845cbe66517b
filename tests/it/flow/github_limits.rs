//! GitHub asks to wait: nobody calls it, nothing is lost, no attempt is used up, and everybody can see it.

use super::github::World;
use crate::support::fake_github::{FakeGithub, Fault};
use crate::support::server::{eventually, ticket};
use serde_json::{Value, json};

/// An alert as Alertmanager tells it.
fn alert() -> Value {
    let mut group: Value = serde_json::from_str(include_str!("../../fixtures/ingress/alertmanager-firing.json")).expect("JSON");
    let alerts = group["alerts"].as_array_mut().expect("alerts");
    alerts.truncate(1);
    let labels = &mut alerts[0]["labels"];
    (labels["severity"], labels["cluster"]) = (json!("warning"), json!("prod-eu"));
    alerts[0]["annotations"] = json!({ "summary": "At its maximum.", "max_replicas": "6" });
    group
}

#[test]
fn a_limit_postpones_without_using_up_attempts_however_often_it_is_met() {
    let mut world = World::prepare(FakeGithub::start());
    // One attempt is all a step has.
    world.server.set("TASK_MAX_ATTEMPTS", "1").run();
    for _ in 0..3 {
        world.github.fail(Fault::Secondary(Some(2)));
    }
    world.server.at().ticket(&ticket("OPS-1", "payments"));
    let (task, forge) = eventually("the step is postponed", || {
        let request = world.server.at().requests_of("OPS-1").into_iter().next()?;
        let detail = world.server.at().get(&format!("/requests/{}", request["id"].as_str()?));
        let task = detail["tasks"][0].clone();
        let forge = world.server.at().get("/forges")["items"][0].clone();
        (task["last_error"].is_string() && !forge["limited_until"].is_null()).then_some((task, forge))
    });
    assert_eq!((&task["kind"], &task["state"], &task["attempts"]), (&json!("propose"), &json!("waiting"), &json!(0)));
    assert!(task["last_error"].as_str().is_some_and(|error| error.contains("asks to wait")), "{task:#}");
    assert_eq!((&forge["name"], &forge["kind"]), (&json!("token GITHUB_TOKEN"), &json!("github")));
    assert_eq!(forge["repositories"], json!([{ "name": "gitops", "queued_tasks": 1 }]), "{forge:#}");
    assert!(forge["limited_because"].as_str().is_some_and(|because| because.contains("secondary rate limit")), "{forge:#}");
    assert!(world.server.at().metric("kubeops_forge_limited_until_timestamp_seconds", &["account=\"token GITHUB_TOKEN\""]) > 0.0);
    let printed = String::from_utf8(world.server.cli(&["forges"]).stdout).expect("UTF-8");
    assert!(printed.contains("token GITHUB_TOKEN") && printed.contains("gitops (1)"), "{printed}");

    let request = world.server.at().settled("OPS-1", "proposed");
    assert_eq!((world.github.pulls().len(), &request["pull"]["number"]), (1, &json!(1)));
    let outcome = |outcome: &str| world.server.at().metric("kubeops_forge_requests_total", &[&format!("outcome=\"{outcome}\"")]);
    assert_eq!(outcome("limited"), 3.0);
    assert!(outcome("done") >= 3.0);
    assert!(world.server.at().metric("kubeops_forge_budget_remaining", &["resource=\"core\""]) > 4900.0);
    assert!(world.server.at().metric("kubeops_forge_budget_limit", &["resource=\"core\""]) == 5000.0);
}

#[test]
fn what_waits_for_a_limit_outlives_the_process() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.run();
    world.github.fail(Fault::Secondary(Some(3)));
    world.server.at().ticket(&ticket("OPS-1", "payments"));
    eventually("the step is postponed", || {
        let request = world.server.at().requests_of("OPS-1").into_iter().next()?;
        let detail = world.server.at().get(&format!("/requests/{}", request["id"].as_str()?));
        detail["tasks"][0]["last_error"].as_str().map(drop)
    });
    world.server.kill();
    world.server.run();
    world.server.at().settled("OPS-1", "proposed");
    assert_eq!(world.github.pulls().len(), 1);
}

#[test]
fn an_alert_is_proposed_with_what_tickets_must_leave() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.run();
    // The first call of the ticket finds that little is left.
    world.github.allow(249, 5000);
    world.server.at().ticket(&ticket("OPS-1", "payments"));
    let held = eventually("the ticket is postponed", || {
        let request = world.server.at().requests_of("OPS-1").into_iter().next()?;
        let detail = world.server.at().get(&format!("/requests/{}", request["id"].as_str()?));
        detail["tasks"][0]["last_error"].as_str().map(str::to_owned)
    });
    assert!(held.contains("kept for what is more urgent"), "{held}");
    let calls = world.github.calls().len();
    assert_eq!(world.server.at().alert(&alert()).word(), "202 accepted");
    let proposed = world.server.at().settled("prod-eu/payments/checkout", "proposed");
    assert!(world.github.calls().len() > calls);
    assert!(proposed["pull"]["number"].is_u64());
    assert_ne!(world.server.at().requests_of("OPS-1")[0]["state"], "proposed");
    assert!(world.server.at().metric("kubeops_forge_backlog", &["repository=\"gitops\""]) >= 1.0);
}

#[test]
fn an_alert_overtakes_the_tickets_that_a_forges_pace_holds_up() {
    const TICKETS: usize = 25;
    let mut world = World::prepare(FakeGithub::start());
    world.server.set("FORGE_WRITE_PAUSE_MS", "400").run();
    for number in 0..TICKETS {
        world.server.at().ticket(&ticket(&format!("OPS-{number}"), &format!("team-{number}")));
    }
    eventually("pull requests are opened one by one", || (!world.github.pulls().is_empty()).then_some(()));
    // The branches do not wait for them.
    eventually("all branches are there", || (super::branches(&world.server.upstream).len() == TICKETS).then_some(()));
    assert!(world.github.pulls().len() < TICKETS / 2, "branches wait for pull requests");

    assert_eq!(world.server.at().alert(&alert()).word(), "202 accepted");
    let urgent = eventually("the alert is proposed", || {
        let requests = world.server.at().all("/requests");
        requests.into_iter().find(|request| request["automation"] == "autoscaler-maxed-out" && request["state"] == "proposed")
    });
    let place = urgent["pull"]["number"].as_u64().expect("a number");
    assert!(place < TICKETS as u64 * 3 / 4, "it was the {place}th");
    eventually("the tickets follow", || (world.github.pulls().len() == TICKETS + 1).then_some(()));
}
