//! What the mirrors keep for nobody is removed, so that the data directory does not grow without end.

use super::{Pipeline, StepError, blocking};
use crate::git::{Mirror, Upkeep, Worth};
use crate::inventory::Repository;
use crate::types::{CommitSha, RepositoryName};
use std::collections::HashMap;
use std::sync::Arc;

impl Pipeline {
    /// Removes from the mirrors what belongs to no request still kept and what no branch reaches any more, makes few packs of many, and
    /// closes what is idle. A commit that is made at this very moment may go with them: then its step finds it gone and makes it
    /// again. Nothing is done where another process cares for the mirrors. What fails of one mirror is logged, and tried again the next time.
    pub async fn tidy_mirrors(self: &Arc<Self>) {
        if !self.mirrors.are_ours() {
            return;
        }
        let rules = self.rules.current();
        for repository in rules.set.inventory.repositories.values() {
            // One mirror that cannot be kept small is no reason to leave the others.
            if let Err(error) = self.tidy(repository).await {
                tracing::warn!(repository = %repository.name, %error, "the mirror could not be tidied");
            }
        }
        self.mirrors.release();
    }

    async fn tidy(self: &Arc<Self>, repository: &Repository) -> Result<(), StepError> {
        let mirror = self.mirror(repository)?;
        let worths = self.worths(&repository.name, &mirror).await?;
        let name = repository.name.clone();
        blocking(move || {
            mirror.prune(|commit| worths.get(commit).copied().unwrap_or(Worth::Nothing))?;
            if let Upkeep::Repacked { before, after } = mirror.upkeep()? {
                tracing::info!(repository = %name, bytes_before = before, bytes_after = after, "the objects of the mirror were packed anew");
            }
            Ok(())
        })
        .await
    }

    /// What the commits of ours are worth that the mirror keeps.
    async fn worths(&self, repository: &RepositoryName, mirror: &Arc<Mirror>) -> Result<HashMap<CommitSha, Worth>, StepError> {
        let listing = Arc::clone(mirror);
        let commits = blocking(move || Ok(listing.proposed()?)).await?;
        let kept = self.store.commits_kept(repository, &commits).await?;
        Ok(kept.into_iter().map(|(commit, live)| (commit, if live { Worth::Much } else { Worth::Little })).collect())
    }
}
