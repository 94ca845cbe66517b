//! The whole flow of a request, on one page: dispatch -> plan -> propose -> observe, planned again when the base moves, and
//! cleaned up after an end.
//! Every step can be run again: it reads the request, does its effect (which finds itself done already), and says what the
//! store is to write. It never writes a request's state itself, except through `Settlement` and `RequestUpdate`.

mod alarms;
mod at_github;
mod awaited;
mod bases;
mod body;
mod branch;
mod cleanup;
mod commands;
mod commit;
mod confirm;
mod conflicts;
mod copilot;
mod deployed;
mod dispatch;
mod drafting;
mod error;
mod gate;
mod groups;
mod holds;
mod models;
mod observe;
mod operations;
mod outcome;
mod own;
mod planning;
mod plans;
mod preview;
mod proposals;
mod pull;
mod pushed;
mod refused;
mod retract;
mod reverting;
mod reverts;
mod rules;
mod runs;
mod standings;
mod signals;
mod planned;
mod reconcile;
mod telling;
mod tidy;
mod tool_servers;
mod report;
mod unseen;
mod wording;

pub use body::{Trailer, evidence};
pub use copilot::{AlreadyOpen, Copilot, CopilotError, Copiloted, Filled, MAX_SENTENCE, ModelAsked, Origin, Suggested};
pub use deployed::what_counts;
pub use dispatch::{Dispatched, Dispatcher, events_of, explain};
pub use drafting::{
    DraftDifference, DraftLine, DraftLineKind, DraftReport, Judged, LearntSoFar, Rehearsal, RehearsalEnd, Rehearsed, ReplayedDraft, draft_lines,
};
pub use error::StepError;
pub use models::{ChosenModel, Models};
pub use observe::Observer;
pub use operations::{AskError, Asked, MAX_DIFF_BYTES, OperationError, Wish};
pub use outcome::without_words;
pub use preview::{Preview, Shown, asked, preview, preview_asked, preview_on};
pub use pushed::JustPushed;
pub use reconcile::{ReconcileError, Reconciled, Reconciler};
pub use refused::Refusals;
pub use report::{Outcome, Report};
pub use rules::{InForce, Rules};
pub use tool_servers::ToolServers;
pub use unseen::Unseen;

use crate::clock::Clock;
use crate::feedback::{Account, FeedbackError, Outlet};
use crate::forge::{AccountReport, Forge, ForgeError, Myself, Priority, Review};
use crate::git::{Credentials, Mirror, Mirrors, RemoteSpec, SshAccess};
use crate::inventory::{KnownHosts, Repository, RepositorySpec, SshSpec};
use crate::request::State;
use crate::secrets::SecretProvider;
use crate::spans;
use crate::store::{ClaimedTask, Store, TaskKind, lane};
use crate::types::{ChannelName, RepositoryName, Timestamp};
use async_trait::async_trait;
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tracing::{Instrument, Span};

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

    /// Asks the forges that send events whose acts ours are there, where that is not known yet. What cannot be asked now is asked
    /// the next time.
    async fn introduce(&self);

    /// Whose acts ours are at the forge of a repository, as far as it was asked.
    fn myself(&self, repository: &Repository) -> Option<Myself>;

    /// Has the forges send again, once, what was sent since a moment and did not get through; tells how many deliveries.
    ///
    /// # Errors
    /// What a forge gives.
    async fn redeliver(&self, since: Timestamp) -> Result<u64, ForgeError>;

    /// How the accounts at forges stand, each with the repositories it is used for.
    fn accounts(&self) -> Vec<(AccountReport, Vec<RepositoryName>)>;
}

/// Opens the channels on which it is told what became of requests.
pub trait Channels: Send + Sync + 'static {
    /// The channel of this name, ready for use.
    ///
    /// # Errors
    /// When there is none, or its settings do not serve.
    fn outlet(&self, channel: &ChannelName) -> Result<Outlet, FeedbackError>;

    /// Who we are on the channels that have issues, as far as they were asked.
    fn ourselves(&self) -> Vec<Account>;
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
    /// The channels on which it is told what became of requests.
    pub channels: Arc<dyn Channels>,
    /// The language models.
    pub models: Arc<dyn Models>,
    /// The MCP servers whose tools they use.
    pub tools: Arc<dyn ToolServers>,
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
    /// What this process pushed a moment ago.
    pub pushed: JustPushed,
    /// Why git was refused of late.
    pub refusals: Refusals,
    /// Commits that delivery tools named and the base's remote did not have a moment ago.
    pub unseen: Unseen,
    /// What running drafts have learnt between their turns.
    pub learnt: LearntSoFar,
}

impl Pipeline {
    /// Does the steps that claimed tasks of one lane ask for, together where that spares conversations, and tells of each, as
    /// soon as it is done, what the store is to write or why it was not done. Of a task it tells nothing of, a step died.
    pub async fn perform(self: &Arc<Self>, batch: &[ClaimedTask], report: &Report) {
        let (mut plans, mut proposals, mut cleanups) = (Vec::new(), Vec::new(), Vec::new());
        let (mut observed, mut retracted, mut commanded) = (Vec::new(), Vec::new(), Vec::new());
        for (place, claimed) in batch.iter().enumerate() {
            let request = &claimed.request;
            match (claimed.task.kind, request.state) {
                (TaskKind::Plan, State::Accepted) | (TaskKind::Replan, State::Planned | State::Proposed | State::Approved) => {
                    plans.push((place, claimed.clone()));
                }
                (TaskKind::Draft, State::Accepted | State::Planned | State::Proposed | State::Approved) => {
                    let drafted = self.draft(claimed).instrument(report.span(place)).await;
                    report.tell(place, self.explained(drafted).await);
                }
                (TaskKind::Propose, State::Planned) => proposals.push((place, claimed)),
                (TaskKind::Withdraw, _) => cleanups.push((place, claimed)),
                (TaskKind::Observe, state) if !state.is_merged() && !matches!(state, State::Accepted | State::Expired) => {
                    observed.push((place, claimed))
                }
                (TaskKind::Retract, _) => retracted.push((place, claimed)),
                (TaskKind::Confirm, state) if state.is_merged() => report.tell(place, self.confirm(request).instrument(report.span(place)).await),
                (TaskKind::Tell, _) => report.tell(place, self.tell(claimed).instrument(report.span(place)).await),
                (TaskKind::Clock, _) => report.tell(place, self.look_at_the_clock(request).instrument(report.span(place)).await),
                (TaskKind::Command, _) => commanded.push((place, claimed)),
                // The request went elsewhere in the meantime: there is nothing left to do.
                (TaskKind::Plan | TaskKind::Draft | TaskKind::Replan | TaskKind::Propose | TaskKind::Observe | TaskKind::Confirm, _) => {
                    report.tell(place, Ok(outcome::nothing()))
                }
            }
        }
        let turn = Turn::begin();
        self.plan_all(plans, report).await;
        self.propose_all(&proposals, &turn, report).await;
        if !observed.is_empty() {
            self.observe_all(&observed, report).instrument(in_span_of_all(report, observed.iter().map(|(place, _)| *place))).await;
        }
        for (place, claimed) in commanded {
            report.tell(place, self.heed_commands(claimed).instrument(report.span(place)).await);
        }
        for (place, claimed) in retracted {
            report.tell(place, self.explained(self.retract(&claimed.request).instrument(report.span(place)).await).await);
        }
        for (place, claimed) in cleanups {
            let cleaned = match &claimed.task.lane {
                lane if lane::is_pulls(lane) && turn.is_over() => Ok(outcome::goes_on(lane.clone())),
                lane => self.clean_up(&claimed.request, lane).instrument(report.span(place)).await,
            };
            report.tell(place, self.explained(cleaned).await);
        }
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
        let spec = &repository.spec;
        let remote = RemoteSpec::new(repository.name.clone(), spec.url.clone(), spec.branch.clone());
        Ok(self.mirrors.get(&RemoteSpec { credentials, ssh: self.ssh(spec), git: spec.git.clone(), ..remote }))
    }

    /// The SSH key and the known hosts a repository names.
    fn ssh(&self, spec: &RepositorySpec) -> Option<SshAccess> {
        let SshSpec { key, known_hosts } = spec.ssh.clone()?;
        let (keys, hosts) = (Arc::clone(&self.secrets), Arc::clone(&self.secrets));
        Some(SshAccess::new(
            move || keys.secret(&key).map_err(|error| error.to_string()),
            move || match &known_hosts {
                KnownHosts::Lines(lines) => Ok(lines.clone()),
                KnownHosts::Secret(name) => Ok(hosts.secret(name).map_err(|error| error.to_string())?.expose_secret().to_owned()),
            },
        ))
    }
}

/// The span of what is done for several steps at once: the first's own, linked with the others.
pub(crate) fn in_span_of_all(report: &Report, mut places: impl Iterator<Item = usize>) -> Span {
    let Some(first) = places.next() else { return Span::none() };
    let span = report.span(first);
    spans::link(&span, places.filter_map(|place| spans::place_of(&report.span(place))));
    span
}

/// How long a batch goes on with calls that are paced, before those that came meanwhile and may be more urgent get their chance.
struct Turn(Instant);

impl Turn {
    const LENGTH: Duration = Duration::from_secs(5);

    fn begin() -> Self {
        Self(Instant::now())
    }

    fn is_over(&self) -> bool {
        self.0.elapsed() > Self::LENGTH
    }
}

/// Runs what blocks where it harms nobody.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StepError> + Send + 'static) -> Result<T, StepError> {
    let span = Span::current();
    match tokio::task::spawn_blocking(crate::lease::handed_on(move || span.in_scope(work))).await {
        Ok(done) => done,
        Err(error) => Err(StepError::Bug(format!("a step did not come to its end: {error}"))),
    }
}
