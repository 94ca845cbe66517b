//! Git is refused, and GitHub's API knows why: the request ends at the first attempt, with the reason and what to do about it.
//! Where the API knows no reason, git is tried again.

use super::github::World;
use crate::support::fake_github::{FakeGithub, Fault, SLUG};
use crate::support::server::{eventually, ticket};
use crate::support::upstream::Refusal;
use serde_json::Value;

/// How GitHub's git refuses a push to what is archived.
const ARCHIVED: &str = "This repository was archived so it is read-only.";
/// The call that asks for the reason.
const CALL: &str = "GET /repos/acme/gitops";

fn asked(world: &World) -> usize {
    world.github.calls().iter().filter(|call| matches!(call.as_str(), CALL | "GET /api/v3/repos/acme/gitops")).count()
}

/// The request of a ticket ends as failed at once, with these words, and goes on when `mend` has mended it.
fn ends_at_once_and_goes_on(world: &mut World, key: &str, step: &str, words: &[&str], mend: impl FnOnce(&mut World)) {
    let failed = world.ended(key, "failed");
    let message = failed["message"].as_str().expect("a message");
    assert!(message.starts_with(&format!("{step} failed after 1 attempt: ")), "{message}");
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
    mend(world);
    world.git.refuse(None);
    world.retried(key);
    world.server.at().settled(key, "proposed");
}

fn with_transport(world: &World, transport: &str) {
    world.server.edit_resource("inventory.yaml", |text| {
        let edited = text.replacen("  branch: main\n", &format!("  branch: main\n  git: {{ transport: {transport} }}\n"), 1);
        assert_ne!(edited, text);
        edited
    });
}

#[rstest::rstest]
fn what_is_archived_is_not_pushed_to_ten_times(#[values("libgit2", "git")] transport: &str) {
    let mut world = World::prepare(FakeGithub::start());
    with_transport(&world, transport);
    world.server.run();
    world.github.repository(SLUG, |repository| repository.archived = true);
    world.git.refuse(Some(Refusal::Pushes(ARCHIVED)));
    ends_at_once_and_goes_on(&mut world, "OPS-1", "propose", &["acme/gitops is archived, and so read-only; unarchive it"], |world| {
        assert_eq!(world.github.calls(), [CALL], "one call tells");
        world.github.repository(SLUG, |repository| repository.archived = false);
    });
    assert_eq!(world.github.pulls().len(), 1);
    world.keeps_the_token();
}

#[rstest::rstest]
fn of_a_renamed_repository_the_new_name_is_told_and_where_to_write_it(#[values("libgit2", "git")] transport: &str) {
    let mut world = World::prepare(FakeGithub::start());
    with_transport(&world, transport);
    world.server.run();
    world.github.rename(SLUG, "umbrella/manifests");
    world.git.refuse(Some(Refusal::LedTo("umbrella/manifests")));
    let words = ["acme/gitops is called umbrella/manifests now", "put the new address into `url`", "the new name into `forge.repository`"];
    ends_at_once_and_goes_on(&mut world, "OPS-1", "plan", &words, |world| {
        // The address is the same here, and not led on any more.
        world.server.edit_resource("inventory.yaml", |text| text.replace("repository: acme/gitops", "repository: umbrella/manifests"));
        let loaded = |world: &World| world.server.at().get("/status")["resources"]["loaded_at"].clone();
        let before = loaded(world);
        world.server.signal("HUP");
        eventually("the new name is in force", || (loaded(world) != before).then_some(()));
    });
    assert_eq!(world.github.pulls_of("umbrella/manifests").len(), 1);
    assert!(!world.server.at().settled("OPS-1", "proposed")["message"].as_str().expect("a message").contains("is called"));
}

#[test]
fn a_right_that_was_taken_away_is_named_and_given_back() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.run();
    world.github.repository(SLUG, |repository| repository.may_push = false);
    world.git.refuse(Some(Refusal::Pushes("Permission to acme/gitops.git denied to kubeops-bot.")));
    ends_at_once_and_goes_on(
        &mut world,
        "OPS-1",
        "propose",
        &["acme/gitops may be read but not written by this token; give it the right"],
        |world| {
            world.github.repository(SLUG, |repository| repository.may_push = true);
        },
    );
}

#[test]
fn an_app_that_may_not_write_any_more_is_told_by_its_token() {
    let mut world = World::prepare_app(FakeGithub::start());
    world.server.run();
    world.github.app(|app| app.contents = "read");
    world.git.refuse(Some(Refusal::Pushes("Write access to repository not granted.")));
    ends_at_once_and_goes_on(&mut world, "OPS-1", "propose", &["may be read but not written by GitHub App 12"], |world| {
        world.github.app(|app| app.contents = "write");
    });
}

#[test]
fn a_repository_that_is_hidden_from_us_is_told_at_once() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.run();
    world.github.fail(Fault::NotFound);
    world.git.refuse(Some(Refusal::Hidden));
    ends_at_once_and_goes_on(&mut world, "OPS-1", "plan", &["knows no such repository, or hides it from this token"], |_| {});
}

#[test]
fn another_key_than_the_forges_is_not_judged_by_what_the_forges_token_may_do() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.secret("GIT_TOKEN", crate::support::fake_github::TOKEN);
    world.server.edit_resource("inventory.yaml", |text| text.replace("username: bot, secret: GITHUB_TOKEN", "username: bot, secret: GIT_TOKEN"));
    world.server.run();
    world.github.repository(SLUG, |repository| repository.may_push = false);
    is_tried_again(&world, "OPS-1", Refusal::Pushes("Permission to acme/gitops.git denied."));
}

#[test]
fn what_git_alone_refuses_for_a_moment_is_tried_again() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.run();
    is_tried_again(&world, "OPS-1", Refusal::Everything);
    assert_eq!(asked(&world), 1, "not more often than once a minute");
    // The same as an App, whose token is renewed.
    let mut world = World::prepare_app(FakeGithub::start());
    world.server.run();
    is_tried_again(&world, "OPS-1", Refusal::Everything);
    assert_eq!(asked(&world), 1);
}

#[test]
fn a_former_name_is_no_reason_where_git_knows_the_new_one() {
    let mut world = World::prepare(FakeGithub::start());
    world.server.run();
    // Its `url` was changed, its `forge.repository` was not.
    world.github.rename(SLUG, "umbrella/manifests");
    is_tried_again(&world, "OPS-1", Refusal::Everything);
}

/// Git is refused until two attempts have failed; then the request goes on by itself.
fn is_tried_again(world: &World, key: &str, refusal: Refusal) {
    world.git.refuse(Some(refusal));
    assert_eq!(world.server.at().ticket(&ticket(key, "payments")).word(), "202 accepted");
    let error = eventually("two attempts failed", || {
        let request = world.server.at().requests_of(key).into_iter().next()?;
        let detail = world.server.at().get(&format!("/requests/{}", request["id"].as_str()?));
        let task: &Value = detail["tasks"].as_array()?.iter().find(|task| task["state"] == "waiting" && task["attempts"] == 2)?;
        task["last_error"].as_str().map(str::to_owned)
    });
    assert!(error.contains("the remote refuses access"), "{error}");
    world.git.refuse(None);
    world.server.at().settled(key, "proposed");
}
