//! The clock on the wall is set while work is under way: nothing waits for the same hour twice, nothing is lost or done twice.

use super::replicas::{CLOCK_TO_BE_SET, database, psql};
use super::told;
use crate::support::fake_jira::FakeJira;
use crate::support::server::{TestServer, eventually, ticket};
use crate::support::warp::Warp;

const HOUR: i64 = 3600;

/// A server that waits for further events for a few seconds before it plans, and its clock.
fn prepare() -> (TestServer, Warp) {
    let mut server = TestServer::prepare();
    server.edit_resource("namespace-request.yaml", |text| text.replace("  target:\n", "  debounce: { quiet: 8s, atMost: 16s }\n  target:\n"));
    let warp = Warp::of(&mut server);
    server.set("API_CALLS_PER_MINUTE", "6000");
    (server, warp)
}

fn asked(server: &TestServer, key: &str, team: &str) {
    server.at().ticket(&ticket(key, team));
    server.at().settled(key, "accepted");
}

fn one_of_each(server: &TestServer, requests: usize) {
    eventually("nothing is owed", || (server.at().get("/status")["queued_tasks"] == 0).then_some(()));
    assert_eq!((server.at().all("/requests").len(), server.at().all("/pulls").len()), (requests, requests));
    server.upstream.fsck();
}

#[test]
fn a_clock_set_back_or_forth_by_an_hour_holds_up_nothing_and_does_nothing_twice() {
    let (mut server, warp) = prepare();
    server.run();
    asked(&server, "OPS-1", "payments");
    warp.to(-HOUR);
    server.at().settled("OPS-1", "proposed");
    assert!(server.log().contains("the clock was set back"), "{}", server.log());
    asked(&server, "OPS-2", "search");
    warp.to(HOUR);
    server.at().settled("OPS-2", "proposed");
    asked(&server, "OPS-3", "billing");
    warp.to(0);
    server.at().settled("OPS-3", "proposed");
    one_of_each(&server, 3);
}

#[test]
fn a_clock_set_back_while_nobody_was_there_is_noticed_at_the_start() {
    for point in ["plan.settling", "propose.settling"] {
        let mut server = TestServer::prepare();
        let warp = Warp::of(&mut server);
        server.set("KUBEOPS_FAILPOINT", point).run();
        server.at().ticket(&ticket("OPS-1", "payments"));
        assert!(!server.wait().success(), "{point}: it died");
        warp.to(-HOUR);
        server.set("KUBEOPS_FAILPOINT", "").run();
        server.at().settled("OPS-1", "proposed");
        one_of_each(&server, 1);
    }
}

#[test]
fn a_clock_set_forth_while_a_comment_is_on_its_way_has_nobody_write_it_again() {
    let jira = FakeJira::cloud();
    jira.add("OPS-43", "To Do");
    let mut server = told::prepare(&jira, "  feedback:\n    - channel: service-desk\n");
    let warp = Warp::of(&mut server);
    server.run();
    let comment = jira.delay(told::COMMENT);
    server.at().ticket(&ticket("OPS-42", "payments"));
    eventually("the comment is on its way", || comment.came().then_some(()));
    warp.to(HOUR);
    eventually("it is noticed", || server.log().contains("the clock was set forward").then_some(()));
    // Meanwhile it goes on with whatever else there is.
    server.at().ticket(&ticket("OPS-43", "search"));
    server.at().settled("OPS-43", "proposed");
    drop(comment);
    told::told(&server, &jira, 1);
    assert!(!server.log().contains("a lease was lost"), "{}", server.log());
}

#[test]
fn a_database_clock_set_back_is_followed_once_however_late_another_process_sees_it() {
    let database = database();
    psql(&database, CLOCK_TO_BE_SET);
    let mut server = TestServer::prepare();
    server.edit_resource("namespace-request.yaml", |text| text.replace("  target:\n", "  debounce: { quiet: 10h, atMost: 20h }\n  target:\n"));
    server.set("STORE_URL", database.address()).run();
    let second = server.replica("second");
    asked(&server, "OPS-1", "payments");
    let number = |sql: &str| psql(&database, sql).parse::<i64>().expect("a number");
    let run_at = || number("SELECT run_at FROM outbox WHERE kind = 'plan'");
    let before = run_at();
    second.signal("STOP");
    psql(&database, "UPDATE warped.clock SET ahead = '-1 hour'");
    eventually("what waits follows", || server.log().contains("the clock was set back: what waits").then_some(()));
    let back = number("SELECT back FROM set_back");
    assert!((HOUR * 1000 - 15_000..=HOUR * 1000 + 5_000).contains(&back), "{back}");
    assert_eq!(run_at(), before - back);
    second.signal("CONT");
    eventually("the other has seen it too", || server.log().contains("another process had what waits follow it").then_some(()));
    assert_eq!((number("SELECT back FROM set_back"), run_at()), (back, before - back));
}
