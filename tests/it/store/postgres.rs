//! The store in a PostgreSQL database: what every store promises, and what is particular to this one.

mod races;

use super::support::{Fixture, at, delivery, dispatch, one_of_three_is_refused, open_request, settled_after_all};
use crate::support::postgres::Database;
use crate::support::proxy::{Proxy, Wire};
use kubeops::clock::{Clock, SystemClock};
use kubeops::request::{Request, State};
use kubeops::store::{Appended, PostgresOptions, Replicas, Room, SchemaOnOpen, Settlement, SqlStore, Store, StoreError};
use sqlx::{Connection, Executor};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An empty store in a database of its own.
pub async fn empty() -> Fixture {
    let database = Database::new().await;
    let store = SqlStore::postgres(database.address(), PostgresOptions::default()).await.expect("a store");
    (Arc::new(store), Box::new(database))
}

mod contract {
    contract_suite!(crate::store::postgres::empty);
}

async fn open(database: &Database) -> SqlStore {
    SqlStore::postgres(database.address(), PostgresOptions::default()).await.expect("a store")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_at_once_make_one_schema_and_see_what_each_other_writes() {
    let database = Database::new().await;
    let opened = futures_util::future::join_all((0..5).map(|_| open(&database))).await;
    opened[0].append(&[delivery("a")]).await.expect("written");
    let other = opened[1].append(&[delivery("a"), delivery("b")]).await.expect("written");
    assert!(matches!(other[..], [Appended::Duplicate(_), Appended::New]), "{other:?}");
    assert_eq!(opened[2].pending_deliveries(10).await.expect("read").len(), 2);
    assert_eq!(database.psql("SELECT count(*) FROM _sqlx_migrations").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_many_replicas_write_at_once_is_written_once_and_all_are_told_which() {
    let database = Database::new().await;
    let opened = futures_util::future::join_all((0..3).map(|_| open(&database))).await;
    let told = futures_util::future::join_all((0..60).map(|number| {
        let store = &opened[number % opened.len()];
        let mut batch = vec![delivery("one"), delivery(&format!("own-{number}")), delivery("other")];
        // What two write crosswise both could wait for.
        if number % 2 == 0 {
            batch.reverse();
        }
        async move { store.append(&batch).await.expect("written") }
    }))
    .await;
    let new = told.iter().flatten().filter(|told| matches!(told, Appended::New)).count();
    assert_eq!(new, 62);
    let pending = opened[0].pending_deliveries(100).await.expect("read");
    assert_eq!(pending.len(), 62);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_store_of_ours_or_a_newer_one_is_refused_and_left_alone() {
    let database = Database::new().await;
    database.psql("CREATE TABLE invoices (id BIGINT)").await;
    let refused = SqlStore::postgres(database.address(), PostgresOptions::default()).await.err().expect("refused");
    assert!(matches!(&refused, StoreError::Unusable(message) if message.contains("another program")), "{refused}");
    assert_eq!(database.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await, "1");

    let database = Database::new().await;
    let only_there = PostgresOptions { schema: SchemaOnOpen::Expect, ..PostgresOptions::default() };
    let refused = SqlStore::postgres(database.address(), only_there.clone()).await.err().expect("refused");
    assert!(matches!(&refused, StoreError::Unusable(message) if message.contains("holds no store yet")), "{refused}");
    open(&database).await.close().await;
    database.psql("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'newer', true, '', 0)").await;
    for options in [PostgresOptions::default(), only_there] {
        let refused = SqlStore::postgres(database.address(), options).await.err().expect("refused");
        assert!(matches!(&refused, StoreError::Unusable(message) if message.contains("9999")), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_stands_still_is_thrown_out_and_the_next_one_writes() {
    let database = Database::new().await;
    let store = open(&database).await;
    // As a replica would that was stopped in the middle of a write.
    let mut standing = sqlx::PgConnection::connect(database.address()).await.expect("a connection");
    standing.execute("SET idle_in_transaction_session_timeout = 300; BEGIN; SELECT pg_advisory_xact_lock(1263497331, 1)").await.expect("the lock");
    let (id, _) = super::support::open_request(&store, "OPS-1", None, super::support::at(1)).await;
    assert!(!id.as_str().is_empty());
    assert!(standing.execute("SELECT 1").await.is_err(), "it cannot go on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dispatches_and_stands_still_is_thrown_out_and_another_goes_on() {
    let database = Database::new().await;
    let (one, other) = (open(&database).await, open(&database).await);
    assert!(one.dispatch_turn().await.expect("an answer").is_none(), "nothing waits");
    one.append(&[delivery("a")]).await.expect("written");
    let held = one.dispatch_turn().await.expect("an answer").expect("the turn");
    let begun = Instant::now();
    let taken = loop {
        if let Some(turn) = other.dispatch_turn().await.expect("an answer") {
            break turn;
        }
    };
    let took = begun.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(10)).contains(&took), "{took:?}");
    // It comes back, and what it held disturbs nobody.
    held.end().await;
    assert!(one.dispatch_turn().await.expect("an answer").is_none());
    taken.end().await;
    assert!(one.dispatch_turn().await.expect("an answer").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_long_at_what_it_dispatches_keeps_its_turn_until_that_is_done() {
    let database = Database::new().await;
    let (one, other) = (open(&database).await, open(&database).await);
    one.append(&[delivery("a")]).await.expect("written");
    let turn = one.dispatch_turn().await.expect("an answer").expect("the turn");
    let begun = Instant::now();
    // Longer than anybody keeps it who says nothing.
    let at_work = async {
        while begun.elapsed() < Duration::from_secs(8) {
            assert!(other.dispatch_turn().await.expect("an answer").is_none(), "after {:?}", begun.elapsed());
        }
        "done"
    };
    assert_eq!(turn.over(at_work).await, "done");
    let next = other.dispatch_turn().await.expect("an answer").expect("the turn, as soon as it is left");
    next.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_wrong_or_a_server_that_is_away_is_told_without_the_password() {
    let options =
        || PostgresOptions { password: Some("hunter2".to_owned().into()), busy_timeout: Duration::from_secs(2), ..PostgresOptions::default() };
    let begun = Instant::now();
    for (address, told) in [
        ("mysql://h/db", "none of PostgreSQL's"),
        ("postgres://kubeops@127.0.0.1:1/kubeops", "cannot be reached: 127.0.0.1:1: Connection refused"),
        ("postgres://kubeops@127.0.0.1:1/kubeops?foo=bar", "`foo` in the address is not known"),
    ] {
        let refused = SqlStore::postgres(address, options()).await.err().expect("refused").to_string();
        assert!(refused.contains(told) && !refused.contains("hunter2"), "{refused}");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "at once: {:?}", begun.elapsed());
    // A name that is not known to be this machine's: nothing is said to a server that does not show who it is, unless the address says so.
    let database = Database::new().await;
    let elsewhere = database.address().replace("127.0.0.1", "127.1");
    let refused = SqlStore::postgres(&elsewhere, options()).await.err().expect("refused");
    assert!(matches!(&refused, StoreError::Unusable(told) if told.contains("offers no TLS")), "{refused}");
    SqlStore::postgres(&format!("{elsewhere}?sslmode=disable"), options()).await.expect("a store").close().await;
}

/// The address of a role that may have so many connections to the database; it owns all that is there.
async fn limited_to(database: &Database, connections: u32) -> String {
    let (_, name) = database.address().rsplit_once('/').expect("a name");
    let role = format!("limited_{name}");
    database.psql(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT {connections}")).await;
    database.psql(&format!("ALTER DATABASE {name} OWNER TO {role}")).await;
    database.psql(&format!("ALTER SCHEMA public OWNER TO {role}")).await;
    database.address().replace("kubeops@", &format!("{role}@"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gets_no_connection_hears_why_and_the_store_is_not_taken_for_good_meanwhile() {
    let database = Database::new().await;
    let address = limited_to(&database, 2).await;
    let store = SqlStore::postgres(&address, PostgresOptions::default()).await.expect("a store");
    store.append(&[delivery("a")]).await.expect("written");
    // Another process has the rest.
    let other = in_time(async {
        loop {
            // The first of the store's may not have ended quite.
            if let Ok(other) = sqlx::PgConnection::connect(&address).await {
                break other;
            }
        }
    })
    .await;
    let many = futures_util::future::join_all((0..20).map(|number| {
        let (store, batch) = (&store, [delivery(&format!("b-{number}"))]);
        async move { store.append(&batch).await }
    }))
    .await;
    let written = many.iter().filter(|written| written.is_ok()).count();
    assert_eq!(written, 20, "one connection is enough for all of them, one after the other: {many:?}");
    store.check().await.expect("it is good");

    let turn = store.dispatch_turn().await.expect("an answer").expect("the turn, and with it the connection");
    let begun = Instant::now();
    let refused = store.append(&[delivery("c")]).await.expect_err("there is no other").to_string();
    assert!(refused.contains("too many connections for role") && refused.contains("10 connections (STORE_CONNECTIONS)"), "{refused}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    turn.end().await;
    let seen = store.check().await.expect_err("somebody gets none, though this has one");
    assert!(matches!(&seen, StoreError::Unavailable(told) if told.contains("too many connections")), "{seen}");
    // One that can be had again ends that at once.
    other.close().await.expect("closed");
    let batches = [[delivery("d")], [delivery("e")]];
    let (one, two) = tokio::join!(store.append(&batches[0]), store.append(&batches[1]));
    one.and(two).expect("written");
    in_time(async { while store.check().await.is_err() {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_one_process_s_alone_until_that_ends() {
    let database = Database::new().await;
    let (one, other) = (open(&database).await, open(&database).await);
    assert!(one.hold_name("a").await.expect("an answer"));
    assert!(!other.hold_name("a").await.expect("an answer"), "another that lives has it");
    assert!(other.hold_name("b").await.expect("an answer"));
    assert_eq!(database.psql(&format!("SELECT count(*) {NAMES} AND granted")).await, "2");
    one.close().await;
    assert!(other.hold_name("a").await.expect("an answer"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_to_a_server_that_takes_no_writes_is_given_up_and_the_next_one_asks_again() {
    let database = Database::new().await;
    let (_, name) = database.address().rsplit_once('/').expect("a name");
    let store = open(&database).await;
    // As on a standby, for the sessions that begin now.
    database.psql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let fresh = SqlStore::postgres(database.address(), PostgresOptions { schema: SchemaOnOpen::Expect, ..PostgresOptions::default() }).await;
    let fresh = fresh.expect("its schema is there");
    let refused = fresh.append(&[delivery("a")]).await.expect_err("nobody takes it");
    assert!(matches!(&refused, StoreError::Unavailable(told) if told.contains("it takes no writes")), "{refused:?}");
    database.psql(&format!("SET transaction_read_only = off; ALTER DATABASE {name} RESET default_transaction_read_only")).await;
    fresh.append(&[delivery("a")]).await.expect("written");
    store.append(&[delivery("b")]).await.expect("written");
}

/// The locks of names in the database.
const NAMES: &str =
    "FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Breaks the session that a name is held by.
async fn break_name(database: &Database) {
    database.psql(&format!("SELECT count(pg_terminate_backend(pid)) {NAMES} AND granted")).await;
}

/// Until the database says yes.
async fn until_it_says_so(database: &Database, question: &str) {
    let said = async { while database.psql(question).await != "t" {} };
    tokio::time::timeout(Duration::from_secs(30), said).await.expect("it says so in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lost_its_name_to_another_leaves_alone_what_is_held_under_it() {
    let database = Database::new().await;
    let (one, other) = (open(&database).await, open(&database).await);
    assert!(one.hold_name("a").await.expect("an answer"));
    open_request(&one, "OPS-1", None, at(0)).await;
    let key = database.psql(&format!("SELECT (CAST(classid AS BIGINT) << 32) | CAST(objid AS BIGINT) {NAMES} AND granted")).await;
    // It waits for the name, and has it as soon as the session breaks by which that is held.
    let mut taker = sqlx::PgConnection::connect(database.address()).await.expect("a connection");
    let takes = sqlx::query("SELECT pg_advisory_lock($1)").bind(key.parse::<i64>().expect("a key")).execute(&mut taker);
    let breaks = async {
        waiting(&database, 1).await;
        break_name(&database).await;
    };
    let (taken, ()) = tokio::join!(takes, breaks);
    taken.expect("the name");
    let held = other.claim("a", at(1), Duration::from_secs(20), Room::single(1)).await.expect("a claim").remove(0);
    assert_eq!((one.release("a").await, one.take_back("a").await), (Ok(0), Ok(0)));
    other.settle(&held, &Settlement::default(), at(2)).await.expect("it is held still");
    assert!(!other.has_lost_name());
    tokio::time::timeout(Duration::from_secs(30), async {
        while !one.has_lost_name() {
            tokio::task::yield_now().await
        }
    })
    .await
    .expect("it is told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_a_former_session_of_the_same_process_has_is_not_lost() {
    let database = Database::new().await;
    let (wire, store) = over_a_wire(&database, impatient()).await;
    assert!(store.hold_name("a").await.expect("an answer"));
    open_request(&store, "OPS-1", None, at(0)).await;
    store.claim("a", at(1), Duration::from_secs(20), Room::single(1)).await.expect("a claim");
    // The server does not learn that nobody is at the other end any more.
    wire.forgets();
    let looked = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
        AND query LIKE 'SELECT EXISTS (SELECT 1 FROM pg_locks m%'";
    until_it_says_so(&database, looked).await;
    break_name(&database).await;
    until_it_says_so(&database, &format!("SELECT count(*) = 1 {NAMES} AND granted")).await;
    assert!(!store.has_lost_name());
    assert_eq!(store.release("a").await, Ok(1), "what it holds under its name is its own again");
}

/// A wire to the database, and a store at its end.
async fn over_a_wire(database: &Database, options: PostgresOptions) -> (Proxy, SqlStore) {
    let (before, after) = database.address().split_once("127.0.0.1:").expect("an address");
    let (port, name) = after.split_once('/').expect("a name");
    let wire = Proxy::to((std::net::Ipv4Addr::LOCALHOST, port.parse().expect("a port")).into());
    let store = SqlStore::postgres(&format!("{before}{}/{name}", wire.address()), options).await.expect("a store");
    (wire, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_up_in_the_middle_of_a_connection_is_away_and_not_broken() {
    let database = Database::new().await;
    let (wire, store) = over_a_wire(&database, PostgresOptions::default()).await;
    // It hears what it is asked, and answers nothing: neither in a connection there is, nor in a new one.
    wire.is(Wire::Cut(0));
    for _ in 0..3 {
        let refused = store.append(&[delivery("a")]).await.expect_err("nobody answers");
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    }
    wire.is(Wire::Good);
    store.append(&[delivery("a")]).await.expect("written");
}

/// Who waits no longer than a second for an answer, which is less than the server lets anybody wait for a lock.
fn impatient() -> PostgresOptions {
    PostgresOptions { connections: 3, deadline: Duration::from_secs(1), ..PostgresOptions::default() }
}

/// Ends without waiting for what nobody will say.
async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(4), what).await.expect("it is over in time")
}

/// Holds up every write of deliveries and every claim, for as long as it is there.
async fn held_up(database: &Database) -> sqlx::PgConnection {
    let mut holder = sqlx::PgConnection::connect(database.address()).await.expect("a connection");
    holder.execute("BEGIN; LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE; SELECT pg_advisory_xact_lock(1263497331, 3)").await.expect("the locks");
    holder
}

/// Once so many wait for locks.
async fn waiting(database: &Database, many: usize) {
    let waiting = format!("SELECT count(*) = {many} FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'");
    in_time(async { while database.psql(&waiting).await != "t" {} }).await;
}

/// As the server itself does with a client that vanished.
const GIVE_UP: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_silent_server_was_asked_comes_back_in_time_and_the_next_goes_another_way() {
    let database = Database::new().await;
    let (wire, store) = over_a_wire(&database, impatient()).await;
    open_request(&store, "OPS-1", Some("manifests"), at(0)).await;
    let holder = held_up(&database).await;
    let batch = [delivery("a")];
    let asked = async { tokio::join!(store.append(&batch), store.claim("one", at(1), Duration::from_secs(20), Room::single(1))) };
    let silence = async {
        waiting(&database, 2).await;
        wire.forgets();
    };
    let ((appended, claimed), ()) = in_time(async { tokio::join!(asked, silence) }).await;
    let appended = appended.expect_err("nobody answers");
    let claimed = claimed.expect_err("nobody answers");
    for refused in [appended, claimed] {
        assert!(matches!(&refused, StoreError::Unavailable(told) if told.contains("said nothing for 1s")), "{refused:?}");
    }
    database.psql(GIVE_UP).await;
    holder.close().await.expect("ended");
    let (appended, claimed) =
        in_time(async { tokio::join!(store.append(&batch), store.claim("one", at(1), Duration::from_secs(20), Room::single(1))) }).await;
    assert_eq!(appended.expect("written"), [Appended::New]);
    assert_eq!(claimed.expect("claimed").len(), 1);
    store.check().await.expect("it is good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_were_idle_or_given_up_when_the_server_fell_silent_hold_no_place_in_the_pool() {
    let database = Database::new().await;
    let (wire, store) = over_a_wire(&database, impatient()).await;
    let holder = held_up(&database).await;
    // As many as there may be, each left by whoever asked: the server is still at work for them.
    for asked in 1..=3 {
        let (batch, read) = ([delivery("a")], store.pending_deliveries(1));
        let asking = async { if asked == 1 { store.append(&batch).await.map(|_| ()) } else { read.await.map(|_| ()) } };
        tokio::select! {
            came = asking => panic!("it was not held up: {came:?}"),
            () = waiting(&database, asked) => {}
        }
    }
    wire.forgets();
    database.psql(GIVE_UP).await;
    holder.close().await.expect("ended");
    in_time(store.append(&[delivery("b")])).await.expect("written");
    // Those that are idle by now fall silent together, and one of them is asked.
    let (read, counted, checked) = in_time(async { tokio::join!(store.pending_deliveries(1), store.stats(at(1)), store.check()) }).await;
    assert!(read.is_ok() && counted.is_ok() && checked.is_ok());
    wire.forgets();
    in_time(store.append(&[delivery("c")])).await.expect("written");
    assert_eq!(in_time(store.pending_deliveries(5)).await.expect("read").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_nobody_answers_for_is_not_ready_and_is_again_when_somebody_does() {
    let database = Database::new().await;
    let (wire, store) = over_a_wire(&database, PostgresOptions { busy_timeout: Duration::from_secs(1), ..impatient() }).await;
    store.check().await.expect("it is good");
    wire.is(Wire::Silent);
    for _ in 0..3 {
        let refused = in_time(store.check()).await.expect_err("nobody answers");
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    }
    wire.is(Wire::Good);
    in_time(store.check()).await.expect("it is good again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_finds_no_room_is_told_by_readiness_until_there_is_some() {
    let database = Database::new().await;
    let store = open(&database).await;
    // No room at all is made by a table that stands in the way of the one that is tried.
    database.psql("CREATE TABLE room (id BIGINT)").await;
    store.check().await.expect("nothing lacked room");
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$; \
                CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON deliveries DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION full_disk()";
    database.psql(full).await;
    let refused = store.append(&[delivery("a")]).await.expect_err("no room");
    assert!(matches!(refused, StoreError::Full(_)), "{refused:?}");
    assert!(store.check().await.is_err(), "it lacks room");
    database.psql("DROP TABLE room; DROP TRIGGER full_disk ON deliveries").await;
    store.check().await.expect("there is room");
    store.append(&[delivery("a")]).await.expect("written");
}

/// Answers one connection as a server of this version does, up to where it is ready to be asked.
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>
async fn server_of_version(version: &str) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let message = |kind: u8, body: &[u8]| [&[kind][..], &u32::try_from(body.len() + 4).expect("short").to_be_bytes(), body].concat();
    let shown = format!("server_version\0{version}\0");
    let welcome = [message(b'R', &[0; 4]), message(b'S', shown.as_bytes()), message(b'K', &[0; 8]), message(b'Z', b"I")].concat();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut heard = [0; 4096];
        // It is not asked for TLS where the address wants none.
        let _ = stream.read(&mut heard).await.expect("a beginning");
        stream.write_all(&welcome).await.expect("said");
        while stream.read(&mut heard).await.is_ok_and(|read| read > 0) {}
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_too_old_is_refused_before_anything_is_asked_of_it() {
    for (version, told) in [("13.18 (Debian 13.18-0+deb11u1)", "PostgreSQL 13"), ("9.6.24", "PostgreSQL 9")] {
        let address = format!("postgres://kubeops@{}/kubeops?sslmode=disable", server_of_version(version).await);
        let refused = SqlStore::postgres(&address, PostgresOptions::default()).await.err().expect("refused");
        assert!(matches!(&refused, StoreError::Unusable(message) if message.contains(told) && message.contains("14 or later")), "{refused}");
    }
}

/// Whether somebody is told of work within a second.
async fn is_woken(store: &SqlStore) -> bool {
    tokio::time::timeout(Duration::from_secs(1), store.woken()).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_is_due_wakes_the_other_replicas_and_what_is_not_wakes_nobody() {
    let database = Database::new().await;
    let (one, other) = (open(&database).await, open(&database).await);
    // Each hears once when it begins to listen: what was told before nobody heard.
    assert!(is_woken(&one).await && is_woken(&other).await);
    assert!(!is_woken(&other).await, "nothing is due");
    let now = SystemClock.now();
    open_request(&one, "OPS-1", Some("manifests"), now).await;
    assert!(is_woken(&other).await);
    assert!(!is_woken(&one).await, "whoever left it knows");
    open_request(&one, "OPS-2", Some("manifests"), now.plus(Duration::from_secs(3600))).await;
    assert!(!is_woken(&other).await, "nothing more is due");
    // A connection that broke is opened anew, and what may have been told meanwhile is looked for.
    let ended = database.psql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'").await;
    assert_eq!(ended, "2");
    tokio::time::timeout(Duration::from_secs(10), other.woken()).await.expect("it listens again");
    open_request(&one, "OPS-3", Some("manifests"), at(0)).await;
    assert!(is_woken(&other).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_to_listen_with_that_falls_silent_is_made_anew() {
    let database = Database::new().await;
    let other = open(&database).await;
    let (wire, store) = over_a_wire(&database, impatient()).await;
    assert!(is_woken(&store).await, "it listens");
    wire.forgets();
    // It is asked after a second, and given up after another.
    tokio::time::timeout(Duration::from_secs(10), store.woken()).await.expect("it listens again");
    open_request(&other, "OPS-1", Some("manifests"), SystemClock.now()).await;
    assert!(is_woken(&store).await, "it is told again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_by_the_databases_clock() {
    let database = Database::new().await;
    let (before, shown, after) =
        (SystemClock.now(), open(&database).await.moment().await.expect("a moment").expect("the database's"), SystemClock.now());
    assert!(shown >= before.minus(Duration::from_millis(1)) && shown <= after, "{before} {shown} {after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_whose_name_is_held_by_nobody_died_and_the_others_read_with_care() {
    let database = Database::new().await;
    let (one, other) = (open(&database).await, open(&database).await);
    for (store, name) in [(&one, "one"), (&other, "other")] {
        assert!(store.hold_name(name).await.expect("an answer"));
        assert_eq!(store.reads(name, true, 5).await, Ok(0));
    }
    assert_eq!(other.reads("nobody", true, 5).await, Ok(0));
    let id = delivery("a").id;
    assert_eq!(one.reads_alone("one", &id).await, Ok(0));
    assert_eq!(other.reads("other", false, 5).await, Ok(0), "it lives");
    one.close().await;
    while other.reads("other", false, 5).await.expect("an answer") == 0 {}
    assert_eq!(other.reads_alone("other", &id).await, Ok(1));
    assert_eq!(database.psql("SELECT string_agg(owner, ' ') FROM readers").await, "other", "who has no name of its own is not listed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settlement_that_is_refused_harms_no_other() {
    let database = Database::new().await;
    let store = open(&database).await;
    for code in ["23514", "42703"] {
        let refuses = format!(
            "CREATE OR REPLACE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it is refused' USING ERRCODE = '{code}'; END $$"
        );
        database.psql(&refuses).await;
        database.psql("CREATE TRIGGER refused BEFORE UPDATE ON requests FOR EACH ROW WHEN (NEW.correlation = 'B') EXECUTE FUNCTION refused()").await;
        one_of_three_is_refused(&store, code == "23514").await;
        database.psql("DROP TRIGGER refused ON requests").await;
        settled_after_all(&store).await;
    }
}

/// What sessions told of `table` when they ended: waits until that are so many rows.
async fn are_counted(database: &Database, table: &str, rows: usize) {
    let (begun, inserted) = (Instant::now(), format!("SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = '{table}'"));
    while database.psql(&inserted).await != rows.to_string() {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is told of what was written");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The tables of which more than `rows` were read one after another.
async fn walked(database: &Database, rows: usize) -> String {
    database.psql(&format!("SELECT relname || ' ' || seq_tup_read FROM pg_stat_user_tables WHERE seq_tup_read > {rows}")).await
}

/// A statement that was planned while the tables were small keeps its plan as they grow: what then walks along all that is kept makes a
/// burst the slower the longer it lasts, until PostgreSQL looks at the tables again, a minute later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_dispatched_is_found_by_its_key_also_by_statements_planned_when_the_store_was_empty() {
    const BATCHES: usize = 60;
    const BATCH: usize = 64;
    let database = Database::new().await;
    let store = open(&database).await;
    for batch in 0..BATCHES {
        let batch: Vec<_> = (0..BATCH).map(|number| delivery(&format!("{batch}-{number}"))).collect();
        store.append(&batch).await.expect("written");
        let told: Vec<_> = batch.iter().map(|new| dispatch(Some(&new.id), &new.dedup_key, Vec::new())).collect();
        // What is passed by is looked up, and what is sent again.
        assert_eq!(store.pending_besides(&[batch[0].id.clone()], 100).await.expect("read").len(), BATCH - 1);
        store.dispatch(&told, at(1)).await.expect("dispatched");
        store.append(&batch[..2]).await.expect("written");
    }
    store.close().await;
    are_counted(&database, "events", BATCHES * BATCH).await;
    assert_eq!(walked(&database, BATCHES * BATCH).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_opened_claimed_and_settled_by_index_also_by_statements_planned_when_the_store_was_empty() {
    let database = Database::new().await;
    let store = open(&database).await;
    let mut opened = 0;
    for _ in 0..20 {
        for _ in 0..40 {
            open_request(&store, &format!("key-{opened}"), Some(["gitops", "charts", "clusters"][opened % 3]), at(1)).await;
            opened += 1;
        }
        for _ in 0..4 {
            let claimed = store.claim("worker", at(2), Duration::from_secs(30), Room::single(5)).await.expect("claimed");
            assert_eq!(claimed.len(), 3, "one of each lane");
            for held in &claimed {
                let planned = Request { state: State::Planned, ..held.request.clone() };
                store.settle(held, &Settlement { request: Some(planned), ..Settlement::default() }, at(3)).await.expect("settled");
            }
        }
    }
    store.close().await;
    are_counted(&database, "requests", opened).await;
    // Of the lanes and their turns there are three rows each, which are looked through.
    assert_eq!(walked(&database, 2 * opened).await, "");
    // The indexes of the queue show what was claimed before until PostgreSQL has tidied up.
    let searched =
        format!("SELECT indexrelname || ' ' || idx_tup_read FROM pg_stat_user_indexes WHERE relname <> 'outbox' AND idx_tup_read > {}", 10 * opened);
    assert_eq!(database.psql(&searched).await, "", "rows of an index that were read for {opened} requests");
}
