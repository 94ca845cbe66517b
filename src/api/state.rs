//! What every handler shares. One value per process, behind an `Arc`; what changes in it is small and guarded.

use super::access::TokenCache;
use super::bodies::Bodies;
use super::error::ApiError;
use super::limit::Limiter;
use super::ports::{Inventory, Operations, Receiver};
use crate::clock::Clock;
use crate::store::{Stats, Store, StoreError};
use crate::telemetry::{AccessLog, Metrics};
use crate::types::Timestamp;
use ipnet::IpNet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Milliseconds for which what the store said is told again: `/ready` and `/metrics` are open to anybody.
const FRESH_MILLIS: i64 = 1000;
/// How long the store may take to show that it takes a write, or what it holds: who probes waits for a few seconds, and learns nothing then.
const LOOK: Duration = Duration::from_secs(2);
/// How many may follow jobs at the same time: each keeps a connection, and asks the store several times a second.
const MOST_FOLLOWERS: usize = 64;

/// What the API is made of.
pub struct Parts {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Time, and bits for trace ids.
    pub clock: Arc<dyn Clock>,
    /// Takes deliveries.
    pub receiver: Arc<dyn Receiver>,
    /// Does what people ask for.
    pub operations: Arc<dyn Operations>,
    /// Tells the resources.
    pub inventory: Arc<dyn Inventory>,
    /// 256 bits from a generator fit for keys, for new tokens.
    pub new_key: fn() -> [u8; 32],
    /// What is counted.
    pub metrics: Metrics,
    /// `ENABLE_METRICS`: whether HTTP requests and deliveries are counted, and `/metrics` answers.
    pub metrics_enabled: bool,
    /// Access lines; none when they are off.
    pub access_log: Option<AccessLog>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The longest the body of a delivery may take to arrive.
    pub body_timeout: Duration,
    /// The longest a call may take.
    pub call_timeout: Duration,
    /// How many calls a token may make a minute.
    pub calls_a_minute: u32,
}

/// The state behind all routes.
pub struct AppState {
    pub(super) parts: Parts,
    pub(super) tokens: TokenCache,
    pub(super) limiter: Limiter,
    pub(super) bodies: Bodies,
    followers: Arc<Semaphore>,
    draining: AtomicBool,
    broken: OnceLock<String>,
    health: Remembered<Result<(), StoreError>>,
    stats: Remembered<Stats>,
}

/// The last answer and when it was given.
type Remembered<T> = Mutex<Option<(Timestamp, T)>>;

impl AppState {
    /// The state made of `parts`.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            limiter: Limiter::new(parts.calls_a_minute),
            parts,
            tokens: TokenCache::default(),
            bodies: Bodies::default(),
            followers: Arc::new(Semaphore::new(MOST_FOLLOWERS)),
            draining: AtomicBool::new(false),
            broken: OnceLock::new(),
            health: Mutex::default(),
            stats: Mutex::default(),
        })
    }

    /// From now on `/ready` says no: called first when the process is told to stop.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// From now on `/ready` says no, and why: a part that must run has ended. The first reason is kept.
    pub fn break_down(&self, reason: String) {
        let _ = self.broken.set(reason);
    }

    /// Why the process cannot do its work any more; none while it can.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    /// Whether the process is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The metrics, when they are on.
    pub(super) fn metrics(&self) -> Option<&Metrics> {
        self.parts.metrics_enabled.then_some(&self.parts.metrics)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.parts.store
    }

    /// What `work` comes to, if it does within the time a call may take.
    ///
    /// # Errors
    /// 503 when it does not; else its own.
    pub(super) async fn timed<T, E: Into<ApiError>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, ApiError> {
        match tokio::time::timeout(self.parts.call_timeout, work).await {
            Ok(outcome) => outcome.map_err(Into::into),
            Err(_) => Err(ApiError::unavailable("timeout", "this took too long; try again", 5)),
        }
    }

    /// A place among those who follow jobs, until it is dropped.
    ///
    /// # Errors
    /// 503 when all are taken.
    pub(super) fn follower(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let full = |_| {
            let message = format!("{MOST_FOLLOWERS} follow jobs already; what was said can be read without following");
            ApiError::unavailable("too_many_followers", message, 5)
        };
        Arc::clone(&self.followers).try_acquire_owned().map_err(full)
    }

    /// Whether the store would take a write, asked at most once a second, for two seconds at most.
    pub(super) async fn store_health(&self) -> Result<(), StoreError> {
        let now = self.now();
        if let Some(known) = recall(&self.health, now) {
            return known;
        }
        let checked = match tokio::time::timeout(LOOK, self.parts.store.check()).await {
            Ok(checked) => checked,
            Err(_) => Err(StoreError::Unavailable(format!("it took no write within {} s", LOOK.as_secs()))),
        };
        // Whoever probes is not told why, and asks again and again.
        if let (Err(error), true) = (&checked, remember(&self.health, now, checked.clone()) != Some(checked.clone())) {
            tracing::warn!(%error, "this process is not ready: its store takes no write");
        }
        checked
    }

    /// What the store holds, asked at most once a second.
    pub(super) async fn store_stats(&self) -> Result<Stats, ApiError> {
        self.timed(self.seen_in_store()).await
    }

    /// The same for whoever has little time; none where it took longer than two seconds.
    pub(super) async fn store_stats_soon(&self) -> Option<Stats> {
        tokio::time::timeout(LOOK, self.seen_in_store()).await.ok()?.ok()
    }

    async fn seen_in_store(&self) -> Result<Stats, StoreError> {
        let now = self.now();
        if let Some(known) = recall(&self.stats, now) {
            return Ok(known);
        }
        let stats = self.parts.store.stats(now).await?;
        remember(&self.stats, now, stats.clone());
        Ok(stats)
    }
}

fn recall<T: Clone>(memory: &Remembered<T>, now: Timestamp) -> Option<T> {
    let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    memory.as_ref().filter(|(at, _)| (now.unix_millis() - at.unix_millis()).abs() < FRESH_MILLIS).map(|(_, value)| value.clone())
}

/// Keeps an answer; tells the one before it.
fn remember<T>(memory: &Remembered<T>, now: Timestamp, value: T) -> Option<T> {
    memory.lock().unwrap_or_else(PoisonError::into_inner).replace((now, value)).map(|(_, before)| before)
}
