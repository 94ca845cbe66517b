//! A store that servers filled is moved, backed up and restored: what was acknowledged is there, and the work goes on.

use crate::support::postgres::Database;
use crate::support::server::{TestServer, ticket};
use serde_json::Value;
use sqlx::{Connection as _, Executor as _};
use std::collections::BTreeSet;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

fn database() -> Database {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Database::new())
}

fn psql(database: &Database, sql: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(database.psql(sql))
}

fn ended(output: &Output, code: i32) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn ids(server: &TestServer) -> BTreeSet<String> {
    server.at().all("/deliveries").iter().filter_map(|delivery| delivery["id"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_store_moves_to_postgresql_and_back_and_a_request_that_was_under_way_goes_on() {
    let mut server = TestServer::start();
    server.at().ticket(&ticket("OPS-1", "payments"));
    server.at().settled("OPS-1", "proposed");
    let status = json(&server.cli(&["store", "status", "--output", "json"]));
    assert_eq!((&status["kind"], &status["in_use"], &status["writable"]), (&"sqlite".into(), &true.into(), &true.into()), "{status}");
    assert_eq!(status["rows"]["requests"], 1, "{status}");
    server.terminate();
    // It dies with a task in its hands.
    server.set("KUBEOPS_FAILPOINT", "plan.committed").run();
    server.at().ticket(&ticket("OPS-2", "search"));
    assert!(!server.wait().success());
    server.set("KUBEOPS_FAILPOINT", "");

    let there = database();
    let copied = ended(&server.cli(&["store", "copy", "--to", there.address()]), 0);
    assert!(copied.contains("both hold the same"), "{copied}");
    let from = format!("sqlite:{}", server.data().join("kubeops.db").display());
    server.set("STORE_URL", there.address());
    // Who looks first whether the copy is good changes nothing that counts.
    ended(&server.cli(&["store", "status"]), 0);
    ended(&server.cli(&["store", "compare", "--from", &from]), 0);
    server.run();
    server.at().settled("OPS-2", "proposed");
    server.at().ticket(&ticket("OPS-3", "billing"));
    server.at().settled("OPS-3", "proposed");
    server.at().nothing_owed();
    let seen = ids(&server);
    server.terminate();

    let back = format!("sqlite:{}", server.place("back.db").display());
    ended(&server.cli(&["store", "copy", "--to", &back]), 0);
    ended(&server.cli(&["store", "compare", "--to", &back]), 0);
    server.set("STORE_URL", &back).run();
    assert_eq!(ids(&server), seen);
    server.at().ticket(&ticket("OPS-4", "orders"));
    server.at().settled("OPS-4", "proposed");
    let pulls: BTreeSet<u64> = server.at().all("/pulls").iter().filter_map(|pull| pull["number"].as_u64()).collect();
    assert_eq!(pulls, BTreeSet::from([1, 2, 3, 4]), "each once");
    server.upstream.fsck();
}

/// Backs up a store while tickets are sent to its server, and restores it into another.
fn backs_up_and_restores(server: &mut TestServer, restored: &str) {
    server.run();
    let backup = server.place("backup.db").display().to_string();
    let is_over = AtomicBool::new(false);
    let before = std::thread::scope(|scope| {
        let (server, is_over) = (&*server, &is_over);
        let (told, acknowledged) = std::sync::mpsc::channel();
        for sender in 0..3 {
            let told = told.clone();
            scope.spawn(move || {
                for number in 0.. {
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                    let ticket = ticket(&format!("OPS-{sender}{number:04}"), &format!("team-{sender}-{number}"));
                    let _ = told.send((server.at().ticket(&ticket).id(), ticket));
                }
            });
        }
        let mut before: Vec<(String, Value)> = (0..30).map(|_| acknowledged.recv().expect("acknowledged")).collect();
        before.extend(acknowledged.try_iter());
        let said = server.cli(&["store", "backup", &backup]);
        is_over.store(true, Ordering::SeqCst);
        ended(&said, 0);
        before
    });
    let refused = ended(&server.cli(&["store", "restore", &backup, "--replace"]), 3);
    assert!(refused.contains("a process works with it") && !refused.contains("is replaced"), "{refused}");
    server.terminate();
    assert!(ended(&server.cli(&["store", "restore", &backup]), 3).contains("not empty"));
    ended(&server.cli(&["store", "verify", &backup]), 0);

    server.set("STORE_URL", restored);
    ended(&server.cli(&["store", "restore", &backup]), 0);
    server.run();
    let there = ids(server);
    assert!(before.iter().all(|(id, _)| there.contains(id)), "everything that was acknowledged before it began");
    server.at().nothing_owed();
    let requests = server.at().all("/requests");
    assert!(!requests.is_empty() && requests.iter().all(|request| request["state"] == "proposed"), "{requests:#?}");
    // Bodies came along byte by byte, and a sender that sends again is told that it is known.
    for (id, ticket) in &before {
        assert_eq!(server.at().api("GET", &format!("/deliveries/{id}/body"), None).text(), ticket.to_string());
        assert_eq!(server.at().ticket(ticket).id(), *id);
    }
    server.terminate();
}

#[test]
fn a_backup_of_a_file_made_while_deliveries_are_sent_is_restored_to_postgresql() {
    let into = database();
    backs_up_and_restores(&mut TestServer::prepare(), into.address());
}

#[test]
fn a_backup_of_postgresql_made_while_deliveries_are_sent_is_restored_to_a_file() {
    let of = database();
    let mut server = TestServer::prepare();
    let into = format!("sqlite:{}", server.place("restored.db").display());
    server.set("STORE_URL", of.address());
    backs_up_and_restores(&mut server, &into);
}

#[test]
fn a_copy_that_is_killed_is_refused_by_the_server_and_begun_again() {
    let mut server = TestServer::start();
    for number in 0..5 {
        server.at().ticket(&ticket(&format!("OPS-{number}"), &format!("team-{number}")));
    }
    server.at().settled("OPS-4", "proposed");
    server.at().nothing_owed();
    let seen = ids(&server);
    server.terminate();
    let from = format!("sqlite:{}", server.data().join("kubeops.db").display());
    for point in ["store.copying:1", "store.copying:4", "store.copied"] {
        let (there, name) = (database(), point.replace([':', '.'], "-"));
        let targets = [there.address().to_owned(), format!("sqlite:{}", server.place(&format!("{name}.db")).display())];
        for to in &targets {
            let copy = ["store", "copy", "--from", &from, "--to", to];
            let killed = server.cli_dying_at(point, &copy);
            assert!(killed.status.code().is_none(), "{point}: it died: {}", String::from_utf8_lossy(&killed.stderr));
            server.set("STORE_URL", to);
            let refused = server.run_refused();
            assert!(String::from_utf8_lossy(&refused.stderr).contains("has not come to its end"), "{}", String::from_utf8_lossy(&refused.stderr));
            let status = server.cli(&["store", "status", "--output", "json"]);
            assert_eq!((status.status.code(), &json(&status)["unfinished"]), (Some(3), &true.into()));
            assert_eq!(json(&status)["rows"]["requests"], 0, "nothing of it is there");
            ended(&server.cli(&copy), 0);
            server.run();
            assert_eq!(ids(&server), seen, "{point}: {to}");
            server.terminate();
        }
    }
}

#[test]
fn a_byte_that_changed_in_a_copy_or_in_a_backup_is_found() {
    let mut server = TestServer::start();
    server.at().ticket(&ticket("OPS-1", "payments"));
    server.at().settled("OPS-1", "proposed");
    server.at().nothing_owed();
    server.terminate();
    let there = database();
    ended(&server.cli(&["store", "copy", "--to", there.address()]), 0);
    psql(&there, "UPDATE deliveries SET body = set_byte(body, 7, get_byte(body, 7) + 1)");
    let compared = server.cli(&["store", "compare", "--to", there.address(), "--output", "json"]);
    assert_eq!(compared.status.code(), Some(3));
    let different = |table: &&Value| table["from"] != table["to"];
    let compared =
        json(&compared)["tables"].as_array().expect("tables").iter().filter(different).map(|table| table["name"].clone()).collect::<Vec<_>>();
    assert_eq!(compared, ["deliveries"]);

    let backup = server.place("backup.db");
    let path = backup.display().to_string();
    ended(&server.cli(&["store", "backup", &path]), 0);
    ended(&server.cli(&["store", "verify", &path]), 0);
    let mut bytes = std::fs::read(&backup).expect("the backup");
    let place = bytes.windows(8).position(|window| window == b"payments").expect("a ticket's text");
    bytes[place] ^= 1;
    std::fs::write(&backup, bytes).expect("written");
    let refused = format!("kubeops: {path}: the backup was changed after it was made");
    let verified = ended(&server.cli(&["store", "verify", &path]), 3);
    assert!(verified.contains(&refused) && !verified.contains("the store cannot be used"), "{verified}");
    let other = server.place("other.db");
    server.set("STORE_URL", &format!("sqlite:{}", other.display()));
    assert!(ended(&server.cli(&["store", "restore", &path]), 3).contains(&refused));
    assert!(!other.exists(), "there was no store, and there is none");
    std::fs::OpenOptions::new().write(true).open(&backup).and_then(|backup| backup.set_len(50_000)).expect("cut off");
    let cut = ended(&server.cli(&["store", "verify", &path]), 3);
    assert!(cut.contains(&path) && !cut.contains("restore the database"), "{cut}");
    // Nor where it is the store to be copied that is refused.
    let source = format!("sqlite:{}", server.place("source.db").display());
    server.set("STORE_URL", &source);
    ended(&server.cli(&["store", "migrate"]), 0);
    let killed = server.cli_dying_at("store.copied", &["store", "copy", "--from", there.address(), "--to", &source, "--replace"]);
    assert!(killed.status.code().is_none());
    let refused = ended(&server.cli(&["store", "copy", "--to", &format!("sqlite:{}", other.display())]), 3);
    assert!(refused.contains(&server.place("source.db").display().to_string()) && refused.contains("has not come to its end"), "{refused}");
    assert!(!other.exists(), "{refused}");
}

#[test]
fn while_a_copy_is_brought_into_a_store_its_status_says_so() {
    let there = database();
    let mut server = TestServer::prepare();
    server.set("STORE_URL", there.address());
    ended(&server.cli(&["store", "migrate"]), 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // As a copy that takes its time.
    let copying = runtime.block_on(async {
        let mut copying = sqlx::PgConnection::connect(there.address()).await.expect("a connection");
        copying.execute("SET application_name = 'kubeops store'").await.expect("named");
        copying.execute("BEGIN; SELECT pg_advisory_xact_lock(1263497331, 1); TRUNCATE outbox, deliveries_pending CASCADE").await.expect("begun");
        copying
    });
    let status = server.cli(&["store", "status", "--output", "json"]);
    assert_eq!(status.status.code(), Some(3), "{}", String::from_utf8_lossy(&status.stderr));
    let status = json(&status);
    assert_eq!((&status["copying"], &status["problem"]), (&true.into(), &"a copy into it is under way".into()), "{status}");
    assert!(ended(&server.cli(&["store", "status"]), 3).contains("in use:    a copy into it is under way"));
    runtime.block_on(copying.close()).expect("ended");
    let status = server.cli(&["store", "status", "--output", "json"]);
    assert_eq!(json(&status)["copying"], false);
    ended(&status, 0);
}
