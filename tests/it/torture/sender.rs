//! The senders: fifty at once, each with one delivery that it sends until it is acknowledged, as Jira and Alertmanager do, or once, as
//! GitHub does. While they are pressed, who has none says something new that asks for nothing, and a few more send again what was
//! acknowledged. What they were answered stands in a ledger of their own.

use super::ledger::{Load, Sent, Try};
use super::stories::talk;
use crate::support::server::{Connection, call_slowly};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// So many new requests are in flight together,
pub const AT_ONCE: usize = 50;
/// and so many of those that send again what was acknowledged: one in five of all.
const AGAIN: usize = 12;
/// So many new ones are made each time they are pressed, and when they dawdle, and no more: all of it stays in the store, in the ledger and before the judge.
const MADE: usize = 4 * AT_ONCE;
/// How long a sender waits for an answer before it sends again.
const PATIENCE: Duration = Duration::from_secs(10);
/// And how long it rests in between. Real ones rest for minutes.
const REST: Duration = Duration::from_millis(40);
/// So many of those that were acknowledged last are sent again.
const RECENT: usize = 100;
pub const GITHUB_SECRET: &str = "the secret of GitHub's webhook";

/// Where each replica is reached, if it is.
pub type Doors = Arc<RwLock<Vec<Option<Connection>>>>;

/// What is on its way to one replica.
#[derive(Clone, Copy, Default)]
struct OnTheWay {
    /// Tries that have no answer yet.
    open: Load,
    /// Tries that ended without an answer after somebody had taken the connection.
    broken: Load,
}

/// What is on its way to each replica. Clones are the same.
#[derive(Clone)]
pub struct Traffic(Arc<Mutex<Vec<OnTheWay>>>);

impl Traffic {
    pub fn to(replicas: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![OnTheWay::default(); replicas])))
    }

    /// The tries that have no answer yet.
    pub fn in_flight(&self) -> Load {
        lock(&self.0).iter().fold(Load::default(), |all, to| all + to.open)
    }

    /// The same of those to one replica.
    pub fn open(&self, replica: usize) -> Load {
        lock(&self.0)[replica].open
    }

    /// What was broken off so far by one replica.
    pub fn broken(&self, replica: usize) -> Load {
        lock(&self.0)[replica].broken
    }

    /// Has something sent to a replica, and counts it meanwhile.
    fn carry<T>(&self, replica: usize, one: Load, send: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
        let count = |act: &dyn Fn(&mut OnTheWay)| act(&mut lock(&self.0)[replica]);
        count(&|to| to.open = to.open + one);
        let answered = send();
        // Nobody had it who was not there any more.
        let is_broken = answered.as_ref().is_err_and(|error| error.kind() != std::io::ErrorKind::ConnectionRefused);
        count(&|to| {
            to.open = to.open - one;
            to.broken = if is_broken { to.broken + one } else { to.broken };
        });
        answered
    }
}

/// Where what a sender is to send comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// Somebody wants it sent.
    Queue,
    /// It was made because they are pressed.
    Made,
    /// It was acknowledged before.
    Again,
}

/// What a sender is given to do.
struct Errand {
    place: usize,
    from: From,
}

/// What all senders share.
struct Office {
    begun: Instant,
    ledger: Mutex<Vec<Sent>>,
    queue: Mutex<VecDeque<usize>>,
    more: Condvar,
    doors: Doors,
    traffic: Traffic,
    closed: AtomicBool,
    /// Whether nobody rests who has nothing to send.
    pressed: AtomicBool,
    /// How many new ones may still be made, and how many ever were.
    allowed: AtomicUsize,
    talked: AtomicU32,
    /// How long they take over their last byte then, in milliseconds.
    dawdles: AtomicU64,
    /// What was acknowledged last.
    recent: Mutex<VecDeque<usize>>,
    /// How often something was sent again and answered as before.
    repeated: AtomicUsize,
    /// Deliveries that somebody has taken from the queue and not put away yet.
    busy: AtomicUsize,
    /// Answers that no sender should get.
    strange: Mutex<BTreeSet<String>>,
}

pub struct Senders {
    office: Arc<Office>,
    threads: Vec<JoinHandle<()>>,
}

impl Senders {
    pub fn start(begun: Instant, doors: Doors, traffic: Traffic) -> Self {
        let office = Arc::new(Office {
            begun,
            ledger: Mutex::default(),
            queue: Mutex::default(),
            more: Condvar::new(),
            doors,
            traffic,
            closed: AtomicBool::new(false),
            pressed: AtomicBool::new(false),
            allowed: AtomicUsize::new(0),
            talked: AtomicU32::new(0),
            dawdles: AtomicU64::new(0),
            recent: Mutex::default(),
            repeated: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            strange: Mutex::default(),
        });
        let threads = (0..AT_ONCE + AGAIN).map(|number| {
            let office = Arc::clone(&office);
            std::thread::spawn(move || office.work(number >= AT_ONCE))
        });
        Self { threads: threads.collect(), office }
    }

    /// Writes a delivery into the ledger and has it sent; tells its place there.
    pub fn send(&self, sent: Sent) -> usize {
        let mut ledger = lock(&self.office.ledger);
        ledger.push(sent);
        let place = ledger.len() - 1;
        drop(ledger);
        self.send_again(place);
        place
    }

    /// Has a delivery sent once more.
    pub fn send_again(&self, place: usize) {
        lock(&self.office.queue).push_back(place);
        self.office.more.notify_all();
    }

    /// Whether everybody who has nothing to send says something new, as far as that is allowed, and a few send again what was acknowledged, as
    /// those do who did not hear the answer. Nothing is asked for by either.
    pub fn press(&self, on: bool) {
        self.office.dawdles.store(0, Ordering::SeqCst);
        self.office.allowed.store(if on { MADE } else { 0 }, Ordering::SeqCst);
        self.office.pressed.store(on, Ordering::SeqCst);
        self.office.more.notify_all();
    }

    /// They go on with it, and take so long over the last byte of what nobody wants of them: as many are in flight, and the program has time
    /// for something else.
    pub fn dawdle(&self, pause: Duration) {
        self.office.allowed.store(MADE, Ordering::SeqCst);
        self.office.dawdles.store(u64::try_from(pause.as_millis()).expect("a short time"), Ordering::SeqCst);
    }

    /// How often something was sent again by that, and answered as before.
    pub fn repeated(&self) -> usize {
        self.office.repeated.load(Ordering::SeqCst)
    }

    /// How many wait to be sent, or are being sent.
    pub fn busy(&self) -> usize {
        lock(&self.office.queue).len() + self.office.busy.load(Ordering::SeqCst)
    }

    /// Whether these were all acknowledged.
    pub fn are_acknowledged(&self, places: &[usize]) -> bool {
        let ledger = lock(&self.office.ledger);
        places.iter().all(|place| !ledger[*place].acknowledged().is_empty())
    }

    /// How many were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        lock(&self.office.ledger).iter().filter(|sent| !sent.acknowledged().is_empty()).count()
    }

    pub fn ledger(&self) -> Vec<Sent> {
        lock(&self.office.ledger).clone()
    }

    pub fn strange(&self) -> Vec<String> {
        lock(&self.office.strange).iter().cloned().collect()
    }
}

impl Drop for Senders {
    fn drop(&mut self) {
        self.office.closed.store(true, Ordering::SeqCst);
        self.office.more.notify_all();
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl Office {
    /// Of those that do nothing but to send again what was acknowledged, or of the others.
    fn work(&self, repeats: bool) {
        while let Some(errand) = self.next(repeats) {
            let insists = lock(&self.ledger)[errand.place].insists;
            let mut tries = 0;
            while !self.closed.load(Ordering::SeqCst) {
                let Some(answered) = self.try_once(&errand, tries) else {
                    // Nobody is there at all.
                    std::thread::sleep(REST);
                    continue;
                };
                tries += 1;
                if answered || !insists {
                    break;
                }
                std::thread::sleep(REST);
            }
            self.busy.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn next(&self, repeats: bool) -> Option<Errand> {
        let mut queue = lock(&self.queue);
        loop {
            if self.closed.load(Ordering::SeqCst) {
                return None;
            }
            let is_pressed = self.pressed.load(Ordering::SeqCst);
            let wanted = if repeats { None } else { queue.pop_front() };
            let wanted = wanted.map(|place| Errand { place, from: From::Queue });
            let made = || (!repeats && is_pressed).then(|| self.made()).flatten();
            if let Some(errand) = wanted.or_else(made).or_else(|| is_pressed.then(|| self.once_more()).flatten()) {
                // While the queue is held: whoever counts sees it here or there.
                self.busy.fetch_add(1, Ordering::SeqCst);
                return Some(errand);
            }
            queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Something new that asks for nothing, as long as more of it is allowed.
    fn made(&self) -> Option<Errand> {
        self.allowed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).ok()?;
        let mut ledger = lock(&self.ledger);
        ledger.push(talk(self.talked.fetch_add(1, Ordering::SeqCst) + 1));
        Some(Errand { place: ledger.len() - 1, from: From::Made })
    }

    /// The next of those that were acknowledged last, in turn.
    fn once_more(&self) -> Option<Errand> {
        let mut recent = lock(&self.recent);
        let place = recent.pop_front()?;
        recent.push_back(place);
        Some(Errand { place, from: From::Again })
    }

    /// Sends it to one of those that are there; tells whether it need not be sent again, or nothing where nobody was there.
    fn try_once(&self, errand: &Errand, tries: usize) -> Option<bool> {
        let Errand { place, from } = *errand;
        let (source, body, insists, one) = {
            let sent = &lock(&self.ledger)[place];
            let is_new = sent.acknowledged().is_empty();
            (sent.source, sent.body.clone(), sent.insists, Load { new: usize::from(is_new), again: usize::from(!is_new) })
        };
        let doors: Vec<(usize, Connection)> = {
            let doors = self.doors.read().unwrap_or_else(PoisonError::into_inner);
            doors.iter().enumerate().filter_map(|(replica, door)| Some((replica, door.clone()?))).collect()
        };
        let (replica, door) = doors.get((place + tries) % doors.len().max(1))?;
        let at = u64::try_from(self.begun.elapsed().as_millis()).expect("a short run");
        let pause = Duration::from_millis(if from == From::Queue { 0 } else { self.dawdles.load(Ordering::SeqCst) });
        let answered = self.traffic.carry(*replica, one, || delivered(door, source, place, body.as_bytes(), pause));
        let answer = answered.ok().map(|answered| {
            let said: serde_json::Value = serde_json::from_slice(&answered.body).unwrap_or_default();
            (answered.status, said["id"].as_str().unwrap_or_default().to_owned())
        });
        let is_done = matches!(answer, Some((200 | 202, _)));
        // Who stood still over somebody who took his time wakes when that is over.
        let may_be_late = |status: u16| status == 408 && !pause.is_zero();
        if let Some((status, _)) = &answer
            && !matches!(status, 200 | 202 | 503)
            && !may_be_late(*status)
        {
            lock(&self.strange).insert(format!("delivery {place} was answered {status}"));
        }
        let tries = &mut lock(&self.ledger)[place].tries;
        if from == From::Again && is_done && tries.iter().any(|one| one.answer.as_ref().map(|(_, id)| id) == answer.as_ref().map(|(_, id)| id)) {
            self.repeated.fetch_add(1, Ordering::SeqCst);
            return Some(is_done);
        }
        tries.push(Try { at, replica: *replica, answer });
        if is_done && insists {
            let mut recent = lock(&self.recent);
            if !recent.contains(&place) {
                recent.push_back(place);
                self.more.notify_all();
            }
            if recent.len() > RECENT {
                recent.pop_front();
            }
        }
        Some(is_done)
    }
}

/// Sends one body as its source signs it.
fn delivered(door: &Connection, source: &str, place: usize, body: &[u8], pause: Duration) -> std::io::Result<crate::support::server::Answered> {
    let mut headers = vec![("content-type", "application/json".to_owned())];
    match source {
        "service-desk" => headers.push(("x-hub-signature", door.signature(body))),
        "alertmanager" => headers.push(("authorization", door.bearer())),
        _ => {
            let mut mac = Hmac::<Sha256>::new_from_slice(GITHUB_SECRET.as_bytes()).expect("a key");
            mac.update(body);
            headers.push(("x-hub-signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes()))));
            let is_comment = body.windows(10).any(|window| window == b"\"comment\":");
            headers.push(("x-github-event", if is_comment { "issue_comment" } else { "pull_request" }.to_owned()));
            headers.push(("x-github-delivery", format!("delivery-{place}")));
        }
    }
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    call_slowly(pause, PATIENCE, door.address, "POST", &format!("/api/v1/webhooks/{source}"), &headers, body)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
