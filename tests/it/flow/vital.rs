//! A task that must run ends by a mistake of ours: the process does not go on as if all were well.

use super::left_exactly_one;
use crate::support::server::{TestServer, ticket};

/// The task dies at a point; the process says so, ends with an error, and the next one goes on.
fn ends_when(point: &str, said: &str) {
    let mut server = TestServer::prepare();
    server.set("KUBEOPS_FAILPOINT", &format!("panic@{point}")).set("OBSERVE_SECONDS", "1").run();
    // The worker dies of it, or the upkeep meanwhile.
    let sent = server.at().jira(ticket("OPS-1", "payments").to_string().as_bytes()).expect("an answer");
    assert_eq!(sent.word(), "202 accepted");
    let status = server.wait();
    assert_eq!(status.code(), Some(1), "{point}: {status}");
    assert!(server.log().contains(said), "{point}: the log says {said:?}");

    server.set("KUBEOPS_FAILPOINT", "").run();
    server.at().settled("OPS-1", "proposed");
    left_exactly_one(&server, "OPS-1", "proposed");
}

#[test]
fn the_process_ends_with_an_error_when_its_worker_does() {
    ends_when("dispatch.recorded", "the worker panicked");
}

#[test]
fn the_process_ends_with_an_error_when_its_upkeep_does() {
    ends_when("upkeep.round:3", "the worker ended unasked: its upkeep ended unasked");
}
