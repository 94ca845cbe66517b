//! What a step came to and the store does not take: it harms no other, and comes to an end.

use super::backlog::Store;
use crate::support::server::{TestServer, eventually, ticket};

/// Sends three tickets, of which the store is to refuse something of the second.
fn three(server: &TestServer) {
    for key in ["OPS-81", "OPS-82", "OPS-83"] {
        assert_eq!(server.at().ticket(&ticket(key, &key.to_lowercase())).word(), "202 accepted");
    }
    for key in ["OPS-81", "OPS-83"] {
        server.at().settled(key, "proposed");
    }
}

fn fails_with_words(server: &mut TestServer, store: impl FnOnce(&mut TestServer) -> Store) {
    let store = store(server);
    server.run();
    store.refuses_where("requests", "NEW.correlation = 'OPS-82' AND NEW.state = 'planned'");
    three(server);
    let failed = server.at().settled("OPS-82", "failed");
    let said = failed["message"].as_str().unwrap_or_default();
    assert!(said.contains("after 3 attempts") && said.contains("the store does not take this"), "{failed:#}");
    assert_eq!(server.at().get("/status")["dead_tasks"], 1);
    // Who asks again, once it can be kept, gets it.
    store.takes_updates_of("requests");
    let retry = format!("/requests/{}/retry", failed["id"].as_str().expect("an id"));
    assert!(server.at().api("POST", &retry, None).status < 300);
    server.at().settled("OPS-82", "proposed");
}

#[test]
fn a_result_that_a_file_does_not_take_fails_its_request_with_words_and_no_other() {
    fails_with_words(&mut TestServer::prepare(), |server| Store::of(server));
}

#[test]
fn a_result_that_a_database_does_not_take_fails_its_request_with_words_and_no_other() {
    fails_with_words(&mut TestServer::prepare(), Store::shared);
}

#[test]
fn where_the_request_cannot_be_changed_at_all_its_task_is_a_dead_letter() {
    let mut server = TestServer::prepare();
    server.run();
    let store = Store::of(&server);
    store.refuses_where("requests", "NEW.correlation = 'OPS-82'");
    three(&server);
    eventually("a dead letter is left", || (store.counts("outbox WHERE state = 'dead'") == 1).then_some(()));
    assert_eq!(store.counts("outbox WHERE state = 'dead' AND last_error LIKE '%could not be kept%it is refused%'"), 1);
    assert_eq!(server.at().requests_of("OPS-82")[0]["state"], "accepted");
}

#[test]
fn where_not_even_a_dead_letter_can_be_kept_the_task_rests() {
    let mut server = TestServer::prepare();
    server.run();
    let store = Store::of(&server);
    store.refuses_where("requests", "NEW.correlation = 'OPS-82'");
    store.refuses_where("outbox", "NEW.state = 'dead'");
    three(&server);
    let rests = "outbox WHERE state = 'waiting' AND kind = 'plan' AND run_at > (CAST(strftime('%s', 'now') AS INTEGER) + 3000) * 1000";
    eventually("it rests for an hour", || (store.counts(rests) == 1).then_some(()));
    assert!(server.log().lines().any(|line| line.contains("ERROR") && line.contains("nor could that it failed") && line.contains("verdict=dead")));
}
