//! The same job by the git program of the machine, and over SSH: which git goes which way is nobody else's business.

use super::github::World;
use crate::support::fake_github::FakeGithub;
use crate::support::server::files_with;
use crate::support::sshd::SshServer;

/// Adds to the `spec:` of the repository, which is the first in its file.
fn with(world: &World, edit: impl FnOnce(String) -> String) {
    world.server.edit_resource("inventory.yaml", |text| {
        let edited = edit(text.clone());
        assert_ne!(edited, text);
        edited
    });
}

#[test]
fn the_git_program_of_the_machine_makes_the_same_pull_request() {
    let mut world = World::prepare(FakeGithub::start());
    with(&world, |text| text.replacen("  branch: main\n", "  branch: main\n  git: { transport: git, partialClone: true }\n", 1));
    world.server.upstream.git(&["config", "uploadpack.allowFilter", "true"]);
    world.server.run();
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
        let mut world = World::prepare(FakeGithub::start());
        world.server.secret("GITOPS_KEY", &sshd.key("user"));
        world.server.secret("GITOPS_HOSTS", &sshd.known_host("host"));
        let url = sshd.url(world.server.upstream.path());
        with(&world, |text| {
            let ours = text.lines().map(|line| if line.starts_with("  url: ") { format!("  url: {url}\n") } else { format!("{line}\n") });
            let ssh = format!("  branch: main\n  ssh: {{ key: GITOPS_KEY, knownHosts: GITOPS_HOSTS }}\n  git: {{ transport: {transport} }}\n");
            ours.collect::<String>().replacen("  branch: main\n", &ssh, 1)
        });
        world.server.run();
        world.proposed("OPS-1", "payments");
        world.server.terminate();
        let line = sshd.key("user").lines().nth(3).expect("a line").to_owned();
        assert!(!world.server.log().contains(&line));
        assert_eq!(files_with(&world.server.data(), &[&line]), [] as [std::path::PathBuf; 0]);
    }
}
