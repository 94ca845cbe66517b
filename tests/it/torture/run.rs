//! A run from its begin to its end: turn after turn of the schedule, while senders send and people follow their scripts; then peace, until
//! nothing is owed any more; then the judge.

use super::books;
use super::faults::Faults;
use super::fleet::Fleet;
use super::judge::{Judged, judge};
use super::ledger::Books;
use super::people::People;
use super::power::{Cuts, Told};
use super::schedule::{BackedUp, Fault, Plan, Turn, Turns};
use super::sender::{AT_ONCE, Doors, Senders, Traffic};
use super::world::World;
use crate::support::postgres::Keeps;
use std::collections::BTreeMap;
use std::thread::Scope;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long the last byte of what nobody wants takes while a process is on its way to its point.
const LAST_BYTE: Duration = Duration::from_millis(400);
/// How long a process has to come to the point it is to die at.
const TO_THE_POINT: Duration = Duration::from_secs(6);
/// How long where nobody has died there yet, and how often.
const PATIENTLY: Duration = Duration::from_secs(20);
const INSISTS: usize = 10;
/// So many new ones of the fifty are in flight when a fault comes, as far as the program answers at all,
const ENOUGH: usize = AT_ONCE * 9 / 10;
/// or it comes after so long all the same: who is told to come again later is not on the way.
const TO_FILL: Duration = Duration::from_secs(3);
/// And within so long after that the fault comes: at any moment of a commit, or of several.
const MOMENTS: u64 = 60;
/// How often it is looked meanwhile.
const CLOSELY: Duration = Duration::from_millis(2);
/// How often where the moment is to be met.
const MOST_CLOSELY: Duration = Duration::from_micros(300);
/// How long everybody has to be there at the begin.
const TO_BEGIN: Duration = Duration::from_secs(60);
/// How long what is owed may stay as much as it is: once the faults are over, and until a process is back.
const TO_REST: Duration = Duration::from_secs(180);
/// How long everything may take to come to rest once the faults are over, on a machine that is slow.
const TO_REST_AT_MOST: Duration = Duration::from_secs(1200);
/// How long what is owed may still come after that: leases run out, pull requests are looked at.
const TO_SETTLE: Duration = Duration::from_secs(45);
/// How long a backup is waited for, where one is to have ended.
const TO_BACK_UP: Duration = Duration::from_secs(30);
/// How often what waits for its next attempt is hurried meanwhile, as an operator does.
const HURRY: Duration = Duration::from_secs(15);
/// How often it is told how far it is.
const TELL: Duration = Duration::from_secs(20);
/// How often people look.
const LOOK: Duration = Duration::from_millis(60);

/// What came of a run.
pub struct Ran {
    pub kills: usize,
    pub died_at: BTreeMap<&'static str, usize>,
    pub judged: Judged,
    pub cuts: Told,
    pub books: Books,
    /// How often what was acknowledged was sent again and answered as before.
    pub repeated: usize,
    /// What nobody brought about and nobody should see.
    pub strange: Vec<String>,
    /// What the program says of the requests of keys with which something is wrong, and their ids.
    pub timelines: BTreeMap<String, String>,
    pub requests: BTreeMap<String, Vec<String>>,
}

impl Ran {
    pub fn is_good(&self) -> bool {
        self.judged.findings().next().is_none() && self.cuts.is_good() && self.strange.is_empty()
    }
}

pub struct Run<'s, 'e> {
    plan: &'e Plan,
    world: &'e World,
    fleet: Fleet<'s, 'e>,
    faults: Faults<'e>,
    cuts: Cuts<'e>,
    people: People,
    senders: Senders,
    traffic: Traffic,
    /// When it began; and the same in milliseconds since the epoch.
    began: Instant,
    begun: u64,
    looked: Instant,
}

impl<'s, 'e> Run<'s, 'e> {
    pub fn begin(plan: &'e Plan, world: &'e World, scope: &'s Scope<'s, 'e>) -> Self {
        let (begun, doors, traffic) = (Instant::now(), Doors::default(), Traffic::to(plan.replicas));
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        Self {
            plan,
            world,
            fleet: Fleet::start(world, scope, plan.replicas, Doors::clone(&doors), traffic.clone()),
            faults: Faults::of(world),
            cuts: Cuts::of(world, plan),
            people: People::new(begun, plan.seed),
            senders: Senders::start(begun, doors, traffic.clone()),
            traffic,
            begun: u64::try_from(epoch).expect("milliseconds"),
            began: begun,
            looked: begun,
        }
    }

    /// The whole of it.
    pub fn play(mut self) -> Ran {
        self.until(TO_BEGIN, |run| run.fleet.is_whole());
        let mut told = Instant::now();
        for turn in Turns::of(self.plan, self.world.disk.is_some()) {
            if self.is_over() {
                break;
            }
            self.turn(&turn);
            // What is rare and takes long is told each time.
            if told.elapsed() >= TELL || matches!(turn.fault, Fault::Partition { .. }) {
                told = Instant::now();
                self.progress(&format!("{:?}", turn.fault));
            }
        }
        self.leaves_out_no_point();
        self.finish()
    }

    fn is_over(&self) -> bool {
        let is_cut = self.plan.power.is_some_and(|power| self.cuts.told.cuts >= power.cuts);
        is_cut || self.fleet.kills >= self.plan.kills || self.began.elapsed() >= self.plan.most
    }

    /// Cuts of a store that does not keep what it says, each when so many deliveries more were acknowledged, until one of them loses something,
    /// and no more than that.
    pub fn cuts_until_lost(mut self, most: u64, acknowledged: usize) -> Told {
        for cut in 0..most {
            self.until(TO_REST, |run| run.fleet.is_whole());
            let enough = self.senders.acknowledged() + acknowledged;
            self.senders.press(true);
            let is_enough = self.until(TO_REST, |run| run.senders.acknowledged() >= enough);
            assert!(is_enough, "{} were acknowledged: {:?}", self.senders.acknowledged(), self.senders.strange());
            // At another moment each time.
            self.cut(cut * 7, None, None);
            if !self.cuts.told.lost.is_empty() {
                break;
            }
        }
        self.cuts.told
    }

    fn progress(&self, what: &str) {
        eprintln!(
            "torture: {}: {} s, {} cuts, {} kills, {} acknowledged, {} keys, {} pull requests, {} keys under way; {what}",
            self.plan.name(),
            self.began.elapsed().as_secs(),
            self.cuts.told.cuts,
            self.fleet.kills,
            self.senders.acknowledged(),
            self.people.stories.len(),
            self.world.github.pulls().len(),
            self.people.busy(),
        );
    }

    fn turn(&mut self, turn: &Turn) {
        self.people.begin(&self.world.outside(), 2);
        self.live(Duration::from_millis(turn.pause));
        self.until(TO_REST, |run| run.fleet.one(turn.replica).is_some());
        let Some(at) = self.fleet.one(turn.replica) else { return };
        match &turn.fault {
            Fault::Kill { after } => {
                self.live(Duration::from_millis(*after));
                self.press(*after);
                self.fleet.kill(at, None);
            }
            Fault::Dies { at: point, nth } => {
                self.people.begin(&self.world.outside(), 4);
                self.press(turn.pause);
                self.fleet.kill(at, Some((*point, *nth)));
                self.senders.dawdle(LAST_BYTE);
                self.until(TO_THE_POINT, |run| !run.fleet.is_armed(at));
            }
            Fault::Cut { after, backup, again } => {
                self.people.begin(&self.world.outside(), 2);
                self.cut(*after, *backup, *again);
                // There is nobody left to be judged.
                assert!(!self.cuts.told.is_gone, "{:?}\n{}", self.cuts.told.broken, self.world.server.log());
            }
            Fault::StandsStill { millis } => {
                self.press(*millis);
                self.fleet.stands_still(at, Duration::from_millis(*millis));
            }
            fault => {
                self.press(turn.pause);
                self.faults.inflict(fault, at);
            }
        }
        self.senders.press(false);
        // The calls seen are not what is judged, and they would fill the memory.
        self.world.github.clear_ledger();
        self.world.jira.clear_ledger();
    }

    /// In a run of many kills somebody dies at each point: where chance left one out, all are started again to die there, until one does.
    fn leaves_out_no_point(&mut self) {
        let points = super::points();
        for point in points.iter().filter(|_| self.plan.kills >= super::ENOUGH * points.len()) {
            for _ in 0..INSISTS {
                if self.fleet.died_at.contains_key(point) || self.fleet.kills < self.plan.kills {
                    break;
                }
                self.progress(&format!("nobody died at {point} yet"));
                self.fleet.calm();
                self.until(TO_REST, |run| run.fleet.is_whole());
                self.people.begin(&self.world.outside(), 8);
                self.press(0);
                (0..self.plan.replicas).for_each(|at| self.fleet.kill(at, Some((*point, 1))));
                self.senders.dawdle(LAST_BYTE);
                self.until(PATIENTLY, |run| run.fleet.died_at.contains_key(point));
                self.senders.press(false);
            }
        }
    }

    /// The power fails under load, returns, and everything that was acknowledged is looked for.
    fn cut(&mut self, after: u64, backup: Option<BackedUp>, again: Option<u64>) {
        self.fleet.calm();
        self.until(TO_REST, |run| run.fleet.is_whole());
        // A backup has something to copy beside.
        self.senders.press(backup.is_some());
        let waits = backup == Some(BackedUp::Ended);
        let mut backup = backup.map(|_| self.cuts.backup());
        if let Some(backup) = backup.as_mut().filter(|_| waits) {
            self.until(TO_BACK_UP, |_| backup.has_ended());
        }
        self.live(Duration::from_millis(after));
        self.press(after);
        // Just when something was acknowledged, what is said to be on the disk a moment too early is lost.
        let waits = self.cuts.told.cuts.is_multiple_of(3) || self.plan.power.is_some_and(|power| power.keeps != Keeps::All);
        let senders = &self.senders;
        self.cuts.cut(&mut self.fleet, backup, || {
            if waits {
                acknowledges(senders)
            }
        });
        self.fleet.power_returns();
        if let Some(after) = again {
            self.live(Duration::from_millis(after));
            self.cuts.cut(&mut self.fleet, None, || ());
            self.fleet.power_returns();
        }
        self.senders.press(false);
        let sent = self.senders.ledger();
        let is_back = self.until(TO_REST, |run| run.fleet.is_whole());
        match self.fleet.door_of_one().filter(|_| is_back) {
            Some(door) => self.cuts.look(&door, &sent),
            None => self.cuts.all_is_lost(&sent),
        }
    }

    /// From now on as many new requests are in flight as there are senders, and some that were acknowledged; it is a moment after that, which
    /// follows from `chance`. People do not look meanwhile: that may take longer.
    fn press(&mut self, chance: u64) {
        self.senders.press(true);
        let begun = Instant::now();
        while self.traffic.in_flight().new < ENOUGH && begun.elapsed() < TO_FILL {
            self.tend();
            std::thread::sleep(CLOSELY);
        }
        std::thread::sleep(Duration::from_millis(chance % MOMENTS));
    }

    /// Looks after the processes, and after what is bad.
    fn tend(&mut self) {
        self.fleet.excused = self.faults.excuses();
        self.fleet.tend();
        self.faults.mend();
    }

    /// Time goes by.
    fn live(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            self.tend();
            if self.looked.elapsed() >= LOOK {
                self.people.step(&self.world.outside(), &self.senders);
                self.looked = Instant::now();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(5)));
        }
    }

    /// Time goes by until something holds; tells whether it does.
    fn until(&mut self, patience: Duration, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < patience {
            if holds(self) {
                return true;
            }
            self.live(Duration::from_millis(10));
        }
        holds(self)
    }

    /// The faults are over: everything comes to rest, and is judged.
    fn finish(mut self) -> Ran {
        self.faults.end();
        self.fleet.calm();
        let (over, mut told) = (Instant::now(), Instant::now());
        let mut hurried = Instant::now();
        let mut rests = false;
        // Slow is not stuck: it goes on for as long as less and less is owed.
        let (mut least, mut since) = (u64::MAX, Instant::now());
        while !rests && since.elapsed() < TO_REST && over.elapsed() < TO_REST_AT_MOST {
            self.live(Duration::from_millis(300));
            if told.elapsed() >= TELL {
                told = Instant::now();
                self.progress(&format!("waits for {:?}", self.people.waiting()));
            }
            let owed = self.owed().map(|owed| owed + (self.people.busy() + self.senders.busy()) as u64);
            if let Some(owed) = owed.filter(|owed| *owed < least) {
                (least, since) = (owed, Instant::now());
            }
            rests = owed == Some(0);
            if hurried.elapsed() > HURRY {
                self.hurry();
                hurried = Instant::now();
            }
        }
        let (mut books, mut judged) = self.judged();
        let begun = Instant::now();
        while judged.findings().next().is_some() && begun.elapsed() < TO_SETTLE {
            self.live(Duration::from_secs(3));
            (books, judged) = self.judged();
        }
        self.cuts.end();
        self.progress("at rest");
        eprintln!("torture: {}: at rest {} s after the last fault", self.plan.name(), over.elapsed().as_secs());
        let mut strange = [self.fleet.strange.clone(), self.senders.strange()].concat();
        if !rests {
            strange.push(format!("it did not come to rest: {:?} tasks and deliveries are owed", self.owed()));
        }
        strange.extend(self.people.waiting().into_iter().map(|waiting| format!("somebody still waits: {waiting}")));
        let (timelines, requests) = self.asked_of(&judged);
        let cuts = self.cuts.told.clone();
        let (kills, died_at, repeated) = (self.fleet.kills, self.fleet.died_at.clone(), self.senders.repeated());
        Ran { kills, died_at, judged, cuts, books, repeated, strange, timelines, requests }
    }

    /// What the program says of the keys with which something is wrong: told beside the ledgers, and never judged by.
    fn asked_of(&mut self, judged: &Judged) -> (BTreeMap<String, String>, BTreeMap<String, Vec<String>>) {
        let (mut timelines, mut requests) = (BTreeMap::new(), BTreeMap::<String, Vec<String>>::new());
        let Some(door) = self.fleet.door_of_one().filter(|_| judged.findings().next().is_some()) else { return (timelines, requests) };
        for request in door.all("/requests") {
            let key = request["correlation"].as_str().unwrap_or_default().to_owned();
            if judged.findings().any(|finding| finding.key == key) {
                let id = request["id"].as_str().unwrap_or_default().to_owned();
                let whole = door.get(&format!("/requests/{id}"));
                timelines.entry(key.clone()).or_insert_with(String::new).push_str(&format!("{whole:#}\n"));
                requests.entry(key).or_default().push(id);
            }
        }
        (timelines, requests)
    }

    fn judged(&mut self) -> (Books, Judged) {
        self.until(TO_REST, |run| run.fleet.is_whole());
        let door = self.fleet.door_of_one().expect("somebody is there");
        let mut books = books::close(self.world, &self.people, &self.senders, &door, self.begun);
        books.deaths.clone_from(&self.fleet.deaths);
        let judged = judge(&books);
        (books, judged)
    }

    /// How many tasks and deliveries the program owes, when all of it is there.
    fn owed(&mut self) -> Option<u64> {
        if !self.fleet.is_whole() {
            return None;
        }
        let status = self.fleet.door_of_one()?.get("/status");
        Some(status["pending_deliveries"].as_u64()? + status["queued_tasks"].as_u64()?)
    }

    /// What waits for another attempt after a long pause is asked for now: what was in the way is mended.
    fn hurry(&mut self) {
        let Some(door) = self.fleet.door_of_one().filter(|_| self.fleet.is_whole()) else { return };
        for request in door.all("/requests") {
            let id = request["id"].as_str().unwrap_or_default();
            let tasks = door.get(&format!("/requests/{id}"))["tasks"].clone();
            let waits = |task: &serde_json::Value| task["state"] == "waiting" && task["attempts"].as_u64() > Some(0);
            if tasks.as_array().is_some_and(|tasks| tasks.iter().any(waits)) {
                door.api("POST", &format!("/requests/{id}/retry"), None);
            }
        }
    }
}

/// Until something more is acknowledged, as far as the program answers at all.
fn acknowledges(senders: &Senders) {
    let (before, begun) = (senders.acknowledged(), Instant::now());
    while senders.acknowledged() == before && begun.elapsed() < TO_FILL {
        std::thread::sleep(MOST_CLOSELY);
    }
}
