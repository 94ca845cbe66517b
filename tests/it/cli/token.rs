//! `kubeops token`.

use super::world::World;

#[test]
fn a_token_is_shown_once_listed_without_its_text_and_revoked() {
    let world = World::new();
    let made = world.run(&["--output", "json", "token", "create", "--name", "ci", "--role", "viewer", "--expires", "30"]).json();
    let (id, token) = (made["id"].as_str().expect("an id"), made["token"].as_str().expect("a token"));
    assert!(token.starts_with("kops_") && made["expires_at"].is_string(), "{made}");
    let plain = world.run(&["token", "create", "--name", "me", "--role", "admin"]).ok();
    assert!(plain.starts_with("kops_") && plain.lines().count() == 1, "only the token, ready for $(...): {plain}");

    let list = world.run(&["token", "list"]).ok();
    assert!(list.contains(id) && list.contains("viewer") && list.contains("me"), "{list}");
    assert!(!list.contains(token), "{list}");
    assert!(world.run(&["token", "revoke", id]).ok().contains(&format!("{id} is revoked")));
    let tokens = world.run(&["--output", "json", "token", "list"]).json();
    let revoked = tokens.as_array().into_iter().flatten().find(|t| t["id"] == id).expect("the token");
    assert!(revoked["revoked_at"].is_string() && revoked.get("hash").is_none(), "{revoked}");
}

#[test]
fn a_revoked_token_opens_nothing_and_a_new_one_does() {
    let world = World::new();
    let server = world.serve();
    let list = server.json(&["token", "list"]);
    let id = list[0]["id"].as_str().expect("an id").to_owned();
    world.run(&["token", "revoke", &id]).ok();
    let other = world.token("viewer");
    let mut command = world.kubeops(&["requests", "list"]);
    super::world::Ran::of(command.env("KUBEOPS_SERVER", server.url()).env("KUBEOPS_TOKEN", other)).ok();
    assert!(server.run(&["requests", "list"]).fails(1).contains("(401)"));
}

#[test]
fn without_a_store_list_and_revoke_say_so_and_make_none() {
    let world = World::new();
    for arguments in [&["token", "list"][..], &["token", "revoke", "tok_01k00000000000000000000000"]] {
        let told = world.run(arguments).fails(1);
        let place = world.path("data").display().to_string();
        assert!(told.contains("there is no store at") && told.contains(&place) && told.contains("DATA_DIR or STORE_URL"), "{told}");
        assert!(world.path("data").metadata().is_err(), "nothing was made");
    }
}

#[test]
fn create_says_which_store_has_the_token_and_when_it_made_the_store() {
    let world = World::new();
    let first = world.run(&["token", "create", "--name", "a", "--role", "admin"]);
    let place = world.path("data").display().to_string();
    assert!(first.error.contains("there was no store at") && first.error.contains(&place) && first.error.contains("DATA_DIR"), "{}", first.error);
    let second = world.run(&["token", "create", "--name", "b", "--role", "admin"]);
    assert!(second.error.contains("the token is in the store") && second.error.contains(&place), "{}", second.error);
    assert!(!second.error.contains("there was no store"), "{}", second.error);
}

#[test]
fn what_is_no_token_or_role_is_told_with_what_is() {
    let world = World::new();
    assert!(world.run(&["token", "create", "--name", "x", "--role", "root"]).fails(2).contains("one of viewer, operator, admin"));
    world.token("viewer");
    assert!(world.run(&["token", "revoke", "tok_01k00000000000000000000000"]).fails(1).contains("tok_01k00000000000000000000000"));
    world.run(&["token", "revoke", "me"]).fails(2);
    for name in ["", "  ", "two\nlines", &"x".repeat(101)] {
        let told = world.run(&["token", "create", "--name", name, "--role", "viewer"]).fails(2);
        assert!(told.contains("has 1 to 100 characters and no control characters"), "{name:?}: {told}");
    }
}
