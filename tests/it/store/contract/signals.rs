//! What events say about requests there are, what was told outside, and what leads to a request.

use crate::store::support::{at, claimed, end_request, event, of_another, open_request, opening, parsed};
use kubeops::request::{PullRef, State, TimelineEntry};
use kubeops::store::{
    Act, ActKey, ActState, Clue, Deployment, DeploymentStanding, Dispatch, DispatchedEvent, Opening, Settlement, Signal, Store, StoreError,
    TaskFilter, TaskKind,
};
use kubeops::types::{RequestId, TaskId, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn task_id() -> TaskId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    TaskId::from_parts(at(1), u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) << 64)
}

/// An event of this time, under a key of its own, with these signals and openings.
fn said(key: &str, time: Timestamp, signals: Vec<Signal>, openings: Vec<Opening>) -> Dispatch {
    let told = DispatchedEvent { event: event(None, key), key: key.to_owned(), decisions: Vec::new(), openings, signals };
    let mut told = Dispatch { delivery: None, error: None, events: vec![told] };
    told.events[0].event.time = time;
    told
}

fn taken_back(correlation: &str, reason: &str) -> Signal {
    Signal::TakenBack { automation: parsed("namespace-request"), correlation: correlation.to_owned(), reason: reason.to_owned(), task: task_id() }
}

fn wanted(correlation: &str) -> Opening {
    Opening { retractable: true, ..opening(correlation, Some("gitops")) }
}

async fn reasons(store: &dyn Store, id: &RequestId) -> Vec<String> {
    store.taken_back(id).await.expect("an answer").into_iter().map(|taken| taken.reason).collect()
}

async fn owed(store: &dyn Store, id: &RequestId, kind: TaskKind) -> usize {
    let filter = TaskFilter { request: Some(id.clone()), state: None };
    store.tasks(&filter, 50).await.expect("tasks").iter().filter(|task| task.kind == kind).count()
}

pub async fn the_newest_event_of_a_key_counts_in_whatever_order_they_come(store: Arc<dyn Store>) {
    let opened = store.dispatch(&[said("fires", at(10), Vec::new(), vec![wanted("A")])], at(100)).await.expect("dispatched");
    let id = opened[0][0].clone();
    assert_eq!(reasons(&*store, &id).await, [] as [&str; 0]);
    store.dispatch(&[said("resolves", at(20), vec![taken_back("A", "it resolved")], Vec::new())], at(101)).await.expect("dispatched");
    assert_eq!((reasons(&*store, &id).await, owed(&*store, &id, TaskKind::Retract).await), (vec!["it resolved".to_owned()], 1));
    // An older one that asks, or takes back, changes nothing; nor does one of another key.
    let older = said("fired before", at(15), Vec::new(), vec![wanted("A")]);
    let opened = store.dispatch(&[older, said("older", at(5), vec![taken_back("A", "long ago")], Vec::new())], at(102)).await.expect("dispatched");
    assert_eq!(opened, [Vec::<RequestId>::new(), Vec::new()]);
    store.dispatch(&[said("other", at(30), vec![taken_back("B", "another")], Vec::new())], at(103)).await.expect("dispatched");
    assert_eq!(reasons(&*store, &id).await, ["it resolved"]);
    // A newer one wants it again.
    store.dispatch(&[said("fires again", at(40), Vec::new(), vec![wanted("A")])], at(104)).await.expect("dispatched");
    assert_eq!(reasons(&*store, &id).await, [] as [&str; 0]);
}

pub async fn a_sender_whose_clock_is_ahead_does_not_have_the_last_word(store: Arc<dyn Store>) {
    let opened = store.dispatch(&[said("fires", at(10_000), Vec::new(), vec![wanted("A")])], at(100)).await.expect("dispatched");
    let id = opened[0][0].clone();
    store.dispatch(&[said("resolves", at(150), vec![taken_back("A", "it resolved")], Vec::new())], at(160)).await.expect("dispatched");
    assert_eq!(reasons(&*store, &id).await, ["it resolved"]);
}

pub async fn what_delivery_tools_said_is_kept_by_what_they_spoke_of_the_newest_first(store: Arc<dyn Store>) {
    let (_, merged) = open_request(&*store, "A", Some("gitops"), at(0)).await;
    let (_, elsewhere) = open_request(&*store, "B", Some("other"), at(0)).await;
    for id in [&merged, &elsewhere] {
        end_request(&*store, id, State::Merged, at(1)).await;
    }
    let word = |application: &str, standing, message: &str, second| Deployment {
        repository: parsed("gitops"),
        application: application.to_owned(),
        cluster: Some("prod".to_owned()),
        paths: vec!["clusters/prod".to_owned()],
        named: false,
        revision: parsed(&"a".repeat(40)),
        standing,
        message: Some(message.to_owned()),
        at: at(second),
    };
    let first = word("web", DeploymentStanding::Degraded, "not well", 10);
    let second = word("web", DeploymentStanding::Applied, "well", 20);
    for (number, deployment) in [&first, &second, &word("web", DeploymentStanding::Degraded, "long ago", 5)].into_iter().enumerate() {
        let told = said(&format!("word {number}"), deployment.at, vec![Signal::Deployed(deployment.clone())], Vec::new());
        store.dispatch(&[told], at(100 + i64::try_from(number).expect("small"))).await.expect("dispatched");
    }
    let repository = parsed("gitops");
    assert_eq!(store.deployments(&repository, at(0), 10).await.expect("an answer"), [second.clone(), first.clone()]);
    assert_eq!(store.deployments(&repository, at(0), 1).await.expect("an answer"), std::slice::from_ref(&second));
    assert_eq!(store.deployments(&repository, at(101), 10).await.expect("an answer"), [second], "heard since then");
    assert_eq!(store.deployments(&parsed("other"), at(0), 10).await.expect("an answer"), []);
    assert_eq!((owed(&*store, &merged, TaskKind::Confirm).await, owed(&*store, &elsewhere, TaskKind::Confirm).await), (1, 0));
}

pub async fn words_of_any_length_are_kept_and_known_again(store: Arc<dyn Store>) {
    let long = |from: usize| (from..from + 60).map(|n| format!("apps/{}", incompressible(n, 200))).collect::<Vec<_>>();
    let word = |application: &str, paths: Vec<String>, second| Deployment {
        repository: parsed("gitops"),
        application: application.to_owned(),
        cluster: Some(incompressible(9, 3_000)),
        paths,
        named: false,
        revision: parsed(&"a".repeat(40)),
        standing: DeploymentStanding::Applied,
        message: Some(incompressible(8, 3_000)),
        at: at(second),
    };
    let name = incompressible(7, 3_000);
    let (first, again, other) = (word(&name, long(0), 10), word(&name, long(0), 20), word(&name, long(1), 15));
    // Two lists that only their bounds tell apart.
    let (one, two) = (word("web", vec!["a".to_owned(), "b".to_owned()], 5), word("web", vec!["a,b".to_owned()], 4));
    for (number, deployment) in [&first, &again, &other, &one, &two].into_iter().enumerate() {
        let told = said(&format!("word {number}"), deployment.at, vec![Signal::Deployed(deployment.clone())], Vec::new());
        store.dispatch(&[told], at(100)).await.expect("dispatched");
    }
    assert_eq!(store.deployments(&parsed("gitops"), at(0), 10).await.expect("an answer"), [again, other, one, two]);
}

pub async fn the_longest_keys_and_subjects_there_are_are_taken(store: Arc<dyn Store>) {
    let longest = |seed| incompressible(seed, kubeops::automation::MAX_CORRELATION);
    let alone = Opening { retractable: true, ..wanted(&longest(1)) };
    let member = Opening { group: Some(longest(2)), ..wanted(&longest(3)) };
    for (number, opening) in [alone, member].into_iter().enumerate() {
        let mut told = said(&format!("word {number}"), at(1), vec![taken_back(&longest(4), "it resolved")], vec![opening]);
        told.events[0].event.subject = longest(5);
        assert_eq!(store.dispatch(&[told], at(1)).await.expect("dispatched")[0].len(), 1);
    }
}

/// A text of so many characters of four bytes each, which nothing makes shorter.
fn incompressible(seed: usize, length: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from_u32(0x2_0000 + u32::try_from((state >> 33) % 0x9000).expect("small")).expect("a character")
    };
    (0..length).map(|_| next()).collect()
}

/// An act on one channel about one piece of news.
fn told(id: &RequestId, act: &str, state: ActState, second: i64) -> Act {
    Act {
        key: ActKey { request: id.clone(), channel: "jira".to_owned(), news: "proposed/0".to_owned(), act: act.to_owned() },
        state,
        note: (state == ActState::Refused).then(|| "no such status".to_owned()),
        at: at(second),
    }
}

/// A line of the timeline that changes nothing.
fn line(message: &str, second: i64) -> TimelineEntry {
    let (from, to) = (Some(State::Accepted), State::Accepted);
    TimelineEntry { at: at(second), from, to, message: message.to_owned(), actor: "kubeops".to_owned() }
}

pub async fn what_was_told_is_kept_over_what_was_kept_before(store: Arc<dyn Store>) {
    let (_, id) = open_request(&*store, "A", None, at(0)).await;
    let held = claimed(&*store, "w", &id, at(0)).await;
    let act = |act: &str, state, second| told(&id, act, state, second);
    for noted in [
        act("comment", ActState::Begun, 1),
        act("transition", ActState::Begun, 2),
        act("comment", ActState::Done, 3),
        act("transition", ActState::Refused, 4),
    ] {
        store.note_act(&held, &noted, &[]).await.expect("noted");
    }
    let told = store.told_so_far(&id).await.expect("an answer");
    let mut acts: Vec<_> = told.acts.iter().map(|act| (act.key.act.as_str(), act.state, act.note.as_deref(), act.at)).collect();
    acts.sort_by_key(|act| act.0);
    assert_eq!(acts, [("comment", ActState::Done, None, at(3)), ("transition", ActState::Refused, Some("no such status"), at(4))]);
    // With what the timeline says of it.
    let line = line("jira was not told that it is proposed", 5);
    store.note_act(&held, &act("labels", ActState::Refused, 5), std::slice::from_ref(&line)).await.expect("noted");
    assert_eq!(store.timeline(&id).await.expect("a timeline").last(), Some(&line));
    assert_eq!(store.told_so_far(&id).await.expect("an answer").changes.len(), 1, "a line that changes nothing is no news");
    let (_, other) = open_request(&*store, "B", None, at(5)).await;
    end_request(&*store, &other, State::Withdrawn, at(6)).await;
    let told = store.told_so_far(&other).await.expect("an answer");
    assert!(told.acts.is_empty());
    assert_eq!(told.changes.iter().map(|(_, entry)| entry.to).collect::<Vec<_>>(), [State::Accepted]);
}

pub async fn what_is_told_is_noted_by_whoever_holds_the_task_alone(store: Arc<dyn Store>) {
    let (_, id) = open_request(&*store, "A", None, at(0)).await;
    let old = claimed(&*store, "old", &id, at(0)).await;
    store.note_act(&old, &told(&id, "comment", ActState::Begun, 1), &[]).await.expect("noted");
    let new = claimed(&*store, "new", &id, at(30)).await;
    let done = told(&id, "comment", ActState::Done, 31);
    store.note_act(&new, &done, &[]).await.expect("noted");
    let late = line("late", 32);
    for noted in [
        told(&id, "comment", ActState::Begun, 32),
        told(&id, "comment", ActState::Refused, 32),
        told(&id, "comment", ActState::Done, 32),
        told(&id, "transition", ActState::Begun, 32),
    ] {
        for old in [&old, &of_another(&new)] {
            let refused = store.note_act(old, &noted, std::slice::from_ref(&late)).await;
            assert!(
                matches!(&refused, Err(StoreError::Conflict(why)) if why.contains("the lease") && why.contains("was lost")),
                "{noted:?}: {refused:?}"
            );
        }
    }
    assert_eq!(store.told_so_far(&id).await.expect("an answer").acts, std::slice::from_ref(&done));
    // Nor does who holds it begin anew what is done.
    for state in [ActState::Begun, ActState::Refused] {
        store.note_act(&new, &told(&id, "comment", state, 33), std::slice::from_ref(&late)).await.expect("heard");
    }
    assert_eq!(store.told_so_far(&id).await.expect("an answer").acts, [done]);
    assert_eq!(store.timeline(&id).await.expect("a timeline").len(), 1);
    // And who has settled it holds it no more.
    store.settle(&new, &Settlement::default(), at(34)).await.expect("settled");
    let after = store.note_act(&new, &told(&id, "transition", ActState::Begun, 35), &[]).await;
    assert!(matches!(after, Err(StoreError::Conflict(_))), "{after:?}");
}

pub async fn what_was_refused_is_begun_again_at_a_persons_word_and_nothing_else_is(store: Arc<dyn Store>) {
    let (_, id) = open_request(&*store, "A", None, at(0)).await;
    let held = claimed(&*store, "w", &id, at(0)).await;
    let [done, refused, begun] =
        [("comment", ActState::Done), ("transition", ActState::Refused), ("labels", ActState::Begun)].map(|(act, state)| told(&id, act, state, 1));
    for noted in [&done, &refused, &begun] {
        store.note_act(&held, noted, &[]).await.expect("noted");
    }
    let nobody = told(&id, "fields", ActState::Refused, 1);
    let keys: Vec<_> = [&done, &refused, &begun, &nobody].map(|act| act.key.clone()).into();
    store.begin_again_unfenced(&keys, at(9)).await.expect("begun again");
    let mut acts = store.told_so_far(&id).await.expect("an answer").acts;
    acts.sort_by(|a, b| a.key.act.cmp(&b.key.act));
    assert_eq!(acts, [done, begun, Act { state: ActState::Begun, note: None, at: at(9), ..refused }]);
}

pub async fn a_clue_leads_to_its_requests_the_newest_first(store: Arc<dyn Store>) {
    let (delivery, first) = open_request(&*store, "OPS-1", Some("gitops"), at(0)).await;
    end_request(&*store, &first, State::Declined, at(1)).await;
    let (_, second) = open_request(&*store, "OPS-1", Some("gitops"), at(2)).await;
    let (_, other) = open_request(&*store, "OPS-2", Some("gitops"), at(3)).await;
    let mut request = store.request(&second).await.expect("the request");
    request.branch = Some(parsed("kubeops/one"));
    request.commit = Some(parsed(&"c".repeat(40)));
    store.update_request(&request, &Default::default(), at(4)).await.expect("written");
    let about = async |clue: Clue, limit| store.requests_about(&clue, limit).await.expect("an answer");
    assert_eq!(about(Clue::Name("OPS-1".to_owned()), 10).await, [second.clone(), first.clone()]);
    assert_eq!(about(Clue::Name("OPS-1".to_owned()), 1).await, std::slice::from_ref(&second));
    assert_eq!(about(Clue::Request(other.clone()), 10).await, [other]);
    assert_eq!(about(Clue::Delivery(delivery), 10).await, [first]);
    assert_eq!(about(Clue::Branch(parsed("kubeops/one")), 10).await, std::slice::from_ref(&second));
    assert_eq!(about(Clue::Commit("c".repeat(9)), 10).await, std::slice::from_ref(&second));
    // The pull request it has, and the one it had before it was asked for again.
    let mut request = store.request(&second).await.expect("the request");
    request.pull = Some(PullRef { number: 12, url: "https://example.com/acme/gitops/pull/12".to_owned() });
    request.former_pull = Some(7);
    store.update_request(&request, &Default::default(), at(5)).await.expect("written");
    for number in [12, 7] {
        let (name, address) = (|name: &str| Some(parsed(name)), |of: &str| Some(format!("/{of}/pull/{number}")));
        for (repository, address) in [(None, None), (name("gitops"), None), (None, address("acme/gitops"))] {
            assert_eq!(about(Clue::Pull { repository, address, number }, 10).await, std::slice::from_ref(&second), "{number}");
        }
        for (repository, address) in [(name("other"), None), (None, address("acme/other"))] {
            assert_eq!(about(Clue::Pull { repository, address, number }, 10).await, [], "{number}");
        }
    }
    for nothing in [Clue::Name("OPS".to_owned()), Clue::Commit("d".repeat(9)), Clue::Branch(parsed("kubeops/two"))] {
        assert_eq!(about(nothing, 10).await, []);
    }
}
