//! Which rows a model learns from, and which are held back to judge it.

use crate::numpy_random;

/// The share of rows that is held back.
pub const HELD_BACK: f64 = 0.2;

/// Row numbers of a dataset, parted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Rows to learn from. By time: in order of time.
    pub train: Vec<usize>,
    /// Rows held back. By time: in order of time.
    pub test: Vec<usize>,
    /// Whether the rows held back are the last by time.
    pub by_time: bool,
    /// How it was made, in words.
    pub described: String,
}

/// The last fifth by time is held back; rows of one instant stay together. Of the rest, rows closer to the first one held back than
/// `gap` (in the unit of `times`) are left out: their labels would not have been known yet.
pub fn by_time(times: &[f64], gap: f64) -> Split {
    let order = order_by_time(times);
    let mut first_test = order.len() - held_back(order.len());
    while first_test > 0 && first_test < order.len() && times[order[first_test - 1]] == times[order[first_test]] {
        first_test -= 1;
    }
    let (train, test) = order.split_at(first_test);
    let end = test.first().map_or(f64::INFINITY, |&first| times[first] - gap);
    let train = if gap > 0.0 { train.iter().copied().filter(|&row| times[row] < end).collect() } else { train.to_vec() };
    Split { train, test: test.to_vec(), by_time: true, described: "last 20 % by time".into() }
}

/// A fifth by chance is held back: the very rows that `sklearn.model_selection.train_test_split(test_size=0.2, random_state=seed)` does.
pub fn by_chance(rows: usize, seed: u32) -> Split {
    let places: Vec<usize> = numpy_random::permutation(seed, rows).into_iter().map(|place| place as usize).collect();
    let (test, train) = places.split_at(held_back(rows));
    Split { train: train.to_vec(), test: test.to_vec(), by_time: false, described: format!("random 20 %, seed {seed}") }
}

/// Row numbers by rising time; rows of one instant keep their order in the file.
pub fn order_by_time(times: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by(|&first, &second| times[first].total_cmp(&times[second]));
    order
}

/// For each row the fold that holds it back: `sklearn.model_selection.StratifiedKFold(folds)` without shuffling.
pub fn stratified_folds(fraud: &[bool], folds: usize) -> Vec<usize> {
    let first_class = fraud.first().copied().unwrap_or(false);
    let first_count = fraud.iter().filter(|&&class| class == first_class).count();
    // Rows are dealt to folds as if sorted by class, so that fold sizes differ by at most one.
    let dealt = |class: bool| {
        let places = if class == first_class { 0..first_count } else { first_count..fraud.len() };
        let mut sizes = vec![0; folds];
        for place in places {
            sizes[place % folds] += 1;
        }
        sizes.into_iter().enumerate().flat_map(|(fold, size)| std::iter::repeat_n(fold, size)).collect::<Vec<_>>().into_iter()
    };
    let (mut frauds, mut genuine) = (dealt(true), dealt(false));
    fraud
        .iter()
        .map(|&class| if class { frauds.next() } else { genuine.next() }.expect("as many were dealt as there are rows"))
        .collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
fn held_back(rows: usize) -> usize {
    (rows as f64 * HELD_BACK).ceil() as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_training_row_is_later_than_a_row_held_back() {
        let split = by_time(&[5.0, 1.0, 4.0, 2.0, 3.0], 0.0);
        assert_eq!((split.train, split.test), (vec![1, 3, 4, 2], vec![0]));
    }

    #[test]
    fn rows_of_one_instant_stay_together() {
        assert_eq!(by_time(&[1.0, 2.0, 3.0, 3.0, 3.0], 0.0).test, [2, 3, 4]);
    }

    #[test]
    fn a_gap_leaves_out_the_rows_whose_labels_were_not_known_yet() {
        assert_eq!(by_time(&[1.0, 2.0, 3.0, 4.0, 5.0], 2.0).train, [0, 1]);
    }

    proptest! {
        #[test]
        fn every_row_is_on_one_side(times in prop::collection::vec(0..20_u8, 1..200), seed in any::<u32>()) {
            let times: Vec<f64> = times.into_iter().map(f64::from).collect();
            for split in [by_time(&times, 0.0), by_chance(times.len(), seed)] {
                let mut rows = [split.train, split.test].concat();
                rows.sort_unstable();
                prop_assert_eq!(rows, (0..times.len()).collect::<Vec<_>>());
            }
        }

        #[test]
        fn folds_share_both_classes_evenly(fraud in prop::collection::vec(any::<bool>(), 1..200), folds in 2..11_usize) {
            let assigned = stratified_folds(&fraud, folds);
            for class in [false, true] {
                let sizes: Vec<usize> = (0..folds)
                    .map(|fold| assigned.iter().zip(&fraud).filter(|&(&of, &is)| of == fold && is == class).count())
                    .collect();
                prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            }
        }
    }
}
