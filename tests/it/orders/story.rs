//! Stories, and how they are told.

use super::model::{self, Said};
use super::settings::{Settings, moment};
use super::world::World;
use kubeops::clock::Clock as _;
use kubeops::forge::{Pull, PullState};
use kubeops::store::DeploymentStanding;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use std::time::Duration;

const CHAPTERS: usize = 3;

/// What happens next in a story.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// The event of this number is told: it asks in even ones, and in odd ones nobody wants it any more.
    Event(u32),
    /// GitHub tells that something happened to its pull requests.
    Hint,
    /// A person does this to one of its pull requests, if there is one.
    Person(Act),
    /// A person says that what lives of it waits, or that it does not.
    Word {
        holds: bool,
    },
    /// A delivery tool says how the tip of the base branch stands.
    Deployed(DeploymentStanding),
    /// Deliveries are dispatched.
    Dispatch,
    /// A worker goes around once.
    Work,
    LookAround,
    /// These many hours pass.
    Pass(u64),
}

#[derive(Debug, Clone, Copy)]
pub enum Act {
    Approve,
    Merge,
    Close,
    /// Opens the newest again.
    Reopen,
}

pub struct Story {
    /// What it is about: the key of its requests.
    pub service: String,
    pub settings: Settings,
    /// How many events there are.
    pub events: u32,
    /// Whether every event asks for the same.
    pub same: bool,
    /// After each of them everything that is due is done.
    pub chapters: [Vec<Step>; CHAPTERS],
}

/// Stories told at the same time in one world.
pub struct Wave {
    seed: u64,
    random: StdRng,
    stories: Vec<Story>,
    said: Said,
    deliveries: u64,
}

impl Story {
    fn of(service: String, random: &mut StdRng) -> Self {
        let settings = Settings::draw(random);
        let events: u32 = random.random_range(1..=5);
        let mut chapters: [Vec<Step>; CHAPTERS] = Default::default();
        // Each event is heard in a chapter not before that of the one before it, and once more in any.
        let mut heard: Vec<usize> = (0..events).map(|_| random.random_range(0..CHAPTERS)).collect();
        heard.sort_unstable();
        for (number, chapter) in (0..events).zip(heard) {
            chapters[chapter].push(Step::Event(number));
            for _ in 0..random.random_range(0..=2) {
                let again = if random.random_bool(0.5) { chapter } else { random.random_range(0..CHAPTERS) };
                chapters[again].push(Step::Event(number));
            }
        }
        let mut anywhere = |step: Step, random: &mut StdRng| chapters[random.random_range(0..CHAPTERS)].push(step);
        for _ in 0..random.random_range(0..=3) {
            let acts = [Act::Approve, Act::Merge, Act::Merge, Act::Close, Act::Reopen];
            anywhere(Step::Person(acts[random.random_range(0..acts.len())]), random);
            for _ in 0..random.random_range(0..=1) {
                anywhere(Step::Hint, random);
            }
        }
        for _ in 0..if settings.waits { random.random_range(0..=2) } else { 0 } {
            anywhere(Step::Word { holds: random.random_bool(0.5) }, random);
        }
        for _ in 0..random.random_range(0..=1) {
            let standings = [DeploymentStanding::Applied, DeploymentStanding::Degraded, DeploymentStanding::Failed];
            anywhere(Step::Deployed(standings[random.random_range(0..standings.len())]), random);
        }
        anywhere(Step::Dispatch, random);
        for (step, often) in [(Step::Work, 0.4), (Step::LookAround, 0.05), (Step::Pass(random.random_range(1..=9)), 0.15)] {
            if random.random_bool(often) {
                anywhere(step, random);
            }
        }
        chapters.iter_mut().for_each(|steps| steps.shuffle(random));
        Self { service, settings, events, same: random.random_bool(0.5), chapters }
    }

    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.chapters.iter().flatten()
    }

    /// What the event of this number asks for.
    pub fn wanted(&self, number: u32) -> u32 {
        if self.same { 10 } else { 10 + number }
    }
}

impl Wave {
    pub fn of(seed: u64, stories: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let stories = (0..stories).map(|number| Story::of(format!("ops-{}", seed * 1000 + number), &mut random)).collect();
        Self { seed, random, stories, said: Said::default(), deliveries: 0 }
    }

    /// Tells all of it and sees what came of it.
    ///
    /// # Errors
    /// What ought not to be.
    pub async fn tell(mut self) -> Result<(), String> {
        let world = World::new().await;
        for chapter in 0..CHAPTERS {
            let steps = |story: &Story| story.chapters[chapter].clone();
            let told: Vec<Vec<Step>> = self.stories.iter().map(steps).collect();
            let mut order: Vec<usize> = told.iter().enumerate().flat_map(|(at, steps)| vec![at; steps.len()]).collect();
            order.shuffle(&mut self.random);
            let mut next = vec![0; told.len()];
            for at in order {
                let step = told[at][next[at]];
                next[at] += 1;
                self.step(&world, at, step).await?;
            }
            world.look_around().await;
            world.catch_up().await;
            model::at_any_time(&world, &self.stories, &self.said).await?;
        }
        world.rest().await;
        model::at_rest(&world, &self.stories, &self.said).await?;
        world.close().await;
        Ok(())
    }

    async fn step(&mut self, world: &World, at: usize, step: Step) -> Result<(), String> {
        let (service, settings) = (self.stories[at].service.clone(), self.stories[at].settings);
        match step {
            Step::Event(number) => {
                let body = settings.body(&service, number, self.stories[at].wanted(number));
                self.deliver(world, settings.source(), json!({}), &body).await;
            }
            Step::Hint => {
                for pull in pulls_of(world, &service) {
                    let body = json!({ "action": "synchronize", "number": pull.number, "repository": { "full_name": "acme/gitops" },
                        "pull_request": { "number": pull.number, "updated_at": "2026-11-20T00:00:00Z", "state": "open" } });
                    self.deliver(world, "github", json!({ "x-github-event": "pull_request" }), &body).await;
                }
            }
            Step::Person(act) => {
                let pulls = pulls_of(world, &service);
                let open: Vec<&Pull> = pulls.iter().filter(|pull| pull.state == PullState::Open).collect();
                let one = (!open.is_empty()).then(|| open[self.random.random_range(0..open.len())]);
                let Some(pull) = (if matches!(act, Act::Reopen) { pulls.last() } else { one }) else { return Ok(()) };
                match act {
                    Act::Reopen => world.forge.reopen(pull.number),
                    Act::Approve => world.forge.approve(pull.number),
                    Act::Merge => world.forge.merge(pull.number),
                    Act::Close => world.forge.close_as_a_person(pull.number),
                }
            }
            Step::Word { holds } => {
                let live = world.requests().await.into_iter().find(|request| {
                    !request.state.is_ended()
                        && model::service_of(request) == Some(service.as_str())
                        && request.key.automation.as_str() == settings.name()
                });
                let Some(request) = live else { return Ok(()) };
                world.clock.passes(Duration::from_secs(1));
                if world.word(&request.id, holds).await {
                    self.said.words.push((request.id, world.clock.now(), holds));
                }
            }
            Step::Deployed(standing) => {
                let commit = world.forge.base();
                let body = json!({ "run": self.deliveries, "type": format!("deployment.{}", standing.as_str()), "commit": commit,
                    "application": format!("a{}", self.random.random_range(0..2)), "at": moment(self.random.random_range(0..10_000)).to_string() });
                self.said.deployments.push((commit, standing));
                self.deliver(world, "pipeline", json!({}), &body).await;
            }
            Step::Dispatch => world.dispatch().await,
            Step::Work => drop(world.work().await),
            Step::LookAround => world.look_around().await,
            Step::Pass(hours) => world.clock.passes(Duration::from_secs(hours * 3600)),
        }
        Ok(())
    }

    /// A delivery: mostly one that was never seen, sometimes the very one of before.
    async fn deliver(&mut self, world: &World, source: &str, headers: Value, body: &Value) {
        self.deliveries += 1;
        let key = if self.random.random_bool(0.3) { body.to_string() } else { format!("{}/{}", self.seed, self.deliveries) };
        world.arrives(source, &key, headers, body).await;
    }
}

/// Its pull requests, also those that take its changes back.
fn pulls_of(world: &World, service: &str) -> Vec<Pull> {
    let about = |pull: &Pull| pull.title.trim_start_matches("Revert \"").split(':').next() == Some(service);
    world.forge.pulls().into_iter().filter(about).collect()
}
