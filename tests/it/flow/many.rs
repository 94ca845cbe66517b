//! Many requests for one repository at once: planned together, pushed together, and none harmed by another.

use super::github::World;
use crate::support::server::{TestServer, eventually, ticket};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// How many wait together.
const MANY: usize = 60;

/// The upstream notes how many branches each push brings, and lets the first one wait until somebody opens the gate.
pub(super) struct Gate {
    pushes: PathBuf,
    open: PathBuf,
}

impl Gate {
    pub(super) fn at(server: &TestServer) -> Self {
        let gate = Self { pushes: server.place("pushes"), open: server.place("gate-is-open") };
        let (pushes, open) = (gate.pushes.display(), gate.open.display());
        server.upstream.install_hook(
            "pre-receive",
            &format!("wc -l >> {pushes}\nn=0; while [ ! -e {open} ] && [ $n -lt 6000 ]; do sleep 0.01; n=$((n+1)); done"),
        );
        gate
    }

    /// Branches of each push so far.
    pub(super) fn pushes(&self) -> Vec<usize> {
        let text = std::fs::read_to_string(&self.pushes).unwrap_or_default();
        text.lines().map(|line| line.trim().parse().expect("a number")).collect()
    }

    /// One request is under way, and whatever comes now waits for it.
    pub(super) fn hold(&self, server: &TestServer) {
        server.at().ticket(&ticket("OPS-0", "team-0"));
        eventually("the first push is under way", || (self.pushes() == [1]).then_some(()));
    }

    /// Lets the pushes through.
    pub(super) fn open(&self) {
        std::fs::write(&self.open, "").expect("opened");
    }

    /// One request is under way, and `MANY` others wait for it.
    fn fill(&self, server: &TestServer) {
        self.hold(server);
        for number in 1..=MANY {
            assert_eq!(server.at().ticket(&ticket(&format!("OPS-{number}"), &format!("team-{number}"))).word(), "202 accepted");
        }
        eventually("all wait", || (server.at().all("/requests").len() == MANY + 1).then_some(()));
        self.open();
    }
}

#[test]
fn requests_that_wait_together_go_up_in_one_push() {
    let world = World::start();
    let gate = Gate::at(&world.server);
    gate.fill(&world.server);
    eventually("all are proposed", || {
        let requests = world.server.at().all("/requests");
        requests.iter().all(|request| request["state"] == "proposed").then_some(())
    });
    assert_eq!(gate.pushes(), [1, MANY]);
    let pulls = world.github.pulls();
    assert_eq!(pulls.len(), MANY + 1);
    for pull in &pulls {
        assert_eq!(world.server.upstream.git(&["rev-list", "--count", &format!("main..{}", pull.head)]).trim(), "1");
    }
    assert_eq!(super::branches(&world.server.upstream).len(), MANY + 1);
    world.server.upstream.fsck();
}

#[test]
fn a_branch_the_server_refuses_harms_no_other() {
    let world = World::start();
    let gate = Gate::at(&world.server);
    world.server.upstream.install_hook("update", "case $1 in */ops-13-*) echo 'unlucky numbers are not allowed here' >&2; exit 1;; esac");
    gate.fill(&world.server);
    let refused = world.server.at().settled("OPS-13", "failed");
    let message = refused["message"].as_str().expect("a message");
    assert!(message.contains("unlucky numbers are not allowed here"), "{message}");
    eventually("all others are proposed", || {
        let requests = world.server.at().all("/requests");
        (requests.iter().filter(|request| request["state"] == "proposed").count() == MANY).then_some(())
    });
    assert_eq!(gate.pushes(), [1, MANY, 1], "the refused one alone once more");
    assert_eq!(super::branches(&world.server.upstream).len(), MANY);
    world.server.upstream.fsck();
}

#[test]
fn two_hundred_writers_to_one_repository_lose_no_update() {
    const WRITERS: usize = 200;
    let mut server = TestServer::prepare();
    server.set("API_CALLS_PER_MINUTE", "100000").set("OBSERVE_SECONDS", "1").run();
    let server = server;
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let at = server.at().clone();
            scope.spawn(move || {
                for number in (writer..WRITERS).step_by(8) {
                    assert_eq!(at.ticket(&ticket(&format!("OPS-{number}"), &format!("team-{number}"))).word(), "202 accepted");
                }
            });
        }
    });
    eventually("all are proposed", || {
        let requests = server.at().all("/requests");
        (requests.len() == WRITERS && requests.iter().all(|request| request["state"] == "proposed")).then_some(())
    });
    let before = server.upstream.git(&["ls-tree", "-r", "--name-only", "main"]).lines().count();
    for pull in server.at().all("/pulls") {
        for verb in ["approve", "merge"] {
            // Its branch is brought onto the new base meanwhile: who comes at the same moment is asked to try again.
            eventually("nobody else writes the record", || {
                let done = server.at().api("POST", &format!("/pulls/gitops/{}/{verb}", pull["number"]), None);
                assert!(done.status < 300 || done.status == 409, "{}", done.text());
                (done.status < 300).then_some(())
            });
        }
    }
    eventually("all are merged", || {
        let requests = server.at().all("/requests");
        requests.iter().all(|request| request["state"] == "merged").then_some(())
    });
    let files = server.upstream.git(&["ls-tree", "-r", "--name-only", "main"]);
    assert_eq!(files.lines().count(), before + WRITERS);
    // Each wrote its own, and it is still there.
    let written = server.upstream.git(&["grep", "-h", "-o", "name: team-[0-9]*$", "main"]);
    let teams: BTreeSet<&str> = written.lines().filter_map(|line| line.strip_prefix("name: ")).collect();
    let wanted: BTreeSet<String> = (0..WRITERS).map(|number| format!("team-{number}")).collect();
    assert_eq!(teams, wanted.iter().map(String::as_str).collect());
    eventually("no branch stays", || super::branches(&server.upstream).is_empty().then_some(()));
    server.upstream.fsck();
}
