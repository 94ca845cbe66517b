//! A wire between the program and one of its neighbours that can be bad: nobody answers, connections break off in the middle of what is
//! said, or everything takes long. What goes through it is not looked at.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How the wire is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Good,
    /// Connections are ended at once, those there are and those that come.
    Dead,
    /// Every piece arrives so many milliseconds later.
    Slow(u64),
    /// A connection ends when so many bytes of the answer have arrived.
    Cut(usize),
    /// Nothing arrives any more, and nobody ends anything.
    Silent,
    /// The same, but nothing is lost: what is said meanwhile arrives when the wire is another one.
    Held,
}

/// How often it is looked whether a wire is held still.
const HELD: Duration = Duration::from_millis(5);

struct State {
    wire: Wire,
    target: SocketAddr,
    /// Both ends of each connection, with its number.
    open: Vec<(u64, TcpStream)>,
    /// How many connections there were, and how many of the first of them nothing is carried on any more.
    made: u64,
    lost: u64,
}

/// A wire to an address; it is gone when this is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    accept: Option<JoinHandle<()>>,
}

impl Proxy {
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State { wire: Wire::Good, target, open: Vec::new(), made: 0, lost: 0 }));
        let stop = Arc::new(AtomicBool::new(false));
        let (theirs, stopped) = (Arc::clone(&state), Arc::clone(&stop));
        let accept = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                if let Ok(stream) = stream {
                    connect(stream, &theirs);
                }
            }
        });
        Self { address, state, stop, accept: Some(accept) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the wire is like this. Whoever was kept waiting by a silent one is hung up on.
    pub fn is(&self, wire: Wire) {
        let mut state = lock(&self.state);
        if wire == Wire::Dead || state.wire == Wire::Silent {
            state.open.drain(..).for_each(|(_, stream)| drop(stream.shutdown(Shutdown::Both)));
        }
        state.wire = wire;
    }

    /// From now on connections that are made lead somewhere else, as an address does that moves.
    pub fn leads_to(&self, target: SocketAddr) {
        lock(&self.state).target = target;
    }

    /// Nothing is carried any more on the connections there are, and nobody learns of it, not even when one side ends them; new ones are led on.
    pub fn forgets(&self) {
        let mut state = lock(&self.state);
        state.lost = state.made;
    }

    /// What was forgotten is ended on both sides, as hosts do in the end that hear nothing more of one another.
    pub fn gives_up_forgotten(&self) {
        let mut state = lock(&self.state);
        let lost = state.lost;
        for (_, stream) in state.open.extract_if(.., |(number, _)| *number <= lost) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.is(Wire::Dead);
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        if let Some(accept) = self.accept.take() {
            let _ = accept.join();
        }
    }
}

/// Leads a connection on, each direction in a thread of its own.
fn connect(near: TcpStream, state: &Arc<Mutex<State>>) {
    let mut guard = lock(state);
    if guard.wire == Wire::Dead {
        return drop(near.shutdown(Shutdown::Both));
    }
    let Ok(far) = TcpStream::connect(guard.target) else { return drop(near.shutdown(Shutdown::Both)) };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let copies = (near.try_clone(), near.try_clone(), far.try_clone(), far.try_clone());
    let (Ok(near_in), Ok(near_kept), Ok(far_in), Ok(far_kept)) = copies else { return };
    // Those that have ended need not be remembered.
    guard.open.retain(|(_, stream)| stream.peer_addr().is_ok());
    guard.made += 1;
    let number = guard.made;
    guard.open.extend([(number, near_kept), (number, far_kept)]);
    drop(guard);
    let (asking, answering) = (Arc::clone(state), Arc::clone(state));
    std::thread::spawn(move || carry(near_in, far, &asking, number, false));
    std::thread::spawn(move || carry(far_in, near, &answering, number, true));
}

/// Carries what is said in one direction until one side ends it, or the wire does.
fn carry(mut from: TcpStream, mut to: TcpStream, state: &Mutex<State>, number: u64, is_answer: bool) {
    let mut piece = vec![0; 16 * 1024];
    let mut carried = 0_usize;
    loop {
        let read = from.read(&mut piece);
        let (wire, is_lost) = now(state, number);
        match read {
            Ok(1..) if is_lost => continue,
            _ if is_lost => return,
            _ => {}
        }
        let Ok(mut many) = read else { break };
        if many == 0 {
            let _ = to.shutdown(Shutdown::Write);
            return;
        }
        let mut ends = wire == Wire::Dead;
        match wire {
            Wire::Slow(millis) => std::thread::sleep(Duration::from_millis(millis)),
            Wire::Cut(after) if is_answer && carried + many >= after => {
                many = after.saturating_sub(carried).min(many);
                ends = true;
            }
            // Whoever waits is hung up on when the wire is another one.
            Wire::Silent => continue,
            Wire::Good | Wire::Dead | Wire::Cut(_) | Wire::Held => {}
        }
        carried += many;
        if to.write_all(&piece[..many]).is_err() || ends {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// How the wire is for this connection, and whether that is forgotten; asked once it is not held.
fn now(state: &Mutex<State>, number: u64) -> (Wire, bool) {
    loop {
        let (wire, is_lost) = {
            let state = lock(state);
            (state.wire, number <= state.lost)
        };
        if wire != Wire::Held || is_lost {
            return (wire, is_lost);
        }
        std::thread::sleep(HELD);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
