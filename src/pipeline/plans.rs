//! From `accepted` to `planned`, and again when the base has moved: parameters, target, change, validation, commit.
//! Requests that wait together are planned on one look at the base. A change that is the same on the newer base moves nothing.

use super::branch::Head;
use super::conflicts::Mates;
use super::drafting::Answered;
use super::observe::{merged_by, shows};
use super::outcome;
use super::planned::{Grouped, Planned};
use super::planning::{self, Made, Stop, Wanted};
use super::pull::priority;
use super::report::Report;
use super::{InForce, Pipeline, StepError, blocking};
use crate::failpoint;
use crate::forge::{Pull, PullState};
use crate::git::{GitError, Mirror, Snapshot};
use crate::inventory::{Repository, Target};
use crate::request::{Changes, Place, Request, State};
use crate::store::{ClaimedTask, Settlement};
use crate::types::{CommitSha, RepositoryName};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tracing::Instrument;

/// Members of a group that wait while its pull request is in a merge queue are looked at again this often: no move of the base
/// would tell of them.
const WHILE_QUEUED: Duration = Duration::from_secs(60);

/// A request waits this long for the pull request to be closed that takes back what it asks for.
const WHILE_CLOSING: Duration = Duration::from_secs(2);

/// The base of one repository, as one batch sees it.
pub(super) struct Base {
    pub(super) mirror: Arc<Mirror>,
    pub(super) tip: CommitSha,
    pub(super) snapshot: Snapshot,
    /// Whether this batch fetched it, rather than believing what an earlier conversation showed.
    pub(super) fetched: bool,
}

/// The bases a batch has looked at. A repository that cannot be reached is asked once.
pub(super) type Bases = HashMap<RepositoryName, Result<Arc<Base>, GitError>>;

/// What looking at a request came to, before anybody else is asked.
pub(super) enum Looked {
    /// The same change as before: only the tip it was checked on is newer.
    Same(CommitSha),
    /// Nobody may know: the request's repository is not what it was.
    Elsewhere,
    /// A change, or none, or a refusal.
    Planned(Box<Grouped>),
}

impl<P: Into<Grouped>> From<P> for Looked {
    fn from(planned: P) -> Self {
        Self::Planned(Box::new(planned.into()))
    }
}

/// What was found of the request at a place of the batch.
type Found = (usize, ClaimedTask, Result<Looked, StepError>);

impl Pipeline {
    /// Plans the requests of claimed tasks, each told at its place.
    pub(super) async fn plan_all(self: &Arc<Self>, plans: Vec<(usize, ClaimedTask)>, report: &Report) {
        if plans.is_empty() {
            return;
        }
        let (this, spans) = (Arc::clone(self), report.clone());
        let (tell, mut hear) = unbounded_channel::<Found>();
        // libgit2 and the renderer block. One that panics tells nothing of those behind it; the worker knows who was not told of.
        let looking = blocking(move || {
            this.look_at_each(plans, &spans, &tell);
            Ok(())
        });
        let settling = async {
            let mut mates = Mates::default();
            while let Some((place, held, looked)) = hear.recv().await {
                let outcome = match looked {
                    Ok(looked) => self.settled(held, looked, &mates).instrument(report.span(place)).await,
                    Err(error) => Err(error),
                };
                let outcome = self.explained(outcome).await;
                outcome.iter().for_each(|settlement| mates.remember(settlement));
                report.tell(place, outcome);
            }
        };
        let (looked, ()) = tokio::join!(looking, settling);
        if let Err(error) = looked {
            tracing::error!(%error, "planning did not come to its end");
        }
    }

    fn look_at_each(&self, plans: Vec<(usize, ClaimedTask)>, spans: &Report, tell: &UnboundedSender<Found>) {
        let rules = self.rules.current();
        let mut bases = Bases::new();
        for (place, held) in plans {
            let span = spans.span(place);
            let _within = span.enter();
            let request = &held.request;
            let looked = if request.members > 0 {
                self.plan_group(&rules, &mut bases, request)
            } else if request.state == State::Accepted {
                self.plan(&rules, &mut bases, request).or_else(Stop::into_planned).map(Looked::from)
            } else {
                self.plan_again(&rules, &mut bases, request)
            };
            if tell.send((place, held, looked)).is_err() {
                return;
            }
        }
    }

    /// What the store is to write.
    async fn settled(self: &Arc<Self>, held: ClaimedTask, looked: Looked, mates: &Mates) -> Result<Settlement, StepError> {
        let request = &held.request;
        if let (State::Accepted, Some(reverts)) = (request.state, &request.steering.reverts) {
            // Whoever opened it may have died before that was noted.
            self.note_reverting(&reverts.request, &request.id, "kubeops").await?;
        } else if request.state == State::Accepted && self.keep_what_is_wanted_again(request).await? {
            // Its pull request is closed first: somebody may be merging it.
            let reason = "what took the change back is being closed".to_owned();
            return Ok(outcome::not_before(self.clock.now().plus(WHILE_CLOSING), reason));
        }
        match looked {
            Looked::Same(tip) => self.checked(held.request, tip, mates).await,
            Looked::Elsewhere => Ok(outcome::left(request, self.clock.as_ref())),
            // A group may be planned once more before it was ever proposed.
            Looked::Planned(planned) if request.state == State::Accepted || request.pull.is_none() => self.planned(held, *planned, mates).await,
            Looked::Planned(planned) => self.replace_proposal(held, *planned, mates).await,
        }
    }

    async fn planned(&self, held: ClaimedTask, grouped: Grouped, mates: &Mates) -> Result<Settlement, StepError> {
        let grouped = self.let_through(&held, grouped).await?;
        let planned = self.beside_others(&held.request, grouped.planned, mates).await?;
        Ok(outcome::grouped(held.request, Grouped { planned, ..grouped }, self.clock.as_ref()))
    }

    fn plan(&self, rules: &InForce, bases: &mut Bases, request: &Request) -> Result<Planned, Stop> {
        let (parameters, target) = planning::resolve(rules, wanted(request))?;
        let answered = self.answered(rules, request)?;
        let draft = match &answered {
            Answered::NotAsked => None,
            Answered::Yes(draft) => Some(&draft.draft),
            Answered::No => return Ok(to_be_drafted(parameters, &target)),
        };
        let wanted = Wanted { draft, ..wanted(request) };
        let mut base = self.base(bases, &target.repository)?;
        let mut made = planning::make(rules, wanted, &parameters, &target, &base.snapshot);
        // An end is final, so it is not said on hearsay. Anything else is mended when the push shows that the base has moved.
        if !base.fetched && made.as_ref().map_or(true, |made| made.change.is_empty()) {
            bases.remove(&target.repository.name);
            base = self.look(&target.repository, Duration::ZERO, bases)?;
            made = planning::make(rules, wanted, &parameters, &target, &base.snapshot);
        }
        match made {
            Err(Stop::Refused { .. }) if answered.is_outdated_on(&base.tip) => Ok(to_be_drafted(parameters, &target)),
            made => self.commit(rules, (request, wanted), parameters, &target, &base, made?),
        }
    }

    /// An open request on the present tip of its base.
    fn plan_again(&self, rules: &InForce, bases: &mut Bases, request: &Request) -> Result<Looked, StepError> {
        let (parameters, target) = match planning::resolve(rules, wanted(request)) {
            Ok(resolved) => resolved,
            // Its automation or target is gone or another one: what a person reviews is not taken away for that.
            Err(Stop::Refused { .. }) => return Ok(Looked::Elsewhere),
            Err(Stop::Failed(error)) => return Err(error),
        };
        if request.repository.as_ref() != Some(&target.repository.name) {
            return Ok(Looked::Elsewhere);
        }
        let base = self.base(bases, &target.repository)?;
        if request.taken_over {
            return Ok(Looked::Same(base.tip.clone()));
        }
        let answered = self.answered(rules, request)?;
        let draft = match &answered {
            Answered::NotAsked => None,
            Answered::Yes(draft) => Some(&draft.draft),
            // What it proposes was not drafted by what its automation is by now.
            Answered::No => return Ok(Looked::Elsewhere),
        };
        let wanted = Wanted { draft, ..wanted(request) };
        let made = match planning::make(rules, wanted, &parameters, &target, &base.snapshot) {
            Ok(made) => made,
            Err(Stop::Refused { .. }) if answered.is_outdated_on(&base.tip) => return Ok(to_be_drafted(parameters, &target).into()),
            Err(stop) => return stop.into_planned().map(Looked::from),
        };
        let stays = !request.steering.rebase || request.base.as_ref() == Some(&base.tip);
        if let (Some(before), Some(commit)) = (&request.base, &request.commit)
            && stays
            && !made.change.is_empty()
            && base.mirror.carries(before, commit, &base.tip, &made.change)?
        {
            return Ok(Looked::Same(base.tip.clone()));
        }
        self.commit(rules, (request, wanted), parameters, &target, &base, made).or_else(Stop::into_planned).map(Looked::from)
    }

    fn commit(
        &self,
        rules: &InForce,
        (request, wanted): (&Request, Wanted<'_>),
        parameters: serde_json::Map<String, serde_json::Value>,
        target: &Target,
        base: &Base,
        made: Made,
    ) -> Result<Planned, Stop> {
        let repository = target.repository.name.clone();
        if made.change.is_empty() {
            let warnings = made.change.warnings().to_vec();
            return Ok(Planned::Unchanged { parameters, repository, base: base.tip.clone(), warnings });
        }
        let (commit, said) = self.commit_each_on(rules, wanted, target, (&base.mirror, &base.tip), (&made, &request.id, &parameters))?;
        let prefix = target.repository.spec.branch_prefix.as_str();
        let branch = match &request.branch {
            // Its pull request is there, whatever the prefix is by now.
            Some(branch) => branch.clone(),
            None => request.key.branch(&request.id, prefix).map_err(|error| StepError::Bug(error.to_string()))?,
        };
        let place = Some(Place { cluster: target.cluster.clone(), path: target.path.clone() });
        let changes = Box::new(Changes {
            expiry: made.expiry,
            rule: rules.set.automations.get(&request.key.automation).map(|rule| rule.digest()),
            applied_within: target.applied_within,
            place,
            drafted: made.drafted.map(Box::new),
            clusters: target.cluster.iter().cloned().collect(),
            ..Changes::of(&made.change)
        });
        let warnings = made.change.warnings().iter().cloned().chain(said).collect();
        failpoint::hit("plan.committed");
        Ok(Planned::Committed {
            parameters,
            repository,
            target: target_key(target),
            branch,
            base: base.tip.clone(),
            commit,
            summary: made.summary,
            changes,
            text: Box::new(made.text),
            warnings,
        })
    }

    /// The repository's base, looked at once in a batch.
    pub(super) fn base(&self, bases: &mut Bases, repository: &Repository) -> Result<Arc<Base>, StepError> {
        match bases.get(&repository.name) {
            Some(known) => Ok(known.clone()?),
            None => self.look(repository, self.fetch_max_age, bases),
        }
    }

    /// Looks at the base; what is known of it since at most `age` is believed.
    pub(super) fn look(&self, repository: &Repository, age: Duration, bases: &mut Bases) -> Result<Arc<Base>, StepError> {
        let mirror = self.mirror(repository)?;
        let before = mirror.known_tip(Duration::MAX);
        let fetched = mirror.known_tip(age).is_none();
        let looked = mirror.fetch_within(age).and_then(|tip| Ok(Arc::new(Base { snapshot: mirror.snapshot(&tip)?, mirror, tip, fetched })));
        failpoint::hit("plan.fetched");
        if let Ok(base) = &looked
            && before.is_some_and(|before| before != base.tip)
        {
            self.moved.notify_one();
        }
        bases.insert(repository.name.clone(), looked.clone());
        Ok(looked?)
    }

    /// An open request whose change is another one on the newer base, or none any more. Its pull request may be over meanwhile.
    async fn replace_proposal(self: &Arc<Self>, held: ClaimedTask, planned: Grouped, mates: &Mates) -> Result<Settlement, StepError> {
        let (rules, request) = (self.rules.current(), &held.request);
        let repository = request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name));
        let (Some(repository), Some(pull)) = (repository, &request.pull) else {
            return Err(StepError::Bug(format!("{} is open, but has no pull request", request.id)));
        };
        let forge = self.forges.forge(repository, priority(request))?;
        let pull = forge.get(pull.number).await?;
        match (pull.state, shows(request.state, &pull)) {
            (PullState::Closed | PullState::Merged, Some((state, message))) => {
                let request = merged_by(held.request, &pull);
                Ok(outcome::over(request, state, message, self.clock.as_ref()))
            }
            // What stands in a merge queue is being tested as it is; a new commit would throw it out. It is looked at again.
            _ if pull.queued => match request.members {
                0 if request.state != State::Planned => Ok(outcome::nothing()),
                _ => Ok(outcome::not_before(self.clock.now().plus(WHILE_QUEUED), format!("pull request #{} is in a merge queue", pull.number))),
            },
            _ if self.is_taken_over(request, repository, &pull).await? => {
                let tip = planned.planned.base().cloned().or(request.checked.clone());
                Ok(outcome::taken_over(held.request, tip, self.clock.as_ref()))
            }
            _ => self.planned(held, planned, mates).await,
        }
    }

    /// Whether a person went on from the branch: then nothing is computed again, and what is told of the request stays what stood
    /// there when they did.
    pub(super) async fn is_taken_over(self: &Arc<Self>, request: &Request, repository: &Repository, pull: &Pull) -> Result<bool, StepError> {
        let (Some(tip), Some(head)) = (&pull.head_commit, Head::of(request, repository)?) else { return Ok(false) };
        if head.commits().contains(tip) {
            return Ok(false);
        }
        let mirror = self.mirror(repository)?;
        blocking(move || head.is_continued(&mirror)).await
    }
}

fn to_be_drafted(parameters: serde_json::Map<String, serde_json::Value>, target: &Target) -> Planned {
    Planned::ToBeDrafted { parameters, repository: target.repository.name.clone() }
}

/// Where a change goes, as limits tell targets apart.
pub(super) fn target_key(target: &Target) -> String {
    format!("{}:{}", target.repository.name, target.path)
}

pub(super) fn wanted(request: &Request) -> Wanted<'_> {
    Wanted {
        automation: &request.key.automation,
        event: &request.event,
        given: request.parameters.as_ref(),
        set: Some(&request.steering.set),
        reverts: request.steering.reverts.as_deref(),
        draft: None,
    }
}
