//! What the mirrors keep for nobody is removed, so that the data directory does not grow without end.

use super::operations::OperationError;
use super::{Pipeline, blocking};
use crate::git::{Upkeep, Worth};
use crate::store::{PageQuery, RequestFilter};
use crate::types::{CommitSha, RepositoryName};
use std::collections::HashMap;
use std::sync::Arc;

impl Pipeline {
    /// Removes from the mirrors what belongs to no request still kept and what no branch reaches any more, makes few packs of many, and
    /// closes what is idle. A commit that is made at this very moment may go with them: then its step finds it gone and makes it
    /// again. Nothing is done where another process cares for the mirrors.
    ///
    /// # Errors
    /// When the store or a mirror cannot be read.
    pub async fn tidy_mirrors(self: &Arc<Self>) -> Result<(), OperationError> {
        if !self.mirrors.are_ours() {
            return Ok(());
        }
        let rules = self.rules.current();
        for repository in rules.set.inventory.repositories.values() {
            let kept = self.commits_of(&repository.name).await?;
            let mirror = self.mirror(repository)?;
            let name = repository.name.clone();
            blocking(move || {
                mirror.prune(|commit| kept.get(commit).copied().unwrap_or(Worth::Nothing))?;
                // One mirror that cannot be kept small is no reason to leave the others.
                match mirror.upkeep() {
                    Ok(Upkeep::Repacked { before, after }) => {
                        tracing::info!(repository = %name, before, after, "the mirror's objects were packed anew")
                    }
                    Ok(_) => {}
                    Err(error) => tracing::warn!(repository = %name, %error, "the mirror could not be packed anew"),
                }
                Ok(())
            })
            .await?;
        }
        self.mirrors.release();
        Ok(())
    }

    /// Every commit a kept request has, or has pushed, and whether the request is under way.
    async fn commits_of(&self, repository: &RepositoryName) -> Result<HashMap<CommitSha, Worth>, OperationError> {
        let filter = RequestFilter { repository: Some(repository.clone()), ..RequestFilter::default() };
        let mut query = PageQuery { limit: 500, after: None };
        let mut kept = HashMap::new();
        loop {
            let page = self.store.requests(&filter, &query).await?;
            for request in page.items {
                let worth = if request.state.is_ended() { Worth::Little } else { Worth::Much };
                for commit in request.commit.into_iter().chain(request.pushed) {
                    // Two requests may have the same commit.
                    let known = kept.entry(commit).or_insert(worth);
                    if worth == Worth::Much {
                        *known = worth;
                    }
                }
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(kept),
            }
        }
    }
}
