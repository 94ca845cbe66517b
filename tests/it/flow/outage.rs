//! GitHub and Jira are both away for a while, and thousands of events come meanwhile: each thing arrives once when they are back, and what
//! waits takes no memory.

use super::github::World;
use super::told::tells;
use crate::support::fake_github::FakeGithub;
use crate::support::fake_jira::FakeJira;
use crate::support::server::{change_id, eventually, ticket};
use serde_json::json;
use std::collections::BTreeSet;

const TICKETS: usize = 50;
/// Events about each ticket.
const EVENTS: usize = 40;
/// The most that may be resident beyond what it was before, in MiB: nothing of an event is kept but in the store.
const GROWTH: f64 = 48.0;

#[test]
fn while_github_and_jira_are_away_thousands_of_events_wait_and_arrive_once() {
    let jira = FakeJira::cloud();
    let mut world = World::prepare(FakeGithub::start());
    tells(&world.server, &jira, "  feedback: [{ channel: service-desk }]\n");
    let keys: Vec<String> = (0..TICKETS).map(|number| format!("OPS-{}", 1_000 + number)).collect();
    keys.iter().for_each(|key| jira.add(key, "Approved"));
    for (name, value) in [("LOG_LEVEL", "ERROR"), ("GUNICORN_LOG_LEVEL", "ERROR"), ("TASK_MAX_ATTEMPTS", "100"), ("API_CALLS_PER_MINUTE", "100000")] {
        world.server.set(name, value);
    }
    world.server.run();
    // Everything that is loaded once is.
    world.proposed("OPS-42", "payments");
    let before = world.server.resident_mib();

    world.github.goes_away(true);
    jira.goes_away(true);
    for event in 0..EVENTS {
        for (number, key) in keys.iter().enumerate() {
            let team = format!("team-{number}");
            let mut told = ticket(key, &team);
            told["changelog"]["id"] = json!(change_id(&[key, &event.to_string()]));
            told["timestamp"] = json!(told["timestamp"].as_i64().expect("a time") + i64::try_from(event).expect("small"));
            assert_eq!(world.server.at().ticket(&told).word(), "202 accepted");
        }
    }
    let status = || world.server.at().get("/status");
    eventually("everything is planned and waits", || {
        let status = status();
        (status["pending_deliveries"] == 0 && status["requests"]["planned"] == TICKETS).then_some(())
    });
    let growth = world.server.resident_mib() - before;
    assert!(growth < GROWTH, "{growth} MiB more for what waits");
    assert_eq!(world.github.pulls().len(), 1);

    world.github.goes_away(false);
    jira.goes_away(false);
    eventually("everything is proposed and told", || {
        let status = status();
        (status["requests"]["proposed"] == TICKETS + 1 && status["queued_tasks"] == 0).then_some(())
    });
    assert_eq!(status()["dead_tasks"], 0);
    let heads: BTreeSet<String> = world.github.pulls().into_iter().map(|pull| pull.head).collect();
    assert_eq!((heads.len(), world.github.pulls().len()), (TICKETS + 1, TICKETS + 1), "one pull request for each");
    for key in &keys {
        let issue = jira.issue(key);
        assert_eq!((issue.comments.len(), issue.links.len()), (1, 1), "{key}");
    }
    assert_eq!(world.server.at().all("/requests").len(), TICKETS + 1);
    world.server.upstream.fsck();
}
