//! Ten thousand tickets arrive while git, GitHub and Jira answer nothing: what the server takes in memory meanwhile and afterwards, how long
//! the work then takes, and whether each was done once.

use crate::Setting;
use crate::feedback::tell_tickets;
use crate::push::World;
use crate::remote::{AWAY, LEDGER};
use crate::report::{Reference, Report};
use crate::server;
use anyhow::bail;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Tickets that arrive.
const TICKETS: usize = 10_000;
/// Files of the repository.
const FILES: usize = 1_000;
/// How long nothing answers after the last ticket came.
const AWAY_FOR: Duration = Duration::from_secs(30);
/// How long the ledger may stand still before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(240);

/// Measures `outage.*`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let tickets = setting.effort.pick(TICKETS, 50);
    // GitHub's pause of a second between writes would make hours of it, and is no work of the server's.
    let mut world = World::start(setting, FILES, &[("FORGE_WRITE_PAUSE_MS", "0")], tell_tickets)?;
    world.warm_up()?;
    let before = settled(&world, usize::MAX, Duration::from_secs(5))?;
    let bare = server::reference(&world.place, server::workers())?;
    let bare_rss = bare.rss_mib()?;
    drop(bare);

    std::fs::write(world.place.join(AWAY), b"")?;
    let begun = Instant::now();
    for _ in 0..tickets {
        world.send()?;
    }
    report.note(&format!("{tickets} tickets were taken in {:.1} s while nothing answered", begun.elapsed().as_secs_f64()));
    std::thread::sleep(setting.effort.pick(AWAY_FOR, Duration::from_secs(2)));
    let quiet = settled(&world, 0, Duration::ZERO)?;
    if quiet != before {
        bail!("something was done while nothing answered");
    }
    let meanwhile = world.kubeops.peak_rss_mib()?;

    std::fs::remove_file(world.place.join(AWAY))?;
    let (back, spent) = (Instant::now(), world.kubeops.processor_time()?);
    let wanted = before.values().sum::<usize>() + 2 * tickets;
    let done = settled(&world, wanted, PATIENCE)?;
    let took = back.elapsed();
    let spent = world.kubeops.processor_time()?.checked_sub(spent).unwrap_or_default();
    // What comes twice comes late.
    let after = settled(&world, usize::MAX, setting.effort.pick(Duration::from_secs(20), Duration::from_secs(2)))?;
    let (twice, missing) = (after.values().filter(|count| **count > 1).count(), wanted.saturating_sub(after.values().sum()));
    report.note(&format!(
        "then {} lines of the ledger came in {:.0} s ({:.1} tickets a second, {:.1} ms of processor time each); {missing} are missing, {twice} stand there twice",
        done.values().sum::<usize>() - before.values().sum::<usize>(),
        took.as_secs_f64(),
        tickets as f64 / took.as_secs_f64(),
        spent.as_secs_f64() * 1000.0 / tickets as f64
    ));
    report.note(&format!("memory at most while nothing answered: {meanwhile:.1} MiB"));
    report.figure("outage.rss_mib", world.kubeops.peak_rss_mib()?, "MiB", Reference { value: bare_rss, what: "a bare actix server" })?;
    report.figure(
        "outage.twice_or_missing",
        (twice + missing) as f64,
        "effects",
        Reference { value: (2 * tickets) as f64, what: "all that were due" },
    )?;
    world.end()
}

/// Reads the ledger until it has so many lines, or until it has stood still for a while: how often each line is there.
fn settled(world: &World, wanted: usize, patience: Duration) -> anyhow::Result<BTreeMap<String, usize>> {
    let (mut lines, mut since, mut told) = (0, Instant::now(), Instant::now());
    loop {
        let ledger = std::fs::read_to_string(world.place.join(LEDGER)).unwrap_or_default();
        let mut counts = BTreeMap::new();
        ledger.lines().for_each(|line| *counts.entry(line.to_owned()).or_default() += 1);
        let now: usize = counts.values().sum();
        if now > lines {
            (lines, since) = (now, Instant::now());
        }
        if now >= wanted || since.elapsed() >= patience {
            return Ok(counts);
        }
        if told.elapsed() > Duration::from_secs(30) {
            println!("  ... {now} of {wanted} lines");
            told = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
