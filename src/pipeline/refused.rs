//! What git was refused for, as far as the forge knows it: an archived or renamed repository, a right that was taken away.
//! Git says only a number; the forge is asked once, and its answer takes the place of git's error. It changes nothing.

use super::{Pipeline, StepError};
use crate::forge::{ForgeError, Priority};
use crate::git::GitError;
use crate::inventory::{ForgeSpec, Repository, RepositorySpec};
use crate::store::Settlement;
use crate::types::{ErrorClass, RepositoryName};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A forge is not asked about the same repository more often than this.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// What forges said of repositories whose git refused us, and when they were asked.
#[derive(Default)]
pub struct Refusals(Mutex<HashMap<RepositoryName, (Instant, Option<ForgeError>)>>);

impl Refusals {
    /// What was said a moment ago, if anybody asked.
    fn known(&self, repository: &RepositoryName) -> Option<Option<ForgeError>> {
        self.notes().get(repository).filter(|(at, _)| at.elapsed() < KNOWN_FOR).map(|(_, said)| said.clone())
    }

    fn note(&self, repository: &RepositoryName, said: Option<ForgeError>) {
        self.notes().insert(repository.clone(), (Instant::now(), said));
    }

    fn notes(&self) -> MutexGuard<'_, HashMap<RepositoryName, (Instant, Option<ForgeError>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipeline {
    /// The outcome of a step. Where git was refused, a token that can be minted anew is given up, and what the forge knows of the
    /// reason takes the place of git's error; where it knows none, git's stands.
    pub(super) async fn explained(&self, outcome: Result<Settlement, StepError>) -> Result<Settlement, StepError> {
        let Err(StepError::Git(refused)) = &outcome else { return outcome };
        let (GitError::Unauthorised { repository, .. } | GitError::NoRepository { repository, .. } | GitError::Elsewhere { repository, .. }) =
            refused
        else {
            return outcome;
        };
        let Some(repository) = self.rules.current().set.inventory.repositories.get(repository).cloned() else { return outcome };
        if matches!(refused, GitError::Unauthorised { .. }) {
            self.forges.git_refused(&repository).await;
        }
        match self.why_refused(&repository).await {
            Some(reason) if explains(&reason, refused, &repository.spec) => {
                tracing::warn!(repository = %repository.name, git = %refused, %reason, "git was refused, and the forge knows why");
                Err(reason.into())
            }
            _ => outcome,
        }
    }

    /// What the forge knows of it: asked, or as it was said a moment ago.
    async fn why_refused(&self, repository: &Repository) -> Option<ForgeError> {
        if let Some(known) = self.refusals.known(&repository.name) {
            return known;
        }
        let asked = match self.forges.forge(repository, Priority::Ticket) {
            Ok(forge) => forge.why_refused().await,
            Err(error) => Err(error),
        };
        // A forge that cannot be asked now says nothing about git.
        let said = asked.err().filter(|error| error.class() != ErrorClass::Transient);
        self.refusals.note(&repository.name, said.clone());
        said
    }
}

/// Whether it can be what git was refused for. A former name leads elsewhere or nowhere, and is no matter of rights; what the
/// forge's token may do says nothing of another key that git shows.
fn explains(reason: &ForgeError, refused: &GitError, spec: &RepositorySpec) -> bool {
    match reason {
        ForgeError::Setup { .. } => false,
        ForgeError::Renamed { .. } => !matches!(refused, GitError::Unauthorised { .. }),
        ForgeError::ReadOnly { .. } => git_shows_the_forges_token(spec),
        _ => true,
    }
}

fn git_shows_the_forges_token(spec: &RepositorySpec) -> bool {
    let token = match &spec.forge {
        ForgeSpec::Github { token, .. } => token.as_ref(),
        ForgeSpec::Local => None,
    };
    spec.ssh.is_none() && spec.credentials.as_ref().is_none_or(|own| Some(&own.secret) == token)
}
