//! Deliveries: written once, read back, dispatched in order.

use crate::store::support::{at, delivery, dispatch, event_id, parsed};
use kubeops::store::{Appended, Delivery, DeliveryFilter, DeliveryState, Dispatch, NewDelivery, PageQuery, Store, StoreError};
use kubeops::types::DeliveryId;
use std::collections::HashSet;
use std::sync::Arc;

fn ids(deliveries: &[Delivery]) -> Vec<DeliveryId> {
    deliveries.iter().map(|delivery| delivery.id.clone()).collect()
}

async fn all(store: &dyn Store, filter: &DeliveryFilter) -> Vec<Delivery> {
    store.deliveries(filter, &PageQuery { limit: 500, after: None }).await.expect("a listing").items
}

pub async fn a_batch_reads_back_in_order_byte_for_byte(store: Arc<dyn Store>) {
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let batch = [
        NewDelivery { body: bytes, received_at: at(7), ..delivery("a") },
        NewDelivery { body: Vec::new(), attributes: serde_json::json!({ "x": "ä\u{0}\"" }), ..delivery("b") },
    ];
    assert_eq!(store.append(&batch).await.expect("written"), [Appended::New, Appended::New]);
    assert_eq!(ids(&store.pending_deliveries(9).await.expect("pending")), [batch[0].id.clone(), batch[1].id.clone()]);
    for new in &batch {
        let read = store.delivery(&new.id).await.expect("the delivery");
        assert_eq!((&read.body, &read.attributes, &read.source), (&new.body, &new.attributes, &new.source));
        assert_eq!((read.received_at, read.body_bytes), (new.received_at, new.body.len() as u64));
        assert_eq!((read.state, read.error), (DeliveryState::Pending, None));
    }
    let listed = all(&*store, &DeliveryFilter::default()).await;
    assert_eq!(listed[1].body_bytes, 70_000);
    assert!(listed[1].body.is_empty(), "a listing carries no bodies");
    assert_eq!(store.append(&[]).await.expect("nothing"), []);
}

pub async fn a_delivery_told_again_is_answered_with_the_first_id(store: Arc<dyn Store>) {
    let first = delivery("a");
    store.append(std::slice::from_ref(&first)).await.expect("written");
    let batch = [delivery("a"), delivery("b"), delivery("b"), NewDelivery { source: parsed("other"), ..delivery("a") }];
    let outcomes = store.append(&batch).await.expect("written");
    assert_eq!(outcomes, [Appended::Duplicate(first.id), Appended::New, Appended::Duplicate(batch[1].id.clone()), Appended::New]);
    assert_eq!(store.pending_deliveries(9).await.expect("pending").len(), 3);
    assert!(matches!(store.delivery(&batch[0].id).await, Err(StoreError::NotFound(_))));
}

pub async fn a_delivery_written_again_under_its_own_id_is_no_duplicate_of_itself(store: Arc<dyn Store>) {
    // A writer that never learned whether its commit came through tries the same again.
    let new = delivery("a");
    for _ in 0..2 {
        assert_eq!(store.append(std::slice::from_ref(&new)).await.expect("written"), [Appended::New]);
    }
    assert_eq!(store.pending_deliveries(9).await.expect("pending").len(), 1);
}

pub async fn batches_of_every_size_are_written_whole(store: Arc<dyn Store>) {
    let mut written = 0;
    for size in [1, 2, 3, 5, 64, 127, 128, 129, 300] {
        let batch: Vec<NewDelivery> = (0..size).map(|n| delivery(&format!("{size}-{n}"))).collect();
        assert_eq!(store.append(&batch).await.expect("written"), vec![Appended::New; size]);
        written += size;
        let pending = store.pending_deliveries(2000).await.expect("pending");
        assert_eq!(pending.len(), written);
        assert_eq!(ids(&pending[written - size..]), batch.iter().map(|new| new.id.clone()).collect::<Vec<_>>());
    }
}

pub async fn deliveries_wait_in_order_until_they_are_dispatched(store: Arc<dyn Store>) {
    let batch: Vec<NewDelivery> = ["a", "b", "c"].map(delivery).to_vec();
    store.append(&batch).await.expect("written");
    assert_eq!(ids(&store.pending_deliveries(2).await.expect("pending")), [batch[0].id.clone(), batch[1].id.clone()]);
    store.dispatch(&[dispatch(Some(&batch[0].id), "a", Vec::new())], at(1)).await.expect("dispatched");
    assert_eq!(ids(&store.pending_deliveries(2).await.expect("pending")), [batch[1].id.clone(), batch[2].id.clone()]);
    assert_eq!(store.delivery(&batch[0].id).await.expect("it").state, DeliveryState::Dispatched);
}

pub async fn what_is_passed_by_leaves_all_that_is_read_at_once_to_others(store: Arc<dyn Store>) {
    let big = |key: &str| NewDelivery { body: vec![b'x'; 6 * 1024 * 1024], ..delivery(key) };
    let batch = [big("a"), big("b"), big("c"), delivery("d"), delivery("e")];
    store.append(&batch).await.expect("written");
    let id = |place: usize| batch[place].id.clone();
    let besides = async |passed_by: &[DeliveryId], limit| ids(&store.pending_besides(passed_by, limit).await.expect("pending"));
    // As it arrived, and once it is filed.
    for _ in 0..2 {
        assert_eq!(besides(&[], 9).await, [id(0), id(1), id(2)], "that is all that is read at once");
        assert_eq!(besides(&[id(0), id(1), id(2)], 9).await, [id(3), id(4)]);
        assert_eq!(besides(&[id(2), id(0)], 9).await, [id(1), id(3), id(4)]);
        assert_eq!(besides(&[id(0), id(1), id(2)], 1).await, [id(3)]);
        assert!(besides(&batch.each_ref().map(|new| new.id.clone()), 9).await.is_empty());
        assert_eq!(besides(&[unknown()], 1).await, [id(0)], "one that is not there is passed by as well");
        assert_eq!(all(&*store, &DeliveryFilter::default()).await.len(), 5);
    }
}

/// The id of a delivery that nobody wrote.
fn unknown() -> DeliveryId {
    delivery("elsewhere").id
}

pub async fn what_nobody_handles_is_kept_but_never_waits(store: Arc<dyn Store>) {
    let new = NewDelivery { handled: false, ..delivery("a") };
    store.append(std::slice::from_ref(&new)).await.expect("written");
    assert!(store.pending_deliveries(9).await.expect("pending").is_empty());
    assert_eq!(store.delivery(&new.id).await.expect("it").state, DeliveryState::Ignored);
    assert_eq!(store.append(&[delivery("a")]).await.expect("told again"), [Appended::Duplicate(new.id)]);
}

pub async fn listings_filter_by_source_and_state(store: Arc<dyn Store>) {
    let other = |key: &str| NewDelivery { source: parsed("other"), ..delivery(key) };
    let batch = [delivery("pending"), delivery("done"), NewDelivery { handled: false, ..other("ignored") }, other("failed"), other("pending")];
    store.append(&batch).await.expect("written");
    let failed = Dispatch { delivery: Some(batch[3].id.clone()), error: Some("no JSON".to_owned()), events: Vec::new() };
    store.dispatch(&[dispatch(Some(&batch[1].id), "done", Vec::new()), failed], at(1)).await.expect("dispatched");
    let wanted = |of: &[usize]| of.iter().map(|n| batch[*n].id.clone()).collect::<Vec<_>>();
    let source = |name: &str| Some(parsed(name));
    for (source, state, expected) in [
        (None, None, wanted(&[4, 3, 2, 1, 0])),
        (source("other"), None, wanted(&[4, 3, 2])),
        (None, Some(DeliveryState::Pending), wanted(&[4, 0])),
        (source("other"), Some(DeliveryState::Pending), wanted(&[4])),
        (None, Some(DeliveryState::Dispatched), wanted(&[1])),
        (source("other"), Some(DeliveryState::Dispatched), wanted(&[])),
        (None, Some(DeliveryState::Ignored), wanted(&[2])),
        (source("service-desk"), Some(DeliveryState::Ignored), wanted(&[])),
        (None, Some(DeliveryState::Failed), wanted(&[3])),
        (source("nobody"), None, wanted(&[])),
    ] {
        let filter = DeliveryFilter { source, state };
        let listed = all(&*store, &filter).await;
        assert_eq!(ids(&listed), expected, "{filter:?}");
        assert!(filter.state.is_none_or(|state| listed.iter().all(|delivery| delivery.state == state)), "{filter:?}");
    }
}

pub async fn pages_are_complete_and_without_repeats_while_rows_are_added(store: Arc<dyn Store>) {
    let batch: Vec<NewDelivery> = (0..25).map(|n| delivery(&n.to_string())).collect();
    store.append(&batch).await.expect("written");
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.deliveries(&DeliveryFilter::default(), &PageQuery { limit: 5, after }).await.expect("a page");
        assert!(page.items.len() <= 5);
        seen.extend(ids(&page.items));
        store.append(&[delivery(&format!("later-{}", event_id()))]).await.expect("added");
        assert!(seen.len() < 100, "pages repeat");
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<DeliveryId> = batch.iter().rev().map(|new| new.id.clone()).collect();
    assert_eq!(seen, expected);
}

pub async fn a_cursor_of_another_listing_is_refused(store: Arc<dyn Store>) {
    store.append(&[delivery("a"), delivery("b")]).await.expect("written");
    let page = store.deliveries(&DeliveryFilter::default(), &PageQuery { limit: 1, after: None }).await.expect("a page");
    let elsewhere = PageQuery { limit: 1, after: page.next };
    assert!(matches!(store.events(&Default::default(), &elsewhere).await, Err(StoreError::BadCursor(_))));
    assert!(matches!(store.requests(&Default::default(), &elsewhere).await, Err(StoreError::BadCursor(_))));
    let nonsense = PageQuery { limit: 1, after: Some("' OR 1=1 --".to_owned()) };
    assert!(matches!(store.deliveries(&DeliveryFilter::default(), &nonsense).await, Err(StoreError::BadCursor(_))));
}

pub async fn many_writers_at_once_lose_nothing(store: Arc<dyn Store>) {
    let writers = (0..8).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..10 {
                // Every second key is every writer's.
                let key = if n % 2 == 0 { format!("shared-{n}") } else { format!("{writer}-{n}") };
                store.append(&[delivery(&key)]).await.expect("written");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer");
    }
    let pending = store.pending_deliveries(500).await.expect("pending");
    let bodies: HashSet<&[u8]> = pending.iter().map(|delivery| &delivery.body[..]).collect();
    assert_eq!((pending.len(), bodies.len()), (8 * 5 + 5, 8 * 5 + 5));
}
