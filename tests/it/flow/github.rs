//! The same job where pull requests are kept by GitHub: a stateful fake of it, and the repository behind real smart HTTP.

use crate::support::fake_github::{FakeApp, FakeGithub, FakePull, Fault, TOKEN, private_key};
use crate::support::server::{TestServer, eventually, files_with, ticket};
use crate::support::upstream::HttpUpstream;
use serde_json::Value;

/// A server whose repository is at GitHub, and GitHub.
pub(super) struct World {
    pub(super) server: TestServer,
    pub(super) github: FakeGithub,
    pub(super) git: HttpUpstream,
}

impl World {
    pub(super) fn start() -> Self {
        let mut world = Self::prepare(FakeGithub::start());
        world.server.run();
        world
    }

    /// Known by a token, over there and to git; not running yet.
    pub(super) fn prepare(github: FakeGithub) -> Self {
        let server = TestServer::prepare();
        server.secret("GITHUB_TOKEN", TOKEN);
        let git = server.upstream.serve(Some(TOKEN));
        Self::of(server, github, git, "", "token: GITHUB_TOKEN", "  credentials: { username: bot, secret: GITHUB_TOKEN }\n")
    }

    /// Known as a GitHub App, whose tokens open git as well; not running yet.
    pub(super) fn prepare_app(github: FakeGithub) -> Self {
        let server = TestServer::prepare();
        server.secret("GITHUB_APP_KEY", &private_key());
        github.install(FakeApp::new());
        let doorkeeper = github.doorkeeper();
        let git = server.upstream.serve_to(move |shown| shown.is_some_and(|(user, password)| doorkeeper(user, password)));
        // As at an Enterprise Server, whose API stands below a path.
        Self::of(server, github, git, "/api/v3", "app: { id: 12, privateKey: GITHUB_APP_KEY }", "")
    }

    fn of(mut server: TestServer, github: FakeGithub, git: HttpUpstream, below: &str, identity: &str, credentials: &str) -> Self {
        github.follow(&server.upstream);
        let local = format!("file://{}", server.upstream.path().display());
        server.edit_resource("inventory.yaml", |text| {
            let forge =
                format!("{credentials}  forge: {{ kind: github, repository: acme/gitops, apiUrl: \"{}{below}\", {identity} }}\n", github.url());
            let text = text.replace(&local, &git.url).replace("  forge:\n    kind: local\n", &forge);
            assert!(text.contains("kind: github") && text.contains(&git.url), "{text}");
            text
        });
        server
            .set("FORGE_WRITE_PAUSE_MS", "0")
            .set("OBSERVE_SECONDS", "1")
            .set("GRACEFUL_TIMEOUT", "2")
            .set("LOG_LEVEL", "TRACE")
            .set("GUNICORN_LOG_LEVEL", "TRACE")
            .set("ENABLE_METRICS", "true");
        Self { server, github, git }
    }

    /// A ticket is sent, and what became of its request in the end.
    pub(super) fn ended(&self, key: &str, state: &str) -> Value {
        assert_eq!(self.server.at().ticket(&ticket(key, "payments")).word(), "202 accepted");
        self.server.at().settled(key, state)
    }

    /// A ticket is sent, and has exactly one pull request in the end.
    pub(super) fn proposed(&self, key: &str, team: &str) -> FakePull {
        assert_eq!(self.server.at().ticket(&ticket(key, team)).word(), "202 accepted");
        let request = self.server.at().settled(key, "proposed");
        let branch = request["branch"].as_str().expect("a branch");
        let pulls: Vec<FakePull> = self.github.pulls().into_iter().filter(|pull| pull.head == branch).collect();
        assert_eq!(pulls.len(), 1, "{pulls:#?}");
        assert_eq!(request["pull"]["number"], pulls[0].number);
        assert_eq!(self.server.upstream.git(&["rev-list", "--count", &format!("main..{branch}")]).trim(), "1");
        pulls.into_iter().next().expect("one")
    }

    /// A request that was refused by GitHub, once more asked for.
    pub(super) fn retried(&self, key: &str) -> String {
        let failed = self.server.at().settled(key, "failed");
        let id = failed["id"].as_str().expect("an id").to_owned();
        assert!(self.server.at().api("POST", &format!("/requests/{id}/retry"), None).status < 300);
        id
    }

    /// The commit a branch of the repository is at.
    fn tip(&self, branch: &str) -> String {
        self.server.upstream.tip(branch).expect("the branch is there").to_string()
    }

    /// The token is in no log line, no file and no object of git.
    pub(super) fn keeps_the_token(&mut self) {
        self.keeps(&[TOKEN]);
    }

    /// None of these is in a log line, a file or an object of git.
    pub(super) fn keeps(&mut self, secrets: &[&str]) {
        self.server.terminate();
        let log = self.server.log();
        let telling: Vec<&str> = log.lines().filter(|line| secrets.iter().any(|secret| line.contains(secret))).collect();
        assert_eq!(telling, [] as [&str; 0]);
        assert_eq!(files_with(&self.server.data(), secrets), [] as [std::path::PathBuf; 0]);
        assert_eq!(super::objects_with(&self.server.data().join("mirrors"), secrets), [] as [String; 0]);
        assert_eq!(super::objects_with(self.server.upstream.path(), secrets), [] as [String; 0]);
        self.server.upstream.fsck();
    }
}

#[test]
fn a_ticket_becomes_a_pull_request_at_github_and_its_merge_is_noticed() {
    let mut world = World::start();
    let pull = world.proposed("OPS-1", "payments");
    assert_eq!((pull.title.as_str(), pull.base.as_str(), pull.state), ("Namespace payments (OPS-1)", "main", "open"));
    assert_eq!((pull.labels, pull.reviewers), (vec!["namespace".to_owned()], vec!["platform-team".to_owned()]));
    assert!(pull.body.contains("http://kubeops.test/api/v1/requests/req_"), "{}", pull.body);

    // A person reviews and merges it over there; nobody tells us.
    world.github.person(pull.number, |pull| pull.reviews.push(("ada".to_owned(), "APPROVED".to_owned())));
    let approved = world.server.at().settled("OPS-1", "approved");
    assert!(approved["message"].as_str().is_some_and(|message| message.contains("ada")), "{approved:#}");
    world.github.end(pull.number, true);
    world.server.at().settled("OPS-1", "merged");

    // Another one is closed without a merge: that is a veto.
    let vetoed = world.proposed("OPS-2", "search");
    world.github.end(vetoed.number, false);
    let declined = world.server.at().settled("OPS-2", "declined");

    // Asked for again by a person, it gets a new one; the closed one stays closed.
    let id = declined["id"].as_str().expect("an id");
    assert!(world.server.at().api("POST", &format!("/requests/{id}/retry"), None).status < 300);
    let again = world.server.at().settled("OPS-2", "proposed");
    assert_eq!(again["pull"]["number"], 3, "{again:#}");
    assert_eq!(world.github.pulls()[1].state, "closed");
    world.keeps_the_token();
}

#[test]
fn whatever_goes_wrong_at_github_there_is_one_pull_request() {
    let mut world = World::prepare(FakeGithub::start());
    // A look at open pull requests would meet the fault instead.
    world.server.set("OBSERVE_SECONDS", "3600").run();
    let faults = [
        (0, Fault::BadGateway),
        (0, Fault::DroppedAfter),
        (0, Fault::DroppedBefore),
        (0, Fault::Truncated),
        (0, Fault::Secondary(Some(1))),
        // After it was made: while labels are set, and while reviewers are asked.
        (1, Fault::BadGateway),
        (2, Fault::Secondary(Some(1))),
    ];
    for (number, (skip, fault)) in faults.iter().enumerate() {
        world.github.fail_after(*skip, fault.clone());
        let pull = world.proposed(&format!("OPS-{number}"), &format!("team-{number}"));
        assert_eq!((pull.labels.len(), pull.reviewers.len()), (1, 1), "{fault:?}: labels and reviewers are there in the end: {pull:#?}");
    }
    assert_eq!(world.github.pulls().len(), faults.len());
    world.keeps_the_token();
}

#[test]
fn a_proposal_cut_short_by_a_shutdown_finds_what_became_of_its_pull_request() {
    let mut world = World::start();
    // The pull request is made, but its answer does not arrive before the server has to end.
    world.github.fail(Fault::Silent);
    world.server.at().ticket(&ticket("OPS-1", "payments"));
    eventually("the pull request is made", || world.github.pulls().first().map(drop));
    assert_eq!(world.server.terminate().code(), Some(0));
    // Meanwhile a person merges it.
    world.github.end(1, true);
    world.server.run();
    let request = world.server.at().settled("OPS-1", "merged");
    assert_eq!(request["pull"]["number"], 1, "{request:#}");
    assert_eq!(world.github.pulls().len(), 1, "no second one is opened");
    world.keeps_the_token();
}

#[test]
fn a_request_cancelled_while_it_is_being_proposed_leaves_no_pull_request_open() {
    let mut world = World::start();
    // The pull request is made, but the answer is lost: nobody has written its number down when the request is cancelled.
    world.github.fail(Fault::DroppedAfter);
    world.server.at().ticket(&ticket("OPS-1", "payments"));
    let id = eventually("the attempt failed", || {
        let request = world.server.at().requests_of("OPS-1").into_iter().next()?;
        let id = request["id"].as_str()?.to_owned();
        let detail = world.server.at().get(&format!("/requests/{id}"));
        (detail["state"] == "planned" && detail["tasks"][0]["attempts"] == 1 && detail["tasks"][0]["state"] == "waiting").then_some(id)
    });
    assert_eq!(world.github.pulls().len(), 1);
    assert_eq!(world.server.at().api("POST", &format!("/requests/{id}/cancel"), None).status, 202);
    world.server.at().settled("OPS-1", "withdrawn");
    eventually("the pull request is closed", || (world.github.pulls()[0].state == "closed").then_some(()));
    eventually("the branch is gone", || super::branches(&world.server.upstream).is_empty().then_some(()));
    world.keeps_the_token();
}

#[test]
fn a_request_after_the_store_was_lost_gets_a_pull_request_of_its_own() {
    let mut world = World::start();
    // One is merged, the other refused; both branches stay.
    let merged = world.proposed("OPS-1", "payments");
    world.github.end(merged.number, true);
    world.server.at().settled("OPS-1", "merged");
    let refused = world.proposed("OPS-2", "search");
    world.github.end(refused.number, false);
    world.server.at().settled("OPS-2", "declined");
    world.server.terminate();
    world.server.lose_data();
    world.server.run();
    // Both are asked for again, and generations begin with 1 again.
    for (key, team, first) in [("OPS-1", "payments", merged), ("OPS-2", "search", refused)] {
        let pull = world.proposed(key, team);
        assert_ne!((pull.number, &pull.head), (first.number, &first.head));
    }
    assert_eq!(world.github.pulls().len(), 4);
    world.keeps_the_token();
}

#[test]
fn a_commit_of_ours_that_nobody_noted_is_replaced() {
    nobody_noted(|_, _| {});
}

#[test]
fn a_commit_that_nobody_noted_is_ours_also_under_the_committer_and_the_key_of_before() {
    nobody_noted(|world, round| {
        let key = world.server.place(&format!("key-{round}"));
        let made = std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.expect("ssh-keygen").success());
        world.server.secret("SIGNING_KEY", &std::fs::read_to_string(&key).expect("a key"));
        world.server.edit_resource("inventory.yaml", |text| {
            let lines = text.lines().filter(|line| !line.starts_with("  author:") && !line.starts_with("  signing:"));
            let with = |line: &str| {
                let also =
                    format!("  author: {{ name: Robot {round}, email: robot{round}@example.com }}\n  signing: {{ format: ssh, key: SIGNING_KEY }}\n");
                format!("{line}\n{}", if line == "  branch: main" { also } else { String::new() })
            };
            lines.map(with).collect()
        });
        let loaded = || world.server.at().get("/status")["resources"]["loaded_at"].clone();
        let before = loaded();
        world.server.signal("HUP");
        eventually("the other committer is in force", || (loaded() != before).then_some(()));
    });
}

/// A ticket whose branch is pushed three times without anybody noting it; `between` changes something before the next time.
fn nobody_noted(between: impl Fn(&World, usize)) {
    let mut world = World::start();
    // Each time the branch is pushed, GitHub refuses the pull request, and the base moves on.
    world.github.fail(Fault::Forbidden);
    world.server.at().ticket(&ticket("OPS-1", "payments"));
    let mut commits = Vec::new();
    for round in 0..3 {
        let failed = world.server.at().settled("OPS-1", "failed");
        let branch = failed["branch"].as_str().expect("a branch").to_owned();
        assert_eq!(failed["commit"], world.tip(&branch));
        commits.push(world.tip(&branch));
        world.server.upstream.write("main", "README.md", &format!("round {round}"));
        between(&world, round);
        if round < 2 {
            world.github.fail(Fault::Forbidden);
        }
        let id = world.retried("OPS-1");
        if round < 2 {
            eventually("it failed again", || {
                let request = world.server.at().get(&format!("/requests/{id}"));
                (request["state"] == "failed" && request["commit"] != commits[round]).then_some(())
            });
        }
    }
    let request = world.server.at().settled("OPS-1", "proposed");
    let branch = request["branch"].as_str().expect("a branch");
    assert_eq!(request["commit"], world.tip(branch), "{request:#}");
    assert!(!commits.contains(&world.tip(branch)));
    assert!(!request["message"].as_str().is_some_and(|message| message.contains("not ours")), "{request:#}");
    assert_eq!(world.server.upstream.git(&["rev-list", "--count", &format!("main..{branch}")]).trim(), "1");
    let pulls = world.github.pulls();
    assert_eq!((pulls.len(), pulls[0].head.as_str()), (1, branch));
    world.keeps_the_token();
}

#[test]
fn what_a_person_put_on_the_branch_is_left_alone_and_a_strangers_branch_is_no_proposal() {
    let mut world = World::prepare(FakeGithub::start());
    // A look at open pull requests would meet the fault that is meant for the next proposal.
    world.server.set("OBSERVE_SECONDS", "3600").run();
    for (key, team, stranger) in [("OPS-1", "payments", false), ("OPS-2", "search", true)] {
        world.github.fail(Fault::Forbidden);
        world.server.at().ticket(&ticket(key, team));
        let failed = world.server.at().settled(key, "failed");
        let branch = failed["branch"].as_str().expect("a branch").to_owned();
        if stranger {
            world.server.upstream.git(&["update-ref", &format!("refs/heads/{branch}"), "refs/heads/main"]);
        }
        let theirs = world.server.upstream.write(&branch, "README.md", "a person's").to_string();
        world.server.upstream.write("main", "clusters/prod/new.yaml", &format!("# {key}\n"));
        let id = world.retried(key);
        let state = if stranger { "failed" } else { "proposed" };
        let request = eventually(state, || {
            let request = world.server.at().get(&format!("/requests/{id}"));
            (request["state"] == state && request["commit"] != failed["commit"]).then_some(request)
        });
        assert_eq!(world.tip(&branch), theirs);
        let message = request["message"].as_str().expect("a message");
        assert!(message.contains(if stranger { "does not come from this request" } else { "not ours; it was left as it is" }), "{message}");
        assert_eq!(world.github.pulls().iter().filter(|pull| pull.head == branch).count(), usize::from(!stranger));
    }
    world.keeps_the_token();
}
