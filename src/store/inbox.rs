//! Group commit in front of any store: deliveries that arrive while a commit runs are written by the next one together.
//! The first one waits for nobody. Whoever is told `Ok` has a delivery on disk; nobody is told `Ok` before.
//! It holds a bounded number of deliveries and bytes, and refuses the next one at once when that is reached.

use super::{Appended, NewDelivery, Store, StoreError};
use crate::spans;
use crate::types::TraceParent;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

/// Bytes one transaction takes at most, unless a single delivery is larger: a huge body must not make small ones wait long.
const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Bytes a queued delivery counts for beside its body.
const OVERHEAD_BYTES: usize = 512;
/// How often the writer gives way to callers that are about to hand in the next delivery, before it commits without them.
const GIVE_WAY: u32 = 20;
/// Deliveries that wait when senders are pressing: fewer is what a handful of senders leave behind at any time.
const PRESSED: usize = 8;

/// The inbox's limits.
#[derive(Debug, Clone)]
pub struct InboxOptions {
    /// Deliveries in one transaction at most.
    pub max_batch: usize,
    /// Deliveries that may wait for a commit.
    pub max_queued: usize,
    /// Bytes that may wait for a commit.
    pub max_queued_bytes: usize,
}

impl Default for InboxOptions {
    fn default() -> Self {
        Self { max_batch: 512, max_queued: 8192, max_queued_bytes: 64 * 1024 * 1024 }
    }
}

/// Is told of each commit.
pub trait Observer: Send + Sync + 'static {
    /// One transaction was tried; it took so long, and had so many deliveries.
    fn committed(&self, took: Duration, deliveries: usize);
}

/// The span of one commit. It serves many traces, so it is in none of them and linked with those that are kept.
fn span_of(deliveries: &[NewDelivery]) -> Span {
    let span = tracing::debug_span!(parent: None, "inbox commit", otel.kind = "internal", kubeops.deliveries = deliveries.len());
    if span.is_disabled() {
        return span;
    }
    let stored = deliveries.iter().filter_map(|delivery| delivery.attributes.get(spans::TRACEPARENT)?.as_str()?.parse::<TraceParent>().ok());
    let mut kept = stored.filter(TraceParent::is_sampled).peekable();
    if kept.peek().is_none() {
        spans::leave_out(&span);
    }
    spans::link(&span, kept);
    span
}

/// What the inbox did since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InboxCounts {
    /// Transactions, each synced to disk once.
    pub batches: u64,
    /// Deliveries written.
    pub deliveries: u64,
    /// Deliveries that were there before.
    pub duplicates: u64,
    /// Deliveries refused because too much was waiting.
    pub refused: u64,
    /// Deliveries the store did not take.
    pub failed: u64,
    /// Deliveries waiting now.
    pub queued: u64,
    /// Bytes waiting now.
    pub queued_bytes: u64,
}

/// Takes deliveries from many callers and writes them in groups. Cheap to share behind an `Arc`.
pub struct Inbox {
    sender: mpsc::Sender<Waiting>,
    shared: Arc<Shared>,
    max_queued_bytes: usize,
    writer: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    batches: AtomicU64,
    deliveries: AtomicU64,
    duplicates: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    queued: AtomicUsize,
    queued_bytes: AtomicUsize,
    written: watch::Sender<u64>,
    stop: Notify,
}

/// A delivery and the caller that waits for it.
struct Waiting {
    delivery: NewDelivery,
    answer: oneshot::Sender<Result<Appended, StoreError>>,
    place: Place,
}

type Caller = (oneshot::Sender<Result<Appended, StoreError>>, Place);

/// Counts a delivery as queued until it is dropped.
struct Place {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.queued.fetch_sub(1, Ordering::Relaxed);
        self.shared.queued_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Inbox {
    /// Starts the inbox's task on the current tokio runtime.
    pub fn new(store: Arc<dyn Store>, options: InboxOptions) -> Self {
        Self::observed(store, options, None)
    }

    /// The same, with an observer.
    pub fn observed(store: Arc<dyn Store>, options: InboxOptions, observer: Option<Arc<dyn Observer>>) -> Self {
        let (sender, receiver) = mpsc::channel(options.max_queued.max(1));
        let shared = Arc::new(Shared {
            batches: AtomicU64::new(0),
            deliveries: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            queued: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            written: watch::Sender::new(0),
            stop: Notify::new(),
        });
        let writer = Writer { store, receiver, shared: shared.clone(), max_batch: options.max_batch.max(1), last_batch: 1, observer };
        let writer = tokio::spawn(writer.run());
        Self { sender, shared, max_queued_bytes: options.max_queued_bytes, writer: tokio::sync::Mutex::new(Some(writer)) }
    }

    /// Writes one delivery and returns when it is on disk. A caller that stops waiting harms nobody: its delivery is written
    /// all the same.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] at once when too much is waiting or the inbox is shut down; else what the store says.
    pub async fn accept(&self, delivery: NewDelivery) -> Result<Appended, StoreError> {
        let (answer, answered) = oneshot::channel();
        let place = self.place(delivery.body.len().saturating_add(OVERHEAD_BYTES))?;
        self.sender.try_send(Waiting { delivery, answer, place }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => self.refuse("too many deliveries are waiting to be written"),
            mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable("the inbox is shut down".to_owned()),
        })?;
        answered.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the inbox stopped before the delivery was written".to_owned())))
    }

    fn place(&self, bytes: usize) -> Result<Place, StoreError> {
        self.shared.queued.fetch_add(1, Ordering::Relaxed);
        let before = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let place = Place { shared: self.shared.clone(), bytes };
        // A single delivery is let through whatever its size: the body cap of its source is the judge of that.
        if before > 0 && before.saturating_add(bytes) > self.max_queued_bytes {
            return Err(self.refuse("too many bytes are waiting to be written"));
        }
        Ok(place)
    }

    fn refuse(&self, why: &str) -> StoreError {
        self.shared.refused.fetch_add(1, Ordering::Relaxed);
        StoreError::Unavailable(why.to_owned())
    }

    /// Changes whenever new deliveries were written: what the dispatcher waits for. The value is the number written so far.
    pub fn written(&self) -> watch::Receiver<u64> {
        self.shared.written.subscribe()
    }

    /// Whether senders are coming faster than deliveries are written: many wait at this moment.
    pub fn is_pressed(&self) -> bool {
        self.shared.queued.load(Ordering::Relaxed) >= PRESSED
    }

    /// What happened so far.
    pub fn counts(&self) -> InboxCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        InboxCounts {
            batches: read(&self.shared.batches),
            deliveries: read(&self.shared.deliveries),
            duplicates: read(&self.shared.duplicates),
            refused: read(&self.shared.refused),
            failed: read(&self.shared.failed),
            queued: self.shared.queued.load(Ordering::Relaxed) as u64,
            queued_bytes: self.shared.queued_bytes.load(Ordering::Relaxed) as u64,
        }
    }

    /// Ends when the inbox's task has ended, for whatever reason: nothing is accepted from then on.
    pub fn ended(&self) -> impl Future<Output = ()> + use<> {
        let sender = self.sender.clone();
        async move { sender.closed().await }
    }

    /// Takes nothing more, writes what waits, and returns when every caller has its answer. May be called more than once.
    pub async fn shutdown(&self) {
        self.shared.stop.notify_one();
        if let Some(writer) = self.writer.lock().await.take()
            && let Err(error) = writer.await
        {
            tracing::error!(%error, "the inbox did not end in order");
        }
    }
}

struct Writer {
    store: Arc<dyn Store>,
    receiver: mpsc::Receiver<Waiting>,
    shared: Arc<Shared>,
    max_batch: usize,
    last_batch: usize,
    observer: Option<Arc<dyn Observer>>,
}

impl Writer {
    async fn run(mut self) {
        loop {
            let first = tokio::select! {
                first = self.receiver.recv() => first,
                // What was sent before stays to be received; `recv` ends when that is done.
                () = self.shared.stop.notified() => {
                    self.receiver.close();
                    continue;
                }
            };
            let Some(first) = first else { return };
            let batch = self.gather(first).await;
            self.last_batch = batch.len();
            self.write(batch).await;
        }
    }

    /// What waits already. Under load the callers just answered are about to come back: committing without them would make
    /// every other transaction a small one, so they are given way while new ones keep coming, up to the size of the last
    /// batch. Nothing is waited for by the clock, and when the last batch was a single delivery not at all.
    async fn gather(&mut self, first: Waiting) -> Vec<Waiting> {
        let mut bytes = first.delivery.body.len();
        let mut batch = vec![first];
        let mut gave_way = 0;
        while batch.len() < self.max_batch && bytes < MAX_BATCH_BYTES {
            match self.receiver.try_recv() {
                Ok(next) => {
                    bytes += next.delivery.body.len();
                    batch.push(next);
                    gave_way = 0;
                }
                Err(_) if gave_way < GIVE_WAY && batch.len() * 8 < self.last_batch * 7 => {
                    gave_way += 1;
                    tokio::task::yield_now().await;
                }
                Err(_) => break,
            }
        }
        batch
    }

    /// Writes a batch and answers its callers. A batch the store refuses for what is in it is halved until the delivery at
    /// fault stands alone; a store that is full or away, or lets nobody in, refuses all of it.
    async fn write(&self, batch: Vec<Waiting>) {
        let (deliveries, callers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|waiting| (waiting.delivery, Some((waiting.answer, waiting.place)))).unzip();
        let mut callers: Vec<Option<Caller>> = callers;
        let mut parts: Vec<Range<usize>> = std::iter::once(0..deliveries.len()).collect();
        while let Some(part) = parts.pop() {
            let begun = Instant::now();
            let span = span_of(&deliveries[part.clone()]);
            let result = self.store.append(&deliveries[part.clone()]).instrument(span.clone()).await;
            let result = spans::told(&span, result, StoreError::class);
            self.observer.iter().for_each(|observer| observer.committed(begun.elapsed(), part.len()));
            let in_it = |error: &StoreError| !matches!(error, StoreError::Full(_) | StoreError::Unavailable(_) | StoreError::Unusable(_));
            match result {
                Err(error) if part.len() > 1 && in_it(&error) => {
                    let middle = part.start + part.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
                Err(error) => {
                    self.shared.failed.fetch_add(part.len() as u64, Ordering::Relaxed);
                    // An answer that cannot be sent is to a caller that went away.
                    callers[part].iter_mut().filter_map(Option::take).for_each(|(answer, _)| drop(answer.send(Err(error.clone()))));
                }
                Ok(outcomes) => {
                    self.count(&outcomes);
                    let answers = callers[part].iter_mut().filter_map(Option::take).zip(outcomes);
                    answers.for_each(|((answer, _), outcome)| drop(answer.send(Ok(outcome))));
                }
            }
        }
    }

    fn count(&self, outcomes: &[Appended]) {
        let new = outcomes.iter().filter(|outcome| matches!(outcome, Appended::New)).count() as u64;
        self.shared.batches.fetch_add(1, Ordering::Relaxed);
        self.shared.deliveries.fetch_add(new, Ordering::Relaxed);
        self.shared.duplicates.fetch_add(outcomes.len() as u64 - new, Ordering::Relaxed);
        if new > 0 {
            self.shared.written.send_modify(|written| *written += new);
        }
    }
}
