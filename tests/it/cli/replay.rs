//! `kubeops replay`: of a recorded payload, and of a stored delivery.

use super::world::{World, ticket};
use serde_json::json;

#[test]
fn a_recorded_payload_is_looked_at_and_nothing_is_done() {
    let world = World::new();
    world.write("ticket.json", &ticket("OPS-1", "ledger").to_string());
    let told = world.run(&["replay", "ticket.json", "--source", "portal"]).ok();
    assert!(told.contains("volume matches") && told.contains("+      storage: 50Gi"), "{told}");
    assert!(world.path("data").metadata().is_err(), "no store was made");
    assert_eq!(world.upstream.git(&["for-each-ref", "--format=%(refname)"]).trim(), "refs/heads/main");
    let inferred = world.run(&["replay", "ticket.json"]).ok();
    assert!(inferred.contains("volume matches"), "there is one source: {inferred}");
    assert!(world.run(&["replay", "ticket.json", "--apply"]).fails(1).contains("only a stored delivery can be applied"));
}

#[test]
fn what_is_neither_a_file_nor_a_delivery_is_told_as_that() {
    let world = World::new();
    let told = world.run(&["replay", "./tikcet.json"]).fails(1);
    assert!(told.contains("./tikcet.json") && told.contains("no such file") && !told.contains("which source"), "{told}");
    let told = world.run(&["replay", "dlv_foo"]).fails(1);
    assert!(told.contains("no delivery id") && told.contains("dlv_foo") && !told.contains("which source"), "{told}");
    let told = world.run(&["explain", "--payload", "tikcet.json"]).fails(1);
    assert!(told.contains("tikcet.json cannot be read: No such file"), "{told}");
    // With two sources nothing is guessed.
    world.write("ticket.json", &ticket("OPS-1", "ledger").to_string());
    let other = std::fs::read_to_string(world.path("resources/portal.yaml"))
        .expect("a file")
        .split("---")
        .next()
        .expect("a source")
        .replace("name: portal", "name: desk");
    world.write("resources/desk.yaml", &other);
    let told = world.run(&["replay", "ticket.json"]).fails(1);
    assert!(told.contains("--source is one of: desk, portal"), "{told}");
}

#[test]
fn the_help_says_which_roles_it_needs_and_a_lower_one_is_told_so() {
    let world = World::new();
    let help = world.run(&["replay", "--help"]).ok();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("this needs a token of the role admin") && words.contains("this needs the role operator"), "{help}");
    let server = world.serve();
    let (_, answer) = server.deliver(&ticket("OPS-9", "ledger"));
    let id = answer["id"].as_str().expect("an id");
    let mut command = world.kubeops(&["replay", id]);
    let told = super::world::Ran::of(command.env("KUBEOPS_SERVER", server.url()).env("KUBEOPS_TOKEN", world.token("operator"))).fails(1);
    assert!(told.contains("this needs the role admin"), "{told}");
}

#[test]
fn a_stored_delivery_is_tried_under_changed_resources_and_then_applied() {
    let world = World::new();
    let server = world.serve();
    // Nobody takes it as things stand.
    let (status, answer) = server.deliver(&json!({ "ticket": "OPS-2", "approved": false, "name": "ledger", "size": "10Gi" }));
    assert_eq!(status, 202, "{answer}");
    let id = answer["id"].as_str().expect("an id").to_owned();
    assert!(server.run(&["replay", &id]).ok().contains("volume does not match"));
    let applied = server.run(&["replay", &id, "--apply"]).ok();
    assert_eq!(applied.trim(), "dispatched again; no automation takes it");

    // The same under resources that are only here.
    std::fs::create_dir(world.path("changed")).expect("a directory");
    for name in ["portal.yaml", "gitops.yaml"] {
        let text = std::fs::read_to_string(world.path("resources").join(name)).expect("a file");
        world.write(&format!("changed/{name}"), &text.replace("event.data.approved == true && ", ""));
    }
    let told = server.run(&["replay", &id, "--resources", "changed"]).ok();
    assert!(told.contains("volume matches") && told.contains("storage: 10Gi"), "{told}");
    assert_eq!(server.json(&["requests", "list"])["items"], json!([]), "it was dry");

    // A delivery that was taken opens one more request when it is applied after the first has ended.
    let (_, answer) = server.deliver(&ticket("OPS-3", "ledger"));
    let id = answer["id"].as_str().expect("an id").to_owned();
    let first = server.until("OPS-3", "proposed");
    server.run(&["requests", "cancel", first["id"].as_str().expect("an id")]).ok();
    server.until("OPS-3", "withdrawn");
    let applied = server.json(&["replay", &id, "--apply"]);
    let opened = applied["requests"][0].as_str().unwrap_or_else(|| panic!("a request: {applied}"));
    let second = server.until("OPS-3", "proposed");
    assert_eq!(second["id"], opened);
    assert_ne!(second["id"], first["id"]);
}

#[test]
fn a_delivery_that_is_not_there_is_said_to_be_missing() {
    let world = World::new();
    let server = world.serve();
    let id = "dlv_01k00000000000000000000000";
    assert!(server.run(&["replay", id]).fails(1).contains(id));
    assert!(server.run(&["replay", id, "--apply"]).fails(1).contains("(404)"));
}

#[test]
fn a_recorded_payload_of_github_is_read_with_the_header_it_came_with() {
    let world = World::new();
    let source = "apiVersion: kubeops.dev/v1alpha1\nkind: Source\nmetadata: { name: github }\nspec: { kind: github, authentication: { hmac: { secrets: [HOOK] } } }\n";
    world.write("resources/github.yaml", source);
    let body = json!({ "ref": "refs/heads/main", "before": "0", "after": "1", "repository": { "full_name": "acme/gitops" } });
    world.write("push.json", &body.to_string());
    for command in [&["explain", "--payload", "push.json"][..], &["replay", "push.json"]] {
        let arguments = [command, &["--source", "github"]].concat();
        let told = world.run(&arguments).fails(1);
        assert!(told.contains("X-GitHub-Event"), "{told}");
        let told = world.run(&[&arguments[..], &["--header", "X-GitHub-Event: push"]].concat()).ok();
        assert!(told.contains("push about acme/gitops@main"), "{told}");
        let told = world.run(&[&arguments[..], &["--header", "X-GitHub-Event"]].concat()).fails(2);
        assert!(told.contains("NAME: VALUE"), "{told}");
    }
}
