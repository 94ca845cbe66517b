//! This test program again, with one test and an environment of its own: what is in the environment of a test is every test's.

use super::world::{With, access, patient, remote, transport_with};
use kubeops::git::{Mirrors, RemoteSpec};
use std::path::Path;
use std::process::Command;

const URL: &str = "KUBEOPS_TEST_URL";
const WITH: &str = "KUBEOPS_TEST_WITH";
/// The ssh program, where it is not the machine's.
pub const SSH: &str = "KUBEOPS_TEST_SSH";
/// The repository's own key.
pub const KEY: &str = "KUBEOPS_TEST_KEY";
/// Its known hosts.
pub const HOSTS: &str = "KUBEOPS_TEST_HOSTS";

/// A child that runs one test.
pub fn running(test: &str, home: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--nocapture"]).env("HOME", home);
    command
}

/// A child that fetches; [`fetched`] tells how it fared.
pub fn fetching(url: &str, with: With, home: &Path) -> Command {
    let mut command = running("git::child::a_child_fetches_with_what_it_is_told", home);
    command.env(URL, url).env(WITH, format!("{with:?}"));
    command
}

pub fn fetched(mut command: Command) -> String {
    let output = command.output().expect("the child runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    said.lines().find_map(|line| line.split_once("FETCHED ").map(|(_, what)| what.to_owned())).unwrap_or_else(|| panic!("{said}"))
}

/// Which git a child is told to use.
pub fn with() -> With {
    if std::env::var(WITH).expect("told") == "Git" { With::Git } else { With::Libgit2 }
}

#[test]
fn a_child_fetches_with_what_it_is_told() {
    let Ok(url) = std::env::var(URL) else { return };
    let told = |name: &str| std::env::var(name).ok();
    let ssh = told(KEY).map(|key| access(key, told(HOSTS).unwrap_or_default()));
    let directory = tempfile::tempdir().expect("a directory");
    let remote = RemoteSpec { ssh, git: with().spec(), ..remote(&url, None) };
    let transport = transport_with(&directory.path().join("run"), patient(), "git", &told(SSH).unwrap_or_else(|| "ssh".to_owned()));
    let fetched = Mirrors::new(directory.path().join("mirrors"), transport).expect("a directory").get(&remote).fetch();
    println!("FETCHED {fetched:?}");
}
