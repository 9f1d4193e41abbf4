//! Who reads the journal behind the one who decides, and up to where? Retention waits a while for whoever is behind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// All who read.
#[derive(Clone, Default)]
pub struct Laggards(Arc<Mutex<Vec<Weak<AtomicU64>>>>);

/// One of them, for as long as this is kept.
pub struct Laggard(Arc<AtomicU64>);

impl Laggards {
    /// One more, who needs all there is until it says otherwise.
    pub fn join(&self) -> Laggard {
        let laggard = Arc::new(AtomicU64::new(0));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&laggard));
        Laggard(laggard)
    }

    /// The last entry that nobody needs any more; none where nobody reads.
    pub fn least(&self) -> Option<u64> {
        let mut laggards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        laggards.retain(|laggard| laggard.strong_count() > 0);
        laggards.iter().filter_map(Weak::upgrade).map(|laggard| laggard.load(Ordering::Relaxed)).min()
    }
}

impl Laggard {
    /// It needs nothing up to here.
    pub fn is_at(&self, sequence: u64) {
        self.0.store(sequence, Ordering::Relaxed);
    }

    /// It needs nothing any more.
    pub fn is_through(&self) {
        self.is_at(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_farthest_behind_counts_and_who_has_left_does_not() {
        let laggards = Laggards::default();
        assert_eq!(laggards.least(), None);
        let (first, second) = (laggards.join(), laggards.join());
        first.is_at(7);
        assert_eq!(laggards.least(), Some(0));
        second.is_at(9);
        assert_eq!(laggards.least(), Some(7));
        first.is_through();
        assert_eq!(laggards.least(), Some(9));
        drop(second);
        assert_eq!(laggards.least(), Some(u64::MAX));
        drop(first);
        assert_eq!(laggards.least(), None);
    }
}
