//! `kubeops health`: is the server that these settings describe ready? For a container's health check.
//! It asks over a plain socket, needs no token, and never waits longer than a few seconds.

use super::EXIT_REFUSED;
use super::output::{self, OutputFormat};
use crate::api::Listen;
use crate::config::Settings;
use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

/// The longest that connecting, asking and answering may take each: longer than a server looks at its store before it says that it is not ready.
const PATIENCE: Duration = Duration::from_secs(4);
/// The longest answer read, in bytes.
const MAX_ANSWER: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It asks the address that HOST, PORT and BIND name, so it runs where the server runs.\nExit code: 0 when the server is ready, 3 when it says it is not, 1 when there is no answer.\n\nExamples:\n  kubeops health\n  kubeops health --live          only whether the process answers\n  HEALTHCHECK CMD [\"kubeops\", \"health\"]"
)]
pub struct Arguments {
    /// Ask whether it lives, not whether it is ready for work.
    #[arg(long)]
    live: bool,
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let settings = Settings::from_env(&|name| std::env::var(name).ok())?;
    let path = if arguments.live { "/healthz" } else { "/ready" };
    let answer = ask(&settings.listen, path).map_err(|error| unanswered(&settings.listen, error))?;
    let (status, body) = read(&answer).context("what answers there is not HTTP")?;
    if !matches!(status, 200 | 503) {
        bail!("what answers at {} says {status} to {path}: it is no server of KubeOps", settings.listen);
    }
    output::value(format, &body, || human(&body))?;
    Ok(if status == 200 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REFUSED) })
}

/// Why there was no answer.
fn unanswered(listen: &Listen, error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        // The one where a socket waits for an answer, the other where it waits to be connected.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => anyhow!("the server at {listen} did not answer within {} s", PATIENCE.as_secs()),
        _ => anyhow::Error::new(error).context(format!("the server at {listen} does not answer")),
    }
}

/// Sends a request and reads all of the answer.
fn ask(listen: &Listen, path: &str) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kubeops-health\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    match listen {
        Listen::Tcp { host, port } => {
            // An address that stands for all is asked on the loopback.
            let host = match host.as_str() {
                "0.0.0.0" => "127.0.0.1",
                "::" => "::1",
                other => other,
            };
            let address = (host, *port).to_socket_addrs()?.next().ok_or_else(|| std::io::Error::other("the host has no address"))?;
            let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
        }
        Listen::Unix(path) => {
            let mut stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
        }
    }
    Ok(answer)
}

/// The status and the JSON of an answer.
fn read(answer: &str) -> Option<(u16, Value)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// The word, then whatever is not well.
fn human(body: &Value) -> String {
    let checks = body.pointer("/checks").and_then(Value::as_object).into_iter().flatten();
    let unwell = checks
        .filter(|(_, said)| said.as_str() != Some("ok"))
        .map(|(name, _)| format!("\n  {name}: {}", output::cell(body, &format!("/checks/{name}"))));
    std::iter::once(output::cell(body, "/status")).chain(unwell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_read_and_told_with_what_is_not_well() {
        let (status, body) =
            read("HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\r\n{\"status\":\"not_ready\",\"checks\":{\"store\":\"full\",\"process\":\"ok\"}}")
                .expect("an answer");
        assert_eq!(status, 503);
        assert_eq!(human(&body), "not_ready\n  store: full");
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\n"), Some((200, Value::Null)));
        assert_eq!(read("SSH-2.0-OpenSSH"), None);
        assert_eq!(human(&json!({ "status": "ok" })), "ok");
    }
}
