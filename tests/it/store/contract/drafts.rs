//! Drafts by a language model: what was said is kept turn by turn, and what calls may cost is held against budgets before they are made.

use crate::store::support::{at, end_request, of_another, open_request, open_request_from, open_request_of, parsed, task};
use kubeops::request::State;
use kubeops::store::{
    Beside, Budget, ClaimedTask, Draft, DraftEnd, DraftState, Limit, Progress, Purse, Reservation, Room, Settlement, Share, Spend, Store, StoreError,
    Tally, TaskFilter, TaskKind, TaskState, Turn, lane,
};
use kubeops::types::{RequestId, Timestamp};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The first midnight (UTC) behind `at(0)`, in seconds.
pub const MIDNIGHT: i64 = 46_400;

pub fn draft(request: &RequestId, number: u32) -> Draft {
    Draft {
        request: request.clone(),
        number,
        automation: parsed("namespace-request"),
        state: DraftState::Running,
        base: parsed(&"2".repeat(40)),
        salt: "00ff".repeat(8),
        brief: json!({ "system": "You change manifests.", "first": "päck \u{1F4E6}" }),
        outcome: None,
        begun_at: at(1),
        ended_at: None,
    }
}

/// A request with a running draft, in the hands of whoever makes it.
pub async fn begun(store: &dyn Store, key: &str) -> ClaimedTask {
    let (_, id) = open_request(store, key, Some("gitops"), at(0)).await;
    let held = claimed(store, "w", &id, 0).await;
    store.begin_draft(&held, &draft(&id, 1)).await.expect("begun");
    held
}

pub fn spend(tokens: u64, micros: u64) -> Spend {
    Spend { tokens, micros }
}

pub fn tokens(most: u64) -> Limit {
    Limit { tokens: Some(most), micros: None }
}

fn of_request(limit: Limit) -> Budget {
    Budget { request: limit, ..Budget::default() }
}

pub async fn reserve(store: &dyn Store, held: &ClaimedTask, turn: u32, worst: Spend, budget: &Budget, now: Timestamp) -> Reservation {
    store.reserve_turn(held, 1, turn, worst, budget, now).await.expect("an answer")
}

fn settled(number: u32, attempt: u32, spent: Spend) -> Turn {
    Turn {
        number,
        attempt,
        begun_at: at(0),
        reserved: Spend::default(),
        spent: Some(spent),
        reply: Some(json!({ "text": "done" })),
        response: Some(json!([{ "rule": "limits" }])),
        ended_at: Some(at(9)),
    }
}

/// How many seconds claims by [`claimed`] last.
pub const HELD_FOR: i64 = 60;

/// A draft of the request, owed and claimed for `owner`: it waits for no other request.
pub async fn claimed(store: &dyn Store, owner: &str, id: &RequestId, now: i64) -> ClaimedTask {
    store.add_tasks(&[task(id, TaskKind::Draft, lane::DRAFTS, at(now))]).await.expect("added");
    let none = Share { lanes: 0, each: 1 };
    let room = Room { drafts: Share { lanes: 9, each: 1 }, ..Room { git: none, pulls: none, feedback: none, drafts: none } };
    let claimed = store.claim(owner, at(now), Duration::from_secs(HELD_FOR.unsigned_abs()), room).await.expect("a claim");
    claimed.into_iter().find(|claimed| claimed.request.id == *id).expect("a draft of it is due")
}

pub async fn a_draft_begun_twice_is_the_first_one(store: Arc<dyn Store>) {
    let (_, id) = open_request(&*store, "a", Some("gitops"), at(0)).await;
    let held = claimed(&*store, "w", &id, 0).await;
    let first = store.begin_draft(&held, &draft(&id, 1)).await.expect("begun");
    assert_eq!(first, draft(&id, 1));
    let other = Draft { salt: "11ee".repeat(8), base: parsed(&"3".repeat(40)), begun_at: at(5), ..draft(&id, 1) };
    assert_eq!(store.begin_draft(&held, &other).await.expect("told"), first, "the pinned commit and the salt stay");
    let revised = store.begin_draft(&held, &Draft { number: 2, ..other }).await.expect("begun");
    assert_eq!(store.drafts(&id).await.expect("drafts"), [first, revised]);
    assert!(matches!(store.drafts(&crate::store::support::request_id()).await, Err(StoreError::NotFound(_))));
    end_request(&*store, &id, State::Withdrawn, at(6)).await;
    let unwanted = store.begin_draft(&held, &draft(&id, 3)).await;
    assert!(matches!(&unwanted, Err(StoreError::Conflict(why)) if why.contains("has ended")), "{unwanted:?}");
    assert_eq!(store.begin_draft(&held, &draft(&id, 1)).await.expect("told").state, DraftState::Cancelled);
}

pub async fn a_turn_is_kept_with_what_was_said_and_what_it_did_cost(store: Arc<dyn Store>) {
    let held = begun(&*store, "a").await;
    let id = held.request.id.clone();
    assert_eq!(reserve(&*store, &held, 1, spend(100, 7), &Budget::default(), at(2)).await, Reservation::Made { attempt: 1 });
    let running = store.turns(&id, 1).await.expect("turns").remove(0);
    assert_eq!((running.number, running.attempt, running.begun_at, running.reserved), (1, 1, at(2), spend(100, 7)));
    assert_eq!((running.spent, &running.reply, &running.response, running.ended_at), (None, &None, &None, None));

    // The answer first; what it was told of that in the same step, or in the next process.
    let answered = Turn { response: None, ..settled(1, 1, spend(40, 3)) };
    store.settle_turn(&held, 1, &answered).await.expect("kept");
    let again = Turn { spent: Some(spend(1, 1)), reply: Some(json!("another")), ended_at: Some(at(99)), ..settled(1, 1, spend(1, 1)) };
    store.settle_turn(&held, 1, &again).await.expect("kept");
    let kept = store.turns(&id, 1).await.expect("turns").remove(0);
    let expected = Turn { begun_at: at(2), reserved: spend(100, 7), ..settled(1, 1, spend(40, 3)) };
    assert_eq!(kept, expected, "only what was missing was added");
    assert!(matches!(store.settle_turn(&held, 1, &settled(1, 2, spend(1, 1))).await, Err(StoreError::NotFound(_))), "nobody reserved that");
    assert!(store.turns(&id, 2).await.expect("turns").is_empty());
}

pub async fn calls_are_summed_and_progress_is_seen_without_what_was_said(store: Arc<dyn Store>) {
    let (_, id) = open_request(&*store, "a", Some("gitops"), at(0)).await;
    let held = claimed(&*store, "w", &id, 0).await;
    let now = || async { store.progress(&id).await.expect("progress") };
    let sum = |number| {
        let (store, id) = (Arc::clone(&store), id.clone());
        async move { store.tally(&id, number).await.expect("a sum") }
    };
    assert_eq!(store.newest_draft(&id).await.expect("none"), None);
    let mut seen = now().await;
    assert_eq!((seen.request, seen.newest, seen.drafts, seen.calls), (State::Accepted, None, 0, 0));
    assert_eq!(sum(1).await, Tally::default());
    let mut another = |progress: Progress| {
        assert_ne!(progress, seen, "something happened");
        seen = progress;
        progress
    };
    store.begin_draft(&held, &draft(&id, 1)).await.expect("begun");
    assert_eq!(another(now().await).newest, Some(DraftState::Running));
    reserve(&*store, &held, 1, spend(100, 7), &Budget::default(), at(2)).await;
    let called = another(now().await);
    assert_eq!((called.calls, called.ended, called.replies, called.responses), (1, 0, 0, 0));
    assert_eq!(now().await, called, "nothing happened");
    assert_eq!(sum(1).await, Tally { replies: 0, spent: spend(100, 7) });
    store.settle_turn(&held, 1, &Turn { response: None, ended_at: None, ..settled(1, 1, spend(40, 3)) }).await.expect("kept");
    assert_eq!(another(now().await).replies, 1);
    store.settle_turn(&held, 1, &settled(1, 1, spend(40, 3))).await.expect("kept");
    let told = another(now().await);
    assert_eq!((told.responses, told.ended), (1, 1));
    // One that was cut off is no answer, and counts as it was reckoned.
    reserve(&*store, &held, 2, spend(100, 7), &Budget::default(), at(3)).await;
    assert_eq!(sum(1).await, Tally { replies: 1, spent: spend(140, 10) });
    // Another draft has its own sum, and is the newest from then on.
    store.begin_draft(&held, &draft(&id, 2)).await.expect("begun");
    assert_eq!((sum(2).await, sum(1).await.replies), (Tally::default(), 1));
    assert_eq!(store.newest_draft(&id).await.expect("a draft").map(|draft| draft.number), Some(2));
    another(now().await);
    end_request(&*store, &id, State::Withdrawn, at(6)).await;
    let over = another(now().await);
    assert_eq!((over.request, over.newest, over.drafts), (State::Withdrawn, Some(DraftState::Cancelled), 2));
    let nobody = crate::store::support::request_id();
    assert!(matches!(store.progress(&nobody).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.tally(&nobody, 1).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.newest_draft(&nobody).await, Err(StoreError::NotFound(_))));
}

pub async fn a_call_that_could_go_beyond_the_requests_budget_is_not_made(store: Arc<dyn Store>) {
    let (held, other) = (begun(&*store, "a").await, begun(&*store, "b").await);
    let budget = of_request(tokens(100));
    assert_eq!(reserve(&*store, &held, 1, spend(60, 1), &budget, at(1)).await, Reservation::Made { attempt: 1 });
    let refused = Reservation::Exhausted { whose: Purse::Request, used: spend(60, 1), limit: tokens(100) };
    assert_eq!(reserve(&*store, &held, 2, spend(41, 1), &budget, at(2)).await, refused, "what is reckoned counts until it is known");
    assert_eq!(store.turns(&held.request.id, 1).await.expect("turns").len(), 1, "a call that is not made leaves nothing");
    assert_eq!(reserve(&*store, &other, 1, spend(100, 1), &budget, at(2)).await, Reservation::Made { attempt: 1 }, "another's is another's");
    store.settle_turn(&held, 1, &settled(1, 1, spend(59, 1))).await.expect("kept");
    assert_eq!(reserve(&*store, &held, 2, spend(41, 1), &budget, at(3)).await, Reservation::Made { attempt: 1 }, "exactly as much is left");
    // All drafts of the request count, and money as well as tokens.
    store.begin_draft(&held, &draft(&held.request.id, 2)).await.expect("begun");
    let money = of_request(Limit { tokens: None, micros: Some(3) });
    let of_second = |worst| store.reserve_turn(&held, 2, 1, worst, &money, at(4));
    let refused = Reservation::Exhausted { whose: Purse::Request, used: spend(100, 2), limit: money.request };
    assert_eq!(of_second(spend(0, 2)).await.expect("an answer"), refused);
    assert_eq!(of_second(spend(0, 1)).await.expect("an answer"), Reservation::Made { attempt: 1 });
}

pub async fn an_attempt_that_was_cut_off_counts_for_what_it_was_reckoned_at(store: Arc<dyn Store>) {
    let held = begun(&*store, "a").await;
    let budget = of_request(tokens(250));
    for attempt in [1, 2] {
        assert_eq!(reserve(&*store, &held, 1, spend(100, 0), &budget, at(1)).await, Reservation::Made { attempt });
    }
    store.settle_turn(&held, 1, &settled(1, 2, spend(10, 0))).await.expect("kept");
    let refused = Reservation::Exhausted { whose: Purse::Request, used: spend(110, 0), limit: tokens(250) };
    assert_eq!(reserve(&*store, &held, 2, spend(141, 0), &budget, at(1_000_000)).await, refused, "however long ago");
    assert_eq!(reserve(&*store, &held, 2, spend(140, 0), &budget, at(1_000_000)).await, Reservation::Made { attempt: 1 });
    let turns: Vec<_> = store.turns(&held.request.id, 1).await.expect("turns").iter().map(|turn| (turn.number, turn.attempt)).collect();
    assert_eq!(turns, [(1, 1), (1, 2), (2, 1)]);
}

pub async fn a_day_ends_at_midnight_for_an_automation_and_for_all(store: Arc<dyn Store>) {
    assert_eq!(at(MIDNIGHT).unix_millis() % 86_400_000, 0, "it is midnight");
    let (one, two) = (begun(&*store, "a").await, begun(&*store, "b").await);
    let (_, id) = open_request(&*store, "c", Some("gitops"), at(0)).await;
    let scaled = claimed(&*store, "w", &id, 0).await;
    store.begin_draft(&scaled, &Draft { automation: parsed("scale-workload"), ..draft(&id, 1) }).await.expect("begun");
    let budget = Budget { automation_day: tokens(100), day: tokens(150), ..Budget::default() };
    let last = Timestamp::from_unix_millis(at(MIDNIGHT).unix_millis() - 1);
    assert_eq!(reserve(&*store, &one, 1, spend(100, 0), &budget, last).await, Reservation::Made { attempt: 1 });
    let refused = Reservation::Exhausted { whose: Purse::AutomationDay, used: spend(100, 0), limit: tokens(100) };
    assert_eq!(reserve(&*store, &two, 1, spend(1, 0), &budget, last).await, refused, "another request of the same automation");
    assert_eq!(reserve(&*store, &scaled, 1, spend(50, 0), &budget, last).await, Reservation::Made { attempt: 1 });
    let refused = Reservation::Exhausted { whose: Purse::Day, used: spend(150, 0), limit: tokens(150) };
    assert_eq!(reserve(&*store, &scaled, 2, spend(1, 0), &budget, last).await, refused);
    assert_eq!(reserve(&*store, &two, 1, spend(100, 0), &budget, at(MIDNIGHT)).await, Reservation::Made { attempt: 1 }, "a new day");

    let since = async |automation: Option<&str>, moment| store.spent_since(automation.map(parsed).as_ref(), moment).await.expect("an answer").tokens;
    assert_eq!((since(None, last).await, since(None, at(MIDNIGHT)).await), (250, 100));
    assert_eq!((since(Some("namespace-request"), last).await, since(Some("scale-workload"), last).await), (200, 50));
    assert_eq!(since(Some("scale-workload"), at(MIDNIGHT)).await, 0);
}

pub async fn many_calls_reserved_at_once_never_go_beyond_a_budget(store: Arc<dyn Store>) {
    let mut requests = Vec::new();
    for n in 0..20 {
        requests.push(begun(&*store, &format!("a-{n}")).await);
    }
    let budget = Budget { automation_day: tokens(75), ..Budget::default() };
    let asking = requests.into_iter().map(|held| {
        let store = store.clone();
        tokio::spawn(async move { reserve(&*store, &held, 1, spend(10, 0), &budget, at(1)).await })
    });
    let mut made = 0;
    for answer in asking.collect::<Vec<_>>() {
        made += usize::from(matches!(answer.await.expect("an answer"), Reservation::Made { .. }));
    }
    assert_eq!(made, 7);
    assert_eq!(store.spent_since(None, at(0)).await.expect("an answer"), spend(70, 0));
}

pub async fn a_drafts_end_is_written_with_the_settlement_or_neither_is(store: Arc<dyn Store>) {
    let held = begun(&*store, "a").await;
    let id = held.request.id.clone();
    let end = DraftEnd { number: 1, state: DraftState::Answered, outcome: json!({ "answer": { "operations": [] } }) };
    let settlement = |request| Settlement { request, beside: Beside { draft: Some(end.clone()), ..Beside::default() }, ..Settlement::default() };
    let mut stale = held.request.clone();
    stale.version += 1;
    assert!(matches!(store.settle(&held, &settlement(Some(stale)), at(3)).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.drafts(&id).await.expect("drafts")[0].state, DraftState::Running, "nothing of it was written");
    // It ends its draft even where the same settlement ends the request.
    let mut over = held.request.clone();
    over.state = State::Unchanged;
    store.settle(&held, &settlement(Some(over)), at(4)).await.expect("settled");
    let ended = store.drafts(&id).await.expect("drafts").remove(0);
    assert_eq!((ended.state, ended.outcome, ended.ended_at), (DraftState::Answered, Some(end.outcome.clone()), Some(at(4))));

    let held = claimed(&*store, "w", &id, 6).await;
    assert_eq!(reserve(&*store, &held, 9, spend(1, 1), &Budget::default(), at(6)).await, Reservation::Over);
    assert!(matches!(store.settle(&held, &settlement(None), at(7)).await, Err(StoreError::Conflict(_))), "it is over already");
    assert_eq!(store.drafts(&id).await.expect("drafts")[0].ended_at, Some(at(4)));
}

pub async fn a_request_that_ends_takes_its_running_draft_along(store: Arc<dyn Store>) {
    let held = begun(&*store, "a").await;
    let (id, other) = (held.request.id.clone(), begun(&*store, "b").await.request.id);
    let failed = begun(&*store, "c").await.request.id;
    end_request(&*store, &failed, State::Failed, at(3)).await;
    assert_eq!(store.drafts(&failed).await.expect("drafts")[0].state, DraftState::Failed, "nobody cancelled it");
    store.add_tasks(&[task(&id, TaskKind::Draft, lane::DRAFTS, at(2))]).await.expect("added");
    reserve(&*store, &held, 1, spend(10, 0), &Budget::default(), at(2)).await;
    end_request(&*store, &id, State::Withdrawn, at(3)).await;
    let ended = store.drafts(&id).await.expect("drafts").remove(0);
    assert_eq!((ended.state, ended.outcome, ended.ended_at), (DraftState::Cancelled, None, Some(at(3))));
    assert_eq!(reserve(&*store, &held, 2, spend(1, 0), &Budget::default(), at(4)).await, Reservation::Over);
    let owed = store.tasks(&TaskFilter { request: Some(id.clone()), state: Some(TaskState::Waiting) }, 9).await.expect("tasks");
    assert!(owed.is_empty(), "{owed:?}");
    store.settle_turn(&held, 1, &settled(1, 1, spend(4, 0))).await.expect("what a call did cost is known later");
    assert_eq!(store.spent_since(None, at(0)).await.expect("an answer"), spend(4, 0));
    assert_eq!(store.drafts(&other).await.expect("drafts")[0].state, DraftState::Running);
}

pub async fn drafts_have_room_of_their_own_and_are_no_repositorys_backlog(store: Arc<dyn Store>) {
    let mut ids = Vec::new();
    for n in 0..3 {
        let held = begun(&*store, &format!("a-{n}")).await;
        store.settle(&held, &Settlement::default(), at(1)).await.expect("settled");
        let id = held.request.id;
        end_plan(&*store).await;
        store.add_tasks(&[task(&id, TaskKind::Draft, lane::DRAFTS, at(2))]).await.expect("added");
        ids.push(id);
    }
    let (_, waiting) = open_request_of("alertmanager.alert.firing", &*store, "b", Some("gitops"), at(0)).await;
    let stats = store.stats(at(9)).await.expect("stats");
    assert_eq!(stats.backlog.get("gitops"), Some(&1), "{:?}", stats.backlog);
    assert_eq!((stats.backlog.len(), stats.tasks.iter().find(|(kind, _)| *kind == TaskKind::Draft)), (1, Some(&(TaskKind::Draft, 3))));
    let none = Share { lanes: 0, each: 1 };
    let claim = async |room: Room| store.claim("w", at(9), Duration::from_secs(60), room).await.expect("a claim");
    let two = claim(Room { drafts: Share { lanes: 2, each: 1 }, ..Room { git: none, pulls: none, feedback: none, drafts: none } }).await;
    assert_eq!(two.iter().map(|claimed| &claimed.request.id).collect::<Vec<_>>(), [&ids[0], &ids[1]]);
    let planned = claim(Room { drafts: none, ..Room::single(9) }).await;
    assert_eq!(planned.iter().map(|claimed| &claimed.request.id).collect::<Vec<_>>(), [&waiting], "a model that is slow stands in nobody's way");
}

pub async fn drafts_wait_in_one_lane_and_are_made_beside_one_another(store: Arc<dyn Store>) {
    let mut ids = Vec::new();
    for (n, source) in ["a", "a", "a", "a", "b"].into_iter().enumerate() {
        let (_, id) = open_request_from(source, "jira.issue.transitioned", &*store, &format!("a-{n}"), Some("gitops"), at(0)).await;
        end_plan(&*store).await;
        store.add_tasks(&[task(&id, TaskKind::Draft, lane::DRAFTS, at(2))]).await.expect("added");
        ids.push(id);
    }
    let none = Share { lanes: 0, each: 1 };
    let claim = async |drafts, now| {
        let room = Room { git: none, pulls: none, feedback: none, drafts: Share { lanes: drafts, each: 9 } };
        let claimed = store.claim("w", at(now), Duration::from_secs(60), room).await.expect("a claim");
        claimed.into_iter().map(|claimed| claimed.request.id).collect::<Vec<_>>()
    };
    assert_eq!(claim(2, 9).await, ids[..2], "a draft counts as a lane, however many of one may be had");
    assert_eq!(claim(2, 9).await, [ids[4].clone(), ids[2].clone()], "those of another source have their turn");
    // Of a request that somebody is at work on nothing is begun.
    store.add_tasks(&[task(&ids[3], TaskKind::Plan, "gitops", at(9))]).await.expect("added");
    assert_eq!(store.claim("w", at(9), Duration::from_secs(9), Room { drafts: none, ..Room::single(1) }).await.expect("a claim").len(), 1);
    assert!(claim(2, 9).await.is_empty());
    assert_eq!(claim(2, 18).await, [ids[3].clone()]);
}

/// Does the one plan that is owed.
async fn end_plan(store: &dyn Store) {
    let held = store.claim("w", at(1), Duration::from_secs(9), Room::single(1)).await.expect("a claim").remove(0);
    store.settle(&held, &Settlement::default(), at(1)).await.expect("settled");
}

pub async fn drafts_go_with_their_request(store: Arc<dyn Store>) {
    let held = begun(&*store, "a").await;
    let id = &held.request.id;
    reserve(&*store, &held, 1, spend(10, 0), &Budget::default(), at(2)).await;
    end_request(&*store, id, State::Withdrawn, at(3)).await;
    store.settle(&held, &Settlement::default(), at(4)).await.expect("settled");
    while store.prune(at(1000), 100).await.expect("pruned") != kubeops::store::Pruned::default() {}
    assert!(matches!(store.request(id).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.drafts(id).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.spent_since(None, at(0)).await.expect("an answer"), Spend::default());
}

pub async fn a_draft_is_written_by_whoever_holds_the_task_alone(store: Arc<dyn Store>) {
    let old = begun(&*store, "a").await;
    let id = &old.request.id;
    assert_eq!(reserve(&*store, &old, 1, spend(10, 0), &Budget::default(), at(1)).await, Reservation::Made { attempt: 1 });
    let new = claimed(&*store, "new", id, HELD_FOR).await;
    assert_eq!((&new.task.id, new.taken_over.is_some()), (&old.task.id, true));
    let (drafts, turns) = (store.drafts(id).await.expect("drafts"), store.turns(id, 1).await.expect("turns"));
    // It stood still, and goes on as if it had not; or has the same fence, of which the database knows nothing.
    for old in [&old, &of_another(&new)] {
        let writes = [
            store.begin_draft(old, &draft(id, 2)).await.map(drop),
            store.begin_draft(old, &draft(id, 1)).await.map(drop),
            store.reserve_turn(old, 1, 1, spend(10, 0), &Budget::default(), at(61)).await.map(drop),
            store.settle_turn(old, 1, &settled(1, 1, spend(4, 0))).await,
        ];
        for refused in writes {
            assert!(matches!(&refused, Err(StoreError::Conflict(why)) if why.contains("the lease") && why.contains("was lost")), "{refused:?}");
        }
    }
    assert_eq!((store.drafts(id).await.expect("drafts"), store.turns(id, 1).await.expect("turns")), (drafts, turns));
    assert_eq!(store.spent_since(None, at(0)).await.expect("an answer"), spend(10, 0), "nothing was booked");
    // Whoever has it goes on with it.
    assert_eq!(reserve(&*store, &new, 1, spend(10, 0), &Budget::default(), at(62)).await, Reservation::Made { attempt: 2 });
    store.settle_turn(&new, 1, &settled(1, 2, spend(4, 0))).await.expect("kept");
    store.begin_draft(&new, &draft(id, 2)).await.expect("begun");
}
