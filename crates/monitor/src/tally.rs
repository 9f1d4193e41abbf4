//! How were the rows and scores of a while spread? Counts in the bins of a model's reference, of bounded size, that add up across cores.

use assay_model::Reference;
use assay_model::reference::Spread;
use serde::{Deserialize, Serialize};

use crate::windows::Merge;

/// Rows, and how many of them lie in each bin of each feature, and of the score, which comes last. At most
/// [`assay_model::reference::MAX_BINS`] numbers per feature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    rows: u64,
    columns: Vec<Vec<u64>>,
}

impl Tally {
    /// Counts a row, as the model took it, and the probability that it gave.
    pub fn observe(&mut self, reference: &Reference, row: &[f64], probability: f64) {
        assert_eq!(row.len(), reference.features.len(), "a row has a number per feature, or it could not have been scored");
        if self.columns.is_empty() {
            self.columns = columns(reference).map(|spread| vec![0; spread.bins.count()]).collect();
        }
        self.rows += 1;
        for ((spread, counts), &value) in columns(reference).zip(&mut self.columns).zip(row.iter().chain([&probability])) {
            counts[spread.bins.of(value)] += 1;
        }
    }

    /// How many rows there were.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The counts of a column, by bin; of no rows, nothing.
    pub fn counts(&self, column: usize) -> Vec<f64> {
        self.columns.get(column).map_or_else(Vec::new, |counts| counts.iter().map(|&count| count as f64).collect())
    }
}

impl Merge for Tally {
    fn merge(&mut self, other: Self) {
        if self.columns.is_empty() {
            self.columns = other.columns;
        } else {
            for (counts, others) in self.columns.iter_mut().zip(other.columns) {
                for (count, other) in counts.iter_mut().zip(others) {
                    *count += other;
                }
            }
        }
        self.rows += other.rows;
    }
}

/// The features in order, then the score.
pub(crate) fn columns(reference: &Reference) -> impl Iterator<Item = &Spread> {
    reference.features.iter().chain([&reference.score])
}

#[cfg(test)]
mod tests {
    use assay_model::FeatureKind;
    use assay_model::reference::Column;
    use proptest::prelude::*;

    use super::*;

    fn reference() -> Reference {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let column = Column { values: &values, weights: &[1.0; 100], days: None };
        let levels = FeatureKind::Category { levels: (0..100).map(|level| format!("{level:02}")).collect() };
        let number = Spread::of(&FeatureKind::Number, &column);
        Reference { features: vec![number.clone(), Spread::of(&levels, &column)], score: number }
    }

    fn of(rows: &[(f64, f64)]) -> Tally {
        let mut tally = Tally::default();
        for &(value, score) in rows {
            tally.observe(&reference(), &[value, value.trunc()], score);
        }
        tally
    }

    proptest! {
        #[test]
        fn the_counts_of_cores_are_those_of_one_in_any_order(
            rows in prop::collection::vec((prop_oneof![-5.0..120.0, Just(f64::NAN)], -5.0..120.0), 0..200),
            cut in any::<prop::sample::Index>(),
        ) {
            let cut = if rows.is_empty() { 0 } else { cut.index(rows.len()) };
            let mut merged = of(&rows[cut..]);
            merged.merge(of(&rows[..cut]));
            prop_assert_eq!(&merged, &of(&rows));
            // Recounted bin by bin, from the bins' own definition.
            let edges = match &reference().score.bins {
                assay_model::reference::Bins::Edges(edges) => edges.clone(),
                assay_model::reference::Bins::Levels { .. } => unreachable!("a score is a number"),
            };
            let between = |low: f64, high: f64| rows.iter().filter(|(_, score)| *score > low && *score <= high).count() as f64;
            let lows = [f64::NEG_INFINITY].into_iter().chain(edges.iter().copied());
            let highs = edges.iter().copied().chain([f64::INFINITY]);
            let mut recounted: Vec<f64> = lows.zip(highs).map(|(low, high)| between(low, high)).collect();
            recounted.push(0.0);
            if !rows.is_empty() {
                prop_assert_eq!(merged.counts(2), recounted);
            }
        }
    }
}
