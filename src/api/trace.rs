//! Why did this change? Whatever an auditor has in hand leads to the requests it belongs to, and each is shown from the bytes that
//! arrived to what was told outside.

use super::error::ApiError;
use super::extract::{At, State};
use super::views::{EventView, TraceView, TracedDelivery, TracedRequest};
use crate::store::{Clue, EventFilter, EventRecord, PageQuery, Store, StoreError, TaskFilter};
use crate::types::{DeliveryId, RequestId};
use actix_web::{get, web};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Requests that one trace shows.
const REQUESTS: usize = 20;
/// Events of one request that are shown, the newest.
const EVENTS: u32 = 100;
/// Tasks of one request that are shown.
const TASKS: u32 = 50;
/// The longest text that is asked about, in characters.
const LONGEST: usize = 1_000;

/// Traces anything: the key of a ticket, the fingerprint of an alert, the id of a delivery, event or request, at least the first seven
/// digits of a commit's id, a branch, or a pull request (`gitops#12`, or its address).
#[utoipa::path(tag = "trace", params(("id" = String, Path, description = "What is asked about, percent-encoded: a slash is %2F, a number sign %23.", example = "OPS-42")),
    responses((status = 200, description = "Everything kept about it, whole, to be kept elsewhere.", body = TraceView)))]
#[get("/trace/{id}")]
pub(super) async fn trace(state: State, At(about): At<String>) -> Result<web::Json<TraceView>, ApiError> {
    let about: String = about.trim().chars().take(LONGEST).collect();
    let at = state.parts.clock.now();
    let found = state.timed(gather(state.store(), about, at)).await?;
    if found.requests.is_empty() && found.events.is_empty() && found.deliveries.is_empty() {
        return Err(ApiError::not_found(
            "nothing is kept about this: give the key of a ticket, the fingerprint of an alert, an id of KubeOps, seven digits or more of a commit's id, a branch, or a pull request such as gitops#12",
        ));
    }
    Ok(web::Json(found))
}

async fn gather(store: &dyn Store, about: String, at: crate::types::Timestamp) -> Result<TraceView, StoreError> {
    let clues = Clue::all_of(&about);
    let mut ids: Vec<RequestId> = Vec::new();
    for clue in &clues {
        for id in store.requests_about(clue, REQUESTS as u32 + 1).await? {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    // Ids begin with the time they were made at.
    ids.sort_by(|one, other| other.cmp(one));
    let more = ids.len() > REQUESTS;
    let mut requests = Vec::new();
    for id in ids.iter().take(REQUESTS) {
        requests.push(of_request(store, id).await?);
    }
    let shown: BTreeSet<_> = requests.iter().flat_map(|traced| traced.events.iter().map(|event| event.id.clone())).collect();
    let (mut events, mut deliveries) = (Vec::new(), BTreeSet::new());
    for clue in &clues {
        let (named, delivery) = beside(store, clue).await?;
        deliveries.extend(delivery);
        events.extend(named.into_iter().filter(|event| !shown.contains(&event.id)));
    }
    deliveries.extend(events.iter().filter_map(|event| event.delivery.clone()));
    let deliveries = read(store, deliveries).await?;
    Ok(TraceView { about, at, requests, more, events: events.into_iter().map(EventView::from).collect(), deliveries })
}

async fn of_request(store: &dyn Store, id: &RequestId) -> Result<TracedRequest, StoreError> {
    let mut request = store.request(id).await?;
    let filter = EventFilter { request: Some(id.clone()), ..EventFilter::default() };
    let page = store.events(&filter, &PageQuery { limit: EVENTS, after: None }).await?;
    let deliveries = page.items.iter().filter_map(|event| event.delivery.clone()).collect();
    let changes = request.changes.take();
    Ok(TracedRequest {
        rule: changes.as_ref().and_then(|changes| changes.rule.clone()),
        changes: changes.map(Into::into),
        findings: std::mem::take(&mut request.findings),
        merged: request.merged.take(),
        more_events: page.next.is_some(),
        events: page.items.into_iter().rev().map(EventView::from).collect(),
        deliveries: read(store, deliveries).await?,
        timeline: store.timeline(id).await?,
        tasks: store.tasks(&TaskFilter { request: Some(id.clone()), state: None }, TASKS).await?.into_iter().map(Into::into).collect(),
        told: {
            let mut acts = store.told_so_far(id).await?.acts;
            acts.sort_by_key(|act| act.at);
            acts.into_iter().map(Into::into).collect()
        },
        request: request.into(),
    })
}

/// The events a clue names by itself, whether or not a request came of them, and the delivery.
async fn beside(store: &dyn Store, clue: &Clue) -> Result<(Vec<EventRecord>, Option<DeliveryId>), StoreError> {
    let filter = match clue {
        Clue::Delivery(id) => EventFilter { delivery: Some(id.clone()), ..EventFilter::default() },
        Clue::Name(name) => EventFilter { subject: Some(name.clone()), ..EventFilter::default() },
        Clue::Event(id) => return Ok((kept(store.event(id).await)?.into_iter().collect(), None)),
        Clue::Request(_) | Clue::Pull { .. } | Clue::Commit(_) | Clue::Branch(_) => return Ok((Vec::new(), None)),
    };
    let events = store.events(&filter, &PageQuery { limit: EVENTS, after: None }).await?.items;
    let delivery = if let Clue::Delivery(id) = clue { Some(id.clone()) } else { None };
    Ok((events, delivery))
}

/// Deliveries with the digest of their bytes; those that are past their retention are left out.
async fn read(store: &dyn Store, ids: BTreeSet<DeliveryId>) -> Result<Vec<TracedDelivery>, StoreError> {
    let mut deliveries = Vec::new();
    for id in ids {
        let Some(delivery) = kept(store.delivery(&id).await)? else { continue };
        deliveries.push(TracedDelivery { sha256: hex::encode(Sha256::digest(&delivery.body)), delivery: delivery.into() });
    }
    Ok(deliveries)
}

fn kept<T>(found: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
