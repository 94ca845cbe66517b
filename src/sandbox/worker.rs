//! The child's side: give up what is not needed, read the templates, answer requests one at a time until nobody asks.
//! It runs before any thread, runtime or log exists, and must never touch a file or the network.

use super::wire::{Hello, Request, answer_frame, read_frame, ready_frame};
use crate::render::Engine;
use rlimit::{Resource, setrlimit};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

/// What the hidden subcommand `render-worker` does. It ends with success when its parent goes away or has nothing to do for it.
pub fn worker_main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("render-worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    // Standard input is one end of a socket pair; used as a socket it has a read time-out, and answers go back the same way.
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some(first) = read_frame(&mut socket)? else { return Ok(()) };
    let hello: Hello = serde_json::from_slice(&first)?;
    drop(first);
    confine(&hello)?;
    let engine = Engine::new(hello.sources.iter().map(|(name, text)| (name.as_str(), text.as_str()))).map_err(io::Error::other)?;
    socket.set_read_timeout(Some(Duration::from_millis(hello.idle_millis.max(1))))?;
    drop(hello);
    // Ready: from here on the parent counts the template's time.
    socket.write_all(&ready_frame())?;
    loop {
        let frame = match read_frame(&mut socket) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return Ok(()),
            Err(error) => return Err(error),
        };
        let request: Request<'_> = serde_json::from_slice(&frame)?;
        drop(frame);
        let answer = engine.render(&request.template, &request.file, &request.context);
        socket.write_all(&answer_frame(&answer)?)?;
    }
}

/// Limits this process for good: hard limits cannot be raised again.
fn confine(hello: &Hello) -> io::Result<()> {
    for (resource, limit) in [
        // Data, not address space: the binary's own text must not count.
        (Resource::DATA, hello.memory),
        (Resource::CPU, hello.cpu_seconds),
        (Resource::CORE, 0),
        (Resource::FSIZE, 0),
        (Resource::NOFILE, 8),
    ] {
        setrlimit(resource, limit, limit)?;
    }
    Ok(())
}
