//! Deliveries that wait for their dispatch: more than may are refused, and one that cannot be read keeps none of the others back.

use crate::support::postgres::Database;
use crate::support::server::{TestServer, eventually, ticket};
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, SqliteConnection};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Deliveries that may wait.
const MOST: usize = 5;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A store in which events cannot be recorded while it is so wanted: what arrives is kept, and waits.
enum Store {
    File(PathBuf),
    Database(Box<Database>),
}

impl Store {
    /// The file of a server.
    fn of(server: &TestServer) -> Self {
        Self::File(server.data().join("kubeops.db"))
    }

    /// A database, on which the server works from its start.
    fn shared(server: &mut TestServer) -> Self {
        let database = runtime().block_on(Database::new());
        server.set("STORE_URL", database.address());
        Self::Database(Box::new(database))
    }

    fn holds_up(&self) {
        match self {
            Self::File(_) => self.says("CREATE TRIGGER held BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'it is held up'); END"),
            Self::Database(_) => self.says(
                "CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it is held up' USING ERRCODE = '57014'; END $$; \
                 CREATE TRIGGER held BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION held()",
            ),
        }
    }

    fn lets_go(&self) {
        match self {
            Self::File(_) => self.says("DROP TRIGGER held"),
            Self::Database(_) => self.says("DROP TRIGGER held ON events"),
        }
    }

    /// It takes no event about this ticket, as if KubeOps made a row of it that no database takes.
    fn refuses_ticket_23(&self) {
        match self {
            Self::File(_) => {
                self.says("CREATE TRIGGER refused BEFORE INSERT ON events WHEN NEW.subject = 'OPS-23' BEGIN SELECT json(NEW.subject); END")
            }
            Self::Database(_) => self.says(
                "CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it is refused'; END $$; \
                 CREATE TRIGGER refused BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.subject = 'OPS-23') EXECUTE FUNCTION refused()",
            ),
        }
    }

    fn takes_all(&self) {
        match self {
            Self::File(_) => self.says("DROP TRIGGER refused"),
            Self::Database(_) => self.says("DROP TRIGGER refused ON events"),
        }
    }

    fn says(&self, sql: &'static str) {
        runtime().block_on(async {
            match self {
                Self::File(file) => {
                    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.expect("the file");
                    connection.execute(sql).await.expect("said");
                    connection.close().await.expect("closed");
                }
                Self::Database(database) => drop(database.psql(sql).await),
            }
        });
    }
}

/// What the server shows of its deliveries: state by id.
fn shown(server: &TestServer) -> Vec<(String, String)> {
    let text = |delivery: &Value, name: &str| delivery[name].as_str().unwrap_or_default().to_owned();
    server.at().all("/deliveries").iter().map(|delivery| (text(delivery, "id"), text(delivery, "state"))).collect()
}

fn more_than_may_wait_are_refused(server: &mut TestServer, store: impl FnOnce(&mut TestServer) -> Store) {
    server.set("MAX_QUEUED_DELIVERIES", &MOST.to_string());
    let store = store(server);
    server.run();
    store.holds_up();
    let asks = |number: usize| ticket(&format!("OPS-{number}"), &format!("team-{number}"));
    let mut taken = BTreeSet::new();
    let mut number = 0;
    // How many wait is looked at once a second: until then more are taken.
    let refused = eventually("one is refused", || {
        number += 1;
        let answered = server.at().ticket(&asks(number));
        match answered.status {
            202 => assert!(taken.insert(answered.id())),
            503 => return Some(answered),
            other => panic!("{other}: {}", answered.text()),
        }
        None
    });
    assert!(taken.len() >= MOST, "{} were taken", taken.len());
    assert_eq!(refused.headers["retry-after"], "5", "{}", refused.text());
    assert_eq!(refused.json()["error"]["code"], "busy", "{}", refused.text());
    assert!(refused.text().contains("wait already"), "{}", refused.text());
    // While they wait, nobody else is taken, and what was refused is not there.
    for more in 1..=20 {
        assert_eq!(server.at().ticket(&asks(number + more)).status, 503);
    }
    let waiting = shown(server);
    assert!(waiting.iter().all(|(_, state)| state == "pending"), "{waiting:?}");
    assert_eq!(waiting.into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>(), taken);

    store.lets_go();
    for again in number..=number + 20 {
        let heard = eventually("who comes again is heard", || Some(server.at().ticket(&asks(again))).filter(|answered| answered.status != 503));
        assert_eq!(heard.word(), "202 accepted");
        assert!(taken.insert(heard.id()));
    }
    server.at().nothing_owed();
    let dispatched = shown(server);
    assert!(dispatched.iter().all(|(_, state)| state == "dispatched"), "{dispatched:?}");
    assert_eq!(dispatched.into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>(), taken);
    assert_eq!(server.at().all("/requests").len(), taken.len());
}

#[test]
fn when_as_many_wait_in_a_file_as_may_more_are_refused_until_they_were_dispatched() {
    more_than_may_wait_are_refused(&mut TestServer::prepare(), |server| Store::of(server));
}

#[test]
fn when_as_many_wait_in_a_database_as_may_more_are_refused_until_they_were_dispatched() {
    more_than_may_wait_are_refused(&mut TestServer::prepare(), Store::shared);
}

#[test]
fn a_delivery_whose_reading_panics_is_told_as_failed_and_the_others_of_its_batch_are_dispatched() {
    let mut server = TestServer::prepare();
    server.set("KUBEOPS_FAILPOINT", "panic@dispatch.reading=OPS-13").run();
    // All of them are read together, once they may be.
    let store = Store::of(&server);
    store.holds_up();
    let keys = ["OPS-11", "OPS-12", "OPS-13", "OPS-14"];
    let ids = keys.map(|key| server.at().ticket(&ticket(key, &key.to_lowercase())).id());
    store.lets_go();
    for key in keys.into_iter().filter(|key| *key != "OPS-13") {
        server.at().settled(key, "proposed");
    }
    server.at().nothing_owed();
    let failed = server.at().get(&format!("/deliveries/{}", ids[2]));
    assert_eq!(failed["state"], "failed", "{failed}");
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("a fault of KubeOps")), "{failed}");
    assert_eq!(shown(&server).iter().filter(|(_, state)| state == "dispatched").count(), 3);
    assert_eq!(server.at().requests_of("OPS-13").len(), 0);

    // Nobody tries it again, not even the next process; and who is asked to, once it can be read, does.
    let tried = |server: &TestServer| server.log().matches("reading this delivery failed unexpectedly").count();
    let before = tried(&server);
    assert!(before > 0 && server.log().contains(&ids[2]));
    server.terminate();
    server.run();
    server.at().ticket(&ticket("OPS-15", "ops-15"));
    server.at().settled("OPS-15", "proposed");
    assert_eq!(tried(&server), before);
    server.terminate();
    server.set("KUBEOPS_FAILPOINT", "").run();
    let replayed = server.at().api("POST", &format!("/deliveries/{}/replay", ids[2]), None);
    assert!(replayed.status < 300, "{}", replayed.text());
    server.at().settled("OPS-13", "proposed");
}

/// What a database refuses for good: a delivery of which KubeOps makes rows that it does not take.
fn one_that_is_not_recorded(server: &mut TestServer, store: impl FnOnce(&mut TestServer) -> Store) {
    let store = store(server);
    server.run();
    store.refuses_ticket_23();
    store.holds_up();
    let keys = ["OPS-21", "OPS-22", "OPS-23", "OPS-24"];
    let ids = keys.map(|key| server.at().ticket(&ticket(key, &key.to_lowercase())).id());
    store.lets_go();
    for key in keys.into_iter().filter(|key| *key != "OPS-23") {
        server.at().settled(key, "proposed");
    }
    server.at().nothing_owed();
    let failed = server.at().get(&format!("/deliveries/{}", ids[2]));
    assert_eq!(failed["state"], "failed", "{failed}");
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("could not be recorded")), "{failed}");
    assert_eq!(server.at().requests_of("OPS-23").len(), 0);

    // What was refused can be asked for again, once it can be recorded.
    store.takes_all();
    let replayed = server.at().api("POST", &format!("/deliveries/{}/replay", ids[2]), None);
    assert!(replayed.status < 300, "{}", replayed.text());
    server.at().settled("OPS-23", "proposed");
}

#[test]
fn a_delivery_that_a_file_refuses_is_told_as_failed_and_the_others_of_its_batch_are_dispatched() {
    one_that_is_not_recorded(&mut TestServer::prepare(), |server| Store::of(server));
}

#[test]
fn a_delivery_that_a_database_refuses_is_told_as_failed_and_the_others_of_its_batch_are_dispatched() {
    one_that_is_not_recorded(&mut TestServer::prepare(), Store::shared);
}
