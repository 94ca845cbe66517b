//! The queue against a model: random commands, the same answers. The model is a list and the words of the trait.

use super::sqlite::empty;
use super::support::{at, open_request_from, task};
use kubeops::store::{ClaimedTask, RequestUpdate, Room, Settlement, Share, Store, StoreError, TaskKind, Verdict};
use kubeops::types::{RequestId, TaskId};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Clone)]
enum Command {
    /// A request with a plan task in a lane.
    Open {
        lane: usize,
        alert: bool,
        source: usize,
    },
    /// A task for one of the requests, due some seconds from now.
    Add {
        request: usize,
        kind: usize,
        lane: usize,
        delay: i64,
    },
    /// Time passes.
    Pass {
        seconds: i64,
    },
    Claim {
        owner: usize,
        room: Room,
        lease: i64,
    },
    /// Any claim ever made, lost ones too.
    Settle {
        claim: usize,
        how: usize,
        delay: i64,
    },
    Extend {
        claim: usize,
        lease: i64,
    },
    Release {
        owner: usize,
    },
}

const LANES: [&str; 7] = ["", "", "a", "b", "b/pulls", "c/feedback", "/draft"];
const KINDS: [TaskKind; 4] = [TaskKind::Plan, TaskKind::Propose, TaskKind::Withdraw, TaskKind::Tell];
const OWNERS: [&str; 2] = ["one", "two"];
const SOURCES: [&str; 3] = ["a", "b", "c"];
/// What has waited for so many seconds goes as if it were an alert's.
const PATIENCE: i64 = 60;
/// So many seconds a repository is left to who was last at work there.
const LEFT_FOR: i64 = 2;
/// What is due for so many seconds in a lane in which that one does nothing is anybody's.
const STARVED_AFTER: i64 = 10;

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => (0..4_usize, prop::bool::weighted(0.3), 0..3_usize).prop_map(|(lane, alert, source)| Command::Open { lane, alert, source }),
        2 => (0..8_usize, 0..4_usize, 0..7_usize, 0..20_i64).prop_map(|(request, kind, lane, delay)| Command::Add { request, kind, lane, delay }),
        3 => prop_oneof![6 => 1..15_i64, 1 => 50..70_i64].prop_map(|seconds| Command::Pass { seconds }),
        5 => (0..2_usize, [share(), share(), share(), share()], 1..20_i64)
            .prop_map(|(owner, [git, pulls, feedback, drafts], lease)| Command::Claim { owner, room: Room { git, pulls, feedback, drafts }, lease }),
        6 => (0..8_usize, 0..5_usize, 0..20_i64).prop_map(|(claim, how, delay)| Command::Settle { claim, how, delay }),
        1 => (0..8_usize, 1..20_i64).prop_map(|(claim, lease)| Command::Extend { claim, lease }),
        1 => (0..2_usize).prop_map(|owner| Command::Release { owner }),
    ]
}

fn share() -> impl Strategy<Value = Share> {
    (0..4_u32, 1..5_u32).prop_map(|(lanes, each)| Share { lanes, each })
}

#[derive(Debug, Clone, PartialEq)]
enum Standing {
    Waiting,
    Held { owner: usize, until: i64 },
    Dead,
}

#[derive(Debug, Clone)]
struct Owed {
    id: TaskId,
    request: RequestId,
    kind: TaskKind,
    lane: String,
    /// 0 for alerts, which go first.
    rank: i64,
    source: usize,
    run_at: i64,
    attempts: u32,
    fence: u64,
    standing: Standing,
}

impl Owed {
    /// Telling what became of a request stands in nobody's way.
    fn is_feedback(&self) -> bool {
        self.lane.ends_with("/feedback")
    }

    /// Whether others of its lane wait while it is done.
    fn is_in_turn(&self) -> bool {
        !["", "/draft"].contains(&self.lane.as_str())
    }

    /// Under which name it is noted whose turn it was.
    fn served(&self) -> (String, usize) {
        (self.lane.clone(), self.source)
    }

    /// The repository that git works on for it.
    fn repository(&self) -> Option<&str> {
        (!self.lane.is_empty() && self.pool() < 2).then(|| self.lane.trim_end_matches("/pulls"))
    }

    /// Of which part of the room it takes.
    fn pool(&self) -> usize {
        ["/pulls", "/feedback", "/draft"].iter().position(|end| self.lane.ends_with(end)).map_or(0, |n| n + 1)
    }
}

/// Tasks in the order in which they came, in which claim each source was served last in each lane, and who was last
/// at work on each repository, and when in each of its lanes.
#[derive(Default)]
struct Model(Vec<Owed>, BTreeMap<(String, usize), u64>, BTreeMap<String, (usize, [i64; 2])>);

impl Model {
    fn add(&mut self, new: Owed) {
        self.0.retain(|owed| owed.standing != Standing::Dead || owed.request != new.request || owed.kind != new.kind);
        let same = |owed: &&mut Owed| owed.standing == Standing::Waiting && owed.request == new.request && owed.kind == new.kind;
        match self.0.iter_mut().find(same) {
            Some(owed) => {
                owed.run_at = owed.run_at.min(new.run_at);
                if !new.lane.is_empty() {
                    owed.lane = new.lane;
                }
            }
            None => self.0.push(new),
        }
    }

    /// In which order they come.
    fn order(&self, n: usize) -> (i64, i64, usize) {
        (self.0[n].rank, self.0[n].run_at, n)
    }

    fn turn(&self, n: usize) -> u64 {
        self.1.get(&self.0[n].served()).copied().unwrap_or_default()
    }

    /// The claim in which one of those was served last who wait in a lane.
    fn turn_of_lane(&self, n: usize) -> u64 {
        let waits = |m: &usize| self.0[*m].standing == Standing::Waiting && self.0[*m].lane == self.0[n].lane;
        if self.0[n].is_in_turn() { (0..self.0.len()).filter(waits).map(|m| self.turn(m)).max().unwrap_or_default() } else { self.turn(n) }
    }

    fn urgency(&self, n: usize, now: i64) -> i64 {
        if now - self.0[n].run_at >= PATIENCE { 0 } else { self.0[n].rank }
    }

    fn blocks(&self, held: &Owed, wanted: &Owed) -> bool {
        let same_request = held.request == wanted.request && !held.is_feedback() && !wanted.is_feedback();
        same_request || (wanted.is_in_turn() && held.lane == wanted.lane)
    }

    /// Indices of what a claim takes: lost leases first, then the waiting, the first of a lane for the lane, as far as there is
    /// room; each with what else is due in its lane.
    fn claimable(&self, owner: usize, now: i64, room: Room) -> Vec<usize> {
        let lost = |owed: &Owed| matches!(owed.standing, Standing::Held { until, .. } if until <= now);
        let held = |owed: &Owed| matches!(owed.standing, Standing::Held { until, .. } if until > now);
        let mut order: Vec<usize> = (0..self.0.len()).filter(|n| lost(&self.0[*n])).collect();
        order.sort_by_key(|n| self.order(*n));
        let mut waiting: Vec<usize> = (0..self.0.len()).filter(|n| self.0[*n].standing == Standing::Waiting && self.0[*n].run_at <= now).collect();
        waiting.sort_by_key(|n| self.order(*n));
        // Of a lane only the first of a rank and source stands for it.
        let mut seen = Vec::new();
        waiting.retain(|n| {
            let owed = &self.0[*n];
            let first = !owed.is_in_turn() || !seen.contains(&(owed.lane.clone(), owed.rank, owed.source));
            seen.push((owed.lane.clone(), owed.rank, owed.source));
            first
        });
        waiting.retain(|n| !self.is_left_to_another(&self.0[*n], owner, now));
        waiting.sort_by_key(|n| (self.urgency(*n, now), self.turn_of_lane(*n), self.turn(*n), self.0[*n].run_at, *n));
        order.extend(waiting);
        let shares = [room.git, room.pulls, room.feedback, room.drafts];
        let mut left = shares.map(|share| share.lanes);
        let mut taken: Vec<usize> = Vec::new();
        for n in order {
            let wanted = &self.0[n];
            let left = &mut left[wanted.pool()];
            let free = *left > 0
                && !self.0.iter().any(|owed| held(owed) && self.blocks(owed, wanted))
                && !taken.iter().any(|m| self.blocks(&self.0[*m], wanted));
            if free {
                *left -= 1;
                taken.push(n);
            }
        }
        let mut together = Vec::new();
        let mut requests: Vec<&RequestId> = taken.iter().map(|n| &self.0[*n]).filter(|owed| !owed.is_feedback()).map(|owed| &owed.request).collect();
        requests.extend(self.0.iter().filter(|owed| held(owed) && !owed.is_feedback()).map(|owed| &owed.request));
        for first in taken {
            together.push(first);
            let lane = &self.0[first].lane;
            if !self.0[first].is_in_turn() || self.0[first].attempts >= 2 {
                continue;
            }
            let of_lane = |standing: &dyn Fn(&Owed) -> bool| {
                let mut found: Vec<usize> = (0..self.0.len()).filter(|n| self.0[*n].lane == *lane && standing(&self.0[*n])).collect();
                found.sort_by_key(|n| self.order(*n));
                found
            };
            let mut companions = of_lane(&lost);
            let mut due = of_lane(&|owed: &Owed| owed.standing == Standing::Waiting && owed.run_at <= now);
            // Those of a rank and source are left to another, or not, with the first of them.
            let head = |n: usize| due.iter().find(|m| (self.0[**m].rank, self.0[**m].source) == (self.0[n].rank, self.0[n].source)).copied();
            let left: Vec<usize> =
                due.iter().filter(|n| head(**n).is_some_and(|m| self.is_left_to_another(&self.0[m], owner, now))).copied().collect();
            due.retain(|n| !left.contains(n));
            let each = shares[self.0[first].pool()].each;
            let mut fetched: Vec<usize> = Vec::new();
            for (rank, source) in [0, 1].into_iter().flat_map(|rank| (0..SOURCES.len()).map(move |source| (rank, source))) {
                let of = due.iter().filter(|n| (self.0[**n].rank, self.0[**n].source) == (rank, source));
                fetched.extend(of.take(each as usize * TaskKind::ALL.len()));
            }
            fetched.sort_by_key(|n| (self.0[*n].run_at, *n));
            // One of each source, then the second of each, and so on.
            let mut ordered: Vec<_> = Vec::new();
            for (at, n) in fetched.iter().enumerate() {
                let same = |m: &&usize| (self.urgency(**m, now), self.0[**m].source) == (self.urgency(*n, now), self.0[*n].source);
                let place = fetched[..at].iter().filter(same).count();
                ordered.push((self.urgency(*n, now), place, self.turn(*n), self.0[*n].run_at, *n));
            }
            ordered.sort_unstable();
            companions.extend(ordered.into_iter().map(|(.., n)| n));
            let mut room_left = each - 1;
            for n in companions {
                let owed = &self.0[n];
                if room_left > 0 && n != first && owed.attempts < 2 && (owed.is_feedback() || !requests.contains(&&owed.request)) {
                    if !owed.is_feedback() {
                        requests.push(&owed.request);
                    }
                    together.push(n);
                    room_left -= 1;
                }
            }
        }
        together
    }

    fn is_left_to_another(&self, owed: &Owed, owner: usize, now: i64) -> bool {
        let Some(repository) = owed.repository() else { return false };
        let holds = |held: &&Owed| matches!(held.standing, Standing::Held { owner: by, .. } if by != owner) && held.repository() == Some(repository);
        let leases = self.0.iter().filter(holds).map(|held| match held.standing {
            Standing::Held { until, .. } => until,
            _ => unreachable!("it is held"),
        });
        let seen = self.2.get(repository).filter(|(by, _)| *by != owner).map(|(_, seen)| *seen);
        let Some(at_work) = leases.chain(seen.map(|[git, pulls]| git.max(pulls) + LEFT_FOR)).max() else { return false };
        let in_lane = seen.map_or(i64::MIN, |seen| seen[owed.pool()]);
        now < at_work && now < in_lane.max(owed.run_at) + if owed.rank == 0 { LEFT_FOR } else { STARVED_AFTER }
    }

    fn holder(&mut self, claim: &ClaimedTask) -> Option<usize> {
        self.0.iter().position(|owed| owed.id == claim.task.id && owed.fence == claim.fence && matches!(owed.standing, Standing::Held { .. }))
    }

    fn wait_again(&mut self, n: usize, run_at: i64) {
        let (request, kind) = (self.0[n].request.clone(), self.0[n].kind);
        let same = |owed: &Owed| owed.standing == Standing::Waiting && owed.request == request && owed.kind == kind;
        let other = self.0.iter().position(same);
        self.0[n].standing = Standing::Waiting;
        self.0[n].run_at = other.map_or(run_at, |other| self.0[other].run_at.min(run_at));
        if let Some(other) = other {
            self.0.remove(other);
        }
    }
}

struct Run {
    store: std::sync::Arc<dyn Store>,
    model: Model,
    now: i64,
    requests: Vec<RequestId>,
    /// Those of them that are about alerts.
    alerts: Vec<RequestId>,
    /// Of which source each is.
    sources: BTreeMap<RequestId, usize>,
    claims: Vec<ClaimedTask>,
}

impl Run {
    async fn step(&mut self, command: &Command) {
        match *command {
            Command::Open { lane, alert, source } => self.open(LANES[lane], alert, source).await,
            Command::Add { request, kind, lane, delay } if !self.requests.is_empty() => {
                let request = self.requests[request % self.requests.len()].clone();
                let new = task(&request, KINDS[kind], LANES[lane], at(self.now + delay));
                let read = self.store.request(&request).await.expect("the request");
                let update = RequestUpdate { tasks: vec![new.clone()], ..Default::default() };
                self.store.update_request(&read, &update, at(self.now)).await.expect("added");
                self.owe(new.id, request, KINDS[kind], LANES[lane], self.now + delay);
            }
            Command::Pass { seconds } => self.now += seconds,
            Command::Claim { owner, room, lease } => self.claim(owner, room, lease).await,
            Command::Settle { claim, how, delay } if !self.claims.is_empty() => self.settle(claim, how, delay).await,
            Command::Extend { claim, lease } if !self.claims.is_empty() => {
                let claim = self.claims[claim % self.claims.len()].clone();
                let result = self.store.extend_leases(&[&claim], at(self.now + lease)).await;
                match self.model.holder(&claim) {
                    Some(n) => {
                        result.expect("it is held");
                        if let Standing::Held { until, .. } = &mut self.model.0[n].standing {
                            *until = self.now + lease;
                        }
                    }
                    None => assert!(matches!(result, Err(StoreError::Conflict(_))), "a lost lease was extended"),
                }
            }
            Command::Release { owner } => {
                let mut released = 0;
                while let Some(n) = self.model.0.iter().position(|owed| matches!(owed.standing, Standing::Held { owner: by, .. } if by == owner)) {
                    self.model.0[n].attempts -= 1;
                    let run_at = self.model.0[n].run_at;
                    self.model.wait_again(n, run_at);
                    released += 1;
                }
                self.model.2.retain(|_, (by, _)| *by != owner);
                assert_eq!(self.store.release(OWNERS[owner]).await.expect("released"), released);
            }
            Command::Add { .. } | Command::Settle { .. } | Command::Extend { .. } => {}
        }
    }

    fn owe(&mut self, id: TaskId, request: RequestId, kind: TaskKind, lane: &str, run_at: i64) {
        let rank = i64::from(!self.alerts.contains(&request));
        let source = self.sources[&request];
        self.model.add(Owed { id, request, kind, lane: lane.to_owned(), rank, source, run_at, attempts: 0, fence: 0, standing: Standing::Waiting });
    }

    async fn open(&mut self, lane: &str, alert: bool, source: usize) {
        let lane = (!lane.is_empty()).then_some(lane);
        let kind = if alert { "alert.firing" } else { "jira.issue.transitioned" };
        let request = open_request_from(SOURCES[source], kind, &*self.store, &format!("key-{}", self.requests.len()), lane, at(self.now)).await.1;
        self.sources.insert(request.clone(), source);
        if alert {
            self.alerts.push(request.clone());
        }
        let filter = kubeops::store::TaskFilter { request: Some(request.clone()), state: None };
        let id = self.store.tasks(&filter, 1).await.expect("tasks").remove(0).id;
        self.owe(id, request.clone(), TaskKind::Plan, lane.unwrap_or_default(), self.now);
        self.requests.push(request);
    }

    async fn claim(&mut self, owner: usize, room: Room, lease: i64) {
        let expected = self.model.claimable(owner, self.now, room);
        let turn = self.model.1.values().max().copied().unwrap_or_default() + 1;
        for n in &expected {
            self.model.1.insert(self.model.0[*n].served(), turn);
            if let Some(repository) = self.model.0[*n].repository() {
                let seen = self.model.2.entry(repository.to_owned()).or_insert((owner, [self.now; 2]));
                if seen.0 != owner {
                    *seen = (owner, [self.now; 2]);
                }
                seen.1[self.model.0[*n].pool()] = self.now;
            }
            let owed = &mut self.model.0[*n];
            owed.standing = Standing::Held { owner, until: self.now + lease };
            owed.fence += 1;
            owed.attempts += 1;
        }
        let lease = Duration::from_secs(lease.unsigned_abs());
        let claimed = self.store.claim(OWNERS[owner], at(self.now), lease, room).await.expect("a claim");
        let seen: Vec<_> = claimed.iter().map(|claim| (&claim.task.id, claim.fence, claim.task.attempts, &claim.request.id)).collect();
        let wanted: Vec<_> = expected.iter().map(|n| &self.model.0[*n]).map(|owed| (&owed.id, owed.fence, owed.attempts, &owed.request)).collect();
        assert_eq!(seen, wanted);
        self.claims.extend(claimed);
    }

    async fn settle(&mut self, claim: usize, how: usize, delay: i64) {
        let claim = self.claims[claim % self.claims.len()].clone();
        let run_at = self.now + delay;
        let verdict = match how {
            0 => Verdict::Done,
            1 => Verdict::Retry { run_at: at(run_at), error: "again".to_owned() },
            2 => Verdict::Postponed { run_at: at(run_at), reason: "later".to_owned() },
            3 => Verdict::GoesOn { lane: "b".to_owned() },
            _ => Verdict::Dead { error: "over".to_owned() },
        };
        let settlement = Settlement { verdict, ..Default::default() };
        let result = self.store.settle(&claim, &settlement, at(self.now)).await;
        let lane = &claim.task.lane;
        let repository = (!lane.is_empty() && !lane.ends_with("/feedback") && !lane.ends_with("/draft")).then(|| lane.trim_end_matches("/pulls"));
        if let Some((by, last)) = repository.and_then(|repository| self.model.2.get_mut(repository))
            && OWNERS[*by] == claim.owner
        {
            last[usize::from(lane.ends_with("/pulls"))] = self.now;
        }
        let Some(n) = self.model.holder(&claim) else {
            assert!(matches!(result, Err(StoreError::Conflict(_))), "a lost lease was settled");
            return;
        };
        result.expect("it is held");
        match how {
            0 => drop(self.model.0.remove(n)),
            1 => self.model.wait_again(n, run_at),
            2 => {
                self.model.0[n].attempts -= 1;
                self.model.wait_again(n, run_at);
            }
            3 => {
                self.model.0[n].attempts -= 1;
                self.model.0[n].lane = "b".to_owned();
                self.model.wait_again(n, self.model.0[n].run_at);
            }
            _ => self.model.0[n].standing = Standing::Dead,
        }
    }

    async fn check(&self) {
        let mut stored = self.store.tasks(&Default::default(), 500).await.expect("tasks");
        stored.reverse();
        let seen: Vec<_> = stored.iter().map(|task| (&task.id, task.run_at, task.attempts, task.lane.as_str())).collect();
        let wanted: Vec<_> = self.model.0.iter().map(|owed| (&owed.id, at(owed.run_at), owed.attempts, owed.lane.as_str())).collect();
        assert_eq!(seen, wanted);
        // What is promised next is kept: at that moment, and not before, something can be claimed.
        for (owner, name) in OWNERS.iter().enumerate() {
            if let Some(next) = self.store.next_due(name, Room::single(1)).await.expect("the next") {
                let next = (next.unix_millis() - at(0).unix_millis()) / 1000;
                if next > self.now {
                    assert!(self.model.claimable(owner, next - 1, Room::single(1)).is_empty(), "something was due before {next}");
                }
            } else {
                assert!(self.model.claimable(owner, i64::MAX, Room::single(1)).is_empty(), "a task waits");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_does_what_the_model_does(commands in prop::collection::vec(command(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (store, _keep) = empty().await;
            let mut run = Run { store, model: Model::default(), now: 0, requests: Vec::new(), alerts: Vec::new(), sources: BTreeMap::new(), claims: Vec::new() };
            for command in &commands {
                run.step(command).await;
                run.check().await;
            }
        });
    }
}
