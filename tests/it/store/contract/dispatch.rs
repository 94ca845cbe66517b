//! From deliveries to events and requests.

use crate::store::support::{at, delivery, dispatch, end_request, event, open_request, opening, parsed};
use kubeops::request::State;
use kubeops::store::{
    DeliveryState, Dispatch, DispatchedEvent, EventFilter, NewDelivery, Opening, PageQuery, Store, StoreError, TaskFilter, TaskKind, TaskState,
};
use kubeops::types::DeliveryId;
use std::sync::Arc;

async fn written(store: &dyn Store, key: &str) -> DeliveryId {
    let new = delivery(key);
    store.append(std::slice::from_ref(&new)).await.expect("written");
    new.id
}

pub async fn an_event_opens_a_request_with_a_timeline_and_a_task(store: Arc<dyn Store>) {
    let id = written(&*store, "OPS-1").await;
    let mut wanted = opening("OPS-1", Some("gitops"));
    wanted.parameters = Some(serde_json::from_str(r#"{"b":1,"a":[true]}"#).expect("a map"));
    let told = dispatch(Some(&id), "OPS-1", vec![wanted.clone()]);
    let opened = store.dispatch(std::slice::from_ref(&told), at(3)).await.expect("dispatched");
    assert_eq!(opened, [vec![wanted.id.clone()]]);

    let request = store.request(&wanted.id).await.expect("the request");
    assert_eq!((request.state, request.version, request.key.generation), (State::Accepted, 1, 1));
    assert_eq!((request.key.correlation.as_str(), &request.key.automation), ("OPS-1", &wanted.automation));
    assert_eq!((&request.event, &request.parameters), (&told.events[0].event, &wanted.parameters));
    assert_eq!((request.created_at, request.updated_at, request.repository), (at(3), at(3), wanted.repository));

    let timeline = store.timeline(&wanted.id).await.expect("the timeline");
    assert_eq!(timeline.len(), 1);
    assert_eq!((timeline[0].from, timeline[0].to, timeline[0].at), (None, State::Accepted, at(3)));
    assert_eq!(timeline[0].actor, "kubeops");
    assert!(timeline[0].message.contains(told.events[0].event.id.as_str()), "{}", timeline[0].message);

    let tasks = store.tasks(&TaskFilter { request: Some(wanted.id.clone()), state: None }, 9).await.expect("tasks");
    assert_eq!(tasks.len(), 1);
    let task = &tasks[0];
    assert_eq!((task.kind, task.state, task.lane.as_str(), task.run_at), (TaskKind::Plan, TaskState::Waiting, "gitops", at(3)));

    let event = store.event(&told.events[0].event.id).await.expect("the event");
    assert_eq!((event.requests, event.decisions), (vec![wanted.id], told.events[0].decisions.clone()));
    assert_eq!((event.repeats, event.delivery, event.recorded_at, event.time), (None, Some(id), at(3), at(-5)));
}

pub async fn a_second_event_joins_the_live_request(store: Arc<dyn Store>) {
    let (_, request) = open_request(&*store, "OPS-1", None, at(0)).await;
    let before = store.request(&request).await.expect("the request");
    let (_, again) = open_request(&*store, "OPS-1", Some("gitops"), at(9)).await;
    assert_eq!(again, request);
    assert_eq!(store.request(&request).await.expect("the request"), before, "a join changes nothing a writer may have read");
    let timeline = store.timeline(&request).await.expect("the timeline");
    assert_eq!((timeline.len(), timeline[1].from, timeline[1].to), (2, Some(State::Accepted), State::Accepted));
    assert_eq!(store.tasks(&TaskFilter::default(), 9).await.expect("tasks").len(), 1);
}

pub async fn which_events_are_recorded_is_told_by_their_keys_within_a_source(store: Arc<dyn Store>) {
    let id = written(&*store, "1").await;
    let told = dispatch(Some(&id), "alert-7", vec![]);
    store.dispatch(std::slice::from_ref(&told), at(0)).await.expect("dispatched");
    let source = told.events[0].event.source.clone().expect("a source");
    // More than one statement takes.
    let mut keys: Vec<String> = (0..1_000).map(|number| format!("nobody-{number}")).collect();
    keys[700] = "alert-7".to_owned();
    let recorded = store.are_recorded(&source, &keys).await.expect("told");
    assert_eq!(recorded.iter().enumerate().filter(|(_, known)| **known).map(|(place, _)| place).collect::<Vec<_>>(), [700]);
    assert_eq!(recorded.len(), 1_000);
    assert_eq!(store.are_recorded(&parsed("other"), &keys[700..701]).await.expect("told"), [false]);
    assert!(store.are_recorded(&source, &[]).await.expect("nothing").is_empty());
}

pub async fn an_event_told_again_is_marked_and_opens_nothing(store: Arc<dyn Store>) {
    let (first, second) = (written(&*store, "1").await, written(&*store, "2").await);
    let told = dispatch(Some(&first), "alert-7", vec![opening("alert-7", None)]);
    store.dispatch(std::slice::from_ref(&told), at(0)).await.expect("dispatched");
    let repeated = dispatch(Some(&second), "alert-7", vec![opening("something else", None)]);
    assert_eq!(store.dispatch(std::slice::from_ref(&repeated), at(1)).await.expect("dispatched"), [vec![]]);
    let event = store.event(&repeated.events[0].event.id).await.expect("the event");
    assert_eq!((event.repeats, event.requests.len()), (Some(told.events[0].event.id.clone()), 0));
    assert!(matches!(store.request(&repeated.events[0].openings[0].id).await, Err(StoreError::NotFound(_))));
    // The same key of another source is another event.
    let new = NewDelivery { source: parsed("other"), ..delivery("3") };
    store.append(std::slice::from_ref(&new)).await.expect("written");
    let mut elsewhere = dispatch(Some(&new.id), "alert-7", vec![opening("elsewhere", None)]);
    elsewhere.events[0].event.source = Some(new.source);
    assert_eq!(store.dispatch(&[elsewhere], at(2)).await.expect("dispatched")[0].len(), 1);
}

pub async fn a_delivery_is_dispatched_once(store: Arc<dyn Store>) {
    let id = written(&*store, "OPS-1").await;
    let told = dispatch(Some(&id), "OPS-1", vec![opening("OPS-1", None)]);
    assert_eq!(store.dispatch(std::slice::from_ref(&told), at(0)).await.expect("dispatched")[0].len(), 1);
    // As a crashed dispatcher would do it again: new ids, the same delivery.
    let again = dispatch(Some(&id), "another key", vec![opening("OPS-2", None)]);
    assert_eq!(store.dispatch(std::slice::from_ref(&again), at(1)).await.expect("skipped"), [vec![]]);
    assert!(matches!(store.event(&again.events[0].event.id).await, Err(StoreError::NotFound(_))));
}

pub async fn a_large_batch_is_recorded_as_if_one_by_one(store: Arc<dyn Store>) {
    const COUNT: usize = 1100;
    let new: Vec<NewDelivery> = (0..COUNT).map(|number| delivery(&format!("{number}"))).collect();
    store.append(&new).await.expect("written");
    // Every third tells what the one before it told, every seventh could not be read, and one stands in the batch twice.
    let mut batch: Vec<Dispatch> = (0..COUNT)
        .map(|number| {
            let key = format!("OPS-{}", number - usize::from(number % 3 == 2));
            let mut told = dispatch(Some(&new[number].id), &key, vec![opening(&key, None)]);
            if number % 7 == 6 {
                (told.events, told.error) = (Vec::new(), Some("broken".to_owned()));
            }
            told
        })
        .collect();
    batch.push(dispatch(Some(&new[0].id), "OPS-again", vec![opening("OPS-again", None)]));
    let opened = store.dispatch(&batch, at(1)).await.expect("dispatched");
    assert_eq!(opened.len(), COUNT + 1);
    let broken = |number: usize| number % 7 == 6;
    for (number, opened) in opened.iter().take(COUNT).enumerate() {
        // A repeat of one that could not be read is the first to tell it.
        let repeats = number % 3 == 2 && !broken(number - 1);
        let wanted: Vec<_> = batch[number].events.iter().filter(|_| !repeats).map(|told| told.openings[0].id.clone()).collect();
        assert_eq!(opened, &wanted, "{number}");
        for told in &batch[number].events {
            let event = store.event(&told.event.id).await.expect("the event");
            assert_eq!((&event.requests, &event.delivery, &event.subject), (&wanted, &told.event.delivery, &told.event.subject), "{number}");
            assert_eq!(event.repeats, repeats.then(|| batch[number - 1].events[0].event.id.clone()), "{number}");
        }
        let state = if broken(number) { DeliveryState::Failed } else { DeliveryState::Dispatched };
        assert_eq!(store.delivery(&new[number].id).await.expect("the delivery").state, state, "{number}");
    }
    assert!(opened[COUNT].is_empty(), "a delivery is dispatched once");
}

pub async fn a_delivery_dispatched_by_many_at_once_opens_one_request(store: Arc<dyn Store>) {
    let id = written(&*store, "OPS-1").await;
    let dispatchers = (0..8).map(|_| {
        let (store, id) = (store.clone(), id.clone());
        tokio::spawn(async move { store.dispatch(&[dispatch(Some(&id), "OPS-1", vec![opening("OPS-1", None)])], at(0)).await.expect("dispatched") })
    });
    let mut opened = 0;
    for dispatcher in dispatchers.collect::<Vec<_>>() {
        opened += dispatcher.await.expect("a dispatcher")[0].len();
    }
    assert_eq!(opened, 1);
    let page = store.requests(&Default::default(), &PageQuery { limit: 9, after: None }).await.expect("requests");
    assert_eq!(page.items.len(), 1);
}

pub async fn after_an_end_the_next_generation_is_opened(store: Arc<dyn Store>) {
    for generation in 1..=3 {
        let (_, id) = open_request(&*store, "OPS-1", None, at(0)).await;
        assert_eq!(store.request(&id).await.expect("the request").key.generation, generation);
        end_request(&*store, &id, if generation == 1 { State::Merged } else { State::Declined }, at(1)).await;
    }
}

pub async fn a_delivery_that_cannot_be_read_is_kept_with_its_error(store: Arc<dyn Store>) {
    let id = written(&*store, "a").await;
    let failed = Dispatch { delivery: Some(id.clone()), error: Some("expected `}` at line 3".to_owned()), events: Vec::new() };
    assert_eq!(store.dispatch(&[failed], at(0)).await.expect("recorded"), [vec![]]);
    let delivery = store.delivery(&id).await.expect("the delivery");
    assert_eq!((delivery.state, delivery.error.as_deref()), (DeliveryState::Failed, Some("expected `}` at line 3")));
    assert!(store.pending_deliveries(9).await.expect("pending").is_empty());
}

pub async fn one_event_may_open_requests_of_several_automations(store: Arc<dyn Store>) {
    let id = written(&*store, "OPS-1").await;
    let second = Opening { automation: parsed("quota"), ..opening("OPS-1", None) };
    let told = dispatch(Some(&id), "OPS-1", vec![opening("OPS-1", None), second]);
    let opened = store.dispatch(std::slice::from_ref(&told), at(0)).await.expect("dispatched").remove(0);
    assert_eq!(opened, told.events[0].openings.iter().map(|opening| opening.id.clone()).collect::<Vec<_>>());
    assert_eq!(store.event(&told.events[0].event.id).await.expect("the event").requests, opened);
}

pub async fn a_person_may_ask_without_a_delivery(store: Arc<dyn Store>) {
    let asked = dispatch(None, "asked-1", vec![opening("OPS-1", None)]);
    assert_eq!(store.dispatch(std::slice::from_ref(&asked), at(0)).await.expect("dispatched")[0].len(), 1);
    let again = dispatch(None, "asked-1", vec![opening("OPS-2", None)]);
    assert_eq!(store.dispatch(&[again], at(1)).await.expect("dispatched")[0].len(), 0, "the key was used before");
    let event = store.event(&asked.events[0].event.id).await.expect("the event");
    assert_eq!((event.delivery, event.source), (None, None));
}

pub async fn a_storm_of_joins_does_not_fill_the_timeline(store: Arc<dyn Store>) {
    let (_, request) = open_request(&*store, "alert", None, at(0)).await;
    let storm: Vec<DispatchedEvent> = (0..120)
        .map(|n| DispatchedEvent {
            event: event(None, "alert"),
            key: n.to_string(),
            decisions: Vec::new(),
            openings: vec![opening("alert", None)],
            signals: Vec::new(),
        })
        .collect();
    let joined = store.dispatch(&[Dispatch { delivery: None, error: None, events: storm }], at(1)).await.expect("dispatched");
    assert_eq!(joined, [vec![request.clone(); 120]]);
    assert_eq!(store.timeline(&request).await.expect("the timeline").len(), 51);
}

pub async fn events_filter_by_every_field(store: Arc<dyn Store>) {
    let id = written(&*store, "a").await;
    let mut told = dispatch(Some(&id), "OPS-1", Vec::new());
    let mut second = told.events[0].clone();
    second.event = event(Some(&id), "OPS-2");
    second.event.kind = parsed("alert.firing");
    second.key = "OPS-2".to_owned();
    told.events.push(second);
    store.dispatch(&[told.clone(), dispatch(None, "OPS-3", Vec::new())], at(0)).await.expect("dispatched");
    let wanted = |subjects: &[&str]| subjects.iter().map(|subject| (*subject).to_owned()).collect::<Vec<_>>();
    for (filter, expected) in [
        (EventFilter::default(), wanted(&["OPS-3", "OPS-2", "OPS-1"])),
        (EventFilter { source: Some(parsed("service-desk")), ..Default::default() }, wanted(&["OPS-2", "OPS-1"])),
        (EventFilter { kind: Some(parsed("alert.firing")), ..Default::default() }, wanted(&["OPS-2"])),
        (EventFilter { subject: Some("OPS-3".to_owned()), ..Default::default() }, wanted(&["OPS-3"])),
        (EventFilter { delivery: Some(id.clone()), ..Default::default() }, wanted(&["OPS-2", "OPS-1"])),
        (
            EventFilter { delivery: Some(id), subject: Some("OPS-1".to_owned()), kind: Some(parsed("alert.firing")), ..EventFilter::default() },
            wanted(&[]),
        ),
    ] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.events(&filter, &PageQuery { limit: 1, after }).await.expect("a page");
            seen.extend(page.items.into_iter().map(|event| event.subject));
            assert!(seen.len() < 100, "pages repeat");
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected, "{filter:?}");
    }
}
