//! Which window of time does something belong to, and how many windows are kept?
//!
//! Windows lie end to end, counted from 1970. What is kept does not depend on the order of arrival, and the windows of several cores merge
//! into those of one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Windows that are kept at most, the latest ones: more than a year of weeks. What belongs to an earlier one is counted, not kept.
pub const MAX_WINDOWS: usize = 64;

/// What can be added up.
pub trait Merge: Default {
    /// Takes in what another has counted.
    fn merge(&mut self, other: Self);
}

/// Counts by window of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Windows<T> {
    /// Length of a window, in microseconds.
    length: i64,
    kept: BTreeMap<i64, T>,
    too_old: u64,
}

impl<T: Merge> Windows<T> {
    /// Windows of so many microseconds, at least one.
    pub fn new(length: i64) -> Self {
        Self { length: length.max(1), kept: BTreeMap::new(), too_old: 0 }
    }

    /// The counts of the window that a moment lies in; `None` when that window is no longer kept, which is counted.
    pub fn at(&mut self, moment: i64) -> Option<&mut T> {
        let window = moment.div_euclid(self.length);
        let full = self.kept.len() == MAX_WINDOWS && !self.kept.contains_key(&window);
        if full {
            if self.kept.first_key_value().is_some_and(|(&oldest, _)| window < oldest) {
                self.too_old += 1;
                return None;
            }
            self.kept.pop_first();
        }
        Some(self.kept.entry(window).or_default())
    }

    /// Takes in the windows of another core, which have the same length.
    pub fn merge(&mut self, other: Self) {
        assert_eq!(self.length, other.length, "windows of different lengths do not add up");
        self.too_old += other.too_old;
        for (window, counts) in other.kept {
            self.kept.entry(window).or_default().merge(counts);
        }
        while self.kept.len() > MAX_WINDOWS {
            self.kept.pop_first();
        }
    }

    /// The windows, by their beginning in microseconds, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i64, &T)> {
        self.kept.iter().map(|(window, counts)| (window.saturating_mul(self.length), counts))
    }

    /// Length of a window, in microseconds.
    pub fn length(&self) -> i64 {
        self.length
    }

    /// How much came for a window that was no longer kept.
    pub fn too_old(&self) -> u64 {
        self.too_old
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Merge for u64 {
        fn merge(&mut self, other: Self) {
            *self += other;
        }
    }

    fn of(moments: &[i64]) -> Windows<u64> {
        let mut windows = Windows::new(10);
        for &moment in moments {
            if let Some(count) = windows.at(moment) {
                *count += 1;
            }
        }
        windows
    }

    /// What is kept; what came too late depends on when it came.
    fn kept(windows: &Windows<u64>) -> Vec<(i64, u64)> {
        windows.iter().map(|(begin, &count)| (begin, count)).collect()
    }

    #[test]
    fn a_window_holds_its_beginning_and_not_its_end() {
        assert_eq!(
            kept(&of(&[-1, 0, 9, 10, i64::MIN + 20, i64::MAX])).iter().map(|(_, count)| *count).collect::<Vec<_>>(),
            [1, 1, 2, 1, 1]
        );
    }

    proptest! {
        #[test]
        fn neither_order_nor_cores_matter(moments in prop::collection::vec(0..2_000_i64, 0..300), turn in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()) {
            let whole = of(&moments);
            let mut turned = moments.clone();
            if !turned.is_empty() {
                turned.rotate_left(turn.index(moments.len()));
            }
            prop_assert_eq!(kept(&of(&turned)), kept(&whole));
            let (one, other) = moments.split_at(if moments.is_empty() { 0 } else { cut.index(moments.len()) });
            let mut merged = of(one);
            merged.merge(of(other));
            prop_assert_eq!(kept(&merged), kept(&whole));
            prop_assert!(whole.iter().count() <= MAX_WINDOWS);
            // By brute force: the latest windows, whole.
            let mut counts = BTreeMap::new();
            for moment in moments {
                *counts.entry(moment.div_euclid(10) * 10).or_insert(0) += 1;
            }
            let latest: Vec<(i64, u64)> = counts.into_iter().rev().take(MAX_WINDOWS).rev().collect();
            prop_assert_eq!(kept(&whole), latest);
        }
    }
}
