//! The server itself: it listens on a TCP address or a unix socket until it is told to stop.
//! It handles no signals; who starts it stops it.

use super::state::AppState;
use crate::types::ErrorClass;
use actix_web::HttpServer;
use actix_web::dev::ServerHandle;
use actix_web::http::KeepAlive;
use actix_web::rt::net::TcpSocket;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// The framework's clock for this ticks twice a second: with less, a client could be cut off at once.
const SHORTEST_HEAD_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp {
        /// A host name or an IP address, without brackets.
        host: String,
        /// The port; 0 lets the system choose.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How the server serves.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Threads that serve, at least 1.
    pub workers: usize,
    /// How long an idle connection is kept; zero closes it after each answer.
    pub keep_alive: Duration,
    /// The longest a client may take to send a request's headers; at least a second.
    pub head_timeout: Duration,
    /// The longest a graceful stop waits for what is in flight, in whole seconds.
    pub graceful_timeout: Duration,
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}: {cause}")]
pub struct ServeError {
    /// Where.
    pub listen: Listen,
    /// Why.
    pub cause: io::Error,
}

impl ServeError {
    /// The operator's to mend.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    handle: ServerHandle,
    task: JoinHandle<io::Result<()>>,
    socket: Option<PathBuf>,
}

impl Server {
    /// Where it listens, with the port the system chose; empty for a unix socket.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops taking connections and returns when what was in flight is answered, or the graceful time is over.
    /// Not gracefully, it returns at once and drops what is in flight.
    pub async fn stop(self, graceful: bool) {
        self.handle.stop(graceful).await;
        let _ = self.task.await;
        if let Some(socket) = self.socket {
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// Connections one worker holds: with a body of 1 MiB under way on each, what strangers can make it remember stays bounded.
const MAX_CONNECTIONS: usize = 4096;

/// Connections that may wait to be taken, as the framework has it.
const BACKLOG: u32 = 2048;

/// An address that is ours, with nobody serving yet: whoever connects waits.
#[derive(Debug)]
pub struct Bound {
    listen: Listen,
    tcp: Vec<TcpListener>,
    unix: Option<UnixListener>,
}

impl Bound {
    /// Takes an address. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be listened on: taken, not ours, or not allowed.
    pub fn to(listen: &Listen) -> Result<Self, ServeError> {
        let refused = |cause| ServeError { listen: listen.clone(), cause };
        let mut bound = Self { listen: listen.clone(), tcp: Vec::new(), unix: None };
        match listen {
            Listen::Tcp { host, port } => {
                // As long as one of the addresses of a name can be had.
                let addresses = (host.as_str(), *port).to_socket_addrs().map_err(refused)?;
                let (taken, failed): (Vec<_>, Vec<_>) = addresses.map(listen_tcp).partition(Result::is_ok);
                bound.tcp = taken.into_iter().filter_map(Result::ok).collect();
                if bound.tcp.is_empty() {
                    let cause = failed.into_iter().find_map(Result::err);
                    return Err(refused(cause.unwrap_or_else(|| io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address"))));
                }
            }
            Listen::Unix(path) => bound.unix = Some(listen_unix(path).map_err(refused)?),
        }
        Ok(bound)
    }

    /// Where people on this machine reach it: what was asked for, with the port the system chose.
    pub fn listen(&self) -> Listen {
        match (&self.listen, self.tcp.first().and_then(|listener| listener.local_addr().ok())) {
            (Listen::Tcp { host, .. }, Some(address)) => Listen::Tcp { host: host.clone(), port: address.port() },
            (other, _) => other.clone(),
        }
    }
}

/// Starts to serve. Needs a tokio runtime; workers have threads of their own.
///
/// # Errors
/// When what was bound cannot be served.
pub fn serve(bound: Bound, options: &ServeOptions, state: Arc<AppState>) -> Result<Server, ServeError> {
    let Bound { listen, tcp, unix } = bound;
    let refused = |cause| ServeError { listen: listen.clone(), cause };
    let mut server = HttpServer::new(move || super::app(Arc::clone(&state)))
        .workers(options.workers.max(1))
        .keep_alive(if options.keep_alive.is_zero() { KeepAlive::Disabled } else { KeepAlive::Timeout(options.keep_alive) })
        .client_request_timeout(options.head_timeout.max(SHORTEST_HEAD_TIMEOUT))
        .shutdown_timeout(options.graceful_timeout.as_secs())
        .max_connections(MAX_CONNECTIONS)
        .disable_signals();
    for listener in tcp {
        server = server.listen(listener).map_err(refused)?;
    }
    if let Some(listener) = unix {
        server = server.listen_uds(listener).map_err(refused)?;
    }
    let socket = match &listen {
        Listen::Unix(path) => Some(path.clone()),
        Listen::Tcp { .. } => None,
    };
    let addresses = if socket.is_some() { Vec::new() } else { server.addrs() };
    let running = server.run();
    Ok(Server { addresses, handle: running.handle(), task: tokio::spawn(running), socket })
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    // The port of a process that has just ended can be taken again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// A socket left behind by a process that is gone is replaced; one somebody listens on, or another kind of file, is not.
fn listen_unix(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "another file stands there")),
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(io::ErrorKind::AddrInUse.into()),
        Ok(_) => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    UnixListener::bind(path)
}
