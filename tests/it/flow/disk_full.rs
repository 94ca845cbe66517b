//! A disk with no room left: nothing is acknowledged that is not kept, and everything goes on when there is room again.

use crate::support::server::{TestServer, eventually, ticket};
use crate::support::skipped;
use crate::support::small_disk::SmallDisk;
use std::collections::BTreeSet;

#[test]
fn a_full_disk_is_answered_503_and_nothing_acknowledged_is_lost() {
    let mut server = TestServer::prepare();
    let Some(disk) = SmallDisk::mount(server.place("disk"), 8) else {
        return skipped("mounting a small tmpfs needs root");
    };
    let data = disk.path().join("data");
    server.set("DATA_DIR", data.to_str().expect("UTF-8")).run();
    lives_through(&mut server, &disk, || {});
    // It must let go of the disk before that is taken away.
    server.terminate();
}

/// Some kilobytes that cannot be made smaller, so that a few deliveries take the room that is left.
fn filler(seed: u128) -> String {
    (1..500).map(|number| format!("{:x}", (seed * 1_000 + number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))).collect()
}

/// The disk under the store fills up, and there is room again; `mends` does what else an operator does then.
pub(super) fn lives_through(server: &mut TestServer, disk: &SmallDisk, mends: impl FnOnce()) {
    let mut acknowledged = BTreeSet::new();
    let first = server.at().ticket(&ticket("OPS-1000", "first"));
    assert_eq!(first.word(), "202 accepted");
    acknowledged.insert(first.id());
    server.at().settled("OPS-1000", "proposed");

    disk.fill();
    // Some still find room in the log of the store; then there is none.
    let mut refused = 0;
    let mut number = 0_u128;
    while refused < 3 {
        number += 1;
        assert!(number < 2_000, "the store went on taking deliveries on a full disk");
        let mut long = ticket(&format!("OPS-{number}"), &format!("team-{number}"));
        long["issue"]["fields"]["description"] = filler(number).into();
        let answered = server.at().ticket(&long);
        match answered.status {
            202 => drop(acknowledged.insert(answered.id())),
            503 => {
                assert!(answered.headers.contains_key("retry-after"), "{}", answered.text());
                refused += 1;
            }
            other => panic!("{other}: {}", answered.text()),
        }
    }
    // What readiness writes is smaller than a delivery: it may still find room for a few seconds.
    let ready = eventually("it says that it is not ready", || Some(server.at().plain("/ready")).filter(|ready| ready.status == 503));
    assert_ne!(ready.json()["checks"]["store"], "ok", "{}", ready.text());
    assert!(!server.has_ended(), "it bears a full disk");

    disk.make_room();
    mends();
    let after = ticket("OPS-2000", "after");
    let again = eventually("deliveries are taken again", || Some(server.at().ticket(&after)).filter(|answered| answered.status < 300));
    acknowledged.insert(again.id());
    eventually("it is ready again", || (server.at().plain("/ready").status == 200).then_some(()));
    server.at().settled("OPS-2000", "proposed");
    eventually("what was acknowledged is dispatched", || {
        let dispatched = server.at().all("/deliveries").into_iter().filter(|delivery| delivery["state"] == "dispatched");
        let dispatched: BTreeSet<String> = dispatched.filter_map(|delivery| delivery["id"].as_str().map(str::to_owned)).collect();
        acknowledged.is_subset(&dispatched).then_some(())
    });

    // The store is whole for a process that did not live through this.
    server.kill();
    server.run();
    let kept: BTreeSet<String> = server.at().all("/deliveries").iter().filter_map(|delivery| delivery["id"].as_str().map(str::to_owned)).collect();
    assert!(acknowledged.is_subset(&kept), "{acknowledged:?} {kept:?}");
}
