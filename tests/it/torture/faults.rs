//! What goes wrong around the program, and when it is over.

use super::schedule::{Fault, Neighbour};
use super::world::World;
use crate::support::proxy::{Proxy, Wire};
use crate::support::{fake_github, fake_jira};
use std::time::{Duration, Instant};

/// How long a start may fail after what it needs has come back.
const GRACE: Duration = Duration::from_secs(5);

/// What has to be put right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Wire(Neighbour),
    Forgotten,
    /// The wire of this replica to the database.
    Partition(usize),
    Away(Neighbour),
    Database,
    Disk,
}

pub struct Faults<'w> {
    world: &'w World,
    broken: Vec<(Instant, Broken)>,
    /// Until when a start may fail.
    excused: Option<Instant>,
}

impl<'w> Faults<'w> {
    pub fn of(world: &'w World) -> Self {
        Self { world, broken: Vec::new(), excused: None }
    }

    /// Whether a start may fail, because what it needs is not there or has just come back.
    pub fn excuses(&self) -> bool {
        let needed = |(_, broken): &(Instant, Broken)| is_needed(*broken);
        self.broken.iter().any(needed) || self.excused.is_some_and(|until| Instant::now() < until)
    }

    /// The wires to a neighbour, but of those replicas that are cut off.
    fn wires(&self, to: Neighbour) -> impl Iterator<Item = &'w Proxy> {
        let wires = self.world.wires(to).into_iter().enumerate();
        wires.filter(move |(replica, _)| to != Neighbour::Database || !self.is(Broken::Partition(*replica))).map(|(_, wire)| wire)
    }

    /// Brings about a fault that is not of a process; `replica` is the one it is of, if it is of one.
    pub fn inflict(&mut self, fault: &Fault, replica: usize) {
        let world = self.world;
        match fault {
            Fault::Wire { to, wire, millis } => {
                self.wires(*to).for_each(|one| one.is(*wire));
                self.breaks(Broken::Wire(*to), *millis);
            }
            Fault::Forgets { millis } => {
                self.wires(Neighbour::Database).for_each(Proxy::forgets);
                self.breaks(Broken::Forgotten, *millis);
            }
            // One, and not the others.
            Fault::Partition { wire, millis } if !self.broken.iter().any(|(_, broken)| matches!(broken, Broken::Partition(_))) => {
                world.wires(Neighbour::Database)[replica].is(*wire);
                self.breaks(Broken::Partition(replica), *millis);
            }
            Fault::Away { who, millis } => {
                self.away(*who, true);
                self.breaks(Broken::Away(*who), *millis);
            }
            Fault::RepliesLost { of: Neighbour::Github, many } => world.github.drop_replies_to_writes(*many),
            Fault::RepliesLost { many, .. } => world.jira.drop_replies_to_writes(*many),
            Fault::Refused { by: Neighbour::Github, skip, which } => world.github.fail_after(*skip, at_github(*which)),
            Fault::Refused { skip, which, .. } => world.jira.fail_after(*skip, at_jira(*which)),
            Fault::Restart { millis } if !self.is(Broken::Database) => {
                world.database.as_ref().expect("PostgreSQL").borrow_mut().dies();
                self.breaks(Broken::Database, *millis);
            }
            Fault::DiskFull { millis } if !self.is(Broken::Disk) => {
                world.disk.as_ref().expect("a small disk").fill();
                self.breaks(Broken::Disk, *millis);
            }
            Fault::Clock { seconds } => world.warp.as_ref().expect("a clock").to(*seconds),
            _ => {}
        }
    }

    fn is(&self, what: Broken) -> bool {
        self.broken.iter().any(|(_, broken)| *broken == what)
    }

    fn breaks(&mut self, what: Broken, millis: u64) {
        self.broken.retain(|(_, broken)| *broken != what);
        self.broken.push((Instant::now() + Duration::from_millis(millis), what));
    }

    fn away(&self, who: Neighbour, away: bool) {
        match who {
            Neighbour::Github => self.world.github.goes_away(away),
            _ => self.world.jira.goes_away(away),
        }
    }

    /// What has lasted long enough is over.
    pub fn mend(&mut self) {
        let now = Instant::now();
        let (over, lasting): (Vec<_>, Vec<_>) = self.broken.drain(..).partition(|(until, _)| now >= *until);
        self.broken = lasting;
        over.into_iter().for_each(|(_, broken)| self.put_right(broken));
    }

    /// Everything is over, and nothing goes wrong any more.
    pub fn end(&mut self) {
        for (_, broken) in std::mem::take(&mut self.broken) {
            self.put_right(broken);
        }
        self.world.github.drop_replies_to_writes(0);
        self.world.jira.drop_replies_to_writes(0);
        if let Some(warp) = &self.world.warp {
            warp.to(0);
        }
    }

    fn put_right(&mut self, broken: Broken) {
        match broken {
            Broken::Wire(to) => self.wires(to).for_each(|wire| wire.is(Wire::Good)),
            Broken::Forgotten => self.world.wires(Neighbour::Database).into_iter().for_each(Proxy::gives_up_forgotten),
            Broken::Partition(replica) => self.world.wires(Neighbour::Database)[replica].is(Wire::Good),
            Broken::Away(who) => self.away(who, false),
            Broken::Database => self.world.database.as_ref().expect("PostgreSQL").borrow_mut().run(),
            Broken::Disk => self.world.disk.as_ref().expect("a small disk").make_room(),
        }
        if is_needed(broken) {
            self.excused = Some(Instant::now() + GRACE);
        }
    }
}

/// Whether no process starts without it.
fn is_needed(what: Broken) -> bool {
    matches!(what, Broken::Database | Broken::Disk | Broken::Forgotten | Broken::Partition(_) | Broken::Wire(Neighbour::Database))
}

fn at_github(which: usize) -> fake_github::Fault {
    use fake_github::Fault;
    let soon = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() + 2;
    match which {
        0 => Fault::ServerError,
        1 => Fault::TooMany(Some(1)),
        2 => Fault::Secondary(Some(1)),
        3 => Fault::Exhausted { reset: soon },
        4..=6 => Fault::DroppedAfter,
        7 => Fault::DroppedBefore,
        8..=10 => Fault::Truncated,
        11..=12 => Fault::Slow(400),
        13 => Fault::Silent,
        _ => Fault::BadGateway,
    }
}

fn at_jira(which: usize) -> fake_jira::Fault {
    use fake_jira::Fault;
    match which {
        0..=1 => Fault::TooMany(Some("1")),
        2..=3 => Fault::Maintenance("1"),
        4..=7 => Fault::DroppedAfter,
        8 => Fault::DroppedBefore,
        9..=10 => Fault::Truncated,
        11..=12 => Fault::Slow(400),
        13 => Fault::Silent,
        _ => Fault::BadGateway,
    }
}
