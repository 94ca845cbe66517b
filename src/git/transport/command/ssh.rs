//! How git reaches an SSH host: by OpenSSH, with the repository's own key and known hosts, or with the agent.
//! No configuration of the machine is read. The key is a file of this user alone, for the length of one conversation.

use super::runtime::Directory;
use crate::git::error::plain;
use crate::git::{GitError, RemoteSpec, SshAccess};
use secrecy::ExposeSecret;
use std::path::Path;
use std::process::Command;

/// Options that hold with a key of ours and with the agent: nothing asks, nothing is forwarded, nothing else is run.
const OPTIONS: &[&str] = &[
    "-F",
    "/dev/null",
    "-oBatchMode=yes",
    "-oStrictHostKeyChecking=yes",
    "-oUpdateHostKeys=no",
    "-oVerifyHostKeyDNS=no",
    "-oCheckHostIP=no",
    "-oPreferredAuthentications=publickey",
    "-oControlMaster=no",
    "-oControlPath=none",
    "-oPermitLocalCommand=no",
    "-oProxyCommand=none",
    "-oClearAllForwardings=yes",
    "-oForwardAgent=no",
    "-oForwardX11=no",
    "-oCanonicalizeHostname=no",
    "-oServerAliveInterval=15",
    "-oLogLevel=ERROR",
];

/// With a key of the repository: this one, these hosts, no agent. The paths are relative to the conversation's directory, in
/// which ssh runs, so that nothing in them can mean anything to a shell or to ssh.
const WITH_KEY: &[&str] =
    &["-i", "ssh-key", "-oIdentitiesOnly=yes", "-oIdentityAgent=none", "-oUserKnownHostsFile=ssh-known-hosts", "-oGlobalKnownHostsFile=/dev/null"];

/// Lets git run ssh, with what the repository names in files of the conversation's directory.
///
/// # Errors
/// When there is no key or no known hosts, or the disk refuses.
pub(super) fn announce(command: &mut Command, program: &Path, directory: &Directory, remote: &RemoteSpec) -> Result<(), GitError> {
    let mut line = vec![quoted(&program.to_string_lossy())];
    line.extend(OPTIONS.iter().map(|option| (*option).to_owned()));
    match &remote.ssh {
        Some(access) => {
            write(access, directory, remote)?;
            line.extend(WITH_KEY.iter().map(|option| (*option).to_owned()));
        }
        // As libgit2 does it: any key of the agent, and the known hosts of whoever runs this process.
        None => {
            line.push("-oIdentityFile=none".to_owned());
            if let Some(socket) = std::env::var_os("SSH_AUTH_SOCK") {
                command.env("SSH_AUTH_SOCK", socket);
            }
        }
    }
    command.env("GIT_SSH_COMMAND", line.join(" ")).env("GIT_SSH_VARIANT", "ssh");
    Ok(())
}

fn write(access: &SshAccess, directory: &Directory, remote: &RemoteSpec) -> Result<(), GitError> {
    let repository = || remote.name.clone();
    let no_key = |message: String| GitError::Unauthorised { repository: repository(), message: format!("there is no key: {}", plain(&message, 200)) };
    let no_hosts =
        |message: String| GitError::Untrusted { repository: repository(), message: format!("there are no known hosts: {}", plain(&message, 200)) };
    let storage = |error: std::io::Error| GitError::storage(&remote.name, &error);
    let key = access.key().map_err(no_key)?;
    let mut hosts = access.known_hosts().map_err(no_hosts)?;
    hosts.push('\n');
    directory.write("ssh-key", key.expose_secret().as_bytes()).map_err(storage)?;
    directory.write("ssh-known-hosts", hosts.as_bytes()).map_err(storage)
}

/// One word for a shell.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
