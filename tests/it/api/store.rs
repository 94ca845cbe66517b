//! A store in memory, as far as the API reads it. What the API never calls fails.

use async_trait::async_trait;
use kubeops::request::{Member, Request, Rival, TimelineEntry, Touch};
use kubeops::store::*;
use kubeops::types::{AutomationName, CommitSha, DeliveryId, EventId, RepositoryName, RequestId, SourceName, SuggestionId, Timestamp, TokenId};
use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[derive(Default)]
pub struct FakeStore {
    pub requests: Mutex<Vec<Request>>,
    pub timeline: Mutex<Vec<TimelineEntry>>,
    pub tasks: Mutex<Vec<Task>>,
    pub members: Mutex<Vec<Member>>,
    pub deliveries: Mutex<Vec<Delivery>>,
    pub events: Mutex<Vec<EventRecord>>,
    pub pulls: Mutex<Vec<PullRecord>>,
    pub tokens: Mutex<Vec<TokenRecord>>,
    pub stats: Mutex<Stats>,
    pub drafts: Mutex<Vec<Draft>>,
    /// How often all that was said was read.
    pub drafts_read: AtomicUsize,
    pub progress: Mutex<VecDeque<Progress>>,
    /// What was said; none where nobody may look.
    pub turns: Mutex<Option<Vec<Turn>>>,
    /// What every call fails with.
    pub failure: Mutex<Option<StoreError>>,
    pub token_lookups: AtomicUsize,
    pub checks: AtomicUsize,
    /// The last page asked for.
    pub last_page: Mutex<Option<PageQuery>>,
    /// The last filter of requests.
    pub last_filter: Mutex<Option<RequestFilter>>,
}

fn never<T>() -> Result<T, StoreError> {
    Err(StoreError::Broken("the API does not call this".to_owned()))
}

impl FakeStore {
    fn well(&self) -> Result<(), StoreError> {
        self.failure.lock().expect("a lock").clone().map_or(Ok(()), Err)
    }

    /// Pages by position: the cursor is the index of the next row.
    fn page<T: Clone>(&self, rows: Vec<T>, query: &PageQuery) -> Result<Page<T>, StoreError> {
        self.well()?;
        *self.last_page.lock().expect("a lock") = Some(query.clone());
        let from: usize = query.after.as_deref().map_or(0, |after| after.parse().expect("a cursor of this store"));
        let to = (from + query.limit as usize).min(rows.len());
        Ok(Page { items: rows[from..to].to_vec(), next: (to < rows.len()).then(|| to.to_string()) })
    }
}

#[async_trait]
impl Drafts for FakeStore {
    async fn begin_draft(&self, _: &ClaimedTask, _: &Draft) -> Result<Draft, StoreError> {
        never()
    }
    async fn drafts(&self, request: &RequestId) -> Result<Vec<Draft>, StoreError> {
        self.well()?;
        self.drafts_read.fetch_add(1, Ordering::SeqCst);
        Ok(self.drafts.lock().expect("a lock").iter().filter(|draft| draft.request == *request).cloned().collect())
    }
    async fn newest_draft(&self, request: &RequestId) -> Result<Option<Draft>, StoreError> {
        Ok(self.drafts.lock().expect("a lock").iter().rfind(|draft| draft.request == *request).cloned())
    }
    async fn tally(&self, _: &RequestId, number: u32) -> Result<Tally, StoreError> {
        Ok(Tally { replies: u64::from(number), spent: Spend { tokens: 1_400, micros: 0 } })
    }
    /// What is planned, one after the other; the last stays.
    async fn progress(&self, _: &RequestId) -> Result<Progress, StoreError> {
        let mut planned = self.progress.lock().expect("a lock");
        let next = if planned.len() > 1 { planned.pop_front() } else { planned.front().copied() };
        next.ok_or_else(|| StoreError::Broken("nothing is planned".to_owned()))
    }
    /// Only what shows what was said reads it.
    async fn turns(&self, _: &RequestId, _: u32) -> Result<Vec<Turn>, StoreError> {
        self.turns.lock().expect("a lock").clone().map_or_else(never, Ok)
    }
    async fn reserve_turn(&self, _: &ClaimedTask, _: u32, _: u32, _: Spend, _: &Budget, _: Timestamp) -> Result<Reservation, StoreError> {
        never()
    }
    async fn settle_turn(&self, _: &ClaimedTask, _: u32, _: &Turn) -> Result<(), StoreError> {
        never()
    }
    async fn spent_since(&self, _: Option<&AutomationName>, _: Timestamp) -> Result<Spend, StoreError> {
        never()
    }
}

#[async_trait]
impl Copilots for FakeStore {
    async fn reserve_call(&self, _: Spend, _: Limit, _: Timestamp) -> Result<CallReservation, StoreError> {
        never()
    }
    async fn settle_call(&self, _: u64, _: Spend) -> Result<(), StoreError> {
        never()
    }
    async fn keep_suggestion(&self, _: &Suggestion) -> Result<(), StoreError> {
        never()
    }
    async fn suggestion(&self, _: &SuggestionId) -> Result<Suggestion, StoreError> {
        never()
    }
}

#[async_trait]
impl Replicas for FakeStore {
    async fn moment(&self) -> Result<Option<Timestamp>, StoreError> {
        never()
    }
    async fn take_duty(&self, _: Duty, _: &str, _: Timestamp, _: Duration) -> Result<bool, StoreError> {
        never()
    }
    async fn hold_name(&self, _: &str) -> Result<bool, StoreError> {
        never()
    }
    fn has_lost_name(&self) -> bool {
        false
    }
    async fn dispatch_turn(&self) -> Result<Option<DispatchTurn>, StoreError> {
        never()
    }
    async fn reads(&self, _: &str, _: bool, _: u32) -> Result<u32, StoreError> {
        never()
    }
    async fn died_reading(&self, _: &DeliveryId) -> Result<u32, StoreError> {
        never()
    }
    async fn reads_alone(&self, _: &str, _: &DeliveryId) -> Result<u32, StoreError> {
        never()
    }
    async fn has_read_alone(&self, _: &str, _: &DeliveryId, _: bool) -> Result<u32, StoreError> {
        never()
    }
    async fn has_read_all(&self) -> Result<(), StoreError> {
        never()
    }
    async fn woken(&self) {
        std::future::pending().await
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn append(&self, _: &[NewDelivery]) -> Result<Vec<Appended>, StoreError> {
        never()
    }
    async fn pending_besides(&self, _: &[DeliveryId], _: u32) -> Result<Vec<Delivery>, StoreError> {
        never()
    }
    async fn dispatch(&self, _: &[Dispatch], _: Timestamp) -> Result<Vec<Vec<RequestId>>, StoreError> {
        never()
    }
    async fn commits_kept(&self, _: &RepositoryName, _: &[CommitSha]) -> Result<HashMap<CommitSha, bool>, StoreError> {
        never()
    }
    async fn claim_as(&self, _: Claimer<'_>, _: Timestamp, _: Duration, _: Room) -> Result<Vec<ClaimedTask>, StoreError> {
        never()
    }
    async fn clock(&self) -> Result<StoreClock, StoreError> {
        never()
    }
    async fn set_back(&self, _: Duration, _: Duration, _: Duration, _: Timestamp) -> Result<bool, StoreError> {
        never()
    }
    async fn newest_moment(&self) -> Result<Option<Timestamp>, StoreError> {
        never()
    }
    async fn extend_leases(&self, _: &[&ClaimedTask], _: Timestamp) -> Result<(), StoreError> {
        never()
    }
    async fn admit(&self, _: &ClaimedTask, _: &Admission, _: Timestamp) -> Result<Admitted, StoreError> {
        never()
    }
    async fn touches(&self, _: &TouchQuery<'_>, _: u32) -> Result<Vec<Touch>, StoreError> {
        never()
    }
    async fn members(&self, _: &RequestId, _: bool, _: u32, _: u32) -> Result<Vec<Member>, StoreError> {
        Ok(self.members.lock().expect("members").clone())
    }
    async fn withdraw_member(&self, _: &Withdrawal, _: Timestamp) -> Result<Request, StoreError> {
        never()
    }
    async fn settle_all(&self, _: &[(&ClaimedTask, &Settlement)], _: Timestamp) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        never()
    }
    async fn add_tasks(&self, _: &[NewTask]) -> Result<(), StoreError> {
        never()
    }
    async fn add_tasks_noted(&self, _: &RequestId, _: &[NewTask], _: &TimelineEntry) -> Result<(), StoreError> {
        never()
    }
    async fn release(&self, _: &str) -> Result<u64, StoreError> {
        never()
    }
    async fn take_back(&self, _: &str) -> Result<u64, StoreError> {
        never()
    }
    async fn next_due_as(&self, _: Claimer<'_>, _: Room) -> Result<Option<Timestamp>, StoreError> {
        never()
    }
    async fn tasks(&self, filter: &TaskFilter, _: u32) -> Result<Vec<Task>, StoreError> {
        self.well()?;
        let tasks = self.tasks.lock().expect("a lock");
        Ok(tasks.iter().filter(|task| filter.request.as_ref().is_none_or(|of| *of == task.request)).cloned().collect())
    }
    async fn request(&self, id: &RequestId) -> Result<Request, StoreError> {
        self.well()?;
        let requests = self.requests.lock().expect("a lock");
        requests.iter().find(|request| request.id == *id).cloned().ok_or_else(|| StoreError::NotFound(format!("request {id}")))
    }
    async fn request_of_pull(&self, _: &RepositoryName, _: u64) -> Result<Option<Request>, StoreError> {
        never()
    }
    async fn requests_about(&self, clue: &Clue, _: u32) -> Result<Vec<RequestId>, StoreError> {
        let rows = self.requests.lock().expect("a lock").clone();
        Ok(rows.into_iter().filter(|row| *clue == Clue::Name(row.key.correlation.clone())).map(|row| row.id).collect())
    }
    async fn requests(&self, filter: &RequestFilter, page: &PageQuery) -> Result<Page<Request>, StoreError> {
        *self.last_filter.lock().expect("a lock") = Some(filter.clone());
        let rows = self.requests.lock().expect("a lock").clone();
        self.page(rows.into_iter().filter(|row| filter.states.is_empty() || filter.states.contains(&row.state)).collect(), page)
    }
    async fn rivals(&self, _: &RivalQuery<'_>, _: u32) -> Result<Vec<Rival>, StoreError> {
        never()
    }
    async fn taken_back(&self, _: &RequestId) -> Result<Vec<TakenBack>, StoreError> {
        unreachable!("nothing here takes back")
    }
    async fn are_recorded(&self, _: &SourceName, _: &[String]) -> Result<Vec<bool>, StoreError> {
        unreachable!("nothing here reconciles")
    }
    async fn deployments(&self, _: &RepositoryName, _: Timestamp, _: u32) -> Result<Vec<Deployment>, StoreError> {
        unreachable!("nothing here is deployed")
    }
    async fn run_ends(&self, _: &RequestId, _: u32) -> Result<Vec<RunEnd>, StoreError> {
        unreachable!("nothing here runs")
    }
    async fn told_so_far(&self, _: &RequestId) -> Result<ToldSoFar, StoreError> {
        unreachable!("nothing here tells")
    }
    async fn commands(&self, _: &RequestId) -> Result<Vec<CommandComment>, StoreError> {
        unreachable!("nobody asks in comments here")
    }
    async fn note_command(&self, _: &ClaimedTask, _: &CommandComment, _: &[TimelineEntry]) -> Result<(), StoreError> {
        unreachable!("nobody asks in comments here")
    }
    async fn note_act(&self, _: &ClaimedTask, _: &Act, _: &[TimelineEntry]) -> Result<(), StoreError> {
        unreachable!("nothing here tells")
    }
    async fn begin_again_unfenced(&self, _: &[ActKey], _: Timestamp) -> Result<(), StoreError> {
        unreachable!("nothing here tells")
    }
    async fn timeline(&self, _: &RequestId) -> Result<Vec<TimelineEntry>, StoreError> {
        self.well()?;
        Ok(self.timeline.lock().expect("a lock").clone())
    }
    async fn update_request(&self, _: &Request, _: &RequestUpdate, _: Timestamp) -> Result<(), StoreError> {
        never()
    }
    async fn delivery(&self, id: &DeliveryId) -> Result<Delivery, StoreError> {
        self.well()?;
        let deliveries = self.deliveries.lock().expect("a lock");
        deliveries.iter().find(|delivery| delivery.id == *id).cloned().ok_or_else(|| StoreError::NotFound(format!("delivery {id}")))
    }
    async fn deliveries(&self, filter: &DeliveryFilter, page: &PageQuery) -> Result<Page<Delivery>, StoreError> {
        let rows = self.deliveries.lock().expect("a lock").clone();
        self.page(rows.into_iter().filter(|row| filter.state.is_none_or(|state| state == row.state)).collect(), page)
    }
    async fn event(&self, id: &EventId) -> Result<EventRecord, StoreError> {
        self.well()?;
        let events = self.events.lock().expect("a lock");
        events.iter().find(|event| event.id == *id).cloned().ok_or_else(|| StoreError::NotFound(format!("event {id}")))
    }
    async fn events(&self, filter: &EventFilter, page: &PageQuery) -> Result<Page<EventRecord>, StoreError> {
        let rows = self.events.lock().expect("a lock").clone();
        self.page(rows.into_iter().filter(|row| filter.kind.as_ref().is_none_or(|kind| *kind == row.kind)).collect(), page)
    }
    async fn insert_pull(&self, _: &PullRecord) -> Result<u64, StoreError> {
        never()
    }
    async fn update_pull(&self, _: &PullRecord) -> Result<(), StoreError> {
        never()
    }
    async fn pull(&self, repository: &RepositoryName, number: u64) -> Result<Option<PullRecord>, StoreError> {
        self.well()?;
        Ok(self.pulls.lock().expect("a lock").iter().find(|pull| pull.repository == *repository && pull.number == number).cloned())
    }
    async fn pulls(&self, filter: &PullFilter, page: &PageQuery) -> Result<Page<PullRecord>, StoreError> {
        let rows = self.pulls.lock().expect("a lock").clone();
        self.page(rows.into_iter().filter(|row| filter.state.is_none_or(|state| state == row.state)).collect(), page)
    }
    async fn insert_token(&self, token: &TokenRecord) -> Result<(), StoreError> {
        self.well()?;
        self.tokens.lock().expect("a lock").push(token.clone());
        Ok(())
    }
    async fn token_by_hash(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<TokenRecord>, StoreError> {
        self.token_lookups.fetch_add(1, Ordering::SeqCst);
        self.well()?;
        let tokens = self.tokens.lock().expect("a lock");
        let valid = |token: &&TokenRecord| token.revoked_at.is_none() && token.expires_at.is_none_or(|expiry| now < expiry);
        Ok(tokens.iter().filter(valid).find(|token| token.hash == *hash).cloned())
    }
    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        self.well()?;
        Ok(self.tokens.lock().expect("a lock").clone())
    }
    async fn revoke_token(&self, id: &TokenId, now: Timestamp) -> Result<(), StoreError> {
        self.well()?;
        let mut tokens = self.tokens.lock().expect("a lock");
        let token = tokens.iter_mut().find(|token| token.id == *id).ok_or_else(|| StoreError::NotFound(format!("token {id}")))?;
        token.revoked_at = Some(now);
        Ok(())
    }
    async fn stats(&self, _: Timestamp) -> Result<Stats, StoreError> {
        self.well()?;
        Ok(self.stats.lock().expect("a lock").clone())
    }
    async fn prune_from(&self, _: Timestamp, _: Reached, _: u32) -> Result<(Pruned, Reached), StoreError> {
        never()
    }
    async fn check(&self) -> Result<(), StoreError> {
        self.checks.fetch_add(1, Ordering::SeqCst);
        self.well()
    }
    async fn close(&self) {}
}
