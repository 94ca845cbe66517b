//! Looks at the pull requests of open requests, repository by repository: a merge or a close that nobody told us.
//! It is housekeeping: it leaves a reserve of the forge's budget to the steps that need it, and asks only for what changed.

use super::operations::seen;
use super::{OperationError, Pipeline};
use crate::forge::{Mark, Priority, Pull};
use crate::request::{Request, State};
use crate::store::{PageQuery, RequestFilter, StoreError};
use crate::types::RepositoryName;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Open requests listed at once.
const PAGE: u32 = 100;

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
        let open = match self.open().await {
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

    /// Requests with an open pull request, by repository and number.
    async fn open(&self) -> Result<BTreeMap<RepositoryName, BTreeMap<u64, Request>>, StoreError> {
        let filter = RequestFilter { states: vec![State::Proposed, State::Approved], ..RequestFilter::default() };
        let mut query = PageQuery { limit: PAGE, after: None };
        let mut open: BTreeMap<RepositoryName, BTreeMap<u64, Request>> = BTreeMap::new();
        loop {
            let page = self.pipeline.store.requests(&filter, &query).await?;
            for request in page.items {
                if let (Some(repository), Some(pull)) = (request.repository.clone(), &request.pull) {
                    open.entry(repository).or_default().insert(pull.number, request);
                }
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(open),
            }
        }
    }

    async fn look(&mut self, name: &RepositoryName, requests: &BTreeMap<u64, Request>) -> Result<(), OperationError> {
        let rules = self.pipeline.rules.current();
        let Some(repository) = rules.set.inventory.repositories.get(name).cloned() else { return Ok(()) };
        let forge = self.pipeline.forges.forge(&repository, Priority::Housekeeping)?;
        let numbers: Vec<u64> = requests.keys().copied().collect();
        let mut look = forge.look(&numbers, self.marks.get(name)).await?;
        for pull in &look.pulls {
            let Some(request) = requests.get(&pull.number) else { continue };
            if let Err(error) = self.pipeline.observed(&request.id, pull, "the forge").await {
                tracing::warn!(request = %request.id, %error, "what became of its pull request could not be kept");
                look.mark.again(pull.number);
            }
        }
        self.marks.insert(name.clone(), look.mark);
        Ok(())
    }
}

impl Pipeline {
    /// Keeps what was seen of a request's pull request. True when the request changed.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn observed(&self, id: &crate::types::RequestId, pull: &Pull, actor: &str) -> Result<bool, OperationError> {
        let request = self.store.request(id).await?;
        let Some((state, message)) = seen(pull) else { return Ok(false) };
        if state == request.state || !request.state.may_become(state) {
            return Ok(false);
        }
        let repository = request.repository.as_ref().and_then(|name| self.rules.current().set.inventory.repositories.get(name).cloned());
        let tasks = if state.is_ended() { vec![self.clean_up_task(&request, state)] } else { Vec::new() };
        self.change(request, state, message, actor, tasks).await?;
        if let (State::Merged, Some(repository)) = (state, repository) {
            self.mirror(&repository)?.forget_tip();
            self.moved.notify_one();
        }
        Ok(true)
    }
}
