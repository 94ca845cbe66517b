//! SSH: the key and the hosts that the repository names, and nothing of the machine's.

use super::child;
use super::world::{Server, Setting, Way, With, access, branch, mirrors, patient};
use crate::support::server::files_with;
use kubeops::git::{Expected, GitError, RemoteSpec, SshAccess};
use kubeops::types::ErrorClass;
use rstest::rstest;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn server(setting: &Setting) -> &crate::support::sshd::SshServer {
    let Server::Ssh(server) = &setting.server else { panic!("a setting with sshd") };
    server
}

/// The error of a fetch with this access, by a mirror of its own.
fn refused(setting: &Setting, ssh: SshAccess) -> GitError {
    let directory = tempfile::tempdir_in(setting.upstream.scratch("sshd")).expect("a directory");
    let remote = RemoteSpec { ssh: Some(ssh), ..setting.remote.clone() };
    mirrors(directory.path(), patient()).get(&remote).fetch().expect_err("refused")
}

#[rstest]
fn a_host_whose_key_is_not_known_is_not_trusted_and_the_next_step_is_told(#[values(With::Libgit2, With::Git)] with: With) {
    let setting = Setting::new(with, Way::Ssh);
    let server = server(&setting);
    let revoked = format!("@revoked {}\n{}", server.known_host("host"), server.known_host("host"));
    let hosts = ["# none".to_owned(), server.known_host("stranger"), server.known_host("host").replace("127.0.0.1", "127.0.0.2"), revoked];
    for known in hosts {
        let error = refused(&setting, access(server.key("user"), known.clone()));
        assert!(matches!(error, GitError::Untrusted { .. }), "{known}: {error:?}");
        assert_eq!(error.class(), ErrorClass::Permanent);
        assert!(error.to_string().contains("known hosts"), "{error}");
    }
    let error = refused(
        &setting,
        SshAccess::new(
            {
                let key = server.key("user");
                move || Ok(key.clone().into())
            },
            || Err("the secret is gone".to_owned()),
        ),
    );
    assert!(matches!(error, GitError::Untrusted { .. }) && error.to_string().contains("the secret is gone"), "{error:?}");
}

#[rstest]
fn hosts_are_known_by_hashed_names_and_patterns_too(#[values(With::Libgit2, With::Git)] with: With) {
    let setting = Setting::new(with, Way::Ssh);
    let server = server(&setting);
    let file = setting.upstream.scratch("hashed");
    std::fs::write(&file, server.known_host("host")).expect("written");
    assert!(std::process::Command::new("ssh-keygen").args(["-H", "-f"]).arg(&file).output().expect("ssh-keygen").status.success());
    let hashed = std::fs::read_to_string(&file).expect("lines");
    let pattern = server.known_host("host").replace("127.0.0.1", "127.0.*");
    for known in [hashed, pattern] {
        let directory = tempfile::tempdir_in(setting.upstream.scratch("sshd")).expect("a directory");
        let remote = RemoteSpec { ssh: Some(access(server.key("user"), known)), ..setting.remote.clone() };
        mirrors(directory.path(), patient()).get(&remote).fetch().expect("known");
    }
}

#[rstest]
fn a_key_that_is_not_accepted_or_is_none_may_be_mended_in_time(#[values(With::Libgit2, With::Git)] with: With) {
    let setting = Setting::new(with, Way::Ssh);
    let server = server(&setting);
    let known = server.known_host("host");
    let broken = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n".to_owned();
    for key in [server.key("stranger"), broken, "hunter2".to_owned()] {
        let error = refused(&setting, access(key, known.clone()));
        assert!(matches!(error, GitError::Unauthorised { .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    }
    let hosts = known.clone();
    let error = refused(&setting, SshAccess::new(|| Err("the secret is gone".to_owned()), move || Ok(hosts.clone())));
    assert!(matches!(error, GitError::Unauthorised { .. }) && error.to_string().contains("the secret is gone"), "{error:?}");
}

#[rstest]
fn a_rotated_key_is_used_at_once_and_stays_in_no_file(#[values(With::Libgit2, With::Git)] with: With) {
    let setting = Setting::new(with, Way::Ssh);
    let server = server(&setting);
    let stranger = RemoteSpec { ssh: Some(access(server.key("stranger"), server.known_host("host"))), ..setting.remote.clone() };
    assert!(setting.mirrors.get(&stranger).fetch().is_err());
    let (_, commit) = setting.commit("1");
    setting.mirror().push(&branch("kubeops/x"), &commit, Expected::Absent).expect("pushed");
    // A line that no other key has; sshd has its own files elsewhere.
    let key = server.key("user");
    let line = key.lines().nth(3).expect("a line");
    for place in ["mirrors", "run"].map(|place| setting.upstream.scratch(place)).iter().filter(|place| place.exists()) {
        assert_eq!(files_with(place, &[line]), [] as [PathBuf; 0]);
    }
}

/// An agent that holds the server's good key.
struct Agent {
    process: std::process::Child,
    socket: PathBuf,
}

impl Agent {
    fn start(setting: &Setting) -> Self {
        let socket = setting.upstream.scratch("agent");
        let process = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().expect("ssh-agent");
        let agent = Self { process, socket };
        // Its socket is there a moment before anybody answers.
        let key = setting.upstream.scratch("sshd").join("user");
        crate::support::server::eventually("the agent takes the key", || {
            let added = Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &agent.socket).stderr(Stdio::null()).status();
            added.expect("ssh-add").success().then_some(())
        });
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a child of this test comes to, which has an agent and a home of its own: libgit2 finds them through its environment.
fn by_a_child(setting: &Setting, agent: &Agent, with: With, access: Option<(String, String)>, ssh: &str) -> String {
    let mut command = child::fetching(setting.remote.url.as_str(), with, &setting.upstream.scratch("home"));
    command.env("SSH_AUTH_SOCK", &agent.socket).env(child::SSH, ssh);
    if let Some((key, hosts)) = access {
        command.env(child::KEY, key).env(child::HOSTS, hosts);
    }
    child::fetched(command)
}

#[rstest]
fn where_the_repository_names_a_key_the_agent_and_the_homes_hosts_are_not_used(#[values(With::Libgit2, With::Git)] with: With) {
    let setting = Setting::new(with, Way::Ssh);
    let server = server(&setting);
    let agent = Agent::start(&setting);
    let ssh = setting.upstream.scratch("home").join(".ssh");
    std::fs::create_dir_all(&ssh).expect("made");
    std::fs::write(ssh.join("known_hosts"), server.known_host("host")).expect("written");
    let stranger = || Some((server.key("stranger"), server.known_host("host")));
    let told = by_a_child(&setting, &agent, with, stranger(), "ssh");
    assert!(told.starts_with("Err(Unauthorised"), "{told}");
    let told = by_a_child(&setting, &agent, with, Some((server.key("user"), server.known_host("stranger"))), "ssh");
    assert!(told.starts_with("Err(Untrusted"), "{told}");
    // The same child with the right ones comes in.
    let told = by_a_child(&setting, &agent, with, Some((server.key("user"), server.known_host("host"))), "ssh");
    assert!(told.starts_with("Ok("), "{told}");
}

#[rstest]
fn without_a_key_of_its_own_the_agents_is_used(#[values(With::Libgit2, With::Git)] with: With) {
    use std::os::unix::fs::PermissionsExt as _;
    let setting = Setting::new(with, Way::Ssh);
    let agent = Agent::start(&setting);
    let home = setting.upstream.scratch("home").join(".ssh");
    std::fs::create_dir_all(&home).expect("made");
    let told = by_a_child(&setting, &agent, with, None, "ssh");
    assert!(told.starts_with("Err(Untrusted"), "nobody vouches for the host: {told}");
    let known = home.join("known_hosts");
    std::fs::write(&known, server(&setting).known_host("host")).expect("written");
    // ssh asks the system's list of users for the home, so it is told where the hosts stand.
    let program = setting.upstream.scratch("ssh");
    std::fs::write(&program, format!("#!/bin/sh\nexec ssh -oUserKnownHostsFile='{}' \"$@\"\n", known.display())).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let told = by_a_child(&setting, &agent, with, None, program.to_str().expect("UTF-8"));
    assert!(told.starts_with("Ok("), "{told}");
}
