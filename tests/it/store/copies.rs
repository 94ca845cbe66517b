//! A store copied from one database to the other and back: it holds the same, goes on from there, and is never half a store.

use super::sqlite::{filled, reads_back};
use super::support::{at, delivery, dispatch, open_request, opening};
use crate::support::postgres::Database;
use kubeops::store::{
    Backup, CopiedTable, IfNotEmpty, NewDelivery, PageQuery, PostgresOptions, Room, SchemaOnOpen, Settlement, SqlStore, SqliteOptions, Store,
    StoreError,
};
use sqlx::Connection as _;
use std::path::Path;
use std::time::Duration;

async fn file(path: &Path, schema: SchemaOnOpen) -> SqlStore {
    SqlStore::sqlite(path.to_str().expect("UTF-8"), SqliteOptions { schema, ..SqliteOptions::default() }).await.expect("a file")
}

async fn database(database: &Database, schema: SchemaOnOpen) -> SqlStore {
    SqlStore::postgres(database.address(), PostgresOptions { schema, ..PostgresOptions::default() }).await.expect("a database")
}

/// A bit of everything, with what one of the databases could say otherwise.
async fn filled_to_the_brim(store: &dyn Store) {
    filled(store).await;
    // A draft that runs, an event whose subject has the character that PostgreSQL does not know, a delivery that could not be read.
    let held = super::contract::drafts::begun(store, "OPS-7").await;
    store.settle(&held, &Settlement::default(), at(1)).await.expect("settled");
    let odd = delivery("odd");
    let unreadable = delivery("unreadable");
    store.append(&[odd.clone(), unreadable.clone()]).await.expect("written");
    let mut told = dispatch(Some(&odd.id), "OPS\0-8", vec![opening("OPS\0-8", Some("gitops"))]);
    told.events[0].event.subject = "a\0b \u{1F4E6}".to_owned();
    let failed = kubeops::store::Dispatch { delivery: Some(unreadable.id), error: Some("no \0 JSON".to_owned()), events: Vec::new() };
    store.dispatch(&[told, failed], at(20)).await.expect("dispatched");
    store.delivery(&odd.id).await.expect("all are filed");
    // Several arrivals that are not filed, of every byte there is, and one that is empty and that nobody handles.
    let every: Vec<u8> = (0..=255).collect();
    for number in 0..3 {
        let body = every.iter().copied().cycle().take(100_000 * number + 256).collect();
        let nobodys = NewDelivery { handled: false, body: Vec::new(), ..delivery(&format!("nobodys-{number}")) };
        store.append(&[NewDelivery { body, ..delivery(&format!("bytes-{number}")) }, nobodys]).await.expect("written");
    }
}

fn rows(tables: &[CopiedTable], name: &str) -> u64 {
    tables.iter().find(|table| table.name == name).unwrap_or_else(|| panic!("{name} is copied")).rows
}

/// Deliveries as they are listed, with their bodies, and those that wait.
async fn deliveries(store: &dyn Store) -> (Vec<(String, Vec<u8>, String)>, Vec<String>) {
    let mut listed = Vec::new();
    for one in store.deliveries(&Default::default(), &PageQuery { limit: 500, after: None }).await.expect("a listing").items {
        let body = store.delivery(&one.id).await.expect("it").body;
        listed.push((one.id.to_string(), body, format!("{:?} {:?} {}", one.state, one.error, one.attributes)));
    }
    let pending = store.pending_deliveries(500).await.expect("those that wait");
    (listed, pending.into_iter().map(|one| one.id.to_string()).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_from_sqlite_to_postgresql_and_back_is_the_same_and_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = directory.path().join("first.db");
    let store = file(&first, SchemaOnOpen::Migrate).await;
    filled_to_the_brim(&store).await;
    let between = Database::new().await;
    let (there, back) = (database(&between, SchemaOnOpen::CopyInto).await, file(&directory.path().join("back.db"), SchemaOnOpen::CopyInto).await);
    let mut told = Vec::new();
    let to = store.copy_into(&there, IfNotEmpty::Refuse, &mut |table, rows| told.push((table.to_owned(), rows))).await.expect("copied");
    assert!(told.iter().any(|(table, rows)| table == "deliveries" && *rows > 0), "{told:?}");
    let from = there.copy_into(&back, IfNotEmpty::Refuse, &mut |_, _| {}).await.expect("copied back");
    assert_eq!(to, from);
    // Whether they can be written says nothing of what they hold.
    store.check().await.expect("it is good");
    assert!(store.compare(&back).await.expect("compared").iter().all(kubeops::store::ComparedTable::is_equal));
    for table in [
        "deliveries",
        "deliveries_pending",
        "deliveries_failed",
        "events",
        "requests",
        "request_events",
        "request_counts",
        "event_requests",
        "timeline",
        "outbox",
        "drafts",
        "pulls",
        "tokens",
    ] {
        assert!(rows(&to, table) > 0, "{table}: {to:#?}");
    }
    assert_eq!((rows(&to, "deliveries"), rows(&to, "deliveries_pending")), (6 + 1 + 2 + 6, 1 + 3), "also those that were not filed");

    let whole = deliveries(&store).await;
    let without = |text: &str| text.replace("\\0", "\u{fffd}");
    for copy in [&there as &dyn Store, &back] {
        let copied = deliveries(copy).await;
        assert_eq!(copied.1, whole.1);
        for (copied, whole) in copied.0.iter().zip(&whole.0) {
            assert_eq!((&copied.0, &copied.1, &copied.2), (&whole.0, &whole.1, &without(&whole.2)));
        }
        assert_eq!(copied.0.len(), whole.0.len());
        // Counted once, and what is new comes after what was there.
        assert_eq!(copy.stats(at(100)).await.expect("counts").requests, store.stats(at(100)).await.expect("counts").requests);
        let (new, request) = open_request(copy, "OPS-99", Some("gitops"), at(200)).await;
        let page = || PageQuery { limit: 1, after: None };
        assert_eq!(copy.requests(&Default::default(), &page()).await.expect("requests").items[0].id, request);
        assert_eq!(copy.deliveries(&Default::default(), &page()).await.expect("deliveries").items[0].id, new);
    }
    assert!(!store.compare(&back).await.expect("compared").iter().all(kubeops::store::ComparedTable::is_equal), "what came since is seen");
}

/// What older versions said of a backup.
async fn summed_up_the_probe(backup: &Path) {
    let mut backup = sqlx::SqliteConnection::connect(backup.to_str().expect("UTF-8")).await.expect("the backup");
    let facts: String = sqlx::query_scalar("SELECT facts FROM backup").fetch_one(&mut backup).await.expect("facts");
    let mut facts: serde_json::Value = serde_json::from_str(&facts).expect("JSON");
    assert!(!facts.to_string().contains("probe"), "{facts}");
    facts["tables"].as_array_mut().expect("tables").push(serde_json::json!({ "name": "probe", "rows": 1, "digest": "c0ffee" }));
    sqlx::query("UPDATE backup SET facts = ?").bind(facts.to_string()).execute(&mut backup).await.expect("written");
    backup.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_either_is_restored_into_either_and_old_claims_hold_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let of = Database::new().await;
    let stores = [file(&directory.path().join("of.db"), SchemaOnOpen::Migrate).await, database(&of, SchemaOnOpen::Migrate).await];
    for (number, store) in stores.iter().enumerate() {
        filled(store).await;
        let held = store.claim("gone", at(50), Duration::from_secs(3000), Room::single(1)).await.expect("a claim").remove(0);
        let backup = directory.path().join(format!("backup-{number}.db"));
        let facts = store.back_up(&backup, at(60), &mut |_, _| {}).await.expect("a backup");
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&backup).expect("the file").permissions()) & 0o777, 0o600);
        let verified = Backup::verified(&backup).await.expect("whole");
        assert_eq!(*verified.facts(), facts);
        summed_up_the_probe(&backup).await;
        let verified = Backup::verified(&backup).await.expect("whole, also as older versions made it");
        assert_eq!(*verified.facts(), facts);
        let again = store.back_up(&backup, at(60), &mut |_, _| {}).await.expect_err("never over a file that is there");
        assert!(again.to_string().contains("there is a file"), "{again}");
        let into = Database::new().await;
        let targets =
            [file(&directory.path().join(format!("into-{number}.db")), SchemaOnOpen::CopyInto).await, database(&into, SchemaOnOpen::CopyInto).await];
        for target in &targets {
            let restored = verified.restore(target, IfNotEmpty::Refuse, at(70), &mut |_, _| {}).await.expect("restored");
            assert_eq!(restored, facts);
            reads_back(target).await;
            let refused = target.settle(&held, &Settlement::default(), at(71)).await.expect_err("the claim is one of another store");
            assert!(matches!(refused, StoreError::Conflict(_)), "{refused}");
            // What it held is taken over at once, though its lease would last for long, and fences only go up.
            let taken = target.claim("next", at(71), Duration::from_secs(30), Room::single(9)).await.expect("a claim");
            let same = taken.iter().find(|task| task.task.id == held.task.id).expect("the task goes on");
            assert!(same.fence > held.fence && same.task.attempts > held.task.attempts, "{same:?}");
        }
    }
    let mut left: Vec<_> = std::fs::read_dir(directory.path()).expect("files").map(|file| file.expect("a file").file_name()).collect();
    left.retain(|name| name.to_string_lossy().starts_with("backup"));
    left.sort();
    assert_eq!(left, ["backup-0.db", "backup-1.db"], "nothing is left beside them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_otherwise_than_it_was_read_is_found_and_nothing_of_it_stays() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = file(&directory.path().join("store.db"), SchemaOnOpen::Migrate).await;
    filled(&store).await;
    let target = Database::new().await;
    database(&target, SchemaOnOpen::Migrate).await.close().await;
    target.psql("CREATE RULE spoils AS ON INSERT TO timeline DO ALSO UPDATE timeline SET message = message || '!' WHERE seq = 1").await;
    let into = database(&target, SchemaOnOpen::CopyInto).await;
    let refused = store.copy_into(&into, IfNotEmpty::Refuse, &mut |_, _| {}).await.expect_err("found");
    assert!(matches!(&refused, StoreError::Broken(told) if told.contains("the copy of timeline")), "{refused}");
    assert_eq!(target.psql("SELECT count(*) FROM requests").await, "0");
    let refused = SqlStore::postgres(target.address(), PostgresOptions::default()).await.err().expect("refused");
    assert!(refused.to_string().contains("has not come to its end"), "{refused}");
    target.psql("DROP RULE spoils ON timeline").await;
    store.copy_into(&into, IfNotEmpty::Refuse, &mut |_, _| {}).await.expect("begun again");
    reads_back(&database(&target, SchemaOnOpen::Migrate).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_only_one_database_has_is_not_passed_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = file(&directory.path().join("store.db"), SchemaOnOpen::Migrate).await;
    let target = Database::new().await;
    database(&target, SchemaOnOpen::Migrate).await.close().await;
    target.psql("CREATE TABLE further (id BIGINT); ALTER TABLE tokens ADD COLUMN further TEXT").await;
    let into = database(&target, SchemaOnOpen::CopyInto).await;
    let refused = store.copy_into(&into, IfNotEmpty::Refuse, &mut |_, _| {}).await.expect_err("refused");
    assert!(refused.to_string().contains(r#"["tokens","further","tokens"]"#), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_not_empty_or_in_use_is_left_alone_unless_it_is_to_be_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = file(&directory.path().join("store.db"), SchemaOnOpen::Migrate).await;
    filled(&store).await;
    let target = Database::new().await;
    let path = directory.path().join("used.db");
    let used = [file(&path, SchemaOnOpen::Migrate).await, database(&target, SchemaOnOpen::Migrate).await];
    for used in &used {
        used.append(&[delivery("theirs")]).await.expect("written");
        let into = if used.describe().await.expect("described").kind == kubeops::store::StoreKind::Sqlite {
            [file(&path, SchemaOnOpen::CopyInto).await]
        } else {
            [database(&target, SchemaOnOpen::CopyInto).await]
        };
        for there in [IfNotEmpty::Refuse, IfNotEmpty::Replace] {
            let refused = store.copy_into(&into[0], there, &mut |_, _| {}).await.expect_err("refused");
            assert!(refused.to_string().contains("a process works with it"), "{refused}");
        }
        assert_eq!(used.pending_deliveries(9).await.expect("left alone").len(), 1);
        into[0].close().await;
    }
    for used in &used {
        used.close().await;
    }
    for into in [file(&path, SchemaOnOpen::CopyInto).await, database(&target, SchemaOnOpen::CopyInto).await] {
        let refused = store.copy_into(&into, IfNotEmpty::Refuse, &mut |_, _| {}).await.expect_err("refused");
        assert!(refused.to_string().contains("not empty"), "{refused}");
        assert_eq!(into.pending_deliveries(9).await.expect("left alone").len(), 1);
        store.copy_into(&into, IfNotEmpty::Replace, &mut |_, _| {}).await.expect("replaced");
        reads_back(&into).await;
    }
}
