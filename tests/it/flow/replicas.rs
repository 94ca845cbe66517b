//! Several processes on one PostgreSQL database: each takes deliveries and works, and what happens outside happens once.

use super::github::World;
use super::many::Gate;
use crate::support::fake_github::FakeGithub;
use crate::support::postgres::Database;
use crate::support::server::{Replica, eventually, ticket};

/// How often one delivery is sent.
const SENT: usize = 100;

/// Three processes that share a database, a repository and GitHub.
struct Replicas {
    world: World,
    others: [Replica; 2],
    _database: Database,
}

impl Replicas {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let database = runtime.block_on(Database::new());
        let mut world = World::prepare(FakeGithub::start());
        world.server.set("STORE_URL", database.address());
        world.server.run();
        let others = [world.server.replica("second"), world.server.replica("third")];
        Self { world, others, _database: database }
    }
}

#[test]
fn one_delivery_sent_a_hundred_times_at_once_to_three_replicas_is_one_pull_request() {
    let Replicas { world, others, .. } = &Replicas::start();
    let all = [world.server.at(), others[0].at(), others[1].at()];
    let wanted = ticket("OPS-1", "payments");
    let mut ids: Vec<String> = std::thread::scope(|scope| {
        let sent: Vec<_> = (0..SENT)
            .map(|number| {
                let wanted = &wanted;
                scope.spawn(move || all[number % all.len()].ticket(wanted).id())
            })
            .collect();
        sent.into_iter().map(|sent| sent.join().expect("an answer")).collect()
    });
    ids.dedup();
    assert_eq!(ids.len(), 1, "one of them is the first, and every other is told its id: {ids:?}");
    others[0].at().settled("OPS-1", "proposed");
    others[1].at().nothing_owed();
    assert_eq!(world.github.pulls().len(), 1);
    assert_eq!(super::branches(&world.server.upstream).len(), 1);
    assert_eq!(world.server.at().all("/deliveries").len(), 1);
}

#[test]
fn many_requests_are_shared_among_replicas_and_each_is_proposed_once() {
    let Replicas { world, others, .. } = &Replicas::start();
    let all = [world.server.at(), others[0].at(), others[1].at()];
    let many = 30;
    std::thread::scope(|scope| {
        for number in 0..many {
            scope.spawn(move || {
                assert_eq!(all[number % all.len()].ticket(&ticket(&format!("OPS-{number}"), &format!("team-{number}"))).word(), "202 accepted")
            });
        }
    });
    eventually("all are proposed", || {
        let requests = others[0].at().all("/requests");
        (requests.len() == many && requests.iter().all(|request| request["state"] == "proposed")).then_some(())
    });
    others[1].at().nothing_owed();
    let mut heads: Vec<String> = world.github.pulls().into_iter().map(|pull| pull.head).collect();
    heads.sort();
    heads.dedup();
    assert_eq!((heads.len(), world.github.pulls().len()), (many, many));
    world.server.upstream.fsck();
}

#[test]
fn what_a_replica_that_died_held_is_done_by_another_once_its_lease_has_run_out() {
    let Replicas { world, others: [second, third], .. } = &mut Replicas::start();
    let gate = Gate::at(&world.server);
    // The third sleeps through it: one of the others has begun to push, and hangs there.
    third.signal("STOP");
    second.at().ticket(&ticket("OPS-1", "payments"));
    eventually("the push is under way", || (!gate.pushes().is_empty()).then_some(()));
    world.server.kill();
    second.kill();
    third.signal("CONT");
    gate.open();
    third.at().settled("OPS-1", "proposed");
    third.at().nothing_owed();
    assert_eq!(world.github.pulls().len(), 1);
    assert_eq!(super::branches(&world.server.upstream).len(), 1);
    world.server.run();
}

#[test]
fn a_replica_that_stood_still_beyond_its_lease_comes_back_and_adds_nothing() {
    let Replicas { world, others: [second, third], .. } = &Replicas::start();
    let gate = Gate::at(&world.server);
    // The third sleeps through it: one of the others has begun to push.
    third.signal("STOP");
    second.at().ticket(&ticket("OPS-1", "payments"));
    eventually("the push is under way", || (!gate.pushes().is_empty()).then_some(()));
    world.server.signal("STOP");
    second.signal("STOP");
    third.signal("CONT");
    gate.open();
    third.at().settled("OPS-1", "proposed");
    world.server.signal("CONT");
    second.signal("CONT");
    world.server.at().nothing_owed();
    second.at().nothing_owed();
    assert_eq!(world.server.at().settled("OPS-1", "proposed")["generation"], third.at().settled("OPS-1", "proposed")["generation"]);
    assert_eq!(world.github.pulls().len(), 1);
    assert_eq!(super::branches(&world.server.upstream).len(), 1);
}
