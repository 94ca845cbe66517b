//! Two that write at the same moment, of which one has not committed yet.

use super::open;
use crate::store::support::{at, claimed, open_request};
use crate::support::postgres::Database;
use kubeops::store::{Act, ActKey, ActState, Room, Settlement, Store, StoreError, Verdict};
use kubeops::types::Timestamp;
use sqlx::{Connection, Executor};
use std::sync::Arc;
use std::time::Duration;

fn done() -> Settlement {
    Settlement { verdict: Verdict::Done, ..Settlement::default() }
}

/// Somebody else's transaction on the database, which has made this and is not at its end.
async fn in_between(database: &Database, made: &str) -> sqlx::PgConnection {
    let mut other = sqlx::PgConnection::connect(database.address()).await.expect("a connection");
    other.execute("BEGIN").await.expect("begun");
    other.execute(sqlx::AssertSqlSafe(made.to_owned())).await.expect("made");
    other
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_noted_while_another_claims_the_task_waits_for_that_and_is_refused() {
    let database = Database::new().await;
    let store = Arc::new(open(&database).await);
    let (_, id) = open_request(&*store, "A", None, at(0)).await;
    let held = claimed(&*store, "old", &id, at(0)).await;
    // It claims what was lost, and has not committed yet: the former fence is still to be read.
    let mut other = sqlx::PgConnection::connect(database.address()).await.expect("a connection");
    other.execute("BEGIN").await.expect("begun");
    other.execute("UPDATE outbox SET fence = fence + 1, owner = 'new'").await.expect("claimed");
    let noting = {
        let key = ActKey { request: id.clone(), channel: "jira".to_owned(), news: "proposed/0".to_owned(), act: "comment".to_owned() };
        let (store, act) = (Arc::clone(&store), Act { key, state: ActState::Begun, note: None, at: at(31) });
        tokio::spawn(async move { store.note_act(&held, &act, &[]).await })
    };
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while !noting.is_finished() && database.psql(waits).await == "0" {}
    other.execute("COMMIT").await.expect("committed");
    let noted = noting.await.expect("an answer");
    assert!(matches!(noted, Err(StoreError::Conflict(_))), "{noted:?}");
    assert!(store.told_so_far(&id).await.expect("an answer").acts.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_settled_or_taken_back_while_another_claims_the_task_waits_for_that_and_leaves_it_alone() {
    let database = Database::new().await;
    let store = Arc::new(open(&database).await);
    let (_, id) = open_request(&*store, "A", None, at(0)).await;
    let held = claimed(&*store, "old", &id, at(0)).await;
    let claims = "UPDATE outbox SET fence = fence + 1, owner = 'new'";
    for settles in [true, false] {
        // It claims what was lost, and has not committed yet: the former fence and owner are still to be read.
        database.psql("UPDATE outbox SET owner = 'old'").await;
        let mut other = in_between(&database, claims).await;
        let late = {
            let (store, held) = (Arc::clone(&store), held.clone());
            tokio::spawn(async move {
                match settles {
                    true => store.settle(&held, &done(), at(31)).await.map(|()| 0),
                    false => store.release("old").await,
                }
            })
        };
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while !late.is_finished() && database.psql(waits).await == "0" {}
        other.execute("COMMIT").await.expect("committed");
        let late = late.await.expect("an answer");
        match settles {
            true => assert!(matches!(late, Err(StoreError::Conflict(_))), "{late:?}"),
            false => assert_eq!(late.expect("released"), 0),
        }
        assert_eq!(database.psql("SELECT state || '/' || owner FROM outbox").await, "leased/new");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_waits_for_nobody_who_writes_whose_a_repository_is() {
    let database = Database::new().await;
    let store = open(&database).await;
    let (_, first) = open_request(&store, "A", Some("gitops"), at(0)).await;
    let held = claimed(&store, "old", &first, at(0)).await;
    store.settle(&held, &done(), at(1)).await.expect("settled");
    for (number, made) in
        ["UPDATE affinity SET git_at = git_at + 1", "DELETE FROM affinity", "SELECT 1 FROM affinity FOR UPDATE"].into_iter().enumerate()
    {
        assert_eq!(database.psql("SELECT count(*) FROM affinity").await, "1");
        let (_, next) = open_request(&store, &format!("B{number}"), Some("gitops"), at(2)).await;
        let mut other = in_between(&database, made).await;
        let claimed = tokio::time::timeout(Duration::from_secs(4), store.claim("old", at(100), Duration::from_secs(30), Room::of(9, 1))).await;
        let claimed = claimed.unwrap_or_else(|_| panic!("it waits for {made}")).expect("a claim");
        assert_eq!(claimed.iter().map(|task| &task.request.id).collect::<Vec<_>>(), [&next], "{made}");
        other.execute("ROLLBACK").await.expect("rolled back");
        store.settle(&claimed[0], &done(), at(101)).await.expect("settled");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_lost_task_is_not_to_be_had_nothing_of_its_lane_is() {
    let database = Database::new().await;
    let store = open(&database).await;
    let (_, first) = open_request(&store, "A", Some("gitops"), at(0)).await;
    let held = claimed(&store, "old", &first, at(0)).await;
    open_request(&store, "B", Some("gitops"), at(1)).await;
    // Its holder is back, and about to go on with it.
    let mut other = in_between(&database, "SELECT 1 FROM outbox WHERE state = 'leased' FOR UPDATE").await;
    let take = || store.claim("new", at(4000), Duration::from_secs(30), Room::of(9, 9));
    assert_eq!(take().await.expect("a claim").len(), 0);
    other.execute("ROLLBACK").await.expect("rolled back");
    assert_eq!(take().await.expect("a claim").len(), 2, "then it is the other's, with what waits behind it");
    assert!(matches!(store.extend_leases(&[&held], at(5000)).await, Err(StoreError::Conflict(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_newer_version_holds_is_in_the_way_for_as_long_as_its_lease_lasts() {
    let database = Database::new().await;
    let store = open(&database).await;
    let (_, first) = open_request(&store, "A", Some("gitops"), at(0)).await;
    claimed(&store, "newer", &first, at(0)).await;
    database.psql("UPDATE outbox SET kind = 'foresee'").await;
    let (_, behind) = open_request(&store, "B", Some("gitops"), at(1)).await;
    let until: i64 = database.psql("SELECT lease_until FROM outbox WHERE kind = 'foresee'").await.parse().expect("a moment");
    let until = Timestamp::from_unix_millis(until);
    let take = |now| store.claim("older", now, Duration::from_secs(30), Room::of(9, 9));
    assert_eq!(take(Timestamp::from_unix_millis(until.unix_millis() - 1)).await.expect("a claim").len(), 0);
    // It is known when to come again, and then it is had.
    assert_eq!(store.next_due("older", Room::single(1)).await.expect("an answer"), Some(until));
    let taken = take(until).await.expect("a claim");
    assert_eq!(taken.iter().map(|task| &task.request.id).collect::<Vec<_>>(), [&behind]);
    assert_eq!(database.psql("SELECT state || '/' || owner FROM outbox WHERE kind = 'foresee'").await, "leased/newer");
}
