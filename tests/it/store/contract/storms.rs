//! What keeps a storm of events from becoming a storm of pull requests, as far as the store keeps it.

use super::drafts::{HELD_FOR, claimed};
use crate::store::support::{at, dispatch, end_request, of_another, open_request, opening, parsed};
use kubeops::request::{Changes, PullRef, State};
use kubeops::store::{
    Admission, Admitted, Debounce, Lack, Opening, RequestUpdate, RivalQuery, Room, Settlement, Store, StoreError, Task, TaskFilter, TaskKind,
    TouchQuery, Verdict,
};
use kubeops::types::{RequestId, Timestamp};
use serde_json::json;
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
    assert_eq!(store.next_due("worker", Room::single(1)).await.expect("a time"), Some(at(100)));
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
    store.settle(&held, &Settlement { verdict: again, ..Default::default() }, at(32)).await.expect("settled");
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

const HOUR: i64 = 3600;

async fn asks(store: &dyn Store, key: &str, target: &str) -> Admission {
    let (_, request) = open_request(store, key, Some("gitops"), at(0)).await;
    Admission { request, automation: parsed("namespace-request"), target: target.to_owned(), per_hour: Some(3), per_target: Some(2), insists: false }
}

/// Asks for room in the name of whoever has the request in hand for as long as that takes.
async fn admit(store: &dyn Store, wanted: &Admission, now: i64) -> Admitted {
    let held = claimed(store, "w", &wanted.request, now).await;
    let admitted = store.admit(&held, wanted, at(now)).await.expect("an answer");
    store.settle(&held, &Settlement::default(), at(now)).await.expect("settled");
    admitted
}

/// Asks for room, and opens the pull request where there is some; tells until when it waits, for what, and after how many.
async fn opens(store: &dyn Store, wanted: &Admission, now: i64) -> Option<(i64, Lack, u64)> {
    match admit(store, wanted, now).await {
        Admitted::Given => {
            end_request(store, &wanted.request, State::Proposed, at(now)).await;
            None
        }
        Admitted::Waits { until, lacks, ahead, .. } => Some(((until.unix_millis() - at(0).unix_millis()) / 1000, lacks, ahead)),
    }
}

pub async fn no_more_pull_requests_are_opened_within_any_hour_than_a_limit_allows(store: Arc<dyn Store>) {
    let mut waiting = Vec::new();
    for (n, wanted) in [(0, None), (10, None), (20, None), (30, Some((HOUR, 0))), (40, Some((HOUR + 10, 1))), (50, Some((HOUR + 20, 2)))] {
        let one = asks(&*store, &format!("a-{n}"), &format!("gitops:{n}")).await;
        let waits = opens(&*store, &one, n).await;
        assert_eq!(waits, wanted.map(|(until, ahead)| (until, Lack::Automation, ahead)), "{n}");
        waiting.extend(waits.map(|_| one));
    }
    assert_eq!(store.stats(at(60)).await.expect("counts").waiting_for_room, 3);
    let late = asks(&*store, "late", "gitops:x").await;
    assert_eq!(opens(&*store, &late, 60).await, Some((2 * HOUR, Lack::Automation, 3)), "the first again, an hour after it is given");
    assert_eq!(opens(&*store, &waiting[0], HOUR - 1).await, Some((HOUR, Lack::Automation, 0)), "not a second earlier");
    assert_eq!(opens(&*store, &waiting[1], HOUR).await, Some((HOUR + 10, Lack::Automation, 1)), "who asks first does not overtake who waits longer");
    assert_eq!(opens(&*store, &waiting[0], HOUR).await, None);
    assert_eq!(opens(&*store, &waiting[1], HOUR).await, Some((HOUR + 10, Lack::Automation, 0)));
    assert_eq!(opens(&*store, &waiting[1], HOUR + 10).await, None);
    // Another automation has room of its own.
    let other = Admission { automation: parsed("quota"), ..asks(&*store, "other", "gitops:x").await };
    assert_eq!(opens(&*store, &other, HOUR + 11).await, None);
    assert_eq!(store.stats(at(HOUR)).await.expect("counts").waiting_for_room, 2);
}

pub async fn a_target_has_a_limit_of_its_own_and_holds_up_no_other(store: Arc<dyn Store>) {
    for n in 0..2 {
        assert_eq!(opens(&*store, &asks(&*store, &format!("a-{n}"), "gitops:prod").await, n).await, None);
    }
    let held_up = asks(&*store, "a-2", "gitops:prod").await;
    assert_eq!(opens(&*store, &held_up, 2).await, Some((HOUR, Lack::Target, 0)));
    assert_eq!(opens(&*store, &asks(&*store, "b", "gitops:staging").await, 3).await, None, "that target has room");
    // Now both limits are reached; the one that lasts longer decides.
    assert_eq!(opens(&*store, &asks(&*store, "c", "gitops:staging").await, 4).await, Some((HOUR, Lack::Automation, 0)));
    assert_eq!(opens(&*store, &held_up, 5).await, Some((HOUR, Lack::Target, 0)));
    let unlimited = Admission { per_hour: None, per_target: Some(9), ..asks(&*store, "d", "gitops:prod").await };
    assert_eq!(opens(&*store, &unlimited, 6).await, None);
}

pub async fn room_is_kept_until_the_pull_request_is_open_and_given_back_when_there_will_be_none(store: Arc<dyn Store>) {
    let mut held = Vec::new();
    for n in 0..3 {
        let one = asks(&*store, &format!("a-{n}"), &format!("gitops:{n}")).await;
        for now in [n, n + 3 * HOUR] {
            assert_eq!(admit(&*store, &one, now).await, Admitted::Given, "asked again, it is given again");
        }
        held.push(one);
    }
    let waits = asks(&*store, "b", "gitops:b").await;
    // It does not matter since when: they will be opened in a moment.
    assert!(matches!(admit(&*store, &waits, 4 * HOUR).await, Admitted::Waits { since_now: true, .. }));
    assert!(matches!(admit(&*store, &waits, 4 * HOUR).await, Admitted::Waits { since_now: false, .. }));
    end_request(&*store, &held[0].request, State::Failed, at(4 * HOUR)).await;
    assert_eq!(admit(&*store, &waits, 4 * HOUR).await, Admitted::Given);
    // What is open counts from when it was opened, whatever becomes of it.
    end_request(&*store, &held[1].request, State::Proposed, at(5 * HOUR)).await;
    end_request(&*store, &held[1].request, State::Withdrawn, at(5 * HOUR + 1)).await;
    let more = asks(&*store, "c", "gitops:c").await;
    for other in [&held[2], &waits] {
        end_request(&*store, &other.request, State::Unchanged, at(5 * HOUR + 2)).await;
    }
    let alone = Admission { per_hour: Some(1), ..more };
    assert_eq!(opens(&*store, &alone, 6 * HOUR - 1).await, Some((6 * HOUR, Lack::Automation, 0)));
    assert_eq!(opens(&*store, &alone, 6 * HOUR).await, None);
    // Asked for again by a person, a second pull request of one request counts as well.
    let again = asks(&*store, "d", "gitops:d").await;
    assert!(opens(&*store, &Admission { per_hour: Some(1), ..again.clone() }, 6 * HOUR + 1).await.is_some());
    // One that goes away waits no more.
    end_request(&*store, &again.request, State::Withdrawn, at(6 * HOUR + 2)).await;
    assert_eq!(store.stats(at(0)).await.expect("counts").waiting_for_room, 0);
    store.prune(at(9 * HOUR), 100).await.expect("pruned");
}

pub async fn who_insists_is_let_through_and_counts(store: Arc<dyn Store>) {
    for n in 0..3 {
        assert_eq!(opens(&*store, &asks(&*store, &format!("a-{n}"), &format!("gitops:{n}")).await, n).await, None);
    }
    let waits = asks(&*store, "b", "gitops:b").await;
    assert_eq!(opens(&*store, &waits, 3).await, Some((HOUR, Lack::Automation, 0)));
    assert_eq!(opens(&*store, &Admission { insists: true, ..waits }, 4).await, None);
    let next = asks(&*store, "c", "gitops:c").await;
    assert_eq!(opens(&*store, &next, 5).await, Some((HOUR + 1, Lack::Automation, 0)), "two of four must be over");
    let held = claimed(&*store, "w", &next.request, 6).await;
    let gone = Admission { request: crate::store::support::request_id(), ..next };
    assert!(matches!(store.admit(&held, &gone, at(6)).await, Err(StoreError::NotFound(_))));
}

pub async fn room_is_taken_by_whoever_holds_the_task_alone(store: Arc<dyn Store>) {
    let wanted = Admission { per_hour: Some(2), per_target: None, ..asks(&*store, "a", "gitops:a").await };
    let old = claimed(&*store, "old", &wanted.request, 0).await;
    let new = claimed(&*store, "new", &wanted.request, HELD_FOR).await;
    for old in [&old, &of_another(&new)] {
        let late = store.admit(old, &wanted, at(HELD_FOR)).await;
        assert!(matches!(&late, Err(StoreError::Conflict(why)) if why.contains("the lease") && why.contains("was lost")), "{late:?}");
    }
    assert_eq!(store.admit(&new, &wanted, at(HELD_FOR)).await, Ok(Admitted::Given));
    end_request(&*store, &wanted.request, State::Proposed, at(HELD_FOR)).await;
    // Its pull request is open by now: what it took once more would be another's.
    assert!(matches!(store.admit(&old, &wanted, at(HELD_FOR + 1)).await, Err(StoreError::Conflict(_))));
    let other = Admission { per_hour: Some(2), per_target: None, ..asks(&*store, "b", "gitops:b").await };
    assert_eq!(admit(&*store, &other, HELD_FOR + 2).await, Admitted::Given);
}

pub async fn many_who_ask_at_once_never_get_more_room_than_there_is(store: Arc<dyn Store>) {
    let mut wanted = Vec::new();
    for n in 0..24 {
        let one = Admission { per_hour: Some(7), ..asks(&*store, &format!("a-{n}"), &format!("gitops:{n}")).await };
        wanted.push((claimed(&*store, "w", &one.request, 0).await, one));
    }
    let asking = wanted.into_iter().map(|(held, one)| {
        let store = store.clone();
        tokio::spawn(async move { store.admit(&held, &one, at(1)).await.expect("an answer") })
    });
    let (mut given, mut ahead) = (0, Vec::new());
    for answer in asking.collect::<Vec<_>>() {
        match answer.await.expect("an answer") {
            Admitted::Given => given += 1,
            Admitted::Waits { ahead: before, .. } => ahead.push(before),
        }
    }
    ahead.sort_unstable();
    assert_eq!((given, ahead), (7, (0..17).collect()), "each of the others has a place of its own");
}

/// A change of one file's document: a field from one value to another.
fn changes(file: &str, old: u32, new: u32, first: i64) -> Changes {
    let object =
        json!({ "file": file, "document": 0, "object": null, "action": "changed", "fields": [{ "path": "replicas", "old": old, "new": new }] });
    let evidence = json!({ "kubernetes": "1.33", "schemas": [], "unchecked": [], "templates": {} });
    let first = json!({ "at": at(first), "objects": null });
    serde_json::from_value(json!({ "files": [file], "objects": [object], "cut": false, "evidence": evidence, "first": first })).expect("changes")
}

/// Plans a request so that it changes these files' value.
async fn planned(store: &dyn Store, key: &str, now: i64, changes: Changes) -> RequestId {
    let (_, id) = open_request(store, key, Some("gitops"), at(now)).await;
    let mut request = store.request(&id).await.expect("the request");
    (request.state, request.changes) = (State::Planned, Some(changes));
    let update = RequestUpdate { drop_tasks: true, ..Default::default() };
    store.update_request(&request, &update, at(now)).await.expect("written");
    id
}

async fn move_to(store: &dyn Store, id: &RequestId, state: State, now: i64) {
    let mut request = store.request(id).await.expect("the request");
    request.state = state;
    request.pull = Some(PullRef { number: 7, url: "https://forge.example/7".to_owned() });
    let update = RequestUpdate { drop_tasks: true, ..Default::default() };
    store.update_request(&request, &update, at(now)).await.expect("written");
}

/// What was done to files since a moment: by whom, planned when, ended when, whether merged.
async fn touched(store: &dyn Store, files: &[&str], since: i64, except: &RequestId) -> Vec<(RequestId, Timestamp, Timestamp, bool)> {
    let files: Vec<_> = files.iter().map(|file| parsed(file)).collect();
    let query = TouchQuery { repository: &parsed("gitops"), files: &files, except, since: at(since) };
    let touches = store.touches(&query, 9).await.expect("touches");
    touches.into_iter().map(|touch| (touch.request, touch.planned_at, touch.ended_at, touch.merged)).collect()
}

pub async fn what_requests_did_to_a_file_is_told_with_its_times_once_it_is_over(store: Arc<dyn Store>) {
    let nobody = crate::store::support::request_id();
    let merged = planned(&*store, "a", 0, changes("a.yaml", 6, 9, 0)).await;
    move_to(&*store, &merged, State::Proposed, 10).await;
    assert_eq!(touched(&*store, &["a.yaml"], 0, &nobody).await, [], "what is open has not happened");
    move_to(&*store, &merged, State::Merged, 20).await;
    let withdrawn = planned(&*store, "b", 30, changes("a.yaml", 9, 6, 31)).await;
    for (state, now) in [(State::Proposed, 40), (State::Approved, 41), (State::Withdrawn, 50)] {
        move_to(&*store, &withdrawn, state, now).await;
    }
    // What never had a pull request did nothing.
    let never = planned(&*store, "c", 60, changes("a.yaml", 9, 6, 60)).await;
    end_request(&*store, &never, State::Failed, at(61)).await;
    let other = planned(&*store, "d", 70, changes("b.yaml", 1, 2, 70)).await;
    move_to(&*store, &other, State::Declined, 71).await;
    let all = [(withdrawn.clone(), at(31), at(50), false), (merged.clone(), at(0), at(20), true)];
    assert_eq!(touched(&*store, &["a.yaml"], 0, &nobody).await, all, "the last first");
    assert_eq!(touched(&*store, &["a.yaml"], 50, &nobody).await, all[..1], "by the moment when it ended");
    assert_eq!(touched(&*store, &["a.yaml"], 51, &nobody).await, []);
    assert_eq!(touched(&*store, &["a.yaml"], 0, &withdrawn).await, all[1..]);
    assert_eq!(touched(&*store, &["a.yaml", "b.yaml"], 0, &nobody).await.len(), 3);
    assert_eq!(touched(&*store, &["c.yaml"], 0, &nobody).await, []);
    let query = TouchQuery { repository: &parsed("other"), files: &[parsed("a.yaml")], except: &nobody, since: at(0) };
    assert_eq!(store.touches(&query, 9).await.expect("touches"), [], "of another repository");
    let query = TouchQuery { repository: &parsed("gitops"), ..query };
    let touch = store.touches(&query, 1).await.expect("touches").remove(0);
    assert_eq!((touch.changes, touch.pull.map(|pull| pull.number)), (changes("a.yaml", 9, 6, 31), Some(7)));
    // None of them is in the way of anybody who plans: only the merged one counts, and only since it was merged.
    let rivals = RivalQuery { repository: &parsed("gitops"), files: &[parsed("a.yaml")], except: &nobody, merged_since: Some(at(0)) };
    let rivals = store.rivals(&rivals, 9).await.expect("rivals");
    assert_eq!(rivals.iter().map(|rival| (&rival.request, rival.merged)).collect::<Vec<_>>(), [(&merged, true)]);
    // Asked for again by a person, it begins anew.
    let mut again = store.request(&other).await.expect("the request");
    (again.state, again.pull, again.changes) = (State::Accepted, None, None);
    store.update_request(&again, &RequestUpdate::default(), at(80)).await.expect("written");
    assert_eq!(touched(&*store, &["b.yaml"], 0, &nobody).await, []);
    // It goes with its request.
    store.prune(at(99), 100).await.expect("pruned");
    assert_eq!(touched(&*store, &["a.yaml"], 0, &nobody).await, []);
}
