//! Group commit: who is answered, when, and what happens when the store says no.

use super::sqlite::empty;
use super::support::delivery;
use async_trait::async_trait;
use kubeops::request::{Member, Request, Rival, TimelineEntry, Touch};
use kubeops::store::inbox::{Inbox, InboxOptions};
use kubeops::store::*;
use kubeops::types::{AutomationName, CommitSha, DeliveryId, EventId, RepositoryName, RequestId, SourceName, SuggestionId, Timestamp, TokenId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// A store whose `append` waits for a permit and can be made to refuse; it remembers its batches.
struct Gate {
    permits: Semaphore,
    refuse: Mutex<Option<StoreError>>,
    batches: Mutex<Vec<Vec<String>>>,
}

impl Gate {
    fn closed() -> Arc<Self> {
        Arc::new(Self { permits: Semaphore::new(0), refuse: Mutex::new(None), batches: Mutex::new(Vec::new()) })
    }

    fn batches(&self) -> Vec<Vec<String>> {
        self.batches.lock().expect("the batches").clone()
    }
}

/// Nor does it know anything of drafts.
#[async_trait]
impl Drafts for Gate {
    async fn begin_draft(&self, _: &ClaimedTask, _: &Draft) -> Result<Draft, StoreError> {
        out_of_place()
    }
    async fn drafts(&self, _: &RequestId) -> Result<Vec<Draft>, StoreError> {
        out_of_place()
    }
    async fn turns(&self, _: &RequestId, _: u32) -> Result<Vec<Turn>, StoreError> {
        out_of_place()
    }
    async fn newest_draft(&self, _: &RequestId) -> Result<Option<Draft>, StoreError> {
        out_of_place()
    }
    async fn tally(&self, _: &RequestId, _: u32) -> Result<Tally, StoreError> {
        out_of_place()
    }
    async fn progress(&self, _: &RequestId) -> Result<Progress, StoreError> {
        out_of_place()
    }
    async fn reserve_turn(&self, _: &ClaimedTask, _: u32, _: u32, _: Spend, _: &Budget, _: Timestamp) -> Result<Reservation, StoreError> {
        out_of_place()
    }
    async fn settle_turn(&self, _: &ClaimedTask, _: u32, _: &Turn) -> Result<(), StoreError> {
        out_of_place()
    }
    async fn spent_since(&self, _: Option<&AutomationName>, _: Timestamp) -> Result<Spend, StoreError> {
        out_of_place()
    }
}

#[async_trait]
impl Replicas for Gate {
    async fn moment(&self) -> Result<Option<Timestamp>, StoreError> {
        out_of_place()
    }
    async fn take_duty(&self, _: Duty, _: &str, _: Timestamp, _: Duration) -> Result<bool, StoreError> {
        out_of_place()
    }
    async fn hold_name(&self, _: &str) -> Result<bool, StoreError> {
        out_of_place()
    }
    fn has_lost_name(&self) -> bool {
        false
    }
    async fn dispatch_turn(&self) -> Result<Option<DispatchTurn>, StoreError> {
        out_of_place()
    }
    async fn reads(&self, _: &str, _: bool, _: u32) -> Result<u32, StoreError> {
        out_of_place()
    }
    async fn died_reading(&self, _: &DeliveryId) -> Result<u32, StoreError> {
        out_of_place()
    }
    async fn reads_alone(&self, _: &str, _: &DeliveryId) -> Result<u32, StoreError> {
        out_of_place()
    }
    async fn has_read_alone(&self, _: &str, _: &DeliveryId, _: bool) -> Result<u32, StoreError> {
        out_of_place()
    }
    async fn has_read_all(&self) -> Result<(), StoreError> {
        out_of_place()
    }
    async fn woken(&self) {
        std::future::pending().await
    }
}

#[async_trait]
impl Copilots for Gate {
    async fn reserve_call(&self, _: Spend, _: Limit, _: Timestamp) -> Result<CallReservation, StoreError> {
        out_of_place()
    }
    async fn settle_call(&self, _: u64, _: Spend) -> Result<(), StoreError> {
        out_of_place()
    }
    async fn keep_suggestion(&self, _: &Suggestion) -> Result<(), StoreError> {
        out_of_place()
    }
    async fn suggestion(&self, _: &SuggestionId) -> Result<Suggestion, StoreError> {
        out_of_place()
    }
}

fn out_of_place<T>() -> Result<T, StoreError> {
    Err(StoreError::Broken("this store only appends".to_owned()))
}

/// `append` as above; every other method of a store is out of place here and says so.
macro_rules! store_that_only_appends {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {
        #[async_trait]
        impl Store for Gate {
            async fn append(&self, batch: &[NewDelivery]) -> Result<Vec<Appended>, StoreError> {
                self.append_when_let(batch).await
            }

            async fn close(&self) {}

            $(async fn $name(&self, $($argument: $kind),*) -> Result<$result, StoreError> {
                $(let _ = $argument;)*
                out_of_place()
            })*
        }
    };
}

store_that_only_appends! {
    fn pending_besides(passed_by: &[DeliveryId], limit: u32) -> Vec<Delivery>;
    fn requests_about(clue: &Clue, limit: u32) -> Vec<RequestId>;
    fn taken_back(id: &RequestId) -> Vec<TakenBack>;
    fn are_recorded(source: &SourceName, keys: &[String]) -> Vec<bool>;
    fn deployments(repository: &RepositoryName, since: Timestamp, limit: u32) -> Vec<Deployment>;
    fn run_ends(id: &RequestId, limit: u32) -> Vec<RunEnd>;
    fn told_so_far(id: &RequestId) -> ToldSoFar;
    fn note_act(held: &ClaimedTask, act: &Act, timeline: &[TimelineEntry]) -> ();
    fn begin_again_unfenced(refused: &[ActKey], now: Timestamp) -> ();
    fn commands(id: &RequestId) -> Vec<CommandComment>;
    fn note_command(held: &ClaimedTask, command: &CommandComment, timeline: &[TimelineEntry]) -> ();
    fn dispatch(entries: &[Dispatch], now: Timestamp) -> Vec<Vec<RequestId>>;
    fn claim_as(claimer: Claimer<'_>, now: Timestamp, lease: Duration, room: Room) -> Vec<ClaimedTask>;
    fn clock() -> StoreClock;
    fn set_back(by: Duration, before: Duration, lease: Duration, now: Timestamp) -> bool;
    fn newest_moment() -> Option<Timestamp>;
    fn extend_leases(tasks: &[&ClaimedTask], until: Timestamp) -> ();
    fn admit(held: &ClaimedTask, wanted: &Admission, now: Timestamp) -> Admitted;
    fn touches(query: &TouchQuery<'_>, limit: u32) -> Vec<Touch>;
    fn commits_kept(repository: &RepositoryName, among: &[CommitSha]) -> HashMap<CommitSha, bool>;
    fn members(id: &RequestId, open: bool, behind: u32, limit: u32) -> Vec<Member>;
    fn withdraw_member(withdrawal: &Withdrawal, now: Timestamp) -> Request;
    fn settle_all(settled: &[(&ClaimedTask, &Settlement)], now: Timestamp) -> Vec<Result<(), StoreError>>;
    fn add_tasks(tasks: &[NewTask]) -> ();
    fn add_tasks_noted(id: &RequestId, tasks: &[NewTask], entry: &TimelineEntry) -> ();
    fn release(owner: &str) -> u64;
    fn take_back(owner: &str) -> u64;
    fn next_due_as(claimer: Claimer<'_>, room: Room) -> Option<Timestamp>;
    fn tasks(filter: &TaskFilter, limit: u32) -> Vec<Task>;
    fn request(id: &RequestId) -> Request;
    fn request_of_pull(repository: &RepositoryName, number: u64) -> Option<Request>;
    fn requests(filter: &RequestFilter, page: &PageQuery) -> Page<Request>;
    fn rivals(query: &RivalQuery<'_>, limit: u32) -> Vec<Rival>;
    fn timeline(id: &RequestId) -> Vec<TimelineEntry>;
    fn update_request(request: &Request, update: &RequestUpdate, now: Timestamp) -> ();
    fn delivery(id: &DeliveryId) -> Delivery;
    fn deliveries(filter: &DeliveryFilter, page: &PageQuery) -> Page<Delivery>;
    fn event(id: &EventId) -> EventRecord;
    fn events(filter: &EventFilter, page: &PageQuery) -> Page<EventRecord>;
    fn insert_pull(pull: &PullRecord) -> u64;
    fn update_pull(pull: &PullRecord) -> ();
    fn pull(repository: &RepositoryName, number: u64) -> Option<PullRecord>;
    fn pulls(filter: &PullFilter, page: &PageQuery) -> Page<PullRecord>;
    fn insert_token(token: &TokenRecord) -> ();
    fn token_by_hash(hash: &[u8; 32], now: Timestamp) -> Option<TokenRecord>;
    fn tokens() -> Vec<TokenRecord>;
    fn revoke_token(id: &TokenId, now: Timestamp) -> ();
    fn stats(now: Timestamp) -> Stats;
    fn prune_from(before: Timestamp, reached: Reached, limit: u32) -> (Pruned, Reached);
    fn check() -> ();
}

impl Gate {
    async fn append_when_let(&self, batch: &[NewDelivery]) -> Result<Vec<Appended>, StoreError> {
        self.permits.acquire().await.expect("a permit").forget();
        self.batches.lock().expect("the batches").push(batch.iter().map(|new| new.dedup_key.clone()).collect());
        let refusal = self.refuse.lock().expect("the refusal").clone();
        match refusal {
            Some(error @ StoreError::Conflict(_)) if batch.iter().any(|new| new.dedup_key == "poison") => Err(error),
            Some(StoreError::Conflict(_)) | None => Ok(vec![Appended::New; batch.len()]),
            Some(error) => Err(error),
        }
    }
}

type Answer = tokio::task::JoinHandle<Result<Appended, StoreError>>;

/// Hands a delivery in; returns when it is queued.
async fn hand_in(inbox: &Arc<Inbox>, key: &str) -> Answer {
    let queued = inbox.counts().queued;
    let (inner, new) = (inbox.clone(), delivery(key));
    let answer = tokio::spawn(async move { inner.accept(new).await });
    while inbox.counts().queued == queued && !answer.is_finished() {
        tokio::task::yield_now().await;
    }
    answer
}

/// Lets other tasks run until nothing more happens; the runtime of these tests has one thread.
async fn settled() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_first_is_written_alone_and_those_that_came_meanwhile_together() {
    let gate = Gate::closed();
    let inbox = Arc::new(Inbox::new(gate.clone(), InboxOptions::default()));
    let first = hand_in(&inbox, "a").await;
    settled().await;
    let mut answers = vec![first];
    for key in ["b", "c", "d"] {
        answers.push(hand_in(&inbox, key).await);
    }
    settled().await;
    assert!(answers.iter().all(|answer| !answer.is_finished()), "nobody is answered before the commit");
    assert_eq!(inbox.counts().queued, 4);
    gate.permits.add_permits(2);
    for answer in answers {
        assert_eq!(answer.await.expect("a caller"), Ok(Appended::New));
    }
    assert_eq!(gate.batches(), [vec!["a"], vec!["b", "c", "d"]]);
    let counts = inbox.counts();
    assert_eq!((counts.batches, counts.deliveries, counts.queued, counts.queued_bytes), (2, 4, 0, 0));
    assert_eq!(*inbox.written().borrow(), 4);
}

#[tokio::test]
async fn a_batch_has_a_largest_size() {
    let gate = Gate::closed();
    let inbox = Arc::new(Inbox::new(gate.clone(), InboxOptions { max_batch: 2, ..Default::default() }));
    let mut answers = vec![hand_in(&inbox, "0").await];
    settled().await;
    for key in ["1", "2", "3", "4", "5"] {
        answers.push(hand_in(&inbox, key).await);
    }
    gate.permits.add_permits(9);
    for answer in answers {
        answer.await.expect("a caller").expect("written");
    }
    assert_eq!(gate.batches().iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 2, 1]);
}

#[tokio::test]
async fn when_too_much_waits_the_next_is_refused_at_once() {
    let gate = Gate::closed();
    let inbox = Arc::new(Inbox::new(gate.clone(), InboxOptions { max_queued: 2, ..Default::default() }));
    let mut answers = vec![hand_in(&inbox, "in the commit").await];
    settled().await;
    answers.push(hand_in(&inbox, "1").await);
    answers.push(hand_in(&inbox, "2").await);
    let refused = inbox.accept(delivery("3")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    gate.permits.add_permits(9);
    for answer in answers {
        answer.await.expect("a caller").expect("written");
    }
    assert_eq!(inbox.counts().refused, 1);
    inbox.accept(delivery("4")).await.expect("there is room again");
}

#[tokio::test]
async fn bytes_that_wait_are_bounded_too() {
    let gate = Gate::closed();
    let inbox = Arc::new(Inbox::new(gate.clone(), InboxOptions { max_queued_bytes: 10_000, ..Default::default() }));
    let answer = hand_in(&inbox, "small").await;
    let big = || NewDelivery { body: vec![0; 20_000], ..delivery("big") };
    assert!(matches!(inbox.accept(big()).await, Err(StoreError::Unavailable(_))));
    assert_eq!(inbox.counts().queued, 1, "a refused one takes no room");
    gate.permits.add_permits(9);
    answer.await.expect("a caller").expect("written");
    settled().await;
    inbox.accept(big()).await.expect("alone it is let through");
}

#[tokio::test]
async fn one_bad_delivery_does_not_fail_the_others() {
    let gate = Gate::closed();
    *gate.refuse.lock().expect("the refusal") = Some(StoreError::Conflict("an id used twice".to_owned()));
    let inbox = Arc::new(Inbox::new(gate.clone(), InboxOptions::default()));
    let mut answers = vec![hand_in(&inbox, "0").await];
    settled().await;
    for key in ["1", "2", "poison", "3", "4"] {
        answers.push(hand_in(&inbox, key).await);
    }
    gate.permits.add_permits(99);
    let mut written = Vec::new();
    for answer in answers {
        written.push(answer.await.expect("a caller").is_ok());
    }
    assert_eq!(written, [true, true, true, false, true, true]);
    assert_eq!(inbox.counts().failed, 1);
}

#[tokio::test]
async fn a_store_that_is_full_refuses_the_whole_batch_with_one_try() {
    let gate = Gate::closed();
    *gate.refuse.lock().expect("the refusal") = Some(StoreError::Full("no space".to_owned()));
    let inbox = Arc::new(Inbox::new(gate.clone(), InboxOptions::default()));
    let mut answers = vec![hand_in(&inbox, "0").await];
    settled().await;
    for key in ["1", "2", "3"] {
        answers.push(hand_in(&inbox, key).await);
    }
    gate.permits.add_permits(99);
    for answer in answers {
        assert!(matches!(answer.await.expect("a caller"), Err(StoreError::Full(_))));
    }
    assert_eq!(gate.batches().len(), 2);
    *gate.refuse.lock().expect("the refusal") = None;
    inbox.accept(delivery("later")).await.expect("it goes on when there is room");
}

#[tokio::test]
async fn a_caller_that_goes_away_harms_nobody() {
    let gate = Gate::closed();
    let inbox = Arc::new(Inbox::new(gate.clone(), InboxOptions::default()));
    let gone = [hand_in(&inbox, "0").await, hand_in(&inbox, "1").await];
    let stays = hand_in(&inbox, "2").await;
    gone.iter().for_each(Answer::abort);
    settled().await;
    gate.permits.add_permits(99);
    stays.await.expect("a caller").expect("written");
    assert_eq!(gate.batches().concat(), ["0", "1", "2"], "what was handed in is written");
    assert_eq!(inbox.counts().queued, 0);
}

#[tokio::test]
async fn shutting_down_writes_what_waits_and_takes_nothing_more() {
    let gate = Gate::closed();
    let inbox = Arc::new(Inbox::new(gate.clone(), InboxOptions { max_batch: 2, ..Default::default() }));
    let mut answers = Vec::new();
    for key in ["0", "1", "2", "3"] {
        answers.push(hand_in(&inbox, key).await);
    }
    let down = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.shutdown().await }
    });
    settled().await;
    assert!(!down.is_finished());
    gate.permits.add_permits(99);
    down.await.expect("it ends");
    for answer in answers {
        answer.await.expect("a caller").expect("written");
    }
    assert!(matches!(inbox.accept(delivery("late")).await, Err(StoreError::Unavailable(_))));
    inbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_callers_share_commits_and_each_learns_its_own_outcome() {
    let (store, _keep) = empty().await;
    let inbox = Arc::new(Inbox::new(store.clone(), InboxOptions::default()));
    let mut written = inbox.written();
    let callers = (0..32).map(|caller| {
        let inbox = inbox.clone();
        tokio::spawn(async move {
            let mut new = Vec::new();
            for n in 0..20 {
                // Every fourth delivery is sent by all.
                let told = delivery(&if n % 4 == 0 { format!("all-{n}") } else { format!("{caller}-{n}") });
                match inbox.accept(told.clone()).await.expect("written") {
                    Appended::New => new.push(told.id),
                    Appended::Duplicate(first) => assert_ne!(first, told.id),
                }
            }
            new
        })
    });
    let mut new = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        new.extend(caller.await.expect("a caller"));
    }
    assert_eq!(new.len(), 32 * 15 + 5);
    written.changed().await.expect("the dispatcher is woken");
    inbox.shutdown().await;
    let counts = inbox.counts();
    assert_eq!((counts.deliveries, counts.duplicates), (485, 32 * 20 - 485));
    assert!(counts.batches < 32 * 20, "{counts:?}");
    let mut pending: Vec<DeliveryId> = store.pending_deliveries(1000).await.expect("pending").into_iter().map(|delivery| delivery.id).collect();
    pending.sort();
    new.sort();
    assert_eq!(pending, new);
}
