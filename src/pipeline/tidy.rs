//! What the mirrors keep for nobody is removed, so that the data directory does not grow without end.

use super::operations::OperationError;
use super::{Pipeline, blocking};
use crate::git::{Mirror, Upkeep, Worth};
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
            let mirror = self.mirror(repository)?;
            let worths = self.worths(&repository.name, &mirror).await?;
            let name = repository.name.clone();
            blocking(move || {
                mirror.prune(|commit| worths.get(commit).copied().unwrap_or(Worth::Nothing))?;
                // One mirror that cannot be kept small is no reason to leave the others.
                match mirror.upkeep() {
                    Ok(Upkeep::Repacked { before, after }) => {
                        tracing::info!(repository = %name, bytes_before = before, bytes_after = after, "the objects of the mirror were packed anew")
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

    /// What the commits of ours are worth that the mirror keeps.
    async fn worths(&self, repository: &RepositoryName, mirror: &Arc<Mirror>) -> Result<HashMap<CommitSha, Worth>, OperationError> {
        let listing = Arc::clone(mirror);
        let commits = blocking(move || Ok(listing.proposed()?)).await?;
        let kept = self.store.commits_kept(repository, &commits).await?;
        Ok(kept.into_iter().map(|(commit, live)| (commit, if live { Worth::Much } else { Worth::Little })).collect())
    }
}
