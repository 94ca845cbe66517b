//! The whole flow of a request, on one page: dispatch -> plan -> propose, and what follows when somebody changes their mind.
//! Every step can be run again: it reads the request, does its effect (which finds itself done already), and says what the
//! store is to write. It never writes a request's state itself, except through `Settlement` and `RequestUpdate`.

mod body;
mod branch;
mod conflicts;
mod dispatch;
mod error;
mod operations;
mod planning;
mod preview;
mod rules;
mod step;
mod tidy;

pub use body::{Trailer, evidence};
pub use dispatch::{Dispatcher, events_of, explain};
pub use error::StepError;
pub use operations::{AskError, Asked, MAX_DIFF_BYTES, OperationError};
pub use preview::{Preview, preview, preview_asked};
pub use rules::{InForce, Rules};

use crate::clock::Clock;
use crate::failpoint;
use crate::forge::{Forge, ForgeError, Pull, PullSpec, PullState, Review};
use crate::git::{CommitMeta, Credentials, GitError, Identity, Mirror, Mirrors, RemoteSpec};
use crate::inventory::{Repository, Target};
use crate::request::{Changes, Request, State};
use crate::secrets::SecretProvider;
use crate::store::{ClaimedTask, Settlement, Store, TaskKind};
use crate::types::RepositoryName;
use branch::{Head, Placed};
use planning::{Stop, Wanted};
use std::sync::Arc;
use step::{Planned, outcome};

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
}

impl Pipeline {
    /// Does the step a claimed task asks for, and says what the store is to write.
    ///
    /// # Errors
    /// What keeps the step from being done now; the worker decides whether it is tried again.
    pub async fn perform(self: &Arc<Self>, claimed: &ClaimedTask) -> Result<Settlement, StepError> {
        let request = &claimed.request;
        match (claimed.task.kind, request.state) {
            (TaskKind::Plan, State::Accepted) => self.plan(request).await,
            (TaskKind::Propose, State::Planned) => self.propose(request, claimed.task.attempts).await,
            (TaskKind::Withdraw, _) => self.withdraw(request).await,
            // The request went elsewhere in the meantime: there is nothing left to do.
            (TaskKind::Plan | TaskKind::Propose, _) => Ok(outcome::nothing()),
        }
    }

    /// Parameters, target, change, validation, commit: from `accepted` to `planned`, or to one of the ends.
    async fn plan(self: &Arc<Self>, request: &Request) -> Result<Settlement, StepError> {
        let (this, request) = (Arc::clone(self), request.clone());
        // libgit2 and the renderer block.
        let (request, planned) = blocking(move || {
            let rules = this.rules.current();
            let planned = this.plan_on_base(&rules, &request).or_else(Stop::into_planned)?;
            failpoint::hit("plan.committed");
            Ok((request, planned))
        })
        .await?;
        let planned = self.beside_others(&request, planned).await?;
        Ok(outcome::planned(request, planned, self.clock.as_ref()))
    }

    fn plan_on_base(&self, rules: &InForce, request: &Request) -> Result<Planned, Stop> {
        let wanted = Wanted { automation: &request.key.automation, event: &request.event, given: request.parameters.as_ref() };
        let (parameters, target) = planning::resolve(rules, wanted)?;
        let mirror = self.mirror(&target.repository)?;
        let base = mirror.fetch()?;
        failpoint::hit("plan.fetched");
        let snapshot = mirror.snapshot(&base)?;
        let made = planning::make(rules, wanted, &parameters, &target, &snapshot)?;
        let repository = target.repository.name.clone();
        if made.change.is_empty() {
            return Ok(Planned::Unchanged { parameters, repository, base });
        }
        let commit = mirror.commit(&base, &made.change, &commit_meta(request, &target, &made.text.title, &made.summary)?)?;
        let prefix = target.repository.spec.branch_prefix.as_str();
        let branch = match &request.branch {
            // Its pull request is there, whatever the prefix is by now.
            Some(branch) => branch.clone(),
            None => request.key.branch(&request.id, prefix).map_err(|error| StepError::Bug(error.to_string()))?,
        };
        let (warnings, changes) = (made.change.warnings().to_vec(), Box::new(Changes::of(&made.change)));
        Ok(Planned::Committed { parameters, repository, branch, base, commit, summary: made.summary, changes, text: made.text, warnings })
    }

    /// Pushes the branch and opens (or finds) the pull request: from `planned` to `proposed`.
    async fn propose(self: &Arc<Self>, request: &Request, attempt: u32) -> Result<Settlement, StepError> {
        let (Some(repository), Some(text)) = (&request.repository, &request.text) else {
            return Err(StepError::Bug(format!("{} is planned, but has no text", request.id)));
        };
        let rules = self.rules.current();
        let Some(repository) = rules.set.inventory.repositories.get(repository).cloned() else {
            return Err(StepError::Permanent(format!("the repository {repository} is not configured any more")));
        };
        let Some(head) = Head::of(request, &repository)? else {
            return Err(StepError::Bug(format!("{} is planned, but has no commit", request.id)));
        };
        let pushed = {
            let (mirror, head) = (self.mirror(&repository)?, head.clone());
            blocking(move || head.push(&mirror)).await
        };
        let Placed { tip, replaced, note, was_there } = match pushed {
            Ok(placed) => placed,
            // The mirror was built anew since: the same plan makes the same commit again.
            Err(StepError::Git(GitError::NoCommit { .. })) => return Ok(outcome::plan_again(request.clone(), self.clock.as_ref())),
            Err(error) => return Err(error),
        };
        failpoint::hit("propose.pushed");
        let spec = PullSpec {
            head: head.branch.clone(),
            base: repository.spec.branch.clone(),
            head_commit: tip,
            earlier: head.commits().into_iter().chain(replaced).collect(),
            title: text.title.clone(),
            body: body::body(request, &self.people_at),
            labels: text.labels.clone(),
            reviewers: text.reviewers.iter().filter_map(|name| name.parse().ok()).collect(),
            // An attempt that a shutdown cut short is not counted, but it may have pushed and asked.
            asked_before: attempt > 1 || was_there,
            former: request.pull.as_ref().map(|pull| pull.number),
        };
        let pull = self.forges.forge(&repository)?.ensure_pull(&spec).await?;
        failpoint::hit("propose.opened");
        Ok(outcome::proposed(request.clone(), &pull, note, self.clock.as_ref()))
    }

    /// Closes the pull request and deletes the branch of a request that was withdrawn, also those that a step which was
    /// overtaken by the withdrawal left behind.
    async fn withdraw(self: &Arc<Self>, request: &Request) -> Result<Settlement, StepError> {
        let rules = self.rules.current();
        let repository = request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name)).cloned();
        let Some(repository) = repository else { return Ok(outcome::nothing()) };
        let Some(head) = Head::of(request, &repository)? else { return Ok(outcome::nothing()) };
        let forge = self.forges.forge(&repository)?;
        let mirror = self.mirror(&repository)?;
        // The branch tells which pull request is the present one, also when nobody wrote its number down.
        let found = match forge.find(&head.branch).await? {
            Some(pull) if self.is_of(request, &head, &mirror, &pull).await? => Some(pull.number),
            _ => None,
        };
        let mut settlement = outcome::nothing();
        if let Some(number) = found.or(request.pull.as_ref().map(|pull| pull.number)) {
            if forge.get(number).await?.state == PullState::Merged {
                settlement.timeline.push(outcome::note(
                    request,
                    format!("pull request #{number} had been merged before: its change is in the base"),
                    self.clock.as_ref(),
                ));
                return Ok(settlement);
            }
            let reason = request.message.clone().unwrap_or_else(|| "The request was withdrawn.".to_owned());
            forge.close(number, Some(&reason)).await?;
        }
        failpoint::hit("withdraw.closed");
        blocking(move || head.delete(&mirror)).await?;
        Ok(settlement)
    }

    /// Whether a pull request of the branch is this request's: its number or its head is known, or it is open and the branch
    /// goes on from a commit of this request.
    async fn is_of(&self, request: &Request, head: &Head, mirror: &Arc<Mirror>, pull: &Pull) -> Result<bool, StepError> {
        let noted = request.pull.as_ref().is_some_and(|noted| noted.number == pull.number);
        if noted || pull.head_commit.as_ref().is_some_and(|commit| head.commits().contains(commit)) {
            return Ok(true);
        }
        if pull.state != PullState::Open {
            return Ok(false);
        }
        let (mirror, head) = (Arc::clone(mirror), head.clone());
        blocking(move || head.is_at_remote(&mirror)).await
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
