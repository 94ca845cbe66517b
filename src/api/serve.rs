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
                let addresses: Vec<SocketAddr> = (host.as_str(), *port).to_socket_addrs().map_err(refused)?.collect();
                bound.tcp = listen_all(&addresses).map_err(refused)?;
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

/// How many ports of the system's choice are tried until one is free at every address.
const PORTS_TRIED: usize = 32;

/// Listens on as many of a name's addresses as can be had, at least on one. Where the system chooses the port it is the same
/// at all of them: a name stands for one server.
fn listen_all(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    for _ in 0..PORTS_TRIED {
        let mut taken: Vec<TcpListener> = Vec::new();
        let mut failed = None;
        for address in addresses {
            let mut address = *address;
            if let (0, Some(first)) = (address.port(), taken.first()) {
                address.set_port(first.local_addr()?.port());
            }
            match listen_tcp(address) {
                Ok(listener) => taken.push(listener),
                Err(error) => failed = failed.or(Some((error, address))),
            }
        }
        match failed {
            // Another has this port at one of the addresses.
            Some((error, address)) if error.kind() == io::ErrorKind::AddrInUse && !taken.is_empty() && !addresses.contains(&address) => {}
            Some((error, _)) if taken.is_empty() => return Err(error),
            None if taken.is_empty() => return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address")),
            _ => return Ok(taken),
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no port is free at all addresses of this name; name a port or one address"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> SocketAddr {
        address.parse().expect("an address")
    }

    #[tokio::test]
    async fn a_port_of_the_systems_choice_is_the_same_at_every_address_of_a_name() {
        for _ in 0..20 {
            let taken = listen_all(&[at("127.0.0.1:0"), at("127.0.0.2:0")]).expect("two addresses");
            let ports: Vec<u16> = taken.iter().map(|listener| listener.local_addr().expect("an address").port()).collect();
            assert_eq!((ports.len(), ports[0]), (2, ports[1]));
        }
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_had_is_left_out_unless_it_is_the_only_one() {
        // TEST-NET-1 (RFC 5737) is no machine's address.
        assert_eq!(listen_all(&[at("192.0.2.1:0"), at("127.0.0.1:0")]).expect("one address").len(), 1);
        assert!(listen_all(&[at("192.0.2.1:0")]).is_err());
        assert!(listen_all(&[]).is_err());
        let taken = listen_all(&[at("127.0.0.1:0")]).expect("an address");
        let port = taken[0].local_addr().expect("an address").port();
        assert_eq!(listen_all(&[SocketAddr::from(([127, 0, 0, 1], port))]).expect_err("it is taken").kind(), io::ErrorKind::AddrInUse);
    }
}
