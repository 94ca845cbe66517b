//! The parent's side: a small pool of workers, started when needed, killed when they overrun, ended when idle.
//! A worker's death is one request's error. The pool never holds a lock while a template renders.

use super::WORKER_ARGUMENT;
use super::wire::{Hello, Request, decode_answer, json_frame, read_frame};
use crate::render::{Catalogue, RenderError, RenderJob, Renderer, file_of};
use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What one render may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time of one template; the worker is killed after it, and the template gets a second try in another one.
    pub time: Duration,
    /// Data a worker may allocate, in bytes.
    pub memory: u64,
    /// How many workers run at once.
    pub workers: usize,
    /// How long a worker may be idle before it is ended.
    pub idle: Duration,
}

impl Default for Limits {
    /// 2 s, 128 MiB, 2 workers, 30 s.
    fn default() -> Self {
        Self { time: Duration::from_secs(2), memory: 128 * 1024 * 1024, workers: 2, idle: Duration::from_secs(30) }
    }
}

/// The busy time after which a worker is replaced, so that its CPU limit, which counts its whole life, never hits a request within its own time.
const RETIRE_AFTER: Duration = Duration::from_secs(20);
/// How long a worker may take to start and to read the catalogue.
const START_TIME: Duration = Duration::from_secs(10);

/// Our own binary, to be started as a worker. On Linux it is the file this process runs, also when another stands at its path
/// by now: after an upgrade on disk a worker is still of the version that speaks with it.
///
/// # Errors
/// When the system does not tell.
pub fn own_executable() -> io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if cfg!(target_os = "linux") && running.exists() { Ok(running) } else { std::env::current_exe() }
}

/// Renders a catalogue's templates in worker processes. A changed catalogue gets a new one.
pub struct ProcessRenderer {
    shared: Arc<Shared>,
    catalogue: Arc<Catalogue>,
    executable: PathBuf,
    hello: Vec<u8>,
    limits: Limits,
}

struct Shared {
    pool: Mutex<Pool>,
    /// Told when a slot is free.
    freed: Condvar,
    /// Told when the renderer is dropped.
    closing: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<(Worker, Instant)>,
    running: usize,
    reaper: bool,
    closed: bool,
}

struct Worker {
    child: Child,
    socket: UnixStream,
    busy: Duration,
}

/// How long a worker that closed its socket may take to end by itself, so that its own reason is told and not our kill.
const ENDING: Duration = Duration::from_millis(500);

impl Worker {
    /// How the worker ended, once its socket is closed; one that does not end is killed.
    fn ended(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + ENDING;
        while Instant::now() < until {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => break,
            }
        }
        let _ = self.child.kill();
        self.child.wait().ok()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Closing the socket would end a healthy worker too; killing also ends one that does not listen. Neither may leave a zombie.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ProcessRenderer {
    /// A renderer that starts no process yet. `executable` is our own binary ([`own_executable`]).
    pub fn new(executable: PathBuf, catalogue: Arc<Catalogue>, limits: Limits) -> Self {
        let hello = Hello {
            sources: catalogue.translated().to_vec(),
            memory: limits.memory,
            cpu_seconds: (RETIRE_AFTER + limits.time).as_secs() * 2,
            idle_millis: u64::try_from((limits.idle * 2).as_millis()).unwrap_or(u64::MAX),
        };
        let hello = json_frame(&hello).unwrap_or_default();
        let shared = Arc::new(Shared { pool: Mutex::new(Pool::default()), freed: Condvar::new(), closing: Condvar::new() });
        Self { shared, catalogue, executable, hello, limits }
    }

    /// How many worker processes there are, busy and idle.
    pub fn workers(&self) -> usize {
        let pool = self.shared.lock();
        pool.running + pool.idle.len()
    }

    fn render_one(&self, job: &RenderJob) -> Result<Vec<u8>, RenderError> {
        let context = self.catalogue.prepare(job)?;
        let request = Request { template: Cow::Borrowed(job.template.as_str()), file: Cow::Owned(file_of(&job.template)), context };
        let frame = json_frame(&request).map_err(|error| RenderError::Protocol(error.to_string()))?;
        let (slot, kept) = Slot::take(&self.shared, self.limits.workers.max(1));
        // A worker may have ended while it was idle, or do so just now: that is no request's fault.
        if let Some(mut worker) = kept
            && matches!(worker.child.try_wait(), Ok(None))
            && let Some(answer) = self.ask(&mut worker, job, &frame, true)
        {
            return match answer {
                Err(RenderError::TimeExceeded { .. }) => {
                    drop(worker);
                    self.render_in_fresh(slot, job, &frame)
                }
                answer => self.give_back(slot, worker, answer),
            };
        }
        match self.fresh(job, &frame)? {
            (worker, Err(RenderError::TimeExceeded { .. })) => {
                drop(worker);
                self.render_in_fresh(slot, job, &frame)
            }
            (worker, answer) => self.give_back(slot, worker, answer),
        }
    }

    /// Once more, after the time was over: it is the wall's clock that ran, and the machine may have been asleep or the worker
    /// starved. A template that takes too long takes too long again, and then it is its fault.
    fn render_in_fresh(&self, slot: Slot<'_>, job: &RenderJob, frame: &[u8]) -> Result<Vec<u8>, RenderError> {
        let (worker, answer) = self.fresh(job, frame)?;
        self.give_back(slot, worker, answer)
    }

    /// A new worker, and its answer.
    fn fresh(&self, job: &RenderJob, frame: &[u8]) -> Result<(Worker, Result<Vec<u8>, RenderError>), RenderError> {
        let mut worker = self.start()?;
        let answer = self.ask(&mut worker, job, frame, false);
        let answer = answer.unwrap_or_else(|| Err(RenderError::Protocol("the worker ended without an answer".to_owned())));
        Ok((worker, answer))
    }

    fn give_back(&self, slot: Slot<'_>, worker: Worker, answer: Result<Vec<u8>, RenderError>) -> Result<Vec<u8>, RenderError> {
        let healthy = !matches!(answer, Err(RenderError::TimeExceeded { .. } | RenderError::Crashed { .. } | RenderError::Protocol(_)));
        if healthy && worker.busy < RETIRE_AFTER {
            let mut pool = self.shared.lock();
            if !pool.closed {
                slot.hand_over(&mut pool);
                pool.idle.push((worker, Instant::now()));
                self.shared.reap_later(&mut pool, self.limits.idle);
            }
        }
        answer
    }

    /// One request and its answer. None when the worker had ended before it took the request, which only a worker that was idle may do.
    fn ask(&self, worker: &mut Worker, job: &RenderJob, frame: &[u8], was_idle: bool) -> Option<Result<Vec<u8>, RenderError>> {
        let started = Instant::now();
        let mut stream = Deadline { socket: &worker.socket, until: started + self.limits.time, got: 0 };
        let written = (&worker.socket).write_all(frame);
        let answer = written.and_then(|()| read_frame(&mut stream));
        let got = stream.got;
        worker.busy += started.elapsed();
        let template = job.template.to_string();
        Some(match answer {
            Ok(Some(answer)) => decode_answer(answer),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err(RenderError::TimeExceeded { template, millis: u64::try_from(self.limits.time.as_millis()).unwrap_or(u64::MAX) })
            }
            Ok(None) | Err(_) => {
                let ended = worker.ended();
                if was_idle && got == 0 && ended.is_some_and(|status| status.success()) {
                    return None;
                }
                Err(RenderError::Crashed { template, reason: ended.map_or("it ended".to_owned(), reason) })
            }
        })
    }

    fn start(&self) -> Result<Worker, RenderError> {
        let fail = |error: io::Error| RenderError::Unavailable(error.to_string());
        let (ours, theirs) = UnixStream::pair().map_err(fail)?;
        let child = Command::new(&self.executable)
            .arg0("kubeops")
            .arg(WORKER_ARGUMENT)
            .env_clear()
            .current_dir("/")
            // Its own group: a Ctrl-C at the terminal is the server's to handle, which first finishes what is in flight.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(fail)?;
        let worker = Worker { child, socket: ours, busy: Duration::ZERO };
        worker.socket.set_write_timeout(Some(START_TIME)).map_err(fail)?;
        (&worker.socket).write_all(&self.hello).map_err(fail)?;
        let mut ready = Deadline { socket: &worker.socket, until: Instant::now() + START_TIME, got: 0 };
        match read_frame(&mut ready).map_err(fail)? {
            Some(_) => {
                // From here on it only gets requests.
                worker.socket.set_write_timeout(Some(self.limits.time)).map_err(fail)?;
                Ok(worker)
            }
            None => Err(RenderError::Unavailable("the render worker ended before it was ready".to_owned())),
        }
    }
}

impl Renderer for ProcessRenderer {
    fn render(&self, jobs: &[RenderJob]) -> Result<Vec<Vec<u8>>, RenderError> {
        jobs.iter().map(|job| self.render_one(job)).collect()
    }
}

impl Drop for ProcessRenderer {
    fn drop(&mut self) {
        let mut pool = self.shared.lock();
        pool.closed = true;
        pool.idle.clear();
        self.shared.closing.notify_all();
    }
}

/// How a process ended, in words a template's author can use.
fn reason(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        // SIGABRT: what an allocation beyond the limit ends in, and a stack overflow.
        (Some(6), _) => "it asked for more memory than a template may have".to_owned(),
        (Some(24), _) => "it used more processor time than a template may have".to_owned(),
        (Some(signal), _) => format!("it ended by signal {signal}"),
        (None, code) => format!("it ended with code {}", code.unwrap_or(-1)),
    }
}

/// Reads until a moment, however many pieces the bytes come in.
struct Deadline<'s> {
    socket: &'s UnixStream,
    until: Instant,
    got: usize,
}

impl Read for Deadline<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.socket.set_read_timeout(Some(left))?;
        let read = (&mut &*self.socket).read(buffer)?;
        self.got += read;
        Ok(read)
    }
}

/// The right to use a worker, given back when dropped.
struct Slot<'s> {
    shared: &'s Shared,
    held: bool,
}

impl<'s> Slot<'s> {
    /// Waits for a slot; an idle worker comes with it in the same moment, so that no worker is counted twice.
    fn take(shared: &'s Shared, most: usize) -> (Self, Option<Worker>) {
        let mut pool = shared.lock();
        while pool.running >= most {
            pool = shared.freed.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        pool.running += 1;
        (Self { shared, held: true }, pool.idle.pop().map(|(worker, _)| worker))
    }

    /// Given back in the same moment in which its worker becomes idle, so that no worker is counted twice.
    fn hand_over(mut self, pool: &mut Pool) {
        self.held = false;
        pool.running -= 1;
        self.shared.freed.notify_one();
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if self.held {
            self.shared.lock().running -= 1;
            self.shared.freed.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pool> {
        // The pool's data stays whole whatever panics: every change to it is a single step.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure a thread ends idle workers; it lives only as long as there are some.
    fn reap_later(self: &Arc<Self>, pool: &mut Pool, idle: Duration) {
        if pool.reaper {
            return;
        }
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new().name("render-reaper".to_owned()).stack_size(128 * 1024);
        pool.reaper = thread.spawn(move || shared.reap(idle)).is_ok();
    }

    fn reap(&self, idle: Duration) {
        let mut pool = self.lock();
        loop {
            let now = Instant::now();
            let (old, young): (Vec<_>, Vec<_>) =
                std::mem::take(&mut pool.idle).into_iter().partition(|(_, since)| now.duration_since(*since) >= idle);
            pool.idle = young;
            if pool.closed || (pool.idle.is_empty() && pool.running == 0) {
                pool.reaper = false;
                drop(pool);
                return;
            }
            // A worker's end is waited for; the pool is not held meanwhile.
            drop(pool);
            drop(old);
            pool = self.lock();
            if !pool.closed {
                pool = self.closing.wait_timeout(pool, idle / 2).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}
