//! Values to fill a store with. Every id is new; times are chosen by the test.

use kubeops::event::Event;
use kubeops::request::{Request, State, TimelineEntry};
use kubeops::store::{
    ClaimedTask, Decision, Dispatch, DispatchedEvent, NewDelivery, NewTask, Opening, PageQuery, PullRecord, PullState, RequestFilter, Room,
    Settlement, Store, StoreError, TaskKind, Verdict,
};
use kubeops::types::{DeliveryId, EventId, RequestId, TaskId, Timestamp, TokenId};
use std::any::Any;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A store and what must outlive it, such as its directory.
pub type Fixture = (Arc<dyn Store>, Box<dyn Any + Send>);

/// A moment, in seconds of a day in 2026.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(1_795_000_000_000 + seconds * 1000)
}

/// A name, a type, a branch: anything that is parsed.
pub fn parsed<T: FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a valid value")
}

fn next() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u128::from(NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn request_id() -> RequestId {
    RequestId::from_parts(at(0), next())
}

pub fn token_id() -> TokenId {
    TokenId::from_parts(at(0), next())
}

pub fn event_id() -> EventId {
    EventId::from_parts(at(0), next())
}

/// A delivery of `service-desk` that somebody handles.
pub fn delivery(key: &str) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::from_parts(at(0), next()),
        source: parsed("service-desk"),
        received_at: at(0),
        dedup_key: key.to_owned(),
        attributes: serde_json::json!({ "content-type": "application/json" }),
        body: format!("{{\"key\":\"{key}\"}}").into_bytes(),
        handled: true,
    }
}

/// An event about `subject`, read from `delivery`.
pub fn event(delivery: Option<&DeliveryId>, subject: &str) -> Event {
    Event {
        id: event_id(),
        delivery: delivery.cloned(),
        source: delivery.map(|_| parsed("service-desk")),
        traceparent: None,
        kind: parsed("jira.issue.transitioned"),
        subject: subject.to_owned(),
        time: at(-5),
        data: serde_json::json!({ "issue": { "key": subject, "labels": ["a", null, 1.5], "text": "päck \u{1F4E6}" } }),
    }
}

/// An opening of the automation `namespace-request`.
pub fn opening(correlation: &str, repository: Option<&str>) -> Opening {
    Opening {
        id: request_id(),
        automation: parsed("namespace-request"),
        correlation: correlation.to_owned(),
        group: None,
        repository: repository.map(parsed),
        parameters: None,
        debounce: None,
        retractable: false,
        in_order: true,
        tells: false,
        steering: kubeops::request::Steering::default(),
        actor: "kubeops".to_owned(),
    }
}

/// What one delivery said: one event under `key` with these openings.
pub fn dispatch(delivery: Option<&DeliveryId>, key: &str, openings: Vec<Opening>) -> Dispatch {
    let decisions = openings
        .iter()
        .map(|opening| Decision { automation: opening.automation.clone(), matched: true, explanation: None, message: Some("opened".to_owned()) })
        .collect();
    let told = DispatchedEvent { event: event(delivery, key), key: key.to_owned(), decisions, openings, signals: Vec::new() };
    Dispatch { delivery: delivery.cloned(), error: None, events: vec![told] }
}

/// Writes a delivery and dispatches it with one opening; returns the delivery and the request.
pub async fn open_request(store: &dyn Store, correlation: &str, repository: Option<&str>, now: Timestamp) -> (DeliveryId, RequestId) {
    open_request_of("jira.issue.transitioned", store, correlation, repository, now).await
}

/// The same for an event of this type.
pub async fn open_request_of(kind: &str, store: &dyn Store, correlation: &str, repository: Option<&str>, now: Timestamp) -> (DeliveryId, RequestId) {
    open_request_from("service-desk", kind, store, correlation, repository, now).await
}

/// The same of this source.
pub async fn open_request_from(
    source: &str,
    kind: &str,
    store: &dyn Store,
    correlation: &str,
    repository: Option<&str>,
    now: Timestamp,
) -> (DeliveryId, RequestId) {
    let key = format!("{correlation}-{}", next());
    let new = NewDelivery { received_at: now, source: parsed(source), ..delivery(&key) };
    store.append(std::slice::from_ref(&new)).await.expect("a delivery is written");
    let mut told = dispatch(Some(&new.id), &key, vec![opening(correlation, repository)]);
    told.events[0].event.subject = correlation.to_owned();
    told.events[0].event.kind = parsed(kind);
    told.events[0].event.source = Some(parsed(source));
    let requests = store.dispatch(&[told], now).await.expect("it is dispatched");
    (new.id, requests[0][0].clone())
}

/// A task to add.
pub fn task(request: &RequestId, kind: TaskKind, lane: &str, run_at: Timestamp) -> NewTask {
    NewTask { id: TaskId::from_parts(at(0), next()), kind, request: request.clone(), lane: lane.to_owned(), run_at }
}

/// How long claims by [`claimed`] last.
pub const CLAIMED_FOR: Duration = Duration::from_secs(30);

/// Claims what is due, for `owner`; tells its claim on a task of this request.
pub async fn claimed(store: &dyn Store, owner: &str, id: &RequestId, now: Timestamp) -> ClaimedTask {
    let claimed = store.claim(owner, now, CLAIMED_FOR, Room::single(9)).await.expect("a claim");
    claimed.into_iter().find(|claimed| claimed.request.id == *id).expect("a task of it is due")
}

/// The same claim as one knows it whom a database that lost its last commits had given it to: another has it now, under the same fence.
pub fn of_another(held: &ClaimedTask) -> ClaimedTask {
    ClaimedTask { owner: format!("not {}", held.owner), ..held.clone() }
}

/// Moves a request to `state` outside any task, dropping its tasks.
pub async fn end_request(store: &dyn Store, id: &RequestId, state: State, now: Timestamp) {
    let mut request = store.request(id).await.expect("the request");
    request.state = state;
    let update = kubeops::store::RequestUpdate { drop_tasks: true, ..Default::default() };
    store.update_request(&request, &update, now).await.expect("it is written");
}

/// An open pull request of the local forge.
pub fn pull(repository: &str, head: &str) -> PullRecord {
    PullRecord {
        repository: parsed(repository),
        number: 0,
        head: parsed(head),
        base: parsed("main"),
        head_commit: parsed(&"1".repeat(40)),
        state: PullState::Open,
        title: "A namespace".to_owned(),
        body: "For OPS-1".to_owned(),
        labels: vec!["namespace".to_owned()],
        reviewers: vec!["platform-team".to_owned()],
        assignees: vec!["bob".to_owned()],
        milestone: Some("Q4".to_owned()),
        auto_merge: true,
        draft: true,
        approved_by: Vec::new(),
        merge_commit: None,
        closed_by: None,
        comments: Vec::new(),
        created_at: at(0),
        updated_at: at(0),
        version: 1,
    }
}

/// Settles three tasks of a lane together, of which the database does not take the one of `B`: a row it refuses, or a fault of its own.
pub async fn one_of_three_is_refused(store: &dyn Store, is_refused: bool) {
    let mut ids = Vec::new();
    for key in ["A", "B", "C"] {
        ids.push(open_request(store, key, Some("a"), at(0)).await.1);
    }
    let claimed = store.claim("worker", at(1), CLAIMED_FOR, Room::of(1, 9)).await.expect("a claim");
    let told: Vec<Settlement> = claimed.iter().map(|claimed| planned(&claimed.request)).collect();
    let outcomes = store.settle_all(&claimed.iter().zip(&told).collect::<Vec<_>>(), at(2)).await.expect("settled");
    match &outcomes[..] {
        [Ok(()), Err(StoreError::Refused(_)), Ok(())] if is_refused => {}
        [Ok(()), Err(StoreError::Broken(_)), Ok(())] if !is_refused => {}
        other => panic!("{other:?}"),
    }
    for (id, state, entries) in [(&ids[0], State::Planned, 2), (&ids[1], State::Accepted, 1), (&ids[2], State::Planned, 2)] {
        assert_eq!(store.request(id).await.expect("the request").state, state);
        assert_eq!(store.timeline(id).await.expect("the timeline").len(), entries);
    }
    // Whoever holds it may say something else of it, at once.
    let again = Settlement { verdict: Verdict::Retry { run_at: at(3), error: "refused".to_owned() }, ..Settlement::default() };
    store.settle(&claimed[1], &again, at(2)).await.expect("taken");
}

/// The rest of [`one_of_three_is_refused`], once the database takes it; then all three are over.
pub async fn settled_after_all(store: &dyn Store) {
    let claimed = store.claim("worker", at(4), CLAIMED_FOR, Room::of(1, 9)).await.expect("a claim");
    let [claimed] = &claimed[..] else { panic!("{claimed:?}") };
    store.settle(claimed, &planned(&claimed.request), at(4)).await.expect("settled");
    for request in store.requests(&RequestFilter::default(), &PageQuery { limit: 100, after: None }).await.expect("requests").items {
        if !request.state.is_ended() {
            end_request(store, &request.id, State::Withdrawn, at(5)).await;
        }
    }
}

fn planned(request: &Request) -> Settlement {
    let request = Request { state: State::Planned, ..request.clone() };
    let entry = TimelineEntry { at: at(2), from: None, to: State::Planned, message: "planned".to_owned(), actor: "kubeops".to_owned() };
    Settlement { request: Some(request), timeline: vec![entry], ..Settlement::default() }
}
