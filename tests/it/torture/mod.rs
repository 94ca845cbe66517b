//! The real program under fire: killed, made to die between any two steps, made to stand still, with bad wires, full disks, clocks that are
//! set and neighbours that are away. Afterwards the ledgers of those outside are held against one another. `make torture` says how long.

mod books;
mod cuts;
mod doctored;
mod faults;
mod fleet;
mod judge;
mod ledger;
mod model;
mod people;
mod power;
mod report;
mod run;
mod schedule;
mod sender;
mod stories;
mod world;

use crate::support::power::PowerDisk;
use ledger::End;
use report::Sum;
use run::{Ran, Run};
use schedule::{Plan, Store};
use std::time::Duration;
use world::World;

/// The points no process comes by in these stories, and what attacks each.
const ELSEWHERE: &[(&str, &str)] = &[
    // No stream of messages stands among these senders.
    ("stream.stored", include_str!("../flow/streams.rs")),
    // No time to live is shorter than a minute, which is longer than most runs.
    ("clock.settling", include_str!("../flow/reverted.rs")),
    ("clock.reminded", include_str!("../flow/reverted.rs")),
    // Of commands that no server runs beside others, and of the first start on an old schema.
    ("store.migrating", include_str!("../store/migrations.rs")),
    ("store.migrated", include_str!("../store/migrations.rs")),
    ("store.copying", include_str!("../flow/stores.rs")),
    ("store.copied", include_str!("../flow/stores.rs")),
];

/// The points a process comes by.
fn points() -> Vec<&'static str> {
    kubeops::failpoint::ALL.iter().copied().filter(|point| !ELSEWHERE.iter().any(|(elsewhere, _)| point == elsewhere)).collect()
}

#[test]
fn a_point_that_is_not_attacked_here_is_attacked_where_it_is_said_to_be() {
    for (point, text) in ELSEWHERE {
        assert!(kubeops::failpoint::ALL.contains(point), "{point}");
        assert!(text.contains(&format!("\"{point}")), "{point}");
    }
}

/// The seed of the short runs, and of long ones that are given none.
const SEED: u64 = 7;
/// So many processes die in each long run that is told nothing else.
const KILLS: u64 = 200;
/// With so many deaths for each point a run leaves out no point.
const ENOUGH: usize = 25;

/// Plays a plan; what is left of a run that is not as it should be stays on the disk.
fn play(plan: &Plan, power: Option<PowerDisk>) -> Ran {
    let mut world = World::prepared(plan, power);
    let ran = std::thread::scope(|scope| Run::begin(plan, &world, scope).play());
    report::tell(plan, &ran);
    if !ran.is_good() {
        report::keep(&mut world, &ran);
    }
    ran
}

fn short(store: Store, replicas: usize, kills: usize) {
    let plan = Plan { seed: SEED, store, replicas, kills, most: Duration::MAX, stands_still: false, sets_clock: false, power: None };
    let mut sum = Sum::default();
    sum.add(&play(&plan, None));
    println!("{}\n{}", sum.line_of_flight(), sum.line());
    assert!(sum.is_good() && sum.kills >= kills, "see above; seed {SEED}");
    is_under_load(&sum, End::Killed);
}

/// Whoever died so died with about as many new requests in flight as there are senders of such: those that were acknowledged before can no longer
/// be lost by it.
fn is_under_load(sum: &Sum, how: End) {
    let in_flight = sum.in_flight(how).expect("somebody died");
    assert!(in_flight.new * 5 >= sender::AT_ONCE * 4, "{how:?}: {in_flight:?}");
}

#[test]
fn a_process_on_a_file_loses_doubles_and_swaps_nothing_under_fire() {
    short(Store::Sqlite, 1, 14);
}

#[test]
fn three_replicas_on_a_database_lose_double_and_swap_nothing_under_fire() {
    short(Store::Postgres, 3, 14);
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str, default: u64) -> u64 {
    setting(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}: a number")))
}

fn stores(named: Option<&str>) -> Vec<Store> {
    match named {
        Some("sqlite") => vec![Store::Sqlite],
        Some("postgres") => vec![Store::Postgres],
        None | Some("both") => vec![Store::Sqlite, Store::Postgres],
        Some(other) => panic!("TORTURE_STORE: sqlite, postgres or both, not {other}"),
    }
}

#[test]
#[ignore = "takes minutes: make torture"]
fn torture() {
    let seed = number("TORTURE_SEED", SEED);
    let seconds = number("TORTURE_SECONDS", 0);
    let most = if seconds == 0 { Duration::MAX } else { Duration::from_secs(seconds) };
    let kills = number("TORTURE_KILLS", if seconds == 0 { KILLS } else { u64::MAX });
    let stores = stores(setting("TORTURE_STORE").as_deref());
    let replicas = match setting("TORTURE_REPLICAS").as_deref() {
        Some("1") => vec![1],
        Some("3") => vec![3],
        None | Some("both") => vec![1, 3],
        Some(other) => panic!("TORTURE_REPLICAS: 1, 3 or both, not {other}"),
    };
    println!("seed: {seed}");
    let both = stores.iter().flat_map(|store| replicas.iter().map(move |replicas| (*store, *replicas)));
    // Several processes share a database; a file is for one.
    let runs: Vec<(Store, usize)> = both.filter(|run| *run != (Store::Sqlite, 3)).collect();
    assert!(!runs.is_empty(), "a file is for one process: TORTURE_STORE=sqlite wants TORTURE_REPLICAS=1");
    let mut sum = Sum::default();
    for (store, replicas) in runs {
        let kills = usize::try_from(kills).expect("a number");
        let plan = Plan { seed, store, replicas, kills, most, stands_still: true, sets_clock: true, power: None };
        sum.add(&play(&plan, None));
    }
    println!("{}\n{}", sum.line_of_flight(), sum.line());
    assert!(sum.is_good(), "see above; seed {seed}");
    is_under_load(&sum, End::Killed);
    let points = points();
    if kills != u64::MAX && usize::try_from(kills).is_ok_and(|kills| kills >= ENOUGH * points.len()) {
        assert_eq!(sum.unreached(&points), [] as [&str; 0], "nobody died there; seed {seed}");
    }
}
