//! What processes that share a store need of it.

use crate::store::support::{at, delivery, dispatch, end_request, open_request};
use kubeops::clock::SystemClock;
use kubeops::request::State;
use kubeops::store::{Duty, Room, Settlement, Store, StoreError};
use kubeops::worker::DutyShare;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(20);

pub async fn a_duty_is_had_by_one_until_its_time_is_over_or_it_is_given_back(store: Arc<dyn Store>) {
    let take = async |duty, owner, seconds| store.take_duty(duty, owner, at(seconds), LEASE).await.expect("an answer");
    assert!(take(Duty::Upkeep, "a", 100).await);
    assert!(!take(Duty::Upkeep, "b", 101).await);
    assert!(take(Duty::Reconcile, "b", 101).await, "another duty is another matter");
    assert!(take(Duty::Upkeep, "a", 110).await, "who has it goes on having it");
    assert!(!take(Duty::Upkeep, "b", 129).await);
    assert!(take(Duty::Upkeep, "b", 130).await);
    assert!(!take(Duty::Upkeep, "a", 131).await);
    store.release("b").await.expect("released");
    assert!(take(Duty::Upkeep, "a", 132).await);
    assert!(take(Duty::Reconcile, "a", 132).await);
}

pub async fn a_duty_whose_time_lies_too_far_ahead_keeps_nobody_off(store: Arc<dyn Store>) {
    assert!(store.take_duty(Duty::Upkeep, "a", at(10_000), LEASE).await.expect("an answer"));
    // The clock was set back by hours, and its owner died.
    assert!(store.take_duty(Duty::Upkeep, "b", at(100), LEASE).await.expect("an answer"));
    assert!(!store.take_duty(Duty::Upkeep, "a", at(100), LEASE).await.expect("an answer"));
}

pub async fn a_duty_that_many_take_at_once_one_has(store: Arc<dyn Store>) {
    let owners: Vec<String> = (0..20).map(|number| format!("owner-{number}")).collect();
    let taken = futures_util::future::join_all(owners.iter().map(|owner| store.take_duty(Duty::Upkeep, owner, at(0), LEASE))).await;
    assert_eq!(taken.into_iter().filter(|taken| *taken == Ok(true)).count(), 1);
}

pub async fn what_waits_is_dispatched_by_one_at_a_time(store: Arc<dyn Store>) {
    let turn = async || store.dispatch_turn().await.expect("an answer");
    let (first, second) = (delivery("a"), delivery("b"));
    store.append(std::slice::from_ref(&first)).await.expect("written");
    let held = turn().await.expect("the turn");
    assert!(turn().await.is_none(), "another has it");
    store.dispatch(&[dispatch(Some(&first.id), "a", Vec::new())], at(1)).await.expect("dispatched");
    store.append(std::slice::from_ref(&second)).await.expect("written");
    assert!(turn().await.is_none(), "whoever has it looks once more");
    held.end().await;
    let held = turn().await.expect("the turn, for what came meanwhile");
    // Who was stopped in the middle leaves it to others, as if it had died.
    drop(held);
    let again = loop {
        if let Some(turn) = turn().await {
            break turn;
        }
    };
    again.end().await;
    let many = futures_util::future::join_all((0..8).map(|_| turn())).await;
    assert_eq!(many.iter().flatten().count(), 1);
}

pub async fn a_death_counts_against_what_was_read_alone_and_nothing_else(store: Arc<dyn Store>) {
    let (bad, good) = (delivery("bad").id, delivery("good").id);
    assert!(store.hold_name("a").await.expect("an answer"));
    let begins = async || store.reads("a", true, 3).await.expect("an answer");
    let reads_alone = async |id| store.reads_alone("a", id).await.expect("an answer");
    let has_read = async |id, recorded| store.has_read_alone("a", id, recorded).await.expect("an answer");
    let died_reading = async |id| store.died_reading(id).await.expect("an answer");
    assert_eq!(begins().await, 0, "nobody died");
    assert_eq!(store.reads("a", false, 3).await, Ok(0));
    assert_eq!(begins().await, 3, "it died over a batch, of which each may be the one");
    assert_eq!(reads_alone(&bad).await, 0);
    for deaths in 1..=3 {
        assert_eq!(begins().await, 3);
        // What waits before it is read each time, and ends nobody.
        assert_eq!(reads_alone(&good).await, 0);
        assert_eq!(has_read(&good, false).await, 3, "it is not recorded, so it is read again");
        assert_eq!((died_reading(&good).await, died_reading(&bad).await), (0, deaths));
        assert_eq!(reads_alone(&bad).await, deaths);
    }
    assert_eq!(has_read(&bad, true).await, 2);
    assert_eq!(died_reading(&bad).await, 0);
    assert_eq!(reads_alone(&bad).await, 0, "that is over");
    assert_eq!(has_read(&good, true).await, 1);
    assert_eq!(begins().await, 3, "it died, over nothing that it read alone");
    assert_eq!(reads_alone(&good).await, 0);
    assert_eq!(store.reads("a", false, 3).await, Ok(3));
    for left in [2, 1, 0] {
        assert_eq!(has_read(&good, true).await, left);
    }
    assert_eq!(store.reads("a", false, 3).await, Ok(0));
    assert_eq!(begins().await, 3);
    store.has_read_all().await.expect("noted");
    assert_eq!(store.reads("a", false, 3).await, Ok(0));
    store.release("a").await.expect("released");
    assert_eq!(begins().await, 0, "it ended as it should");
}

pub async fn tasks_that_many_claim_while_others_write_are_held_by_one_each(store: Arc<dyn Store>) {
    let many = 40;
    let mut requests = Vec::new();
    for number in 0..many {
        requests.push(open_request(&*store, &format!("OPS-{number}"), Some(&format!("repository-{number}")), at(0)).await.1);
    }
    // A third of them is ended by others at the same time.
    let ended = requests.iter().enumerate().filter(|(number, _)| number % 3 == 0).map(|(_, id)| id.clone());
    let writing = {
        let store = Arc::clone(&store);
        let ended: Vec<_> = ended.collect();
        tokio::spawn(async move {
            for id in &ended {
                end_request(&*store, id, State::Merged, at(1)).await;
            }
        })
    };
    let claimers = (0..8).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let (owner, mut held) = (format!("owner-{number}"), Vec::new());
            for _ in 0..30 {
                held.extend(store.claim(&owner, at(2), LEASE, Room::single(2)).await.expect("a claim"));
            }
            held
        })
    });
    let claimed: Vec<_> = futures_util::future::join_all(claimers).await.into_iter().flat_map(|held| held.expect("claimed")).collect();
    writing.await.expect("written");
    let mut holders: BTreeMap<String, usize> = BTreeMap::new();
    for task in &claimed {
        *holders.entry(task.request.id.to_string()).or_default() += 1;
        assert_eq!(task.fence, 1);
    }
    assert!(holders.values().all(|held| *held == 1), "{holders:?}");
    for task in store.claim("late", at(2), LEASE, Room::single(100)).await.expect("a claim") {
        assert!(holders.insert(task.request.id.to_string(), 1).is_none(), "{holders:?}");
    }
    let left: Vec<_> = requests.iter().enumerate().filter(|(number, id)| number % 3 != 0 && !holders.contains_key(id.as_str())).collect();
    assert!(left.is_empty(), "{left:?}");
    for task in &claimed {
        let settled = store.settle(task, &Settlement::default(), at(3)).await;
        assert!(matches!(settled, Ok(()) | Err(StoreError::Conflict(_))), "{settled:?}");
    }
}

pub async fn what_is_done_under_a_duty_goes_on_while_that_is_kept(store: Arc<dyn Store>) {
    // It is kept twenty times a second, and whatever it does has to wait for others to write.
    let lease = Duration::from_millis(150);
    let crowd: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                loop {
                    store.check().await.expect("a write");
                }
            })
        })
        .collect();
    let mut duty = DutyShare::of(Duty::Upkeep, Arc::clone(&store), Arc::new(SystemClock), "a", lease);
    let begun = std::time::Instant::now();
    let writes = async || {
        while begun.elapsed() < lease * 10 {
            store.check().await.expect("a write");
        }
    };
    // Where all stand in a queue it may be lost; then it is taken again.
    let done = tokio::time::timeout(Duration::from_secs(60), async { while duty.while_ours(writes()).await.is_none() {} });
    done.await.expect("it does not stand still");
    crowd.iter().for_each(tokio::task::JoinHandle::abort);
}
