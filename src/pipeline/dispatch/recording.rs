//! What was read of deliveries, recorded: a batch in one transaction, and where the store refuses that, each delivery by itself. One that cannot be
//! recorded keeps back none but itself, and none is given up for what may be the store's fault.

use super::Dispatcher;
use crate::store::{Dispatch, StoreError};
use crate::types::{DeliveryId, RequestId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many deliveries are passed by at most; when more are refused, it is the store that has to be waited for.
const MOST_PASSED_BY: usize = 512;

/// What became of a batch.
pub(super) struct Recorded {
    /// Of each entry the requests it opened or joined; none where it is still pending.
    pub(super) requests: Vec<Option<Vec<RequestId>>>,
    /// How many of them were given up.
    pub(super) failed: usize,
    /// Why the others are pending.
    pub(super) left: Option<StoreError>,
}

/// Deliveries the store refused, each alone.
#[derive(Debug, Default)]
pub(super) struct Doubts(Mutex<Refused>);

#[derive(Debug, Default)]
struct Refused {
    /// Left out until something else was recorded, or nothing else waits, each with why it was refused.
    passed_by: BTreeMap<DeliveryId, StoreError>,
    /// Those of them after which something else was recorded: should the store refuse one of these again, it is not the store's fault.
    suspects: BTreeSet<DeliveryId>,
}

impl Doubts {
    fn of(&self) -> MutexGuard<'_, Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which ones are left out.
    pub(super) fn passed_by(&self) -> Vec<DeliveryId> {
        self.of().passed_by.keys().cloned().collect()
    }

    /// Leaves out none any more, and says why one was.
    pub(super) fn nothing_else_waits(&self) -> Option<StoreError> {
        std::mem::take(&mut self.of().passed_by).into_values().next()
    }

    fn is_suspect(&self, delivery: &DeliveryId) -> bool {
        self.of().suspects.contains(delivery)
    }

    fn refused(&self, delivery: &DeliveryId, why: StoreError) {
        let mut refused = self.of();
        if refused.passed_by.len() >= MOST_PASSED_BY {
            refused.passed_by.clear();
        }
        refused.passed_by.insert(delivery.clone(), why);
    }

    /// Something else was recorded, events of it among them.
    fn the_store_works(&self) {
        let mut refused = self.of();
        let passed_by = std::mem::take(&mut refused.passed_by);
        // Some of them another process may have done with.
        if refused.suspects.len() >= MOST_PASSED_BY {
            refused.suspects.clear();
        }
        // What was found to be of the store is told apart by its kind, and never becomes suspect.
        refused.suspects.extend(passed_by.into_iter().filter(|(_, why)| is_of_its_rows(why)).map(|(delivery, _)| delivery));
    }

    fn is_done(&self, delivery: &DeliveryId) {
        self.of().suspects.remove(delivery);
    }
}

/// Whether the store is there, but does not take this.
pub(super) fn is_refusal(error: &StoreError) -> bool {
    is_of_its_rows(error) || matches!(error, StoreError::Broken(_))
}

/// Whether it may be for what is in the rows. A conflict is one too: dispatching writes alone, so nobody can have been first.
fn is_of_its_rows(error: &StoreError) -> bool {
    matches!(error, StoreError::Refused(_) | StoreError::Conflict(_))
}

impl Dispatcher {
    /// Records what was read.
    ///
    /// # Errors
    /// When nothing of it was recorded; then all of it is pending.
    pub(super) async fn record(&self, entries: &[Dispatch]) -> Result<Recorded, StoreError> {
        let recorded = match self.store.dispatch(entries, self.clock.now()).await {
            Ok(requests) => Recorded { requests: requests.into_iter().map(Some).collect(), failed: 0, left: None },
            Err(error) if is_refusal(&error) => {
                tracing::warn!(%error, deliveries = entries.len(), "a batch was not recorded; its deliveries are tried one by one");
                self.record_each(entries).await
            }
            Err(error) => return Err(error),
        };
        let done = || entries.iter().zip(&recorded.requests).filter(|(_, requests)| requests.is_some()).map(|(entry, _)| entry);
        done().filter_map(|entry| entry.delivery.as_ref()).for_each(|delivery| self.doubts.is_done(delivery));
        match (done().next(), recorded.left) {
            (None, Some(error)) => Err(error),
            (_, left) => {
                if done().any(|entry| !entry.events.is_empty()) {
                    self.doubts.the_store_works();
                }
                Ok(Recorded { left, ..recorded })
            }
        }
    }

    /// The same one by one. What is refused alone is passed by, and given up when it is refused again after others were taken; where the store
    /// is away, the rest is pending.
    async fn record_each(&self, entries: &[Dispatch]) -> Recorded {
        let mut recorded = Recorded { requests: vec![None; entries.len()], failed: 0, left: None };
        for (entry, place) in entries.iter().zip(&mut recorded.requests) {
            let mut told = self.store.dispatch(std::slice::from_ref(entry), self.clock.now()).await;
            if let (Err(error), Some(delivery)) = (&told, &entry.delivery)
                && is_of_its_rows(error)
                && self.doubts.is_suspect(delivery)
            {
                tracing::error!(%delivery, %error, "what this delivery says could not be recorded; please report it");
                let why = "what it says could not be recorded, which is a fault of KubeOps".to_owned();
                let failed = Dispatch { delivery: Some(delivery.clone()), error: Some(why), events: Vec::new() };
                told = self.store.dispatch(&[failed], self.clock.now()).await;
                recorded.failed += usize::from(told.is_ok());
            }
            match told {
                Ok(requests) => *place = Some(requests.into_iter().flatten().collect()),
                Err(error) if is_refusal(&error) => {
                    if let Some(delivery) = &entry.delivery {
                        tracing::warn!(%delivery, %error, "this delivery was not recorded; it waits and others go on");
                        self.doubts.refused(delivery, error.clone());
                    }
                    recorded.left = Some(error);
                }
                Err(error) => {
                    recorded.left = Some(error);
                    break;
                }
            }
        }
        recorded
    }
}
