//! The whole flow of a request, on one page: dispatch -> plan -> propose, and what follows when somebody changes their mind.
//! Every step can be run again: it reads the request, does its effect (which finds itself done already), and says what the
//! store is to write. It never writes a request's state itself, except through `Settlement` and `RequestUpdate`.

mod body;
mod branch;
mod dispatch;
mod error;
mod observe;
mod operations;
mod planning;
mod preview;
mod pull;
mod rules;
mod step;
mod tidy;

pub use dispatch::{Dispatcher, events_of, explain};
pub use error::StepError;
pub use observe::Observer;
pub use operations::{AskError, Asked, MAX_DIFF_BYTES, OperationError};
pub use preview::{Preview, preview, preview_asked};
pub use rules::{InForce, Rules};

use crate::clock::Clock;
use crate::failpoint;
use crate::forge::{AccountReport, Forge, ForgeError, Priority, Pull, PullState, Review};
use crate::git::{CommitMeta, Credentials, GitError, Identity, Mirror, Mirrors, RemoteSpec};
use crate::inventory::{Repository, Target};
use crate::request::{PullRef, Request, State};
use crate::secrets::SecretProvider;
use crate::store::{ClaimedTask, Settlement, Store, TaskKind};
use crate::types::RepositoryName;
use async_trait::async_trait;
use branch::Head;
use planning::{Stop, Wanted};
use std::sync::Arc;
use step::{Planned, outcome};

/// Opens the forge of a repository.
#[async_trait]
pub trait Forges: Send + Sync + 'static {
    /// The forge that keeps this repository's pull requests, called with this priority.
    ///
    /// # Errors
    /// When its settings or secrets do not serve, and [`ForgeError::Limited`] while it takes no call of this priority.
    fn forge(&self, repository: &Repository, priority: Priority) -> Result<Arc<dyn Forge>, ForgeError>;

    /// The same, when it is the local forge, whose pull requests are reviewed here.
    fn review(&self, repository: &Repository) -> Option<Arc<dyn Review>>;

    /// What git shows to a repository that names no credentials of its own: the token of the forge's account. It is asked
    /// for at each use, on a thread that may block.
    fn git_credentials(&self, repository: &Repository) -> Option<Credentials>;

    /// Git was refused with them: a token that can be made anew is.
    async fn git_refused(&self, repository: &Repository);

    /// How the accounts at forges stand, each with the repositories it is used for.
    fn accounts(&self) -> Vec<(AccountReport, Vec<RepositoryName>)>;
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
        let done = match (claimed.task.kind, request.state) {
            (TaskKind::Plan, State::Accepted) => self.plan(request).await,
            (TaskKind::Propose, State::Planned) => self.propose(request, claimed.task.attempts).await,
            (TaskKind::Withdraw, _) => self.withdraw(request).await,
            // The request went elsewhere in the meantime: there is nothing left to do.
            (TaskKind::Plan | TaskKind::Propose, _) => Ok(outcome::nothing()),
        };
        if let Err(StepError::Git(GitError::Unauthorised { repository, .. })) = &done
            && let Some(repository) = self.rules.current().set.inventory.repositories.get(repository)
        {
            self.forges.git_refused(repository).await;
        }
        done
    }

    /// Parameters, target, change, validation, commit: from `accepted` to `planned`, or to one of the ends.
    async fn plan(self: &Arc<Self>, request: &Request) -> Result<Settlement, StepError> {
        let (this, request) = (Arc::clone(self), request.clone());
        // libgit2 and the renderer block.
        blocking(move || {
            let rules = this.rules.current();
            let planned = this.plan_on_base(&rules, &request).or_else(Stop::into_planned)?;
            failpoint::hit("plan.committed");
            Ok(outcome::planned(request, planned, this.clock.as_ref()))
        })
        .await
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
        let (text, warnings) = (Box::new(made.text), made.change.warnings().to_vec());
        Ok(Planned::Committed { parameters, repository, branch, base, commit, summary: made.summary, text, warnings })
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
        // Before the push: while the forge takes no call, the branch need not go up.
        let forge = self.forges.forge(&repository, pull::priority(request))?;
        let pushed = {
            let (mirror, head) = (self.mirror(&repository)?, head.clone());
            blocking(move || head.push(&mirror)).await
        };
        let placed = match pushed {
            Ok(placed) => placed,
            // The mirror was built anew since: the same plan makes the same commit again.
            Err(StepError::Git(GitError::NoCommit { .. })) => return Ok(outcome::plan_again(request.clone(), self.clock.as_ref())),
            Err(error) => return Err(error),
        };
        failpoint::hit("propose.pushed");
        let spec = pull::spec(request, text, &head, &placed, &repository, attempt, &self.people_at);
        let unchanged = pull::unchanged(request, &spec, &placed, attempt).filter(|_| forge.follows_branches());
        let (pull, state, notes) = match unchanged {
            Some(pull) => (pull.clone(), PullState::Open, Vec::new()),
            None => match forge.ensure_pull(&spec).await {
                Ok(pull) => (PullRef { number: pull.number, url: pull.url }, pull.state, pull.notes),
                Err(error @ ForgeError::NothingToPropose { .. }) => {
                    return Ok(outcome::nothing_to_propose(request.clone(), error.to_string(), self.clock.as_ref()));
                }
                Err(error) => return Err(error.into()),
            },
        };
        failpoint::hit("propose.opened");
        let mut written = pull::written(pull.number, &spec, request.written.as_ref().and_then(|written| written.checked.clone()));
        if state == PullState::Open
            && let Some(check) = pull::check(request, &spec, &placed, &self.people_at)
            && forge.report(&check).await?
        {
            written.checked = Some(check.commit);
        }
        let proposal = outcome::Proposal { pull, state, written, branch_note: placed.note, notes };
        Ok(outcome::proposed(request.clone(), proposal, self.clock.as_ref()))
    }

    /// Closes the pull request and deletes the branch of a request that was withdrawn, also those that a step which was
    /// overtaken by the withdrawal left behind.
    async fn withdraw(self: &Arc<Self>, request: &Request) -> Result<Settlement, StepError> {
        let rules = self.rules.current();
        let repository = request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name)).cloned();
        let Some(repository) = repository else { return Ok(outcome::nothing()) };
        let Some(head) = Head::of(request, &repository)? else { return Ok(outcome::nothing()) };
        let forge = self.forges.forge(&repository, pull::priority(request))?;
        let mirror = self.mirror(&repository)?;
        // The branch tells which pull request is the present one, also when nobody wrote its number down.
        let found = match forge.find(&head.branch).await? {
            Some(pull) if self.is_of(request, &head, &mirror, &pull).await? => Some(pull.number),
            _ => None,
        };
        let mut settlement = outcome::nothing();
        if let Some(number) = found.or(request.pull.as_ref().map(|pull| pull.number)) {
            let reason = request.message.clone().unwrap_or_else(|| "The request was withdrawn.".to_owned());
            if forge.close(number, Some(&reason)).await?.state == PullState::Merged {
                settlement.timeline.push(outcome::note(
                    request,
                    format!("pull request #{number} had been merged before: its change is in the base"),
                    self.clock.as_ref(),
                ));
                return Ok(settlement);
            }
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
        let credentials = match &repository.spec.credentials {
            Some(own) => {
                let (secrets, secret) = (Arc::clone(&self.secrets), own.secret.clone());
                Some(Credentials::new(&own.username, move || secrets.secret(&secret).map_err(|error| error.to_string())))
            }
            None => self.forges.git_credentials(repository),
        };
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
