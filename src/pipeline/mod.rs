//! The whole flow of a request, on one page: dispatch -> plan -> propose -> observe, planned again when the base moves, and
//! cleaned up after an end.
//! Every step can be run again: it reads the request, does its effect (which finds itself done already), and says what the
//! store is to write. It never writes a request's state itself, except through `Settlement` and `RequestUpdate`.

mod bases;
mod body;
mod branch;
mod cleanup;
mod dispatch;
mod error;
mod gate;
mod groups;
mod operations;
mod planning;
mod plans;
mod preview;
mod proposals;
mod rules;
mod step;
mod tidy;
mod told;

pub use dispatch::{Dispatcher, events_of, explain};
pub use error::StepError;
pub use operations::{AskError, Asked, MAX_DIFF_BYTES, OperationError};
pub use preview::{Preview, preview, preview_asked};
pub use rules::{InForce, Rules};
pub use told::{Outcome, Told};

use crate::clock::Clock;
use crate::forge::{Forge, ForgeError, Review};
use crate::git::{CommitMeta, Credentials, Identity, Mirror, Mirrors, RemoteSpec};
use crate::inventory::{Repository, Target};
use crate::request::{Request, State};
use crate::secrets::SecretProvider;
use crate::store::{ClaimedTask, Store, TaskKind};
use crate::types::RepositoryName;
use std::sync::Arc;
use std::time::Duration;
use step::outcome;
use tokio::sync::Notify;

/// Opens the forge of a repository.
pub trait Forges: Send + Sync + 'static {
    /// The forge that keeps this repository's pull requests.
    ///
    /// # Errors
    /// When its settings or secrets do not serve.
    fn forge(&self, repository: &Repository) -> Result<Arc<dyn Forge>, ForgeError>;

    /// The same, when it is the local forge, whose pull requests are reviewed here.
    fn review(&self, repository: &Repository) -> Option<Arc<dyn Review>>;

    /// Calls that forges still allow, by repository, where they told.
    fn budgets(&self) -> Vec<(RepositoryName, u64)>;
}

/// Everything a step needs of the world.
pub struct Pipeline {
    /// Where requests are kept.
    pub store: Arc<dyn Store>,
    /// The resources in force.
    pub rules: Arc<Rules>,
    /// One bare mirror per repository.
    pub mirrors: Arc<Mirrors>,
    /// The forges.
    pub forges: Arc<dyn Forges>,
    /// The secrets.
    pub secrets: Arc<dyn SecretProvider>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Below this address people look at requests, without a slash at its end: `<address>/requests/<id>`.
    pub people_at: String,
    /// How old what is known of a base's tip may be when a request is planned on it.
    pub fetch_max_age: Duration,
    /// Told when a base branch was seen to have moved: open requests may be owed a new plan.
    pub moved: Arc<Notify>,
}

impl Pipeline {
    /// Does the steps that claimed tasks of one lane ask for, together where that spares conversations, and tells of each, as
    /// soon as it is done, what the store is to write or why it was not done. Of a task it tells nothing of, a step died.
    pub async fn perform(self: &Arc<Self>, batch: &[ClaimedTask], told: &Told) {
        let (mut plans, mut proposals, mut cleanups) = (Vec::new(), Vec::new(), Vec::new());
        for (place, claimed) in batch.iter().enumerate() {
            let request = &claimed.request;
            match (claimed.task.kind, request.state) {
                (TaskKind::Plan, State::Accepted) | (TaskKind::Replan, State::Proposed | State::Approved) => plans.push((place, request.clone())),
                // Its members changed before it was proposed.
                (TaskKind::Replan, State::Planned) if request.members > 0 => plans.push((place, request.clone())),
                (TaskKind::Propose, State::Planned) => proposals.push((place, claimed)),
                (TaskKind::Withdraw, _) => cleanups.push((place, request)),
                // The request went elsewhere in the meantime: there is nothing left to do.
                (TaskKind::Plan | TaskKind::Replan | TaskKind::Propose, _) => told.tell(place, Ok(outcome::nothing())),
            }
        }
        for (place, request) in cleanups {
            told.tell(place, self.clean_up(request).await);
        }
        self.plan_all(plans, told).await;
        self.propose_all(&proposals, told).await;
    }

    /// The repository's mirror, with the credentials in force.
    pub(crate) fn mirror(&self, repository: &Repository) -> Result<Arc<Mirror>, StepError> {
        let credentials = repository.spec.git_credentials().map(|(username, secret)| {
            let (secrets, secret) = (Arc::clone(&self.secrets), secret.clone());
            Credentials::new(username, move || secrets.secret(&secret).map_err(|error| error.to_string()))
        });
        let remote =
            RemoteSpec { name: repository.name.clone(), url: repository.spec.url.clone(), base: repository.spec.branch.clone(), credentials };
        Ok(self.mirrors.get(&remote))
    }
}

/// Who commits for us in a repository.
fn identity(repository: &Repository) -> Result<Identity, StepError> {
    let author = &repository.spec.author;
    Identity::new(&author.name, &author.email).map_err(|error| StepError::Permanent(error.to_string()))
}

fn commit_meta(request: &Request, target: &Target, title: &str, summary: &[String]) -> Result<CommitMeta, StepError> {
    let identity = identity(&target.repository)?;
    Ok(CommitMeta {
        author: identity.clone(),
        committer: identity,
        time: request.event.time,
        subject: title.to_owned(),
        body: summary.join("\n"),
        request: request.id.clone(),
        automation: request.key.automation.clone(),
        event: request.event.id.clone(),
    })
}

/// Runs what blocks where it harms nobody.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StepError> + Send + 'static) -> Result<T, StepError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(StepError::Bug(format!("a step did not come to its end: {error}"))),
    }
}
