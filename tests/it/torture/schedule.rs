//! What happens when: a function of the seed and of nothing else. Moments are pauses, not hours: how far the program got meanwhile is what
//! differs from run to run.

use crate::support::chance::Chance;
use crate::support::postgres::Keeps;
use crate::support::proxy::Wire;
use std::time::Duration;

/// So long a process waits for PostgreSQL to answer at most, in milliseconds.
const DEADLINE: u64 = 15_000;
/// Leases last six seconds in these runs.
const LONGER_THAN_A_LEASE: u64 = 9_000;

/// The stores and numbers of replicas a run goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    Sqlite,
    Postgres,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub store: Store,
    pub replicas: usize,
    /// It is over when so many processes have died,
    pub kills: usize,
    /// or after so long.
    pub most: Duration,
    /// Whether replicas also stand still for longer than a lease lasts, which takes long.
    pub stands_still: bool,
    /// Whether the clock on the wall is set.
    pub sets_clock: bool,
    /// Everything stands on a disk whose power fails.
    pub power: Option<Power>,
}

/// A disk whose power fails.
#[derive(Debug, Clone, Copy)]
pub struct Power {
    /// The run is over after so many cuts.
    pub cuts: usize,
    /// Whether the store syncs at all.
    pub keeps: Keeps,
}

impl Plan {
    pub fn name(&self) -> String {
        let store = if self.store == Store::Sqlite { "sqlite" } else { "postgres" };
        format!("{store}-{}", self.replicas)
    }
}

/// Which neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    Github,
    Jira,
    Git,
    Database,
}

/// What is done to the program, or to one of its neighbours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` so many milliseconds after the senders began.
    Kill { after: u64 },
    /// It is started again so that it dies at the n-th pass of this point.
    Dies { at: &'static str, nth: u32 },
    /// It stands still for so many milliseconds; longer than a lease lasts, or not.
    StandsStill { millis: u64 },
    /// The wire to a neighbour is bad for so many milliseconds.
    Wire { to: Neighbour, wire: Wire, millis: u64 },
    /// On the connections to PostgreSQL that there are nothing is carried any more, and nobody learns of it for so many milliseconds; new
    /// ones are led on.
    Forgets { millis: u64 },
    /// Between one replica and PostgreSQL nothing is carried for so many milliseconds, and nobody hangs up: longer than a lease lasts, up to longer
    /// than an answer is waited for. The others have their database, and this one its way to everybody else.
    Partition { wire: Wire, millis: u64 },
    /// GitHub or Jira is away.
    Away { who: Neighbour, millis: u64 },
    /// The replies to the next so many writes do not arrive, though they were carried out.
    RepliesLost { of: Neighbour, many: usize },
    /// One of the next calls is answered with a limit or an error.
    Refused { by: Neighbour, skip: usize, which: usize },
    /// PostgreSQL dies and comes back so many milliseconds later.
    Restart { millis: u64 },
    /// The clock on the wall shows so many seconds more than it is.
    Clock { seconds: i64 },
    /// The disk has no room for so many milliseconds.
    DiskFull { millis: u64 },
    /// The power fails so many milliseconds after the senders began, or a backup did; and when it is back perhaps once more, so many
    /// milliseconds after the program began to start.
    Cut { after: u64, backup: Option<BackedUp>, again: Option<u64> },
}

/// How far a backup is from which the time until the power fails is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackedUp {
    Begun,
    Ended,
}

/// What happens in a turn.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Which replica, of those that run.
    pub replica: usize,
    pub fault: Fault,
    /// How long the program is left alone before.
    pub pause: u64,
}

/// The turns of a run, without an end.
pub struct Turns<'p> {
    plan: &'p Plan,
    has_disk: bool,
    chance: Chance,
    /// Each point comes as often as any other, in an order of the seed.
    points: Vec<&'static str>,
}

impl<'p> Turns<'p> {
    pub fn of(plan: &'p Plan, has_disk: bool) -> Self {
        Self { plan, has_disk, chance: Chance::new(plan.seed), points: Vec::new() }
    }
}

impl Iterator for Turns<'_> {
    type Item = Turn;

    fn next(&mut self) -> Option<Turn> {
        let chance = &mut self.chance;
        let fault = match chance.below(10) {
            // Now and then the program alone dies, so that the power fails over what it left.
            0..=2 | 7.. if self.plan.power.is_some() => {
                let backup = chance.once_in(4).then(|| if chance.once_in(2) { BackedUp::Begun } else { BackedUp::Ended });
                let after = chance.below(if backup == Some(BackedUp::Begun) { 2_000 } else { 400 }) as u64;
                Fault::Cut { after, backup, again: chance.once_in(3).then(|| chance.below(150) as u64) }
            }
            0..=3 => Fault::Kill { after: chance.below(400) as u64 },
            4..=6 => {
                if self.points.is_empty() {
                    self.points = shuffled(chance);
                }
                Fault::Dies { at: self.points.pop()?, nth: if chance.once_in(4) { 2 } else { 1 } }
            }
            _ => between(self.plan, self.has_disk, chance),
        };
        let pause = match chance.below(10) {
            0..=4 => 20 + chance.below(280) as u64,
            5..=8 => 300 + chance.below(900) as u64,
            _ => 1_500 + chance.below(2_000) as u64,
        };
        Some(Turn { replica: chance.below(self.plan.replicas), fault, pause })
    }
}

fn shuffled(chance: &mut Chance) -> Vec<&'static str> {
    let mut points: Vec<&'static str> = super::points();
    for at in (1..points.len()).rev() {
        points.swap(at, chance.below(at + 1));
    }
    points
}

/// A fault of which no process dies.
fn between(plan: &Plan, has_disk: bool, chance: &mut Chance) -> Fault {
    let postgres = plan.store == Store::Postgres;
    let millis = 300 + chance.below(2_000) as u64;
    let who = *chance.pick(&[Neighbour::Github, Neighbour::Jira]);
    match chance.below(10) {
        0 => Fault::Away { who, millis },
        1 => Fault::RepliesLost { of: who, many: 1 + chance.below(4) },
        2 => Fault::Refused { by: who, skip: chance.below(4), which: chance.below(16) },
        3 if postgres => Fault::Restart { millis },
        3 if has_disk => Fault::DiskFull { millis },
        4 if plan.sets_clock => Fault::Clock { seconds: i64::try_from(chance.below(7_200)).expect("small") - 3_600 },
        5 => {
            // Longer than a lease lasts now and then, where another replica can take over.
            let long = plan.stands_still && plan.replicas > 1 && chance.once_in(3);
            Fault::StandsStill { millis: if long { LONGER_THAN_A_LEASE } else { millis } }
        }
        6 if postgres => Fault::Forgets { millis: DEADLINE + millis },
        7 if postgres && plan.replicas > 1 => {
            // What it said meanwhile is lost, or arrives when it is back.
            let wire = if chance.once_in(2) { Wire::Silent } else { Wire::Held };
            Fault::Partition { wire, millis: LONGER_THAN_A_LEASE + chance.below(8_000) as u64 }
        }
        _ => {
            let to = *chance.pick(&[Neighbour::Github, Neighbour::Jira, Neighbour::Git, Neighbour::Database]);
            let to = if to == Neighbour::Database && !postgres { Neighbour::Git } else { to };
            let wire = match chance.below(4) {
                0 => Wire::Dead,
                1 => Wire::Slow(5 + chance.below(60) as u64),
                2 => Wire::Cut(1 + chance.below(3_000)),
                _ => Wire::Silent,
            };
            Fault::Wire { to, wire, millis }
        }
    }
}
