//! What keeps a storm of events from becoming a storm of pull requests, as far as the store keeps it.

use crate::store::support::{at, dispatch, opening};
use kubeops::request::State;
use kubeops::store::{Debounce, Opening, Room, Settlement, Store, Task, TaskFilter, TaskKind, Verdict};
use kubeops::types::{RequestId, Timestamp};
use std::sync::Arc;
use std::time::Duration;

const DEBOUNCE: Debounce = Debounce { quiet: Duration::from_secs(30), at_most: Duration::from_secs(100) };

/// An event at `seconds` for the request of `correlation`, told now; tells the request.
async fn told(store: &dyn Store, seconds: i64, correlation: &str, debounce: Option<Debounce>) -> RequestId {
    told_late(store, seconds, seconds, correlation, debounce).await
}

/// The same, where the event happened at another time.
async fn told_late(store: &dyn Store, now: i64, happened: i64, correlation: &str, debounce: Option<Debounce>) -> RequestId {
    let opening = Opening { debounce, ..opening(correlation, Some("gitops")) };
    let mut entry = dispatch(None, &format!("{correlation}-{now}-{happened}"), vec![opening]);
    entry.events[0].event.time = at(happened);
    entry.events[0].event.data = serde_json::json!({ "happened": happened });
    store.dispatch(&[entry], at(now)).await.expect("dispatched").remove(0).remove(0)
}

async fn plan(store: &dyn Store, request: &RequestId) -> Task {
    let tasks = store.tasks(&TaskFilter { request: Some(request.clone()), state: None }, 9).await.expect("tasks");
    assert_eq!(tasks.len(), 1, "{tasks:#?}");
    assert_eq!(tasks[0].kind, TaskKind::Plan);
    tasks[0].clone()
}

async fn due(store: &dyn Store, request: &RequestId) -> Timestamp {
    plan(store, request).await.run_at
}

pub async fn a_first_plan_waits_until_events_pause_but_never_beyond_its_bound(store: Arc<dyn Store>) {
    let request = told(&*store, 0, "a", Some(DEBOUNCE)).await;
    assert_eq!(due(&*store, &request).await, at(30));
    for (now, until) in [(20, 50), (49, 79), (60, 90), (80, 100), (99, 100)] {
        assert_eq!(told(&*store, now, "a", Some(DEBOUNCE)).await, request);
        assert_eq!(due(&*store, &request).await, at(until), "an event at {now}");
        assert!(store.claim("w", at(now), Duration::from_secs(9), Room::single(9)).await.expect("a claim").is_empty());
    }
    assert_eq!(store.next_due().await.expect("a time"), Some(at(100)));
    let timeline = store.timeline(&request).await.expect("the timeline");
    let opened = &timeline[0].message;
    assert!(opened.ends_with(&format!("; waits until {} for further events, at most until {}", at(30), at(100))), "{opened}");
    assert!(timeline[1].message.ends_with(&format!("; waits until {} for further events", at(50))), "{}", timeline[1].message);
    let read = store.request(&request).await.expect("the request");
    assert_eq!((read.state, read.version), (State::Accepted, 1));
    assert_eq!(read.message.as_deref(), Some("waits for further events until 30s pass without one, at most 1m40s"));
}

pub async fn of_the_events_that_were_waited_for_the_newest_counts(store: Arc<dyn Store>) {
    let request = told(&*store, 0, "a", Some(DEBOUNCE)).await;
    told(&*store, 10, "a", Some(DEBOUNCE)).await;
    told_late(&*store, 12, 5, "a", Some(DEBOUNCE)).await;
    assert_eq!(store.request(&request).await.expect("the request").event.data["happened"], 10, "what comes late overrides nothing");
    let held = store.claim("w", at(50), Duration::from_secs(9), Room::single(1)).await.expect("a claim").remove(0);
    assert_eq!(held.request.event.data["happened"], 10);
    // It is being planned: what joins now is too late.
    told(&*store, 51, "a", Some(DEBOUNCE)).await;
    assert_eq!(store.request(&request).await.expect("the request").event, held.request.event);
    // Without waiting, the first event counts.
    let other = told(&*store, 0, "b", None).await;
    told(&*store, 1, "b", None).await;
    assert_eq!(store.request(&other).await.expect("the request").event.data["happened"], 0);
}

pub async fn a_plan_that_was_begun_is_not_moved_on(store: Arc<dyn Store>) {
    let request = told(&*store, 0, "a", Some(DEBOUNCE)).await;
    let claim = async |now: i64| store.claim("w", at(now), Duration::from_secs(9), Room::single(1)).await.expect("a claim").remove(0);
    let held = claim(30).await;
    told(&*store, 31, "a", Some(DEBOUNCE)).await;
    assert_eq!(due(&*store, &request).await, at(30), "it is under way");
    let again = Verdict::Retry { run_at: at(35), error: "busy".to_owned() };
    store.settle(&held, &Settlement { request: None, timeline: vec![], follow_up: vec![], verdict: again }, at(32)).await.expect("settled");
    told(&*store, 33, "a", Some(DEBOUNCE)).await;
    assert_eq!(due(&*store, &request).await, at(35), "it is tried again as a failed attempt is");
    claim(35).await;
    store.release("w").await.expect("given back");
    told(&*store, 36, "a", Some(DEBOUNCE)).await;
    assert_eq!(due(&*store, &request).await, at(35), "it is resumed at once");
}

pub async fn who_asks_in_person_does_not_wait_and_hurries_a_request_that_does(store: Arc<dyn Store>) {
    let request = told(&*store, 0, "a", Some(DEBOUNCE)).await;
    assert_eq!(told(&*store, 5, "a", None).await, request);
    assert_eq!(due(&*store, &request).await, at(5));
    told(&*store, 6, "a", Some(DEBOUNCE)).await;
    assert_eq!(due(&*store, &request).await, at(5), "and is not made to wait again");
    let timeline = store.timeline(&request).await.expect("the timeline");
    assert!(timeline[1].message.ends_with("; waits no longer for further events"), "{}", timeline[1].message);
    assert!(!timeline[2].message.contains("waits"), "{}", timeline[2].message);
    let asked = told(&*store, 7, "b", None).await;
    assert_eq!(due(&*store, &asked).await, at(7));
}
