//! However GitHub says no, the request ends in the right state, with a sentence a person understands; and what can be mended
//! goes on when it is.

use super::github::World;
use super::plan_again;
use crate::support::fake_github::{FakeGithub, Fault, SLUG};
use crate::support::server::eventually;
use serde_json::{Value, json};

fn message(request: &Value) -> &str {
    request["message"].as_str().expect("a message")
}

#[test]
fn what_a_person_must_mend_ends_as_failed_and_goes_on_when_it_is_asked_for_again() {
    let mut world = World::prepare(FakeGithub::start());
    // A look at open pull requests would meet the fault instead.
    world.server.set("OBSERVE_SECONDS", "3600").run();
    let endings = [
        (Fault::Archived, "is archived, and so read-only; unarchive it"),
        (Fault::Forbidden, "does not allow it"),
        (Fault::NotFound, "knows no such repository, or hides it from this token"),
        (Fault::Gone, "is gone for good"),
        (Fault::Blocked, "is blocked for legal reasons"),
        (Fault::NoBase, "has no branch main"),
        (Fault::Unauthorised, "does not accept the token"),
    ];
    for (number, (fault, sentence)) in endings.into_iter().enumerate() {
        let key = format!("OPS-{number}");
        world.github.fail(fault.clone());
        let failed = world.ended(&key, "failed");
        assert!(message(&failed).contains(sentence) && message(&failed).contains("acme/gitops"), "{fault:?}: {}", message(&failed));
        assert!(message(&failed).starts_with("propose failed after 1 attempt: "), "{}", message(&failed));
        world.retried(&key);
        let proposed = world.server.at().settled(&key, "proposed");
        assert_eq!(proposed["pull"]["number"], number + 1, "{proposed:#}");
    }
    assert_eq!(world.github.pulls().len(), 7);
}

#[test]
fn a_branch_that_is_not_seen_yet_is_asked_for_again() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.run();
    world.github.fail(Fault::NoHead);
    world.proposed("OPS-1", "payments");
}

#[test]
fn what_the_base_holds_by_then_is_unchanged() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.run();
    world.github.fail(Fault::NoCommits);
    let unchanged = world.ended("OPS-1", "unchanged");
    assert!(message(&unchanged).contains("that main does not hold"), "{}", message(&unchanged));
    assert_eq!((world.github.pulls().len(), &unchanged["pull"]), (0, &json!(null)));
}

#[test]
fn a_renamed_repository_goes_on_and_its_new_name_is_told() {
    let mut world = World::prepare(FakeGithub::start());
    world.github.rename(SLUG, "umbrella/manifests");
    world.server.run();
    let proposed = world.ended("OPS-1", "proposed");
    assert!(message(&proposed).contains("called umbrella/manifests now; put that name into its resource"), "{}", message(&proposed));
    // It is looked at under its new name as well.
    let pulls = world.github.pulls_of("umbrella/manifests");
    assert_eq!(pulls.len(), 1);
    world.github.repository("umbrella/manifests", |repository| {
        let pull = &mut repository.pulls[0];
        (pull.state, pull.merged, pull.updated) = ("closed", true, pull.updated + 1);
    });
    world.server.at().settled("OPS-1", "merged");
    assert!(world.server.log().contains("the repository has another name now"));
}

#[test]
fn what_github_could_not_do_beside_the_pull_request_is_told_with_it() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.edit_resource("namespace-request.yaml", |text| {
        text.replace("    reviewers: [platform-team]\n", "    reviewers: [nobody]\n    assignees: [nobody]\n    milestone: Never\n")
    });
    world.server.run();
    let proposed = world.ended("OPS-1", "proposed");
    for part in ["nobody was asked to review", "does not assign nobody", "no open milestone \"Never\""] {
        assert!(message(&proposed).contains(part), "{part}: {}", message(&proposed));
    }
}

#[test]
fn everything_an_automation_says_of_its_pull_request_is_there() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.edit_resource("namespace-request.yaml", |text| {
        text.replace(
            "    reviewers: [platform-team]\n",
            "    reviewers: [platform-team, acme/platform]\n    assignees: [bob]\n    milestone: Q4\n    autoMerge: squash\n",
        )
    });
    world.server.run();
    let pull = world.proposed("OPS-1", "payments");
    assert_eq!((pull.assignees, pull.milestone, pull.auto_merge), (vec!["bob".to_owned()], Some(4), Some("SQUASH".to_owned())));
    assert_eq!((pull.reviewers.len(), pull.teams), (1, vec!["platform".to_owned()]));
}

#[test]
fn a_request_planned_again_asks_github_for_nothing_when_nothing_it_says_has_changed() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.set("OBSERVE_SECONDS", "3600").run();
    let first = world.proposed("OPS-1", "payments");
    // A person changes its title; the base moves on.
    world.github.person(1, |pull| pull.title = "A person's title".to_owned());
    world.server.upstream.write("main", "README.md", "moved on");
    world.github.clear_ledger();
    plan_again(&world.server, "OPS-1");
    let moved = eventually("it is proposed on the new base", || {
        let request = world.server.at().requests_of("OPS-1").remove(0);
        (request["state"] == "proposed" && request["commit"] != first.commit).then_some(request)
    });
    assert_eq!(world.github.calls(), [] as [&str; 0], "GitHub follows the branch by itself");
    assert_eq!(world.server.upstream.tip(&first.head).expect("the branch").to_string(), moved["commit"].as_str().expect("a commit"));
    assert_eq!((world.github.pulls().len(), world.github.pulls()[0].title.as_str()), (1, "A person's title"));
    // What it says changes: now it is asked, and only what differs is written.
    reworded(&world, "labels: [namespace]", "labels: [tenant]", "[\"tenant\"]");
    plan_again(&world.server, "OPS-1");
    eventually("the label is there", || world.github.pulls()[0].labels.contains(&"tenant".to_owned()).then_some(()));
    world.server.at().settled("OPS-1", "proposed");
}

#[test]
fn a_request_whose_pull_request_a_person_closed_while_it_was_planned_again_gets_no_second_one() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.set("OBSERVE_SECONDS", "3600").run();
    world.proposed("OPS-1", "payments");
    world.github.end(1, false);
    world.server.upstream.write("main", "README.md", "moved on");
    // Its words change as well, so GitHub is asked.
    reworded(&world, "Namespace {{ parameters.team }}", "Tenant {{ parameters.team }}", "Tenant {{");
    plan_again(&world.server, "OPS-1");
    let declined = world.server.at().settled("OPS-1", "declined");
    assert!(message(&declined).contains("closed by a person"), "{}", message(&declined));
    assert_eq!(world.github.pulls().len(), 1);
}

#[test]
fn a_pull_request_closed_while_nobody_asked_is_noticed_at_the_next_look() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.set("OBSERVE_SECONDS", "3600").run();
    let first = world.proposed("OPS-1", "payments");
    world.github.end(1, false);
    world.server.upstream.write("main", "README.md", "moved on");
    plan_again(&world.server, "OPS-1");
    eventually("it is proposed on the new base", || {
        let request = world.server.at().requests_of("OPS-1").remove(0);
        (request["state"] == "proposed" && request["commit"] != first.commit).then_some(())
    });
    world.server.terminate();
    world.server.set("OBSERVE_SECONDS", "1").run();
    world.server.at().settled("OPS-1", "declined");
    assert_eq!(world.github.pulls().len(), 1);
}

#[test]
fn a_branch_that_somebody_deleted_is_no_sign_that_nothing_changed() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.set("OBSERVE_SECONDS", "3600").run();
    let pull = world.proposed("OPS-1", "payments");
    // Deleting the branch closes the pull request.
    world.github.end(1, false);
    world.server.upstream.git(&["update-ref", "-d", &format!("refs/heads/{}", pull.head)]);
    world.server.upstream.write("main", "README.md", "moved on");
    plan_again(&world.server, "OPS-1");
    world.server.at().settled("OPS-1", "declined");
    assert_eq!(world.github.pulls().len(), 1);
}

/// Writes other words into the automation, and waits until they are in force.
fn reworded(world: &World, from: &str, to: &str, shown: &str) {
    world.server.edit_resource("namespace-request.yaml", |text| text.replace(from, to));
    world.server.signal("HUP");
    eventually("the change is in force", || {
        let automation = world.server.at().get("/automations/namespace-request");
        automation["document"].to_string().contains(shown).then_some(())
    });
}

#[test]
fn words_that_were_written_and_not_noted_are_taken_back() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.edit_resource("namespace-request.yaml", |text| text.replace("    labels: [namespace]", "    body: Once.\n    labels: [namespace]"));
    world.server.set("OBSERVE_SECONDS", "3600").run();
    let first = world.proposed("OPS-1", "payments");
    assert!(first.body.starts_with("Once."), "{}", first.body);
    // Other words arrive at GitHub, but the reply does not, and every attempt after it is refused.
    reworded(&world, "Once.", "Twice.", "Twice.");
    world.github.fail_after(1, Fault::DroppedAfter);
    world.github.fail(Fault::Forbidden);
    plan_again(&world.server, "OPS-1");
    world.server.at().settled("OPS-1", "failed");
    assert!(world.github.pulls()[0].body.starts_with("Twice."), "{}", world.github.pulls()[0].body);
    // The first words are in force again.
    reworded(&world, "Twice.", "Once.", "Once.");
    plan_again(&world.server, "OPS-1");
    world.server.at().settled("OPS-1", "proposed");
    assert_eq!(world.github.pulls()[0].body, first.body);
}
