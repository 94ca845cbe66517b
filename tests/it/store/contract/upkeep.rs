//! Counts and retention.

use crate::store::support::{at, delivery, dispatch, end_request, open_request, opening, parsed, pull, task};
use kubeops::request::{PullRef, RunOutcome, State};
use kubeops::store::{
    Deployment, DeploymentStanding, NewDelivery, PageQuery, Pruned, PullRecord, PullState, Reached, RequestUpdate, Room, RunEnd, Settlement, Signal,
    Stats, Store, StoreError, TaskFilter, TaskKind, TaskState, Verdict,
};
use kubeops::types::{TaskId, Timestamp};
use std::sync::Arc;
use std::time::Duration;

fn of<K: PartialEq + Copy>(counts: &[(K, u64)], wanted: K) -> u64 {
    counts.iter().filter(|(key, _)| *key == wanted).map(|(_, count)| count).sum()
}

async fn stats(store: &dyn Store, now: Timestamp) -> Stats {
    store.stats(now).await.expect("stats")
}

pub async fn an_empty_store_counts_nothing(store: Arc<dyn Store>) {
    let stats = stats(&*store, at(0)).await;
    assert_eq!((stats.pending_deliveries, stats.oldest_pending, stats.oldest_due, stats.dead_tasks), (0, None, None, 0));
    assert!(stats.tasks.iter().all(|(_, count)| *count == 0));
    assert_eq!(stats.requests.iter().filter(|(_, count)| *count == 0).count(), State::ALL.len(), "every state has its number");
}

pub async fn counts_follow_what_happens(store: Arc<dyn Store>) {
    let (_, first) = open_request(&*store, "OPS-1", Some("a"), at(10)).await;
    let (_, second) = open_request(&*store, "OPS-2", Some("a"), at(20)).await;
    let waiting = [NewDelivery { received_at: at(31), ..delivery("x") }, NewDelivery { received_at: at(32), ..delivery("y") }];
    store.append(&waiting).await.expect("written");
    let now = stats(&*store, at(40)).await;
    assert_eq!((now.pending_deliveries, now.oldest_pending), (2, Some(at(31))));
    assert_eq!((of(&now.tasks, TaskKind::Plan), of(&now.tasks, TaskKind::Propose), now.oldest_due), (2, 0, Some(at(10))));
    assert_eq!(of(&now.requests, State::Accepted), 2);
    assert_eq!(now.backlog, [("a".to_owned(), 2)].into());
    assert_eq!(stats(&*store, at(9)).await.oldest_due, None, "nothing is due yet");

    let held = store.claim("w", at(40), Duration::from_secs(9), Room::single(1)).await.expect("a claim").remove(0);
    assert_eq!(of(&stats(&*store, at(40)).await.tasks, TaskKind::Plan), 2, "a held task is still owed");
    let verdict = Verdict::Dead { error: "no".to_owned() };
    store.settle(&held, &Settlement { verdict, ..Default::default() }, at(40)).await.expect("settled");
    end_request(&*store, &second, State::Merged, at(41)).await;
    let now = stats(&*store, at(40)).await;
    assert_eq!((of(&now.tasks, TaskKind::Plan), now.dead_tasks, now.oldest_due), (0, 1, None));
    assert_eq!(now.backlog, [].into(), "a dead letter is no backlog");
    assert_eq!((of(&now.requests, State::Accepted), of(&now.requests, State::Merged)), (1, 1));
    end_request(&*store, &first, State::Failed, at(42)).await;
    store.prune(at(43), 100).await.expect("pruned");
    let now = stats(&*store, at(40)).await;
    assert!(now.requests.iter().all(|(_, count)| *count == 0), "{:?}", now.requests);
}

pub async fn retention_removes_what_is_over_and_old(store: Arc<dyn Store>) {
    let (old, over) = open_request(&*store, "OPS-1", None, at(0)).await;
    end_request(&*store, &over, State::Merged, at(1)).await;
    let (young, fresh) = open_request(&*store, "OPS-2", None, at(100)).await;
    end_request(&*store, &fresh, State::Merged, at(101)).await;
    let failed = delivery("failed");
    let ignored = NewDelivery { handled: false, ..delivery("ignored") };
    store.append(&[failed.clone(), ignored.clone()]).await.expect("written");
    let unreadable = kubeops::store::Dispatch { delivery: Some(failed.id.clone()), error: Some("x".to_owned()), events: vec![] };
    store.dispatch(&[unreadable, dispatch(None, "filed", vec![])], at(2)).await.expect("dispatched");

    let pruned = store.prune(at(50), 100).await.expect("pruned");
    assert_eq!(pruned, Pruned { deliveries: 3, events: 2, requests: 1, words: 0 });
    for gone in [&old, &failed.id, &ignored.id] {
        assert!(matches!(store.delivery(gone).await, Err(StoreError::NotFound(_))));
    }
    assert!(matches!(store.request(&over).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.delivery(&young).await.expect("it is young").id, young);
    assert_eq!(store.timeline(&fresh).await.expect("it is young").len(), 1);
    let events = store.events(&Default::default(), &PageQuery { limit: 9, after: None }).await.expect("events");
    assert_eq!((events.items.len(), &events.items[0].requests[..]), (1, &[fresh][..]));
    assert_eq!(store.prune(at(50), 100).await.expect("nothing is left to do"), Pruned::default());
    // What is forgotten is new when it is told again.
    store.append(&[failed]).await.expect("written");
    assert_eq!(store.pending_deliveries(9).await.expect("pending").len(), 1);
}

pub async fn retention_never_removes_what_a_live_request_needs(store: Arc<dyn Store>) {
    let (opened_by, live) = open_request(&*store, "OPS-1", None, at(0)).await;
    let (joined_by, same) = open_request(&*store, "OPS-1", None, at(1)).await;
    assert_eq!(live, same);
    let filed = dispatch(None, "filed", vec![opening("OPS-2", None)]);
    store.dispatch(std::slice::from_ref(&filed), at(2)).await.expect("dispatched");
    assert_eq!(store.prune(at(1000), 100).await.expect("pruned"), Pruned::default());
    for kept in [&opened_by, &joined_by] {
        store.delivery(kept).await.expect("a live request was opened by it");
    }
    store.event(&filed.events[0].event.id).await.expect("a live request was opened by it");
    end_request(&*store, &live, State::Withdrawn, at(3)).await;
    let pruned = store.prune(at(1000), 100).await.expect("pruned");
    assert_eq!(pruned, Pruned { deliveries: 2, events: 2, requests: 1, words: 0 });
}

pub async fn retention_keeps_what_is_still_to_be_dispatched_and_dead_letters(store: Arc<dyn Store>) {
    let waiting = delivery("waiting");
    store.append(std::slice::from_ref(&waiting)).await.expect("written");
    let (_, failed) = open_request(&*store, "OPS-1", None, at(0)).await;
    let held = store.claim("w", at(0), Duration::from_secs(9), Room::single(1)).await.expect("a claim").remove(0);
    let mut request = held.request.clone();
    request.state = State::Failed;
    let verdict = Verdict::Dead { error: "no".to_owned() };
    store.settle(&held, &Settlement { request: Some(request), verdict, ..Default::default() }, at(1)).await.expect("settled");
    let pruned = store.prune(at(1000), 100).await.expect("pruned");
    assert_eq!(pruned, Pruned { deliveries: 1, events: 1, requests: 0, words: 0 });
    assert_eq!(store.pending_deliveries(9).await.expect("pending")[0].id, waiting.id);
    let dead = store.tasks(&TaskFilter { state: Some(TaskState::Dead), request: None }, 9).await.expect("tasks");
    assert_eq!(dead[0].request, failed);
    let update = RequestUpdate { drop_tasks: true, ..Default::default() };
    store.update_request(&store.request(&failed).await.expect("kept"), &update, at(2)).await.expect("given up");
    assert_eq!(store.prune(at(1000), 100).await.expect("pruned").requests, 1);
}

pub async fn retention_works_in_slices(store: Arc<dyn Store>) {
    let batch: Vec<NewDelivery> = (0..25).map(|n| NewDelivery { handled: n == 3, received_at: at(n), ..delivery(&n.to_string()) }).collect();
    store.append(&batch).await.expect("written");
    let mut slices = Vec::new();
    loop {
        let pruned = store.prune(at(20), 6).await.expect("pruned");
        if pruned == Pruned::default() {
            break;
        }
        slices.push(pruned.deliveries);
    }
    assert_eq!(slices, [6, 6, 6, 1], "all that are old but the one that waits");
}

/// Deliveries received at these seconds that nobody handles.
async fn ignored(store: &dyn Store, seconds: std::ops::Range<i64>) {
    let batch: Vec<NewDelivery> = seconds.map(|n| NewDelivery { handled: false, received_at: at(n), ..delivery(&format!("ignored {n}")) }).collect();
    store.append(&batch).await.expect("written");
}

pub async fn what_is_kept_is_looked_through_once_a_pass(store: Arc<dyn Store>) {
    let (_, live) = open_request(&*store, "OPS-1", None, at(0)).await;
    for n in 1..5 {
        open_request(&*store, "OPS-1", None, at(n)).await;
    }
    ignored(&*store, 10..19).await;
    let (pruned, mut reached) = store.prune_from(at(1000), Reached::default(), 3).await.expect("pruned");
    assert_eq!(pruned.deliveries, 3);
    // From now on they could be removed; this pass has seen them.
    end_request(&*store, &live, State::Withdrawn, at(2000)).await;
    let mut slices = Vec::new();
    loop {
        let (pruned, next) = store.prune_from(at(1000), reached, 3).await.expect("pruned");
        if pruned == Pruned::default() && next == reached {
            break;
        }
        slices.push(pruned.deliveries);
        reached = next;
    }
    assert_eq!(slices.iter().sum::<u64>(), 6, "{slices:?}");
    assert_eq!(store.prune(at(1000), 100).await.expect("pruned").deliveries, 5, "the next one removes them");
}

pub async fn a_slice_looks_at_no_more_than_takes_a_moment(store: Arc<dyn Store>) {
    for n in 0..30 {
        open_request(&*store, "OPS-1", None, at(n)).await;
    }
    ignored(&*store, 40..42).await;
    let (mut reached, mut slices) = (Reached::default(), Vec::new());
    loop {
        let (pruned, next) = store.prune_from(at(1000), reached, 3).await.expect("pruned");
        if pruned == Pruned::default() && next == reached {
            break;
        }
        slices.push(pruned.deliveries);
        reached = next;
    }
    assert_eq!(slices, [0, 0, 2], "twelve that are kept, twelve more, and the rest");
    ignored(&*store, 50..51).await;
    assert_eq!(store.prune(at(1000), 3).await.expect("pruned").deliveries, 1, "without a pass to go on with it looks until it finds something");
}

pub async fn a_pull_request_that_is_over_goes_with_the_last_request_that_had_it(store: Arc<dyn Store>) {
    // Merged, its number another request's before; still open; of a request that is young; the newest.
    for (n, state) in [PullState::Merged, PullState::Open, PullState::Closed, PullState::Merged].into_iter().enumerate() {
        let number = store.insert_pull(&pull("gitops", &format!("kubeops/{n}"))).await.expect("inserted");
        let record = store.pull(&parsed("gitops"), number).await.expect("an answer").expect("the record");
        store.update_pull(&PullRecord { state, ..record }).await.expect("updated");
        let (_, id) = open_request(&*store, &format!("OPS-{n}"), Some("gitops"), at(0)).await;
        let mut request = store.request(&id).await.expect("the request");
        (request.repository, request.state) = (Some(parsed("gitops")), State::Merged);
        request.pull = Some(PullRef { number, url: "u".to_owned() });
        let update = RequestUpdate { drop_tasks: true, ..Default::default() };
        store.update_request(&request, &update, at(if n == 2 { 100 } else { 1 })).await.expect("ended");
    }
    let (_, again) = open_request(&*store, "OPS-9", Some("gitops"), at(0)).await;
    let mut request = store.request(&again).await.expect("the request");
    (request.repository, request.former_pull) = (Some(parsed("gitops")), Some(1));
    store.update_request(&request, &RequestUpdate::default(), at(1)).await.expect("written");
    // The same number elsewhere is another's.
    store.insert_pull(&pull("other", "kubeops/0")).await.expect("inserted");
    let numbers = async || {
        let page = store.pulls(&Default::default(), &PageQuery { limit: 9, after: None }).await.expect("a page");
        page.items.iter().map(|pull| (pull.repository.to_string(), pull.number)).collect::<Vec<_>>()
    };
    let of = |numbers: &[u64]| {
        let gitops = numbers.iter().map(|number| ("gitops".to_owned(), *number));
        [("other".to_owned(), 1)].into_iter().chain(gitops).collect::<Vec<_>>()
    };
    assert_eq!(store.prune(at(50), 100).await.expect("pruned").requests, 3);
    assert_eq!(numbers().await, of(&[4, 3, 2, 1]));
    end_request(&*store, &again, State::Withdrawn, at(2)).await;
    assert_eq!(store.prune(at(50), 100).await.expect("pruned").requests, 1);
    assert_eq!(numbers().await, of(&[4, 3, 2]), "nobody has the first any more");
    assert_eq!(store.prune(at(200), 100).await.expect("pruned").requests, 1);
    assert_eq!(numbers().await, of(&[4, 2]));
    assert_eq!(store.insert_pull(&pull("gitops", "kubeops/5")).await.expect("inserted"), 5);
}

pub async fn what_was_said_goes_in_slices_too(store: Arc<dyn Store>) {
    for number in 0..5 {
        let taken_back = Signal::TakenBack {
            automation: parsed("namespace-request"),
            correlation: format!("OPS-{number}"),
            reason: "it resolved".to_owned(),
            task: TaskId::from_parts(at(1), 1),
        };
        let deployed = Signal::Deployed(Deployment {
            repository: parsed("gitops"),
            application: format!("web-{number}"),
            cluster: None,
            paths: Vec::new(),
            named: false,
            revision: parsed(&"a".repeat(40)),
            standing: DeploymentStanding::Applied,
            message: None,
            at: at(number),
        });
        let ran = Signal::Ran(RunEnd {
            group: None,
            kind: "Job".to_owned(),
            namespace: None,
            name: format!("backup-{number}"),
            cluster: None,
            outcome: RunOutcome::Succeeded,
            message: None,
            at: at(number),
        });
        let mut told = dispatch(None, &format!("said {number}"), Vec::new());
        told.events[0].signals = vec![taken_back, deployed, ran];
        // The last one is young.
        store.dispatch(&[told], at(if number == 4 { 100 } else { number })).await.expect("dispatched");
    }
    let mut slices = Vec::new();
    loop {
        let pruned = store.prune(at(50), 3).await.expect("pruned");
        if pruned == Pruned::default() {
            break;
        }
        slices.push(pruned.words);
    }
    assert_eq!(slices, [9, 3], "three of each kind, and then the fourth");
    let kept = store.deployments(&parsed("gitops"), at(0), 9).await.expect("an answer");
    assert_eq!(kept.iter().map(|word| word.application.as_str()).collect::<Vec<_>>(), ["web-4"]);
}

pub async fn a_check_writes(store: Arc<dyn Store>) {
    store.check().await.expect("the store takes a write");
}

pub async fn what_waits_for_its_hour_is_no_backlog_and_keeps_its_request(store: Arc<dyn Store>) {
    let (_, merged) = open_request(&*store, "OPS-1", Some("gitops"), at(0)).await;
    end_request(&*store, &merged, State::Merged, at(1)).await;
    store.add_tasks(&[task(&merged, TaskKind::Clock, "gitops/pulls", at(5_000_000))]).await.expect("added");
    let now = stats(&*store, at(100)).await;
    assert_eq!((of(&now.tasks, TaskKind::Clock), now.backlog.len(), now.oldest_due), (0, 0, None), "for months it is nobody's work");
    assert_eq!(store.next_due("worker", Room::single(1)).await.expect("a moment"), Some(at(5_000_000)));
    let pruned = store.prune(at(4_000_000), 100).await.expect("pruned");
    assert_eq!(pruned.requests, 0, "its clock runs");
    store.request(&merged).await.expect("kept");
    let now = stats(&*store, at(5_000_001)).await;
    assert_eq!((of(&now.tasks, TaskKind::Clock), now.backlog.len(), now.oldest_due), (1, 1, Some(at(5_000_000))), "now it is due");
}
