//! Where a token or a key must not be seen while git works: arguments, environments and files.

use super::world::{FILE, Server, Setting, Way, With, branch, remote};
use crate::support::server::files_with;
use crate::support::upstream::UpstreamRepo;
use kubeops::git::{Credentials, Expected, RemoteSpec, SshAccess};
use rstest::rstest;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A token that no other test has.
const TOKEN: &str = "t0ken-0f-the-leak-tests";

/// What was looked at while git ran, and where the secret was found.
#[derive(Debug, Default)]
struct Seen {
    /// Processes that work on this test's mirror.
    git: usize,
    askpass: usize,
    found: Vec<String>,
}

impl Seen {
    /// Looks at every process that is there now and at every file of these directories.
    fn look(&mut self, mirror: &Path, secret: &str, directories: &[PathBuf]) {
        let ours = format!("GIT_DIR={}", mirror.display());
        for process in std::fs::read_dir("/proc").expect("/proc").flatten() {
            if !process.file_name().to_string_lossy().bytes().all(|digit| digit.is_ascii_digit()) {
                continue;
            }
            let read = |name: &str| String::from_utf8_lossy(&std::fs::read(process.path().join(name)).unwrap_or_default()).into_owned();
            let (arguments, environment) = (read("cmdline"), read("environ"));
            if environment.split('\0').any(|variable| variable == ours) {
                self.git += 1;
                self.askpass += usize::from(arguments.contains("Password for"));
            }
            if arguments.contains(secret) || environment.contains(secret) {
                self.found.push(format!("{} {arguments}", process.path().display()));
            }
        }
        for directory in directories.iter().filter(|directory| directory.exists()) {
            self.found.extend(files_with(directory, &[secret]).into_iter().map(|file| file.display().to_string()));
        }
    }
}

#[test]
fn a_token_is_in_no_argument_environment_or_file_at_any_moment() {
    let upstream = UpstreamRepo::new();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mirror = upstream.scratch("mirrors").join("gitops.git");
    let places = [upstream.scratch("mirrors"), upstream.scratch("run")];
    let look = {
        let (seen, mirror, places) = (Arc::clone(&seen), mirror.clone(), places.clone());
        move || seen.lock().expect("a list").look(&mirror, TOKEN, &places)
    };
    let slow = look.clone();
    // Every request that shows the token is held up until everything has been looked at.
    let server = upstream.serve_watched(Some(TOKEN), move |_| slow());
    // And so is the moment in which the token is asked for.
    let asked = Credentials::new("bot", move || {
        look();
        Ok(TOKEN.into())
    });
    let url = server.url.clone();
    let mut setting = Setting::behind(upstream, With::Git.spec(), Server::Http(server));
    setting.remote = RemoteSpec { credentials: Some(asked), git: With::Git.spec(), ..remote(&url, None) };
    let (_, commit) = setting.commit("1");
    setting.mirror().push(&branch("kubeops/x"), &commit, Expected::Absent).expect("pushed");
    setting.transport.fetch_branch(&setting.place(), &branch("kubeops/x")).expect("fetched");
    let mut seen = seen.lock().expect("a list");
    assert!(seen.git > 10 && seen.askpass >= 3, "processes were looked at: {seen:?}");
    seen.look(&mirror, TOKEN, &places);
    assert_eq!(seen.found, [] as [String; 0]);
}

#[test]
fn looking_would_find_a_token() {
    let directory = tempfile::tempdir().expect("a directory");
    let secret = "a-secret-that-is-shown";
    std::fs::write(directory.path().join("config"), format!("token = {secret}")).expect("written");
    let mut child = std::process::Command::new("sleep").arg("60").env("TOKEN", secret).env("GIT_DIR", "/there").spawn().expect("sleep");
    // A process shows its environment only a moment after it was started.
    let seen = crate::support::server::eventually("the process is seen", || {
        let mut seen = Seen::default();
        seen.look(Path::new("/there"), secret, &[directory.path().to_owned()]);
        (seen.git == 1).then_some(seen)
    });
    child.kill().expect("killed");
    child.wait().expect("reaped");
    assert_eq!((seen.git, seen.found.len()), (1, 2), "{seen:?}");
}

#[rstest]
fn a_key_is_in_no_argument_or_environment_and_in_one_private_file_while_it_is_used(#[values(true, false)] accepted: bool) {
    use std::os::unix::fs::PermissionsExt as _;
    let setting = Setting::new(With::Git, Way::Ssh);
    let Server::Ssh(server) = &setting.server else { panic!("sshd") };
    let key = server.key(if accepted { "user" } else { "stranger" });
    let line = key.lines().nth(3).expect("a line").to_owned();
    let (run, mirror) = (setting.upstream.scratch("run"), setting.mirror_path());
    let hook_mark = setting.upstream.scratch("looked");
    // The known hosts are asked for after the key, and just before git is started: too early to look. So the server's hook waits
    // until the test has looked.
    setting.upstream.install_hook("pre-receive", &format!("while [ ! -e '{}' ]; do sleep 0.02; done", hook_mark.display()));
    let hosts = server.known_host("host");
    let ssh = {
        let key = key.clone();
        SshAccess::new(move || Ok(key.clone().into()), move || Ok(hosts.clone()))
    };
    let (_, commit) = setting.commit("1");
    let remote = RemoteSpec { ssh: Some(ssh), ..setting.remote.clone() };
    let push = || setting.mirrors.get(&remote).push(&branch("kubeops/x"), &commit, Expected::Absent);
    if !accepted {
        push().expect_err("refused");
    } else {
        std::thread::scope(|scope| {
            let pushing = scope.spawn(push);
            let mut seen = Seen::default();
            // Waits for the process that the hook holds up.
            crate::support::server::eventually("git pushes", || {
                seen = Seen::default();
                seen.look(&mirror, &line, &[]);
                (seen.git >= 1 && !files_with(&run, &[&line]).is_empty()).then_some(())
            });
            assert_eq!(seen.found, [] as [String; 0]);
            let files = files_with(&run, &[&line]);
            assert_eq!(files.len(), 1, "{files:?}");
            let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
            assert_eq!((mode(&files[0]), mode(files[0].parent().expect("a directory"))), (0o600, 0o700));
            std::fs::write(&hook_mark, "").expect("written");
            pushing.join().expect("a thread").expect("pushed");
        });
        assert_eq!(setting.upstream.show(FILE, "kubeops/x"), crate::support::upstream::config_map("app", "1"));
    }
    assert_eq!(files_with(&run, &[&line]), [] as [PathBuf; 0], "the key is gone with its conversation");
    assert_eq!(files_with(&setting.upstream.scratch("mirrors"), &[&line]), [] as [PathBuf; 0]);
}
