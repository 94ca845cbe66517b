//! What the mirrors keep for nobody is removed, so that the data directory does not grow without end.

use super::operations::OperationError;
use super::{Pipeline, blocking};
use crate::store::{PageQuery, RequestFilter};
use crate::types::{CommitSha, RepositoryName};
use std::collections::HashSet;
use std::sync::Arc;

impl Pipeline {
    /// Removes from the mirrors the objects of commits that belong to no request still kept, and closes what is idle. A
    /// commit that is made at this very moment may go with them: then its step finds it gone and makes it again.
    ///
    /// # Errors
    /// When the store or a mirror cannot be read.
    pub async fn tidy_mirrors(self: &Arc<Self>) -> Result<(), OperationError> {
        let rules = self.rules.current();
        for repository in rules.set.inventory.repositories.values() {
            let kept = self.commits_of(&repository.name).await?;
            let mirror = self.mirror(repository)?;
            blocking(move || Ok(mirror.prune(|commit| kept.contains(commit))?)).await?;
        }
        self.mirrors.release();
        Ok(())
    }

    /// Every commit a kept request has, or has pushed.
    async fn commits_of(&self, repository: &RepositoryName) -> Result<HashSet<CommitSha>, OperationError> {
        let filter = RequestFilter { repository: Some(repository.clone()), ..RequestFilter::default() };
        let mut query = PageQuery { limit: 500, after: None };
        let mut kept = HashSet::new();
        loop {
            let page = self.store.requests(&filter, &query).await?;
            kept.extend(page.items.into_iter().flat_map(|request| request.commit.into_iter().chain(request.pushed)));
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(kept),
            }
        }
    }
}
