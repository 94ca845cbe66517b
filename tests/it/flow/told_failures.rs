//! Whoever waits hears also what went wrong: a change that GitHub refuses is told to its ticket with what to do, and what one channel
//! refuses is kept whatever becomes of another.

use super::github::World;
use super::noticed::{Receiver, Reply, key};
use super::told::tells;
use crate::support::fake_github::{FakeGithub, Fault};
use crate::support::fake_jira::{FakeJira, Step};
use crate::support::server::{TestServer, eventually, ticket};
use serde_json::{Value, json};

const KEY: &str = "OPS-42";

/// What a ticket was told in words that hold this.
fn heard(jira: &FakeJira, words: &str) -> Vec<String> {
    jira.issue(KEY).comments.iter().map(|comment| comment.body.to_string()).filter(|body| body.contains(words)).collect()
}

#[test]
fn a_ticket_hears_once_for_each_try_that_github_refused_its_change_and_what_to_do_about_it() {
    let jira = FakeJira::cloud();
    let mut world = World::prepare(FakeGithub::start());
    let feedback = "  feedback: [{ channel: service-desk, on: { failed: { labels: { add: [stuck] }, transition: In Progress } } }]\n";
    tells(&world.server, &jira, feedback);
    // A look at open pull requests would meet the fault instead.
    world.server.set("OBSERVE_SECONDS", "3600").run();
    world.github.fail(Fault::Forbidden);
    let failed = world.ended(KEY, "failed");
    let id = failed["id"].as_str().expect("an id").to_owned();
    eventually("the ticket moved along", || (jira.issue(KEY).status == "In Progress").then_some(()));
    world.server.at().nothing_owed();
    let said = heard(&jira, "The change could not be made");
    assert_eq!((said.len(), jira.issue(KEY).comments.len()), (1, 1), "{said:#?}");
    let wanted =
        ["acme/gitops does not allow it", "the right to write pull requests", &format!("kubeops requests retry {id}"), "Once that is mended"];
    for part in wanted {
        assert!(said[0].contains(part), "{part}: {}", said[0]);
    }
    assert_eq!((jira.issue(KEY).labels, jira.issue(KEY).links.len()), (vec!["stuck".to_owned()], 0));

    // Started again, nothing is told again; asked for again and refused again, in other words, that is told.
    world.server.terminate();
    world.server.run();
    world.server.at().nothing_owed();
    assert_eq!(jira.issue(KEY).comments.len(), 1);
    world.github.fail(Fault::Unprocessable);
    world.retried(KEY);
    let said = eventually("the second refusal is told", || Some(heard(&jira, "The change could not be made")).filter(|said| said.len() == 2));
    assert!(said[1].contains("acme/gitops refuses: Unprocessable Entity"), "{}", said[1]);
    world.server.at().settled(KEY, "failed");
    world.retried(KEY);
    world.server.at().settled(KEY, "proposed");
    eventually("the pull request is told", || (heard(&jira, "A change is proposed").len() == 1).then_some(()));
    world.server.at().nothing_owed();
    assert_eq!((jira.issue(KEY).comments.len(), world.github.pulls().len()), (3, 1));
    assert_eq!(jira.take_violations(), Vec::<String>::new());
}

/// The lines of the timeline that say what the ticket was not told.
fn refusals(request: &Value) -> Vec<&str> {
    let lines = request["timeline"].as_array().expect("a timeline").iter().filter_map(|entry| entry["message"].as_str());
    lines.filter(|line| line.starts_with("service-desk was not told that it is proposed (transition): ")).collect()
}

#[test]
fn what_a_ticket_refuses_stands_in_the_timeline_also_while_another_channel_fails() {
    for (replies, dead) in [(vec![Reply::Status(404); 100], 1), (vec![Reply::Status(500), Reply::Dropped], 0)] {
        let (jira, receiver) = (FakeJira::cloud(), Receiver::answering(&replies));
        let mut server = TestServer::prepare();
        server.secret("HOOK_KEY", &key());
        let feedback = "  feedback:\n    - { channel: service-desk, on: { proposed: { transition: Shipped } } }\n    - { channel: operations, tell: [proposed] }\n";
        tells(&server, &jira, feedback);
        let hook = format!("webhook: {{ url: {}/hooks, secret: HOOK_KEY }}", receiver.server.url());
        server.edit_resource("sources.yaml", |text| {
            format!("{text}\n---\napiVersion: kubeops.dev/v1alpha1\nkind: Channel\nmetadata:\n  name: operations\nspec:\n  {hook}\n")
        });
        server.run();
        server.at().ticket(&ticket(KEY, "payments"));
        server.at().settled(KEY, "proposed");
        // Once where it is told to stop, and until it answers where it only fails.
        let tries = if dead == 1 { 1 } else { 3 };
        eventually("the receiver was tried", || (receiver.seen().len() == tries).then_some(()));
        eventually("what can be told is told", || {
            let status = server.at().get("/status");
            (status["queued_tasks"] == 0 && status["dead_tasks"] == json!(dead)).then_some(())
        });
        let request = server.at().settled(KEY, "proposed");
        let said = refusals(&request);
        assert_eq!(said.len(), 1, "{request:#}");
        assert!(said[0].contains("Shipped") && said[0].contains("In Progress"), "{said:?}");
        assert_eq!((heard(&jira, "A change is proposed").len(), jira.issue(KEY).status.as_str()), (1, "To Do"));
        if dead == 1 {
            // Both are mended, and asked for again.
            receiver.is_mended();
            jira.workflow(vec![Step::new("11", "Ship", &["To Do"], "Shipped", json!({}))]);
            let retried = server.cli(&["requests", "retry", request["id"].as_str().expect("an id")]);
            assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
            eventually("it moved along", || (jira.issue(KEY).status == "Shipped").then_some(()));
            eventually("the receiver hears it", || (receiver.seen().len() == 2).then_some(()));
            server.at().nothing_owed();
            assert_eq!((receiver.seen().len(), heard(&jira, "A change is proposed").len()), (2, 1));
            assert_eq!(refusals(&server.at().settled(KEY, "proposed")).len(), 1);
        }
    }
}
