//! PostgreSQL is away, lets nobody in, or is the last to come: whoever sends, probes or looks hears of it soon and in plain words, and all goes
//! on by itself.

use super::replicas::{database, psql};
use super::told;
use crate::support::fake_jira::FakeJira;
use crate::support::postgres::{Database, OwnServer};
use crate::support::proxy::{Proxy, Wire};
use crate::support::server::{TestServer, call, eventually, ticket};
use sqlx::Connection;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn address(database: &OwnServer) -> String {
    format!("postgres://kubeops@{}/postgres", database.address())
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What a sender hears, and after how long.
fn sent(server: &TestServer, key: &str) -> (u16, bool, Duration) {
    let begun = Instant::now();
    let answered = server.at().ticket(&ticket(key, "payments"));
    (answered.status, answered.headers.contains_key("retry-after"), begun.elapsed())
}

#[test]
fn while_nobody_listens_senders_are_put_off_at_once_and_it_is_said_that_the_connection_is_refused() {
    let mut database = OwnServer::start();
    let mut server = TestServer::prepare();
    server.set("STORE_URL", &address(&database)).run();
    database.dies();
    eventually("senders are put off", || (sent(&server, "OPS-1").0 == 503).then_some(()));
    // One of them may be the one who looks; nobody waits for the pool's five seconds.
    for number in 0..5 {
        let (status, retry, took) = sent(&server, &format!("OPS-1{number}"));
        assert!((status, retry) == (503, true) && took < Duration::from_secs(3), "{status} after {took:?}");
    }
    let ready = call(server.at().address, "GET", "/ready", &[], b"").expect("an answer");
    assert_eq!((ready.status, &ready.json()["checks"]["store"]), (503, &"the store cannot be reached just now".into()));
    assert!(server.log().contains("Connection refused"), "{}", server.log());
    assert!(!server.log().contains("pool timed out"), "{}", server.log());
    let begun = Instant::now();
    let status = server.cli(&["store", "status"]);
    assert_eq!(status.status.code(), Some(1), "{}", said(&status));
    assert!(said(&status).contains(&format!("{}: Connection refused", database.address())), "{}", said(&status));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());

    database.run();
    eventually("it takes deliveries again", || (sent(&server, "OPS-2").0 == 202).then_some(()));
    eventually("it is ready again", || (server.at().plain("/ready").status == 200).then_some(()));
    server.at().settled("OPS-2", "proposed");
}

#[test]
fn a_probe_is_answered_in_time_while_the_database_says_nothing() {
    let database = OwnServer::start();
    let wire = Proxy::to(database.address());
    let mut server = TestServer::prepare();
    server.set("STORE_URL", &format!("postgres://kubeops@{}/postgres", wire.address())).run();
    wire.is(Wire::Silent);
    for path in ["/ready", "/metrics"] {
        let begun = Instant::now();
        let answered = server.at().plain(path);
        assert_eq!(answered.status, if path == "/ready" { 503 } else { 200 });
        assert!(begun.elapsed() < Duration::from_secs(4), "{path}: {:?}", begun.elapsed());
    }
    wire.is(Wire::Good);
    eventually("it is ready again", || (server.at().plain("/ready").status == 200).then_some(()));
}

#[test]
fn a_database_that_refuses_us_is_told_to_senders_as_one_that_is_away() {
    let database = OwnServer::start();
    let mut server = TestServer::prepare();
    server.set("STORE_URL", &address(&database)).run();
    database.let_in("host all all 127.0.0.1/32 reject");
    database.psql("postgres", "SELECT pg_reload_conf()");
    let hung_up = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'kubeops'";
    let ready = eventually("it is not ready", || {
        database.psql("postgres", hung_up);
        Some(server.at().plain("/ready")).filter(|ready| ready.status == 503)
    });
    eventually("it is refused, and not hung up on any more", || {
        let answered = server.at().ticket(&ticket("OPS-1", "payments"));
        assert!(answered.status == 503 && answered.headers.contains_key("retry-after"), "{}: {}", answered.status, answered.text());
        answered.text().contains("the store cannot be used just now").then_some(())
    });
    let refuses = "the store refuses this process: the log says why";
    eventually("the probe says so", || (server.at().plain("/ready").json()["checks"]["store"] == refuses).then_some(()));
    assert!(!ready.text().contains("trace id"), "{}", ready.text());
    assert!(server.log().contains("pg_hba.conf rejects"), "{}", server.log());

    database.let_in("host all all 127.0.0.1/32 trust");
    database.psql("postgres", "SELECT pg_reload_conf()");
    eventually("it takes deliveries again", || (sent(&server, "OPS-2").0 == 202).then_some(()));
    eventually("it is ready again", || (server.at().plain("/ready").status == 200).then_some(()));
}

#[test]
fn a_server_that_starts_before_its_database_waits_for_it_and_ends_when_it_is_told_to() {
    let mut database = OwnServer::prepare(&[]);
    let mut server = TestServer::prepare();
    server.set("STORE_URL", &address(&database));
    let told_to_end = server.starting(&server.data(), &[]);
    eventually("it waits", || server.log().contains("the database is waited for").then_some(()));
    assert!(server.log().contains("Connection refused"), "{}", server.log());
    assert!(Command::new("kill").args(["-TERM", &told_to_end.id().to_string()]).status().expect("kill").success());
    assert!(told_to_end.listens().is_none(), "it ended");

    let data = server.data();
    let starting = server.starting(&data, &[]);
    eventually("it waits as well", || (server.log().matches("the database is waited for").count() > 1).then_some(()));
    database.run();
    let running = starting.listens().expect("it listens");
    assert_eq!(running.at().plain("/ready").status, 200);
    drop(running);

    // What does not come by waiting ends it at once.
    let begun = Instant::now();
    server.set("STORE_URL", &format!("postgres://kubeops@{}/nothing", database.address()));
    assert!(said(&server.run_refused()).contains("database \"nothing\" does not exist"));
    database.let_in("host all all 127.0.0.1/32 scram-sha-256");
    database.psql("postgres", "SELECT pg_reload_conf()");
    database.psql("postgres", "ALTER USER kubeops PASSWORD 'correct-horse-battery'");
    server.set("STORE_URL", &address(&database));
    let refused = said(&server.run_refused());
    assert!(refused.contains("password authentication failed") && refused.contains("no secret STORE_PASSWORD was found"), "{refused}");
    server.secret("STORE_PASSWORD", "wrong");
    let refused = said(&server.run_refused());
    assert!(refused.contains("password authentication failed") && !refused.contains("no secret"), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}

#[test]
fn a_copy_of_a_data_directory_is_noticed_and_its_process_takes_a_name_of_its_own() {
    let database = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(Database::new());
    let mut server = TestServer::prepare();
    server.set("STORE_URL", database.address()).run();
    let copy = server.place("copy");
    std::fs::create_dir(&copy).expect("a directory");
    std::fs::copy(server.data().join("lease-owner"), copy.join("lease-owner")).expect("copied");
    let noticed = || server.log().matches("works under the name in this data directory").count();
    let beside = server.starting(&copy, &[]).listens().expect("it listens");
    assert_eq!(noticed(), 1, "{}", server.log());
    // Each has a name of its own: what one has in hand is not the other's.
    let key = "SELECT count(DISTINCT objid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    assert_eq!(runtime.block_on(database.psql(key)), "1", "it holds none that could be the other's");
    drop(beside);
    // The process that has the directory itself has its name again at once, however the one before it ended.
    server.kill();
    server.run();
    assert_eq!(server.log().matches("works under the name in this data directory").count(), 1, "{}", server.log());
}

#[test]
fn who_loses_its_name_to_another_process_ends_and_gives_back_nothing_of_what_is_held_under_it() {
    let (database, jira) = (database(), FakeJira::cloud());
    let mut server = told::prepare(&jira, "  feedback:\n    - channel: service-desk\n");
    server.set("STORE_URL", database.address()).run();
    let comment = jira.delay(told::COMMENT);
    server.at().ticket(&ticket("OPS-42", "payments"));
    eventually("the comment is on its way", || comment.came().then_some(()));
    let held = "SELECT owner || '/' || fence FROM outbox WHERE state = 'leased'";
    let before = psql(&database, held);
    assert!(!before.is_empty());
    // Another has the name as soon as the session breaks by which it is held.
    let names =
        "FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let key: i64 = psql(&database, &format!("SELECT (CAST(classid AS BIGINT) << 32) | CAST(objid AS BIGINT) {names}")).parse().expect("a key");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let taker = runtime.block_on(async {
        let mut taker = sqlx::PgConnection::connect(database.address()).await.expect("a connection");
        let takes = sqlx::query("SELECT pg_advisory_lock($1)").bind(key).execute(&mut taker);
        let breaks = async {
            while database.psql(&format!("SELECT count(*) {names} AND NOT granted")).await != "1" {}
            database.psql(&format!("SELECT count(pg_terminate_backend(pid)) {names} AND granted")).await;
        };
        let (taken, ()) = tokio::join!(takes, breaks);
        taken.expect("the name");
        taker
    });
    assert!(!server.wait().success(), "it ended");
    assert!(server.log().contains("has taken the name of this one"), "{}", server.log());
    assert_eq!(psql(&database, held), before, "{}", server.log());
    drop(taker);
    drop(comment);
}
