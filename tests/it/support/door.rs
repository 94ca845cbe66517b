//! An address at which nobody is let in for now: whoever connects waits in the kernel and asks again after a second, as where a network
//! loses what is said first. And a lease that is over when the test says so.

use kubeops::clock::Clock;
use kubeops::lease::Lease;
use kubeops::types::Timestamp;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// How often it is looked whether somebody is there.
const LOOK: Duration = Duration::from_millis(5);

/// A door that is shut.
pub struct Door {
    listener: TcpListener,
    /// Who has the one place there is to wait in.
    first: TcpStream,
}

/// A door through which everybody comes; what they ask for is not there. It is shut when this is dropped.
pub struct Opened(Arc<Mutex<Vec<u8>>>);

impl Door {
    /// It must be made within a tokio runtime.
    pub fn shut() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a loopback port");
        let listener = socket.listen(0).expect("a listener").into_std().expect("the listener");
        listener.set_nonblocking(false).expect("a listener that waits");
        let first = Self::waits(&listener);
        Self { listener, first }
    }

    fn waits(listener: &TcpListener) -> TcpStream {
        TcpStream::connect(listener.local_addr().expect("an address")).expect("the one place")
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().expect("an address"))
    }

    /// Lets in whoever comes next, and nobody after.
    pub fn lets_one_in(&mut self) -> TcpStream {
        self.listener.accept().expect("who had the one place");
        let (one, _) = self.listener.accept().expect("who came next");
        self.first = Self::waits(&self.listener);
        one
    }

    /// From now on everybody is let in.
    pub fn opens(self) -> Opened {
        let said = Arc::default();
        let theirs = Arc::downgrade(&said);
        self.listener.set_nonblocking(true).expect("a listener that does not wait");
        std::thread::spawn(move || {
            while theirs.strong_count() > 0 {
                match self.listener.accept() {
                    Ok((stream, _)) => {
                        let said = Weak::clone(&theirs);
                        std::thread::spawn(move || answer(stream, &said));
                    }
                    Err(_) => std::thread::sleep(LOOK),
                }
            }
        });
        Opened(said)
    }
}

impl Opened {
    /// All that was said.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

fn answer(mut stream: TcpStream, said: &Weak<Mutex<Vec<u8>>>) {
    let mut piece = vec![0; 16 * 1024];
    if stream.set_nonblocking(false).is_err() {
        return;
    }
    while let Ok(many @ 1..) = stream.read(&mut piece) {
        let Some(said) = said.upgrade() else { return };
        said.lock().unwrap_or_else(PoisonError::into_inner).extend(&piece[..many]);
        drop(said);
        if not_there(&mut stream).is_err() {
            return;
        }
    }
}

/// Answers that what was asked for is not there.
pub fn not_there(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
}

/// A clock that stands still until the time of every lease has run out.
#[derive(Debug, Clone, Default)]
pub struct Ends(Arc<AtomicBool>);

impl Ends {
    /// A lease that lasts until then.
    pub fn lease(&self) -> Lease {
        Lease::new(Arc::new(self.clone()), Duration::ZERO, Duration::from_secs(20))
    }

    /// Now it is over.
    pub fn now(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Clock for Ends {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(0)
    }

    fn random(&self) -> u128 {
        4
    }

    fn uptime(&self) -> Duration {
        if self.0.load(Ordering::SeqCst) { Duration::from_secs(60) } else { Duration::ZERO }
    }
}
