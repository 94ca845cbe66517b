//! Deliveries that wait for their dispatch: more than may are refused, and one that cannot be read keeps none of the others back.

use crate::support::postgres::Database;
use crate::support::server::{PATIENCE, Replica, TestServer, eventually, ticket};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Deliveries that may wait.
const MOST: usize = 5;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A store in which events cannot be recorded while it is so wanted: what arrives is kept, and waits.
pub(super) enum Store {
    File(PathBuf),
    Database(Box<Database>),
}

impl Store {
    /// The file of a server.
    pub(super) fn of(server: &TestServer) -> Self {
        Self::File(server.data().join("kubeops.db"))
    }

    /// A database, on which the server works from its start.
    pub(super) fn shared(server: &mut TestServer) -> Self {
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

    /// It takes no event about these tickets, as if KubeOps made rows of them that no database takes.
    fn refuses(&self, tickets: &str) {
        self.answers_with(tickets, "SELECT RAISE(ABORT, 'it is refused')", "23514");
    }

    /// The same, as if the database were at fault: it is damaged, or has not the columns that this program writes.
    fn fails_at(&self, tickets: &str) {
        self.answers_with(tickets, "SELECT json('{')", "42703");
    }

    /// For tickets that are `LIKE` this, by what SQLite is to run into, and with what PostgreSQL is to answer.
    fn answers_with(&self, tickets: &str, runs_into: &str, code: &str) {
        match self {
            Self::File(_) => {
                self.says(&format!("CREATE TRIGGER refused BEFORE INSERT ON events WHEN NEW.subject LIKE '{tickets}' BEGIN {runs_into}; END"))
            }
            Self::Database(_) => self.says(&format!(
                "CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it is refused' USING ERRCODE = '{code}'; END $$; \
                 CREATE TRIGGER refused BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.subject LIKE '{tickets}') EXECUTE FUNCTION refused()"
            )),
        }
    }

    fn takes_all(&self) {
        match self {
            Self::File(_) => self.says("DROP TRIGGER refused"),
            Self::Database(_) => self.says("DROP TRIGGER refused ON events"),
        }
    }

    /// It takes no update of this table by which a row would be so.
    pub(super) fn refuses_where(&self, table: &str, row: &str) {
        match self {
            Self::File(_) => self.says(&format!(
                "CREATE TRIGGER refused_{table} BEFORE UPDATE ON {table} WHEN {row} BEGIN SELECT RAISE(ABORT, 'it is refused'); END"
            )),
            Self::Database(_) => self.says(&format!(
                "CREATE OR REPLACE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it is refused' USING ERRCODE = '23514'; END $$; \
                 CREATE TRIGGER refused_{table} BEFORE UPDATE ON {table} FOR EACH ROW WHEN ({row}) EXECUTE FUNCTION refused()"
            )),
        }
    }

    /// It takes them again.
    pub(super) fn takes_updates_of(&self, table: &str) {
        match self {
            Self::File(_) => self.says(&format!("DROP TRIGGER refused_{table}")),
            Self::Database(_) => self.says(&format!("DROP TRIGGER refused_{table} ON {table}")),
        }
    }

    /// How many rows a table has.
    pub(super) fn counts(&self, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        runtime().block_on(async {
            match self {
                Self::File(file) => {
                    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.expect("the file");
                    let rows = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut connection).await.expect("a count");
                    connection.close().await.expect("closed");
                    rows
                }
                Self::Database(database) => database.psql(&count).await.parse().expect("a count"),
            }
        })
    }

    fn says(&self, sql: &str) {
        runtime().block_on(async {
            match self {
                Self::File(file) => {
                    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.expect("the file");
                    connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("said");
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
    store.refuses("OPS-23");
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

/// How often the server says that it did not record a delivery.
fn tries(server: &TestServer, id: &str) -> usize {
    server.log().lines().filter(|line| line.contains("this delivery was not recorded") && line.contains(id)).count()
}

/// A database that takes nothing, for whatever reason: of what it was handed, nothing is given up.
fn all_wait_until_it_takes_them(server: &mut TestServer, store: impl FnOnce(&mut TestServer) -> Store, away: impl FnOnce(&Store)) {
    let store = store(server);
    server.run();
    away(&store);
    let keys = ["OPS-31", "OPS-32", "OPS-33"];
    let ids = keys.map(|key| server.at().ticket(&ticket(key, &key.to_lowercase())).id());
    eventually("each was tried several times", || ids.iter().all(|id| tries(server, id) >= 3).then_some(()));
    let waiting = shown(server);
    assert!(waiting.iter().all(|(_, state)| state == "pending"), "{waiting:?}");
    store.takes_all();
    for key in keys {
        server.at().settled(key, "proposed");
    }
    assert!(shown(server).iter().all(|(_, state)| state == "dispatched"));
}

#[test]
fn what_a_file_refuses_altogether_waits_until_it_is_taken() {
    all_wait_until_it_takes_them(&mut TestServer::prepare(), |server| Store::of(server), |store| store.refuses("OPS-%"));
}

#[test]
fn what_a_database_refuses_altogether_waits_until_it_is_taken() {
    all_wait_until_it_takes_them(&mut TestServer::prepare(), Store::shared, |store| store.refuses("OPS-%"));
}

/// A database that is at fault for some: the others go on, and these wait until it is mended.
fn one_waits_for_the_mending(server: &mut TestServer, store: impl FnOnce(&mut TestServer) -> Store) {
    let store = store(server);
    server.run();
    store.fails_at("OPS-43");
    let id = server.at().ticket(&ticket("OPS-43", "ops-43")).id();
    for number in 44..49 {
        eventually("it was tried again", || (tries(server, &id) >= number - 43).then_some(()));
        let key = format!("OPS-{number}");
        server.at().ticket(&ticket(&key, &key.to_lowercase()));
        server.at().settled(&key, "proposed");
    }
    assert_eq!(server.at().get(&format!("/deliveries/{id}"))["state"], "pending");
    store.takes_all();
    server.at().settled("OPS-43", "proposed");
}

#[test]
fn a_delivery_that_a_damaged_file_does_not_take_waits_and_others_go_on() {
    one_waits_for_the_mending(&mut TestServer::prepare(), |server| Store::of(server));
}

#[test]
fn a_delivery_that_a_damaged_database_does_not_take_waits_and_others_go_on() {
    one_waits_for_the_mending(&mut TestServer::prepare(), Store::shared);
}

#[test]
fn more_refused_deliveries_than_a_batch_holds_keep_none_of_the_others_back() {
    let mut server = TestServer::prepare();
    server.set("API_CALLS_PER_MINUTE", "100000");
    server.run();
    let store = Store::of(&server);
    store.refuses("BAD-%");
    let bad: Vec<String> = (0..140).map(|number| server.at().ticket(&ticket(&format!("BAD-{number}"), &format!("bad-{number}"))).id()).collect();
    server.at().ticket(&ticket("OPS-51", "ops-51"));
    server.at().settled("OPS-51", "proposed");
    // Once others were taken, it is theirs.
    eventually("all of them are told as failed", || {
        let state = |id: &String| server.at().get(&format!("/deliveries/{id}"))["state"] == "failed";
        bad.iter().all(state).then_some(())
    });
    server.at().ticket(&ticket("OPS-52", "ops-52"));
    server.at().settled("OPS-52", "proposed");
}

/// As large as a ticket may be: eighteen of these are more than is read at once.
fn large(key: &str, team: &str) -> Value {
    let mut large = ticket(key, team);
    large["issue"]["fields"]["description"] = "x".repeat(1000 * 1000).into();
    large
}

fn large_ones_keep_none_of_the_others_back(server: &mut TestServer, store: impl FnOnce(&mut TestServer) -> Store) {
    let store = store(server);
    server.run();
    store.refuses("BAD-%");
    let bad: Vec<String> = (0..18).map(|number| server.at().ticket(&large(&format!("BAD-{number}"), &format!("bad-{number}"))).id()).collect();
    server.at().ticket(&ticket("OPS-61", "ops-61"));
    server.at().settled("OPS-61", "proposed");
    eventually("all of them are told as failed", || {
        let state = |id: &String| server.at().get(&format!("/deliveries/{id}"))["state"] == "failed";
        bad.iter().all(state).then_some(())
    });
}

#[test]
fn large_deliveries_that_a_file_refuses_keep_none_of_the_others_back() {
    large_ones_keep_none_of_the_others_back(&mut TestServer::prepare(), |server| Store::of(server));
}

#[test]
fn large_deliveries_that_a_database_refuses_keep_none_of_the_others_back() {
    large_ones_keep_none_of_the_others_back(&mut TestServer::prepare(), Store::shared);
}

/// Of four tickets the third ends whoever reads it.
const FOUR: [&str; 4] = ["OPS-71", "OPS-72", "OPS-73", "OPS-74"];

/// A process that dies of the third ticket.
fn starts(server: &TestServer, directory: &str) -> Option<Replica> {
    server.starting(&server.place(directory), &[("KUBEOPS_FAILPOINT", "dispatch.reading=OPS-73")]).listens()
}

/// Starts these processes again, each on its own data directory, until none dies any more; tells how many did. What is left is what there should be.
fn dies_no_more(server: &mut TestServer, store: &Store, ids: &[String; 4], mut processes: Vec<(&str, Option<Replica>)>) -> usize {
    let (mut deaths, begun) = (0, Instant::now());
    while store.counts("deliveries_failed") == 0 || store.counts("deliveries_pending") > 0 {
        for (directory, process) in &mut processes {
            if process.as_mut().is_none_or(|process| process.ended().is_some()) {
                deaths += 1;
                assert!(deaths < 20, "it ends each that reads it");
                *process = starts(server, directory);
            }
        }
        assert!(begun.elapsed() < PATIENCE, "{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    // Whoever died since nobody looked.
    deaths += processes.iter_mut().filter_map(|(_, process)| process.as_mut()).filter_map(Replica::ended).count();
    drop(processes);
    server.run();
    for key in FOUR.into_iter().filter(|key| *key != "OPS-73") {
        server.at().settled(key, "proposed");
        assert_eq!(server.at().requests_of(key).len(), 1);
    }
    server.at().nothing_owed();
    let failed = server.at().get(&format!("/deliveries/{}", ids[2]));
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("ended the process 3 times")), "{failed}");
    assert_eq!(shown(server).iter().filter(|(_, state)| state == "dispatched").count(), 3);
    assert_eq!((server.at().requests_of("OPS-73").len(), server.at().all("/pulls").len()), (0, 3));
    assert!(server.log().contains("reading this delivery ended the process each time"));
    deaths
}

#[test]
fn a_delivery_whose_reading_ends_the_process_each_time_is_told_as_failed_and_its_neighbours_are_dispatched() {
    let mut server = TestServer::prepare();
    server.run();
    let store = Store::of(&server);
    store.holds_up();
    let ids = FOUR.map(|key| server.at().ticket(&ticket(key, &key.to_lowercase())).id());
    // Whoever ends as it should leaves no doubt about what it read.
    server.terminate();
    store.lets_go();
    let first = starts(&server, "data");
    let deaths = dies_no_more(&mut server, &store, &ids, vec![("data", first)]);
    assert_eq!(deaths, 4, "once among the others, and three times alone");
}

/// Whoever is killed from outside again and again, soon after its start, is always at the same delivery.
#[test]
fn a_delivery_is_not_blamed_for_processes_that_were_killed_soon_after_they_began() {
    let mut server = TestServer::prepare();
    server.run();
    let store = Store::of(&server);
    store.holds_up();
    let ids = FOUR.map(|key| server.at().ticket(&ticket(key, &key.to_lowercase())).id());
    server.terminate();
    store.lets_go();
    let looks_again = |server: &TestServer| server.log().matches("it is read once more when this process has lived for a while").count();
    let (mut died, mut killed) = (0, 0);
    while killed < 4 {
        let mut process = starts(&server, "data");
        let ended = eventually("it dies, or waits", || {
            let ended = process.as_mut().is_none_or(|process| process.ended().is_some());
            (ended || looks_again(&server) > killed).then_some(ended)
        });
        (died, killed) = if ended { (died + 1, killed) } else { (died, killed + 1) };
        assert!(died <= 3, "once among the others, and twice alone");
    }
    assert_eq!((died, store.counts("deliveries_failed")), (3, 0));
    server.run();
    for (key, id) in FOUR.into_iter().zip(&ids) {
        server.at().settled(key, "proposed");
        assert_eq!(server.at().get(&format!("/deliveries/{id}"))["state"], "dispatched");
    }
    assert_eq!(store.counts("reading_deaths"), 0);
}

#[test]
fn a_delivery_whose_reading_ends_each_replica_in_turn_is_told_as_failed_and_its_neighbours_are_dispatched() {
    let mut server = TestServer::prepare();
    let store = Store::shared(&mut server);
    server.run();
    let Store::Database(database) = &store else { return };
    let runtime = runtime();
    let mut holding = runtime.block_on(PgConnection::connect(database.address())).expect("a connection");
    // Nobody has the turn to dispatch but this.
    runtime.block_on(holding.execute("SELECT pg_advisory_lock(1263497331, 4)")).expect("the lock");
    let ids = FOUR.map(|key| server.at().ticket(&ticket(key, &key.to_lowercase())).id());
    server.terminate();
    let processes = ["data", "second", "third"].map(|directory| (directory, starts(&server, directory))).into();
    runtime.block_on(holding.execute("SELECT pg_advisory_unlock(1263497331, 4)")).expect("let go");
    let deaths = dies_no_more(&mut server, &store, &ids, processes);
    println!("{deaths} deaths of three processes");
    assert!((4..=6).contains(&deaths), "each once among the others at most, and three of them alone: {deaths}");
}
