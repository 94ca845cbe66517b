//! The environment git runs in: nothing of the machine but where programs and trusted certificates are.
//! No hook, filter, helper or configuration of anybody is obeyed; what is set here outranks every file.

use super::ssh::quoted;
use crate::inventory::GitSpec;
use crate::types::RemoteUrl;
use std::path::Path;
use std::process::Command;

/// The name the remote has for git. Its address stands in the environment, so that it is no argument.
pub(super) const REMOTE: &str = "upstream";

/// What git is told for each conversation, whatever any file says (`git-config(1)`).
const SETTINGS: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.alternateRefsCommand", "true"),
    ("core.logAllRefUpdates", "false"),
    // The empty one forgets all helpers named before.
    ("credential.helper", ""),
    ("credential.useHttpPath", "false"),
    ("http.followRedirects", "false"),
    ("http.sslVerify", "true"),
    ("http.proxy", ""),
    ("http.extraHeader", ""),
    ("http.emptyAuth", "false"),
    ("protocol.version", "2"),
    ("transfer.bundleURI", "false"),
    ("transfer.credentialsInUrl", "die"),
    // Everything fetched stays one pack, however little it is: mirrors hold no loose objects.
    ("fetch.unpackLimit", "1"),
    ("fetch.writeCommitGraph", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("submodule.recurse", "false"),
    ("push.recurseSubmodules", "no"),
    ("push.gpgSign", "false"),
    ("push.followTags", "false"),
    ("push.useForceIfIncludes", "false"),
    ("pack.threads", "1"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("advice.pushUpdateRejected", "false"),
];

/// What the other side is told when it is a directory of this machine, and git runs there too: its hooks and its own
/// configuration's commands are as little run as they are by libgit2.
const LOCAL_SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.alternateRefsCommand=true",
    "receive.autogc=false",
    "receive.denyCurrentBranch=refuse",
    "gc.auto=0",
    "maintenance.auto=false",
];

/// Clears the environment and sets git's. `mirror` is the repository git works on: it looks for no other.
pub(super) fn set(command: &mut Command, git: &Path, home: &Path, mirror: &Path, url: &RemoteUrl) {
    command.env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    // Which authorities are trusted is for whoever runs the machine to say, and libgit2 hears it the same way.
    for (ours, gits) in [("SSL_CERT_FILE", "GIT_SSL_CAINFO"), ("SSL_CERT_DIR", "GIT_SSL_CAPATH")] {
        if let Some(place) = std::env::var_os(ours) {
            command.env(gits, place);
        }
    }
    command
        .env("LC_ALL", "C")
        .env("HOME", home)
        .env("TMPDIR", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_ALLOW_PROTOCOL", url.protocol())
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("SSH_ASKPASS_REQUIRE", "never")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_DIR", mirror);
    let mut settings: Vec<(String, String)> = SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut remote = |name: &str, value: String| settings.push((format!("remote.{REMOTE}.{name}"), value));
    remote("url", url.with_user());
    if url.is_local() {
        let there = |program: &str| {
            let told: String = LOCAL_SETTINGS.iter().map(|setting| format!(" -c {}", quoted(setting))).collect();
            format!("{}{told} {program}", quoted(&git.to_string_lossy()))
        };
        remote("uploadpack", there("upload-pack"));
        remote("receivepack", there("receive-pack"));
    }
    command.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (at, (name, value)) in settings.into_iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{at}"), name).env(format!("GIT_CONFIG_VALUE_{at}"), value);
    }
}

/// Tells git that a partial mirror lacks what it was not asked for. Fetches and upkeep are told, pushes are not: packing for a push
/// must not think that what is missing can be had.
pub(super) fn promised(spec: &GitSpec) -> Vec<String> {
    if !spec.partial_clone {
        return Vec::new();
    }
    let settings = [format!("remote.{REMOTE}.promisor=true"), format!("remote.{REMOTE}.partialclonefilter=blob:none")];
    settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]).collect()
}
