//! The process dies, anywhere and at any time; started again, it leaves what it would have left without dying.

use super::github::World;
use super::left_exactly_one;
use crate::support::fake_github::FakeGithub;
use crate::support::server::{Connection, PATIENCE, TestServer, eventually, ticket};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, mpsc};
use std::time::{Duration, Instant};

/// Sends until it is acknowledged, as Jira does, and tells the delivery's id; none when the server is gone.
fn try_ticket(at: &Connection, key: &str, team: &str) -> Option<String> {
    let answered = at.jira(ticket(key, team).to_string().as_bytes()).ok()?;
    assert!(matches!(answered.status, 200 | 202 | 503), "{}: {}", answered.status, answered.text());
    (answered.status != 503).then(|| answered.id())
}

/// Dies at a point on the way to a pull request, and is started again.
fn dies_at(point: &str) {
    let mut server = TestServer::prepare();
    server.set("KUBEOPS_FAILPOINT", point).run();
    let before = try_ticket(server.at(), "OPS-1", "payments");
    let status = server.wait();
    assert!(!status.success(), "{point}: it died, not ended: {status}");

    server.set("KUBEOPS_FAILPOINT", "").run();
    let restarted = Instant::now();
    // A sender that got no answer sends again; one that did may as well.
    let after = try_ticket(server.at(), "OPS-1", "payments").expect("an acknowledgement");
    assert!(before.is_none_or(|before| before == after), "{point}: an acknowledged delivery is known again");
    server.at().settled("OPS-1", "proposed");
    // Leases last for half a minute; those of the process before are taken back at once.
    assert!(restarted.elapsed() < Duration::from_secs(20), "{point}: {:?}", restarted.elapsed());
    left_exactly_one(&server, "OPS-1", "proposed");
    assert_eq!(server.at().all("/deliveries").len(), 1, "{point}");
    assert_eq!(server.at().get("/status")["dead_tasks"], 0, "{point}");
}

/// Dies at a point on the way back, and is started again.
fn dies_withdrawing_at(point: &str) {
    let mut server = TestServer::prepare();
    server.set("KUBEOPS_FAILPOINT", point).run();
    try_ticket(server.at(), "OPS-1", "payments").expect("an acknowledgement");
    let request = server.at().settled("OPS-1", "proposed");
    let cancel = format!("/requests/{}/cancel", request["id"].as_str().expect("an id"));
    assert_eq!(server.at().api("POST", &cancel, None).status, 202);
    let status = server.wait();
    assert!(!status.success(), "{point}: it died, not ended: {status}");

    server.set("KUBEOPS_FAILPOINT", "").run();
    eventually("the pull request is closed and the branch gone", || {
        let closed = server.at().get("/pulls/gitops/1")["state"] == "closed";
        (closed && super::branches(&server.upstream).is_empty()).then_some(())
    });
    server.at().nothing_owed();
    let requests = server.at().requests_of("OPS-1");
    assert_eq!((requests.len(), &requests[0]["state"]), (1, &"withdrawn".into()), "{requests:#?}");
    let pulls = server.at().all("/pulls");
    assert_eq!(pulls.len(), 1);
    assert_eq!(pulls[0]["comments"].as_array().map(Vec::len), Some(1), "the reason is told once: {pulls:#?}");
    server.upstream.fsck();
}

/// Dies while an open request is planned again, and is started again.
fn dies_replanning_at(point: &str) {
    let mut server = TestServer::prepare();
    server.set("KUBEOPS_FAILPOINT", point).set("OBSERVE_SECONDS", "1").run();
    try_ticket(server.at(), "OPS-1", "payments").expect("an acknowledgement");
    let request = server.at().settled("OPS-1", "proposed");
    let branch = request["branch"].as_str().expect("a branch");
    let file = server.upstream.git(&["diff", "--name-only", &format!("main...{branch}")]);
    let base = server.upstream.write("main", file.trim(), "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: payments\n");
    let status = server.wait();
    assert!(!status.success(), "{point}: it died, not ended: {status}");

    server.set("KUBEOPS_FAILPOINT", "").run();
    eventually("it is proposed on the new base", || {
        let requests = server.at().requests_of("OPS-1");
        let request = server.at().get(&format!("/requests/{}", requests[0]["id"].as_str().expect("an id")));
        (request["state"] == "proposed" && request["base"] == base.as_str()).then_some(())
    });
    left_exactly_one(&server, "OPS-1", "proposed");
    assert_eq!(server.at().get("/status")["dead_tasks"], 0, "{point}");
}

#[test]
fn a_crash_between_any_two_stages_leaves_one_of_everything() {
    // Between every two stages, and where a request is settled for the second and the third time.
    // What is drafted before a proposal, and heard, told and taken back after it, has stories of its own.
    let elsewhere = |point: &&str| {
        ["clock.", "command.", "confirm.", "draft.", "observe.", "propose.window", "retract.", "revert.", "store.", "stream.", "tell."]
            .iter()
            .any(|prefix| point.starts_with(prefix))
    };
    let all = kubeops::failpoint::ALL.iter().copied().filter(|point| !elsewhere(point));
    let points: Vec<&str> = all.chain(["settled:2", "settled:3", "replan:plan.committed:2"]).collect();
    let next = AtomicUsize::new(0);
    // Mostly these stories wait for processes to start: three side by side.
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::SeqCst)) {
                    match point.split_once([':', '.']) {
                        Some(("withdraw", _)) => dies_withdrawing_at(point),
                        Some(("replan", _)) => dies_replanning_at(point.strip_prefix("replan:").unwrap_or(point)),
                        _ => dies_at(point),
                    }
                }
            });
        }
    });
}

/// Killed again and again at one point, with GitHub and the repository far away, and then let through.
fn dies_twenty_times_at(point: &str) {
    let is_opened = ["propose.opened", "propose.settling"].contains(&point);
    let is_pushed = is_opened || ["propose.pushed", "propose.going-on"].contains(&point);
    let mut world = World::prepare(FakeGithub::start());
    world.server.set("KUBEOPS_FAILPOINT", point).set("TASK_MAX_ATTEMPTS", "50").run();
    let mut acknowledged = try_ticket(world.server.at(), "OPS-1", "payments");
    for death in 1..=20 {
        let status = world.server.wait();
        assert!(!status.success(), "{point}: it died, not ended: {status}");
        // Where it dies is where it is said to die.
        assert_eq!(world.github.pulls().len(), usize::from(is_opened), "{point}, death {death}");
        assert_eq!(super::branches(&world.server.upstream).len(), usize::from(is_pushed), "{point}, death {death}");
        world.server.set("KUBEOPS_FAILPOINT", if death < 20 { point } else { "" }).run();
        acknowledged = acknowledged.or_else(|| try_ticket(world.server.at(), "OPS-1", "payments"));
    }
    let request = world.server.at().settled("OPS-1", "proposed");
    let branch = request["branch"].as_str().expect("a branch").to_owned();
    assert_eq!(super::branches(&world.server.upstream), [(branch.clone(), request["commit"].as_str().expect("a commit").to_owned())], "{point}");
    assert_eq!(world.server.upstream.git(&["rev-list", "--count", &format!("main..{branch}")]).trim(), "1", "{point}");
    let pulls = world.github.pulls();
    assert_eq!(
        (pulls.len(), pulls[0].head.as_str(), pulls[0].labels.len(), pulls[0].reviewers.len()),
        (1, branch.as_str(), 1, 1),
        "{point}: {pulls:#?}"
    );
    assert_eq!(world.server.at().requests_of("OPS-1").len(), 1, "{point}");
    world.server.upstream.fsck();
    crate::support::upstream::fsck(&world.server.data().join("mirrors/gitops.git"));
}

#[test]
fn twenty_kills_around_fetch_commit_push_create_and_record_leave_one_of_everything() {
    std::thread::scope(|scope| {
        let points = [
            &["plan.fetched", "plan.committed", "plan.settling"][..],
            &["propose.pushed", "propose.going-on"],
            &["propose.opened", "propose.settling"],
        ];
        for points in points {
            scope.spawn(move || points.iter().for_each(|point| dies_twenty_times_at(point)));
        }
    });
}

#[test]
fn a_step_that_kills_the_process_each_time_ends_as_a_dead_letter() {
    let mut server = TestServer::prepare();
    server.set("KUBEOPS_FAILPOINT", "plan.fetched").set("TASK_MAX_ATTEMPTS", "2").run();
    server.at().ticket(&ticket("OPS-1", "payments"));
    server.wait();
    server.run();
    server.wait();
    // The third time it is not tried any more, and the server stays.
    server.run();
    let failed = server.at().settled("OPS-1", "failed");
    assert!(failed["tasks"].to_string().contains("dead"), "{failed:#}");
    // A person who has mended it asks again.
    server.kill();
    server.set("KUBEOPS_FAILPOINT", "").run();
    let retry = format!("/requests/{}/retry", failed["id"].as_str().expect("an id"));
    assert!(server.at().api("POST", &retry, None).status < 300);
    server.at().settled("OPS-1", "proposed");
    left_exactly_one(&server, "OPS-1", "proposed");
}

/// Tries without growing pauses, so that something is under way whenever the process dies.
fn insistently<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        assert!(begun.elapsed() < PATIENCE, "no acknowledgement");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Numbers that look random and are the same for the same seed (xorshift, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn ten_kills_at_random_times_lose_nothing_and_double_nothing() {
    const TICKETS: usize = 30;
    const KILLS: usize = 10;
    let seed = std::env::var("KUBEOPS_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_0042_u64);
    println!("KUBEOPS_TEST_SEED={seed} gives the same pauses again");
    let mut dice = Dice(seed.max(1));
    let mut server = TestServer::start();
    let at = Arc::new(RwLock::new(server.at().clone()));
    let ledger: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
    // The sender keeps its own books: what was acknowledged, under which id. Each round it is given three tickets to send.
    let (rounds, round) = mpsc::channel::<usize>();
    let sender = {
        let (at, ledger) = (Arc::clone(&at), Arc::clone(&ledger));
        std::thread::spawn(move || {
            for number in round.into_iter().flat_map(|round| round * TICKETS / KILLS..(round + 1) * TICKETS / KILLS) {
                let key = format!("OPS-{number}");
                let id = insistently(|| {
                    let connection = at.read().expect("the connection").clone();
                    try_ticket(&connection, &key, &format!("team-{number}"))
                });
                ledger.lock().expect("the ledger").insert(key, id);
            }
        })
    };
    for kill in 0..KILLS {
        rounds.send(kill).expect("the sender");
        // The moment of a kill is what is random here; nothing is waited for.
        let pause = 30 + dice.below(170);
        std::thread::sleep(Duration::from_millis(pause));
        server.kill();
        println!("kill {kill} after {pause} ms: {} tickets were acknowledged", ledger.lock().expect("the ledger").len());
        server.run();
        *at.write().expect("the connection") = server.at().clone();
    }
    drop(rounds);
    sender.join().expect("the sender");

    let ledger = ledger.lock().expect("the ledger").clone();
    assert_eq!(ledger.len(), TICKETS);
    eventually("every ticket has its pull request", || {
        let status = server.at().get("/status");
        (status["pending_deliveries"] == 0 && status["queued_tasks"] == 0 && status["requests"]["proposed"] == TICKETS).then_some(())
    });
    let states: BTreeMap<String, String> = server
        .at()
        .all("/deliveries")
        .iter()
        .map(|delivery| (delivery["id"].as_str().expect("an id").to_owned(), delivery["state"].as_str().expect("a state").to_owned()))
        .collect();
    for (key, id) in &ledger {
        assert_eq!(states.get(id).map(String::as_str), Some("dispatched"), "{key}: {id} was acknowledged");
    }
    assert_eq!(states.len(), TICKETS, "the same ticket sent again is the same delivery");
    assert_eq!(server.at().all("/requests").len(), TICKETS);
    assert_eq!(server.at().all("/pulls").len(), TICKETS);
    assert_eq!(super::branches(&server.upstream).len(), TICKETS);
    assert_eq!(server.at().get("/status")["dead_tasks"], 0);
    server.upstream.fsck();
}
