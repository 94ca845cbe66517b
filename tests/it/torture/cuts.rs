//! The power fails, again and again, while senders send and people work: on a disk that keeps what was synced and nothing else.
//! `make torture-cuts` says how often. That a loss would be seen is shown with a store that syncs nothing, and with one that syncs a moment late.

use super::ledger::End;
use super::report::Sum;
use super::run::Run;
use super::schedule::{Plan, Power, Store};
use super::world::World;
use super::{SEED, is_under_load, number, play, setting, stores};
use crate::support::postgres::Keeps;
use crate::support::power::PowerDisk;
use crate::support::skipped;
use std::time::Duration;

/// Room on the disk, in mebibytes.
const DISK: u32 = 512;
/// Cuts of each long run that is told nothing else.
const CUTS: u64 = 200;
/// So many deliveries are acknowledged before a store that syncs nothing, or late, is cut off.
const DECEIVED: usize = 60;
/// So many cuts a store that syncs late has to get by without being found out.
const CHANCES: u64 = 10;

fn plan(seed: u64, store: Store, cuts: usize, keeps: Keeps) -> Plan {
    let power = Some(Power { cuts, keeps });
    Plan { seed, store, replicas: 1, kills: usize::MAX, most: Duration::MAX, stands_still: false, sets_clock: false, power }
}

/// A disk; where there can be none, it is told what is missing.
fn disk() -> Option<PowerDisk> {
    PowerDisk::plugged_in(DISK).inspect_err(|missing| skipped(missing)).ok()
}

fn short(store: Store, cuts: usize) {
    let Some(disk) = disk() else { return };
    let mut sum = Sum::default();
    sum.add(&play(&plan(SEED, store, cuts, Keeps::All), Some(disk)));
    println!("{}\n{}", sum.line_of_flight(), sum.line_of_cuts());
    assert!(sum.is_good() && sum.cuts >= cuts, "see above; seed {SEED}");
    is_under_load(&sum, End::Cut);
}

#[test]
fn a_file_loses_nothing_that_was_acknowledged_when_the_power_fails() {
    short(Store::Sqlite, 6);
}

#[test]
fn a_database_loses_nothing_that_was_acknowledged_when_the_power_fails() {
    short(Store::Postgres, 6);
}

/// Cuts of a store that only says that it syncs; tells how many acknowledged deliveries are lost.
fn deceived(store: Store, keeps: Keeps, most: u64) -> Option<usize> {
    let plan = plan(SEED, store, 1, keeps);
    let world = World::prepared(&plan, Some(disk()?));
    let told = std::thread::scope(|scope| Run::begin(&plan, &world, scope).cuts_until_lost(most, DECEIVED));
    println!("{}, {keeps:?}: {} lost by cut {}; {:?}", plan.name(), told.lost.len(), told.cuts, told.broken);
    Some(told.lost.len())
}

#[test]
fn a_file_that_is_never_synced_loses_what_it_acknowledged_and_that_is_seen() {
    if let Some(lost) = deceived(Store::Sqlite, Keeps::Nothing, 1) {
        assert!(lost > 0, "this disk loses nothing");
    }
}

#[test]
fn a_database_that_never_syncs_loses_what_it_acknowledged_and_that_is_seen() {
    if let Some(lost) = deceived(Store::Postgres, Keeps::Nothing, 1) {
        assert!(lost > 0, "this disk loses nothing");
    }
}

#[test]
fn a_file_that_is_synced_20_ms_late_loses_what_it_acknowledged_last_and_that_is_seen() {
    if let Some(lost) = deceived(Store::Sqlite, Keeps::Late, CHANCES) {
        assert!(lost > 0, "nobody sees what is acknowledged too early");
    }
}

#[test]
fn a_database_that_syncs_20_ms_late_loses_what_it_acknowledged_last_and_that_is_seen() {
    if let Some(lost) = deceived(Store::Postgres, Keeps::Late, CHANCES) {
        assert!(lost > 0, "nobody sees what is acknowledged too early");
    }
}

#[test]
#[ignore = "takes minutes: make torture-cuts"]
fn torture_by_cuts() {
    let seed = number("TORTURE_SEED", SEED);
    let cuts = usize::try_from(number("TORTURE_CUTS", CUTS)).expect("a number");
    println!("seed: {seed}");
    let mut sum = Sum::default();
    for store in stores(setting("TORTURE_STORE").as_deref()) {
        let disk = PowerDisk::plugged_in(DISK).unwrap_or_else(|missing| panic!("no disk whose power can be cut: {missing}"));
        sum.add(&play(&plan(seed, store, cuts, Keeps::All), Some(disk)));
    }
    println!("{}\n{}", sum.line_of_flight(), sum.line_of_cuts());
    assert!(sum.is_good(), "see above; seed {seed}");
    is_under_load(&sum, End::Cut);
}
