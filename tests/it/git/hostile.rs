//! Upstreams, mirrors and machines that would like something to be run or obeyed.

use super::child;
use super::world::{Setting, TOKEN, Way, With, branch};
use crate::support::sshd::SshServer;
use crate::support::upstream::{UpstreamRepo, command};
use kubeops::git::{Expected, RemoteSpec};
use rstest::rstest;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A program that leaves a trace of having been run.
fn trap(directory: &Path) -> (PathBuf, PathBuf) {
    let (program, trace) = (directory.join("trap"), directory.join("trace"));
    std::fs::write(&program, format!("#!/bin/sh\necho \"$0 $*\" >>'{}'\n", trace.display())).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("executable");
    (program, trace)
}

fn traces(trace: &Path) -> String {
    std::fs::read_to_string(trace).unwrap_or_default()
}

const HOOKS: &[&str] = &[
    "pre-push",
    "post-checkout",
    "reference-transaction",
    "post-commit",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "push-to-checkout",
    "pre-auto-gc",
];

#[rstest]
fn no_hook_of_upstream_or_mirror_runs_on_this_side(#[values(With::Libgit2, With::Git)] with: With, #[values(Way::File, Way::Http)] way: Way) {
    let setting = Setting::new(with, way);
    let (trap, trace) = trap(&setting.upstream.scratch(""));
    setting.mirror().fetch().expect("fetched");
    let hooks = setting.mirror_path().join("hooks");
    std::fs::create_dir_all(&hooks).expect("hooks");
    for hook in HOOKS {
        if way == Way::File {
            setting.upstream.install_hook(hook, &format!("exec {}", trap.display()));
        }
        std::fs::copy(&trap, hooks.join(hook)).expect("copied");
    }
    let (base, commit) = setting.commit("1");
    let mirror = setting.mirror();
    mirror.push(&branch("kubeops/x"), &commit, Expected::Absent).expect("pushed");
    mirror.push(&branch("kubeops/x"), &setting.commit_on(&base, "2"), Expected::At(commit)).expect("pushed");
    setting.transport.fetch_branch(&setting.place(), &branch("kubeops/x")).expect("fetched");
    assert_eq!(traces(&trace), "", "a hook ran");
    mirror.delete_branch(&branch("kubeops/x"), Expected::Any).expect("deleted");
    assert_eq!(traces(&trace), "", "a hook ran");
}

/// A repository whose owner would like whoever fetches from it, or pushes to it, to run something.
fn hostile_upstream() -> (UpstreamRepo, PathBuf) {
    let upstream = UpstreamRepo::new();
    let (trap, trace) = trap(&upstream.scratch(""));
    let trap = trap.to_str().expect("UTF-8");
    // Where an alternate is named, git asks a command of the configuration for its branches.
    let other = upstream.scratch("other.git");
    let other_text = other.to_str().expect("UTF-8");
    upstream.git(&["clone", "--quiet", "--bare", ".", other_text]);
    std::fs::write(upstream.path().join("objects/info/alternates"), format!("{other_text}/objects\n")).expect("written");
    let hooks = upstream.scratch("hooks");
    std::fs::create_dir(&hooks).expect("made");
    for hook in HOOKS {
        std::fs::copy(trap, hooks.join(hook)).expect("copied");
    }
    for (name, value) in [
        ("core.hooksPath", hooks.to_str().expect("UTF-8")),
        ("core.alternateRefsCommand", trap),
        ("core.fsmonitor", trap),
        ("core.sshCommand", trap),
        ("core.askPass", trap),
        ("core.pager", trap),
        ("core.gitProxy", trap),
        ("core.attributesFile", trap),
        ("uploadpack.packObjectsHook", trap),
        ("receive.procReceiveRefs", "refs/heads/never"),
        ("receive.denyCurrentBranch", "updateInstead"),
        ("receive.autogc", "true"),
        ("gc.auto", "1"),
        ("gc.autoDetach", "false"),
        ("gc.recentObjectsHook", trap),
        ("credential.helper", trap),
        ("filter.evil.clean", trap),
        ("filter.evil.smudge", trap),
        ("diff.evil.textconv", trap),
        ("diff.external", trap),
        ("gpg.program", trap),
    ] {
        upstream.git(&["config", name, value]);
    }
    std::fs::write(upstream.path().join("info/attributes"), "* filter=evil diff=evil\n").expect("written");
    let attributes = "* filter=evil diff=evil\n";
    upstream.fast_import(&format!(
        "commit refs/heads/main\ncommitter Evil <e@example.com> 1700000200 +0000\ndata 1\nx\nfrom refs/heads/main^0\nM 100644 inline .gitattributes\ndata {}\n{attributes}\n",
        attributes.len()
    ));
    let _ = std::fs::remove_file(&trace);
    (upstream, trace)
}

#[rstest]
fn a_hostile_upstream_on_this_machine_runs_nothing(#[values(With::Libgit2, With::Git)] with: With) {
    let (upstream, trace) = hostile_upstream();
    let setting = Setting::around(upstream, with.spec(), Way::File);
    let (base, commit) = setting.commit("1");
    let mirror = setting.mirror();
    mirror.push(&branch("kubeops/x"), &commit, Expected::Absent).expect("pushed");
    mirror.push(&branch("kubeops/x"), &setting.commit_on(&base, "2"), Expected::At(commit)).expect("pushed");
    mirror.remote_tip(&branch("kubeops/x")).expect("looked at");
    setting.transport.fetch_branch(&setting.place(), &branch("kubeops/x")).expect("fetched");
    mirror.delete_branch(&branch("kubeops/x"), Expected::Any).expect("deleted");
    assert_eq!(traces(&trace), "", "something ran");
    // The traps do work: who uses git as it comes, falls into them.
    let url = format!("file://{}", setting.upstream.path().display());
    let pushed = command(&setting.upstream.scratch("other.git"), &["push", "--quiet", &url, "main:refs/heads/by-hand"]).output().expect("git");
    let fell = traces(&trace);
    assert!(fell.contains("hooks/") && fell.contains("trap"), "{fell} {pushed:?}");
}

/// What a machine's user and system might have set up, each of it leading astray.
fn astray(home: &Path, trap: &Path) -> Vec<(&'static str, String)> {
    let trap = trap.display();
    let config = format!(
        "[url \"/nowhere/\"]\n\tinsteadOf = file:///\n\tinsteadOf = http://\n\tinsteadOf = ssh://\n[core]\n\thooksPath = {0}\n\tsshCommand = {1}\n\taskPass = {1}\n\tfsmonitor = {1}\n\
         [http]\n\tproxy = http://127.0.0.1:1\n\textraHeader = X-Evil: 1\n[credential]\n\thelper = {1}\n[protocol]\n\tallow = never\n[push]\n\tgpgSign = true\n[gpg]\n\tprogram = {1}\n\
         [alias]\n\tfetch = !{1}\n\tpush = !{1}\n[fetch]\n\tfsckObjects = true\n[transfer]\n\thideRefs = refs\n[gc]\n\tauto = 1\n",
        home.join("hooks").display(),
        trap
    );
    std::fs::create_dir_all(home.join(".config/git")).expect("made");
    std::fs::create_dir_all(home.join("hooks")).expect("made");
    for hook in HOOKS {
        std::fs::copy(trap.to_string(), home.join("hooks").join(hook)).expect("copied");
    }
    for file in [".gitconfig", ".config/git/config", "system"] {
        std::fs::write(home.join(file), &config).expect("written");
    }
    std::fs::write(home.join(".netrc"), "machine 127.0.0.1 login evil password evil\n").expect("written");
    let text = |name: &str| home.join(name).to_str().expect("UTF-8").to_owned();
    vec![
        ("XDG_CONFIG_HOME", text(".config")),
        ("GIT_CONFIG_SYSTEM", text("system")),
        ("GIT_CONFIG_GLOBAL", text("system")),
        ("GIT_CONFIG_PARAMETERS", format!("'core.sshCommand={trap}'")),
        ("GIT_CONFIG_COUNT", "1".to_owned()),
        ("GIT_CONFIG_KEY_0", "core.sshCommand".to_owned()),
        ("GIT_CONFIG_VALUE_0", trap.to_string()),
        ("GIT_SSH_COMMAND", trap.to_string()),
        ("GIT_SSH", trap.to_string()),
        ("GIT_ASKPASS", trap.to_string()),
        ("SSH_ASKPASS", trap.to_string()),
        ("GIT_PROXY_COMMAND", trap.to_string()),
        ("GIT_EXTERNAL_DIFF", trap.to_string()),
        ("GIT_DIR", "/nowhere".to_owned()),
        ("GIT_OBJECT_DIRECTORY", "/nowhere".to_owned()),
        ("GIT_ALTERNATE_OBJECT_DIRECTORIES", "/nowhere".to_owned()),
        ("GIT_TEMPLATE_DIR", text("hooks")),
        ("GIT_TRACE", text("log")),
        ("GIT_TRACE_CURL", text("log")),
        ("http_proxy", "http://127.0.0.1:1".to_owned()),
        ("ALL_PROXY", "http://127.0.0.1:1".to_owned()),
    ]
}

#[rstest]
fn the_machines_configuration_is_not_obeyed(#[values(With::Libgit2, With::Git)] with: With, #[values(Way::File, Way::Http, Way::Ssh)] way: Way) {
    // A user and a system that would send every fetch elsewhere and run something on the way. They are a child's of this test,
    // which does the real work.
    let upstream = UpstreamRepo::new();
    let home = upstream.scratch("home");
    std::fs::create_dir(&home).expect("made");
    let (trap, trace) = trap(&home);
    let http = upstream.serve(Some(TOKEN));
    let sshd = SshServer::start(&upstream.scratch("sshd"));
    let url = match way {
        Way::File => format!("file://{}", upstream.path().display()),
        Way::Http => http.url.clone(),
        Way::Ssh => sshd.url(upstream.path()),
    };
    let child = child::running("git::hostile::a_child_works_on_an_astray_machine", &home)
        .envs(astray(&home, &trap))
        .env("KUBEOPS_TEST_ASTRAY", url)
        .env("KUBEOPS_TEST_WITH", format!("{with:?}"))
        .env("KUBEOPS_TEST_KEY", sshd.key("user"))
        .env("KUBEOPS_TEST_HOSTS", sshd.known_host("host"))
        .output()
        .expect("the child runs");
    let said = format!("{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success() && said.contains("WORKED"), "{said}");
    assert_eq!(traces(&trace), "", "something ran");
    assert!(!home.join("log").exists(), "git wrote a trace");
    assert!(upstream.tip("kubeops/x").is_some());
}

#[test]
fn a_child_works_on_an_astray_machine() {
    let Ok(url) = std::env::var("KUBEOPS_TEST_ASTRAY") else { return };
    let told = |name: &str| std::env::var(name).expect("told");
    let directory = tempfile::tempdir().expect("a directory");
    let remote = RemoteSpec {
        ssh: url.starts_with("ssh:").then(|| super::world::access(told("KUBEOPS_TEST_KEY"), told("KUBEOPS_TEST_HOSTS"))),
        git: child::with().spec(),
        ..super::world::remote(&url, Some(TOKEN))
    };
    let mirrors = super::world::mirrors(directory.path(), super::world::patient());
    let mirror = mirrors.get(&remote);
    let base = mirror.fetch().expect("fetched from where it was told");
    let change = crate::support::upstream::validated(&mirror, &base, &[("a.yaml", Some(&crate::support::upstream::config_map("a", "1")))]);
    let commit = mirror.commit(&base, &change, &crate::support::upstream::meta("Astray")).expect("a commit");
    mirror.push(&branch("kubeops/x"), &commit, Expected::Absent).expect("pushed to where it was told");
    println!("WORKED");
}
