//! The database fails over to a standby, and the address that processes know leads there from then on.

use super::github::World;
use super::many::Gate;
use crate::support::fake_github::FakeGithub;
use crate::support::postgres::OwnServer;
use crate::support::proxy::{Proxy, Wire};
use crate::support::server::{Connection, Replica, eventually, ticket};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How many send at once, how much each, and how long after one another.
const SENDERS: usize = 4;
const SENT: usize = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// Two processes, the database they have, and one that follows it.
struct Followed {
    world: World,
    second: Replica,
    primary: OwnServer,
    standby: OwnServer,
    /// What the processes know of the database, and what it tells its standby over.
    address: Proxy,
    link: Proxy,
}

impl Followed {
    fn start() -> Self {
        let primary = OwnServer::start();
        let (address, link) = (Proxy::to(primary.address()), Proxy::to(primary.address()));
        let standby = primary.standby(link.address());
        let mut world = World::prepare(FakeGithub::start());
        world.server.set("STORE_URL", &format!("postgres://kubeops@{}/postgres", address.address())).set("LEASE_SECONDS", "6");
        world.server.run();
        let second = world.server.replica("second");
        Self { world, second, primary, standby, address, link }
    }

    /// Until the standby has all that the primary has.
    fn catches_up(&self) {
        let written = self.primary.psql("postgres", "SELECT pg_current_wal_lsn()");
        let read = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
        eventually("the standby follows", || (self.standby.psql("postgres", &read) == "t").then_some(()));
    }

    /// The primary is gone, and connections lead to the standby, which takes no writes yet.
    fn dies(&mut self) {
        self.primary.dies();
        self.address.leads_to(self.standby.address());
        eventually("nobody takes deliveries", || (self.world.server.at().plain("/ready").status == 503).then_some(()));
    }

    fn is_promoted(&self) {
        self.standby.psql("postgres", "SELECT pg_promote()");
    }
}

/// What senders go by: whether the database fails now, and whether nobody waits for them any more.
#[derive(Default)]
struct Signs {
    fails: AtomicBool,
    over: AtomicBool,
}

/// Nobody waits for senders when this is gone, also where the test fails.
struct Over<'a>(&'a Signs);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

/// Sends one after the other, half of it before the database fails, each until it is acknowledged, as its sender does; what was acknowledged,
/// with the ids.
fn sends(sender: usize, at: &Connection, signs: &Signs) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    for number in 0..SENT {
        let key = format!("OPS-{sender}{number:02}");
        let body = ticket(&key, &format!("team-{sender}{number:02}")).to_string();
        while number == SENT / 2 && !signs.fails.load(Ordering::SeqCst) && !signs.over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        while !told.contains_key(&key) && !signs.over.load(Ordering::SeqCst) {
            match at.jira(body.as_bytes()) {
                Ok(answered) if matches!(answered.status, 200 | 202) => drop(told.insert(key.clone(), answered.id())),
                Ok(answered) => assert_eq!(answered.status, 503, "{}", answered.text()),
                Err(_) => {}
            }
            std::thread::sleep(PAUSE);
        }
    }
    told
}

#[test]
fn what_was_acknowledged_survives_a_failover_to_a_synchronous_standby_and_happens_once() {
    let mut followed = Followed::start();
    followed.primary.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    followed.primary.psql("postgres", "SELECT pg_reload_conf()");
    let is_synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    eventually("it waits for its standby", || (followed.primary.psql("postgres", is_synchronous) == "1").then_some(()));
    let at = [followed.world.server.at().clone(), followed.second.at().clone()];
    let signs = Signs::default();
    let acknowledged: BTreeMap<String, String> = std::thread::scope(|scope| {
        let (at, signs) = (&at, &signs);
        let _over = Over(signs);
        let senders: Vec<_> = (0..SENDERS).map(|sender| scope.spawn(move || sends(sender, &at[sender % at.len()], signs))).collect();
        eventually("some is proposed", || (followed.world.github.pulls().len() > SENDERS).then_some(()));
        signs.fails.store(true, Ordering::SeqCst);
        std::thread::sleep(PAUSE * 2);
        followed.dies();
        // For longer than a sender waits for an answer.
        std::thread::sleep(Duration::from_secs(2));
        followed.is_promoted();
        for at in at {
            eventually("deliveries are taken again", || (at.plain("/ready").status == 200).then_some(()));
        }
        senders.into_iter().flat_map(|sender| sender.join().expect("what it was told")).collect()
    });
    assert_eq!(acknowledged.len(), SENDERS * SENT);
    let kept: Vec<String> = at[0].all("/deliveries").iter().map(|delivery| delivery["id"].as_str().expect("an id").to_owned()).collect();
    for (key, id) in &acknowledged {
        assert_eq!(kept.iter().filter(|kept| *kept == id).count(), 1, "{key} was acknowledged as {id}");
    }
    eventually("all are proposed", || {
        let requests = at[1].all("/requests");
        (requests.len() == acknowledged.len() && requests.iter().all(|request| request["state"] == "proposed")).then_some(())
    });
    at[1].nothing_owed();
    assert_eq!(followed.world.github.pulls().len(), acknowledged.len());
    assert_eq!(super::branches(&followed.world.server.upstream).len(), acknowledged.len());
}

#[test]
fn a_standby_that_lacks_what_came_last_loses_that_and_two_that_have_one_task_do_it_once() {
    let mut followed = Followed::start();
    let gate = Gate::at(&followed.world.server);
    followed.second.signal("STOP");
    // Whatever is to be pushed waits for an hour.
    followed.primary.psql(
        "postgres",
        "CREATE FUNCTION an_hour() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.run_at := NEW.run_at + 3600000; RETURN NEW; END $$;
         CREATE TRIGGER waits BEFORE INSERT ON outbox FOR EACH ROW WHEN (NEW.kind = 'propose') EXECUTE FUNCTION an_hour()",
    );
    assert_eq!(followed.world.server.at().ticket(&ticket("OPS-1", "payments")).word(), "202 accepted");
    let waits = "SELECT kind FROM outbox WHERE state = 'waiting'";
    eventually("it is to be pushed", || (followed.primary.psql("postgres", waits) == "propose").then_some(()));
    followed.catches_up();
    followed.link.is(Wire::Dead);
    // What comes from here on the standby does not hear of: that the first has the task, and another delivery.
    let now = "UPDATE outbox SET run_at = 0 WHERE state = 'waiting'";
    followed.primary.psql("postgres", now);
    eventually("the push is under way", || (gate.pushes().len() == 1).then_some(()));
    assert_eq!(followed.world.server.at().ticket(&ticket("OPS-2", "search")).word(), "202 accepted");
    let fence = "SELECT fence FROM outbox WHERE kind = 'propose' AND state = 'leased'";
    let held = followed.primary.psql("postgres", fence);
    followed.dies();
    followed.is_promoted();
    followed.standby.psql("postgres", "DROP TRIGGER waits ON outbox");
    followed.standby.psql("postgres", now);
    followed.second.signal("CONT");
    eventually("another has begun the same", || (gate.pushes().len() == 2).then_some(()));
    assert_eq!(followed.standby.psql("postgres", fence), held, "under the same fence");
    eventually("the first learnt that it is not its own", || followed.world.server.log().contains("a lease was lost").then_some(()));
    gate.open();
    followed.second.at().settled("OPS-1", "proposed");
    followed.world.server.at().nothing_owed();
    assert_eq!(followed.world.server.at().all("/requests").len(), 1, "of the other nobody knows");
    // Who sent it sends it again, and it is new.
    assert_eq!(followed.world.server.at().ticket(&ticket("OPS-2", "search")).word(), "202 accepted");
    followed.second.at().settled("OPS-2", "proposed");
    followed.second.at().nothing_owed();
    assert_eq!(followed.world.github.pulls().len(), 2);
    assert_eq!(super::branches(&followed.world.server.upstream).len(), 2);
}
