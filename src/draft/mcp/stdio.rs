//! A program that is spoken with over its standard input and output (MCP 2025-11-25, transports: stdio). It is given the environment its
//! author writes and nothing of ours, and it and whatever it started end with the session. What it writes to standard error is not read.

use super::ToolError;
use super::http::SecretSource;
use crate::inventory::{McpServer, McpStdioSpec, McpValueSpec};
use rmcp::RoleClient;
use rmcp::transport::async_rw::AsyncRwTransport;
use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::ExposeSecret;
use std::process::Stdio;
use tokio::io::{AsyncReadExt, Take};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// What is read of a program in one session, in bytes.
const MOST_READ: u64 = 16 * 1024 * 1024;

/// How a program is spoken with.
pub(super) type StdioTransport = AsyncRwTransport<RoleClient, Take<ChildStdout>, ChildStdin>;

/// A program and everything it started. Ended when dropped.
pub(super) struct Group {
    child: Child,
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            // Nobody left to signal is what was wanted.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Starts the program. A line of it has at most `most` bytes.
pub(super) fn start(server: &McpServer, stdio: &McpStdioSpec, secrets: &SecretSource, most: usize) -> Result<(StdioTransport, Group), ToolError> {
    let setup = |reason: String| ToolError::Setup { server: server.name.clone(), reason };
    let mut command = Command::new(&stdio.command);
    command.args(&stdio.args).env_clear().current_dir("/").process_group(0).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    for (name, value) in &stdio.env {
        match value {
            McpValueSpec::Value(value) => command.env(name, value),
            McpValueSpec::Secret(secret) => command.env(name, secrets(secret).map_err(setup)?.expose_secret()),
        };
    }
    let mut child = command.spawn().map_err(|error| setup(format!("{} cannot be started: {error}", stdio.command)))?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let group = Group { child };
    let (Some(input), Some(output)) = (input, output) else { return Err(setup("it has no standard input and output".to_owned())) };
    Ok((AsyncRwTransport::new(output.take(MOST_READ), input).with_max_line_length(most), group))
}
