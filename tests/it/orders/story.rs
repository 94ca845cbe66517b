//! Stories, how they are told, and what must hold when all of it was heard.

use super::forge::OURSELVES;
use super::world::World;
use kubeops::forge::{Pull, PullState};
use kubeops::request::{Request, State};
use kubeops::store::DeploymentStanding;
use kubeops::types::{CommitSha, Timestamp};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use std::collections::HashMap;

/// What happens next in a story.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The alert's event of this number is told: it fires in even ones and resolves in odd ones.
    Alert(u32),
    /// GitHub tells that something happened to its pull requests.
    Hint,
    /// A person does this to its open pull request, if there is one.
    Person(Act),
    /// A delivery tool says how the tip of the base branch stands.
    Deployed(DeploymentStanding),
    /// Deliveries are dispatched.
    Dispatch,
    /// A worker goes around once.
    Work,
    LookAround,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Approve,
    Merge,
    Close,
    /// Opens the newest again.
    Reopen,
}

struct Story {
    name: String,
    alerts: u32,
    steps: Vec<Step>,
}

/// Stories told at the same time in one world.
pub struct Wave {
    seed: u64,
    random: StdRng,
    stories: Vec<Story>,
    /// What delivery tools said, of which commit.
    words: Vec<(CommitSha, DeploymentStanding)>,
    deliveries: u64,
}

impl Story {
    fn of(name: String, random: &mut StdRng) -> Self {
        let alerts = random.random_range(1..=5);
        let mut steps: Vec<Step> = (0..alerts).flat_map(|number| vec![Step::Alert(number); random.random_range(1..=3)]).collect();
        let acts = [Act::Approve, Act::Merge, Act::Close, Act::Reopen];
        let standings = [DeploymentStanding::Applied, DeploymentStanding::Degraded, DeploymentStanding::Failed];
        for _ in 0..random.random_range(0..=3) {
            steps.push(Step::Person(acts[random.random_range(0..acts.len())]));
            steps.extend(vec![Step::Hint; random.random_range(0..=2)]);
        }
        for _ in 0..random.random_range(0..=1) {
            steps.push(Step::Deployed(standings[random.random_range(0..standings.len())]));
        }
        steps.push(Step::Dispatch);
        if random.random_bool(0.3) {
            steps.push(Step::Work);
        }
        if random.random_bool(0.05) {
            steps.push(Step::LookAround);
        }
        steps.shuffle(random);
        Self { name, alerts, steps }
    }
}

impl Wave {
    pub fn of(seed: u64, stories: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let stories = (0..stories).map(|number| Story::of(format!("s{seed}-{number}"), &mut random)).collect();
        Self { seed, random, stories, words: Vec::new(), deliveries: 0 }
    }

    /// Tells all of it and sees what came of it.
    pub async fn tell(mut self) {
        let world = World::new().await;
        let mut order: Vec<usize> = self.stories.iter().enumerate().flat_map(|(at, story)| vec![at; story.steps.len()]).collect();
        order.shuffle(&mut self.random);
        let mut told = vec![0; self.stories.len()];
        for at in order {
            let step = self.stories[at].steps[told[at]];
            told[at] += 1;
            self.step(&world, at, step).await;
        }
        world.rest().await;
        self.check(&world).await;
        world.close().await;
    }

    async fn step(&mut self, world: &World, at: usize, step: Step) {
        let name = self.stories[at].name.clone();
        match step {
            Step::Alert(number) => self.deliver(world, "alerts", json!({}), &alert(&name, number)).await,
            Step::Hint => {
                for pull in pulls_of(world, &name) {
                    let body = json!({ "action": "synchronize", "number": pull.number, "repository": { "full_name": "acme/gitops" },
                        "pull_request": { "number": pull.number, "updated_at": "2026-11-20T00:00:00Z", "state": "open" } });
                    self.deliver(world, "github", json!({ "x-github-event": "pull_request" }), &body).await;
                }
            }
            Step::Person(act) => {
                let pulls = pulls_of(world, &name);
                let open = pulls.iter().find(|pull| pull.state == PullState::Open);
                let Some(pull) = (if matches!(act, Act::Reopen) { pulls.last() } else { open }) else { return };
                match act {
                    Act::Reopen => world.forge.reopen(pull.number),
                    Act::Approve => world.forge.approve(pull.number),
                    Act::Merge => world.forge.merge(pull.number),
                    Act::Close => world.forge.close_as_a_person(pull.number),
                }
            }
            Step::Deployed(standing) => {
                let commit = world.forge.base();
                let body = json!({ "run": self.deliveries, "type": format!("deployment.{}", standing.as_str()), "commit": commit,
                    "application": format!("a{}", self.random.random_range(0..2)), "at": moment(self.random.random_range(0..10_000)) });
                self.words.push((commit, standing));
                self.deliver(world, "pipeline", json!({}), &body).await;
            }
            Step::Dispatch => world.dispatch().await,
            Step::Work => drop(world.work().await),
            Step::LookAround => world.look_around().await,
        }
    }

    /// A delivery: mostly one that was never seen, sometimes the very one of before.
    async fn deliver(&mut self, world: &World, source: &str, headers: Value, body: &Value) {
        self.deliveries += 1;
        let key = if self.random.random_bool(0.3) { body.to_string() } else { format!("{}/{}", self.seed, self.deliveries) };
        world.arrives(source, &key, headers, body).await;
    }

    async fn check(&self, world: &World) {
        let tasks = world.tasks().await;
        assert!(tasks.is_empty(), "seed {}: nothing is owed any more: {tasks:#?}", self.seed);
        let mut requests: HashMap<String, Vec<Request>> = HashMap::new();
        for request in world.requests().await {
            requests.entry(request.key.correlation.clone()).or_default().push(request);
        }
        let pulls = world.forge.pulls();
        let owned = requests.values().flatten().filter(|request| request.pull.is_some()).count();
        assert_eq!(owned, pulls.len(), "seed {}: each pull request is of one request", self.seed);
        for story in &self.stories {
            let own = requests.remove(&story.name).unwrap_or_default();
            if let Err(wrong) = self.ends_well(world, story, &own, &pulls) {
                panic!("seed {}, {} of {:?}: {wrong}\n{own:#?}", self.seed, story.name, story.steps);
            }
        }
        assert!(requests.is_empty(), "nobody asked for {:?}", requests.keys());
    }

    /// What must hold of a story, whatever order it was told in; `own` are its requests, the newest first.
    fn ends_well(&self, world: &World, story: &Story, own: &[Request], pulls: &[Pull]) -> Result<(), String> {
        let fired = story.alerts.div_ceil(2);
        let wanted = story.alerts % 2 == 1;
        if own.len() > fired as usize {
            return Err(format!("{} requests for {fired} alerts", own.len()));
        }
        let live = own.iter().filter(|request| !request.state.is_ended()).count();
        for request in own {
            let pull = request.pull.as_ref().map(|own| pulls.iter().find(|pull| pull.number == own.number).expect("it is there"));
            let allowed: &[State] = match pull {
                None => &[State::Withdrawn, State::Unchanged],
                Some(pull) => match (pull.state, pull.closed_by.as_deref()) {
                    // Opened again by a person while a newer one asked for the same.
                    (PullState::Open, _) if request.state == State::Declined && live == 1 => &[State::Declined],
                    (PullState::Open, _) if pull.approved_by.is_empty() => &[State::Proposed],
                    (PullState::Open, _) => &[State::Approved],
                    (PullState::Closed, Some(OURSELVES)) => &[State::Withdrawn, State::Unchanged],
                    (PullState::Closed, _) => &[State::Declined, State::Withdrawn],
                    (PullState::Merged, _) => &[self.deployed(world, pull)],
                },
            };
            if !allowed.contains(&request.state) {
                return Err(format!("{} is {}, and {allowed:?} is right for {pull:#?}", request.id, request.state));
            }
        }
        // A person who opens one again means it, whatever became of the alert.
        let reopened = story.steps.iter().any(|step| matches!(step, Step::Person(Act::Reopen)));
        match own.first() {
            _ if live > usize::from(wanted || reopened) => Err(format!("{live} are live, and that it is wanted is {wanted}")),
            Some(newest) if wanted && newest.state == State::Withdrawn => Err("the newest event asks for it, and it is withdrawn".to_owned()),
            None if wanted => Err("it is wanted, and nobody opened a request".to_owned()),
            _ => Ok(()),
        }
    }

    /// The state of a merged request: in force once a tool ever said so of its commit or a later one.
    fn deployed(&self, world: &World, pull: &Pull) -> State {
        let merged = pull.merge_commit.as_ref().expect("the commit that merged it");
        let said: Vec<DeploymentStanding> =
            self.words.iter().filter(|(commit, _)| world.forge.is_in(merged, commit)).map(|(_, standing)| *standing).collect();
        match said.as_slice() {
            [] => State::Merged,
            said if said.contains(&DeploymentStanding::Applied) => State::Applied,
            _ => State::Degraded,
        }
    }
}

fn pulls_of(world: &World, name: &str) -> Vec<Pull> {
    world.forge.pulls().into_iter().filter(|pull| pull.title.split(':').next() == Some(name)).collect()
}

fn moment(seconds: i64) -> String {
    Timestamp::from_unix_millis(1_794_000_000_000 + seconds * 1000).to_string()
}

/// What Alertmanager sends of the event with this number.
fn alert(name: &str, number: u32) -> Value {
    let fires = number.is_multiple_of(2);
    let ends = if fires { "0001-01-01T00:00:00Z".to_owned() } else { moment(i64::from(number)) };
    let status = if fires { "firing" } else { "resolved" };
    let alert = json!({
        "status": status, "labels": { "alertname": "HpaMaxedOut", "namespace": name }, "annotations": { "wanted": (10 + number).to_string() },
        "startsAt": moment(i64::from(number - number % 2)), "endsAt": ends, "fingerprint": format!("{:016x}", fingerprint(name)),
    });
    json!({ "version": "4", "status": status, "receiver": "kubeops", "groupKey": "{}", "alerts": [alert] })
}

fn fingerprint(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
