//! Everything around the program in a run: GitHub, Jira and a git server behind wires that can be bad, PostgreSQL, a small disk, a clock.

use super::ledger::is_of;
use super::model;
use super::people::ADA;
use super::schedule::{Neighbour, Plan, Power, Store};
use super::sender::GITHUB_SECRET;
use super::stories::Story;
use crate::support::fake_github::{FakeGithub, SLUG, TOKEN as GITHUB_TOKEN};
use crate::support::fake_jira::{EMAIL, FakeJira, Step, TOKEN as JIRA_TOKEN};
use crate::support::fake_llm::FakeLlm;
use crate::support::postgres::{Keeps, OwnServer};
use crate::support::power::PowerDisk;
use crate::support::proxy::Proxy;
use crate::support::server::TestServer;
use crate::support::small_disk::SmallDisk;
use crate::support::upstream::{HttpUpstream, UpstreamRepo, command};
use crate::support::warp::Warp;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Room on the disk that fills up, in mebibytes: enough for the deliveries of a thousand kills.
const DISK: u32 = 512;
/// What a disk does that says that everything is on it: to be loaded before the C library.
const LIAR: &str = "int fsync(int file) { return 0; }\nint fdatasync(int file) { return 0; }\n";
/// What a disk does that says so at once, and has it on it 20 ms later. The file is known by its number alone, as SQLite needs it, whose locks
/// would be given up with a copy of that, or by a copy, as PostgreSQL needs it, which closes files meanwhile (`COPIES`). Of one number what is
/// asked for in those 20 ms is done at once at their end: otherwise what was asked for before would have it on the disk all too soon.
const LATE: &str = "#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static atomic_flag waits[1024];
static void *later(void *file) {
    struct timespec pause = { 0, 20000000 };
    nanosleep(&pause, 0);
#ifndef COPIES
    atomic_flag_clear(&waits[(intptr_t)file]);
#endif
    syscall(SYS_fsync, (int)(intptr_t)file);
#ifdef COPIES
    close((int)(intptr_t)file);
#endif
    return 0;
}
static int promised(int file) {
#ifdef COPIES
    file = fcntl(file, F_DUPFD_CLOEXEC, 0);
#else
    if (file < 0 || file >= 1024) return syscall(SYS_fsync, file);
    if (atomic_flag_test_and_set(&waits[file])) return 0;
#endif
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int refused = pthread_create(&thread, 0, later, (void *)(intptr_t)file);
    pthread_sigmask(SIG_SETMASK, &before, 0);
    if (refused) {
#ifndef COPIES
        atomic_flag_clear(&waits[file]);
#endif
        return syscall(SYS_fsync, file);
    }
    pthread_detach(thread);
    return 0;
}
int fsync(int file) { return promised(file); }
int fdatasync(int file) { return promised(file); }
";

/// What people can reach.
pub struct Outside<'w> {
    pub github: &'w FakeGithub,
    pub jira: &'w FakeJira,
    pub upstream: &'w UpstreamRepo,
}

impl Outside<'_> {
    /// The value of a story in the manifest of a commit.
    pub fn value_at(&self, story: &Story, commit: &str) -> Option<u32> {
        let shown = command(self.upstream.path(), &["show", &format!("{commit}:{}", story.file)]).output().expect("git");
        story.value_in(&String::from_utf8_lossy(&shown.stdout))
    }

    /// The story a branch is of.
    pub fn story_of<'s>(&self, stories: &'s [Story], head: &str) -> Option<&'s Story> {
        stories.iter().find(|story| is_of(head, &story.key))
    }
}

/// All neighbours, and the program's files.
pub struct World {
    pub server: TestServer,
    pub github: FakeGithub,
    pub jira: FakeJira,
    pub database: Option<RefCell<OwnServer>>,
    pub disk: Option<SmallDisk>,
    pub warp: Option<Warp>,
    /// After all that stands on it.
    pub power: Option<RefCell<PowerDisk>>,
    wires: Vec<(Neighbour, Proxy)>,
    /// Of each replica one of its own, where there is a database.
    to_database: Vec<Proxy>,
    model: FakeLlm,
    _git: HttpUpstream,
}

impl World {
    /// Everything, with nothing running but the neighbours, and a token to ask the program with.
    pub fn prepared(plan: &Plan, power: Option<PowerDisk>) -> Self {
        let mut world = Self::prepare(plan, power);
        world.server.run();
        world.server.kill();
        // From here on a cut takes what is not synced, and nothing of this.
        world.power.iter().for_each(|power| power.borrow().settle());
        world
    }

    fn prepare(plan: &Plan, power: Option<PowerDisk>) -> Self {
        let (server, github, jira) = (TestServer::prepare(), FakeGithub::start(), FakeJira::cloud());
        github.follow(&server.upstream);
        github.repository(SLUG, |repository| repository.allow(ADA, "maintain"));
        github.allow(u64::MAX / 2, u64::MAX / 2);
        jira.workflow(vec![
            Step::new("11", "Start", &["To Do", "Done"], "In Progress", json!({})),
            Step::new("21", "Finish", &["To Do", "In Progress"], "Done", json!({})),
        ]);
        let git = server.upstream.serve(Some(GITHUB_TOKEN));
        let database = (plan.store == Store::Postgres).then(|| match (&power, plan.power) {
            (Some(disk), Some(Power { keeps, .. })) => {
                let late = (keeps == Keeps::Late).then(|| built(&format!("#define COPIES\n{LATE}"), &disk.beside("late.so")));
                OwnServer::at(disk.path().join("postgres"), keeps, late)
            }
            _ => OwnServer::start(),
        });
        let database = database.map(RefCell::new);
        let wires = vec![
            (Neighbour::Github, Proxy::to(address_in(&github.url()))),
            (Neighbour::Jira, Proxy::to(address_in(&jira.url()))),
            (Neighbour::Git, Proxy::to(address_in(&git.url))),
        ];
        let replicas = if database.is_some() { plan.replicas } else { 0 };
        let to_database = database.iter().cycle().take(replicas).map(|database| Proxy::to(database.borrow().address())).collect();
        let (power, model) = (power.map(RefCell::new), model::start());
        let mut world = Self { server, github, jira, database, disk: None, warp: None, power, wires, to_database, model, _git: git };
        world.write_resources();
        world.write_settings(plan);
        world
    }

    pub fn outside(&self) -> Outside<'_> {
        Outside { github: &self.github, jira: &self.jira, upstream: &self.server.upstream }
    }

    /// Where the data directories of the replicas are.
    pub fn home(&self) -> PathBuf {
        self.power.as_ref().map_or_else(|| self.server.place(""), |power| power.borrow().path())
    }

    fn wire(&self, to: Neighbour) -> &Proxy {
        &self.wires.iter().find(|(neighbour, _)| *neighbour == to).expect("a neighbour of this run").1
    }

    /// The wires to a neighbour: one for all replicas, or to the database one of each, in their order.
    pub fn wires(&self, to: Neighbour) -> Vec<&Proxy> {
        if to == Neighbour::Database { self.to_database.iter().collect() } else { vec![self.wire(to)] }
    }

    /// Where a replica has its store, if that is a database.
    pub fn store_of(&self, replica: usize) -> Option<String> {
        self.to_database.get(replica).map(|wire| format!("postgres://kubeops@{}/postgres", wire.address()))
    }

    fn write_resources(&self) {
        let server = &self.server;
        for (name, value) in [("GITHUB_TOKEN", GITHUB_TOKEN), ("JIRA_TOKEN", JIRA_TOKEN), ("GITHUB_WEBHOOK_SECRET", GITHUB_SECRET)] {
            server.secret(name, value);
        }
        let [github, jira, git] = [Neighbour::Github, Neighbour::Jira, Neighbour::Git].map(|to| self.wire(to).address());
        let local = format!("file://{}", server.upstream.path().display());
        server.edit_resource("inventory.yaml", |text| {
            let forge = format!(
                "  credentials: {{ username: bot, secret: GITHUB_TOKEN }}\n  forge: {{ kind: github, repository: acme/gitops, apiUrl: \"http://{github}\", token: GITHUB_TOKEN }}\n"
            );
            let text = text.replace(&local, &format!("http://{git}/upstream.git")).replace("  forge:\n    kind: local\n", &forge);
            assert!(text.contains("kind: github") && text.contains(&git.to_string()), "{text}");
            text
        });
        // What goes back and forth within the hour is what these stories are about.
        let bounds = "\nspec:\n  limits: { loop: { changes: 0 } }\n";
        server.edit_resource("autoscaler-maxed-out.yaml", |text| text.replacen("\nspec:\n", bounds, 1));
        let shown = |file: &str| std::fs::read_to_string(server.place("resources").join(file)).expect("a resource");
        let lasting = shown("autoscaler-maxed-out.yaml").replace("name: autoscaler-maxed-out", "name: autoscaler-nearly-there");
        let lasting = lasting.replace("KubeHpaMaxedOut", "KubeHpaNearlyThere");
        let lasting = lasting.replacen("\nspec:\n", "\nspec:\n  withdraw: { types: [alert.resolved], open: comment }\n", 1);
        server.edit_resource("autoscaler-nearly-there.yaml", |_| lasting);
        let withdraw = "  withdraw: { types: [jira.issue.transitioned], when: event.data.transition.to == \"Cancelled\" }\n";
        let feedback = "  feedback:\n    - channel: service-desk\n      on:\n        proposed: { transition: In Progress }\n        merged: { transition: Done }\n";
        server.edit_resource("namespace-request.yaml", |text| format!("{}{withdraw}{feedback}", text.replacen("\nspec:\n", bounds, 1)));
        // What a ticket hears, and when it is taken back, is the same whoever makes the change.
        server.edit_resource("draft-request.yaml", |_| format!("{}{withdraw}{feedback}", model::AUTOMATION));
        let loan = shown("namespace-request.yaml").replace("name: namespace-request", "name: namespace-loan");
        let loan = loan.replace("\"Namespace request\"", "\"Namespace loan\"").replace(" == \"Cancelled\" }", " == \"Cancelled\", merged: revert }");
        assert!(loan.contains("merged: revert") && loan.contains("Namespace loan"), "{loan}");
        server.edit_resource("namespace-loan.yaml", |_| loan);
        let channel = format!(
            "kind: Channel\nmetadata: {{ name: service-desk }}\nspec:\n  jira:\n    url: http://{jira}\n    deployment: cloud\n    authentication: {{ basic: {{ user: {EMAIL}, secret: JIRA_TOKEN }} }}\n"
        );
        let source =
            "kind: Source\nmetadata: { name: github }\nspec: { kind: github, authentication: { hmac: { secrets: [GITHUB_WEBHOOK_SECRET] } } }\n";
        let version = "\n---\napiVersion: kubeops.dev/v1alpha1\n";
        server.edit_resource("sources.yaml", |text| format!("{text}{version}{channel}{version}{source}"));
    }

    fn write_settings(&mut self, plan: &Plan) {
        let (data, model) = (self.home().join("r0"), format!("{}/v1", self.model.url()));
        let settings = [
            ("DATA_DIR", data.to_str().expect("UTF-8")),
            ("FORGE_WRITE_PAUSE_MS", "0"),
            ("OBSERVE_SECONDS", "2"),
            ("GRACEFUL_TIMEOUT", "2"),
            ("LEASE_SECONDS", "6"),
            ("API_CALLS_PER_MINUTE", "1000000"),
            // Every kill in the middle of a step is an attempt.
            ("TASK_MAX_ATTEMPTS", "1000"),
            // It lets nobody remove a namespace, which is what takes one back.
            ("POLICY_BASELINE", "off"),
            ("LOG_LEVEL", "INFO"),
            ("ACCESS_LOG", "off"),
            ("LLM_PROVIDER", "local"),
            ("LLM_LOCAL_URL", model.as_str()),
            ("LLM_LOCAL_MODEL", "of-the-run"),
        ];
        for (name, value) in settings {
            self.server.set(name, value);
        }
        // Of those that are no replica.
        if let Some(store) = self.store_of(0) {
            self.server.set("STORE_URL", &store);
        }
        if self.power.is_some() {
            std::fs::create_dir(self.home().join("backups")).expect("a directory");
        } else if plan.store == Store::Sqlite {
            self.disk = SmallDisk::mount(data, DISK);
        }
        let deceives = plan.power.filter(|_| plan.store == Store::Sqlite).and_then(|power| match power.keeps {
            Keeps::All => None,
            Keeps::Late => Some(LATE),
            Keeps::Nothing => Some(LIAR),
        });
        if let Some(source) = deceives {
            let library = built(source, &self.server.place("disk.so"));
            self.server.set("LD_PRELOAD", library.to_str().expect("UTF-8"));
        }
        if plan.sets_clock {
            self.warp = Some(Warp::of(&mut self.server));
            // What a killed process leaves in shared memory would be found by another with its number; and nobody asks for the hour that often.
            self.server.set("FAKETIME_DISABLE_SHM", "1").set("FAKETIME_NO_CACHE", "").set("FAKETIME_CACHE_DURATION", "1");
        }
    }
}

/// The text of a comment, which is a document in the cloud.
pub fn text_of(body: &Value) -> String {
    match body {
        Value::Object(node) => {
            let own = node.get("text").and_then(Value::as_str).unwrap_or_default();
            format!("{own}{}", node.get("content").map(text_of).unwrap_or_default())
        }
        Value::Array(nodes) => nodes.iter().map(text_of).collect::<Vec<_>>().join(" "),
        Value::String(text) => text.clone(),
        _ => String::new(),
    }
}

/// Builds a library of this.
fn built(text: &str, library: &Path) -> PathBuf {
    let source = library.with_extension("c");
    std::fs::write(&source, text).expect("written");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-pthread", "-o"]).arg(library).arg(&source).status().expect("cc");
    assert!(built.success(), "it cannot be built");
    library.to_path_buf()
}

fn address_in(url: &str) -> SocketAddr {
    let rest = url.strip_prefix("http://").expect("plain HTTP");
    rest.split('/').next().and_then(|address| address.parse().ok()).expect("an address")
}
