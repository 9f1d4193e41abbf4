//! What will drift be measured against? The features as the model learnt them, the score as it comes out on rows that it did not.
//!
//! The score's reference is made of rows held back: on rows that a model learnt from it is surer than it will be on any other, so that
//! the first quiet week would look like drift. How much its weeks differ by themselves is taken from all rows, because the weeks held back are few.

use assay_model::FeatureKind;
use assay_model::reference::{Column, Reference, Spread};

use crate::dataset::Dataset;

/// Seconds of a day.
const DAY_SECONDS: f64 = 86_400.0;

/// Rows whose scores are known.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// Their places in the dataset.
    pub rows: &'a [usize],
    /// Probability of each.
    pub probabilities: &'a [f64],
}

/// The reference of a model that learnt from the rows `learnt`, of its scores on rows `held_back` and on `all` rows. Where the history was thinned out, its genuine rows count for those that are
/// missing: what arrives later is not thinned.
pub fn reference(data: &Dataset, learnt: &[usize], held_back: Scored, all: Scored, genuine_kept: Option<f64>) -> Reference {
    let with_column = |values: &[f64], rows: &[usize], of: &dyn Fn(&Column) -> Spread| {
        let weights: Vec<f64> = rows.iter().map(|&row| weight(data, row, genuine_kept)).collect();
        let days = days(data, rows);
        of(&Column { values, weights: &weights, days: days.as_deref() })
    };
    let features = data.features.iter().zip(&data.columns).map(|(feature, column)| {
        let values: Vec<f64> = learnt.iter().map(|&row| column[row]).collect();
        with_column(&values, learnt, &|column| Spread::of(&feature.kind, column))
    });
    let features = features.collect();
    let score = with_column(held_back.probabilities, held_back.rows, &|column| Spread::of(&FeatureKind::Number, column));
    let score = with_column(all.probabilities, all.rows, &|column| score.clone().with_usual_of(column));
    Reference { features, score }
}

fn weight(data: &Dataset, row: usize, genuine_kept: Option<f64>) -> f64 {
    let thinned = genuine_kept.filter(|_| !data.fraud[row]).unwrap_or(1.0);
    data.weight_of(row) / thinned
}

/// The day of each row, counted from the time column's own zero.
fn days(data: &Dataset, rows: &[usize]) -> Option<Vec<i64>> {
    let time = data.time.as_ref()?;
    let day = time.units_per_second * DAY_SECONDS;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is no day of this era only widens the range, which is then empty of blocks"
    )]
    let days = rows.iter().map(|&row| (time.values[row] / day).floor() as i64);
    Some(days.collect())
}

#[cfg(test)]
mod tests {
    use assay_model::Feature;

    use super::*;
    use crate::dataset::EventTime;

    /// A hundred days of forty rows; the amount counts up through the day, the country changes in the middle.
    fn data() -> Dataset {
        let rows: Vec<u32> = (0..4_000).collect();
        let column = |value: &dyn Fn(u32) -> f64| rows.iter().map(|&row| value(row)).collect::<Vec<f64>>();
        let feature = |name: &str, kind| Feature { name: name.into(), kind, missing_seen: false };
        Dataset {
            features: vec![
                feature("amount", FeatureKind::Number),
                feature("country", FeatureKind::Category { levels: vec!["DE".into(), "FR".into()] }),
            ],
            columns: vec![column(&|row| f64::from(row % 40)), column(&|row| f64::from(row / 2_000))],
            label: "fraud".into(),
            fraud: rows.iter().map(|row| row % 40 == 39).collect(),
            weight: None,
            weight_column: None,
            time: Some(EventTime {
                column: "time".into(),
                values: column(&|row| f64::from(row) * DAY_SECONDS / 40.0),
                units_per_second: 1.0,
                taken_by_default: false,
            }),
            amount: None,
        }
    }

    fn of(data: &Dataset, genuine_kept: Option<f64>) -> Reference {
        let (learnt, held_back): (Vec<usize>, Vec<usize>) = (0..4_000).partition(|&row| row < 2_800);
        let rows: Vec<usize> = (0..4_000).collect();
        let probabilities: Vec<f64> = rows.iter().map(|row| (row % 10) as f64 / 10.0).collect();
        let all = Scored { rows: &rows, probabilities: &probabilities };
        reference(data, &learnt, Scored { rows: &held_back, probabilities: &probabilities[2_800..] }, all, genuine_kept)
    }

    #[test]
    fn features_are_of_the_rows_learnt_and_the_score_of_those_held_back() {
        let reference = of(&data(), None);
        assert_eq!(reference.features.iter().map(|spread| spread.rows).collect::<Vec<_>>(), [2_800.0, 2_800.0]);
        assert_eq!(reference.score.rows, 1_200.0);
        // Seventy days but the first and the last.
        assert_eq!(reference.features[0].usual.iter().map(|usual| usual.blocks).collect::<Vec<_>>(), [68, 9]);
        assert_eq!(reference.score.usual.iter().map(|usual| usual.blocks).collect::<Vec<_>>(), [98, 14]);
    }

    #[test]
    fn a_column_that_changes_in_training_is_known_to_change() {
        let reference = of(&data(), None);
        assert!(reference.features[0].usual[0].psi.effect < 1.0);
        assert!(reference.features[1].usual[1].psi.effect > 10.0);
    }

    #[test]
    fn genuine_rows_of_a_thinned_history_count_for_those_that_are_missing() {
        let last_bin = |genuine_kept| {
            let spread = of(&data(), genuine_kept).features.remove(0);
            spread.counts[spread.bins.of(39.0)]
        };
        assert_eq!(of(&data(), Some(0.5)).features[0].counts.iter().sum::<f64>(), 70.0 * (39.0 * 2.0 + 1.0));
        assert!(last_bin(Some(0.01)) < last_bin(None) * 100.0);
    }

    #[test]
    fn without_times_nothing_is_known_of_what_is_usual() {
        let reference = of(&Dataset { time: None, ..data() }, None);
        assert!(reference.features.iter().chain([&reference.score]).all(|spread| spread.usual.is_empty()));
    }
}
