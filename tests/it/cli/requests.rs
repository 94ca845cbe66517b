//! `kubeops requests`, `pulls` and `health` against a running server.

use super::world::{Ran, World, ticket};
use serde_json::json;

#[test]
fn a_request_is_listed_shown_reviewed_and_merged() {
    let world = World::new();
    let server = world.serve();
    assert_eq!(server.run(&["requests", "list"]).ok().trim(), "nothing found");
    let (status, answer) = server.deliver(&ticket("OPS-7", "ledger"));
    assert_eq!((status, &answer["status"]), (202, &json!("accepted")));
    let (status, again) = server.deliver(&ticket("OPS-7", "ledger"));
    assert_eq!((status, &again["status"], &again["id"]), (200, &json!("duplicate"), &answer["id"]));
    let request = server.until("OPS-7", "proposed");
    let id = request["id"].as_str().expect("an id");

    let list = server.run(&["requests", "list", "--state", "proposed"]).ok();
    assert!(list.starts_with("REQUEST ") && list.contains(id) && list.contains(" #1 "), "{list}");
    let shown = server.run(&["requests", "show", id]).ok();
    for part in ["proposed", "automation volume", "for        OPS-7", "TIMELINE", "pull request #1 is open", "+      storage: 50Gi"] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    assert!(server.run(&["requests", "diff", id]).ok().contains("+kind: PersistentVolumeClaim"));

    assert!(server.run(&["pulls", "list"]).ok().contains("gitops#1  open"));
    // The server chose its port itself; links have that one.
    assert_eq!(server.json(&["requests", "show", id])["pull"]["url"], format!("{}/api/v1/pulls/gitops/1", server.url()));
    let pull = server.run(&["pulls", "show", "gitops#1"]).ok();
    assert!(pull.starts_with("gitops#1 Volume ledger (OPS-7) (open)"), "{pull}");
    assert!(server.run(&["pulls", "diff", "gitops/1"]).ok().contains("+  name: ledger"));
    assert_eq!(server.run(&["pulls", "approve", "gitops#1"]).ok().trim(), "gitops#1 is open, approved by admin");
    assert_eq!(server.run(&["pulls", "merge", "gitops#1"]).ok().trim(), "gitops#1 is merged, approved by admin");
    assert!(world.upstream.show("clusters/prod/volumes/ledger.yaml", "main").contains("storage: 50Gi"));
    server.until("OPS-7", "merged");
    assert!(server.run(&["pulls", "merge", "gitops#1"]).ok().contains("merged"), "merging again is no mistake");
    assert!(server.run(&["pulls", "close", "gitops#1"]).fails(1).contains("no longer open"));
}

#[test]
fn a_request_asked_for_waits_in_the_line_of_its_repository_from_the_beginning() {
    let world = World::new();
    let server = world.serve();
    // Nothing can be planned, so nothing but the asking itself can have told the repository.
    std::fs::rename(world.upstream.path(), world.path("elsewhere.git")).expect("moved");
    let asked = server.json(&["requests", "ask", "volume", "-p", "name=logs", "-p", "size=10Gi"]);
    let shown = server.json(&["requests", "show", asked["id"].as_str().expect("an id")]);
    assert_eq!((&shown["repository"], &shown["commit"]), (&json!("gitops"), &json!(null)), "{shown:#}");
}

#[test]
fn a_person_asks_is_refused_with_every_reason_cancels_and_a_veto_is_kept() {
    let world = World::new();
    let server = world.serve();
    let told = server.run(&["requests", "ask", "volume", "-p", "name=Big One", "-p", "size=3"]).fails(1);
    assert!(told.contains("- name: ") && told.contains("- size: "), "{told}");
    assert!(server.run(&["requests", "ask", "volumes"]).fails(1).contains("volumes"));
    assert!(server.run(&["requests", "ask", "volume", "-p", "name"]).fails(1).contains("\"name\" is not NAME=VALUE"));
    assert!(server.run(&["requests", "ask", "volume", "-p", "name=a", "-p", "name=b"]).fails(1).contains("given twice"));

    let asked = server.run(&["requests", "ask", "volume", "-p", "name=logs", "-p", "size=10Gi", "--correlation", "ME-1"]).ok();
    let request = server.until("ME-1", "proposed");
    let id = request["id"].as_str().expect("an id");
    for verb in ["show", "diff", "retry", "cancel", "revert", "hold", "release"] {
        for given in ["ME-1", "gitops#1"] {
            let told = server.run(&["requests", verb, given]).fails(1);
            assert!(told.contains(&format!("kubeops requests list --correlation {given}")), "{verb}: {told}");
        }
    }
    assert_eq!(asked.trim(), format!("asked for: {id}\nsee what becomes of it: kubeops requests show {id}"));
    let joined = server.json(&["requests", "ask", "volume", "-p", "name=logs", "-p", "size=10Gi", "--correlation", "ME-1"]);
    assert_eq!((&joined["id"], &joined["status"]), (&request["id"], &json!("joined")));
    let told = server.run(&["requests", "cancel", id, "--reason", "by mistake"]).ok();
    assert_eq!(told.trim(), format!("{id} is withdrawn"));
    assert!(server.run(&["requests", "show", id]).ok().contains("by mistake"));
    assert!(server.run(&["requests", "retry", id]).fails(1).contains("withdrawn"));

    server.run(&["requests", "ask", "volume", "-p", "name=logs", "-p", "size=10Gi", "--correlation", "ME-2"]).ok();
    let request = server.until("ME-2", "proposed");
    let pull = format!("gitops#{}", request["pull"]["number"]);
    assert!(server.run(&["pulls", "close", &pull, "--comment", "not this quarter"]).ok().contains("closed"));
    assert!(server.run(&["pulls", "show", &pull]).ok().contains("admin said: not this quarter"));
    let declined = server.until("ME-2", "declined");
    let id = declined["id"].as_str().expect("an id");
    let again = server.json(&["requests", "ask", "volume", "-p", "name=logs", "-p", "size=10Gi", "--correlation", "ME-2"]);
    let told = server.run(&["requests", "retry", id]).fails(1);
    assert!(told.contains("(409)") && told.contains("another live request has the key"), "{told}");
    // Not while a step is under way: whoever is second is refused.
    assert_eq!(server.until("ME-2", "proposed")["id"], again["id"]);
    server.run(&["requests", "cancel", again["id"].as_str().expect("an id")]).ok();
    assert!(server.run(&["requests", "retry", id]).ok().contains("accepted"), "a person may ask again");
}

#[test]
fn events_are_listed_with_what_was_decided() {
    let world = World::new();
    let server = world.serve();
    server.deliver(&json!({ "ticket": "OPS-8", "approved": false, "name": "ledger", "size": "10Gi" }));
    server.deliver(&ticket("OPS-9", "ledger"));
    server.until("OPS-9", "proposed");
    let list = server.run(&["requests", "events", "--subject", "OPS-8"]).ok();
    assert!(list.contains("volume.requested  OPS-8"), "{list}");
    let event = server.json(&["requests", "events", "--subject", "OPS-8"])["items"][0]["id"].as_str().expect("an id").to_owned();
    let told = server.run(&["requests", "events", "--explain", &event]).ok();
    assert!(told.contains("volume did not match") && told.contains("event.data.approved is false"), "{told}");
}

#[test]
fn an_event_that_nobody_listens_to_is_explained_by_who_listens_to_what() {
    let world = World::new();
    let text = std::fs::read_to_string(world.path("resources/portal.yaml")).expect("the resources");
    world.write(
        "resources/portal.yaml",
        &text.replace("type: \"'volume.requested'\"", "type: \"body.approved ? 'volume.requested' : 'volume.dropped'\""),
    );
    let server = world.serve();
    server.deliver(&json!({ "ticket": "OPS-8", "approved": false, "name": "ledger", "size": "10Gi" }));
    server.deliver(&ticket("OPS-9", "ledger"));
    server.until("OPS-9", "proposed");
    let event = server.json(&["requests", "events", "--subject", "OPS-8"])["items"][0]["id"].as_str().expect("an id").to_owned();
    let told = server.run(&["requests", "events", "--explain", &event]).ok();
    assert!(told.contains("no automation listened to this source and type\n    volume on this source wants volume.requested"), "{told}");
}

#[test]
fn listings_go_on_where_the_page_before_ended() {
    let world = World::new();
    let server = world.serve();
    for number in 1..=3 {
        server.deliver(&ticket(&format!("OPS-{number}"), &format!("volume-{number}")));
    }
    for number in 1..=3 {
        server.until(&format!("OPS-{number}"), "proposed");
    }
    let page = server.json(&["requests", "list", "--limit", "2"]);
    let told = server.run(&["requests", "list", "--limit", "2"]).ok();
    let next = page["next"].as_str().expect("another page");
    assert!(told.contains(&format!("more: --after {next}")), "{told}");
    let rest = server.json(&["requests", "list", "--limit", "2", "--after", next]);
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(rest["next"], json!(null));
}

#[test]
fn without_a_token_or_a_server_the_way_out_is_told() {
    let world = World::new();
    let server = world.serve();
    let bare = |token: &str, url: &str| {
        let mut command = world.kubeops(&["requests", "list"]);
        command.env("KUBEOPS_SERVER", url);
        if !token.is_empty() {
            command.env("KUBEOPS_TOKEN", token);
        }
        Ran::of(&mut command).fails(1)
    };
    let told = bare("", &server.url());
    assert!(told.contains("(401)") && told.contains("kubeops token create"), "{told}");
    assert!(!told.contains("{}"), "empty details are not shown: {told}");
    let (start, last) = server.token.split_at(server.token.len() - 1);
    let wrong = format!("{start}{}", if last == "x" { "y" } else { "x" });
    let told = bare(&wrong, &server.url());
    assert!(told.contains("(401)") && !told.contains(&wrong), "a token is never repeated: {told}");
    assert!(told.contains("DATA_DIR"), "it may be another store's: {told}");
    let mut empty = world.kubeops(&["requests", "list"]);
    let told = Ran::of(empty.env("KUBEOPS_SERVER", server.url()).env("KUBEOPS_TOKEN", "")).fails(1);
    assert!(told.contains("set KUBEOPS_TOKEN"), "an empty token is none: {told}");
    let mut bare_address = world.kubeops(&["requests", "list"]);
    let told = Ran::of(bare_address.env("KUBEOPS_SERVER", &server.address)).fails(2);
    assert!(told.contains("needs http:// or https://"), "{told}");
    let told = bare("", "http://127.0.0.1:9");
    assert!(told.contains("the server at http://127.0.0.1:9 cannot be reached") && told.contains("kubeops serve"), "{told}");
    let viewer = world.token("viewer");
    let mut command = world.kubeops(&["pulls", "approve", "gitops#1"]);
    let told = Ran::of(command.env("KUBEOPS_SERVER", server.url()).env("KUBEOPS_TOKEN", viewer)).fails(1);
    assert!(told.contains("(403)") && told.contains("operator"), "{told}");
    assert!(server.run(&["pulls", "show", "gitops"]).fails(1).contains("is not repository#number"));
    assert!(server.run(&["requests", "list", "--state", "done"]).fails(1).contains("done"));
}

#[test]
fn health_asks_the_address_of_the_settings() {
    let world = World::new();
    let server = world.serve();
    let port = server.address.rsplit(':').next().expect("a port").to_owned();
    let ask = |arguments: &[&str]| Ran::of(world.kubeops(arguments).env("PORT", &port));
    assert_eq!(ask(&["health"]).ok().trim(), "ready");
    assert_eq!(ask(&["health", "--live"]).ok().trim(), "ok");
    assert_eq!(ask(&["health", "--output", "json"]).json()["checks"]["store"], "ok");
    drop(server);
    assert!(ask(&["health"]).fails(1).contains("does not answer"));

    // One that takes the call and says nothing, and one that is another program.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let asked = |port: u16| Ran::of(world.kubeops(&["health"]).env("PORT", port.to_string())).fails(1);
    assert!(asked(silent.local_addr().expect("an address").port()).contains("did not answer within 4 s"));
    let other = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = other.local_addr().expect("an address").port();
    let answering = std::thread::spawn(move || {
        let (mut caller, _) = other.accept().expect("a caller");
        std::io::Read::read(&mut caller, &mut [0; 1024]).expect("a call");
        std::io::Write::write_all(&mut caller, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").expect("answered");
    });
    assert!(asked(port).contains("says 404"));
    answering.join().expect("it answered");
}

#[test]
fn a_time_to_live_is_shown_with_its_end_once_it_is_known() {
    let world = World::new();
    let text = std::fs::read_to_string(world.path("resources/portal.yaml")).expect("the resources");
    world.write("resources/portal.yaml", &text.replace("  render:\n", "  ttl: 2h\n  render:\n"));
    let server = world.serve();
    server.deliver(&ticket("OPS-9", "ledger"));
    let request = server.until("OPS-9", "proposed");
    let told = server.run(&["requests", "show", request["id"].as_str().expect("an id")]).ok();
    assert!(told.contains("wanted for 2h\n"), "{told}");
    server.run(&["pulls", "merge", "gitops#1"]).ok();
    let request = server.until("OPS-9", "merged");
    let told = server.run(&["requests", "show", request["id"].as_str().expect("an id")]).ok();
    assert!(told.contains(&format!("wanted for 2h, until {}", request["expires_at"].as_str().expect("an end"))), "{told}");
}
