//! The copilot: calls that no request has count against the day like those of drafts, and suggestions wait to be confirmed.

use super::drafts::{MIDNIGHT, begun, reserve, spend, tokens};
use crate::store::support::{at, parsed};
use kubeops::store::{Budget, CallReservation, Limit, Purse, Reservation, Spend, Store, StoreError, Suggestion};
use kubeops::types::Timestamp;
use serde_json::json;
use std::sync::Arc;

fn made(reservation: CallReservation) -> u64 {
    match reservation {
        CallReservation::Made { call } => call,
        CallReservation::Exhausted { .. } => panic!("{reservation:?}"),
    }
}

pub async fn calls_of_the_copilot_and_turns_of_drafts_use_the_same_day(store: Arc<dyn Store>) {
    let held = begun(&*store, "a").await;
    let day = Budget { day: tokens(100), ..Budget::default() };
    assert_eq!(reserve(&*store, &held, 1, spend(40, 0), &day, at(1)).await, Reservation::Made { attempt: 1 });
    let call = made(store.reserve_call(spend(60, 9), tokens(100), at(2)).await.expect("an answer"));
    let exhausted = CallReservation::Exhausted { used: spend(100, 9), limit: tokens(100) };
    assert_eq!(store.reserve_call(spend(1, 0), tokens(100), at(3)).await.expect("an answer"), exhausted);
    let refused = Reservation::Exhausted { whose: Purse::Day, used: spend(100, 9), limit: tokens(100) };
    assert_eq!(reserve(&*store, &held, 2, spend(1, 0), &day, at(3)).await, refused, "nor is there any left for a draft");

    // What it did cost counts from then on; of one that was cut off what it was reserved with.
    store.settle_call(call, spend(10, 3)).await.expect("settled");
    assert_eq!(store.spent_since(None, at(0)).await.expect("an answer"), spend(50, 3));
    assert_eq!(store.spent_since(Some(&parsed("namespace-request")), at(0)).await.expect("an answer"), spend(40, 0), "no automation's");
    made(store.reserve_call(spend(50, 0), tokens(100), at(4)).await.expect("an answer"));
    assert_eq!(store.spent_since(None, at(0)).await.expect("an answer").tokens, 100);
    made(store.reserve_call(spend(100, 0), tokens(100), at(MIDNIGHT)).await.expect("a new day"));
    let micros = Limit { tokens: None, micros: Some(5) };
    let exhausted = store.reserve_call(spend(0, 3), micros, at(5)).await.expect("an answer");
    assert_eq!(exhausted, CallReservation::Exhausted { used: spend(200, 3), limit: micros });
    assert!(matches!(store.settle_call(4_711, Spend::default()).await, Err(StoreError::NotFound(_))));
}

pub async fn calls_reserved_at_once_never_go_beyond_the_day(store: Arc<dyn Store>) {
    let asking = (0..20).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.reserve_call(spend(10, 0), tokens(75), at(1)).await.expect("an answer") })
    });
    let mut calls = 0;
    for answer in asking.collect::<Vec<_>>() {
        calls += usize::from(matches!(answer.await.expect("an answer"), CallReservation::Made { .. }));
    }
    assert_eq!(calls, 7);
}

pub async fn a_suggestion_is_kept_until_its_retention_is_over(store: Arc<dyn Store>) {
    let suggestion = |id: &str, made_at: Timestamp| Suggestion {
        id: parsed(id),
        by: "ann".to_owned(),
        made_at,
        content: json!({ "sentence": "päck \u{1F4E6}", "parameters": [{ "value": 1.5 }] }),
    };
    let (old, new) = (suggestion("sug_01kajz0000000000000000000a", at(1)), suggestion("sug_01kajz0000000000000000000b", at(20)));
    for each in [&old, &new] {
        store.keep_suggestion(each).await.expect("kept");
    }
    assert_eq!(store.suggestion(&old.id).await.expect("kept"), old);
    store.prune(at(10), 100).await.expect("pruned");
    assert!(matches!(store.suggestion(&old.id).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.suggestion(&new.id).await.expect("kept"), new);
}
