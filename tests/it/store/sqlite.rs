//! What is particular to SQLite: the file, its migrations, crashes, a full disk, two processes.

use super::support::{Fixture, at, delivery, dispatch, end_request, one_of_three_is_refused, open_request, opening, parsed, pull, settled_after_all};
use kubeops::request::State;
use kubeops::store::inbox::{Inbox, InboxOptions};
use kubeops::store::{
    Appended, Budget, Limit, NewDelivery, PageQuery, Purse, RequestUpdate, Reservation, Room, Spend, Store, StoreError, TaskFilter, TaskState,
};
use kubeops::store::{SqlStore, SqliteOptions};
use sqlx::{Connection, SqliteConnection};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

async fn opened(path: &Path) -> Arc<dyn Store> {
    Arc::new(try_open(path).await.expect("the store opens"))
}

async fn try_open(path: &Path) -> Result<SqlStore, StoreError> {
    SqlStore::sqlite(path.to_str().expect("a path in UTF-8"), SqliteOptions::default()).await
}

/// An empty store in a directory of its own.
pub async fn empty() -> Fixture {
    let directory = tempfile::tempdir().expect("a directory");
    (opened(&directory.path().join("store.db")).await, Box::new(directory))
}

/// A connection of nobody's, to make files the store did not.
pub async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.expect("a connection")
}

mod contract {
    contract_suite!(crate::store::sqlite::empty);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, crashed) = (directory.path().join("store.db"), directory.path().join("crashed.db"));
    let store = opened(&path).await;
    let mut acknowledged = Vec::new();
    for n in 0..40 {
        let batch: Vec<NewDelivery> = (0..7).map(|m| NewDelivery { body: vec![n; 5000], ..delivery(&format!("{n}-{m}")) }).collect();
        store.append(&batch).await.expect("written");
        acknowledged.extend(batch.into_iter().map(|new| new.id));
        if n % 13 != 0 {
            continue;
        }
        // The files as a killed process leaves them: nothing is closed, the log is not copied into the database. The log is
        // copied last: a checkpoint in between moves pages out of it, never into it.
        for file in ["", "-wal"] {
            std::fs::copy(directory.path().join(format!("store.db{file}")), directory.path().join(format!("crashed.db{file}"))).expect("a copy");
        }
        let again = opened(&crashed).await;
        let pending: Vec<_> = again.pending_deliveries(1000).await.expect("pending").into_iter().map(|delivery| delivery.id).collect();
        assert_eq!(pending, acknowledged);
        again.close().await;
        for file in ["", "-wal", "-shm"] {
            std::fs::remove_file(directory.path().join(format!("crashed.db{file}"))).ok();
        }
    }
}

#[tokio::test]
async fn a_closed_store_leaves_one_file_that_only_its_owner_reads() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("made/on/the/way/store.db");
    let store = opened(&path).await;
    store.append(&[delivery("a")]).await.expect("written");
    store.pending_deliveries(1).await.expect("pending");
    #[cfg(unix)]
    for file in ["db", "db-wal"].map(|extension| path.with_extension(extension)) {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    store.close().await;
    let left: Vec<_> = std::fs::read_dir(path.parent().expect("a directory")).expect("files").map(|file| file.expect("a file").file_name()).collect();
    assert_eq!(left.len(), 1, "the log is copied into the database: {left:?}");
    assert_eq!(opened(&path).await.pending_deliveries(9).await.expect("pending").len(), 1);
}

#[tokio::test]
async fn another_programs_file_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("theirs.db");
    sqlx::raw_sql("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").execute(&mut raw(&path).await).await.expect("a table");
    let Err(StoreError::Unusable(message)) = try_open(&path).await else { panic!("it was opened") };
    assert!(message.contains("another program"), "{message}");
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut raw(&path).await).await.expect("a count");
    assert_eq!(tables, 1);
    let text = directory.path().join("text.db");
    std::fs::write(&text, "no database at all, but longer than a header would be: ".repeat(9)).expect("a file");
    assert!(matches!(try_open(&text).await, Err(StoreError::Unusable(_))));
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    opened(&path).await.close().await;
    sqlx::raw_sql("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)")
        .execute(&mut raw(&path).await)
        .await
        .expect("a later version");
    let Err(StoreError::Unusable(message)) = try_open(&path).await else { panic!("it was opened") };
    assert!(message.contains("9999") && message.contains("newer kubeops"), "{message}");
}

#[tokio::test]
async fn a_batch_of_several_arrivals_is_written_whole_or_not_at_all() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let store = opened(&path).await;
    let mut inbox = raw(&path).await;
    sqlx::raw_sql("CREATE TRIGGER refuses BEFORE INSERT ON arrivals WHEN NEW.count = 3 BEGIN SELECT RAISE(ABORT, 'no'); END")
        .execute(&mut inbox)
        .await
        .expect("a trigger");
    // 512 deliveries, or 1 MiB, are an arrival.
    let many: Vec<NewDelivery> = (0..515).map(|n| delivery(&n.to_string())).collect();
    assert!(store.append(&many).await.is_err());
    assert!(store.pending_deliveries(9).await.expect("pending").is_empty());
    let large: Vec<NewDelivery> = (0..5).map(|n| NewDelivery { body: vec![b'x'; 340_000], ..delivery(&n.to_string()) }).collect();
    assert!(store.append(&large).await.is_err());
    assert!(store.pending_deliveries(9).await.expect("pending").is_empty());
    sqlx::raw_sql("DROP TRIGGER refuses").execute(&mut inbox).await.expect("dropped");
    assert_eq!(store.append(&large).await.expect("written"), vec![Appended::New; 5]);
    let read = store.pending_deliveries(9).await.expect("pending");
    assert!(read.iter().zip(&large).all(|(read, new)| read.id == new.id && read.body == new.body) && read.len() == 5);
}

#[tokio::test]
async fn bodies_go_when_none_of_their_deliveries_is_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let store = opened(&path).await;
    for n in 0..4 {
        let told = [0, 1].map(|m| NewDelivery { received_at: at(10 * n + m), ..delivery(&format!("{n}-{m}")) });
        store.append(&told).await.expect("written");
        store.dispatch(&told.map(|new| dispatch(Some(&new.id), &new.dedup_key, Vec::new())), at(100)).await.expect("dispatched");
    }
    let mut inbox = raw(&path).await;
    for (before, kept) in [(1, vec![1, 2, 3, 4]), (11, vec![2, 3, 4]), (100, vec![])] {
        while store.prune(at(before), 3).await.expect("pruned").deliveries > 0 {}
        let arrivals: Vec<i64> = sqlx::query_scalar("SELECT seq FROM arrivals ORDER BY seq").fetch_all(&mut inbox).await.expect("the arrivals");
        assert_eq!(arrivals, kept, "before {before}");
    }
    // Nothing of what went is taken for a duplicate, also after a start, and the next is numbered after the last.
    store.close().await;
    let again = opened(&path).await;
    assert_eq!(again.append(&[delivery("3-1")]).await.expect("written"), [Appended::New]);
    let arrivals: Vec<i64> = sqlx::query_scalar("SELECT seq FROM arrivals").fetch_all(&mut inbox).await.expect("the arrivals");
    assert_eq!(arrivals, [5]);
}

#[tokio::test]
async fn what_is_filed_and_not_dispatched_when_the_process_ends_is_dispatched_after_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let store = opened(&path).await;
    let told = ["a", "b"].map(delivery);
    store.append(&told).await.expect("written");
    store.delivery(&told[0].id).await.expect("filed");
    store.append(&[delivery("c")]).await.expect("written");
    for file in ["", "-wal"] {
        std::fs::copy(directory.path().join(format!("store.db{file}")), directory.path().join(format!("killed.db{file}"))).expect("a copy");
    }
    let again = opened(&directory.path().join("killed.db")).await;
    let pending: Vec<_> = again.pending_deliveries(9).await.expect("pending").into_iter().map(|delivery| delivery.body).collect();
    assert_eq!(pending, [told[0].body.clone(), told[1].body.clone(), delivery("c").body]);
    let outcomes = again.append(&["a", "c", "d"].map(delivery)).await.expect("written");
    assert!(matches!(outcomes.as_slice(), [Appended::Duplicate(_), Appended::Duplicate(_), Appended::New]), "{outcomes:?}");
}

#[tokio::test]
async fn large_bodies_are_handed_out_a_few_at_a_time() {
    let (store, _keep) = empty().await;
    let large: Vec<NewDelivery> = (0..20).map(|n| NewDelivery { body: vec![b'x'; 3_000_000], ..delivery(&n.to_string()) }).collect();
    for batch in large.chunks(4) {
        store.append(batch).await.expect("written");
    }
    let mut dispatched = 0;
    while dispatched < large.len() {
        let pending = store.pending_deliveries(128).await.expect("pending");
        // 16 MiB and the one that goes beyond, whether they are filed (which those behind the first are) or not.
        assert!((1..=7).contains(&pending.len()), "{} at once", pending.len());
        assert!(pending.iter().zip(&large[dispatched..]).all(|(read, new)| read.id == new.id && read.body == new.body));
        store.dispatch(&[dispatch(Some(&pending[0].id), &dispatched.to_string(), Vec::new())], at(1)).await.expect("dispatched");
        dispatched += 1;
    }
}

#[tokio::test]
async fn a_delivery_that_another_process_wrote_is_known() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let (one, two) = (opened(&path).await, opened(&path).await);
    let first = delivery("a");
    one.append(std::slice::from_ref(&first)).await.expect("written");
    assert_eq!(two.append(&[delivery("a"), delivery("b")]).await.expect("written"), [Appended::Duplicate(first.id.clone()), Appended::New]);
    assert_eq!(two.delivery(&first.id).await.expect("filed by the other").id, first.id);
    assert_eq!(one.append(&[delivery("a"), delivery("c")]).await.expect("written"), [Appended::Duplicate(first.id.clone()), Appended::New]);
    assert!(matches!(two.append(&[delivery("c")]).await.expect("known").as_slice(), [Appended::Duplicate(_)]));
    assert_eq!(one.pending_deliveries(9).await.expect("pending").len(), 3);
}

/// Two processes share a day's budget: what one has noted the other sees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_that_reserve_calls_of_a_model_never_go_beyond_a_budget() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let stores = [opened(&path).await, opened(&path).await];
    let held = super::contract::drafts::begun(&*stores[0], "OPS-1").await;
    let day = Limit { tokens: None, micros: Some(95) };
    let budget = Budget { day, ..Budget::default() };
    let asking = (1..=30).map(|turn| {
        let (store, held) = (Arc::clone(&stores[turn as usize % 2]), held.clone());
        tokio::spawn(async move { store.reserve_turn(&held, 1, turn, Spend { tokens: 1, micros: 10 }, &budget, at(2)).await.expect("an answer") })
    });
    let mut made = 0;
    for answer in asking.collect::<Vec<_>>() {
        match answer.await.expect("an answer") {
            Reservation::Made { .. } => made += 1,
            refused => assert_eq!(refused, Reservation::Exhausted { whose: Purse::Day, used: Spend { tokens: 9, micros: 90 }, limit: day }),
        }
    }
    assert_eq!(made, 9);
}

/// Every schema version that was ever released has a dump of a filled database here, made by that version. Opening it must
/// bring it to the newest schema with everything still in it.
#[tokio::test]
async fn a_filled_database_of_every_schema_version_is_brought_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let migrations = std::fs::read_dir(root.join("migrations/sqlite")).expect("the migrations").count();
    for version in 1..=migrations {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.db");
        let dump = root.join(format!("tests/it/store/fixtures/sqlite-{version:04}.sql"));
        let dump = std::fs::read_to_string(&dump).unwrap_or_else(|error| panic!("{}: {error}; see docs/store.md", dump.display()));
        sqlx::raw_sql(sqlx::AssertSqlSafe(dump)).execute(&mut raw(&path).await).await.expect("the dump is read");
        let store = opened(&path).await;
        reads_back(&*store).await;
        let (_, next) = open_request(&*store, "OPS-1", None, at(900)).await;
        assert_eq!(store.request(&next).await.expect("it is written to").key.generation, 2);
    }
}

/// What [`filled`] wrote.
pub async fn reads_back(store: &dyn Store) {
    let page = || PageQuery { limit: 100, after: None };
    let requests = store.requests(&Default::default(), &page()).await.expect("requests").items;
    let seen: Vec<_> = requests.iter().map(|request| (request.key.correlation.as_str(), request.state)).collect();
    assert_eq!(seen, [("OPS-3", State::Accepted), ("OPS-2", State::Proposed), ("OPS-1", State::Merged)]);
    assert_eq!(requests[1].event.subject, "OPS-2");
    assert_eq!(requests[1].pull.as_ref().map(|pull| pull.number), Some(1));
    assert_eq!(store.timeline(&requests[1].id).await.expect("a timeline").len(), 2);
    assert_eq!(store.deliveries(&Default::default(), &page()).await.expect("deliveries").items.len(), 6);
    assert_eq!(store.pending_deliveries(9).await.expect("pending")[0].body, b"{\"key\":\"waiting\"}");
    assert_eq!(
        store.append(&[delivery("waiting")]).await.expect("known"),
        [Appended::Duplicate(store.pending_deliveries(1).await.expect("pending")[0].id.clone())]
    );
    let events = store.events(&Default::default(), &page()).await.expect("events").items;
    assert_eq!(events.len(), 4);
    assert!(events.iter().all(|event| event.requests.len() == 1 && event.decisions.len() == 1));
    let tasks = store.tasks(&TaskFilter { state: Some(TaskState::Dead), request: None }, 9).await.expect("tasks");
    assert_eq!((tasks.len(), tasks[0].last_error.as_deref()), (1, Some("no permission")));
    assert_eq!(store.pull(&parsed("gitops"), 1).await.expect("an answer").expect("the pull request").title, "A namespace");
    assert_eq!(store.tokens().await.expect("tokens")[0].name, "ann");
    let stats = store.stats(at(1000)).await.expect("stats");
    assert!(stats.requests.contains(&(State::Merged, 1)) && stats.requests.contains(&(State::Proposed, 1)), "{:?}", stats.requests);
}

/// Makes the fixture of the newest schema version, once per version: `cargo test --test it writes_the_newest -- --ignored`.
#[tokio::test]
#[ignore = "makes the fixture of a new schema version; see docs/store.md"]
async fn writes_the_newest_fixture() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let version = std::fs::read_dir(root.join("migrations/sqlite")).expect("the migrations").count();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let store = opened(&path).await;
    filled(&*store).await;
    store.close().await;
    let target = root.join(format!("tests/it/store/fixtures/sqlite-{version:04}.sql"));
    std::fs::write(target, dump(&mut raw(&path).await).await).expect("the fixture is written");
}

/// The database as SQL.
async fn dump(connection: &mut SqliteConnection) -> String {
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.expect("the application id");
    let mut sql = format!("PRAGMA application_id = {application};\nPRAGMA foreign_keys = OFF;\nBEGIN;\n");
    let things: Vec<(String, String, String)> =
        sqlx::query_as("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type <> 'table', type, rowid")
            .fetch_all(&mut *connection)
            .await
            .expect("the schema");
    for (kind, name, text) in things {
        sql += &format!("{text};\n");
        if kind != "table" {
            continue;
        }
        let columns: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT name FROM pragma_table_xinfo('{name}') WHERE hidden = 0")))
            .fetch_all(&mut *connection)
            .await
            .expect("the columns");
        let quoted = columns.iter().map(|column| format!("quote({column})")).collect::<Vec<_>>().join(" || ', ' || ");
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT {quoted} FROM {name}"))).fetch_all(&mut *connection).await.expect("the rows");
        for row in rows {
            sql += &format!("INSERT INTO {name} ({}) VALUES ({row});\n", columns.join(", "));
        }
    }
    sql + "COMMIT;\n"
}

#[tokio::test]
async fn what_the_fixture_is_made_of_reads_back() {
    let (store, _keep) = empty().await;
    filled(&*store).await;
    reads_back(&*store).await;
}

/// Fills a store with a bit of everything.
pub async fn filled(store: &dyn Store) {
    use kubeops::store::{Role, Settlement, TokenRecord, Verdict};
    let (_, first) = open_request(store, "OPS-1", Some("gitops"), at(1)).await;
    end_request(store, &first, State::Merged, at(2)).await;
    let (_, second) = open_request(store, "OPS-2", Some("gitops"), at(3)).await;
    open_request(store, "OPS-2", Some("gitops"), at(4)).await;
    let mut request = store.request(&second).await.expect("the request");
    request.state = State::Proposed;
    request.pull = Some(kubeops::request::PullRef { number: 1, url: "kubeops://gitops/1".to_owned() });
    store.update_request(&request, &RequestUpdate::default(), at(5)).await.expect("proposed");
    let held = store.claim("w", at(5), Duration::from_secs(9), Room::single(1)).await.expect("a claim").remove(0);
    let verdict = Verdict::Dead { error: "no permission".to_owned() };
    store.settle(&held, &Settlement { verdict, ..Default::default() }, at(6)).await.expect("settled");
    open_request(store, "OPS-3", None, at(7)).await;
    let ignored = NewDelivery { handled: false, ..delivery("ignored") };
    store.append(&[delivery("waiting"), ignored]).await.expect("written");
    store.insert_pull(&pull("gitops", "kubeops/namespace-request/ops-2")).await.expect("inserted");
    let token = TokenRecord {
        id: super::support::token_id(),
        name: "ann".to_owned(),
        role: Role::Admin,
        hash: [7; 32],
        created_at: at(8),
        expires_at: None,
        revoked_at: None,
    };
    store.insert_token(&token).await.expect("inserted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_may_open_a_new_file_at_once_and_share_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let (server, command) = tokio::join!(opened(&path), opened(&path));
    for n in 0..10 {
        open_request(&*server, &format!("server-{n}"), None, at(n)).await;
        open_request(&*command, &format!("command-{n}"), None, at(n)).await;
    }
    let claims = [server.clone(), command.clone()].map(|store| {
        tokio::spawn(async move {
            let mut taken = Vec::new();
            for _ in 0..8 {
                taken.extend(store.claim("w", at(100), Duration::from_secs(9), Room::single(3)).await.expect("a claim"));
            }
            taken
        })
    });
    let mut taken = Vec::new();
    for claim in claims {
        taken.extend(claim.await.expect("a claimer").into_iter().map(|task| task.task.id));
    }
    let all = taken.len();
    taken.sort();
    taken.dedup();
    assert_eq!((all, taken.len()), (20, 20));
    command.close().await;
    server.check().await.expect("the server goes on");
}

#[tokio::test]
async fn a_cancelled_caller_leaves_no_transaction_behind() {
    let (store, _keep) = empty().await;
    let (_, id) = open_request(&*store, "OPS-1", None, at(0)).await;
    for turns in 0..40 {
        let request = store.request(&id).await.expect("the request");
        let write = async { store.update_request(&request, &RequestUpdate::default(), at(1)).await };
        tokio::select! {
            biased;
            () = async { for _ in 0..turns { tokio::task::yield_now().await } } => {}
            result = write => result.expect("nobody else writes"),
        }
        let append = async { store.append(&[delivery(&turns.to_string())]).await };
        tokio::select! {
            biased;
            () = async { for _ in 0..turns { tokio::task::yield_now().await } } => {}
            result = append => drop(result.expect("it is written")),
        }
        store.check().await.expect("the next writer has its turn");
    }
}

#[cfg(target_os = "linux")]
mod full_disk {
    use super::*;
    use crate::support::skipped;
    use crate::support::small_disk::NEEDED;
    use std::path::PathBuf;
    use std::process::Command;

    /// A small file system of its own, gone with the value.
    struct SmallDisk(PathBuf, #[expect(dead_code, reason = "the mount point lives as long as the mount")] tempfile::TempDir);

    impl SmallDisk {
        fn mount() -> Option<Self> {
            let directory = tempfile::tempdir().expect("a directory");
            let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(directory.path()).output();
            match mounted {
                Ok(output) if output.status.success() => Some(Self(directory.path().to_owned(), directory)),
                _ => None,
            }
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            Command::new("umount").arg("--lazy").arg(&self.0).status().ok();
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_told_loses_nothing_and_mends_itself() {
        let Some(disk) = SmallDisk::mount() else {
            return skipped(NEEDED);
        };
        let ballast = disk.0.join("ballast");
        std::fs::write(&ballast, vec![0; 1024 * 1024]).expect("ballast");
        let store = opened(&disk.0.join("store.db")).await;
        let inbox = Inbox::new(store.clone(), InboxOptions::default());
        let big = |key: &str| NewDelivery { body: vec![b'x'; 100_000], ..delivery(key) };
        let mut acknowledged = Vec::new();
        let refused = loop {
            let new = big(&format!("{}", acknowledged.len()));
            match inbox.accept(new.clone()).await {
                Ok(_) => acknowledged.push(new.id),
                Err(error) => break error,
            }
            assert!(acknowledged.len() < 40, "the disk is never full");
        };
        assert!(matches!(refused, StoreError::Full(_)), "{refused}");
        for n in 0..5 {
            assert!(matches!(inbox.accept(big(&format!("again-{n}"))).await, Err(StoreError::Full(_))), "still full");
        }
        store.deliveries(&Default::default(), &PageQuery { limit: 9, after: None }).await.expect("reading goes on");
        let pending = store.pending_deliveries(100).await.expect("reading goes on");
        assert_eq!(pending.iter().map(|delivery| delivery.id.clone()).collect::<Vec<_>>(), acknowledged);

        std::fs::remove_file(&ballast).expect("there is room again");
        let later = big("later");
        acknowledged.push(later.id.clone());
        assert_eq!(inbox.accept(later).await.expect("written"), Appended::New);
        store.check().await.expect("ready again");
        let told = dispatch(Some(&acknowledged[0]), "k", vec![opening("OPS-1", None)]);
        assert_eq!(store.dispatch(&[told], at(1)).await.expect("dispatched")[0].len(), 1);
        inbox.shutdown().await;
        store.close().await;
        let again = opened(&disk.0.join("store.db")).await;
        assert_eq!(again.pending_deliveries(100).await.expect("pending").len(), acknowledged.len() - 1);
        again.close().await;
    }
}

#[tokio::test]
async fn a_missing_file_that_is_not_to_be_made_is_refused_and_nothing_is_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("deeper").join("store.db");
    let address = path.to_str().expect("a path in UTF-8");
    let only_there = || SqliteOptions { create: false, ..SqliteOptions::default() };
    let refused = SqlStore::sqlite(address, only_there()).await.err().expect("refused");
    assert!(matches!(&refused, StoreError::Unusable(message) if message.contains("there is no store at")), "{refused}");
    assert!(!path.parent().is_some_and(Path::exists), "nothing was made");
    opened(&path).await.close().await;
    SqlStore::sqlite(address, only_there()).await.expect("it is there now").close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_never_give_the_same_room_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let stores = [opened(&path).await, opened(&path).await];
    let mut asking = Vec::new();
    for n in 0..20 {
        let store = Arc::clone(&stores[n % 2]);
        let (_, request) = open_request(&*store, &format!("a-{n}"), None, at(0)).await;
        let held = super::contract::drafts::claimed(&*stores[0], "w", &request, 0).await;
        let (automation, target) = (parsed("namespace-request"), "gitops:prod".to_owned());
        let wanted = kubeops::store::Admission { request, automation, target, per_hour: Some(9), per_target: Some(6), insists: false };
        asking.push(tokio::spawn(async move { store.admit(&held, &wanted, at(1)).await.expect("an answer") }));
    }
    let mut given = 0;
    for answer in asking {
        given += usize::from(answer.await.expect("an answer") == kubeops::store::Admitted::Given);
    }
    assert_eq!(given, 6);
}

#[tokio::test]
async fn a_settlement_that_is_refused_harms_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let store = opened(&path).await;
    let mut other = raw(&path).await;
    for (runs_into, is_refused) in [("SELECT RAISE(ABORT, 'it is refused')", true), ("SELECT json('{')", false)] {
        let refuses = format!("CREATE TRIGGER refused BEFORE UPDATE ON requests WHEN NEW.correlation = 'B' BEGIN {runs_into}; END");
        sqlx::query(sqlx::AssertSqlSafe(refuses)).execute(&mut other).await.expect("said");
        one_of_three_is_refused(&*store, is_refused).await;
        sqlx::query("DROP TRIGGER refused").execute(&mut other).await.expect("said");
        settled_after_all(&*store).await;
    }
}
