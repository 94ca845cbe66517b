//! A pull request in a merge queue is being tested as it is: a new commit would throw it out.

use super::github::World;
use crate::support::fake_github::FakePull;
use crate::support::server::eventually;

/// Somebody makes the file of a branch by hand, with other content: the request's change is another one on the newer base.
fn base_moves(world: &World, head: &str) {
    let file = world.server.upstream.git(&["diff", "--name-only", &format!("main...{head}")]).trim().to_owned();
    let by_hand = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: search\n  labels:\n    by: hand\n";
    world.server.upstream.write("main", &file, by_hand);
}

#[test]
fn a_pull_request_in_a_merge_queue_is_not_pushed_to_and_planned_again_when_it_has_left() {
    let world = World::start();
    let FakePull { number, head, commit, .. } = world.proposed("OPS-1", "search");
    world.github.person(number, |pull| pull.queued = true);
    world.github.clear_ledger();
    base_moves(&world, &head);
    // Looked at on the moved base, found queued, more than once.
    eventually("the queue was asked twice", || (world.github.calls().iter().filter(|call| call.ends_with("/graphql")).count() > 1).then_some(()));
    assert_eq!(world.server.upstream.tip(&head).expect("the branch").to_string(), commit);
    assert_eq!(world.server.at().requests_of("OPS-1")[0]["state"], "proposed");
    // Reviews are read by the look at what the person did, and by no plan.
    let asked = world.github.calls();
    assert!(asked.iter().filter(|call| call.ends_with("/reviews")).count() <= 1, "{asked:?}");
    world.github.person(number, |pull| pull.queued = false);
    let moved = eventually("it is proposed on the newer base", || {
        let request = world.server.at().requests_of("OPS-1").remove(0);
        (request["state"] == "proposed" && request["commit"] != commit.as_str()).then_some(request)
    });
    assert_eq!(world.server.upstream.tip(&head).expect("the branch").to_string(), moved["commit"].as_str().expect("a commit"));
    assert_eq!(world.server.upstream.git(&["rev-list", "--count", &format!("main..{head}")]).trim(), "1");
    assert_eq!(world.github.pulls().len(), 1);
}
