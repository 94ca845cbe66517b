//! Requests that stand for a group of events: who joins, what becomes of each member, who goes on when a request ends.

use crate::store::support::{at, dispatch, end_request, opening, parsed, request_id};
use kubeops::request::{Member, MemberOutcome, MemberState, PullRef, Request, State};
use kubeops::store::{
    Beside, ClaimedTask, Debounce, DeliveryState, NewDelivery, Opening, PageQuery, RequestFilter, RequestUpdate, Room, Settlement, Store, StoreError,
    Task, TaskFilter, TaskKind, Verdict, Withdrawal,
};
use kubeops::types::{RequestId, TaskId};
use std::sync::Arc;
use std::time::Duration;

/// An event about `member` for the group `prod`, told at `now`.
async fn joins(store: &dyn Store, member: &str, now: i64, debounce: Option<Debounce>) -> RequestId {
    let opening = Opening { group: Some("prod".to_owned()), debounce, ..opening(member, Some("gitops")) };
    let key = opening.id.to_string();
    let mut told = dispatch(None, &key, vec![opening]);
    told.events[0].event.time = at(now);
    told.events[0].event.data = serde_json::json!({ "told": now });
    store.dispatch(&[told], at(now)).await.expect("dispatched").remove(0).remove(0)
}

async fn members(store: &dyn Store, id: &RequestId) -> Vec<Member> {
    store.members(id, false, 0, 99).await.expect("members")
}

/// Number, correlation, state, and whether the last plan took it into account.
fn told(members: &[Member]) -> Vec<(u32, &str, MemberState, bool)> {
    members.iter().map(|member| (member.number, member.correlation.as_str(), member.state, member.planned)).collect()
}

async fn tasks(store: &dyn Store, id: &RequestId) -> Vec<Task> {
    let mut tasks = store.tasks(&TaskFilter { request: Some(id.clone()), state: None }, 9).await.expect("tasks");
    tasks.sort_by_key(|task| task.kind);
    tasks
}

async fn kinds(store: &dyn Store, id: &RequestId) -> Vec<TaskKind> {
    tasks(store, id).await.into_iter().map(|task| task.kind).collect()
}

async fn claim(store: &dyn Store, now: i64) -> ClaimedTask {
    store.claim("w", at(now), Duration::from_secs(9), Room::single(1)).await.expect("a claim").remove(0)
}

/// What a plan comes to for a member: a commit, nothing, or a refusal.
fn outcome(member: &Member, commit: Option<&str>, refused: bool) -> MemberOutcome {
    MemberOutcome {
        number: member.number,
        event: member.event.id.clone(),
        refused,
        parameters: None,
        commit: commit.map(|digit| parsed(&digit.repeat(40))),
        title: commit.map(|digit| format!("Change {digit}")),
        summary: commit.map(|digit| format!("ConfigMap {digit}")).into_iter().collect(),
        findings: Vec::new(),
        message: refused.then(|| "no".to_owned()),
    }
}

/// Settles a task with these outcomes, the request then being in a state.
async fn settle(store: &dyn Store, held: &ClaimedTask, state: State, outcomes: Vec<MemberOutcome>, now: i64) -> Result<(), StoreError> {
    let request = Request { state, ..held.request.clone() };
    let goes_on = matches!(state, State::Merged | State::Declined | State::Unchanged | State::Rejected);
    let beside = Beside { members: outcomes, pushed: state == State::Proposed, successor: goes_on.then(request_id), draft: None };
    store.settle(held, &Settlement { request: Some(request), beside, ..Settlement::default() }, at(now)).await
}

/// Ends, or moves, a request outside any task, as a look at its pull request does.
async fn moves(store: &dyn Store, id: &RequestId, state: State, now: i64) -> RequestId {
    let successor = request_id();
    let request = Request { state, ..store.request(id).await.expect("the request") };
    let update = RequestUpdate { drop_tasks: true, successor: Some(successor.clone()), ..RequestUpdate::default() };
    store.update_request(&request, &update, at(now)).await.expect("written");
    successor
}

/// A group of so many members, all of which are on the branch of an open pull request.
async fn proposed(store: &dyn Store, names: &[&str]) -> RequestId {
    let mut id = request_id();
    for name in names {
        id = joins(store, name, 0, None).await;
    }
    let held = claim(store, 1).await;
    let outcomes = members(store, &id).await.iter().map(|member| outcome(member, Some("a"), false)).collect();
    settle(store, &held, State::Planned, outcomes, 1).await.expect("settled");
    let request = store.request(&id).await.expect("the request");
    let update = RequestUpdate { tasks: vec![crate::store::support::task(&id, TaskKind::Propose, "gitops", at(2))], ..Default::default() };
    store.update_request(&request, &update, at(2)).await.expect("written");
    let held = claim(store, 2).await;
    settle(store, &held, State::Proposed, Vec::new(), 2).await.expect("settled");
    id
}

pub async fn events_of_a_group_become_members_of_one_request_in_order_of_arrival(store: Arc<dyn Store>) {
    let id = joins(&*store, "b", 0, None).await;
    for (member, now) in [("a", 1), ("b", 2), ("c", 3)] {
        assert_eq!(joins(&*store, member, now, None).await, id);
    }
    let request = store.request(&id).await.expect("the request");
    assert_eq!((request.key.correlation.as_str(), request.members, request.version, request.state), ("prod", 3, 1, State::Accepted));
    let joined = members(&*store, &id).await;
    let active = MemberState::Active;
    assert_eq!(told(&joined), [(1, "b", active, false), (2, "a", active, false), (3, "c", active, false)]);
    assert_eq!((&joined[0].event.data["told"], joined[0].joined_at, joined[2].joined_at), (&serde_json::json!(0), at(0), at(3)), "the first counts");
    assert_eq!(store.members(&id, true, 0, 2).await.expect("members"), joined[..2], "no more than asked for");
    assert_eq!(store.members(&id, true, 2, 2).await.expect("members"), joined[2..], "those behind the second");
    assert_eq!(kinds(&*store, &id).await, [TaskKind::Plan], "its first plan takes all of them");
    let timeline: Vec<String> = store.timeline(&id).await.expect("the timeline").into_iter().map(|entry| entry.message).collect();
    assert!(timeline[0].ends_with(" as member 1") && timeline[1].ends_with(" as member 2") && timeline[2].ends_with(" as member 1"), "{timeline:#?}");
    let events = store.events(&Default::default(), &PageQuery { limit: 9, after: None }).await.expect("events");
    assert!(events.items.iter().all(|event| event.requests == [id.clone()]), "each is linked with it");
    // Another group, another request.
    let other = Opening { group: Some("staging".to_owned()), ..opening("a", None) };
    let opened = store.dispatch(&[dispatch(None, "other", vec![other])], at(4)).await.expect("dispatched");
    assert_ne!(opened[0][0], id);
    assert!(matches!(store.members(&request_id(), false, 0, 9).await, Err(StoreError::NotFound(_))));
}

pub async fn who_joins_after_the_plan_was_begun_owes_another_one(store: Arc<dyn Store>) {
    let id = joins(&*store, "a", 0, None).await;
    let held = claim(&*store, 0).await;
    joins(&*store, "b", 1, None).await;
    joins(&*store, "c", 2, None).await;
    assert_eq!(kinds(&*store, &id).await, [TaskKind::Plan, TaskKind::Replan], "one, for both");
    // The plan knew one member; what it found is kept, and the others wait.
    let first = &members(&*store, &id).await[0];
    settle(&*store, &held, State::Planned, vec![outcome(first, Some("a"), false)], 3).await.expect("a join is no conflict");
    let now = members(&*store, &id).await;
    assert_eq!(now.iter().map(|member| member.planned).collect::<Vec<_>>(), [true, false, false]);
    let held = claim(&*store, 3).await;
    assert_eq!((held.task.kind, held.task.lane.as_str(), held.request.members), (TaskKind::Replan, "gitops", 3));
    let outcomes = now.iter().map(|member| outcome(member, Some("b"), false)).collect();
    settle(&*store, &held, State::Planned, outcomes, 4).await.expect("settled");
    assert!(kinds(&*store, &id).await.is_empty());
    // A further event of a member that has its commit is noted, and changes nothing.
    joins(&*store, "b", 5, None).await;
    assert!(kinds(&*store, &id).await.is_empty());
    assert_eq!(members(&*store, &id).await[1].event.data["told"], 1);
}

pub async fn a_group_s_next_plan_waits_for_further_events_as_its_first_does(store: Arc<dyn Store>) {
    let debounce = Some(Debounce { quiet: Duration::from_secs(30), at_most: Duration::from_secs(50) });
    let id = joins(&*store, "a", 0, debounce).await;
    joins(&*store, "a", 5, debounce).await;
    assert_eq!(members(&*store, &id).await[0].event.data["told"], 5, "of the events waited for the newest counts");
    let held = claim(&*store, 35).await;
    let first = members(&*store, &id).await.remove(0);
    settle(&*store, &held, State::Planned, vec![outcome(&first, Some("a"), false)], 36).await.expect("settled");
    for (now, member, due) in [(40, "b", 70), (60, "c", 90), (69, "b", 90), (80, "d", 90)] {
        joins(&*store, member, now, debounce).await;
        let owed = tasks(&*store, &id).await;
        assert_eq!((owed.len(), owed[0].kind, owed[0].run_at), (1, TaskKind::Replan, at(due)), "{member} at {now}");
    }
    joins(&*store, "e", 81, None).await;
    assert_eq!(tasks(&*store, &id).await[0].run_at, at(81), "who does not wait hurries the others");
}

pub async fn what_a_plan_came_to_is_kept_with_each_member(store: Arc<dyn Store>) {
    let id = joins(&*store, "a", 0, None).await;
    for member in ["b", "c", "d", "e"] {
        joins(&*store, member, 0, None).await;
    }
    let held = claim(&*store, 1).await;
    let read = members(&*store, &id).await;
    // While it is planned, one is taken out, and one is told of anew.
    withdraws(&*store, &id, "c", 2).await.expect("withdrawn");
    let mut outcomes = vec![outcome(&read[0], Some("a"), false), outcome(&read[1], None, true), outcome(&read[2], Some("c"), false)];
    outcomes.push(MemberOutcome { parameters: serde_json::from_str(r#"{"n":1}"#).ok(), ..outcome(&read[3], None, false) });
    settle(&*store, &held, State::Planned, outcomes, 3).await.expect("settled");
    let now = members(&*store, &id).await;
    let (active, refused, withdrawn) = (MemberState::Active, MemberState::Refused, MemberState::Withdrawn);
    assert_eq!(
        told(&now),
        [(1, "a", active, true), (2, "b", refused, true), (3, "c", withdrawn, false), (4, "d", active, true), (5, "e", active, false)]
    );
    assert_eq!((now[0].title.as_deref(), now[0].summary.len(), now[0].commit.is_some(), now[0].proposed), (Some("Change a"), 1, true, false));
    assert_eq!((now[1].message.as_deref(), now[3].parameters.as_ref().map(|values| values.len())), (Some("no"), Some(1)));
    assert_eq!(store.members(&id, true, 0, 9).await.expect("members").len(), 4, "without the one that was taken out");
    // On the branch is what has a commit.
    let update = RequestUpdate { tasks: vec![crate::store::support::task(&id, TaskKind::Propose, "gitops", at(3))], ..Default::default() };
    let mut request = store.request(&id).await.expect("the request");
    request.pull = Some(PullRef { number: 1, url: "https://forge.example/1".to_owned() });
    store.update_request(&request, &update, at(3)).await.expect("written");
    for now in 4..9 {
        let held = claim(&*store, now).await;
        if held.task.kind == TaskKind::Propose {
            settle(&*store, &held, State::Proposed, Vec::new(), now).await.expect("settled");
            break;
        }
        store
            .settle(&held, &Settlement { verdict: Verdict::Retry { run_at: at(99), error: "busy".to_owned() }, ..Default::default() }, at(now))
            .await
            .expect("later");
    }
    assert_eq!(members(&*store, &id).await.iter().map(|member| member.proposed).collect::<Vec<_>>(), [true, false, false, false, false]);
}

pub async fn a_member_that_was_refused_or_changed_nothing_tries_anew_with_the_next_event(store: Arc<dyn Store>) {
    let id = joins(&*store, "a", 0, None).await;
    joins(&*store, "b", 0, None).await;
    let held = claim(&*store, 1).await;
    let read = members(&*store, &id).await;
    joins(&*store, "a", 2, None).await;
    settle(&*store, &held, State::Planned, vec![outcome(&read[0], None, true), outcome(&read[1], None, false)], 3).await.expect("settled");
    assert!(kinds(&*store, &id).await.is_empty(), "an event of a member that is being planned changes nothing");
    joins(&*store, "a", 4, None).await;
    joins(&*store, "b", 4, None).await;
    let now = members(&*store, &id).await;
    assert_eq!(told(&now), [(1, "a", MemberState::Active, false), (2, "b", MemberState::Active, false)]);
    assert!(now.iter().all(|member| member.event.data["told"] == 4), "{now:#?}");
    assert_eq!(kinds(&*store, &id).await, [TaskKind::Replan]);
    // A plan that was made for the event before says nothing of the new one.
    let held = claim(&*store, 4).await;
    settle(&*store, &held, State::Planned, read.iter().map(|member| outcome(member, None, true)).collect(), 5).await.expect("settled");
    assert!(members(&*store, &id).await.iter().all(|member| !member.planned && member.state == MemberState::Active));
}

async fn withdraws(store: &dyn Store, id: &RequestId, member: &str, now: i64) -> Result<Request, StoreError> {
    let task =
        |n: u128| TaskId::from_parts(at(now), n + u128::from(now.unsigned_abs()) * 1000 + member.bytes().map(u128::from).sum::<u128>() * 100_000);
    let withdrawal = Withdrawal {
        request: id.clone(),
        member: member.to_owned(),
        reason: Some("the alert is over".to_owned()),
        actor: "ann".to_owned(),
        replan: task(1),
        clean_up: task(2),
    };
    store.withdraw_member(&withdrawal, at(now)).await
}

pub async fn a_member_is_taken_out_by_its_key_or_number_and_the_last_one_ends_the_request(store: Arc<dyn Store>) {
    let id = proposed(&*store, &["a", "2", "c"]).await;
    let after = withdraws(&*store, &id, "2", 10).await.expect("withdrawn");
    assert_eq!((after.state, after.members), (State::Proposed, 3));
    let now = members(&*store, &id).await;
    assert_eq!((now[1].correlation.as_str(), now[1].state, now[1].commit.as_ref()), ("2", MemberState::Withdrawn, None), "a key before a number");
    assert_eq!(now[1].message.as_deref(), Some("withdrawn by ann: the alert is over"));
    assert_eq!(kinds(&*store, &id).await, [TaskKind::Replan]);
    let last = store.timeline(&id).await.expect("the timeline").pop().expect("an entry");
    assert_eq!((last.message.as_str(), last.actor.as_str()), ("member 2 (\"2\") was withdrawn by ann: the alert is over", "ann"));
    assert!(matches!(withdraws(&*store, &id, "2", 11).await, Err(StoreError::Conflict(why)) if why.contains("withdrawn already")));
    assert!(matches!(withdraws(&*store, &id, "nobody", 11).await, Err(StoreError::NotFound(_))));
    assert!(matches!(withdraws(&*store, &request_id(), "a", 11).await, Err(StoreError::NotFound(_))));
    // It may come back: with a new event, at the end of the line.
    joins(&*store, "2", 12, None).await;
    let again = members(&*store, &id).await;
    assert_eq!(told(&again)[3], (4, "2", MemberState::Active, false));
    for (member, now) in [("3", 13), ("1", 14)] {
        assert_eq!(withdraws(&*store, &id, member, now).await.expect("withdrawn").state, State::Proposed);
    }
    let ended = withdraws(&*store, &id, "4", 15).await.expect("withdrawn");
    assert_eq!((ended.state, ended.version), (State::Withdrawn, store.request(&id).await.expect("the request").version));
    assert!(ended.message.as_deref().is_some_and(|said| said.starts_with("member 4 (\"2\"), the last one, was withdrawn by ann")), "{ended:#?}");
    assert_eq!(kinds(&*store, &id).await, [TaskKind::Withdraw], "nothing but cleaning up");
    assert!(matches!(withdraws(&*store, &id, "1", 16).await, Err(StoreError::Conflict(why)) if why.contains("is withdrawn already")));
    // A step that was under way when it ended is refused.
    let other = joins(&*store, "x", 20, None).await;
    assert_ne!(other, id, "the next event opens a request of its own");
    let held = store.claim("w", at(20), Duration::from_secs(9), Room::single(9)).await.expect("a claim");
    let held = held.into_iter().find(|held| held.request.id == other);
    let held = match held {
        Some(held) => held,
        None => {
            // The clean-up held the lane.
            store.release("w").await.expect("released");
            end_lane(&*store, &id).await;
            claim(&*store, 20).await
        }
    };
    withdraws(&*store, &other, "x", 21).await.expect("withdrawn");
    assert!(matches!(settle(&*store, &held, State::Planned, Vec::new(), 22).await, Err(StoreError::Conflict(_))));
}

/// Does what is left to do for a request.
async fn end_lane(store: &dyn Store, id: &RequestId) {
    let held = claim(store, 20).await;
    assert_eq!(&held.request.id, id);
    store.settle(&held, &Settlement::default(), at(20)).await.expect("settled");
}

pub async fn members_an_ended_request_did_not_take_along_go_on_in_the_next(store: Arc<dyn Store>) {
    for (round, end) in [State::Merged, State::Declined].into_iter().enumerate() {
        let base = i64::try_from(round).expect("small") * 100;
        let id = proposed(&*store, &["a", "b"]).await;
        joins(&*store, "late", base + 50, None).await;
        joins(&*store, "later", base + 51, None).await;
        let next = moves(&*store, &id, end, base + 60).await;
        assert_eq!(told(&members(&*store, &id).await).len(), 2, "{end}");
        let request = store.request(&next).await.expect("the next one");
        assert_eq!((request.state, request.key.correlation.as_str(), request.members), (State::Accepted, "prod", 2), "{end}");
        assert_eq!(request.key.generation, store.request(&id).await.expect("the request").key.generation + 1);
        assert_eq!(request.event.data["told"], base + 50);
        let gone_on = members(&*store, &next).await;
        assert_eq!(told(&gone_on), [(1, "late", MemberState::Active, false), (2, "later", MemberState::Active, false)]);
        assert_eq!(kinds(&*store, &next).await, [TaskKind::Plan]);
        let event = store.event(&gone_on[0].event.id).await.expect("the event");
        assert_eq!(event.requests, [id.clone(), next.clone()], "{end}");
        let said = |timeline: Vec<kubeops::request::TimelineEntry>| timeline.into_iter().map(|entry| entry.message).collect::<Vec<_>>();
        let (before, after) = (store.timeline(&id).await.expect("a timeline"), store.timeline(&next).await.expect("a timeline"));
        assert!(said(before).last().is_some_and(|line| line == &format!("2 members did not get into it; request {next} goes on with them")));
        assert_eq!(said(after), [format!("opened with 2 members that request {id} did not take along")]);
        end_request(&*store, &next, State::Failed, at(base + 70)).await;
        store.prune(at(base + 65), 99).await.expect("pruned");
    }
}

pub async fn nobody_goes_on_where_all_were_taken_along_or_the_whole_was_cancelled(store: Arc<dyn Store>) {
    for (end, late, reason) in [
        (State::Merged, false, "all were on the branch"),
        (State::Withdrawn, true, "whoever cancels it cancels all"),
        (State::Failed, true, "it is tried again as a whole"),
    ] {
        let id = proposed(&*store, &["a"]).await;
        if late {
            joins(&*store, "late", 50, None).await;
        }
        let request = Request { state: end, ..store.request(&id).await.expect("the request") };
        let successor = (end == State::Merged).then(request_id);
        let update = RequestUpdate { drop_tasks: true, successor: successor.clone(), ..RequestUpdate::default() };
        store.update_request(&request, &update, at(60)).await.expect("written");
        let accepted = RequestFilter { states: vec![State::Accepted], ..Default::default() };
        let live = store.requests(&accepted, &PageQuery { limit: 9, after: None }).await.expect("requests");
        assert!(live.items.is_empty(), "{reason}");
        assert_eq!(members(&*store, &id).await.len(), 1 + usize::from(late), "{reason}");
    }
    // A plan that finds nothing to do for those it looked at goes on with those it did not.
    let id = joins(&*store, "a", 100, None).await;
    let held = claim(&*store, 100).await;
    let first = members(&*store, &id).await.remove(0);
    joins(&*store, "b", 101, None).await;
    settle(&*store, &held, State::Unchanged, vec![outcome(&first, None, false)], 102).await.expect("settled");
    assert_eq!(told(&members(&*store, &id).await), [(1, "a", MemberState::Active, true)]);
    let next = joins(&*store, "b", 103, None).await;
    assert_ne!(next, id);
    assert_eq!(told(&members(&*store, &next).await), [(1, "b", MemberState::Active, false)]);
}

pub async fn a_request_that_stood_alone_becomes_the_group_s_first_member(store: Arc<dyn Store>) {
    let alone = opening("prod", Some("gitops"));
    let id = store.dispatch(&[dispatch(None, "alone", vec![alone])], at(0)).await.expect("dispatched").remove(0).remove(0);
    assert_eq!(store.request(&id).await.expect("the request").members, 0);
    assert_eq!(joins(&*store, "b", 1, None).await, id);
    assert_eq!(told(&members(&*store, &id).await), [(1, "prod", MemberState::Active, false), (2, "b", MemberState::Active, false)]);
    // And an event that asks for the group's key alone is a member of it.
    let told_alone = opening("prod", Some("gitops"));
    store.dispatch(&[dispatch(None, "again", vec![told_alone])], at(2)).await.expect("dispatched");
    assert_eq!(members(&*store, &id).await.len(), 2, "it is there already");
}

pub async fn a_person_s_retry_begins_anew_with_every_member(store: Arc<dyn Store>) {
    let id = proposed(&*store, &["a", "b"]).await;
    moves(&*store, &id, State::Declined, 10).await;
    assert!(members(&*store, &id).await.iter().all(|member| member.proposed), "what was declined is remembered");
    moves(&*store, &id, State::Accepted, 11).await;
    let now = members(&*store, &id).await;
    assert!(now.iter().all(|member| !member.planned && !member.proposed && member.commit.is_none()), "{now:#?}");
}

pub async fn a_member_s_event_and_delivery_are_kept_while_its_request_lives(store: Arc<dyn Store>) {
    let new = NewDelivery { received_at: at(0), ..crate::store::support::delivery("alert") };
    store.append(std::slice::from_ref(&new)).await.expect("written");
    let member = Opening { group: Some("prod".to_owned()), ..opening("a", None) };
    let id = store.dispatch(&[dispatch(Some(&new.id), "alert", vec![member])], at(0)).await.expect("dispatched").remove(0).remove(0);
    store.prune(at(99), 99).await.expect("pruned");
    assert_eq!(store.delivery(&new.id).await.expect("the delivery").state, DeliveryState::Dispatched);
    end_request(&*store, &id, State::Merged, at(100)).await;
    store.prune(at(200), 99).await.expect("pruned");
    assert!(matches!(store.request(&id).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.members(&id, false, 0, 9).await, Err(StoreError::NotFound(_))), "members go with their request");
}
