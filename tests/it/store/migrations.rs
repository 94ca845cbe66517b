//! A schema is brought up to date whole or not at all: whatever dies in the middle, the next start completes it.

use super::sqlite::raw;
use crate::support::postgres::Database;
use kubeops::store::{PostgresOptions, SchemaOnOpen, SqlStore, SqliteOptions, Store, StoreError};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `kubeops store migrate` on a file, dying at a point.
fn migrate(file: &Path, point: &str) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubeops"));
    command.args(["store", "migrate"]).env_clear().current_dir(file.parent().expect("a directory"));
    command.env("STORE_URL", format!("sqlite:{}", file.display())).env("KUBEOPS_FAILPOINT", point).output().expect("the program")
}

/// Everything a file's schema is, and what was written down of it.
async fn schema_of(file: &Path) -> Vec<String> {
    let mut connection = raw(file).await;
    let mut schema: Vec<String> =
        sqlx::query_scalar("SELECT type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY type, name")
            .fetch_all(&mut connection)
            .await
            .expect("the schema");
    let more = "SELECT 'application ' || application_id FROM pragma_application_id UNION ALL SELECT 'applied ' || version || hex(checksum) || success FROM _sqlx_migrations \
        UNION ALL SELECT 'filed ' || id || upto FROM arrivals_filed UNION ALL SELECT 'probe ' || id || writes FROM probe \
        UNION ALL SELECT 'check ' || integrity_check FROM pragma_integrity_check";
    schema.extend(sqlx::query_scalar::<_, String>(more).fetch_all(&mut connection).await.expect("what stands in it"));
    schema
}

async fn start(file: &Path) {
    SqlStore::sqlite(file.to_str().expect("UTF-8"), SqliteOptions::default()).await.expect("the next start completes it").close().await;
}

#[test]
fn a_process_killed_after_any_statement_of_a_sqlite_migration_leaves_what_the_next_start_completes() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let whole = directory.path().join("whole.db");
    runtime.block_on(start(&whole));
    let whole = runtime.block_on(schema_of(&whole));
    let (next, completed) = (AtomicUsize::new(1), AtomicUsize::new(0));
    let kill_and_start = |point: &str, number: usize| {
        let file = directory.path().join(format!("{number}.db"));
        let killed = migrate(&file, point);
        runtime.block_on(start(&file));
        assert_eq!(runtime.block_on(schema_of(&file)), whole, "{point}");
        killed
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if kill_and_start(&format!("store.migrating:{number}"), number).status.success() {
                        // It has no such statement.
                        break;
                    }
                    completed.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    let killed = kill_and_start("store.migrated", 0);
    assert!(!killed.status.success(), "{}", String::from_utf8_lossy(&killed.stdout));
    let completed = completed.into_inner();
    let statements: usize = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite"))
        .expect("the migrations")
        .map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("a migration"))
        .map(|script| {
            ["CREATE ", "INSERT ", "PRAGMA "].map(|begin| script.lines().filter(|line| line.starts_with(begin)).count()).iter().sum::<usize>()
        })
        .sum();
    assert_eq!(completed, statements, "each was the last that a process lived to see");
}

#[test]
fn of_processes_that_migrate_a_file_at_once_one_does_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("store.db");
    let told: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..4).map(|_| scope.spawn(|| migrate(&file, ""))).collect();
        running
            .into_iter()
            .map(|running| {
                let ended = running.join().expect("it ended");
                assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
                String::from_utf8(ended.stdout).expect("UTF-8")
            })
            .collect()
    });
    assert_eq!(told.iter().filter(|told| told.contains("applied: 1")).count(), 1, "{told:#?}");
    assert_eq!(told.iter().filter(|told| told.contains("was up to date")).count(), 3, "{told:#?}");
}

/// Has the server end the connection of whoever has done so many statements that make something.
const DIES: &str = "CREATE SCHEMA test; CREATE TABLE test.dies (after BIGINT); INSERT INTO test.dies VALUES (0); CREATE SEQUENCE test.done; \
    CREATE FUNCTION test.die() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN \
        IF nextval('test.done') = (SELECT after FROM test.dies) THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; END $$; \
    CREATE EVENT TRIGGER dies ON ddl_command_end EXECUTE FUNCTION test.die()";
/// Everything a schema is, and what was written down of it.
const LISTED: &str = "SELECT string_agg(x, E'\\n' ORDER BY x) FROM ( \
    SELECT concat_ws(' ', table_name, column_name, data_type, collation_name, is_nullable, column_default, is_identity, generation_expression) AS x \
        FROM information_schema.columns WHERE table_schema = 'public' \
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' \
    UNION ALL SELECT pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal \
    UNION ALL SELECT conrelid::regclass || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace \
    UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prokind = 'f' \
    UNION ALL SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace \
    UNION ALL SELECT version || encode(checksum, 'hex') || success::text FROM _sqlx_migrations \
    UNION ALL SELECT 'ours ' || id FROM kubeops UNION ALL SELECT 'probe ' || id || ' ' || writes FROM probe) listed";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_after_any_statement_of_a_postgresql_migration_leaves_what_the_next_start_completes() {
    let (whole, database) = (Database::new().await, Database::new().await);
    SqlStore::postgres(whole.address(), PostgresOptions::default()).await.expect("a store").close().await;
    database.psql(DIES).await;
    let mut deaths = 0;
    loop {
        database.psql(&format!("UPDATE test.dies SET after = {}; SELECT setval('test.done', 1, false)", deaths + 1)).await;
        match SqlStore::postgres(database.address(), PostgresOptions::default()).await {
            Ok(store) => break store.close().await,
            Err(error) => assert!(matches!(&error, StoreError::Unavailable(_)), "statement {}: {error}", deaths + 1),
        }
        let left = database.psql("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").await;
        assert_eq!(left, "0", "nothing of it is there after statement {}", deaths + 1);
        deaths += 1;
    }
    let made = include_str!("../../../migrations/postgres/0001_init.sql").lines().filter(|line| line.starts_with("CREATE ")).count();
    assert!(deaths > made, "{deaths} of {made}, and the table of migrations");
    assert_eq!(database.psql(LISTED).await, whole.psql(LISTED).await);
}

#[tokio::test]
async fn a_command_leaves_an_old_schema_alone_and_says_what_brings_it_up_to_date() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("store.db");
    start(&file).await;
    sqlx::raw_sql("DELETE FROM _sqlx_migrations").execute(&mut raw(&file).await).await.expect("forgotten");
    let database = Database::new().await;
    SqlStore::postgres(database.address(), PostgresOptions::default()).await.expect("a store").close().await;
    database.psql("DELETE FROM _sqlx_migrations").await;
    let path = file.to_str().expect("UTF-8");
    let sqlite = |schema| SqlStore::sqlite(path, SqliteOptions { schema, create: false, ..SqliteOptions::default() });
    let postgres = |schema| SqlStore::postgres(database.address(), PostgresOptions { schema, ..PostgresOptions::default() });
    for refused in [sqlite(SchemaOnOpen::Expect).await, postgres(SchemaOnOpen::Expect).await] {
        let refused = refused.err().expect("refused");
        assert!(matches!(&refused, StoreError::Unusable(told) if told.contains("kubeops store migrate")), "{refused}");
    }
    for opened in [sqlite(SchemaOnOpen::AsItIs).await, postgres(SchemaOnOpen::AsItIs).await] {
        let described = opened.expect("it is looked at").describe().await.expect("described");
        assert_eq!(described.missing, [(1, "init".to_owned())]);
        assert!(!described.in_use && !described.unfinished && described.bytes > 0, "{described:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_says_how_far_back_it_reaches_and_one_that_says_nothing_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("kubeops.db");
    start(&file).await;
    let mut connection = raw(&file).await;
    let silent = "SELECT count(*) FROM _sqlx_migrations m WHERE NOT EXISTS (SELECT 1 FROM reaches r WHERE r.version = m.version)";
    assert_eq!(sqlx::query_scalar::<_, i64>(silent).fetch_one(&mut connection).await.expect("a count"), 0);
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9998, 'newer', true, x'', 0)";
    sqlx::raw_sql(newer).execute(&mut connection).await.expect("written");
    let open = async || SqlStore::sqlite(file.to_str().expect("UTF-8"), SqliteOptions::default()).await;
    let refused = open().await.err().expect("refused");
    assert!(matches!(&refused, StoreError::Unusable(message) if message.contains("9998")), "{refused}");
    sqlx::raw_sql("INSERT INTO reaches (version, oldest) VALUES (9998, 1)").execute(&mut connection).await.expect("written");
    let beside = open().await.expect("it may work beside the newer one");
    assert_eq!(beside.describe().await.expect("described").version, 9998);
    beside.close().await;
    sqlx::raw_sql("UPDATE reaches SET oldest = 9998 WHERE version = 9998").execute(&mut connection).await.expect("written");
    assert!(open().await.is_err());
}
