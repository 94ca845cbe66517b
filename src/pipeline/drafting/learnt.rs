//! What a draft's bench has made and learnt so far: the index of its runbooks, and the secrets it saw. It is kept from one turn to the next
//! in memory alone, and within bounds: what is not there is made and learnt once more from what was told and asked, and tells the same.
//! Nothing of it is ever written down, and none of it counts under other rules than those it was learnt under.

use super::super::{InForce, StepError};
use super::bench::{View, redactor};
use crate::automation::DraftSpec;
use crate::draft::{Passages, Question, Redactor, Runbooks};
use crate::inventory::Target;
use crate::plan::PlanError;
use crate::request::Request;
use crate::store::Draft;
use crate::types::{CommitSha, DirectoryPath, RepositoryName, RequestId};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Drafts of which something is kept, at most, and the bytes of it together.
const MOST: usize = 128;
const MOST_BYTES: usize = 64 << 20;
/// Of a draft that nobody went on with for so long nothing is kept.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// What a draft's bench has made and learnt so far.
pub(super) struct Learnt {
    /// Withholds secrets; it knows those that it saw.
    pub(super) redactor: Redactor,
    runbooks: Option<Runbooks>,
}

impl Learnt {
    /// What is known before anything was looked at.
    pub(super) fn nothing(rules: &InForce, spec: &DraftSpec, request: &Request, salt: &str) -> Self {
        Self { redactor: redactor(rules, spec, request, salt), runbooks: None }
    }

    /// The passages of runbooks that fit a question best. Called where one may block.
    pub(super) fn passages(&mut self, view: &View<'_>, question: &Question) -> Result<String, StepError> {
        let runbooks = match &mut self.runbooks {
            Some(made) => made,
            none => {
                let may_search = |path: &str| view.guard.may_search(view.target, path);
                let passages = Passages::of(view.base, &may_search, &mut self.redactor).map_err(PlanError::from)?;
                tracing::debug!(passages = passages.passages.len(), "the runbooks are indexed for a draft");
                let made = Handle::current().block_on(Runbooks::over(&passages));
                none.insert(made.map_err(|error| StepError::Bug(error.to_string()))?)
            }
        };
        Handle::current().block_on(runbooks.search(question)).map_err(|error| StepError::Bug(error.to_string()))
    }

    /// The memory it takes, about, in bytes.
    fn weight(&self) -> usize {
        self.redactor.weight() + self.runbooks.as_ref().map_or(0, Runbooks::weight)
    }
}

/// Whose it is: a draft that looks at one commit, in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whose {
    request: RequestId,
    number: u32,
    salt: String,
    base: CommitSha,
    place: (RepositoryName, DirectoryPath),
}

impl Whose {
    pub(super) fn of(draft: &Draft, target: &Target) -> Self {
        let place = (target.repository.name.clone(), target.path.clone());
        Self { request: draft.request.clone(), number: draft.number, salt: draft.salt.clone(), base: draft.base.clone(), place }
    }
}

/// What running drafts have learnt, between their turns.
#[derive(Default)]
pub struct LearntSoFar(Mutex<Shelf<Whose, (Weak<InForce>, Learnt)>>);

impl LearntSoFar {
    /// What the draft has learnt under these rules; it is not kept here any more.
    pub(super) fn take(&self, whose: &Whose, rules: &Arc<InForce>) -> Option<Learnt> {
        let (under, learnt) = self.shelf().take(whose)?;
        std::ptr::eq(under.as_ptr(), Arc::as_ptr(rules)).then_some(learnt)
    }

    /// Keeps what the draft has learnt under these rules, as long as there is room.
    pub(super) fn keep(&self, whose: Whose, rules: &Arc<InForce>, learnt: Learnt) {
        let weight = learnt.weight();
        self.shelf().put(whose, (Arc::downgrade(rules), learnt), weight);
    }

    /// The request drafts no more.
    pub(super) fn forget(&self, request: &RequestId) {
        self.shelf().retain(|whose| whose.request != *request);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<Whose, (Weak<InForce>, Learnt)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Values by key, those that were put last, within bounds.
struct Shelf<K, V> {
    /// Oldest first.
    kept: VecDeque<Kept<K, V>>,
    bytes: usize,
}

struct Kept<K, V> {
    key: K,
    value: V,
    bytes: usize,
    since: Instant,
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self { kept: VecDeque::new(), bytes: 0 }
    }
}

impl<K: PartialEq, V> Shelf<K, V> {
    fn put(&mut self, key: K, value: V, bytes: usize) {
        self.retain(|other| *other != key);
        self.bytes = self.bytes.saturating_add(bytes);
        self.kept.push_back(Kept { key, value, bytes, since: Instant::now() });
        while self.kept.front().is_some_and(|oldest| self.kept.len() > MOST || self.bytes > MOST_BYTES || oldest.since.elapsed() > IDLE) {
            self.kept.pop_front();
            self.count();
        }
    }

    fn take(&mut self, key: &K) -> Option<V> {
        let at = self.kept.iter().position(|kept| kept.key == *key)?;
        let taken = self.kept.remove(at)?;
        self.count();
        Some(taken.value)
    }

    fn retain(&mut self, keeps: impl Fn(&K) -> bool) {
        self.kept.retain(|kept| keeps(&kept.key));
        self.count();
    }

    fn count(&mut self) {
        self.bytes = self.kept.iter().fold(0, |sum, kept| sum.saturating_add(kept.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_keeps_the_newest_within_its_bounds() {
        let mut shelf = Shelf::default();
        for number in 0..MOST + 10 {
            shelf.put(number, number, 1);
        }
        assert_eq!((shelf.kept.len(), shelf.bytes), (MOST, MOST));
        assert_eq!((shelf.take(&9), shelf.take(&10), shelf.take(&10)), (None, Some(10), None), "the oldest went, and each is given once");
        shelf.put(11, 0, 5);
        assert_eq!((shelf.kept.len(), shelf.bytes), (MOST - 1, MOST - 2 + 5), "of one key there is one value");
        shelf.put(1_000, 0, MOST_BYTES - 5);
        assert_eq!((shelf.kept.len(), shelf.bytes), (2, MOST_BYTES));
        shelf.put(1_001, 0, MOST_BYTES + 1);
        assert_eq!((shelf.kept.len(), shelf.bytes), (0, 0), "what is too large is not kept");
        shelf.put(1, 1, usize::MAX);
        shelf.put(2, 2, 2);
        shelf.retain(|key| *key != 2);
        assert_eq!((shelf.kept.len(), shelf.bytes), (0, 0));
    }

    #[test]
    fn what_nobody_went_on_with_for_long_goes() {
        let mut shelf = Shelf::default();
        shelf.put(1, 1, 1);
        let Some(long_ago) = Instant::now().checked_sub(IDLE * 2) else { return };
        shelf.kept[0].since = long_ago;
        shelf.put(2, 2, 1);
        assert_eq!((shelf.take(&1), shelf.take(&2)), (None, Some(2)));
    }
}
