//! Several processes on one PostgreSQL database: each takes deliveries and works, and what happens outside happens once.

use super::github::World;
use super::many::Gate;
use super::told;
use crate::support::collector::Collector;
use crate::support::fake_github::FakeGithub;
use crate::support::fake_jira::FakeJira;
use crate::support::postgres::Database;
use crate::support::proxy::{Proxy, Wire};
use crate::support::server::{Replica, TestServer, eventually, ticket};
use crate::support::warp::Warp;
use sqlx::{Connection, Executor};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// How often one delivery is sent.
const SENT: usize = 100;

pub(super) fn database() -> Database {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(Database::new())
}

pub(super) fn psql(database: &Database, sql: &str) -> String {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(database.psql(sql))
}

/// Three processes that share a database, a repository and GitHub.
struct Replicas {
    world: World,
    others: [Replica; 2],
    database: Database,
}

/// Within how many seconds what somebody held who is gone is in another's hands, with leases as long as they are by default.
const TAKEN_OVER: f64 = 30.0;

/// Whoever has a task in its hands.
pub(super) fn holder(database: &Database) -> String {
    let holder = psql(database, "SELECT DISTINCT owner FROM outbox WHERE state = 'leased'");
    assert!(!holder.is_empty() && !holder.contains('\n'), "one has it: {holder}");
    holder
}

/// Waits until nothing is in the hands of a holder who is gone, and holds how long that took against what is promised.
fn taken_over_from(holder: &str, database: &Database, gone: Instant) {
    let held = format!("SELECT count(*) FROM outbox WHERE state = 'leased' AND owner = '{holder}'");
    eventually("what it held is taken over", || (psql(database, &held) == "0").then_some(()));
    let took = gone.elapsed().as_secs_f64();
    println!("taken over after {took:.1} s, with a lease of 20 s");
    assert!(took <= TAKEN_OVER, "{took} s");
}

impl Replicas {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(settings: &[(&str, &str)]) -> Self {
        let database = database();
        let mut world = World::prepare(FakeGithub::start());
        world.server.set("STORE_URL", database.address());
        for (name, value) in settings {
            world.server.set(name, value);
        }
        world.server.run();
        let others = [world.server.replica("second"), world.server.replica("third")];
        Self { world, others, database }
    }
}

#[test]
fn one_delivery_sent_a_hundred_times_at_once_to_three_replicas_is_one_pull_request() {
    let Replicas { world, others, .. } = &Replicas::start();
    let all = [world.server.at(), others[0].at(), others[1].at()];
    let wanted = ticket("OPS-1", "payments");
    let mut ids: Vec<String> = std::thread::scope(|scope| {
        let sent: Vec<_> = (0..SENT)
            .map(|number| {
                let wanted = &wanted;
                scope.spawn(move || all[number % all.len()].ticket(wanted).id())
            })
            .collect();
        sent.into_iter().map(|sent| sent.join().expect("an answer")).collect()
    });
    ids.dedup();
    assert_eq!(ids.len(), 1, "one of them is the first, and every other is told its id: {ids:?}");
    others[0].at().settled("OPS-1", "proposed");
    others[1].at().nothing_owed();
    assert_eq!(world.github.pulls().len(), 1);
    assert_eq!(super::branches(&world.server.upstream).len(), 1);
    assert_eq!(world.server.at().all("/deliveries").len(), 1);
}

#[test]
fn many_requests_are_shared_among_replicas_and_each_is_proposed_once() {
    let Replicas { world, others, .. } = &Replicas::start();
    let all = [world.server.at(), others[0].at(), others[1].at()];
    let many = 30;
    std::thread::scope(|scope| {
        for number in 0..many {
            scope.spawn(move || {
                assert_eq!(all[number % all.len()].ticket(&ticket(&format!("OPS-{number}"), &format!("team-{number}"))).word(), "202 accepted")
            });
        }
    });
    eventually("all are proposed", || {
        let requests = others[0].at().all("/requests");
        (requests.len() == many && requests.iter().all(|request| request["state"] == "proposed")).then_some(())
    });
    others[1].at().nothing_owed();
    let mut heads: Vec<String> = world.github.pulls().into_iter().map(|pull| pull.head).collect();
    heads.sort();
    heads.dedup();
    assert_eq!((heads.len(), world.github.pulls().len()), (many, many));
    world.server.upstream.fsck();
}

#[test]
fn each_delivery_is_read_by_one_process_alone() {
    let (database, collector) = (database(), Collector::start());
    let mut server = TestServer::prepare();
    server.set("STORE_URL", database.address()).set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()).set("OTEL_BSP_SCHEDULE_DELAY", "20");
    server.set("API_CALLS_PER_MINUTE", "6000").run();
    let mut second = server.replica("second");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // Nothing can be written down for as long as this has the lock of those who write: whoever reads what waits stands before it.
    let mut holding = runtime.block_on(async {
        let mut holding = sqlx::PgConnection::connect(database.address()).await.expect("a connection");
        holding.execute("BEGIN; SELECT pg_advisory_xact_lock(1263497331, 1)").await.expect("the lock");
        holding
    });
    let many = 20;
    for number in 0..many {
        let at = if number % 2 == 0 { server.at() } else { second.at() };
        assert_eq!(at.ticket(&ticket(&format!("OPS-{number}"), &format!("team-{number}"))).word(), "202 accepted");
    }
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("one of them has read something", || (psql(&database, waiting) != "0").then_some(()));
    runtime.block_on(holding.execute("COMMIT")).expect("committed");
    eventually("all of it is dispatched", || (server.at().get("/status")["pending_deliveries"] == 0).then_some(()));
    server.terminate();
    second.signal("TERM");
    eventually("the second ended, and told all its spans", || second.ended());
    let read = collector.spans().into_iter().filter(|span| span.name == "dispatch").count();
    assert_eq!(read, many);
}

#[test]
fn when_a_process_dies_over_what_it_reads_another_goes_on_with_it_at_once() {
    let database = database();
    let mut world = World::prepare(FakeGithub::start());
    world.server.set("STORE_URL", database.address()).set("KUBEOPS_FAILPOINT", "dispatch.read").run();
    world.server.set("KUBEOPS_FAILPOINT", "");
    let second = world.server.replica("second");
    second.signal("STOP");
    let body = ticket("OPS-1", "payments").to_string();
    // It may die before its answer is out.
    let _ = world.server.at().jira(body.as_bytes());
    assert!(!world.server.wait().success(), "it died");
    second.signal("CONT");
    let died = Instant::now();
    eventually("the second read it", || (psql(&database, "SELECT count(*) FROM deliveries_pending") == "0").then_some(()));
    let took = died.elapsed().as_secs_f64();
    assert!(took < 5.0, "{took} s");
    second.at().settled("OPS-1", "proposed");
    second.at().nothing_owed();
    assert_eq!(world.github.pulls().len(), 1);
    world.server.run();
}

#[test]
fn what_a_replica_that_died_held_is_done_by_another_once_its_lease_has_run_out() {
    let Replicas { world, others: [second, third], database } = &mut Replicas::start();
    let gate = Gate::at(&world.server);
    // The third sleeps through it: one of the others has begun to push, and hangs there.
    third.signal("STOP");
    second.at().ticket(&ticket("OPS-1", "payments"));
    eventually("the push is under way", || (!gate.pushes().is_empty()).then_some(()));
    let holder = holder(database);
    let gone = Instant::now();
    world.server.kill();
    second.kill();
    third.signal("CONT");
    gate.open();
    taken_over_from(&holder, database, gone);
    third.at().settled("OPS-1", "proposed");
    third.at().nothing_owed();
    assert_eq!(world.github.pulls().len(), 1);
    assert_eq!(super::branches(&world.server.upstream).len(), 1);
    // By its name, which it said when it began, people find out who is gone.
    let log = world.server.log();
    let began = format!("kubeops starts version={} store={} owner={holder}", env!("CARGO_PKG_VERSION"), database.address());
    assert!(log.contains(&began), "{began}\n{log}");
    let said = format!("tasks of a process that let their leases run out go on here owner={holder} tasks=1 silent_seconds=2");
    assert!(log.lines().any(|line| line.contains(" WARN ") && line.contains(&said)), "{said}\n{log}");
    world.server.run();
}

#[test]
fn a_replica_that_stood_still_beyond_its_lease_comes_back_and_adds_nothing() {
    let Replicas { world, others: [second, third], database } = &Replicas::start();
    let gate = Gate::at(&world.server);
    // The third sleeps through it: one of the others has begun to push.
    third.signal("STOP");
    second.at().ticket(&ticket("OPS-1", "payments"));
    eventually("the push is under way", || (!gate.pushes().is_empty()).then_some(()));
    let holder = holder(database);
    let gone = Instant::now();
    world.server.signal("STOP");
    second.signal("STOP");
    third.signal("CONT");
    gate.open();
    taken_over_from(&holder, database, gone);
    third.at().settled("OPS-1", "proposed");
    world.server.signal("CONT");
    second.signal("CONT");
    world.server.at().nothing_owed();
    second.at().nothing_owed();
    assert_eq!(world.server.at().settled("OPS-1", "proposed")["generation"], third.at().settled("OPS-1", "proposed")["generation"]);
    assert_eq!(world.github.pulls().len(), 1);
    assert_eq!(super::branches(&world.server.upstream).len(), 1);
}

/// What a ticket is told by moving along.
pub(super) const MOVES: &str = "  feedback:
    - channel: service-desk
      on:
        proposed: { transition: In Progress }
";

#[test]
fn a_replica_that_stood_still_before_it_told_the_ticket_says_nothing_when_it_comes_back() {
    let (database, jira) = (database(), FakeJira::cloud());
    let mut server = told::prepare(&jira, MOVES);
    server.set("STORE_URL", database.address()).set("LEASE_SECONDS", "3");
    server.run();
    let second = server.replica("second");
    // The second sleeps until the first has asked how the ticket can be moved, and stands still before it has heard.
    second.signal("STOP");
    let held = jira.hold("/transitions");
    server.at().ticket(&ticket("OPS-42", "payments"));
    eventually("it is asked how the ticket can be moved", || held.came().then_some(()));
    server.signal("STOP");
    drop(held);
    second.signal("CONT");
    let moves = || jira.writes().into_iter().filter(|call| call.contains("/transitions")).count();
    eventually("the second told the ticket", || (moves() == 1).then_some(()));
    second.at().nothing_owed();
    let told = jira.writes();
    // A person moved it back meanwhile: were it moved again, it would show.
    jira.move_status("OPS-42", "To Do");
    server.signal("CONT");
    // Told by its heartbeat, or by the store that took nothing of it: whichever came first.
    eventually("the first woke", || server.log().contains("was lost").then_some(()));
    server.at().nothing_owed();
    assert_eq!(jira.writes(), told);
    assert_eq!(jira.issue("OPS-42").status, "To Do");
}

#[test]
fn what_nobody_is_woken_for_is_found_all_the_same() {
    let Replicas { world, others, database } = &Replicas::start();
    // Nobody hears of what is due: of those who wait only a look at the queue finds it.
    psql(database, "ALTER TABLE outbox DISABLE TRIGGER outbox_told");
    let gate = Gate::at(&world.server);
    gate.hold(&world.server);
    assert_eq!(world.server.at().ticket(&ticket("OPS-1", "payments")).word(), "202 accepted");
    let put_off = "UPDATE outbox SET run_at = run_at + 3600000 WHERE state = 'waiting' AND kind = 'plan' RETURNING kind";
    eventually("it waits for the one before it, and then for an hour", || (psql(database, put_off).starts_with("plan")).then_some(()));
    gate.open();
    others[0].at().settled("OPS-0", "proposed");
    psql(database, "UPDATE outbox SET run_at = 0");
    others[1].at().settled("OPS-1", "proposed");
}

#[test]
fn who_starts_while_another_holds_what_it_needs_waits_for_that() {
    let database = database();
    let mut server = TestServer::prepare();
    server.set("STORE_URL", database.address()).run();
    server.kill();
    std::thread::scope(|scope| {
        // For longer than a statement waits for a lock.
        scope.spawn(|| psql(&database, "BEGIN; LOCK TABLE outbox; SELECT pg_sleep(8); COMMIT"));
        let held = "SELECT count(*) FROM pg_locks WHERE relation = 'outbox'::regclass AND mode = 'AccessExclusiveLock' AND granted";
        eventually("it is held", || (psql(&database, held) == "1").then_some(()));
        server.run();
    });
    assert!(server.log().contains("the database is waited for"), "{}", server.log());
}

#[test]
fn what_one_process_looks_after_for_all_another_does_once_it_died() {
    let Replicas { world, others: [second, third], .. } = &mut Replicas::start_with(&[("OBSERVE_SECONDS", "1"), ("LEASE_SECONDS", "3")]);
    world.server.at().ticket(&ticket("OPS-1", "payments"));
    world.server.at().settled("OPS-1", "proposed");
    let looks = || world.github.ledger().into_iter().filter(|seen| seen.query.contains("sort=updated")).count();
    // However many there are, pull requests are looked at once a second.
    let (begun, before) = (Instant::now(), looks());
    eventually("pull requests were looked at ten times", || (looks() >= before + 10).then_some(()));
    let took = begun.elapsed().as_secs_f64();
    assert!(took >= 7.0, "{took} s");
    world.server.kill();
    second.kill();
    // Nobody tells of the merge.
    world.github.end(1, true);
    third.at().settled("OPS-1", "merged");
    world.server.run();
}

#[test]
fn each_replica_removes_from_its_own_mirrors_what_is_nobodys() {
    let database = database();
    let mut server = TestServer::prepare();
    server.set("STORE_URL", database.address()).run();
    server.at().ticket(&ticket("OPS-1", "payments"));
    server.at().settled("OPS-1", "proposed");
    assert!(server.terminate().success());
    // Another that has worked as much, and in the mirrors of both a commit whose request is gone.
    let (ours, theirs) = (server.data(), server.place("second"));
    std::fs::create_dir(&theirs).expect("a directory");
    assert!(Command::new("cp").arg("-a").arg(ours.join("mirrors")).arg(&theirs).status().expect("cp").success());
    let proposals = |data: &Path| data.join("mirrors/gitops.git/proposals");
    let kept = |data: &Path| {
        let entries = std::fs::read_dir(proposals(data)).expect("proposals");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let live = kept(&ours);
    assert_eq!(live.len(), 1);
    for data in [&ours, &theirs] {
        std::fs::copy(proposals(data).join(&live[0]), proposals(data).join("a".repeat(40))).expect("a copy");
    }
    server.run();
    let _second = server.replica("second");
    for data in [&ours, &theirs] {
        eventually("what is nobody's is gone, and what is somebody's is not", || (kept(data) == live).then_some(()));
    }
}

#[test]
fn a_replica_whose_clock_is_wrong_takes_nothing_from_the_others_and_writes_no_wrong_moment() {
    let database = database();
    let mut world = World::prepare(FakeGithub::start());
    let server = &mut world.server;
    server.set("STORE_URL", database.address()).set("LEASE_SECONDS", "5");
    let gate = Gate::at(server);
    server.run();
    server.at().ticket(&ticket("OPS-1", "payments"));
    eventually("the push is under way", || (!gate.pushes().is_empty()).then_some(()));
    // For it the lease of the first has run out long ago.
    let ahead = Warp::of(server);
    ahead.to(7200);
    let second = server.replica("second");
    second.at().ticket(&ticket("OPS-2", "billing"));
    // By then a lease that was not extended, or not believed, had run out.
    let until = || psql(&database, "SELECT max(lease_until) FROM outbox").parse::<i64>().expect("a lease");
    let first = until();
    eventually("the lease was extended for longer than it lasts", || (until() > first + 7000).then_some(()));
    assert_eq!(gate.pushes().len(), 1, "the first has the repository still");
    gate.open();
    let (one, other) = (second.at().settled("OPS-1", "proposed"), second.at().settled("OPS-2", "proposed"));
    second.at().nothing_owed();
    let now = time::OffsetDateTime::now_utc();
    for request in [one, other] {
        let at = request["updated_at"].as_str().expect("a moment");
        let at = time::OffsetDateTime::parse(at, &time::format_description::well_known::Rfc3339).expect("RFC 3339");
        assert!((now - at).abs() < time::Duration::minutes(5), "{request}");
    }
    assert!(server.log().contains("this machine's clock is not the database's"), "{}", server.log());
}

/// Has the database show another clock to whoever asks it for the time: the server itself goes by its own.
pub(super) const CLOCK_TO_BE_SET: &str = "CREATE SCHEMA warped;
    CREATE TABLE warped.clock (ahead INTERVAL NOT NULL);
    INSERT INTO warped.clock VALUES ('0');
    CREATE FUNCTION warped.clock_timestamp() RETURNS TIMESTAMPTZ LANGUAGE sql AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM warped.clock';
    DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, warped, pg_catalog', current_database()); END $$";

#[test]
fn a_database_clock_set_forth_while_a_comment_is_on_its_way_has_nobody_write_it_again() {
    let (database, jira) = (database(), FakeJira::cloud());
    psql(&database, CLOCK_TO_BE_SET);
    let mut server = told::prepare(&jira, "  feedback:\n    - channel: service-desk\n");
    server.set("STORE_URL", database.address()).set("LEASE_SECONDS", "6").run();
    // The other is far away: whatever it asks for comes too late to say what a clock shows to the moment.
    let (wire, address) = far_away(&database);
    let second = server.set("STORE_URL", &address).replica("second");
    wire.is(Wire::Slow(60));
    let comment = jira.delay(told::COMMENT);
    server.at().ticket(&ticket("OPS-42", "payments"));
    eventually("the comment is on its way", || comment.came().then_some(()));
    let until = || psql(&database, "SELECT max(lease_until) FROM outbox").parse::<i64>().expect("a lease");
    let before = until();
    // As after a failover to a machine whose clock is ahead: for all that look, the lease ran out long ago.
    psql(&database, "UPDATE warped.clock SET ahead = '1 hour'");
    eventually("both have noticed", || (server.log().matches("the clock was set forward").count() == 2).then_some(()));
    eventually("whoever writes it says again until when it has it", || (until() > before + 3_600_000).then_some(()));
    let extended = until();
    eventually("and once more, in its time", || (until() > extended).then_some(()));
    drop(comment);
    told::told(&server, &jira, 1);
    assert!(!server.log().contains("a lease was lost"), "{}", server.log());
    // All goes on, by the clock as it is now.
    jira.add("OPS-43", "To Do");
    second.at().ticket(&ticket("OPS-43", "search"));
    second.at().settled("OPS-43", "proposed");
}

/// A wire to the database, and the address of its other end.
fn far_away(database: &Database) -> (Proxy, String) {
    let (before, after) = database.address().split_once("127.0.0.1:").expect("an address");
    let (port, name) = after.split_once('/').expect("a name");
    let wire = Proxy::to((std::net::Ipv4Addr::LOCALHOST, port.parse().expect("a port")).into());
    let address = format!("{before}{}/{name}", wire.address());
    (wire, address)
}

#[test]
fn who_starts_when_the_databases_clock_was_just_set_forth_takes_nothing_from_who_is_at_work() {
    let (database, jira) = (database(), FakeJira::cloud());
    psql(&database, CLOCK_TO_BE_SET);
    let mut server = told::prepare(&jira, "  feedback:\n    - channel: service-desk\n");
    server.set("STORE_URL", database.address()).run();
    let comment = jira.delay(told::COMMENT);
    server.at().ticket(&ticket("OPS-42", "payments"));
    eventually("the comment is on its way", || comment.came().then_some(()));
    // For less than its lease lasts it does not see what becomes of the clock.
    server.signal("STOP");
    psql(&database, "UPDATE warped.clock SET ahead = '1 hour'");
    let second = server.replica("second");
    jira.add("OPS-43", "To Do");
    second.at().ticket(&ticket("OPS-43", "search"));
    eventually("the second has looked for work", || (second.at().all("/requests").len() == 2).then_some(()));
    server.signal("CONT");
    eventually("the first has noticed", || server.log().contains("the clock was set forward").then_some(()));
    drop(comment);
    told::told(&server, &jira, 1);
    second.at().settled("OPS-43", "proposed");
    second.at().nothing_owed();
    assert!(!server.log().contains("a lease was lost"), "{}", server.log());
}

/// What a newer version of kubeops makes of the schema while this one runs: more columns everywhere, a table, and a task of a kind of its own.
const NEWER: &str = "DO $$ DECLARE t TEXT; BEGIN
        FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '\\_%' LOOP
            EXECUTE format('ALTER TABLE %I ADD COLUMN of_the_future TEXT NOT NULL DEFAULT ''x''', t);
        END LOOP; END $$;
    CREATE TABLE futures (seq BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY);
    INSERT INTO outbox (id, kind, request, lane, rank, source, state, run_at)
        SELECT 'tsk_future', 'foresee', seq, 'manifests', 0, '', 'waiting', 0 FROM requests ORDER BY seq LIMIT 1;
    INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (2, 'newer', true, '', 0);";

#[test]
fn while_a_new_version_is_rolled_out_the_old_one_works_on_beside_it() {
    let Replicas { world, others: [second, third], database } = &mut Replicas::start();
    world.server.at().ticket(&ticket("OPS-1", "payments"));
    second.at().settled("OPS-1", "proposed");
    // The new version says that the old one may go on.
    psql(database, &format!("{NEWER} INSERT INTO reaches (version, oldest) VALUES (2, 1);"));
    second.at().ticket(&ticket("OPS-2", "billing"));
    third.at().settled("OPS-2", "proposed");
    // One of the old ones dies, and starts again on the new schema.
    world.server.kill();
    world.server.run();
    world.server.at().ticket(&ticket("OPS-3", "search"));
    world.server.at().settled("OPS-3", "proposed");
    assert_eq!(world.github.pulls().len(), 3);
    // What the new one left for itself is there still.
    assert_eq!(psql(database, "SELECT state || attempts FROM outbox WHERE kind = 'foresee'"), "waiting0");

    // The next one says that it may not: then it does not start, and says why.
    psql(database, "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (3, 'beyond', true, '', 0)");
    world.server.kill();
    let refused = world.server.cli(&["store", "migrate"]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("schema version") && said.contains("start the newer kubeops"), "{said}");
}
