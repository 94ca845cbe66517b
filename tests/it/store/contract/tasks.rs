//! The queue: leases, fences, lanes.

use crate::store::support::{at, of_another, open_request, open_request_from, open_request_of, parsed, task};
use kubeops::request::{State, TimelineEntry};
use kubeops::store::{
    ClaimedTask, Claimer, FormerHolder, RequestUpdate, Room, Settlement, Store, StoreError, TaskFilter, TaskKind, TaskState, Verdict,
};
use kubeops::types::{RequestId, Timestamp};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(30);

async fn claim(store: &dyn Store, now: Timestamp, limit: u32) -> Vec<ClaimedTask> {
    store.claim("worker", now, LEASE, Room::single(limit)).await.expect("a claim")
}

fn verdict(verdict: Verdict) -> Settlement {
    Settlement { verdict, ..Default::default() }
}

fn requests(claimed: &[ClaimedTask]) -> Vec<RequestId> {
    claimed.iter().map(|claimed| claimed.request.id.clone()).collect()
}

async fn opened(store: &dyn Store, lane: Option<&str>, seconds: i64) -> RequestId {
    let (_, id) = open_request(store, &format!("key-{seconds}-{lane:?}"), lane, at(seconds)).await;
    id
}

async fn add(store: &dyn Store, request: &RequestId, kind: TaskKind, lane: &str, run_at: Timestamp) {
    let read = store.request(request).await.expect("the request");
    let update = RequestUpdate { tasks: vec![task(request, kind, lane, run_at)], ..Default::default() };
    store.update_request(&read, &update, at(0)).await.expect("the task is added");
}

pub async fn claims_take_the_oldest_of_each_lane(store: Arc<dyn Store>) {
    let late = opened(&*store, Some("b"), 2).await;
    let first = opened(&*store, Some("a"), 0).await;
    let second = opened(&*store, Some("a"), 1).await;
    let third = opened(&*store, Some("b"), 3).await;
    let claimed = claim(&*store, at(9), 10).await;
    assert_eq!(requests(&claimed), [first.clone(), late.clone()]);
    let (a, b) = (&claimed[0], &claimed[1]);
    assert_eq!((a.task.state, a.task.attempts, a.fence, a.owner.as_str()), (TaskState::Leased, 1, 1, "worker"));
    assert_eq!(a.request, store.request(&first).await.expect("the request"));
    assert!(claim(&*store, at(9), 10).await.is_empty(), "both lanes are held");
    store.settle(a, &verdict(Verdict::Done), at(9)).await.expect("done");
    assert_eq!(requests(&claim(&*store, at(9), 10).await), [second]);
    store.settle(b, &verdict(Verdict::Done), at(9)).await.expect("done");
    assert_eq!(requests(&claim(&*store, at(9), 10).await), [third]);
}

pub async fn tasks_of_a_lane_are_claimed_together_as_far_as_there_is_room(store: Arc<dyn Store>) {
    let mut wanted = Vec::new();
    for n in 0..5 {
        wanted.push(opened(&*store, Some("a"), n).await);
    }
    let late = opened(&*store, Some("a"), 99).await;
    let other = opened(&*store, Some("b"), 6).await;
    opened(&*store, Some("c"), 7).await;
    // A second task of a request that is claimed already.
    add(&*store, &wanted[1], TaskKind::Withdraw, "a", at(1)).await;
    let room = Room::of(2, 4);
    let claimed = store.claim("worker", at(9), LEASE, room).await.expect("a claim");
    assert_eq!(requests(&claimed), [&wanted[..4], std::slice::from_ref(&other)].concat(), "the oldest of two lanes, those of a lane together");
    assert!(claimed.iter().all(|claimed| claimed.fence == 1));
    // The lane is held until the last of them is settled.
    let (last, rest) = claimed.split_at(3);
    let done = verdict(Verdict::Done);
    let settled: Vec<_> = last.iter().map(|claimed| (claimed, &done)).collect();
    assert_eq!(store.settle_all(&settled, at(9)).await.expect("settled"), [Ok(()), Ok(()), Ok(())]);
    assert!(!requests(&store.claim("worker", at(9), LEASE, room).await.expect("a claim")).contains(&wanted[4]), "the lane is held");
    store.settle(&rest[0], &done, at(9)).await.expect("settled");
    let next = store.claim("worker", at(9), LEASE, room).await.expect("a claim");
    assert_eq!(requests(&next), [wanted[1].clone(), wanted[4].clone()]);
    assert!(!requests(&next).contains(&late), "it is not due");
}

pub async fn a_task_begun_twice_in_vain_is_claimed_alone(store: Arc<dyn Store>) {
    let first = opened(&*store, Some("a"), 0).await;
    let second = opened(&*store, Some("a"), 1).await;
    let room = Room::of(1, 9);
    for round in 0..2 {
        let both = store.claim("worker", at(9 + round), LEASE, room).await.expect("a claim");
        assert_eq!(requests(&both), [first.clone(), second.clone()], "round {round}");
        assert_eq!(store.take_back("worker").await.expect("taken back"), 2);
    }
    let alone = store.claim("worker", at(20), LEASE, room).await.expect("a claim");
    assert_eq!(requests(&alone), [first]);
    store.settle(&alone[0], &verdict(Verdict::Done), at(20)).await.expect("done");
    // Those that begin do not take it along either.
    let fresh = opened(&*store, Some("a"), -1).await;
    assert_eq!(requests(&store.claim("worker", at(21), LEASE, room).await.expect("a claim")), [fresh]);
    store.release("worker").await.expect("released");
}

pub async fn settling_many_harms_none_for_another(store: Arc<dyn Store>) {
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(opened(&*store, Some("a"), n).await);
    }
    let claimed = store.claim("worker", at(9), LEASE, Room::of(1, 9)).await.expect("a claim");
    let mut cancelled = claimed[1].request.clone();
    cancelled.state = State::Withdrawn;
    store.update_request(&cancelled, &RequestUpdate::default(), at(9)).await.expect("cancelled meanwhile");
    let settlements: Vec<Settlement> = claimed
        .iter()
        .map(|claimed| {
            let mut request = claimed.request.clone();
            request.state = State::Planned;
            let entry = TimelineEntry { at: at(9), from: None, to: State::Planned, message: "planned".to_owned(), actor: "kubeops".to_owned() };
            let follow_up = vec![task(&request.id, TaskKind::Propose, "a", at(9))];
            Settlement { request: Some(request), timeline: vec![entry], follow_up, ..Default::default() }
        })
        .collect();
    let together: Vec<_> = claimed.iter().zip(&settlements).collect();
    let outcomes = store.settle_all(&together, at(9)).await.expect("settled");
    assert!(matches!(&outcomes[..], [Ok(()), Err(StoreError::Conflict(_)), Ok(())]), "{outcomes:?}");
    for (id, state, entries) in [(&ids[0], State::Planned, 2), (&ids[1], State::Withdrawn, 1), (&ids[2], State::Planned, 2)] {
        assert_eq!(store.request(id).await.expect("the request").state, state);
        assert_eq!(store.timeline(id).await.expect("the timeline").len(), entries);
    }
    let tasks = store.tasks(&TaskFilter { request: Some(ids[1].clone()), state: None }, 9).await.expect("tasks");
    assert_eq!((tasks.len(), tasks[0].kind, tasks[0].state), (1, TaskKind::Plan, TaskState::Leased), "nothing of it was written");
}

pub async fn leases_are_extended_all_or_none(store: Arc<dyn Store>) {
    for n in 0..2 {
        opened(&*store, Some("a"), n).await;
    }
    let claimed = store.claim("worker", at(9), LEASE, Room::of(1, 9)).await.expect("a claim");
    store.extend_leases(&[&claimed[0], &claimed[1]], at(100)).await.expect("extended");
    store.settle(&claimed[1], &verdict(Verdict::Done), at(10)).await.expect("done");
    let refused = store.extend_leases(&[&claimed[0], &claimed[1]], at(200)).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(store.next_due("worker", Room::single(1)).await.expect("due"), Some(at(100)), "the other lease is as it was");
}

pub async fn tasks_are_added_without_touching_the_request(store: Arc<dyn Store>) {
    let id = opened(&*store, Some("a"), 0).await;
    let before = store.request(&id).await.expect("the request");
    let gone = kubeops::types::RequestId::from_parts(at(0), u128::MAX);
    let added = [task(&id, TaskKind::Replan, "a", at(5)), task(&gone, TaskKind::Replan, "a", at(5)), task(&id, TaskKind::Replan, "a", at(3))];
    store.add_tasks(&added).await.expect("added");
    assert_eq!(store.request(&id).await.expect("the request"), before);
    let tasks = store.tasks(&TaskFilter { request: Some(id), state: None }, 9).await.expect("tasks");
    let seen: Vec<_> = tasks.iter().map(|task| (task.kind, task.run_at)).collect();
    assert_eq!(seen, [(TaskKind::Replan, at(3)), (TaskKind::Plan, at(0))], "one of a kind, at the earlier time");
}

pub async fn what_is_hurried_is_noted_and_disturbs_nobody_at_work(store: Arc<dyn Store>) {
    let id = opened(&*store, Some("a"), 0).await;
    let claimed = claim(&*store, at(9), 1).await;
    add(&*store, &id, TaskKind::Tell, "b/feedback", at(500)).await;
    let before = store.request(&id).await.expect("the request");
    let entry = TimelineEntry {
        at: at(10),
        from: Some(before.state),
        to: before.state,
        message: "asked for in person: it waits no longer".to_owned(),
        actor: "ada".to_owned(),
    };
    store.add_tasks_noted(&id, &[task(&id, TaskKind::Tell, "b/feedback", at(10))], &entry).await.expect("hurried");
    assert_eq!(store.request(&id).await.expect("the request"), before);
    assert_eq!(store.timeline(&id).await.expect("a timeline").last(), Some(&entry));
    let tasks = store.tasks(&TaskFilter { request: Some(id.clone()), state: None }, 9).await.expect("tasks");
    let seen: Vec<_> = tasks.iter().map(|task| (task.kind, task.state, task.run_at)).collect();
    assert_eq!(seen, [(TaskKind::Tell, TaskState::Waiting, at(10)), (TaskKind::Plan, TaskState::Leased, at(0))]);
    let changed = Settlement { request: Some(before), ..Default::default() };
    store.settle(&claimed[0], &changed, at(11)).await.expect("who was at work comes to the end of it");
    let gone = RequestId::from_parts(at(0), u128::MAX);
    assert!(matches!(store.add_tasks_noted(&gone, &[], &entry).await, Err(StoreError::NotFound(_))));
}

pub async fn tasks_without_a_lane_do_not_wait_for_one_another(store: Arc<dyn Store>) {
    let mut wanted = Vec::new();
    for n in 0..5 {
        wanted.push(opened(&*store, None, n).await);
    }
    assert_eq!(requests(&claim(&*store, at(9), 2).await), wanted[..2]);
    assert_eq!(requests(&claim(&*store, at(9), 10).await), wanted[2..]);
    assert!(claim(&*store, at(9), 0).await.is_empty());
}

pub async fn a_task_that_is_not_due_is_not_claimed(store: Arc<dyn Store>) {
    let early = opened(&*store, None, 10).await;
    let lane = opened(&*store, Some("a"), 10).await;
    assert!(claim(&*store, at(9), 10).await.is_empty());
    assert_eq!(requests(&claim(&*store, at(10), 10).await), [early, lane]);
}

pub async fn a_lease_that_ran_out_is_free_again_and_the_old_fence_is_refused(store: Arc<dyn Store>) {
    let id = opened(&*store, Some("a"), 0).await;
    let old = claim(&*store, at(0), 1).await.remove(0);
    assert!(claim(&*store, at(29), 1).await.is_empty());
    let new = store.claim("other", at(30), LEASE, Room::single(1)).await.expect("a claim").remove(0);
    assert_eq!((new.request.id.clone(), new.task.attempts, &new.task.id), (id.clone(), 2, &old.task.id));
    assert!(new.fence > old.fence);
    let mut late = verdict(Verdict::Done);
    late.request = Some(old.request.clone());
    late.timeline = vec![TimelineEntry { at: at(31), from: None, to: State::Failed, message: "late".to_owned(), actor: "worker".to_owned() }];
    assert!(matches!(store.settle(&old, &late, at(31)).await, Err(StoreError::Conflict(_))));
    assert!(matches!(store.extend_leases(&[&old], at(99)).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.request(&id).await.expect("the request").version, 1);
    assert_eq!(store.timeline(&id).await.expect("the timeline").len(), 1);
    store.settle(&new, &verdict(Verdict::Done), at(31)).await.expect("the new holder settles");
    assert!(matches!(store.settle(&new, &verdict(Verdict::Done), at(31)).await, Err(StoreError::Conflict(_))), "done is done");
}

pub async fn a_lost_lease_is_taken_over_before_the_rest_of_its_lane(store: Arc<dyn Store>) {
    let held = opened(&*store, Some("a"), 5).await;
    let old = claim(&*store, at(5), 1).await.remove(0);
    // Due before the one that is held, but it came later.
    opened(&*store, Some("a"), 1).await;
    let taken = claim(&*store, at(60), 10).await;
    assert_eq!(requests(&taken), [held]);
    let former = FormerHolder { owner: old.owner.clone(), lease_until: at(35) };
    assert_eq!((&old.taken_over, &taken[0].taken_over), (&None, &Some(former)));
    assert!(matches!(store.settle(&old, &verdict(Verdict::Done), at(60)).await, Err(StoreError::Conflict(_))));
}

pub async fn a_lease_of_what_is_in_hand_is_not_lost_whatever_the_clock_shows(store: Arc<dyn Store>) {
    let id = opened(&*store, Some("a"), 0).await;
    let held = claim(&*store, at(0), 1).await.remove(0);
    let behind = opened(&*store, Some("a"), 1).await;
    let in_hand = [(held.task.id.clone(), held.fence)];
    let mine = Claimer { in_hand: &in_hand, ..Claimer::of("worker") };
    let take = async |claimer| store.claim_as(claimer, at(4000), LEASE, Room::of(9, 9)).await.expect("a claim");
    assert!(take(mine).await.is_empty(), "neither it nor what waits behind it");
    assert_eq!(store.next_due_as(mine, Room::single(1)).await.expect("an answer"), None);
    assert_eq!(store.next_due("worker", Room::single(1)).await.expect("an answer"), Some(at(30)));
    store.extend_leases(&[&held], at(4030)).await.expect("it has it still");
    // Under another fence it is another's matter, and a claim by an older one of the same name.
    store.extend_leases(&[&held], at(3000)).await.expect("it has it still");
    let before = [(held.task.id.clone(), held.fence - 1)];
    let taken = take(Claimer { in_hand: &before, ..mine }).await;
    assert_eq!(requests(&taken), [id, behind]);
    assert!(taken[0].taken_over.is_some());
}

pub async fn what_others_hold_is_left_to_them_while_the_clock_is_not_believed(store: Arc<dyn Store>) {
    let id = opened(&*store, Some("a"), 0).await;
    let theirs = claim(&*store, at(0), 1).await.remove(0);
    opened(&*store, Some("a"), 1).await;
    let elsewhere = opened(&*store, Some("b"), 2).await;
    let own = opened(&*store, Some("c"), 3).await;
    assert_eq!(requests(&store.claim("other", at(3), LEASE, Room::single(1)).await.expect("a claim")), std::slice::from_ref(&elsewhere));
    let doubts = Claimer { takes_over: false, ..Claimer::of("other") };
    let take = async |claimer| store.claim_as(claimer, at(4000), LEASE, Room::single(9)).await.expect("a claim");
    assert_eq!(store.next_due_as(doubts, Room::single(1)).await.expect("an answer"), Some(at(3)));
    assert_eq!(requests(&take(doubts).await), [elsewhere, own], "what waits in a free lane, and what it once held itself");
    assert_eq!(store.next_due_as(doubts, Room::single(1)).await.expect("an answer"), Some(at(4030)));
    store.extend_leases(&[&theirs], at(4030)).await.expect("it has it still");
    assert!(store.claim_as(doubts, at(9000), LEASE, Room::single(9)).await.expect("a claim").iter().all(|held| held.request.id != id));
    let taken = store.claim("third", at(9000), LEASE, Room::single(9)).await.expect("a claim");
    assert!(requests(&taken).contains(&id), "then it is lost");
}

pub async fn an_extended_lease_holds(store: Arc<dyn Store>) {
    opened(&*store, None, 0).await;
    let held = claim(&*store, at(0), 1).await.remove(0);
    store.extend_leases(&[&held], at(100)).await.expect("extended");
    assert!(claim(&*store, at(99), 1).await.is_empty());
    assert_eq!(claim(&*store, at(100), 1).await.len(), 1);
}

pub async fn when_the_clock_is_set_back_pauses_and_leases_last_no_longer_than_they_would_have(store: Arc<dyn Store>) {
    let hour = Duration::from_secs(3600);
    let held = opened(&*store, Some("a"), 4000).await;
    let id = opened(&*store, Some("b"), 4000).await;
    assert!(store.newest_moment().await.expect("a moment").is_some());
    let claimed = store.claim("me", at(4000), LEASE, Room::single(1)).await.expect("a claim");
    assert_eq!(requests(&claimed), [held]);
    // A moment on the wall, a day ahead.
    add(&*store, &id, TaskKind::Clock, "b", at(90_000)).await;
    assert!(store.set_back(hour, Duration::ZERO, LEASE, at(400)).await.expect("an answer"), "it is followed");
    let run_at = |kind| {
        let (store, id) = (Arc::clone(&store), id.clone());
        async move {
            let tasks = store.tasks(&TaskFilter { request: Some(id), state: None }, 9).await.expect("tasks");
            tasks.into_iter().find(|task| task.kind == kind).map(|task| task.run_at)
        }
    };
    assert_eq!((run_at(TaskKind::Plan).await, run_at(TaskKind::Clock).await), (Some(at(400)), Some(at(90_000))));
    assert_eq!(claim(&*store, at(400), 1).await.len(), 1, "what was due is due");
    assert!(claim(&*store, at(429), 9).await.is_empty(), "who holds a lease holds it");
    assert_eq!(claim(&*store, at(430), 9).await.len(), 2, "and no longer than ever");
}

pub async fn a_clock_that_many_see_set_back_is_followed_once(store: Arc<dyn Store>) {
    let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
    let id = opened(&*store, Some("a"), 9000).await;
    let back = async || store.clock().await.expect("an answer").back;
    let run_at = async || store.tasks(&TaskFilter { request: Some(id.clone()), state: None }, 9).await.expect("tasks")[0].run_at;
    assert_eq!((back().await, run_at().await), (Duration::ZERO, at(9000)));
    let followed = futures_util::future::join_all((0..8).map(|_| store.set_back(hour, Duration::ZERO, LEASE, at(400)))).await;
    assert_eq!(followed.into_iter().filter(|followed| *followed == Ok(true)).count(), 1);
    assert_eq!((back().await, run_at().await), (hour, at(5400)));
    // What was written before is no sign any more of what the clock should show; what is written after it is.
    assert_eq!(store.newest_moment().await.expect("an answer"), None);
    open_request(&*store, "later", None, at(500)).await;
    assert_eq!(store.newest_moment().await.expect("an answer"), Some(at(500)));
    assert!(!store.set_back(minute, Duration::ZERO, LEASE, at(440)).await.expect("an answer"), "it does not know of the hour");
    assert!(store.set_back(minute, hour, LEASE, at(440)).await.expect("an answer"));
    assert_eq!((back().await, run_at().await), (hour + minute, at(5340)));
}

pub async fn a_task_that_another_holds_under_the_same_fence_is_that_one_s(store: Arc<dyn Store>) {
    let id = opened(&*store, None, 0).await;
    let held = store.claim("new", at(0), LEASE, Room::single(1)).await.expect("a claim").remove(0);
    let lost = of_another(&held);
    assert!(matches!(store.extend_leases(&[&lost], at(99)).await, Err(StoreError::Conflict(_))));
    assert!(matches!(store.settle(&lost, &verdict(Verdict::Done), at(1)).await, Err(StoreError::Conflict(_))));
    assert!(claim(&*store, at(29), 1).await.is_empty());
    assert_eq!(claim(&*store, at(30), 1).await.len(), 1, "its lease was not made to last");
    assert_eq!(store.tasks(&TaskFilter { request: Some(id), state: None }, 9).await.expect("tasks").len(), 1);
}

pub async fn what_is_in_hand_under_a_fence_that_was_lost_is_not_given_to_its_holder_again(store: Arc<dyn Store>) {
    let lost = opened(&*store, Some("a"), 0).await;
    let next = opened(&*store, Some("b"), 1).await;
    let task = store.tasks(&TaskFilter { request: Some(lost.clone()), state: None }, 9).await.expect("tasks").remove(0).id;
    // It is at work on it, and the database knows nothing of that.
    let in_hand = [(task.clone(), 1)];
    let claimer = Claimer { in_hand: &in_hand, ..Claimer::of("worker") };
    assert_eq!(requests(&store.claim_as(claimer, at(9), LEASE, Room::single(9)).await.expect("a claim")), [next]);
    // What it settled a moment ago, and has not let go of, is another matter.
    let in_hand = [(task, 0)];
    let claimer = Claimer { in_hand: &in_hand, ..Claimer::of("worker") };
    assert_eq!(requests(&store.claim_as(claimer, at(9), LEASE, Room::single(9)).await.expect("a claim")), [lost]);
}

pub async fn settling_writes_request_timeline_and_follow_up_together(store: Arc<dyn Store>) {
    let id = opened(&*store, None, 0).await;
    let held = claim(&*store, at(0), 1).await.remove(0);
    let mut request = held.request.clone();
    request.state = State::Planned;
    request.repository = Some(parsed("gitops"));
    let entry =
        TimelineEntry { at: at(1), from: Some(State::Accepted), to: State::Planned, message: "planned".to_owned(), actor: "kubeops".to_owned() };
    let settlement = Settlement {
        request: Some(request.clone()),
        timeline: vec![entry.clone()],
        follow_up: vec![task(&id, TaskKind::Propose, "gitops", at(1))],
        ..Default::default()
    };
    store.settle(&held, &settlement, at(1)).await.expect("settled");
    request.version = 2;
    request.updated_at = at(1);
    assert_eq!(store.request(&id).await.expect("the request"), request);
    assert_eq!(store.timeline(&id).await.expect("the timeline")[1], entry);
    let next = claim(&*store, at(1), 9).await;
    assert_eq!((next.len(), next[0].task.kind, next[0].task.attempts, next[0].task.lane.as_str()), (1, TaskKind::Propose, 1, "gitops"));
    assert_eq!(next[0].request, request);
}

pub async fn a_settlement_on_a_stale_request_writes_nothing(store: Arc<dyn Store>) {
    let id = opened(&*store, None, 0).await;
    let held = claim(&*store, at(0), 1).await.remove(0);
    let mut cancelled = held.request.clone();
    cancelled.state = State::Withdrawn;
    store.update_request(&cancelled, &RequestUpdate::default(), at(1)).await.expect("cancelled meanwhile");
    let mut settlement = verdict(Verdict::Done);
    settlement.request = Some(held.request.clone());
    settlement.follow_up = vec![task(&id, TaskKind::Propose, "", at(1))];
    assert!(matches!(store.settle(&held, &settlement, at(1)).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.request(&id).await.expect("the request").state, State::Withdrawn);
    let tasks = store.tasks(&TaskFilter::default(), 9).await.expect("tasks");
    assert_eq!((tasks.len(), tasks[0].state), (1, TaskState::Leased), "the holder still has it and may settle anew");
    store.settle(&held, &verdict(Verdict::Done), at(1)).await.expect("settled without the request");
}

pub async fn a_retry_waits_and_keeps_its_error(store: Arc<dyn Store>) {
    opened(&*store, Some("a"), 0).await;
    let held = claim(&*store, at(0), 1).await.remove(0);
    store.settle(&held, &verdict(Verdict::Retry { run_at: at(50), error: "the forge is away".to_owned() }), at(1)).await.expect("settled");
    let tasks = store.tasks(&TaskFilter { state: Some(TaskState::Waiting), request: None }, 9).await.expect("tasks");
    assert_eq!((tasks[0].attempts, tasks[0].last_error.as_deref(), tasks[0].run_at), (1, Some("the forge is away"), at(50)));
    assert!(claim(&*store, at(49), 1).await.is_empty());
    let again = claim(&*store, at(50), 1).await.remove(0);
    assert_eq!((again.task.attempts, again.task.last_error.as_deref()), (2, Some("the forge is away")));
    assert!(again.fence > held.fence);
}

pub async fn a_dead_letter_is_kept_listed_and_never_claimed(store: Arc<dyn Store>) {
    let id = opened(&*store, Some("a"), 0).await;
    let next = opened(&*store, Some("a"), 1).await;
    let held = claim(&*store, at(1), 1).await.remove(0);
    store.settle(&held, &verdict(Verdict::Dead { error: "no permission".to_owned() }), at(1)).await.expect("settled");
    let dead = store.tasks(&TaskFilter { state: Some(TaskState::Dead), request: None }, 9).await.expect("tasks");
    assert_eq!((dead.len(), &dead[0].request, dead[0].last_error.as_deref()), (1, &id, Some("no permission")));
    assert_eq!(requests(&claim(&*store, at(999), 9).await), [next], "the lane goes on");
    assert_eq!(store.stats(at(999)).await.expect("stats").dead_tasks, 1);
    let update = RequestUpdate { drop_tasks: true, tasks: vec![task(&id, TaskKind::Plan, "", at(2))], ..Default::default() };
    store.update_request(&store.request(&id).await.expect("the request"), &update, at(2)).await.expect("retried");
    assert_eq!(requests(&claim(&*store, at(2), 9).await), [id]);
}

pub async fn a_task_that_is_postponed_waits_and_its_attempt_does_not_count(store: Arc<dyn Store>) {
    opened(&*store, Some("a"), 0).await;
    for round in 0..3 {
        let held = claim(&*store, at(round * 60), 1).await.remove(0);
        assert_eq!(held.task.attempts, 1, "round {round}");
        let later = Verdict::Postponed { run_at: at((round + 1) * 60), reason: "GitHub asks to wait".to_owned() };
        store.settle(&held, &verdict(later), at(round * 60 + 1)).await.expect("settled");
        assert!(claim(&*store, at(round * 60 + 59), 1).await.is_empty(), "it waits");
        let tasks = store.tasks(&TaskFilter::default(), 9).await.expect("tasks");
        assert_eq!((tasks[0].state, tasks[0].attempts, tasks[0].last_error.as_deref()), (TaskState::Waiting, 0, Some("GitHub asks to wait")));
    }
    let held = claim(&*store, at(180), 1).await.remove(0);
    store.settle(&held, &verdict(Verdict::Retry { run_at: at(181), error: "busy".to_owned() }), at(180)).await.expect("settled");
    assert_eq!(claim(&*store, at(181), 1).await[0].task.attempts, 2, "a failure counts as before");
}

pub async fn a_task_that_goes_on_in_another_lane_frees_its_own_and_keeps_its_turn(store: Arc<dyn Store>) {
    let mut wanted = Vec::new();
    for place in 0..3 {
        wanted.push(opened(&*store, Some("a"), place).await);
    }
    let held = store.claim("worker", at(5), LEASE, Room::of(9, 2)).await.expect("a claim");
    assert_eq!(requests(&held), wanted[..2]);
    for task in held.iter().rev() {
        store.settle(task, &verdict(Verdict::GoesOn { lane: "a/pulls".to_owned() }), at(5)).await.expect("settled");
    }
    assert_eq!(store.stats(at(5)).await.expect("stats").backlog, [("a".to_owned(), 3)].into());
    // The first lane is free; in the other the one that has waited longer comes first, whoever came there first.
    let next = store.claim("worker", at(5), LEASE, Room::of(9, 9)).await.expect("a claim");
    assert_eq!(requests(&next), wanted);
    let lanes: Vec<_> = next.iter().map(|claimed| (claimed.task.lane.as_str(), claimed.task.attempts)).collect();
    assert_eq!(lanes, [("a/pulls", 1), ("a/pulls", 1), ("a", 1)]);
}

pub async fn tasks_given_back_do_not_count_the_attempt(store: Arc<dyn Store>) {
    opened(&*store, None, 0).await;
    opened(&*store, None, 1).await;
    let mine = claim(&*store, at(1), 1).await.remove(0);
    store.claim("other", at(1), LEASE, Room::single(1)).await.expect("a claim");
    assert_eq!(store.release("worker").await.expect("released"), 1);
    assert_eq!(store.release("worker").await.expect("released"), 0);
    assert!(matches!(store.settle(&mine, &verdict(Verdict::Done), at(2)).await, Err(StoreError::Conflict(_))));
    let again = claim(&*store, at(2), 9).await;
    assert_eq!((again.len(), again[0].task.attempts), (1, 1));
    assert!(again[0].fence > mine.fence);
}

pub async fn tasks_taken_back_from_the_dead_count_the_attempt(store: Arc<dyn Store>) {
    opened(&*store, None, 0).await;
    opened(&*store, None, 1).await;
    let dead = claim(&*store, at(1), 1).await.remove(0);
    store.claim("other", at(1), LEASE, Room::single(1)).await.expect("a claim");
    assert_eq!(store.take_back("worker").await.expect("taken back"), 1);
    assert_eq!(store.take_back("worker").await.expect("taken back"), 0);
    assert!(matches!(store.settle(&dead, &verdict(Verdict::Done), at(2)).await, Err(StoreError::Conflict(_))));
    let again = claim(&*store, at(2), 9).await;
    assert_eq!((again.len(), again[0].task.attempts), (1, 2));
    assert!(again[0].fence > dead.fence);
}

pub async fn a_task_added_again_is_due_at_the_earlier_time(store: Arc<dyn Store>) {
    let id = opened(&*store, None, 100).await;
    add(&*store, &id, TaskKind::Plan, "gitops", at(50)).await;
    add(&*store, &id, TaskKind::Plan, "gitops", at(200)).await;
    add(&*store, &id, TaskKind::Withdraw, "gitops", at(300)).await;
    let tasks = store.tasks(&TaskFilter { request: Some(id), state: None }, 9).await.expect("tasks");
    let seen: Vec<_> = tasks.iter().map(|task| (task.kind, task.run_at)).collect();
    assert_eq!(seen, [(TaskKind::Withdraw, at(300)), (TaskKind::Plan, at(50))]);
}

pub async fn a_retried_task_and_one_added_meanwhile_become_one(store: Arc<dyn Store>) {
    let id = opened(&*store, None, 0).await;
    let held = claim(&*store, at(0), 1).await.remove(0);
    add(&*store, &id, TaskKind::Plan, "", at(5)).await;
    store.settle(&held, &verdict(Verdict::Retry { run_at: at(60), error: "busy".to_owned() }), at(1)).await.expect("settled");
    let tasks = store.tasks(&TaskFilter::default(), 9).await.expect("tasks");
    assert_eq!((tasks.len(), tasks[0].run_at, tasks[0].attempts), (1, at(5), 1));
    let held = claim(&*store, at(5), 1).await.remove(0);
    add(&*store, &id, TaskKind::Plan, "", at(7)).await;
    assert_eq!(store.release(&held.owner).await.expect("released"), 1);
    assert_eq!(store.tasks(&TaskFilter::default(), 9).await.expect("tasks").len(), 1);
}

pub async fn tasks_of_one_request_are_done_one_at_a_time(store: Arc<dyn Store>) {
    let id = opened(&*store, None, 0).await;
    add(&*store, &id, TaskKind::Propose, "gitops", at(1)).await;
    let first = claim(&*store, at(9), 9).await;
    assert_eq!((first.len(), first[0].task.kind), (1, TaskKind::Plan));
    assert!(claim(&*store, at(9), 9).await.is_empty());
    store.settle(&first[0], &verdict(Verdict::Done), at(9)).await.expect("done");
    assert_eq!(claim(&*store, at(9), 9).await[0].task.kind, TaskKind::Propose);
}

pub async fn parallel_claims_take_each_task_once(store: Arc<dyn Store>) {
    let mut wanted = HashSet::new();
    for n in 0..30 {
        // Ten lanes of two, and ten without a lane.
        let lane = (n < 20).then(|| format!("lane-{}", n % 10));
        wanted.insert(opened(&*store, lane.as_deref(), n).await);
    }
    let workers = (0..6).map(|worker| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut done = Vec::new();
            loop {
                let claimed = store.claim(&format!("worker-{worker}"), at(60), LEASE, Room::single(3)).await.expect("a claim");
                if claimed.is_empty() && store.next_due("worker", Room::single(1)).await.expect("the next").is_none() {
                    return done;
                }
                for held in claimed {
                    store.settle(&held, &verdict(Verdict::Done), at(60)).await.expect("nobody else has it");
                    done.push(held.request.id);
                }
                tokio::task::yield_now().await;
            }
        })
    });
    let mut done = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        done.extend(worker.await.expect("a worker"));
    }
    assert_eq!(done.len(), 30);
    assert_eq!(done.into_iter().collect::<HashSet<_>>(), wanted);
}

pub async fn the_next_due_time_knows_waiting_tasks_and_leases(store: Arc<dyn Store>) {
    assert_eq!(store.next_due("worker", Room::single(1)).await.expect("nothing"), None);
    opened(&*store, Some("a"), 10).await;
    opened(&*store, Some("a"), 20).await;
    opened(&*store, None, 40).await;
    assert_eq!(store.next_due("worker", Room::single(1)).await.expect("due"), Some(at(10)));
    let held = claim(&*store, at(10), 9).await.remove(0);
    // The next one of the lane waits for the holder, or for the end of its lease at 40.
    assert_eq!(store.next_due("worker", Room::single(1)).await.expect("due"), Some(at(40)));
    store.extend_leases(&[&held], at(100)).await.expect("extended");
    assert_eq!(store.next_due("worker", Room::single(1)).await.expect("due"), Some(at(40)), "the one without a lane");
    store.settle(&held, &verdict(Verdict::Done), at(11)).await.expect("done");
    assert_eq!(store.next_due("worker", Room::single(1)).await.expect("due"), Some(at(20)));
}

/// Its mirror there holds what was planned; another process would have to plan it once more.
pub async fn a_repository_is_left_for_a_moment_to_who_was_last_at_work_there(store: Arc<dyn Store>) {
    let take = async |owner: &str, seconds: i64| store.claim(owner, at(seconds), LEASE, Room::single(9)).await.expect("a claim");
    let other = opened(&*store, Some("other"), 0).await;
    let first = opened(&*store, Some("gitops"), 0).await;
    let mine = store.claim("one", at(0), LEASE, Room::single(1)).await.expect("a claim").remove(0);
    assert_eq!(mine.request.id, other);
    store.settle(&mine, &verdict(Verdict::Done), at(0)).await.expect("done");
    let mine = take("one", 5).await.remove(0);
    assert_eq!(mine.request.id, first);
    let pulls = Verdict::GoesOn { lane: "gitops/pulls".to_owned() };
    store.settle(&mine, &verdict(pulls), at(9)).await.expect("it goes on");
    let second = opened(&*store, Some("gitops"), 9).await;
    let elsewhere = opened(&*store, Some("elsewhere"), 9).await;
    assert_eq!(requests(&take("two", 10).await), [elsewhere], "both lanes of the repository are left to the first");
    assert_eq!(store.next_due("two", Room::single(1)).await.expect("due"), Some(at(11)));
    assert_eq!(store.next_due("one", Room::single(1)).await.expect("due"), Some(at(0)));
    // What has no lane, and what is told outside, is anybody's.
    let anywhere = opened(&*store, None, 10).await;
    assert_eq!(requests(&take("two", 10).await), [anywhere]);
    let mine = take("one", 10).await;
    assert_eq!(requests(&mine), [first, second.clone()]);
    let again = |seconds: i64| verdict(Verdict::Retry { run_at: at(seconds), error: "again".to_owned() });
    store.settle(&mine[0], &again(10), at(10)).await.expect("again");
    assert!(take("two", 19).await.is_empty(), "the first holds the other lane still");
    let of_lane = take("one", 19).await.remove(0);
    store.settle(&of_lane, &verdict(Verdict::Done), at(19)).await.expect("done");
    store.settle(&mine[1], &again(10), at(20)).await.expect("again");
    // Who is not seen any more keeps nobody waiting, and whoever takes it has it from then on.
    assert!(take("two", 21).await.is_empty());
    let taken = take("two", 22).await.remove(0);
    assert_eq!(taken.request.id, second);
    store.settle(&taken, &again(12), at(22)).await.expect("again");
    assert!(take("one", 23).await.is_empty(), "it is the other's now");
    // Who stops gives it back; and a clock that was set back leaves nothing to anybody for long.
    store.release("two").await.expect("released");
    let back = take("one", 23).await.remove(0);
    store.settle(&back, &again(1), at(500)).await.expect("again");
    assert_eq!(take("two", 30).await.len(), 1);
}

/// A request of a source's event about a repository, filed at a time.
async fn filed(store: &dyn Store, source: &str, key: &str, repository: &str, seconds: i64) {
    open_request_from(source, "jira.issue.transitioned", store, key, Some(repository), at(seconds)).await;
}

/// Claims, does nothing, and tells of whom what was claimed was.
async fn served(store: &dyn Store, seconds: i64, room: Room) -> Vec<String> {
    let claimed = store.claim("w", at(seconds), LEASE, room).await.expect("a claim");
    for task in &claimed {
        store.settle(task, &Settlement::default(), at(seconds)).await.expect("settled");
    }
    claimed.into_iter().map(|task| task.request.key.correlation).collect()
}

pub async fn a_source_that_floods_a_lane_leaves_each_other_its_turn(store: Arc<dyn Store>) {
    for number in 0..10 {
        filed(&*store, "loud", &format!("loud-{number}"), "a", 0).await;
    }
    filed(&*store, "quiet", "quiet-0", "a", 5).await;
    filed(&*store, "quiet", "quiet-1", "a", 5).await;
    // What is done together has as many of each; one at a time, it is each one's turn.
    let together = served(&*store, 6, Room::of(1, 4)).await;
    assert_eq!(together, ["loud-0", "quiet-0", "loud-1", "quiet-1"]);
    filed(&*store, "quiet", "quiet-2", "a", 7).await;
    filed(&*store, "quiet", "quiet-3", "a", 7).await;
    let mut alone = Vec::new();
    for _ in 0..5 {
        alone.extend(served(&*store, 8, Room::single(1)).await);
    }
    assert_eq!(alone, ["loud-2", "quiet-2", "loud-3", "quiet-3", "loud-4"]);
}

pub async fn a_repository_with_much_to_do_leaves_each_other_its_turn(store: Arc<dyn Store>) {
    for number in 0..6 {
        filed(&*store, "jira", &format!("busy-{number}"), "busy", 0).await;
    }
    filed(&*store, "jira", "calm-0", "calm", 5).await;
    filed(&*store, "jira", "calm-1", "calm", 6).await;
    let mut order = Vec::new();
    for _ in 0..5 {
        order.extend(served(&*store, 7, Room::single(1)).await);
    }
    assert_eq!(order, ["busy-0", "calm-0", "busy-1", "calm-1", "busy-2"]);
}

pub async fn what_burns_goes_first_for_as_long_as_the_rest_can_wait(store: Arc<dyn Store>) {
    open_request(&*store, "ticket", Some("a"), at(0)).await;
    for number in 0..5 {
        open_request_of("alert.firing", &*store, &format!("alert-{number}"), Some("a"), at(10)).await;
    }
    assert_eq!(served(&*store, 20, Room::single(1)).await, ["alert-0"]);
    assert_eq!(served(&*store, 59, Room::of(1, 2)).await, ["alert-1", "alert-2"]);
    // A minute is over: it is the older one now.
    assert_eq!(served(&*store, 60, Room::single(1)).await, ["ticket"]);
    assert_eq!(served(&*store, 60, Room::single(1)).await, ["alert-3"]);
}
