//! Whether what a step is about to do outside is still its own to do. A process that stood still may wake when another has taken over what
//! it held: from then on it sends nothing. It is asked right before each call, and a call that has to wait for a connection is asked again
//! when it has one ([`call`]). What was handed to the network by then may arrive later, which nobody can guard; what is sent is made so that
//! it may be sent twice.

mod connecting;

pub use connecting::{Asked, Connector, call};

use crate::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The part of a lease that is not relied upon: clocks of several machines are not quite the same.
const MARGIN: u32 = 10;

tokio::task_local! {
    static HELD: Lease;
}

/// The time a step has, as its own process reckons it. Clones are the same lease.
#[derive(Clone)]
pub struct Lease {
    clock: Arc<dyn Clock>,
    /// Milliseconds of the machine's uptime.
    until: Arc<AtomicU64>,
}

/// The lease ran out, or somebody else has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing is sent any more: this process stood still for too long, and another may have gone on with the work")]
pub struct Lost;

impl Lease {
    /// A lease for `length`, asked for at an uptime of `asked`.
    pub fn new(clock: Arc<dyn Clock>, asked: Duration, length: Duration) -> Self {
        let lease = Self { clock, until: Arc::default() };
        lease.extend(asked, length);
        lease
    }

    /// It was made to last for `length` from when that was asked for, at an uptime of `asked`.
    pub fn extend(&self, asked: Duration, length: Duration) {
        let until = asked.saturating_add(length.saturating_sub(length / MARGIN));
        self.until.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    fn holds(&self) -> bool {
        self.clock.uptime().as_millis() < u128::from(self.until.load(Ordering::SeqCst))
    }

    /// Does `work` under this lease.
    pub async fn over<F: Future>(self, work: F) -> F::Output {
        HELD.scope(self, work).await
    }
}

/// The lease of this task, for what is done for it in another task.
pub fn held() -> Option<Lease> {
    HELD.try_with(Clone::clone).ok()
}

/// Does `work` under a lease, where there is one.
pub async fn under<F: Future>(lease: Option<Lease>, work: F) -> F::Output {
    match lease {
        Some(lease) => lease.over(work).await,
        None => work.await,
    }
}

/// Hands the lease of this task on to work on a thread of its own.
pub fn handed_on<T>(work: impl FnOnce() -> T + Send + 'static) -> impl FnOnce() -> T + Send + 'static {
    let lease = held();
    move || match lease {
        Some(lease) => HELD.sync_scope(lease, work),
        None => work(),
    }
}

/// Whether what is done now may still be sent. Work that is under no lease, as a person's command, may.
///
/// # Errors
/// When its lease is over.
pub fn check() -> Result<(), Lost> {
    match HELD.try_with(Lease::holds) {
        Ok(false) => {
            tracing::warn!("{Lost}");
            Err(Lost)
        }
        Ok(true) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    /// A machine that is up for so many seconds.
    pub(super) struct Up(AtomicU64);

    impl Up {
        pub(super) fn at(seconds: u64) -> Self {
            Self(AtomicU64::new(seconds))
        }

        pub(super) fn set(&self, seconds: u64) {
            self.0.store(seconds, Ordering::SeqCst);
        }
    }

    impl Clock for Up {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_millis(0)
        }

        fn random(&self) -> u128 {
            0
        }

        fn uptime(&self) -> Duration {
            Duration::from_secs(self.0.load(Ordering::SeqCst))
        }
    }

    #[tokio::test]
    async fn nothing_is_sent_once_the_lease_is_over_and_work_under_none_is_free() {
        let clock = Arc::new(Up::at(100));
        let lease = Lease::new(Arc::clone(&clock) as Arc<dyn Clock>, Duration::from_secs(100), Duration::from_secs(20));
        assert_eq!(check(), Ok(()));
        let (kept, up) = (lease.clone(), Arc::clone(&clock));
        lease
            .over(async move {
                assert_eq!(check(), Ok(()));
                up.set(117);
                assert_eq!(check(), Ok(()));
                // The last tenth is not relied upon.
                up.set(118);
                assert_eq!(check(), Err(Lost));
                assert_eq!(tokio::task::spawn_blocking(handed_on(check)).await.expect("an answer"), Err(Lost));
                kept.extend(Duration::from_secs(119), Duration::from_secs(20));
                assert_eq!(check(), Ok(()));
                assert_eq!(tokio::task::spawn_blocking(handed_on(check)).await.expect("an answer"), Ok(()));
            })
            .await;
        clock.set(1000);
        assert_eq!(check(), Ok(()));
    }
}
