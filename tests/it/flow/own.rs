//! What people do at GitHub sets automations off, and what KubeOps does there does not, however it is told.

use super::github::World;
use super::heard::{listening, tell};
use crate::support::fake_github::{FakeGithub, OURSELVES, SLUG};
use crate::support::server::eventually;
use serde_json::{Value, json};

/// Asks for a namespace for each pull request that is opened or labelled.
const AUTOMATION: &str = r#"apiVersion: kubeops.dev/v1alpha1
kind: Automation
metadata:
  name: on-pulls
spec:
  on:
    source: github
    types: [pull_request.opened, pull_request.labeled, push]
  correlate: event.subject
  parameters:
    team:
      from: "event.type == 'push' ? 'pushed' : 'pull-' + string(event.data.number)"
      schema: { type: string, pattern: "^[a-z][a-z0-9-]{1,40}$" }
    cpu:
      default: "4"
      schema: { type: string, pattern: "^[1-9][0-9]{0,2}$" }
    cluster:
      default: prod-eu
      schema: { type: string }
  target:
    cluster: "{{ parameters.cluster }}"
  render:
    - template: namespace
      path: "namespaces/{{ parameters.team }}.yaml"
  pullRequest:
    title: "Namespace {{ parameters.team }}"
"#;

fn prepare(world: World) -> World {
    let world = listening(world);
    world.server.edit_resource("on-pulls.yaml", |_| AUTOMATION.to_owned());
    world
}

/// Started, and asked who it is by now.
fn start(mut world: World, asked: &str) -> World {
    world.server.run();
    eventually("it asked who it is", || world.github.calls().iter().any(|call| call.ends_with(asked)).then_some(()));
    world
}

fn of_pull(action: &str, number: u64, head: &str, sender: &str) -> Value {
    json!({
        "action": action, "number": number,
        "pull_request": {
            "number": number, "updated_at": "2026-11-20T12:00:01Z", "title": format!("{action} by {sender}"),
            "head": { "ref": head, "repo": { "full_name": SLUG } },
        },
        "repository": { "full_name": SLUG }, "sender": { "login": sender, "type": "User" },
    })
}

/// What was decided about the newest event of this type.
fn decided(world: &World, event: &str, kind: &str, body: &Value) -> String {
    let known = world.server.at().all("/events").len();
    assert_eq!(tell(world, event, body), "202 accepted");
    let found = eventually("it is read", || {
        let events = world.server.at().all("/events");
        (events.len() > known).then(|| events.into_iter().find(|event| event["type"] == kind)).flatten()
    });
    found["decisions"][0]["message"].as_str().unwrap_or_default().to_owned()
}

fn requests(world: &World) -> usize {
    let all = world.server.at().all("/requests");
    all.iter().filter(|request| request["automation"] == "on-pulls").count()
}

#[test]
fn our_own_pull_requests_set_nothing_off_and_what_a_person_does_to_them_does() {
    let world = start(prepare(World::prepare(FakeGithub::start())), "GET /user");
    its_own_pull_requests_set_nothing_off(&world, OURSELVES);
    assert_eq!(world.github.calls().iter().filter(|call| *call == "GET /user").count(), 1, "it asked once");

    let world = start(prepare(World::prepare_app(FakeGithub::start())), "/app");
    its_own_pull_requests_set_nothing_off(&world, "kubeops[bot]");
}

fn its_own_pull_requests_set_nothing_off(world: &World, ourselves: &str) {
    let first = world.proposed("OPS-1", "payments");
    for action in ["opened", "labeled"] {
        let said = decided(world, "pull_request", &format!("pull_request.{action}"), &of_pull(action, first.number, &first.head, ourselves));
        assert_eq!(said, format!("no request was opened: KubeOps itself did this, as {ourselves}"));
    }
    world.server.at().nothing_owed();
    assert_eq!((requests(world), world.github.pulls().len()), (0, 1));

    // Ada labels it: that is another matter, and what is proposed for it is ours again.
    let body = of_pull("labeled", first.number, &first.head, "ada");
    assert_eq!(decided(world, "pull_request", "pull_request.labeled", &body), "");
    let second = eventually("it has a pull request", || world.github.pulls().into_iter().find(|pull| pull.head.contains("on-pulls")));
    decided(world, "pull_request", "pull_request.opened", &of_pull("opened", second.number, &second.head, ourselves));
    let mut pushed = json!({
        "ref": format!("refs/heads/{}", second.head), "before": "0".repeat(40), "after": "1".repeat(40), "created": true, "commits": [],
        "repository": { "full_name": SLUG }, "sender": { "login": ourselves },
    });
    decided(world, "push", "push", &pushed);
    // Told in another account's name: a branch of a request comes to be by nobody else.
    let said = decided(world, "pull_request", "pull_request.opened", &of_pull("opened", second.number, &second.head, "another"));
    assert!(said.contains("this is how the request with the branch kubeops/on-pulls/"), "{said}");
    (pushed["sender"]["login"], pushed["after"]) = (json!("another"), json!("2".repeat(40)));
    assert!(decided(world, "push", "push", &pushed).contains("this is how the request with the branch"));
    world.server.at().nothing_owed();
    assert_eq!((requests(world), world.github.pulls().len()), (1, 2));

    // A branch of a person's.
    assert_eq!(decided(world, "pull_request", "pull_request.opened", &of_pull("opened", 99, "fix", "ada")), "");
    eventually("it is another request", || (requests(world) == 2).then_some(()));
}

#[test]
fn until_github_says_who_we_are_nothing_about_branches_of_ours_sets_anything_off() {
    let world = prepare(World::prepare(FakeGithub::start()));
    world.github.hide_the_user();
    let world = start(world, "GET /user");
    let first = world.proposed("OPS-1", "payments");
    for action in ["opened", "labeled"] {
        let said = decided(&world, "pull_request", &format!("pull_request.{action}"), &of_pull(action, first.number, &first.head, OURSELVES));
        assert!(said.starts_with("no request was opened"), "{action}: {said}");
    }
    let said = decided(&world, "pull_request", "pull_request.labeled", &of_pull("labeled", first.number, &first.head, "ada"));
    assert!(said.contains("who KubeOps is at the forge of gitops is not known yet"), "{said}");
    world.server.at().nothing_owed();
    assert_eq!((requests(&world), world.github.pulls().len()), (0, 1));
    assert_eq!(decided(&world, "pull_request", "pull_request.labeled", &of_pull("labeled", 99, "fix", "ada")), "");
    eventually("a person's own is another matter", || (requests(&world) == 1).then_some(()));
}
