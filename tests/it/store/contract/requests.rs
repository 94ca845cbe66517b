//! Requests: versions, listings, and what goes with a change.

use crate::store::support::{at, end_request, open_request, parsed, request_id, task};
use kubeops::request::{PullRef, Request, State, TimelineEntry};
use kubeops::store::{PageQuery, RequestFilter, RequestUpdate, Store, StoreError, TaskFilter, TaskKind};
use kubeops::types::RequestId;
use kubeops::validate::{Finding, Severity};
use std::sync::Arc;

async fn opened(store: &dyn Store, correlation: &str) -> Request {
    let (_, id) = open_request(store, correlation, None, at(0)).await;
    store.request(&id).await.expect("the request")
}

pub async fn every_field_of_a_request_reads_back(store: Arc<dyn Store>) {
    let mut request = opened(&*store, "OPS-1").await;
    request.state = State::Proposed;
    request.parameters = Some(serde_json::from_str(r#"{"z":1,"a":{"deep":[1.5,"ä"]}}"#).expect("a map"));
    request.repository = Some(parsed("gitops"));
    request.branch = Some(parsed("kubeops/namespace-request/ops-1"));
    request.base = Some(parsed(&"a".repeat(40)));
    request.commit = Some(parsed(&"b".repeat(40)));
    request.pull = Some(PullRef { number: 7, url: "https://forge.example/7".to_owned() });
    request.findings = vec![Finding {
        severity: Severity::Warning,
        rule: "schema.unknown".to_owned(),
        path: "a.yaml".to_owned(),
        document: Some(1),
        pointer: Some("/spec".to_owned()),
        line: Some(3),
        message: "no schema".to_owned(),
        hint: None,
    }];
    request.message = Some("waiting for review".to_owned());
    request.event.data = serde_json::json!({ "changed": true });
    store.update_request(&request, &RequestUpdate::default(), at(9)).await.expect("written");
    request.version += 1;
    request.updated_at = at(9);
    assert_eq!(store.request(&request.id).await.expect("the request"), request);
    let cleared = Request { parameters: None, repository: None, branch: None, base: None, commit: None, pull: None, message: None, ..request };
    store.update_request(&cleared, &RequestUpdate::default(), at(10)).await.expect("written");
    let read = store.request(&cleared.id).await.expect("the request");
    assert_eq!(read, Request { version: cleared.version + 1, updated_at: at(10), ..cleared });
}

pub async fn of_two_writers_the_second_loses(store: Arc<dyn Store>) {
    let request = opened(&*store, "OPS-1").await;
    let note = |message: &str| RequestUpdate {
        timeline: vec![TimelineEntry {
            at: at(1),
            from: Some(State::Accepted),
            to: State::Accepted,
            message: message.to_owned(),
            actor: "ann".to_owned(),
        }],
        tasks: vec![task(&request.id, TaskKind::Withdraw, "", at(1))],
        drop_tasks: true,
        ..Default::default()
    };
    let writers = (0..6).map(|n| {
        let (store, request, update) = (store.clone(), request.clone(), note(&n.to_string()));
        tokio::spawn(async move { store.update_request(&request, &update, at(1)).await })
    });
    let mut won = 0;
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.expect("a writer") {
            Ok(()) => won += 1,
            Err(error) => assert!(matches!(error, StoreError::Conflict(_)), "{error}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(store.request(&request.id).await.expect("the request").version, 2);
    assert_eq!(store.timeline(&request.id).await.expect("the timeline").len(), 2);
}

pub async fn a_request_is_not_revived_beside_a_live_one_with_its_key(store: Arc<dyn Store>) {
    let first = opened(&*store, "OPS-1").await;
    end_request(&*store, &first.id, State::Failed, at(1)).await;
    let second = opened(&*store, "OPS-1").await;
    let mut revived = store.request(&first.id).await.expect("the request");
    revived.state = State::Accepted;
    assert!(matches!(store.update_request(&revived, &RequestUpdate::default(), at(2)).await, Err(StoreError::Conflict(_))));
    end_request(&*store, &second.id, State::Withdrawn, at(3)).await;
    store.update_request(&revived, &RequestUpdate::default(), at(4)).await.expect("now it may live");
}

pub async fn an_update_drops_and_adds_tasks(store: Arc<dyn Store>) {
    let request = opened(&*store, "OPS-1").await;
    let other = opened(&*store, "OPS-2").await;
    let update = RequestUpdate { tasks: vec![task(&request.id, TaskKind::Withdraw, "gitops", at(1))], drop_tasks: true, ..Default::default() };
    store.update_request(&request, &update, at(1)).await.expect("written");
    let kinds = |id: &RequestId| {
        let (store, filter) = (store.clone(), TaskFilter { request: Some(id.clone()), state: None });
        async move { store.tasks(&filter, 9).await.expect("tasks").iter().map(|task| task.kind).collect::<Vec<_>>() }
    };
    assert_eq!(kinds(&request.id).await, [TaskKind::Withdraw]);
    assert_eq!(kinds(&other.id).await, [TaskKind::Plan]);
}

pub async fn an_update_that_fails_half_way_leaves_nothing(store: Arc<dyn Store>) {
    let request = opened(&*store, "OPS-1").await;
    let moved = Request { state: State::Withdrawn, ..request.clone() };
    let update = RequestUpdate { tasks: vec![task(&request_id(), TaskKind::Plan, "", at(1))], drop_tasks: true, ..Default::default() };
    assert!(matches!(store.update_request(&moved, &update, at(1)).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.request(&request.id).await.expect("the request"), request);
    assert_eq!(store.tasks(&TaskFilter::default(), 9).await.expect("tasks").len(), 1);
}

pub async fn listings_filter_and_page_newest_first(store: Arc<dyn Store>) {
    let mut ids = Vec::new();
    for n in 0..12 {
        let (_, id) = open_request(&*store, &format!("OPS-{n}"), Some(if n % 2 == 0 { "even" } else { "odd" }), at(n)).await;
        ids.push(id);
    }
    for n in [0, 3, 4, 9] {
        end_request(&*store, &ids[n], if n < 4 { State::Merged } else { State::Declined }, at(20)).await;
    }
    let wanted = |of: &[usize]| of.iter().map(|n| ids[*n].clone()).collect::<Vec<_>>();
    let states = |states: &[State]| RequestFilter { states: states.to_vec(), ..Default::default() };
    for (filter, expected) in [
        (RequestFilter::default(), wanted(&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0])),
        (states(&[State::Merged]), wanted(&[3, 0])),
        (states(&[State::Declined, State::Merged, State::Merged]), wanted(&[9, 4, 3, 0])),
        (states(&[State::Accepted, State::Declined]), wanted(&[11, 10, 9, 8, 7, 6, 5, 4, 2, 1])),
        (RequestFilter { repository: Some(parsed("odd")), ..states(&[State::Merged, State::Declined]) }, wanted(&[9, 3])),
        (RequestFilter { automation: Some(parsed("nothing")), ..Default::default() }, wanted(&[])),
        (RequestFilter { automation: Some(parsed("namespace-request")), ..states(&[State::Merged]) }, wanted(&[3, 0])),
        (RequestFilter { correlation: Some("OPS-7".to_owned()), ..Default::default() }, wanted(&[7])),
        (RequestFilter { correlation: Some("OPS".to_owned()), ..Default::default() }, wanted(&[])),
    ] {
        for limit in [1, 2, 5, 500] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = store.requests(&filter, &PageQuery { limit, after }).await.expect("a page");
                seen.extend(page.items.into_iter().map(|request| request.id));
                assert!(seen.len() < 100, "pages repeat");
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, expected, "{filter:?} by {limit}");
        }
    }
}

pub async fn the_newest_request_of_a_pull_request_is_found(store: Arc<dyn Store>) {
    let mut last = None;
    for _ in 0..2 {
        let mut request = opened(&*store, "OPS-1").await;
        request.repository = Some(parsed("gitops"));
        request.pull = Some(PullRef { number: 7, url: "u".to_owned() });
        request.state = State::Merged;
        store.update_request(&request, &RequestUpdate::default(), at(1)).await.expect("written");
        last = Some(request.id);
    }
    let found = |repository: &str, number: u64| {
        let (store, repository) = (store.clone(), parsed(repository));
        async move { store.request_of_pull(&repository, number).await.expect("an answer").map(|request| request.id) }
    };
    assert_eq!(found("gitops", 7).await, last);
    assert_eq!(found("gitops", 8).await, None);
    assert_eq!(found("other", 7).await, None);
}

pub async fn what_is_not_there_is_not_found(store: Arc<dyn Store>) {
    let request = opened(&*store, "OPS-1").await;
    let stranger = Request { id: request_id(), ..request };
    assert!(matches!(store.request(&stranger.id).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.timeline(&stranger.id).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.update_request(&stranger, &RequestUpdate::default(), at(1)).await, Err(StoreError::NotFound(_))));
    assert!(store.tasks(&TaskFilter { request: Some(stranger.id), state: None }, 9).await.expect("none").is_empty());
}
