//! The power fails while tickets come in and are worked on: whatever was acknowledged is there afterwards and becomes one pull request, here
//! with pull requests that stand in the store itself. Far more of it: `tests/it/torture/cuts.rs`.

use crate::support::power::{Frozen, PowerDisk, is_mounted};
use crate::support::server::{Connection, TestServer, eventually, ticket};
use crate::support::skipped;
use std::collections::BTreeSet;
use std::fs::DirEntry;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};

/// Room on the disk, in mebibytes.
const DISK: u32 = 256;
/// So many tickets are sent before each cut, by as many senders at once,
const TICKETS: usize = 12;
const SENDERS: usize = 3;
/// and the power fails when so many were acknowledged: early, with the first of them worked on, and when all were.
const MOMENTS: [usize; 4] = [1, 8, 20, 36];
/// And under a first start when so many bytes are there: at once, with the schema half written, and a little later.
const MOMENTS_OF_A_START: [u64; 5] = [1, 8_192, 65_536, 262_144, 524_288];

/// Sends tickets while somebody answers, and tells the keys of those that were acknowledged.
fn sends(at: &Connection, cut: usize, sender: usize, told: &Sender<String>) {
    for number in 0..TICKETS {
        let key = format!("OPS-{cut}{sender}{number:03}");
        let body = ticket(&key, &format!("team-{}", key.to_lowercase())).to_string();
        let Ok(answered) = at.jira(body.as_bytes()) else { return };
        assert_eq!(answered.word(), "202 accepted");
        told.send(key).expect("somebody listens");
    }
}

#[test]
fn what_was_acknowledged_before_the_power_failed_becomes_one_pull_request_of_the_local_forge() {
    let mut power = match PowerDisk::plugged_in(DISK) {
        Ok(power) => power,
        Err(missing) => {
            return skipped(&missing);
        }
    };
    let mut server = TestServer::prepare();
    server.set("DATA_DIR", power.path().join("data").to_str().expect("UTF-8"));
    let mut acknowledged = BTreeSet::new();
    for (cut, moment) in MOMENTS.into_iter().enumerate() {
        server.run();
        let at = server.at().clone();
        let (told, acknowledging) = channel();
        std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (at, told) = (&at, told.clone());
                scope.spawn(move || sends(at, cut, sender, &told));
            }
            drop(told);
            acknowledged.extend(acknowledging.iter().take(moment));
            let frozen = Frozen::of(&[server.id()], || ());
            power.fails();
            drop(frozen);
            server.kill();
            // What it had answered before, and was read later.
            acknowledged.extend(acknowledging.iter());
        });
        power.returns();
    }
    assert!(acknowledged.len() >= MOMENTS.iter().sum::<usize>(), "so many were answered");

    server.run();
    for key in &acknowledged {
        server.at().settled(key, "proposed");
    }
    server.at().nothing_owed();
    let requests = server.at().all("/requests");
    let pulls: BTreeSet<u64> = server.at().all("/pulls").iter().filter_map(|pull| pull["number"].as_u64()).collect();
    let keys: BTreeSet<&str> = requests.iter().filter_map(|request| request["correlation"].as_str()).collect();
    assert!(acknowledged.iter().all(|key| keys.contains(key.as_str())), "each has its request");
    // What was not acknowledged may be there as well: the power may have failed between the commit and the answer.
    assert_eq!(requests.len(), keys.len(), "one request for each ticket");
    assert_eq!(pulls.len(), keys.len(), "one pull request for each ticket");
    let branches = server.upstream.git(&["for-each-ref", "--format=%(refname)", "refs/heads/kubeops"]);
    assert_eq!(branches.lines().count(), keys.len(), "and one branch");
    server.terminate();
}

/// Bytes of all files below a directory; a file that goes away meanwhile has none.
fn bytes_below(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |entry: DirEntry| entry.metadata().map_or(0, |data| if data.is_dir() { bytes_below(&entry.path()) } else { data.len() });
    entries.map(size).sum()
}

#[test]
fn a_first_start_that_the_power_fails_under_is_made_good_by_the_next() {
    let mut power = match PowerDisk::plugged_in(DISK) {
        Ok(power) => power,
        Err(missing) => return skipped(&missing),
    };
    let mut server = TestServer::prepare();
    let data = power.path().join("data");
    server.set("DATA_DIR", data.to_str().expect("UTF-8"));
    for (cut, moment) in MOMENTS_OF_A_START.into_iter().enumerate() {
        let starting = server.starting(&data, &[]);
        eventually("it writes so much", || (bytes_below(&data) >= moment).then_some(()));
        let frozen = Frozen::of(&[starting.id()], || ());
        power.fails();
        drop(frozen);
        drop(starting.listens());
        power.returns();

        server.run();
        let key = format!("OPS-{cut}");
        server.at().ticket(&ticket(&key, &format!("team-{cut}")));
        server.at().settled(&key, "proposed");
        server.kill();
        // The next finds nothing there, and that is settled.
        server.lose_data();
        power.settle();
    }
}

#[test]
fn a_test_that_fails_leaves_no_disk_and_what_a_killed_one_left_is_taken_apart_by_the_next() {
    let failing = match PowerDisk::plugged_in(DISK) {
        Ok(disk) => disk,
        Err(missing) => return skipped(&missing),
    };
    let of_failing = failing.path();
    assert!(is_mounted(&of_failing), "it is a disk");
    let failed = std::thread::spawn(move || panic!("on purpose, with {}", failing.path().display())).join();
    assert!(failed.is_err() && !is_mounted(&of_failing) && !of_failing.exists());

    let killed = PowerDisk::plugged_in(DISK).expect("another disk");
    let mut orphan = Command::new("sleep").arg("600").current_dir(killed.path()).spawn().expect("a process that stands on it");
    let left = killed.abandon();
    assert!(is_mounted(&left.join("disk")) && is_mounted(&left.join("memory")));
    let next = PowerDisk::plugged_in(DISK).expect("a third disk");
    // Another test that begins just now may be at it as well.
    eventually("nothing is left", || (!left.exists()).then_some(()));
    assert!(!is_mounted(&left.join("disk")) && !is_mounted(&left.join("memory")));
    assert_eq!(orphan.wait().expect("it ended").signal(), Some(9), "nobody holds the loop device");
    assert!(is_mounted(&next.path()), "a disk that somebody has is left alone");
}
