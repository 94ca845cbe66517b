//! Looks at the pull requests of open requests, repository by repository: a merge or a close that nobody told us.
//! It is housekeeping: it leaves a reserve of the forge's budget to the steps that need it, and asks only for what changed.

use super::{OperationError, Pipeline, Report, outcome};
use crate::forge::{ForgeError, Mark, Priority, Pull, PullState};
use crate::inventory::Repository;
use crate::request::{Request, State};
use crate::store::{ClaimedTask, PageQuery, RequestFilter, Settlement, Store, StoreError};
use crate::types::{RepositoryName, RequestId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Who brings a request to what was seen of its pull request, as its timeline names it.
pub(super) const THE_FORGE: &str = "the forge";
/// Open requests listed at once.
const PAGE: u32 = 100;

/// Requests with an open pull request, by repository and number.
pub(super) type OpenPulls = BTreeMap<RepositoryName, BTreeMap<u64, RequestId>>;

/// A walk through all requests with an open pull request: of thousands no more than a page is held at a time.
struct AllOpen<'s> {
    store: &'s dyn Store,
    /// Behind the last page there is none.
    next: Option<PageQuery>,
}

impl AllOpen<'_> {
    async fn page(&mut self) -> Result<Option<Vec<Request>>, StoreError> {
        let Some(query) = self.next.take() else { return Ok(None) };
        let filter = RequestFilter { states: vec![State::Proposed, State::Approved], ..RequestFilter::default() };
        let page = self.store.requests(&filter, &query).await?;
        self.next = page.next.map(|after| PageQuery { after: Some(after), ..query });
        Ok(Some(page.items))
    }
}

/// Looks again and again, and remembers how far it came.
pub struct Observer {
    pipeline: Arc<Pipeline>,
    marks: HashMap<RepositoryName, Mark>,
}

impl Observer {
    /// An observer that has seen nothing yet.
    pub fn new(pipeline: Arc<Pipeline>) -> Self {
        Self { pipeline, marks: HashMap::new() }
    }

    /// One look at every open pull request. What fails is logged, and looked at again the next time.
    pub async fn round(&mut self) {
        let open = match self.list().await {
            Ok(open) => open,
            Err(error) => return tracing::warn!(%error, "open requests could not be listed"),
        };
        for (repository, requests) in open {
            if let Err(error) = self.look(&repository, &requests).await {
                match error {
                    OperationError::Step(error) if error.limited().is_some() => {
                        tracing::info!(%repository, %error, "its pull requests are looked at later");
                    }
                    error => tracing::warn!(%repository, %error, "its pull requests could not be looked at"),
                }
            }
        }
    }

    /// A look at the calendars alone of every open request, because others are in force.
    pub async fn calendars(&self) {
        let mut all = self.pipeline.all_open();
        loop {
            match all.page().await {
                Ok(Some(page)) => {
                    for request in &page {
                        self.pipeline.keep_calendars_of(request).await;
                    }
                }
                Ok(None) => return,
                Err(error) => return tracing::warn!(%error, "open requests could not be listed"),
            }
        }
    }

    /// Every open pull request; on the way it is kept how the calendars of each request stand now.
    async fn list(&self) -> Result<OpenPulls, StoreError> {
        let (mut all, mut open) = (self.pipeline.all_open(), OpenPulls::new());
        while let Some(page) = all.page().await? {
            for request in page {
                self.pipeline.keep_calendars_of(&request).await;
                add(&mut open, request);
            }
        }
        Ok(open)
    }

    async fn look(&mut self, name: &RepositoryName, requests: &BTreeMap<u64, RequestId>) -> Result<(), OperationError> {
        let rules = self.pipeline.rules.current();
        let Some(repository) = rules.set.inventory.repositories.get(name).cloned() else { return Ok(()) };
        let forge = self.pipeline.forges.forge(&repository, Priority::Housekeeping)?;
        let numbers: Vec<u64> = requests.keys().copied().collect();
        let mut look = forge.look(&numbers, self.marks.get(name)).await?;
        for pull in &look.pulls {
            let Some(request) = requests.get(&pull.number) else { continue };
            if let Err(error) = self.pipeline.observed(request, pull, THE_FORGE).await {
                tracing::warn!(%request, %error, "what became of its pull request could not be kept");
                look.mark.again(pull.number);
            }
        }
        self.marks.insert(name.clone(), look.mark);
        Ok(())
    }
}

impl Pipeline {
    /// Requests with an open pull request.
    pub(super) async fn open_pulls(&self) -> Result<OpenPulls, StoreError> {
        let (mut all, mut open) = (self.all_open(), OpenPulls::new());
        while let Some(page) = all.page().await? {
            page.into_iter().for_each(|request| add(&mut open, request));
        }
        Ok(open)
    }

    fn all_open(&self) -> AllOpen<'_> {
        AllOpen { store: self.store.as_ref(), next: Some(PageQuery { limit: PAGE, after: None }) }
    }

    /// Keeps how the calendars of a request stand now.
    async fn keep_calendars_of(&self, request: &Request) {
        if let Err(error) = self.see_calendars(request).await {
            tracing::warn!(request = %request.id, %error, "how its calendars stand could not be kept");
        }
    }

    /// Looks at the pull requests of requests of one repository, because somebody said that something happened to them.
    pub(super) async fn observe_all(&self, observed: &[(usize, &ClaimedTask)], report: &Report) {
        let numbers: Vec<u64> = observed.iter().filter_map(|(_, claimed)| claimed.request.pull.as_ref()).map(|pull| pull.number).collect();
        let rules = self.rules.current();
        let name = observed.iter().find_map(|(_, claimed)| claimed.request.repository.as_ref());
        let repository = name.and_then(|name| rules.set.inventory.repositories.get(name));
        let looked = match repository {
            Some(repository) => self.look_at(repository, &numbers).await,
            None => Ok(Vec::new()),
        };
        for (place, claimed) in observed {
            let request = &claimed.request;
            let shown = match &looked {
                Ok(pulls) => match pulls.iter().find(|pull| request.pull.as_ref().is_some_and(|own| own.number == pull.number)) {
                    Some(pull) => self.shown(request, pull, THE_FORGE).await.map_err(Into::into),
                    None => Ok(outcome::nothing()),
                },
                Err(error) => Err(error.clone().into()),
            };
            report.tell(*place, shown);
        }
    }

    /// The live request that asks for the same as one that is over.
    async fn heir(&self, request: &Request) -> Result<Option<RequestId>, StoreError> {
        let filter = RequestFilter {
            automation: Some(request.key.automation.clone()),
            correlation: Some(request.key.correlation.clone()),
            states: State::ALL.into_iter().filter(|state| !state.is_ended()).collect(),
            ..RequestFilter::default()
        };
        let live = self.store.requests(&filter, &PageQuery { limit: 1, after: None }).await?;
        Ok(live.items.into_iter().next().map(|heir| heir.id))
    }

    async fn look_at(&self, repository: &Repository, numbers: &[u64]) -> Result<Vec<Pull>, ForgeError> {
        let forge = self.forges.forge(repository, Priority::Ticket)?;
        Ok(forge.look(numbers, None).await?.pulls)
    }

    /// What a look at the pull request leaves to write.
    async fn shown(&self, request: &Request, pull: &Pull, actor: &str) -> Result<Settlement, StoreError> {
        let Some((state, message)) = shows(request.state, pull) else { return Ok(self.followed(request, pull).unwrap_or_default()) };
        if request.state.is_ended()
            && !state.is_ended()
            && let Some(heir) = self.heir(request).await?
        {
            let message = format!("{message}, and {heir} asks for the same by now: it stays {}", request.state);
            return Ok(outcome::noted(request, message, self.clock.as_ref()));
        }
        if let Some(repository) = request.repository.as_ref().filter(|_| state == State::Merged) {
            self.base_was_pushed(&BTreeSet::from([repository.clone()]));
        }
        let request = merged_by(request.clone(), pull);
        Ok(outcome::seen(request, state, message, actor, self.clock.as_ref()))
    }

    /// Keeps what was seen of a request's pull request. True when the request changed.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn observed(&self, id: &RequestId, pull: &Pull, actor: &str) -> Result<bool, OperationError> {
        let request = self.store.request(id).await?;
        let settlement = self.shown(&request, pull, actor).await?;
        let changed = settlement.request.as_ref().is_some_and(|now| now.state != request.state);
        match changed {
            true => self.write(settlement, true).await?,
            false => self.keep(settlement).await?,
        }
        Ok(changed)
    }
}

fn add(open: &mut OpenPulls, request: Request) {
    if let (Some(repository), Some(pull)) = (request.repository, request.pull) {
        open.entry(repository).or_default().insert(pull.number, request.id);
    }
}

/// The request with the commit that merged it, as far as the forge tells.
pub(super) fn merged_by(request: Request, pull: &Pull) -> Request {
    Request { merged: pull.merge_commit.clone().or(request.merged), ..request }
}

/// The state a pull request shows that a request is not in yet but may become, and a sentence about it.
pub(super) fn shows(known: State, pull: &Pull) -> Option<(State, String)> {
    let (state, message) = match pull.state {
        PullState::Merged => {
            let commit = pull.merge_commit.as_ref().map_or_else(String::new, |commit| format!(" as {}", &commit.as_str()[..12]));
            (State::Merged, format!("pull request #{} was merged{commit}", pull.number))
        }
        PullState::Closed => (State::Declined, format!("pull request #{} was closed without a merge", pull.number)),
        PullState::Open if known == State::Declined => (State::Proposed, format!("pull request #{} was opened again", pull.number)),
        PullState::Open if !pull.approved_by.is_empty() => {
            let approved = format!("pull request #{} was approved by {}", pull.number, pull.approved_by.join(", "));
            (State::Approved, std::iter::once(approved).chain(pull.notes.iter().cloned()).collect::<Vec<_>>().join("; "))
        }
        PullState::Open if known == State::Approved => (State::Proposed, format!("pull request #{} is no longer approved", pull.number)),
        PullState::Open => return None,
    };
    (state != known && known.may_become(state)).then_some((state, message))
}
