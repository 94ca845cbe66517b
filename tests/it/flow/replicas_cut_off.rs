//! One of two processes loses its way to their database in the middle of a step, for longer than its lease, and keeps its way to everybody
//! else. The other takes over; the one that was cut off adds nothing, neither meanwhile nor when it is back.

use super::github::World;
use super::many::Gate;
use super::replicas::{MOVES, database, holder, psql};
use super::told;
use crate::support::fake_github::FakeGithub;
use crate::support::fake_jira::FakeJira;
use crate::support::postgres::Database;
use crate::support::proxy::{Proxy, Wire};
use crate::support::server::{Replica, eventually, ticket};
use serde_json::Value;

const KEY: &str = "OPS-42";

/// Two processes, of which the first has a wire of its own to the database; GitHub and a ticket system.
struct CutOff {
    world: World,
    jira: FakeJira,
    database: Database,
    wire: Proxy,
    second: Replica,
}

impl CutOff {
    /// The second stands still, so that whatever comes is the first's.
    fn start() -> Self {
        let (database, jira) = (database(), FakeJira::cloud());
        let (_, place) = database.address().split_once('@').expect("a user");
        let (address, name) = place.split_once('/').expect("a database");
        let wire = Proxy::to(address.parse().expect("an address"));
        let mut world = World::prepare(FakeGithub::start());
        told::tells(&world.server, &jira, MOVES);
        let own = format!("postgres://kubeops@{}/{name}", wire.address());
        world.server.set("STORE_URL", &own).set("LEASE_SECONDS", "3").run();
        world.server.set("STORE_URL", database.address());
        let second = world.server.replica("second");
        second.signal("STOP");
        Self { world, jira, database, wire, second }
    }

    /// From now on the first is cut off, and the second works.
    fn partition(&self, wire: Wire) {
        self.wire.is(wire);
        self.second.signal("CONT");
    }

    /// The first would have gone on with its step, and was kept from it.
    fn keeps_still(&self) {
        eventually("the first keeps still", || self.world.server.log().contains("nothing is sent any more").then_some(()));
    }

    /// The second has done all of it; what it has to show.
    fn done(&self) -> Value {
        let request = self.second.at().settled(KEY, "proposed");
        eventually("the ticket moved along", || (self.moves() == 1).then_some(()));
        self.second.at().nothing_owed();
        request
    }

    /// The first is back, and comes to know that it is too late.
    fn heals(&self) {
        self.wire.is(Wire::Good);
        // Told by the store, or by nobody for as long as it waited.
        let knows = |log: &str| log.contains("was lost") || log.contains("what steps came to could not be kept");
        eventually("the first has given up its step", || knows(&self.world.server.log()).then_some(()));
        eventually("the first is ready", || (self.world.server.at().plain("/ready").status == 200).then_some(()));
        self.world.server.at().nothing_owed();
    }

    fn moves(&self) -> usize {
        self.jira.writes().into_iter().filter(|call| call.contains("/transitions")).count()
    }

    /// Everything that was written outside.
    fn written(&self) -> (usize, Vec<String>, Vec<(String, String)>) {
        (self.world.github.effects().len(), self.jira.writes(), super::branches(&self.world.server.upstream))
    }

    /// One pull request and one comment, and the request is as the second left it.
    fn once(&self, request: &Value) {
        assert_eq!(self.world.github.pulls().len(), 1);
        assert_eq!(self.world.github.effects().iter().filter(|effect| effect.call.ends_with("/pulls")).count(), 1);
        assert_eq!(self.jira.issue(KEY).comments.len(), 1);
        let now = self.world.server.at().settled(KEY, "proposed");
        for part in ["generation", "updated_at", "timeline", "pull", "state"] {
            assert_eq!(now[part], request[part], "{part}");
        }
    }
}

#[test]
fn a_replica_that_is_cut_off_from_the_database_while_it_pushes_opens_nothing_and_writes_nothing_when_it_is_back() {
    let story = &CutOff::start();
    let gate = Gate::at(&story.world.server);
    story.world.server.at().ticket(&ticket(KEY, "payments"));
    eventually("the push is under way", || (gate.pushes() == [1]).then_some(()));
    let first = holder(&story.database);
    // What it says meanwhile arrives when it is back: nothing of it may count then.
    story.partition(Wire::Held);
    let taken = format!("SELECT count(*) FROM outbox WHERE state = 'leased' AND owner <> '{first}'");
    eventually("the second took over", || (psql(&story.database, &taken) != "0").then_some(()));
    // Its way to git and to GitHub is open: it comes to the end of its push.
    gate.open();
    let request = story.done();
    let written = story.written();
    story.heals();
    story.once(&request);
    assert_eq!(story.written(), written);
}

#[test]
fn a_replica_that_is_cut_off_from_the_database_before_it_told_the_ticket_says_nothing_then_or_when_it_is_back() {
    let story = &CutOff::start();
    let held = story.jira.hold("/transitions");
    story.world.server.at().ticket(&ticket(KEY, "payments"));
    eventually("it is asked how the ticket can be moved", || held.came().then_some(()));
    story.partition(Wire::Silent);
    let request = story.done();
    // A person moved it back meanwhile: were it moved again, it would show.
    story.jira.move_status(KEY, "To Do");
    let written = story.written();
    // Its way to the ticket is open, and it hears only now how that can be moved.
    drop(held);
    story.keeps_still();
    assert_eq!(story.written(), written);
    story.heals();
    story.once(&request);
    assert_eq!(story.written(), written);
    assert_eq!(story.jira.issue(KEY).status, "To Do");
}
