//! How many bytes of bodies may be in memory at once, from their first byte until their delivery was answered: whoever brings one more is told
//! to come again. Large bodies have an allowance of their own, so that those who send them slowly keep nobody with a small one out.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A body that says it has so many bytes at most is small.
const SMALL: usize = 64 * 1024;
/// Bytes of small bodies, and of others, at once.
const SMALL_BYTES: usize = 32 * 1024 * 1024;
const LARGE_BYTES: usize = 64 * 1024 * 1024;

/// What the bodies under way take up.
#[derive(Debug)]
pub(super) struct Bodies {
    small: Allowance,
    large: Allowance,
}

#[derive(Debug)]
struct Allowance {
    most: usize,
    held: AtomicUsize,
}

impl Default for Bodies {
    fn default() -> Self {
        Self::of(SMALL_BYTES, LARGE_BYTES)
    }
}

impl Bodies {
    fn of(small: usize, large: usize) -> Self {
        Self { small: Allowance { most: small, held: AtomicUsize::new(0) }, large: Allowance { most: large, held: AtomicUsize::new(0) } }
    }

    /// A body that begins; `announced` is the length its sender says it has.
    pub(super) fn begin(&self, announced: Option<usize>) -> Body<'_> {
        let small = announced.is_some_and(|length| length <= SMALL);
        Body { of: if small { &self.small } else { &self.large }, bytes: 0 }
    }
}

/// One of them. Its bytes count until it is dropped.
#[derive(Debug)]
pub(super) struct Body<'b> {
    of: &'b Allowance,
    bytes: usize,
}

impl Body<'_> {
    /// Counts further bytes; false when that is more than may be held. A body that is alone may have any size: its source's limit judges that.
    #[must_use]
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let held = self.of.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        held <= self.of.most || held == self.bytes
    }
}

impl Body<'_> {
    /// Its bytes are held no longer.
    pub(super) fn let_go(&mut self) {
        self.of.held.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

impl Drop for Body<'_> {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_what_there_is_and_large_ones_keep_no_small_one_out() {
        let bodies = Bodies::of(100, 1000);
        let mut first = bodies.begin(None);
        assert!(first.grow(900));
        let mut second = bodies.begin(Some(SMALL + 1));
        assert!(second.grow(100));
        assert!(!second.grow(1));
        let mut small = bodies.begin(Some(SMALL));
        assert!(small.grow(100));
        assert!(!bodies.begin(Some(1)).grow(1));
        drop(second);
        assert!(first.grow(100));
        drop((first, small));
        assert!(bodies.begin(Some(1)).grow(100));
        assert!(bodies.begin(None).grow(5000), "one that is alone");
    }
}
