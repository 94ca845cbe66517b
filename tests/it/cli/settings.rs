//! How settings that cannot be used are told.

use super::world::{Ran, World, ticket};

#[test]
fn a_setting_that_cannot_be_used_is_told_with_its_value_and_what_is_allowed() {
    let world = World::new();
    let told = Ran::of(world.kubeops(&["serve"]).env("PORT", "http").env("LOG_LEVEL", "loud").env("ENABLE_METRICS", "maybe")).fails(1);
    for part in ["PORT=\"http\"", "a whole number from 0 to 65535", "LOG_LEVEL=\"loud\"", "DEBUG", "ENABLE_METRICS=\"maybe\"", "true"] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    assert!(world.path("data").metadata().is_err(), "nothing was begun");
}

#[test]
fn a_server_with_broken_resources_does_not_start_and_says_where() {
    let world = World::new();
    world.write("resources/wrong.yaml", "apiVersion: kubeops.dev/v1alpha1\nkind: Cluster\nmetadata: { name: dev }\nspec: { repository: nowhere }\n");
    let told = Ran::of(&mut world.kubeops(&["serve"])).fails(1);
    assert!(told.contains("wrong.yaml:4:") && told.contains("nowhere"), "{told}");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let told = Ran::of(world.kubeops(&["serve"]).env("PORT", &port)).fails(1);
    assert!(told.contains(&port), "{told}");
}

#[test]
fn a_wrong_signature_is_in_the_log_at_its_usual_level_under_the_trace_id_the_sender_got() {
    let world = World::new();
    let server = world.serve();
    let (status, answer) = server.deliver_signed(&ticket("OPS-1", "ledger"), "not the secret of the portal");
    assert_eq!(status, 401, "{answer}");
    let trace_id = answer["error"]["trace_id"].as_str().expect("a trace id");
    let line = server.logs(trace_id);
    for part in ["WARN", "a delivery was refused", "portal", "no configured secret fits", "x-signature: sha256=<hex>"] {
        assert!(line.contains(part), "{part:?} in {line}");
    }
    let ending = line.split_once(" trace_id=").map_or("", |(_, ending)| ending);
    assert!(ending.starts_with(&format!("{trace_id} span_id=")) && ending.split(' ').count() == 2, "as a line of a step ends: {line}");
    for hidden in ["no configured secret fits", "sha256"] {
        assert!(!answer.to_string().contains(hidden), "the sender is not told: {answer}");
    }
    assert!(!server.log().contains("actix_server"), "what it runs on is quiet: {}", server.log());
}

#[test]
fn an_address_of_a_language_model_that_is_hardly_meant_is_warned_of_at_the_start() {
    let world = World::new();
    let server = world.serve_with(&[("LLM_LOCAL_URL", "http://127.0.0.1:11434")]);
    assert!(server.logs("has no path").contains("LLM_LOCAL_URL=http://127.0.0.1:11434/v1"), "{}", server.log());
}
