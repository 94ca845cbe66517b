//! The events that open requests, and the members of groups, came of: walked through a page at a time, for an event holds what its sender said
//! and thousands may be open.

use crate::event::Event;
use crate::request::{Request, State};
use crate::store::{PageQuery, RequestFilter, Store, StoreError};
use crate::types::{RequestId, SourceName};

/// Requests, or members of one, that are read at once.
const PAGE: u32 = 100;

/// A walk through those of one source.
pub(super) struct OpenEvents<'s> {
    store: &'s dyn Store,
    source: &'s SourceName,
    /// Behind the last page of requests there is none.
    next: Option<PageQuery>,
    /// Groups of the page before whose members are still to be told; the last one comes next.
    groups: Vec<RequestId>,
    /// The number of the last of its members that was told.
    behind: u32,
}

impl<'s> OpenEvents<'s> {
    pub(super) fn of(store: &'s dyn Store, source: &'s SourceName) -> Self {
        Self { store, source, next: Some(PageQuery { limit: PAGE, after: None }), groups: Vec::new(), behind: 0 }
    }

    /// Some more of them, a page at most and perhaps none; nothing once all were told.
    pub(super) async fn page(&mut self) -> Result<Option<Vec<Event>>, StoreError> {
        let mut events = match self.groups.last() {
            Some(group) => {
                let members = self.store.members(group, true, self.behind, PAGE).await?;
                let is_last = members.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
                self.behind = members.last().filter(|_| !is_last).map_or(0, |last| last.number);
                if is_last {
                    self.groups.pop();
                }
                members.into_iter().map(|member| member.event).collect()
            }
            None => match self.requests().await? {
                Some(alone) => alone,
                None => return Ok(None),
            },
        };
        events.retain(|event| event.source.as_ref() == Some(self.source));
        Ok(Some(events))
    }

    /// The events of those requests of the next page that stand for no group; the others are kept for later.
    async fn requests(&mut self) -> Result<Option<Vec<Event>>, StoreError> {
        let Some(query) = self.next.take() else { return Ok(None) };
        let states = vec![State::Accepted, State::Planned, State::Proposed, State::Approved];
        let filter = RequestFilter { states, source: Some(self.source.clone()), ..RequestFilter::default() };
        let page = self.store.requests(&filter, &query).await?;
        self.next = page.next.map(|after| PageQuery { after: Some(after), ..query });
        let (groups, alone): (Vec<Request>, Vec<Request>) = page.items.into_iter().partition(|request| request.members > 0);
        self.groups = groups.into_iter().map(|group| group.id).collect();
        Ok(Some(alone.into_iter().map(|request| request.event).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Steering;
    use crate::store::{Dispatch, DispatchedEvent, Opening, SqlStore, SqliteOptions};
    use crate::types::{EventId, Timestamp};
    use serde_json::json;
    use std::collections::BTreeSet;

    fn now() -> Timestamp {
        Timestamp::from_unix_millis(1_795_000_000_000)
    }

    /// Opens a request for an event of the source, or joins the group's.
    fn told(number: u128, source: &str, group: Option<&str>) -> Dispatch {
        let event = Event {
            id: EventId::from_parts(now(), number),
            delivery: None,
            source: Some(source.parse().expect("a name")),
            traceparent: None,
            kind: "alert.firing".parse().expect("a type"),
            subject: format!("{source}-{number}"),
            time: now(),
            data: json!({}),
        };
        let opening = Opening {
            id: RequestId::from_parts(now(), number << 64),
            automation: "page".parse().expect("a name"),
            correlation: event.subject.clone(),
            group: group.map(str::to_owned),
            repository: None,
            parameters: None,
            debounce: None,
            retractable: false,
            in_order: true,
            tells: false,
            steering: Steering::default(),
            actor: "kubeops".to_owned(),
        };
        let event = DispatchedEvent { key: event.subject.clone(), event, decisions: Vec::new(), openings: vec![opening], signals: Vec::new() };
        Dispatch { delivery: None, error: None, events: vec![event] }
    }

    #[tokio::test]
    async fn the_events_of_open_requests_are_told_once_and_never_more_than_a_page_of_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("kubeops.db");
        let store = SqlStore::sqlite(path.to_str().expect("UTF-8"), SqliteOptions::default()).await.expect("a store");
        let page = u128::from(PAGE);
        // Two groups between requests that stand alone: of one a full page of members is the source's, of the other one among many.
        let dispatches: Vec<Dispatch> = (0..5 * page)
            .map(|number| match number / page {
                0 | 1 => told(number, if number % 2 == 0 { "ours" } else { "theirs" }, None),
                2 => told(number, "ours", Some("large")),
                3 => told(number, if number == 3 * page + 9 { "ours" } else { "theirs" }, Some("mixed")),
                _ => told(number, "ours", None),
            })
            .collect();
        store.dispatch(&dispatches, now()).await.expect("dispatched");
        let told = dispatches.iter().map(|dispatch| dispatch.events[0].event.subject.clone());
        let wanted: BTreeSet<String> = told.filter(|subject| subject.starts_with("ours")).collect();

        let source = "ours".parse().expect("a name");
        let (mut all, mut seen, mut pages) = (OpenEvents::of(&store, &source), Vec::new(), 0);
        while let Some(events) = all.page().await.expect("a page") {
            assert!(events.len() <= PAGE as usize);
            pages += 1;
            seen.extend(events.into_iter().map(|event| event.subject));
        }
        assert_eq!(seen.len(), wanted.len(), "each is told once");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), wanted);
        // Three of requests, which leave out those of others, and two of each group, of which the first is full.
        assert!(pages <= 7, "{pages} pages");
    }
}
