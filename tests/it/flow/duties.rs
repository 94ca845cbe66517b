//! What one process of all does from time to time: it alone does it, and another once that one has died.

use crate::support::postgres::Database;
use crate::support::server::{Connection, TestServer, eventually, ticket};

/// A database, and what it is asked beside the program.
struct Asked(tokio::runtime::Runtime, Database);

impl Asked {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let database = runtime.block_on(Database::new());
        Self(runtime, database)
    }

    fn psql(&self, sql: &str) -> String {
        self.0.block_on(self.1.psql(sql))
    }

    fn number(&self, sql: &str) -> i64 {
        self.psql(sql).parse().unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn deliveries(&self) -> i64 {
        self.number("SELECT count(*) FROM deliveries")
    }

    /// Waits until whoever has a duty has said so twice more.
    fn is_kept(&self, duty: &str) {
        for _ in 0..2 {
            let until = || self.number(&format!("SELECT max(held_until) FROM duties WHERE name = '{duty}'"));
            let before = until();
            eventually("it is kept", || (until() > before).then_some(()));
        }
    }

    /// Deliveries that nobody needs, from long ago.
    fn are_old(&self, at: &Connection, keys: [&str; 3]) {
        for key in keys {
            let mut other = ticket(key, "payments");
            other["issue"]["fields"]["issuetype"]["name"] = "Question".into();
            assert!(at.ticket(&other).status < 300);
        }
        at.nothing_owed();
        assert_eq!(at.all("/requests").len(), 0);
        self.psql("UPDATE deliveries SET received_at = 0");
        assert_eq!(self.deliveries(), 3);
    }
}

#[test]
fn of_two_processes_one_removes_what_is_past_its_retention_and_the_other_once_that_one_died() {
    let asked = Asked::new();
    let mut server = TestServer::prepare();
    server.set("STORE_URL", asked.1.address()).set("OBSERVE_SECONDS", "1").set("LEASE_SECONDS", "3").run();
    asked.are_old(server.at(), ["OPS-1", "OPS-2", "OPS-3"]);
    assert!(server.terminate().success());

    // It looks at its start, and in ten minutes again.
    let removed = |server: &TestServer| server.log().matches("removed what is past its retention").count();
    server.run();
    eventually("they are removed", || (asked.deliveries() == 0).then_some(()));
    asked.are_old(server.at(), ["OPS-4", "OPS-5", "OPS-6"]);
    let second = server.replica("second");
    asked.is_kept("upkeep");
    assert_eq!((asked.deliveries(), removed(&server)), (3, 1), "the second looked, though it is not its duty");

    server.kill();
    eventually("the other removes them", || (asked.deliveries() == 0).then_some(()));
    eventually("it says so", || (removed(&server) == 2).then_some(()));
    assert_eq!(second.at().all("/deliveries").len(), 0);
}
