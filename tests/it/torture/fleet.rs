//! The processes under fire: started, killed, made to die at a point, made to stand still, and started again.

use super::ledger::{Death, End, Load};
use super::sender::{Doors, Traffic};
use super::world::World;
use crate::support::server::{Connection, Replica};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// What `abort` sends.
const ABORTED: i32 = 6;

/// A point to die at.
pub type Armed = (&'static str, u32);

#[derive(Default)]
struct Slot<'s> {
    replica: Option<Replica>,
    armed: Option<Armed>,
    stands_until: Option<Instant>,
    starting: Option<Starts<'s>>,
    /// What it had broken off when it was last seen alive.
    broken: Load,
}

/// A process that does not listen yet, and who waits for it.
struct Starts<'s> {
    id: u32,
    waits: ScopedJoinHandle<'s, Option<Replica>>,
}

/// The replicas of a run; they are waited for in threads of `scope`, so that no start holds up a kill of another.
pub struct Fleet<'s, 'e> {
    world: &'e World,
    /// Where their data directories are.
    home: PathBuf,
    scope: &'s Scope<'s, 'e>,
    slots: Vec<Slot<'s>>,
    doors: Doors,
    traffic: Traffic,
    pub kills: usize,
    /// Who died, and what was in flight then.
    pub deaths: Vec<Death>,
    /// How often each point was died at.
    pub died_at: BTreeMap<&'static str, usize>,
    /// Ends that nobody brought about.
    pub strange: Vec<String>,
    /// Whether a start may fail, because what it needs is not there.
    pub excused: bool,
}

impl<'s, 'e> Fleet<'s, 'e> {
    pub fn start(world: &'e World, scope: &'s Scope<'s, 'e>, many: usize, doors: Doors, traffic: Traffic) -> Self {
        *doors.write().expect("the doors") = vec![None; many];
        let slots = (0..many).map(|_| Slot::default()).collect();
        let (deaths, died_at, strange) = (Vec::new(), BTreeMap::new(), Vec::new());
        let home = world.home();
        let mut fleet = Self { world, home, scope, slots, doors, traffic, kills: 0, deaths, died_at, strange, excused: false };
        (0..many).for_each(|at| fleet.begin(at, None));
        fleet
    }

    fn begin(&mut self, at: usize, armed: Option<Armed>) {
        let (server, data) = (&self.world.server, self.home.join(format!("r{at}")));
        let store = self.world.store_of(at);
        let slot = &mut self.slots[at];
        slot.armed = armed;
        let point = armed.map(|(point, nth)| format!("{point}:{nth}")).unwrap_or_default();
        let armed = armed.map(|_| ("KUBEOPS_FAILPOINT", point.as_str()));
        let environment: Vec<(&str, &str)> = armed.into_iter().chain(store.as_deref().map(|store| ("STORE_URL", store))).collect();
        let starting = server.starting(&data, &environment);
        slot.starting = Some(Starts { id: starting.id(), waits: self.scope.spawn(move || starting.listens()) });
    }

    fn door(&self, at: usize, connection: Option<Connection>) {
        self.doors.write().expect("the doors")[at] = connection;
    }

    /// Looks after everybody: who has ended is started again, who has stood long enough goes on.
    pub fn tend(&mut self) {
        for at in 0..self.slots.len() {
            if self.slots[at].starting.as_ref().is_some_and(|starts| starts.waits.is_finished()) {
                let started = self.slots[at].starting.take().expect("it was starting").waits.join().expect("a start");
                match started {
                    Some(replica) => {
                        self.slots[at].broken = self.traffic.broken(at);
                        self.door(at, Some(replica.at().clone()));
                        self.slots[at].replica = Some(replica);
                    }
                    None => self.ended(at, None),
                }
            }
            // What it breaks off from here on may be of its end.
            let broken = self.traffic.broken(at);
            let status = self.slots[at].replica.as_mut().and_then(Replica::ended);
            if status.is_none() {
                self.slots[at].broken = broken;
            }
            if let Some(status) = status {
                self.door(at, None);
                self.slots[at].replica = None;
                self.ended(at, Some(status));
            }
            if self.slots[at].stands_until.is_some_and(|until| Instant::now() >= until) {
                self.goes_on(at);
            }
        }
    }

    /// One has ended by itself, or did not come to listen.
    fn ended(&mut self, at: usize, status: Option<std::process::ExitStatus>) {
        let armed = self.slots[at].armed.take();
        self.slots[at].stands_until = None;
        match armed {
            Some((point, _)) if status.is_none_or(|status| status.signal() == Some(ABORTED)) => {
                *self.died_at.entry(point).or_default() += 1;
                self.kills += 1;
                let broken = self.traffic.broken(at) - self.slots[at].broken;
                self.witness(at, End::AtPoint, status.is_some(), broken);
            }
            _ if self.excused && status.is_none() => {}
            _ => self.strange.push(format!("replica {at} ended by itself: {status:?}")),
        }
        self.begin(at, None);
    }

    fn goes_on(&mut self, at: usize) {
        if self.slots[at].stands_until.take().is_some()
            && let Some(replica) = &self.slots[at].replica
        {
            replica.signal("CONT");
        }
    }

    /// One of those that run and do not stand still, by lot.
    pub fn one(&self, lot: usize) -> Option<usize> {
        let running: Vec<usize> =
            (0..self.slots.len()).filter(|at| self.slots[*at].replica.is_some() && self.slots[*at].stands_until.is_none()).collect();
        running.get(lot % running.len().max(1)).copied()
    }

    /// `kill -9`; then it is started again, to die at a point or not.
    pub fn kill(&mut self, at: usize, armed: Option<Armed>) {
        if self.slots[at].replica.is_some() {
            self.witness(at, End::Killed, true, Load::default());
            self.kills += 1;
            self.replace(at, armed);
        }
    }

    fn replace(&mut self, at: usize, armed: Option<Armed>) {
        let slot = &mut self.slots[at];
        let Some(mut replica) = slot.replica.take() else { return };
        replica.kill();
        slot.stands_until = None;
        self.door(at, None);
        self.begin(at, armed);
    }

    /// Writes down a death: what is on its way, and what was and has been broken off by it already.
    fn witness(&mut self, at: usize, how: End, listened: bool, broken: Load) {
        let (in_flight, to_it) = (self.traffic.in_flight() + broken, self.traffic.open(at) + broken);
        self.deaths.push(Death { how, in_flight, to_it, listened });
    }

    /// Writes down that the power is about to fail.
    pub fn witness_cut(&mut self) {
        let (in_flight, listened) = (self.traffic.in_flight(), self.slots.iter().any(|slot| slot.replica.is_some()));
        self.deaths.push(Death { how: End::Cut, in_flight, to_it: in_flight, listened });
    }

    /// The processes that run, or begin to.
    pub fn ids(&self) -> Vec<u32> {
        let id = |slot: &Slot<'_>| slot.replica.as_ref().map(Replica::id).or(slot.starting.as_ref().map(|starts| starts.id));
        self.slots.iter().filter_map(id).collect()
    }

    /// All are dead, and nobody starts them again.
    pub fn power_fails(&mut self) {
        for at in 0..self.slots.len() {
            let slot = std::mem::take(&mut self.slots[at]);
            // It may just have come to listen, before it died.
            drop(slot.starting.map(|starts| starts.waits.join().expect("a start")));
            self.door(at, None);
        }
    }

    /// All are started again.
    pub fn power_returns(&mut self) {
        (0..self.slots.len()).for_each(|at| self.begin(at, None));
    }

    /// Whether it waits for its point.
    pub fn is_armed(&self, at: usize) -> bool {
        self.slots[at].armed.is_some()
    }

    /// It stands still for so long.
    pub fn stands_still(&mut self, at: usize, time: Duration) {
        let slot = &mut self.slots[at];
        if let Some(replica) = &slot.replica {
            replica.signal("STOP");
            slot.stands_until = Some(Instant::now() + time);
        }
    }

    /// Nobody stands still, and nobody is to die at a point any more. Those that were are started anew, which is no kill under fire.
    pub fn calm(&mut self) {
        for at in 0..self.slots.len() {
            self.goes_on(at);
            if self.is_armed(at) && self.slots[at].replica.is_some() {
                self.replace(at, None);
            }
        }
    }

    /// Whether everybody is there.
    pub fn is_whole(&self) -> bool {
        self.slots.iter().all(|slot| slot.replica.is_some() && slot.armed.is_none() && slot.stands_until.is_none())
    }

    /// Somebody to be asked, where there is one.
    pub fn door_of_one(&self) -> Option<Connection> {
        self.doors.read().expect("the doors").iter().flatten().next().cloned()
    }
}
