//! The same job where pull requests are kept by GitHub: a stateful fake of it, and the repository behind real smart HTTP.

use crate::support::fake_github::{FakeGithub, FakePull, Fault, TOKEN};
use crate::support::server::{TestServer, eventually, files_with, ticket};
use crate::support::sshd::SshServer;
use crate::support::upstream::HttpUpstream;

/// A server whose repository is at GitHub, and GitHub.
struct World {
    server: TestServer,
    github: FakeGithub,
    _git: HttpUpstream,
}

impl World {
    fn start() -> Self {
        Self::reached(None, "")
    }

    /// The repository at another address, with more in its `spec:`.
    fn reached(other: Option<&dyn Fn(&TestServer) -> String>, more: &str) -> Self {
        let github = FakeGithub::start();
        let mut server = TestServer::prepare();
        let git = server.upstream.serve(Some(TOKEN));
        github.follow(&server.upstream);
        server.secret("GITHUB_TOKEN", TOKEN);
        let local = format!("file://{}", server.upstream.path().display());
        server.edit_resource("inventory.yaml", |text| {
            let url = other.map_or_else(|| git.url.clone(), |other| other(&server));
            let text = text.replace(&local, &url).replace(
                "  forge:\n    kind: local\n",
                &format!(
                    "  credentials: {{ username: bot, secret: GITHUB_TOKEN }}\n  forge: {{ kind: github, repository: acme/gitops, apiUrl: \"{}\", token: GITHUB_TOKEN }}\n{more}",
                    github.url()
                ),
            );
            assert!(text.contains("kind: github") && text.contains(&url), "{text}");
            text
        });
        server.set("OBSERVE_SECONDS", "1").set("GRACEFUL_TIMEOUT", "2").set("LOG_LEVEL", "TRACE").set("GUNICORN_LOG_LEVEL", "TRACE").run();
        Self { server, github, _git: git }
    }

    /// A ticket is sent, and has exactly one pull request in the end.
    fn proposed(&self, key: &str, team: &str) -> FakePull {
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
    fn retried(&self, key: &str) -> String {
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
    fn keeps_the_token(&mut self) {
        self.server.terminate();
        let log = self.server.log();
        let telling: Vec<&str> = log.lines().filter(|line| line.contains(TOKEN)).collect();
        assert_eq!(telling, [] as [&str; 0]);
        assert_eq!(files_with(&self.server.data(), &[TOKEN]), [] as [std::path::PathBuf; 0]);
        assert_eq!(super::objects_with(&self.server.data().join("mirrors"), &[TOKEN]), [] as [String; 0]);
        assert_eq!(super::objects_with(self.server.upstream.path(), &[TOKEN]), [] as [String; 0]);
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
    world.server.at().settled("OPS-2", "declined");
    world.keeps_the_token();
}

#[test]
fn whatever_goes_wrong_at_github_there_is_one_pull_request() {
    let mut world = World::start();
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
    let mut world = World::start();
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

#[test]
fn the_git_program_of_the_machine_does_the_same() {
    let mut world = World::reached(None, "  git: { transport: git, partialClone: true }\n");
    world.server.upstream.git(&["config", "uploadpack.allowFilter", "true"]);
    let pull = world.proposed("OPS-1", "payments");
    world.github.end(pull.number, true);
    world.server.at().settled("OPS-1", "merged");
    world.keeps_the_token();
    assert_eq!(std::fs::read_dir(world.server.data().join("run")).expect("its directory").count(), 0, "nothing is left of conversations");
}

#[test]
fn a_repository_behind_ssh_is_reached_with_the_key_it_names() {
    for transport in ["libgit2", "git"] {
        let directory = tempfile::tempdir().expect("a directory");
        let sshd = SshServer::start(directory.path());
        let ssh = format!("  ssh: {{ key: GITOPS_KEY, knownHosts: GITOPS_HOSTS }}\n  git: {{ transport: {transport} }}\n");
        let url = |server: &TestServer| {
            server.secret("GITOPS_KEY", &sshd.key("user"));
            server.secret("GITOPS_HOSTS", &sshd.known_host("host"));
            sshd.url(server.upstream.path())
        };
        let mut world = World::reached(Some(&url), &ssh);
        world.proposed("OPS-1", "payments");
        world.server.terminate();
        let line = sshd.key("user").lines().nth(3).expect("a line").to_owned();
        assert!(!world.server.log().contains(&line));
        assert_eq!(files_with(&world.server.data(), &[&line]), [] as [std::path::PathBuf; 0]);
    }
}
