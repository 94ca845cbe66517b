//! The same job as a GitHub App: one key, and tokens that come and go while nobody looks.

use super::github::World;
use crate::support::fake_github::{FakeApp, FakeGithub, private_key};
use crate::support::server::ticket;

/// What nobody may read anywhere: the tokens that were minted, and lines of the key.
fn secrets(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    world.github.app(|app| found.extend(app.tokens.iter().map(|(token, ..)| token.clone())));
    found.extend(private_key().lines().filter(|line| line.len() == 64).map(str::to_owned));
    assert!(found.len() > 5);
    found
}

#[test]
fn an_app_pushes_proposes_and_leaves_its_evidence_whatever_its_clock_says() {
    // GitHub's clock is twenty minutes ahead of this machine's.
    let mut world = World::prepare_app(FakeGithub::start_skewed(1200));
    world.server.run();
    let pull = world.proposed("OPS-1", "payments");
    assert_eq!((pull.labels.len(), pull.reviewers.len()), (1, 1));
    let request = world.server.at().requests_of("OPS-1").remove(0);
    let checks = world.github.checks();
    assert_eq!(checks.len(), 1);
    let check = &checks[0];
    assert_eq!((check.name.as_str(), check.conclusion.as_str()), ("kubeops", "success"));
    assert_eq!((check.commit.as_str(), check.key.as_str()), (pull.commit.as_str(), request["id"].as_str().expect("an id")));
    assert_eq!(check.summary, pull.body, "the same evidence");

    // In the middle of everything every token is revoked: git and the API get new ones.
    world.github.app(FakeApp::revoke);
    world.proposed("OPS-2", "search");
    assert_eq!(world.github.checks().len(), 2);

    // The account is shown by its name.
    let forges = world.server.at().get("/forges");
    let names: Vec<&str> = forges["items"].as_array().expect("items").iter().filter_map(|forge| forge["name"].as_str()).collect();
    assert_eq!(names, ["app 12", "app 12, installation 34"]);
    assert_eq!(forges["items"][1]["repositories"][0]["name"], "gitops");
    let secrets = secrets(&world);
    world.keeps(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_key_that_is_none_is_told_and_what_waits_goes_on_when_it_is_mended() {
    let mut world = World::prepare_app(FakeGithub::start());
    world.server.secret("GITHUB_APP_KEY", "-----BEGIN NOTHING-----");
    world.server.run();
    world.server.at().ticket(&ticket("OPS-1", "payments"));
    let error = crate::support::server::eventually("an attempt failed", || {
        let request = world.server.at().requests_of("OPS-1").into_iter().next()?;
        let detail = world.server.at().get(&format!("/requests/{}", request["id"].as_str()?));
        detail["tasks"][0]["last_error"].as_str().map(str::to_owned)
    });
    assert!(error.contains("no RSA key in PEM") && error.contains("take the file GitHub gave"), "{error}");
    world.server.secret("GITHUB_APP_KEY", &private_key());
    world.server.at().settled("OPS-1", "proposed");
}
