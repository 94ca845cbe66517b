//! Base branches that move: every open request is owed a new plan on the new tip.
//! It only owes: the work is a task like any other, so it survives a crash and is done once.

use super::operations::OperationError;
use super::outcome;
use super::{Pipeline, blocking};
use crate::inventory::Repository;
use crate::request::State;
use crate::store::{NewTask, PageQuery, RequestFilter, TaskKind, lane};
use crate::types::{CommitSha, RepositoryName};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Open requests listed at once.
const LISTED: u32 = 100;

impl Pipeline {
    /// Owes a new plan to every open request that was last checked on another tip than its base has. What a conversation of at
    /// most `age` ago showed is believed. Tells how many there are.
    ///
    /// # Errors
    /// When the store fails. A repository that cannot be reached is passed over until the next time.
    pub async fn follow_bases(self: &Arc<Self>, age: Duration) -> Result<usize, OperationError> {
        let rules = self.rules.current();
        let mut owed = 0;
        for repository in rules.set.inventory.repositories.values() {
            owed += self.follow_base(repository, age).await?;
        }
        Ok(owed)
    }

    /// Somebody said that base branches were pushed to: what is believed of them is looked at again, and open requests follow.
    pub fn base_was_pushed(&self, repositories: &BTreeSet<RepositoryName>) {
        let rules = self.rules.current();
        for repository in repositories.iter().filter_map(|name| rules.set.inventory.repositories.get(name)) {
            if let Ok(mirror) = self.mirror(repository) {
                mirror.forget_tip();
            }
        }
        if !repositories.is_empty() {
            self.moved.notify_one();
        }
    }

    /// The same for one repository. Of thousands of open requests no more than a page is held at a time.
    async fn follow_base(self: &Arc<Self>, repository: &Repository, age: Duration) -> Result<usize, OperationError> {
        let states = vec![State::Proposed, State::Approved];
        let filter = RequestFilter { repository: Some(repository.name.clone()), states, ..RequestFilter::default() };
        let (mut query, mut tip, mut owed) = (PageQuery { limit: LISTED, after: None }, None, 0);
        loop {
            let page = self.store.requests(&filter, &query).await?;
            // The base is looked at when there is anything that stands on it, and once.
            if tip.is_none() && !page.items.is_empty() {
                tip = self.tip(repository, age).await;
            }
            let Some(tip) = &tip else { return Ok(owed) };
            let behind = page.items.iter().filter(|request| request.checked.as_ref() != Some(tip));
            let tasks: Vec<NewTask> =
                behind.map(|request| outcome::follow_up(request, TaskKind::Replan, &lane::of(&repository.name), self.clock.as_ref())).collect();
            if !tasks.is_empty() {
                tracing::info!(repository = %repository.name, %tip, requests = tasks.len(), "the base moved: open requests are planned again");
                self.store.add_tasks(&tasks).await?;
                owed += tasks.len();
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(owed),
            }
        }
    }

    /// Where the base is; none when it cannot be told now, which is said in the log.
    async fn tip(self: &Arc<Self>, repository: &Repository, age: Duration) -> Option<CommitSha> {
        let mirror = self.mirror(repository).ok()?;
        if let Some(tip) = mirror.known_tip(age) {
            return Some(tip);
        }
        let looked = blocking(move || Ok(mirror.look_at_tip()?)).await;
        looked.unwrap_or_else(|error| {
            tracing::warn!(repository = %repository.name, %error, "whether its base moved cannot be told");
            None
        })
    }
}
