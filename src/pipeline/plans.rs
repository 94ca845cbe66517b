//! From `accepted` to `planned`, and again when the base has moved: parameters, target, change, validation, commit.
//! Requests that wait together are planned on one look at the base. A change that is the same on the newer base moves nothing.

use super::groups::Grouped;
use super::planning::{self, Made, Stop, Wanted};
use super::step::{Planned, outcome};
use super::told::Told;
use super::{InForce, Pipeline, StepError, blocking, commit_meta};
use crate::failpoint;
use crate::forge::PullState;
use crate::git::{GitError, Mirror, Snapshot};
use crate::inventory::{Repository, Target};
use crate::plan::PlanError;
use crate::request::{Request, State, footprint};
use crate::store::Settlement;
use crate::types::{CommitSha, RepositoryName};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The base of one repository, as one batch sees it.
pub(super) struct Base {
    pub(super) mirror: Arc<Mirror>,
    pub(super) tip: CommitSha,
    snapshot: Snapshot,
    /// Whether this batch fetched it, rather than believing what an earlier conversation showed.
    pub(super) fetched: bool,
}

/// The bases a batch has looked at. A repository that cannot be reached is asked once.
pub(super) type Bases = HashMap<RepositoryName, Result<Arc<Base>, GitError>>;

/// What planning an open request again came to.
pub(super) enum Replanned<P> {
    /// The same change: only the tip it was checked on is newer.
    Same(CommitSha),
    /// Nobody may know: the request's repository is not what it was.
    Elsewhere,
    /// Another change, or none.
    Differs(Box<P>),
}

impl<P> Replanned<P> {
    pub(super) fn differs(planned: P) -> Self {
        Self::Differs(Box::new(planned))
    }
}

impl Pipeline {
    /// Plans requests, each told at its place.
    pub(super) async fn plan_all(self: &Arc<Self>, requests: Vec<(usize, Request)>, told: &Told) {
        if requests.is_empty() {
            return;
        }
        let (this, theirs) = (Arc::clone(self), told.clone());
        // libgit2 and the renderer block.
        let differing = blocking(move || Ok(this.plan_each(requests, &theirs))).await;
        // One that panicked tells nothing of those behind it; the worker knows who was not told of.
        for (place, request, grouped) in differing.unwrap_or_default() {
            told.tell(place, self.replace_proposal(request, grouped).await);
        }
    }

    /// Tells what can be told without asking a forge, and returns the open requests whose change is another one now.
    fn plan_each(&self, requests: Vec<(usize, Request)>, told: &Told) -> Vec<(usize, Request, Grouped)> {
        let rules = self.rules.current();
        let (mut bases, mut differing) = (Bases::new(), Vec::new());
        for (place, request) in requests {
            if request.members > 0 {
                match self.plan_group(&rules, &mut bases, &request) {
                    Ok(Replanned::Same(tip)) => told.tell(place, Ok(outcome::checked(request, tip, self.clock.as_ref()))),
                    Ok(Replanned::Elsewhere) => told.tell(place, Ok(outcome::nothing())),
                    Ok(Replanned::Differs(grouped)) if request.pull.is_some() => differing.push((place, request, *grouped)),
                    Ok(Replanned::Differs(grouped)) => told.tell(place, Ok(outcome::grouped(request, *grouped, self.clock.as_ref()))),
                    Err(error) => told.tell(place, Err(error)),
                }
                continue;
            }
            if request.state == State::Accepted {
                let planned = self.plan(&rules, &mut bases, &request).or_else(Stop::into_planned);
                told.tell(place, planned.map(|planned| outcome::planned(request, planned, self.clock.as_ref())));
                continue;
            }
            match self.plan_again(&rules, &mut bases, &request) {
                Ok(Replanned::Same(tip)) => told.tell(place, Ok(outcome::checked(request, tip, self.clock.as_ref()))),
                Ok(Replanned::Elsewhere) => told.tell(place, Ok(outcome::nothing())),
                Ok(Replanned::Differs(planned)) => differing.push((place, request, Grouped { planned: *planned, members: Vec::new() })),
                Err(error) => told.tell(place, Err(error)),
            }
        }
        differing
    }

    fn plan(&self, rules: &InForce, bases: &mut Bases, request: &Request) -> Result<Planned, Stop> {
        let (parameters, target) = planning::resolve(rules, wanted(request))?;
        let base = self.base(bases, &target.repository)?;
        let made = planning::make(rules, wanted(request), &parameters, &target, &base.snapshot);
        // An end is final, so it is not said on hearsay. Anything else is mended when the push shows that the base has moved.
        if !base.fetched && made.as_ref().map_or(true, |made| made.change.is_empty()) {
            bases.remove(&target.repository.name);
            let base = self.look(&target.repository, Duration::ZERO, bases)?;
            let made = planning::make(rules, wanted(request), &parameters, &target, &base.snapshot)?;
            return Ok(self.commit(rules, request, parameters, &target, &base, made)?);
        }
        Ok(self.commit(rules, request, parameters, &target, &base, made?)?)
    }

    /// An open request on the present tip of its base.
    fn plan_again(&self, rules: &InForce, bases: &mut Bases, request: &Request) -> Result<Replanned<Planned>, StepError> {
        let (parameters, target) = match planning::resolve(rules, wanted(request)) {
            Ok(resolved) => resolved,
            // Its automation or target is gone or another one: what a person reviews is not taken away for that.
            Err(Stop::Refused { .. }) => return Ok(Replanned::Elsewhere),
            Err(Stop::Failed(error)) => return Err(error),
        };
        if request.repository.as_ref() != Some(&target.repository.name) {
            return Ok(Replanned::Elsewhere);
        }
        let base = self.base(bases, &target.repository)?;
        if request.taken_over {
            return Ok(Replanned::Same(base.tip.clone()));
        }
        let made = match planning::make(rules, wanted(request), &parameters, &target, &base.snapshot) {
            Ok(made) => made,
            Err(stop) => return stop.into_planned().map(Replanned::differs),
        };
        if let (Some(before), Some(commit)) = (&request.base, &request.commit)
            && !made.change.is_empty()
            && base.mirror.carries(before, commit, &base.tip, &made.change)?
        {
            return Ok(Replanned::Same(base.tip.clone()));
        }
        self.commit(rules, request, parameters, &target, &base, made).map(Replanned::differs)
    }

    fn commit(
        &self,
        rules: &InForce,
        request: &Request,
        parameters: serde_json::Map<String, serde_json::Value>,
        target: &Target,
        base: &Base,
        made: Made,
    ) -> Result<Planned, StepError> {
        let repository = target.repository.name.clone();
        if made.change.is_empty() {
            return Ok(Planned::Unchanged { parameters, repository, base: base.tip.clone() });
        }
        let footprint = footprint(&made.change, &base.snapshot).map_err(PlanError::from)?;
        if let Some(stopped) = self.stopped(rules, request, &repository, &footprint)? {
            return Ok(stopped);
        }
        if let Some(postponed) = self.room(rules, request, target)? {
            return Ok(Planned::Postponed(postponed));
        }
        let commit = base.mirror.commit(&base.tip, &made.change, &commit_meta(request, target, &made.text.title, &made.summary)?)?;
        let prefix = target.repository.spec.branch_prefix.as_str();
        let branch = match &request.branch {
            // Its pull request is there, whatever the prefix is by now.
            Some(branch) => branch.clone(),
            None => request.key.branch(&request.id, prefix).map_err(|error| StepError::Bug(error.to_string()))?,
        };
        let warnings = made.change.warnings().to_vec();
        failpoint::hit("plan.committed");
        Ok(Planned::Committed {
            parameters,
            repository,
            branch,
            base: base.tip.clone(),
            commit,
            summary: made.summary,
            text: made.text,
            warnings,
            footprint,
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
    async fn replace_proposal(&self, request: Request, grouped: Grouped) -> Result<Settlement, StepError> {
        let rules = self.rules.current();
        let repository = request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name));
        let (Some(repository), Some(pull)) = (repository, &request.pull) else {
            return Err(StepError::Bug(format!("{} is open, but has no pull request", request.id)));
        };
        let pull = self.forges.forge(repository)?.get(pull.number).await?;
        match pull.state {
            PullState::Open => Ok(outcome::grouped(request, grouped, self.clock.as_ref())),
            PullState::Closed | PullState::Merged => Ok(outcome::proposed(request, &pull, None, self.clock.as_ref())),
        }
    }
}

pub(super) fn wanted(request: &Request) -> Wanted<'_> {
    Wanted { automation: &request.key.automation, event: &request.event, given: request.parameters.as_ref() }
}
