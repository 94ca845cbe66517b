//! What becomes of a branch at GitHub once its pull request is over, as git sees it.

use super::branches;
use super::github::World;
use crate::support::fake_github::FakePull;
use crate::support::server::eventually;

fn is_gone(world: &World, pull: &FakePull) {
    eventually("the branch is gone", || world.server.upstream.tip(&pull.head).is_none().then_some(()));
}

#[test]
fn the_branch_goes_with_its_pull_request_when_that_is_merged_or_closed() {
    let world = World::start();
    for (key, team, merged, state) in [("OPS-1", "payments", true, "merged"), ("OPS-2", "search", false, "declined")] {
        let pull = world.proposed(key, team);
        world.github.end(pull.number, merged);
        world.server.at().settled(key, state);
        is_gone(&world, &pull);
    }
    assert_eq!(branches(&world.server.upstream), []);
}

#[test]
fn a_branch_that_github_deleted_with_the_merge_is_no_trouble() {
    let world = World::start();
    let pull = world.proposed("OPS-1", "payments");
    world.github.end(pull.number, true);
    world.server.upstream.git(&["update-ref", "-d", &format!("refs/heads/{}", pull.head)]);
    let merged = world.server.at().settled("OPS-1", "merged");
    let id = merged["id"].as_str().expect("an id").to_owned();
    eventually("nothing is left to do", || {
        let detail = world.server.at().get(&format!("/requests/{id}"));
        detail["tasks"].as_array()?.iter().all(|task| task["state"] == "done").then_some(())
    });
    assert_eq!(branches(&world.server.upstream), []);
}

#[test]
fn a_branch_with_a_persons_commit_stays_whatever_becomes_of_its_pull_request() {
    let world = World::start();
    let mut theirs = Vec::new();
    for (key, team, merged, state) in [("OPS-1", "payments", true, "merged"), ("OPS-2", "search", false, "declined")] {
        let pull = world.proposed(key, team);
        let commit = world.server.upstream.write(&pull.head, "README.md", "a person's");
        world.github.end(pull.number, merged);
        world.server.at().settled(key, state);
        theirs.push((pull.head, commit.to_string()));
    }
    // One that comes later is cleaned up: the others had their turn before it.
    let last = world.proposed("OPS-3", "billing");
    world.github.end(last.number, false);
    world.server.at().settled("OPS-3", "declined");
    is_gone(&world, &last);
    theirs.sort();
    let mut left = branches(&world.server.upstream);
    left.sort();
    assert_eq!(left, theirs);
}

#[test]
fn who_deletes_the_branch_of_an_open_pull_request_declines_it() {
    let world = World::start();
    let pull = world.proposed("OPS-1", "payments");
    world.server.upstream.git(&["update-ref", "-d", &format!("refs/heads/{}", pull.head)]);
    let declined = world.server.at().settled("OPS-1", "declined");
    assert!(declined["message"].as_str().is_some_and(|message| message.contains("closed without a merge")), "{declined:#}");
    assert_eq!((world.github.pulls().len(), branches(&world.server.upstream).len()), (1, 0));
}
