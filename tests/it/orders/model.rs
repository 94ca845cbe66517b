//! What must hold of the stories, whatever order they were told in: while they are told, and when all of it was heard.

use super::forge::OURSELVES;
use super::settings::{WANTED_FOR, day, is_closed};
use super::story::{Act, Step, Story};
use super::world::World;
use kubeops::clock::Clock as _;
use kubeops::forge::{Pull, PullState};
use kubeops::request::{Request, RequestKey, RevertCause, Reverts, State};
use kubeops::store::DeploymentStanding;
use kubeops::types::{CommitSha, RequestId, Timestamp};
use std::collections::HashMap;

/// What was said that the world itself does not show.
#[derive(Default)]
pub struct Said {
    /// What delivery tools said, of which commit.
    pub deployments: Vec<(CommitSha, DeploymentStanding)>,
    /// What people said of a request, and when: that it waits, or that it does not.
    pub words: Vec<(RequestId, Timestamp, bool)>,
}

/// What is there of a story.
struct Told<'w> {
    story: &'w Story,
    /// The requests that its events opened, the newest first.
    own: Vec<&'w Request>,
    /// Those that take changes of these back.
    back: Vec<&'w Request>,
    pulls: &'w [Pull],
}

/// The requests of a world, by automation and service.
struct Asked(HashMap<(String, String), (Vec<Request>, Vec<Request>)>);

fn reverts(request: &Request) -> Option<&Reverts> {
    request.steering.reverts.as_deref()
}

/// What a request is about.
pub fn service_of(request: &Request) -> Option<&str> {
    let data = &request.event.data;
    [data.pointer("/labels/service"), data.pointer("/issue/fields/service")].into_iter().flatten().find_map(|service| service.as_str())
}

impl Asked {
    async fn of(world: &World) -> Self {
        let mut asked = HashMap::<_, (Vec<Request>, Vec<Request>)>::new();
        for request in world.requests().await {
            let service = service_of(&request).expect("a service").to_owned();
            let (own, back) = asked.entry((request.key.automation.to_string(), service)).or_default();
            if reverts(&request).is_some() { back.push(request) } else { own.push(request) }
        }
        Self(asked)
    }

    fn told<'w>(&'w self, story: &'w Story, pulls: &'w [Pull]) -> Told<'w> {
        let found = self.0.get(&(story.settings.name(), story.service.clone()));
        let (own, back) = found.map(|(own, back)| (own.iter().collect(), back.iter().collect())).unwrap_or_default();
        Told { story, own, back, pulls }
    }
}

/// Once everything that was due is done, the forge merges by itself what nothing holds up, and nothing else.
pub async fn at_any_time(world: &World, stories: &[Story], said: &Said) -> Result<(), String> {
    let (pulls, now) = (world.forge.pulls(), world.clock.now());
    let asked = Asked::of(world).await;
    for story in stories {
        let told = asked.told(story, &pulls);
        let live = told.own.iter().chain(&told.back).filter(|request| !request.state.is_ended());
        for (request, pull) in live.filter_map(|request| Some((*request, told.pull(request)?))).filter(|(_, pull)| pull.state == PullState::Open) {
            let may = told.may_merge_itself(request, said, now);
            // Who opens one again has it as it was left.
            if pull.auto_merge && may == May::Not || !pull.auto_merge && may == May::Does && !story.is_reopened() {
                return Err(format!("{}: at {now} it {may:?} merge by itself:\n{pull:#?}\n{}", story.service, told.shown()));
            }
        }
    }
    Ok(())
}

/// When all of it was heard and nothing is owed any more.
pub async fn at_rest(world: &World, stories: &[Story], said: &Said) -> Result<(), String> {
    let tasks = world.tasks().await;
    if !tasks.is_empty() {
        return Err(format!("nothing is owed any more: {tasks:#?}"));
    }
    at_any_time(world, stories, said).await?;
    let pulls = world.forge.pulls();
    let asked = Asked::of(world).await;
    let numbers: Vec<u64> =
        asked.0.values().flat_map(|(own, back)| own.iter().chain(back)).filter_map(|request| Some(request.pull.as_ref()?.number)).collect();
    // One that was opened while its request was withdrawn is closed, and nobody has to know its number.
    let is_over = |pull: &Pull| pull.state == PullState::Closed && pull.closed_by.as_deref() == Some(OURSELVES);
    if let Some(stray) = pulls.iter().find(|pull| !is_over(pull) && numbers.iter().filter(|number| **number == pull.number).count() != 1) {
        return Err(format!("each pull request is of one request, and this is not: {stray:#?}"));
    }
    if asked.0.len() > stories.len() {
        return Err(format!("nobody asked for some of {:?}", asked.0.keys()));
    }
    for story in stories {
        let told = asked.told(story, &pulls);
        told.ends_well(world, said).map_err(|wrong| format!("{} of {:?}: {wrong}\n{}", story.service, story.settings, told.shown()))?;
    }
    Ok(())
}

/// Whether the forge merges something by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    Does,
    Not,
    /// Who released it may have been outdone by a change that was planned since.
    Either,
}

impl Story {
    /// Whether the newest event asks for it.
    fn is_wanted(&self) -> bool {
        self.events % 2 == 1
    }

    /// A person who opens one again means it, whatever became of what asked for it.
    fn is_reopened(&self) -> bool {
        self.steps().any(|step| matches!(step, Step::Person(Act::Reopen)))
    }
}

impl Told<'_> {
    fn pull(&self, request: &Request) -> Option<&Pull> {
        let own = request.pull.as_ref()?;
        Some(self.pulls.iter().find(|pull| pull.number == own.number).expect("it is there"))
    }

    fn is_merged(&self, request: &Request) -> bool {
        self.pull(request).is_some_and(|pull| pull.state == PullState::Merged)
    }

    fn taking_back(&self, request: &RequestId) -> Vec<&Request> {
        self.back.iter().copied().filter(|back| reverts(back).is_some_and(|reverts| reverts.request == *request)).collect()
    }

    /// Whether a request's pull request may be merged by the forge itself at a moment.
    fn may_merge_itself(&self, request: &Request, said: &Said, at: Timestamp) -> May {
        let settings = self.story.settings;
        let words: Vec<_> = said.words.iter().filter(|(id, when, _)| *id == request.id && *when <= at).collect();
        let cause = reverts(request).map(|reverts| reverts.cause);
        // A change is taken back on any day, and by itself only where its time was over.
        let by_itself = settings.waits && cause.is_none_or(|cause| cause == RevertCause::TimeIsOver);
        if !by_itself || words.last().is_some_and(|(_, _, holds)| *holds) {
            return May::Not;
        }
        match cause.is_none() && is_closed(at) {
            false => May::Does,
            true if words.iter().any(|(_, when, holds)| !holds && day(*when) == day(at)) => May::Either,
            true => May::Not,
        }
    }

    fn ends_well(&self, world: &World, said: &Said) -> Result<(), String> {
        let Told { story, own, back, .. } = self;
        let asked = story.events.div_ceil(2) as usize;
        if own.len() > asked {
            return Err(format!("{} requests, and {asked} events asked for it", own.len()));
        }
        let live = |requests: &[&Request]| requests.iter().filter(|request| !request.state.is_ended()).count();
        for request in own.iter().chain(back) {
            let among = if reverts(request).is_some() { live(back) } else { live(own) };
            let allowed = self.states(request, among, world, said);
            if !allowed.contains(&request.state) {
                return Err(format!("{} is {}, and {allowed:?} is right for {:#?}", request.id, request.state, self.pull(request)));
            }
        }
        if live(own) > usize::from(story.is_wanted() || story.is_reopened()) {
            return Err(format!("{} are live, and that it is wanted is {}", live(own), story.is_wanted()));
        }
        match own.first() {
            Some(newest) if story.is_wanted() && newest.state == State::Withdrawn => {
                return Err("the newest event asks for it, and it is withdrawn".to_owned());
            }
            None if story.is_wanted() => return Err("it is wanted, and nobody opened a request".to_owned()),
            _ => {}
        }
        for (number, at) in world.forge.told_to_merge() {
            let is_its = |request: &&&Request| request.pull.as_ref().is_some_and(|pull| pull.number == number);
            if let Some(request) = own.iter().chain(back).find(is_its).filter(|request| self.may_merge_itself(request, said, at) == May::Not) {
                return Err(format!("at {at} the forge was told to merge #{number} of {} by itself", request.id));
            }
        }
        own.iter().try_for_each(|request| self.is_taken_back_well(request, world))?;
        self.ends_as_wanted(world)
    }

    /// The states a request may be in, by what became of its pull request; `live` is how many of its kind live.
    fn states(&self, request: &Request, live: usize, world: &World, said: &Said) -> Vec<State> {
        let Some(pull) = self.pull(request) else { return vec![State::Withdrawn, State::Unchanged] };
        match (pull.state, pull.closed_by.as_deref()) {
            // Opened again by a person while a newer one asked for the same.
            (PullState::Open, _) if request.state == State::Declined && live >= 1 => vec![State::Declined],
            (PullState::Open, _) if pull.approved_by.is_empty() => vec![State::Proposed],
            (PullState::Open, _) => vec![State::Approved],
            (PullState::Closed, Some(OURSELVES)) => vec![State::Withdrawn, State::Unchanged],
            (PullState::Closed, _) => vec![State::Declined, State::Withdrawn],
            (PullState::Merged, _) if self.story.settings.ends && reverts(request).is_none() => vec![State::Expired],
            (PullState::Merged, _) => vec![deployed(world, pull, said)],
        }
    }

    /// What takes a request's change back: only where there is a reason, once, and not before its time.
    fn is_taken_back_well(&self, request: &Request, world: &World) -> Result<(), String> {
        let (settings, back) = (self.story.settings, self.taking_back(&request.id));
        let caused = |cause: RevertCause| back.iter().filter(|back| reverts(back).is_some_and(|reverts| reverts.cause == cause)).count();
        let (over, unwanted) = (caused(RevertCause::TimeIsOver), caused(RevertCause::NoLongerWanted));
        if !self.is_merged(request) || !(settings.ends || settings.reverts) {
            return if back.is_empty() { Ok(()) } else { Err(format!("nothing has to take {} back", request.id)) };
        }
        let stands = |back: &&&Request| self.pull(back).is_some_and(|pull| matches!(pull.state, PullState::Open | PullState::Merged));
        let standing = back.iter().filter(stands).count();
        if standing > 1 && !self.story.is_reopened() {
            return Err(format!("{standing} pull requests take {} back", request.id));
        }
        if over > usize::from(settings.ends) || unwanted > 0 && !settings.reverts || over + unwanted < back.len() {
            return Err(format!("{} was taken back {over} times for its time, and {unwanted} times because nobody wants it", request.id));
        }
        if settings.ends && over + unwanted == 0 {
            return Err(format!("the time of {} is over, and nothing takes it back", request.id));
        }
        let merged_at = request.pull.as_ref().and_then(|pull| world.forge.merged_at(pull.number)).expect("it was merged");
        let early = |back: &&Request| {
            reverts(back).is_some_and(|reverts| reverts.cause == RevertCause::TimeIsOver) && back.created_at < merged_at.plus(WANTED_FOR)
        };
        match back.iter().copied().find(early) {
            Some(early) => Err(format!("{} takes {} back, and its time was not over", early.id, request.id)),
            None => Ok(()),
        }
    }

    /// The newest change that was merged is on its way out, or it is not, as the newest event says.
    fn ends_as_wanted(&self, world: &World) -> Result<(), String> {
        let Told { story, own, back, .. } = self;
        if !story.settings.reverts || story.settings.ends || story.is_reopened() {
            return Ok(());
        }
        if story.is_wanted() {
            let open = back.iter().find(|back| self.pull(back).is_some_and(|pull| pull.state == PullState::Open));
            if let Some(open) = open {
                return Err(format!("it is wanted, and {} takes it back", open.id));
            }
            let (number, path) = (story.wanted(story.events - 1), format!("{}.yaml", story.service));
            let file = world.forge.file(&path).unwrap_or_default();
            return match own.first() {
                Some(newest) if newest.state == State::Unchanged && !file.contains(&format!("maxReplicas: {number}\n")) => {
                    Err(format!("it is wanted, and {} found it in the base, where it is not: {file:?}", newest.id))
                }
                _ => Ok(()),
            };
        }
        let Some(newest) = own.iter().find(|request| self.is_merged(request)) else { return Ok(()) };
        // A person who closes what takes it back has decided that it stays, and who merges what was about to be given up, that it goes.
        let goes = |back: &&Request| self.is_merged(back) || !reverts(back).is_some_and(|reverts| reverts.wanted_again);
        match self.taking_back(&newest.id).into_iter().filter(goes).count() {
            1 => Ok(()),
            many => Err(format!("nobody wants {} any more, and {many} take it back", newest.id)),
        }
    }

    fn shown(&self) -> String {
        let mut lines = vec![format!("{:?}", self.story.chapters)];
        for request in self.own.iter().chain(&self.back) {
            let RequestKey { correlation, generation, .. } = &request.key;
            let pull = self.pull(request).map(|pull| format!("#{} {:?} merge {:?}", pull.number, pull.state, pull.merge_commit));
            let message = request.message.as_deref().unwrap_or_default();
            lines.push(format!("{} {correlation}/{generation} {} {} {pull:?}: {message}", request.id, request.state, request.created_at));
            lines.push(format!("    {:?} {:?}", request.steering.expires_at, reverts(request).map(|reverts| (&reverts.cause, reverts.wanted_again))));
        }
        lines.join("\n")
    }
}

/// The state of a merged request: in force once a tool ever said so of its commit or a later one.
fn deployed(world: &World, pull: &Pull, said: &Said) -> State {
    let merged = pull.merge_commit.as_ref().expect("the commit that merged it");
    let said: Vec<DeploymentStanding> =
        said.deployments.iter().filter(|(commit, _)| world.forge.is_in(merged, commit)).map(|(_, standing)| *standing).collect();
    match said.as_slice() {
        [] => State::Merged,
        said if said.contains(&DeploymentStanding::Applied) => State::Applied,
        _ => State::Degraded,
    }
}
